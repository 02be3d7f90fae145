//! The same name again: restarts at the old address and at a new one.

use headcount::{Member, Status};

use crate::rig::{Watch, cluster, config, names, start, wait_for_count};

#[test]
fn a_restart_at_the_same_address_before_anybody_noticed_is_told_as_one() {
    let [a, b, c] = cluster(["a", "b", "c"]);
    let (mut watch_a, mut watch_b) = (Watch::over(&a), Watch::over(&b));
    let old = c.local().generation();
    c.shutdown().unwrap();
    let c = Member::create(config("c").bind(c.addr())).unwrap().join(a.addr()).unwrap();
    watch_a.expect("c restarted");
    watch_b.expect("c restarted");
    assert!(c.local().generation() > old);
    assert_eq!(a.node("c").unwrap().generation(), c.local().generation());
    watch_a.expect_quiet();
    watch_b.expect_quiet();
}

#[test]
fn a_restart_at_the_same_address_after_the_death_is_told_as_one() {
    let [a, b] = cluster(["a", "b"]);
    let mut watch = Watch::over(&a);
    b.shutdown().unwrap();
    watch.expect("b suspected");
    watch.expect("b died");
    let b = Member::create(config("b").bind(b.addr())).unwrap().join(a.addr()).unwrap();
    watch.expect("b restarted");
    assert_eq!(names(&a), ["a", "b"]);
    assert_eq!(names(&b), ["a", "b"]);
    watch.expect_quiet();
}

#[test]
fn a_dead_name_is_taken_over_from_a_new_address() {
    let [a, b] = cluster(["a", "b"]);
    let mut watch = Watch::over(&a);
    b.shutdown().unwrap();
    watch.expect("b suspected");
    watch.expect("b died");
    let again = start("b").join(a.addr()).unwrap();
    watch.expect("b restarted");
    assert_eq!(a.node("b").unwrap().addr(), again.addr());
    assert_eq!(a.node("b").unwrap().status(), Status::Alive);
}

#[test]
fn a_crashed_member_that_comes_back_elsewhere_at_once_is_let_in() {
    let [a, b] = cluster(["a", "b"]);
    b.shutdown().unwrap();
    let again = start("b").join(a.addr()).unwrap();
    wait_for_count(&again, 2);
    assert_eq!(a.node("b").unwrap().addr(), again.addr());
}
