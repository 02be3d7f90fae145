//! Looking for others: a member finds its cluster by itself, and islands of one cluster find each other.
//!
//! A seed may be down when a member starts, addresses change, and nodes that were cut off for longer than tombstones
//! last are forgotten. So no member ever stops looking: the driver is asked now and then for addresses at which members
//! may be ([`Task::Discover`]), and those that are not in the view get a hello. From there on it goes as with a join by
//! call, except that nobody waits for it.
//!
//! | | pause between two rounds | addresses of one round |
//! |---|---|---|
//! | alone | 1/16 of `rejoin_interval`, doubled each time, up to all of it | all that there is room for |
//! | in company | `rejoin_interval` | 3, drawn from those that are not in the view |
//!
//! Each pause is drawn between half and three halves of that, so that hosts that start together do not go on asking
//! together. A member that finds itself alone again starts over, within 1/16 of `rejoin_interval`: a cut may leave many
//! alone at once. Addresses are hints: a node that answers has to show that it is a member of the cluster, and an
//! address that never answers gets no more than any other (see [`super`]).

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::Admission;
use crate::error::Error;
use crate::protocol::api::Task;
use crate::protocol::core::{Core, Timer};
use crate::protocol::time::Instant;
use crate::wire::address::canonical;

/// Number of addresses that a member asks in one round while it holds others, hidden or not. Every member looks, so a few
/// are enough.
const ASKED_WHILE_OTHERS_ARE_HELD: usize = 3;
/// Number of rounds until the pauses of a member that is alone are as long as they get: two to the power of this is 16.
const ROUNDS_TO_FULL_PAUSE: u32 = 4;
/// Number of rounds in vain after which that is logged: by then a whole `rejoin_interval` has gone by.
const VAIN_ROUNDS_TO_TELL: u32 = ROUNDS_TO_FULL_PAUSE + 1;

/// How far the search of a member that is alone has come.
#[derive(Debug, Default)]
pub(super) struct Rejoin {
    /// Number of rounds that were begun.
    rounds: u32,
    /// Number of addresses that the last round has brought.
    asked: usize,
    /// The member that has refused us in the last round, and the reason that it gave. Both can be forged.
    refusal: Option<(SocketAddr, Error)>,
    /// A refusal was logged.
    has_told: bool,
}

impl Rejoin {
    /// A member that was asked says why it does not let us in.
    pub(super) fn refused(&mut self, by: SocketAddr, error: Error) {
        self.refusal = Some((by, error));
    }
}

impl Admission {
    /// Addresses at which members may be: says hello to those that are not in the view.
    pub(in crate::protocol) fn addresses_found(
        &mut self,
        core: &mut Core,
        now: Instant,
        found: &[SocketAddr],
        stays_away: bool,
    ) {
        let mut absent: Vec<SocketAddr> = found.iter().copied().map(canonical).collect();
        absent.sort_unstable();
        absent.dedup();
        let is_in_view = |addr| core.members.at(addr).any(|(_, entry)| entry.is_visible());
        absent.retain(|addr| !is_in_view(*addr) && !core.is_own(*addr));
        self.rejoin.asked = self.rejoin.asked.max(absent.len());
        // Those that are hidden are probed all the time.
        let asks_all = core.members.roster().len() < 2;
        let count = if asks_all { absent.len() } else { absent.len().min(ASKED_WHILE_OTHERS_ARE_HELD) };
        for _ in 0..count {
            // In any order: there may be more than can be asked at a time.
            let addr = absent.swap_remove(core.rng.random_range(0..absent.len()));
            if !stays_away {
                self.attempt(core, now, addr);
            }
        }
    }

    /// Begins the next round.
    pub(in crate::protocol) fn rejoin(&mut self, core: &mut Core, now: Instant) {
        if core.leaving {
            return;
        }
        if core.is_alone() {
            self.note_vain_round(core);
            self.rejoin.rounds = self.rejoin.rounds.saturating_add(1);
        } else {
            self.rejoin.rounds = 0;
            self.rejoin.has_told = false;
        }
        self.rejoin.asked = 0;
        self.rejoin.refusal = None;
        core.metrics.rejoins += 1;
        // This comes first: the members that are found should get the right address.
        core.tasks.push_back(Task::CheckAddress { newcomer: None });
        core.tasks.push_back(Task::Discover);
        let pause = self.rejoin_pause(core);
        let pause = pause / 2 + core.jitter(pause);
        core.timers.set(Timer::Rejoin, now + pause);
    }

    fn rejoin_pause(&self, core: &Core) -> Duration {
        let doublings = match self.rejoin.rounds {
            0 => ROUNDS_TO_FULL_PAUSE,
            rounds => (rounds - 1).min(ROUNDS_TO_FULL_PAUSE),
        };
        core.settings.rejoin_interval / 2_u32.pow(ROUNDS_TO_FULL_PAUSE - doublings)
    }

    /// If there was a round before this one, it was in vain. After some of them that is logged; and if a member answers
    /// only later with a refusal, that is logged then.
    fn note_vain_round(&mut self, core: &mut Core) {
        let Rejoin { rounds, asked, .. } = self.rejoin;
        if rounds == 0 {
            return;
        }
        core.metrics.rejoin_failures += 1;
        if rounds < VAIN_ROUNDS_TO_TELL {
            return;
        }
        match self.rejoin.refusal.take() {
            Some((by, error)) => {
                if !std::mem::replace(&mut self.rejoin.has_told, true) {
                    let text = || format!("alone: of {asked} addresses none lets us in; {by}: {error}");
                    core.note(log::Level::Warn, text);
                }
            }
            None if rounds > VAIN_ROUNDS_TO_TELL => {}
            // The first of its cluster, most likely.
            None if asked == 0 => {
                core.note(log::Level::Info, || "alone: no address of anybody else was found".to_owned());
            }
            None => core.note(log::Level::Warn, || format!("alone: of {asked} addresses none answers")),
        }
    }
}

/// A node is gone: if it was the last one, others are looked for soon, or at least the own address is watched.
pub(in crate::protocol) fn rejoin_if_alone(core: &mut Core, now: Instant) {
    if !core.is_alone() {
        return;
    }
    if core.settings.discovers {
        let pause = core.jitter(core.settings.rejoin_interval / 2_u32.pow(ROUNDS_TO_FULL_PAUSE));
        core.timers.set_earliest(Timer::Rejoin, now + pause);
    } else {
        core.timers.set_earliest(Timer::Address, now + core.settings.rejoin_interval);
    }
}
