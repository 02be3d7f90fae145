//! Looking for others in the background.

use std::time::Duration;

use super::super::secs;
use super::super::world::{World, addr_of};
use crate::protocol::LogRecord;

/// The times between the rounds in which a member looked for others.
fn pauses(world: &mut World, at: usize, for_so_long: Duration) -> Vec<Duration> {
    let end = world.now + for_so_long;
    let mut last = world.now;
    let mut seen = world.hosts[at].protocol.metrics().rejoins;
    let mut pauses = Vec::new();
    while world.now < end {
        world.run(Duration::from_millis(10));
        let rejoins = world.hosts[at].protocol.metrics().rejoins;
        if rejoins > seen {
            pauses.push(world.now.since(last));
            (last, seen) = (world.now, rejoins);
        }
    }
    pauses
}

#[test]
fn a_lone_member_looks_less_and_less_often_down_to_once_per_rejoin_interval() {
    let mut world = World::new(1);
    world.settings.discovers = true;
    let alone = world.add();
    let pauses = pauses(&mut world, alone, secs(120));
    // The first round is at once.
    for (round, pause) in pauses[1..].iter().enumerate() {
        let middle = secs(10) / 16 * 2_u32.pow(u32::try_from(round).unwrap().min(4));
        let slack = Duration::from_millis(20);
        assert!(*pause + slack >= middle / 2 && *pause <= middle * 3 / 2 + slack, "{round}: {pauses:?}");
    }
    assert!(pauses.len() > 10, "{pauses:?}");
    let metrics = world.hosts[alone].protocol.metrics();
    assert_eq!(metrics.rejoin_failures, metrics.rejoins - 1);
}

#[test]
fn a_member_in_company_looks_once_per_rejoin_interval_and_asks_few() {
    let mut world = World::new(2);
    world.settings.discovers = true;
    world.seeds = (0..40).map(addr_of).collect();
    world.grow(3);
    world.run(secs(60));
    assert_eq!(world.hosts[0].protocol.metrics().rejoin_failures, 0);
    world.recorded = Some(Vec::new());
    let pauses = pauses(&mut world, 0, secs(100));
    assert!(pauses[1..].iter().all(|pause| *pause >= secs(5) && *pause <= secs(16)), "{pauses:?}");

    let sent = world.recorded.take().unwrap();
    let own = world.hosts[0].addr;
    let mut strangers: Vec<_> =
        sent.iter().filter(|(from, to, _)| *from == own && *to > addr_of(2)).map(|(_, to, _)| *to).collect();
    let datagrams = strangers.len();
    strangers.sort_unstable();
    strangers.dedup();
    assert!(strangers.len() > 10, "the same ones are asked again and again: {strangers:?}");
    assert!(datagrams <= 3 * 12 * (pauses.len() + 1), "{datagrams} datagrams in {} rounds", pauses.len());
}

#[test]
fn a_member_that_is_alone_again_looks_soon() {
    let mut world = World::new(3);
    world.settings.discovers = true;
    world.seeds = vec![addr_of(0), addr_of(1)];
    world.grow(2);
    world.run(secs(60));
    world.crash(1);
    assert!(world.run_until(secs(30), |world| world.hosts[0].protocol.core.members.ring().len() == 1));
    let pauses = pauses(&mut world, 0, secs(10));
    assert!(pauses.len() >= 3 && pauses[0] < secs(1), "{pauses:?}");
}

#[test]
fn an_outage_of_all_that_are_named_is_told_once() {
    log::set_max_level(log::LevelFilter::Info);
    let mut world = World::new(4);
    world.settings.discovers = true;
    world.seeds = vec![addr_of(7), addr_of(8), addr_of(0)];
    let alone = world.add();
    let mut told = Vec::new();
    for _ in 0..600 {
        world.run(Duration::from_millis(200));
        told.append(&mut world.hosts[alone].notes);
    }
    let warnings: Vec<&LogRecord> = told.iter().filter(|note| note.level == log::Level::Warn).collect();
    assert!(matches!(&warnings[..], [note] if note.text == "alone: of 2 addresses none answers"), "{told:?}");
}

/// What a lone member has told its operator.
fn warnings(world: &World, of: usize) -> Vec<&str> {
    let notes = world.hosts[of].notes.iter().filter(|note| note.level == log::Level::Warn);
    notes.map(|note| note.text.as_str()).collect()
}

/// They were told that nobody answers, and looked for the fault in the network.
#[test]
fn who_is_answered_and_not_let_in_is_told_why_once() {
    log::set_max_level(log::LevelFilter::Info);
    let mut world = World::new(11);
    world.settings.discovers = true;
    world.seeds = vec![addr_of(0)];
    world.add();
    let name = world.hosts[0].name.clone();
    let namesake = world.add_named(&name, addr_of(1));
    world.settings.cluster = "another".to_owned();
    let stranger = world.add();
    world.run(secs(120));
    assert_eq!(
        warnings(&world, namesake),
        ["alone: of 1 addresses none lets us in; 10.1.0.0:7990: the name n0 is taken by 10.1.0.0:7990"]
    );
    assert_eq!(
        warnings(&world, stranger),
        ["alone: of 1 addresses none lets us in; 10.1.0.0:7990: a member of another cluster"]
    );
}

#[test]
fn who_is_answered_only_later_and_not_let_in_is_told_why_as_well() {
    log::set_max_level(log::LevelFilter::Info);
    let mut world = World::new(12);
    world.settings.discovers = true;
    world.seeds = vec![addr_of(1)];
    let alone = world.add();
    world.run(secs(60));
    world.settings.cluster = "another".to_owned();
    world.add();
    world.run(secs(60));
    assert_eq!(
        warnings(&world, alone),
        [
            "alone: of 1 addresses none answers",
            "alone: of 1 addresses none lets us in; 10.1.0.1:7990: a member of another cluster"
        ]
    );
}

/// The address of the member itself, and those of members that are known, are not said hello to.
#[test]
fn what_is_known_is_not_asked() {
    let mut world = World::new(5);
    world.settings.discovers = true;
    world.seeds = (0..3).map(addr_of).collect();
    world.grow(3);
    world.run(secs(30));
    world.recorded = Some(Vec::new());
    let rejoins = world.hosts[0].protocol.metrics().rejoins;
    world.run(secs(60));
    assert!(world.hosts[0].protocol.metrics().rejoins >= rejoins + 4);
    // A hello is the one datagram to nobody's run: bytes 28 to 35 are zero.
    let hellos =
        world.recorded.take().unwrap().into_iter().filter(|(_, _, datagram)| datagram[28..36] == [0; 8]);
    assert_eq!(hellos.count(), 0);
}

/// They had forgotten each other, and without seeds nothing brought them together again.
#[test]
fn two_that_were_cut_off_for_longer_than_tombstones_last_find_each_other() {
    let mut world = World::new(9);
    world.settings.tombstone_ttl = secs(60);
    world.grow(2);
    world.cut(&[0], &[1], true);
    world.run(secs(1_800));
    assert!(world.hosts.iter().all(|host| host.protocol.nodes().count() == 1), "{}", world.dump());
    world.cut(&[0], &[1], false);
    assert!(world.run_until(secs(60), World::is_converged), "{}", world.dump());
}

#[test]
fn whoever_is_alone_forgets_nobody_until_there_is_company() {
    let mut world = World::new(10);
    world.settings.tombstone_ttl = secs(60);
    world.grow(3);
    world.call(1, |protocol, now| protocol.leave(now, secs(2)));
    world.run(secs(3));
    world.crash(1);
    world.crash(2);
    world.run(secs(1_800));
    let known = |world: &World| world.hosts[0].protocol.all_nodes().count();
    assert_eq!((world.hosts[0].protocol.nodes().count(), known(&world)), (1, 3), "{}", world.dump());
    let newcomer = world.add();
    world.join(newcomer, &[0]);
    assert!(world.run_until(secs(15), |world| known(world) == 2), "{}", world.dump());
    assert!(world.is_converged());
}

/// A lone member kept its tombstones. Two members did not, and without seeds there were two clusters from then on.
#[test]
fn two_parts_that_were_cut_off_for_longer_than_tombstones_last_find_each_other() {
    for seed in 0..8 {
        let mut world = World::new(seed);
        world.settings.tombstone_ttl = secs(60);
        world.grow(5);
        world.cut(&[0, 1], &[2, 3, 4], true);
        world.run(secs(3_600));
        let seen = |world: &World| -> Vec<usize> {
            world.hosts.iter().map(|host| host.protocol.all_nodes().count()).collect()
        };
        assert_eq!(seen(&world), [2, 2, 3, 3, 3], "{}", world.dump());
        world.cut(&[0, 1], &[2, 3, 4], false);
        assert!(world.run_until(secs(300), World::is_converged), "seed {seed}: {}", world.dump());
    }
}

/// A node that left is not looked for, and an address where a node is again is no longer lost.
#[test]
fn only_addresses_of_the_dead_are_kept_and_only_until_a_node_is_there() {
    let mut world = World::new(10);
    world.settings.tombstone_ttl = secs(60);
    world.grow(4);
    world.call(1, |protocol, now| protocol.leave(now, secs(2)));
    world.run(secs(3));
    world.crash(1);
    world.crash(2);
    world.run(secs(300));
    let lost = |world: &World| {
        let bounds = world.hosts[0].protocol.bounds();
        bounds.into_iter().find(|bound| bound.what == "lost addresses").unwrap().count
    };
    assert_eq!((world.hosts[0].protocol.all_nodes().count(), lost(&world)), (2, 1), "{}", world.dump());
    world.restart(2);
    assert!(
        world.run_until(secs(120), |world| world.hosts[0].protocol.nodes().count() == 3),
        "{}",
        world.dump()
    );
    world.run(secs(120));
    assert_eq!(lost(&world), 0);
}

/// The view has no order by address: it was gone through for each seed in each round, which took a simulated cluster
/// of 5,000 most of its time: 204 s of ten virtual minutes instead of 56.
#[test]
fn found_addresses_are_asked_unless_somebody_in_the_view_is_there() {
    let mut world = World::cluster(3, 4);
    let found = [addr_of(1), addr_of(2)];
    let attempts = |world: &World| {
        let bounds = world.hosts[0].protocol.bounds();
        bounds.into_iter().find(|bound| bound.what == "join attempts").unwrap().count
    };
    let now = world.now;
    world.hosts[0].protocol.addresses_found(now, &found);
    assert_eq!(attempts(&world), 0);

    world.crash(1);
    world.run(secs(10));
    let now = world.now;
    world.hosts[0].protocol.addresses_found(now, &found);
    assert_eq!(attempts(&world), 1);
}
