use std::net::UdpSocket;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Member;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::listener::Listener;
use crate::metrics::Metrics;
use crate::node::{Node, Nodes, Status};

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(10);

fn config() -> Config {
    Config::local().bind("127.0.0.1:0")
}

fn member() -> Member {
    Member::create(config()).unwrap()
}

fn assert_port_is_free(member: &Member) {
    UdpSocket::bind(member.addr()).unwrap();
}

/// How many of each this process has.
#[cfg(target_os = "linux")]
fn descriptors_and_threads() -> (usize, usize) {
    let count = |dir: &str| std::fs::read_dir(dir).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

#[test]
fn everything_public_can_be_shared_between_threads_and_config_can_be_sent() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Member>();
    shared::<Node>();
    shared::<Nodes>();
    shared::<Status>();
    shared::<Event>();
    shared::<Metrics>();
    shared::<Error>();
    sent::<Config>();
    sent::<Box<dyn Listener>>();
}

#[test]
fn a_member_has_its_real_port_and_is_alone_in_its_view() {
    let member = member();
    assert_ne!(member.addr().port(), 0);
    assert_eq!(member.name(), member.addr().to_string());
    assert_eq!(member.nodes().len(), 1);
    assert_eq!(member.nodes()[0], member.local());
    assert_eq!(member.all_nodes(), member.nodes());
    assert_eq!(member.node(member.name()), Some(member.local()));
    assert_eq!(member.node("nobody"), None);
    assert_eq!(member.health(), 0);
    assert_eq!(member.metrics().nodes, 1);
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let first = member();
    let error = Member::create(Config::local().bind(first.addr())).unwrap_err();
    assert!(matches!(&error, Error::Io { what, .. } if what.contains(&first.addr().to_string())), "{error}");
}

#[test]
fn a_wrong_setting_is_found_before_a_socket_is_opened() {
    let error = Member::create(config().probe_timeout(LONG)).unwrap_err();
    assert!(matches!(error, Error::Config { field: "probe_timeout", .. }), "{error}");
}

#[test]
fn a_member_on_all_interfaces_advertises_an_address() {
    let member = Member::create(Config::lan().bind(":0").seeds("127.0.0.1:7990")).unwrap();
    assert!(member.addr().ip().is_loopback());
    assert_ne!(member.addr().port(), 0);
}

#[test]
fn ipv6_works() {
    let member = Member::create(Config::local().bind("[::1]:0")).unwrap();
    assert!(member.addr().is_ipv6());
    member.join(member.addr()).unwrap();
}

#[test]
fn a_join_with_only_itself_as_seed_is_ok() {
    let member = member();
    let port = member.addr().port();
    member.join(member.addr()).unwrap();
    member.join(format!(":{port}")).unwrap().join([member.addr(), member.addr()]).unwrap();
    assert_eq!(member.nodes().len(), 1);
}

#[test]
fn a_join_without_seeds_is_an_error() {
    let error = member().join(Vec::<String>::new()).unwrap_err();
    assert!(matches!(error, Error::Config { field: "seeds", .. }), "{error}");
}

#[test]
fn a_join_that_nobody_answers_is_over_at_its_deadline_and_names_the_seeds() {
    let member = Member::create(config().join_timeout(Duration::from_millis(300))).unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let seed = silent.local_addr().unwrap();
    let begun = Instant::now();
    let error = member.join([member.addr(), seed]).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let Error::Join(entries) = error else { panic!("{error}") };
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].0, seed.to_string());
    assert!(matches!(entries[0].1, Error::NoAnswer), "{:?}", entries[0].1);
}

#[test]
fn a_lone_member_leaves_at_once_and_again() {
    let member = member();
    let begun = Instant::now();
    member.leave(LONG).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_port_is_free(&member);
    member.leave(LONG).unwrap();
    member.leave(Duration::MAX).unwrap();
    member.shutdown().unwrap();
}

#[test]
fn shutdown_is_quick_frees_the_port_and_can_be_repeated() {
    let mut quickest = LONG;
    for _ in 0..5 {
        let member = member();
        let begun = Instant::now();
        member.shutdown().unwrap();
        quickest = quickest.min(begun.elapsed());
        assert_port_is_free(&member);
        member.shutdown().unwrap();
        member.leave(LONG).unwrap();
    }
    // The quickest, because other tests keep the processors busy.
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
}

#[test]
fn shutdown_by_many_threads_at_once_frees_the_port_for_each() {
    let member = member();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                member.shutdown().unwrap();
                assert!(member.nodes().len() == 1);
            });
        }
    });
    assert_port_is_free(&member);
}

#[test]
fn calls_after_the_end_are_errors_and_readers_go_on() {
    let member = member();
    member.shutdown().unwrap();
    assert!(matches!(member.join(member.addr()), Err(Error::Closed)));
    assert!(matches!(member.ping("nobody"), Err(Error::Closed)));
    assert!(matches!(member.force_leave("nobody"), Err(Error::Closed)));
    assert!(matches!(member.wait_until(LONG, |_| true), Err(Error::Closed)));
    assert_eq!(member.events().recv_timeout(LONG).ok(), None);
    assert_eq!(member.name(), member.local().name());
    assert_eq!(member.all_nodes().len(), 1);
    let _ = (member.nodes(), member.node("nobody"), member.health(), member.metrics());
}

#[test]
fn streams_and_waits_are_over_with_the_member() {
    let member = member();
    let events = member.events();
    let stream = thread::spawn(move || events.iter().count());
    let waiting = thread::spawn({
        let member = member.clone();
        move || member.wait_until(LONG * 10, |_| false)
    });
    // Both may also begin to wait after the end: it makes no difference.
    member.shutdown().unwrap();
    assert_eq!(stream.join().unwrap(), 0);
    assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
}

#[test]
fn a_wait_is_over_at_its_time() {
    let member = member();
    let result = member.wait_until(Duration::from_millis(20), |_| false);
    assert!(matches!(result, Err(Error::Timeout)));
    assert_eq!(member.wait_until(Duration::ZERO, |nodes| nodes.len() == 1).unwrap().len(), 1);
    assert_eq!(member.wait_until(Duration::MAX, |nodes| nodes.len() == 1).unwrap().len(), 1);
}

#[test]
fn the_drop_of_the_last_handle_ends_the_streams_and_frees_the_port() {
    let member = member();
    let addr = member.addr();
    let events = member.events();
    let other = member.clone();
    drop(member);
    assert!(matches!(events.try_recv(), Err(crossbeam_channel::TryRecvError::Empty)));
    drop(other);
    assert_eq!(events.recv_timeout(LONG).ok(), None);
    UdpSocket::bind(addr).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_cycles_leave_no_thread_and_no_descriptor() {
    const CYCLES: usize = 1_000;
    // Other tests run beside this one: what counts is that the numbers do not grow with the cycles.
    let before = descriptors_and_threads();
    for _ in 0..CYCLES {
        drop(Member::create(config().on_event(|_, _| {})).unwrap());
    }
    let after = descriptors_and_threads();
    assert!(after.0 < before.0 + CYCLES / 4, "{before:?} {after:?}");
    assert!(after.1 < before.1 + CYCLES / 4, "{before:?} {after:?}");
}

/// Two members that meet. The first one listens with `on_event`.
fn two_that_meet(on_event: impl FnMut(&Member, Event) + Send + 'static) -> (Member, Member) {
    let first = Member::create(config().on_event(on_event)).unwrap();
    let second = Member::create(config()).unwrap();
    // The listener may end the first one before it has answered.
    let _ = second.join(first.addr());
    (first, second)
}

#[test]
fn the_view_shows_what_the_event_tells() {
    let (tell, told) = mpsc::channel();
    let (_first, second) = two_that_meet(move |member, event| {
        if let Event::Joined(node) = event {
            let _ = tell.send((member.nodes().get(node.name()).is_some(), node));
        }
    });
    let (is_shown, node) = told.recv_timeout(LONG).unwrap();
    assert!(is_shown);
    assert_eq!(node.name(), second.name());
}

#[test]
fn a_listener_that_panics_is_counted_and_gets_the_next_event() {
    let (tell, told) = mpsc::channel();
    let (first, second) = two_that_meet(move |_, event| {
        let _ = tell.send(event);
        panic!("made up by a test");
    });
    assert!(matches!(told.recv_timeout(LONG).unwrap(), Event::Joined(_)));
    second.leave(LONG).unwrap();
    assert!(matches!(told.recv_timeout(LONG).unwrap(), Event::Left(_)));
    first.wait_until(LONG, |nodes| nodes.len() == 1).unwrap();
    assert!(first.metrics().listener_panics >= 1);
}

#[test]
fn a_listener_that_blocks_does_not_hold_up_the_end() {
    let (tell, told) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (first, _second) = two_that_meet(move |_, _| {
        let _ = tell.send(());
        let _ = released.recv_timeout(LONG);
    });
    told.recv_timeout(LONG).unwrap();
    let begun = Instant::now();
    first.shutdown().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_port_is_free(&first);
    drop(release);
}

#[test]
fn a_listener_may_end_its_member() {
    for leave in [false, true] {
        let (tell, told) = mpsc::channel();
        let (first, _second) = two_that_meet(move |member, _| {
            let result: Result<()> = if leave { member.leave(LONG) } else { member.shutdown() };
            let _ = tell.send(result.is_ok());
        });
        assert!(told.recv_timeout(LONG).unwrap());
        assert_port_is_free(&first);
        assert!(told.recv_timeout(LONG).is_err(), "no event after the end");
    }
}

#[test]
fn a_listener_may_drop_the_last_handle() {
    let (give, given) = mpsc::channel::<Member>();
    let (tell, told) = mpsc::channel();
    let (first, second) = two_that_meet(move |member, _| {
        let last = given.recv_timeout(LONG).unwrap();
        let addr = last.addr();
        assert!(member.events().try_recv().is_err());
        drop(last);
        let _ = tell.send(UdpSocket::bind(addr).is_ok());
    });
    give.send(first).unwrap();
    assert!(told.recv_timeout(LONG).unwrap(), "the port is free");
    second.shutdown().unwrap();
}

#[test]
fn a_clone_that_a_listener_keeps_keeps_the_member_running() {
    let (tell, told) = mpsc::channel();
    let (first, _second) = two_that_meet(move |member, _| {
        let _ = tell.send(member.clone());
    });
    let kept = told.recv_timeout(LONG).unwrap();
    drop(first);
    kept.wait_until(LONG, |nodes| !nodes.is_empty()).unwrap();
    kept.shutdown().unwrap();
}

#[test]
fn seeds_of_the_configuration_are_joined_in_the_background() {
    let first = member();
    let second = Member::create(config().seeds(first.addr())).unwrap();
    second.wait_until(LONG, |nodes| nodes.len() == 2).unwrap();
    first.wait_until(LONG, |nodes| nodes.len() == 2).unwrap();
}
