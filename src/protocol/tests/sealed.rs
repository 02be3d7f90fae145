//! Sealed datagrams: who has no key gets nowhere, and nothing counts twice.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::secs;
use super::world::{World, addr_of};
use crate::error::Error;
use crate::event::Event;
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::CallResult;
use crate::protocol::core::{ANYBODY, Run};
use crate::wire::body::{Hello, LeftAt};
use crate::wire::{
    Accusers, Body, ClusterId, Cookie, Frame, Header, NameHash, Record, SealedHead, Seq, Verdict, Versions,
};
use crate::{Key, Keyring};

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn sealed_world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.settings.keyring = Keyring::new(key(1));
    world
}

fn head(datagram: &[u8]) -> Option<SealedHead> {
    match Frame::decode(datagram) {
        Ok(Frame::Sealed(head)) => Some(head),
        _ => None,
    }
}

/// A datagram that one host would send to another, sealed.
fn sealed(world: &mut World, sender: usize, receiver: Run, bodies: &[Body<'_>]) -> Vec<u8> {
    let protocol = &mut world.hosts[sender].protocol;
    let mut writer = protocol.core.datagram_to(receiver);
    for body in bodies {
        assert!(writer.push(body));
    }
    protocol.core.transmit_unchecked(addr_of(99), writer);
    protocol.poll_transmit().unwrap().datagram
}

fn messages(world: &World, at: usize) -> Vec<Vec<u8>> {
    let message = |event: &Event| match event {
        Event::Message { payload, .. } => Some(payload.clone()),
        _ => None,
    };
    world.hosts[at].events.iter().filter_map(|(_, event)| message(event)).collect()
}

fn send(world: &mut World, from: usize, to: usize, payload: &[u8]) {
    let name = world.hosts[to].name.clone();
    world.call(from, |protocol, now| protocol.send(now, &name, payload.to_vec())).unwrap();
}

type Recorded = Vec<(SocketAddr, SocketAddr, Vec<u8>)>;

/// The life of five nodes with messages, broadcasts, states, a restart, a leave and a crash; all that was sent.
fn lived(world: &mut World) -> Recorded {
    world.recorded = Some(Vec::new());
    world.grow(5);
    for round in 0..3_u8 {
        for (from, to) in [(0, 1), (1, 2), (2, 3), (3, 0), (2, 1)] {
            send(world, from, to, &[round; 3_000]);
            world.call(from, |protocol, now| protocol.update(now, &[("round", Some(&[round]))])).unwrap();
        }
        world.call(3, |protocol, now| protocol.broadcast(now, &[round; 100])).unwrap();
        world.run(secs(2));
    }
    world.crash(3);
    world.run(Duration::from_millis(300));
    world.restart(3);
    world.join(3, &[0]);
    world.run(secs(5));
    world.call(4, |protocol, now| protocol.leave(now, secs(5)));
    world.run(secs(5));
    world.crash(4);
    world.crash(2);
    world.run(secs(30));
    assert!(world.is_converged());
    assert_eq!(messages(world, 1).len(), 6);
    world.recorded.take().unwrap()
}

/// Has each recorded datagram come again: from where it came, and from a member's address.
fn replay_all(world: &mut World, recorded: &Recorded, to: &[usize]) {
    for (from, _, datagram) in recorded {
        for at in to {
            world.replay(*at, *from, datagram);
            world.replay(*at, addr_of(0), datagram);
        }
    }
}

#[test]
fn all_datagrams_of_a_cluster_replayed_at_once_change_nothing() {
    let mut world = sealed_world(1);
    // Each is replayed when it is delivered, and the world sees to it that nothing changes.
    world.echoes = true;
    let recorded = lived(&mut world);
    assert!(recorded.iter().all(|(_, _, datagram)| head(datagram).is_some()));
    let replayed: u64 = world.hosts.iter().map(|host| host.protocol.metrics().replayed).sum();
    println!("{} datagrams, {replayed} replays found", recorded.len());
    assert!(replayed > recorded.len() as u64 / 4, "{replayed} of {}", recorded.len());
}

#[test]
fn all_datagrams_of_a_cluster_replayed_later_to_everybody_change_nothing() {
    let mut world = sealed_world(2);
    world.settings.tombstone_ttl = secs(600);
    let recorded = lived(&mut world);
    replay_all(&mut world, &recorded, &[0, 1, 3]);
    // The dead and the left are forgotten then, and their datagrams are those of strangers.
    world.run(secs(700));
    assert_eq!(world.hosts[0].protocol.all_nodes().count(), 3);
    replay_all(&mut world, &recorded, &[0, 1, 3]);
    let since = world.now;
    world.run(secs(30));
    assert!([0, 1, 3].iter().all(|at| world.story(*at, since).is_empty()));
}

#[test]
fn all_datagrams_of_a_cluster_replayed_to_restarted_nodes_change_nothing() {
    let mut world = sealed_world(3);
    let mut recorded = lived(&mut world);
    world.recorded = Some(Vec::new());
    for at in [0, 1, 3] {
        world.crash(at);
        world.restart(at);
    }
    // Alone, as if they had never met anybody.
    replay_all(&mut world, &recorded, &[0, 1, 3]);
    assert!([0, 1, 3].iter().all(|at| world.hosts[*at].protocol.all_nodes().count() == 1));
    // And among each other, where those who had sent them are known again, as other runs.
    world.join(1, &[0]);
    world.join(3, &[0]);
    assert!(world.run_until(secs(10), World::is_converged));
    world.run(secs(5));
    recorded.extend(world.recorded.take().unwrap());
    let since = world.now;
    replay_all(&mut world, &recorded, &[0, 1, 3]);
    world.run(secs(30));
    assert!([0, 1, 3].iter().all(|at| world.story(*at, since).is_empty()));
    assert!(world.is_converged());
}

#[test]
#[should_panic(expected = "has changed by a replay")]
fn without_a_key_a_replay_changes_something() {
    let mut world = World::new(4);
    world.echoes = true;
    lived(&mut world);
}

#[test]
fn a_hello_with_a_cookie_that_is_still_good_does_not_come_back_when_its_node_is_forgotten() {
    let mut world = sealed_world(5);
    world.settings.tombstone_ttl = secs(1);
    world.recorded = Some(Vec::new());
    world.grow(3);
    let recorded = world.recorded.take().unwrap();
    world.call(2, |protocol, now| protocol.leave(now, secs(2)));
    world.run(secs(3));
    world.crash(2);
    assert!(world.hosts[0].protocol.node("n2").is_none(), "it is forgotten");
    replay_all(&mut world, &recorded, &[0, 1]);
    assert_eq!(world.hosts[0].protocol.all_nodes().count(), 2);
}

#[test]
fn a_hello_with_a_cookie_that_is_still_good_does_not_let_in_who_was_refused_before() {
    let mut world = sealed_world(16);
    world.settings.max_nodes = 2;
    world.grow(2);
    world.recorded = Some(Vec::new());
    let refused = world.add();
    let call = world.join(refused, &[0]);
    world.run(secs(1));
    let Some(CallResult::Joined(Err(errors))) = world.hosts[refused].answers.get(&call) else { panic!() };
    assert!(matches!(errors[..], [(_, Error::Full)]));
    world.crash(refused);
    world.call(1, |protocol, now| protocol.leave(now, secs(2)));
    world.run(secs(2));
    assert_eq!(world.hosts[0].protocol.nodes().count(), 1, "there is room");
    let recorded = world.recorded.take().unwrap();
    replay_all(&mut world, &recorded, &[0]);
}

#[test]
fn a_message_is_not_delivered_again_when_its_sender_was_forgotten_and_is_back() {
    let mut world = sealed_world(6);
    world.settings.tombstone_ttl = secs(1);
    world.grow(4);
    world.recorded = Some(Vec::new());
    send(&mut world, 2, 0, b"once");
    world.run(secs(1));
    let recorded = world.recorded.take().unwrap();
    world.cut(&[0, 1], &[2, 3], true);
    world.run(secs(60));
    assert!(world.hosts[0].protocol.node("n2").is_none(), "it is forgotten");
    let run = world.generation(2);
    // Another one comes, so that what was kept of those that are forgotten is given up.
    let newcomer = world.add();
    world.join(newcomer, &[0]);
    world.run(secs(5));
    let kept = |what: &str| {
        let bounds = world.hosts[0].protocol.bounds();
        bounds.iter().find(|bound| bound.what.contains(what)).map(|bound| bound.count)
    };
    assert_eq!((kept("windows"), kept("counter")), (Some(2), Some(2)));
    world.cut(&[0, 1], &[2, 3], false);
    world.join(2, &[0]);
    assert!(world.run_until(secs(60), World::is_converged), "{}", world.dump());
    assert_eq!(world.hosts[0].protocol.node("n2").map(|node| node.generation()), Some(run.0), "the same run");
    replay_all(&mut world, &recorded, &[0]);
    assert_eq!(messages(&world, 0), [b"once"]);
}

#[test]
fn no_nonce_is_used_twice() {
    let mut world = sealed_world(7);
    let mut recorded = lived(&mut world);
    world.recorded = Some(Vec::new());
    // Two keys by turns, and a generation that changes while the process runs.
    for turn in 0..20_u8 {
        let next = key(1 + turn % 2);
        world
            .call(0, |protocol, _| {
                protocol.change_keyring(&mut |keyring| {
                    *keyring = keyring.clone().with(next.clone());
                    Ok(())
                })
            })
            .unwrap();
        let generation = world.generation(0);
        world.call(0, |protocol, now| protocol.renew(now, generation));
        world.run(secs(1));
    }
    recorded.extend(world.recorded.take().unwrap());
    let mut nonces = BTreeSet::new();
    for (_, _, datagram) in &recorded {
        let head = head(datagram).unwrap();
        let run = (head.header.sender, head.header.generation);
        assert!(nonces.insert((head.key, run, head.counter)), "{head:?}");
    }
}

#[test]
fn two_processes_of_one_name_and_generation_count_from_different_numbers() {
    let mut world = sealed_world(8);
    let (a, b) = (world.add(), world.add());
    let [a, b] = [a, b].map(|host| head(&sealed(&mut world, host, ANYBODY, &[])).unwrap().counter);
    assert!(a.abs_diff(b) > 1 << 32, "{a} and {b}");
}

#[test]
fn what_is_not_sealed_changes_nothing_where_all_has_to_be() {
    let mut world = sealed_world(9);
    world.grow(3);
    world.run(secs(2));
    let verdict = Verdict {
        subject: world.hash(2),
        generation: world.generation(2),
        incarnation: Incarnation(0),
        status: Status::Left,
        accusers: Accusers::default(),
        left_at: LeftAt::default(),
    };
    let bodies = [
        Body::Verdict(verdict),
        Body::Leave {
            seq: Seq(1),
            cookie: Cookie(0),
            incarnation: Incarnation(9),
            left_at: LeftAt::default(),
        },
    ];
    let forged = world.forge(1, 0, &bodies);
    let before = world.memory(0);
    assert!(world.answers(0, addr_of(1), &forged).is_empty());
    assert_eq!(world.memory(0), before);
    assert_eq!(world.hosts[0].protocol.metrics().plain_refused, 1);
}

#[test]
fn a_sealed_datagram_with_a_flipped_bit_or_cut_anywhere_changes_nothing() {
    let mut world = sealed_world(10);
    world.grow(3);
    world.run(secs(2));
    let leave = [Body::Leave {
        seq: Seq(1),
        cookie: Cookie(0),
        incarnation: Incarnation(0),
        left_at: LeftAt::default(),
    }];
    let run = (world.hash(0), world.generation(0));
    let datagram = sealed(&mut world, 1, run, &leave);
    let before = world.memory(0);
    for bit in 0..datagram.len() * 8 {
        let mut flipped = datagram.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let answers = world.answers(0, addr_of(1), &flipped);
        assert!(answers.iter().map(|(_, answer)| answer.len()).sum::<usize>() <= flipped.len());
        assert_eq!(world.memory(0), before, "bit {bit}");
    }
    for length in 0..datagram.len() {
        assert!(world.answers(0, addr_of(1), &datagram[..length]).is_empty());
        assert_eq!(world.memory(0), before, "cut to {length}");
    }
    // As it is, it is believed.
    world.inject(0, addr_of(1), &datagram);
    assert_eq!(world.status(0, 1), Some(Status::Left));
}

#[test]
fn a_flood_of_strangers_leaves_nothing_behind() {
    let mut world = sealed_world(11);
    world.grow(2);
    world.run(secs(2));
    let counts =
        |world: &World| world.hosts[0].protocol.bounds().into_iter().map(|bound| (bound.what, bound.count));
    let kept = |world: &World| {
        counts(world).filter(|(what, _)| what.contains("replays") || what.contains("counter"))
    };
    let before: Vec<_> = kept(&world).collect();
    // Of somebody who holds the key and is not let in: more than those without it can ever do.
    let stranger = world.add();
    for number in 0..5_000_u32 {
        let name = format!("x{number}");
        let header = Header {
            reads: Versions::OURS,
            tag: world.tag(),
            sender: NameHash::of(world.tag(), &name),
            generation: Generation(u64::from(number) + 1),
            receiver: Generation(0),
        };
        let record = Record {
            name: &name,
            addr: addr_of(stranger),
            generation: header.generation,
            incarnation: Incarnation(0),
            state_version: 0,
            broadcast: 0,
        };
        let hello =
            Body::Hello(Hello { seq: Seq(1), cookie: Cookie(0), attempt: 1, cluster: ClusterId(0), record });
        let protocol = &mut world.hosts[stranger].protocol;
        let mut writer = protocol.core.writer(Vec::new(), &header, NameHash(0));
        assert!(writer.push(&hello));
        protocol.core.transmit_unchecked(addr_of(0), writer);
        let datagram = protocol.poll_transmit().unwrap().datagram;
        assert_eq!(world.answers(0, addr_of(stranger), &datagram).len(), 1, "a challenge");
    }
    assert_eq!(kept(&world).collect::<Vec<_>>(), before);
}

/// What a joiner with the second keyring is told by a seed with the first one.
fn joins(of_the_cluster: Keyring, of_the_joiner: Keyring) -> Result<(), Error> {
    let mut world = World::new(12);
    world.settings.keyring = of_the_cluster;
    world.grow(2);
    world.settings.keyring = of_the_joiner;
    let joiner = world.add();
    let since = world.now;
    let call = world.join(joiner, &[0]);
    assert!(world.run_until(secs(6), |world| world.hosts[joiner].answers.contains_key(&call)));
    match world.hosts[joiner].answers.remove(&call) {
        Some(CallResult::Joined(Ok(()))) => Ok(()),
        Some(CallResult::Joined(Err(mut errors))) => {
            assert!(world.now.since(since) < secs(2), "it has waited for its deadline");
            world.run(secs(30));
            assert_eq!(world.hosts[0].protocol.nodes().count(), 2);
            Err(errors.swap_remove(0).1)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_joiner_with_a_wrong_a_missing_or_an_extra_key_is_told_so() {
    let sealed = || Keyring::new(key(1));
    joins(sealed(), sealed()).unwrap();
    for (what, of_the_cluster, of_the_joiner) in [
        ("wrong", sealed(), Keyring::new(key(2))),
        ("missing", sealed(), Keyring::plain()),
        ("extra", Keyring::plain(), sealed()),
        ("wrong, though it holds the right one too", sealed(), Keyring::new(key(2)).with(key(1))),
    ] {
        let outcome = joins(of_the_cluster, of_the_joiner);
        assert!(matches!(outcome, Err(Error::WrongKey)), "{what}: {outcome:?}");
    }
}

#[test]
fn a_joiner_without_a_key_is_told_so_at_its_deadline_while_keys_change() {
    let mut world = World::new(12);
    world.settings.keyring = Keyring::new(key(1)).accepting_plain();
    world.grow(2);
    world.settings.keyring = Keyring::plain();
    let joiner = world.add();
    // It is challenged as it came, and welcomed under a seal.
    let call = world.join(joiner, &[0]);
    assert!(world.run_until(secs(6), |world| world.hosts[joiner].answers.contains_key(&call)));
    let Some(CallResult::Joined(Err(errors))) = world.hosts[joiner].answers.get(&call) else { panic!() };
    assert!(matches!(errors[..], [(_, Error::WrongKey)]), "{errors:?}");
}

#[test]
fn a_joiner_that_is_at_another_step_of_a_change_of_keys_is_let_in() {
    let (a, b) = (|| Keyring::new(key(1)), || Keyring::new(key(2)));
    let plain = || Keyring::plain().with(key(1));
    for (of_the_cluster, of_the_joiner) in [
        (a().with(key(2)), a()),
        (a(), a().with(key(2))),
        (a().with(key(2)), b().with(key(1))),
        (b().with(key(1)), a().with(key(2))),
        (b(), b().with(key(1))),
        (Keyring::plain(), plain()),
        (plain(), a().accepting_plain()),
        (a().accepting_plain(), plain()),
        (a(), a().accepting_plain()),
    ] {
        let text = format!("{of_the_cluster:?} and {of_the_joiner:?}");
        joins(of_the_cluster, of_the_joiner).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn a_joiner_of_another_cluster_is_told_so_whatever_its_key() {
    for of_the_joiner in [Keyring::new(key(1)), Keyring::new(key(2)), Keyring::plain()] {
        let mut world = sealed_world(13);
        world.grow(2);
        world.settings.cluster = "other".into();
        world.settings.keyring = of_the_joiner;
        let joiner = world.add();
        let call = world.join(joiner, &[0]);
        world.run(secs(2));
        let Some(CallResult::Joined(Err(errors))) = world.hosts[joiner].answers.get(&call) else {
            panic!("{:?}", world.hosts[joiner].answers)
        };
        assert!(matches!(errors[..], [(_, Error::WrongCluster)]), "{errors:?}");
    }
}

#[test]
fn a_hint_that_repeats_nothing_of_what_was_sent_ends_no_join() {
    let mut world = sealed_world(14);
    let joiner = world.add();
    let call = world.join(joiner, &[50]);
    let run = world.generation(joiner);
    for seq in [1, u64::MAX, 1 << 62] {
        let header = Header {
            reads: Versions::OURS,
            tag: world.tag(),
            sender: NameHash(1),
            generation: Generation(1),
            receiver: run,
        };
        let hint = Body::RejectHint { seq: Seq(seq), reason: crate::wire::body::RejectHintReason::WrongKey };
        let hint = super::world::datagram(&header, &[hint]);
        world.inject(joiner, addr_of(50), &hint);
    }
    world.run(secs(4));
    assert!(!world.hosts[joiner].answers.contains_key(&call));
    assert_eq!(world.hosts[joiner].protocol.metrics().unexpected_answers, 3);
}

#[test]
fn a_datagram_of_ones_own_that_comes_back_is_dropped() {
    let mut world = sealed_world(15);
    world.recorded = Some(Vec::new());
    let joiner = world.add();
    let call = world.join(joiner, &[50]);
    world.run(secs(1));
    for (_, to, datagram) in world.recorded.take().unwrap() {
        world.inject(joiner, to, &datagram);
    }
    // Whoever sends them back could else make it believe that it is alone.
    assert!(!world.hosts[joiner].answers.contains_key(&call));
}

/// A datagram to a run that nobody can open: made without a key, it shows no more than any sealed one to that run.
fn unopenable(world: &World, to: usize) -> Vec<u8> {
    let header = Header {
        reads: Versions::OURS,
        tag: world.tag(),
        sender: NameHash(1),
        generation: Generation(1),
        receiver: world.generation(to),
    };
    let mut datagram = crate::wire::Writer::to_be_sealed(Vec::new(), &header, world.hash(to), 1_400);
    assert!(datagram.push(&Body::BareAck { seq: Seq(1) }));
    let mut datagram = datagram.finish();
    datagram[36..48].copy_from_slice(&[7; 12]);
    datagram.extend_from_slice(&[0; 16]);
    datagram
}

#[test]
fn what_can_not_be_opened_from_a_seeds_address_ends_no_join() {
    for keyring in [Keyring::new(key(1)), Keyring::plain()] {
        let mut world = World::new(80);
        world.settings.keyring = keyring;
        world.grow(3);
        let joiner = world.add();
        let call = world.join(joiner, &[0]);
        // Again and again, so that it comes before the answers as well as between them.
        let since = world.now;
        while world.now.since(since) < secs(2) {
            let garbage = unopenable(&world, joiner);
            world.inject(joiner, addr_of(0), &garbage);
            world.run(Duration::from_micros(300));
        }
        let outcome = world.hosts[joiner].answers.get(&call);
        assert!(matches!(outcome, Some(CallResult::Joined(Ok(())))), "{outcome:?}");
    }
}

#[test]
fn a_hint_that_comes_before_the_answers_ends_no_join() {
    let mut world = sealed_world(83);
    world.grow(3);
    let joiner = world.add();
    world.recorded = Some(Vec::new());
    let call = world.join(joiner, &[0]);
    let hello = world.recorded.take().unwrap();
    let hello = hello.iter().find(|(from, _, _)| *from == addr_of(joiner)).unwrap();
    let hint = hint_for(&world, joiner, head(&hello.2).unwrap().counter);
    world.inject(joiner, addr_of(0), &hint);
    world.run(secs(2));
    assert_eq!(world.hosts[joiner].protocol.metrics().unexpected_answers, 0);
    let outcome = world.hosts[joiner].answers.get(&call);
    assert!(matches!(outcome, Some(CallResult::Joined(Ok(())))), "{outcome:?}");
}

#[test]
fn a_reason_why_nobody_answers_stands_in_place_of_none() {
    let mut world = sealed_world(84);
    let joiner = world.add();
    let call = world.join(joiner, &[50]);
    let garbage = unopenable(&world, joiner);
    world.inject(joiner, addr_of(50), &garbage);
    let since = world.now;
    assert!(world.run_until(secs(6), |world| world.hosts[joiner].answers.contains_key(&call)));
    let (took, outcome) = (world.now.since(since), world.hosts[joiner].answers.get(&call));
    // Six hellos go out before it is believed.
    assert!(took > Duration::from_millis(500) && took < secs(2), "{took:?}");
    let Some(CallResult::Joined(Err(errors))) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(errors[..], [(_, Error::WrongKey)]), "{errors:?}");
}

fn hint_for(world: &World, to: usize, counter: u64) -> Vec<u8> {
    let header = Header {
        reads: Versions::OURS,
        tag: world.tag(),
        sender: NameHash(1),
        generation: Generation(1),
        receiver: world.generation(to),
    };
    let hint = Body::RejectHint { seq: Seq(counter), reason: crate::wire::body::RejectHintReason::WrongKey };
    super::world::datagram(&header, &[hint])
}

#[test]
fn a_hint_that_repeats_the_counter_of_another_datagram_gives_no_reason() {
    let mut world = sealed_world(81);
    world.grow(3);
    world.recorded = Some(Vec::new());
    world.run(secs(5));
    let seen = world.recorded.take().unwrap();
    let old = seen.iter().find(|(from, _, _)| *from == addr_of(2)).unwrap();
    let counter = head(&old.2).unwrap().counter;
    let call = world.join(2, &[50]);
    let hint = hint_for(&world, 2, counter);
    world.inject(2, addr_of(50), &hint);
    assert!(world.run_until(secs(6), |world| world.hosts[2].answers.contains_key(&call)));
    let Some(CallResult::Joined(Err(errors))) = world.hosts[2].answers.get(&call) else { panic!() };
    assert!(matches!(errors[..], [(_, Error::NoAnswer)]), "{errors:?}");
}

#[test]
fn a_cut_heals_though_what_can_not_be_opened_comes_from_everywhere() {
    let mut world = sealed_world(82);
    world.grow(4);
    world.run(secs(2));
    world.cut(&[0, 1], &[2, 3], true);
    world.run(secs(60));
    world.cut(&[0, 1], &[2, 3], false);
    let since = world.now;
    while !world.is_converged() {
        assert!(world.now.since(since) < secs(60), "the cut stays open");
        for (at, from) in (0..16).map(|pair| (pair / 4, pair % 4)).filter(|(at, from)| at != from) {
            let garbage = unopenable(&world, at);
            world.inject(at, addr_of(from), &garbage);
        }
        world.run(Duration::from_millis(1));
    }
}

/// Warnings of a member since the last time.
fn warnings(world: &mut World, of: usize) -> Vec<String> {
    let notes = std::mem::take(&mut world.hosts[of].notes).into_iter();
    notes.filter(|note| note.level == log::Level::Warn).map(|note| note.text).collect()
}

/// 94 datagrams did not open, and all that the log said was that nobody was heard.
#[test]
fn a_key_that_one_member_does_not_hold_is_a_warning_at_both_sides_once() {
    log::set_max_level(log::LevelFilter::Info);
    let mut world = sealed_world(40);
    world.grow(3);
    world.run(secs(5));
    (0..3).for_each(|host| drop(warnings(&mut world, host)));
    let id = key(2).id();
    for host in 0..2 {
        world
            .call(host, |protocol, _| protocol.change_keyring(&mut |keyring| keyring.install(key(2))))
            .unwrap();
        world.call(host, |protocol, _| protocol.change_keyring(&mut |keyring| keyring.use_key(id))).unwrap();
    }
    world.run(secs(60));
    let (first, last) = (warnings(&mut world, 0), warnings(&mut world, 2));
    println!("{first:?} {last:?}");
    let about = |lines: &[String], text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(about(&first, &format!("n2, at {}, does not hold the key {id}", addr_of(2))), 1);
    assert_eq!(about(&last, &format!("seals with the key {id}, which this member does not hold")), 1);
    assert_eq!((about(&first, &id.to_string()), about(&last, &id.to_string())), (1, 1));
    // What anybody makes up is no reason.
    let before = world.hosts[1].protocol.metrics().unexpected_answers;
    let forged = hint_for(&world, 1, 7);
    world.inject(1, addr_of(2), &forged);
    assert_eq!(world.hosts[1].protocol.metrics().unexpected_answers, before + 1);
}
