use std::time::Duration;

use super::{BYTES_MAX, Inbox, SENDER_BYTES_MAX, SENDER_PARTS_MAX, STALE, Taken};
use crate::node::Generation;
use crate::protocol::Instant;
use crate::wire::NameHash;
use crate::wire::body::{Fragment, Progress, Refusal};

const SENDER: NameHash = NameHash(7);
const RUN: Generation = Generation(1);
const SIZE: u32 = 1_024;
const MAX: usize = 1 << 20;
/// As it is told.
const TOTAL_MAX: u32 = 1 << 20;

fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}

/// A fragment of a message whose sender has done with no other one; all of its bytes are its index.
fn fragment(number: u64, total: u32, index: u32) -> Fragment<'static> {
    static BYTES: [[u8; SIZE as usize]; 8] =
        [[0; 1_024], [1; 1_024], [2; 1_024], [3; 1_024], [4; 1_024], [5; 1_024], [6; 1_024], [7; 1_024]];
    let length = SIZE.min(total - index * SIZE) as usize;
    let bytes = &BYTES[index as usize % 8][..length];
    Fragment { ask: 1, number, behind: number - 1, total, size: SIZE, index, bytes }
}

fn take(inbox: &mut Inbox, fragment: &Fragment<'_>) -> Taken {
    inbox.take(at(1), SENDER, RUN, fragment, MAX)
}

const PATIENCE: Duration = Duration::from_secs(2);

fn inbox() -> Inbox {
    Inbox::new(PATIENCE)
}

/// What is said of a message: the first missing fragment and those beyond it, of the first hundred.
fn received(inbox: &Inbox, number: u64) -> (u32, Vec<u32>) {
    let mut buffer = Vec::new();
    match inbox.ack(SENDER, 0, number, &mut buffer).unwrap().progress {
        Progress::Receiving { next, beyond } => {
            (next, (1..100).filter(|distance| beyond.contains(*distance)).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn fragments_in_any_order_and_twice_are_put_together_once() {
    let mut inbox = inbox();
    let total = 3 * SIZE + 5;
    for (index, expected) in
        [(3, (0, vec![3])), (1, (0, vec![1, 3])), (1, (0, vec![1, 3])), (0, (2, vec![1]))]
    {
        assert_eq!(take(&mut inbox, &fragment(1, total, index)), Taken::Part);
        assert_eq!(received(&inbox, 1), expected);
    }
    let Taken::Complete(payload) = take(&mut inbox, &fragment(1, total, 2)) else { panic!() };
    assert_eq!(payload.len(), total as usize);
    assert!(
        payload.chunks(SIZE as usize).zip(0..).all(|(part, index)| part.iter().all(|byte| *byte == index))
    );
    inbox.complete(SENDER, 1, Ok(()));
    assert_eq!(inbox.bound().count, 0);
    for index in 0..4 {
        assert_eq!(take(&mut inbox, &fragment(1, total, index)), Taken::Decided);
    }
    assert_eq!(inbox.ack(SENDER, 0, 1, &mut Vec::new()).unwrap().progress, Progress::Delivered);
}

#[test]
fn an_empty_message_is_a_message() {
    let mut inbox = inbox();
    assert_eq!(take(&mut inbox, &fragment(1, 0, 0)), Taken::Complete(Vec::new()));
}

#[test]
fn what_a_sender_has_done_with_is_forgotten_and_never_delivered() {
    let mut inbox = inbox();
    assert!(matches!(take(&mut inbox, &fragment(1, 5, 0)), Taken::Complete(_)));
    inbox.complete(SENDER, 1, Ok(()));
    assert_eq!(take(&mut inbox, &fragment(2, 2 * SIZE, 0)), Taken::Part);
    // Number 5, and the oldest under way is 4.
    let later = Fragment { behind: 1, ..fragment(5, 2 * SIZE, 0) };
    assert_eq!(take(&mut inbox, &later), Taken::Part);
    assert_eq!(inbox.bound().count, 2 * SIZE as usize, "only number 5");
    for (number, total, index) in [(1, 5, 0), (2, 2 * SIZE, 1), (3, 5, 0)] {
        assert_eq!(take(&mut inbox, &fragment(number, total, index)), Taken::Late, "{number}");
    }
    // An older fragment does not take back what a newer one has told.
    let older = Fragment { behind: 4, ..fragment(5, 2 * SIZE, 1) };
    assert!(matches!(take(&mut inbox, &older), Taken::Complete(_)));
    assert_eq!(take(&mut inbox, &fragment(3, 5, 0)), Taken::Late);
}

#[test]
fn a_fragment_that_contradicts_the_others_changes_nothing() {
    let mut inbox = inbox();
    assert_eq!(take(&mut inbox, &fragment(1, 3 * SIZE, 0)), Taken::Part);
    assert_eq!(take(&mut inbox, &fragment(1, 2 * SIZE, 1)), Taken::Contradicts);
    let short = Fragment { size: 2 * SIZE, bytes: &[9; 2 * SIZE as usize], ..fragment(1, 3 * SIZE, 0) };
    assert_eq!(take(&mut inbox, &short), Taken::Contradicts);
    // The same place with other bytes: what came first stays.
    let other = Fragment { bytes: &[9; SIZE as usize], ..fragment(1, 3 * SIZE, 0) };
    assert_eq!(take(&mut inbox, &other), Taken::Part);
    assert_eq!(take(&mut inbox, &fragment(1, 3 * SIZE, 1)), Taken::Part);
    let Taken::Complete(payload) = take(&mut inbox, &fragment(1, 3 * SIZE, 2)) else { panic!() };
    assert_eq!(payload[0], 0);
}

#[test]
fn a_message_has_room_for_its_whole_length_and_one_beyond_the_limit_is_refused() {
    let mut inbox = inbox();
    assert_eq!(take(&mut inbox, &fragment(1, TOTAL_MAX, 0)), Taken::Part);
    assert_eq!(inbox.bound().count, TOTAL_MAX as usize);
    assert_eq!(take(&mut inbox, &fragment(2, TOTAL_MAX + 1, 0)), Taken::Refused(Refusal::TooLarge));
    assert_eq!(take(&mut inbox, &fragment(2, TOTAL_MAX + 1, 1)), Taken::Decided);
    let refused = Progress::Refused(Refusal::TooLarge);
    assert_eq!(inbox.ack(SENDER, 0, 2, &mut Vec::new()).unwrap().progress, refused);
}

#[test]
fn one_sender_has_only_so_many_incomplete_messages() {
    let mut inbox = inbox();
    for number in 1..=SENDER_PARTS_MAX as u64 {
        assert_eq!(take(&mut inbox, &fragment(number, 2 * SIZE, 0)), Taken::Part);
    }
    let next = SENDER_PARTS_MAX as u64 + 1;
    assert_eq!(take(&mut inbox, &fragment(next, 2 * SIZE, 0)), Taken::Refused(Refusal::Overloaded));
    // One that is complete at once needs no place here.
    assert!(matches!(take(&mut inbox, &fragment(next + 1, SIZE, 0)), Taken::Complete(_)));
}

/// The first fragments of as many messages as one sender may send.
fn flood(inbox: &mut Inbox, sender: NameHash) -> Vec<Taken> {
    let first = |number| inbox.take(at(1), sender, RUN, &fragment(number, TOTAL_MAX, 0), MAX);
    (1..=5).map(first).collect()
}

#[test]
fn the_bytes_of_a_sender_and_of_all_are_bounded_and_further_messages_wait_for_room() {
    let mut inbox = inbox();
    for sender in 10..14 {
        let taken = flood(&mut inbox, NameHash(sender));
        let refused = Taken::Refused(Refusal::Overloaded);
        assert!(taken.into_iter().eq([Taken::Part, Taken::Part, Taken::Part, Taken::Part, refused]));
    }
    assert_eq!(inbox.bound().count, BYTES_MAX);
    assert_eq!(SENDER_BYTES_MAX * 4, BYTES_MAX);
    assert_eq!(take(&mut inbox, &fragment(1, TOTAL_MAX, 0)), Taken::Waits);
    assert_eq!(take(&mut inbox, &fragment(1, TOTAL_MAX, 1)), Taken::Waits);
    assert_eq!(take(&mut inbox, &fragment(2, 2 * SIZE, 0)), Taken::Waits, "it came later");
    assert!(matches!(take(&mut inbox, &fragment(3, SIZE, 0)), Taken::Complete(_)), "it needs no room");
    assert_eq!(inbox.begin_waiting(at(1)), None);

    // One is complete.
    for index in 1..1_024 {
        inbox.take(at(1), NameHash(10), RUN, &fragment(1, TOTAL_MAX, index), MAX);
    }
    assert_eq!(inbox.begin_waiting(at(1)), Some((SENDER, RUN, 1)));
    assert_eq!(inbox.begin_waiting(at(1)), None);
    assert_eq!(received(&inbox, 1), (0, vec![]));
    assert_eq!(take(&mut inbox, &fragment(1, TOTAL_MAX, 0)), Taken::Part);
}

#[test]
fn a_message_of_which_nothing_comes_is_refused_when_another_one_waits() {
    let mut inbox = inbox();
    for sender in 10..14 {
        flood(&mut inbox, NameHash(sender));
    }
    assert_eq!(inbox.stale_at(), Some(at(1) + STALE));
    take(&mut inbox, &fragment(1, TOTAL_MAX, 0));
    assert_eq!(inbox.stale_at(), Some(at(1) + PATIENCE));
    assert_eq!(inbox.drop_stale(at(2)), []);
    assert_eq!(inbox.drop_stale(at(3)).len(), 16);
    assert_eq!(inbox.begin_waiting(at(3)), Some((SENDER, RUN, 1)));
    let late = inbox.take(at(4), NameHash(10), RUN, &fragment(1, TOTAL_MAX, 1), MAX);
    assert_eq!(late, Taken::Decided);
}

#[test]
fn the_fragment_that_closes_the_gap_below_one_that_has_asked_is_acked() {
    let mut inbox = inbox();
    let silent = |index| Fragment { ask: 0, ..fragment(1, 8 * SIZE, index) };
    for (fragment, expected) in [
        (silent(0), Taken::Part),
        (fragment(1, 8 * SIZE, 3), Taken::Part),
        (silent(1), Taken::Part),
        (silent(2), Taken::Filled),
        (silent(5), Taken::Part),
        (silent(4), Taken::Part),
    ] {
        assert_eq!(take(&mut inbox, &fragment), expected, "{}", fragment.index);
    }
}

#[test]
fn incomplete_messages_end_with_silence_and_with_their_sender() {
    let mut inbox = inbox();
    let now = at(100);
    inbox.take(now, SENDER, RUN, &fragment(1, 2 * SIZE, 0), MAX);
    let later = now + Duration::from_secs(10);
    inbox.take(later, SENDER, RUN, &fragment(2, 2 * SIZE, 0), MAX);
    assert_eq!(inbox.drop_stale(now + STALE), [SENDER]);
    assert_eq!(inbox.stale_at(), Some(later + STALE));
    assert_eq!(inbox.bound().count, 2 * SIZE as usize);
    assert_eq!(inbox.drop_stale(later + STALE), [SENDER]);
    assert_eq!((inbox.has_parts(), inbox.stale_at()), (false, None));

    inbox.take(now, SENDER, RUN, &fragment(3, 2 * SIZE, 0), MAX);
    inbox.drop_incomplete(|name, run| name == SENDER && run == RUN);
    assert!(inbox.has_parts());
    inbox.drop_incomplete(|_, _| false);
    assert_eq!((inbox.has_parts(), inbox.bound().count), (false, 0));
}

#[test]
fn another_run_of_a_sender_begins_anew_and_a_forgotten_sender_costs_nothing() {
    let mut inbox = inbox();
    assert_eq!(take(&mut inbox, &fragment(9, 2 * SIZE, 0)), Taken::Part);
    let anew = inbox.take(at(1), SENDER, Generation(2), &fragment(1, 2 * SIZE, 0), MAX);
    assert_eq!(anew, Taken::Part);
    assert_eq!(inbox.bound().count, 2 * SIZE as usize);
    inbox.forget(|name| name != SENDER);
    assert_eq!((inbox.len(), inbox.has_parts(), inbox.bound().count), (0, false, 0));
}
