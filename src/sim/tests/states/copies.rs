//! Copies that fell behind while they were cut off for a moment.

use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::{millis, name, secs};
use crate::config::Config;
use crate::member::Member;
use crate::sim::Cluster;

/// How long copies take beyond five round trips after a cut of 1 s, during which all members write: `one_way` is the
/// longest way.
fn behind(seed: u64, loss: f64, one_way: Duration) -> Duration {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let cluster = Cluster::new(seed);
    let n = rng.random_range(3..24);
    let members: Vec<Member> = (0..n).map(|i| cluster.add(Config::lan().name(name(i))).unwrap()).collect();
    cluster.acquaint();
    cluster.loss(loss);
    cluster.latency(one_way / 2..one_way);
    cluster.run(secs(60));
    cluster.split(&[&name(rng.random_range(0..n))]);
    for member in &members {
        for key in 0..rng.random_range(1..6) {
            member.set(&format!("key {key}"), vec![7; rng.random_range(0..100)]).unwrap();
        }
    }
    cluster.run(secs(1));
    cluster.heal();
    let since = cluster.now();
    let is_equal = |other: &Member, own: &Member| {
        let own = own.local();
        other.node(own.name()).is_some_and(|node| node.state().eq(own.state()))
    };
    let all = |_: &Cluster| members.iter().all(|own| members.iter().all(|other| is_equal(other, own)));
    assert!(cluster.run_until(secs(300), all));
    (cluster.now() - since).saturating_sub(one_way * 10)
}

/// What one node had written behind the cut spread from copy to copy, comparison by comparison, and an answer that was
/// lost was awaited for 10 s before another holder was asked: without loss up to 4 s at 1 ms and 6 s at 500 ms, with 10 %
/// loss up to 18 s.
#[test]
fn copies_that_were_cut_off_catch_up_in_five_round_trips_and_a_moment() {
    // Where a round trip takes a second, each loss costs a second or two.
    for (one_way, loss, half, most) in
        [(1, 0.0, 500, 3_000), (1, 0.1, 600, 3_000), (500, 0.0, 0, 3_000), (500, 0.1, 500, 5_000)]
    {
        let mut all: Vec<Duration> = (0..60).map(|seed| behind(seed, loss, millis(one_way))).collect();
        all.sort_unstable();
        println!("{one_way} ms, loss {loss}: half within {:?}, all within {:?}", all[30], all[59]);
        assert!(all[30] <= millis(half) && all[59] <= millis(most), "{one_way} ms, loss {loss}: {all:?}");
    }
}
