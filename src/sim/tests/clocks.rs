//! Wall clocks that are off, and that drift.

use std::time::Duration;

use super::{cluster, secs};
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::member::Member;
use crate::sim::{Clock, Cluster};

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_clock_shows_what_it_was_set_to_and_drifts_from_there() {
    let cluster = Cluster::new(1);
    let right = cluster.wall("a");
    cluster.clock("b", Clock::ahead(400 * DAY));
    cluster.clock("c", Clock::behind(DAY).drifting(-10_000));
    cluster.clock("d", Clock::behind(100_000 * DAY));
    assert_eq!(cluster.wall("b"), right + 400 * DAY);
    cluster.run(secs(100));
    assert_eq!(cluster.wall("a"), right + secs(100));
    assert_eq!(cluster.wall("b"), right + 400 * DAY + secs(100));
    assert_eq!(cluster.wall("c"), right - DAY + secs(99));
    assert_eq!(cluster.wall("d"), Duration::ZERO, "there is nothing before 1970");
    cluster.clock("b", Clock::right().drifting(1_000_000));
    cluster.run(secs(10));
    assert_eq!(cluster.wall("b"), right + secs(120));
}

#[test]
fn a_run_is_numbered_by_the_clock_that_its_host_has_when_it_starts() {
    let (cluster, members) = cluster(2, 3);
    let millis = |generation: u64| generation >> 22;
    let before = millis(members[1].local().generation());
    cluster.clock("n1", Clock::ahead(10 * DAY));
    cluster.run(secs(5));
    assert_eq!(millis(members[1].local().generation()), before, "the process has read it");
    let again = cluster.restart("n1", Config::lan()).unwrap();
    let days = (millis(again.local().generation()) - before) / 86_400_000;
    assert_eq!(days, 10);
    cluster.crash("n1");
    assert_eq!(cluster.wall("n1"), cluster.wall("n0") + 10 * DAY, "a crash does not set a clock");
}

#[test]
fn an_hour_between_clocks_harms_nobody() {
    let cluster = Cluster::new(3);
    for (name, clock) in
        [("a", Clock::right()), ("b", Clock::ahead(secs(1_800))), ("c", Clock::behind(secs(1_800)))]
    {
        cluster.clock(name, clock.drifting(100));
    }
    let start = |name: &str| cluster.add(Config::lan().name(name).seeds(["a", "b", "c"])).unwrap();
    let _members = ["a", "b", "c"].map(start);
    cluster.run(secs(10));
    assert!(cluster.is_converged());
    let _again = cluster.restart("c", Config::lan().seeds(["a", "b"])).unwrap();
    cluster.assert_converged();
}

#[test]
fn the_time_of_a_member_is_virtual_and_goes_on_after_its_end() {
    let (cluster, members) = cluster(4, 2);
    let since = (cluster.now(), members[0].now());
    assert_eq!(since.0, since.1);
    cluster.clock("n0", Clock::ahead(DAY).drifting(500_000));
    cluster.run(secs(10));
    assert_eq!(members[0].now() - since.1, secs(10));
    members[0].shutdown().unwrap();
    let again = cluster.restart("n0", Config::lan()).unwrap();
    cluster.run(secs(3));
    assert_eq!(again.now(), secs(3));
    assert_eq!(members[0].now(), cluster.now());
}

/// The check took it for a message that nobody had sent: it knows a run by the number that it began with.
#[test]
fn a_message_may_come_under_a_higher_number_than_it_was_sent_under() {
    for seed in 0..20 {
        let (cluster, members) = cluster(seed, 3);
        let events = members[0].events();
        cluster.crash("n1");
        cluster.clock("n1", Clock::behind(DAY));
        cluster.run(Duration::from_millis(100));
        let greets = |member: &Member, event: Event| {
            if let Event::Joined(node) = event {
                // It may be restarted before this is through.
                let _ = member.send(node.name(), b"hello");
            }
        };
        cluster.loss(0.3);
        let again = cluster.restart("n1", Config::lan().on_event(greets)).unwrap();
        let _ = again.join("n0");
        cluster.loss(0.0);
        cluster.assert_converged();
        assert!(events.try_iter().filter(|event| matches!(event, Event::Message { .. })).count() <= 1);
    }
}

/// Two pairs meet first. Then a member with a right clock asks one with a wrong clock, or is asked by it, and the join
/// has to succeed.
#[test]
fn clocks_that_are_years_apart_keep_nobody_out() {
    let year = 365 * DAY;
    let pairs = [
        (Clock::behind(2 * year), Clock::right()),
        (Clock::behind(20 * year), Clock::right()),
        (Clock::behind(1_000 * year), Clock::right()),
        (Clock::right(), Clock::ahead(400 * DAY)),
        (Clock::right(), Clock::ahead(70 * year)),
    ];
    for (first, second) in pairs {
        for asks_first in [true, false] {
            let cluster = Cluster::new(1);
            for (name, clock) in [("a", first), ("b", first), ("c", second), ("d", second)] {
                cluster.clock(name, clock);
            }
            let [a, _b, c, _d] = ["a", "b", "c", "d"].map(|name| {
                let member = cluster.add(Config::lan().name(name)).unwrap();
                let _ = member.join(if name < "c" { "a" } else { "c" });
                member
            });
            let joined = if asks_first { a.join("c") } else { c.join("a") };
            assert!(joined.is_ok(), "{first:?} and {second:?}: {joined:?}");
            cluster.assert_converged();
            assert_eq!((a.nodes().len(), c.nodes().len()), (4, 4));
            // The other way round, at another address.
            cluster.clock("d", first);
            cluster.crash("d");
            let again = cluster.restart("d", Config::lan().advertise("10.7.7.7:7990")).unwrap();
            again.join("b").unwrap();
            cluster.assert_converged();
        }
    }
}

#[test]
fn a_host_whose_clock_is_beyond_2100_is_told_and_is_in_no_view() {
    let (cluster, members) = cluster(1, 3);
    cluster.clock("x", Clock::ahead(80 * 365 * DAY));
    let x = cluster.add(Config::lan().name("x")).unwrap();
    let error = x.join("n0").unwrap_err();
    let Error::Join(reasons) = &error else { panic!("{error}") };
    assert!(matches!(reasons[..], [(_, Error::ClockAhead)]), "{error}");
    cluster.run(secs(10));
    assert!(x.nodes().len() == 1 && members.iter().all(|member| member.nodes().len() == 3));
    cluster.clock("x", Clock::right());
    let x = cluster.restart("x", Config::lan()).unwrap();
    x.join("n0").unwrap();
    cluster.assert_converged();
}
