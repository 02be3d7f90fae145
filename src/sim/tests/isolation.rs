//! Members that get no answers, and dead nodes whose death nobody can prove.

use std::time::Duration;

use super::{cluster, name, secs};
use crate::config::Config;
use crate::member::Member;
use crate::node::Status;
use crate::sim::Cluster;

/// How long it takes from now until a condition holds.
fn takes(cluster: &Cluster, limit: Duration, holds: impl FnMut(&Cluster) -> bool) -> Option<Duration> {
    let since = cluster.now();
    cluster.run_until(limit, holds).then(|| cluster.now() - since)
}

/// It took between 132 and 227 s: the member went on hearing the others for as long as they held it, and everything
/// that it heard restarted the timeout.
#[test]
fn a_member_whose_output_is_lost_is_isolated_after_the_timeout() {
    for (seed, n) in [(4, 8), (5, 16), (6, 3)] {
        let (cluster, members) = cluster(seed, n);
        cluster.run(secs(20));
        (1..n).for_each(|other| cluster.cut("n0", &name(other)));
        let alone = takes(&cluster, secs(600), |_| members[0].nodes().len() == 1);
        println!("{n} members: alone {alone:?} after the cut");
        assert!(alone.is_some_and(|alone| (secs(35)..secs(45)).contains(&alone)), "{n}: {alone:?}");
        let mut changes = 0;
        for _ in 0..600 {
            cluster.run(Duration::from_millis(100));
            changes += usize::from(members[0].nodes().len() != 1);
        }
        assert_eq!(changes, 0, "{n}: what it hears brings nobody back");
        cluster.heal();
        let back = takes(&cluster, secs(60), Cluster::is_converged);
        println!("  and back {back:?} after the heal");
        assert!(back.is_some_and(|back| back < secs(20)), "{n}: {back:?}");
    }
}

/// A day later the member still held the dead nodes: two of three of its probes were void, its health was 8, and its
/// writes went to the dead.
#[test]
fn the_dead_of_an_isolation_go_like_all_others() {
    let (cluster, members) = cluster(1, 8);
    cluster.run(secs(5));
    cluster.split(&["n0"]);
    cluster.run(secs(60));
    (1..=5).for_each(|dead| cluster.crash(&name(dead)));
    cluster.run(secs(60));
    cluster.heal();
    let gone = takes(&cluster, secs(3_600), |_| members[0].metrics().tombstones == 5);
    println!("gone {gone:?} after the heal");
    assert!(gone.is_some_and(|gone| gone < secs(90)), "{gone:?}");
    assert!(takes(&cluster, secs(60), |_| members[0].health() == 0).is_some(), "{}", members[0].health());
    let before = members[0].metrics();
    cluster.run(secs(60));
    let after = members[0].metrics();
    assert_eq!((after.probes_void, after.probes_failed), (before.probes_void, before.probes_failed));
    members[0].set("key", "value").unwrap();
    let has = |member: &Member| member.node("n0").is_some_and(|node| node.text("key") == Some("value"));
    let read = takes(&cluster, secs(10), |_| has(&members[6]) && has(&members[7]));
    println!("a write is at both others after {read:?}");
    assert!(read.is_some_and(|read| read < Duration::from_millis(100)), "{read:?}");
}

/// The survivor held 19 dead nodes, because it could not distinguish their death from a cut, and refused all newcomers
/// for good.
#[test]
fn a_lone_survivor_admits_as_many_as_take_part() {
    let config = |index: usize| Config::lan().max_nodes(20).name(name(index));
    let cluster = Cluster::new(1);
    let mut members: Vec<Member> = (0..20).map(|index| cluster.add(config(index)).unwrap()).collect();
    for member in &members[1..] {
        member.join("n0").unwrap();
    }
    cluster.assert_converged();
    (1..20).for_each(|dead| cluster.crash(&name(dead)));
    cluster.run(secs(60));
    assert_eq!(members[0].nodes().len(), 1);
    for newcomer in 20..39 {
        let member = cluster.add(config(newcomer)).unwrap();
        member.join("n0").unwrap();
        members.push(member);
    }
    let one_more = cluster.add(config(39)).unwrap();
    assert!(one_more.join("n0").is_err());
    drop(one_more);
    cluster.run(secs(120));
    assert!(cluster.is_converged());
    assert_eq!(members[0].metrics().tombstones, 19);
}

/// Each pair hears each other in one direction only: no request is ever answered.
#[test]
fn in_a_tournament_nobody_shows_the_dead() {
    for n in [4, 6, 10] {
        let (cluster, members) = cluster(1, n);
        cluster.run(secs(20));
        for one in 0..n {
            (one + 1..n).for_each(|other| cluster.cut(&name(one), &name(other)));
        }
        cluster.run(secs(600));
        cluster.crash("n0");
        let gone = takes(&cluster, secs(3_600), |_| {
            members[1..].iter().all(|member| member.nodes().get("n0").is_none())
        });
        println!("{n}: not shown {gone:?} after its crash");
        assert!(gone.is_some_and(|gone| gone < secs(60)), "{n}: {gone:?}");
    }
}

/// Only one member takes the node, by its lists. All relays answered that they did not know it, and it was shown for
/// good.
#[test]
fn a_dead_node_that_no_relay_knows_is_declared_dead_after_a_minute() {
    for n in [4, 8, 16] {
        let cluster = Cluster::new(2);
        let listed = |index: usize| {
            let config = Config::lan().name(name(index));
            if index == 0 { config } else { config.allow_names(["n*"]) }
        };
        let members: Vec<Member> = (0..n).map(|index| cluster.add(listed(index)).unwrap()).collect();
        for member in &members[1..] {
            member.join("n0").unwrap();
        }
        assert!(cluster.run_until(secs(30), Cluster::is_converged));
        let guest = cluster.add(Config::lan().name("guest")).unwrap();
        guest.join("n0").unwrap();
        cluster.run(secs(600));
        assert!(members[0].node("guest").is_some_and(|node| node.status() == Status::Alive), "{n}");
        cluster.crash("guest");
        let gone = takes(&cluster, secs(3_600), |_| members[0].nodes().get("guest").is_none());
        println!("{n}: gone {gone:?} after its crash, health {}", members[0].health());
        // Two cycles of n rounds, as the node may be the first of one and the last of the next; then 40 s, six shortest
        // suspicions, and two probes.
        let bound = secs(2 * n as u64) + secs(54);
        assert!(gone.is_some_and(|gone| gone < bound), "{n}: {gone:?}");
    }
}
