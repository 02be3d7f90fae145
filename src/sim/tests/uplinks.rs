//! Clusters whose uplinks are all narrow: 4,000 bytes a second, of which pings take 5 %, and queues of 2 s.

use std::time::Duration;

use super::{name, secs};
use crate::config::Config;
use crate::event::Event;
use crate::member::Member;
use crate::sim::{Cluster, Width};

/// What happens until something has come everywhere, and in the 30 s after it.
#[derive(Debug)]
struct Narrow {
    took: Option<Duration>,
    suspected: usize,
    died: usize,
    /// Bytes a second and member, without the headers of IP and UDP.
    bytes: f64,
}

/// Makes all uplinks narrow, does something, and watches until a condition holds, and for 30 s after that.
fn over_narrow_uplinks(
    cluster: &Cluster,
    members: &[Member],
    act: impl FnOnce(),
    mut holds: impl FnMut() -> bool,
) -> Narrow {
    for member in members {
        cluster.uplink(member.name(), Width::new(4_000).queue(secs(2)));
    }
    cluster.run(secs(30));
    let streams: Vec<_> = members.iter().map(Member::events).collect();
    let bytes = || members.iter().map(|member| member.metrics().bytes_sent).sum::<u64>();
    let (since, before) = (cluster.now(), bytes());
    act();
    let mut narrow = Narrow { took: None, suspected: 0, died: 0, bytes: 0.0 };
    let mut rest = 30;
    while rest > 0 && cluster.now() - since < secs(300) {
        cluster.run(secs(1));
        for event in streams.iter().flat_map(|events| events.try_iter()) {
            narrow.suspected += usize::from(matches!(event, Event::Suspected(_)));
            narrow.died += usize::from(matches!(event, Event::Died { .. }));
        }
        if narrow.took.is_none() && holds() {
            narrow.took = Some(cluster.now() - since);
        }
        rest -= usize::from(narrow.took.is_some());
    }
    let time = (cluster.now() - since).as_secs_f64();
    narrow.bytes = (bytes() - before) as f64 / time / members.len() as f64;
    narrow
}

/// The links could carry it in 10 s. It takes longer because all lack the same next piece, which few have.
#[test]
fn states_arrive_over_narrow_uplinks() {
    for seed in 1..=3 {
        let (cluster, members) = super::cluster(seed, 30);
        cluster.run(secs(10));
        let write = || {
            for (writer, key) in [1, 2].into_iter().flat_map(|writer| (0..18).map(move |key| (writer, key))) {
                members[writer].set(&format!("key {key}"), vec![7; 900]).unwrap();
            }
        };
        let has =
            |member: &Member, writer| member.node(writer).is_some_and(|node| node.state().count() == 18);
        let all = || members.iter().all(|member| has(member, "n1") && has(member, "n2"));
        let narrow = over_narrow_uplinks(&cluster, &members, write, all);
        println!("seed {seed}: {narrow:?}");
        assert!(narrow.took.is_some_and(|took| took <= secs(120)), "{narrow:?}");
        // One node may be declared dead by a few before its refutation is through.
        assert!(narrow.died < 10 && narrow.suspected < 1_500 && narrow.bytes < 2_300.0, "{narrow:?}");
    }
}

#[test]
fn halves_that_meet_over_narrow_uplinks_become_one_cluster() {
    let cluster = Cluster::new(1);
    let members: Vec<Member> = (0..100).map(|i| cluster.add(Config::lan().name(name(i))).unwrap()).collect();
    for (index, member) in members.iter().enumerate().filter(|(index, _)| index % 50 != 0) {
        member.join(if index < 50 { "n0" } else { "n50" }).unwrap();
    }
    cluster.run(secs(20));
    let meet = || _ = members[0].join("n50");
    let narrow =
        over_narrow_uplinks(&cluster, &members, meet, || members.iter().all(|m| m.nodes().len() == 100));
    println!("{narrow:?}");
    assert!(narrow.took.is_some_and(|took| took <= secs(60)), "{narrow:?}");
    // The two that meet may be declared dead before their refutation is through.
    assert!(narrow.died < 200 && narrow.suspected < 5_500 && narrow.bytes < 2_600.0, "{narrow:?}");
}
