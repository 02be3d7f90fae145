//! Nodes that are hard to reach from here, although they run: which relay reaches them, and which accusations they
//! refute.
//!
//! SWIM treats all links as equally good. Where some links never carry anything (routes that are not transitive,
//! one-way filters) or lose most of what they carry, the probes of the same nodes fail again and again. Each failure
//! would begin a suspicion, and the node would refute it, for as long as the link stays as it is.
//!
//! | what happened | what follows |
//! |---|---|
//! | a node answered by way of a relay, and not directly | that relay is the first one to be asked about it |
//! | a node refuted r accusations since it answered us last | no own suspicion of it for T/2 × 2^(r−1), at most 256 T, after the last of them |
//! | a node refuted r accusations within a minute | its next suspicion lasts longer, by up to two shortest times |
//!
//! Only own suspicions are held back, and a direct answer ends that. So a member with a good link to a node accuses it
//! as soon as it does not answer, and a node that crashes is found early wherever somebody has one.
//!
//! Beyond SWIM and Lifeguard. The pause is the idea of route flap damping (RFC 2439).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::protocol::api::Bound;
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// How long a refutation counts towards a longer suspicion.
const REFUTATION_MEMORY: Duration = Duration::from_secs(60);
/// Maximum number of refutations that count within that time.
const REFUTATIONS_MAX: usize = 3;
/// The pause between accusations is doubled up to this number of times, from T/2 to 256 T.
const DOUBLINGS_MAX: u32 = 9;
/// Maximum number of nodes that are kept; the one whose news is oldest is dropped first.
const NODES_MAX: usize = 1_024;

/// What is known of one node that is hard to reach.
#[derive(Debug, Default)]
struct Difficulty {
    relay: Option<NameHash>,
    /// The last refutations, oldest first.
    refuted: VecDeque<Instant>,
    /// Refutations since it answered us directly.
    unanswered: u32,
    /// When this was changed.
    at: Instant,
}

/// All nodes that are hard to reach from here.
#[derive(Debug, Default)]
pub(super) struct Reachability {
    nodes: BTreeMap<NameHash, Difficulty>,
}

impl Reachability {
    /// A node answered a probe, by way of this relay or directly.
    pub(super) fn answered(&mut self, now: Instant, name: NameHash, relay: Option<NameHash>) {
        if relay.is_some() {
            self.node(now, name).relay = relay;
        } else if let Some(node) = self.nodes.get_mut(&name) {
            node.relay = None;
            node.unanswered = 0;
            if recent(now, &node.refuted) == 0 {
                self.nodes.remove(&name);
            }
        }
    }

    /// A node refuted an accusation.
    pub(super) fn refuted(&mut self, now: Instant, name: NameHash) {
        let node = self.node(now, name);
        node.unanswered += 1;
        node.refuted.push_back(now);
        if node.refuted.len() > REFUTATIONS_MAX {
            node.refuted.pop_front();
        }
    }

    /// The relay that reached a node last.
    pub(super) fn relay(&self, name: NameHash) -> Option<NameHash> {
        self.nodes.get(&name)?.relay
    }

    /// How many accusations a node refuted within the last minute, as far as they matter.
    pub(super) fn refutations(&self, now: Instant, name: NameHash) -> u32 {
        self.nodes.get(&name).map_or(0, |node| recent(now, &node.refuted))
    }

    /// Whether a failed probe of a node shows nothing new: the node has refuted the same evidence before.
    pub(super) fn holds(&self, now: Instant, name: NameHash, timeout: Duration) -> bool {
        let Some(node) = self.nodes.get(&name) else {
            return false;
        };
        let (Some(last), Some(doublings)) = (node.refuted.back(), node.unanswered.checked_sub(1)) else {
            return false;
        };
        now.since(*last) < timeout / 2 * 2_u32.pow(doublings.min(DOUBLINGS_MAX))
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "nodes that are hard to reach", count: self.nodes.len(), max: NODES_MAX }
    }

    fn node(&mut self, now: Instant, name: NameHash) -> &mut Difficulty {
        if self.nodes.len() >= NODES_MAX && !self.nodes.contains_key(&name) {
            let oldest = self.nodes.iter().min_by_key(|(name, node)| (node.at, **name));
            if let Some(oldest) = oldest.map(|(name, _)| *name) {
                self.nodes.remove(&oldest);
            }
        }
        let node = self.nodes.entry(name).or_default();
        node.at = now;
        node
    }
}

fn recent(now: Instant, refuted: &VecDeque<Instant>) -> u32 {
    let recent = refuted.iter().filter(|at| now.since(**at) <= REFUTATION_MEMORY).count();
    u32::try_from(recent).unwrap_or(u32::MAX)
}
