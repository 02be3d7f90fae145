//! The model can find what is wrong.

use super::{Letter, Letters};
use crate::error::Error;
use crate::node::{Generation, Incarnation, Node, Status};
use crate::protocol::Call;

fn letter(to_run: u64, payload: &[u8]) -> Letter {
    let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 7990));
    let node = |name, run| Node::new(name, addr, Status::Alive, Generation(run), Incarnation(0));
    Letter::new(&node("a", 1), &node("b", to_run), payload)
}

/// One message that was sent under this number.
fn one_sent(number: u64) -> Letters {
    let mut letters = Letters::default();
    letters.sent((0, 0, Call(number)), letter(2, b"hello"));
    letters
}

#[test]
fn a_message_that_comes_once_is_fine_whatever_is_uncertain() {
    for result in [Ok(()), Err(Error::Timeout), Err(Error::Restarted), Err(Error::Closed)] {
        let mut letters = one_sent(1);
        assert_eq!(letters.delivered(&letter(2, b"hello")), Ok(()));
        assert_eq!(letters.answered((0, 0, Call(1)), &result), Ok(()), "{result:?}");
    }
}

#[test]
fn a_message_that_comes_twice_is_found() {
    let mut letters = one_sent(1);
    assert_eq!(letters.delivered(&letter(2, b"hello")), Ok(()));
    assert!(letters.delivered(&letter(2, b"hello")).is_err());
    let mut letters = one_sent(1);
    letters.sent((0, 0, Call(2)), letter(2, b"hello"));
    assert_eq!(letters.delivered(&letter(2, b"hello")), Ok(()));
    assert_eq!(letters.delivered(&letter(2, b"hello")), Ok(()), "it was sent twice");
}

#[test]
fn a_message_that_was_changed_or_came_to_another_run_is_found() {
    let mut letters = one_sent(1);
    assert!(letters.delivered(&letter(2, b"hellO")).is_err());
    assert!(letters.delivered(&letter(3, b"hello")).is_err());
}

#[test]
fn an_ok_without_a_delivery_is_found() {
    assert!(one_sent(1).answered((0, 0, Call(1)), &Ok(())).is_err());
}

#[test]
fn an_error_that_says_never_and_a_delivery_are_found() {
    let refused = Err(Error::Refused);
    let mut letters = one_sent(1);
    assert_eq!(letters.answered((0, 0, Call(1)), &refused), Ok(()));
    assert!(letters.delivered(&letter(2, b"hello")).is_err(), "later");
    let mut letters = one_sent(1);
    assert_eq!(letters.delivered(&letter(2, b"hello")), Ok(()));
    assert!(letters.answered((0, 0, Call(1)), &refused).is_err(), "before");
}

#[test]
fn a_second_answer_is_found() {
    let mut letters = one_sent(1);
    assert_eq!(letters.answered((0, 0, Call(1)), &Err(Error::Timeout)), Ok(()));
    assert!(letters.answered((0, 0, Call(1)), &Err(Error::Timeout)).is_err());
}
