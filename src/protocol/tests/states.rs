//! States among forged datagrams and runs that change. How they spread is tested in the simulator.

use std::time::Duration;

use super::secs;
use super::world::{World, addr_of};
use crate::protocol::CallResult;
use crate::protocol::sync::pull::{Item, Pulls};
use crate::state::VERSION_MAX;
use crate::wire::body::Delta;
use crate::wire::lists::{Write, WritesBuilder};
use crate::wire::{Body, Packet};

/// What a host shows under the key of another one.
fn shown(world: &World, at: usize, of: usize) -> Option<Vec<u8>> {
    let name = &world.hosts[of].name;
    world.hosts[at].protocol.node(name).and_then(|node| node.get("key").map(<[u8]>::to_vec))
}

/// Three hosts; the first has a state that all have.
fn settled(seed: u64) -> World {
    let mut world = World::cluster(seed, 3);
    world.run(secs(2));
    world.call(0, |protocol, now| protocol.update(now, &[("key", Some(b"true"))]).unwrap());
    world.run(secs(1));
    assert_eq!(shown(&world, 2, 0).as_deref(), Some(&b"true"[..]));
    world
}

/// It was lost with the run: a member whose clock went back, or whose rival was gone, had no keys any more.
#[test]
fn a_member_that_takes_another_generation_keeps_its_state() {
    let mut world = settled(71);
    let before = world.generation(0);
    world.call(0, |protocol, now| protocol.renew(now, before));
    assert!(world.generation(0) > before);
    world.run(secs(5));
    assert!(world.is_converged(), "{}", world.dump());
    for at in 0..3 {
        assert_eq!(shown(&world, at, 0).as_deref(), Some(&b"true"[..]), "at {at}");
    }
}

/// Has a host get a write of host 0 that was never made, of this version.
fn forge_write(world: &mut World, at: usize, version: u64) {
    let from = world.hosts[at].protocol.node("n0").unwrap().state_version();
    let mut writes = WritesBuilder::default();
    assert!(writes.push(&Write { key: "key", step: version - from, value: Some(b"forged") }, 100));
    let delta = Delta {
        subject: world.hash(0),
        generation: world.generation(0),
        version,
        base: 0,
        from,
        to: version,
        writes: writes.as_writes(),
    };
    let datagram = world.forge(1, at, &[Body::Delta(delta)]);
    world.inject(at, addr_of(1), &datagram);
}

/// Whether all show what was written under the key of host 0.
fn all_show(world: &World, value: &[u8]) -> bool {
    (0..world.hosts.len()).all(|at| shown(world, at, 0).as_deref() == Some(value))
}

/// Its owner did not hear of it: views differed for good.
#[test]
fn a_forged_write_of_any_version_is_taken_back_when_its_owner_hears_of_the_version() {
    for version in [2, 1 << 20, (1 << 32) + 1, VERSION_MAX - 1, VERSION_MAX] {
        let mut world = settled(72);
        forge_write(&mut world, 2, version);
        assert_eq!(shown(&world, 2, 0).as_deref(), Some(&b"forged"[..]), "version {version}");
        let is_repaired = |world: &World| world.is_converged() && all_show(world, b"true");
        assert!(world.run_until(secs(20), is_repaired), "version {version}: {}", world.dump());
        world.call(0, |protocol, now| protocol.update(now, &[("key", Some(b"later"))]).unwrap());
        world.run(secs(2));
        assert!(all_show(&world, b"later"), "version {version}: {}", world.dump());
        let newcomer = world.add();
        world.join(newcomer, &[1]);
        world.run(secs(5));
        assert!(all_show(&world, b"later"), "version {version}: {}", world.dump());
    }
}

/// Who had the version that it was at did not believe the one that it went on with: it was not heard any more.
#[test]
fn an_owner_that_is_said_to_have_written_a_lot_is_still_heard() {
    for version in [3, 1 << 32, (1 << 32) + 1, VERSION_MAX] {
        let mut world = settled(73);
        forge_write(&mut world, 0, version);
        world.call(0, |protocol, now| protocol.update(now, &[("key", Some(b"later"))]).unwrap());
        world.run(secs(10));
        assert!(world.is_converged() && all_show(&world, b"later"), "version {version}: {}", world.dump());
    }
}

/// The join waited until it was out of time: what had come by itself was not asked for, so no answer ended it.
#[test]
fn a_join_comes_through_though_the_states_of_the_seed_have_come_by_another_way() {
    let mut world = settled(74);
    let joiner = world.add();
    world.drops = Some(Box::new(|_, packet| packet.bodies().any(|body| matches!(body, Body::Fetch(_)))));
    let call = world.join(joiner, &[0]);
    let is_settling =
        |world: &World| !world.hosts[joiner].protocol.admission.settling_with(world.hash(0)).is_empty();
    assert!(world.run_until(secs(1), is_settling), "{}", world.dump());
    let (seed, generation) = (world.hash(0), world.generation(0));
    world.call(joiner, |protocol, now| {
        protocol.pulls = Pulls::new(Duration::from_millis(50));
        let held = protocol.core.members.get(seed).map_or(0, |entry| entry.node().state_version());
        protocol.pulls.lacks(now, Item::State(seed), generation, held, seed, true);
    });
    world.run(secs(1));
    let answer = world.hosts[joiner].answers.get(&call);
    assert!(matches!(answer, Some(CallResult::Joined(Ok(())))), "{answer:?}");
}

/// Where it ends was sought from the beginning then, and found at its own: it told of no write.
#[test]
fn a_rumor_of_writes_that_begins_below_the_base_tells_of_writes() {
    let mut world = settled(75);
    for key in ["other", "more"] {
        world.call(0, |protocol, now| protocol.update(now, &[(key, Some(b""))]).unwrap());
    }
    world.recorded = Some(Vec::new());
    forge_write(&mut world, 0, 9);
    world.run(secs(1));
    let recorded = world.recorded.take().unwrap();
    let mut told = 0;
    for (_, _, datagram) in &recorded {
        for body in Packet::decode(datagram).unwrap().bodies() {
            if let Body::Delta(delta) = body {
                assert!(delta.writes.iter().count() > 0, "{delta:?}");
                told += 1;
            }
        }
    }
    assert!(told > 0);
}
