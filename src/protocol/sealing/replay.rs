//! Sealed datagrams that come again: each counter of a run is good for one datagram.
//!
//! Networks reorder, so a counter below the highest one is not yet old. [`Window`] remembers which of the newest 2,048
//! were seen, as the anti-replay windows of IPsec and WireGuard do (RFC 6479): a ring of words, of which the oldest is
//! wiped when a new one is needed.
//!
//! A window is kept for a run that is in the member list. Of others, [`Reached`] keeps the highest counter only, and
//! only where a second coming could do something: of runs that have shown a good cookie, and of those whose window was
//! given up.

use std::collections::BTreeMap;

use crate::protocol::api::Bound;
use crate::protocol::core::Run;

/// Counters so far below the highest one can not be told any more from those that were seen.
pub(super) const WINDOW: u64 = 2_048;
/// Words of 64 counters: one more than the window has, so that wiping the oldest leaves the whole window.
const WORDS: usize = 33;
/// Runs that are remembered without a window.
const REACHED_MAX: usize = 4_096;

/// Which counters of one run were seen.
#[derive(Debug)]
pub(super) struct Window {
    highest: u64,
    /// A bit for each counter, in the word of its 64th modulo their number.
    seen: [u64; WORDS],
}

impl Window {
    /// Begins after this one: it and all below count as seen.
    pub(super) fn after(counter: u64) -> Self {
        let mut window = Self { highest: counter, seen: [u64::MAX; WORDS] };
        *window.word(counter) = u64::MAX >> (63 - counter % 64);
        window
    }

    /// Whether a counter was not seen, as far as can be told.
    pub(super) fn is_fresh(&self, counter: u64) -> bool {
        if counter > self.highest {
            return true;
        }
        let word = self.seen[place(counter)];
        self.highest - counter < WINDOW && word & (1 << (counter % 64)) == 0
    }

    /// A counter is seen, of a datagram that was authenticated.
    pub(super) fn note(&mut self, counter: u64) {
        if counter > self.highest {
            let (old, new) = (self.highest / 64, counter / 64);
            for word in (old + 1..=new).rev().take(WORDS) {
                *self.word(word * 64) = 0;
            }
            self.highest = counter;
        }
        if self.highest - counter < WINDOW {
            *self.word(counter) |= 1 << (counter % 64);
        }
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    fn word(&mut self, counter: u64) -> &mut u64 {
        &mut self.seen[place(counter)]
    }
}

fn place(counter: u64) -> usize {
    let word = usize::try_from(counter / 64 % WORDS as u64);
    word.unwrap_or_default()
}

/// How far runs have come of which there is no window: nothing up to there is taken any more.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// With the place in `order`.
    runs: BTreeMap<Run, (u64, u64)>,
    /// In the order in which they were noted first.
    order: BTreeMap<u64, Run>,
    noted: u64,
}

impl Reached {
    /// Whether a counter is above all that were noted of a run.
    pub(super) fn is_fresh(&self, run: Run, counter: u64) -> bool {
        self.runs.get(&run).is_none_or(|(reached, _)| counter > *reached)
    }

    /// A run has come so far. At the limit the one that was noted first is forgotten.
    pub(super) fn note(&mut self, run: Run, counter: u64) {
        if let Some((reached, _)) = self.runs.get_mut(&run) {
            *reached = counter.max(*reached);
            return;
        }
        if self.runs.len() >= REACHED_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.runs.remove(&oldest);
        }
        self.noted += 1;
        self.runs.insert(run, (counter, self.noted));
        self.order.insert(self.noted, run);
    }

    /// Forgets a run, which has a window from now on.
    pub(super) fn forget(&mut self, run: Run) {
        if let Some((_, place)) = self.runs.remove(&run) {
            self.order.remove(&place);
        }
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "runs remembered by their counter", count: self.runs.len(), max: REACHED_MAX }
    }
}

#[cfg(test)]
mod tests;
