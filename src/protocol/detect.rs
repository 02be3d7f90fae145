//! The failure detector: what becomes of probes, accusations and silence (SWIM, sections 3 and 4; Lifeguard).
//!
//! **Common rounds** (beyond SWIM). Ping and ack carry a round number. At its tick a member takes a higher one
//! that it heard since its last tick, else its own plus one, and probes the node at the ring offset that the
//! number stands for. So each node has one prober a round, and chance leaves nobody unprobed for long.

use std::time::Duration;

use rand::RngExt;

use super::health::silence_limit;
use super::join::NameCheck;
use super::probe::{Errand, Probe, ProbeId, Purpose, ROUNDS_MAX, Step, Target, Way};
use super::spread::Source;
use super::time::Instant;
use super::{Answer, Context, Duty, Protocol, Rule};
use crate::error::Error;
use crate::node::{Incarnation, Status};
use crate::wire::body::{Ack, NackReason, Ping, PingRequest};
use crate::wire::{Body, NameHash, Seq, Verdict};

impl Protocol {
    /// The duty to probe: the round, and what running probes and errands have due.
    pub(super) fn detect(&mut self, now: Instant) {
        while let Some((id, step)) = self.probes.pop_due(now) {
            match step {
                Step::Ping => self.send_ping(now, id),
                Step::PingAndAskRelays => {
                    self.send_ping(now, id);
                    self.ask_relays(now, id);
                }
                Step::Verdict => self.probe_failed(now, id),
            }
        }
        while let Some(errand) = self.errands.pop_due(now, self.core.settings.probe_timeout) {
            let nack = Body::Nack { seq: errand.asker_seq, reason: NackReason::NoAnswer };
            self.core.reply(now, errand.asker, errand.asker_generation, &nack);
        }
        if now >= self.next_tick {
            // Probes may overlap, so bad health is no reason to probe less often.
            let interval = self.core.settings.probe_interval;
            self.next_tick = self.next_tick + interval;
            if self.next_tick <= now {
                self.next_tick = now + interval;
            }
            self.begin_round(now);
        }
    }

    /// Notices that we, and not the others, were away: a deadline or a datagram is handled far past its time.
    pub(super) fn observe_lag(&mut self, now: Instant, received: Option<Instant>) {
        let due = [Duty::Probe, Duty::Disseminate].into_iter().filter_map(|duty| self.poll_timeout(duty));
        // Rumors to be sent at once are due at the beginning of time: they tell nothing.
        let due = due.filter(|at| *at > self.core.started).chain(received).min();
        // What was late before the lag that was noticed last is part of that one.
        let due = due.map(|due| self.last_lag.map_or(due, |last| due.max(last)));
        let Some(lag) = due
            .map(|due| now.since(due))
            .filter(|lag| *lag > self.core.settings.probe_timeout / 2 && self.core.follows(Rule::Lag))
        else {
            return;
        };
        self.core.note(log::Level::Debug, || format!("we were away for {lag:?}"));
        self.core.metrics.lags += 1;
        self.last_lag = Some(now);
        let accusing =
            |probe: &Probe| matches!(probe.purpose, Purpose::Round | Purpose::Witness | Purpose::Told { .. });
        self.core.metrics.probes_void += self.probes.finish_all(accusing).len() as u64;
        self.probes.forget_times();
        self.give_time(now, lag);
        self.ears.push_back(now, lag);
        self.next_tick = self.next_tick.max(now);
    }

    /// A known sender was heard.
    pub(super) fn hear(&mut self, now: Instant, sender: NameHash) {
        self.notice_voice(sender);
        self.core.members.heard(now, sender);
        let silence = self.ears.heard(now, silence_limit(self.core.settings.probe_timeout));
        if let Some(silence) = silence.filter(|_| self.core.follows(Rule::Silence)) {
            self.give_time(now, silence);
        }
        self.unhide(now, sender);
    }

    pub(super) fn handle_ping(&mut self, context: &mut Context, ping: &Ping) {
        if ping.target != self.core.me || context.replied {
            return;
        }
        context.replied = true;
        let (now, from) = (context.now, context.from);
        if !context.known {
            self.answer_stranger(context, ping);
            return;
        }
        self.hear_round(ping.round);
        self.take_incarnation(now, context.sender, ping.incarnation, Source::Direct);
        let cookie = self.core.cookies.bake(now, from, context.sender, context.generation);
        let ack = Ack {
            seq: ping.seq,
            round: self.round,
            view: self.core.view_mark(now),
            incarnation: self.core.incarnation,
            cookie,
        };
        let mut datagram = self.core.datagram_to(context.generation);
        if datagram.push(&Body::Ack(ack)) {
            self.add_news(&mut datagram, context.sender);
            self.core.transmit(now, from, datagram);
        }
    }

    /// Who is not known learns no more than that we run, and what we hold against it.
    fn answer_stranger(&mut self, context: &Context, ping: &Ping) {
        let mut datagram = self.core.datagram_back(context);
        if !datagram.push(&Body::BareAck { seq: ping.seq }) {
            return;
        }
        if let Some(entry) = self.core.members.get(context.sender)
            && entry.generation() == context.generation
            && !entry.is_active()
        {
            // Refused only if there is no room, which there is.
            let _ = datagram.push(&Body::Verdict(entry.verdict(context.sender)));
        }
        self.core.answer(context.from, datagram);
    }

    pub(super) fn handle_ack(&mut self, context: &mut Context, ack: &Ack) {
        let (now, from) = (context.now, context.from);
        if let Some(errand) = self.errands.answered(ack.seq, from) {
            self.pass_on(now, &errand, ack.incarnation);
            return;
        }
        let Some(id) = self.direct_answer(context, ack.seq) else {
            self.core.metrics.unexpected_answers += 1;
            return;
        };
        context.answered = true;
        self.core.addresses.heard(context.from);
        self.hear_round(ack.round);
        if context.known {
            self.take_incarnation(now, context.sender, ack.incarnation, Source::Answer);
            self.core.given.remember(context.sender, ack.cookie);
            let asked = self.probes.get(id).map_or(0, |probe| probe.purpose.asked());
            self.compare(now, context.sender, &ack.view, ack.cookie, asked);
        }
        self.probe_answered(now, id, ack.seq);
    }

    pub(super) fn handle_bare_ack(&mut self, context: &mut Context, seq: Seq) {
        let (now, from) = (context.now, context.from);
        if self.leave_acked(context, seq) {
            return;
        }
        if let Some(errand) = self.errands.answered(seq, from) {
            self.pass_on(now, &errand, Incarnation(0));
            return;
        }
        let Some((id, Way::Direct)) = self.probes.answered(seq, from) else {
            self.core.metrics.unexpected_answers += 1;
            return;
        };
        let Some(target) = self.probes.get(id).map(|probe| probe.target) else {
            return;
        };
        if target.name != context.sender {
            self.core.metrics.unexpected_answers += 1;
            return;
        }
        context.answered = true;
        self.core.addresses.heard(context.from);
        if target.generation == context.generation {
            self.probe_answered(now, id, seq);
        }
        // It does not know us, or it is another run, which we do not know.
        if context.sender != self.core.me {
            self.doubt_address(now);
            context.is_stranger = true;
        }
    }

    pub(super) fn handle_ping_request(&mut self, context: &Context, request: &PingRequest) {
        let (now, asker) = (context.now, context.from);
        if request.target == self.core.me && request.generation == self.core.generation {
            let body = Body::RelayedAck { seq: request.seq, incarnation: self.core.incarnation };
            self.core.reply(now, asker, context.generation, &body);
            return;
        }
        let target =
            self.core.members.active(request.target).filter(|entry| entry.generation() == request.generation);
        let Some(target) = target.map(|entry| Target {
            name: request.target,
            addr: entry.addr(),
            generation: entry.generation(),
            incarnation: entry.incarnation(),
        }) else {
            let body = Body::Nack { seq: request.seq, reason: NackReason::Unknown };
            self.core.reply(now, asker, context.generation, &body);
            return;
        };
        let seq = self.core.fresh_seq();
        let errand = Errand {
            asker,
            asker_generation: context.generation,
            asker_seq: request.seq,
            target,
            nacked: false,
        };
        let nack_after = Duration::from_millis(u64::from(request.nack_after_ms));
        if self.errands.begin(seq, errand, now + nack_after.min(self.core.settings.probe_timeout * 16)) {
            self.write_ping(now, &target, seq, None);
        }
    }

    pub(super) fn handle_relayed_ack(&mut self, context: &mut Context, seq: Seq, incarnation: Incarnation) {
        let Some((id, Way::Relayed)) = self.probes.answered(seq, context.from) else {
            self.core.metrics.unexpected_answers += 1;
            return;
        };
        context.answered = true;
        self.core.addresses.heard(context.from);
        let now = context.now;
        let target = self.probes.get(id).map(|probe| probe.target);
        // Second-hand: the relay's view may know more of the target than ours.
        if target.is_some_and(|target| incarnation > target.incarnation) {
            self.recheck_with(now, context.sender, now, 0);
        }
        self.probe_answered(now, id, seq);
    }

    pub(super) fn handle_nack(&mut self, context: &mut Context, seq: Seq, reason: NackReason) {
        match self.probes.answered(seq, context.from) {
            Some((id, Way::Relayed)) => {
                context.answered = true;
                self.core.addresses.heard(context.from);
                self.probes.nacked(id, reason);
                if reason == NackReason::Unknown {
                    // One of us knows more of the target than the other.
                    self.recheck_with(context.now, context.sender, context.now, 0);
                }
            }
            _ => self.core.metrics.unexpected_answers += 1,
        }
    }

    /// Begins a probe and sends its first ping. `None` if too many run.
    pub(super) fn probe(&mut self, now: Instant, purpose: Purpose, target: Target) -> Option<ProbeId> {
        let rtt = self.core.members.get(target.name).and_then(|entry| entry.node().rtt());
        let timeout = self.core.settings.probe_timeout;
        let health = if self.core.follows(Rule::Health) { self.health.score() } else { 0 };
        let id = self.probes.begin(Probe::new(now, purpose, target, rtt, timeout, health))?;
        self.send_ping(now, id);
        Some(id)
    }

    /// A probe of an active node, as it is held now.
    pub(super) fn probe_node(&mut self, now: Instant, purpose: Purpose, name: NameHash) -> Option<ProbeId> {
        let target = self.target(name)?;
        self.probe(now, purpose, target)
    }

    /// A node as a target, as it is held now, whatever its status.
    pub(super) fn target(&self, name: NameHash) -> Option<Target> {
        self.core.members.get(name).map(|entry| Target {
            name,
            addr: entry.addr(),
            generation: entry.generation(),
            incarnation: entry.incarnation(),
        })
    }

    fn begin_round(&mut self, now: Instant) {
        self.round = match self.heard_round.take() {
            Some(heard) if is_later(heard, self.round) => heard,
            _ => self.round.wrapping_add(1),
        };
        let ring = self.core.members.ring();
        let n = ring.len();
        if n < 2 || self.core.leave.is_some() {
            return;
        }
        let own = ring.binary_search(&self.core.me).unwrap_or(0);
        let target = ring[(own + self.rounds.offset(self.round, n)) % n];
        self.probe_in_round(now, target);
        if let Some(another) = self.target_in_crowd(now, target) {
            self.probe_in_round(now, another);
        }
    }

    fn probe_in_round(&mut self, now: Instant, target: NameHash) {
        let running = || self.probes.iter().filter(|probe| probe.purpose == Purpose::Round);
        if target == self.core.me
            || running().any(|probe| probe.target.name == target)
            || running().count() >= ROUNDS_MAX
        {
            return;
        }
        if self.probe_node(now, Purpose::Round, target).is_some() {
            self.core.metrics.probes += 1;
        }
    }

    fn hear_round(&mut self, round: u32) {
        if self.heard_round.is_none_or(|heard| is_later(round, heard)) {
            self.heard_round = Some(round);
        }
    }

    fn send_ping(&mut self, now: Instant, id: ProbeId) {
        let Some(probe) = self.probes.get(id) else {
            return;
        };
        let (target, purpose) = (probe.target, probe.purpose);
        let told = if let Purpose::Told { by, .. } = purpose {
            let mut verdict = suspicion_of(&target);
            verdict.accusers.insert(by);
            Some(verdict)
        } else {
            None
        };
        let seq = self.core.fresh_seq();
        self.probes.pinged(now, id, seq);
        self.write_ping(now, &target, seq, told);
    }

    /// A ping, with what is held against its receiver before it, so that the ack can refute that (Lifeguard's
    /// buddy system), and news after it.
    fn write_ping(&mut self, now: Instant, target: &Target, seq: Seq, told: Option<Verdict>) {
        let ping = Ping {
            seq,
            target: target.name,
            round: self.round,
            view: self.core.view_mark(now),
            incarnation: self.core.incarnation,
        };
        let mut datagram = self.core.datagram_to(target.generation);
        if let Some(verdict) =
            told.or_else(|| self.held_against(target.name).filter(|_| self.core.follows(Rule::Buddy)))
        {
            // Refused only if there is no room, which there is.
            let _ = datagram.push(&Body::Verdict(verdict));
        }
        if datagram.push(&Body::Ping(ping)) {
            self.add_rumors(&mut datagram, target.name);
            self.core.transmit(now, target.addr, datagram);
        }
    }

    fn ask_relays(&mut self, now: Instant, id: ProbeId) {
        let Some((target, wanted)) = self.probes.get(id).map(|probe| (probe.target, probe.purpose.relays()))
        else {
            return;
        };
        let relays = self.choose_relays(target.name, wanted);
        self.probes.set_relay_exists(id, !relays.is_empty());
        for relay in relays {
            let Some(entry) = self.core.members.active(relay) else {
                continue;
            };
            let (addr, generation) = (entry.addr(), entry.generation());
            let rtt = entry.node().rtt().unwrap_or_default();
            let nack_after = self.probes.get(id).map(|probe| probe.nack_after(now, rtt)).unwrap_or_default();
            let seq = self.core.fresh_seq();
            self.probes.asked(id, addr, seq);
            let request = PingRequest {
                seq,
                target: target.name,
                generation: target.generation,
                nack_after_ms: u32::try_from(nack_after.as_millis()).unwrap_or(u32::MAX),
            };
            self.core.reply(now, addr, generation, &Body::PingRequest(request));
        }
    }

    /// The node that was heard last, which surely is there, and then any.
    fn choose_relays(&mut self, target: NameHash, wanted: usize) -> Vec<NameHash> {
        let last = self.core.members.heard_last_but(target).filter(|_| self.core.follows(Rule::LastHeard));
        let mut relays: Vec<NameHash> = last.into_iter().collect();
        while relays.len() < wanted {
            let Some(relay) = self.draw_active_but(target, &relays) else {
                break;
            };
            relays.push(relay);
        }
        relays
    }

    /// Any other active node that is none of these, without a look at all of them: probes may be many.
    fn draw_active_but(&mut self, target: NameHash, others: &[NameHash]) -> Option<NameHash> {
        let ring = self.core.members.ring();
        let not = [self.core.me, target].into_iter().chain(others.iter().copied());
        let mut places: Vec<usize> = not.filter_map(|name| ring.binary_search(&name).ok()).collect();
        places.sort_unstable();
        places.dedup();
        let left = ring.len() - places.len();
        if left == 0 {
            return None;
        }
        let drawn = self.core.rng.random_range(0..left);
        let place = places.into_iter().fold(drawn, |place, not| place + usize::from(not <= place));
        self.core.members.ring().get(place).copied()
    }

    /// The direct probe that an answer with this number is for, if it comes from the run that was asked.
    fn direct_answer(&self, context: &Context, seq: Seq) -> Option<ProbeId> {
        let (id, way) = self.probes.answered(seq, context.from)?;
        let target = self.probes.get(id)?.target;
        (way == Way::Direct && target.name == context.sender && target.generation == context.generation)
            .then_some(id)
    }

    fn pass_on(&mut self, now: Instant, errand: &Errand, incarnation: Incarnation) {
        let body = Body::RelayedAck { seq: errand.asker_seq, incarnation };
        self.core.reply(now, errand.asker, errand.asker_generation, &body);
    }

    /// A probe is answered, by the answer with this number.
    fn probe_answered(&mut self, now: Instant, id: ProbeId, seq: Seq) {
        let Some(probe) = self.probes.finish(id) else {
            return;
        };
        let target = probe.target;
        let rtt = probe.round_trip(now, seq);
        if let Some(rtt) = rtt {
            self.core.members.measured(target.name, rtt);
        }
        match probe.purpose {
            Purpose::Round => {
                self.core.metrics.probes_answered += 1;
                self.health.improve();
            }
            Purpose::User(call) => {
                self.core.answers.push_back((call, Answer::Pinged(rtt.ok_or(Error::NoAnswer))));
            }
            Purpose::Incumbent => {
                let taken = NameCheck::Taken(target.addr);
                self.name_checks.decide(now, target.name, (target.generation, target.addr), taken);
            }
            Purpose::Rival => self.yield_name(target.addr),
            Purpose::Witness | Purpose::Told { .. } | Purpose::Heal | Purpose::Compare { .. } => {}
        }
    }

    fn probe_failed(&mut self, now: Instant, id: ProbeId) {
        let Some(probe) = self.probes.finish(id) else {
            return;
        };
        let target = probe.target;
        match probe.purpose {
            Purpose::Round | Purpose::Witness => {
                self.notice_silence(now, target.name);
                self.judge(now, &probe, None);
            }
            Purpose::Told { by, .. } => self.judge(now, &probe, Some(by)),
            Purpose::User(call) => self.core.answers.push_back((call, Answer::Pinged(Err(Error::Timeout)))),
            Purpose::Incumbent => {
                let incumbent = (target.generation, target.addr);
                self.name_checks.decide(now, target.name, incumbent, NameCheck::Free);
            }
            Purpose::Rival => self.outlive_rival(now, target.generation),
            Purpose::Heal | Purpose::Compare { .. } => {}
        }
    }

    /// A probe that could accuse has failed. It does only with proof, and only the incarnation that it was
    /// about; `teller` has said before that the target is dead, or has left.
    fn judge(&mut self, now: Instant, probe: &Probe, teller: Option<NameHash>) {
        if !probe.proven && probe.relay_exists && self.core.follows(Rule::Proof) {
            self.core.metrics.probes_void += 1;
            self.health.worsen();
            return;
        }
        self.core.metrics.probes_failed += 1;
        if matches!(probe.purpose, Purpose::Told { status: Status::Left, .. }) {
            // Somebody has heard it say that it goes, and it does not answer: nobody has to suspect it.
            let Target { name, generation, incarnation, .. } = probe.target;
            self.take_verdict(now, &Verdict::left(name, generation, incarnation));
            return;
        }
        let mut verdict = suspicion_of(&probe.target);
        verdict.accusers.insert(self.core.me);
        if let Some(teller) = teller {
            verdict.accusers.insert(teller);
        }
        self.accuse(now, &verdict, true);
    }

    /// Takes the incarnation that a node tells in a ping or ack from its own address.
    fn take_incarnation(&mut self, now: Instant, name: NameHash, incarnation: Incarnation, source: Source) {
        let Some(entry) = self.core.members.active(name).filter(|entry| incarnation > entry.incarnation())
        else {
            return;
        };
        let node = entry.node().clone();
        let record = crate::wire::Record { name: node.name(), incarnation, ..entry.record() };
        self.take_record(now, &record, source);
    }
}

/// Whether a round comes after another one, as serial numbers do (RFC 1982).
fn is_later(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < u32::MAX / 2
}

/// An accusation of what a probe was about.
fn suspicion_of(target: &Target) -> Verdict {
    Verdict {
        subject: target.name,
        generation: target.generation,
        incarnation: target.incarnation,
        status: Status::Suspect,
        accusers: crate::wire::Accusers::default(),
    }
}
