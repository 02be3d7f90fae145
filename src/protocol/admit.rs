//! Coming and going: both sides of admission, leaving, and healing (see [`super::join`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::join::{Join, Leave, NameCheck};
use super::members::Merged;
use super::probe::{Purpose, Target};
use super::spread::Source;
use super::sync::Peer;
use super::time::Instant;
use super::{Answer, Call, Chore, Context, GENERATION_RANDOM_BITS, Protocol, Timer, generation};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::node::{Generation, Incarnation, Status};
use crate::wire::body::{Hello, HintReason, RejectReason, Welcome};
use crate::wire::{Accusers, Body, Cookie, NameHash, Packet, Record, Seq, Verdict};

/// Peers that must have heard of a leave before it is over.
const LEAVE_ACKS: usize = 3;
/// Peers that a leave is told to directly.
const LEAVE_PEERS: usize = 5;
/// Hints to joiners of other clusters, a second.
const HINTS_PER_SECOND: u32 = 10;
/// Dead nodes that may be probed at the same time, to see whether they are back.
const HEALS_MAX: usize = 64;
/// A dead node is asked again at most this much later, however long it has been dead.
const HEAL_PAUSE_MAX: Duration = Duration::from_secs(600);
/// The closing sync comes this many gossip intervals after a join.
const CLOSING_PAUSE: u32 = 10;

impl Protocol {
    /// Joins through the members at these addresses, all at once. Answered with [`Answer::Joined`].
    pub(crate) fn join(&mut self, now: Instant, seeds: &[SocketAddr]) -> Call {
        let call = self.fresh_call();
        let mut others: Vec<SocketAddr> = seeds.iter().copied().map(crate::wire::hash::canonical).collect();
        others.retain(|seed| !self.is_own(*seed));
        others.sort_unstable();
        others.dedup();
        if others.is_empty() {
            if !seeds.is_empty() {
                log::info!("no seed but this member itself: alone");
            }
            self.answers.push_back((call, Answer::Joined(Ok(()))));
            return call;
        }
        let deadline = now + self.settings.join_timeout;
        for seed in &others {
            let seq = self.fresh_seq();
            self.approaches.begin(now, seq, *seed, Some(call));
        }
        let seeds = others.into_iter().map(|seed| (seed, None)).collect();
        self.joins.insert(call, Join { seeds, deadline });
        self.timers.set(Timer::Join(call), deadline);
        self.retry_approaches(now);
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

    /// Says that this member goes. Answered with [`Answer::Left`].
    pub(crate) fn leave(&mut self, now: Instant, timeout: Duration) -> Call {
        let call = self.fresh_call();
        if self.leave.is_some() {
            self.answers.push_back((call, Answer::Left(Ok(()))));
            return call;
        }
        let peers: Vec<NameHash> = self.leave_peers();
        if peers.is_empty() {
            self.answers.push_back((call, Answer::Left(Ok(()))));
            return call;
        }
        let mut open = BTreeMap::new();
        for peer in &peers {
            if let Some(entry) = self.members.active(*peer) {
                let addr = entry.addr;
                open.insert(self.fresh_seq(), addr);
            }
        }
        let others = self.members.ring().len() - 1;
        self.leave = Some(Leave { call, deadline: now + timeout, wanted: others.min(LEAVE_ACKS), open });
        let verdict = Verdict {
            subject: self.me,
            generation: self.generation,
            incarnation: self.incarnation,
            status: Status::Left,
            accusers: Accusers::default(),
        };
        // The rumor goes along the ring as it was with us in it.
        let slots =
            super::ring::offsets(others + 1, super::ring::sends(others + 1, self.settings.retransmit));
        self.rumors.push(now, self.me, slots.len());
        self.spread(now);
        self.members.merge_verdict(now, &verdict);
        self.tell_leave(now);
        call
    }

    /// Buries a dead node for good: it counts as one that left.
    pub(crate) fn force_leave(&mut self, now: Instant, name: &str) -> Result<()> {
        let hash = NameHash::of(self.tag, name);
        let entry = self.members.get(hash).ok_or_else(|| Error::UnknownNode(name.to_owned()))?;
        match entry.status {
            Status::Left => Ok(()),
            Status::Alive | Status::Suspect => Err(Error::Refused),
            Status::Dead => {
                let verdict = Verdict { status: Status::Left, ..entry.verdict(hash) };
                self.take_verdict(now, &verdict);
                self.spread(now);
                Ok(())
            }
        }
    }

    /// The addresses of the configured seeds, for the background.
    pub(crate) fn seeds_resolved(&mut self, now: Instant, seeds: &[SocketAddr]) {
        let mut seeds: Vec<SocketAddr> = seeds
            .iter()
            .copied()
            .map(crate::wire::hash::canonical)
            .filter(|seed| !self.is_own(*seed))
            .collect();
        seeds.sort_unstable();
        seeds.dedup();
        self.seeds = seeds;
        self.approach_seeds(now);
    }

    /// Tries to become known to the member at an address, unless that is under way.
    pub(super) fn approach(&mut self, now: Instant, addr: SocketAddr) {
        if self.leave.is_some() || self.burials.waits(now) {
            return;
        }
        let seq = self.fresh_seq();
        if self.approaches.begin(now, seq, addr, None) {
            self.retry_approaches(now);
        }
    }

    /// Sends the hellos that are due.
    pub(super) fn retry_approaches(&mut self, now: Instant) {
        loop {
            let jitter = self.jitter(self.settings.gossip_interval);
            let Some(seq) = self.approaches.pop_due(now, jitter) else {
                return;
            };
            let Some((addr, cookie)) =
                self.approaches.get(seq).map(|approach| (approach.addr, approach.cookie))
            else {
                continue;
            };
            let mut datagram = self.datagram_to(Generation(0));
            if !datagram.push(&Body::Hello(Hello { seq, cookie, record: self.own_record() })) {
                continue;
            }
            // Whoever we hold dead at that address is told so, and can refute it.
            let dead = self.members.tombstones().map(|(_, name)| name).find(|name| {
                self.members
                    .get(*name)
                    .is_some_and(|entry| entry.addr == addr && entry.status == Status::Dead)
            });
            if let Some(verdict) = dead.and_then(|name| self.held_against(name)) {
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
        if !self.cookies.accepts(now, hello.cookie, from, sender, run) {
            let cookie = self.cookies.bake(now, from, sender, run);
            self.reply(now, from, run, &Body::Challenge { seq: hello.seq, cookie });
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
        log::debug!("{} at {from} is refused: {reason:?}", record.name);
        self.reply(now, from, run, &Body::Reject { seq: hello.seq, reason });
    }

    pub(super) fn handle_challenge(&mut self, context: &mut Context, seq: Seq, cookie: Cookie) {
        let (now, from) = (context.now, context.from);
        if let Some(approach) = self.approaches.answered(seq, from) {
            context.answered = true;
            if approach.cookie != cookie {
                approach.cookie = cookie;
                self.approaches.hurry(now, seq);
                self.retry_approaches(now);
            }
        } else if self.exchanges.answered(seq, from).is_some() {
            context.answered = true;
            if let Some((id, request)) = self.exchanges.challenged(now, seq, cookie) {
                self.send_request(now, id, seq, &request);
            }
        } else {
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
        let Some(approach) = self.approaches.end(welcome.seq) else {
            return;
        };
        let peer = Peer { name: context.sender, addr: from, generation: context.generation };
        let alike = welcome.view.fingerprint == self.members.fingerprint();
        let begun = if alike {
            None
        } else if self.members.visible_len() * 2 < welcome.count as usize {
            self.begin_fill(now, peer, approach.cookie)
        } else {
            self.begin_comparison(now, peer, approach.cookie)
        };
        let Some(call) = approach.call else {
            return;
        };
        let running = begun.or_else(|| self.exchanges.with(context.sender));
        match running.filter(|_| !alike) {
            Some(id) => {
                self.fills.insert(id, (call, from));
            }
            None => self.joined(now, call, from, context.sender),
        }
    }

    pub(super) fn handle_reject(&mut self, context: &mut Context, seq: Seq, reason: RejectReason) {
        let (now, from) = (context.now, context.from);
        let Some(call) = self.approaches.answered(seq, from).map(|approach| approach.call) else {
            self.metrics.unexpected_answers += 1;
            return;
        };
        context.answered = true;
        let error = match reason {
            RejectReason::Stale { known, addr } => {
                if addr == self.settings.advertise || self.members.ring().len() < 2 {
                    // An earlier run of ours, as far as we can know: come again above it.
                    self.renew(now, known);
                    self.approaches.hurry(now, seq);
                    self.retry_approaches(now);
                } else {
                    self.meet_rival(now, addr, known);
                }
                return;
            }
            RejectReason::NameTaken { addr } => Error::NameTaken { name: self.settings.name.clone(), addr },
            RejectReason::ClockAhead => Error::ClockAhead,
            RejectReason::Full => Error::Full,
        };
        self.approaches.end(seq);
        match call {
            Some(call) => self.seed_failed(now, call, from, error),
            None => log::debug!("{from} does not let us in: {error}"),
        }
    }

    /// A datagram with another cluster's tag: a joiner is told so, and so are we.
    pub(super) fn handle_foreign(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>) {
        self.metrics.foreign_cluster += 1;
        match packet.bodies().next() {
            Some(Body::Hello(hello)) => {
                let second = now.as_micros() / 1_000_000;
                if self.hints.0 != second {
                    self.hints = (second, 0);
                }
                self.hints.1 += 1;
                if self.hints.1 <= HINTS_PER_SECOND {
                    let hint = Body::Hint { seq: hello.seq, reason: HintReason::WrongCluster };
                    // It is no longer than the hello, so it needs no proof of the address.
                    self.addresses.heard(from);
                    self.reply(now, from, packet.header().generation, &hint);
                }
            }
            Some(Body::Hint { seq, reason }) => {
                let Some(call) = self.approaches.answered(seq, from).and_then(|approach| approach.call)
                else {
                    return;
                };
                self.approaches.end(seq);
                let error = match reason {
                    HintReason::WrongCluster => Error::WrongCluster,
                    HintReason::WrongKey => Error::WrongKey,
                };
                self.seed_failed(now, call, from, error);
            }
            _ => {}
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
                log::info!("no seed but this member itself: alone");
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

    /// A join has come through: we are in sync with one of the seeds.
    pub(super) fn joined(&mut self, now: Instant, call: Call, addr: SocketAddr, with: NameHash) {
        if self.joins.remove(&call).is_none() {
            return;
        }
        self.timers.cancel(Timer::Join(call));
        log::info!("joined through {addr}: {} nodes", self.members.visible_len());
        self.answers.push_back((call, Answer::Joined(Ok(()))));
        // The closing sync: what was told while nobody knew us.
        let others: Vec<NameHash> =
            self.members.ring().iter().copied().filter(|name| *name != self.me && *name != with).collect();
        if let Some(other) = self.draw(&others) {
            self.recheck_with(now, other, now + self.settings.gossip_interval * CLOSING_PAUSE);
        }
    }

    pub(super) fn join_is_over(&mut self, now: Instant, call: Call) {
        if let Some(join) = self.joins.get_mut(&call) {
            debug_assert!(join.deadline <= now, "a join ends too early");
            let late: Vec<SocketAddr> =
                join.seeds.iter().filter(|(_, error)| error.is_none()).map(|(addr, _)| *addr).collect();
            for addr in late {
                join.fail(addr, Error::NoAnswer);
            }
            self.check_join(now, call);
        }
    }

    /// A peer says that it goes.
    pub(super) fn handle_leave(&mut self, context: &mut Context, seq: Seq, incarnation: Incarnation) {
        let (now, from, sender) = (context.now, context.from, context.sender);
        let verdict = Verdict {
            subject: sender,
            generation: context.generation,
            incarnation,
            status: Status::Left,
            accusers: Accusers::default(),
        };
        if context.known {
            self.take_verdict(now, &verdict);
        }
        let heard = self.members.get(sender).is_some_and(|entry| {
            entry.status == Status::Left && entry.generation == context.generation && entry.addr == from
        });
        if heard {
            self.reply(now, from, context.generation, &Body::BareAck { seq });
        } else {
            self.metrics.unknown_sender += 1;
        }
    }

    /// Tells the leave to those who have not acked it, until that is over.
    pub(super) fn tell_leave(&mut self, now: Instant) {
        let Some(leave) = &self.leave else {
            return;
        };
        if leave.deadline <= now {
            let call = leave.call;
            self.answers.push_back((call, Answer::Left(Err(Error::Timeout))));
            return;
        }
        let again = (now + self.settings.gossip_interval * 5).min(leave.deadline);
        let open: Vec<(Seq, SocketAddr)> = leave.open.iter().map(|(seq, addr)| (*seq, *addr)).collect();
        self.timers.set(Timer::Leave, again);
        for (seq, addr) in open {
            let run = self.members.iter().find(|(_, entry)| entry.addr == addr && entry.is_active());
            let run = run.map_or(Generation(0), |(_, entry)| entry.generation);
            self.reply(now, addr, run, &Body::Leave { seq, incarnation: self.incarnation });
        }
    }

    /// Whether this answers our leave, which is then noted.
    pub(super) fn leave_acked(&mut self, now: Instant, seq: Seq, from: SocketAddr) -> bool {
        let Some(leave) = &mut self.leave else {
            return false;
        };
        if leave.open.get(&seq) != Some(&from) {
            return false;
        }
        leave.open.remove(&seq);
        leave.wanted = leave.wanted.saturating_sub(1);
        if leave.wanted == 0 && leave.deadline > now {
            let call = leave.call;
            leave.open.clear();
            self.timers.cancel(Timer::Leave);
            self.answers.push_back((call, Answer::Left(Ok(()))));
        }
        true
    }

    /// Somebody has died: it is asked now and then whether it is back.
    pub(super) fn schedule_healing(&mut self, now: Instant) {
        let pause = self.settings.rejoin_interval / 2 + self.jitter(self.settings.rejoin_interval);
        self.timers.set_earliest(Timer::Heal, now + pause);
    }

    /// Asks some of the dead whether they are back, and the seeds whether they are there: cuts heal.
    ///
    /// Each dead node is asked by one member in the cluster and rejoin_interval on average, less often the
    /// longer it is dead.
    pub(super) fn heal(&mut self, now: Instant) {
        let active = self.members.ring().len().max(1);
        let dead: Vec<(NameHash, Duration)> = self
            .members
            .tombstones()
            .map(|(since, name)| (name, now.since(since)))
            .filter(|(name, _)| self.members.get(*name).is_some_and(|entry| entry.status == Status::Dead))
            .collect();
        let mut running = self.probes.iter().filter(|probe| probe.purpose == Purpose::Heal).count();
        for (name, age) in &dead {
            let pause = (*age / 4).min(HEAL_PAUSE_MAX).max(self.settings.rejoin_interval);
            let rarity = pause.as_millis() * active as u128;
            let drawn = self.rng.random_range(0..rarity.max(1)) < self.settings.rejoin_interval.as_millis();
            if drawn && running < HEALS_MAX && self.probe_dead(now, *name) {
                running += 1;
            }
        }
        let wants_seeds = self.settings.has_seeds && self.leave.is_none();
        if wants_seeds {
            self.chores.push_back(Chore::ResolveSeeds);
        }
        if wants_seeds || !dead.is_empty() {
            self.schedule_healing(now);
        }
    }

    /// Says hello to the configured seeds that are not in the view.
    fn approach_seeds(&mut self, now: Instant) {
        let absent: Vec<SocketAddr> = self
            .seeds
            .iter()
            .copied()
            .filter(|seed| {
                !self.members.iter().any(|(_, entry)| {
                    entry.is_visible() && (entry.addr == *seed || entry.alias == Some(*seed))
                })
            })
            .collect();
        for seed in absent {
            self.approach(now, seed);
        }
    }

    /// News about our own name.
    pub(super) fn handle_own_name(&mut self, now: Instant, record: &Record<'_>) {
        if record.generation == self.generation && record.incarnation > self.incarnation {
            // Nobody but us raises it: somebody has forged it, or it is an echo from before a fault.
            let verdict = Verdict {
                subject: self.me,
                generation: record.generation,
                incarnation: record.incarnation,
                status: Status::Suspect,
                accusers: Accusers::default(),
            };
            self.handle_accusation(now, record.addr, &verdict);
        }
        if record.generation > self.generation && record.addr != self.settings.advertise {
            self.meet_rival(now, record.addr, record.generation);
        } else if record.generation > self.generation {
            // An older run of ours, at our address, whose clock was ahead.
            self.renew(now, record.generation);
        }
    }

    /// A newer run of our name is known somewhere: at once, and then at most once an interval, it is asked
    /// whether it is there.
    fn meet_rival(&mut self, now: Instant, addr: SocketAddr, run: Generation) {
        let first = self.rival.is_none();
        self.rival = Some((addr, run));
        if first {
            self.probe_rival(now);
        }
    }

    /// Asks whether the other run of our name is there.
    pub(super) fn probe_rival(&mut self, now: Instant) {
        let Some((addr, run)) = self.rival else {
            return;
        };
        if run <= self.generation {
            self.rival = None;
            return;
        }
        let target = Target { name: self.me, addr, generation: run, incarnation: Incarnation(0) };
        if self.probe(now, Purpose::Rival, target).is_none() {
            self.timers.set(Timer::Rival, now + self.settings.probe_interval);
        }
    }

    /// The other run of our name answers: it is the newer one, we fall silent.
    pub(super) fn yield_name(&mut self, addr: SocketAddr) {
        log::error!("another process uses our name {}, at {addr}: this member ends", self.settings.name);
        self.events.push_back(Event::NameConflict { addr });
        let name = self.settings.name.clone();
        self.stop(Error::NameTaken { name, addr });
    }

    /// The other run of our name is gone: we take a generation above it.
    pub(super) fn outlive_rival(&mut self, now: Instant, run: Generation) {
        self.rival = None;
        self.renew(now, run);
    }

    /// Takes a generation above one that is known of our name, and tells it.
    fn renew(&mut self, now: Instant, above: Generation) {
        if above < self.generation {
            return;
        }
        let fresh = generation(self.wall(now), &mut self.rng);
        let next = Generation((((above.0 >> GENERATION_RANDOM_BITS) + 1) << GENERATION_RANDOM_BITS) | 1);
        self.generation = fresh.max(next);
        self.incarnation = Incarnation(0);
        self.accused = None;
        self.publish_self(now);
        self.push_rumor(now, self.me);
    }

    fn is_own(&self, addr: SocketAddr) -> bool {
        let bound = self.settings.bound;
        addr == self.settings.advertise
            || addr == bound
            || (addr.port() == bound.port() && bound.ip().is_unspecified() && addr.ip().is_loopback())
    }

    fn leave_peers(&mut self) -> Vec<NameHash> {
        let mut others: Vec<NameHash> = self
            .members
            .ring()
            .iter()
            .copied()
            .filter(|name| *name != self.me && self.members.active(*name).is_some_and(|entry| !entry.hidden))
            .collect();
        // The healthy first, else at random.
        let mut peers = Vec::with_capacity(LEAVE_PEERS);
        while peers.len() < LEAVE_PEERS && !others.is_empty() {
            let drawn = self.rng.random_range(0..others.len());
            peers.push(others.swap_remove(drawn));
        }
        peers
    }

    /// Whether somebody with a good cookie may come in.
    fn admission(
        &mut self,
        now: Instant,
        from: SocketAddr,
        name: NameHash,
        record: &Record<'_>,
    ) -> Admission {
        if !self.is_plausible(now, record.generation) {
            return Admission::No(RejectReason::ClockAhead);
        }
        if name == self.me {
            return Admission::No(RejectReason::NameTaken { addr: self.settings.advertise });
        }
        let held = self.members.get(name).map(|entry| (entry.generation, entry.addr, entry.is_active()));
        let full = self.members.ring().len() >= self.settings.max_nodes;
        match held {
            None if full || !self.addresses.may_admit(now, from) => Admission::No(RejectReason::Full),
            None => Admission::Yes,
            Some((_, _, false)) if full => Admission::No(RejectReason::Full),
            Some((run, _, _)) if run == record.generation => Admission::Yes,
            Some((run, addr, _)) if run > record.generation => {
                Admission::No(RejectReason::Stale { known: run, addr })
            }
            Some((_, addr, _)) if addr == record.addr => Admission::Yes,
            Some(_) => self.check_name(now, name, record.generation),
        }
    }

    /// The name is held by an older run at another address: does that one still answer?
    fn check_name(&mut self, now: Instant, name: NameHash, newcomer: Generation) -> Admission {
        match self.name_checks.get(now, name, newcomer) {
            Some(NameCheck::Running) => Admission::Wait,
            Some(NameCheck::Taken(addr)) => Admission::No(RejectReason::NameTaken { addr }),
            Some(NameCheck::Free) => Admission::Yes,
            None => {
                if self.name_checks.has_room() && self.probe_node(now, Purpose::Incumbent, name).is_some() {
                    self.name_checks.set(now, name, newcomer, NameCheck::Running);
                }
                Admission::Wait
            }
        }
    }

    /// Lets somebody in who has proved its address.
    fn admit(&mut self, context: &mut Context, hello: &Hello<'_>) {
        let (now, from) = (context.now, context.from);
        let (sender, run, record) = (context.sender, context.generation, &hello.record);
        let older: Vec<NameHash> = self
            .members
            .iter()
            .filter(|(name, entry)| {
                *name != sender && *name != self.me && entry.is_active() && entry.addr == record.addr
            })
            .map(|(name, _)| name)
            .collect();
        let merged = self.take_record(now, record, Source::Admission);
        self.members.set_alias(sender, from);
        if merged == Merged::Refused {
            let full = Body::Reject { seq: hello.seq, reason: RejectReason::Full };
            self.reply(now, from, run, &full);
            return;
        }
        // Two names at one address: the older one may be gone.
        for name in older {
            self.probe_node(now, Purpose::Round, name);
        }
        context.known = self.members.is_known(sender, run, from);
        context.answered = true;
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
        if context.known {
            self.hear(now, sender);
        }
    }

    fn check_join(&mut self, now: Instant, call: Call) {
        let out_of_time = |join: &Join| join.deadline <= now;
        if self.joins.get(&call).is_some_and(|join| join.is_lost() || out_of_time(join)) {
            if let Some(join) = self.end_join(call) {
                self.answers.push_back((call, Answer::Joined(Err(join.into_errors()))));
            }
        }
    }

    fn end_join(&mut self, call: Call) -> Option<Join> {
        self.timers.cancel(Timer::Join(call));
        self.approaches.end_call(call);
        self.fills.retain(|_, (of, _)| *of != call);
        self.joins.remove(&call)
    }

    fn probe_dead(&mut self, now: Instant, name: NameHash) -> bool {
        self.probe_node(now, Purpose::Heal, name).is_some()
    }
}

/// Whether somebody may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Yes,
    /// Its name is being checked; it will ask again.
    Wait,
    No(RejectReason),
}
