//! Claims: what others have of us that we never said.
//!
//! Somebody holds a later write of ours than we made, a broadcast with a higher number, or another run at our address.
//! It is the echo of a run whose memory we have lost, or forged. Whoever believes it does not take what we say below
//! it, so we go on above it: the state is written anew, the broadcasts skip the number, or we become another run.
//!
//! All of that is news for the whole cluster, of up to 64 KiB, and a forged claim is cheap. So the first is answered at
//! once, and the next ones at most once a probe timeout, each above the highest that was heard: as accusations are.

use super::Identity;
use crate::node::Generation;
use crate::protocol::core::{Core, Timer};
use crate::protocol::time::Instant;

/// What was claimed and not answered yet.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Claims {
    /// We have to be a run above this one.
    pub(in crate::protocol) run: Option<Generation>,
    /// The highest version of our state.
    pub(in crate::protocol) version: u64,
    /// The highest number of our broadcasts.
    pub(in crate::protocol) broadcast: u64,
    /// When claims were answered last.
    answered: Option<Instant>,
}

impl Identity {
    /// Somebody has writes of ours up to this version, and we have made fewer. Answers whether the claims are to be
    /// answered now, as all these do.
    pub(in crate::protocol) fn claim_version(&mut self, core: &mut Core, now: Instant, version: u64) -> bool {
        self.claims.version = self.claims.version.max(version);
        self.is_time(core, now)
    }

    /// Somebody knows a broadcast of ours with this number, and we have made fewer.
    pub(in crate::protocol) fn claim_broadcast(
        &mut self,
        core: &mut Core,
        now: Instant,
        number: u64,
    ) -> bool {
        self.claims.broadcast = self.claims.broadcast.max(number);
        self.is_time(core, now)
    }

    /// There is a run of ours that we do not know of, or one whose numbers are used up.
    pub(in crate::protocol) fn claim_run(&mut self, core: &mut Core, now: Instant, run: Generation) -> bool {
        self.claims.run = self.claims.run.max(Some(run));
        self.is_time(core, now)
    }

    /// All that was claimed, to be answered now.
    pub(in crate::protocol) fn take_claims(&mut self, core: &mut Core, now: Instant) -> Claims {
        core.timers.cancel(Timer::Claims);
        std::mem::replace(&mut self.claims, Claims { answered: Some(now), ..Claims::default() })
    }

    fn is_time(&self, core: &mut Core, now: Instant) -> bool {
        let at = self.claims.answered.map_or(now, |last| last + core.settings.probe_timeout);
        if at > now {
            core.timers.set(Timer::Claims, at);
        }
        at <= now
    }
}
