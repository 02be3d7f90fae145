//! Claims: what others have of us that we never said.
//!
//! Somebody holds a later write of ours than we made, a broadcast with a higher number, or another run at our address.
//! It is the echo of a run whose memory we have lost, or forged. Whoever believes it does not take what we say below
//! it, so we go on above it: the state is written anew, the broadcasts skip the number, or we become another run.
//!
//! All of that is news for the whole cluster, of up to 64 KiB, and a forged claim is cheap. So the first is answered at
//! once, and the next ones at most once a probe timeout, each above the highest that was heard: as accusations are.

use super::announce::{NUMBER_CLAIMED_MAX, NUMBER_MAX};
use super::state::VERSION_CLAIMED_MAX;
use super::time::Instant;
use super::{Protocol, Timer};
use crate::node::Generation;

/// What was claimed and not answered yet.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// We have to be a run above this one.
    run: Option<Generation>,
    /// The highest version of our state.
    version: u64,
    /// The highest number of our broadcasts.
    broadcast: u64,
    /// When claims were answered last.
    answered: Option<Instant>,
}

impl Protocol {
    /// Somebody has writes of ours up to this version, and we have made fewer.
    pub(super) fn claim_version(&mut self, now: Instant, version: u64) {
        if version > VERSION_CLAIMED_MAX {
            self.claim_run(now, self.core.generation);
        } else {
            self.claims.version = self.claims.version.max(version);
            self.answer_in_time(now);
        }
    }

    /// Somebody knows a broadcast of ours with this number.
    pub(super) fn claim_broadcast(&mut self, now: Instant, number: u64) {
        if number > NUMBER_MAX {
            self.core.metrics.implausible += 1;
        } else if number > NUMBER_CLAIMED_MAX {
            self.claim_run(now, self.core.generation);
        } else if number > self.own_record().broadcast {
            self.claims.broadcast = self.claims.broadcast.max(number);
            self.answer_in_time(now);
        }
    }

    /// There is a run of ours that we do not know of, or one whose numbers are used up.
    pub(super) fn claim_run(&mut self, now: Instant, run: Generation) {
        self.claims.run = self.claims.run.max(Some(run));
        self.answer_in_time(now);
    }

    /// Goes on above all that was claimed.
    pub(super) fn answer_claims(&mut self, now: Instant) {
        let claims = std::mem::take(&mut self.claims);
        self.claims.answered = Some(now);
        self.core.timers.cancel(Timer::Claims);
        if let Some(run) = claims.run.filter(|run| *run >= self.core.generation) {
            // What was claimed of the run before it means nothing any more.
            self.renew(now, run);
            return;
        }
        if claims.broadcast > self.own_record().broadcast {
            self.core.members.set_broadcast(now, self.core.me, claims.broadcast);
        }
        let mut state = self.state_of(self.core.me);
        if claims.version > state.version() {
            state.rewrite_above(claims.version);
            self.publish_state(now, state);
        }
    }

    fn answer_in_time(&mut self, now: Instant) {
        let at = self.claims.answered.map_or(now, |last| last + self.core.settings.probe_timeout);
        if at <= now {
            self.answer_claims(now);
        } else {
            self.core.timers.set(Timer::Claims, at);
        }
    }
}
