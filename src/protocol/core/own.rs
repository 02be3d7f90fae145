//! Our own run: what we say about ourselves, our addresses and our clock, and which runs of others can be true.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::Rng;
use rand::rngs::ChaCha12Rng;

use super::rumors::Topic;
use super::{Core, about};
use crate::node::{Generation, Incarnation};
use crate::protocol::api::Settings;
use crate::protocol::time::Instant;
use crate::wire::body::LeftAt;
use crate::wire::version::ending;
use crate::wire::{Record, Verdict};

/// Random low bits of a generation; above them are milliseconds since the epoch.
pub(in crate::protocol) const GENERATION_RANDOM_BITS: u32 = 22;
/// The first of January 2100, since the Unix epoch: no clock that works shows more. Generations that others report of a
/// run are believed up to this time, so that there is room above for the node itself.
const CLOCKS_END: Duration = Duration::from_secs(4_102_444_800);

impl Core {
    /// What we say about ourselves.
    pub(in crate::protocol) fn own_record(&self) -> Record<'_> {
        let mut record = record_of(&self.settings, self.generation, self.incarnation);
        if let Some(entry) = self.members.get(self.me) {
            record.state_version = entry.node().state_version();
            record.broadcast = entry.broadcast;
        }
        record
    }

    /// Brings the own entry of the list up to date with what we say about ourselves.
    pub(in crate::protocol) fn publish_self(&mut self, now: Instant) {
        let record = record_of(&self.settings, self.generation, self.incarnation);
        self.members.merge_alive(now, self.me, &record);
    }

    /// That this member leaves.
    pub(in crate::protocol) fn own_leave(&self) -> Verdict {
        Verdict::left(self.me, self.generation, self.incarnation, self.own_left_at())
    }

    /// Whether anything that this member has written or broadcast is still being gossiped by it.
    pub(in crate::protocol) fn is_speaking(&self) -> bool {
        let is_said = |topic: Topic| !matches!(topic, Topic::Node(_)) && topic.subject() == self.me;
        self.rumors.topics().any(is_said)
    }

    /// How far this member has come, as it says when it leaves. After that it writes and sends nothing more.
    pub(in crate::protocol) fn own_left_at(&self) -> LeftAt {
        let Record { state_version, broadcast, .. } = self.own_record();
        LeftAt { state_version, broadcast }
    }

    /// Whether an address leads to this member itself.
    pub(in crate::protocol) fn is_own(&self, addr: SocketAddr) -> bool {
        let bound = self.settings.bound;
        addr == self.settings.advertise
            || addr == bound
            || (addr.port() == bound.port() && bound.ip().is_unspecified() && addr.ip().is_loopback())
    }

    /// Whether datagrams to an address can arrive at another host: it is not our own, as far as can be known, and of a
    /// family that our socket can send to.
    pub(in crate::protocol) fn can_reach(&self, addr: SocketAddr) -> bool {
        let is_of_family = match self.settings.bound.ip() {
            IpAddr::V4(_) => addr.is_ipv4(),
            IpAddr::V6(ip) => addr.is_ipv6() || ip.is_unspecified(),
        };
        let ip = addr.ip();
        let is_one_host = !ip.is_unspecified() && !ip.is_multicast() && addr.port() != 0;
        is_of_family && is_one_host && !self.is_own(addr) && !self.addresses.is_loop(addr)
    }

    /// A datagram of our own has come back from an address. If it is one of the last plain ones, the address is one of this
    /// host. Another host may have the same one, such as that of a bridge for containers, and a node there may advertise
    /// it. A sealed datagram shows nothing: any node on the path can send it back.
    pub(in crate::protocol) fn came_back(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let is_recent = ending(datagram).is_some_and(|ending| self.has_sent(about(ending)));
        if !is_recent || self.is_own(from) || !self.addresses.came_back(now, from) {
            return;
        }
        let there = self.members.at(from).find(|(_, entry)| entry.is_active() && entry.addr() == from);
        if let Some(name) = there.map(|(_, entry)| entry.node().name().to_owned()) {
            self.warn_of_unreachable(&name, from);
        }
    }

    /// Warns, once, of a node that advertises an address which is unreachable from here.
    pub(in crate::protocol) fn warn_of_unreachable(&mut self, name: &str, addr: SocketAddr) {
        let level = if self.addresses.warns() { log::Level::Warn } else { log::Level::Debug };
        self.note(level, || {
            format!("{name} advertises {addr}, at which nothing from here arrives: others have to probe it")
        });
    }

    /// A generation above another one, by the clock if that is past it; by the clock as well if there is none above.
    pub(in crate::protocol) fn generation_above(&mut self, now: Instant, above: Generation) -> Generation {
        let wall = self.wall(now);
        let earliest = (above.0 >> GENERATION_RANDOM_BITS) + 1;
        let is_possible = earliest <= u64::MAX >> GENERATION_RANDOM_BITS;
        let wall = if is_possible { wall.max(Duration::from_millis(earliest)) } else { wall };
        generation(wall, &mut self.rng)
    }

    /// The time since the Unix epoch, by the clock that we were given at the start.
    pub(in crate::protocol) fn wall(&self, now: Instant) -> Duration {
        self.wall + now.since(self.started)
    }

    /// Whether our lists have the name and the address of a record.
    pub(in crate::protocol) fn takes(&self, record: &Record<'_>) -> bool {
        let allow = &self.settings.allow;
        allow.takes_address(record.addr.ip()) && allow.takes_name(record.name)
    }

    /// Whether our own clock shows a time that no working clock shows.
    pub(in crate::protocol) fn is_clock_ahead(&self, now: Instant) -> bool {
        self.wall(now) >= CLOCKS_END
    }
}

/// Whether a run that another member reports can have begun when its generation says.
pub(in crate::protocol) fn is_plausible(generation: Generation) -> bool {
    Duration::from_millis(generation.0 >> GENERATION_RANDOM_BITS) < CLOCKS_END
}

/// What a member of these settings says about itself.
fn record_of(settings: &Settings, generation: Generation, incarnation: Incarnation) -> Record<'_> {
    Record {
        name: &settings.name,
        addr: settings.advertise,
        generation,
        incarnation,
        state_version: 0,
        broadcast: 0,
    }
}

/// A run that starts at this time: milliseconds since the epoch above random bits.
pub(in crate::protocol) fn generation(wall: Duration, rng: &mut ChaCha12Rng) -> Generation {
    let millis = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
    let random = rng.next_u64() >> (u64::BITS - GENERATION_RANDOM_BITS);
    Generation(((millis << GENERATION_RANDOM_BITS) | random).max(1))
}
