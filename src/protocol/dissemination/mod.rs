//! Dissemination: to whom the rumors of a round go, and which records go on that were learned by sync (SWIM, section
//! 4.1).
//!
//! What there is news of, and in which phase, is the [queue](super::core::rumors); what is told of it, those who know
//! it write into the datagram.

use std::collections::BTreeMap;
use std::time::Duration;

use super::core::Core;
use super::core::rumors::Topic;
use super::membership::{Before, ring};
use super::time::Instant;
use crate::node::Status;
use crate::wire::NameHash;

/// Records learned by sync that are told on all the same, a second.
const REGOSSIP_PER_SECOND: u32 = 26;
/// A partner that was dead here so recently brings news of its side of a cut.
const RETURN_MEMORY: Duration = Duration::from_secs(10);

/// The rounds of rumors of one member.
#[derive(Debug)]
pub(super) struct Dissemination {
    /// For a ring of this size: the offsets of the slots.
    offsets: (usize, Vec<usize>),
    /// Nodes that were dead here and came back a moment ago.
    returned: BTreeMap<NameHash, Instant>,
    /// In this second: so many records learned by sync were told on.
    regossiped: (u64, u32),
}

impl Dissemination {
    pub(super) fn new() -> Self {
        Self { offsets: (0, Vec::new()), returned: BTreeMap::new(), regossiped: (0, 0) }
    }

    /// Begins a round of rumors, if one is due: the ring offset of each slot, in the order in which slots are served.
    pub(super) fn begin_round(&mut self, core: &mut Core, now: Instant) -> Option<Vec<(usize, usize)>> {
        if core.rumors.is_empty() || core.members.ring().len() < 2 {
            return None;
        }
        let offsets = self.offsets(core);
        let k = offsets.len();
        if !core.rumors.begin_round(now, k) {
            return None;
        }
        core.metrics.rumor_rounds += 1;
        Some(core.rumors.slots(k).into_iter().map(|slot| (slot, offsets[slot])).collect())
    }

    /// A node that was out has come back.
    pub(super) fn note_return(&mut self, now: Instant, name: NameHash) {
        self.returned.retain(|_, at| now.since(*at) < RETURN_MEMORY);
        self.returned.insert(name, now);
    }

    /// Whether a record that was learned by sync from a partner is told on. What everybody learns by comparing views is
    /// not, except for what the others can not have: the return of the dead, news across a healed cut, refutations.
    pub(super) fn goes_on(
        &mut self,
        now: Instant,
        before: Option<&Before>,
        was_out: bool,
        partner: NameHash,
    ) -> bool {
        if before.is_some_and(|before| before.status == Status::Suspect) {
            return true;
        }
        let across = self.returned.get(&partner).is_some_and(|at| now.since(*at) < RETURN_MEMORY);
        if !was_out && !across {
            return false;
        }
        let second = now.as_micros() / 1_000_000;
        if self.regossiped.0 != second {
            self.regossiped = (second, 0);
        }
        self.regossiped.1 += 1;
        self.regossiped.1 <= REGOSSIP_PER_SECOND
    }

    /// The ring offsets of the slots, for the ring as it is.
    fn offsets(&mut self, core: &Core) -> &[usize] {
        let n = core.members.ring().len();
        if self.offsets.0 != n {
            self.offsets = (n, ring::offsets(n, ring::sends(n, core.settings.retransmit)));
        }
        &self.offsets.1
    }
}

/// The peer at a ring offset. Suspects are passed over along the ring; one that stands there still gets what concerns
/// itself.
pub(super) fn peer_at(
    core: &mut Core,
    now: Instant,
    offset: usize,
    used: &[NameHash],
    topics: &[Topic],
) -> Option<NameHash> {
    let ring = core.members.ring();
    let n = ring.len();
    let own = ring.binary_search(&core.me).unwrap_or(0);
    let place = (own + offset) % n;
    let is_suspect =
        |name: &NameHash| core.members.get(*name).is_none_or(|entry| entry.status == Status::Suspect);
    let first = ring[place];
    let chosen = (0..n)
        .map(|step| ring[(place + step) % n])
        .find(|name| *name != core.me && !is_suspect(name) && !used.contains(name));
    if chosen != Some(first) && topics.contains(&Topic::Node(first)) && is_suspect(&first) {
        tell_suspect(core, now, first);
    }
    chosen
}

fn tell_suspect(core: &mut Core, now: Instant, name: NameHash) {
    let Some(entry) = core.members.get(name) else {
        return;
    };
    let (addr, generation) = (entry.addr(), entry.generation());
    let mut datagram = core.datagram_to((name, generation));
    core.add_news(&mut datagram, name);
    core.transmit(now, addr, datagram);
}
