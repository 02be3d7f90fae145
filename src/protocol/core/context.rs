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
    /// Where it comes from, for its receiver: answers go there. What is sealed for our run comes from its sender, whatever the source
    /// is, and counts as coming from where that advertises that it is: whoever copies it is not answered.
    pub(in crate::protocol) from: SocketAddr,
    /// What stands in the datagram: nearly always the same.
    pub(in crate::protocol) source: SocketAddr,
    pub(in crate::protocol) sender: NameHash,
    pub(in crate::protocol) generation: Generation,
    /// Of its seal; none: it came plain.
    pub(in crate::protocol) counter: Option<u64>,
    /// Whether the sender is an active node of ours, at an address of its own, that knows our run.
    pub(in crate::protocol) known: bool,
    /// Whether the datagram has answered a request of ours.
    pub(in crate::protocol) answered: bool,
    /// Whether it has shown a good cookie.
    pub(in crate::protocol) proven: bool,
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
