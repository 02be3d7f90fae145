//! Void probes in a row: how a node is declared dead when nobody can prove its death.
//!
//! A probe that fails without proof is void, because we may be the ones that are not heard. That keeps healthy nodes
//! alive. It would also keep a dead node alive for good if its relays never answer, or do not know it. So the first
//! void probe of a run begins a series: the run is probed each quarter of `isolation_timeout`, with five relays. Any
//! answer or datagram of that run ends the series. The node is accused without proof when
//!
//! - the fifth probe in a row is void, and
//! - an `isolation_timeout`, less a probe interval, has passed since the first, and
//! - others have answered us since then: at least three probes, and three times as many as were void.
//!
//! Such an accusation gives the node the longest time that a suspicion can last. So a member declares a dead node dead
//! at the latest 2n rounds (until its first void probe, since the order of probing changes after each cycle of n),
//! `isolation_timeout`, six shortest suspicions and two probes after its death: 54 s and 2n rounds with the LAN profile. It takes longer while an accusation would be
//! [held back](super::reachability), since evidence that a node has refuted proves nothing; while this member has had an
//! outage of its own within the series; and while there are more than 64 series.
//!
//! Beyond SWIM and Lifeguard.

use std::collections::BTreeMap;
use std::time::Duration;

use super::health::silence_limit;
use super::{Detection, Probe, Purpose};
use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::core::Core;
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// Number of void probes in a row before a node is accused without proof.
pub(super) const VOIDS_MIN: u32 = 5;
/// Minimum number of other probes that were answered meanwhile …
const ANSWERED_MIN: u64 = 3;
/// … and minimum number of them for each one that was void.
const ANSWERED_FOR_A_VOID: u64 = 3;
/// Maximum number of series at the same time. A member that has more of them is badly off itself.
const SERIES_MAX: usize = 64;

/// What became of probes.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    answered: u64,
    void: u64,
}

/// Void probes of one run in a row.
#[derive(Debug)]
struct Series {
    generation: Generation,
    first: Instant,
    count: u32,
    /// How many of them are in the tally.
    counted: u64,
    /// When the run is probed again.
    next: Instant,
    /// The tally when the series began.
    before: Tally,
}

/// All running series, and what became of all probes.
#[derive(Debug, Default)]
pub(super) struct Voids {
    series: BTreeMap<NameHash, Series>,
    tally: Tally,
}

impl Voids {
    /// A run was heard, directly or by way of a relay, or is accused.
    pub(super) fn end(&mut self, name: NameHash) {
        self.series.remove(&name);
    }

    /// A probe was answered.
    pub(super) fn answered(&mut self) {
        self.tally.answered += 1;
    }

    /// Gives all series back the time for which we were asleep.
    pub(super) fn push_back(&mut self, lag: Duration) {
        for series in self.series.values_mut() {
            series.first = series.first + lag;
            series.next = series.next + lag;
        }
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "void probes in a row", count: self.series.len(), max: SERIES_MAX }
    }

    /// A probe was void. Returns whether it accuses all the same.
    fn void(&mut self, core: &Core, now: Instant, probe: &Probe) -> bool {
        let (name, generation) = (probe.target.name, probe.target.generation);
        let is_held = |name, generation| {
            core.members.active(name).is_some_and(|entry| entry.generation() == generation)
        };
        // A relay that did not know the target has heard us.
        let counts = u64::from(!probe.is_unknown);
        let before = self.tally;
        self.tally.void += counts;
        self.series.retain(|name, series| is_held(*name, series.generation));
        let has_room = self.series.len() < SERIES_MAX || self.series.contains_key(&name);
        if !has_room || !is_held(name, generation) {
            return false;
        }
        let timeout = core.settings.isolation_timeout;
        let series = self.series.entry(name).or_insert(Series {
            generation,
            first: now,
            count: 0,
            counted: 0,
            next: now + timeout / 4,
            before,
        });
        series.count += 1;
        series.counted += counts;
        series.count >= VOIDS_MIN
            && now.since(series.first) >= timeout.saturating_sub(core.settings.probe_interval)
            && series.others_answer(self.tally)
    }
}

impl Series {
    /// Whether others have answered since the series began, and hardly any did not. Else this member itself is badly
    /// off.
    fn others_answer(&self, tally: Tally) -> bool {
        let answered = tally.answered - self.before.answered;
        let void = tally.void - self.before.void - self.counted;
        answered >= (void * ANSWERED_FOR_A_VOID).max(ANSWERED_MIN)
    }
}

impl Detection {
    /// A probe that could accuse has failed without proof. Returns whether it accuses all the same.
    pub(super) fn accuses_without_proof(&mut self, core: &Core, now: Instant, probe: &Probe) -> bool {
        if matches!(probe.purpose, Purpose::Reported { .. }) {
            return false;
        }
        if self.holds(core, now, probe.target.name) {
            self.voids.end(probe.target.name);
            return false;
        }
        let accuses = self.voids.void(core, now, probe)
            && self.contact.silence(now) <= silence_limit(core.settings.probe_timeout);
        if accuses {
            self.voids.end(probe.target.name);
        }
        accuses
    }

    /// Probes again the nodes whose last probe was void, unless that could not lead to an accusation.
    pub(super) fn probe_void(&mut self, core: &mut Core, now: Instant) {
        if self.voids.series.is_empty()
            || now.since(core.last_answer) > silence_limit(core.settings.probe_timeout)
        {
            return;
        }
        let pause = core.settings.isolation_timeout / 4;
        let tally = self.voids.tally;
        let mut due = Vec::new();
        for (name, series) in self.voids.series.iter_mut().filter(|(_, series)| series.next <= now) {
            series.next = (series.next + pause).max(now);
            if series.others_answer(tally)
                && core.members.active(*name).is_some_and(|entry| entry.generation() == series.generation)
            {
                due.push(*name);
            }
        }
        for name in due {
            self.probe_node(core, now, Purpose::Void, name);
        }
    }
}
