//! Tests of the whole protocol, on a virtual network and clock.

mod admission;
mod broadcasts;
mod corners;
mod detection;
mod format;
mod hostile;
mod leave;
mod merge;
mod messages;
mod relocate;
mod resume;
#[cfg(feature = "encryption")]
mod sealed;
mod spread;
mod states;
mod storm;
mod vouching;
pub(super) mod world;

use std::net::SocketAddr;
use std::time::Duration;

use crate::node::Status;
use crate::protocol::CallResult;
use crate::wire::{Body, Packet};
use world::World;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn two_members_find_each_other() {
    let mut world = World::new(1);
    world.add();
    world.add();
    let call = world.join(1, &[0]);
    assert!(world.run_until(secs(1), World::is_converged), "{}", world.sizes());
    world.run(secs(1));
    assert!(matches!(world.hosts[1].answers.get(&call), Some(CallResult::Joined(Ok(())))));
    let since = crate::protocol::Instant::default();
    assert_eq!(world.story(0, since), ["joined n1"]);
    assert_eq!(world.story(1, since), ["joined n0"]);
}

#[test]
fn a_crash_is_suspected_then_dead_once_at_everyone() {
    for n in [2, 3, 5, 16, 64] {
        let mut world = World::cluster(7, n);
        world.run(secs(5));
        let since = world.now;
        world.crash(n - 1);
        let all_dead = |world: &World| (0..n - 1).all(|at| world.status(at, n - 1) == Some(Status::Dead));
        assert!(world.run_until(secs(15), all_dead), "n = {n}");
        println!("n = {n}: dead everywhere after {:?}", world.now.since(since));
        world.run(secs(20));
        for at in 0..n - 1 {
            let victim = format!("n{}", n - 1);
            assert_eq!(
                world.story(at, since),
                [format!("suspected {victim}"), format!("died {victim}")],
                "n = {n}, at {at}"
            );
        }
    }
}

#[test]
fn a_calm_cluster_accuses_nobody_and_gossips_nothing() {
    let mut world = World::cluster(3, 32);
    world.run(secs(5));
    let since = world.now;
    let rounds: u64 = world.hosts.iter().map(|host| host.protocol.metrics().rumor_rounds).sum();
    let before = world.sent;
    world.run(secs(60));
    for at in 0..32 {
        assert!(world.story(at, since).is_empty(), "{:?}", world.story(at, since));
    }
    let after: u64 = world.hosts.iter().map(|host| host.protocol.metrics().rumor_rounds).sum();
    assert_eq!(rounds, after, "gossip at rest");
    let per_second = (world.sent.0 - before.0) as f64 / 60.0 / 32.0;
    println!("{per_second} datagrams a second and member, {} bytes", (world.sent.1 - before.1) / 60 / 32);
    assert!(per_second <= 2.1, "{per_second}");
}

#[test]
fn a_member_at_rest_allocates_nothing() {
    let mut world = World::cluster(8, 32);
    // Two cycles of probes: everybody has heard everybody.
    world.run(secs(70));
    world.allocations = Some(0);
    let sent = world.sent.0;
    world.run(secs(60));
    assert!(world.sent.0 - sent >= 60 * 32);
    assert_eq!(world.allocations, Some(0));
    world.hosts[0].protocol.touch(world.now);
    world.run(secs(1));
    assert!(world.allocations > Some(0), "the count can fail");
}

#[test]
fn a_cut_of_two_halves_heals_by_itself() {
    for (n, seed) in [(2, 1), (4, 2), (16, 3), (64, 4)] {
        let mut world = World::cluster(seed, n);
        world.run(secs(5));
        let (a, b): (Vec<usize>, Vec<usize>) = (0..n).partition(|index| *index < n / 2);
        world.cut(&a, &b, true);
        world.run(secs(60));
        let before = world.sent;
        world.cut(&a, &b, false);
        let since = world.now;
        let healed = world.run_until(secs(60), World::is_converged);
        println!(
            "n = {n}: healed after {:?}, {} datagrams a member",
            world.now.since(since),
            (world.sent.0 - before.0) / n as u64
        );
        assert!(healed, "n = {n}: {}", world.sizes());
    }
}

#[test]
fn a_lone_node_comes_back_without_a_false_accusation() {
    let n = 32;
    let mut world = World::cluster(5, n);
    world.run(secs(5));
    let rest: Vec<usize> = (1..n).collect();
    let since = world.now;
    world.cut(&[0], &rest, true);
    world.run(secs(60));
    assert_eq!(world.hosts[0].protocol.nodes().count(), 1, "the lone node hides all others");
    world.cut(&[0], &rest, false);
    let end = world.now;
    assert!(world.run_until(secs(30), World::is_converged), "{}", world.sizes());
    println!("back after {:?}", world.now.since(end));
    for at in 1..n {
        assert_eq!(world.story(at, since), ["suspected n0", "died n0", "joined n0"], "at {at}");
    }
}

#[test]
fn a_stopped_process_accuses_nobody_and_comes_back() {
    let n = 32;
    let mut world = World::cluster(6, n);
    world.run(secs(5));
    let since = world.now;
    world.pause(3);
    world.run(secs(20));
    assert_eq!(world.status(0, 3), Some(Status::Dead));
    world.resume(3);
    let end = world.now;
    assert!(world.run_until(secs(10), World::is_converged), "{}", world.sizes());
    println!("back after {:?}", world.now.since(end));
    world.run(secs(20));
    for at in (0..n).filter(|at| *at != 3) {
        assert_eq!(world.story(at, since), ["suspected n3", "died n3", "joined n3"], "at {at}");
    }
    assert!(world.story(3, since).is_empty(), "{:?}", world.story(3, since));
}

#[test]
fn a_restart_is_told_apart_from_a_refutation() {
    // Faster than detection, and after it.
    for pause in [1, 20] {
        let mut world = World::cluster(8, 8);
        world.run(secs(5));
        let since = world.now;
        world.crash(2);
        world.run(secs(pause));
        world.restart(2);
        world.join(2, &[0]);
        assert!(world.run_until(secs(5), World::is_converged), "{}", world.sizes());
        world.run(secs(10));
        for at in [0, 1, 3, 4, 5, 6, 7] {
            let story = world.story(at, since);
            let expected: &[&str] =
                if pause == 1 { &["restarted n2"] } else { &["suspected n2", "died n2", "restarted n2"] };
            assert_eq!(story, expected, "at {at}");
        }
    }
}

#[test]
fn a_leave_is_heard_as_a_leave() {
    let mut world = World::cluster(9, 16);
    world.run(secs(3));
    let since = world.now;
    let call = world.call(5, |protocol, now| protocol.leave(now, secs(5)));
    assert!(world.run_until(secs(1), |world| world.hosts[5].answers.contains_key(&call)));
    assert!(matches!(world.hosts[5].answers[&call], CallResult::Left(Ok(()))));
    world.crash(5);
    world.run(secs(20));
    for at in (0..16).filter(|at| *at != 5) {
        assert_eq!(world.story(at, since), ["left n5"], "at {at}");
    }
}

#[test]
fn who_has_left_does_not_come_back_though_its_process_goes_on() {
    // The fourth ack of five ended the leave itself: it then refuted that it had left.
    let mut world = World::cluster(9, 16);
    world.run(secs(3));
    let since = world.now;
    world.call(5, |protocol, now| protocol.leave(now, secs(5)));
    world.run(secs(20));
    for at in (0..16).filter(|at| *at != 5) {
        assert_eq!(world.story(at, since), ["left n5"], "at {at}");
    }
}

#[test]
fn a_member_alone_leaves_at_once() {
    let mut world = World::new(1);
    world.add();
    let call = world.call(0, |protocol, now| protocol.leave(now, secs(5)));
    assert!(matches!(world.hosts[0].answers[&call], CallResult::Left(Ok(()))));
}

#[test]
fn a_taken_name_is_refused_while_its_owner_runs_and_free_when_it_is_dead() {
    let mut world = World::cluster(10, 6);
    world.run(secs(2));
    let other = world.add_named("n2", world::addr_of(100));
    let call = world.join(other, &[0]);
    assert!(world.run_until(secs(6), |world| world.hosts[other].answers.contains_key(&call)));
    let Some(CallResult::Joined(Err(errors))) = world.hosts[other].answers.get(&call) else {
        panic!("{:?}", world.hosts[other].answers)
    };
    assert!(matches!(&errors[0].1, crate::Error::NameTaken { addr, .. } if *addr == world::addr_of(2)));
    world.crash(other);
    world.crash(2);
    world.run(secs(20));
    let heir = world.add_named("n2", world::addr_of(101));
    let call = world.join(heir, &[1]);
    assert!(world.run_until(secs(6), |world| world.hosts[heir].answers.contains_key(&call)));
    assert!(matches!(world.hosts[heir].answers[&call], CallResult::Joined(Ok(()))));
    assert!(world.run_until(secs(5), World::is_converged), "{}", world.sizes());
}

#[test]
fn of_two_runs_of_a_name_on_two_sides_of_a_cut_one_stays() {
    let mut world = World::cluster(11, 8);
    world.run(secs(2));
    let (a, b) = ([0, 1, 2, 3], [4, 5, 6, 7]);
    world.cut(&a, &b, true);
    world.run(secs(15));
    let double = world.add_named("n1", world::addr_of(100));
    world.cut(&a, &[double], true);
    world.join(double, &[5]);
    world.run(secs(45));
    world.cut(&a, &[4, 5, 6, 7, double], false);
    assert!(world.run_until(secs(60), World::is_converged), "{}", world.sizes());
    let ended: Vec<bool> = [1, double].iter().map(|host| world.hosts[*host].ended.is_some()).collect();
    assert_eq!(ended, [true, false], "the older run ends");
    assert!(
        world.story(1, crate::protocol::Instant::default()).iter().any(|line| line.starts_with("conflict"))
    );
}

#[test]
fn joins_end_with_a_reason_for_each_seed() {
    let mut world = World::cluster(12, 2);
    world.crash(1);
    let joiner = world.add();
    // One alive of two: fine.
    let call = world.join(joiner, &[0, 1]);
    assert!(world.run_until(secs(6), |world| world.hosts[joiner].answers.contains_key(&call)));
    assert!(matches!(world.hosts[joiner].answers[&call], CallResult::Joined(Ok(()))));
    world.run(secs(40));
    world.recorded = Some(Vec::new());
    world.run(secs(10));
    let recorded = world.recorded.take().unwrap();
    let dead = world::addr_of(1);
    let is_hello = |datagram: &[u8]| {
        Packet::decode(datagram).unwrap().bodies().any(|body| matches!(body, Body::Hello(_)))
    };
    let asks = |(from, to, datagram): &(SocketAddr, SocketAddr, Vec<u8>)| {
        *from == world::addr_of(2) && *to == dead && is_hello(datagram)
    };
    assert!(!recorded.iter().any(asks), "it goes on asking");
    // None.
    let joiner = world.add();
    let call = world.join(joiner, &[1]);
    assert!(world.run_until(secs(6), |world| world.hosts[joiner].answers.contains_key(&call)));
    let CallResult::Joined(Err(errors)) = &world.hosts[joiner].answers[&call] else { panic!() };
    assert!(matches!(errors[..], [(addr, crate::Error::NoAnswer)] if addr == world::addr_of(1)));
    // Only itself.
    let call = world.join(joiner, &[joiner]);
    assert!(matches!(world.hosts[joiner].answers[&call], CallResult::Joined(Ok(()))));
    // Another cluster.
    world.settings.cluster = "other".into();
    let stranger = world.add();
    let call = world.join(stranger, &[0]);
    assert!(world.run_until(secs(6), |world| world.hosts[stranger].answers.contains_key(&call)));
    let CallResult::Joined(Err(errors)) = &world.hosts[stranger].answers[&call] else { panic!() };
    assert!(matches!(errors[..], [(_, crate::Error::WrongCluster)]));
}

#[test]
fn a_clock_that_went_back_does_not_keep_a_restarted_node_out() {
    let mut world = World::cluster(13, 4);
    world.run(secs(2));
    world.crash(3);
    let later = world.now;
    world.now = crate::protocol::Instant::from_micros(500_000);
    world.restart(3);
    world.now = later;
    world.join(3, &[0]);
    assert!(world.run_until(secs(5), World::is_converged), "{}", world.sizes());
}

#[test]
fn many_join_through_one_seed_at_one_moment() {
    for (n, loss) in [(128, 10), (256, 10), (1_000, 10)] {
        let mut world = World::new(14);
        world.loss = loss;
        world.add();
        let joiners: Vec<usize> = (1..n).map(|_| world.add()).collect();
        let since = world.now;
        let calls: Vec<_> = joiners.iter().map(|index| (*index, world.join(*index, &[0]))).collect();
        let joined = world.run_until(secs(10), |world| {
            calls.iter().all(|(index, call)| world.hosts[*index].answers.contains_key(call))
        });
        assert!(joined);
        let answered = world.now.since(since);
        let complete =
            |world: &World| world.hosts.iter().all(|host| host.protocol.core.members.ring().len() == n);
        assert!(world.run_until(secs(30), complete), "{n}");
        println!(
            "n = {n}: joined after {answered:?}, complete after {:?}, {} datagrams and {} kB a member",
            world.now.since(since),
            world.sent.0 / n as u64,
            world.sent.1 / n as u64 / 1000
        );
    }
}

#[test]
fn one_seed_and_one_script_give_one_trace() {
    let run = |seed| {
        let mut world = World::cluster(seed, 24);
        world.loss = 50;
        world.crash(3);
        world.pause(7);
        world.run(secs(15));
        world.resume(7);
        world.restart(3);
        world.join(3, &[1]);
        world.run(secs(15));
        (world.trace, world.sent)
    };
    assert_eq!(run(21), run(21));
    assert_ne!(run(21), run(22));
}

#[test]
fn lossy_networks_bury_nobody() {
    for loss in [50, 100, 250] {
        let n = 64;
        let mut world = World::cluster(15, n);
        world.loss = loss;
        let since = world.now;
        let before = world.sent.0;
        world.run(secs(120));
        let deaths: usize = (0..n)
            .map(|at| world.story(at, since).iter().filter(|line| line.starts_with("died")).count())
            .sum();
        let suspicions: usize = (0..n)
            .map(|at| world.story(at, since).iter().filter(|line| line.starts_with("suspected")).count())
            .sum();
        println!(
            "loss {loss}: {deaths} deaths, {suspicions} suspicions shown, {:.2} datagrams a second and member",
            (world.sent.0 - before) as f64 / 120.0 / n as f64
        );
        assert_eq!(deaths, 0, "loss {loss}");
    }
}

#[test]
fn a_second_leave_waits_for_what_becomes_of_the_first() {
    let mut world = World::cluster(31, 3);
    world.loss = 1_000;
    let first = world.call(1, |protocol, now| protocol.leave(now, secs(2)));
    let second = world.call(1, |protocol, now| protocol.leave(now, secs(2)));
    world.run(secs(1));
    assert!(![first, second].iter().any(|call| world.hosts[1].answers.contains_key(call)));
    world.run(secs(2));
    for call in [first, second] {
        assert!(matches!(world.hosts[1].answers[&call], CallResult::Left(Err(crate::Error::Timeout))));
    }
}
