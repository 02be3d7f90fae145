use super::*;
use crate::protocol::tests::world::{addr_of, lan};

const NAME: NameHash = NameHash(7);
const RUN: Generation = Generation(70);
const KINDS: [RequestKind; 2] = [RequestKind::Ping, RequestKind::Pull];

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

fn core() -> Core {
    Core::new(lan(), at(0), Duration::from_secs(1_800_000_000), [1; 32])
}

fn peer() -> Peer {
    Peer { name: NAME, addr: addr_of(1), generation: RUN }
}

/// A datagram from the peer that was asked.
fn context(millis: u64) -> Context {
    Context {
        now: at(millis),
        from: addr_of(1),
        source: addr_of(1),
        sender: NAME,
        generation: RUN,
        counter: None,
        known: true,
        answered: false,
        proven: false,
        replied: false,
    }
}

#[test]
fn an_answer_counts_only_from_the_node_that_was_asked_and_for_what_it_was_asked() {
    let mut core = core();
    let seq = core.request(at(0), RequestKind::Ping, 3, peer(), None);
    let mut answer = |context: &mut Context, seq, kinds: &[RequestKind]| core.answered(context, seq, kinds);
    let wrong = [
        Context { from: addr_of(2), source: addr_of(2), ..context(5) },
        Context { sender: NameHash(8), ..context(5) },
        Context { generation: Generation(71), ..context(5) },
    ];
    for mut wrong in wrong {
        assert_eq!(answer(&mut wrong, seq, &KINDS), None);
        assert!(!wrong.answered);
    }
    assert_eq!(answer(&mut context(5), Seq(seq.0 ^ 1), &KINDS), None);
    assert_eq!(answer(&mut context(5), seq, &[RequestKind::Hello]), None);
    let round_trip = Some(Duration::from_millis(5));
    let reply = Reply { kind: RequestKind::Ping, owner: 3, of_run: true, round_trip, sent: Some(at(0)) };
    assert_eq!(answer(&mut context(5), seq, &KINDS), Some(reply));
    assert_eq!(core.metrics.unexpected_answers, 5);
    let another_run = &mut Context { generation: Generation(71), ..context(5) };
    let reply = core.answered_by_any_run(another_run, seq, &KINDS).unwrap();
    assert!(!reply.of_run);
    assert!(another_run.answered);
}

#[test]
fn a_pause_doubles_twice() {
    let mut core = core();
    let pause = Duration::from_millis(50);
    core.request(at(0), RequestKind::Pull, 0, peer(), Some(pause));
    let mut last = at(0);
    let mut pauses = Vec::new();
    for tries in 1..=4 {
        let due = core.requests.next_due().unwrap();
        // Less the jitter.
        pauses.push(due.since(last).as_millis() / 50);
        assert_eq!(core.next_due_request(due).unwrap().tries, tries);
        assert_eq!(core.next_due_request(due), None);
        last = due;
    }
    assert_eq!(pauses, [1, 2, 4, 4]);
}

#[test]
fn the_second_answer_to_a_request_that_was_repeated_shows_the_round_trip() {
    let mut core = core();
    let seq = core.request(at(0), RequestKind::Pull, 0, peer(), Some(Duration::from_millis(50)));
    core.next_due_request(at(100)).unwrap();
    let reply = core.answered(&mut context(120), seq, &KINDS).unwrap();
    assert_eq!(reply.round_trip, None, "to which of the two?");
    core.requests.end(at(120), seq, true);
    let round_trip = Some(Duration::from_millis(120));
    assert_eq!(core.late_answer(&context(220), seq, RequestKind::Pull), round_trip);
    assert_eq!(core.late_answer(&context(230), seq, RequestKind::Pull), None);
}

#[test]
fn an_answer_that_comes_too_late_shows_the_round_trip_of_what_was_sent_once() {
    let mut core = core();
    let seq = core.request(at(0), RequestKind::Ping, 0, peer(), None);
    core.requests.end(at(500), seq, false);
    assert_eq!(core.answered(&mut context(700), seq, &KINDS), None);
    let strange = Context { sender: NameHash(8), ..context(700) };
    assert_eq!(core.late_answer(&strange, seq, RequestKind::Ping), None);
    let round_trip = Some(Duration::from_millis(700));
    assert_eq!(core.late_answer(&context(700), seq, RequestKind::Ping), round_trip);
}

#[test]
fn what_is_over_is_remembered_within_a_bound() {
    let mut core = core();
    let mut first = None;
    for _ in 0..=OVER_MAX {
        let seq = core.request(at(0), RequestKind::Ping, 0, peer(), None);
        core.requests.end(at(1), seq, false);
        first.get_or_insert(seq);
    }
    assert_eq!(core.requests.over.len(), OVER_MAX);
    assert_eq!(core.late_answer(&context(2), first.unwrap(), RequestKind::Ping), None);
}

#[test]
fn our_own_sleep_moves_deadlines_and_makes_round_trips_unknown() {
    let mut core = core();
    let pause = Duration::from_millis(50);
    let seq = core.request(at(0), RequestKind::Pull, 0, peer(), Some(pause));
    core.requests.push_back(Duration::from_secs(10));
    assert_eq!(core.next_due_request(at(10_000)), None);
    let reply = core.answered(&mut context(10_001), seq, &KINDS).unwrap();
    assert_eq!(reply.round_trip, None);
}
