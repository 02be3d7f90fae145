//! Listeners that are slow, panic or call back: the member goes on, and others see nothing of it.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headcount::{Config, Event, Listener, Member};

use crate::rig::{
    PATIENCE, Watch, cluster, config, eventually, names, pair_with_listener, short, start, vacant_addr,
    wait_for_count,
};

/// Hands on what it is told, in the way of a user's own type.
struct Teller(Sender<String>);

impl Listener for Teller {
    fn on_event(&mut self, _member: &Member, event: Event) {
        let _ = self.0.send(short(&event));
    }
}

#[track_caller]
fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_type_a_box_and_a_closure_are_listeners() {
    let (sender, told) = channel();
    let boxed: Box<dyn Listener> = Box::new(Teller(sender.clone()));
    let a = Member::create(config("a").listener(Teller(sender.clone()))).unwrap();
    let b = Member::create(config("b").listener(boxed)).unwrap();
    let c = config("c").on_event(move |_, event| {
        let _ = sender.send(short(&event));
    });
    let c = Member::create(c).unwrap();

    b.join(a.addr()).unwrap();
    c.join(a.addr()).unwrap();
    let mut all: Vec<String> = (0..6).map(|_| next(&told)).collect();
    all.sort();
    assert_eq!(all, ["a joined", "a joined", "b joined", "b joined", "c joined", "c joined"]);
}

#[test]
fn a_listener_and_streams_are_all_told() {
    let (sender, told) = channel();
    let a = Member::create(config("a").listener(Teller(sender))).unwrap();
    let (mut first, mut second) = (Watch::over(&a), Watch::over(&a));
    let _b = start("b").join(a.addr()).unwrap();
    assert_eq!(next(&told), "b joined");
    first.expect("b joined");
    second.expect("b joined");
}

#[test]
fn a_stream_tells_only_what_comes_after_it_was_opened() {
    let [a, _b] = cluster(["a", "b"]);
    let mut late = Watch::over(&a);
    let _c = start("c").join(a.addr()).unwrap();
    late.expect("c joined");
}

#[test]
fn the_view_shows_what_the_listener_is_told() {
    let (sender, told) = channel();
    let config = config("a").on_event(move |member, event| {
        let node = event.node().unwrap();
        let _ = sender.send((short(&event), member.nodes().get(node.name()).is_some()));
    });
    let a = Member::create(config).unwrap();
    let b = start("b").join(a.addr()).unwrap();
    assert_eq!(next(&told), ("b joined".to_owned(), true));
    b.leave(Duration::from_secs(5)).unwrap();
    assert_eq!(next(&told), ("b left".to_owned(), false));
}

#[test]
fn a_listener_that_blocks_is_not_noticed_by_others() {
    let (release, hang) = channel::<()>();
    let [a, b] = pair_with_listener(move |_, _| {
        // Until the test ends.
        let _ = hang.recv();
    });
    let mut watch = Watch::over(&b);
    watch.expect_quiet();
    b.ping("a").unwrap();

    // Its own view goes on as well.
    let c = start("c").join(b.addr()).unwrap();
    wait_for_count(&a, 3);
    watch.expect("c joined");
    c.leave(Duration::from_secs(5)).unwrap();
    wait_for_count(&a, 2);
    drop(release);
}

#[test]
fn a_panic_is_counted_and_the_next_event_is_delivered() {
    let (sender, told) = channel();
    let a = Member::create(config("a").on_event(move |_, event| {
        let _ = sender.send(short(&event));
        // A panic that does not print.
        resume_unwind(Box::new("the listener of this test panics"));
    }))
    .unwrap();
    let b = start("b").join(a.addr()).unwrap();
    assert_eq!(next(&told), "b joined");
    let _c = start("c").join(a.addr()).unwrap();
    assert_eq!(next(&told), "c joined");
    eventually("both panics are counted", || a.metrics().listener_panics == 2);
    b.ping("a").unwrap();
}

/// Settings with which nobody is suspected while a test runs, however busy the machine is.
fn calm(name: &str) -> Config {
    let minute = Duration::from_secs(60);
    config(name).probe_interval(minute).isolation_timeout(minute)
}

#[test]
fn a_full_queue_drops_the_newest_and_says_so() {
    let (release, gate) = channel::<()>();
    let (sender, told) = channel();
    let config = calm("a").event_capacity(2).on_event(move |member, event| {
        // Told first, so that the test knows that the queue is empty behind this event.
        let _ = sender.send((event, names(member)));
        let _ = gate.recv();
    });
    let a = Member::create(config).unwrap();
    let others =
        ["b", "c", "d", "e", "f"].map(|name| Member::create(calm(name)).unwrap().join(a.addr()).unwrap());
    wait_for_count(&a, 6);
    eventually("events are dropped", || a.metrics().events_dropped >= 2);
    drop(release);

    let (first, _) = next(&told);
    assert!(matches!(first, Event::Joined(_)), "{first:?}");
    assert!((0..2).all(|_| matches!(next(&told).0, Event::Joined(_))));

    // What was dropped is told with the next event.
    let _last = Member::create(calm("last")).unwrap().join(a.addr()).unwrap();
    let (event, names) = next(&told);
    let Event::Lagged(count) = event else { panic!("{event:?}") };
    assert_eq!(count, a.metrics().events_dropped);
    assert_eq!(names[..6], ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(short(&next(&told).0), "last joined");
    drop(others);
}

#[test]
fn a_stream_that_is_not_read_lags_as_well() {
    let a = Member::create(config("a").event_capacity(1)).unwrap();
    let events = a.events();
    let _others = ["b", "c", "d"].map(|name| start(name).join(a.addr()).unwrap());
    wait_for_count(&a, 4);
    eventually("two events are dropped", || a.metrics().events_dropped == 2);
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Joined(_))));
    let _last = start("last").join(a.addr()).unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Lagged(2..))));
}

#[test]
fn a_listener_may_call_every_method() {
    let (sender, done) = channel();
    let a = config("a").join_timeout(Duration::from_millis(200)).on_event(move |member, event| {
        let node = event.node().unwrap();
        assert_eq!(member.nodes().len(), 2);
        assert_eq!(member.all_nodes().len(), 2);
        assert!(member.node(node.name()).is_some());
        member.ping(node.name()).unwrap();
        member.wait_until(PATIENCE, |nodes| nodes.len() == 2).unwrap();
        assert!(member.join(vacant_addr()).is_err());
        assert!(member.force_leave(node.name()).is_err());
        let _ = (member.local(), member.metrics(), member.health(), member.events());
        let _ = sender.send(());
    });
    let a = Member::create(a).unwrap();
    let _b = start("b").join(a.addr()).unwrap();
    next(&done);
}

#[test]
fn a_listener_may_leave() {
    let (sender, done) = channel();
    let [_a, b] = pair_with_listener(move |member, event| {
        if short(&event) == "c joined" {
            let _ = sender.send(member.leave(Duration::from_secs(5)));
        }
    });
    let mut watch = Watch::over(&b);
    let _c = start("c").join(b.addr()).unwrap();
    next(&done).unwrap();
    watch.expect("c joined");
    watch.expect("a left");
}

#[test]
fn a_listener_may_drop_the_last_handle() {
    let slot: Arc<Mutex<Option<Member>>> = Arc::default();
    let (sender, done) = channel();
    let last = Arc::clone(&slot);
    let [a, b] = pair_with_listener(move |_, event| {
        if short(&event) == "c joined" {
            drop(last.lock().unwrap().take());
            let _ = sender.send(());
        }
    });
    let addr = a.addr();
    *slot.lock().unwrap() = Some(a);

    let mut watch = Watch::over(&b);
    let _c = start("c").join(b.addr()).unwrap();
    next(&done);
    eventually("the port is free", || std::net::UdpSocket::bind(addr).is_ok());
    watch.expect("c joined");
    watch.expect("a suspected");
    watch.expect("a died");
}

#[test]
fn a_listener_that_keeps_a_clone_keeps_the_member_running() {
    let (sender, kept) = channel();
    let a = config("a").on_event(move |member, _| {
        let _ = sender.send(member.clone());
    });
    let a = Member::create(a).unwrap();
    let b = start("b").join(a.addr()).unwrap();
    let kept = next(&kept);
    drop(a);
    b.ping("a").unwrap();
    kept.shutdown().unwrap();
}
