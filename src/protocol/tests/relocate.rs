//! Members whose address changes while they run.

use super::secs;
use super::world::{World, addr_of};
use crate::protocol::{Instant, Timer};

#[test]
fn a_member_whose_address_changes_has_moved_and_nobody_takes_it_for_dead() {
    for n in [2, 3, 8, 64] {
        for seed in 0..20 {
            let mut world = World::cluster(50 + seed, n);
            world.run(secs(5));
            let since = world.now;
            let (at, addr) = (n - 1, addr_of(500));
            world.relocate(at, addr);
            let is_known = |world: &World| {
                let name = world.hosts[at].name.clone();
                (0..n).all(|other| {
                    world.hosts[other].protocol.node(&name).is_some_and(|node| node.addr() == addr)
                })
            };
            assert!(world.run_until(secs(10), is_known), "n = {n}, seed {seed}: {}", world.dump());
            println!("n = {n}: known everywhere after {:?}", world.now.since(since));
            world.run(secs(30));
            assert!(world.is_converged(), "n = {n}, seed {seed}: {}", world.sizes());
            for other in 0..at {
                let story = world.story(other, since);
                let moved = format!("moved n{at}");
                assert_eq!(story.iter().filter(|line| **line == moved).count(), 1, "n = {n}: {story:?}");
                assert!(
                    !story.iter().any(|line| line.starts_with("died")),
                    "n = {n}, seed {seed}: {story:?}"
                );
            }
            assert_eq!(world.story(at, since), [""; 0], "n = {n}, seed {seed}");
        }
    }
}

#[test]
fn two_that_move_at_once_are_found_by_the_others() {
    let mut world = World::cluster(60, 8);
    world.run(secs(5));
    let since = world.now;
    world.relocate(6, addr_of(500));
    world.relocate(7, addr_of(501));
    assert!(world.run_until(secs(20), World::is_converged), "{}", world.sizes());
    world.run(secs(30));
    for other in 0..6 {
        let story = world.story(other, since);
        assert!(
            story.contains(&"moved n6".to_owned()) && story.contains(&"moved n7".to_owned()),
            "{story:?}"
        );
        assert!(!story.iter().any(|line| line.starts_with("died")), "{story:?}");
    }
}

/// Nobody is there whose answers could tell it. Whether it looks for others or not.
#[test]
fn a_lone_member_finds_out_that_its_address_has_changed() {
    for discovers in [false, true] {
        let mut world = World::new(63);
        world.settings.discovers = discovers;
        let alone = world.add();
        world.run(secs(60));
        world.relocate(alone, addr_of(500));
        let has_moved = |world: &World| world.hosts[alone].protocol.local().addr() == addr_of(500);
        assert!(world.run_until(secs(16), has_moved), "discovers: {discovers}");
    }
}

/// A newcomer sees where the datagrams come from, and answers there: no answer raises a doubt.
#[test]
fn who_is_joined_after_its_address_has_changed_tells_the_new_one() {
    for discovers in [false, true] {
        for seed in 0..20 {
            let mut world = World::new(64 + seed);
            world.settings.discovers = discovers;
            let alone = world.add();
            world.run(secs(60));
            world.relocate(alone, addr_of(500));
            let late = world.add();
            world.join(late, &[alone]);
            let is_known = |world: &World| {
                let node = world.hosts[late].protocol.node(&world.hosts[alone].name);
                node.is_some_and(|node| node.addr() == addr_of(500)) && world.is_converged()
            };
            assert!(world.run_until(secs(20), is_known), "discovers: {discovers}: {}", world.dump());
        }
    }
}

/// There the answers that it gets tell it.
#[test]
fn in_company_a_member_that_does_not_look_for_others_does_not_watch_its_address() {
    let mut world = World::cluster(65, 3);
    let timers = &mut world.hosts[0].protocol.core.timers;
    let end_of_time = Instant::from_micros(u64::MAX);
    assert!(std::iter::from_fn(|| timers.pop_due(end_of_time)).any(|timer| timer == Timer::Address));

    let mut world = World::cluster(65, 3);
    world.run(secs(60));
    let timers = &mut world.hosts[0].protocol.core.timers;
    assert!(std::iter::from_fn(|| timers.pop_due(end_of_time)).all(|timer| timer != Timer::Address));
}

/// Others may be asked about it at any time: it costs no more than a look.
#[test]
fn an_address_that_has_not_changed_changes_nothing() {
    let mut world = World::cluster(61, 3);
    world.run(secs(5));
    let (own, before) = (world.hosts[0].addr, world.view(0));
    world.call(0, |protocol, now| protocol.change_address(now, own));
    assert_eq!(world.view(0), before);
}

#[cfg(feature = "encryption")]
#[test]
fn a_sealed_member_moves_as_well() {
    let mut world = World::new(62);
    world.settings.keyring = crate::Keyring::new(crate::Key::from_bytes([1; 32]));
    world.grow(8);
    world.run(secs(5));
    let since = world.now;
    world.relocate(7, addr_of(500));
    assert!(world.run_until(secs(10), |world| world.is_converged()
        && world.hosts[7].protocol.local().addr() == addr_of(500)));
    println!("known everywhere after {:?}", world.now.since(since));
    world.run(secs(30));
    for other in 0..7 {
        let story = world.story(other, since);
        assert!(story.contains(&"moved n7".to_owned()), "{story:?}");
        assert!(!story.iter().any(|line| line.starts_with("died")), "{story:?}");
    }
}
