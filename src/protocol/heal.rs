//! Healing: the dead and the seeds are asked again in the background, so that cuts heal by themselves.
//!
//! Beyond SWIM, where a node that was declared dead stays so until somebody starts it anew (Serf's reconnect is
//! the idea's ancestor). A ping to a dead node carries what is held against it. If it runs, it answers, refutes,
//! and asks to be let in again; two halves of a cluster then find all their differences by sync.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::members::Entry;
use super::probe::Purpose;
use super::time::Instant;
use super::{Chore, Protocol, Timer};
use crate::node::Status;
use crate::wire::NameHash;

/// Dead nodes that may be probed at the same time, to see whether they are back.
const HEALS_MAX: usize = 64;
/// A dead node is asked again at most this much later, however long it has been dead.
const HEAL_PAUSE_MAX: Duration = Duration::from_secs(600);

impl Protocol {
    /// The addresses of the configured seeds: says hello to those that are not in the view.
    pub(crate) fn seeds_resolved(&mut self, now: Instant, seeds: &[SocketAddr]) {
        let mut seeds: Vec<SocketAddr> = seeds
            .iter()
            .copied()
            .map(crate::wire::hash::canonical)
            .filter(|seed| !self.is_own(*seed))
            .collect();
        seeds.sort_unstable();
        seeds.dedup();
        self.seeds_held.retain(|seed, _| seeds.contains(seed));
        for seed in seeds {
            if !self.holds_seed(seed) {
                self.approach(now, seed);
            }
        }
    }

    /// Whether the view holds a node at the address of a seed. Asked again and again while all is well: the node that
    /// was there last is looked at first, and all of them only if it is not there any more.
    fn holds_seed(&mut self, seed: SocketAddr) -> bool {
        let is_there = |entry: &Entry| entry.is_visible() && entry.is_at(seed);
        let last = self.seeds_held.get(&seed).and_then(|name| self.members.get(*name));
        if last.is_some_and(is_there) {
            return true;
        }
        match self.members.iter().find(|(_, entry)| is_there(entry)) {
            Some((name, _)) => {
                self.seeds_held.insert(seed, name);
                true
            }
            None => false,
        }
    }

    /// Somebody has died: it is asked now and then whether it is back.
    pub(super) fn schedule_healing(&mut self, now: Instant) {
        let pause = self.settings.rejoin_interval / 2 + self.jitter(self.settings.rejoin_interval);
        self.timers.set_earliest(Timer::Heal, now + pause);
    }

    /// Asks some of the dead whether they are back, and the seeds whether they are there: cuts heal.
    ///
    /// Each dead node is asked by one member in the cluster and rejoin_interval on average, less often the
    /// longer it is dead.
    pub(super) fn heal(&mut self, now: Instant) {
        let active = self.members.ring().len().max(1);
        let dead: Vec<(NameHash, Duration)> = self
            .members
            .tombstones()
            .map(|(since, name)| (name, now.since(since)))
            .filter(|(name, _)| self.members.get(*name).is_some_and(|entry| entry.status == Status::Dead))
            .collect();
        let mut running = self.probes.iter().filter(|probe| probe.purpose == Purpose::Heal).count();
        for (name, age) in &dead {
            let pause = (*age / 4).min(HEAL_PAUSE_MAX).max(self.settings.rejoin_interval);
            let rarity = pause.as_millis() * active as u128;
            let drawn = self.rng.random_range(0..rarity.max(1)) < self.settings.rejoin_interval.as_millis();
            if drawn && running < HEALS_MAX && self.probe_node(now, Purpose::Heal, *name).is_some() {
                running += 1;
            }
        }
        let wants_seeds = self.settings.has_seeds && self.leave.is_none();
        if wants_seeds {
            self.chores.push_back(Chore::ResolveSeeds);
        }
        if wants_seeds || !dead.is_empty() {
            self.schedule_healing(now);
        }
    }
}
