//! A rule that is left out is missing.

use std::time::Duration;

use super::{name, secs};
use crate::config::Config;
use crate::member::Member;
use crate::node::Status;
use crate::sim::{Cluster, Rule};

/// Members that know each other.
fn cluster(seed: u64, n: usize, without: &[Rule]) -> (Cluster, Vec<Member>) {
    let cluster = Cluster::new(seed);
    without.iter().for_each(|rule| cluster.without(*rule));
    let members = (0..n).map(|index| cluster.add(Config::lan().name(name(index))).unwrap()).collect();
    cluster.acquaint();
    cluster.run(secs(2));
    (cluster, members)
}

/// How long a piece of news needs to reach all.
fn news(without: &[Rule]) -> Duration {
    let (cluster, members) = cluster(31, 30, without);
    let began = cluster.now();
    cluster.touch("n3");
    let knows = |member: &Member| member.node("n3").unwrap().incarnation() == 1;
    assert!(cluster.run_until(secs(10), |_| members.iter().all(knows)));
    cluster.now() - began
}

/// How long a crash needs to be known to all.
fn death(without: &[Rule]) -> Duration {
    let (cluster, members) = cluster(32, 30, without);
    let began = cluster.now();
    cluster.crash("n3");
    let knows = |member: &Member| member.node("n3").unwrap().status() == Status::Dead;
    let mut others = members.iter().filter(|member| member.name() != "n3");
    assert!(cluster.run_until(secs(120), |_| others.clone().all(knows)));
    assert!(others.all(|member| member.nodes().len() == 29));
    cluster.now() - began
}

#[test]
fn news_waits_for_ticks_if_it_does_not_leave_at_once() {
    assert!(news(&[]) < Duration::from_millis(20));
    let by_ticks = news(&[Rule::Burst, Rule::Ring]);
    assert!(by_ticks > Duration::from_millis(100), "{by_ticks:?}");
}

#[test]
fn a_death_takes_longer_by_the_rules_of_lifeguard() {
    assert!(death(&[]) < secs(6));
    // Five seconds times log10(16), and a probe before that.
    let slow = death(&[Rule::QuickBurial, Rule::Ladder]);
    assert!(slow > secs(6), "{slow:?}");
}

#[test]
fn members_hold_together_without_any_one_rule() {
    for rule in Rule::ALL {
        let (cluster, _members) = cluster(33, 12, &[*rule]);
        cluster.loss(0.02);
        cluster.run(secs(30));
        cluster.loss(0.0);
        cluster.crash("n5");
        cluster.assert_buried();
    }
}
