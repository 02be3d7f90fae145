//! Rumors: which nodes there is news of, and to whom it has still to go.
//!
//! Beyond SWIM, whose news waits for the next ping to a random target: a rumor leaves at once, along the shared
//! ring, in two phases. With k ring peers, numbered from the nearest (0) to the farthest (k−1):
//!
//! | phase | when | to |
//! |---|---|---|
//! | first | in the next round | slots 0, k−1, k−2 … 3 |
//! | second | in the first round a pause (5 × gossip_interval) later | slots 2 and 1 |
//!
//! As everyone uses the same slots, everyone is sent exactly k − 2 copies in the first phase and 2 in the
//! second: a member that is deaf for a moment is reached by the second. Then the rumor is retired; loss beyond
//! that is repaired by comparing views.
//!
//! A rumor is no more than the name of its subject: what is told is what the view holds when the datagram is
//! made, so newer news of a node replaces older by itself.
//!
//! A **round** takes place at once after a quiet time, then every `gossip_interval`, doubling up to five times
//! that while rounds do not fill their datagrams; a token bucket bounds the rounds under lasting news. At rest
//! there are none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contract::Bound;
use super::time::Instant;
use crate::wire::NameHash;

/// Rumors that wait; the oldest go first, counted.
const RUMORS_MAX: usize = 4_096;
/// About two datagrams' worth: with more waiting, each is sent less often.
const CROWD: usize = 52;
/// … but never less often than this.
const SENDS_MIN: usize = 3;
/// The second phase comes this many gossip intervals after the first; the longest pause between rounds.
const PAUSE: u32 = 5;
/// Rounds that may follow each other without the bucket's refill.
const BURST: u32 = 50;

/// One rumor on its way.
#[derive(Debug, Clone, Copy)]
struct Rumor {
    subject: NameHash,
    /// Slots that are to get it in this phase, as bits.
    slots: u32,
    /// When the second phase may begin; `None` in it.
    second_at: Option<Instant>,
    /// Sends that are left, over both phases.
    sends: usize,
}

/// The queue of rumors and the clock of the rounds.
#[derive(Debug)]
pub(crate) struct Rumors {
    /// In order of arrival.
    queue: BTreeMap<u64, Rumor>,
    places: BTreeMap<NameHash, u64>,
    arrivals: u64,
    gossip_interval: Duration,
    interval: Duration,
    last_round: Option<Instant>,
    /// When the queue wants a round: at once, or when a second phase begins.
    wanted: Option<Instant>,
    tokens: u32,
    refilled: Instant,
}

/// The slots of the first phase, in the order in which they are served.
fn first_phase(k: usize) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain((3..k).rev()).filter(move |slot| *slot < k)
}

/// The slots of the second phase. Of so few peers that the first phase has one only, the others come at once.
fn second_phase(k: usize) -> impl Iterator<Item = usize> {
    [2, 1].into_iter().filter(move |slot| *slot < k)
}

/// All slots, in the order in which a round serves them.
pub(crate) fn slot_order(k: usize) -> impl Iterator<Item = usize> {
    first_phase(k).chain(second_phase(k))
}

fn bits(slots: impl Iterator<Item = usize>) -> u32 {
    slots.fold(0, |bits, slot| bits | 1_u32.checked_shl(u32::try_from(slot).unwrap_or(u32::MAX)).unwrap_or(0))
}

impl Rumors {
    pub(crate) fn new(now: Instant, gossip_interval: Duration) -> Self {
        Self {
            queue: BTreeMap::new(),
            places: BTreeMap::new(),
            arrivals: 0,
            gossip_interval,
            interval: gossip_interval,
            last_round: None,
            wanted: None,
            tokens: BURST,
            refilled: now,
        }
    }

    /// There is news of a node: it is told, to `k` peers, from the beginning. Answers whether an older rumor
    /// had to go for it.
    pub(crate) fn push(&mut self, now: Instant, subject: NameHash, k: usize) -> bool {
        if let Some(place) = self.places.remove(&subject) {
            self.queue.remove(&place);
        }
        let mut dropped = false;
        if self.queue.len() >= RUMORS_MAX
            && let Some((_, oldest)) = self.queue.pop_first()
        {
            self.places.remove(&oldest.subject);
            dropped = true;
        }
        // With hardly any peers the news goes to all of them at once, and again to some later.
        let first = if k <= 3 { bits(0..k) } else { bits(first_phase(k)) };
        let sends = if self.queue.len() > CROWD { (k * CROWD / self.queue.len()).max(SENDS_MIN) } else { k };
        let rumor = Rumor {
            subject,
            slots: first,
            second_at: Some(now + self.gossip_interval * PAUSE),
            sends: if k <= 3 { k + second_phase(k).count() } else { sends },
        };
        self.places.insert(subject, self.arrivals);
        self.queue.insert(self.arrivals, rumor);
        self.arrivals += 1;
        self.wanted = Some(Instant::default());
        dropped
    }

    /// Begins a round, if one is due. It is to be ended with [`end_round`](Self::end_round).
    pub(crate) fn begin_round(&mut self, now: Instant, k: usize) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        let all = bits(0..k);
        for rumor in self.queue.values_mut() {
            rumor.slots &= all;
            if rumor.slots == 0 && rumor.second_at.is_some_and(|at| at <= now) {
                rumor.second_at = None;
                rumor.slots = bits(second_phase(k));
            }
        }
        self.refill(now);
        self.tokens = self.tokens.saturating_sub(1);
        true
    }

    /// The subjects that a slot is to be told of, oldest first.
    pub(crate) fn for_slot(&self, slot: usize) -> impl Iterator<Item = NameHash> {
        let bit = bits(std::iter::once(slot));
        self.queue
            .values()
            .filter(move |rumor| rumor.sends > 0 && rumor.slots & bit != 0)
            .map(|rumor| rumor.subject)
    }

    /// All subjects there is news of, oldest first.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = NameHash> {
        self.queue.values().map(|rumor| rumor.subject)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "rumors", count: self.queue.len().max(self.places.len()), max: RUMORS_MAX }
    }

    /// A slot was told of a subject.
    pub(crate) fn told(&mut self, slot: usize, subject: NameHash) {
        let bit = bits(std::iter::once(slot));
        if let Some(rumor) = self.places.get(&subject).and_then(|place| self.queue.get_mut(place)) {
            rumor.slots &= !bit;
            rumor.sends = rumor.sends.saturating_sub(1);
        }
    }

    /// Ends a round; `full`: something that was to go with it had no room.
    pub(crate) fn end_round(&mut self, now: Instant, full: bool) {
        let retired: Vec<u64> = self
            .queue
            .iter()
            .filter(|(_, rumor)| rumor.sends == 0 || (rumor.slots == 0 && rumor.second_at.is_none()))
            .map(|(place, _)| *place)
            .collect();
        for place in retired {
            if let Some(rumor) = self.queue.remove(&place) {
                self.places.remove(&rumor.subject);
            }
        }
        let quiet = self.last_round.is_none_or(|last| now.since(last) >= self.gossip_interval * PAUSE);
        self.interval = if full || quiet {
            self.gossip_interval
        } else {
            (self.interval * 2).min(self.gossip_interval * PAUSE)
        };
        self.last_round = Some(now);
        self.wanted = self
            .queue
            .values()
            .map(
                |rumor| {
                    if rumor.slots == 0 { rumor.second_at.unwrap_or_default() } else { Instant::default() }
                },
            )
            .min();
    }

    /// When the next round is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let wanted = self.wanted?;
        let mut earliest = self.last_round.map_or(Instant::default(), |last| last + self.interval);
        if self.tokens == 0 {
            earliest = earliest.max(self.refilled + self.gossip_interval * PAUSE);
        }
        Some(wanted.max(earliest))
    }

    fn refill(&mut self, now: Instant) {
        let pause = self.gossip_interval * PAUSE;
        let refills = now.since(self.refilled).as_micros() / pause.as_micros().max(1);
        if refills > 0 {
            let refills = u32::try_from(refills).unwrap_or(BURST);
            self.tokens = self.tokens.saturating_add(refills).min(BURST);
            self.refilled = now;
        }
    }
}
