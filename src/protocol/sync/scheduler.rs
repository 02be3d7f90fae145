//! When a sync is due: views are compared at each ack, and most that differ only do so while news travels.

use std::collections::VecDeque;
use std::time::Duration;

use crate::protocol::time::Instant;

/// Syncs begin no more often than this …
const GAP_MIN: Duration = Duration::from_millis(500);
/// … and no more often than this when they change nothing.
const GAP_MAX: Duration = Duration::from_secs(30);
/// The time without an equal comparison …
const STREAK: Duration = Duration::from_secs(3);
/// … and the number of comparisons that differed meanwhile, after which a sync is due.
const STREAK_MIN: u32 = 3;

/// Maximum number of remembered fingerprints of others: this many views may differ for good without frequent
/// comparisons.
const SEEN_MAX: usize = 8;

/// Decides when a sync is due.
#[derive(Debug)]
pub(crate) struct SyncScheduler {
    last_equal: Instant,
    differed: u32,
    last_sync: Option<Instant>,
    gap: Duration,
    /// Our fingerprint at the last sync …
    ours: u64,
    /// … and those of others that were looked into since it became that.
    seen: VecDeque<u64>,
}

/// What a comparison asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    Equal,
    /// Sync now.
    Sync,
    /// News travels: compare again at this time.
    Later(Instant),
    /// It differs, and that was looked into not long ago.
    Known,
}

impl SyncScheduler {
    pub(crate) fn new(now: Instant) -> Self {
        Self { last_equal: now, differed: 0, last_sync: None, gap: GAP_MIN, ours: 0, seen: VecDeque::new() }
    }

    /// Compares our fingerprint with a peer's. `alike`: they are equal, and nothing else has to be asked. `settled_at`
    /// is when both views will have been quiet for the settle time if nothing happens.
    pub(crate) fn compare(
        &mut self,
        now: Instant,
        (ours, theirs): (u64, u64),
        alike: bool,
        settled_at: Instant,
    ) -> Compared {
        if alike {
            self.last_equal = now;
            self.differed = 0;
            return Compared::Equal;
        }
        self.differed += 1;
        if self.ours != ours {
            self.seen.clear();
        }
        if !self.seen.contains(&theirs) {
            self.gap = GAP_MIN;
        }
        let streak = now.since(self.last_equal) >= STREAK && self.differed >= STREAK_MIN;
        if settled_at > now && !streak {
            return Compared::Later(settled_at);
        }
        if self.last_sync.is_some_and(|last| now.since(last) < self.gap) {
            return Compared::Known;
        }
        self.ours = ours;
        self.seen.retain(|seen| *seen != theirs);
        self.seen.push_back(theirs);
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
        self.differed = 0;
        self.last_equal = now;
        self.last_sync = Some(now);
        Compared::Sync
    }

    /// A sync has ended.
    pub(crate) fn synced(&mut self, changed: bool) {
        self.gap = if changed { GAP_MIN } else { (self.gap * 2).min(GAP_MAX) };
    }
}
