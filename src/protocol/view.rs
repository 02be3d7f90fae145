//! What readers are shown: the view as users see it, and what tests and simulations look at.

use super::contract::Seen;
use super::{Protocol, members};
use crate::metrics::Metrics;
use crate::node::{Node, Status};
use crate::wire::NameHash;

impl Protocol {
    /// Raised by every change of what `nodes`, `all_nodes` or `local` answer.
    pub(crate) fn view_version(&self) -> u64 {
        self.members.version()
    }

    /// The own node.
    pub(crate) fn local(&self) -> Node {
        match self.members.get(self.me) {
            Some(entry) => entry.node().clone(),
            None => Node::new(
                &self.settings.name,
                self.settings.advertise,
                Status::Left,
                self.generation,
                self.incarnation,
            ),
        }
    }

    /// Active nodes that are not hidden, the own one included, in no particular order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.members.iter().filter(|(_, entry)| entry.is_visible()).map(|(_, entry)| entry.node())
    }

    /// How many these are.
    pub(crate) fn nodes_len(&self) -> usize {
        self.members.visible_len()
    }

    /// Any status, tombstones and the own node included.
    pub(crate) fn all_nodes(&self) -> impl Iterator<Item = &Node> {
        self.members.iter().map(|(_, entry)| entry.node())
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.members.get(NameHash::of(self.tag, name)).map(|entry| entry.node())
    }

    /// Lifeguard's local health: 0 is healthy, 8 the worst.
    pub(crate) fn health(&self) -> u8 {
        self.health.score()
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics {
            nodes: self.nodes_len() as u64,
            suspects: self.members.suspects_len() as u64,
            tombstones: self.members.tombstones_len() as u64,
            health: u64::from(self.health.score()),
            ..self.metrics
        }
    }

    /// The fingerprint of the view.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.members.fingerprint()
    }

    /// The longest datagram that it makes.
    pub(crate) fn max_datagram(&self) -> usize {
        self.settings.max_datagram
    }

    /// Has changes of records kept for [`poll_touched`](Self::poll_touched).
    pub(crate) fn keep_journal(&mut self) {
        self.members.keep_journal();
    }

    /// A record that has changed, and what it is now; none if it was forgotten. Only with a journal.
    pub(crate) fn poll_touched(&mut self) -> Option<(String, Option<Seen>)> {
        let name = self.members.pop_touched()?;
        let entry = self.members.get(NameHash::of(self.tag, &name));
        let seen = entry.map(members::Entry::seen);
        Some((name, seen))
    }
}
