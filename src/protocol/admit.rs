//! Admission: both sides of joining, and the way back of somebody who is not known (see [`super::join`]).

use std::net::SocketAddr;

use super::join::{JOINS_MAX, Join};
use super::members::{Entry, Merged};
use super::probe::Purpose;
use super::spread::Source;
use super::sync::Peer;
use super::time::Instant;
use super::{Answer, Call, Context, Protocol, Timer};
use crate::error::{Error, Result};
use crate::node::{Generation, Status};
use crate::wire::body::{Hello, RejectReason, Welcome};
use crate::wire::{Body, Cookie, NameHash, Packet, Record, Seq};

/// What is logged when nobody but ourselves was named.
const ALONE: &str = "no seed but this member itself: alone";
/// The closing sync comes this many gossip intervals after a join, or after a sync that changed something.
const CLOSING_PAUSE: u32 = 10;

impl Protocol {
    /// Joins through the members at these addresses, all at once. Answered with [`Answer::Joined`].
    pub(crate) fn join(&mut self, now: Instant, seeds: &[SocketAddr]) -> Call {
        let call = self.fresh_call();
        let mut others: Vec<SocketAddr> =
            seeds.iter().copied().map(crate::wire::address::canonical).collect();
        others.retain(|seed| !self.is_own(*seed));
        others.sort_unstable();
        others.dedup();
        if others.is_empty() {
            if !seeds.is_empty() {
                self.note(log::Level::Info, || ALONE.to_owned());
            }
            self.answers.push_back((call, Answer::Joined(Ok(()))));
            return call;
        }
        let deadline = now + self.settings.join_timeout;
        let has_room = self.joins.len() < JOINS_MAX;
        let mut seeds = Vec::with_capacity(others.len());
        for seed in others {
            let seq = self.fresh_seq();
            let is_asked = has_room
                && self.settings.allow.takes_address(seed.ip())
                && self.begin_approach(now, seq, seed, Some(call));
            seeds.push((seed, (!is_asked).then_some(Error::Refused)));
        }
        self.joins.insert(call, Join { seeds, deadline });
        self.timers.set(Timer::Join(call), deadline);
        self.retry_approaches(now);
        self.check_join(now, call);
        call
    }

    /// Measures the round trip to an active node. Answered with [`Answer::Pinged`].
    pub(crate) fn ping(&mut self, now: Instant, name: &str) -> Result<Call> {
        let hash = NameHash::of(self.tag, name);
        let unknown = || Error::UnknownNode(name.to_owned());
        if hash == self.me || self.members.active(hash).is_none() {
            return Err(unknown());
        }
        let call = self.fresh_call();
        self.probe_node(now, Purpose::User(call), hash).ok_or(Error::Refused)?;
        Ok(call)
    }

    /// Tries to become known to the member at an address, unless that is under way.
    pub(super) fn approach(&mut self, now: Instant, addr: SocketAddr) {
        if self.leave.is_some() || self.burials.waits(now) {
            return;
        }
        if !self.settings.allow.takes_address(addr.ip()) {
            self.metrics.not_allowed += 1;
            return;
        }
        let seq = self.fresh_seq();
        if self.begin_approach(now, seq, addr, None) {
            self.retry_approaches(now);
        }
    }

    fn begin_approach(&mut self, now: Instant, seq: Seq, addr: SocketAddr, call: Option<Call>) -> bool {
        let is_dead_there = |entry: &Entry| entry.addr() == addr && entry.status == Status::Dead;
        let mut tombstones = self.members.tombstones().map(|(_, name)| name);
        let dead = tombstones.find(|name| self.members.get(*name).is_some_and(is_dead_there));
        self.approaches.begin(now, seq, addr, call, dead)
    }

    /// Sends the hellos that are due.
    pub(super) fn retry_approaches(&mut self, now: Instant) {
        loop {
            let jitter = self.jitter(self.settings.gossip_interval);
            let Some(seq) = self.approaches.pop_due(now, jitter) else {
                return;
            };
            if let Some((call, addr, reason)) = self.approaches.end_refused(seq) {
                self.seed_failed(now, call, addr, reason.into());
                continue;
            }
            let Some((addr, cookie, dead)) =
                self.approaches.get(seq).map(|approach| (approach.addr, approach.cookie, approach.dead))
            else {
                continue;
            };
            let mut datagram = self.datagram_to(Generation(0));
            if !datagram.push(&Body::Hello(Hello { seq, cookie, record: self.own_record() })) {
                continue;
            }
            // Whoever we hold dead at that address is told so, and can refute it.
            let verdict = dead.and_then(|name| self.held_against(name));
            if let Some(verdict) = verdict.filter(|verdict| verdict.status == Status::Dead) {
                // Without room it is told later.
                let _ = datagram.push(&Body::Verdict(verdict));
            }
            self.transmit(now, addr, datagram);
        }
    }

    /// Somebody asks to be let in.
    pub(super) fn handle_hello(&mut self, context: &mut Context, hello: &Hello<'_>) {
        let (now, from) = (context.now, context.from);
        let (sender, run, record) = (context.sender, context.generation, &hello.record);
        if NameHash::of(self.tag, record.name) != sender || record.generation != run {
            self.metrics.malformed += 1;
            return;
        }
        let is_proven = match self.held_elsewhere(from, sender, record) {
            Some(addr) => self.has_cookie_from(context, hello, addr),
            None => self.has_cookie(context, hello.seq, hello.cookie),
        };
        if !is_proven {
            return;
        }
        let reason = match self.admission(now, from, sender, record) {
            Admission::Yes => {
                self.admit(context, hello);
                return;
            }
            Admission::Wait => return,
            Admission::No(reason) => reason,
        };
        self.metrics.joins_refused += 1;
        self.note(log::Level::Debug, || format!("{} at {from} is refused: {reason:?}", record.name));
        self.reply(now, from, run, &Body::Reject { seq: hello.seq, reason });
    }

    /// Where we hold the run that says hello, and it says that it is, if the hello is from another address.
    fn held_elsewhere(&self, from: SocketAddr, sender: NameHash, record: &Record<'_>) -> Option<SocketAddr> {
        let held = self.members.get(sender).filter(|entry| entry.generation() == record.generation)?;
        (held.addr() == record.addr && !held.is_at(from)).then_some(record.addr)
    }

    /// Whether a run that sends from one address receives at the other one where we hold it: else anybody could speak
    /// for it. The cookie goes there, has to come back from here, and is no other cookie.
    fn has_cookie_from(&mut self, context: &mut Context, hello: &Hello<'_>, addr: SocketAddr) -> bool {
        let (now, from, run) = (context.now, context.from, context.generation);
        let name = NameHash(!context.sender.0);
        if self.cookies.accepts(now, hello.cookie, from, name, run) {
            self.note_proof(context);
            return true;
        }
        if !std::mem::replace(&mut context.replied, true) {
            let cookie = self.cookies.bake(now, from, name, run);
            let mut datagram = self.datagram_back(context);
            if datagram.push(&Body::Challenge { seq: hello.seq, cookie }) {
                self.transmit(now, addr, datagram);
            }
        }
        false
    }

    pub(super) fn handle_challenge(&mut self, context: &mut Context, seq: Seq, cookie: Cookie) {
        let (now, from) = (context.now, context.from);
        if let Some(approach) = self.approaches.answered(seq, from) {
            context.answered = true;
            self.addresses.heard(context.from);
            if approach.challenged(cookie) {
                self.approaches.hurry(now, seq);
                self.retry_approaches(now);
            }
        } else if self.exchanges.answered(seq, from).is_some() {
            context.answered = true;
            self.addresses.heard(context.from);
            if let Some((id, request)) = self.exchanges.challenged(now, seq, cookie) {
                self.send_request(now, id, seq, &request);
            }
        } else if let Some(request) = self.fetches.answered(seq, from) {
            let peer = request.peer.name;
            context.answered = true;
            self.addresses.heard(context.from);
            if self.given.get(peer) != Some(cookie) {
                self.given.remember(peer, cookie);
                self.send_fetch(now, seq);
            }
        } else if !self.leave_challenged(context, seq, cookie) {
            self.metrics.unexpected_answers += 1;
        }
    }

    /// We are in, as far as this member is concerned: now its view.
    pub(super) fn handle_welcome(&mut self, context: &mut Context, welcome: &Welcome) {
        let (now, from) = (context.now, context.from);
        if self.approaches.answered(welcome.seq, from).is_none() {
            self.metrics.unexpected_answers += 1;
            return;
        }
        context.answered = true;
        self.addresses.heard(context.from);
        let Some(approach) = self.approaches.end(welcome.seq) else {
            return;
        };
        self.given.remember(context.sender, approach.cookie);
        let peer = Peer { name: context.sender, addr: from, generation: context.generation };
        // Of several seeds that let us in the first one is enough; the others have told of us.
        if approach.call.is_some_and(|call| self.fills.values().flatten().any(|(of, _)| *of == call)) {
            return;
        }
        let alike = welcome.view.fingerprint == self.members.fingerprint();
        let begun = if alike {
            None
        } else if self.members.visible_len() * 2 < welcome.count as usize {
            self.begin_fill(now, peer, approach.cookie, approach.call.is_some())
        } else {
            self.begin_comparison(now, peer, approach.cookie, approach.call.is_some())
        };
        let Some(call) = approach.call else {
            return;
        };
        let running = begun.or_else(|| self.exchanges.with(context.sender));
        match running {
            _ if alike => self.joined(now, call, from, context.sender),
            Some(id) => self.fills.entry(id).or_default().push((call, from)),
            None => self.seed_failed(now, call, from, Error::Refused),
        }
    }

    /// Who has let us in is not on our own lists: we do not join through it.
    pub(super) fn turn_away(&mut self, now: Instant, host: NameHash) {
        let Some(id) = self.exchanges.with(host) else {
            return;
        };
        self.exchanges.end(id);
        for (call, addr) in self.fills.remove(&id).unwrap_or_default() {
            self.seed_failed(now, call, addr, Error::Refused);
            self.ask_other_seeds(now, call);
        }
    }

    pub(super) fn handle_reject(&mut self, context: &mut Context, seq: Seq, reason: RejectReason) {
        let (now, from) = (context.now, context.from);
        let Some(call) = self.approaches.answered(seq, from).map(|approach| approach.call) else {
            self.metrics.unexpected_answers += 1;
            return;
        };
        context.answered = true;
        self.addresses.heard(context.from);
        let error = match reason {
            RejectReason::Stale { known, addr } => {
                if addr == self.settings.advertise || self.members.ring().len() < 2 {
                    // An earlier run of ours, as far as we can know: come again above it.
                    self.renew(now, known);
                    if self.generation > known {
                        self.approaches.hurry(now, seq);
                        self.retry_approaches(now);
                        return;
                    }
                    // There is none above it.
                    Error::ClockAhead
                } else {
                    self.meet_rival(now, addr, known);
                    return;
                }
            }
            RejectReason::NameTaken { addr } => Error::NameTaken { name: self.settings.name.clone(), addr },
            RejectReason::ClockAhead => Error::ClockAhead,
            RejectReason::Full => Error::Full,
            RejectReason::NotAllowed => Error::Refused,
        };
        self.approaches.end(seq);
        match call {
            Some(call) => self.seed_failed(now, call, from, error),
            None => {
                self.note(log::Level::Debug, || format!("{from} does not let us in: {error}"));
                self.search.refused(from, error);
            }
        }
    }

    /// A datagram of our own has come back: one of the seeds is ourselves.
    pub(super) fn met_ourselves(&mut self, now: Instant, packet: &Packet<'_>) {
        let Some(Body::Hello(hello)) = packet.bodies().next() else {
            return;
        };
        let Some(approach) = self.approaches.end(hello.seq) else {
            return;
        };
        if let Some(call) = approach.call
            && let Some(join) = self.joins.get_mut(&call)
        {
            join.seeds.retain(|(addr, _)| *addr != approach.addr);
            if join.seeds.is_empty() {
                self.note(log::Level::Info, || ALONE.to_owned());
                self.end_join(call);
                self.answers.push_back((call, Answer::Joined(Ok(()))));
            } else {
                self.check_join(now, call);
            }
        }
    }

    /// One seed did not let us in.
    pub(super) fn seed_failed(&mut self, now: Instant, call: Call, addr: SocketAddr, error: Error) {
        if let Some(join) = self.joins.get_mut(&call) {
            join.fail(addr, error);
            self.check_join(now, call);
        }
    }

    /// The seed that let us in first does not answer any more: the others are asked again.
    pub(super) fn ask_other_seeds(&mut self, now: Instant, call: Call) {
        let Some(join) = self.joins.get(&call) else {
            return;
        };
        let open = join.seeds.iter().filter(|(_, error)| error.is_none());
        let open: Vec<SocketAddr> = open.map(|(addr, _)| *addr).collect();
        for addr in open {
            let seq = self.fresh_seq();
            self.begin_approach(now, seq, addr, Some(call));
        }
        self.retry_approaches(now);
    }

    /// A join has come through: we are in sync with one of the seeds.
    pub(super) fn joined(&mut self, now: Instant, call: Call, addr: SocketAddr, with: NameHash) {
        if self.joins.remove(&call).is_none() {
            return;
        }
        self.has_synced = true;
        self.timers.cancel(Timer::Join(call));
        self.approaches.release(call);
        let count = self.members.visible_len();
        self.note(log::Level::Info, || format!("joined through {addr}: {count} nodes"));
        self.answers.push_back((call, Answer::Joined(Ok(()))));
        self.tell_state(now);
        self.compare_with_another(now, with);
    }

    /// We hold the records of a seed; if its states are here, too, or it does not give them, the joins are through.
    pub(super) fn settle_joins(&mut self, now: Instant, with: NameHash) {
        if self.settling.is_empty() || self.fetches.is_asking(with) {
            return;
        }
        for (call, addr, _) in self.settling.extract_if(.., |(_, _, seed)| *seed == with).collect::<Vec<_>>()
        {
            self.joined(now, call, addr, with);
        }
    }

    /// The closing sync: what was told while nobody knew us, or what the partner of a sync lacked as well.
    pub(super) fn compare_with_another(&mut self, now: Instant, with: NameHash) {
        let others: Vec<NameHash> =
            self.members.ring().iter().copied().filter(|name| *name != self.me && *name != with).collect();
        if let Some(other) = self.draw(&others) {
            self.recheck_with(now, other, now + self.settings.gossip_interval * CLOSING_PAUSE, 0);
        }
    }

    pub(super) fn join_is_over(&mut self, now: Instant, call: Call) {
        if let Some(place) = self.settling.iter().position(|(settling, _, _)| *settling == call) {
            // The states may take longer; we are in.
            let (call, addr, with) = self.settling.swap_remove(place);
            self.joined(now, call, addr, with);
            return;
        }
        if let Some(join) = self.joins.get_mut(&call) {
            debug_assert!(join.deadline <= now, "a join ends too early");
            let late: Vec<SocketAddr> =
                join.seeds.iter().filter(|(_, error)| error.is_none()).map(|(addr, _)| *addr).collect();
            for addr in late {
                join.fail(addr, self.approaches.refusal(call, addr).map_or(Error::NoAnswer, Error::from));
            }
            self.check_join(now, call);
        }
    }

    pub(super) fn is_own(&self, addr: SocketAddr) -> bool {
        let bound = self.settings.bound;
        addr == self.settings.advertise
            || addr == bound
            || (addr.port() == bound.port() && bound.ip().is_unspecified() && addr.ip().is_loopback())
    }

    /// Whether somebody with a good cookie may come in.
    fn admission(
        &mut self,
        now: Instant,
        from: SocketAddr,
        name: NameHash,
        record: &Record<'_>,
    ) -> Admission {
        if !self.takes(record) {
            self.metrics.not_allowed += 1;
            return Admission::No(RejectReason::NotAllowed);
        }
        if !self.is_plausible(now, record.generation) {
            return Admission::No(RejectReason::ClockAhead);
        }
        if name == self.me {
            return Admission::No(RejectReason::NameTaken { addr: self.settings.advertise });
        }
        let held = self.members.get(name);
        let is_at_home = held.is_some_and(|entry| entry.is_at(from));
        let held = held.map(|entry| (entry.generation(), entry.addr(), entry.is_active()));
        let full = self.members.ring().len() >= self.settings.max_nodes;
        let admission = match held {
            None | Some((_, _, false)) if full => Admission::No(RejectReason::Full),
            None => Admission::Yes,
            Some((run, addr, _)) if run == record.generation && (is_at_home || addr == record.addr) => {
                Admission::Yes
            }
            Some((run, addr, _)) if run > record.generation => {
                Admission::No(RejectReason::Stale { known: run, addr })
            }
            Some((_, addr, _)) if is_at_home && addr == record.addr => Admission::Yes,
            // Another run, or the same one that has moved, as it says: does the one that we know still answer there?
            Some((run, addr, _)) => self.check_name(now, name, (run, addr)),
        };
        // A run that comes back is nobody new, and a name under another run after the other is.
        let is_new = held.is_none_or(|(run, _, _)| run != record.generation);
        if admission == Admission::Yes && is_new && !self.addresses.may_admit(now, from) {
            return Admission::No(RejectReason::Full);
        }
        admission
    }

    /// Lets somebody in who has proved its address.
    fn admit(&mut self, context: &mut Context, hello: &Hello<'_>) {
        let (now, from) = (context.now, context.from);
        let (sender, run, record) = (context.sender, context.generation, &hello.record);
        let proven = self.members.get(sender).is_none_or(|entry| entry.is_at(from));
        let merged = self.take_record(now, record, Source::Admission { proven });
        self.members.set_alias(sender, from);
        if merged == Merged::Refused {
            let full = Body::Reject { seq: hello.seq, reason: RejectReason::Full };
            self.reply(now, from, run, &full);
            return;
        }
        if merged != Merged::Same {
            self.probe_others_at(now, sender, record.addr);
        }
        context.known = self.members.is_known(sender, run, from);
        context.answered = true;
        self.addresses.heard(context.from);
        let mut datagram = self.datagram_to(run);
        let count = u32::try_from(self.members.visible_len()).unwrap_or(u32::MAX);
        let welcome = Welcome { seq: hello.seq, view: self.view_mark(now), count };
        let held = self.members.get(sender).filter(|entry| !entry.is_active());
        // It counts as dead or left here, at the number that it told: it has to raise that first.
        let verdict = held.map(|entry| Body::SyncVerdict(entry.verdict(sender)));
        let bodies = [Some(Body::Welcome(welcome)), Some(Body::SyncRecord(self.own_record())), verdict];
        for body in bodies.into_iter().flatten() {
            // All three are short against the smallest datagram.
            let _ = datagram.push(&body);
        }
        self.transmit(now, from, datagram);
        // A newcomer has shown where it is, and has still to show that it runs.
        if context.known && self.was_heard(sender) {
            self.hear(now, sender);
        }
    }

    /// Two names at one address: the older one may be gone.
    fn probe_others_at(&mut self, now: Instant, newcomer: NameHash, addr: SocketAddr) {
        let is_there = |(name, entry): &(NameHash, &Entry)| {
            *name != newcomer && *name != self.me && entry.is_active() && entry.addr() == addr
        };
        let others: Vec<NameHash> = self.members.iter().filter(is_there).map(|(name, _)| name).collect();
        for name in others {
            self.probe_node(now, Purpose::Witness, name);
        }
    }

    fn check_join(&mut self, now: Instant, call: Call) {
        let out_of_time = |join: &Join| join.deadline <= now;
        if self.joins.get(&call).is_some_and(|join| join.is_lost() || out_of_time(join))
            && let Some(join) = self.end_join(call)
        {
            self.answers.push_back((call, Answer::Joined(Err(join.into_errors()))));
        }
    }

    pub(super) fn end_join(&mut self, call: Call) -> Option<Join> {
        self.timers.cancel(Timer::Join(call));
        self.approaches.end_call(call);
        for joins in self.fills.values_mut() {
            joins.retain(|(of, _)| *of != call);
        }
        self.joins.remove(&call)
    }
}

/// Whether somebody may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Yes,
    /// Its name is being checked; it will ask again.
    Wait,
    No(RejectReason),
}
