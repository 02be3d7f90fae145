//! The core of the protocol: what every part is handed, and nothing of any part's own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt};

use super::addresses::Addresses;
use super::join::{CookieJar, GivenCookies, Leave};
use super::members::Members;
#[cfg(feature = "encryption")]
use super::seal;
use super::time::{Deadlines, Instant};
use super::{Answer, Call, Chore, Context, Note, Rule, Settings, Timer, Transmit};
use crate::error::Error;
use crate::event::Event;
use crate::metrics::Metrics;
use crate::node::{Generation, Incarnation};
use crate::wire::{Body, ClusterTag, Header, NameHash, Seq, ViewMark, Writer};

/// Datagrams whose memory is kept for the next ones: at rest there is a ping and an ack under way.
const SPARE_MAX: usize = 2;

/// What every part of the protocol is handed.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) tag: ClusterTag,
    pub(super) me: NameHash,
    pub(super) generation: Generation,
    pub(super) incarnation: Incarnation,
    pub(super) started: Instant,
    /// The time since the Unix epoch at `started`.
    pub(super) wall: Duration,
    pub(super) rng: ChaCha12Rng,
    pub(super) members: Members,
    pub(super) cookies: CookieJar,
    pub(super) given: GivenCookies,
    pub(super) addresses: Addresses,
    pub(super) leave: Option<Leave>,
    #[cfg(feature = "encryption")]
    pub(super) sealing: seal::Sealing,
    pub(super) next_call: u64,
    pub(super) timers: Deadlines<Timer>,
    pub(super) transmits: VecDeque<Transmit>,
    /// Memory of datagrams that were sent.
    pub(super) spare: Vec<Vec<u8>>,
    pub(super) events: VecDeque<Event>,
    pub(super) answers: VecDeque<(Call, Answer)>,
    pub(super) chores: VecDeque<Chore>,
    pub(super) notes: VecDeque<Note>,
    pub(super) end: Option<Error>,
    pub(super) ended: bool,
    pub(super) metrics: Metrics,
}

impl Core {
    /// Whether a rule is followed, as all are but in experiments.
    pub(super) fn follows(&self, rule: Rule) -> bool {
        !self.settings.without.has(rule)
    }

    pub(super) fn fresh_seq(&mut self) -> Seq {
        Seq(self.rng.next_u64().max(1))
    }

    pub(super) fn fresh_call(&mut self) -> Call {
        self.next_call += 1;
        Call(self.next_call)
    }

    /// A random part of a time.
    pub(super) fn jitter(&mut self, up_to: Duration) -> Duration {
        let micros = u64::try_from(up_to.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.rng.random_range(0..micros))
    }

    /// A random element; none of none.
    pub(super) fn draw<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        Some(from[self.rng.random_range(0..from.len())])
    }

    /// What ping, ack and welcome tell about our view.
    pub(super) fn view_mark(&self, now: Instant) -> ViewMark {
        let quiet = now.since(self.members.quiet_since()).as_millis() / 10;
        ViewMark { fingerprint: self.members.fingerprint(), quiet: u8::try_from(quiet).unwrap_or(u8::MAX) }
    }

    /// How long a view must have been quiet for a comparison to mean something.
    pub(super) fn settle_time(&self) -> Duration {
        self.settings.gossip_interval * 15 / 2
    }

    /// Has something logged, if anybody wants lines of that level.
    pub(super) fn note(&mut self, level: log::Level, text: impl FnOnce() -> String) {
        if level <= log::max_level() {
            self.notes.push_back(Note { level, text: text() });
        }
    }

    /// Takes back the memory of a datagram that was sent, for the next one.
    pub(crate) fn reuse(&mut self, datagram: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(datagram);
        }
    }

    /// A datagram to some run of a node, to be filled and sent.
    pub(super) fn datagram_to(&mut self, receiver: Generation) -> Writer {
        let memory = self.spare.pop().unwrap_or_default();
        self.writer(memory, &self.header_to(receiver))
    }

    /// Likewise, in memory of its own: for long ones, and those that are only tried.
    pub(super) fn long_datagram_to(&self, receiver: Generation) -> Writer {
        self.writer(Vec::new(), &self.header_to(receiver))
    }

    /// A datagram that anybody can read.
    pub(super) fn plain_datagram_to(&self, receiver: Generation) -> Writer {
        Writer::new(Vec::new(), &self.header_to(receiver), self.settings.max_datagram)
    }

    /// A datagram to who has sent one and may be a stranger: not sealed if that was not, because a seal could make it
    /// the longer one.
    pub(super) fn datagram_back(&mut self, context: &Context) -> Writer {
        match context.counter {
            Some(_) => self.datagram_to(context.generation),
            None => self.plain_datagram_to(context.generation),
        }
    }

    /// Queues a datagram, unless its address is not on our lists, or has not shown itself and had its share for this
    /// second.
    pub(super) fn transmit(&mut self, now: Instant, to: SocketAddr, datagram: Writer) {
        if datagram.is_empty() {
            return;
        }
        if !self.settings.allow.takes_address(to.ip()) {
            self.metrics.not_allowed += 1;
        } else if self.addresses.may_send(now, to) {
            self.answer(to, datagram);
        } else {
            self.metrics.withheld += 1;
        }
    }

    /// Queues a datagram that answers one which just came from there, and is no longer: it needs no proof of the
    /// address.
    pub(super) fn answer(&mut self, to: SocketAddr, datagram: Writer) {
        self.transmits.push_back(Transmit { to, datagram: datagram.finish() });
    }

    /// Sends one body on its own.
    pub(super) fn reply(&mut self, now: Instant, to: SocketAddr, receiver: Generation, body: &Body<'_>) {
        let mut datagram = self.datagram_to(receiver);
        if datagram.push(body) {
            self.transmit(now, to, datagram);
        }
    }

    /// Says that we send to some run of a node.
    pub(super) fn header_to(&self, receiver: Generation) -> Header {
        Header { tag: self.tag, sender: self.me, generation: self.generation, receiver }
    }

    #[cfg(feature = "encryption")]
    /// A datagram that is going to be sealed, if a key is used.
    pub(super) fn writer(&self, memory: Vec<u8>, header: &Header) -> Writer {
        let limit = self.settings.max_datagram;
        match self.sealing.keyring.used() {
            Some(_) => Writer::to_be_sealed(memory, header, limit),
            None => Writer::new(memory, header, limit),
        }
    }

    #[cfg(not(feature = "encryption"))]
    pub(super) fn writer(&self, memory: Vec<u8>, header: &Header) -> Writer {
        Writer::new(memory, header, self.settings.max_datagram)
    }

    /// How many records are held.
    pub(super) fn records(&self) -> usize {
        self.members.ring().len() + self.members.tombstones_len()
    }
}
