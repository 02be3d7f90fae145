//! Our own run: its defence against accusations, and its changes (SWIM, section 4.2; Lifeguard, section IV.A).
//!
//! | file | holds |
//! |---|---|
//! | [`burials`] | how often this member was held dead, and how long it stays away for it |
//! | [`claims`] | what others have of us that we never said |
//! | [`address_change`] | having another address than before |
//!
//! A newer run of our name at another address is a *rival*: it is probed, at once and then at most once an interval. If
//! it answers, this member falls silent; if not, it takes a generation above (see [`super::admission`]).

mod address_change;
mod burials;
mod claims;

use std::net::SocketAddr;
use std::time::Duration;

use super::core::{Core, GENERATION_RANDOM_BITS, Timer};
use super::membership::INCARNATION_STEP_MAX;
use super::rules::Rule;
use super::time::Instant;
use crate::error::Error;
use crate::event::Event;
use crate::node::{Generation, Incarnation, Status};
use crate::wire::Verdict;
pub(super) use address_change::{change_address, check_address_alone};
use burials::Burials;
use claims::Claims;

/// Members that hold us dead and hear of our return.
const ACCUSERS_MAX: usize = 16;

/// Our own run, as far as more is to be known of it than what it says.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The highest incarnation of ours that was accused and not refuted yet.
    accused: Option<Incarnation>,
    refuted: Option<Instant>,
    /// Members that hold us dead and should hear of our return.
    accusers: Vec<SocketAddr>,
    burials: Burials,
    /// Another run of our name, and where it is said to be.
    rival: Option<(SocketAddr, Generation)>,
    claims: Claims,
    /// When it was last looked whether our address is still ours.
    address_doubted: Option<Instant>,
}

/// What an accusation has led to.
#[derive(Debug, Default)]
pub(super) struct Defence {
    /// Whether we have refuted it.
    pub(super) refuted: bool,
    /// Members to be asked to let us in again: they hold us dead and do not listen to our rumors.
    pub(super) return_to: Vec<SocketAddr>,
}

impl Identity {
    /// Somebody holds something against us.
    pub(super) fn handle_accusation(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        verdict: &Verdict,
    ) -> Defence {
        if verdict.generation != core.generation || core.leaving {
            return Defence::default();
        }
        if verdict.incarnation.0 >= core.incarnation.0.saturating_add(INCARNATION_STEP_MAX) {
            core.metrics.implausible += 1;
            return Defence::default();
        }
        let buried = verdict.status != Status::Suspect;
        if buried && self.accusers.len() < ACCUSERS_MAX && !self.accusers.contains(&from) {
            self.accusers.push(from);
        }
        if verdict.incarnation < core.incarnation {
            // Refuted already, and not heard of it there.
            if buried {
                self.burials.buried_before(now, verdict.incarnation);
                return Defence { refuted: false, return_to: std::mem::take(&mut self.accusers) };
            }
            core.push_rumor(now, core.me);
            return Defence::default();
        }
        self.accused = Some(self.accused.map_or(verdict.incarnation, |held| held.max(verdict.incarnation)));
        // No accuser, however often it comes, is to make us flood the cluster.
        let mut at = self.refuted.map_or(now, |last| last + core.settings.probe_timeout);
        match verdict.status {
            Status::Dead => at = at.max(self.burials.buried(now, verdict.incarnation)),
            // Nobody but ourselves can know that, and we do not: no reason to doubt ourselves and stay away.
            Status::Left => {}
            Status::Alive | Status::Suspect => {
                at = self.burials.back_at().map_or(at, |back_at| at.max(back_at));
            }
        }
        if at <= now {
            return self.refute(core, now);
        }
        core.timers.set(Timer::Refute, at);
        Defence::default()
    }

    /// Raises the own incarnation above all that was held against us, and gossips it.
    pub(super) fn refute(&mut self, core: &mut Core, now: Instant) -> Defence {
        let Some(accused) = self.accused.take().filter(|accused| *accused >= core.incarnation) else {
            return Defence::default();
        };
        if !core.follows(Rule::Refutation) {
            return Defence::default();
        }
        core.timers.cancel(Timer::Refute);
        self.refuted = Some(now);
        core.metrics.refutations += 1;
        core.incarnation = Incarnation(accused.0 + 1);
        let number = core.incarnation.0;
        core.note(log::Level::Debug, || format!("refuting with incarnation {number}"));
        core.publish_self(now);
        core.push_rumor(now, core.me);
        Defence { refuted: true, return_to: std::mem::take(&mut self.accusers) }
    }

    /// Whether we wait, held dead, before we return to those that hold us so.
    pub(super) fn stays_away(&self, now: Instant) -> bool {
        self.burials.waits(now)
    }

    /// A newer run of our name is known somewhere. Answers whether it is to be probed now: at once, and then at most
    /// once an interval.
    pub(super) fn meet_rival(&mut self, addr: SocketAddr, run: Generation) -> bool {
        self.rival.replace((addr, run)).is_none()
    }

    /// The other run of our name that is to be probed, and where.
    pub(super) fn rival(&mut self, core: &Core) -> Option<(SocketAddr, Generation)> {
        self.rival.take_if(|(_, run)| *run <= core.generation);
        self.rival
    }

    /// The other run of our name does not answer.
    pub(super) fn forget_rival(&mut self) {
        self.rival = None;
    }

    /// Takes a generation above one that is known of our name, and gossips it.
    pub(super) fn renew(&mut self, core: &mut Core, now: Instant, above: Generation) {
        core.generation = core.generation_above(now, above);
        core.incarnation = Incarnation(0);
        self.accused = None;
        core.publish_self(now);
        core.push_rumor(now, core.me);
    }
}

/// Another run of our name answers: it is the newer one, this member falls silent.
pub(super) fn yield_name(core: &mut Core, addr: SocketAddr) {
    let name = core.settings.name.clone();
    core.note(log::Level::Error, || {
        format!("another process uses our name {name}, at {addr}: this member ends")
    });
    core.events.push_back(Event::NameConflict { addr });
    let name = core.settings.name.clone();
    core.stop(Error::NameTaken { name, addr });
}

/// Comes back after an earlier run, as a later one, also if the clock went back meanwhile. Before anything was told to
/// anybody.
pub(super) fn resume(core: &mut Core, now: Instant, earlier: Generation) {
    if earlier >= core.generation {
        let ahead = (earlier.0 - core.generation.0) >> GENERATION_RANDOM_BITS;
        core.note(log::Level::Warn, || {
            let ahead = Duration::from_millis(ahead);
            format!("the clock is {ahead:.0?} behind that of the run before: it went back, or was wrong then")
        });
        core.generation = core.generation_above(now, earlier);
        core.publish_self(now);
    }
}
