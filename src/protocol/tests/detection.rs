//! The failure detector: who is dead is found out, and nobody else is accused.

use std::collections::BTreeSet;
use std::time::Duration;

use super::secs;
use super::world::{World, addr_of, datagram};
use crate::error::Error;
use crate::event::Event;
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::membership;
use crate::protocol::{CallResult, Instant};
use crate::wire::body::{LeftAt, NackReason, PingRequest};
use crate::wire::{Accusers, Body, Header, NameHash, Packet, Seq, Verdict, Versions};

/// Hands a host a suspicion of another one, as told by `teller`.
fn suspect(world: &mut World, at: usize, of: usize, incarnation: u64, teller: usize, accusers: &[NameHash]) {
    let mut verdict = Verdict {
        subject: world.hash(of),
        generation: world.generation(of),
        incarnation: Incarnation(incarnation),
        status: Status::Suspect,
        accusers: Accusers::default(),
        left_at: LeftAt::default(),
    };
    for accuser in accusers {
        assert!(verdict.accusers.insert(*accuser));
    }
    let datagram = world.forge(teller, at, &[Body::Verdict(verdict)]);
    world.inject(at, addr_of(teller), &datagram);
}

fn deadline(world: &World, at: usize, of: usize) -> Option<Instant> {
    let protocol = &world.hosts[at].protocol;
    let n = protocol.core.members.ring().len();
    let suspicion = protocol.core.suspicions.get(world.hash(of))?;
    Some(suspicion.deadline(n, membership::shortest(world.settings.probe_timeout)))
}

/// Whether none of the gone is active at any of the rest.
fn all_buried(world: &World, rest: &[usize], gone: &[usize]) -> bool {
    rest.iter()
        .all(|at| gone.iter().all(|of| world.status(*at, *of).is_none_or(|status| !status.is_active())))
}

/// The names in a host's events of a kind since a moment.
fn told(world: &World, at: usize, since: Instant, kind: &str) -> Vec<String> {
    let lines = world.story(at, since);
    lines.iter().filter_map(|line| line.strip_prefix(kind)).map(|name| name.trim().to_owned()).collect()
}

#[test]
fn probing_the_dead_through_healthy_relays_leaves_the_own_health_as_it_is() {
    let mut world = World::cluster(1, 12);
    world.run(secs(5));
    world.crash(10);
    world.crash(11);
    for _ in 0..300 {
        world.run(Duration::from_millis(100));
        for at in 0..10 {
            assert_eq!(world.hosts[at].protocol.health(), 0, "n{at}");
        }
    }
    assert!(all_buried(&world, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[10, 11]));
}

#[test]
fn a_suspicion_is_over_with_the_incarnation_that_it_accuses() {
    let mut world = World::cluster(2, 6);
    world.run(secs(3));
    let since = world.now;
    let accusers = [world.hash(2), world.hash(3), world.hash(4)];
    suspect(&mut world, 0, 1, 0, 2, &accusers);
    let before = deadline(&world, 0, 1).expect("n1 is suspected");
    world.run(secs(1));
    assert_eq!(deadline(&world, 0, 1), None, "it was refuted");
    assert_eq!(world.hosts[0].protocol.node("n1").map(|node| node.incarnation()), Some(1));
    // Who is late with the old accusation accuses nobody.
    suspect(&mut world, 0, 1, 0, 3, &accusers);
    assert_eq!(deadline(&world, 0, 1), None);
    world.run(before.since(world.now) + secs(20));
    for at in 0..6 {
        assert!(world.story(at, since).is_empty(), "at {at}: {:?}", world.story(at, since));
    }
    // A suspicion of the next incarnation has a time of its own.
    suspect(&mut world, 0, 1, 1, 2, &accusers[..1]);
    assert!(deadline(&world, 0, 1).is_some_and(|deadline| deadline > world.now + secs(5)));
}

#[test]
fn a_confirmation_counts_once_for_each_accuser() {
    let mut world = World::cluster(3, 9);
    world.crash(8);
    let accusers: Vec<NameHash> = (0..9).map(|index| world.hash(index)).collect();
    suspect(&mut world, 0, 8, 0, 1, &accusers[1..2]);
    let alone = deadline(&world, 0, 8).unwrap();
    // The accuser says it again, others pass it on; a stranger, the suspect and the member itself are named.
    suspect(&mut world, 0, 8, 0, 1, &accusers[1..2]);
    suspect(&mut world, 0, 8, 0, 2, &accusers[1..2]);
    let nobody = NameHash(4711);
    suspect(&mut world, 0, 8, 0, 2, &[nobody, accusers[8], accusers[0]]);
    assert_eq!(deadline(&world, 0, 8), Some(alone));
    let mut last = alone;
    for accuser in 2..5 {
        suspect(&mut world, 0, 8, 0, accuser, &accusers[accuser..=accuser]);
        let now = deadline(&world, 0, 8).unwrap();
        assert!(now < last, "confirmation by n{accuser}");
        last = now;
        suspect(&mut world, 0, 8, 0, accuser, &accusers[1..=accuser]);
        assert_eq!(deadline(&world, 0, 8), Some(last), "the same again");
    }
    // From 6 × 4 × T to 4 × T, by the logarithm; more than three confirmations change nothing.
    assert_eq!(alone.since(last), secs(10));
    suspect(&mut world, 0, 8, 0, 5, &accusers[5..6]);
    assert_eq!(deadline(&world, 0, 8), Some(last));
}

/// The deadline that three late confirmations give was over for seconds when they came. It was taken for a lag, and
/// put off itself and all other burials.
#[test]
fn a_late_confirmation_is_not_taken_for_a_lag() {
    let mut world = World::cluster(3, 9);
    world.run(secs(3));
    (2..9).for_each(|gone| world.crash(gone));
    let accusers: Vec<NameHash> = (0..9).map(|index| world.hash(index)).collect();
    suspect(&mut world, 0, 8, 0, 1, &accusers[1..2]);
    world.run(secs(6));
    suspect(&mut world, 0, 8, 0, 1, &accusers[1..5]);
    world.run(secs(1));
    assert_eq!(world.hosts[0].protocol.metrics().lags, 0);
    assert!(all_buried(&world, &[0], &[8]));
}

/// Two nodes that lost 80 % of all datagrams relayed for each other: the nack was lost pings. What the one believed
/// so, the other one believed on its word, and healthy nodes died in the views of both.
#[test]
fn nobody_is_buried_on_one_probe_of_one_member() {
    let mut world = World::cluster(5, 16);
    world.deafen(0, true);
    let accuser = [world.hash(1)];
    suspect(&mut world, 0, 5, 0, 1, &accuser);
    for second in 0..30 {
        // It hears something now and then: that is no isolation.
        let news = world.forge(1, 0, &[Body::Nack { seq: Seq(1), reason: NackReason::NoAnswer }]);
        world.inject(0, addr_of(1), &news);
        world.run(secs(1));
        assert_eq!(world.status(0, 5), Some(Status::Suspect), "after {second} s");
    }
    world.deafen(0, false);
    assert!(world.run_until(secs(10), |world| world.status(0, 5) == Some(Status::Alive)));
}

#[test]
fn witnesses_confirm_a_suspicion_within_a_second_of_being_told() {
    let mut world = World::cluster(4, 32);
    world.run(secs(3));
    world.crash(31);
    let since = world.now;
    let accuser = [world.hash(1)];
    suspect(&mut world, 0, 31, 0, 1, &accuser);
    world.run(secs(1));
    for at in 0..31 {
        let suspicion = world.hosts[at].protocol.core.suspicions.get(world.hash(31)).unwrap();
        assert!(suspicion.accusers.as_slice().len() >= 4, "at {at}: {suspicion:?}");
    }
    let rest: Vec<usize> = (0..31).collect();
    assert!(world.run_until(secs(3), |world| all_buried(world, &rest, &[31])));
    println!("dead everywhere {:?} after it was told", world.now.since(since));
}

/// Every member passed on the word of each witness as it came: 18 accusations of one node a member, of which the first
/// one takes six.
#[test]
fn what_witnesses_say_is_passed_on_as_one() {
    let mut world = World::cluster(4, 32);
    world.run(secs(3));
    world.crash(31);
    world.recorded = Some(Vec::new());
    let accuser = [world.hash(1)];
    suspect(&mut world, 0, 31, 0, 1, &accuser);
    world.run(secs(2));
    let is_accusation =
        |body: &Body<'_>| matches!(body, Body::Verdict(verdict) if verdict.status == Status::Suspect);
    let recorded = world.recorded.take().unwrap();
    let told: usize = recorded
        .iter()
        .map(|(_, _, datagram)| Packet::decode(datagram).unwrap().bodies().filter(is_accusation).count())
        .sum();
    let each = told as f64 / 31.0;
    println!("{each:.1} accusations a member");
    assert!(each < 15.0, "{each}");
}

#[test]
fn a_third_of_128_that_dies_at_once_is_buried_at_once() {
    let n = 128;
    let mut world = World::cluster(5, n);
    world.run(secs(3));
    let since = world.now;
    let (gone, rest): (Vec<usize>, Vec<usize>) = (0..n).partition(|index| index % 3 == 1);
    for index in &gone {
        world.crash(*index);
    }
    let all = world.run_until(secs(40), |world| all_buried(world, &rest, &gone));
    println!("{} dead everywhere after {:?}", gone.len(), world.now.since(since));
    assert!(all, "{}", world.sizes());
    world.run(secs(5));
    let expected: BTreeSet<String> = gone.iter().map(|index| format!("n{index}")).collect();
    for at in &rest {
        let died = told(&world, *at, since, "died");
        assert_eq!(died.len(), expected.len(), "at {at}");
        assert_eq!(died.into_iter().collect::<BTreeSet<String>>(), expected, "at {at}");
    }
}

#[test]
fn a_few_survivors_of_sixteen_bury_the_rest() {
    // Seconds until the last one is out of the view; a single survivor hides the others, by itself.
    for (survivors, bound) in [(1, 45), (2, 60), (3, 40), (5, 30)] {
        for seed in 0..4 {
            let mut world = World::cluster(100 + seed, 16);
            world.run(secs(3));
            let since = world.now;
            let (rest, gone): (Vec<usize>, Vec<usize>) = (0..16).partition(|index| *index < survivors);
            for index in &gone {
                world.crash(*index);
            }
            let only_survivors =
                |world: &World| rest.iter().all(|at| world.hosts[*at].protocol.nodes().count() == survivors);
            let all = world.run_until(secs(300), only_survivors);
            let took = world.now.since(since);
            println!("{survivors} survivors: {took:?}");
            assert!(all && took < secs(bound), "{survivors} survivors, {took:?}: {}", world.sizes());
            // And they keep each other.
            world.run(secs(30));
            assert!(only_survivors(&world));
        }
    }
}

#[test]
fn one_way_cuts_are_routed_around_by_relays() {
    let mut world = World::cluster(6, 16);
    world.run(secs(3));
    let since = world.now;
    for pair in [(0, 1), (1, 2), (2, 0), (3, 4), (4, 3), (5, 6), (5, 7), (5, 8), (9, 5)] {
        world.cuts.insert(pair);
    }
    world.run(secs(180));
    for at in 0..16 {
        assert!(told(&world, at, since, "died").is_empty(), "at {at}: {:?}", world.story(at, since));
    }
    assert!(world.is_converged());
    let suspicions: u64 = world.hosts.iter().map(|host| host.protocol.metrics().suspicions).sum();
    println!("{suspicions} suspicions begun or learned in 180 s");
}

#[test]
fn lossy_links_are_routed_around_by_relays() {
    let mut world = World::cluster(7, 24);
    world.run(secs(3));
    let since = world.now;
    // Each of three hosts loses 80 % to and from six others.
    for host in 0..3 {
        for other in 0..6 {
            let other = 3 + host * 6 + other;
            world.links.insert((host, other), 800);
            world.links.insert((other, host), 800);
        }
    }
    world.run(secs(180));
    for at in 0..24 {
        assert!(told(&world, at, since, "died").is_empty(), "at {at}: {:?}", world.story(at, since));
    }
    assert!(world.is_converged());
}

#[test]
fn a_deaf_node_accuses_nobody_hides_all_and_returns_when_it_hears() {
    let mut world = World::cluster(8, 16);
    world.run(secs(3));
    let since = world.now;
    world.deafen(3, true);
    world.run(secs(38));
    assert!(world.story(3, since).is_empty(), "{:?}", world.story(3, since));
    assert_eq!(world.status(0, 3), Some(Status::Dead));
    world.run(secs(12));
    assert_eq!(world.hosts[3].protocol.nodes().count(), 1, "it has hidden all others");
    assert_eq!(world.hosts[3].protocol.metrics().isolations, 1);
    world.deafen(3, false);
    let end = world.now;
    assert!(world.run_until(secs(30), World::is_converged), "{}", world.sizes());
    println!("back after {:?}", world.now.since(end));
    world.run(secs(20));
    for at in (0..16).filter(|at| *at != 3) {
        assert_eq!(world.story(at, since), ["suspected n3", "died n3", "joined n3"], "at {at}");
    }
    assert_eq!(world.hosts[3].protocol.metrics().isolations, 1);
}

#[test]
fn a_process_that_was_stopped_for_longer_than_isolation_takes_is_back_without_a_word_against_others() {
    let mut world = World::cluster(9, 16);
    world.run(secs(3));
    let since = world.now;
    world.pause(3);
    world.run(secs(60));
    assert_eq!(world.status(0, 3), Some(Status::Dead));
    world.resume(3);
    let end = world.now;
    assert!(world.run_until(secs(10), World::is_converged), "{}", world.sizes());
    println!("back after {:?}", world.now.since(end));
    world.run(secs(60));
    for at in (0..16).filter(|at| *at != 3) {
        assert_eq!(world.story(at, since), ["suspected n3", "died n3", "joined n3"], "at {at}");
    }
    assert!(world.story(3, since).is_empty(), "{:?}", world.story(3, since));
}

#[test]
fn a_death_out_of_nowhere_is_not_believed() {
    // A grey node, with 80 % of its datagrams lost, once told 124 healthy members of a death that only it saw.
    let mut world = World::cluster(71, 16);
    let since = world.now;
    let alive = world.hosts[5].protocol.core.members.get(world.hash(5)).unwrap().verdict(world.hash(5));
    let dead = Verdict { status: Status::Dead, ..alive };
    for at in (0..16).filter(|at| *at != 5) {
        let teller = if at == 1 { 2 } else { 1 };
        let datagram = world.forge(teller, at, &[Body::Verdict(dead)]);
        world.inject(at, addr_of(teller), &datagram);
    }
    world.run(secs(20));
    for at in (0..16).filter(|at| *at != 5) {
        assert!(world.story(at, since).is_empty(), "{at}: {:?}", world.story(at, since));
    }
    assert!(world.is_converged());
}

#[test]
fn a_death_right_after_the_suspicion_is_not_believed() {
    // Four who came back from a cut brought the suspicions they had there, and 46 ms later, the time of these being
    // over, the deaths: a third of 124 healthy members took a healthy node for dead before it could refute.
    let mut world = World::cluster(72, 16);
    let since = world.now;
    let alive = world.hosts[5].protocol.core.members.get(world.hash(5)).unwrap().verdict(world.hash(5));
    let dead = Verdict { status: Status::Dead, ..alive };
    let accuser = [world.hash(1)];
    for at in (2..16).filter(|at| *at != 5) {
        suspect(&mut world, at, 5, 0, 1, &accuser);
        let datagram = world.forge(1, at, &[Body::Verdict(dead)]);
        world.inject(at, addr_of(1), &datagram);
    }
    world.run(secs(20));
    for at in (0..16).filter(|at| *at != 5) {
        assert!(world.story(at, since).is_empty(), "{at}: {:?}", world.story(at, since));
    }
    assert!(world.is_converged());
}

/// A relay took the ack of any run at the address that it had pinged: a killed run stayed alive as long as something
/// refused there held the address.
#[test]
fn a_relay_passes_on_the_ack_of_the_run_that_it_was_asked_about_and_of_no_other() {
    let mut world = World::cluster(51, 3);
    world.run(secs(2));
    let (target, generation) = (world.hash(2), world.generation(2));
    let request = |seq| PingRequest { seq, target, generation, nack_after_ms: 400 };
    for (run, is_passed_on) in [(generation, true), (Generation(generation.0 ^ 1), false)] {
        let asked = world.forge(0, 1, &[Body::PingRequest(request(Seq(7)))]);
        let sent = world.answers(1, addr_of(0), &asked);
        let pings = sent.iter().filter(|(to, _)| *to == addr_of(2));
        let seq =
            pings.flat_map(|(_, datagram)| Packet::decode(datagram).unwrap().bodies().collect::<Vec<_>>());
        let seq =
            seq.into_iter().find_map(|body| if let Body::Ping(ping) = body { Some(ping.seq) } else { None });
        let header = Header {
            reads: Versions::OURS,
            tag: world.tag(),
            sender: target,
            generation: run,
            receiver: world.generation(1),
        };
        let ack = datagram(&header, &[Body::BareAck { seq: seq.unwrap() }]);
        let sent = world.answers(1, addr_of(2), &ack);
        let is_relayed = |datagram: &Vec<u8>| {
            let packet = Packet::decode(datagram).unwrap();
            packet.bodies().any(|body| matches!(body, Body::RelayedAck { seq: Seq(7), .. }))
        };
        assert_eq!(sent.iter().any(|(to, sent)| *to == addr_of(0) && is_relayed(sent)), is_passed_on);
        // Both pings were in vain or are over before the next one.
        world.run(secs(2));
    }
}

/// It slept within the round trip, and its timers fired before the ack was read: the name counted as free.
#[test]
fn a_name_is_not_given_away_by_a_member_that_slept_while_it_checked() {
    let mut world = World::cluster(52, 3);
    world.run(secs(2));
    let newcomer = world.add_named("n2", addr_of(9));
    let call = world.join(newcomer, &[0]);
    let checks = |world: &World| {
        world.hosts[0].protocol.bounds().iter().any(|bound| bound.what == "name checks" && bound.count > 0)
    };
    let mut steps = 0;
    while !checks(&world) {
        world.run(Duration::from_micros(50));
        steps += 1;
        assert!(steps < 1_000, "no check begins");
    }
    world.pause(0);
    world.run(Duration::from_millis(700));
    world.resume(0);
    world.run(secs(2));
    let answer = world.hosts[newcomer].answers.get(&call);
    let Some(CallResult::Joined(Err(errors))) = answer else { panic!("{answer:?}") };
    assert!(matches!(errors[0].1, Error::NameTaken { .. }), "{errors:?}");
    assert!(world.hosts[2].ended.is_none());
}

/// Whether each death that a host has reported since a moment was proven.
fn proven(world: &World, at: usize, since: Instant) -> Vec<bool> {
    let events = world.hosts[at].events.iter().filter(|(when, _)| *when >= since);
    events
        .filter_map(|(_, event)| if let Event::Died { proven, .. } = event { Some(*proven) } else { None })
        .collect()
}

#[test]
fn a_death_is_proven_if_two_have_asked_in_vain() {
    for (n, is_proven) in [(2, false), (3, true), (8, true)] {
        let mut world = World::cluster(61, n);
        world.run(secs(5));
        let since = world.now;
        world.crash(n - 1);
        world.run(secs(30));
        for at in 0..n - 1 {
            assert_eq!(proven(&world, at, since), [is_proven], "n{at} of {n}");
            let unproven = world.hosts[at].protocol.metrics().deaths_unproven;
            assert_eq!(unproven, u64::from(!is_proven), "n{at} of {n}");
        }
    }
    let mut world = World::cluster(62, 5);
    let since = world.now;
    world.deafen(0, true);
    world.run(secs(60));
    assert_eq!(proven(&world, 0, since), [false; 4], "it is isolated");
}

/// All probes of the node were void, and it was shown for good.
#[test]
fn a_node_whose_death_no_relay_can_prove_is_declared_dead_at_the_slowest_pace() {
    for n in [4, 8, 20] {
        let mut world = World::cluster(63, n);
        world.run(secs(5));
        world.drops =
            Some(Box::new(|_, packet| packet.bodies().any(|body| matches!(body, Body::Nack { .. }))));
        world.run(secs(200));
        let since = world.now;
        world.crash(n - 1);
        let rest: Vec<usize> = (0..n - 1).collect();
        let all = world.run_until(secs(600), |world| all_buried(world, &rest, &[n - 1]));
        let took = world.now.since(since);
        println!("{n}: dead everywhere after {took:?}");
        // After isolation_timeout, and six times the shortest suspicion.
        assert!(all && took > secs(39 + 12) && took < secs(54 + n as u64), "{n}: {took:?}");
        for at in rest {
            assert_eq!(proven(&world, at, since), [false], "n{at} of {n}");
            assert_eq!(told(&world, at, since, "died"), [format!("n{}", n - 1)]);
        }
    }
}

/// Half of its requests are not answered, and no relay answers it: it may itself be the one that is not heard.
#[test]
fn a_member_that_is_hardly_answered_accuses_nobody_without_proof() {
    let mut world = World::cluster(64, 12);
    world.run(secs(5));
    let since = world.now;
    for other in 1..12 {
        // It gets answers from only half of the others, and no nacks.
        if other % 2 == 0 {
            world.cuts.insert((other, 0));
        }
    }
    world.drops = Some(Box::new(|at, packet| {
        at == 0 && packet.bodies().any(|body| matches!(body, Body::Nack { .. } | Body::RelayedAck { .. }))
    }));
    world.run(secs(300));
    let accused = world.hosts[0].protocol.metrics();
    assert!(accused.probes_void > 50, "{}", accused.probes_void);
    assert_eq!(accused.probes_failed, 0);
    for at in 0..12 {
        assert!(told(&world, at, since, "died").is_empty(), "at {at}: {:?}", world.story(at, since));
    }
}

/// After an isolation, all relays answer that they do not know the nodes that have died meanwhile.
#[test]
fn what_no_relay_knows_is_dead_if_it_is_hidden() {
    let mut world = World::cluster(65, 6);
    world.run(secs(5));
    world.cut(&[0], &[1, 2, 3, 4, 5], true);
    world.run(secs(50));
    world.crash(5);
    world.run(secs(30));
    let since = world.now;
    world.cuts.clear();
    let gone = world.run_until(secs(60), |world| world.hosts[0].protocol.core.members.roster().len() == 5);
    println!("dead after {:?}", world.now.since(since));
    assert!(gone && world.now.since(since) < secs(30));
    assert!(told(&world, 0, since, "died").is_empty(), "it was hidden");
}
