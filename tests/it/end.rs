//! The end of a member: by `shutdown`, by the last handle, and every call after it.

use std::net::UdpSocket;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use headcount::{Error, Member};

use crate::rig::{PATIENCE, Watch, cluster, config, eventually, names, pair_with_listener, short, start};

const GRACE: Duration = Duration::from_secs(5);

/// What `shutdown` promises.
const AT_ONCE: Duration = Duration::from_millis(100);

#[test]
fn shutdown_twice_is_fine() {
    let member = start("a");
    member.shutdown().unwrap();
    member.shutdown().unwrap();
    member.leave(GRACE).unwrap();
}

#[test]
fn the_port_is_free_when_shutdown_returns() {
    let member = start("a");
    member.shutdown().unwrap();
    UdpSocket::bind(member.addr()).unwrap();
}

#[test]
fn the_port_is_free_when_leave_returns() {
    let [_a, b] = cluster(["a", "b"]);
    b.leave(GRACE).unwrap();
    UdpSocket::bind(b.addr()).unwrap();
}

#[test]
fn the_port_is_free_when_the_last_handle_is_gone() {
    let member = start("a");
    let addr = member.addr();
    let clone = member.clone();
    drop(member);
    assert!(UdpSocket::bind(addr).is_err());
    drop(clone);
    UdpSocket::bind(addr).unwrap();
}

#[test]
fn after_the_end_only_the_readers_answer() {
    let [a, b] = cluster(["a", "b"]);
    b.shutdown().unwrap();

    assert!(matches!(b.join(a.addr()), Err(Error::Closed)));
    assert!(matches!(b.ping("a"), Err(Error::Closed)));
    assert!(matches!(b.force_leave("a"), Err(Error::Closed)));
    assert!(matches!(b.wait_until(GRACE, |nodes| nodes.len() == 99), Err(Error::Closed)));
    assert!(b.events().recv_timeout(GRACE).is_err_and(|error| error.is_disconnected()));

    assert_eq!(b.name(), "b");
    assert_eq!(b.addr(), b.local().addr());
    assert_eq!(names(&b), ["a", "b"]);
    assert_eq!(b.all_nodes().len(), 2);
    assert!(b.node("a").is_some());
    assert!(b.health() <= 8);
    assert!(b.metrics().datagrams_sent > 0);
}

/// The fastest of a few: a busy machine may delay some, a shutdown that waits for a time-out delays all.
#[track_caller]
fn expect_at_once(mut shutdown: impl FnMut() -> Duration) {
    let fastest = (0..5).map(|_| shutdown()).min().unwrap();
    assert!(fastest < AT_ONCE, "{fastest:?}");
}

#[test]
fn shutdown_returns_at_once_from_another_thread() {
    expect_at_once(|| {
        let [_a, b] = cluster(["a", "b"]);
        thread::spawn(move || {
            let began = Instant::now();
            b.shutdown().unwrap();
            began.elapsed()
        })
        .join()
        .unwrap()
    });
}

#[test]
fn shutdown_returns_at_once_from_inside_the_listener() {
    expect_at_once(|| {
        let (sender, receiver) = channel();
        let [a, b] = pair_with_listener(move |member, event| {
            if short(&event) == "c joined" {
                let began = Instant::now();
                member.shutdown().unwrap();
                let _ = sender.send(began.elapsed());
            }
        });
        let _c = start("c").join(b.addr()).unwrap();
        let elapsed = receiver.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(a.join(b.addr()), Err(Error::Closed)));
        elapsed
    });
}

#[test]
fn shutdown_does_not_wait_for_a_listener_that_hangs() {
    expect_at_once(|| {
        let (release, hang) = channel::<()>();
        let (sender, entered) = channel();
        let config = config("a").on_event(move |_, _| {
            let _ = sender.send(());
            // Until the test ends.
            let _ = hang.recv();
        });
        let a = Member::create(config).unwrap();
        let _b = start("b").join(a.addr()).unwrap();
        entered.recv_timeout(PATIENCE).unwrap();
        let began = Instant::now();
        a.shutdown().unwrap();
        let elapsed = began.elapsed();
        drop(release);
        elapsed
    });
}

#[test]
fn event_streams_end_with_shutdown() {
    let [a, _b] = cluster(["a", "b"]);
    let (mut first, mut second) = (Watch::over(&a), Watch::over(&a));
    a.shutdown().unwrap();
    first.expect_end();
    second.expect_end();
}

#[test]
fn event_streams_end_with_leave() {
    let [a, _b] = cluster(["a", "b"]);
    let mut watch = Watch::over(&a);
    a.leave(GRACE).unwrap();
    watch.expect_end();
}

#[test]
fn event_streams_end_with_the_last_handle_and_do_not_keep_the_member() {
    let a = start("a");
    let addr = a.addr();
    let mut watch = Watch::over(&a);
    drop(a);
    watch.expect_end();
    UdpSocket::bind(addr).unwrap();
}

#[test]
fn shutdown_ends_a_join_that_waits() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let seed = silent.local_addr().unwrap();
    let a = Member::create(config("a").join_timeout(Duration::from_secs(60))).unwrap();
    thread::scope(|scope| {
        let joining = scope.spawn(|| a.join(seed));
        eventually("the join has sent something", || a.metrics().datagrams_sent > 0);
        a.shutdown().unwrap();
        assert!(matches!(joining.join().unwrap(), Err(Error::Closed)));
    });
}

#[test]
fn shutdown_ends_a_wait() {
    let a = start("a");
    thread::scope(|scope| {
        let (sender, asked) = channel();
        let a = &a;
        let waiting = scope.spawn(move || {
            a.wait_until(Duration::from_secs(60), |_| {
                let _ = sender.send(());
                false
            })
        });
        asked.recv_timeout(PATIENCE).unwrap();
        a.shutdown().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
    });
}

#[test]
fn a_stored_clone_keeps_the_member_running() {
    let [a, b] = cluster(["a", "b"]);
    let mut watch = Watch::over(&b);
    let stored = a.clone();
    drop(a);
    watch.expect_quiet();
    b.ping("a").unwrap();
    drop(stored);
    watch.expect("a suspected");
    watch.expect("a died");
}
