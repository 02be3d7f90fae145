//! The steps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use divan::{Bencher, black_box};
use headcount::bench::{Core, Letter, member_among, with_checksum};
use headcount::transport::Memory;
use headcount::{Config, Event, Member};

/// When the protocols of these benchmarks were started.
const START: Duration = Duration::from_secs(3_600);
/// Long enough after that for a view to count as quiet, and before the first probe could be late.
const QUIET: Duration = Duration::from_millis(3_600_200);

/// A header, as each datagram has one.
const HEADER: &str = "6863 02 00 0102030405060708 1112131415161718 2122232425262728 3132333435363738";

/// Each type of body as it is on the wire: the examples of the format's specification.
const BODIES: [(&str, &str); 30] = [
    ("ping", "01 1f a1a2a3a4a5a6a7a8 b1b2b3b4b5b6b7b8 00000007 f1f2f3f4f5f6f7f8 19 ac02"),
    ("ack", "02 1f a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 00000007 f1f2f3f4f5f6f7f8 19 ac02"),
    ("bare ack", "03 08 a1a2a3a4a5a6a7a8"),
    ("ping request", "04 1a a1a2a3a4a5a6a7a8 b1b2b3b4b5b6b7b8 2122232425262728 9003"),
    ("relayed ack", "05 0a a1a2a3a4a5a6a7a8 ac02"),
    ("nack", "06 09 a1a2a3a4a5a6a7a8 01"),
    ("alive", "10 1b 05 7765622d31 04 0a000001 1f36 2122232425262728 ac02 01 8001 01"),
    ("verdict", "11 24 b1b2b3b4b5b6b7b8 2122232425262728 ac02 01 02 00000000000000d1 00000000000000d0"),
    (
        "hello",
        "20 33 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 01 0000000000000000 \
         05 7765622d31 04 0a000001 1f36 2122232425262728 ac02 01 8001",
    ),
    ("challenge", "21 10 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8"),
    ("welcome", "22 1b a1a2a3a4a5a6a7a8 f1f2f3f4f5f6f7f8 19 e807 0000000000000000"),
    ("reject", "23 18 a1a2a3a4a5a6a7a8 02 2122232425262728 04 0a000001 1f36"),
    ("hint", "24 09 a1a2a3a4a5a6a7a8 01"),
    ("leave", "25 15 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 ac02 ac02 05"),
    ("sums", "30 9a08 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 e807 b1b2b3b4b5b6b7b8"),
    (
        "digests",
        "31 2e a1a2a3a4a5a6a7a8 0000000000000000 8000000000000000 \
         05 0002 00000001 0000000a 00000002 0000000b  7f 0000",
    ),
    ("offer", "32 1a a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8  05 00000001  7f fffffffe"),
    ("newer", "33 09 a1a2a3a4a5a6a7a8 01"),
    ("pull", "34 20 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 8000000000000000 0000000000000000"),
    ("page", "35 10 a1a2a3a4a5a6a7a8 8000000000000000"),
    ("sync record", "36 1b 05 7765622d31 04 0a000001 1f36 2122232425262728 ac02 01 8001 01"),
    ("sync verdict", "37 13 b1b2b3b4b5b6b7b8 2122232425262728 ac02 02"),
    (
        "delta",
        "40 25 b1b2b3b4b5b6b7b8 2122232425262728 e807 e307 64 d804 02 7570 01 04 796573 02 cebb c801 00",
    ),
    (
        "fetch",
        "41 36 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 01 b1b2b3b4b5b6b7b8 2122232425262728 ac02 00 \
         02 b1b2b3b4b5b6b7b8 2122232425262728 01",
    ),
    ("fetched", "42 08 a1a2a3a4a5a6a7a8"),
    (
        "sync delta",
        "43 25 b1b2b3b4b5b6b7b8 2122232425262728 e807 e307 64 d804 02 7570 01 04 796573 02 cebb c801 00",
    ),
    ("broadcast", "50 16 b1b2b3b4b5b6b7b8 2122232425262728 ac02 6e657773"),
    ("sync broadcast", "51 12 b1b2b3b4b5b6b7b8 2122232425262728 ac02"),
    ("fragment", "60 0c 01 ac02 07 8310 8008 02 616263"),
    ("fragment ack", "61 07 09 ac02 00 02 05 04"),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap_or_default()).collect()
}

/// The datagram with this body.
fn datagram(kind: &str) -> Vec<u8> {
    let body = BODIES.iter().find(|(name, _)| *name == kind).map_or("", |(_, body)| body);
    let mut datagram = bytes(&format!("{HEADER} {body}"));
    if kind == "sums" {
        datagram.extend((0..128_u64).flat_map(|bucket| (u64::MAX / (bucket + 1)).to_be_bytes()));
    }
    with_checksum(datagram)
}

fn kinds() -> impl Iterator<Item = &'static str> {
    BODIES.iter().map(|(kind, _)| *kind)
}

/// A whole datagram with one body: every byte is checked.
#[divan::bench(args = kinds())]
fn decode(bencher: Bencher<'_, '_>, kind: &str) {
    let datagram = datagram(kind);
    assert!(Letter::decode(&datagram).is_some(), "{kind} is not valid");
    bencher.bench_local(|| Letter::decode(black_box(&datagram)).is_some());
}

/// Likewise, into memory that is used again.
#[divan::bench(args = kinds())]
fn encode(bencher: Bencher<'_, '_>, kind: &str) {
    let datagram = datagram(kind);
    let Some(letter) = Letter::decode(&datagram) else {
        panic!("{kind} is not valid");
    };
    let mut buffer = Vec::with_capacity(2_048);
    bencher.bench_local(|| {
        buffer = black_box(&letter).encode(std::mem::take(&mut buffer));
        buffer.len()
    });
    assert_eq!(buffer, datagram);
}

/// A member that holds so many nodes, which do not run.
fn core_among(nodes: u32) -> Core {
    let mut core = new_core("me", 1);
    core.imagine(START, 0..nodes - 1, 0);
    core
}

fn new_core(name: &str, host: u8) -> Core {
    match Core::new(START, name, SocketAddr::from(([192, 168, 0, host], 7990))) {
        Ok(core) => core,
        Err(error) => panic!("{error}"),
    }
}

const SIZES: [u32; 3] = [100, 1_000, 10_000];

/// Numbers that no two steps share.
fn counter() -> impl FnMut() -> u32 {
    let mut count = 0;
    move || {
        count += 1;
        count
    }
}

mod merge {
    use super::*;

    /// What is held already.
    #[divan::bench(args = SIZES)]
    fn old_record(bencher: Bencher<'_, '_>, nodes: u32) {
        let (mut core, mut next) = (core_among(nodes), counter());
        bencher.bench_local(|| {
            let index = next() % (nodes - 1);
            core.imagine(QUIET, index..index + 1, 0);
        });
    }

    /// A higher incarnation: the record is replaced, and the fingerprint is altered.
    #[divan::bench(args = SIZES)]
    fn new_record(bencher: Bencher<'_, '_>, nodes: u32) {
        let (mut core, mut next) = (core_among(nodes), counter());
        bencher.bench_local(|| {
            let count = next();
            let index = count % (nodes - 1);
            core.imagine(QUIET, index..index + 1, u64::from(count / (nodes - 1)) + 1);
        });
    }
}

/// A number in a record changes: the old hash is taken out of the sums and the new one put in.
#[divan::bench(args = SIZES)]
fn fingerprint_update(bencher: Bencher<'_, '_>, nodes: u32) {
    let (mut core, mut next) = (core_among(nodes), counter());
    bencher.bench_local(|| {
        let count = next();
        core.count_broadcast(QUIET, count % (nodes - 1), u64::from(count));
        core.fingerprint()
    });
}

/// A ping or ack is filled with as many of so many rumors as find room.
#[divan::bench(args = [0, 1, 10, 100, 1_000])]
fn pack_rumors(bencher: Bencher<'_, '_>, rumors: u32) {
    let mut core = core_among(1_000);
    core.rumor_about(QUIET, 0..rumors.min(998));
    let mut buffer = Vec::with_capacity(2_048);
    bencher.bench_local(|| {
        buffer = core.pack_rumors(std::mem::take(&mut buffer), 998);
        buffer.len()
    });
}

/// Two members that differ in so many of so many records, half of them newer here and half there, find that out by a
/// ping, and have one view again: all steps of both, without a network between them.
#[divan::bench(
    args = [(1_000, 0), (1_000, 1), (1_000, 10), (1_000, 100), (10_000, 1), (10_000, 10), (10_000, 100), (10_000, 1_000)],
    sample_count = 20,
    sample_size = 1
)]
fn sync(bencher: Bencher<'_, '_>, (nodes, differences): (u32, u32)) {
    let pair = || {
        let (mut a, mut b) = (new_core("a", 1), new_core("b", 2));
        for core in [&mut a, &mut b] {
            core.imagine(START, 0..nodes - 2, 0);
        }
        a.imagine(START, 0..differences / 2, 1);
        b.imagine(START, differences / 2..differences, 1);
        a.introduce(START, &b);
        b.introduce(START, &a);
        [a, b]
    };
    bencher.with_inputs(pair).bench_local_refs(|pair| {
        assert!(pair[0].ping(QUIET, "b").is_ok());
        exchange(pair);
        assert_eq!(pair[0].fingerprint(), pair[1].fingerprint());
    });
}

/// Carries datagrams between two members until there are no more. Those to others are lost.
fn exchange(pair: &mut [Core; 2]) {
    let addrs = [1, 2].map(|host| SocketAddr::from(([192, 168, 0, host], 7990)));
    let mut carried = Vec::new();
    loop {
        let mut silent = true;
        for (from, to) in [(0, 1), (1, 0)] {
            pair[from].drain(&mut carried);
            for (addr, datagram) in carried.drain(..) {
                if addr == addrs[to] {
                    pair[to].receive(QUIET, addrs[from], &datagram);
                    silent = false;
                }
            }
        }
        if silent {
            return;
        }
    }
}

/// A member on threads that holds 1,000 nodes and will not notice for long that they do not run.
fn member_among_many() -> Member {
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let config = Config::lan().bind("10.1.0.1:7990").transport(Memory::new(1));
    match member_among(1_000, config.probe_interval(week).isolation_timeout(week)) {
        Ok(member) => member,
        Err(error) => panic!("{error}"),
    }
}

mod nodes {
    use super::*;

    /// The view has not changed since the last call.
    #[divan::bench]
    fn unchanged(bencher: Bencher<'_, '_>) {
        let member = member_among_many();
        bencher.bench_local(|| member.nodes());
    }

    /// Likewise, on four threads at once.
    #[divan::bench(threads = 4)]
    fn unchanged_on_four_threads(bencher: Bencher<'_, '_>) {
        let member = member_among_many();
        bencher.bench(|| member.nodes());
    }

    /// It has, by a write of the own state.
    #[divan::bench]
    fn changed(bencher: Bencher<'_, '_>) {
        let (member, mut next) = (member_among_many(), counter());
        bencher
            .with_inputs(|| {
                assert!(member.set("key", next().to_be_bytes()).is_ok());
            })
            .bench_local_values(|()| member.nodes());
    }

    /// Whatever it is, while another thread writes as often as it can.
    #[divan::bench]
    fn while_busy(bencher: Bencher<'_, '_>) {
        let (member, is_over) = (member_among_many(), Arc::new(AtomicBool::new(false)));
        let writer = {
            let (member, is_over, mut next) = (member.clone(), Arc::clone(&is_over), counter());
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    assert!(member.set("key", next().to_be_bytes()).is_ok());
                }
            })
        };
        bencher.bench_local(|| member.nodes());
        is_over.store(true, Ordering::Relaxed);
        assert!(writer.join().is_ok());
    }
}

/// A message of eight bytes over the loopback: until the receiver's stream has it and its sender knows.
#[divan::bench]
fn event_of_a_message(bencher: Bencher<'_, '_>) {
    let start = |name: &str| Member::create(Config::lan().name(name).bind("127.0.0.1:0"));
    let (Ok(a), Ok(b)) = (start("a"), start("b")) else {
        panic!("no socket");
    };
    assert!(b.join(a.addr()).is_ok());
    let events = a.events();
    bencher.bench_local(|| {
        assert!(b.send("a", &[7; 8]).is_ok());
        events.iter().find(|event| matches!(event, Event::Message { .. }))
    });
}
