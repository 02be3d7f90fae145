//! The names of all active nodes in order of hash: those that take part, and those that are hidden.
//!
//! Nearly always no node is hidden, and all active nodes take part.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::wire::NameHash;

/// The active nodes, the own one included.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster {
    ring: Vec<NameHash>,
    hidden: BTreeSet<NameHash>,
}

impl Roster {
    /// From now on a node takes part, is hidden, or is neither of both.
    pub(super) fn set(&mut self, name: NameHash, takes_part: bool, hidden: bool) {
        match self.ring.binary_search(&name) {
            Ok(place) if !takes_part => {
                self.ring.remove(place);
            }
            Err(place) if takes_part => self.ring.insert(place, name),
            _ => {}
        }
        if hidden {
            self.hidden.insert(name);
        } else {
            self.hidden.remove(&name);
        }
    }

    /// Those that take part.
    pub(crate) fn ring(&self) -> &[NameHash] {
        &self.ring
    }

    /// Nodes that this member alone has given up.
    pub(crate) fn hidden(&self) -> &BTreeSet<NameHash> {
        &self.hidden
    }

    /// All of them: they are probed.
    pub(crate) fn probed(&self) -> Cow<'_, [NameHash]> {
        if self.hidden.is_empty() {
            return Cow::Borrowed(&self.ring);
        }
        let mut all: Vec<NameHash> = self.ring.iter().chain(&self.hidden).copied().collect();
        all.sort_unstable();
        Cow::Owned(all)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ring.len() + self.hidden.len()
    }
}
