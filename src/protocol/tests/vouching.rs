//! Vouching: which nodes a member knows to be there, and what becomes of records that it does not vouch for.

use std::time::Duration;

use super::secs;
use super::world::{World, addr_of};
use crate::node::{Generation, Incarnation, Node, Status};
use crate::protocol::Instant;
use crate::protocol::core::CookiePurpose;
use crate::wire::body::LeftAt;
use crate::wire::{Accusers, Body, Cookie, NameHash, Packet, Record, Seq, Verdict};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn vouches(world: &World, at: usize, name: NameHash) -> bool {
    let core = &world.hosts[at].protocol.core;
    core.members.get(name).is_some_and(|entry| core.vouches(name, entry))
}

/// The other hosts that a host vouches for.
fn vouched(world: &World, at: usize) -> Vec<usize> {
    let others = (0..world.hosts.len()).filter(|of| *of != at);
    others.filter(|of| vouches(world, at, world.hash(*of))).collect()
}

fn is_returning(world: &World, at: usize) -> bool {
    world.hosts[at].protocol.core.returning().is_some()
}

fn was_away(world: &mut World, at: usize) {
    world.call(at, |protocol, now| protocol.core.was_away(now));
}

/// A node that does not exist.
fn nobody(name: &str, incarnation: u64, addr: usize) -> Record<'_> {
    Record {
        name,
        addr: addr_of(addr),
        generation: Generation(1),
        incarnation: Incarnation(incarnation),
        state_version: 0,
        broadcast: 0,
    }
}

/// Makes host 1 report to host 0 that nodes are alive. Returns what host 0 sends then: the destinations, and whether
/// each is a hello.
fn say(world: &mut World, records: &[Record<'_>], vouched: bool) -> Vec<(std::net::SocketAddr, bool)> {
    let bodies: Vec<Body<'_>> =
        records.iter().map(|record| Body::Alive { record: *record, vouched }).collect();
    let datagram = world.forge(1, 0, &bodies);
    let sent = world.answers(0, addr_of(1), &datagram);
    let is_hello = |datagram: &[u8]| {
        let packet = Packet::decode(datagram).unwrap();
        packet.bodies().any(|body| matches!(body, Body::Hello(_)))
    };
    sent.iter().map(|(to, datagram)| (*to, is_hello(datagram))).collect()
}

#[test]
fn a_member_that_slept_for_long_vouches_for_nobody() {
    let mut world = World::cluster(1, 5);
    world.run(secs(3));
    for at in 0..5 {
        assert_eq!(vouched(&world, at).len(), 4, "n{at}");
    }
    world.pause(0);
    world.run(millis(900));
    world.resume(0);
    assert_eq!(vouched(&world, 0), [1, 2, 3, 4], "it is not long");
    world.run(secs(2));
    world.pause(0);
    world.run(millis(2_500));
    world.resume(0);
    assert_eq!(vouched(&world, 0), []);
    assert!(vouches(&world, 0, world.hash(0)), "of itself it knows");
    assert!(is_returning(&world, 0), "what it has read was in its queue");
    world.run(secs(2));
    assert_eq!(vouched(&world, 0), [1, 2, 3, 4]);
}

#[test]
fn a_member_that_heard_nobody_for_long_vouches_for_nobody() {
    let mut world = World::cluster(2, 5);
    world.run(secs(3));
    for (silence, left) in [(1_500, true), (2_100, false)] {
        let quiet = world.forge(1, 0, &[Body::BareAck { seq: Seq(1) }]);
        world.inject(0, addr_of(1), &quiet);
        world.deafen(0, true);
        world.run(millis(silence));
        let before = vouched(&world, 0);
        assert!(!before.is_empty(), "after {silence} ms");
        world.inject(0, addr_of(1), &quiet);
        assert_eq!(vouched(&world, 0), if left { before } else { vec![] }, "after {silence} ms");
        world.deafen(0, false);
        world.run(secs(6));
        assert_eq!(vouched(&world, 0), [1, 2, 3, 4]);
    }
}

#[test]
fn a_member_that_was_isolated_vouches_for_nobody() {
    let mut world = World::cluster(3, 3);
    world.run(secs(3));
    world.cut(&[0], &[1, 2], true);
    assert!(world.run_until(secs(60), |world| is_returning(world, 0)));
    assert_eq!(world.status(0, 1), Some(Status::Dead));
    assert_eq!(vouched(&world, 0), []);
    world.cut(&[0], &[1, 2], false);
    assert!(world.run_until(secs(30), World::is_converged));
    world.run(secs(3));
    assert_eq!(vouched(&world, 0), [1, 2]);
}

#[test]
fn a_suspect_is_not_vouched_for_once_it_is_shown_as_one() {
    let mut world = World::cluster(5, 4);
    world.run(secs(3));
    let mut verdict = Verdict {
        subject: world.hash(3),
        generation: world.generation(3),
        incarnation: Incarnation(0),
        status: Status::Suspect,
        accusers: Accusers::default(),
        left_at: LeftAt::default(),
    };
    verdict.accusers.insert(world.hash(1));
    let datagram = world.forge(1, 0, &[Body::Verdict(verdict)]);
    world.crash(3);
    world.inject(0, addr_of(1), &datagram);
    assert_eq!(vouched(&world, 0), [1, 2, 3], "most are refuted at once");
    world.run(millis(1_100));
    assert_eq!(world.status(0, 3), Some(Status::Suspect));
    assert_eq!(vouched(&world, 0), [1, 2]);
}

#[test]
fn a_node_that_nobody_vouches_for_is_asked_and_not_believed() {
    let mut world = World::cluster(6, 3);
    world.run(secs(3));
    let since = world.now;
    assert_eq!(say(&mut world, &[nobody("x", 0, 50)], false), [(addr_of(50), true)]);
    assert_eq!(say(&mut world, &[nobody("y", 0, 1)], false), [], "somebody else is there");
    world.run(millis(1_500));
    assert_eq!(world.story(0, since), Vec::<String>::new());
    assert_eq!(world.hosts[0].protocol.all_nodes().count(), 3);
    // A node that is there comes in by its own welcome.
    let newcomer = world.add();
    let record = Record { name: "n3", generation: world.generation(newcomer), ..nobody("", 0, newcomer) };
    assert_eq!(say(&mut world, &[record], false), [(addr_of(newcomer), true)]);
    assert!(world.run_until(secs(2), World::is_converged), "{}", world.sizes());
    // With a voucher it is believed at once.
    say(&mut world, &[nobody("x", 0, 50)], true);
    assert_eq!(world.story(0, since), ["joined n3", "joined x"]);
}

#[test]
fn twenty_nodes_that_nobody_vouches_for_are_asked_a_second() {
    let mut world = World::cluster(7, 2);
    world.run(secs(3));
    let names: Vec<String> = (0..60).map(|index| format!("x{index}")).collect();
    let mut asked = 0;
    for (second, names) in names.chunks(30).enumerate() {
        world.run(secs(second as u64 + 4).saturating_sub(world.now.since(Instant::default())));
        for (index, name) in names.iter().enumerate() {
            let sent = say(&mut world, &[nobody(name, 0, 100 + second * 30 + index)], false);
            asked += sent.iter().filter(|(_, is_hello)| *is_hello).count();
        }
        assert_eq!(asked, 20 * (second + 1));
    }
}

#[test]
fn news_of_a_node_that_takes_part_needs_no_voucher() {
    let mut world = World::cluster(8, 4);
    world.run(secs(3));
    let record = Record { name: "n2", generation: world.generation(2), ..nobody("", 1, 2) };
    say(&mut world, &[record], false);
    assert_eq!(world.hosts[0].protocol.node("n2").unwrap().incarnation(), 1);
}

#[test]
fn what_may_have_waited_since_before_an_absence_vouches_for_nothing() {
    let mut world = World::cluster(9, 3);
    world.run(secs(3));
    let since = world.now;
    let cookie = world.cookie_of(0, 1);
    let (name, run) = (world.hash(1), world.generation(1));
    let is_good = |world: &World| {
        let cookies = &world.hosts[0].protocol.core.cookies;
        cookies.accepts(world.now, CookiePurpose::Request, cookie, addr_of(1), name, run)
    };
    assert!(is_good(&world));
    was_away(&mut world, 0);
    assert!(!is_good(&world), "whoever has shown it may be gone");
    assert_eq!(say(&mut world, &[nobody("x", 0, 50)], true), [(addr_of(50), true)]);
    assert_eq!(vouched(&world, 0), []);
    assert_eq!(world.story(0, since), Vec::<String>::new());
    // This holds until a request is answered that was sent since.
    assert!(world.run_until(millis(1_500), |world| !is_returning(world, 0)));
    say(&mut world, &[nobody("x", 0, 50)], true);
    assert_eq!(world.story(0, since), ["joined x"]);
}

/// Two members hold a node that is gone; the members in `away` were away. Returns whether the first member vouches for
/// the second and for that node once it has compared views.
fn vouched_after_comparison(away: &[usize]) -> (bool, bool) {
    let mut world = World::cluster(10, 2);
    let gone = Node::new("gone", addr_of(77), Status::Alive, Generation(1), Incarnation(0));
    world.introduce(0, std::slice::from_ref(&gone));
    world.introduce(1, std::slice::from_ref(&gone));
    let gone = NameHash::of(world.tag(), "gone");
    away.iter().for_each(|at| was_away(&mut world, *at));
    let other = world.hash(1);
    world.call(0, |protocol, now| {
        let peer = protocol.core.peer(other).unwrap();
        assert!(protocol.sync.begin_comparison(&mut protocol.core, now, peer, Cookie::default(), false));
    });
    world.run(millis(50));
    assert_eq!(world.hosts[0].protocol.fingerprint(), world.hosts[1].protocol.fingerprint());
    (vouches(&world, 0, other), vouches(&world, 0, gone))
}

#[test]
fn a_peer_vouches_for_what_it_holds_as_well_unless_it_was_away_itself() {
    assert_eq!(vouched_after_comparison(&[0]), (true, true));
    assert_eq!(vouched_after_comparison(&[0, 1]), (true, false));
}

#[test]
fn a_member_that_was_away_has_its_view_vouched_for_at_once() {
    let mut world = World::cluster(11, 24);
    world.run(secs(3));
    was_away(&mut world, 0);
    world.run(millis(1_500));
    assert_eq!(vouched(&world, 0).len(), 23, "by its own probes it would take 23 s");
    let syncs = world.hosts[0].protocol.metrics().syncs;
    world.run(secs(10));
    assert_eq!(world.hosts[0].protocol.metrics().syncs, syncs);
}

#[test]
fn all_members_that_were_away_at_the_same_time_vouch_for_each_other_soon() {
    let mut times: Vec<u128> = (0..9).map(time_until_all_vouch).collect();
    times.sort_unstable();
    // Over 60 seeds it takes 5.4 to 10.5 s.
    assert!(times[4] <= 8_000 && times[8] <= 12_000, "{times:?}");
}

/// All of a cluster are away and one crashes meanwhile: after how many milliseconds all vouch for all that remain.
fn time_until_all_vouch(seed: u64) -> u128 {
    let mut world = World::cluster(seed, 24);
    world.run(secs(3));
    world.crash(23);
    (0..23).for_each(|at| was_away(&mut world, at));
    let returned = world.now;
    assert!(world.run_until(secs(20), |world| {
        assert!((0..23).all(|at| !vouches(world, at, world.hash(23))));
        (0..23).all(|at| vouched(world, at).len() == 22)
    }));
    world.now.since(returned).as_millis()
}
