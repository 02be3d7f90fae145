//! The protocol (skeleton: being written).

mod time;

use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use time::Instant;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::metrics::Metrics;
use crate::node::Node;

/// The plain data that the protocol is run by; [`Config`](crate::Config) checks it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) cluster: String,
    /// What we tell others: never a wildcard, never port 0, canonical (no v4-mapped).
    pub(crate) advertise: SocketAddr,
    /// Where our socket is bound (may be a wildcard): to know ourselves among the seeds.
    pub(crate) bound: SocketAddr,
    pub(crate) probe_interval: Duration,
    pub(crate) probe_timeout: Duration,
    pub(crate) gossip_interval: Duration,
    /// Sends of a rumor beyond the logarithm of the cluster's size.
    pub(crate) retransmit: usize,
    pub(crate) isolation_timeout: Duration,
    pub(crate) rejoin_interval: Duration,
    pub(crate) tombstone_ttl: Duration,
    pub(crate) join_timeout: Duration,
    pub(crate) max_datagram: usize,
    pub(crate) max_nodes: usize,
    /// Whether the configuration names seeds: then `Chore::ResolveSeeds` is asked for now and then.
    pub(crate) has_seeds: bool,
}

/// The protocol's two kinds of wake-up, each with a thread of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Duty {
    /// Probe rounds and the ladder.
    Probe,
    /// Rumors, suspicion deadlines, sync, joining, healing.
    Disseminate,
}

/// A datagram to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub(crate) to: SocketAddr,
    pub(crate) datagram: Vec<u8>,
}

/// Names one call that is answered later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Call(pub(crate) u64);

/// What became of a call.
#[derive(Debug)]
pub(crate) enum Answer {
    /// In the end every join has one: in sync with a seed (or there is none but ourselves), or what happened
    /// with each.
    Joined(Result<(), Vec<(SocketAddr, Error)>>),
    /// The round trip of a `ping`.
    Pinged(Result<Duration>),
    /// The leave is over: Ok if enough peers have acked it, else `Error::Timeout`. The member ends now either way.
    Left(Result<()>),
}

/// Work that may block, for somebody else to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chore {
    /// Resolve the configured seeds and call [`Protocol::seeds_resolved`].
    ResolveSeeds,
}

/// The membership protocol of one member, as a pure state machine.
#[derive(Debug)]
pub(crate) struct Protocol {}

#[expect(unused_variables)]
impl Protocol {
    /// `wall` is the time since the Unix epoch that belongs to `now`; `seed` seeds all of its randomness.
    pub(crate) fn new(settings: Settings, now: Instant, wall: Duration, seed: [u8; 32]) -> Self {
        todo!()
    }

    /// `received` is when the transport returned the datagram.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        received: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) {
    }
    pub(crate) fn handle_timeout(&mut self, now: Instant, duty: Duty) {}

    pub(crate) fn join(&mut self, now: Instant, seeds: &[SocketAddr]) -> Call {
        todo!()
    }
    /// Err: unknown or not active.
    pub(crate) fn ping(&mut self, now: Instant, name: &str) -> Result<Call> {
        todo!()
    }
    pub(crate) fn leave(&mut self, now: Instant, timeout: Duration) -> Call {
        todo!()
    }
    /// A dead node becomes a left one. Err: unknown, or `Refused` because it is active.
    pub(crate) fn force_leave(&mut self, now: Instant, name: &str) -> Result<()> {
        todo!()
    }
    pub(crate) fn seeds_resolved(&mut self, now: Instant, seeds: &[SocketAddr]) {}

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        None
    }
    pub(crate) fn poll_answer(&mut self) -> Option<(Call, Answer)> {
        None
    }
    pub(crate) fn poll_chore(&mut self) -> Option<Chore> {
        None
    }
    pub(crate) fn poll_timeout(&self, duty: Duty) -> Option<Instant> {
        None
    }

    /// Why the protocol has stopped for good by itself: `NameTaken` after a lost name conflict.
    pub(crate) fn poll_end(&mut self) -> Option<Error> {
        None
    }

    /// Raised by every change of what `nodes`, `all_nodes` or `local` answer.
    pub(crate) fn view_version(&self) -> u64 {
        0
    }
    pub(crate) fn local(&self) -> Node {
        todo!()
    }
    /// Active nodes that are not hidden, the own one included, in no particular order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::empty()
    }
    /// Any status, tombstones and the own node included.
    pub(crate) fn all_nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::empty()
    }
    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        None
    }
    /// Lifeguard's local health: 0 is healthy, 8 the worst.
    pub(crate) fn health(&self) -> u8 {
        0
    }
    pub(crate) fn metrics(&self) -> &Metrics {
        todo!()
    }
}
