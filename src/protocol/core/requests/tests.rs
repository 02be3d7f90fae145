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
        length: 100,
        ending: 0,
        is_for_us: true,
        counter: None,
        known: true,
        answered: false,
        proven: false,
        dropped: false,
        replied: false,
    }
}

const PAUSE: Duration = Duration::from_millis(50);

/// The next pauses of a request, in multiples of 50 ms, without the jitter.
fn pauses(core: &mut Core, since: Instant, count: u32) -> Vec<u128> {
    let mut last = since;
    let mut pauses = Vec::new();
    for tries in 1..=count {
        let due = core.requests.next_due().unwrap();
        pauses.push(due.since(last).as_millis() / 50);
        assert_eq!(core.next_due_request(due).unwrap().tries, tries);
        assert_eq!(core.next_due_request(due), None);
        last = due;
    }
    pauses
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
    let reply = Reply {
        kind: RequestKind::Ping,
        owner: 3,
        of_run: true,
        round_trip,
        sent: Some(at(0)),
        addr: peer().addr,
    };
    assert_eq!(answer(&mut context(5), seq, &KINDS), Some(reply));
    assert_eq!(core.metrics.unexpected_answers, 5);
    let another_run = &mut Context { generation: Generation(71), ..context(5) };
    let reply = core.answered_by_any_run(another_run, seq, &KINDS).unwrap();
    assert!(!reply.of_run);
    assert!(another_run.answered);
}

#[test]
fn a_pause_doubles_up_to_eight_seconds() {
    let mut core = core();
    core.request(at(0), RequestKind::Pull, 0, peer(), Some(PAUSE));
    assert_eq!(pauses(&mut core, at(0), 10), [1, 2, 4, 8, 16, 32, 64, 128, 160, 160]);
}

#[test]
fn while_a_caller_waits_a_pause_is_a_16th_of_the_time_that_is_left_or_four_round_trips() {
    let mut core = core();
    core.requests.await_until(Some(at(8_000)));
    core.request(at(0), RequestKind::Pull, 0, peer(), Some(PAUSE));
    assert_eq!(pauses(&mut core, at(0), 5), [1, 2, 4, 8, 9]);
    // Its answers take long: what is repeated sooner is of no use.
    let seq = core.request(at(1_300), RequestKind::Pull, 0, peer(), Some(PAUSE));
    core.answered(&mut context(1_500), seq, &KINDS).unwrap();
    core.requests.end(at(1_500), seq, true);
    let mut core_of_late = core;
    core_of_late.requests.deadlines = Deadlines::new();
    core_of_late.request(at(1_500), RequestKind::Pull, 0, peer(), Some(PAUSE));
    assert_eq!(pauses(&mut core_of_late, at(1_500), 3), [12, 16, 16]);
}

#[test]
fn after_a_first_answer_a_request_is_repeated_no_sooner_than_answers_take() {
    let mut core = core();
    let ping = core.request(at(0), RequestKind::Ping, 0, peer(), None);
    core.requests.end(at(500), ping, false);
    // Too late for the probe.
    core.answered(&mut context(1_000), ping, &KINDS).unwrap();
    core.request(at(1_000), RequestKind::Pull, 0, peer(), Some(PAUSE));
    assert_eq!(pauses(&mut core, at(1_000), 3), [60, 120, 160]);
    // Another peer's answers may take less.
    let other = Peer { name: NameHash(8), ..peer() };
    core.requests.deadlines = Deadlines::new();
    core.request(at(20_000), RequestKind::Pull, 0, other, Some(PAUSE));
    assert_eq!(pauses(&mut core, at(20_000), 2), [1, 2]);
}

#[test]
fn the_round_trips_of_as_many_nodes_are_remembered_as_are_asked_at_the_same_time() {
    let mut core = core();
    for name in 0..200 {
        let peer = Peer { name: NameHash(name), ..peer() };
        let seq = core.request(at(name), RequestKind::Ping, 0, peer, None);
        core.answered(&mut Context { sender: NameHash(name), ..context(name + 5) }, seq, &KINDS).unwrap();
        core.requests.end(at(name + 5), seq, true);
    }
    let bound = core.requests.bound();
    assert_eq!(bound.count, bound.max);
    assert_eq!(core.requests.round_trips.get(NameHash(0)).most(), None);
    assert!(core.requests.round_trips.get(NameHash(199)).most().is_some());
}

#[test]
fn the_second_answer_to_a_request_that_was_repeated_shows_the_round_trip() {
    let mut core = core();
    let seq = core.request(at(0), RequestKind::Pull, 0, peer(), Some(Duration::from_millis(50)));
    core.next_due_request(at(100)).unwrap();
    let reply = core.answered(&mut context(120), seq, &KINDS).unwrap();
    assert_eq!(reply.round_trip, None, "to which of the two?");
    core.requests.end(at(120), seq, true);
    assert_eq!(core.requests.round_trips.get(NAME).most(), None);
    assert_eq!(core.answered(&mut context(220), seq, &KINDS), None, "there is nothing new in it");
    assert_eq!(core.requests.round_trips.get(NAME).smoothed(), Duration::from_millis(120));
    assert_eq!(core.answered(&mut context(230), seq, &KINDS), None);
}

#[test]
fn an_answer_that_comes_too_late_is_used_once_and_shows_the_round_trip() {
    let mut core = core();
    let seq = core.request(at(0), RequestKind::Ping, 3, peer(), None);
    core.requests.end(at(500), seq, false);
    let strange = &mut Context { sender: NameHash(8), ..context(700) };
    assert_eq!(core.answered(strange, seq, &KINDS), None);
    let another_run = &mut Context { generation: Generation(71), ..context(700) };
    assert_eq!(core.answered(another_run, seq, &KINDS), None);
    let reply = core.answered(&mut context(700), seq, &KINDS).unwrap();
    assert_eq!((reply.owner, reply.round_trip), (3, Some(Duration::from_millis(700))));
    assert_eq!(core.requests.round_trips.get(NAME).smoothed(), Duration::from_millis(700));
    assert_eq!(core.answered(&mut context(700), seq, &KINDS), None);
    // A call that has ended needs none.
    let hello = core.request(at(0), RequestKind::Hello, 0, peer(), None);
    core.requests.end(at(500), hello, false);
    assert_eq!(core.answered(&mut context(700), hello, &[RequestKind::Hello]), None);
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
    assert_eq!(core.answered(&mut context(2), first.unwrap(), &KINDS), None);
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
