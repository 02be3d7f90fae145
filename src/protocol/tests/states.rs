//! States among forged datagrams and runs that change. How they spread is tested in the simulator.

use super::secs;
use super::world::World;

/// What a host shows under the key of another one.
fn shown(world: &World, at: usize, of: usize) -> Option<Vec<u8>> {
    let name = &world.hosts[of].name;
    world.hosts[at].protocol.node(name).and_then(|node| node.get("key").map(<[u8]>::to_vec))
}

/// Three hosts; the first has a state that all have.
fn settled(seed: u64) -> World {
    let mut world = World::cluster(seed, 3);
    world.run(secs(2));
    world.call(0, |protocol, now| protocol.set(now, "key", b"true").unwrap());
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
