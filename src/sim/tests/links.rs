//! Links that never carry anything: what a cluster sends then, and what it still detects.

use super::{name, secs};
use crate::config::Config;
use crate::member::Member;
use crate::sim::Cluster;

/// Members that know each other, where only some pairs reach each other.
fn cluster(seed: u64, n: usize, reaches: impl Fn(usize, usize) -> bool) -> (Cluster, Vec<Member>) {
    let cluster = Cluster::new(seed);
    let members = (0..n).map(|index| cluster.add(Config::lan().name(name(index))).unwrap()).collect();
    cluster.acquaint();
    for a in 0..n {
        for b in (0..n).filter(|b| !reaches(a, *b)) {
            cluster.cut(&name(a), &name(b));
        }
    }
    (cluster, members)
}

fn sent(members: &[Member]) -> u64 {
    members.iter().map(|member| member.metrics().datagrams_sent).sum()
}

/// Two cliques of eight, and a node that reaches them all.
fn is_bridged(a: usize, b: usize) -> bool {
    a == 16 || b == 16 || (a < 8) == (b < 8)
}

/// At rest a member sends two datagrams a second. Here it sent forty.
#[test]
fn two_cliques_with_a_bridge_send_at_most_five_times_what_they_send_at_rest() {
    let (cluster, members) = cluster(1, 17, is_bridged);
    cluster.run(secs(180));
    let before = sent(&members);
    cluster.run(secs(120));
    let each = (sent(&members) - before) as f64 / 120.0 / 17.0;
    assert!(each <= 10.0, "{each}");
    assert!(members.iter().all(|member| member.nodes().len() == 17));
}

/// Nothing reaches a node three steps away, not even by way of a relay. A member sent 25 datagrams a second.
#[test]
fn a_circle_sends_at_most_five_times_what_it_sends_at_rest() {
    let (cluster, members) = cluster(1, 8, |a, b| matches!((a + 8 - b) % 8, 0 | 1 | 7));
    cluster.run(secs(300));
    let before = sent(&members);
    cluster.run(secs(300));
    let each = (sent(&members) - before) as f64 / 300.0 / 8.0;
    assert!(each <= 10.0, "{each}");
}

/// Accusations from beyond a link that carries nothing are refuted again and again. That delays no member with a good
/// link.
#[test]
fn a_crash_beyond_a_bridge_is_found_as_soon_as_any_other() {
    let (cluster, members) = cluster(2, 17, is_bridged);
    cluster.run(secs(180));
    cluster.crash(&name(12));
    let is_gone = |_: &Cluster| {
        members
            .iter()
            .enumerate()
            .all(|(index, member)| index == 12 || member.nodes().get(&name(12)).is_none())
    };
    assert!(cluster.run_until(secs(10), is_gone));
}
