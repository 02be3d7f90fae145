//! News: how fast it reaches everybody, what that costs, and that nothing is missed for good.

use std::net::SocketAddr;
use std::time::Duration;

use super::secs;
use super::world::{World, addr_of};
use crate::node::{Generation, Incarnation, Node, Status};
use crate::wire::body::LeftAt;
use crate::wire::{Accusers, Body, Packet, Record, Verdict};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Has a host raise its incarnation, by accusing it.
fn provoke(world: &mut World, index: usize) {
    let teller = (index + 1) % world.hosts.len();
    let verdict = Verdict {
        subject: world.hash(index),
        generation: world.generation(index),
        incarnation: Incarnation(world.hosts[index].protocol.local().incarnation()),
        status: Status::Dead,
        accusers: Accusers::default(),
        left_at: LeftAt::default(),
    };
    let datagram = world.forge(teller, index, &[Body::Verdict(verdict)]);
    world.inject(index, addr_of(teller), &datagram);
}

/// Whether all hold a host at its incarnation.
fn is_known(world: &World, index: usize) -> bool {
    let local = world.hosts[index].protocol.local();
    world.hosts.iter().all(|host| {
        host.protocol.node(local.name()).is_some_and(|node| node.incarnation() == local.incarnation())
    })
}

fn is_gossip(body: &Body<'_>) -> bool {
    matches!(body, Body::Alive { .. } | Body::Verdict(_) | Body::Doubt { .. } | Body::Vouch(_))
}

/// Recorded datagrams that were sent for nothing but rumors.
fn gossip(recorded: &[(SocketAddr, SocketAddr, Vec<u8>)]) -> usize {
    let only_gossip =
        |datagram: &[u8]| Packet::decode(datagram).unwrap().bodies().all(|body| is_gossip(&body));
    recorded.iter().filter(|(_, _, datagram)| only_gossip(datagram)).count()
}

/// Names as long as they may be.
fn long_name(number: usize) -> String {
    format!("{number:0>255}")
}

fn long_names(n: usize) -> World {
    let mut world = World::new(n as u64);
    for index in 0..n {
        world.add_named(&long_name(index), addr_of(index));
        if index > 0 {
            world.join(index, &[0]);
        }
    }
    assert!(world.run_until(secs(30), World::is_converged), "{}", world.sizes());
    world
}

/// Nodes that nobody plays.
fn made_up(range: std::ops::Range<usize>, incarnation: u64) -> Vec<Node> {
    range
        .map(|number| {
            Node::new(
                &format!("x{number}"),
                addr_of(number + 100),
                Status::Alive,
                Generation(1),
                Incarnation(incarnation),
            )
        })
        .collect()
}

#[test]
fn one_update_reaches_everybody_within_milliseconds() {
    // (members, loss in thousandths, milliseconds, sends a member)
    for (n, loss, bound, sends) in [(128, 0, 10, 7), (128, 100, 100, 7), (1_000, 0, 15, 8)] {
        let mut world = World::introduced(1, n);
        world.run(secs(1));
        world.loss = loss;
        world.recorded = Some(Vec::new());
        let since = world.now;
        provoke(&mut world, 0);
        assert!(world.run_until(secs(5), |world| is_known(world, 0)), "n = {n}, loss {loss}");
        let took = world.now.since(since);
        world.run(millis(500));
        let cost = gossip(world.recorded.as_ref().unwrap()) as f64 / n as f64;
        println!("n = {n}, loss {loss}: known to all after {took:?}, {cost:.2} datagrams a member");
        assert!(took <= millis(bound), "n = {n}, loss {loss}: {took:?}");
        assert!(cost <= f64::from(sends) + 0.2, "n = {n}, loss {loss}: {cost}");
        // At rest there is no gossip.
        world.recorded = Some(Vec::new());
        world.run(secs(1));
        assert_eq!(gossip(world.recorded.as_ref().unwrap()), 0);
    }
}

#[test]
fn a_leave_reaches_everybody_within_milliseconds() {
    let mut world = World::introduced(2, 128);
    world.run(secs(1));
    world.recorded = Some(Vec::new());
    let since = world.now;
    world.call(5, |protocol, now| protocol.leave(now, secs(5)));
    let known = |world: &World| (0..128).all(|at| world.status(at, 5) == Some(Status::Left));
    assert!(world.run_until(secs(5), known));
    let took = world.now.since(since);
    world.run(millis(500));
    let cost = gossip(world.recorded.as_ref().unwrap()) as f64 / 128.0;
    println!("known to all after {took:?}, {cost:.2} datagrams a member");
    // Seven tellings, and hardly anybody has a cookie yet: most are asked back.
    assert!(took <= millis(20) && cost <= 12.0, "{took:?}, {cost}");
}

#[test]
fn rumors_that_wait_are_bounded_and_those_dropped_are_counted() {
    let mut world = World::cluster(3, 4);
    let names: Vec<String> = (0..6_000).map(|number| format!("x{number}")).collect();
    let generation = world.generation(1);
    for batch in names.chunks(100) {
        let records: Vec<Body<'_>> = batch
            .iter()
            .map(|name| Body::Alive {
                record: Record {
                    name,
                    addr: addr_of(500),
                    generation,
                    incarnation: Incarnation(0),
                    state_version: 0,
                    broadcast: 0,
                },
                vouched: true,
            })
            .collect();
        let datagram = world.forge(1, 0, &records);
        world.inject(0, addr_of(1), &datagram);
    }
    let protocol = &world.hosts[0].protocol;
    assert_eq!(protocol.nodes().count(), 6_004);
    assert_eq!(protocol.core.rumors.topics().count(), 4_096);
    let dropped = protocol.metrics().rumors_dropped;
    assert!((1_800..2_000).contains(&dropped), "{dropped}");
}

#[test]
fn a_rumor_that_does_not_fit_does_not_block_one_that_does() {
    let mut world = long_names(3);
    world.run(secs(1));
    let names: Vec<String> = (100..107).map(long_name).collect();
    let record = |name, incarnation| Record {
        name,
        addr: addr_of(500),
        generation: Generation(1),
        incarnation: Incarnation(incarnation),
        state_version: 0,
        broadcast: 0,
    };
    let nodes: Vec<Node> = names
        .iter()
        .map(|name| Node::new(name, addr_of(500), Status::Alive, Generation(1), Incarnation(0)))
        .collect();
    world.introduce(0, &nodes);
    // Seven records of which three fill a datagram, then a short verdict.
    let mut bodies: Vec<Body<'_>> =
        names.iter().map(|name| Body::Alive { record: record(name, 1), vouched: true }).collect();
    let left = Verdict::left(world.hash(2), world.generation(2), Incarnation(0), LeftAt::default());
    bodies.push(world.vouch(1, 0, &left));
    let datagram = world.forge(1, 0, &bodies);
    let told = world.answers(0, addr_of(1), &datagram);
    assert!(told.len() >= 3, "{}", told.len());
    for (_, datagram) in &told {
        let packet = Packet::decode(datagram).unwrap();
        let is_verdict = |body: &Body<'_>| matches!(body, Body::Verdict(_) | Body::Vouch(_));
        let verdicts = packet.bodies().filter(is_verdict).count();
        assert_eq!((packet.bodies().count(), verdicts), (5, 1), "{} bytes", datagram.len());
    }
}

#[test]
fn every_datagram_keeps_its_limit_with_the_longest_names() {
    // The rig checks each datagram that is sent.
    let mut world = long_names(24);
    world.run(secs(2));
    world.loss = 50;
    for index in 20..24 {
        world.crash(index);
    }
    world.run(secs(15));
    for index in 20..24 {
        world.restart(index);
        world.join(index, &[0]);
    }
    let (a, b): (Vec<usize>, Vec<usize>) = (0..24).partition(|index| *index < 12);
    world.cut(&a, &b, true);
    world.run(secs(30));
    world.cut(&a, &b, false);
    world.loss = 0;
    assert!(world.run_until(secs(120), World::is_converged), "{}", world.sizes());
    world.call(7, |protocol, now| protocol.leave(now, secs(5)));
    world.run(secs(2));
    world.crash(7);
    assert!(world.is_converged());
    let bytes = world.sent.1 / world.sent.0;
    println!("{} datagrams of {bytes} bytes on average", world.sent.0);
}

#[test]
fn a_member_that_no_rumor_reaches_catches_up_by_fingerprints_alone() {
    let mut world = World::cluster(4, 16);
    world.run(secs(2));
    world.drops = Some(Box::new(|to, packet| to == 5 && packet.bodies().any(|body| is_gossip(&body))));
    for index in [0, 3, 9] {
        provoke(&mut world, index);
    }
    let call = world.call(12, |protocol, now| protocol.leave(now, secs(5)));
    let mut told = world.hosts[5].protocol.metrics().syncs;
    world.run(millis(100));
    assert!(world.hosts[12].answers.contains_key(&call));
    world.crash(12);
    assert!(!is_known(&world, 0), "n5 knows already: this test shows nothing");
    let since = world.now;
    assert!(world.run_until(secs(30), World::is_converged), "{}", world.dump());
    told = world.hosts[5].protocol.metrics().syncs - told;
    println!("equal after {:?}, {told} syncs of its own", world.now.since(since));
    assert!(world.now.since(since) < secs(10));
}

#[test]
fn a_member_that_no_rumor_reaches_for_an_hour_catches_up() {
    let mut world = World::cluster(5, 8);
    world.run(secs(2));
    world.drops = Some(Box::new(|to, packet| to == 5 && packet.bodies().any(|body| is_gossip(&body))));
    for round in 0..60 {
        provoke(&mut world, round % 5);
        if round % 20 == 7 {
            world.crash(7);
        }
        if round % 20 == 14 {
            world.restart(7);
            world.join(7, &[0]);
        }
        world.run(secs(60));
    }
    world.drops = None;
    assert!(world.run_until(secs(10), World::is_converged), "{}", world.dump());
}

/// Two members of a cluster of which nobody else is there; what they send each other to compare views.
fn compare(world: &mut World) -> (bool, Duration, usize) {
    world.run(millis(500));
    let since = world.now;
    world.recorded = Some(Vec::new());
    let fingerprint = |world: &World, at: usize| world.hosts[at].protocol.core.members.fingerprint();
    let mut equal = false;
    while !equal && world.now.since(since) < secs(10) {
        world.call(0, |protocol, now| protocol.ping(now, "n1").unwrap());
        equal = world.run_until(secs(1), |world| fingerprint(world, 0) == fingerprint(world, 1));
    }
    let took = world.now.since(since);
    world.run(millis(200));
    let ours = [addr_of(0), addr_of(1)];
    let is_sync = |datagram: &[u8]| {
        let packet = Packet::decode(datagram).unwrap();
        !packet.bodies().any(|body| matches!(body, Body::Ping(_) | Body::Ack(_) | Body::PingRequest(_)))
    };
    let recorded = world.recorded.take().unwrap();
    let sync = recorded
        .iter()
        .filter(|(from, to, datagram)| ours.contains(from) && ours.contains(to) && is_sync(datagram));
    (equal, took, sync.count())
}

#[test]
fn one_stale_record_of_a_thousand_costs_five_datagrams_at_most() {
    for newer in [0, 1] {
        let mut world = World::introduced(6, 2);
        for index in [0, 1] {
            world.introduce(index, &made_up(0..998, 0));
        }
        world.introduce(newer, &made_up(500..501, 1));
        let (equal, took, datagrams) = compare(&mut world);
        println!("n{newer} is newer: equal after {took:?}, {datagrams} datagrams");
        assert!(equal && datagrams <= 5, "{datagrams}");
        let node = world.hosts[1 - newer].protocol.node("x500").unwrap();
        assert_eq!(node.incarnation(), 1);
    }
}

#[test]
fn views_that_differ_in_five_hundred_records_each_become_equal_in_one_comparison() {
    for loss in [0, 200] {
        // Each has some that the other one lacks, and some that are newer.
        let mut world = World::introduced(7, 2);
        world.introduce(0, &made_up(0..500, 0));
        world.introduce(1, &made_up(250..750, 0));
        world.introduce(0, &made_up(250..375, 1));
        world.introduce(1, &made_up(375..500, 1));
        world.loss = loss;
        let (equal, took, datagrams) = compare(&mut world);
        println!("loss {loss}: equal after {took:?}, {datagrams} datagrams");
        assert!(equal && took < secs(5), "{took:?}: {}", world.sizes());
        assert_eq!(world.hosts[0].protocol.nodes().count(), 752);
        assert_eq!(world.hosts[0].protocol.metrics().syncs, 1);
    }
}

#[test]
fn views_that_have_five_hundred_nodes_each_and_none_in_common_become_equal() {
    let mut world = World::introduced(8, 2);
    world.introduce(0, &made_up(0..500, 0));
    world.introduce(1, &made_up(500..1_000, 0));
    let (equal, took, datagrams) = compare(&mut world);
    println!("equal after {took:?}, {datagrams} datagrams");
    assert!(equal && took < secs(2));
    assert_eq!(world.hosts[0].protocol.nodes().count(), 1_002);
}
