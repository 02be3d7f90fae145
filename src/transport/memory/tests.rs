use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Memory;
use crate::transport::{Open, Transport, Wanted};

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn open(network: &Memory, bind: &str) -> Box<dyn Transport> {
    network.open(&Wanted::at(addr(bind))).unwrap()
}

fn receive(transport: &dyn Transport) -> (Vec<u8>, SocketAddr) {
    let mut buf = vec![0; 65_535];
    let (len, from) = transport.recv(&mut buf).unwrap();
    (buf[..len].to_vec(), from)
}

/// Which of so many numbered datagrams arrive, in their order of arrival.
fn arrivals(network: &Memory, count: u32) -> Vec<u32> {
    let (a, b) = (open(network, "10.0.0.1:1"), open(network, "10.0.0.2:1"));
    for number in 0..count {
        a.send(&number.to_be_bytes(), b.local_addr()).unwrap();
    }
    network.loss(0.0);
    network.delay(Duration::from_millis(50)..Duration::from_millis(50));
    a.send(b"end", b.local_addr()).unwrap();
    let mut numbers = Vec::new();
    loop {
        match <[u8; 4]>::try_from(receive(&*b).0) {
            Ok(number) => numbers.push(u32::from_be_bytes(number)),
            Err(end) => {
                assert_eq!(end, b"end");
                return numbers;
            }
        }
    }
}

#[test]
fn everything_arrives_in_order_when_nothing_else_was_said() {
    assert_eq!(arrivals(&Memory::new(1), 1_000), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn the_share_that_was_said_is_lost_and_the_seed_says_which() {
    let lossy = |seed| {
        let network = Memory::new(seed);
        network.loss(0.2);
        arrivals(&network, 10_000)
    };
    let first = lossy(7);
    assert!((7_800..=8_200).contains(&first.len()), "{}", first.len());
    assert_eq!(lossy(7), first);
    assert_ne!(lossy(8), first);
}

#[test]
fn a_loss_of_one_or_more_is_a_cut() {
    for share in [1.0, 7.5] {
        let network = Memory::new(1);
        network.loss(share);
        assert_eq!(arrivals(&network, 100), [0; 0]);
    }
}

#[test]
fn nothing_arrives_before_the_delay_is_over_and_the_drawn_delays_differ() {
    let network = Memory::new(3);
    let (a, b) = (open(&network, "10.0.0.1:1"), open(&network, "10.0.0.2:1"));
    network.delay(Duration::from_millis(10)..Duration::from_millis(30));
    let begun = Instant::now();
    for number in 0..20 {
        a.send(&[number], b.local_addr()).unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..20 {
        order.push(receive(&*b).0[0]);
        assert!(begun.elapsed() >= Duration::from_millis(10));
    }
    assert!(!order.is_sorted(), "{order:?}");
    order.sort_unstable();
    assert_eq!(order, (0..20).collect::<Vec<_>>());
}

#[test]
fn a_receiver_that_waits_for_a_late_datagram_takes_an_earlier_one_first() {
    let network = Memory::new(1);
    let (a, b) = (open(&network, "10.0.0.1:1"), open(&network, "10.0.0.2:1"));
    network.delay(Duration::from_secs(3_600)..Duration::from_secs(3_600));
    a.send(b"late", b.local_addr()).unwrap();
    network.delay(Duration::ZERO..Duration::ZERO);
    a.send(b"soon", b.local_addr()).unwrap();
    assert_eq!(receive(&*b).0, b"soon");
}

#[test]
fn networks_are_apart_and_what_goes_to_nobody_is_lost() {
    let (one, other) = (Memory::new(1), Memory::new(1));
    let a = open(&one, "10.0.0.1:1");
    let _b = open(&other, "10.0.0.1:1");
    a.send(b"x", addr("10.0.0.9:9")).unwrap();
}

#[test]
fn a_taken_address_is_an_error_until_it_is_dropped() {
    let network = Memory::new(1);
    let taken = |bind: &str| {
        let result = network.open(&Wanted::at(addr(bind)));
        result.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    let a = open(&network, "10.0.0.1:1");
    assert!(taken("10.0.0.1:1") && taken("0.0.0.0:1") && taken("[::]:1"));
    assert!(!taken("10.0.0.2:1") && !taken("10.0.0.1:2") && !taken("[::1]:1"));
    a.close();
    drop(a);
    assert!(!taken("10.0.0.1:1"));

    let all = open(&network, "0.0.0.0:3");
    assert!(taken("10.0.0.1:3") && !taken("[::1]:3"));
    drop(all);
}

#[test]
fn port_0_is_any_free_port() {
    let network = Memory::new(1);
    let (a, b) = (open(&network, "127.0.0.1:0"), open(&network, "127.0.0.1:0"));
    assert_ne!(a.local_addr().port(), 0);
    assert_ne!(a.local_addr(), b.local_addr());
}

#[test]
fn a_wildcard_receives_at_each_address_and_is_seen_there() {
    let network = Memory::new(1);
    let (all, a) = (open(&network, "0.0.0.0:1"), open(&network, "10.0.0.1:2"));
    a.send(b"hello", addr("10.0.0.7:1")).unwrap();
    assert_eq!(receive(&*all), (b"hello".to_vec(), addr("10.0.0.1:2")));
    all.send(b"hello", addr("10.0.0.1:2")).unwrap();
    assert_eq!(receive(&*a), (b"hello".to_vec(), addr("10.0.0.1:1")));
}

#[test]
fn a_full_receive_buffer_drops_the_newest() {
    let network = Memory::new(1);
    let small = Wanted { receive_buffer: 3_000, ..Wanted::at(addr("10.0.0.1:1")) };
    let (a, b) = (network.open(&small).unwrap(), open(&network, "10.0.0.2:1"));
    for number in 0..10 {
        b.send(&[number; 900], a.local_addr()).unwrap();
    }
    let kept: Vec<u8> = (0..3).map(|_| receive(&*a).0[0]).collect();
    assert_eq!(kept, [0, 1, 2]);
    b.send(b"room again", a.local_addr()).unwrap();
    assert_eq!(receive(&*a).0, b"room again");
}

#[test]
fn close_wakes_a_blocked_receive_and_later_ones_do_not_block() {
    let network = Memory::new(1);
    let a: Arc<dyn Transport> = Arc::from(open(&network, "10.0.0.1:1"));
    let receiver = thread::spawn({
        let a = Arc::clone(&a);
        move || [a.recv(&mut [0; 8]).is_err(), a.recv(&mut [0; 8]).is_err()]
    });
    a.close();
    a.close();
    assert_eq!(receiver.join().unwrap(), [true, true]);
}
