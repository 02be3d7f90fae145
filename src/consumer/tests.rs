use std::net::SocketAddr;

use super::{Consumer, HELD_BYTES_MAX, MESSAGE_BYTES_MAX, add, hand_over, tell};
use crate::event::Event;
use crate::events::Events;
use crate::node::{Generation, Incarnation, Node, Status};
use crate::protocol::EnqueueResult;
use crate::state::State;

fn node() -> Node {
    let addr = SocketAddr::from(([10, 0, 0, 1], 7990));
    Node::new("a", addr, Status::Alive, Generation(1), Incarnation(0))
}

fn message(length: usize) -> Event {
    Event::Message { from: node(), payload: vec![7; length] }
}

fn consumers<const N: usize>(capacities: [usize; N]) -> (Vec<Consumer>, [Events; N]) {
    let mut consumers = Vec::new();
    let receivers = capacities.map(|capacity| {
        let (consumer, events) = Consumer::new(capacity);
        consumers.push(consumer);
        events
    });
    (consumers, receivers)
}

#[test]
fn a_message_goes_to_all_consumers_or_to_none() {
    let (mut consumers, [wide, narrow]) = consumers([10, 1]);
    assert_eq!(hand_over(&mut consumers, message(1)), EnqueueResult::Taken);
    assert_eq!(hand_over(&mut consumers, message(2)), EnqueueResult::NoRoom);
    assert_eq!((wide.len(), narrow.len()), (1, 1));
    assert_eq!(narrow.recv().unwrap(), message(1));
    assert_eq!(hand_over(&mut consumers, message(3)), EnqueueResult::Taken);
    assert_eq!(wide.try_iter().collect::<Vec<_>>(), [message(1), message(3)]);
}

#[test]
fn a_consumer_that_is_gone_holds_nothing_up() {
    let (mut consumers, [stays, full]) = consumers([10, 1]);
    assert_eq!(hand_over(&mut consumers, message(1)), EnqueueResult::Taken);
    drop(full);
    assert_eq!(hand_over(&mut consumers, message(1)), EnqueueResult::Taken);
    assert_eq!(consumers.len(), 1);
    drop(stays);
    assert_eq!(hand_over(&mut consumers, message(1)), EnqueueResult::NobodyListens);
    assert!(consumers.is_empty());
}

/// A million of them held 765 MB, as nothing was queued for them.
#[test]
fn streams_that_are_gone_hold_nothing() {
    let mut consumers = Vec::new();
    let (first, events) = Consumer::new(10);
    add(&mut consumers, first);
    for _ in 0..1_000 {
        let (consumer, _) = Consumer::new(10);
        add(&mut consumers, consumer);
    }
    assert_eq!(consumers.len(), 2);
    assert_eq!(tell(&mut consumers, &message(1)), 0);
    assert_eq!((consumers.len(), events.len()), (1, 1));
}

/// Twenty of them refused every message of 1 MiB, until some other event came by.
#[test]
fn streams_that_are_gone_take_no_room_from_a_message() {
    let (mut consumers, [stays, gone @ ..]) = consumers([10; 20]);
    drop(gone);
    assert_eq!(hand_over(&mut consumers, message(MESSAGE_BYTES_MAX / 16)), EnqueueResult::Taken);
    assert_eq!((consumers.len(), stays.len()), (1, 1));
}

#[test]
fn a_message_for_many_consumers_is_taken_when_none_waits() {
    let (mut consumers, streams) = consumers([10; 20]);
    let long = MESSAGE_BYTES_MAX / 16;
    assert_eq!(hand_over(&mut consumers, message(long)), EnqueueResult::Taken);
    assert_eq!(hand_over(&mut consumers, message(long)), EnqueueResult::NoRoom);
    for stream in &streams {
        assert_eq!(stream.try_iter().count(), 1);
    }
    assert_eq!(hand_over(&mut consumers, message(long)), EnqueueResult::Taken);
}

#[test]
fn what_was_dropped_before_is_told_before_a_message() {
    let (mut consumers, [events]) = consumers([2]);
    for _ in 0..4 {
        tell(&mut consumers, &Event::Joined(node()));
    }
    assert_eq!(hand_over(&mut consumers, message(1)), EnqueueResult::NoRoom);
    assert_eq!(events.try_iter().count(), 2);
    assert_eq!(hand_over(&mut consumers, message(1)), EnqueueResult::Taken);
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [Event::Lagged(2), message(1)]);
}

#[test]
fn the_bytes_that_wait_are_bounded_for_all_together_and_free_as_they_are_read() {
    let (mut consumers, [first, second]) = consumers([100, 100]);
    let quarter = MESSAGE_BYTES_MAX / 4;
    assert_eq!(hand_over(&mut consumers, message(quarter)), EnqueueResult::Taken);
    assert_eq!(hand_over(&mut consumers, message(quarter)), EnqueueResult::Taken);
    assert_eq!(hand_over(&mut consumers, message(1)), EnqueueResult::NoRoom);
    // Events have no part in it.
    tell(&mut consumers, &Event::Joined(node()));
    assert_eq!(first.try_iter().count(), 3);
    assert_eq!(
        hand_over(&mut consumers, message(quarter + 1)),
        EnqueueResult::NoRoom,
        "it would count twice"
    );
    assert_eq!(hand_over(&mut consumers, message(quarter)), EnqueueResult::Taken);
    drop(second);
}

/// A stream that nobody read kept 5,000 versions of a state with 1,024 keys alive: 281 MB.
#[test]
fn what_waiting_events_keep_alive_is_bounded() {
    let (mut consumers, [unread]) = consumers([5_000]);
    let mut state = State::default();
    for key in 0..1_024 {
        state.set(&format!("key {key}"), b"x").unwrap();
    }
    let bytes = state.table_bytes();
    let changed = |state: &State| {
        let key = "key 1".to_owned();
        Event::Changed { node: node().with_state(state.clone()), key, value: Some(vec![7; 40]) }
    };
    let dropped: u64 = (0..5_000).map(|_| tell(&mut consumers, &changed(&state))).sum();
    assert!(unread.len() * bytes <= HELD_BYTES_MAX && unread.len() > 100, "{} wait", unread.len());
    assert_eq!(dropped, 5_000 - unread.len() as u64);
    // Events that share a version keep it alive once.
    let one = changed(&state);
    let (mut others, [events]) = self::consumers([5_000]);
    assert_eq!((0..5_000).map(|_| tell(&mut others, &one)).sum::<u64>(), 0);
    assert_eq!(events.try_iter().count(), 5_000);
    tell(&mut others, &one);
    assert_eq!(others[0].held.events.len(), 1);
    // When half of it is read it goes on, and reports what was missed.
    let waited = unread.len();
    let read = unread.try_iter().take(waited - 1).count();
    assert_eq!(read, waited - 1);
    assert_eq!(tell(&mut consumers, &one), 0);
    let rest: Vec<Event> = unread.try_iter().collect();
    assert_eq!(rest[1..], [Event::Lagged(dropped), one]);
}
