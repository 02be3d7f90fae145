//! What readers are shown: the view as users see it, and what tests and simulations look at.

use std::borrow::Cow;

use super::api::{BroadcastProgress, Seen};
use super::{Instant, Protocol, broadcast, membership};
use crate::metrics::Metrics;
use crate::node::{Node, Status};
use crate::reach::{PeerReach, Reach};
use crate::wire::NameHash;

impl Protocol {
    /// Raised by every change of what `nodes`, `all_nodes` or `local` answer.
    pub(crate) fn view_version(&self) -> u64 {
        self.core.members.version()
    }

    /// The own node.
    pub(crate) fn local(&self) -> Node {
        match self.core.members.get(self.core.me) {
            Some(entry) => entry.node().clone(),
            None => Node::new(
                &self.core.settings.name,
                self.core.settings.advertise,
                Status::Left,
                self.core.generation,
                self.core.incarnation,
            ),
        }
    }

    /// Active nodes that are not hidden, the own one included, in no particular order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.core.members.iter().filter(|(_, entry)| entry.is_visible()).map(|(_, entry)| entry.node())
    }

    /// How many these are.
    pub(crate) fn nodes_len(&self) -> usize {
        self.core.members.ring().len()
    }

    /// Any status, tombstones and the own node included.
    pub(crate) fn all_nodes(&self) -> impl Iterator<Item = &Node> {
        self.core.members.iter().map(|(_, entry)| entry.node())
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.core.members.get(NameHash::of(self.core.tag, name)).map(|entry| entry.node())
    }

    /// Lifeguard's local health: 0 is healthy, 8 the worst.
    pub(crate) fn health(&self) -> u8 {
        self.detection.health()
    }

    /// How we and the others reach each other.
    pub(crate) fn reach(&self, now: Instant) -> Reach {
        let core = &self.core;
        let ago = |at: Instant| (at > Instant::default()).then(|| now.since(at));
        let name_of = |name| core.members.get(name).map(|entry| entry.node().name().to_owned());
        let others = core.members.iter().filter(|(name, entry)| *name != core.me && entry.is_visible());
        let peer = |(name, entry): (NameHash, &membership::Entry)| PeerReach {
            name: entry.node().name().to_owned(),
            addr: entry.addr(),
            answered: ago(entry.last_answer),
            heard: ago(entry.last_heard),
            relay: self.detection.relay(name).and_then(name_of),
            largest: entry.largest.into(),
        };
        let mut peers: Vec<PeerReach> = others.map(peer).collect();
        peers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let refusals = self.admission.refusals();
        Reach { advertised: core.settings.advertise, seen: core.seen, peers, refusals }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics {
            nodes: self.nodes_len() as u64,
            suspects: self.core.members.suspects_len() as u64,
            tombstones: self.core.members.tombstones_len() as u64,
            health: u64::from(self.detection.health()),
            ..self.core.metrics
        }
    }

    /// The fingerprint of the view.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.core.members.fingerprint()
    }

    /// Has changes of records kept for [`poll_touched`](Self::poll_touched).
    pub(crate) fn keep_journal(&mut self) {
        self.core.members.keep_journal();
    }

    /// A record that has changed, and what it is now; none if it was forgotten. Only with a journal.
    pub(crate) fn poll_touched(&mut self) -> Option<(String, Option<Seen>)> {
        let name = self.core.members.pop_touched()?;
        let entry = self.core.members.get(NameHash::of(self.core.tag, &name));
        let seen = entry.map(membership::Entry::seen);
        Some((name, seen))
    }

    /// All records, also with what is not shown to users.
    #[cfg(test)]
    pub(crate) fn held(&self) -> impl Iterator<Item = Seen> {
        self.core.members.iter().map(|(_, entry)| entry.seen())
    }

    /// A hash of everything that it holds, and of how many random numbers it has drawn: protocols with equal hashes go
    /// on alike.
    #[cfg(test)]
    pub(crate) fn digest(&self) -> u64 {
        let drawn = self.core.rng.get_word_pos();
        crate::wire::hash::siphash((0, 0), format!("{drawn} {self:?}").as_bytes())
    }

    /// How far we are with the broadcasts of a node, whether it is active or not.
    pub(crate) fn heard(&self, name: &str) -> Option<BroadcastProgress> {
        broadcast::progress(&self.core, name)
    }

    /// Whether our view was ever brought up to date with another one.
    pub(crate) fn has_synced(&self) -> bool {
        self.sync.has_synced()
    }

    /// A datagram as it was before it was sealed, for whoever checks it; as it is, if that can not be told.
    pub(crate) fn in_plain<'a>(&self, datagram: &'a [u8]) -> Cow<'a, [u8]> {
        self.sealing.in_plain(datagram)
    }
}
