//! Verifying reported deaths: if another member reports that a node is dead or has left, the node is probed before that
//! is believed, so that one sick view cannot spread.
//!
//! Beyond SWIM, which believes what it hears.

use super::{Detection, Probe, Purpose, target_of};
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::core::{Core, Timer};
use crate::protocol::time::Instant;
use crate::wire::body::LeftAt;
use crate::wire::{NameHash, Verdict};

/// Maximum number of reported deaths that wait for their probe.
pub(super) const REPORTED_MAX: usize = 1_024;
/// Maximum number of them that are verified at the same time.
const VERIFIED_AT_ONCE: usize = 26;

/// A node that we hold active and another member does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReportedDeath {
    name: NameHash,
    generation: Generation,
    incarnation: Incarnation,
    /// Dead, or left.
    status: Status,
    left_at: LeftAt,
    by: NameHash,
}

impl Detection {
    /// Another member reports that a node is dead or has left, and nothing of that was heard here. The reporter may be
    /// wrong, so the node is probed first. False if there is nothing to verify.
    pub(in crate::protocol) fn verify_first(
        &mut self,
        core: &mut Core,
        now: Instant,
        verdict: &Verdict,
        by: NameHash,
    ) -> bool {
        let Some(entry) = core.members.active(verdict.subject) else {
            return false;
        };
        let (generation, incarnation) = (entry.generation(), entry.incarnation());
        if verdict.status == Status::Suspect
            || (verdict.generation, verdict.incarnation) < (generation, incarnation)
        {
            return false;
        }
        // There, a newer run that we never heard of is gone: then the run that we hold should be gone for longer.
        let same_run = verdict.generation == generation;
        let incarnation = if same_run { verdict.incarnation } else { incarnation };
        let is_verified = |probe: &Probe| {
            matches!(probe.purpose, Purpose::Reported { .. }) && probe.target.name == verdict.subject
        };
        let waits = self.reported.iter().any(|reported| reported.name == verdict.subject);
        if self.reported.len() < REPORTED_MAX && !waits && !self.probes.iter().any(is_verified) {
            let (name, status) = (verdict.subject, verdict.status);
            let left_at = if same_run { verdict.left_at } else { LeftAt::default() };
            self.reported.push_back(ReportedDeath { name, generation, incarnation, status, left_at, by });
            core.timers.set_earliest(Timer::Verify, now);
        }
        true
    }

    /// Probes nodes whose death was reported, a bounded number at a time.
    pub(in crate::protocol) fn verify_reported(&mut self, core: &mut Core, now: Instant) {
        let is_reported = |purpose: Purpose| matches!(purpose, Purpose::Reported { .. });
        let mut running = self.probes.iter().filter(|probe| is_reported(probe.purpose)).count();
        while running < VERIFIED_AT_ONCE {
            let Some(reported) = self.reported.pop_front() else {
                return;
            };
            let Some(mut target) = target_of(core, reported.name) else {
                continue;
            };
            let still = core.members.active(reported.name).is_some()
                && target.generation == reported.generation
                && target.incarnation <= reported.incarnation;
            if still {
                target.incarnation = reported.incarnation;
                let ReportedDeath { by, status, left_at, .. } = reported;
                let purpose = Purpose::Reported { by, status, left_at };
                if self.probe(core, now, purpose, target).is_none() {
                    self.reported.push_front(reported);
                    break;
                }
                running += 1;
            }
        }
        core.timers.set(Timer::Verify, now + core.settings.probe_timeout / 2);
    }
}
