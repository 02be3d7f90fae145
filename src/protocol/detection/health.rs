//! Doubt about ourselves: before a member accuses others, it asks whether it is the sick one.
//!
//! Four questions, from Lifeguard (section IV.A) and beyond it:
//!
//! | question | rule |
//! |---|---|
//! | Have my probes failed, have I had to defend myself? | the **health** score, 0 to 8, stretches own timeouts (Lifeguard's local health multiplier) |
//! | Was I asleep? | **lag**: a wake-up or a datagram handled later than T/2 past its time voids running probes and pushes deadlines |
//! | Do I hear anybody? | **silence** of 4 × T holds all verdicts; the datagram that ends it pushes them by as much |
//! | Am I alone? | after `isolation_timeout` without an answer all others are hidden, by this member, from this member only |
//!
//! And one about others: **damping**. Who has refuted several accusations within a minute is evidently alive and
//! hard to reach: this member begins no new suspicion of it for a while, and waits longer before it buries it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::protocol::api::Bound;
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// The worst score.
pub(crate) const HEALTH_MAX: u8 = 8;
/// Refutations count for this long.
const REFUTATION_MEMORY: Duration = Duration::from_secs(60);
/// As many refutations as can matter are kept for a node.
const REFUTATIONS_MAX: usize = 8;
/// Nodes whose refutations are remembered; the one whose news is oldest goes first.
const DAMPED_MAX: usize = 1_024;

/// The own health score (Lifeguard, section IV.A).
#[derive(Debug, Default)]
pub(crate) struct Health {
    score: u8,
    refuted: Option<Instant>,
}

impl Health {
    pub(crate) fn score(&self) -> u8 {
        self.score
    }

    /// A probe was void.
    pub(crate) fn worsen(&mut self) {
        self.score = (self.score + 1).min(HEALTH_MAX);
    }

    /// A probe was answered.
    pub(crate) fn improve(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// We had to refute an accusation; counts at most once an interval.
    pub(crate) fn accused(&mut self, now: Instant, interval: Duration) {
        if self.refuted.is_none_or(|last| now.since(last) >= interval) {
            self.refuted = Some(now);
            self.worsen();
        }
    }
}

/// Silence of this long holds all verdicts.
pub(crate) fn silence_limit(timeout: Duration) -> Duration {
    timeout * 4
}

/// When anybody was heard last.
#[derive(Debug)]
pub(crate) struct LastContact {
    last: Instant,
}

impl LastContact {
    pub(crate) fn new(now: Instant) -> Self {
        Self { last: now }
    }

    /// Somebody known was heard; answers the silence that this ends, if it was longer than `limit`.
    pub(crate) fn heard(&mut self, now: Instant, limit: Duration) -> Option<Duration> {
        let silence = now.since(self.last);
        self.last = self.last.max(now);
        (silence > limit).then_some(silence)
    }

    /// We were asleep: that time was not silence.
    pub(crate) fn push_back(&mut self, now: Instant, lag: Duration) {
        self.last = (self.last + lag).min(now);
    }

    pub(crate) fn silence(&self, now: Instant) -> Duration {
        now.since(self.last)
    }
}

/// Who has refuted how often of late.
#[derive(Debug, Default)]
pub(crate) struct Damping {
    refutations: BTreeMap<NameHash, VecDeque<Instant>>,
}

impl Damping {
    /// A node has refuted an accusation.
    pub(crate) fn refuted(&mut self, now: Instant, name: NameHash) {
        if self.refutations.len() >= DAMPED_MAX && !self.refutations.contains_key(&name) {
            let oldest = self.refutations.iter().min_by_key(|(name, times)| (times.back().copied(), **name));
            if let Some(oldest) = oldest.map(|(name, _)| *name) {
                self.refutations.remove(&oldest);
            }
        }
        let times = self.refutations.entry(name).or_default();
        times.push_back(now);
        if times.len() > REFUTATIONS_MAX {
            times.pop_front();
        }
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "damped nodes", count: self.refutations.len(), max: DAMPED_MAX }
    }

    /// How many accusations a node has refuted in the last minute.
    pub(crate) fn recent(&self, now: Instant, name: NameHash) -> u32 {
        let times = self.refutations.get(&name).into_iter().flatten();
        let recent = times.filter(|at| now.since(**at) <= REFUTATION_MEMORY).count();
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    /// Whether this member should not begin a suspicion of a node now: for min(2^(r−1) × T/2, 4 × T) after
    /// the last of r > 1 refutations.
    pub(crate) fn holds(&self, now: Instant, name: NameHash, timeout: Duration) -> bool {
        let recent = self.recent(now, name);
        if recent < 2 {
            return false;
        }
        let pause = (timeout / 2 * 2_u32.pow((recent - 1).min(3))).min(timeout * 4);
        let last = self.refutations.get(&name).and_then(|times| times.back().copied());
        last.is_some_and(|last| now.since(last) < pause)
    }
}
