use super::*;
use crate::node::{Incarnation, Node, Status};

const RUN: Generation = Generation(77);
const ORIGIN: NameHash = NameHash(5);

fn from() -> Node {
    Node::new("a", ([10, 0, 0, 1], 7990).into(), Status::Alive, RUN, Incarnation(0))
}

fn delivered(payload: &[u8]) -> Event {
    Event::Broadcast { from: from(), payload: payload.to_vec() }
}

fn missed(count: u64) -> Event {
    Event::Missed { from: from(), count }
}

/// A step with these events, after which the record tells this number.
fn step(hearing: &mut Hearing, events: &[Event], number: u64) -> Result<(), String> {
    let payloads = (1..100_u8).map(|number| ((ORIGIN, RUN, number.into()), siphash((0, 0), &[number])));
    let said = Said { payloads: payloads.collect() };
    events.iter().for_each(|event| hearing.note(event));
    hearing.check(&said, true, |_| Some(BroadcastProgress { origin: ORIGIN, generation: RUN, number }))
}

#[test]
fn broadcasts_in_order_and_gaps_that_are_told_are_right() {
    let mut hearing = Hearing::default();
    assert_eq!(step(&mut hearing, &[delivered(&[4])], 4), Ok(()), "it may begin anywhere");
    assert_eq!(step(&mut hearing, &[missed(3), delivered(&[8]), delivered(&[9])], 9), Ok(()));
    assert_eq!(step(&mut hearing, &[], 9), Ok(()));
}

#[test]
fn a_broadcast_told_twice_left_out_or_changed_is_found() {
    for (events, number) in [
        (vec![delivered(&[4])], 4),
        (vec![delivered(&[6])], 6),
        (vec![delivered(&[6])], 5),
        (vec![delivered(&[6]), delivered(&[5])], 6),
        (vec![missed(2), delivered(&[6])], 6),
        (vec![missed(9)], 6),
    ] {
        let mut hearing = Hearing::default();
        assert_eq!(step(&mut hearing, &[delivered(&[4])], 4), Ok(()));
        assert!(step(&mut hearing, &events, number).is_err(), "{events:?} to {number}");
        hearing.forget("a");
    }
}
