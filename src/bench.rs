//! A door for benchmarks: the protocol without threads and sockets, one step at a time, and some parts of it.
//!
//! It is no part of the crate's interface. It is there with `cfg(headcount_bench)` only, and changes without notice.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::error::Result;
use crate::member::Member;
use crate::protocol::{Instant, Protocol, TimerKind};
use crate::threads;
use crate::wire::{Body, Header, Packet, Writer, checksum};

/// A member's protocol with the timings of a LAN, driven by hand. Times count from an origin that all of them share.
#[derive(Debug)]
pub struct Core {
    protocol: Protocol,
}

impl Core {
    /// A member that nobody knows. The same name gives the same randomness.
    ///
    /// # Errors
    ///
    /// Those of [`Member::create`] about the name.
    pub fn new(now: Duration, name: &str, addr: SocketAddr) -> Result<Self> {
        let config = Config::lan().name(name);
        let addresses = config.validate()?;
        let mut seed = [0; 32];
        seed.iter_mut().zip(name.bytes()).for_each(|(byte, letter)| *byte = letter);
        let wall = Duration::from_secs(1_700_000_000);
        Ok(Self { protocol: Protocol::new(config.settings(&addresses, addr, addr)?, at(now), wall, seed) })
    }

    /// Holds these nodes from now on, which do not run, with this incarnation.
    pub fn imagine(&mut self, now: Duration, nodes: Range<u32>, incarnation: u64) {
        for index in nodes {
            self.protocol.imagine(at(now), index, incarnation);
        }
    }

    /// Knows another member from now on.
    pub fn introduce(&mut self, now: Duration, other: &Self) {
        self.protocol.introduce(at(now), &other.protocol);
    }

    /// Alters the fingerprint of the view, by a number of this node.
    pub fn count_broadcast(&mut self, now: Duration, index: u32, number: u64) {
        self.protocol.count_broadcast(at(now), index, number);
    }

    /// Has news of these nodes told.
    pub fn rumor_about(&mut self, now: Duration, nodes: Range<u32>) {
        for index in nodes {
            self.protocol.rumor_about(at(now), index);
        }
    }

    /// Fills a datagram to a node with rumors.
    #[must_use]
    pub fn pack_rumors(&self, buffer: Vec<u8>, receiver: u32) -> Vec<u8> {
        self.protocol.pack_rumors(buffer, receiver)
    }

    /// Joins a member.
    pub fn join(&mut self, now: Duration, seed: SocketAddr) {
        self.protocol.join(at(now), &[seed]);
    }

    /// Probes a node, which compares the views of both.
    ///
    /// # Errors
    ///
    /// That of [`Member::ping`]: it is not known.
    pub fn ping(&mut self, now: Duration, name: &str) -> Result<()> {
        self.protocol.ping(at(now), name).map(drop)
    }

    /// Handles a datagram.
    pub fn receive(&mut self, now: Duration, from: SocketAddr, datagram: &[u8]) {
        self.protocol.handle_datagram(at(now), at(now), from, datagram);
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Duration) {
        for kind in [TimerKind::Probe, TimerKind::Disseminate] {
            if self.protocol.poll_timeout(kind).is_some_and(|due| due <= at(now)) {
                self.protocol.handle_timeout(at(now), kind);
            }
        }
    }

    /// When something is due next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let due = [TimerKind::Probe, TimerKind::Disseminate].map(|kind| self.protocol.poll_timeout(kind));
        due.into_iter().flatten().min().map(|due| due.since(Instant::default()))
    }

    /// Takes out the datagrams of the last step and drops all else that it has left. Tells how many calls were
    /// answered.
    pub fn drain(&mut self, datagrams: &mut Vec<(SocketAddr, Vec<u8>)>) -> usize {
        while self.protocol.poll_event().is_some() {}
        while let Some(transmit) = self.protocol.poll_transmit() {
            datagrams.push((transmit.to, transmit.datagram));
        }
        while self.protocol.poll_task().is_some() {}
        while self.protocol.poll_log_record().is_some() {}
        std::iter::from_fn(|| self.protocol.poll_result()).count()
    }

    /// How many nodes it shows, itself included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.protocol.nodes().count()
    }

    /// Never: it shows itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum over its view.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.protocol.fingerprint()
    }
}

/// A member on threads that holds so many nodes, itself included, of which none but itself runs. The configuration
/// should have it notice that late.
///
/// # Errors
///
/// Those of [`Member::create`].
pub fn member_among(nodes: u32, config: Config) -> Result<Member> {
    let owner = threads::start(config)?;
    let shared = Arc::clone(owner.shared());
    shared.step(|protocol, now| (1..nodes).for_each(|index| protocol.imagine(now, index, 0)))?;
    Ok(Member::new(shared, owner))
}

/// A datagram with the checksum of all that is there behind it.
#[must_use]
pub fn with_checksum(mut datagram: Vec<u8>) -> Vec<u8> {
    checksum::append(&mut datagram);
    datagram
}

/// A datagram with one body, as it was read.
#[derive(Debug)]
pub struct Letter<'a> {
    header: Header,
    body: Body<'a>,
}

impl<'a> Letter<'a> {
    /// None if the datagram breaks the format, or has no body.
    #[must_use]
    pub fn decode(datagram: &'a [u8]) -> Option<Self> {
        let packet = Packet::decode(datagram).ok()?;
        Some(Self { header: *packet.header(), body: packet.bodies().next()? })
    }

    /// The datagram anew, in memory that is used again.
    #[must_use]
    pub fn encode(&self, buffer: Vec<u8>) -> Vec<u8> {
        let mut writer = Writer::new(buffer, &self.header, 65_000);
        // It did fit when it was read.
        let _ = writer.push(&self.body);
        writer.finish()
    }
}

fn at(time: Duration) -> Instant {
    Instant::default() + time
}
