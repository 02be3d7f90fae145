//! The same stories over each transport. A further one is a function that takes a [`Network`], and a line in the list
//! at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use headcount::crossbeam_channel::{self, Receiver};
use headcount::transport::{Memory, Open, Tcp, Transport, Udp, Wanted};
use headcount::{Config, Error, Event, Member, Nodes, Status};

use crate::rig::{PATIENCE, Watch, config, expect_all_quiet, names, short, wait_for_count};

/// A datagram and its source.
type Received = (Vec<u8>, SocketAddr);

const GRACE: Duration = Duration::from_secs(5);

/// What a story takes place in. Clones are the same network.
#[derive(Clone)]
enum Network {
    Udp,
    Tcp,
    Memory(Memory),
}

impl Open for Network {
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Transport>> {
        match self {
            Self::Udp => Udp::new().open(wanted),
            Self::Tcp => Tcp::new().open(wanted),
            Self::Memory(memory) => memory.open(wanted),
        }
    }
}

impl Network {
    fn start(&self, name: &str) -> Member {
        Member::create(self.config(name)).unwrap()
    }

    fn config(&self, name: &str) -> Config {
        config(name).transport(self.clone())
    }

    /// Members "m0", "m1" … that all see each other.
    fn cluster(&self, count: usize) -> Vec<Member> {
        let members: Vec<Member> = (0..count).map(|index| self.start(&format!("m{index}"))).collect();
        for member in &members[1..] {
            member.join(members[0].addr()).unwrap();
        }
        for member in &members {
            wait_for_count(member, count);
        }
        members
    }

    /// A transport without a member, and what it receives.
    fn open_at(&self, bind: &str) -> (Arc<dyn Transport>, Receiver<Received>) {
        let transport: Arc<dyn Transport> = Arc::from(self.open(&Wanted::at(bind.parse().unwrap())).unwrap());
        let (sender, received) = crossbeam_channel::unbounded();
        let receiver = Arc::clone(&transport);
        // It ends when the transport is closed.
        thread::spawn(move || {
            let mut buf = vec![0; 65_535];
            while let Ok((len, from)) = receiver.recv(&mut buf) {
                sender.send((buf[..len].to_vec(), from)).unwrap();
            }
        });
        (transport, received)
    }
}

fn eight_members_join_and_agree(network: &Network) {
    let members = network.cluster(8);
    let all = names(&members[0]);
    assert_eq!(all.len(), 8);
    for member in &members {
        assert_eq!(names(member), all);
        for other in &members {
            assert_eq!(member.node(other.name()).unwrap().addr(), other.addr());
        }
    }
}

fn a_crash_is_seen_by_all(network: &Network) {
    let mut members = network.cluster(8);
    let crashing = members.pop().unwrap();
    let mut watches: Vec<Watch> = members.iter().map(Watch::over).collect();
    drop(crashing);
    for watch in &mut watches {
        watch.expect("m7 suspected");
        watch.expect("m7 died");
    }
    expect_all_quiet(&watches);
}

fn a_leave_is_seen_by_all_and_as_nothing_else(network: &Network) {
    let mut members = network.cluster(8);
    let leaving = members.pop().unwrap();
    let mut watches: Vec<Watch> = members.iter().map(Watch::over).collect();
    leaving.leave(GRACE).unwrap();
    watches.iter_mut().for_each(|watch| watch.expect("m7 left"));
    for member in &members {
        assert_eq!(member.node("m7").unwrap().status(), Status::Left);
    }
    expect_all_quiet(&watches);
}

fn a_restart_at_the_same_address_is_seen_as_one(network: &Network) {
    let mut members = network.cluster(8);
    let old = members.pop().unwrap();
    let mut watches: Vec<Watch> = members.iter().map(Watch::over).collect();
    old.shutdown().unwrap();
    let config = network.config("m7").bind(old.addr());
    let new = Member::create(config).unwrap().join(members[0].addr()).unwrap();
    watches.iter_mut().for_each(|watch| watch.expect("m7 restarted"));
    wait_for_count(&new, 8);
    expect_all_quiet(&watches);
}

fn a_shutdown_frees_the_address_at_once(network: &Network) {
    // The fastest of a few: a busy machine may delay some, a shutdown that waits for a time-out delays all.
    let fastest = (0..5).map(|_| {
        let members = network.cluster(3);
        let begun = Instant::now();
        members[2].shutdown().unwrap();
        let elapsed = begun.elapsed();
        network.open(&Wanted::at(members[2].addr())).unwrap();
        elapsed
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

fn a_taken_address_is_an_error_that_names_it(network: &Network) {
    let a = network.start("a");
    match Member::create(network.config("b").bind(a.addr())) {
        Err(Error::Io { what, source }) => {
            assert!(what.contains(&a.addr().to_string()), "{what}");
            assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
        }
        other => panic!("{other:?}"),
    }
}

fn datagrams_of_all_sizes_arrive_whole(network: &Network) {
    let ((a, _), (b, received)) = (network.open_at("127.0.0.1:0"), network.open_at("127.0.0.1:0"));
    let max = a.max_datagram();
    assert!(max >= 65_000, "{max}");
    let sizes = (0..63).map(|step| step * step * step / 4).chain([max]);
    for (number, size) in sizes.enumerate() {
        let datagram: Vec<u8> = (0..size).map(|index| (index ^ number).to_le_bytes()[0]).collect();
        a.send(&datagram, b.local_addr()).unwrap();
        let (arrived, from) = received.recv_timeout(PATIENCE).unwrap();
        assert_eq!(from, a.local_addr());
        assert!(arrived == datagram, "{size} bytes were sent, {} arrived", arrived.len());
    }
    a.close();
    b.close();
}

fn datagrams_from_many_threads_arrive_whole(network: &Network) {
    const EACH: usize = 50;
    let ((a, _), (b, received)) = (network.open_at("127.0.0.1:0"), network.open_at("127.0.0.1:0"));
    thread::scope(|scope| {
        for number in 0..4_u8 {
            let (a, b) = (&a, &b);
            scope.spawn(move || (0..EACH).for_each(|_| a.send(&[number; 1_400], b.local_addr()).unwrap()));
        }
    });
    let mut counts = [0; 4];
    for _ in 0..4 * EACH {
        let (datagram, _) = received.recv_timeout(PATIENCE).unwrap();
        assert_eq!(datagram, [datagram[0]; 1_400]);
        counts[usize::from(datagram[0])] += 1;
    }
    assert_eq!(counts, [EACH; 4]);
    a.close();
    b.close();
}

/// Datagrams are filled where there is much to send: a join of many with long names.
fn full_datagrams_carry_a_cluster(network: &Network) {
    let create = |name: &str| Member::create(network.config(name)).unwrap();
    let seed = create(&"s".repeat(255));
    let members: Vec<Member> = (0..15).map(|index| create(&format!("{index:0255}"))).collect();
    for member in &members {
        member.join(seed.addr()).unwrap();
    }
    wait_for_count(&seed, 16);
    members.iter().for_each(|member| wait_for_count(member, 16));
}

fn the_events_and_the_view_tell_the_same(network: &Network) {
    let observer = network.start("observer");
    let events = observer.events();
    let mut members: Vec<Member> = (0..5).map(|index| network.start(&format!("m{index}"))).collect();
    for member in &members {
        member.join(observer.addr()).unwrap();
    }
    wait_for_count(&observer, 6);
    drop(members.pop());
    members.pop().unwrap().leave(GRACE).unwrap();
    wait_for_count(&observer, 4);

    let mut seen = BTreeSet::from(["observer".to_owned()]);
    for event in events.try_iter() {
        let name = event.node().unwrap().name().to_owned();
        let is_possible = match event {
            Event::Joined(_) => seen.insert(name),
            Event::Suspected(_) | Event::Recovered(_) => seen.contains(&name),
            Event::Died { .. } | Event::Left(_) => seen.remove(&name),
            _ => false,
        };
        assert!(is_possible, "{} among {seen:?}", short(&event));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), names(&observer));
}

fn what_each_writes_is_seen_by_all(network: &Network) {
    let members = network.cluster(8);
    for member in &members {
        for key in 0..20 {
            member.set(&format!("key {key}"), format!("{} {key}", member.name())).unwrap();
        }
        member.remove("key 7").unwrap();
    }
    for member in &members {
        let is_complete = |nodes: &Nodes| {
            nodes.iter().all(|node| {
                let right = |(key, value): (&str, &[u8])| {
                    key != "key 7" && value == key.replace("key", node.name()).as_bytes()
                };
                node.state().count() == 19 && node.state().all(right)
            })
        };
        member.wait_until(PATIENCE, is_complete).unwrap();
    }
}

fn messages_of_all_lengths_arrive_once(network: &Network) {
    let (sender, receiver) = (network.start("sender"), network.start("receiver"));
    let events = receiver.events();
    receiver.join(sender.addr()).unwrap();
    let lengths = [0, 1, 1_300, 1_400, 10_000, 1_024 * 1_024];
    for length in lengths {
        let payload: Vec<u8> = (0..=250).cycle().take(length).collect();
        sender.send("receiver", &payload).unwrap();
    }
    let mut received = Vec::new();
    for event in events.try_iter() {
        if let Event::Message { from, payload } = event {
            assert_eq!(from.name(), "sender");
            assert!(payload.iter().enumerate().all(|(index, byte)| usize::from(*byte) == index % 251));
            received.push(payload.len());
        }
    }
    assert_eq!(received, lengths);
}

fn broadcasts_reach_all_in_order(network: &Network) {
    const COUNT: u8 = 50;
    let members = network.cluster(8);
    let streams: Vec<headcount::Events> = members.iter().map(Member::events).collect();
    for number in 0..COUNT {
        for member in &members {
            member.broadcast(&[number]).unwrap();
        }
    }
    for (member, stream) in members.iter().zip(streams) {
        let mut heard: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        while heard.values().map(Vec::len).sum::<usize>() < usize::from(COUNT) * 7 {
            if let Event::Broadcast { from, payload } = stream.recv_timeout(PATIENCE).unwrap() {
                heard.entry(from.name().to_owned()).or_default().extend(payload);
            }
        }
        assert!(!heard.contains_key(member.name()));
        assert!(heard.values().all(|numbers| numbers.iter().copied().eq(0..COUNT)), "{heard:?}");
    }
}

macro_rules! on_each_transport {
    ($($story:ident,)+) => {
        mod udp {
            $(#[test] fn $story() { super::$story(&super::Network::Udp); })+
        }
        mod tcp {
            $(#[test] fn $story() { super::$story(&super::Network::Tcp); })+
        }
        mod memory {
            $(#[test] fn $story() { super::$story(&super::Network::Memory(super::Memory::new(42))); })+
        }
    };
}

on_each_transport! {
    eight_members_join_and_agree,
    a_crash_is_seen_by_all,
    a_leave_is_seen_by_all_and_as_nothing_else,
    a_restart_at_the_same_address_is_seen_as_one,
    a_shutdown_frees_the_address_at_once,
    a_taken_address_is_an_error_that_names_it,
    datagrams_of_all_sizes_arrive_whole,
    datagrams_from_many_threads_arrive_whole,
    full_datagrams_carry_a_cluster,
    the_events_and_the_view_tell_the_same,
    what_each_writes_is_seen_by_all,
    messages_of_all_lengths_arrive_once,
    broadcasts_reach_all_in_order,
}

/// UDP, that says it carries less, and takes its time to be gone.
#[derive(Debug)]
struct Odd {
    below: Option<Box<dyn Transport>>,
    max_datagram: usize,
    drop_takes: Duration,
}

impl Odd {
    fn below(&self) -> &dyn Transport {
        self.below.as_deref().unwrap()
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        thread::sleep(self.drop_takes);
        self.below = None;
    }
}

/// A member over UDP that is odd in this way.
fn odd(name: &str, max_datagram: usize, drop_takes: Duration) -> Config {
    config(name).transport(move |wanted: &Wanted| -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(Odd { below: Some(Udp::new().open(wanted)?), max_datagram, drop_takes }))
    })
}

impl Transport for Odd {
    fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.below().recv(buf)
    }

    fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.below().send(datagram, to)
    }

    fn local_addr(&self) -> SocketAddr {
        self.below().local_addr()
    }

    fn max_datagram(&self) -> usize {
        self.max_datagram
    }

    fn close(&self) {
        self.below().close();
    }
}

#[test]
fn a_transport_that_carries_less_than_is_to_be_sent_is_an_error() {
    match Member::create(odd("a", 1_231, Duration::ZERO)) {
        Err(Error::Config { field, reason }) => {
            assert_eq!(field, "transport");
            assert!(reason.contains("1231"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let narrow = |name: &str| Member::create(odd(name, 1_232, Duration::ZERO)).unwrap();
    let a = narrow("a");
    let _b = narrow("b").join(a.addr()).unwrap();
}

/// A count of references is zero before the drop is through: the port was still taken.
#[test]
fn shutdown_waits_until_the_transport_is_gone() {
    let member = Member::create(odd("a", 65_000, Duration::from_millis(50))).unwrap();
    member.shutdown().unwrap();
    std::net::UdpSocket::bind(member.addr()).unwrap();
}

#[test]
fn a_transport_that_is_wrongly_set_is_a_mistake_of_the_configuration() {
    match Member::create(config("a").transport(Tcp::new().connections(0))) {
        Err(Error::Config { field, .. }) => assert_eq!(field, "transport"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_simulated_member_is_refused_a_transport() {
    let cluster = headcount::sim::Cluster::new(1);
    for result in [
        cluster.add(Config::lan().name("a").transport(Udp::new())),
        cluster
            .add(Config::lan().name("a"))
            .and_then(|_a| cluster.restart("a", Config::lan().transport(Udp::new()))),
    ] {
        match result {
            Err(Error::Config { field, .. }) => assert_eq!(field, "transport"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_local_member_takes_another_port_on_each_transport() {
    let memory = Network::Memory(Memory::new(1));
    for network in [Network::Udp, Network::Tcp, memory] {
        let local = || Config::local().cluster("another port").transport(network.clone());
        let (first, second) = (Member::create(local()).unwrap(), Member::create(local()).unwrap());
        assert_ne!(first.addr(), second.addr());
    }
}

#[test]
fn a_cluster_bears_a_network_that_loses_and_delays() {
    let memory = Memory::new(7);
    memory.loss(0.1);
    memory.delay(Duration::from_millis(1)..Duration::from_millis(10));
    let members = Network::Memory(memory.clone()).cluster(8);
    let mut watches: Vec<Watch> = members[..7].iter().map(Watch::over).collect();
    members[7].leave(GRACE).unwrap();
    watches.iter_mut().for_each(|watch| watch.expect("m7 left"));
}
