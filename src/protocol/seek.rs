//! Looking for others: a member finds its cluster by itself, and islands of one cluster find each other.
//!
//! A seed may be down when a member starts, addresses change, and whoever was cut off for longer than tombstones
//! last is forgotten. So nobody ever stops looking: the driver is asked now and then for addresses at which members
//! may be ([`Chore::Discover`]), and those that are not in the view get a hello. What comes of that is the same as
//! for a join by call, save that nobody waits for it.
//!
//! | | pause between two rounds | addresses of one round |
//! |---|---|---|
//! | alone | 1/16 of `rejoin_interval`, doubled each time, up to all of it | all that there is room for |
//! | in company | `rejoin_interval` | 3, drawn from those that are not in the view |
//!
//! Each pause is drawn between half and three halves of that, so that hosts that start together do not go on asking
//! together. A member that finds itself alone again begins anew, within 1/16 of `rejoin_interval`: a cut may leave many
//! alone at once. Addresses are hints: whoever answers has to show that it is a
//! member of the cluster, and an address that never answers gets no more than any other (see [`super::join`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::contract::Bound;
use super::members::Entry;
use super::time::Instant;
use super::{Chore, Protocol, Timer};
use crate::error::Error;
use crate::wire::NameHash;
use crate::wire::address::canonical;

/// Addresses of which it is remembered who was there. One more, and it is found out anew.
const RESIDENTS_MAX: usize = 1_024;
/// Addresses that a member in company asks in one round. Every member looks, so a few are enough.
const ASKED_IN_COMPANY: usize = 3;
/// Rounds until the pauses of who is alone are as long as they get: two to the power of this is 16.
const ROUNDS_TO_FULL_PAUSE: u32 = 4;
/// So many rounds in vain are told to the operator: by then a whole `rejoin_interval` has gone by.
const VAIN_ROUNDS_TO_TELL: u32 = ROUNDS_TO_FULL_PAUSE + 1;

/// How far the search of a member that is alone has come.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Rounds that were begun.
    rounds: u32,
    /// Addresses that the last one has brought.
    asked: usize,
    /// Who has answered the last one, and why it does not let us in, as it says: anybody can have made that up.
    refusal: Option<(SocketAddr, Error)>,
    /// The operator has been told of a refusal.
    has_told: bool,
    /// Who was at the addresses that were found last, and mostly still is: so nobody has to go through the view, in
    /// which nothing is ordered by address, for the same seeds again and again.
    residents: BTreeMap<SocketAddr, NameHash>,
}

impl Search {
    /// Somebody who was asked says why it does not let us in.
    pub(super) fn refused(&mut self, by: SocketAddr, error: Error) {
        self.refusal = Some((by, error));
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "residents", count: self.residents.len(), max: RESIDENTS_MAX }
    }
}

impl Protocol {
    /// Addresses at which members may be: says hello to those that are not in the view.
    pub(crate) fn addresses_found(&mut self, now: Instant, found: &[SocketAddr]) {
        let mut absent: Vec<SocketAddr> = found.iter().copied().map(canonical).collect();
        absent.sort_unstable();
        absent.dedup();
        absent.retain(|addr| !self.is_in_view(*addr) && !self.is_own(*addr));
        self.search.asked = self.search.asked.max(absent.len());
        let count = if self.is_alone() { absent.len() } else { absent.len().min(ASKED_IN_COMPANY) };
        for _ in 0..count {
            // In any order: there may be more than can be asked at a time.
            let addr = absent.swap_remove(self.rng.random_range(0..absent.len()));
            self.approach(now, addr);
        }
    }

    /// Begins the next round.
    pub(super) fn seek(&mut self, now: Instant) {
        if self.leave.is_some() {
            return;
        }
        if self.is_alone() {
            self.note_vain_round();
            self.search.rounds = self.search.rounds.saturating_add(1);
        } else {
            self.search.rounds = 0;
            self.search.has_told = false;
        }
        self.search.asked = 0;
        self.search.refusal = None;
        self.metrics.seeks += 1;
        // First: those who are found are to be told the right address.
        self.chores.push_back(Chore::CheckAddress);
        self.chores.push_back(Chore::Discover);
        let pause = self.seek_pause();
        let pause = pause / 2 + self.jitter(pause);
        self.timers.set(Timer::Seek, now + pause);
    }

    /// Somebody is gone: if that was the last one, others are looked for soon, or at least the own address is watched.
    pub(super) fn seek_if_alone(&mut self, now: Instant) {
        if !self.is_alone() {
            return;
        }
        if self.settings.discovers {
            let pause = self.jitter(self.settings.rejoin_interval / 2_u32.pow(ROUNDS_TO_FULL_PAUSE));
            self.timers.set_earliest(Timer::Seek, now + pause);
        } else {
            self.timers.set_earliest(Timer::Address, now + self.settings.rejoin_interval);
        }
    }

    fn seek_pause(&self) -> Duration {
        let doublings = match self.search.rounds {
            0 => ROUNDS_TO_FULL_PAUSE,
            rounds => (rounds - 1).min(ROUNDS_TO_FULL_PAUSE),
        };
        self.settings.rejoin_interval / 2_u32.pow(ROUNDS_TO_FULL_PAUSE - doublings)
    }

    /// If there was a round before this one, it was in vain. After some of them the operator is told, and if somebody
    /// answers only later, why that is of no use.
    fn note_vain_round(&mut self) {
        let Search { rounds, asked, .. } = self.search;
        if rounds == 0 {
            return;
        }
        self.metrics.seeks_in_vain += 1;
        if rounds < VAIN_ROUNDS_TO_TELL {
            return;
        }
        match self.search.refusal.take() {
            Some((by, error)) => {
                if !std::mem::replace(&mut self.search.has_told, true) {
                    let text = || format!("alone: of {asked} addresses none lets us in; {by}: {error}");
                    self.note(log::Level::Warn, text);
                }
            }
            None if rounds > VAIN_ROUNDS_TO_TELL => {}
            // The first of its cluster, most likely.
            None if asked == 0 => {
                self.note(log::Level::Info, || "alone: no address of anybody else was found".to_owned());
            }
            None => self.note(log::Level::Warn, || format!("alone: of {asked} addresses none answers")),
        }
    }

    /// Whether somebody in the view is at an address.
    fn is_in_view(&mut self, addr: SocketAddr) -> bool {
        let is_there = |entry: &Entry| entry.is_visible() && entry.is_at(addr);
        let residents = &mut self.search.residents;
        if residents.get(&addr).is_some_and(|name| self.members.get(*name).is_some_and(is_there)) {
            return true;
        }
        residents.remove(&addr);
        let resident = self.members.iter().find(|(_, entry)| is_there(entry));
        if let Some((name, _)) = resident {
            if residents.len() >= RESIDENTS_MAX {
                residents.clear();
            }
            residents.insert(addr, name);
        }
        resident.is_some()
    }

    pub(super) fn is_alone(&self) -> bool {
        self.members.visible_len() < 2
    }
}
