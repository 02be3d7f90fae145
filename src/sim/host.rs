//! One simulated process: a protocol, its consumers, and what ails it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use super::checks::Observer;
use super::machine::Machine;
use super::snapshots::SnapshotFile;
use crate::config::Seed;
use crate::consumer::{self, Consumer};
use crate::discovery::Discovery;
use crate::engine::Owner;
use crate::error::Error;
use crate::event::Event;
use crate::events::Events;
use crate::listener::Listener;
use crate::protocol::{CallResult, EnqueueResult, Instant, Protocol, RequestId, Transmit};

/// What ails a host.
#[derive(Debug, Clone, Default)]
pub(super) struct Ailments {
    /// Nothing runs; what comes in waits.
    pub(super) paused: bool,
    /// What comes in waits; all else runs.
    pub(super) deaf: bool,
    /// What comes in and what goes out waits; timers run.
    pub(super) blocked: bool,
    /// The time that each datagram takes.
    pub(super) slow: Duration,
    /// The wait for the processor whenever there is something to do: exponential, with this mean.
    pub(super) starved: Duration,
}

impl Ailments {
    /// Whether what comes in waits until something changes.
    pub(super) fn receives_nothing(&self) -> bool {
        self.paused || self.deaf || self.blocked
    }
}

/// A datagram that waits for a host.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    pub(super) from: SocketAddr,
    pub(super) datagram: Vec<u8>,
}

/// Holds the host of an ended run for readers of that run, once another run has taken its place.
pub(super) type Past = Arc<OnceLock<Mutex<Box<Host>>>>;

/// One simulated process. It is the same host after a restart, with another run.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) cluster: String,
    /// The address that it advertises.
    pub(super) addr: SocketAddr,
    /// Whether that address was configured.
    pub(super) advertises: bool,
    /// Where it receives.
    pub(super) interfaces: Vec<SocketAddr>,
    /// Counts the starts.
    pub(super) run: u64,
    /// The number that it began with; it may have taken a higher one since.
    pub(super) number: u64,
    pub(super) protocol: Protocol,
    pub(super) seeds: Vec<Seed>,
    pub(super) event_capacity: usize,
    pub(super) join_timeout: Duration,
    pub(super) send_timeout: Duration,
    pub(super) probe_interval: Duration,
    pub(super) isolation_timeout: Duration,
    /// Why it has ended; a crash is `Error::Closed`.
    pub(super) end: Option<Error>,
    pub(super) owner: Option<Weak<dyn Owner>>,

    pub(super) consumers: Vec<Consumer>,
    /// The listener; not here while it is called.
    pub(super) listener: Option<Box<dyn Listener>>,
    /// Its discoveries; not here while they are asked.
    pub(super) discoveries: Vec<Box<dyn Discovery>>,
    pub(super) discovery_errors: u64,
    /// Events that still have to be passed to the listener.
    pub(super) listener_events: Option<Events>,
    pub(super) events_dropped: u64,
    pub(super) listener_panics: u64,
    pub(super) answers: BTreeMap<RequestId, CallResult>,

    pub(super) ailments: Ailments,
    pub(super) inbox: VecDeque<Waiting>,
    pub(super) outbox: VecDeque<Transmit>,
    /// It is slow, and handles a datagram until this time.
    pub(super) busy_until: Instant,
    /// It is starved and has something to do.
    pub(super) awaits_turn: bool,
    /// The wake-ups that are scheduled, by kind of timer.
    pub(super) wakes: [Option<Instant>; 2],
    /// Gets the host itself when another run takes its place: readers of this run still show it.
    pub(super) past: Past,
    /// Whether the invariants are checked.
    pub(super) checks: bool,
    pub(super) observer: Observer,
    pub(super) machine: Machine,
    pub(super) snapshot: Option<SnapshotFile>,
    /// Datagrams that the system refused to send.
    pub(super) socket_errors: u64,
    /// When this run began.
    pub(super) started: Instant,
}

impl Host {
    /// The address from which its system sends to another one: of several, the one with the longest common prefix, as
    /// if there were a route for each. None if none of several is of that family.
    pub(super) fn source_towards(&self, to: SocketAddr) -> Option<SocketAddr> {
        if let [only] = self.interfaces[..] {
            return Some(only);
        }
        let of_its_family = self.interfaces.iter().rev().copied().filter(|own| own.is_ipv4() == to.is_ipv4());
        // The first one of those that are alike.
        of_its_family.max_by_key(|own| common_bits(own.ip(), to.ip()))
    }

    pub(super) fn is_running(&self) -> bool {
        self.end.is_none()
    }

    /// Passes an event to all consumers.
    pub(super) fn tell(&mut self, event: &Event) {
        self.events_dropped += consumer::tell(&mut self.consumers, event);
    }

    /// Queues a message for all consumers or for none, and has its sender answered.
    pub(super) fn hand_over(&mut self, now: Instant, message: Event) -> EnqueueResult {
        let enqueued = consumer::hand_over(&mut self.consumers, message);
        self.protocol.complete(now, enqueued);
        enqueued
    }

    /// Ends it; what belongs to the user is handed back, to be dropped where no lock is held.
    pub(super) fn end(&mut self, error: Error) -> Leftovers {
        if self.end.is_none() {
            self.end = Some(error);
        }
        self.inbox.clear();
        self.outbox.clear();
        self.answers.clear();
        self.ailments = Ailments::default();
        Leftovers {
            _consumers: std::mem::take(&mut self.consumers),
            _listener: self.listener.take(),
            _discoveries: std::mem::take(&mut self.discoveries),
        }
    }
}

/// How many bits two addresses of one family begin with alike.
fn common_bits(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

/// What is left of a member that has ended: its listener and its discoveries are the user's, and may do anything when
/// they are dropped.
pub(super) struct Leftovers {
    _consumers: Vec<Consumer>,
    _listener: Option<Box<dyn Listener>>,
    _discoveries: Vec<Box<dyn Discovery>>,
}
