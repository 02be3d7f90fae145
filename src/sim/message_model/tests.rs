//! The model can find what is wrong.

use super::{Message, MessageModel};
use crate::error::Error;
use crate::node::{Generation, Incarnation, Node, Status};
use crate::protocol::RequestId;

fn message(to_run: u64, payload: &[u8]) -> Message {
    let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 7990));
    let node = |name, run| Node::new(name, addr, Status::Alive, Generation(run), Incarnation(0));
    Message::new(&node("a", 1), &node("b", to_run), payload)
}

/// One message that was sent under this number.
fn one_sent(number: u64) -> MessageModel {
    let mut messages = MessageModel::default();
    messages.sent((0, 0, RequestId(number)), message(2, b"hello"));
    messages
}

#[test]
fn a_message_that_comes_once_is_fine_whatever_is_uncertain() {
    for result in [Ok(()), Err(Error::Timeout), Err(Error::Restarted), Err(Error::Closed)] {
        let mut messages = one_sent(1);
        assert_eq!(messages.delivered(&message(2, b"hello")), Ok(()));
        assert_eq!(messages.answered((0, 0, RequestId(1)), &result), Ok(()), "{result:?}");
    }
}

#[test]
fn a_message_that_comes_twice_is_found() {
    let mut messages = one_sent(1);
    assert_eq!(messages.delivered(&message(2, b"hello")), Ok(()));
    assert!(messages.delivered(&message(2, b"hello")).is_err());
    let mut messages = one_sent(1);
    messages.sent((0, 0, RequestId(2)), message(2, b"hello"));
    assert_eq!(messages.delivered(&message(2, b"hello")), Ok(()));
    assert_eq!(messages.delivered(&message(2, b"hello")), Ok(()), "it was sent twice");
}

#[test]
fn a_message_that_was_changed_or_came_to_another_run_is_found() {
    let mut messages = one_sent(1);
    assert!(messages.delivered(&message(2, b"hellO")).is_err());
    assert!(messages.delivered(&message(3, b"hello")).is_err());
}

#[test]
fn an_ok_without_a_delivery_is_found() {
    assert!(one_sent(1).answered((0, 0, RequestId(1)), &Ok(())).is_err());
}

#[test]
fn an_error_that_says_never_and_a_delivery_are_found() {
    let refused = Err(Error::Refused);
    let mut messages = one_sent(1);
    assert_eq!(messages.answered((0, 0, RequestId(1)), &refused), Ok(()));
    assert!(messages.delivered(&message(2, b"hello")).is_err(), "later");
    let mut messages = one_sent(1);
    assert_eq!(messages.delivered(&message(2, b"hello")), Ok(()));
    assert!(messages.answered((0, 0, RequestId(1)), &refused).is_err(), "before");
}

#[test]
fn a_second_answer_is_found() {
    let mut messages = one_sent(1);
    assert_eq!(messages.answered((0, 0, RequestId(1)), &Err(Error::Timeout)), Ok(()));
    assert!(messages.answered((0, 0, RequestId(1)), &Err(Error::Timeout)).is_err());
}
