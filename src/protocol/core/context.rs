//! What is known of a datagram while it is read.

use std::net::SocketAddr;

use crate::node::Generation;
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// A run of a node, as datagrams name it.
pub(in crate::protocol) type Run = (NameHash, Generation);

/// The receiver of a datagram to an address at which no run is known.
pub(in crate::protocol) const ANYBODY: Run = (NameHash(0), Generation(0));

/// What is known of a datagram while it is read.
#[derive(Debug)]
pub(in crate::protocol) struct Context {
    pub(in crate::protocol) now: Instant,
    /// The address that it counts as coming from; answers go there. A datagram sealed for our run counts as coming from
    /// the address that its sender advertises, whatever its source is: so a node that copies it gets at most a bare
    /// ack.
    pub(in crate::protocol) from: SocketAddr,
    /// The source of the datagram: nearly always the same.
    pub(in crate::protocol) source: SocketAddr,
    pub(in crate::protocol) sender: NameHash,
    pub(in crate::protocol) generation: Generation,
    /// How many bytes it had …
    pub(in crate::protocol) length: usize,
    /// … and the last four of them.
    pub(in crate::protocol) ending: u32,
    /// Whether it was sent to our run.
    pub(in crate::protocol) is_for_us: bool,
    /// The counter of its seal; none if it came plain.
    pub(in crate::protocol) counter: Option<u64>,
    /// Whether the sender is an active node of ours, at an address of its own, that knows our run.
    pub(in crate::protocol) known: bool,
    /// Whether the datagram has answered a request of ours.
    pub(in crate::protocol) answered: bool,
    /// Whether it has shown a good cookie.
    pub(in crate::protocol) proven: bool,
    /// Whether something of it was dropped because its sender is not known.
    pub(in crate::protocol) dropped: bool,
    /// Whether it was sent an answer that needs no proof of its address: one is enough, or many short requests
    /// in one datagram would bring more than came.
    pub(in crate::protocol) replied: bool,
}

impl Context {
    /// The run that has sent it, as its header says.
    pub(in crate::protocol) fn run(&self) -> Run {
        (self.sender, self.generation)
    }
}
