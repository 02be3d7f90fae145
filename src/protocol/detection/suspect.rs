//! Suspicions of others from their beginning to their end, and isolation (SWIM, section 4.2; Lifeguard, sections IV.B and
//! IV.C).
//!
//! **Witnesses** (beyond Lifeguard). A new suspicion names five nodes, by a hash that every member computes alike. A
//! witness that learns of it probes the suspect at once, and confirms or passes on the refutation: verdicts do not wait
//! for the rounds.

use std::time::Duration;

use super::health::silence_limit;
use super::{Detection, Purpose};
use crate::event::Event;
use crate::node::Status;
use crate::protocol::core::{Core, Timer};
use crate::protocol::membership::{Evidence, Merged, Suspicion, ring, shortest};
use crate::protocol::rules::Rule;
use crate::protocol::time::Instant;
use crate::wire::body::LeftAt;
use crate::wire::{NameHash, Verdict};

/// Number of nodes that check a new suspicion.
const WITNESSES: usize = 5;
/// At each hop a confirmation waits for others for this part of the shortest time that a suspect has. So it reaches all
/// members before that time is over, and delays no verdict.
const CONFIRMATION_WAITS: u32 = 20;

impl Detection {
    /// Takes an accusation of an active node: new, or a confirmation.
    pub(in crate::protocol) fn suspect(
        &mut self,
        core: &mut Core,
        now: Instant,
        verdict: &Verdict,
        evidence: Evidence,
    ) {
        let own = evidence != Evidence::Heard;
        let subject = verdict.subject;
        let before = core.members.active(subject).map(|entry| entry.status);
        if before.is_none() {
            return;
        }
        if own && core.leaving {
            return;
        }
        if own && before == Some(Status::Alive) && self.holds(core, now, subject) {
            return;
        }
        let accusers: Vec<NameHash> = verdict
            .accusers
            .as_slice()
            .iter()
            .copied()
            .filter(|accuser| *accuser != subject && core.members.visible(*accuser).is_some())
            .filter(|accuser| own || *accuser != core.me)
            .collect();
        if accusers.is_empty() {
            return;
        }
        match core.members.merge_verdict(now, verdict) {
            Merged::Refused => core.metrics.implausible += 1,
            Merged::Older => {}
            Merged::Changed(_) => self.begin_suspicion(core, now, verdict, &accusers, evidence),
            Merged::Same => self.confirm_suspicion(core, now, subject, &accusers, evidence),
        }
    }

    /// Whether an own accusation of a node is held back: it has refuted the same before.
    pub(super) fn holds(&self, core: &Core, now: Instant, name: NameHash) -> bool {
        core.follows(Rule::Damping) && self.reachability.holds(now, name, core.settings.probe_timeout)
    }

    /// A suspicion has lasted half its shortest time: it is reported to users.
    pub(in crate::protocol) fn show_suspicion(core: &mut Core, name: NameHash) {
        let Some(suspicion) = core.suspicions.get_mut(name) else {
            return;
        };
        suspicion.shown = true;
        if core.members.visible(name).is_some() {
            core.members.show_suspicion(name);
            core.emit_about(name, Event::Suspected);
        }
    }

    /// A suspicion has lasted long enough. Returns the verdict that the node is dead, unless we may be wrong.
    pub(in crate::protocol) fn declare_dead(
        &mut self,
        core: &mut Core,
        now: Instant,
        name: NameHash,
    ) -> Option<Verdict> {
        let suspicion = core.suspicions.get(name)?;
        let (generation, incarnation) = (suspicion.generation, suspicion.incarnation);
        let deadline = suspicion.deadline(core.members.ring().len(), shortest(core.settings.probe_timeout));
        if deadline > now {
            core.timers.set(Timer::Suspicion(name), deadline);
            return None;
        }
        let silent = self.contact.silence(now) > silence_limit(core.settings.probe_timeout);
        let another = core.members.roster().len() > 2;
        if silent && another && core.follows(Rule::Silence) {
            core.timers.set(Timer::Suspicion(name), now + core.settings.probe_timeout);
            return None;
        }
        if suspicion.is_unconfirmed() && another && core.follows(Rule::Confirmed) {
            // Among so many members another one would have confirmed it: the accuser may have a bad link, and so may
            // its relay. The probe confirms the suspicion, or the node refutes it. If neither happens, we are the ones
            // that are not heard.
            let probe_timeout = core.settings.probe_timeout * (1 + u32::from(self.health.score()));
            core.timers.set(Timer::Suspicion(name), now + probe_timeout * 2);
            self.probe_node(core, now, Purpose::Witness, name);
            return None;
        }
        Some(Verdict {
            subject: name,
            generation,
            incarnation,
            status: Status::Dead,
            accusers: crate::wire::Accusers::default(),
            left_at: LeftAt::default(),
        })
    }

    fn begin_suspicion(
        &mut self,
        core: &mut Core,
        now: Instant,
        verdict: &Verdict,
        accusers: &[NameHash],
        evidence: Evidence,
    ) {
        let subject = verdict.subject;
        let was_shown = core.end_suspicion(subject).is_some_and(|suspicion| suspicion.shown);
        let (n, min) = (core.members.ring().len(), shortest(core.settings.probe_timeout));
        let refutations =
            if core.follows(Rule::Patience) { self.reachability.refutations(now, subject) } else { 0 };
        let mut suspicion = Suspicion::new(now, verdict.generation, verdict.incarnation, refutations);
        suspicion.shown = was_shown;
        suspicion.note(evidence);
        for accuser in accusers {
            suspicion.accuse(*accuser, n);
        }
        core.metrics.suspicions += 1;
        core.timers.set(Timer::Suspicion(subject), suspicion.deadline(n, min));
        if !was_shown {
            core.timers.set(Timer::Show(subject), suspicion.show_at(min));
        }
        core.suspicions.insert(subject, suspicion);
        core.push_rumor(now, subject);
        let active = core.members.ring();
        if evidence == Evidence::Heard
            && !core.leaving
            && core.follows(Rule::Witnesses)
            && ring::is_witness(core.me, active, subject, verdict.incarnation, WITNESSES)
        {
            self.probe_node(core, now, Purpose::Witness, subject);
        }
    }

    fn confirm_suspicion(
        &self,
        core: &mut Core,
        now: Instant,
        subject: NameHash,
        accusers: &[NameHash],
        evidence: Evidence,
    ) {
        let (n, min) = (core.members.ring().len(), shortest(core.settings.probe_timeout));
        let Some(suspicion) = core.suspicions.get_mut(subject) else {
            return;
        };
        suspicion.note(evidence);
        let mut grown = false;
        // An accusation without proof makes no verdict come earlier.
        for accuser in accusers.iter().filter(|_| evidence != Evidence::Unproven) {
            grown |= suspicion.accuse(*accuser, n);
        }
        let deadline = suspicion.deadline(n, min);
        // A late confirmation can move the deadline before now. That must not look as if we had slept.
        core.timers.set(Timer::Suspicion(subject), deadline.max(now));
        if grown {
            // The witnesses have all probed at the same time: after a moment their confirmations are passed on as one.
            core.push_addition(now, now + min / CONFIRMATION_WAITS, subject);
        }
    }

    /// Gives all suspects time that they could not use.
    pub(super) fn give_time(&self, core: &mut Core, now: Instant, lost: Duration) {
        let (n, min) = (core.members.ring().len(), shortest(core.settings.probe_timeout));
        for (name, suspicion) in core.suspicions.iter_mut() {
            suspicion.push_back(lost);
            core.timers.set(Timer::Suspicion(name), suspicion.deadline(n, min).max(now));
            if !suspicion.shown {
                core.timers.set(Timer::Show(name), suspicion.show_at(min).max(now));
            }
        }
    }

    /// No request of ours was answered for so long that we are alone, even if others are still heard. The others are
    /// hidden, from us only. Returns whether any was.
    pub(in crate::protocol) fn check_isolation(core: &mut Core, now: Instant) -> bool {
        if core.is_alone() || core.leaving {
            return false;
        }
        let due = core.last_answer + core.settings.isolation_timeout;
        if due > now {
            core.timers.set(Timer::Isolation, due);
            return false;
        }
        let others: Vec<NameHash> = core.others().collect();
        // From the end of the ring, which is the shorter way to take them out of it.
        for name in others.iter().rev() {
            core.hide(now, *name);
        }
        core.metrics.isolations += 1;
        core.was_away(now);
        let (silence, hidden) = (now.since(core.last_answer), others.len());
        core.note(log::Level::Warn, || {
            format!("nobody has answered for {silence:?}: {hidden} nodes are hidden")
        });
        true
    }
}
