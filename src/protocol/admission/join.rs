//! The joining side: calls of `join`, their attempts, and what is left to do until a join is through.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Admission;
use super::attempts::JoinAttempt;
use crate::error::Error;
use crate::node::{Generation, Status};
use crate::protocol::api::{Bound, CallResult, RequestId};
use crate::protocol::core::{Context, Core, Timer};
use crate::protocol::membership::Entry;
use crate::protocol::time::Instant;
use crate::wire::address::canonical;
use crate::wire::body::{Hello, RejectReason};
use crate::wire::{Body, Cookie, NameHash, Packet, Seq};

/// Joins by call that run at the same time; of more, every seed is refused.
const JOINS_MAX: usize = 64;
/// What is logged when nobody but ourselves was named.
const ALONE: &str = "no seed but this member itself: alone";

/// One `join` that is under way.
#[derive(Debug)]
pub(super) struct Join {
    /// What became of each seed; none: nothing yet.
    pub(super) seeds: Vec<(SocketAddr, Option<Error>)>,
    pub(super) deadline: Instant,
}

impl Join {
    /// Notes why a seed did not let us in.
    pub(super) fn fail(&mut self, addr: SocketAddr, error: Error) {
        for seed in self.seeds.iter_mut().filter(|seed| seed.0 == addr) {
            seed.1 = Some(copy(&error));
        }
    }

    /// Whether it is decided that nobody lets us in: every seed has said so, or one that our name is taken.
    pub(super) fn is_lost(&self) -> bool {
        self.seeds.iter().all(|(_, error)| error.is_some())
            || self.seeds.iter().any(|(_, error)| matches!(error, Some(Error::NameTaken { .. })))
    }

    /// What happened with each seed.
    pub(super) fn into_errors(self) -> Vec<(SocketAddr, Error)> {
        self.seeds.into_iter().map(|(addr, error)| (addr, error.unwrap_or(Error::NoAnswer))).collect()
    }
}

/// All joins that are under way.
#[derive(Debug, Default)]
pub(super) struct Joins {
    by_call: BTreeMap<RequestId, Join>,
    /// Those that were let in and wait for an exchange with this seed.
    syncing: BTreeMap<NameHash, Vec<(RequestId, SocketAddr)>>,
    /// Those that wait for the states of a seed.
    settling: Vec<(RequestId, SocketAddr, NameHash)>,
}

impl Joins {
    pub(super) fn bound(&self) -> Bound {
        Bound { what: "joins", count: self.by_call.len(), max: JOINS_MAX }
    }
}

/// A member has let us in: what its attempt was for.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) struct Welcomed {
    pub(in crate::protocol) cookie: Cookie,
    pub(in crate::protocol) call: Option<RequestId>,
}

impl Admission {
    /// Joins through the members at these addresses, all at once. Answered with [`CallResult::Joined`].
    pub(in crate::protocol) fn join(
        &mut self,
        core: &mut Core,
        now: Instant,
        seeds: &[SocketAddr],
    ) -> RequestId {
        let call = core.fresh_call();
        let mut others: Vec<SocketAddr> = seeds.iter().copied().map(canonical).collect();
        others.retain(|seed| !core.is_own(*seed));
        others.sort_unstable();
        others.dedup();
        if others.is_empty() {
            if !seeds.is_empty() {
                core.note(log::Level::Info, || ALONE.to_owned());
            }
            core.answers.push_back((call, CallResult::Joined(Ok(()))));
            return call;
        }
        let deadline = now + core.settings.join_timeout;
        let has_room = self.joins.by_call.len() < JOINS_MAX;
        let mut seeds = Vec::with_capacity(others.len());
        for seed in others {
            let seq = core.fresh_seq();
            let is_asked = has_room
                && core.settings.allow.takes_address(seed.ip())
                && self.begin_attempt(core, now, seq, seed, Some(call));
            seeds.push((seed, (!is_asked).then_some(Error::Refused)));
        }
        self.joins.by_call.insert(call, Join { seeds, deadline });
        core.timers.set(Timer::Join(call), deadline);
        self.send_hellos(core, now);
        self.check_join(core, now, call);
        call
    }

    /// Tries to become known to the member at an address, unless that is under way.
    pub(in crate::protocol) fn attempt(&mut self, core: &mut Core, now: Instant, addr: SocketAddr) {
        if core.leaving {
            return;
        }
        if !core.settings.allow.takes_address(addr.ip()) {
            core.metrics.not_allowed += 1;
            return;
        }
        let seq = core.fresh_seq();
        if self.begin_attempt(core, now, seq, addr, None) {
            self.send_hellos(core, now);
        }
    }

    fn begin_attempt(
        &mut self,
        core: &Core,
        now: Instant,
        seq: Seq,
        addr: SocketAddr,
        call: Option<RequestId>,
    ) -> bool {
        let is_dead_there = |entry: &Entry| entry.addr() == addr && entry.status == Status::Dead;
        let mut tombstones = core.members.tombstones().map(|(_, name)| name);
        let dead = tombstones.find(|name| core.members.get(*name).is_some_and(is_dead_there));
        self.attempts.begin(now, seq, addr, call, dead)
    }

    /// Sends the hellos that are due.
    pub(in crate::protocol) fn send_hellos(&mut self, core: &mut Core, now: Instant) {
        loop {
            let jitter = core.jitter(core.settings.gossip_interval);
            let Some(seq) = self.attempts.pop_due(now, jitter) else {
                return;
            };
            if let Some((call, addr, reason)) = self.attempts.end_refused(seq) {
                self.seed_failed(core, now, call, addr, reason.into());
                continue;
            }
            let Some((addr, cookie, dead)) =
                self.attempts.get(seq).map(|attempt| (attempt.addr, attempt.cookie, attempt.dead))
            else {
                continue;
            };
            let mut datagram = core.datagram_to(Generation(0));
            if !datagram.push(&Body::Hello(Hello { seq, cookie, record: core.own_record() })) {
                continue;
            }
            // A node that we hold dead at that address is told so, and can refute it.
            let verdict = dead.and_then(|name| core.held_against(name));
            if let Some(verdict) = verdict.filter(|verdict| verdict.status == Status::Dead) {
                // Without room it is told later.
                let _ = datagram.push(&Body::Verdict(verdict));
            }
            core.transmit(now, addr, datagram);
        }
    }

    /// Notes the counter that a hello was sealed with.
    pub(in crate::protocol) fn hello_sealed(&mut self, seq: Seq, counter: u64) {
        self.attempts.sealed(seq, counter);
    }

    /// A member wants a cookie with our hello. False if none was sent there under this number.
    pub(in crate::protocol) fn handle_challenge(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        seq: Seq,
        cookie: Cookie,
    ) -> bool {
        let Some(attempt) = self.attempts.answered(seq, context.from) else {
            return false;
        };
        core.note_answer(context);
        if attempt.challenged(cookie) {
            self.hurry(core, context.now, seq);
        }
        true
    }

    /// Says hello again, at once.
    pub(in crate::protocol) fn hurry(&mut self, core: &mut Core, now: Instant, seq: Seq) {
        self.attempts.hurry(now, seq);
        self.send_hellos(core, now);
    }

    /// We are in, as far as this member is concerned: what is left is its view. None if nobody waits for that.
    pub(in crate::protocol) fn handle_welcome(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        seq: Seq,
    ) -> Option<Welcomed> {
        if self.attempts.answered(seq, context.from).is_none() {
            core.metrics.unexpected_answers += 1;
            return None;
        }
        core.note_answer(context);
        let JoinAttempt { cookie, call, .. } = self.attempts.end(seq)?;
        core.given.remember(context.sender, cookie);
        // Of several seeds that let us in the first one is enough; the others have told of us.
        let is_syncing = |call| self.joins.syncing.values().flatten().any(|(of, _)| *of == call);
        (!call.is_some_and(is_syncing)).then_some(Welcomed { cookie, call })
    }

    /// A member does not let us in. Answers the run of our name that it knows, and where, if that is why.
    pub(in crate::protocol) fn handle_reject(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        seq: Seq,
        reason: RejectReason,
    ) -> Option<(Generation, SocketAddr)> {
        if self.attempts.answered(seq, context.from).is_none() {
            core.metrics.unexpected_answers += 1;
            return None;
        }
        core.note_answer(context);
        let error = match reason {
            RejectReason::Stale { known, addr } => return Some((known, addr)),
            RejectReason::NameTaken { addr } => Error::NameTaken { name: core.settings.name.clone(), addr },
            RejectReason::ClockAhead => Error::ClockAhead,
            RejectReason::Full => Error::Full,
            RejectReason::NotAllowed => Error::Refused,
        };
        self.rejected(core, context, seq, error);
        None
    }

    /// The member that we said hello to does not let us in.
    pub(in crate::protocol) fn rejected(
        &mut self,
        core: &mut Core,
        context: &Context,
        seq: Seq,
        error: Error,
    ) {
        let from = context.from;
        let Some(attempt) = self.attempts.end(seq) else {
            return;
        };
        match attempt.call {
            Some(call) => self.seed_failed(core, context.now, call, from, error),
            None => {
                core.note(log::Level::Debug, || format!("{from} does not let us in: {error}"));
                self.rejoin.refused(from, error);
            }
        }
    }

    /// A datagram of our own has come back: one of the seeds is ourselves.
    pub(in crate::protocol) fn met_ourselves(&mut self, core: &mut Core, now: Instant, packet: &Packet<'_>) {
        let Some(Body::Hello(hello)) = packet.bodies().next() else {
            return;
        };
        let Some(attempt) = self.attempts.end(hello.seq) else {
            return;
        };
        if let Some(call) = attempt.call
            && let Some(join) = self.joins.by_call.get_mut(&call)
        {
            join.seeds.retain(|(addr, _)| *addr != attempt.addr);
            if join.seeds.is_empty() {
                core.note(log::Level::Info, || ALONE.to_owned());
                self.end_join(core, call);
                core.answers.push_back((call, CallResult::Joined(Ok(()))));
            } else {
                self.check_join(core, now, call);
            }
        }
    }

    /// One seed did not let us in.
    pub(in crate::protocol) fn seed_failed(
        &mut self,
        core: &mut Core,
        now: Instant,
        call: RequestId,
        addr: SocketAddr,
        error: Error,
    ) {
        if let Some(join) = self.joins.by_call.get_mut(&call) {
            join.fail(addr, error);
            self.check_join(core, now, call);
        }
    }

    /// A join that was let in waits for an exchange with the seed.
    pub(in crate::protocol) fn await_sync(&mut self, call: RequestId, addr: SocketAddr, seed: NameHash) {
        self.joins.syncing.entry(seed).or_default().push((call, addr));
    }

    /// An exchange with a seed is complete: those that waited for it wait for its states.
    pub(in crate::protocol) fn synced(&mut self, seed: NameHash) {
        for (call, addr) in self.joins.syncing.remove(&seed).unwrap_or_default() {
            self.joins.settling.push((call, addr, seed));
        }
    }

    /// An exchange with a seed has come to nothing: the other seeds are asked again.
    pub(in crate::protocol) fn sync_failed(
        &mut self,
        core: &mut Core,
        now: Instant,
        seed: NameHash,
        error: Error,
    ) {
        for (call, addr) in self.joins.syncing.remove(&seed).unwrap_or_default() {
            self.seed_failed(core, now, call, addr, copy(&error));
            self.ask_other_seeds(core, now, call);
        }
    }

    fn ask_other_seeds(&mut self, core: &mut Core, now: Instant, call: RequestId) {
        let Some(join) = self.joins.by_call.get(&call) else {
            return;
        };
        let open = join.seeds.iter().filter(|(_, error)| error.is_none());
        let open: Vec<SocketAddr> = open.map(|(addr, _)| *addr).collect();
        for addr in open {
            let seq = core.fresh_seq();
            self.begin_attempt(core, now, seq, addr, Some(call));
        }
        self.send_hellos(core, now);
    }

    /// Whether any join waits for the states of its seed.
    pub(in crate::protocol) fn is_settling(&self) -> bool {
        !self.joins.settling.is_empty()
    }

    /// Joins whose seed has given all its states, or does not give them: they are through.
    pub(in crate::protocol) fn take_settled(&mut self, seed: NameHash) -> Vec<(RequestId, SocketAddr)> {
        let settled = self.joins.settling.extract_if(.., |(_, _, of)| *of == seed);
        settled.map(|(call, addr, _)| (call, addr)).collect()
    }

    /// A join has come through: we are in sync with one of the seeds. False if nobody waits for it any more.
    pub(in crate::protocol) fn joined(&mut self, core: &mut Core, call: RequestId, addr: SocketAddr) -> bool {
        if self.joins.by_call.remove(&call).is_none() {
            return false;
        }
        core.timers.cancel(Timer::Join(call));
        self.attempts.release(call);
        let count = core.members.visible_len();
        core.note(log::Level::Info, || format!("joined through {addr}: {count} nodes"));
        core.answers.push_back((call, CallResult::Joined(Ok(()))));
        true
    }

    /// A join is out of time. Answers the seed that it has come through, if only states are missing: they may take
    /// longer.
    pub(in crate::protocol) fn join_timeout(
        &mut self,
        core: &mut Core,
        now: Instant,
        call: RequestId,
    ) -> Option<(SocketAddr, NameHash)> {
        if let Some(place) = self.joins.settling.iter().position(|(settling, _, _)| *settling == call) {
            let (_, addr, seed) = self.joins.settling.swap_remove(place);
            return Some((addr, seed));
        }
        let join = self.joins.by_call.get_mut(&call)?;
        debug_assert!(join.deadline <= now, "a join ends too early");
        let late: Vec<SocketAddr> =
            join.seeds.iter().filter(|(_, error)| error.is_none()).map(|(addr, _)| *addr).collect();
        for addr in late {
            join.fail(addr, self.attempts.refusal(call, addr).map_or(Error::NoAnswer, Error::from));
        }
        self.check_join(core, now, call);
        None
    }

    /// Whether this member is being let in somewhere.
    pub(in crate::protocol) fn is_joining(&self) -> bool {
        !self.joins.by_call.is_empty() || self.attempts.next_due().is_some()
    }

    fn check_join(&mut self, core: &mut Core, now: Instant, call: RequestId) {
        let out_of_time = |join: &Join| join.deadline <= now;
        if self.joins.by_call.get(&call).is_some_and(|join| join.is_lost() || out_of_time(join))
            && let Some(join) = self.end_join(core, call)
        {
            core.answers.push_back((call, CallResult::Joined(Err(join.into_errors()))));
        }
    }

    fn end_join(&mut self, core: &mut Core, call: RequestId) -> Option<Join> {
        core.timers.cancel(Timer::Join(call));
        self.attempts.end_call(call);
        for joins in self.joins.syncing.values_mut() {
            joins.retain(|(of, _)| *of != call);
        }
        self.joins.by_call.remove(&call)
    }
}

/// Copies one of the errors that a seed can answer with.
pub(crate) fn copy(error: &Error) -> Error {
    match error {
        Error::NameTaken { name, addr } => Error::NameTaken { name: name.clone(), addr: *addr },
        Error::WrongCluster => Error::WrongCluster,
        Error::WrongKey => Error::WrongKey,
        Error::ClockAhead => Error::ClockAhead,
        Error::Full => Error::Full,
        Error::Refused => Error::Refused,
        Error::Timeout => Error::Timeout,
        Error::Closed => Error::Closed,
        _ => Error::NoAnswer,
    }
}
