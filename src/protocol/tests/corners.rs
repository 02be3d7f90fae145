//! What must hold in corners that the other tests do not reach.

use std::net::SocketAddr;
use std::time::Duration;

use super::secs;
use super::world::{World, addr_of};
use crate::error::Error;
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::core::CookiePurpose;
use crate::protocol::core::cookies::CookieJar;
use crate::protocol::core::rumors::{Rumors, Topic};
use crate::protocol::membership::ring;
use crate::protocol::{CallResult, Instant, RequestId};
use crate::wire::body::{Hello, LeftAt, Offer, Page, Pull};
use crate::wire::lists::Wants;
use crate::wire::{
    Accusers, Body, ClusterId, Cookie, Header, NameHash, Packet, Record, Seq, Verdict, Versions, Writer,
};

/// A datagram from one host to another one, as the first would write it.
fn forge(world: &World, from: usize, to: usize, bodies: &[Body<'_>]) -> Vec<u8> {
    let (sender, receiver) = (&world.hosts[from].protocol, &world.hosts[to].protocol);
    let header = Header {
        reads: Versions::OURS,
        tag: sender.core.tag,
        sender: sender.core.me,
        generation: sender.core.generation,
        receiver: receiver.core.generation,
    };
    datagram(&header, bodies)
}

/// As many of the bodies as find room.
fn datagram(header: &Header, bodies: &[Body<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), header, 1_400);
    for body in bodies {
        let _ = writer.push(body);
    }
    writer.finish()
}

#[test]
fn a_cookie_is_good_for_its_purpose_only() {
    let jar = CookieJar::new((1, 2));
    let (now, from, name, run) = (Instant::from_micros(1), addr_of(1), NameHash(3), Generation(4));
    let purposes = [1, 2].map(|other| CookiePurpose::Elsewhere { advertised: addr_of(other) });
    let purposes = [CookiePurpose::Request, purposes[0], purposes[1]];
    for shown_for in purposes {
        for baked_for in purposes {
            let cookie = jar.bake(now, baked_for, from, name, run);
            let is_good = jar.accepts(now, shown_for, cookie, from, name, run);
            assert_eq!(is_good, shown_for == baked_for, "{baked_for:?} for {shown_for:?}");
        }
    }
}

/// A stranger at a real address says hello to the first host, with a good cookie.
fn hello(world: &mut World, from: SocketAddr, name: &str, generation: Generation) {
    let protocol = &world.hosts[0].protocol;
    let sender = NameHash::of(protocol.core.tag, name);
    let cookie = protocol.core.cookies.bake(world.now, CookiePurpose::Request, from, sender, generation);
    let header =
        Header { reads: Versions::OURS, tag: protocol.core.tag, sender, generation, receiver: Generation(0) };
    let record =
        Record { name, addr: from, generation, incarnation: Incarnation(0), state_version: 0, broadcast: 0 };
    let datagram = datagram(
        &header,
        &[Body::Hello(Hello { seq: Seq(1), cookie, attempt: 1, cluster: ClusterId(0), record })],
    );
    world.inject(0, from, &datagram);
}

/// The second host holds something against the third, at this much above its incarnation, and tells a host.
fn accuse_above(world: &mut World, to: usize, status: Status, step: u64) {
    let (accuser, accused) = (&world.hosts[1].protocol, &world.hosts[2].protocol);
    let mut accusers = Accusers::default();
    if status == Status::Suspect {
        accusers.insert(accuser.core.me);
    }
    let (generation, incarnation) = (accused.core.generation, Incarnation(accused.core.incarnation.0 + step));
    let verdict = Verdict {
        subject: accused.core.me,
        generation,
        incarnation,
        status,
        accusers,
        left_at: LeftAt::default(),
    };
    let datagram = forge(world, 1, to, &[Body::Verdict(verdict)]);
    world.inject(to, addr_of(1), &datagram);
}

/// The second host holds something against the third, at its present incarnation, and tells it.
fn accuse(world: &mut World, status: Status) {
    accuse_above(world, 2, status, 0);
}

/// The fourth ack ended the leave a second time, and the member went on probing, refuted, and was back.
#[test]
fn a_member_that_has_left_stays_away() {
    let mut world = World::cluster(31, 8);
    world.run(secs(3));
    world.call(5, |protocol, now| protocol.leave(now, secs(5)));
    // Its process lingers.
    world.run(secs(20));
    for at in (0..8).filter(|at| *at != 5) {
        assert_eq!(world.status(at, 5), Some(Status::Left), "at {at}");
    }
}

/// Each datagram that was read before the overdue timer counted the whole pause again: 52 lags, a health of 8, and
/// every suspicion put off by 52 times 20 s.
#[test]
fn one_pause_is_one_lag() {
    let mut world = World::new(37);
    world.settings.discovers = true;
    world.grow(8);
    world.run(secs(20));
    world.pause(0);
    world.run(secs(20));
    // The receiver is the first to go on.
    for _ in 0..50 {
        let datagram = forge(&world, 1, 0, &[]);
        world.inject(0, addr_of(1), &datagram);
    }
    world.resume(0);
    assert_eq!(world.hosts[0].protocol.metrics().lags, 1);
}

/// The approach of a join that had come through another seed had no end: five hellos a second, for ever.
#[test]
fn seeds_that_are_down_are_not_asked_for_ever() {
    let mut world = World::cluster(32, 3);
    world.crash(2);
    let joiner = world.add();
    let call = world.join(joiner, &[0, 2]);
    assert!(world.run_until(secs(2), |world| world.hosts[joiner].answers.contains_key(&call)));
    world.run(secs(40));
    world.recorded = Some(Vec::new());
    world.run(secs(10));
    let (own, down) = (world.hosts[joiner].addr, world.hosts[2].addr);
    let sent = world.recorded.take().unwrap();
    let hellos = sent.iter().filter(|(from, to, _)| *from == own && *to == down).count();
    assert!(hellos <= 10, "{hellos} datagrams in 10 s");
}

/// The member took a generation above the made-up one, which nobody else can believe: it was out for good.
#[test]
fn a_made_up_run_of_our_name_in_the_far_future_evicts_nobody() {
    for addr in [addr_of(2), addr_of(99)] {
        let mut world = World::cluster(34, 4);
        world.run(secs(5));
        for generation in [u64::MAX - 5, u64::MAX - (1 << 23)] {
            let record = Record {
                name: "n2",
                addr,
                generation: Generation(generation),
                incarnation: Incarnation(0),
                state_version: 0,
                broadcast: 0,
            };
            let datagram = forge(&world, 1, 2, &[Body::Alive { record, vouched: true }]);
            world.inject(2, addr_of(1), &datagram);
        }
        world.run(secs(30));
        assert!(world.is_converged(), "{addr}: {}", world.dump());
    }
}

/// Each of 75 offers without a cookie was answered by a challenge: 4,050 bytes for 1,386.
#[test]
fn an_unproven_address_gets_no_more_bytes_than_it_sent() {
    let mut world = World::cluster(35, 2);
    world.run(secs(2));
    let header = Header {
        reads: Versions::OURS,
        tag: world.hosts[0].protocol.core.tag,
        sender: NameHash(77),
        generation: Generation(1),
        receiver: Generation(0),
    };
    let offer = |seq| Body::Offer(Offer { seq: Seq(seq), cookie: Cookie(0), wants: Wants::default() });
    let offers: Vec<Body<'_>> = (1..100).map(offer).collect();
    let datagram = datagram(&header, &offers);
    let victim = addr_of(500);
    world.recorded = Some(Vec::new());
    world.inject(0, victim, &datagram);
    let sent = world.recorded.take().unwrap();
    let sent: usize = sent.iter().filter(|(_, to, _)| *to == victim).map(|(_, _, bytes)| bytes.len()).sum();
    assert!(sent <= datagram.len(), "{sent} bytes for {}", datagram.len());
}

/// Each of 124 leaves was acked: 5,704 bytes for 1,400, to an address that may belong to somebody else by now.
#[test]
fn who_has_left_gets_no_more_bytes_than_it_sent() {
    let mut world = World::cluster(44, 4);
    world.run(secs(2));
    world.call(3, |protocol, now| protocol.leave(now, secs(5)));
    world.run(secs(2));
    world.crash(3);
    let leave = |seq| Body::Leave {
        seq: Seq(seq),
        cookie: Cookie(0),
        incarnation: Incarnation(0),
        left_at: LeftAt::default(),
    };
    let leaves: Vec<Body<'_>> = (1..128).map(leave).collect();
    let datagram = forge(&world, 3, 0, &leaves);
    world.recorded = Some(Vec::new());
    world.inject(0, addr_of(3), &datagram);
    let sent: usize = world.recorded.take().unwrap().iter().map(|(_, _, bytes)| bytes.len()).sum();
    assert!((1..=datagram.len()).contains(&sent), "{sent} bytes for {}", datagram.len());
}

/// The joiner came again and again as fast as it was refused: 8,299 datagrams in the five seconds of the join.
#[test]
fn a_name_whose_generations_are_used_up_is_refused_at_once() {
    let mut world = World::new(72);
    world.add();
    hello(&mut world, addr_of(600), "n1", Generation(u64::MAX - 3));
    world.run(secs(20));
    let joiner = world.add();
    let call = world.join(joiner, &[0]);
    assert!(world.run_until(secs(1), |world| world.hosts[joiner].answers.contains_key(&call)));
    let Some(CallResult::Joined(Err(errors))) = world.hosts[joiner].answers.get(&call) else { panic!() };
    assert!(matches!(errors[..], [(_, crate::Error::ClockAhead)]), "{errors:?}");
}

/// Each newcomer had all older names at its address probed as if by a round, and no round had a place: none of
/// the real nodes was probed for as long as it went on.
#[test]
fn names_at_one_address_do_not_stop_the_rounds() {
    let mut world = World::cluster(39, 4);
    world.run(secs(5));
    let generation = world.hosts[0].protocol.core.generation;
    let before = world.hosts[0].protocol.metrics().probes;
    for number in 0..500 {
        hello(&mut world, addr_of(600), &format!("made-up-{number}"), generation);
        world.run(Duration::from_millis(40));
    }
    let rounds = world.hosts[0].protocol.metrics().probes - before;
    assert!(rounds >= 18, "{rounds} in 20 s");
}

/// Newcomers with the name of a dead node and ever other generations had it probed until no probe had a place.
#[test]
fn names_of_the_dead_do_not_stop_the_rounds() {
    let mut world = World::cluster(40, 6);
    world.run(secs(5));
    world.crash(5);
    world.run(secs(20));
    assert_eq!(world.status(0, 5), Some(Status::Dead));
    let dead = world.hosts[5].protocol.core.generation;
    let before = world.hosts[0].protocol.metrics().probes;
    for number in 1..20_000 {
        hello(&mut world, addr_of(600), "n5", Generation(dead.0 + number));
        world.run(Duration::from_millis(1));
    }
    let rounds = world.hosts[0].protocol.metrics().probes - before;
    assert!(rounds >= 18, "{rounds} in 20 s");
}

/// A suspicion, from somebody who had not heard of the death, was refuted at once: that ended the wait.
#[test]
fn who_waits_after_a_second_burial_does_not_return_for_a_suspicion() {
    let mut world = World::cluster(41, 4);
    world.run(secs(5));
    accuse(&mut world, Status::Dead);
    world.run(secs(5));
    accuse(&mut world, Status::Dead);
    let incarnation = |world: &World| world.hosts[2].protocol.core.incarnation;
    assert_eq!(incarnation(&world), Incarnation(1));
    world.run(secs(1));
    accuse(&mut world, Status::Suspect);
    world.run(secs(5));
    assert_eq!(incarnation(&world), Incarnation(1), "the second time it waits for 10 s");
    world.run(secs(10));
    assert_eq!(incarnation(&world), Incarnation(2));
}

/// The rounds that were not due while a member was alone counted as slept through when another node came back.
#[test]
fn being_alone_is_not_lag() {
    for seed in 0..10 {
        let mut world = World::cluster(36 + seed, 2);
        world.run(secs(5));
        world.crash(1);
        world.run(secs(90));
        assert_eq!(world.status(0, 1), Some(Status::Dead));
        world.restart(1);
        world.join(1, &[0]);
        world.run(secs(10));
        assert_eq!(world.hosts[0].protocol.metrics().lags, 0, "seed {seed}");
    }
}

/// The second join took the place of the first one, which then ended with `NoAnswer`.
#[test]
fn two_joins_at_once_through_one_seed_both_come_through() {
    let mut world = World::cluster(42, 20);
    world.run(secs(2));
    let joiner = world.add();
    let calls = [world.join(joiner, &[0]), world.join(joiner, &[0])];
    world.run(secs(10));
    for call in calls {
        let answer = world.hosts[joiner].answers.get(&call);
        assert!(matches!(answer, Some(CallResult::Joined(Ok(())))), "{answer:?}");
    }
}

/// The highest accusation that was believed was refuted by an incarnation that nobody believed: the first suspicion
/// after it buried the node for good.
#[test]
fn no_incarnation_that_is_believed_evicts_a_node() {
    for step in [(1 << 16) - 1, 1 << 16, (1 << 16) + 1] {
        for to in [0, 2] {
            for is_record in [false, true] {
                let mut world = World::cluster(33, 6);
                world.run(secs(5));
                if is_record {
                    let accused = &world.hosts[2].protocol;
                    let incarnation = Incarnation(accused.core.incarnation.0 + step);
                    let record = Record { incarnation, ..accused.core.own_record() };
                    let datagram = forge(&world, 1, to, &[Body::Alive { record, vouched: true }]);
                    world.inject(to, addr_of(1), &datagram);
                } else {
                    accuse_above(&mut world, to, Status::Suspect, step);
                }
                world.run(secs(10));
                assert!(world.is_converged(), "{step} {to} {is_record}: {}", world.dump());
                for other in [0, 3, 4, 5] {
                    accuse_above(&mut world, other, Status::Suspect, 0);
                }
                world.run(secs(60));
                assert!(world.is_converged(), "{step} {to} {is_record}: {}", world.dump());
            }
        }
    }
}

/// All slots of the first phase were served whatever was left to send: 6 sends of each where 3 were meant.
#[test]
fn a_crowd_of_rumors_is_thinned() {
    let mut now = Instant::from_micros(1_000_000);
    let mut rumors = Rumors::new(Duration::from_millis(20));
    let k = 8;
    let crowd = 300;
    for subject in 1..=crowd {
        rumors.push(now, Topic::Node(NameHash(subject)), k);
    }
    let mut sends = 0;
    while let Some(due) = rumors.due() {
        now = now.max(due);
        assert!(rumors.begin_round(now, k));
        for slot in rumors.slots(k) {
            if !rumors.may_serve(now, slot) {
                break;
            }
            let topics: Vec<Topic> = rumors.for_slot(slot).take(26).collect();
            rumors.sent(now, slot, &topics, true);
            sends += topics.len();
        }
        rumors.end_round(now);
    }
    assert!((3 * crowd..4 * crowd + 52 * 8).contains(&(sends as u64)), "{sends} sends of {crowd} rumors");
}

#[test]
fn a_suspicion_has_five_witnesses() {
    let active: Vec<NameHash> =
        (1..=200).map(|number| NameHash(u64::wrapping_mul(number, 0x9e37_79b9_7f4a_7c15))).collect();
    for suspect in active.iter().copied().take(20) {
        let is_witness = |node: &&NameHash| ring::is_witness(**node, &active, suspect, Incarnation(3), 5);
        let witnesses: Vec<&NameHash> = active.iter().filter(is_witness).collect();
        assert_eq!(witnesses.len(), 5);
        assert!(!witnesses.contains(&&suspect));
    }
}

/// A page that leads back had the range before it pulled again, for as long as the peer went on.
#[test]
fn a_page_that_does_not_lead_on_is_the_last() {
    let mut world = World::cluster(43, 100);
    let joiner = world.add();
    world.recorded = Some(Vec::new());
    world.join(joiner, &[0]);
    let seed = addr_of(0);
    let mut answered = 0;
    for _ in 0..2_000 {
        world.run(Duration::from_micros(500));
        let recorded = world.recorded.replace(Vec::new()).unwrap();
        for (from, to, bytes) in recorded {
            if from != addr_of(joiner) || to != seed {
                continue;
            }
            let pulls: Vec<Pull> = Packet::decode(&bytes)
                .unwrap()
                .bodies()
                .filter_map(|body| if let Body::Pull(pull) = body { Some(pull) } else { None })
                .collect();
            for pull in pulls {
                world.cut(&[0], &[joiner], true);
                answered += 1;
                let page = Page { seq: pull.seq, next: NameHash(pull.from.0.max(1)) };
                let datagram = forge(&world, 0, joiner, &[Body::Page(page)]);
                world.inject(joiner, seed, &datagram);
            }
        }
    }
    assert!(answered <= 4, "{answered} pulls in a second");
}

#[test]
fn more_joins_than_may_run_at_once_and_more_seeds_than_may_be_asked_are_refused_at_once() {
    let mut world = World::new(40);
    world.add();
    let nobody = |number: u16| SocketAddr::from(([10, 9, 9, 9], 1 + number));
    let is_refused = |world: &World, call: &RequestId| match world.hosts[0].answers.get(call) {
        Some(CallResult::Joined(Err(errors))) => {
            errors.iter().all(|(_, error)| matches!(error, Error::Refused))
        }
        _ => false,
    };
    let calls: Vec<_> =
        (0..65).map(|number| world.call(0, |protocol, now| protocol.join(now, &[nobody(number)]))).collect();
    assert!(is_refused(&world, &calls[64]));
    assert!(calls[..64].iter().all(|call| !world.hosts[0].answers.contains_key(call)));
    world.run(secs(6));

    let seeds: Vec<SocketAddr> = (0..5_000).map(nobody).collect();
    let call = world.call(0, |protocol, now| protocol.join(now, &seeds));
    assert!(world.hosts[0].protocol.bounds().iter().all(|bound| bound.count <= bound.max));
    world.run(secs(6));
    let Some(CallResult::Joined(Err(errors))) = world.hosts[0].answers.get(&call) else { panic!() };
    let refused = errors.iter().filter(|(_, error)| matches!(error, Error::Refused)).count();
    assert_eq!((errors.len(), refused), (5_000, 5_000 - 4_096));
}
