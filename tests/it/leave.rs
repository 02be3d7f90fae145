//! `Member::leave`: what the others are told, and that it may be called at any time.

use std::time::{Duration, Instant};

use headcount::Status;

use crate::rig::{Watch, cluster, names, start, wait_for_count};

const GRACE: Duration = Duration::from_secs(5);

#[test]
fn a_leave_is_seen_as_left_and_as_nothing_else() {
    let [a, b, c] = cluster(["a", "b", "c"]);
    let (mut watch_a, mut watch_c) = (Watch::over(&a), Watch::over(&c));
    b.leave(GRACE).unwrap();
    watch_a.expect("b left");
    watch_c.expect("b left");
    assert_eq!(names(&a), ["a", "c"]);
    assert_eq!(a.node("b").unwrap().status(), Status::Left);
    assert!(a.all_nodes().get("b").is_some());
    watch_a.expect_quiet();
    watch_c.expect_quiet();
}

#[test]
fn a_lone_member_leaves_at_once() {
    let member = start("a");
    let began = Instant::now();
    member.leave(GRACE).unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_leave_ends_when_others_know_and_not_when_the_time_is_over() {
    let [_a, b] = cluster(["a", "b"]);
    let began = Instant::now();
    b.leave(Duration::from_secs(20)).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn all_members_may_leave_at_the_same_time() {
    let members = cluster(["a", "b", "c", "d"]);
    std::thread::scope(|scope| {
        for member in &members {
            scope.spawn(|| member.leave(GRACE).unwrap());
        }
    });
}

#[test]
fn leaving_twice_is_fine() {
    let [a, b] = cluster(["a", "b"]);
    b.leave(GRACE).unwrap();
    b.leave(GRACE).unwrap();
    b.shutdown().unwrap();
    wait_for_count(&a, 1);
}

#[test]
fn a_leave_from_several_threads_is_one_leave() {
    let [a, b] = cluster(["a", "b"]);
    let mut watch = Watch::over(&a);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| b.leave(GRACE).unwrap());
        }
    });
    watch.expect("b left");
    watch.expect_quiet();
}

#[test]
fn a_left_name_may_come_back_from_another_address() {
    let [a, b] = cluster(["a", "b"]);
    let old = b.addr();
    let mut watch = Watch::over(&a);
    b.leave(GRACE).unwrap();
    watch.expect("b left");
    let again = start("b").join(a.addr()).unwrap();
    watch.expect("b restarted");
    assert_eq!(a.node("b").unwrap().addr(), again.addr());
    assert_eq!(a.node("b").unwrap().status(), Status::Alive);
    assert_ne!(old, again.addr());
}
