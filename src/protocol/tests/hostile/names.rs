//! Who speaks for a node, and who has its name: what a liar can make of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::{accused_by, bodies_of, challenge, foreign, kinds, ping, record, verdict_on};
use crate::error::Error;
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::CallResult;
use crate::protocol::tests::secs;
use crate::protocol::tests::world::{World, addr_of, datagram};
use crate::wire::body::{Hello, LeftAt, Ping, Pull};
use crate::wire::{Body, ClusterId, Cookie, Header, NameHash, Record, Seq, Versions};

#[test]
fn a_forged_leave_does_not_free_a_name() {
    let mut world = World::cluster(9, 6);
    let left = verdict_on(&world, 2, 0, Status::Left);
    let told = world.forge(1, 0, &[Body::Verdict(left)]);
    let said = world.forge(
        2,
        0,
        &[Body::Leave {
            seq: Seq(9),
            cookie: Cookie(0),
            incarnation: Incarnation(0),
            left_at: LeftAt::default(),
        }],
    );
    for (from, datagram) in [(1, told), (2, said)] {
        world.inject(0, addr_of(from), &datagram);
        let thief = world.add_named("n2", addr_of(100 + from));
        let call = world.join(thief, &[0]);
        assert!(world.run_until(secs(6), |world| world.hosts[thief].answers.contains_key(&call)));
        let answer = &world.hosts[thief].answers[&call];
        let CallResult::Joined(Err(errors)) = answer else { panic!("{answer:?}") };
        assert!(matches!(&errors[0].1, crate::Error::NameTaken { addr, .. } if *addr == addr_of(2)));
        world.crash(thief);
        assert!(world.run_until(secs(30), World::is_converged), "{}", world.dump());
    }
}

#[test]
fn a_forged_incarnation_from_a_members_own_address_is_taken_back() {
    for above in [1, 1 << 15, 1 << 16, (1 << 16) + 1, 1 << 48, u64::MAX] {
        let mut world = World::cluster(16, 5);
        world.run(secs(2));
        let since = world.now;
        let ping = Ping { incarnation: Incarnation(above), ..ping(world.hash(0)) };
        let forged = world.forge(1, 0, &[Body::Ping(ping)]);
        world.inject(0, addr_of(1), &forged);
        assert!(world.run_until(secs(20), World::is_converged), "{above}: {}", world.dump());
        world.run(secs(20));
        assert!(world.is_converged(), "{above}: {}", world.dump());
        assert!((0..5).all(|at| world.status(at, 1) == Some(Status::Alive)));
        for at in 0..5 {
            let story = world.story(at, since);
            assert!(story.is_empty() || story == ["restarted n1"], "{above}: {story:?}");
        }
    }
}

#[test]
fn nobody_speaks_for_a_member_from_another_address_nor_starts_it_anew() {
    let mut world = World::cluster(20, 4);
    world.run(secs(2));
    let since = world.now;
    let view = world.view(0);
    let (node, name) = (world.hosts[1].protocol.local(), world.hosts[1].name.clone());
    for (generation, incarnation, addr) in [
        (node.generation(), 0, addr_of(1)),
        (node.generation(), 1, addr_of(1)),
        (node.generation(), 70_000, addr_of(1)),
        (node.generation(), 1, foreign()),
        (node.generation() + 1, 0, addr_of(1)),
        (node.generation() + 1, 0, foreign()),
    ] {
        let header = Header {
            reads: Versions::OURS,
            tag: world.tag(),
            sender: world.hash(1),
            generation: Generation(generation),
            receiver: world.generation(0),
        };
        let incarnation = Incarnation(incarnation);
        let record = Record { incarnation, ..record(&name, addr, generation) };
        let mut hello = Hello { seq: Seq(9), cookie: Cookie(0), attempt: 1, cluster: ClusterId(0), record };
        for (to, answer) in world.answers(0, foreign(), &datagram(&header, &[Body::Hello(hello)])) {
            assert_eq!(to, addr);
            assert_eq!(kinds(&answer), ["Challenge"]);
        }
        // What its address alone is good for does not do.
        let pull = Pull { seq: Seq(9), cookie: Cookie(0), from: NameHash(0), until: NameHash(0) };
        hello.cookie = challenge(&world.answers(0, foreign(), &datagram(&header, &[Body::Pull(pull)])));
        for _ in 0..3 {
            world.inject(0, foreign(), &datagram(&header, &[Body::Hello(hello)]));
            world.run(secs(1));
        }
        let leave = Body::Leave { seq: Seq(9), cookie: Cookie(0), incarnation, left_at: LeftAt::default() };
        world.inject(0, foreign(), &datagram(&header, &[leave]));
        world.run(secs(1));
    }
    assert_eq!(world.view(0), view);
    assert!((0..4).all(|at| world.story(at, since).is_empty()));
    assert!(world.is_converged());
}

#[test]
fn who_missed_three_forged_accusations_of_the_largest_step_still_believes_what_refutes_them() {
    let mut world = World::cluster(21, 5);
    world.run(secs(2));
    world.cut(&[4], &[0, 1, 2, 3], true);
    for _ in 0..3 {
        let lie = accused_by(verdict_on(&world, 0, (1 << 16) - 1, Status::Suspect), world.hash(2));
        let datagram = world.forge(1, 3, &[Body::Verdict(lie)]);
        world.inject(3, addr_of(1), &datagram);
        world.run(secs(1));
    }
    assert_eq!(world.hosts[0].protocol.local().incarnation(), 3 << 16);
    world.cuts.clear();
    assert!(world.run_until(secs(60), World::is_converged), "{}", world.dump());
    world.run(secs(30));
    assert!(world.is_converged(), "{}", world.dump());
}

#[test]
fn claims_of_what_a_member_never_said_are_answered_once_a_probe_timeout() {
    let mut world = World::cluster(22, 4);
    world.call(0, |protocol, now| protocol.update(now, &[("k", Some(b"v"))]).unwrap());
    world.run(secs(2));
    let node = world.hosts[0].protocol.local();
    let (mut versions, mut runs) = (BTreeSet::new(), BTreeSet::new());
    for step in 1..=1_000_u64 {
        let (state_version, broadcast) =
            if step <= 500 { (step * 10, step * 10) } else { ((1 << 47) + 1, (1 << 47) + 1) };
        let own = world.hosts[0].protocol.local();
        let record = Record {
            incarnation: Incarnation(own.incarnation()),
            state_version,
            broadcast,
            ..record("n0", addr_of(0), own.generation())
        };
        let datagram = world.forge(1, 0, &[Body::Alive { record, vouched: true }]);
        world.inject(0, addr_of(1), &datagram);
        world.run(Duration::from_millis(5));
        let own = world.hosts[0].protocol.local();
        versions.insert((own.generation(), own.state_version()));
        runs.insert(own.generation());
    }
    println!("{} versions, {} runs in 5 s", versions.len(), runs.len());
    assert!(versions.len() <= 13 && runs.len() <= 8, "{versions:?}");
    assert!(runs.contains(&node.generation()) && runs.len() > 1);
    assert!(world.run_until(secs(60), World::is_converged), "{}", world.dump());
    assert!((0..4).all(|at| world.hosts[at].protocol.node("n0").unwrap().get("k") == Some(&b"v"[..])));
}

#[test]
fn a_newcomer_is_not_kept_out_by_others_who_want_its_name() {
    let [alone, disturbed] = [false, true].map(|is_disturbed| {
        let mut world = World::cluster(71, 5);
        world.run(secs(2));
        let name = world.hosts[4].name.clone();
        world.crash(4);
        // It is started anew at another address, before anybody knows of its death.
        let again = world.add_named(&name, addr_of(40));
        let call = world.join(again, &[0]);
        let since = world.now;
        let mut run = world.hosts[again].protocol.local().generation();
        while !world.hosts[again].answers.contains_key(&call) {
            world.run(Duration::from_millis(50));
            if is_disturbed {
                // It has brought so many that it gets no name itself: what it does is to ask for a check.
                let now = world.now;
                while world.hosts[0].protocol.core.addresses.came(now, foreign()) {}
                run += 1;
                say_hello(&mut world, 0, foreign(), record(&name, foreign(), run));
            }
        }
        let outcome = world.hosts[again].answers.get(&call);
        assert!(matches!(outcome, Some(CallResult::Joined(Ok(())))), "{outcome:?}");
        world.now.since(since)
    });
    // One check of the name serves all.
    assert!(disturbed < alone + Duration::from_millis(300), "{disturbed:?} in place of {alone:?}");
}

#[test]
fn that_a_name_was_free_serves_nobody_but_who_took_it() {
    for incarnation in [9, 70_000, 1 << 40] {
        let mut world = World::cluster(72, 5);
        world.run(secs(2));
        let name = world.hosts[4].name.clone();
        world.crash(4);
        let again = world.add_named(&name, addr_of(40));
        let call = world.join(again, &[0]);
        assert!(world.run_until(secs(6), |world| world.hosts[again].answers.contains_key(&call)));
        world.run(Duration::from_millis(100));
        // It runs, and answers, at its new address. A stranger says that it has moved on.
        let run = world.hosts[again].protocol.local().generation();
        let moved = Record { incarnation: Incarnation(incarnation), ..record(&name, foreign(), run) };
        say_hello(&mut world, 0, foreign(), moved);
        world.run(secs(3));
        assert!(world.hosts[again].ended.is_none());
        for at in 0..4 {
            assert_eq!(world.hosts[at].protocol.node(&name).unwrap().addr(), addr_of(40));
        }
    }
}

/// What the README says that only a key helps against.
#[test]
fn without_a_key_who_has_joined_takes_a_name_by_telling_of_a_newer_run() {
    let mut world = World::cluster(70, 5);
    world.run(secs(2));
    say_hello(&mut world, 0, foreign(), record("evil", foreign(), 1));
    world.run(secs(1));
    let victim = world.hosts[1].name.clone();
    let newer = record(&victim, foreign(), world.generation(1).0 + 1);
    let told = world.forge_stranger("evil", 1, &[Body::Alive { record: newer, vouched: true }]);
    let pings = bodies_of(&world.answers(1, foreign(), &told), |body| match body {
        Body::Ping(ping) => Some(ping.seq),
        _ => None,
    });
    let header = Header {
        reads: Versions::OURS,
        tag: world.tag(),
        sender: world.hash(1),
        generation: newer.generation,
        receiver: world.generation(1),
    };
    for seq in pings {
        world.inject(1, foreign(), &datagram(&header, &[Body::BareAck { seq }]));
    }
    assert!(matches!(world.hosts[1].ended, Some(Error::NameTaken { .. })));
}

/// Says hello, and once more with the cookie, as whoever receives at an address.
fn say_hello(world: &mut World, to: usize, from: SocketAddr, record: Record<'_>) {
    let (tag, run) = (world.tag(), record.generation);
    let header = Header {
        reads: Versions::OURS,
        tag,
        sender: NameHash::of(tag, record.name),
        generation: run,
        receiver: Generation(0),
    };
    let mut hello = Hello { seq: Seq(9), cookie: Cookie(0), attempt: 1, cluster: ClusterId(0), record };
    let answers = world.answers(to, from, &datagram(&header, &[Body::Hello(hello)]));
    hello.cookie = challenge(&answers);
    world.inject(to, from, &datagram(&header, &[Body::Hello(hello)]));
}
