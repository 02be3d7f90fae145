//! What nodes say of themselves, with real sockets and threads: everybody sees it in the end, and in order.
//!
//! That states survive loss, cuts and restarts is tested on the simulator.

use std::collections::BTreeMap;
use std::thread;
use std::time::Instant;

use headcount::{Error, Event, Member, Node, Result};

use crate::rig::{PATIENCE, QUIET, Watch, cluster, config, eventually, start, wait_for_count};

const MEMBERS: usize = 20;
const KEYS: usize = 200;

/// A state, or what events tell of it.
type Keys = BTreeMap<String, String>;

/// Members that all see each other, with room for all events of these tests.
fn members() -> Vec<Member> {
    let create = |i: usize| Member::create(config(&format!("n{i:02}")).event_capacity(100_000)).unwrap();
    let members: Vec<Member> = (0..MEMBERS).map(create).collect();
    thread::scope(|scope| {
        for member in &members[1..] {
            scope.spawn(|| member.join(members[0].addr()).unwrap());
        }
    });
    members.iter().for_each(|member| wait_for_count(member, MEMBERS));
    members
}

/// Sets all keys, changes all, and removes each second one.
fn write(member: &Member) {
    for round in ["1", "2"] {
        (0..KEYS).for_each(|key| member.set(&format!("key {key}"), round).unwrap());
    }
    (0..KEYS).step_by(2).for_each(|key| member.remove(&format!("key {key}")).unwrap());
}

/// What [`write`] leaves.
fn written() -> Keys {
    (1..KEYS).step_by(2).map(|key| (format!("key {key}"), "2".to_owned())).collect()
}

fn keys(node: &Node) -> Keys {
    node.state().map(|(key, value)| (key.to_owned(), String::from_utf8_lossy(value).into_owned())).collect()
}

fn wait_for_written(member: &Member) {
    let written = written();
    let result = member.wait_until(PATIENCE, |nodes| nodes.iter().all(|node| keys(node) == written));
    assert!(result.is_ok(), "{} does not see all states: {:?}", member.name(), member.nodes());
}

#[test]
fn all_members_see_what_all_have_written_and_nothing_that_was_removed() {
    let members = members();
    let observer = members[0].events();
    thread::scope(|scope| {
        for member in &members {
            scope.spawn(|| write(member));
        }
    });
    members.iter().for_each(wait_for_written);
    let seen = Instant::now();

    // Each key went through its values in order, and what it is at last was told last.
    let mut told: BTreeMap<String, Keys> = BTreeMap::new();
    while let Ok(event) = observer.recv_deadline(seen + QUIET) {
        assert!(!matches!(event, Event::Lagged(_)));
        let Event::Changed { node, key, value } = event else { continue };
        let keys = told.entry(node.name().to_owned()).or_default();
        let before = keys.get(&key).map_or("0", String::as_str);
        let after = value.map_or("removed".to_owned(), |value| String::from_utf8(value).unwrap());
        assert!(*before < *after, "{}: {key} was {before} and then {after}", node.name());
        keys.insert(key, after);
    }
    for keys in told.values_mut() {
        keys.retain(|_, value| value != "removed");
        assert_eq!(*keys, written());
    }
    assert_eq!(told.len(), MEMBERS - 1);

    // All that was under way has come, and nothing is back.
    members.iter().for_each(wait_for_written);
}

#[test]
fn who_joins_finds_the_states_that_are_there() {
    let [a, b] = cluster(["a", "b"]);
    a.set("colour", "red").unwrap();
    b.set("colour", "blue").unwrap();
    eventually("a has heard of b's colour", || a.node("b").unwrap().text("colour") == Some("blue"));
    let c = start("c").join(a.addr()).unwrap();
    assert_eq!(c.node("a").unwrap().text("colour"), Some("red"));
    assert_eq!(c.node("b").unwrap().text("colour"), Some("blue"));
}

#[test]
fn what_was_written_before_the_join_comes_with_it() {
    let [a, b] = cluster(["a", "b"]);
    let c = start("c");
    c.set("colour", "green").unwrap();
    let mut watch = Watch::over(&b);
    c.join(a.addr()).unwrap();
    let Event::Joined(node) = watch.next() else { panic!("it has not joined") };
    assert_eq!((node.name(), node.text("colour")), ("c", Some("green")));
}

#[test]
fn the_view_shows_a_change_when_it_is_told() {
    let [a, b] = cluster(["a", "b"]);
    let mut watch = Watch::over(&a);
    b.set("colour", "red").unwrap();
    let Event::Changed { node, key, value } = watch.next() else { panic!("not a change") };
    assert_eq!((node.name(), key.as_str(), value.as_deref()), ("b", "colour", Some(&b"red"[..])));
    assert_eq!(node.text("colour"), Some("red"));
    assert_eq!(a.node("b").unwrap(), node);

    b.remove("colour").unwrap();
    let Event::Changed { node, key, value } = watch.next() else { panic!("not a change") };
    assert_eq!((node.name(), key.as_str(), value), ("b", "colour", None));
    assert_eq!(node.get("colour"), None);
}

#[test]
fn writing_the_same_value_again_is_no_change() {
    let [a, b] = cluster(["a", "b"]);
    let mut watch = Watch::over(&a);
    b.set("colour", "red").unwrap();
    b.set("colour", "red").unwrap();
    b.remove("taste").unwrap();
    b.set("last", "").unwrap();
    watch.expect("b set \"colour\" to 3 bytes");
    watch.expect("b set \"last\" to 0 bytes");
}

#[test]
fn the_state_of_one_that_has_left_can_be_read_and_its_next_run_begins_with_none() {
    let [a, b] = cluster(["a", "b"]);
    b.set("colour", "red").unwrap();
    eventually("a has heard of it", || a.node("b").unwrap().text("colour") == Some("red"));
    b.leave(PATIENCE).unwrap();
    wait_for_count(&a, 1);
    assert_eq!(a.all_nodes().get("b").unwrap().text("colour"), Some("red"));

    let _b = start("b").join(a.addr()).unwrap();
    wait_for_count(&a, 2);
    assert_eq!(a.node("b").unwrap().state().count(), 0);
}

/// What is too large, by how much, and what was allowed.
#[track_caller]
fn refused(result: Result<()>) -> (&'static str, usize, usize) {
    match result {
        Err(Error::TooLarge { what, size, limit }) => (what, size, limit),
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_are_errors_at_the_call_that_change_nothing() {
    let a = start("a");
    assert!(matches!(a.set("", "x"), Err(Error::Config { field: "key", .. })));
    assert_eq!(refused(a.set(&"k".repeat(256), "")), ("key", 256, 255));
    assert_eq!(refused(a.set("k", [0; 1_025])), ("value", 1_025, 1_024));
    assert_eq!(a.local().state().count(), 0);

    // 63 keys of 16 bytes with 1,024 each are 65,520 bytes.
    (0..63).for_each(|i| a.set(&format!("key {i:012}"), [i; 1_024]).unwrap());
    assert_eq!(refused(a.set("last", [0; 13])), ("state", 65_537, 65_536));
    a.set("last", [0; 12]).unwrap();
    assert_eq!(refused(a.set("last", [0; 13])), ("state", 65_537, 65_536));
    assert_eq!(a.local().get("last"), Some(&[0; 12][..]));
    assert_eq!(a.local().state().count(), 64);

    let b = start("b");
    (0..1_024).for_each(|i| b.set(&i.to_string(), "").unwrap());
    assert_eq!(refused(b.set("one more", "")), ("number of keys", 1_025, 1_024));
    b.remove("7").unwrap();
    b.set("one more", "").unwrap();
}

#[test]
fn a_key_and_its_value_fit_into_a_datagram() {
    let a = start("a");
    let b = start("b").join(a.addr()).unwrap();
    let key = "k".repeat(255);
    assert_eq!(refused(a.set(&key, [7; 1_024])), ("key and value", 1_279, 1_100));
    a.set(&key, [7; 845]).unwrap();
    a.set(&"k".repeat(76), [7; 1_024]).unwrap();
    eventually("both have come", || b.node("a").unwrap().state().count() == 2);
    assert_eq!(b.node("a").unwrap().get(&key), Some(&[7; 845][..]));
}

#[test]
fn an_ended_member_can_not_be_written_and_shows_what_was() {
    let a = start("a");
    a.set("colour", "red").unwrap();
    a.shutdown().unwrap();
    assert!(matches!(a.set("colour", "blue"), Err(Error::Closed)));
    assert!(matches!(a.remove("colour"), Err(Error::Closed)));
    assert_eq!(a.local().text("colour"), Some("red"));
}
