//! Broadcasts among forged, repeated and overtaken datagrams. How they spread is tested in the simulator.

use super::secs;
use super::world::{World, addr_of};
use crate::node::{Generation, Incarnation};
use crate::protocol::broadcast::{NUMBER_MAX, first_number};
use crate::protocol::core::GENERATION_RANDOM_BITS;
use crate::wire::body::Broadcast;
use crate::wire::{Body, NameHash, Record};

/// Has host 0 get bodies from host 1, which it knows.
fn tell(world: &mut World, bodies: &[Body<'_>]) {
    let datagram = world.forge(1, 0, bodies);
    world.inject(0, addr_of(1), &datagram);
}

/// A broadcast of a host's run.
fn broadcast(world: &World, origin: usize, number: u64) -> Broadcast<'static> {
    Broadcast { origin: world.hash(origin), generation: world.generation(origin), number, payload: b"said" }
}

/// What host 0 counts: delivered, missed, refused.
fn counts(world: &World) -> (u64, u64, u64) {
    let metrics = world.hosts[0].protocol.metrics();
    (metrics.broadcasts_delivered, metrics.broadcasts_missed, metrics.implausible)
}

fn settled(seed: u64) -> World {
    let mut world = World::cluster(seed, 3);
    world.run(secs(2));
    world
}

#[test]
fn a_broadcast_waits_for_those_before_it_and_is_delivered_once() {
    let mut world = settled(61);
    for number in [2, 3, 2] {
        let early = broadcast(&world, 2, number);
        tell(&mut world, &[Body::Broadcast(early)]);
        assert_eq!(counts(&world), (0, 0, 0));
    }
    let first = broadcast(&world, 2, 1);
    tell(&mut world, &[Body::Broadcast(first), Body::Broadcast(first)]);
    assert_eq!(counts(&world), (3, 0, 0));
    world.run(secs(5));
    assert_eq!(counts(&world), (3, 0, 0));
}

#[test]
fn what_never_comes_is_given_up_after_two_seconds() {
    let mut world = settled(62);
    for number in [3, 6] {
        let early = broadcast(&world, 2, number);
        tell(&mut world, &[Body::Broadcast(early)]);
    }
    world.run(std::time::Duration::from_millis(1_900));
    assert_eq!(counts(&world), (0, 0, 0));
    world.run(secs(4));
    assert_eq!(counts(&world), (2, 4, 0));
}

#[test]
fn a_number_beyond_belief_is_refused() {
    let mut world = settled(63);
    let far = broadcast(&world, 2, NUMBER_MAX + 1);
    tell(&mut world, &[Body::Broadcast(far)]);
    let own = broadcast(&world, 0, u64::MAX);
    tell(&mut world, &[Body::Broadcast(own)]);
    world.run(secs(5));
    assert_eq!(counts(&world), (0, 0, 2));
}

#[test]
fn broadcasts_of_strangers_of_other_runs_and_without_a_request_are_not_taken() {
    let mut world = settled(64);
    let stranger = Broadcast { origin: NameHash(5), ..broadcast(&world, 2, 1) };
    let other_run = Broadcast { generation: Generation(5), ..broadcast(&world, 2, 1) };
    tell(&mut world, &[Body::Broadcast(stranger), Body::Broadcast(other_run)]);
    let unasked = broadcast(&world, 2, 1);
    tell(&mut world, &[Body::PulledBroadcast(unasked)]);
    assert_eq!(counts(&world), (0, 0, 0));
    assert_eq!(world.hosts[0].protocol.metrics().unexpected_answers, 1);
}

#[test]
fn who_is_said_to_have_made_more_broadcasts_goes_on_above_them() {
    let mut world = settled(65);
    let forged = broadcast(&world, 0, 40);
    tell(&mut world, &[Body::Broadcast(forged)]);
    let now = world.now;
    world.hosts[0].protocol.broadcast(now, b"mine").unwrap();
    assert_eq!(world.hosts[0].protocol.heard("n0").unwrap().number, 41);
}

/// Who had none of them did not believe the number that it went on with: it was not heard any more.
#[test]
fn an_origin_that_is_said_to_have_made_a_lot_of_broadcasts_is_still_heard() {
    for number in [40, 1 << 32, NUMBER_MAX] {
        let mut world = settled(67);
        let forged = broadcast(&world, 0, number);
        tell(&mut world, &[Body::Broadcast(forged)]);
        world.call(0, |protocol, now| protocol.broadcast(now, b"mine").unwrap());
        world.run(secs(10));
        for at in [1, 2] {
            let delivered = world.hosts[at].protocol.metrics().broadcasts_delivered;
            assert_eq!(delivered, 1, "number {number}, at {at}: {}", world.dump());
        }
    }
}

/// Giving up the gap before 2^64 overflowed.
#[test]
fn a_record_with_the_highest_numbers_is_refused() {
    let mut world = settled(68);
    let made_up = |broadcast: u64| Record {
        name: "x",
        addr: addr_of(9),
        generation: Generation(5),
        incarnation: Incarnation(0),
        state_version: u64::MAX,
        broadcast,
    };
    tell(
        &mut world,
        &[
            Body::Alive { record: made_up(u64::MAX - 3), vouched: true },
            Body::Alive { record: made_up(u64::MAX), vouched: true },
        ],
    );
    world.run(secs(3));
    assert_eq!(counts(&world), (0, 0, 2));
}

#[test]
fn a_run_that_is_new_here_begins_at_its_number_if_it_is_older_and_else_at_zero() {
    let world = settled(66);
    let protocol = &world.hosts[0].protocol;
    let first = |generation: u64| {
        let record = Record {
            name: "x",
            addr: addr_of(9),
            generation: Generation(generation),
            incarnation: Incarnation(0),
            state_version: 0,
            broadcast: 7,
        };
        first_number(&protocol.core, &record, false)
    };
    let own = protocol.core.generation.0;
    let millisecond = 1 << GENERATION_RANDOM_BITS;
    assert_eq!([first(own - millisecond), first(own), first(own + millisecond)], [7, 0, 0]);
}
