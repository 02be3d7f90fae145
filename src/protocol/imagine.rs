//! Views full of nodes that are not there, for benchmarks: what a step costs depends on how many nodes a view holds,
//! and not on whether they run.

use std::net::{Ipv4Addr, SocketAddr};

use super::Protocol;
use super::core::rumors::Topic;
use super::time::Instant;
use crate::node::{Generation, Incarnation};
use crate::wire::{DATAGRAM_MAX, NameHash, Record, Writer};

/// The run of every imagined node.
const GENERATION: Generation = Generation(1 << 60);

/// The name and the address of an imagined node.
pub(crate) fn identity(index: u32) -> (String, SocketAddr) {
    let addr = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + index);
    (format!("n{index:05}"), SocketAddr::from((addr, 7990)))
}

impl Protocol {
    /// Takes what an imagined node would say about itself, and does not gossip it.
    pub(crate) fn imagine(&mut self, now: Instant, index: u32, incarnation: u64) {
        let (name, addr) = identity(index);
        let record = Record {
            name: &name,
            addr,
            generation: GENERATION,
            incarnation: Incarnation(incarnation),
            state_version: 0,
            broadcast: 0,
        };
        self.core.members.merge_alive(now, NameHash::of(self.core.tag, &name), &record);
        self.detection.has_company(&mut self.core, now);
    }

    /// Makes another member known, in its real run, and does not gossip it.
    pub(crate) fn introduce(&mut self, now: Instant, other: &Self) {
        let name = NameHash::of(self.core.tag, &other.core.settings.name);
        self.core.members.merge_alive(now, name, &other.core.own_record());
        self.core.addresses.heard(other.core.settings.advertise);
        self.detection.has_company(&mut self.core, now);
    }

    /// Notes that a broadcast of an imagined node was dealt with: of all changes the one that does nothing but alter
    /// the fingerprint.
    pub(crate) fn count_broadcast(&mut self, now: Instant, index: u32, number: u64) {
        let (name, _) = identity(index);
        self.core.members.set_broadcast(now, NameHash::of(self.core.tag, &name), number);
    }

    /// Gossips news of an imagined node.
    pub(crate) fn rumor_about(&mut self, now: Instant, index: u32) {
        let (name, _) = identity(index);
        self.core.push_topic(now, Topic::Node(NameHash::of(self.core.tag, &name)));
    }

    /// Fills a datagram to an imagined node with rumors.
    pub(crate) fn pack_rumors(&self, buffer: Vec<u8>, receiver: u32) -> Vec<u8> {
        let (name, _) = identity(receiver);
        let header = self.core.header_to(GENERATION);
        let mut datagram = Writer::new(buffer, &header, DATAGRAM_MAX);
        self.core.add_rumors(&mut datagram, NameHash::of(self.core.tag, &name));
        datagram.finish()
    }
}
