//! Requests over long round trips.

use std::time::Duration;

use super::{name, secs};
use crate::config::Config;
use crate::member::Member;
use crate::sim::Cluster;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How many datagrams all members have sent.
fn sent(members: &[Member]) -> u64 {
    members.iter().map(|member| member.metrics().datagrams_sent).sum()
}

/// A cluster whose round trips have become longer: how many datagrams it sends a second at rest.
fn far(seed: u64, n: usize, config: fn() -> Config, one_way: Duration) -> (Cluster, Vec<Member>, f64) {
    let cluster = Cluster::new(seed);
    let members: Vec<Member> = (0..n).map(|i| cluster.add(config().name(name(i))).unwrap()).collect();
    cluster.acquaint();
    cluster.run(secs(10));
    cluster.latency(one_way..one_way * 11 / 10);
    cluster.run(secs(300));
    let before = sent(&members);
    cluster.run(secs(60));
    let rate = (sent(&members) - before) as f64 / 60.0;
    (cluster, members, rate)
}

/// A request was given up after 0.95 s (LAN) or 4.75 s (WAN), and its answer was thrown away. The state was there after
/// 131 to 172 s, with 70 datagrams for each key and receiver, where an answer took 1 s (LAN); and not within an hour where
/// it took 6 s (WAN). In the profile for one machine a member took a silence of half a second for an absence, with one
/// other member a second away, and believed no answer.
#[test]
fn a_state_arrives_in_a_few_round_trips_however_long_they_are() {
    const KEYS: usize = 40;
    type Place = (fn() -> Config, usize, u64);
    let places: [Place; 7] = [
        (Config::local, 8, 500),
        (Config::local, 2, 500),
        (Config::lan, 8, 500),
        (Config::lan, 2, 500),
        (Config::lan, 8, 5_000),
        (Config::wan, 8, 2_500),
        (Config::wan, 2, 5_000),
    ];
    for (config, n, one_way) in places {
        let (cluster, members, at_rest) = far(1, n, config, millis(one_way));
        let (since, before) = (cluster.now(), sent(&members));
        for key in 0..KEYS {
            members[1].set(&format!("key {key}"), vec![7; 900]).unwrap();
        }
        let count = |member: &Member| member.node("n1").map_or(0, |node| node.state().count());
        let all = cluster.run_until(secs(900), |_| members.iter().all(|member| count(member) == KEYS));
        let took = cluster.now() - since;
        let extra = (sent(&members) - before) as f64 - at_rest * took.as_secs_f64();
        let (trips, each) = (took.as_secs_f64() * 500.0 / one_way as f64, extra / (KEYS * (n - 1)) as f64);
        println!(
            "{n} members, one way {one_way} ms: {all}, {trips:.1} round trips, {each:.1} datagrams each"
        );
        // One datagram of a state goes each round trip.
        assert!(
            all && trips < (KEYS + 10) as f64,
            "{n} members, one way {one_way} ms: {trips:.1} round trips"
        );
        assert!(
            each < 24.0,
            "{n} members, one way {one_way} ms: {each:.1} datagrams for each key and receiver"
        );
    }
}
