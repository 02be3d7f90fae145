//! From a datagram to the parts that its bodies concern.

use std::net::SocketAddr;

use super::admission::Decision;
use super::api::Task;
use super::broadcast::{Broadcasts, Taken};
use super::core::requests::RequestKind;
use super::core::{Context, Core, MISFITS_MAX};
use super::detection::{Answered, Purpose};
use super::membership::{Entry, Merged, Peer};
use super::news::Source;
use super::routing::held;
use super::sync::pull::{Item, Pulled};
use super::{Instant, Protocol, admission, state, sync};
use crate::error::Error;
use crate::node::{Incarnation, Status};
use crate::wire::address::canonical;
use crate::wire::body::{Ack, Broadcast, Cuts, Delta, Fetch, Hello, Ping, RejectReason, Vouch, Welcome};
use crate::wire::lists::Lack;
use crate::wire::version::ending;
use crate::wire::{Body, Cookie, Frame, NameHash, Packet, Record, Seq, Verdict};

/// What is to be done when all of a datagram is read.
#[derive(Debug, Default)]
struct Reading {
    sync: sync::Reading,
    /// The request for states and broadcasts that it answers.
    pull: Option<Pulled>,
    /// The answer to a hello of ours, until the record of its sender is read.
    welcome: Option<Welcome>,
    /// What goes back together: doubts about leaves, and what is vouched for.
    back: Vec<Body<'static>>,
    /// Whether its sender does not know us: it is asked to let us in, when all that it holds against us is read.
    is_stranger: bool,
}

impl Protocol {
    /// `received` is when the transport returned the datagram.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        received: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        self.core.metrics.datagrams_received += 1;
        self.core.metrics.bytes_received += datagram.len() as u64;
        if self.core.ended {
            return;
        }
        let from = canonical(from);
        if !self.core.settings.allow.takes_address(from.ip()) {
            // No answer to it, not even one that shows that a member is here.
            self.core.metrics.not_allowed += 1;
            return;
        }
        self.observe_lag(now, Some(received));
        match Frame::decode(datagram) {
            Err(why) => self.handle_unreadable(now, from, datagram, why),
            Ok(frame) if frame.header().tag != self.core.tag => {
                self.admission.handle_foreign(&mut self.core, now, from, &frame);
            }
            Ok(Frame::Sealed(head)) => self.handle_sealed(now, from, &head, datagram),
            Ok(Frame::Plain(packet)) if self.sealing.accepts_plain() => {
                self.handle_packet(now, from, &packet, None, datagram);
            }
            Ok(Frame::Plain(packet)) => self.refuse_plain(now, from, &packet),
        }
    }

    /// A datagram that can be read. `counter`: of its seal, if it had one; `datagram`: as it came.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &Packet<'_>,
        counter: Option<u64>,
        datagram: &[u8],
    ) {
        let header = *packet.header();
        if header.sender == self.core.me && header.generation == self.core.generation {
            self.core.came_back(now, from, datagram);
            self.admission.met_ourselves(&mut self.core, now, packet);
            return;
        }
        let is_for_us = header.receiver == self.core.generation;
        self.core.members.heard_from(now, header.sender, from);
        let held =
            self.core.members.get(header.sender).filter(|entry| entry.generation() == header.generation);
        let elsewhere = held.filter(|entry| counter.is_some() && is_for_us && !entry.is_at(from));
        let source = from;
        let from = elsewhere.map_or(source, Entry::addr);
        let mut context = Context {
            now,
            from,
            source,
            sender: header.sender,
            generation: header.generation,
            length: datagram.len(),
            ending: ending(datagram).unwrap_or_default(),
            is_for_us,
            counter,
            known: is_for_us && self.core.members.is_known(header.sender, header.generation, from),
            answered: false,
            proven: false,
            dropped: false,
            replied: false,
        };
        self.detection.observe_silence(&mut self.core, now, context.sender, context.known);
        if context.known {
            self.core.addresses.heard(source);
            self.core.addresses.is_of_another(source);
            self.core.members.came_from(header.sender, datagram.len());
            self.detection.hear(&mut self.core, now, header.sender);
        }
        let mut reading = Reading::default();
        let (mut of_unknown, mut leaves) = (Vec::new(), Vec::new());
        let events_before = self.core.events.len();
        for body in packet.bodies() {
            if is_leave_of_another(&self.core, &body) {
                leaves.push(body);
                continue;
            }
            if is_of_unknown_run(&self.core, &body) {
                of_unknown.push(body);
                continue;
            }
            self.handle_body(&mut context, &mut reading, &body);
            if self.core.ended {
                return;
            }
        }
        if let Some(pulled) = reading.pull.take() {
            self.end_pull(now, &pulled);
        }
        // Their records may stand behind them. A node that has left had said before what comes with that news.
        for body in of_unknown.into_iter().chain(leaves) {
            self.handle_body(&mut context, &mut reading, &body);
            if self.core.ended {
                return;
            }
        }
        self.core.merge_first_states(events_before);
        if reading.is_stranger {
            self.attempt_join(now, from);
        }
        if context.dropped {
            admission::answer_unknown_source(&mut self.core, &mut context);
        }
        admission::send_back(&mut self.core, &context, reading.back);
        sync::answer_offer(&mut self.core, &context, &mut reading.sync);
        self.sync.ask_unserved(&mut reading.sync);
        self.sealing.note_sender(&self.core, &context, header.receiver);
        if let Some(ended) = self.sync.go_on(&mut self.core, now, &reading.sync) {
            self.exchange_ended(now, ended);
        }
        self.messages.end_with_the_gone(&mut self.core, now);
        self.gossip(now);
    }

    fn handle_body(&mut self, context: &mut Context, reading: &mut Reading, body: &Body<'_>) {
        let core = &mut self.core;
        match body {
            Body::Ping(ping) => self.handle_ping(context, ping),
            Body::Ack(ack) => self.handle_ack(context, ack),
            Body::BareAck { seq } => self.handle_bare_ack(context, reading, *seq),
            Body::PingRequest(request) if context.known => {
                self.detection.handle_ping_request(core, context, request);
            }
            Body::RelayedAck { seq, incarnation } => self.handle_relayed_ack(context, *seq, *incarnation),
            Body::Nack { seq, reason } => {
                if self.detection.handle_nack(core, context, *seq, *reason) {
                    // One of us knows more of the target than the other.
                    self.sync.recheck_with(core, context.now, context.sender, context.now, 0);
                }
            }

            Body::Verdict(verdict) if verdict.subject == core.me => {
                // A peer that knows we are leaving must see our name as free.
                let own = core.own_leave();
                context.replied |= core.leaving && Verdict { left_at: own.left_at, ..*verdict } == own;
                if context.known || context.answered {
                    self.take_accusation(context.now, context.from, verdict);
                }
            }
            Body::Alive { record, vouched } if context.known => {
                self.take_record(context.now, record, Source::Rumor(context.sender, *vouched));
            }
            Body::Verdict(verdict) if context.known => self.hear_verdict(context, &mut reading.back, verdict),
            Body::Doubt { subject, cookie } if context.known => {
                admission::handle_doubt(core, &mut reading.back, *subject, *cookie);
            }
            Body::Vouch(vouch) if context.known => self.handle_vouch(context, reading, vouch),

            Body::Hello(hello) => self.handle_hello(context, hello),
            Body::Challenge { seq, cookie } => self.handle_challenge(context, *seq, *cookie),
            Body::Welcome(welcome) => {
                let is_answer = core.answered(context, welcome.seq, &[RequestKind::Hello]).is_some();
                reading.welcome = is_answer.then_some(*welcome);
            }
            Body::Reject { seq, reason } => self.handle_reject(context, *seq, *reason),
            Body::RejectHint { seq, reason } => self.handle_hint(context.from, *seq, *reason),
            Body::Leave { seq, cookie, incarnation, left_at } => {
                self.handle_leave(context, *seq, *cookie, (*incarnation, *left_at));
            }

            Body::BucketDigest(sums) => sync::handle_bucket_digest(core, context, sums),
            Body::Pull(pull) => sync::handle_pull(core, context, pull),
            Body::Offer(offer) => sync::handle_offer(core, context, &mut reading.sync, offer),
            Body::Digests(digests) => self.sync.handle_digests(core, context, &mut reading.sync, digests),
            Body::SyncDelta { seq, truncated } => {
                self.sync.handle_newer(core, context, &mut reading.sync, *seq, *truncated);
            }
            Body::Page(page) => self.sync.handle_page(core, context, &mut reading.sync, page),
            Body::SyncRecord { record, vouched } => {
                self.handle_sync_record(context, reading, record, *vouched);
            }
            Body::SyncVerdict(verdict) => self.handle_sync_verdict(context, reading, verdict),

            Body::Delta(delta) if context.known => self.handle_delta(context, delta),
            Body::Fetch(fetch) => self.handle_fetch(context, fetch),
            Body::Fetched { seq } => {
                if let Some(pulled) = self.pulls.handle_fetched(core, context, *seq) {
                    reading.pull = Some(pulled);
                }
            }
            Body::PulledDelta(_) | Body::Standing(_) | Body::Cuts(_) | Body::PulledBroadcast(_)
                if reading.pull.is_none() =>
            {
                core.metrics.unexpected_answers += 1;
            }
            Body::PulledDelta(delta) => self.states.handle_sync_delta(core, context, delta),
            Body::Standing(standing) => self.states.handle_standing(core, context, standing),
            Body::Cuts(cuts) => self.handle_cuts(context, cuts),
            Body::PulledBroadcast(broadcast) => {
                self.take_broadcast(context, broadcast, Broadcasts::take_pulled);
            }

            Body::Fragment(fragment) if context.known => {
                self.messages.handle_fragment(core, context, fragment);
            }
            Body::FragmentAck(ack) if context.known => self.messages.handle_fragment_ack(core, context, ack),
            Body::Broadcast(broadcast) if context.known => {
                self.take_broadcast(context, broadcast, Broadcasts::take_gossiped);
            }

            Body::PingRequest(_)
            | Body::Alive { .. }
            | Body::Verdict(_)
            | Body::Doubt { .. }
            | Body::Vouch(_)
            | Body::Delta(_)
            | Body::Fragment(_)
            | Body::FragmentAck(_)
            | Body::Broadcast(_) => {
                core.metrics.unknown_sender += 1;
                context.dropped = true;
            }
        }
    }

    fn handle_ping(&mut self, context: &mut Context, ping: &Ping) {
        if ping.target != self.core.me || context.replied {
            return;
        }
        context.replied = true;
        if !context.known {
            self.detection.answer_stranger(&mut self.core, context, ping);
            return;
        }
        self.detection.hear_round(ping.round);
        self.take_incarnation(context.now, context.sender, ping.incarnation, Source::Direct);
        self.detection.ack(&mut self.core, context, ping);
        if context.source != context.from {
            // The sender may have moved and not know it. A node that has copied the datagram learns only that we run.
            let mut back = self.core.datagram_back(context);
            if back.push(&Body::BareAck { seq: ping.seq }) {
                self.core.transmit_unchecked(context.source, back);
            }
        }
    }

    fn handle_ack(&mut self, context: &mut Context, ack: &Ack) {
        let now = context.now;
        let Some(answered) = self.detection.handle_ack(&mut self.core, context, ack) else {
            return;
        };
        if context.known {
            self.take_incarnation(now, context.sender, ack.incarnation, Source::CallResult);
            self.core.given.remember(context.sender, ack.cookie);
            // States whose news is not sent because of a limit come by no other way.
            let is_urgent = self.states.is_short(now);
            self.sync.compare(&mut self.core, now, context.sender, &ack.view, answered.asked, is_urgent);
        }
        self.probe_answered(now, ack.seq, &answered);
    }

    fn handle_bare_ack(&mut self, context: &mut Context, reading: &mut Reading, seq: Seq) {
        let kinds = [RequestKind::Ping, RequestKind::RelayedPing, RequestKind::Leave];
        let core = &mut self.core;
        let Some(reply) = core.answered_by_any_run(context, seq, &kinds) else {
            self.greet_again(context, seq);
            return;
        };
        if reply.kind == RequestKind::Leave {
            self.admission.leave_acked(core, context.now, seq);
            return;
        }
        let Some(answered) = self.detection.handle_bare_ack(core, context.now, seq, &reply) else {
            return;
        };
        if let Some(answered) = answered {
            self.probe_answered(context.now, seq, &answered);
        }
        // It does not know us, or it is another run, which we do not know.
        if context.sender != self.core.me {
            self.identity.doubt_address(&mut self.core, context.now);
            reading.is_stranger = true;
        }
    }

    /// A node that takes part does not know us at the address that we send from: says hello to it. False if that is not
    /// about one of our last datagrams.
    fn greet_again(&mut self, context: &Context, seq: Seq) -> bool {
        let held = self.core.members.active(context.sender).filter(|_| self.core.has_sent(seq));
        let addr = held.filter(|entry| entry.generation() == context.generation).map(Entry::addr);
        if let Some(addr) = addr {
            self.attempt_join(context.now, addr);
        }
        addr.is_some()
    }

    fn handle_relayed_ack(&mut self, context: &mut Context, seq: Seq, incarnation: Incarnation) {
        let core = &mut self.core;
        let Some((answered, knows_more)) = self.detection.handle_relayed_ack(core, context, seq, incarnation)
        else {
            return;
        };
        if knows_more {
            self.sync.recheck_with(core, context.now, context.sender, context.now, 0);
        }
        self.probe_answered(context.now, seq, &answered);
    }

    fn probe_answered(&mut self, now: Instant, seq: Seq, answered: &Answered) {
        let outcome = self.detection.answered(&mut self.core, now, seq, answered);
        self.probe_ended(now, outcome);
    }

    /// A peer says that a node has left.
    fn handle_vouch(&mut self, context: &mut Context, reading: &mut Reading, vouch: &Vouch) {
        let verdict = Verdict::left(vouch.subject, vouch.generation, vouch.incarnation, vouch.left_at);
        if verdict.subject == self.core.me {
            self.take_accusation(context.now, context.from, &verdict);
        } else if admission::is_vouched(&self.core, context, vouch) {
            self.take_verdict(context.now, &verdict, context.sender);
        } else {
            self.hear_verdict(context, &mut reading.back, &verdict);
        }
    }

    /// A newcomer asks to be let in.
    fn handle_hello(&mut self, context: &mut Context, hello: &Hello<'_>) {
        let core = &mut self.core;
        if core.is_alone() && context.source.ip() == hello.record.addr.ip() {
            // It may be the first to show in which network we are reached.
            core.tasks.push_back(Task::CheckAddress { newcomer: Some(hello.record.addr) });
        }
        if !self.admission.proves_address(core, context, hello) {
            return;
        }
        let (now, sender) = (context.now, context.sender);
        match self.admission.decide(core, now, context.from, sender, &hello.record) {
            Decision::Yes => self.admit(context, hello),
            Decision::Wait => {}
            Decision::Check(incumbent) => {
                if self.detection.probe_node(core, now, Purpose::Incumbent, sender).is_some() {
                    self.admission.name_check_begun(now, sender, incumbent, context.generation);
                }
            }
            Decision::No(reason) => admission::reject(core, context, hello, reason),
        }
    }

    /// Whether we would let in a member that lets us in, by the record that came beside its welcome.
    fn takes_host(&mut self, context: &Context, seq: Seq, record: &Record<'_>) -> bool {
        let (core, now, sender) = (&mut self.core, context.now, context.sender);
        let decision = self.admission.decide(core, now, context.from, sender, record);
        let error = match decision {
            // A member whose number is behind another run of its name learns that when views are compared.
            Decision::Yes | Decision::No(RejectReason::Stale { .. }) => {
                return self.admission.reaches_host(core, context, seq, record.addr);
            }
            // The hello is repeated.
            Decision::Wait => return false,
            Decision::Check(incumbent) => {
                if self.detection.probe_node(core, now, Purpose::Incumbent, sender).is_some() {
                    self.admission.name_check_begun(now, sender, incumbent, context.generation);
                }
                return false;
            }
            Decision::No(RejectReason::BadAddress) => Error::BadAddress { advertised: record.addr },
            Decision::No(RejectReason::Full) => Error::Full,
            Decision::No(_) => Error::Refused,
        };
        self.admission.rejected(core, context, seq, error);
        false
    }

    /// Lets a sender in that has proved its address.
    fn admit(&mut self, context: &mut Context, hello: &Hello<'_>) {
        let (now, from, sender) = (context.now, context.from, context.sender);
        let is_proven = |entry: &Entry| entry.is_at(from) || entry.addr() == hello.record.addr;
        let proven = self.core.members.get(sender).is_none_or(is_proven);
        let merged = self.take_record(now, &hello.record, Source::Admission { proven });
        if merged == Merged::Refused {
            let full = Body::Reject { seq: hello.seq, reason: RejectReason::Full };
            self.core.reply(now, from, context.run(), &full);
            return;
        }
        self.core.members.add_alias(now, sender, from);
        if merged != Merged::Same {
            self.probe_others_at(now, sender, hello.record.addr);
        }
        context.known = self.core.members.is_known(sender, context.generation, from);
        self.core.note_answer(context, from);
        admission::welcome(&mut self.core, context, hello.seq);
        // A newcomer has shown where it is, and has still to show that it runs.
        if context.known && self.core.members.was_heard(sender) {
            self.detection.hear(&mut self.core, now, sender);
        }
    }

    /// Two names at one address: the older one may be gone.
    fn probe_others_at(&mut self, now: Instant, newcomer: NameHash, addr: SocketAddr) {
        let core = &mut self.core;
        let is_there = |(name, entry): &(NameHash, &Entry)| {
            *name != newcomer && *name != core.me && entry.is_active() && entry.addr() == addr
        };
        let others: Vec<NameHash> = core.members.at(addr).filter(is_there).map(|(name, _)| name).collect();
        for name in others {
            self.detection.probe_node(core, now, Purpose::Witness, name);
        }
    }

    fn handle_challenge(&mut self, context: &mut Context, seq: Seq, cookie: Cookie) {
        let kinds = [RequestKind::Sync, RequestKind::Pull, RequestKind::Leave];
        let (core, now) = (&mut self.core, context.now);
        if self.admission.handle_challenge(core, context, seq, cookie) {
            return;
        }
        let Some(reply) = core.answered(context, seq, &kinds) else {
            return;
        };
        match reply.kind {
            RequestKind::Sync => self.sync.handle_challenge(core, now, reply.owner, seq, cookie),
            RequestKind::Leave => self.admission.leave_challenged(core, now, seq, cookie),
            _ => {
                if self.pulls.handle_challenge(core, seq, cookie) {
                    self.send_pull(now, seq);
                }
            }
        }
    }

    /// This member has let us in: its view is next.
    fn handle_welcome(&mut self, context: &Context, welcome: &Welcome) {
        let core = &mut self.core;
        let Some(welcomed) = self.admission.handle_welcome(core, context, welcome.seq) else {
            return;
        };
        let (now, from, sender) = (context.now, context.from, context.sender);
        let peer = Peer { name: sender, addr: from, generation: context.generation };
        let (cookie, urgent) = (welcomed.cookie, welcomed.call.is_some());
        let alike = welcome.view.fingerprint == core.members.fingerprint();
        if !alike {
            if core.members.ring().len() * 2 < welcome.count as usize {
                self.sync.begin_fill(core, now, peer, cookie, urgent);
            } else {
                self.sync.begin_comparison(core, now, peer, cookie, urgent);
            }
        }
        let Some(call) = welcomed.call else {
            return;
        };
        if alike {
            if self.admission.joined(core, call, welcomed.addr) {
                self.view_is_current(now, sender);
            }
        } else if self.sync.runs_with(sender) {
            self.admission.await_sync(call, welcomed.addr, sender);
        } else {
            self.admission.seed_failed(core, now, call, welcomed.addr, Error::Refused);
        }
    }

    fn handle_reject(&mut self, context: &mut Context, seq: Seq, reason: RejectReason) {
        if let RejectReason::Unreachable { seen } = reason
            && !self.admission.asks(seq)
        {
            if self.greet_again(context, seq) {
                self.core.seen = Some(seen);
            }
            return;
        }
        let stale = self.admission.handle_reject(&mut self.core, context, seq, reason);
        let is_about_address = matches!(reason, RejectReason::Unreachable { .. } | RejectReason::BadAddress);
        if is_about_address && context.answered {
            self.identity.doubt_address(&mut self.core, context.now);
        }
        let Some((known, addr)) = stale else {
            return;
        };
        if addr != self.core.settings.advertise && self.core.members.roster().len() >= 2 {
            self.meet_rival(context.now, addr, known);
            return;
        }
        // An earlier run of ours, as far as we can know: come again above it.
        self.renew(context.now, known);
        if self.core.generation > known {
            self.admission.hurry(&mut self.core, context.now, seq);
        } else {
            // There is none above it.
            self.admission.rejected(&mut self.core, context, seq, Error::ClockAhead);
        }
    }

    fn handle_sync_record(
        &mut self,
        context: &Context,
        reading: &mut Reading,
        record: &Record<'_>,
        vouched: bool,
    ) {
        let (now, sender) = (context.now, context.sender);
        let is_sync = reading.sync.is_sync();
        if !is_sync && !context.answered {
            self.core.metrics.unknown_sender += 1;
            return;
        }
        if let Some(welcome) = reading.welcome.take_if(|_| record.generation == context.generation)
            && NameHash::of(self.core.tag, record.name) == sender
        {
            if !self.takes_host(context, welcome.seq, record) {
                return;
            }
            self.handle_welcome(context, &welcome);
        }
        let behind = sync::is_behind(&self.core, record);
        let merged = self.take_record(now, record, Source::Sync(sender, vouched));
        if is_sync {
            let (is_older, is_changed) = (merged == Merged::Older, matches!(merged, Merged::Changed(_)));
            self.sync.record_read(&self.core, &mut reading.sync, record, is_older, behind || is_changed);
        }
    }

    /// A peer with which we compare views reports that a node is dead or has left.
    fn handle_sync_verdict(&mut self, context: &Context, reading: &Reading, verdict: &Verdict) {
        let now = context.now;
        if !context.answered {
            self.core.metrics.unknown_sender += 1;
        } else if verdict.subject == self.core.me {
            self.take_accusation(now, context.from, verdict);
        } else if self.detection.verify_first(&mut self.core, now, verdict, context.sender) {
            self.sync.verdict_read(&reading.sync);
        }
    }

    /// Hears of writes of another node.
    fn handle_delta(&mut self, context: &Context, delta: &Delta<'_>) {
        self.states.handle_delta(&mut self.core, context, delta);
        let Delta { subject, generation, version, .. } = *delta;
        self.state_reported(context.now, subject, generation, version, context.sender, false);
    }

    /// The writes of a state that had no room in an answer are to be had in these stretches.
    fn handle_cuts(&mut self, context: &Context, cuts: &Cuts<'_>) {
        let Cuts { subject, generation, mut from, steps } = *cuts;
        for to in steps.versions(from) {
            let item = Item::Stretch(subject, from, to);
            self.pulls.lacks(context.now, item, generation, to, context.sender, true);
            from = to;
        }
    }

    /// A peer lacks something that we may have.
    fn handle_fetch(&mut self, context: &mut Context, fetch: &Fetch<'_>) {
        let core = &mut self.core;
        if !core.has_cookie(context, fetch.seq, fetch.cookie) {
            return;
        }
        if !context.known {
            core.metrics.unknown_sender += 1;
            context.dropped = true;
            return;
        }
        let now = context.now;
        let mut datagram = core.datagram_to(context.run());
        if !datagram.push(&Body::Fetched { seq: fetch.seq }) {
            return;
        }
        let whole = datagram.room();
        // Most behind first (Scuttlebutt's depth order).
        let depth = |lack: &Lack| match *lack {
            Lack::State { subject, generation, from, .. }
            | Lack::Standing { subject, generation, from, .. } => {
                state::depth(core, subject, generation, from)
            }
            Lack::Broadcasts { origin, generation, after } => {
                self.broadcasts.depth(core, origin, generation, after)
            }
        };
        let mut lacks: Vec<(u64, Lack)> =
            fetch.lacks.iter().filter_map(|lack| Some((depth(&lack)?, lack))).collect();
        lacks.sort_unstable_by(|a, b| b.cmp(a));
        // One that does not fit is not in the way of those that do.
        let mut misfits = 0;
        for (_, lack) in lacks {
            let fits = match lack {
                Lack::State { subject, from, until, .. } => {
                    self.states.add_missing(core, now, &mut datagram, subject, (from, until), whole)
                }
                Lack::Standing { subject, from, until, .. } => {
                    self.states.add_standing(core, now, &mut datagram, subject, (from, until))
                }
                Lack::Broadcasts { origin, generation, after } => {
                    self.broadcasts.add_missing(&mut datagram, origin, generation, after)
                }
            };
            misfits += usize::from(!fits);
            if misfits == MISFITS_MAX {
                break;
            }
        }
        // A peer that has all of it now can ack our leave at once.
        if let Some(leave) = self.admission.leave_of(core, now, context.sender) {
            let _ = datagram.push(&leave);
        }
        core.transmit(now, context.from, datagram);
    }

    /// All of the answer to a request for states and broadcasts was read.
    fn end_pull(&mut self, now: Instant, pulled: &Pulled) {
        let states = &self.states;
        let held = |core: &Core, item| held(core, states, item, None).unwrap_or(0);
        let Some(closed) = self.pulls.close(&mut self.core, now, pulled, held) else {
            return;
        };
        for subject in closed.brought {
            self.complete_state(now, subject, closed.peer);
        }
        self.pull_missing(now);
        self.settle_joins(now, closed.peer);
    }

    /// A broadcast that goes round, or that we have asked for.
    fn take_broadcast(
        &mut self,
        context: &Context,
        broadcast: &Broadcast<'_>,
        take: fn(&mut Broadcasts, &mut Core, Instant, &Broadcast<'_>) -> Taken,
    ) {
        let Broadcast { origin, generation, number, .. } = *broadcast;
        if origin != self.core.me {
            if take(&mut self.broadcasts, &mut self.core, context.now, broadcast) == Taken::Early {
                let item = Item::Broadcasts(origin);
                self.pulls.lacks(context.now, item, generation, number, context.sender, false);
            }
        } else if generation == self.core.generation {
            self.claim_broadcast(context.now, number);
        }
    }
}

/// Whether a body is something that a run has said which is not known yet.
fn is_of_unknown_run(core: &Core, body: &Body<'_>) -> bool {
    let (subject, generation) = match body {
        Body::Delta(delta) => (delta.subject, delta.generation),
        Body::Broadcast(broadcast) => (broadcast.origin, broadcast.generation),
        _ => return false,
    };
    core.members.heeded(subject).is_none_or(|entry| entry.generation() != generation)
}

/// Whether a body says that another node leaves or has left.
fn is_leave_of_another(core: &Core, body: &Body<'_>) -> bool {
    match body {
        Body::Leave { .. } | Body::Vouch(_) => true,
        Body::Verdict(verdict) => verdict.status == Status::Left && verdict.subject != core.me,
        _ => false,
    }
}
