//! Coming back after an earlier run that is known from a snapshot.

use std::iter;

use super::secs;
use super::world::{World, addr_of};
use crate::node::Generation;
use crate::protocol::core::GENERATION_RANDOM_BITS;

const HOUR: u64 = (3_600 * 1_000) << GENERATION_RANDOM_BITS;

/// A host whose earlier run had this generation and these keys.
fn add_again(world: &mut World, earlier: Generation, kept: &[(&str, &[u8])]) -> usize {
    let host = world.add();
    world.call(host, |protocol, now| {
        protocol.resume(now, earlier);
        protocol.begin_with(now, kept.iter().copied());
    });
    host
}

#[test]
fn a_clock_that_went_back_does_not_take_the_generation_with_it() {
    let mut world = World::new(81);
    let first = world.add();
    let earlier = Generation(world.generation(first).0 + HOUR);
    let second = add_again(&mut world, earlier, &[]);
    let earlier_again = world.generation(second);
    let third = add_again(&mut world, earlier_again, &[]);
    assert!(world.generation(second) > earlier);
    assert!(world.generation(third) > world.generation(second));
}

#[test]
fn an_earlier_run_leaves_the_clock_alone_if_that_is_past_it() {
    let mut world = World::new(82);
    let host = world.add();
    let by_the_clock = world.generation(host);
    let earlier = Generation(by_the_clock.0 - HOUR);
    world.call(host, |protocol, now| protocol.resume(now, earlier));
    assert_eq!(world.generation(host), by_the_clock);
}

#[test]
fn two_runs_after_the_same_one_have_different_generations() {
    let mut world = World::new(83);
    let first = world.add();
    let earlier = Generation(world.generation(first).0 + HOUR);
    let runs = [0; 2].map(|_| {
        let host = add_again(&mut world, earlier, &[]);
        world.generation(host)
    });
    assert_ne!(runs[0], runs[1]);
}

#[test]
fn after_the_last_generation_of_all_nothing_panics() {
    let mut world = World::new(84);
    let host = add_again(&mut world, Generation(u64::MAX), &[]);
    assert!(world.generation(host) > Generation(0));
}

#[test]
fn the_state_that_was_kept_is_everywhere_again_and_a_key_that_no_longer_fits_is_left_out() {
    log::set_max_level(log::LevelFilter::Info);
    let mut world = World::cluster(85, 3);
    world.run(secs(2));
    let too_long = [7; 2_000];
    let kept: [(&str, &[u8]); 4] = [("a", b"1"), ("b", &too_long), ("c", b"3"), ("d", &too_long)];
    let host = add_again(&mut world, Generation(1), &kept);
    let warnings = world.hosts[host].notes.iter().filter(|note| note.level == log::Level::Warn);
    let texts: Vec<&str> = warnings.map(|note| note.text.as_str()).collect();
    assert_eq!(texts, ["2 keys are not kept, the first is \"b\": value too large: 2000, the limit is 1024"]);
    world.join(host, &[0]);
    world.run(secs(5));
    assert!(world.is_converged(), "{}", world.dump());
    for at in 0..4 {
        let node = world.hosts[at].protocol.node(&world.hosts[host].name).unwrap();
        let state: Vec<(&str, &[u8])> = node.state().collect();
        assert_eq!(state, [("a", &b"1"[..]), ("c", &b"3"[..])], "at {at}");
    }
}

/// A run that kept its state was written anew above the version of the run before: the others had to collect it, at
/// most sixteen at a time.
#[test]
fn a_run_after_a_kill_replaces_the_one_before_with_its_state() {
    let mut world = World::cluster(86, 3);
    world.run(secs(2));
    for number in 0..100 {
        world.call(2, |protocol, now| protocol.update(now, &[("key", Some(&[number]))]).unwrap());
    }
    world.run(secs(2));
    let earlier = world.generation(2);
    world.crash(2);
    world.restart(2);
    world.call(2, |protocol, now| {
        protocol.resume(now, earlier);
        protocol.begin_with(now, iter::once(("key", &b"kept"[..])));
    });
    world.call(2, |protocol, now| protocol.addresses_found(now, &[addr_of(2), addr_of(1), addr_of(0)]));
    world.run(secs(3));
    assert!(world.is_converged(), "{}", world.dump());
    for at in 0..3 {
        let node = world.hosts[at].protocol.node("n2").unwrap();
        assert!(Generation(node.generation()) > earlier);
        assert_eq!(node.get("key"), Some(&b"kept"[..]), "at {at}");
    }
}
