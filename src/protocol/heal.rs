//! Healing: the dead are asked again in the background, so that cuts heal by themselves.
//!
//! Beyond SWIM, where a node that was declared dead stays so until somebody starts it anew (Serf's reconnect is
//! the idea's ancestor). A ping to a dead node carries what is held against it. If it runs, it answers, refutes,
//! and asks to be let in again; two halves of a cluster then find all their differences by sync.

use std::time::Duration;

use rand::RngExt;

use super::probe::Purpose;
use super::time::Instant;
use super::{Protocol, Timer};
use crate::node::Status;
use crate::wire::NameHash;

/// Dead nodes that may be probed at the same time, to see whether they are back.
const HEALS_MAX: usize = 64;
/// A dead node is asked again at most this much later, however long it has been dead.
const HEAL_PAUSE_MAX: Duration = Duration::from_secs(600);

impl Protocol {
    /// Somebody has died: it is asked now and then whether it is back.
    pub(super) fn schedule_healing(&mut self, now: Instant) {
        let pause =
            self.core.settings.rejoin_interval / 2 + self.core.jitter(self.core.settings.rejoin_interval);
        self.core.timers.set_earliest(Timer::Heal, now + pause);
    }

    /// Asks some of the dead whether they are back: cuts heal.
    ///
    /// Each dead node is asked by one member in the cluster and rejoin_interval on average, less often the
    /// longer it is dead; but some dead node is asked in each rejoin_interval, so that a small half that was away for
    /// long comes back as soon as another one.
    pub(super) fn heal(&mut self, now: Instant) {
        let active = self.core.members.ring().len().max(1);
        let dead: Vec<(NameHash, Duration)> = self
            .core
            .members
            .tombstones()
            .map(|(since, name)| (name, now.since(since)))
            .filter(|(name, _)| {
                self.core.members.get(*name).is_some_and(|entry| entry.status == Status::Dead)
            })
            .collect();
        let mut running = self.probes.iter().filter(|probe| probe.purpose == Purpose::Heal).count();
        let turn = self.core.settings.rejoin_interval * u32::try_from(dead.len()).unwrap_or(u32::MAX);
        for (name, age) in &dead {
            let pause = (*age / 4).min(HEAL_PAUSE_MAX).min(turn).max(self.core.settings.rejoin_interval);
            let rarity = pause.as_millis() * active as u128;
            let drawn =
                self.core.rng.random_range(0..rarity.max(1)) < self.core.settings.rejoin_interval.as_millis();
            if drawn && running < HEALS_MAX && self.probe_node(now, Purpose::Heal, *name).is_some() {
                running += 1;
            }
        }
        if !dead.is_empty() {
            self.schedule_healing(now);
        }
    }
}
