//! Names: which node they belong to, and how soon a successor gets one.

use std::time::Duration;

use super::super::secs;
use super::super::world::{World, addr_of};
use crate::error::Error;
use crate::node::Status;
use crate::protocol::{CallResult, RequestId};

/// A process that wants a name, and its join.
fn joins(world: &mut World, name: &str, number: usize, seeds: &[usize]) -> (usize, RequestId) {
    let host = world.add_named(name, addr_of(number));
    let call = world.join(host, seeds);
    (host, call)
}

fn answer(world: &mut World, (host, call): (usize, RequestId)) -> Result<(), Error> {
    let is_answered = move |world: &World| world.hosts[host].answers.contains_key(&call);
    assert!(world.run_until(secs(6), is_answered));
    match world.hosts[host].answers.remove(&call) {
        Some(CallResult::Joined(Ok(()))) => Ok(()),
        Some(CallResult::Joined(Err(errors))) => {
            let mut errors = errors.into_iter().map(|(_, error)| error);
            Err(errors.find(|error| !matches!(error, Error::NoAnswer)).unwrap_or(Error::NoAnswer))
        }
        other => panic!("{other:?}"),
    }
}

/// A later newcomer was refused at once, up to five seconds after another one had been refused.
#[test]
fn a_refusal_for_a_taken_name_does_not_count_for_later_newcomers() {
    for pause in [Duration::ZERO, secs(3)] {
        let mut world = World::cluster(10, 6);
        world.run(secs(2));
        let second = joins(&mut world, "n2", 100, &[0]);
        assert!(matches!(answer(&mut world, second), Err(Error::NameTaken { .. })));
        world.crash(second.0);
        world.crash(2);
        world.run(pause);
        let since = world.now;
        let heir = joins(&mut world, "n2", 101, &[0]);
        let joined = answer(&mut world, heir);
        println!("{pause:?} after the crash: {joined:?} after {:?}", world.now.since(since));
        assert!(joined.is_ok(), "{joined:?}");
        assert!(world.run_until(secs(5), World::is_converged), "{}", world.dump());
    }
}

#[test]
fn a_successor_that_waits_has_the_name_within_a_second_of_its_holders_end() {
    for leaves in [true, false] {
        let mut slowest = Duration::ZERO;
        for seed in 0..10 {
            let mut world = World::new(30 + seed);
            world.settings.discovers = true;
            world.seeds = vec![addr_of(0), addr_of(1)];
            world.grow(5);
            let second = joins(&mut world, "n2", 100, &[0, 1]);
            assert!(matches!(answer(&mut world, second), Err(Error::NameTaken { .. })));
            world.run(secs(45 + seed));
            let is_in = |world: &World| {
                let node = world.hosts[0].protocol.node("n2");
                node.is_some_and(|node| node.addr() == addr_of(100) && node.status() == Status::Alive)
                    && world.hosts[second.0].protocol.nodes_len() == 5
            };
            if leaves {
                world.call(2, |protocol, now| protocol.leave(now, secs(5)));
                let left = |world: &World| world.status(0, 2) == Some(Status::Left);
                assert!(world.run_until(secs(1), left));
            } else {
                world.crash(2);
                // It may ask by chance before any member knows of the end, and be admitted earlier.
                let dead = |world: &World| world.status(0, 2) == Some(Status::Dead) || is_in(world);
                assert!(world.run_until(secs(20), dead));
            }
            let since = world.now;
            assert!(world.run_until(secs(30), is_in), "{}", world.dump());
            slowest = slowest.max(world.now.since(since));
            if leaves {
                world.crash(2);
            }
            assert!(world.run_until(secs(10), World::is_converged), "{}", world.dump());
            assert!(world.hosts[second.0].ended.is_none());
        }
        println!("leaves: {leaves}: in after {slowest:?} at most");
        assert!(slowest <= secs(1), "{slowest:?}");
    }
}

/// A member that finds the address of the second process says hello to it. It was let in there, and believed the second
/// process.
#[test]
fn a_second_process_does_not_get_a_name_by_letting_others_in() {
    let mut world = World::cluster(12, 4);
    world.run(secs(2));
    let second = world.add_named("n2", addr_of(100));
    for host in [0, 1] {
        world.call(host, |protocol, now| protocol.addresses_found(now, &[addr_of(100)]));
    }
    world.run(secs(20));
    assert!(world.hosts[2].ended.is_none(), "the holder has lost its name");
    assert_eq!(world.hosts[0].protocol.node("n2").unwrap().addr(), addr_of(2));
    assert_ne!(world.hosts[second].protocol.local().addr(), addr_of(2));
}
