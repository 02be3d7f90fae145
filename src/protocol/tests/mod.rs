//! Tests of the whole protocol, on a virtual network and clock.

mod world;

use std::time::Duration;

use crate::node::Status;
use crate::protocol::Answer;
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
    assert!(matches!(world.hosts[1].answers.get(&call), Some(Answer::Joined(Ok(())))));
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
