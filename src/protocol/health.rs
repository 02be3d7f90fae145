//! Doubt about ourselves: before a member accuses others, it asks whether it is the sick one.
//!
//! Four questions, from Lifeguard (section IV.A) and beyond it:
//!
//! | question | rule |
//! |---|---|
//! | Have my probes failed, have I had to defend myself? | the **health** score, 0 to 8, stretches own timeouts (Lifeguard's local health multiplier) |
//! | Was I asleep? | **lag**: a wake-up or a datagram handled later than T/2 past its time voids running probes and pushes deadlines |
//! | Do I hear anybody? | **silence** of 4 × T holds all verdicts; the datagram that ends it pushes them by as much |
//! | Am I alone? | after `isolation_timeout` of silence all others are hidden, by this member, from this member only |
//!
//! And one about others: **damping**. Who has refuted several accusations within a minute is evidently alive and
//! hard to reach: this member begins no new suspicion of it for a while, and waits longer before it buries it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::contract::Bound;
use super::time::Instant;
use crate::node::Incarnation;
use crate::wire::NameHash;

/// The worst score.
pub(crate) const HEALTH_MAX: u8 = 8;
/// Refutations count for this long.
const REFUTATION_MEMORY: Duration = Duration::from_secs(60);
/// As many refutations as can matter are kept for a node.
const REFUTATIONS_MAX: usize = 8;
/// Nodes whose refutations are remembered; the one whose news is oldest goes first.
const DAMPED_MAX: usize = 1_024;
/// Burials of this member count for this long.
const BURIAL_MEMORY: Duration = Duration::from_secs(600);

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
pub(crate) struct Ears {
    last: Instant,
}

impl Ears {
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

    /// Since when there is silence.
    pub(crate) fn last(&self) -> Instant {
        self.last
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

/// How often this member was buried of late, and when it may be back.
#[derive(Debug, Default)]
pub(crate) struct Burials {
    times: VecDeque<Instant>,
    /// The highest incarnation that was buried.
    last: Option<Incarnation>,
    back_at: Option<Instant>,
    /// Until when we do not ask those to let us in again who have not heard our refutation.
    away_until: Option<Instant>,
}

impl Burials {
    /// We learn that this incarnation of ours is held dead. Answers until when we are to stay away: at once back
    /// the first time, from the second time in ten minutes on after 10 s × 2^p, at most 320 s. To hear of one death
    /// from several is to be buried once.
    pub(crate) fn buried(&mut self, now: Instant, incarnation: Incarnation) -> Instant {
        if self.is_known(incarnation) || self.back_at.is_some_and(|at| at > now) {
            return self.back_at.unwrap_or(now);
        }
        let back_at = self.count(now, incarnation);
        self.back_at = Some(back_at);
        back_at
    }

    /// We learn that this incarnation of ours is held dead, which we have refuted since, and nobody has heard it. It
    /// counts as a burial all the same: who hears others, and is not heard for a while, again and again, would be
    /// back each time. But who says so may be the one that hears nothing: so it holds up our return to those who
    /// say it, and no refutation.
    pub(crate) fn buried_before(&mut self, now: Instant, incarnation: Incarnation) {
        if !self.is_known(incarnation) && !self.waits(now) {
            self.away_until = Some(self.count(now, incarnation));
        }
    }

    fn is_known(&self, incarnation: Incarnation) -> bool {
        self.last.is_some_and(|last| incarnation <= last)
    }

    /// Counts a burial. Answers when we may be back after it.
    fn count(&mut self, now: Instant, incarnation: Incarnation) -> Instant {
        self.last = self.last.max(Some(incarnation));
        self.times.retain(|at| now.since(*at) <= BURIAL_MEMORY);
        let back_at = match self.times.len() {
            0 => now,
            more => now + Duration::from_secs(10) * 2_u32.pow(u32::try_from(more - 1).unwrap_or(5).min(5)),
        };
        self.times.push_back(now);
        if self.times.len() > 16 {
            self.times.pop_front();
        }
        back_at
    }

    /// Until when we were to stay away after the last burial.
    pub(crate) fn back_at(&self) -> Option<Instant> {
        self.back_at
    }

    /// Whether we wait, held dead, before we return.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        self.back_at.max(self.away_until).is_some_and(|at| at > now)
    }
}
