//! The joining side: calls of `join`, their attempts, and what is left to do until a join is through.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rand::seq::SliceRandom;

use super::Admission;
use super::attempts::JoinAttempt;
use super::pace;
use crate::error::Error;
use crate::node::{Generation, Status};
use crate::protocol::api::{Bound, CallResult, RequestId};
use crate::protocol::core::requests::{Asked, DueRequest, RequestKind};
use crate::protocol::core::{ANYBODY, Context, Core, Timer};
use crate::protocol::time::Instant;
use crate::wire::address::canonical;
use crate::wire::body::{Hello, RejectReason};
use crate::wire::{Body, ClusterId, Cookie, NameHash, Packet, Seq, Versions};

/// Maximum number of joins by call at the same time; beyond it, every seed of a join is refused.
const JOINS_MAX: usize = 64;
/// Maximum number of hellos a second to nodes that nobody vouches for.
const FOLLOWED_PER_SECOND: u32 = 20;
/// What is logged when the seeds name only this member itself.
const ALONE: &str = "no seed but this member itself: alone";

/// What a join is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JoinStage {
    /// Its seeds are asked to let us in.
    Asking,
    /// One of them has: an exchange with it brings the records.
    Syncing { seed: NameHash, addr: SocketAddr },
    /// The records are here, and the states are on their way.
    Settling { seed: NameHash, addr: SocketAddr },
}

/// One `join` that is under way.
#[derive(Debug)]
struct Join {
    /// What became of each seed; none if nothing yet.
    seeds: Vec<(SocketAddr, Option<Error>)>,
    deadline: Instant,
    stage: JoinStage,
}

impl Join {
    /// Notes why a seed did not let us in.
    fn fail(&mut self, addr: SocketAddr, error: Error) {
        for seed in self.seeds.iter_mut().filter(|seed| seed.0 == addr) {
            seed.1 = Some(copy(&error));
        }
    }

    /// Whether it is decided that nobody lets us in: every seed has refused us, or one has answered that our name is
    /// taken.
    fn is_lost(&self) -> bool {
        self.seeds.iter().all(|(_, error)| error.is_some())
            || self.seeds.iter().any(|(_, error)| matches!(error, Some(Error::NameTaken { .. })))
    }

    /// What happened with each seed.
    fn into_errors(self) -> Vec<(SocketAddr, Error)> {
        self.seeds.into_iter().map(|(addr, error)| (addr, error.unwrap_or(Error::NoAnswer))).collect()
    }
}

/// All joins that are under way.
#[derive(Debug, Default)]
pub(super) struct Joins {
    by_call: BTreeMap<RequestId, Join>,
}

impl Joins {
    pub(super) fn bound(&self) -> Bound {
        Bound { what: "joins", count: self.by_call.len(), max: JOINS_MAX }
    }

    /// When the last of them is out of time.
    fn deadline(&self) -> Option<Instant> {
        self.by_call.values().map(|join| join.deadline).max()
    }

    /// Those that wait for a seed in this stage.
    fn in_stage(&self, is_meant: impl Fn(JoinStage) -> bool) -> Vec<RequestId> {
        let meant = self.by_call.iter().filter(|(_, join)| is_meant(join.stage));
        meant.map(|(call, _)| *call).collect()
    }
}

/// A member has let us in: what its attempt was for.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) struct Welcomed {
    /// The seed's address, as it was asked.
    pub(in crate::protocol) addr: SocketAddr,
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
        if others.len() > pace::BURST as usize {
            // Those behind the first ones have to wait: not the same ones each time.
            others.shuffle(&mut core.rng);
        }
        if others.is_empty() {
            if !seeds.is_empty() {
                core.note(log::Level::Info, || ALONE.to_owned());
            }
            core.answers.push_back((call, CallResult::Joined(Ok(()))));
            return call;
        }
        let deadline = now + core.settings.join_timeout;
        core.requests.await_until(Some(deadline).max(self.joins.deadline()));
        let has_room = self.joins.by_call.len() < JOINS_MAX;
        let mut seeds = Vec::with_capacity(others.len());
        for seed in others {
            let is_asked = has_room
                && !core.is_clock_ahead(now)
                && core.settings.allow.takes_address(seed.ip())
                && self.begin_attempt(core, now, seed, Some(call));
            // With such a clock, only the members that this one says hello to would know it.
            let reason = || if core.is_clock_ahead(now) { Error::ClockAhead } else { Error::Refused };
            seeds.push((seed, (!is_asked).then(reason)));
        }
        self.joins.by_call.insert(call, Join { seeds, deadline, stage: JoinStage::Asking });
        core.timers.set(Timer::Join(call), deadline);
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
        self.begin_attempt(core, now, addr, None);
    }

    /// A member reports a node at an address and does not vouch for it. Says hello to that node, unless another node is
    /// known there, or there were many such reports in this second. Nodes that are left out are found again by
    /// comparing views.
    pub(in crate::protocol) fn follow_hint(&mut self, core: &mut Core, now: Instant, addr: SocketAddr) {
        let second = now.as_micros() / 1_000_000;
        if self.followed.0 != second {
            self.followed = (second, 0);
        }
        let is_in_view = core.members.at(addr).any(|(_, entry)| entry.is_visible());
        let has_room = self.attempts.has_room_for_hint();
        if is_in_view || core.is_own(addr) || !has_room || self.followed.1 == FOLLOWED_PER_SECOND {
            return;
        }
        self.followed.1 += 1;
        self.attempt(core, now, addr);
    }

    /// Says hello to the node at an address; false if there is no room for another attempt.
    fn begin_attempt(
        &mut self,
        core: &mut Core,
        now: Instant,
        addr: SocketAddr,
        call: Option<RequestId>,
    ) -> bool {
        if !self.attempts.may_begin(addr, call) {
            return false;
        }
        let dead = dead_at(core, addr);
        let asked = Asked::anybody_at(addr);
        let seq = core.request(now, RequestKind::Hello, 0, asked, Some(self.retry));
        self.attempts.begin(seq, addr, call, dead);
        self.send_in_turn(core, now, seq);
        true
    }

    /// A hello was not answered in time: it is repeated, or its attempt is given up.
    pub(in crate::protocol) fn repeat_hello(&mut self, core: &mut Core, now: Instant, due: &DueRequest) {
        let attempt = self.attempts.get(due.seq);
        if !attempt.is_some_and(|attempt| attempt.is_vain(due.tries)) {
            self.send_in_turn(core, now, due.seq);
            return;
        }
        let ended = self.end_attempt(core, now, due.seq, false);
        if let Some(JoinAttempt { call: Some(call), addr, refusal: Some(reason), .. }) = ended {
            self.seed_failed(core, now, call, addr, reason.into());
        }
    }

    /// Says hello now, or as soon as it is the turn of an address that has never answered.
    fn send_in_turn(&mut self, core: &mut Core, now: Instant, seq: Seq) {
        let Some(attempt) = self.attempts.get_mut(seq) else {
            return;
        };
        let is_its_turn = std::mem::take(&mut attempt.waits_for_turn);
        let is_free = is_its_turn || core.addresses.is_proven(attempt.addr);
        let turn = if is_free { now } else { self.pace.take(now) };
        if turn > now {
            attempt.waits_for_turn = true;
            core.requests.postpone(seq, turn);
        } else {
            self.send_hello(core, now, seq);
        }
    }

    fn send_hello(&mut self, core: &mut Core, now: Instant, seq: Seq) {
        let Some(attempt) = self.attempts.get_mut(seq) else {
            return;
        };
        attempt.hellos += 1;
        let JoinAttempt { addr, cookie, dead, hellos, .. } = *attempt;
        let mut datagram = core.datagram_to(ANYBODY);
        let record = core.own_record();
        let hello = Hello { seq, cookie, attempt: hellos, cluster: ClusterId(0), record };
        if !datagram.push(&Body::Hello(hello)) {
            return;
        }
        // A node that we hold dead at that address gets the verdict, and can refute it.
        let verdict = dead.and_then(|name| core.held_against(name));
        if let Some(verdict) = verdict.filter(|verdict| verdict.status == Status::Dead) {
            // Without room it gets the verdict later.
            let _ = datagram.push(&Body::Verdict(verdict));
        }
        // Without a cookie nobody reads it.
        if cookie != Cookie::default() {
            core.add_own_state(&mut datagram);
        }
        core.transmit(now, addr, datagram);
        if let Some(sent) = core.transmits.back().filter(|sent| sent.to == addr) {
            self.attempts.sent(seq, &sent.datagram);
        }
    }

    fn end_attempt(
        &mut self,
        core: &mut Core,
        now: Instant,
        seq: Seq,
        is_answered: bool,
    ) -> Option<JoinAttempt> {
        core.requests.end(now, seq, is_answered);
        let ended = self.attempts.end(seq);
        if ended.as_ref().is_some_and(|attempt| attempt.waits_for_turn) {
            self.pace.give_back();
        }
        ended
    }

    /// Whether a number is that of a hello which waits for its answer.
    pub(in crate::protocol) fn asks(&self, seq: Seq) -> bool {
        self.attempts.get(seq).is_some()
    }

    /// Notes the counter that a hello was sealed with, and how it ends.
    pub(in crate::protocol) fn hello_sealed(&mut self, seq: Seq, counter: u64, datagram: &[u8]) {
        self.attempts.sealed(seq, counter, datagram);
    }

    /// A member asks for a cookie with our hello. The challenge may come from another address than the hello went to;
    /// the cookie goes with the next hello to the address of the first. False if this is not about a hello.
    pub(in crate::protocol) fn handle_challenge(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        seq: Seq,
        cookie: Cookie,
    ) -> bool {
        let Some(attempt) = self.attempts.get_mut(seq) else {
            return false;
        };
        if attempt.addr == context.from {
            core.note_answer(context, attempt.addr);
        }
        if attempt.challenged(context.run(), cookie) {
            self.hurry(core, context.now, seq);
        }
        true
    }

    /// Says hello again, at once.
    pub(in crate::protocol) fn hurry(&mut self, core: &mut Core, now: Instant, seq: Seq) {
        core.requests.sent_again(now, seq);
        self.send_hello(core, now, seq);
    }

    /// Whether a member that lets us in is reached at the address that it advertises. If its welcome comes from another
    /// address, a hello goes to the advertised one as well, and ours is repeated until that hello is answered.
    pub(in crate::protocol) fn reaches_host(
        &mut self,
        core: &mut Core,
        context: &Context,
        seq: Seq,
        advertised: SocketAddr,
    ) -> bool {
        let held = core.members.get(context.sender);
        let is_held = held.is_some_and(|entry| entry.generation() == context.generation);
        if advertised == context.from || is_held || self.attempts.has_reached(advertised, context.run()) {
            return true;
        }
        if let Some(attempt) = self.attempts.get_mut(seq) {
            attempt.unreachable = Some((advertised, context.from));
        }
        self.attempt(core, context.now, advertised);
        false
    }

    /// This member has let us in: what is left is its view. None if no join waits for that.
    pub(in crate::protocol) fn handle_welcome(
        &mut self,
        core: &mut Core,
        context: &Context,
        seq: Seq,
    ) -> Option<Welcomed> {
        let JoinAttempt { addr, cookie, call, .. } = self.end_attempt(core, context.now, seq, true)?;
        core.given.remember(context.sender, cookie);
        self.forget_refusal(addr);
        // The first seed that lets us in is enough; the others have gossiped that we are here.
        let join = call.and_then(|call| self.joins.by_call.get(&call));
        join.is_none_or(|join| join.stage == JoinStage::Asking).then_some(Welcomed { addr, cookie, call })
    }

    /// A member does not let us in. Returns the run of our name that it knows, and its address, if that is the reason.
    pub(in crate::protocol) fn handle_reject(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        seq: Seq,
        reason: RejectReason,
    ) -> Option<(Generation, SocketAddr)> {
        core.answered(context, seq, &[RequestKind::Hello])?;
        let advertised = core.settings.advertise;
        let error = match reason {
            RejectReason::Stale { known, addr } => return Some((known, addr)),
            RejectReason::NameTaken { addr } => Error::NameTaken { name: core.settings.name.clone(), addr },
            RejectReason::ClockAhead => Error::ClockAhead,
            RejectReason::Full => Error::Full,
            RejectReason::NotAllowed => Error::Refused,
            // This is not certain: the challenges may have been lost.
            RejectReason::Unreachable { seen } => {
                core.seen = Some(seen);
                self.not_reached(core, context.from, seq, Error::Unreachable { advertised, seen });
                return None;
            }
            RejectReason::BadAddress => Error::BadAddress { advertised },
            RejectReason::WrongVersion { spoken } => {
                Error::WrongVersion { theirs: spoken.range(), ours: Versions::OURS.range() }
            }
        };
        self.rejected(core, context, seq, error);
        None
    }

    /// The member that we said hello to does not reach us at the address that we advertise. The first one is logged as a
    /// warning.
    fn not_reached(&mut self, core: &mut Core, by: SocketAddr, seq: Seq, error: Error) {
        if let (Some(attempt), Error::Unreachable { advertised, seen }) = (self.attempts.get_mut(seq), &error)
        {
            attempt.unreachable = Some((*advertised, *seen));
            if !std::mem::replace(&mut self.is_unreached, true) {
                core.note(log::Level::Warn, || {
                    format!("{by} sees us at {seen}, and what it sends to {advertised} does not arrive here")
                });
            }
            let is_in_background = attempt.call.is_none();
            self.note_refusal(by, &error);
            if is_in_background {
                self.rejoin.refused(by, error);
            }
        }
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
        let Some(attempt) = self.end_attempt(core, context.now, seq, true) else {
            return;
        };
        self.note_refusal(from, &error);
        match attempt.call {
            Some(call) => self.seed_failed(core, context.now, call, attempt.addr, error),
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
        let Some(attempt) = self.end_attempt(core, now, hello.seq, true) else {
            return;
        };
        if let Some(call) = attempt.call
            && let Some(join) = self.joins.by_call.get_mut(&call)
        {
            join.seeds.retain(|(addr, _)| *addr != attempt.addr);
            if join.seeds.is_empty() {
                core.note(log::Level::Info, || ALONE.to_owned());
                self.end_join(core, now, call);
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
        if let Some(join) = self.joins.by_call.get_mut(&call) {
            join.stage = JoinStage::Syncing { seed, addr };
        }
    }

    /// An exchange with a node is complete: joins that waited for it wait for its states.
    pub(in crate::protocol) fn synced(&mut self, with: NameHash) {
        for join in self.joins.by_call.values_mut() {
            if let JoinStage::Syncing { seed, addr } = join.stage
                && seed == with
            {
                join.stage = JoinStage::Settling { seed, addr };
            }
        }
    }

    /// An exchange with a node has failed: joins that waited for it ask the other seeds again.
    pub(in crate::protocol) fn sync_failed(
        &mut self,
        core: &mut Core,
        now: Instant,
        with: NameHash,
        error: &Error,
    ) {
        let is_meant = |stage| matches!(stage, JoinStage::Syncing { seed, .. } if seed == with);
        for call in self.joins.in_stage(is_meant) {
            if let Some(join) = self.joins.by_call.get_mut(&call)
                && let JoinStage::Syncing { addr, .. } = std::mem::replace(&mut join.stage, JoinStage::Asking)
            {
                self.seed_failed(core, now, call, addr, copy(error));
                self.ask_other_seeds(core, now, call);
            }
        }
    }

    fn ask_other_seeds(&mut self, core: &mut Core, now: Instant, call: RequestId) {
        let Some(join) = self.joins.by_call.get(&call) else {
            return;
        };
        let open = join.seeds.iter().filter(|(_, error)| error.is_none());
        let open: Vec<SocketAddr> = open.map(|(addr, _)| *addr).collect();
        for addr in open {
            self.begin_attempt(core, now, addr, Some(call));
        }
    }

    /// Joins that wait only for the states of a seed.
    pub(in crate::protocol) fn settling_with(&self, with: NameHash) -> Vec<RequestId> {
        self.joins.in_stage(|stage| matches!(stage, JoinStage::Settling { seed, .. } if seed == with))
    }

    /// A join has come through: we are in sync with this seed, at this address.
    pub(in crate::protocol) fn joined(&mut self, core: &mut Core, call: RequestId, addr: SocketAddr) -> bool {
        if self.joins.by_call.remove(&call).is_none() {
            return false;
        }
        core.requests.await_until(self.joins.deadline());
        core.timers.cancel(Timer::Join(call));
        self.attempts.release(call);
        let count = core.members.ring().len();
        core.note(log::Level::Info, || format!("joined through {addr}: {count} nodes"));
        core.answers.push_back((call, CallResult::Joined(Ok(()))));
        true
    }

    /// A join that lacks at most some states has come through. Returns by which seed.
    pub(in crate::protocol) fn settled(&mut self, core: &mut Core, call: RequestId) -> Option<NameHash> {
        let JoinStage::Settling { seed, addr } = self.joins.by_call.get(&call)?.stage else {
            return None;
        };
        self.joined(core, call, addr).then_some(seed)
    }

    /// A join is out of time, and has not come through.
    pub(in crate::protocol) fn join_timeout(&mut self, core: &mut Core, now: Instant, call: RequestId) {
        let Some(join) = self.joins.by_call.get_mut(&call) else {
            return;
        };
        debug_assert!(join.deadline <= now, "a join ends too early");
        let late: Vec<SocketAddr> =
            join.seeds.iter().filter(|(_, error)| error.is_none()).map(|(addr, _)| *addr).collect();
        for addr in late {
            let reason = self.attempts.reason(call, addr);
            join.fail(addr, reason.unwrap_or(Error::NoAnswer));
        }
        self.check_join(core, now, call);
    }

    /// Whether this member is being let in somewhere.
    pub(in crate::protocol) fn is_joining(&self) -> bool {
        !self.joins.by_call.is_empty() || self.attempts.len() > 0
    }

    fn check_join(&mut self, core: &mut Core, now: Instant, call: RequestId) {
        let out_of_time = |join: &Join| join.deadline <= now;
        if self.joins.by_call.get(&call).is_some_and(|join| join.is_lost() || out_of_time(join))
            && let Some(join) = self.end_join(core, now, call)
        {
            core.answers.push_back((call, CallResult::Joined(Err(join.into_errors()))));
        }
    }

    fn end_join(&mut self, core: &mut Core, now: Instant, call: RequestId) -> Option<Join> {
        core.timers.cancel(Timer::Join(call));
        for seq in self.attempts.of_call(call) {
            self.end_attempt(core, now, seq, false);
        }
        let ended = self.joins.by_call.remove(&call);
        core.requests.await_until(self.joins.deadline());
        ended
    }
}

/// The node that we hold dead at an address; of several, the one that has been dead for longest.
fn dead_at(core: &Core, addr: SocketAddr) -> Option<NameHash> {
    let at_addr = core.members.at(addr);
    let dead = at_addr.filter(|(_, entry)| entry.addr() == addr && entry.status == Status::Dead);
    dead.min_by_key(|(name, entry)| (entry.since, *name)).map(|(name, _)| name)
}

/// Copies one of the errors with which a seed can fail.
pub(crate) fn copy(error: &Error) -> Error {
    match error {
        Error::NameTaken { name, addr } => Error::NameTaken { name: name.clone(), addr: *addr },
        Error::WrongCluster => Error::WrongCluster,
        Error::WrongKey => Error::WrongKey,
        Error::ClockAhead => Error::ClockAhead,
        Error::Full => Error::Full,
        Error::Refused => Error::Refused,
        Error::Unreachable { advertised, seen } => {
            Error::Unreachable { advertised: *advertised, seen: *seen }
        }
        Error::BadAddress { advertised } => Error::BadAddress { advertised: *advertised },
        Error::WrongVersion { theirs, ours } => {
            Error::WrongVersion { theirs: theirs.clone(), ours: ours.clone() }
        }
        Error::Timeout => Error::Timeout,
        Error::Closed => Error::Closed,
        _ => Error::NoAnswer,
    }
}
