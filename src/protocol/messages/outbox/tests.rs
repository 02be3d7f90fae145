use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::pace::{WINDOW_MAX, WINDOW_MIN};
use super::{
    Acked, BURST_MAX, BYTES_MAX, Ended, MESSAGES_MAX, Message, Outbox, PEER_BYTES_MAX, Patience, Piece,
};
use crate::node::Generation;
use crate::protocol::{Instant, RequestId};
use crate::wire::NameHash;
use crate::wire::body::{FragmentAck, Progress, Refusal};
use crate::wire::lists::Bits;

const PEER: NameHash = NameHash(7);
const OTHER: NameHash = NameHash(8);
const RUN: Generation = Generation(1);
const SIZE: u32 = 1_024;
const RTT: Duration = Duration::from_millis(10);

fn millis(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

fn outbox() -> Outbox {
    let patience = Patience {
        first: Duration::from_millis(125),
        min: Duration::from_millis(50),
        max: Duration::from_millis(500),
    };
    Outbox::new(patience, SIZE)
}

fn push_to(outbox: &mut Outbox, name: NameHash, call: u64, length: usize) {
    let message = Message { call: RequestId(call), payload: vec![7; length], deadline: millis(5_000) };
    outbox.push(name, RUN, Some(RTT), message);
}

fn push(outbox: &mut Outbox, call: u64, length: usize) {
    push_to(outbox, PEER, call, length);
}

/// What is written of these pieces: (number, behind, index, whether an ack is wanted).
fn written(outbox: &Outbox, burst: &[Piece]) -> Vec<(u64, u64, u32, bool)> {
    let fragments = burst.iter().map(|piece| outbox.fragment(PEER, *piece).unwrap().1);
    fragments.map(|fragment| (fragment.number, fragment.behind, fragment.index, fragment.ask != 0)).collect()
}

fn indexes(burst: &[Piece]) -> Vec<u32> {
    burst.iter().map(|piece| piece.index).collect()
}

/// Tells that the fragments before `next` have come, and these, because one has asked for it.
fn receiving(outbox: &mut Outbox, now: Instant, ask: u8, number: u64, next: u32, others: &[u32]) -> Acked {
    let mut buffer = Vec::new();
    let beyond = Bits::encode(others.iter().map(|index| index - next), &mut buffer);
    let ack = FragmentAck { ask, number, progress: Progress::Receiving { next, beyond } };
    outbox.acked(now, PEER, RUN, &ack)
}

fn delivered(outbox: &mut Outbox, now: Instant, number: u64) -> Acked {
    outbox.acked(now, PEER, RUN, &FragmentAck { ask: 0, number, progress: Progress::Delivered })
}

#[test]
fn a_message_leaves_in_bursts_and_asks_for_an_ack_now_and_then() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 1 << 20);
    assert_eq!(outbox.start(), [PEER]);
    let burst = outbox.burst(millis(1), PEER);
    assert_eq!(burst.len(), BURST_MAX / SIZE as usize);
    let asked: Vec<u32> = burst.iter().filter(|piece| piece.ask != 0).map(|piece| piece.index).collect();
    assert_eq!(asked, [3, 7, 11, 15, 19, 23, 27, 31]);
    assert!(outbox.burst(millis(1), PEER).is_empty(), "the window is full");
    // What was acked makes room, and for as much again.
    assert_eq!(receiving(&mut outbox, millis(11), burst[3].ask, 1, 4, &[]), Acked::Progress);
    assert_eq!(indexes(&outbox.burst(millis(11), PEER)), (32..40).collect::<Vec<_>>());
}

#[test]
fn an_outcome_ends_the_call() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 10);
    push(&mut outbox, 2, 0);
    outbox.start();
    let burst = outbox.burst(millis(1), PEER);
    assert_eq!(written(&outbox, &burst), [(1, 0, 0, false), (2, 1, 0, true)]);
    let wrong_run = FragmentAck { ask: 0, number: 1, progress: Progress::Delivered };
    assert_eq!(outbox.acked(millis(2), PEER, Generation(2), &wrong_run), Acked::Unexpected);
    assert_eq!(outbox.acked(millis(2), OTHER, RUN, &wrong_run), Acked::Unexpected);
    assert_eq!(delivered(&mut outbox, millis(2), 1), Acked::Delivered(RequestId(1)));
    assert_eq!(delivered(&mut outbox, millis(2), 1), Acked::Unexpected);
    let refused = FragmentAck { ask: 0, number: 2, progress: Progress::Refused(Refusal::Overloaded) };
    assert_eq!(outbox.acked(millis(2), PEER, RUN, &refused), Acked::Refused(RequestId(2)));
    assert!(outbox.is_idle());
    assert_eq!(outbox.bound().count, 0);
}

#[test]
fn a_fragment_that_was_overtaken_is_sent_again_after_a_round_trip() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 8 * SIZE as usize);
    outbox.start();
    let burst = outbox.burst(millis(1), PEER);
    assert_eq!(burst.len(), 8);
    receiving(&mut outbox, millis(11), burst[3].ask, 1, 1, &[2, 3]);
    assert!(outbox.burst(millis(11), PEER).is_empty(), "the network may have changed the order");
    // 10 ms and four times what they vary by, which is 3.75 ms now.
    assert_eq!(outbox.next_due(), Some(millis(26)));
    assert_eq!(outbox.expire(millis(26)), (vec![PEER], vec![]));
    let again = outbox.burst(millis(26), PEER);
    assert_eq!(indexes(&again), [1]);
    assert!(again[0].ask != 0 && again[0].is_again);
    assert!(
        outbox.burst(millis(26), PEER).is_empty(),
        "once, and what nobody has overtaken is waited for longer"
    );
}

#[test]
fn what_is_not_acked_in_time_is_sent_again_with_more_patience_each_time() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 10);
    outbox.start();
    outbox.burst(millis(0), PEER);
    let mut times = Vec::new();
    for _ in 0..10 {
        let due = outbox.next_due().unwrap();
        times.push(due.as_micros() / 1_000);
        assert_eq!(outbox.expire(due), (vec![PEER], vec![]));
        assert_eq!(outbox.burst(due, PEER).len(), 1);
    }
    // 50 ms, doubled every second time up to 500 ms.
    assert_eq!(times, [50, 100, 200, 300, 500, 700, 1_100, 1_500, 2_000, 2_500]);
}

#[test]
fn when_nothing_comes_only_the_oldest_few_are_sent_again_and_their_ack_tells_what_else_is_lost() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 20 * SIZE as usize);
    outbox.start();
    assert_eq!(outbox.burst(millis(0), PEER).len(), 20);
    let due = outbox.next_due().unwrap();
    outbox.expire(due);
    let probes = outbox.burst(due, PEER);
    assert_eq!(indexes(&probes), [0, 1, 2, 3]);
    assert!(probes.iter().all(|piece| piece.ask != 0 && piece.is_again));
    // The ack of the first try says nothing about those that were sent after it.
    receiving(&mut outbox, millis(51), 1, 1, 4, &[]);
    outbox.expire(millis(90));
    assert!(outbox.burst(millis(90), PEER).is_empty());
    receiving(&mut outbox, millis(91), probes[1].ask, 1, 4, &[]);
    assert_eq!(indexes(&outbox.burst(millis(91), PEER)), (4..20).collect::<Vec<_>>());
}

/// It took the ack of a first try for that of the second, and so on as long as the message was under way: 1 MiB took
/// ten times the fragments.
#[test]
fn who_takes_long_for_each_fragment_is_not_sent_all_of_them_again() {
    let mut outbox = outbox();
    let total = 200;
    push(&mut outbox, 1, total * SIZE as usize);
    outbox.start();
    let mut sent = 0;
    // What waits at the receiver, which takes 20 ms for each.
    let mut waiting: VecDeque<Piece> = VecDeque::new();
    let mut come: BTreeMap<u32, ()> = BTreeMap::new();
    let mut now = millis(0);
    while come.len() < total {
        while let Some(due) = outbox.next_due().filter(|due| *due <= now) {
            outbox.expire(due);
            waiting.extend(outbox.burst(now, PEER));
        }
        waiting.extend(outbox.burst(now, PEER));
        now = now + Duration::from_millis(20);
        let piece = waiting.pop_front().unwrap();
        sent += 1;
        come.insert(piece.index, ());
        if piece.ask != 0 && come.len() < total {
            let next = (0..).find(|index| !come.contains_key(index)).unwrap();
            let others: Vec<u32> = come.range(next..).map(|(index, ())| *index).collect();
            receiving(&mut outbox, now, piece.ask, 1, next, &others);
        }
    }
    println!("{sent} fragments for {total}, and {} that wait", waiting.len());
    assert!(sent + waiting.len() < total * 5 / 4);
}

#[test]
fn a_message_is_over_at_its_deadline_whether_it_has_started_or_not() {
    let mut outbox = outbox();
    for call in 1..=MESSAGES_MAX as u64 + 1 {
        push(&mut outbox, call, 10);
    }
    outbox.start();
    outbox.burst(millis(1), PEER);
    let mut calls = Vec::new();
    while let Some(due) = outbox.next_due() {
        let (names, over) = outbox.expire(due);
        calls.extend(over.iter().map(|call| call.0));
        for name in names {
            outbox.burst(due, name);
        }
        assert!(due <= millis(5_000));
    }
    calls.sort_unstable();
    assert_eq!(calls, (1..=MESSAGES_MAX as u64 + 1).collect::<Vec<_>>());
}

#[test]
fn messages_start_in_order_while_there_is_room() {
    let mut outbox = outbox();
    for call in 1..=MESSAGES_MAX as u64 + 2 {
        push(&mut outbox, call, 1);
    }
    outbox.start();
    let burst = outbox.burst(millis(1), PEER);
    assert_eq!(burst.len(), MESSAGES_MAX);
    assert_eq!(outbox.start(), []);
    delivered(&mut outbox, millis(2), 3);
    assert_eq!(outbox.start(), [PEER]);
    let burst = outbox.burst(millis(2), PEER);
    let next = MESSAGES_MAX as u64 + 1;
    assert_eq!(written(&outbox, &burst), [(next, next - 1, 0, true)]);
}

#[test]
fn the_bytes_to_one_node_and_to_all_are_bounded_and_there_is_room_for_yet_another_node() {
    let mut outbox = outbox();
    let mut calls = 0;
    for (node, started) in (0..20).zip(1..) {
        for _ in 0..4 {
            calls += 1;
            push_to(&mut outbox, NameHash(100 + node), calls, 1 << 20);
        }
        outbox.start();
        let expected = (started * PEER_BYTES_MAX).min(BYTES_MAX - PEER_BYTES_MAX + (1 << 20));
        assert_eq!(outbox.bound().count, expected);
    }
    for length in [1 << 19, 1 << 18, 1_000, 5, 0] {
        calls += 1;
        push_to(&mut outbox, NameHash(calls), calls, length);
        assert_eq!(outbox.start(), [NameHash(calls)], "{length}");
    }
    // A message beyond what one node is sent at a time goes alone.
    let mut outbox = self::outbox();
    push(&mut outbox, 1, PEER_BYTES_MAX + 1);
    push(&mut outbox, 2, 1);
    outbox.start();
    assert_eq!(outbox.bound().count, PEER_BYTES_MAX + 1);
}

#[test]
fn one_slow_message_does_not_let_numbers_run_away() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 10);
    outbox.start();
    outbox.burst(millis(1), PEER);
    for call in 2..3_000 {
        push(&mut outbox, call, 10);
        outbox.start();
        for piece in outbox.burst(millis(1), PEER) {
            if piece.number > 1 {
                delivered(&mut outbox, millis(1), piece.number);
            }
        }
    }
    assert_eq!(outbox.peers[&PEER].next, 1_025, "1,024 numbers are used, and the rest waits");
    delivered(&mut outbox, millis(2), 1);
    assert_eq!(outbox.start(), [PEER]);
}

#[test]
fn the_window_doubles_shrinks_once_a_round_trip_and_keeps_its_bounds() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 1 << 20);
    outbox.start();
    let sizes: Vec<usize> = (0..4)
        .map(|round| {
            let now = millis(round * 10);
            while !outbox.burst(now, PEER).is_empty() {}
            let peer = &outbox.peers[&PEER];
            let (sent, next) = (peer.sent_bytes, peer.flights[&1].unsent);
            receiving(&mut outbox, millis(round * 10 + 10), 0, 1, next, &[]);
            sent
        })
        .collect();
    assert_eq!(sizes, [WINDOW_MIN, 2 * WINDOW_MIN, WINDOW_MAX, WINDOW_MAX]);
    let mut sent = Vec::new();
    while sent.len() < WINDOW_MAX / SIZE as usize {
        sent.extend(outbox.burst(millis(50), PEER));
    }
    let first = sent[0].index;
    // Losses of one round trip: one cut.
    receiving(&mut outbox, millis(60), sent[7].ask, 1, first, &[first + 7]);
    receiving(&mut outbox, millis(60), sent[11].ask, 1, first, &[first + 7, first + 11]);
    let due = outbox.next_due().unwrap();
    outbox.expire(due);
    assert_eq!(outbox.peers[&PEER].lost.len(), 10);
    let cut = outbox.peers[&PEER].window.size;
    assert!((WINDOW_MAX * 7 / 10..WINDOW_MAX * 7 / 10 + 2 * SIZE as usize).contains(&cut), "{cut}");
    while let Some(due) = outbox.next_due().filter(|due| *due < millis(4_000)) {
        outbox.expire(due);
        outbox.burst(due, PEER);
    }
    assert_eq!(outbox.peers[&PEER].window.size, WINDOW_MIN);
}

#[test]
fn what_ends_with_its_node_tells_whether_all_of_it_was_sent() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 10);
    push(&mut outbox, 2, 1 << 20);
    push(&mut outbox, 3, 2 << 20);
    push_to(&mut outbox, OTHER, 4, 10);
    outbox.start();
    outbox.burst(millis(1), PEER);
    let ended = outbox.end_where(|name, _| name == PEER);
    let expected = [(1, true), (2, false), (3, false)];
    assert_eq!(ended, expected.map(|(call, is_sent)| Ended { name: PEER, call: RequestId(call), is_sent }));
    assert_eq!(outbox.bound().count, 10);
    assert_eq!(outbox.next_due(), None, "what was never sent to the other node waits for its first burst");
}

#[test]
fn no_number_is_used_twice_for_one_pair_of_runs() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 10);
    outbox.start();
    outbox.burst(millis(1), PEER);
    delivered(&mut outbox, millis(2), 1);
    outbox.forget(|_| false);
    assert_eq!(outbox.len(), 0);
    push(&mut outbox, 2, 10);
    outbox.start();
    let burst = outbox.burst(millis(3), PEER);
    assert_eq!(written(&outbox, &burst), [(2, 0, 0, true)]);
    // Another run of the receiver is another pair.
    delivered(&mut outbox, millis(4), 2);
    let message = Message { call: RequestId(3), payload: Vec::new(), deadline: millis(5_000) };
    outbox.push(PEER, Generation(2), None, message);
    outbox.start();
    let burst = outbox.burst(millis(5), PEER);
    assert_eq!(written(&outbox, &burst), [(1, 0, 0, true)]);
}

#[test]
fn a_window_of_a_quarter_lost_at_random_still_moves() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut is_lost = || rng.random_range(0..4) == 0;
    let mut outbox = outbox();
    let total = 300;
    push(&mut outbox, 1, total * SIZE as usize);
    outbox.start();
    let mut now = millis(0);
    let mut come: BTreeMap<u32, ()> = BTreeMap::new();
    let mut sent = 0;
    while come.len() < total {
        let burst = outbox.burst(now, PEER);
        if burst.is_empty() {
            now = outbox.next_due().unwrap();
            assert!(outbox.expire(now).1.is_empty(), "out of time with {} fragments", come.len());
            continue;
        }
        now = now + RTT;
        for piece in burst {
            sent += 1;
            if is_lost() {
                continue;
            }
            come.insert(piece.index, ());
            if piece.ask != 0 && !is_lost() && come.len() < total {
                let next = (0..).find(|index| !come.contains_key(index)).unwrap();
                let others: Vec<u32> = come.range(next..).map(|(index, ())| *index).collect();
                receiving(&mut outbox, now, piece.ask, 1, next, &others);
            }
        }
    }
    assert!(sent < total * 2, "{sent} fragments for {total}");
    assert!(now < millis(1_500), "{now:?}");
}
