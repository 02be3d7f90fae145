//! The view of one member: its records and the rule by which news is merged into them, the suspicions that run, and the
//! order that all members share.

mod address_index;
mod alias;
mod lost;
pub(super) mod ring;
mod roster;
mod suspicion;
mod table;

use std::net::SocketAddr;

pub(super) use suspicion::{Evidence, Suspicion, Suspicions, shortest};
pub(super) use table::{Before, Entry, INCARNATION_STEP_MAX, Members, Merged};

use crate::node::Generation;
use crate::wire::NameHash;

/// A run of a node, and where it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: NameHash,
    pub(super) addr: SocketAddr,
    pub(super) generation: Generation,
}

impl Peer {
    /// As datagrams name it.
    pub(super) fn run(&self) -> (NameHash, Generation) {
        (self.name, self.generation)
    }
}
