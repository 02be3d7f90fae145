//! How much may be under way to one node, and which of its acks are waited for.

use std::collections::VecDeque;
use std::time::Duration;

use crate::protocol::time::Instant;

pub(super) const WINDOW_MIN: usize = 32 * 1_024;
pub(super) const WINDOW_MAX: usize = 128 * 1_024;
/// The same where round trips are long.
pub(super) const LONG_WINDOW_MAX: usize = 256 * 1_024;
/// Round trips from here on are long.
pub(super) const LONG: Duration = Duration::from_millis(50);
/// Asks that are remembered, fewer than there are marks: each mark is that of one of them.
const ASKS_MAX: usize = 128;
/// Room for asks that stays for short messages.
const ASKS_KEPT: usize = 4;

/// How much may be under way to one node: congestion control as in TCP Reno, with the cut of CUBIC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) size: usize,
    /// Below it the window doubles each round trip.
    threshold: usize,
    /// Losses of what was sent before this have been answered by a cut.
    recovery: u64,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { size: WINDOW_MIN, threshold: LONG_WINDOW_MAX, recovery: 0 }
    }

    /// So much was acked, after a long round trip or a short one.
    pub(super) fn grow(&mut self, acked: usize, is_long: bool) {
        let step = if self.size < self.threshold { acked } else { acked * acked / self.size };
        let max = if is_long { LONG_WINDOW_MAX } else { WINDOW_MAX };
        self.size = (self.size + step).min(max);
    }

    /// Something was lost that was sent under this order.
    pub(super) fn cut(&mut self, order: u64, next_order: u64) {
        if order >= self.recovery {
            self.size = (self.size * 7 / 10).max(WINDOW_MIN);
            self.threshold = self.size;
            self.recovery = next_order;
        }
    }
}

/// A fragment that asked for an ack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    /// Zero once it was answered.
    mark: u8,
    pub(super) order: u64,
    pub(super) at: Instant,
    pub(super) is_again: bool,
}

/// The fragments that asked for acks, each with a mark that its ack brings back. So it is known which of several tries
/// has come, and what its round trip was (the Eifel algorithm, RFC 3522): who takes the ack of a first try for that of
/// the second believes that all in between is lost, sends it again, and goes on so as long as the receiver is slow.
#[derive(Debug, Default)]
pub(super) struct Asks {
    recent: VecDeque<Ask>,
    last: u8,
}

impl Asks {
    /// The mark of one more.
    pub(super) fn ask(&mut self, order: u64, at: Instant, is_again: bool) -> u8 {
        self.last = self.last.checked_add(1).unwrap_or(1);
        if self.recent.len() >= ASKS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Ask { mark: self.last, order, at, is_again });
        self.last
    }

    /// The one that an ack has brought back, if it is the first that does.
    pub(super) fn answered(&mut self, mark: u8) -> Option<Ask> {
        let ask = self.recent.iter_mut().find(|ask| mark != 0 && ask.mark == mark)?;
        ask.mark = 0;
        Some(*ask)
    }

    /// Nobody waits for acks any more.
    pub(super) fn clear(&mut self) {
        self.recent.clear();
        // Nodes are many, and each was sent something at some time.
        self.recent.shrink_to(ASKS_KEPT);
    }
}
