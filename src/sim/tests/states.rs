//! How a state gets to a copy: far away, behind a compaction, among much else, while its keys come and go.

mod copies;

use std::collections::VecDeque;
use std::time::Duration;

use super::{name, secs};
use crate::config::Config;
use crate::error::Error;
use crate::member::Member;
use crate::sim::Cluster;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A cluster of `n`, whose datagrams take half of `round_trip`.
fn cluster(seed: u64, n: usize, profile: fn() -> Config, round_trip: Duration) -> (Cluster, Vec<Member>) {
    let cluster = Cluster::new(seed);
    cluster.latency(round_trip / 2..round_trip / 2 + millis(1));
    let members: Vec<Member> =
        (0..n).map(|index| cluster.add(profile().name(name(index))).unwrap()).collect();
    cluster.acquaint();
    cluster.run(secs(2));
    (cluster, members)
}

/// Whether a member shows of another one what that shows of itself.
fn is_right(at: &Member, of: &Member) -> bool {
    let own = of.local();
    at.node(of.name()).is_some_and(|node| node.state().eq(own.state()))
}

fn are_right(members: &[Member], of: &Member) -> bool {
    members.iter().all(|at| is_right(at, of))
}

fn write(member: &Member, keys: usize, length: usize) {
    for key in 0..keys {
        member.set(&format!("key-{key:04}"), vec![7; length]).unwrap();
    }
}

/// Keys that come and go, twenty of which are there at any time.
#[derive(Default)]
struct Sessions {
    next: u64,
    open: VecDeque<u64>,
}

impl Sessions {
    /// So many come and go in this time.
    fn run(&mut self, cluster: &Cluster, member: &Member, count: u32, time: Duration) {
        for _ in 0..count {
            member.set(&format!("session-{}", self.next), b"up").unwrap();
            self.open.push_back(self.next);
            self.next += 1;
            if self.open.len() > 20
                && let Some(over) = self.open.pop_front()
            {
                member.remove(&format!("session-{over}")).unwrap();
            }
            member.set("clock", self.next.to_string()).unwrap();
            cluster.run(time / count);
        }
    }

    /// How many a member does not show that have come.
    fn behind(&self, at: &Member, of: &Member) -> u64 {
        let shown = at.node(of.name()).and_then(|node| node.text("clock").map(str::to_owned));
        self.next - shown.map_or(0, |clock| clock.parse().unwrap())
    }
}

/// It took one comparison of views for each datagram: 25 s with the timings of a LAN, 114 s with those of a WAN.
#[test]
fn a_copy_that_its_owners_compaction_has_passed_is_repaired_in_a_few_round_trips() {
    for (profile, round_trip, most) in
        [(Config::lan as fn() -> Config, millis(1), millis(500)), (Config::wan, millis(100), secs(2))]
    {
        for seed in 1..=3 {
            let (cluster, members) = cluster(seed, 5, profile, round_trip);
            let (owner, copy) = (&members[0], &members[4]);
            write(owner, 500, 100);
            let mut sessions = Sessions::default();
            sessions.run(&cluster, owner, 400, secs(2));
            assert!(cluster.run_until(secs(5), |_| are_right(&members, owner)));
            cluster.split(&["n4"]);
            sessions.run(&cluster, owner, 400, secs(10));
            cluster.heal();
            // Found out by whatever comes first; from there on it is the repair that takes its time.
            let syncs: u64 = members.iter().map(|member| member.metrics().syncs).sum();
            let is_found = |_: &Cluster| {
                let now: u64 = members.iter().map(|member| member.metrics().syncs).sum();
                is_right(copy, owner) || now > syncs
            };
            assert!(cluster.run_until(secs(30), is_found));
            let since = cluster.now();
            assert!(cluster.run_until(secs(120), |_| is_right(copy, owner)));
            let taken = cluster.now() - since;
            assert!(taken <= most, "seed {seed}, round trip {round_trip:?}: {taken:?}");
        }
    }
}

/// All but the last hundred were wrong for seven seconds, or until the next write.
#[test]
fn four_hundred_writes_at_once_are_everywhere_in_a_few_round_trips() {
    for (profile, round_trip, most) in
        [(Config::lan as fn() -> Config, millis(1), millis(500)), (Config::wan, millis(100), secs(2))]
    {
        let (cluster, members) = cluster(4, 5, profile, round_trip);
        let owner = &members[0];
        write(owner, 500, 60);
        assert!(cluster.run_until(secs(30), |_| are_right(&members, owner)));
        let bursts: [&dyn Fn(usize); 3] = [
            &|key| drop(owner.remove(&format!("key-{key:04}"))),
            &|key| owner.set(&format!("more-{key}"), b"more").unwrap(),
            &|key| {
                owner.set("comes and goes", key.to_string()).unwrap();
                owner.remove("comes and goes").unwrap();
            },
        ];
        for (number, burst) in bursts.iter().enumerate() {
            (0..400).for_each(burst);
            owner.set("after", number.to_string()).unwrap();
            let since = cluster.now();
            assert!(cluster.run_until(secs(60), |_| are_right(&members, owner)));
            let taken = cluster.now() - since;
            assert!(taken <= most, "burst {number}, round trip {round_trip:?}: {taken:?}");
        }
    }
}

/// A newcomer had nothing at all of it after two minutes, because what it had collected was dropped whenever the
/// owner forgot tombstones. One that was cut off for a while fell further and further behind.
#[test]
fn copies_catch_up_with_a_state_whose_keys_come_and_go() {
    for per_second in [30, 200] {
        let (cluster, members) = cluster(5, 3, Config::wan, millis(100));
        cluster.loss(0.05);
        let owner = &members[0];
        write(owner, 500, 100);
        let mut sessions = Sessions::default();
        let mut run = |seconds| (0..seconds).for_each(|_| sessions.run(&cluster, owner, per_second, secs(1)));
        run(150 / per_second + 1);
        let newcomer = cluster.add(Config::wan().name("newcomer").seeds(["n0"])).unwrap();
        run(3);
        let keys = newcomer.node("n0").map_or(0, |node| node.state().count());
        assert!(keys >= 500, "{per_second} a second: {keys}");
        cluster.split(&["n2"]);
        run(150 / per_second + 1);
        cluster.heal();
        run(4);
        let copies = [members[1].clone(), members[2].clone(), newcomer];
        let behind = copies.iter().map(|copy| sessions.behind(copy, owner)).max();
        assert!(behind <= Some(u64::from(per_second) * 3), "{per_second} a second: {behind:?} behind");
        cluster.run(secs(5));
        assert!(are_right(&copies, owner));
    }
}

/// It was fetched one datagram after another: 7.8 s.
#[test]
fn a_large_state_far_away_is_here_in_a_few_round_trips() {
    for profile in [Config::lan as fn() -> Config, Config::wan] {
        let (cluster, members) = cluster(6, 2, profile, millis(150));
        write(&members[0], 100, 640);
        let since = cluster.now();
        assert!(cluster.run_until(secs(60), |_| is_right(&members[1], &members[0])));
        assert!(cluster.now() - since <= secs(2), "{:?}", cluster.now() - since);
        cluster.run(secs(10));
        let newcomer = cluster.add(profile().name("newcomer").seeds(["n0"])).unwrap();
        let since = cluster.now();
        assert!(cluster.run_until(secs(60), |_| is_right(&newcomer, &members[0])));
        assert!(cluster.now() - since <= secs(2), "{:?}", cluster.now() - since);
    }
}

/// A join returned when all of it was here, and nothing could be read before.
#[test]
fn a_join_returns_with_the_first_keys_of_all_and_the_rest_follows() {
    let (cluster, members) = cluster(7, 40, Config::lan, millis(1));
    for member in &members {
        member.set("first", b"1").unwrap();
        write(member, 95, 620);
        member.set("last", b"1").unwrap();
    }
    let has_all = |at: &Member| {
        at.nodes().iter().filter(|node| node.name() != at.name()).all(|node| node.state().count() == 97)
    };
    assert!(cluster.run_until(secs(60), |_| members.iter().all(has_all)));
    let newcomer = cluster.add(Config::lan().name("newcomer")).unwrap();
    let since = cluster.now();
    newcomer.join("n0").unwrap();
    assert!(cluster.now() - since <= millis(100), "{:?}", cluster.now() - since);
    let others = newcomer.nodes().iter().filter(|node| node.get("first").is_some()).count();
    assert_eq!(others, 40);
    assert!(cluster.run_until(secs(60), |_| has_all(&newcomer)));
    assert!(cluster.now() - since <= secs(1), "{:?}", cluster.now() - since);
}

/// The longest key and value fit into a datagram, so each member passes on what it has taken, and none holds up others.
#[test]
fn the_longest_values_are_passed_on() {
    let cluster = Cluster::new(8);
    let members = ["first", "second", "far"].map(|name| cluster.add(Config::lan().name(name)).unwrap());
    members[1].join("first").unwrap();
    let longest = "k".repeat(76);
    members[0].set(&longest, [7; 1_024]).unwrap();
    members[0].set("after", b"1").unwrap();
    let beyond = members[2].set(&"k".repeat(77), [7; 1_024]);
    assert!(matches!(beyond, Err(Error::TooLarge { what: "key and value", size: 1_101, limit: 1_100 })));
    cluster.cut("first", "far");
    members[2].join("second").unwrap();
    assert!(cluster.run_until(secs(5), |_| is_right(&members[2], &members[0])));
}
