//! Each check can fail.

use super::*;
use crate::node::{Generation, Incarnation, Status};

fn node(generation: u64, state: &State) -> Node {
    let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 7990));
    Node::new("a", addr, Status::Alive, Generation(generation), Incarnation(0)).with_state(state.clone())
}

fn state(writes: &[(&str, Option<&str>)]) -> State {
    let mut state = State::default();
    for (key, value) in writes {
        match value {
            Some(value) => assert!(state.set(key, value.as_bytes()).unwrap()),
            None => assert!(state.remove(key)),
        }
    }
    state
}

fn check(before: &State, after: &State) -> Result<(), String> {
    let mut ledger = Ledger::default();
    ledger.check(None, &node(1, before)).unwrap();
    ledger.check(Some(&node(1, before)), &node(1, after))
}

#[test]
fn what_follows_passes() {
    let before = state(&[("a", Some("1")), ("b", Some("2"))]);
    let after = state(&[("a", Some("1")), ("b", Some("2")), ("b", None), ("c", Some("3"))]);
    assert_eq!(check(&before, &before), Ok(()));
    assert_eq!(check(&before, &after), Ok(()));
    assert_eq!(check(&State::default(), &after), Ok(()));
    let mut ledger = Ledger::default();
    ledger.check(None, &node(1, &after)).unwrap();
    assert_eq!(ledger.check(Some(&node(1, &after)), &node(2, &State::default())), Ok(()), "a new run");
}

#[test]
fn a_state_that_goes_back_is_found() {
    let before = state(&[("a", Some("1")), ("a", Some("2"))]);
    assert!(check(&before, &state(&[("a", Some("1"))])).is_err());
    let none = Node::new("a", node(1, &before).addr(), Status::Alive, Generation(1), Incarnation(0));
    assert!(Ledger::default().check(Some(&node(1, &before)), &none).is_err());
}

#[test]
fn a_removed_key_that_comes_back_is_found() {
    let before = state(&[("a", Some("1")), ("a", None), ("b", Some("2"))]);
    let mut after = state(&[("a", Some("1")), ("b", Some("1")), ("b", Some("2"))]);
    assert!(check(&before, &after).is_err());
    after.set("c", b"3").unwrap();
    assert!(check(&before, &after).is_err());
}

#[test]
fn a_key_that_is_lost_is_found() {
    let before = state(&[("a", Some("1")), ("b", Some("2"))]);
    let mut after = state(&[("b", Some("1")), ("b", Some("2"))]);
    assert!(check(&before, &after).is_err());
    after.set("c", b"3").unwrap();
    assert!(check(&before, &after).is_err());
}

#[test]
fn a_write_with_two_values_is_found() {
    let mut ledger = Ledger::default();
    ledger.check(None, &node(1, &state(&[("a", Some("1"))]))).unwrap();
    assert!(ledger.check(None, &node(1, &state(&[("a", Some("2"))]))).is_err());
    assert_eq!(ledger.check(None, &node(2, &state(&[("a", Some("2"))]))), Ok(()), "another run");
}
