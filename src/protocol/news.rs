//! Taking news into the view: the merge rule decides, and what it has changed goes to the parts that it concerns.

use super::admission;
use super::broadcast::{self, NUMBER_CLAIMED_MAX, NUMBER_MAX};
use super::core::{Context, Core, Timer, is_plausible};
use super::detection::schedule_reconnect;
use super::membership::{Before, Evidence, INCARNATION_STEP_MAX, Merged};
use super::rules::Rule;
use super::state::VERSION_CLAIMED_MAX;
use super::sync::pull::Item;
use super::{Instant, Protocol};
use crate::event::Event;
use crate::node::{Generation, Incarnation, Status};
use crate::state::VERSION_MAX;
use crate::wire::body::LeftAt;
use crate::wire::{Accusers, Body, NameHash, Record, Verdict};

/// By which way a record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Gossiped by this member, or added to its ping or ack; whether it vouches for it.
    Rumor(NameHash, bool),
    /// From the node itself, by its address.
    Direct,
    /// From the node itself, in answer to us: no other node could have sent it.
    CallResult,
    /// From the node itself, which we let in. `proven`: it has shown that it receives at the address that we hold, or
    /// it is new.
    Admission { proven: bool },
    /// Sent by this partner when views were compared; whether it vouches for it.
    Sync(NameHash, bool),
}

impl Source {
    /// The member that has sent a record of this node.
    fn teller(self, subject: NameHash) -> NameHash {
        match self {
            Self::Rumor(teller, _) | Self::Sync(teller, _) => teller,
            Self::Direct | Self::CallResult | Self::Admission { .. } => subject,
        }
    }

    /// Whether this shows that the node is there. It does not while what is read may be from before an absence, except
    /// for a node that has just shown a cookie, because the cookie is younger than that.
    fn vouches(self, core: &Core) -> bool {
        let is_said = match self {
            Self::Rumor(_, vouched) | Self::Sync(_, vouched) => vouched && core.returning().is_none(),
            Self::Direct | Self::CallResult => core.returning().is_none(),
            Self::Admission { .. } => true,
        };
        is_said || !core.follows(Rule::Vouching)
    }
}

impl Protocol {
    /// Takes what a node says about itself.
    pub(super) fn take_record(&mut self, now: Instant, record: &Record<'_>, source: Source) -> Merged {
        let core = &mut self.core;
        if !core.takes(record) {
            core.metrics.not_allowed += 1;
            return Merged::Refused;
        }
        let name = NameHash::of(core.tag, record.name);
        let known_run = core.members.get(name).is_some_and(|entry| entry.generation() == record.generation);
        let is_possible = record.broadcast <= NUMBER_MAX && record.state_version <= VERSION_MAX;
        let (teller, at_once) = (source.teller(name), matches!(source, Source::Sync(..)));
        if !is_possible || !(known_run || teller == name || is_plausible(record.generation)) {
            core.metrics.implausible += 1;
            return Merged::Refused;
        }
        if name == core.me {
            self.take_own_name(now, record);
            if record.generation == self.core.generation {
                self.claim_broadcast(now, record.broadcast);
            }
            self.state_reported(now, name, record.generation, record.state_version, teller, false);
            return Merged::Same;
        }
        let vouched = source.vouches(core);
        if !vouched && core.members.brings_in(name, record) {
            self.follow_hint(now, record.addr);
            return Merged::Refused;
        }
        let is_joining = self.is_joining();
        let core = &mut self.core;
        let is_new = core.members.active(name).is_none() && core.members.brings_in(name, record);
        if is_new && core.make_room(now) {
            schedule_reconnect(core, now);
        }
        let mut started = Record { broadcast: broadcast::first_number(core, record, is_joining), ..*record };
        if let Some(entry) = core.members.get(name).filter(|_| known_run && !core.follows(Rule::Order)) {
            started.incarnation = Incarnation(entry.incarnation().0 + 1);
        }
        let merged = match source {
            Source::CallResult | Source::Admission { proven: true } => {
                core.members.merge_proven(now, name, &started)
            }
            Source::Rumor(..) | Source::Direct | Source::Admission { proven: false } | Source::Sync(..) => {
                core.members.merge_alive(now, name, &started)
            }
        };
        if merged == Merged::Changed(None) && matches!(source, Source::Rumor(..)) {
            core.addresses.came(now, record.addr);
        }
        match merged {
            Merged::Changed(_) | Merged::Same if vouched => {
                core.members.vouch(name);
            }
            Merged::Changed(Some(before))
                if before.generation != record.generation || before.addr != record.addr =>
            {
                core.members.withdraw(name);
            }
            _ => {}
        }
        if matches!(merged, Merged::Changed(_)) && !core.can_reach(record.addr) {
            core.warn_of_unreachable(record.name, record.addr);
        }
        match merged {
            Merged::Refused => core.metrics.implausible += 1,
            Merged::Changed(before) => self.record_changed(now, name, before, source),
            Merged::Same if matches!(source, Source::Sync(..) | Source::Admission { .. }) => {
                core.unhide(now, name);
            }
            Merged::Same | Merged::Older => {}
        }
        self.state_reported(now, name, record.generation, record.state_version, teller, at_once);
        let jumps = at_once && self.is_joining();
        if self.broadcasts.reported(&mut self.core, now, name, record, jumps) {
            let item = Item::Broadcasts(name);
            self.pulls.lacks(now, item, record.generation, record.broadcast, teller, at_once);
        }
        merged
    }

    /// Takes the incarnation that a node sends in a ping or ack from its own address.
    pub(super) fn take_incarnation(
        &mut self,
        now: Instant,
        name: NameHash,
        incarnation: Incarnation,
        source: Source,
    ) {
        let Some(entry) = self.core.members.active(name).filter(|entry| incarnation > entry.incarnation())
        else {
            return;
        };
        let node = entry.node().clone();
        let record = Record { name: node.name(), incarnation, ..entry.record() };
        self.take_record(now, &record, source);
    }

    /// Hears of an accusation, a death or a leave of another node.
    ///
    /// Beyond SWIM: the sender of a leave is asked whether it has sent it (see [`admission`]). A death is believed at
    /// once only if the suspicion before it was heard of too, and long enough ago that a refutation would be here. Else
    /// it is [verified](super::detection) first.
    pub(super) fn hear_verdict(
        &mut self,
        context: &Context,
        back: &mut Vec<Body<'static>>,
        verdict: &Verdict,
    ) {
        if admission::is_doubtful(&self.core, context, verdict) {
            self.admission.doubt(&mut self.core, context, back, verdict.subject);
            return;
        }
        let suspicion = self.core.suspicions.get(verdict.subject);
        let is_surprise = self.core.members.active(verdict.subject).is_some()
            && suspicion.is_none_or(|suspicion| !suspicion.shown);
        if verdict.status == Status::Dead && is_surprise && self.core.follows(Rule::VerifyFirst) {
            self.detection.verify_first(&mut self.core, context.now, verdict, context.sender);
        } else {
            self.take_verdict(context.now, verdict, context.sender);
        }
    }

    /// Takes an accusation, a death or a leave of another node, from `teller`.
    pub(super) fn take_verdict(&mut self, now: Instant, verdict: &Verdict, teller: NameHash) {
        let core = &mut self.core;
        let LeftAt { state_version, broadcast } = verdict.left_at;
        if state_version > VERSION_MAX || broadcast > NUMBER_MAX {
            core.metrics.implausible += 1;
            return;
        }
        if verdict.status == Status::Suspect {
            self.detection.suspect(core, now, verdict, Evidence::Heard);
            return;
        }
        match core.members.merge_verdict(now, verdict) {
            Merged::Changed(Some(before)) => {
                self.node_gone(now, verdict.subject, &before);
                self.follow_leave(now, verdict, teller);
            }
            Merged::Refused if core.members.get(verdict.subject).is_some() => core.metrics.implausible += 1,
            _ => {}
        }
    }

    /// A node was said to have come this far with its state, by `teller`.
    pub(super) fn state_reported(
        &mut self,
        now: Instant,
        subject: NameHash,
        generation: Generation,
        version: u64,
        teller: NameHash,
        at_once: bool,
    ) {
        let entry = self.core.members.active(subject).filter(|entry| entry.generation() == generation);
        if entry.is_none_or(|entry| version <= entry.node().state_version()) {
            return;
        }
        if subject != self.core.me {
            self.pulls.lacks(now, Item::State(subject), generation, version, teller, at_once);
            self.complete_state(now, subject, teller);
        } else if version > VERSION_CLAIMED_MAX {
            self.claim_run(now, generation);
        } else if self.identity.claim_version(&mut self.core, now, version) {
            self.answer_claims(now);
        }
    }

    /// Another member knows a broadcast of ours with this number.
    pub(super) fn claim_broadcast(&mut self, now: Instant, number: u64) {
        if number > NUMBER_MAX {
            self.core.metrics.implausible += 1;
        } else if number > NUMBER_CLAIMED_MAX {
            self.claim_run(now, self.core.generation);
        } else if number > self.core.own_record().broadcast
            && self.identity.claim_broadcast(&mut self.core, now, number)
        {
            self.answer_claims(now);
        }
    }

    /// Another member holds something against us.
    pub(super) fn take_accusation(&mut self, now: Instant, from: std::net::SocketAddr, verdict: &Verdict) {
        let defence = self.identity.handle_accusation(&mut self.core, now, from, verdict);
        self.defend(now, defence);
    }

    /// A newer run of our name is known somewhere.
    pub(super) fn meet_rival(&mut self, now: Instant, addr: std::net::SocketAddr, run: Generation) {
        if self.identity.meet_rival(addr, run) {
            self.probe_rival(now);
        }
    }

    /// News about our own name.
    fn take_own_name(&mut self, now: Instant, record: &Record<'_>) {
        if record.generation == self.core.generation && record.incarnation > self.core.incarnation {
            // Only we raise it: this is forged, or an echo from before a fault.
            let verdict = Verdict {
                subject: self.core.me,
                generation: record.generation,
                incarnation: record.incarnation,
                status: Status::Suspect,
                accusers: Accusers::default(),
                left_at: LeftAt::default(),
            };
            self.take_accusation(now, record.addr, &verdict);
            if record.incarnation.0 == self.core.incarnation.0.saturating_add(INCARNATION_STEP_MAX) {
                // A member that has heard it believes it, and one that has not would not believe what refutes it.
                self.claim_run(now, self.core.generation);
            }
        }
        if record.generation > self.core.generation && record.addr != self.core.settings.advertise {
            self.meet_rival(now, record.addr, record.generation);
        } else if record.generation > self.core.generation {
            // An older run of ours, at our address, whose clock was ahead.
            self.claim_run(now, record.generation);
        }
    }

    fn claim_run(&mut self, now: Instant, run: Generation) {
        if self.identity.claim_run(&mut self.core, now, run) {
            self.answer_claims(now);
        }
    }

    /// Whether our view was never brought up to date, and is about to be.
    fn is_joining(&self) -> bool {
        !self.sync.has_synced() && (self.admission.is_joining() || self.sync.waiting() > 0)
    }

    /// A record was taken: ends what it refutes, reports it to users, and decides whether it is gossiped on.
    fn record_changed(&mut self, now: Instant, name: NameHash, before: Option<Before>, source: Source) {
        let core = &mut self.core;
        let Some(entry) = core.members.get(name) else {
            return;
        };
        let (addr, generation) = (entry.addr(), entry.generation());
        if entry.status == Status::Suspect {
            // The record completes the accused incarnation, and does not refute the accusation.
            if before.is_some_and(|before| before.addr != addr) {
                core.emit_about(name, Event::Moved);
            }
            return;
        }
        let same_run = before.as_ref().is_some_and(|before| before.generation == generation);
        let was_shown = core.end_suspicion(name).is_some_and(|suspicion| suspicion.shown);
        if same_run && before.as_ref().is_some_and(|before| before.status == Status::Suspect) {
            self.detection.refuted_by(now, name);
        }
        let was_out = before.as_ref().is_some_and(|before| !before.status.is_active() || before.hidden);
        if core.members.ring().len() == 2 && before.as_ref().is_none_or(|before| !before.status.is_active()) {
            self.detection.has_company(core, now);
        }
        match &before {
            None => core.emit_about(name, Event::Joined),
            Some(before) => {
                if !same_run {
                    core.emit_about(name, Event::Restarted);
                } else if was_out {
                    core.emit_about(name, Event::Joined);
                } else if was_shown {
                    core.emit_about(name, Event::Recovered);
                }
                if same_run && before.addr != addr {
                    core.emit_about(name, Event::Moved);
                }
            }
        }
        if was_out && same_run {
            self.dissemination.note_return(now, name);
        }
        core.timers.set_earliest(Timer::Isolation, now + core.settings.isolation_timeout);
        let goes_on = match source {
            Source::Sync(partner, _) => self.dissemination.goes_on(now, before.as_ref(), was_out, partner),
            _ => true,
        };
        if goes_on {
            core.push_rumor(now, name);
        }
    }

    /// A node has died or left.
    fn node_gone(&mut self, now: Instant, name: NameHash, before: &Before) {
        let core = &mut self.core;
        let suspicion = core.end_suspicion(name);
        let Some(status) = core.members.get(name).map(|entry| entry.status) else {
            return;
        };
        if status == Status::Left {
            if before.status != Status::Left {
                core.emit_about(name, Event::Left);
            }
        } else if before.status.is_active() && !before.hidden {
            if suspicion.as_ref().is_none_or(|suspicion| !suspicion.shown)
                && let Some(entry) = core.members.get(name)
            {
                let suspect = entry.node().with_status(Status::Suspect);
                core.events.push_back(Event::Suspected(suspect));
            }
            core.emit_death(name, suspicion.is_some_and(|suspicion| suspicion.is_proven()));
        }
        core.push_rumor(now, name);
        schedule_reconnect(core, now);
        admission::rejoin_if_alone(core, now);
        core.reap(now);
        if let Some(addr) = self.admission.take_waiting(now, name) {
            self.attempt_join(now, addr);
        }
    }
}
