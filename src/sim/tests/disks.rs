//! Virtual disks, and the snapshots that members keep there.

use std::time::Duration;

use super::{name, secs};
use crate::config::Config;
use crate::error::Error;
use crate::member::Member;
use crate::sim::{Clock, Cluster, DiskImage, DiskState};

const PATH: &str = "/var/lib/members";

fn config(name: &str) -> Config {
    Config::lan().name(name).snapshot(PATH)
}

/// A cluster of members with a snapshot and without a seed.
fn cluster(n: usize) -> (Cluster, Vec<Member>) {
    let cluster = Cluster::new(1);
    let members: Vec<Member> = (0..n).map(|index| cluster.add(config(&name(index))).unwrap()).collect();
    for member in &members[1..] {
        member.join("n0").unwrap();
    }
    cluster.run(secs(3));
    assert!(cluster.is_converged());
    (cluster, members)
}

#[test]
fn a_whole_cluster_that_was_down_finds_together_without_a_seed() {
    let (cluster, members) = cluster(5);
    let before: Vec<u64> = members.iter().map(|member| member.local().generation()).collect();
    for index in 0..5 {
        cluster.crash(&name(index));
    }
    cluster.run(secs(3_600));
    let again: Vec<Member> =
        (0..5).map(|index| cluster.restart(&name(index), config(&name(index))).unwrap()).collect();
    cluster.assert_converged();
    for (member, before) in again.iter().zip(before) {
        assert!(member.local().generation() > before);
        assert_eq!(member.metrics().snapshot_errors, 0);
    }
}

#[test]
fn a_run_after_a_clock_that_went_back_has_a_higher_generation_if_the_disk_was_kept() {
    for keeps in [true, false] {
        let (cluster, members) = cluster(2);
        let before = members[1].local().generation();
        cluster.crash("n1");
        cluster.clock("n1", Clock::behind(secs(86_400)));
        if !keeps {
            cluster.put_disk_image("n1", DiskImage::default());
        }
        let again = cluster.restart("n1", config("n1")).unwrap();
        assert_eq!(again.local().generation() > before, keeps);
    }
}

#[test]
fn what_was_kept_comes_back_and_what_was_saved_survives_a_crash() {
    let (cluster, _members) = cluster(2);
    let member = cluster.restart("n1", config("n1").keep_state(true)).unwrap();
    member.set("shards", "0-31").unwrap();
    member.save_snapshot().unwrap();
    cluster.crash("n1");
    let again = cluster.restart("n1", config("n1").keep_state(true)).unwrap();
    assert_eq!(again.local().text("shards"), Some("0-31"));
    again.set("shards", "32-63").unwrap();
    // What is over without a crash is written for the last time.
    again.shutdown().unwrap();
    let last = cluster.restart("n1", config("n1").keep_state(true)).unwrap();
    assert_eq!(last.local().text("shards"), Some("32-63"));
}

#[test]
fn a_storm_of_changes_costs_one_write_a_second() {
    let (cluster, _members) = cluster(2);
    let member = cluster.restart("n1", config("n1").keep_state(true)).unwrap();
    let before = member.metrics().snapshots_written;
    for value in 0..200 {
        member.set("load", format!("{value}")).unwrap();
        cluster.run(Duration::from_millis(50));
    }
    let writes = member.metrics().snapshots_written - before;
    assert!((8..=12).contains(&writes), "{writes}");
    cluster.run(secs(60));
    let at_rest = member.metrics().snapshots_written;
    cluster.run(secs(60));
    assert_eq!(member.metrics().snapshots_written, at_rest);
}

#[test]
fn a_full_disk_is_an_error_that_is_counted_and_tried_again_later_each_time() {
    let (cluster, members) = cluster(2);
    let image = cluster.disk_image("n1");
    cluster.disk("n1", DiskState::Full);
    cluster.crash("n0");
    cluster.run(secs(10));
    assert!(matches!(members[1].save_snapshot(), Err(Error::Io { .. })));
    let early = members[1].metrics().snapshot_errors;
    cluster.run(secs(300));
    let late = members[1].metrics().snapshot_errors;
    assert!(early >= 2 && (early + 3..early + 12).contains(&late), "{early} {late}");
    assert_eq!(cluster.disk_image("n1"), image, "the one before is still there");
    let again = cluster.restart("n1", config("n1")).unwrap();
    cluster.disk("n1", DiskState::Well);
    cluster.run(secs(70));
    assert_ne!(cluster.disk_image("n1"), image);
    assert!(again.metrics().snapshots_written > 0);
}

#[test]
fn a_disk_that_fails_stops_the_start_and_not_the_member() {
    let (cluster, members) = cluster(2);
    cluster.disk("n1", DiskState::Failing);
    assert!(matches!(members[1].save_snapshot(), Ok(())), "nothing has changed");
    members[1].leave(secs(5)).unwrap();
    assert!(matches!(cluster.restart("n1", config("n1")), Err(Error::Io { .. })));
    cluster.disk("n1", DiskState::Well);
    let again = cluster.restart("n1", config("n1")).unwrap();
    again.wait_until(secs(10), |nodes| nodes.len() == 2).unwrap();
}

#[test]
fn what_is_no_snapshot_is_set_aside() {
    let cluster = Cluster::new(1);
    let mut image = DiskImage::default();
    image.write(PATH, b"a shopping list");
    cluster.put_disk_image("a", image);
    let _a = cluster.add(config("a")).unwrap();
    let image = cluster.disk_image("a");
    assert_eq!(image.read(format!("{PATH}.set-aside-1")), Some(&b"a shopping list"[..]));
    assert_eq!(image.paths().count(), 2);
}

#[test]
fn a_disk_that_goes_back_in_time_harms_nobody() {
    let (cluster, _members) = cluster(4);
    let yesterday = cluster.disk_image("n3");
    for _ in 0..3 {
        let _again = cluster.restart("n3", config("n3")).unwrap();
        cluster.run(secs(3_600));
    }
    cluster.crash("n3");
    cluster.put_disk_image("n3", yesterday);
    let _last = cluster.restart("n3", config("n3")).unwrap();
    cluster.assert_converged();
}

#[test]
fn a_snapshot_that_was_removed_is_written_again_when_asked() {
    let (cluster, members) = cluster(2);
    let mut image = cluster.disk_image("n0");
    assert!(image.remove(PATH));
    cluster.put_disk_image("n0", image);
    members[0].save_snapshot().unwrap();
    assert!(cluster.disk_image("n0").read(PATH).is_some());
}

#[test]
fn a_stream_of_events_is_waited_for_in_virtual_time() {
    let cluster = Cluster::new(1);
    let a = cluster.add(Config::lan().name("a")).unwrap();
    let events = a.events();
    let since = cluster.now();
    assert!(matches!(cluster.next_event(&events, secs(7)), Err(Error::Timeout)));
    assert_eq!(cluster.now() - since, secs(7));
    let _b = cluster.add(Config::lan().name("b")).unwrap().join("a").unwrap();
    assert_eq!(cluster.next_event(&events, secs(7)).unwrap().node().unwrap().name(), "b");
    assert!(cluster.now() - since < secs(8));
    a.shutdown().unwrap();
    assert!(matches!(cluster.next_event(&events, secs(7)), Err(Error::Closed)));
}
