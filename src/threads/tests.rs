use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::alarm::Alarm;
use super::receiver;
use super::shared::Shared;
use super::{End, Owner, start};
use crate::config::Config;
use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Event;
use crate::protocol::{Instant as Time, TimerKind};
use crate::transport::Transport;

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(10);

fn conflict(port: u16) -> Event {
    Event::NameConflict { addr: SocketAddr::from(([127, 0, 0, 1], port)) }
}

fn member() -> Arc<Owner> {
    start(Config::local().bind("127.0.0.1:0")).unwrap()
}

/// Waits for what is going to happen soon.
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "not so: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_full_queue_drops_the_newest_events_and_tells_how_many_before_the_next() {
    let (mut consumer, events) = Consumer::new(2);
    for port in 1..=5 {
        assert_eq!(consumer.offer(&conflict(port)), u64::from(port > 2), "{port}");
    }
    assert_eq!(events.recv().unwrap(), conflict(1));
    // There is room for one: that is needed to tell what was dropped.
    assert_eq!(consumer.offer(&conflict(6)), 1);
    assert_eq!(events.recv().unwrap(), conflict(2));
    assert_eq!(events.recv().unwrap(), Event::Lagged(3));
    assert_eq!(consumer.offer(&conflict(7)), 0);
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [Event::Lagged(1), conflict(7)]);
}

#[test]
fn dropped_events_are_told_without_a_further_event() {
    let (mut consumer, events) = Consumer::new(1);
    consumer.offer(&conflict(1));
    consumer.offer(&conflict(2));
    consumer.tell_missed();
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [conflict(1)]);
    consumer.tell_missed();
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [Event::Lagged(1)]);
}

#[test]
fn a_consumer_is_there_until_its_last_stream_is_dropped() {
    let (consumer, events) = Consumer::new(1);
    let clone = events.clone();
    drop(events);
    assert!(consumer.is_there());
    drop(clone);
    assert!(!consumer.is_there());
}

#[test]
fn an_alarm_is_rung_only_if_the_deadline_became_earlier() {
    let alarm = Arc::new(Alarm::new());
    alarm.set(Some(Time::from_micros(1_000)));
    let rung = Arc::new(AtomicUsize::new(0));
    // Not a channel: waiting for one parks the thread too, and would use up the ring.
    let is_ready = Arc::new(AtomicBool::new(false));
    let sleeper = thread::spawn({
        let (alarm, rung, is_ready) = (Arc::clone(&alarm), Arc::clone(&rung), Arc::clone(&is_ready));
        move || {
            assert_eq!(alarm.announce(), 1_000);
            is_ready.store(true, Ordering::SeqCst);
            thread::park();
            rung.fetch_add(1, Ordering::SeqCst);
            assert_eq!(alarm.announce(), 500);
        }
    });
    alarm.set_thread(sleeper.thread().clone());
    while !is_ready.load(Ordering::SeqCst) {
        thread::yield_now();
    }

    alarm.set(Some(Time::from_micros(2_000)));
    assert!(!alarm.ring_if_earlier());
    alarm.set(None);
    assert!(!alarm.ring_if_earlier());
    assert_eq!(rung.load(Ordering::SeqCst), 0);
    alarm.set(Some(Time::from_micros(500)));
    assert!(alarm.ring_if_earlier());
    sleeper.join().unwrap();
}

/// A path on which nothing but errors comes.
#[derive(Debug)]
struct Broken {
    kind: io::ErrorKind,
    calls: AtomicUsize,
}

impl Transport for Broken {
    fn recv(&self, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Err(self.kind.into())
    }

    fn send(&self, _: &[u8], _: SocketAddr) -> io::Result<()> {
        Err(self.kind.into())
    }

    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    fn max_datagram(&self) -> usize {
        65_000
    }

    fn close(&self) {}
}

#[test]
fn errors_of_the_socket_neither_end_the_receiver_nor_spin() {
    for (kind, is_counted) in [
        (io::ErrorKind::ConnectionReset, true),
        (io::ErrorKind::Other, true),
        (io::ErrorKind::WouldBlock, false),
    ] {
        let owner = member();
        let shared = Arc::clone(owner.shared());
        let broken = Arc::new(Broken { kind, calls: AtomicUsize::new(0) });
        let receiver = thread::spawn({
            let (shared, broken) = (Arc::clone(&shared), Arc::clone(&broken));
            move || receiver::run(&shared, &*broken)
        });
        let begun = Instant::now();
        soon("the receiver goes on", || broken.calls.load(Ordering::SeqCst) > 30);
        let calls = broken.calls.load(Ordering::SeqCst);
        // Sixteen are free, and then each costs 10 ms; a pause of 100 ms, on a busy host, sets sixteen free.
        let paid = u32::try_from(calls - 16).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(6) * paid, "{calls} in {:?}", begun.elapsed());
        drop(owner);
        receiver.join().unwrap();
        let errors = shared.metrics().socket_errors;
        if is_counted {
            assert!(errors >= u64::try_from(calls).unwrap(), "{errors} of {calls}");
        } else {
            assert_eq!(errors, 0);
        }
    }
}

#[test]
fn a_panic_in_a_step_ends_the_member_and_every_call_says_so() {
    let owner = member();
    let shared = owner.shared();
    let events = shared.events();
    let caller = thread::current().name().unwrap().to_owned();
    let is_told = |error: &Error| matches!(error, Error::Panicked(thread) if *thread == caller);

    let error = shared.step(|_, _| panic!("made up by a test")).unwrap_err();
    assert!(is_told(&error), "{error}");
    assert!(is_told(&shared.step(|_, _| ()).unwrap_err()));
    assert!(is_told(&super::join::join(shared, vec![":7990".to_owned()]).unwrap_err()));
    assert!(is_told(&shared.driver().watch().err().unwrap()));
    assert!(is_told(&shared.driver().end_reason().unwrap().result().unwrap_err()));
    assert_eq!(events.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    shared.wait_for_end();
    assert!(UdpSocket::bind(shared.view().address().get()).is_ok(), "the port is free");
}

#[test]
fn a_panic_of_a_thread_ends_the_member() {
    let owner = member();
    owner.shared().contain("hc-made-up", || panic!("made up by a test"));
    let error = owner.shared().step(|_, _| ()).unwrap_err();
    assert!(matches!(error, Error::Panicked(thread) if thread == "hc-made-up"));
}

#[test]
fn a_call_that_waits_is_over_when_the_member_ends() {
    let owner = member();
    // A made-up call, which the protocol never answers.
    let answer = owner.shared().call(|_, _| Ok(crate::protocol::RequestId(u64::MAX))).unwrap();
    let waiter = thread::spawn(move || answer.recv_timeout(LONG));
    owner.shared().end(End::Closed);
    assert_eq!(waiter.join().unwrap().unwrap_err(), RecvTimeoutError::Disconnected);
}

#[test]
fn a_lost_name_is_what_calls_answer_but_shutdown_does_not() {
    let owner = member();
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    owner.shared().end(End::NameTaken { name: "web-1".to_owned(), addr });
    let error = owner.shared().step(|_, _| ()).unwrap_err();
    assert!(matches!(error, Error::NameTaken { name, addr: other } if name == "web-1" && other == addr));
    assert!(owner.shared().driver().end_reason().unwrap().result().is_ok());
}

#[test]
fn time_never_goes_back_from_one_step_to_the_next() {
    let owner = member();
    let times = Arc::new(std::sync::Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    owner.shared().step(|_, now| times.lock().unwrap().push(now)).unwrap();
                }
            });
        }
    });
    assert!(times.lock().unwrap().is_sorted());
}

#[test]
fn the_threads_are_told_apart_by_what_linux_shows_of_their_names() {
    let names = [
        super::RECEIVER,
        super::PROBER,
        super::DISSEMINATOR,
        super::NOTIFIER,
        super::RESOLVER,
        super::SNAPSHOT,
    ];
    let shown: BTreeSet<&str> = names.iter().map(|name| &name[..name.len().min(15)]).collect();
    assert_eq!(shown.len(), names.len());
}

#[test]
fn a_duty_is_done_when_it_is_due() {
    let owner = member();
    let shared: &Arc<Shared> = owner.shared();
    // The protocol has moved its deadlines beyond what was due at the start.
    for kind in [TimerKind::Probe, TimerKind::Disseminate] {
        soon("nothing is overdue", || {
            let (due, now) =
                shared.driver().read(|protocol| (protocol.poll_timeout(kind), shared.driver().now()));
            due.is_none_or(|due| due > now)
        });
    }
}

#[test]
fn a_host_name_that_does_not_resolve_is_told_within_the_deadline() {
    let owner = member();
    let begun = Instant::now();
    // Reserved never to exist (RFC 6761).
    let seeds = vec!["no-such-host.invalid:7990".to_owned(), "not a seed".to_owned()];
    let Error::Join(entries) = super::join::join(owner.shared(), seeds).unwrap_err() else {
        panic!("not the error of a join");
    };
    assert!(begun.elapsed() < LONG);
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].0, "no-such-host.invalid:7990");
    assert!(matches!(entries[0].1, Error::Io { .. } | Error::Timeout), "{:?}", entries[0].1);
    assert!(matches!(entries[1].1, Error::Config { field: "seeds", .. }), "{:?}", entries[1].1);
}

#[test]
fn an_address_of_another_family_is_an_error_of_its_own() {
    let owner = member();
    let Error::Join(entries) = super::join::join(owner.shared(), vec!["[::1]:7990".to_owned()]).unwrap_err()
    else {
        panic!("not the error of a join");
    };
    assert!(matches!(entries[0].1, Error::Io { .. }), "{:?}", entries[0].1);
}

/// A child that was forked off and dropped its copy shut down the socket that it shares with the member.
#[test]
fn a_copy_of_a_member_in_another_process_ends_nothing_and_sends_nothing() {
    let owner = member();
    let shared = Arc::clone(owner.shared());
    shared.fork(true);
    let sent = shared.metrics().datagrams_sent;
    assert!(matches!(Arc::clone(&shared).update(&[("key", Some(b"value"))]), Err(Error::Closed)));
    assert!(matches!(Arc::clone(&shared).ping("b"), Err(Error::Closed)));
    assert!(matches!(shared.wait_until(LONG, &mut |_| false), Err(Error::Closed)));
    Arc::clone(&shared).leave(LONG).unwrap();
    shared.shutdown().unwrap();
    drop(owner);

    shared.fork(false);
    assert_eq!(shared.metrics().datagrams_sent, sent);
    assert!(!Engine::has_ended(&*shared));
    Arc::clone(&shared).update(&[("key", Some(b"value"))]).unwrap();
    shared.shutdown().unwrap();
    assert!(Engine::has_ended(&*shared));
}
