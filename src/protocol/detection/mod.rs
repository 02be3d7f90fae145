//! The failure detector: rounds of probes, what becomes of them, and doubt about ourselves (SWIM, sections 3 and 4;
//! Lifeguard).
//!
//! **Common rounds** (beyond SWIM). Ping and ack carry a round number. At its tick a member takes a higher one
//! that it heard since its last tick, else its own plus one, and probes the node at the ring offset that the number
//! stands for. So each node has one prober a round, and no node stays unprobed for long by chance.
//!
//! | file | holds |
//! |---|---|
//! | [`probe`] | the ladder of one probe |
//! | [`relay`] | pings on behalf of others |
//! | [`suspect`] | suspicions from their beginning to their end, and isolation |
//! | [`verify`] | reported deaths, and the probes that verify them |
//! | [`reconnect`] | probing the dead |
//! | [`health`] | doubt about ourselves |
//! | [`reachability`] | nodes that are hard to reach from here |
//! | [`void`] | dead nodes whose death nobody can prove |

pub(crate) mod health;
mod probe;
mod reachability;
mod reconnect;
mod relay;
mod suspect;
mod verify;
mod void;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::api::{Bound, CallResult, RequestId};
use super::core::requests::{Reply, RequestKind};
use super::core::{Context, CookiePurpose, Core};
use super::membership::ring::Rounds;
use super::membership::{Evidence, Peer};
use super::rules::Rule;
use super::time::Instant;
use crate::error::{Error, Result};
use crate::node::{Generation, Incarnation, Status};
use crate::wire::body::{Ack, LeftAt, NackReason, Ping, PingRequest};
use crate::wire::{Body, NameHash, Seq, Verdict};
use health::{Health, LastContact, silence_limit};
use probe::{Probe, ProbeId, Probes, ROUNDS_MAX, Step};
pub(super) use probe::{Purpose, Target};
use reachability::Reachability;
pub(super) use reconnect::schedule_reconnect;
use relay::RelayedPings;
use verify::ReportedDeath;
use void::Voids;

/// Number of probe timeouts after which a sleep is an absence, in which nodes may have died.
const AWAY_LAG: u32 = 2;

/// What a probe that is over means to the other parts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// Whether the run that holds a name still answers where it is held.
    Incumbent { name: NameHash, generation: Generation, addr: SocketAddr, answers: bool },
    /// Whether another run of our own name answers.
    Rival { generation: Generation, addr: SocketAddr, answers: bool },
    /// A node that was reported to have left does not answer.
    Left(Verdict),
}

/// A probe that has run to the end of its ladder.
#[derive(Debug)]
pub(super) struct Failed(ProbeId);

/// A probe that was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    probe: ProbeId,
    /// How often in a row the target was asked for its view because it was too early to compare views.
    pub(super) asked: u32,
    round_trip: Option<Duration>,
    /// The relay that reached the target, if it was not reached directly.
    relay: Option<NameHash>,
}

/// The failure detector of one member.
#[derive(Debug)]
pub(super) struct Detection {
    probes: Probes,
    relayed: RelayedPings,
    rounds: Rounds,
    round: u32,
    heard_round: Option<u32>,
    next_tick: Instant,
    health: Health,
    contact: LastContact,
    reachability: Reachability,
    voids: Voids,
    last_lag: Option<Instant>,
    reported: VecDeque<ReportedDeath>,
}

impl Detection {
    pub(super) fn new(core: &mut Core, now: Instant) -> Self {
        let phase = core.jitter(core.settings.probe_interval);
        Self {
            probes: Probes::default(),
            relayed: RelayedPings::new(),
            rounds: Rounds::default(),
            round: core.rng.next_u32() >> 8,
            heard_round: None,
            next_tick: now + phase,
            health: Health::default(),
            contact: LastContact::new(now),
            reachability: Reachability::default(),
            voids: Voids::default(),
            last_lag: None,
            reported: VecDeque::new(),
        }
    }

    /// The next wake-up of the timer to probe.
    pub(super) fn next_due(&self, core: &Core) -> Option<Instant> {
        let probes = core.members.roster().len() >= 2 && !core.leaving;
        let tick = probes.then_some(self.next_tick);
        [tick, self.probes.next_due(), self.relayed.next_due()].into_iter().flatten().min()
    }

    /// Runs the ladders of all probes as far as they are due, up to a probe that has failed.
    pub(super) fn next_failed(&mut self, core: &mut Core, now: Instant) -> Option<Failed> {
        while let Some((id, step)) = self.probes.pop_due(now) {
            match step {
                Step::Ping => self.send_ping(core, now, id),
                Step::PingAndAskRelays => {
                    self.send_ping(core, now, id);
                    self.ask_relays(core, now, id);
                }
                Step::Verdict => return Some(Failed(id)),
            }
        }
        None
    }

    /// Begins the next round, if it is time.
    pub(super) fn tick(&mut self, core: &mut Core, now: Instant) {
        if now >= self.next_tick {
            // Probes may overlap, so bad health is no reason to probe less often.
            let interval = core.settings.probe_interval;
            self.next_tick = self.next_tick + interval;
            if self.next_tick <= now {
                self.next_tick = now + interval;
            }
            core.addresses.forget_loops(now);
            self.begin_round(core, now);
            self.probe_void(core, now);
        }
    }

    /// Notices that we, and not the others, were away: the earliest of all wake-ups and the datagram that is being read
    /// was due at `due`, and is handled far past its time.
    pub(super) fn observe_lag(&mut self, core: &mut Core, now: Instant, due: Option<Instant>) {
        // What was late before the last noticed lag is part of that lag.
        let due = due.map(|due| self.last_lag.map_or(due, |last| due.max(last)));
        let Some(lag) = due
            .map(|due| now.since(due))
            .filter(|lag| *lag > core.settings.probe_timeout / 2 && core.follows(Rule::Lag))
        else {
            return;
        };
        core.note(log::Level::Debug, || format!("we were away for {lag:?}"));
        core.metrics.lags += 1;
        self.last_lag = Some(now);
        let accusing = |probe: &Probe| {
            matches!(
                probe.purpose,
                Purpose::Round | Purpose::Witness | Purpose::Void | Purpose::Reported { .. }
            )
        };
        let void = self.probes.finish_all(accusing);
        core.metrics.probes_void += void.len() as u64;
        for seq in void.iter().flat_map(Probe::requests) {
            core.requests.end(now, seq, false);
        }
        // What the other probes find out would be just as wrong: they get the time back.
        self.probes.push_back(lag);
        core.requests.push_back(lag);
        self.give_time(core, now, lag);
        self.contact.push_back(now, lag);
        self.voids.push_back(lag);
        core.last_answer = (core.last_answer + lag).min(now);
        self.next_tick = self.next_tick.max(now);
        if lag > core.settings.probe_timeout * AWAY_LAG {
            core.was_away(now);
        }
    }

    /// Notices that we, and not the others, were cut off. Called before a datagram is read that comes after a long
    /// silence. `known`: it ends the silence. One that goes on is noticed once. In a silence of two round trips to the
    /// sender nothing may have been due.
    pub(super) fn observe_silence(&self, core: &mut Core, now: Instant, sender: NameHash, known: bool) {
        let silence = self.contact.silence(now);
        let is_noticed = core.returning().is_some_and(|back| now.since(back) < silence);
        let usual = core.requests.usual_round_trip(sender).unwrap_or_default();
        if core.members.roster().len() >= 2
            && silence > silence_limit(core.settings.probe_timeout).max(usual * 2)
            && (known || !is_noticed)
        {
            core.was_away(now);
        }
    }

    /// A known sender was heard.
    pub(super) fn hear(&mut self, core: &mut Core, now: Instant, sender: NameHash) {
        core.members.heard(now, sender);
        self.voids.end(sender);
        let silence = self.contact.heard(now, silence_limit(core.settings.probe_timeout));
        if let Some(silence) = silence.filter(|_| core.follows(Rule::Silence)) {
            self.give_time(core, now, silence);
        }
    }

    /// This member is not alone any more: from here on there are others to hear and to probe.
    pub(super) fn has_company(&mut self, core: &mut Core, now: Instant) {
        core.last_answer = now;
        let _ = self.contact.heard(now, Duration::MAX);
        self.next_tick = self.next_tick.max(now);
    }

    /// The ack to a ping of a known sender, with news.
    pub(super) fn ack(&self, core: &mut Core, context: &Context, ping: &Ping) {
        let (now, from) = (context.now, context.from);
        let cookie = core.cookies.bake(now, CookiePurpose::Request, from, context.sender, context.generation);
        let ack = Ack {
            seq: ping.seq,
            round: self.round,
            view: core.view_mark(now),
            incarnation: core.incarnation,
            cookie,
        };
        let mut datagram = core.datagram_to(context.run());
        if datagram.push(&Body::Ack(ack)) {
            core.add_news(&mut datagram, context.sender);
            core.transmit(now, from, datagram);
        }
    }

    /// An unknown sender learns only that we run, and what we hold against it.
    pub(super) fn answer_stranger(&self, core: &mut Core, context: &Context, ping: &Ping) {
        let mut datagram = core.datagram_back(context);
        if !datagram.push(&Body::BareAck { seq: ping.seq }) {
            return;
        }
        if let Some(entry) = core.members.get(context.sender)
            && entry.generation() == context.generation
            && !entry.is_active()
        {
            // Refused only if there is no room, which there is. The sender knows itself at which number it left; with
            // that number the answer could be longer than the ping.
            let verdict = Verdict { left_at: LeftAt::default(), ..entry.verdict(context.sender) };
            let _ = datagram.push(&Body::Verdict(verdict));
        }
        core.transmit_unchecked(context.from, datagram);
    }

    /// A round number in a ping or an ack.
    pub(super) fn hear_round(&mut self, round: u32) {
        if self.heard_round.is_none_or(|heard| is_later(round, heard)) {
            self.heard_round = Some(round);
        }
    }

    /// An ack of a target. None if no probe waits for it, or if it is passed on to the member that asked for it.
    pub(super) fn handle_ack(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        ack: &Ack,
    ) -> Option<Answered> {
        let reply = core.answered(context, ack.seq, &[RequestKind::Ping, RequestKind::RelayedPing])?;
        if reply.kind == RequestKind::RelayedPing {
            self.relay_ack(core, context.now, ack.seq, ack.incarnation);
            return None;
        }
        self.hear_round(ack.round);
        let probe = ProbeId(reply.owner);
        let asked = self.probes.get(probe).map_or(0, |probe| probe.purpose.asked());
        Some(Answered { probe, asked, round_trip: reply.round_trip, relay: None })
    }

    /// An ack of a target that does not know us, or of another run that we do not know. None if it is passed on. Else
    /// the probe that it answers, if that is about this run.
    pub(super) fn handle_bare_ack(
        &mut self,
        core: &mut Core,
        now: Instant,
        seq: Seq,
        reply: &Reply,
    ) -> Option<Option<Answered>> {
        if reply.kind == RequestKind::RelayedPing {
            if reply.of_run {
                self.relay_ack(core, now, seq, Incarnation(0));
            }
            return None;
        }
        let answered =
            Answered { probe: ProbeId(reply.owner), asked: 0, round_trip: reply.round_trip, relay: None };
        Some(reply.of_run.then_some(answered))
    }

    /// A relay has reached the target. Returns the probe, and whether the relay's view may know more of the target than
    /// ours.
    pub(super) fn handle_relayed_ack(
        &self,
        core: &mut Core,
        context: &mut Context,
        seq: Seq,
        incarnation: Incarnation,
    ) -> Option<(Answered, bool)> {
        let reply = core.answered(context, seq, &[RequestKind::PingRequest])?;
        let probe = ProbeId(reply.owner);
        let target = self.probes.get(probe).map(|probe| probe.target);
        let knows_more = target.is_some_and(|target| incarnation > target.incarnation);
        // A round trip by way of a relay is no measure.
        Some((Answered { probe, asked: 0, round_trip: None, relay: Some(context.sender) }, knows_more))
    }

    /// A relay has not reached the target. Returns whether one of us knows more of it than the other.
    pub(super) fn handle_nack(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        seq: Seq,
        reason: NackReason,
    ) -> bool {
        let Some(reply) = core.answered(context, seq, &[RequestKind::PingRequest]) else {
            return false;
        };
        let id = ProbeId(reply.owner);
        // A node that is hidden here and not active elsewhere died while we were isolated.
        let hidden = core.members.roster().hidden();
        let is_hidden = self.probes.get(id).is_some_and(|probe| hidden.contains(&probe.target.name));
        self.probes.nacked(id, reason, is_hidden);
        reason == NackReason::Unknown
    }

    /// Measures the round trip to an active node. Answered with [`CallResult::Pinged`].
    pub(super) fn ping(&mut self, core: &mut Core, now: Instant, name: &str) -> Result<RequestId> {
        let hash = NameHash::of(core.tag, name);
        let unknown = || Error::UnknownNode(name.to_owned());
        if hash == core.me || core.members.active(hash).is_none() {
            return Err(unknown());
        }
        let call = core.fresh_call();
        self.probe_node(core, now, Purpose::User(call), hash).ok_or(Error::Refused)?;
        Ok(call)
    }

    /// Begins a probe and sends its first ping. `None` if too many run.
    pub(super) fn probe(
        &mut self,
        core: &mut Core,
        now: Instant,
        purpose: Purpose,
        target: Target,
    ) -> Option<ProbeId> {
        let rtt = core.members.get(target.name).and_then(|entry| entry.node().rtt());
        let timeout = core.settings.probe_timeout;
        let health = if core.follows(Rule::Health) { self.health.score() } else { 0 };
        let id = self.probes.begin(Probe::new(now, purpose, target, rtt, timeout, health))?;
        self.send_ping(core, now, id);
        Some(id)
    }

    /// A probe of a node as it is held now, whatever its status.
    pub(super) fn probe_node(
        &mut self,
        core: &mut Core,
        now: Instant,
        purpose: Purpose,
        name: NameHash,
    ) -> Option<ProbeId> {
        let target = target_of(core, name)?;
        self.probe(core, now, purpose, target)
    }

    /// A probe is answered, under this number.
    pub(super) fn answered(
        &mut self,
        core: &mut Core,
        now: Instant,
        seq: Seq,
        answered: &Answered,
    ) -> Option<Outcome> {
        core.requests.end(now, seq, true);
        let probe = self.finish(core, now, answered.probe)?;
        let (target, rtt) = (probe.target, answered.round_trip);
        self.reachability.answered(now, target.name, answered.relay);
        self.voids.end(target.name);
        if matches!(probe.purpose, Purpose::Round | Purpose::Witness | Purpose::Void) {
            self.voids.answered();
        }
        if core.members.get(target.name).is_some_and(|entry| entry.generation() == target.generation) {
            core.vouch(target.name);
        }
        match probe.purpose {
            Purpose::Round => {
                core.metrics.probes_answered += 1;
                self.health.improve();
                None
            }
            Purpose::User(call) => {
                core.answers.push_back((call, CallResult::Pinged(rtt.ok_or(Error::NoAnswer))));
                None
            }
            Purpose::Incumbent | Purpose::Rival => outcome_of(&probe, true),
            Purpose::Witness
            | Purpose::Void
            | Purpose::Reported { .. }
            | Purpose::Reconnect
            | Purpose::Compare { .. } => None,
        }
    }

    /// A probe has run to the end of its ladder without an answer.
    pub(super) fn failed(&mut self, core: &mut Core, now: Instant, failed: &Failed) -> Option<Outcome> {
        let probe = self.finish(core, now, failed.0)?;
        match probe.purpose {
            Purpose::Round | Purpose::Witness | Purpose::Void => self.judge(core, now, &probe, None),
            Purpose::Reported { by, .. } => self.judge(core, now, &probe, Some(by)),
            Purpose::User(call) => {
                core.answers.push_back((call, CallResult::Pinged(Err(Error::Timeout))));
                None
            }
            Purpose::Incumbent | Purpose::Rival => outcome_of(&probe, false),
            Purpose::Reconnect | Purpose::Compare { .. } => None,
        }
    }

    /// We had to refute an accusation.
    pub(super) fn refuted(&mut self, core: &Core, now: Instant) {
        self.health.accused(now, core.settings.probe_interval);
    }

    /// A node has refuted an accusation.
    pub(super) fn refuted_by(&mut self, now: Instant, name: NameHash) {
        self.reachability.refuted(now, name);
    }

    /// The relay by way of which a node answered last, if it did not answer directly.
    pub(super) fn relay(&self, name: NameHash) -> Option<NameHash> {
        self.reachability.relay(name)
    }

    /// Lifeguard's local health: 0 is healthy, 8 the worst.
    pub(super) fn health(&self) -> u8 {
        self.health.score()
    }

    pub(super) fn bounds(&self) -> [Bound; 5] {
        let reported =
            Bound { what: "reported deaths", count: self.reported.len(), max: verify::REPORTED_MAX };
        [reported, self.probes.bound(), self.relayed.bound(), self.reachability.bound(), self.voids.bound()]
    }

    /// How many requests of its own wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.probes.iter().map(|probe| probe.requests().count()).sum::<usize>() + self.relayed.len()
    }

    /// Ends a probe and all that it has asked.
    fn finish(&mut self, core: &mut Core, now: Instant, id: ProbeId) -> Option<Probe> {
        let probe = self.probes.finish(id)?;
        for seq in probe.requests() {
            core.requests.end(now, seq, false);
        }
        Some(probe)
    }

    fn begin_round(&mut self, core: &mut Core, now: Instant) {
        self.round = match self.heard_round.take() {
            Some(heard) if is_later(heard, self.round) => heard,
            _ => self.round.wrapping_add(1),
        };
        let all = core.members.roster().probed();
        let n = all.len();
        if n < 2 || core.leaving {
            return;
        }
        let own = all.binary_search(&core.me).unwrap_or(0);
        let target = all[(own + self.rounds.offset(self.round, n)) % n];
        self.probe_in_round(core, now, target);
    }

    fn probe_in_round(&mut self, core: &mut Core, now: Instant, target: NameHash) {
        let running = || self.probes.iter().filter(|probe| probe.purpose == Purpose::Round);
        if target == core.me
            || running().any(|probe| probe.target.name == target)
            || running().count() >= ROUNDS_MAX
        {
            return;
        }
        if self.probe_node(core, now, Purpose::Round, target).is_some() {
            core.metrics.probes += 1;
        }
    }

    fn send_ping(&mut self, core: &mut Core, now: Instant, id: ProbeId) {
        let Some(probe) = self.probes.get(id) else {
            return;
        };
        let (target, purpose) = (probe.target, probe.purpose);
        let reported = if let Purpose::Reported { by, .. } = purpose {
            let mut verdict = suspicion_of(&target);
            verdict.accusers.insert(by);
            Some(verdict)
        } else {
            None
        };
        let seq = core.request(now, RequestKind::Ping, id.0, target.peer(), None);
        self.probes.pinged(id, seq);
        self.write_ping(core, now, &target, seq, reported);
    }

    /// A ping, with what is held against its receiver before it, so that the ack can refute that (Lifeguard's
    /// buddy system), and news after it.
    fn write_ping(
        &self,
        core: &mut Core,
        now: Instant,
        target: &Target,
        seq: Seq,
        reported: Option<Verdict>,
    ) {
        let ping = Ping {
            seq,
            target: target.name,
            round: self.round,
            view: core.view_mark(now),
            incarnation: core.incarnation,
        };
        let mut datagram = core.datagram_to((target.name, target.generation));
        let buddy = || core.held_against(target.name).filter(|_| core.follows(Rule::Buddy));
        if let Some(verdict) = reported.or_else(buddy) {
            // Refused only if there is no room, which there is.
            let _ = datagram.push(&Body::Verdict(verdict));
        }
        // An address that is unreachable from here has to be pinged by relays.
        if core.can_reach(target.addr) && datagram.push(&Body::Ping(ping)) {
            core.add_rumors(&mut datagram, target.name);
            core.transmit(now, target.addr, datagram);
        }
    }

    fn ask_relays(&mut self, core: &mut Core, now: Instant, id: ProbeId) {
        let Some((target, wanted)) = self.probes.get(id).map(|probe| (probe.target, probe.purpose.relays()))
        else {
            return;
        };
        let known = self.reachability.relay(target.name).filter(|_| core.follows(Rule::KnownRelay));
        let relays = choose_relays(core, target.name, wanted, known);
        // One that is hidden could have been one, had it answered.
        self.probes.set_relay_exists(id, core.members.roster().len() > 2);
        for relay in relays {
            let Some(entry) = core.members.visible(relay) else {
                continue;
            };
            let (addr, generation) = (entry.addr(), entry.generation());
            let rtt = entry.node().rtt().unwrap_or_default();
            let nack_after = self.probes.get(id).map(|probe| probe.nack_after(now, rtt)).unwrap_or_default();
            let asked = Peer { name: relay, addr, generation };
            let seq = core.request(now, RequestKind::PingRequest, id.0, asked, None);
            self.probes.asked(id, seq);
            let request = PingRequest {
                seq,
                target: target.name,
                generation: target.generation,
                nack_after_ms: u32::try_from(nack_after.as_millis()).unwrap_or(u32::MAX),
            };
            core.reply(now, addr, (relay, generation), &Body::PingRequest(request));
        }
    }

    /// A probe that could accuse has failed. It accuses only with proof, or [at the end of a series](void), and only
    /// the incarnation that it was about. `reporter` has reported before that the target is dead or has left.
    fn judge(
        &mut self,
        core: &mut Core,
        now: Instant,
        probe: &Probe,
        reporter: Option<NameHash>,
    ) -> Option<Outcome> {
        let evidence = if probe.proven || !core.follows(Rule::Proof) {
            Evidence::Proven
        } else if !probe.relay_exists || self.accuses_without_proof(core, now, probe) {
            Evidence::Unproven
        } else {
            core.metrics.probes_void += 1;
            // A relay that does not know the target has heard us, a second look shows no more than the first, and where
            // nothing can be sent it is not our doing that nothing comes.
            if !probe.is_unknown && probe.purpose != Purpose::Void && core.can_reach(probe.target.addr) {
                self.health.worsen();
            }
            return None;
        };
        core.metrics.probes_failed += 1;
        if let Purpose::Reported { status: Status::Left, left_at, .. } = probe.purpose {
            // Another member has heard its leave, and it does not answer: no suspicion is needed.
            let Target { name, generation, incarnation, .. } = probe.target;
            return Some(Outcome::Left(Verdict::left(name, generation, incarnation, left_at)));
        }
        let mut verdict = suspicion_of(&probe.target);
        verdict.accusers.insert(core.me);
        if let Some(reporter) = reporter {
            verdict.accusers.insert(reporter);
        }
        self.suspect(core, now, &verdict, evidence);
        None
    }
}

/// A node as a target, as it is held now, whatever its status.
fn target_of(core: &Core, name: NameHash) -> Option<Target> {
    core.members.get(name).map(|entry| Target {
        name,
        addr: entry.addr(),
        generation: entry.generation(),
        incarnation: entry.incarnation(),
    })
}

/// First the relay that reached the target last, if one is `known`; then the node that was heard last, which surely is
/// there; then any.
fn choose_relays(core: &mut Core, target: NameHash, wanted: usize, known: Option<NameHash>) -> Vec<NameHash> {
    let known = known.filter(|relay| core.members.visible(*relay).is_some());
    let last = core.members.heard_last_but(target).filter(|_| core.follows(Rule::LastHeard));
    let mut relays: Vec<NameHash> =
        known.into_iter().chain(last.filter(|last| known != Some(*last))).collect();
    relays.truncate(wanted);
    while relays.len() < wanted {
        let Some(relay) = draw_another(core, target, &relays) else {
            break;
        };
        relays.push(relay);
    }
    relays
}

/// Any other node that takes part and is none of these. It does not look at all nodes, because there may be many
/// probes.
fn draw_another(core: &mut Core, target: NameHash, others: &[NameHash]) -> Option<NameHash> {
    let ring = core.members.ring();
    let not = [core.me, target].into_iter().chain(others.iter().copied());
    let mut places: Vec<usize> = not.filter_map(|name| ring.binary_search(&name).ok()).collect();
    places.sort_unstable();
    places.dedup();
    let left = ring.len() - places.len();
    if left == 0 {
        return None;
    }
    let drawn = core.rng.random_range(0..left);
    let place = places.into_iter().fold(drawn, |place, not| place + usize::from(not <= place));
    core.members.ring().get(place).copied()
}

/// What a probe that checks a name means.
fn outcome_of(probe: &Probe, answers: bool) -> Option<Outcome> {
    let Target { name, generation, addr, .. } = probe.target;
    match probe.purpose {
        Purpose::Incumbent => Some(Outcome::Incumbent { name, generation, addr, answers }),
        Purpose::Rival => Some(Outcome::Rival { generation, addr, answers }),
        _ => None,
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
        left_at: LeftAt::default(),
    }
}
