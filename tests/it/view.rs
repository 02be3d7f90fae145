//! What a member shows: nodes, waiting for them, and counters.

use std::thread;
use std::time::{Duration, Instant};

use headcount::{Error, Node, Status};

use crate::rig::{PATIENCE, cluster, names, start, wait_for_count};

#[test]
fn nodes_are_sorted_by_name_and_found_by_it() {
    let [a, ..] = cluster(["m", "z", "b"]);
    let nodes = a.nodes();
    assert_eq!(names(&a), ["b", "m", "z"]);
    assert_eq!(nodes.get("z").map(Node::name), Some("z"));
    assert!(nodes.get("y").is_none());
    assert!((&nodes).into_iter().all(Node::is_active));
    assert_eq!(nodes.clone().into_iter().count(), 3);
}

#[test]
fn a_node_prints_as_name_address_and_status() {
    let a = start("a");
    assert_eq!(a.local().to_string(), format!("a {} alive", a.addr()));
}

#[test]
fn a_snapshot_does_not_change_when_the_view_does() {
    let [a, b] = cluster(["a", "b"]);
    let before = a.nodes();
    b.leave(Duration::from_secs(5)).unwrap();
    wait_for_count(&a, 1);
    assert_eq!(before.len(), 2);
    assert_eq!(before.get("b").unwrap().status(), Status::Alive);
}

#[test]
fn snapshots_of_an_unchanged_view_are_equal() {
    let [a, b] = cluster(["a", "b"]);
    assert_eq!(a.nodes(), a.nodes());
    assert_eq!(a.nodes().get("b"), b.nodes().get("b"));
}

#[test]
fn the_round_trip_is_known_after_a_probe() {
    let [a, _b] = cluster(["a", "b"]);
    crate::rig::eventually("a probe was answered", || a.node("b").unwrap().rtt().is_some());
    assert!(a.local().rtt().is_none());
}

#[test]
fn waiting_asks_at_once() {
    let a = start("a");
    let nodes = a.wait_until(Duration::ZERO, |nodes| nodes.len() == 1).unwrap();
    assert_eq!(nodes, a.nodes());
}

#[test]
fn waiting_ends_in_time_when_nothing_changes() {
    let a = start("a");
    let began = Instant::now();
    let result = a.wait_until(Duration::from_millis(200), |nodes| nodes.len() == 2);
    assert!(matches!(result, Err(Error::Timeout)), "{result:?}");
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn waiting_sees_changes_and_may_call_the_member() {
    let [a, b] = [start("a"), start("b")];
    thread::scope(|scope| {
        let waiting =
            scope.spawn(|| a.wait_until(PATIENCE, |nodes| nodes.len() == 2 && a.nodes().len() == 2));
        b.join(a.addr()).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap().len(), 2);
    });
}

#[test]
fn metrics_count_and_print_as_prometheus_text() {
    let [a, _b] = cluster(["a", "b"]);
    let metrics = a.metrics();
    assert_eq!(metrics.nodes, 2);
    assert!(metrics.datagrams_sent > 0 && metrics.bytes_sent > metrics.datagrams_sent);
    assert!(metrics.datagrams_received > 0 && metrics.bytes_received > metrics.datagrams_received);
    let text = metrics.to_string();
    assert!(text.contains("# TYPE headcount_nodes gauge\nheadcount_nodes 2\n"), "{text}");
    assert!(text.contains("# TYPE headcount_datagrams_sent counter\n"), "{text}");
}

#[test]
fn an_idle_pair_sends_little() {
    let [a, _b] = cluster(["a", "b"]);
    // Let what the join caused die down: nothing is left to tell after a few rounds.
    thread::sleep(Duration::from_secs(1));
    let before = a.metrics().datagrams_sent;
    thread::sleep(Duration::from_secs(2));
    // Eight probes and eight answers to the other's, and room for a few more of each.
    let sent = a.metrics().datagrams_sent - before;
    assert!(sent <= 32, "{sent} datagrams in 2 s");
}
