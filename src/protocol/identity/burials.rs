//! Burials: how often this member was held dead of late, and how long it stays away for it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::node::Incarnation;
use crate::protocol::time::Instant;

/// Burials of this member count for this long.
const BURIAL_MEMORY: Duration = Duration::from_secs(600);

/// How often this member was buried of late, and when it may be back.
#[derive(Debug, Default)]
pub(super) struct Burials {
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
    pub(super) fn buried(&mut self, now: Instant, incarnation: Incarnation) -> Instant {
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
    pub(super) fn buried_before(&mut self, now: Instant, incarnation: Incarnation) {
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
    pub(super) fn back_at(&self) -> Option<Instant> {
        self.back_at
    }

    /// Whether we wait, held dead, before we return.
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.back_at.max(self.away_until).is_some_and(|at| at > now)
    }
}
