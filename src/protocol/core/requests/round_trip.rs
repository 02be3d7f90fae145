//! Round trips to nodes: how long answers take, and so how long they are waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::api::Bound;
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// Maximum number of nodes whose round trip is remembered; the one that was measured longest ago goes first.
const NODES_MAX: usize = 64;

/// The round trip to a node, smoothed, and how far it varies (RFC 6298).
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl RoundTrip {
    pub(in crate::protocol) fn new(known: Option<Duration>) -> Self {
        Self { smoothed: known, variation: known.unwrap_or_default() / 2 }
    }

    pub(in crate::protocol) fn measured(&mut self, rtt: Duration) {
        match self.smoothed {
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((smoothed * 7 + rtt) / 8);
            }
            None => *self = Self::new(Some(rtt)),
        }
    }

    /// What a round trip takes at the most, usually.
    pub(in crate::protocol) fn most(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| smoothed + self.variation * 4)
    }

    /// What a round trip takes; zero if that is not known.
    pub(in crate::protocol) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or_default()
    }
}

/// The round trips to the nodes that have answered lately.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    by_node: BTreeMap<NameHash, (RoundTrip, Instant)>,
}

impl RoundTrips {
    pub(super) fn get(&self, node: NameHash) -> RoundTrip {
        self.by_node.get(&node).map_or(RoundTrip::new(None), |(rtt, _)| *rtt)
    }

    pub(super) fn measured(&mut self, now: Instant, node: NameHash, rtt: Duration) {
        if !self.by_node.contains_key(&node) && self.by_node.len() == NODES_MAX {
            let oldest = self.by_node.iter().min_by_key(|(_, (_, at))| *at).map(|(node, _)| *node);
            oldest.map(|oldest| self.by_node.remove(&oldest));
        }
        let (held, at) = self.by_node.entry(node).or_insert((RoundTrip::new(None), now));
        held.measured(rtt);
        *at = now;
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "round trips", count: self.by_node.len(), max: NODES_MAX }
    }
}
