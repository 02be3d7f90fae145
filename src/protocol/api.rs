//! What the protocol is given, and what it gives back: plain data, for whoever drives it.

use std::net::SocketAddr;
use std::time::Duration;

#[cfg(any(test, headcount_bench))]
use super::rules::Without;
use crate::allow::Allow;
use crate::error::{Error, Result};
use crate::node::{Generation, Incarnation, Status};
use crate::wire::NameHash;

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
    /// Writes of states that may be told a second; none: any number.
    pub(crate) state_rate: Option<u32>,
    pub(crate) max_nodes: usize,
    pub(crate) send_timeout: Duration,
    pub(crate) max_message: usize,
    #[cfg(feature = "encryption")]
    pub(crate) keyring: crate::keyring::Keyring,
    /// Whether there is a way to find others: then [`Task::Discover`] is asked for now and then.
    pub(crate) discovers: bool,
    /// Who may be in the view, and be sent to.
    pub(crate) allow: Allow,
    /// Rules that are left out, in experiments.
    #[cfg(any(test, headcount_bench))]
    pub(crate) without: Without,
}

/// The protocol's two kinds of wake-up, each with a thread of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TimerKind {
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
pub(crate) struct RequestId(pub(crate) u64);

/// What became of a call.
#[derive(Debug)]
pub(crate) enum CallResult {
    /// In the end every join has one: in sync with a seed (or there is none but ourselves), or what happened
    /// with each.
    Joined(Result<(), Vec<(SocketAddr, Error)>>),
    /// The round trip of a `ping`.
    Pinged(Result<Duration>),
    /// The leave is over: Ok if enough peers have acked it, else `Error::Timeout`. The member ends now either way.
    Left(Result<()>),
    /// What became of a message.
    Sent(Result<()>),
    /// A broadcast is on its way, or there was no room for it in time.
    Broadcast(Result<()>),
}

/// Whether a message has found its place with the consumers of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnqueueResult {
    /// It is in the queue of each of them.
    Taken,
    /// There is none.
    NobodyListens,
    /// One of them has no room, so none has it.
    NoRoom,
}

/// What a view holds on one node, for whoever checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    pub(crate) generation: Generation,
    pub(crate) incarnation: Incarnation,
    pub(crate) status: Status,
    /// How users see it; none if they do not see it among the active.
    pub(crate) shown: Option<Status>,
    /// Whether the address belongs to the incarnation.
    pub(crate) is_complete: bool,
}

/// How far a view is with the broadcasts of a node, for whoever checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BroadcastProgress {
    pub(crate) origin: NameHash,
    pub(crate) generation: Generation,
    /// Delivered or given up so far.
    pub(crate) number: u64,
}

/// How much a member keeps of something that could grow, and how much it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) what: &'static str,
    pub(crate) count: usize,
    pub(crate) max: usize,
}

/// Something to be logged, by whoever may: the core does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRecord {
    pub(crate) level: log::Level,
    pub(crate) text: String,
}

/// Work that may block, for somebody else to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Find out where members may be and call [`Protocol::addresses_found`](super::Protocol::addresses_found), once
    /// for each answer.
    Discover,
    /// Find out where others reach us, and call [`Protocol::change_address`](super::Protocol::change_address).
    CheckAddress {
        /// Somebody that says hello while we know nobody, and where it says that it is.
        newcomer: Option<SocketAddr>,
    },
}
