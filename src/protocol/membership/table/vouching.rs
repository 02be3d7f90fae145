//! Which records are vouched for, as the [core](crate::protocol::core) explains.

use std::sync::Arc;

use super::{Entry, Members};
use crate::node::Status;
use crate::wire::{NameHash, Record};

impl Members {
    /// This member was away: no record is vouched for any more.
    pub(crate) fn withdraw_all(&mut self) {
        self.absences = self.absences.saturating_add(1);
        self.is_unsure = true;
    }

    /// Another run of a node, or another address, is held than was vouched for.
    pub(crate) fn withdraw(&mut self, name: NameHash) {
        if let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) {
            entry.vouched = 0;
            self.is_unsure = true;
        }
    }

    /// Vouches for a node. False if it was vouched for, or is not held.
    pub(crate) fn vouch(&mut self, name: NameHash) -> bool {
        let absences = self.absences;
        let entry = self.entries.get_mut(&name).filter(|entry| entry.vouched != absences);
        entry.map(|entry| Arc::make_mut(entry).vouched = absences).is_some()
    }

    /// Whether a record of this view is vouched for. A suspect that is shown to users as one is not: all others may
    /// have given it up. Most suspects that run refute before that.
    pub(crate) fn vouches(&self, entry: &Entry) -> bool {
        entry.vouched == self.absences && entry.node.status() == Status::Alive
    }

    /// Whether there are visible nodes, besides the own one, that were not vouched for since the last absence.
    pub(crate) fn is_unsure(&mut self, me: NameHash) -> bool {
        self.is_unsure = self.is_unsure
            && self
                .visible_from(NameHash(0))
                .any(|(name, entry)| name != me && entry.vouched != self.absences);
        self.is_unsure
    }

    /// Whether a record would bring in a node that is not visible now.
    pub(crate) fn brings_in(&self, name: NameHash, record: &Record<'_>) -> bool {
        let news = (record.generation, record.incarnation, Status::Alive);
        self.get(name).is_none_or(|entry| !entry.is_visible() && (entry.hidden || news > entry.order()))
    }
}
