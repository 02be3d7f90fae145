//! What does not fit through: bytes a second, and datagrams that are too large.

use std::time::Duration;

use super::{cluster, secs};
use crate::config::Config;
use crate::error::Error;
use crate::member::Member;
use crate::sim::{Cluster, Oversize, Width};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How long a message of 10,000 bytes takes from `n1` to `n0`.
fn takes(cluster: &Cluster, members: &[Member]) -> Duration {
    let since = cluster.now();
    members[1].send("n0", &[7; 10_000]).unwrap();
    cluster.now() - since
}

type Narrowing<'a> = &'a dyn Fn(&Cluster, Option<Width>);
type Limiting<'a> = &'a dyn Fn(&Cluster, usize, Oversize);

#[test]
fn what_goes_through_a_width_takes_the_time_that_it_says() {
    let narrow: [Narrowing<'_>; 4] = [
        &|cluster, width| cluster.uplink("n1", width),
        &|cluster, width| cluster.downlink("n0", width),
        &|cluster, width| cluster.width_between("n1", "n0", width),
        &|cluster, width| cluster.width(width),
    ];
    for narrow in narrow {
        let (cluster, members) = cluster(1, 2);
        let _events = members[0].events();
        assert!(takes(&cluster, &members) < millis(10));
        narrow(&cluster, Some(Width::new(10_000).queue(secs(5))));
        let taken = takes(&cluster, &members);
        assert!((millis(950)..millis(2_500)).contains(&taken), "{taken:?}");
        narrow(&cluster, None);
        cluster.run(secs(5));
        assert!(takes(&cluster, &members) < millis(10));
    }
}

#[test]
fn a_width_of_all_links_is_one_for_each() {
    let (cluster, members) = cluster(2, 4);
    let _events = members[0].events();
    cluster.width(Width::new(10_000).queue(secs(5)));
    let since = cluster.now();
    for sender in &members[1..] {
        sender.send("n0", &[7; 5_000]).unwrap();
    }
    assert!(cluster.now() - since < millis(2_500));
    assert!(cluster.now() - since > millis(1_400));
}

#[test]
fn what_finds_no_room_in_a_queue_is_dropped() {
    for width in [Width::new(2_000).queue(millis(100)), Width::new(2_000).queue_bytes(1_000)] {
        let cluster = Cluster::new(3);
        let a = cluster.add(Config::lan().name("a").send_timeout(secs(3))).unwrap();
        let b = cluster.add(Config::lan().name("b")).unwrap().join("a").unwrap();
        let _events = b.events();
        cluster.run(secs(1));
        cluster.uplink("a", width);
        let before = cluster.fates();
        assert!(matches!(a.send("b", &[7; 100_000]), Err(Error::Timeout)));
        let after = cluster.fates();
        assert!(after.no_room > before.no_room);
        // No more has come than fits through, and a queue.
        let bytes = b.metrics().bytes_received;
        assert!(bytes < 12_000, "{bytes}");
    }
}

#[test]
fn a_datagram_that_is_too_large_is_swallowed_or_refused() {
    let narrow: [Limiting<'_>; 3] = [
        &|cluster, bytes, beyond| cluster.largest_between("a", "b", bytes, beyond),
        &|cluster, bytes, beyond| cluster.largest_of("a", bytes, beyond),
        &|cluster, bytes, beyond| cluster.largest(bytes, beyond),
    ];
    for narrow in narrow {
        for beyond in [Oversize::Swallowed, Oversize::Refused] {
            let cluster = Cluster::new(4);
            let a = cluster.add(Config::lan().name("a").send_timeout(secs(2))).unwrap();
            let b = cluster.add(Config::lan().name("b")).unwrap().join("a").unwrap();
            let _events = b.events();
            narrow(&cluster, 1_000, beyond);
            a.send("b", &[7; 500]).unwrap();
            assert!(matches!(a.send("b", &[7; 5_000]), Err(Error::Timeout)));
            let (errors, fates) = (a.metrics().socket_errors, cluster.fates());
            let refused = beyond == Oversize::Refused;
            assert_eq!((errors > 0, fates.refused > 0, fates.swallowed > 0), (refused, refused, !refused));
            assert_eq!(b.metrics().socket_errors, 0);
            narrow(&cluster, usize::MAX, beyond);
            a.send("b", &[7; 5_000]).unwrap();
        }
    }
}

#[test]
fn what_comes_in_too_large_is_swallowed() {
    let cluster = Cluster::new(5);
    let a = cluster.add(Config::lan().name("a").send_timeout(secs(2))).unwrap();
    let b = cluster.add(Config::lan().name("b")).unwrap().join("a").unwrap();
    let _events = b.events();
    cluster.largest_of("b", 1_000, Oversize::Refused);
    assert!(matches!(a.send("b", &[7; 5_000]), Err(Error::Timeout)));
    assert_eq!(a.metrics().socket_errors, 0);
    assert!(cluster.fates().swallowed > 0);
}

#[test]
fn fates_tell_where_datagrams_have_ended() {
    let (cluster, members) = cluster(6, 3);
    let fates = cluster.fates();
    assert_eq!(fates.sent, fates.arrived + in_flight(&cluster));
    cluster.crash("n2");
    cluster.run(secs(5));
    let gone = cluster.fates();
    assert!(gone.nobody_there > fates.nobody_there);
    cluster.split(&["n1"]);
    cluster.run(secs(5));
    let cut = cluster.fates();
    assert!(cut.cut > gone.cut);
    cluster.heal();
    cluster.loss(0.5);
    cluster.run(secs(5));
    assert!(cluster.fates().lost > 0);
    cluster.pause("n1");
    cluster.loss(0.0);
    for _ in 0..2_000 {
        let _ = members[0].broadcast(&[0; 1_000]);
    }
    cluster.run(secs(60));
    let last = cluster.fates();
    assert_eq!(
        last.sent,
        last.arrived + last.lost + last.cut + last.nobody_there + last.not_read + in_flight(&cluster)
    );
}

/// Datagrams that are still on their way.
fn in_flight(cluster: &Cluster) -> u64 {
    cluster.sim.world().in_flight()
}
