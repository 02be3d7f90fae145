//! A rule that is left out is missing.

use super::{name, secs};
use crate::config::Config;
use crate::member::Member;
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
