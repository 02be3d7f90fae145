//! How many writes may still be told, if that is limited.

use std::time::Duration;

use crate::protocol::time::Instant;

/// Something held back this long ago is of no account any more.
const SHORT_MEMORY: Duration = Duration::from_secs(2);

/// How many writes may still be told, if that is limited: a token bucket that holds one second's worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    per_second: Option<u32>,
    tokens: u64,
    refilled: Instant,
    /// When something was held back last.
    short: Option<Instant>,
}

impl Budget {
    /// Tokens are counted in millionths.
    const TOKEN: u64 = 1_000_000;

    pub(super) fn new(now: Instant, per_second: Option<u32>) -> Self {
        let tokens = per_second.map_or(0, u64::from) * Self::TOKEN;
        Self { per_second, tokens, refilled: now, short: None }
    }

    /// Whether an answer to a fetch may be given.
    pub(super) fn may_answer(&mut self, now: Instant) -> bool {
        self.refill(now);
        let may = self.per_second.is_none() || self.tokens >= Self::TOKEN;
        self.note(now, may)
    }

    /// Whether a rumor may be told: only from the upper half.
    pub(super) fn may_gossip(&mut self, now: Instant) -> bool {
        self.refill(now);
        let may = self.per_second.is_none_or(|limit| self.tokens >= u64::from(limit) * Self::TOKEN / 2);
        self.note(now, may)
    }

    /// Whether there is a limit at all.
    pub(super) fn is_limited(&self) -> bool {
        self.per_second.is_some()
    }

    /// Whether something was held back a moment ago.
    pub(super) fn is_short(&self, now: Instant) -> bool {
        self.short.is_some_and(|short| now.since(short) < SHORT_MEMORY)
    }

    fn note(&mut self, now: Instant, may: bool) -> bool {
        if !may {
            self.short = Some(now);
        }
        may
    }

    /// So many writes were told.
    pub(super) fn spend(&mut self, writes: usize) {
        self.tokens = self.tokens.saturating_sub(writes as u64 * Self::TOKEN);
    }

    fn refill(&mut self, now: Instant) {
        let Some(limit) = self.per_second.map(u64::from) else {
            return;
        };
        let elapsed = u64::try_from(now.since(self.refilled).as_micros()).unwrap_or(u64::MAX);
        self.tokens = self.tokens.saturating_add(elapsed.saturating_mul(limit)).min(limit * Self::TOKEN);
        self.refilled = now;
    }
}
