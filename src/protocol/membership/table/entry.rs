//! The record of one node.

use std::net::SocketAddr;

use crate::node::{Generation, Incarnation, Node, Status};
use crate::protocol::api::Seen;
use crate::protocol::membership::alias::{Aliases, OwnAddresses};
use crate::protocol::time::Instant;
use crate::wire::body::LeftAt;
use crate::wire::{NameHash, Record, Verdict};

/// What this view holds on one node.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What users see: its status is `Suspect` only once the suspicion has been shown to them. Name, address,
    /// generation and incarnation are the record's, and are not here twice.
    pub(super) node: Node,
    pub(crate) status: Status,
    /// The number up to which its broadcasts were delivered here or given up. For the own node, that of its last
    /// broadcast.
    pub(crate) broadcast: u64,
    /// Whether the address came with this incarnation: an accusation raises the incarnation and carries no address.
    pub(super) is_complete: bool,
    /// When the status changed last.
    pub(crate) since: Instant,
    /// When it was heard last; the beginning of time if never.
    pub(crate) last_heard: Instant,
    /// When it answered us last; the beginning of time if never.
    pub(crate) last_answer: Instant,
    /// The length of the longest datagram that has come from it.
    pub(crate) largest: u16,
    /// Given up by this member alone.
    pub(crate) hidden: bool,
    /// The number of absences when it was vouched for last. It still is if there was none since.
    pub(super) vouched: u32,
    pub(super) aliases: Aliases,
    /// How far it had come when it left, if it has left. It is passed on as it came.
    pub(super) left_at: Option<Box<LeftAt>>,
    /// What the record adds to the sums: zero while it is not counted.
    pub(super) counted: u64,
}

impl Entry {
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.node.addr()
    }

    pub(crate) fn generation(&self) -> Generation {
        Generation(self.node.generation())
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.node.incarnation())
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status.is_active()
    }

    /// Whether it is shown to users and other members as a participant.
    pub(crate) fn is_visible(&self) -> bool {
        self.is_active() && !self.hidden
    }

    /// Whether it has left, and more of what it had said by then can still be had from others.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.left_at.as_deref().is_some_and(|left_at| self.lacks(left_at))
    }

    /// Whether less is held of what it has said than up to here.
    pub(crate) fn lacks(&self, left_at: &LeftAt) -> bool {
        self.node.state_version() < left_at.state_version || self.broadcast < left_at.broadcast
    }

    /// Whether an address is one of its own: the one that it advertises, or one that it sends from.
    pub(crate) fn is_at(&self, addr: SocketAddr) -> bool {
        self.addr() == addr || self.aliases.contains(addr)
    }

    /// All addresses of its own.
    pub(super) fn addresses(&self) -> OwnAddresses {
        self.aliases.with(self.addr())
    }

    /// The record as it is sent to others.
    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            name: self.node.name(),
            addr: self.addr(),
            generation: self.generation(),
            incarnation: self.incarnation(),
            state_version: self.node.state_version(),
            broadcast: self.broadcast,
        }
    }

    /// What is held against a node that is not simply alive; the accusers are not known here.
    pub(crate) fn verdict(&self, subject: NameHash) -> Verdict {
        Verdict {
            subject,
            generation: self.generation(),
            incarnation: self.incarnation(),
            status: self.status,
            accusers: crate::wire::Accusers::default(),
            left_at: self.left_at.as_deref().copied().unwrap_or_default(),
        }
    }

    /// Everything of it that can be checked from outside.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            name: self.node.name().to_owned(),
            addr: self.addr(),
            generation: self.generation(),
            incarnation: self.incarnation(),
            status: self.status,
            shown: self.is_visible().then(|| self.node.status()),
            is_complete: self.is_complete,
        }
    }

    pub(super) fn facts(&self) -> Facts {
        Facts { addr: self.addr(), generation: self.generation(), incarnation: self.incarnation() }
    }

    pub(super) fn order(&self) -> (Generation, Incarnation, Status) {
        (self.generation(), self.incarnation(), self.status)
    }
}

/// A copy for another view, with snapshots of its own: else the measurements of one view would show in both.
impl Clone for Entry {
    fn clone(&self) -> Self {
        let node = self.node.with_status(self.node.status());
        Self { node, aliases: self.aliases.clone(), left_at: self.left_at.clone(), ..*self }
    }
}

/// The facts of a record that are kept in its snapshot only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) addr: SocketAddr,
    pub(super) generation: Generation,
    pub(super) incarnation: Incarnation,
}

impl Facts {
    pub(super) fn of(record: &Record<'_>) -> Self {
        Self { addr: record.addr, generation: record.generation, incarnation: record.incarnation }
    }
}

/// What a record was before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Before {
    pub(crate) status: Status,
    pub(crate) generation: Generation,
    pub(crate) incarnation: Incarnation,
    pub(crate) addr: SocketAddr,
    pub(crate) hidden: bool,
    pub(crate) since: Instant,
}

impl Before {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            status: entry.status,
            generation: entry.generation(),
            incarnation: entry.incarnation(),
            addr: entry.addr(),
            hidden: entry.hidden,
            since: entry.since,
        }
    }
}
