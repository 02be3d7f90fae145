//! Broadcasts: those that are kept for others or wait for their turn, and the gaps before them.
//!
//! An origin numbers its broadcasts, and everybody delivers them in that order. So one that comes too early waits, and
//! there is a gap before it. What was delivered is kept for a while, for those who have lost it. Both lie in one
//! store: a broadcast waits as long as its number is above what the view has dealt with, and that is in the record of
//! its origin, not here.
//!
//! The store holds the newest of all origins, in order of arrival, within a bound on bytes and on age. Whatever has to
//! go early is a loss that others may make good; a flood costs memory nowhere.
//!
//! A gap has two seconds from the last progress. When half of it is over the origin itself is asked, who has the best
//! chance to have it. Then all that was known of at that moment is given up where it is not here, so that many gaps in
//! a row cost this time once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::NameHash;

/// What is kept in all, payloads and [`OVERHEAD`] each.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// What a broadcast takes beside its payload, roughly: so that empty ones are bounded, too.
pub(super) const OVERHEAD: usize = 128;
/// For so long a broadcast is kept.
const MEMORY: Duration = Duration::from_secs(60);
/// For so long a gap may stay as it is until its origin is asked, and for as long again until it is given up.
const GAP_PATIENCE: Duration = Duration::from_secs(1);
/// While a request for it is under way a gap is looked at this often. Not in step with the probes, which may ask each
/// time.
const ANSWER_PATIENCE: Duration = Duration::from_millis(70);
/// Origins with a gap at the same time; of more, comparing views tells again.
const GAPS_MAX: usize = 65_536;

/// One broadcast, all over the cluster and for all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) origin: NameHash,
    pub(crate) generation: Generation,
    pub(crate) number: u64,
}

/// An origin of which something is lacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) origin: NameHash,
    pub(crate) generation: Generation,
    /// What is given up when the time is over: up to this number.
    pub(crate) until: u64,
    /// The highest number that is known of.
    pub(crate) upto: u64,
    /// The origin was asked.
    pub(crate) urged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    /// The oldest broadcast is too old.
    Forget,
    /// The time of a gap is over.
    Gap(NameHash),
}

/// The store, and all gaps.
#[derive(Debug)]
pub(crate) struct BroadcastStore {
    kept: BTreeMap<Key, Vec<u8>>,
    /// In order of arrival.
    arrivals: VecDeque<(Instant, Key)>,
    bytes: usize,
    gaps: BTreeMap<NameHash, Gap>,
    deadlines: Deadlines<Wake>,
}

impl BroadcastStore {
    pub(crate) fn new() -> Self {
        Self {
            kept: BTreeMap::new(),
            arrivals: VecDeque::new(),
            bytes: 0,
            gaps: BTreeMap::new(),
            deadlines: Deadlines::new(),
        }
    }

    /// Keeps a broadcast. False if it is here already.
    pub(crate) fn keep(&mut self, now: Instant, key: Key, payload: &[u8]) -> bool {
        if self.kept.contains_key(&key) {
            return false;
        }
        self.bytes += payload.len() + OVERHEAD;
        self.kept.insert(key, payload.to_vec());
        self.arrivals.push_back((now, key));
        while self.bytes > BYTES_MAX {
            self.forget_oldest();
        }
        self.deadlines.set_earliest(Wake::Forget, now + MEMORY);
        true
    }

    pub(crate) fn get(&self, key: Key) -> Option<&[u8]> {
        self.kept.get(&key).map(Vec::as_slice)
    }

    /// Those of a run that are here and have a number above `after`, in order.
    pub(crate) fn after(
        &self,
        origin: NameHash,
        generation: Generation,
        after: u64,
    ) -> impl DoubleEndedIterator<Item = (u64, &[u8])> {
        let key = |number| Key { origin, generation, number };
        self.kept
            .range(key(after.saturating_add(1))..=key(u64::MAX))
            .map(|(key, payload)| (key.number, payload.as_slice()))
    }

    /// There are broadcasts up to this number, and not all of them are here.
    pub(crate) fn lack(&mut self, now: Instant, origin: NameHash, generation: Generation, upto: u64) {
        if let Some(gap) = self.gaps.get_mut(&origin).filter(|gap| gap.generation == generation) {
            gap.upto = gap.upto.max(upto);
        } else if self.gaps.len() < GAPS_MAX || self.gaps.contains_key(&origin) {
            self.gaps.insert(origin, Gap { origin, generation, until: upto, upto, urged: false });
            self.deadlines.set(Wake::Gap(origin), now + GAP_PATIENCE);
        }
    }

    /// All up to this number is dealt with: what is still lacking of the run gets new time.
    pub(crate) fn dealt_with(&mut self, now: Instant, origin: NameHash, generation: Generation, number: u64) {
        let Some(gap) = self.gaps.get_mut(&origin).filter(|gap| gap.generation == generation) else {
            return;
        };
        if number >= gap.upto {
            self.gaps.remove(&origin);
            self.deadlines.cancel(Wake::Gap(origin));
            return;
        }
        gap.urged = false;
        if number >= gap.until {
            gap.until = gap.upto;
        }
        self.deadlines.set(Wake::Gap(origin), now + GAP_PATIENCE);
    }

    /// Forgets what is too old, and takes a gap whose time is over.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Gap> {
        loop {
            match self.deadlines.pop_due(now)? {
                Wake::Forget => {
                    while self.arrivals.front().is_some_and(|(at, _)| *at + MEMORY <= now) {
                        self.forget_oldest();
                    }
                    if let Some((at, _)) = self.arrivals.front() {
                        self.deadlines.set(Wake::Forget, *at + MEMORY);
                    }
                }
                Wake::Gap(origin) => {
                    if let Some(gap) = self.gaps.remove(&origin) {
                        return Some(gap);
                    }
                }
            }
        }
    }

    /// The origin of a gap that was taken is asked: it gets new time.
    pub(crate) fn urge(&mut self, now: Instant, gap: Gap) {
        self.gaps.insert(gap.origin, Gap { urged: true, ..gap });
        self.deadlines.set(Wake::Gap(gap.origin), now + GAP_PATIENCE);
    }

    /// A request for what a gap that was taken lacks is under way: its answer is waited for.
    pub(crate) fn await_answer(&mut self, now: Instant, gap: Gap) {
        self.gaps.insert(gap.origin, gap);
        self.deadlines.set(Wake::Gap(gap.origin), now + ANSWER_PATIENCE);
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(crate) fn bounds(&self) -> [Bound; 3] {
        [
            Bound {
                what: "broadcasts",
                count: self.arrivals.len().max(self.kept.len()),
                max: BYTES_MAX / OVERHEAD,
            },
            Bound { what: "bytes of broadcasts", count: self.bytes, max: BYTES_MAX },
            Bound { what: "gaps in broadcasts", count: self.gaps.len(), max: GAPS_MAX },
        ]
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.arrivals.pop_front()
            && let Some(payload) = self.kept.remove(&key)
        {
            self.bytes -= payload.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests;
