//! Crashes, seen by the others. A member that is shut down without a leave has crashed, to them.

use headcount::{Error, Status};

use crate::rig::{Watch, cluster, names};

#[test]
fn of_two_members_one_detects_the_death_of_the_other() {
    let [a, b] = cluster(["a", "b"]);
    let mut watch = Watch::over(&a);
    b.shutdown().unwrap();
    watch.expect("b suspected");
    watch.expect("b died");
    assert_eq!(names(&a), ["a"]);
    assert_eq!(a.node("b").unwrap().status(), Status::Dead);
    watch.expect_quiet();
}

#[test]
fn each_survivor_is_told_once_and_nobody_else_is_suspected() {
    let [a, b, c, d, e] = cluster(["a", "b", "c", "d", "e"]);
    let mut watches = [&a, &b, &c, &d].map(Watch::over);
    e.shutdown().unwrap();
    for watch in &mut watches {
        watch.expect("e suspected");
        watch.expect("e died");
    }
    for watch in &mut watches {
        watch.expect_quiet();
    }
}

#[test]
fn the_last_handle_dropped_is_a_crash_to_the_others() {
    let [a, b] = cluster(["a", "b"]);
    let mut watch = Watch::over(&a);
    drop(b);
    watch.expect("b suspected");
    watch.expect("b died");
}

#[test]
fn two_deaths_at_once_are_both_detected() {
    let [a, b, c, d, e] = cluster(["a", "b", "c", "d", "e"]);
    let mut watches = [&a, &b, &c].map(Watch::over);
    d.shutdown().unwrap();
    e.shutdown().unwrap();
    for watch in &mut watches {
        let mut told: Vec<String> = (0..4).map(|_| crate::rig::short(&watch.next())).collect();
        told.sort();
        assert_eq!(told, ["d died", "d suspected", "e died", "e suspected"]);
    }
}

#[test]
fn a_quiet_cluster_reports_nothing() {
    let members = cluster(["a", "b", "c"]);
    let mut watches = members.each_ref().map(Watch::over);
    for watch in &mut watches {
        watch.expect_quiet();
    }
}

#[test]
fn a_ping_measures_the_round_trip() {
    let [a, b] = cluster(["a", "b"]);
    assert!(!a.ping("b").unwrap().is_zero());
    assert!(!b.ping("a").unwrap().is_zero());
}

#[test]
fn a_ping_of_the_unknown_and_of_the_dead_fails_and_says_why() {
    let [a, b] = cluster(["a", "b"]);
    match a.ping("nobody") {
        Err(Error::UnknownNode(name)) => assert_eq!(name, "nobody"),
        other => panic!("{other:?}"),
    }
    b.shutdown().unwrap();
    a.ping("b").unwrap_err();
}

#[test]
fn only_the_dead_can_be_made_to_leave() {
    let [a, b] = cluster(["a", "b"]);
    assert!(matches!(a.force_leave("nobody"), Err(Error::UnknownNode(_))));
    assert!(matches!(a.force_leave("b"), Err(Error::Refused)));
    let mut watch = Watch::over(&a);
    b.shutdown().unwrap();
    watch.expect("b suspected");
    watch.expect("b died");
    a.force_leave("b").unwrap();
    assert_eq!(a.node("b").unwrap().status(), Status::Left);
}
