//! Accusations: suspicions of others from their beginning to their end, and the defence of ourselves (SWIM,
//! section 4.2; Lifeguard, sections IV.B and IV.C).
//!
//! **Witnesses** (beyond Lifeguard). A new suspicion names five nodes, by a hash that everyone computes alike.
//! A witness that learns of it probes the suspect at once, and confirms or passes on the refutation: verdicts
//! do not wait for the rounds.

use std::net::SocketAddr;
use std::time::Duration;

use super::health::silence_limit;
use super::members::{INCARNATION_STEP_MAX, Merged};
use super::probe::Purpose;
use super::suspicion::{self, Suspicion};
use super::time::Instant;
use super::{Protocol, Rule, Timer, ring};
use crate::event::Event;
use crate::node::{Incarnation, Status};
use crate::wire::{NameHash, Verdict};

/// Nodes that check a new suspicion.
const WITNESSES: usize = 5;
/// A confirmation waits for others for this part of the shortest time that a suspect has, at each hop: it gets to all
/// before that time is over, and brings no verdict later.
const CONFIRMATION_WAITS: u32 = 20;

impl Protocol {
    /// Somebody holds something against us.
    pub(super) fn handle_accusation(&mut self, now: Instant, from: SocketAddr, verdict: &Verdict) {
        if verdict.generation != self.core.generation || self.core.leave.is_some() {
            return;
        }
        if verdict.incarnation.0 >= self.core.incarnation.0.saturating_add(INCARNATION_STEP_MAX) {
            self.core.metrics.implausible += 1;
            return;
        }
        let buried = verdict.status != Status::Suspect;
        if buried && self.accusers.len() < 16 && !self.accusers.contains(&from) {
            self.accusers.push(from);
        }
        if verdict.incarnation < self.core.incarnation {
            // Refuted already, and not heard of it there.
            if buried {
                self.burials.buried_before(now, verdict.incarnation);
                self.return_to_accusers(now);
            } else {
                self.push_rumor(now, self.core.me);
            }
            return;
        }
        self.accused = Some(self.accused.map_or(verdict.incarnation, |held| held.max(verdict.incarnation)));
        // No accuser, however often it comes, is to make us flood the cluster.
        let mut at = self.refuted.map_or(now, |last| last + self.core.settings.probe_timeout);
        match verdict.status {
            Status::Dead => at = at.max(self.burials.buried(now, verdict.incarnation)),
            // Nobody but ourselves can know that, and we do not: no reason to doubt ourselves and stay away.
            Status::Left => {}
            Status::Alive | Status::Suspect => {
                at = self.burials.back_at().map_or(at, |back_at| at.max(back_at));
            }
        }
        if at <= now {
            self.refute(now);
        } else {
            self.core.timers.set(Timer::Refute, at);
        }
    }

    /// Raises the own incarnation above all that was held against us, and tells it.
    pub(super) fn refute(&mut self, now: Instant) {
        let Some(accused) = self.accused.take().filter(|accused| *accused >= self.core.incarnation) else {
            return;
        };
        self.core.timers.cancel(Timer::Refute);
        self.refuted = Some(now);
        self.core.metrics.refutations += 1;
        self.core.incarnation = Incarnation(accused.0 + 1);
        self.health.accused(now, self.core.settings.probe_interval);
        let number = self.core.incarnation.0;
        self.core.note(log::Level::Debug, || format!("refuting with incarnation {number}"));
        self.publish_self(now);
        self.push_rumor(now, self.core.me);
        self.return_to_accusers(now);
    }

    /// Who holds us dead does not listen to our rumors: it is asked to let us in again.
    pub(super) fn return_to_accusers(&mut self, now: Instant) {
        for addr in std::mem::take(&mut self.accusers) {
            self.approach(now, addr);
        }
    }

    /// Takes an accusation of an active node: new, or a confirmation. `own`: the evidence is ours.
    pub(super) fn accuse(&mut self, now: Instant, verdict: &Verdict, own: bool) {
        let subject = verdict.subject;
        let before = self.core.members.active(subject).map(|entry| entry.status);
        if before.is_none() {
            return;
        }
        if own && self.core.leave.is_some() {
            return;
        }
        let timeout = self.core.settings.probe_timeout;
        if own
            && before == Some(Status::Alive)
            && self.damping.holds(now, subject, timeout)
            && self.core.follows(Rule::Damping)
        {
            return;
        }
        let accusers: Vec<NameHash> = verdict
            .accusers
            .as_slice()
            .iter()
            .copied()
            .filter(|accuser| *accuser != subject && self.core.members.active(*accuser).is_some())
            .filter(|accuser| own || *accuser != self.core.me)
            .collect();
        if accusers.is_empty() {
            return;
        }
        match self.core.members.merge_verdict(now, verdict) {
            Merged::Refused => self.core.metrics.implausible += 1,
            Merged::Older => {}
            Merged::Changed(_) => self.begin_suspicion(now, verdict, &accusers, own),
            Merged::Same => self.confirm_suspicion(now, subject, &accusers, own),
        }
    }

    /// A suspicion has lasted half its shortest time: users are told.
    pub(super) fn show_suspicion(&mut self, name: NameHash) {
        let Some(suspicion) = self.suspicions.get_mut(name) else {
            return;
        };
        suspicion.shown = true;
        if self.core.members.active(name).is_some_and(|entry| !entry.hidden) {
            self.core.members.show_suspicion(name);
            self.emit_about(name, Event::Suspected);
        }
    }

    /// A suspicion has lasted long enough: the node is dead, unless it is us who may be wrong.
    pub(super) fn bury(&mut self, now: Instant, name: NameHash) {
        let Some(suspicion) = self.suspicions.get(name) else {
            return;
        };
        let (generation, incarnation) = (suspicion.generation, suspicion.incarnation);
        let deadline = suspicion.deadline(self.core.members.ring().len(), self.shortest_suspicion());
        if deadline > now {
            self.core.timers.set(Timer::Suspicion(name), deadline);
            return;
        }
        let silent = self.ears.silence(now) > silence_limit(self.core.settings.probe_timeout);
        let another = self.core.members.ring().iter().any(|other| *other != self.core.me && *other != name);
        if silent && another && self.core.follows(Rule::Silence) {
            self.core.timers.set(Timer::Suspicion(name), now + self.core.settings.probe_timeout);
            return;
        }
        if suspicion.is_unconfirmed() && another && self.core.follows(Rule::Confirmed) {
            // Among so many one would have confirmed it: who accuses may have a bad link, as may its relay. The
            // probe confirms, or the node refutes; if neither comes, it is we who are not heard.
            let probe_timeout = self.core.settings.probe_timeout * (1 + u32::from(self.health.score()));
            self.core.timers.set(Timer::Suspicion(name), now + probe_timeout * 2);
            self.probe_node(now, Purpose::Witness, name);
            return;
        }
        let verdict = Verdict {
            subject: name,
            generation,
            incarnation,
            status: Status::Dead,
            accusers: crate::wire::Accusers::default(),
        };
        self.take_verdict(now, &verdict);
    }

    /// Ends the suspicion of a node, however it ended. Answers whether users had been told of it.
    pub(super) fn end_suspicion(&mut self, name: NameHash) -> bool {
        self.core.timers.cancel(Timer::Suspicion(name));
        self.core.timers.cancel(Timer::Show(name));
        self.suspicions.remove(name).is_some_and(|suspicion| suspicion.shown)
    }

    pub(super) fn begin_suspicion(
        &mut self,
        now: Instant,
        verdict: &Verdict,
        accusers: &[NameHash],
        own: bool,
    ) {
        let subject = verdict.subject;
        let was_shown = self.end_suspicion(subject);
        let (n, min) = (self.core.members.ring().len(), self.shortest_suspicion());
        let refutations =
            if self.core.follows(Rule::Patience) { self.damping.recent(now, subject) } else { 0 };
        let mut suspicion = Suspicion::new(now, verdict.generation, verdict.incarnation, refutations);
        suspicion.shown = was_shown;
        suspicion.own_evidence = u32::from(own);
        for accuser in accusers {
            suspicion.accuse(*accuser, n);
        }
        self.core.metrics.suspicions += 1;
        self.core.timers.set(Timer::Suspicion(subject), suspicion.deadline(n, min));
        if !was_shown {
            self.core.timers.set(Timer::Show(subject), suspicion.show_at(min));
        }
        self.suspicions.insert(subject, suspicion);
        self.push_rumor(now, subject);
        let active = self.core.members.ring();
        if !own
            && self.core.leave.is_none()
            && self.core.follows(Rule::Witnesses)
            && ring::is_witness(self.core.me, active, subject, verdict.incarnation, WITNESSES)
        {
            self.probe_node(now, Purpose::Witness, subject);
        }
    }

    pub(super) fn confirm_suspicion(
        &mut self,
        now: Instant,
        subject: NameHash,
        accusers: &[NameHash],
        own: bool,
    ) {
        let (n, min) = (self.core.members.ring().len(), self.shortest_suspicion());
        let Some(suspicion) = self.suspicions.get_mut(subject) else {
            return;
        };
        suspicion.own_evidence += u32::from(own);
        let mut grown = false;
        for accuser in accusers {
            grown |= suspicion.accuse(*accuser, n);
        }
        let deadline = suspicion.deadline(n, min);
        // A late confirmation can bring it before now: that is not to look as if we had slept.
        self.core.timers.set(Timer::Suspicion(subject), deadline.max(now));
        if grown {
            // The witnesses have all asked at the same time: after a moment what they say goes on as one.
            self.push_addition(now, now + min / CONFIRMATION_WAITS, subject);
        }
    }

    /// Gives all suspects time that they could not use.
    pub(super) fn give_time(&mut self, now: Instant, lost: Duration) {
        let (n, min) = (self.core.members.ring().len(), self.shortest_suspicion());
        for (name, suspicion) in self.suspicions.iter_mut() {
            suspicion.push_back(lost);
            self.core.timers.set(Timer::Suspicion(name), suspicion.deadline(n, min).max(now));
            if !suspicion.shown {
                self.core.timers.set(Timer::Show(name), suspicion.show_at(min).max(now));
            }
        }
    }

    /// The shortest time that a suspect has.
    fn shortest_suspicion(&self) -> Duration {
        suspicion::shortest(self.core.settings.probe_timeout)
    }

    /// Nobody was heard for so long that we are alone: the others are hidden, from us only.
    pub(super) fn check_isolation(&mut self, now: Instant) {
        if self.core.members.ring().len() < 2 {
            return;
        }
        let due = self.ears.last() + self.core.settings.isolation_timeout;
        if due > now {
            self.core.timers.set(Timer::Isolation, due);
            return;
        }
        let others: Vec<NameHash> =
            self.core.members.ring().iter().copied().filter(|name| *name != self.core.me).collect();
        let mut hidden = 0;
        for name in others {
            hidden += u32::from(self.hide(now, name));
        }
        if hidden > 0 {
            self.core.metrics.isolations += 1;
            let silence = self.ears.silence(now);
            self.core.note(log::Level::Warn, || {
                format!("nobody was heard for {silence:?}: {hidden} nodes are hidden")
            });
            self.seek_if_alone(now);
        }
        self.core.timers.set(Timer::Isolation, now + self.core.settings.isolation_timeout);
    }
}
