//! Datagrams that no member sent: they change a counter and nothing else.

use std::net::UdpSocket;

use headcount::Member;

use crate::rig::{Watch, cluster, eventually};

/// A small generator of bytes (xorshift), so that each run throws the same ones.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// Throws the datagrams at `target`, waits until it has seen them, and checks that nothing has changed.
fn throw(target: &Member, other: &Member, datagrams: &[Vec<u8>]) {
    let before = (target.nodes(), other.nodes());
    let mut watches = [Watch::over(target), Watch::over(other)];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = |member: &Member| {
        let metrics = member.metrics();
        metrics.malformed + metrics.unopened + metrics.foreign_cluster + metrics.unknown_sender
    };

    let counted = refused(target);
    for (index, datagram) in datagrams.iter().enumerate() {
        socket.send_to(datagram, target.addr()).unwrap();
        // So many at a time as any receive buffer holds.
        if index % 16 == 15 || index + 1 == datagrams.len() {
            let sent = u64::try_from(index + 1).unwrap();
            eventually("all of them are counted", || refused(target) - counted >= sent);
        }
    }

    for watch in &mut watches {
        watch.expect_quiet();
    }
    assert_eq!((target.nodes(), other.nodes()), before);
    other.ping(target.name()).unwrap();
}

#[test]
fn random_bytes_change_nothing_but_a_counter() {
    let [a, b] = cluster(["a", "b"]);
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let datagrams: Vec<Vec<u8>> = (0..500)
        .map(|_| {
            let len = usize::try_from(noise.next() % 1_500).unwrap();
            noise.bytes(len)
        })
        .collect();
    throw(&a, &b, &datagrams);
}

#[test]
fn the_shortest_and_the_longest_datagrams_change_nothing_but_a_counter() {
    let [a, b] = cluster(["a", "b"]);
    let mut noise = Noise(1);
    let datagrams = [0, 1, 2, 7, 8, 1_400, 1_401, 9_000, 65_507].map(|len| noise.bytes(len));
    throw(&a, &b, &datagrams);
}

#[test]
fn a_members_own_datagrams_with_flipped_bits_change_nothing_but_a_counter() {
    // Catches real datagrams: the seed of this member is the socket of the test.
    let trap = UdpSocket::bind("127.0.0.1:0").unwrap();
    trap.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
    let bait = crate::rig::config("bait").seeds(trap.local_addr().unwrap());
    let _bait = Member::create(bait).unwrap();
    let mut buffer = [0; 2_048];
    let (len, _) = trap.recv_from(&mut buffer).unwrap();
    let real = &buffer[..len];

    let [a, b] = cluster(["a", "b"]);
    // Whichever bit it is, the checksum is not right any more.
    let datagrams: Vec<Vec<u8>> = (0..len * 8)
        .map(|bit| {
            let mut datagram = real.to_vec();
            datagram[bit / 8] ^= 1 << (bit % 8);
            datagram
        })
        .collect();
    throw(&a, &b, &datagrams);
}
