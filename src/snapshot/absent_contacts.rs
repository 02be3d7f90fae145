//! The nodes that an earlier run knew and this one has not seen yet.
//!
//! A node that appears in the view, whatever its status, is crossed out: from then on the protocol knows better
//! where it is. Those that never appear are asked for again and again, a few at a time; after a while in company they
//! are forgotten, like the dead.

use std::net::SocketAddr;

use super::{Contact, LastStatus};
use crate::node::Nodes;

/// How many are asked at a time.
const ASKED_MAX: usize = 32;

/// Addresses to say hello to.
#[derive(Debug, Clone, Default)]
pub(crate) struct AbsentContacts {
    absent: Vec<Contact>,
    /// Where the next turn begins.
    next: usize,
}

impl AbsentContacts {
    pub(crate) fn new(mut contacts: Vec<Contact>) -> Self {
        contacts.sort_by_key(|contact| contact.last_status);
        Self { absent: contacts, next: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.absent.is_empty()
    }

    pub(crate) fn contacts(&self) -> &[Contact] {
        &self.absent
    }

    /// Which to ask now, by a member that has this view. After a while they are forgotten, but not by a member that is
    /// alone.
    pub(crate) fn look(&mut self, view: &Nodes, is_late: bool) -> Vec<SocketAddr> {
        let is_alone = view.iter().filter(|node| node.is_active()).count() < 2;
        self.cross_out(|name| view.get(name).is_some());
        if !is_alone && is_late {
            self.absent.clear();
        }
        self.take_turn(is_alone)
    }

    /// Crosses out who has been seen.
    pub(crate) fn cross_out(&mut self, is_seen: impl Fn(&str) -> bool) {
        self.absent.retain(|contact| !is_seen(&contact.name));
    }

    /// Whom to ask now: the next ones in turn. Who has left is asked for only if nobody else is there.
    pub(crate) fn take_turn(&mut self, is_alone: bool) -> Vec<SocketAddr> {
        let wanted = |contact: &&Contact| is_alone || contact.last_status != LastStatus::Left;
        let wanted: Vec<SocketAddr> = self.absent.iter().filter(wanted).map(|contact| contact.addr).collect();
        if wanted.is_empty() {
            return wanted;
        }
        let first = self.next % wanted.len();
        let turn = wanted.len().min(ASKED_MAX);
        self.next = first + turn;
        wanted.iter().cycle().skip(first).take(turn).copied().collect()
    }
}
