//! Doubt about ourselves: before a member accuses others, it asks whether it is the sick one.
//!
//! Four questions, from Lifeguard (section IV.A) and beyond it:
//!
//! | question | rule |
//! |---|---|
//! | Have my probes failed, have I had to defend myself? | the **health** score, 0 to 8, stretches own timeouts (Lifeguard's local health multiplier) |
//! | Was I asleep? | **lag**: a wake-up or a datagram handled later than T/2 past its time voids running probes and pushes deadlines |
//! | Do I hear anybody? | **silence** of 4 × T holds back verdicts; the datagram that ends it postpones them as long |
//! | Am I alone? | after `isolation_timeout` without an answer this member hides all others, from itself only |

use std::time::Duration;

use crate::protocol::time::Instant;

/// The worst score.
pub(crate) const HEALTH_MAX: u8 = 8;

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

/// Silence of this length holds back all verdicts.
pub(crate) fn silence_limit(timeout: Duration) -> Duration {
    timeout * 4
}

/// When any node was heard last.
#[derive(Debug)]
pub(crate) struct LastContact {
    last: Instant,
}

impl LastContact {
    pub(crate) fn new(now: Instant) -> Self {
        Self { last: now }
    }

    /// A known node was heard. Returns the silence that this ends, if it was longer than `limit`.
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
