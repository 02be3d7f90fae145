//! Messages between members: delivered once, or the sender is told why not.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use headcount::{Error, Event, Member, Status};

use crate::rig::{PATIENCE, cluster, config, pair_with_listener, start, wait_for_count};

#[track_caller]
fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().step_by(7).take(length).collect()
}

/// Members "a" and "b" that see each other; what "a" is sent, and by whom, comes out here.
fn pair() -> ([Member; 2], Receiver<(String, Vec<u8>)>) {
    let (sender, messages) = channel();
    let members = pair_with_listener(move |_, event| {
        if let Event::Message { from, payload } = event {
            let _ = sender.send((from.name().to_owned(), payload));
        }
    });
    (members, messages)
}

#[test]
fn messages_of_any_length_arrive_whole_and_once() {
    let ([a, b], messages) = pair();
    for length in [0, 1, 1_310, 1_311, 100_000, 1 << 20] {
        b.send("a", &pattern(length)).unwrap();
        let (from, payload) = next(&messages);
        assert_eq!(from, "b");
        assert!(payload == pattern(length), "{length} bytes");
    }
    assert!(messages.try_recv().is_err());
    assert_eq!((b.metrics().messages_sent, a.metrics().messages_received), (6, 6));
}

#[test]
fn a_listener_answers_inside_of_its_call() {
    let echo = |member: &Member, event: Event| {
        if let Event::Message { from, payload } = event {
            member.send(from.name(), &payload).unwrap();
        }
    };
    let [_a, b] = pair_with_listener(echo);
    let events = b.events();
    for round in 0..100_u8 {
        b.send("a", &[round]).unwrap();
        let echoed = loop {
            if let Event::Message { from, payload } = events.recv_timeout(PATIENCE).unwrap() {
                break (from.name().to_owned(), payload);
            }
        };
        assert_eq!(echoed, ("a".to_owned(), vec![round]));
    }
}

#[test]
fn listeners_that_send_to_each_other_do_not_wait_forever() {
    let (sender, done) = channel();
    let configs = ["a", "b"].map(|name| {
        let sender = sender.clone();
        config(name).on_event(move |member, event| {
            if let Event::Message { from, payload } = event {
                match payload[0] {
                    0 => sender.send(()).unwrap(),
                    left => member.send(from.name(), &[left - 1]).unwrap(),
                }
            }
        })
    });
    let [a, b] = configs.map(|config| Member::create(config).unwrap());
    b.join(a.addr()).unwrap();
    wait_for_count(&a, 2);
    // Twenty chains of messages, back and forth at the same time.
    for _ in 0..10 {
        a.send("b", &[50]).unwrap();
        b.send("a", &[50]).unwrap();
    }
    for _ in 0..20 {
        next(&done);
    }
}

#[test]
fn many_threads_send_at_the_same_time() {
    let ([_a, b], messages) = pair();
    thread::scope(|scope| {
        for thread in 0..8_u8 {
            let b = &b;
            scope.spawn(move || (0..100_u8).for_each(|number| b.send("a", &[thread, number]).unwrap()));
        }
    });
    let mut arrived: Vec<Vec<u8>> = (0..800).map(|_| next(&messages).1).collect();
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived.len(), 800);
}

#[test]
fn a_receiver_whose_listener_is_stuck_refuses_and_its_memory_is_bounded() {
    let (release, hang) = channel::<()>();
    let [a, b] = pair_with_listener(move |_, _| {
        // Until the test ends.
        let _ = hang.recv();
    });
    let payload = pattern(1 << 20);
    let mut taken = 0;
    let refused = loop {
        match b.send("a", &payload) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken <= 16, "{taken} MiB wait");
    };
    assert!(matches!(refused, Error::Refused), "{refused}");
    assert_eq!(taken, 16);
    assert_eq!(a.metrics().messages_refused, 1);
    // Not even a short one has room.
    assert!(matches!(b.send("a", b"x"), Err(Error::Refused)));
    drop(release);
}

#[test]
fn a_queue_that_is_full_of_events_refuses_messages() {
    let (release, hang) = channel::<()>();
    let listener = move |_: &Member, _: Event| {
        let _ = hang.recv();
    };
    let a = Member::create(config("a").event_capacity(3).on_event(listener)).unwrap();
    let b = start("b").join(a.addr()).unwrap();
    // The listener has the first event in hand, and three more wait.
    let refused = (0..10).find_map(|_| b.send("a", b"x").err());
    assert!(matches!(refused, Some(Error::Refused)), "{refused:?}");
    drop(release);
}

#[test]
fn a_member_that_nobody_listens_to_refuses_until_somebody_does() {
    let [a, b] = cluster(["a", "b"]);
    assert!(matches!(b.send("a", b"x"), Err(Error::Refused)));
    let events = a.events();
    b.send("a", b"x").unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Message { .. })));
    drop(events);
    assert!(matches!(b.send("a", b"x"), Err(Error::Refused)));
}

#[test]
fn a_call_that_can_not_succeed_says_why() {
    let [a, b, c] = cluster(["a", "b", "c"]);
    assert!(matches!(a.send("nobody", b"x"), Err(Error::UnknownNode(name)) if name == "nobody"));
    assert!(matches!(a.send("a", b"x"), Err(Error::OwnNode)));
    let long = a.send("b", &pattern((1 << 20) + 1));
    assert!(matches!(long, Err(Error::TooLarge { size: 1_048_577, limit: 1_048_576, .. })));
    b.leave(Duration::from_secs(5)).unwrap();
    wait_for_count(&a, 2);
    let left = a.send("b", b"x");
    assert!(matches!(left, Err(Error::NotActive { name, status: Status::Left }) if name == "b"));
    drop(c);
    wait_for_count(&a, 1);
    let dead = a.send("c", b"x");
    assert!(matches!(dead, Err(Error::NotActive { name, status: Status::Dead }) if name == "c"));
    a.shutdown().unwrap();
    assert!(matches!(a.send("b", b"x"), Err(Error::Closed)));
}

#[test]
fn the_end_of_the_member_ends_a_send_that_waits() {
    let timeout = Duration::from_secs(300);
    let a = Member::create(config("a").send_timeout(timeout)).unwrap();
    let b = start("b").join(a.addr()).unwrap();
    wait_for_count(&a, 2);
    b.shutdown().unwrap();
    let since = Instant::now();
    let waiting = thread::spawn({
        let a = a.clone();
        move || a.send("b", b"x")
    });
    // Whether it has begun to wait or not.
    a.shutdown().unwrap();
    let result = waiting.join().unwrap();
    assert!(matches!(result, Err(Error::Closed)), "{result:?}");
    assert!(since.elapsed() < PATIENCE);
}
