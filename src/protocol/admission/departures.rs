//! Departures: nodes that leave or have left, while not all is here that they had said by then.
//!
//! The leave of a node says how far it had come with its state and its broadcasts. A member that lacks some of it
//! fetches it: from the leaver, while that repeats its leave, which is acked and taken only then; and after that from
//! the peer that has gossiped the leave, and then from others, drawn at random. Most of them have it, and those that
//! have acked the leave to the leaver surely do. It is given up when nothing more of it has come for a while.
//!
//! Beyond SWIM.

use std::collections::VecDeque;

use super::Admission;
use crate::protocol::api::Bound;
use crate::protocol::core::{Core, Timer};
use crate::protocol::time::Instant;
use crate::wire::{NameHash, Verdict};

/// Departures at the same time; of more, only the peers that gossip them are asked for the rest.
const DEPARTURES_MAX: usize = 256;
/// Number of gossip intervals after which a departure is looked at again, as often as a leave is sent again.
const LOOK_PAUSE: u32 = 5;
/// Number of looks without a leave from the leaver after which it counts as gone with what is here.
const LOOKS_WITHOUT_LEAVE: u32 = 10;
/// Number of looks at a node that has left, while nothing more comes, until the rest is given up.
const LOOKS_MAX: u32 = 50;

/// A node that leaves or has left.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) struct Departure {
    /// What it has said, or others about it.
    pub(in crate::protocol) verdict: Verdict,
    /// How far its state and its broadcasts had come here at the last look.
    held: (u64, u64),
    due: Instant,
    /// How often it was looked at, since it has sent its leave, or was first said to have left, or more has come.
    looks: u32,
}

impl Departure {
    /// Whether a leave from the leaver should have come again, so that it may be gone.
    pub(in crate::protocol) fn is_late(&self) -> bool {
        self.looks > 0
    }

    /// Whether the leaver has not been heard for so long that it is gone.
    pub(in crate::protocol) fn is_silent(&self) -> bool {
        self.looks >= LOOKS_WITHOUT_LEAVE
    }
}

/// All departures, in the order in which they are looked at again.
#[derive(Debug, Default)]
pub(super) struct Departures {
    by_due: VecDeque<Departure>,
}

impl Departures {
    pub(super) fn bound(&self) -> Bound {
        Bound { what: "departures", count: self.by_due.len(), max: DEPARTURES_MAX }
    }
}

impl Admission {
    /// Not all is here that a node had said when it left, or leaves.
    pub(in crate::protocol) fn note_departure(&mut self, core: &mut Core, now: Instant, verdict: Verdict) {
        self.departures.by_due.retain(|other| other.verdict.subject != verdict.subject);
        self.keep_departure(core, now, Departure { verdict, held: (0, 0), due: now, looks: 0 });
    }

    /// A departure that should be looked at.
    pub(in crate::protocol) fn next_departure(&mut self, core: &mut Core, now: Instant) -> Option<Departure> {
        let departures = &mut self.departures.by_due;
        let due = departures.front()?.due;
        if due > now {
            core.timers.set_earliest(Timer::Departures, due);
            return None;
        }
        departures.pop_front()
    }

    /// A departure that was looked at is not complete. `held`: how far its state and its broadcasts have come here.
    pub(in crate::protocol) fn look_again(
        &mut self,
        core: &mut Core,
        now: Instant,
        departure: Departure,
        held: (u64, u64),
    ) {
        let looks = if held == departure.held { departure.looks + 1 } else { 0 };
        if looks < LOOKS_MAX {
            self.keep_departure(core, now, Departure { looks, held, ..departure });
        }
    }

    /// Whether what a node had said when it left is still being fetched.
    pub(in crate::protocol) fn is_departing(&self, name: NameHash) -> bool {
        self.departures.by_due.iter().any(|departure| departure.verdict.subject == name)
    }

    fn keep_departure(&mut self, core: &mut Core, now: Instant, departure: Departure) {
        if self.departures.by_due.len() < DEPARTURES_MAX {
            let due = now + core.settings.gossip_interval * LOOK_PAUSE;
            self.departures.by_due.push_back(Departure { due, ..departure });
            core.timers.set_earliest(Timer::Departures, due);
        }
    }
}
