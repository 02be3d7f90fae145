//! News: taking it into the view, telling users, and passing it on.

use super::announce::NUMBER_MAX;
use super::members::{Before, Merged};
use super::rumors::{Topic, slot_order};
use super::time::Instant;
use super::{Context, Protocol, Rule, Timer, ring};
use crate::event::Event;
use crate::node::{Node, Status};
use crate::state::VERSION_MAX;
use crate::wire::{Body, NameHash, Record, Verdict, Writer};

/// Records learned by sync that are told on all the same, a second.
const REGOSSIP_PER_SECOND: u32 = 26;
/// A partner that was dead here so recently brings news of its side of a cut.
const RETURN_MEMORY: std::time::Duration = std::time::Duration::from_secs(10);
/// A rumor that does not fit does not block one that does, for so many tries a datagram.
pub(super) const MISFITS_MAX: usize = 4;

/// By which way a record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Gossiped by this member, or added to its ping or ack.
    Rumor(NameHash),
    /// From the node itself, by its address.
    Direct,
    /// From the node itself, in answer to us: nobody else could have sent it.
    Answer,
    /// From the node itself, which we let in. `proven`: it came from where the node is held, or is new.
    Admission { proven: bool },
    /// Told by this partner when views were compared.
    Sync(NameHash),
}

impl Source {
    /// Who has told a record of this node.
    fn teller(self, subject: NameHash) -> NameHash {
        match self {
            Self::Rumor(teller) | Self::Sync(teller) => teller,
            Self::Direct | Self::Answer | Self::Admission { .. } => subject,
        }
    }
}

impl Protocol {
    /// Takes what a node says about itself.
    pub(super) fn take_record(&mut self, now: Instant, record: &Record<'_>, source: Source) -> Merged {
        if !self.takes(record) {
            self.core.metrics.not_allowed += 1;
            return Merged::Refused;
        }
        let name = NameHash::of(self.core.tag, record.name);
        let known_run =
            self.core.members.get(name).is_some_and(|entry| entry.generation() == record.generation);
        let is_possible = record.broadcast <= NUMBER_MAX && record.state_version <= VERSION_MAX;
        if !is_possible || (!known_run && !self.is_plausible(now, record.generation)) {
            self.core.metrics.implausible += 1;
            return Merged::Refused;
        }
        if name == self.core.me {
            self.handle_own_name(now, record);
            if record.generation == self.core.generation {
                self.claim_broadcast(now, record.broadcast);
            }
            self.state_told(now, name, record.generation, record.state_version, source.teller(name), false);
            return Merged::Same;
        }
        let started = Record { broadcast: self.first_broadcast(record), ..*record };
        let merged = match source {
            Source::Answer | Source::Admission { proven: true } => {
                self.core.members.merge_proven(now, name, &started)
            }
            Source::Rumor(_) | Source::Direct | Source::Admission { proven: false } | Source::Sync(_) => {
                self.core.members.merge_alive(now, name, &started)
            }
        };
        if merged == Merged::Changed(None) && matches!(source, Source::Rumor(_)) {
            self.core.addresses.came(now, record.addr);
        }
        match merged {
            Merged::Refused => self.core.metrics.implausible += 1,
            Merged::Changed(before) => self.record_changed(now, name, before, source),
            Merged::Same if matches!(source, Source::Sync(_) | Source::Admission { .. }) => {
                self.unhide(now, name);
            }
            Merged::Same | Merged::Older => {}
        }
        let (teller, at_once) = (source.teller(name), matches!(source, Source::Sync(_)));
        self.state_told(now, name, record.generation, record.state_version, teller, at_once);
        self.broadcasts_told(now, name, record, teller, at_once);
        merged
    }

    /// Hears of an accusation, a death or a leave of another node.
    ///
    /// Beyond SWIM: who tells of a leave is asked whether it did (see [`super::vouch`]). A death is believed at once
    /// only if the suspicion before it was heard of too, and long enough ago that a refutation would be here. Else the
    /// node is asked first, so that one sick view can not spread.
    pub(super) fn hear_verdict(&mut self, context: &mut Context, verdict: &Verdict) {
        if self.is_doubtful(context, verdict) {
            self.doubt(context, verdict.subject);
            return;
        }
        let is_surprise = self.core.members.active(verdict.subject).is_some()
            && self.suspicions.get(verdict.subject).is_none_or(|suspicion| !suspicion.shown);
        if verdict.status == Status::Dead && is_surprise && self.core.follows(Rule::AskFirst) {
            self.ask_first(context.now, verdict, context.sender);
        } else {
            self.take_verdict(context.now, verdict);
        }
    }

    /// Takes an accusation, a death or a leave of another node.
    pub(super) fn take_verdict(&mut self, now: Instant, verdict: &Verdict) {
        if verdict.status == Status::Suspect {
            self.accuse(now, verdict, false);
            return;
        }
        match self.core.members.merge_verdict(now, verdict) {
            Merged::Changed(Some(before)) => self.gone(now, verdict.subject, &before),
            Merged::Refused if self.core.members.get(verdict.subject).is_some() => {
                self.core.metrics.implausible += 1
            }
            _ => {}
        }
    }

    /// There is news of a node: it goes round.
    pub(super) fn push_rumor(&mut self, now: Instant, subject: NameHash) {
        self.push_topic(now, Topic::Node(subject));
    }

    /// There is more of the news of a node that went round: it follows until `at`.
    pub(super) fn push_addition(&mut self, now: Instant, at: Instant, subject: NameHash) {
        let slots = self.slot_count();
        if slots > 0 && self.rumors.push_addition(now, at, Topic::Node(subject), slots) {
            self.core.metrics.rumors_dropped += 1;
        }
    }

    /// There is news: it goes round.
    pub(super) fn push_topic(&mut self, now: Instant, topic: Topic) {
        let slots = self.slot_count();
        if slots > 0 && self.rumors.push(now, topic, slots) {
            self.core.metrics.rumors_dropped += 1;
        }
    }

    /// As many as there are offsets, which change with each newcomer: they are computed when they are needed.
    fn slot_count(&self) -> usize {
        let n = self.core.members.ring().len();
        ring::sends(n, self.core.settings.retransmit).min(n.saturating_sub(1))
    }

    /// Sends a round of rumors, if one is due.
    pub(super) fn spread(&mut self, now: Instant) {
        if self.rumors.is_empty() || self.core.members.ring().len() < 2 {
            return;
        }
        let offsets = self.slots().to_vec();
        if !self.rumors.begin_round(now, offsets.len()) {
            return;
        }
        self.core.metrics.rumor_rounds += 1;
        let mut full = false;
        let mut used: Vec<NameHash> = Vec::with_capacity(offsets.len());
        for slot in slot_order(offsets.len()) {
            let topics: Vec<Topic> = self.rumors.for_slot(slot).collect();
            if topics.is_empty() {
                continue;
            }
            match self.peer_of(now, offsets[slot], &used, &topics) {
                Some(peer) => {
                    used.push(peer);
                    full |= self.tell(now, slot, peer, &topics);
                }
                None => topics.iter().for_each(|topic| self.rumors.told(slot, *topic)),
            }
        }
        self.rumors.end_round(now, full);
    }

    /// Adds what is held against the receiver, then rumors, as far as there is room.
    pub(super) fn add_news(&self, datagram: &mut Writer, receiver: NameHash) {
        if let Some(verdict) = self.held_against(receiver) {
            // If there is no room for it, there is none for rumors.
            let _ = datagram.push(&Body::Verdict(verdict));
        }
        self.add_rumors(datagram, receiver);
    }

    /// Adds rumors, the one about ourselves first, as far as there is room. It does not count as telling them.
    pub(super) fn add_rumors(&self, datagram: &mut Writer, receiver: NameHash) {
        if self.rumors.is_empty() || self.core.members.active(receiver).is_none() {
            return;
        }
        let mut misfits = 0;
        let own = self.rumors.topics().filter(|topic| *topic == Topic::Node(self.core.me));
        let others = self.rumors.topics().filter(|topic| *topic != Topic::Node(self.core.me));
        for topic in own.chain(others.filter(|topic| topic.subject() != receiver)) {
            // News of states has its own way to go.
            if matches!(topic, Topic::Node(_)) && self.add_topic(datagram, topic, receiver).is_none() {
                misfits += 1;
                if misfits == MISFITS_MAX {
                    break;
                }
            }
        }
    }

    /// Adds what there is to tell of a topic now: how many writes of a state. None if there is no room for it.
    fn add_topic(&self, datagram: &mut Writer, topic: Topic, receiver: NameHash) -> Option<usize> {
        match topic {
            Topic::Node(subject) => match self.news_of(subject) {
                // It knows itself; what is held against it, it must hear.
                Some(Body::Alive(_)) if subject == receiver => Some(0),
                Some(body) => datagram.push(&self.vouched(body, receiver)).then_some(0),
                None => Some(0),
            },
            Topic::State(subject, _) | Topic::Broadcast(subject, _) if subject == receiver => Some(0),
            Topic::State(subject, from) => self.add_state_news(datagram, subject, from),
            Topic::Broadcast(origin, number) => self.add_broadcast(datagram, origin, number).then_some(0),
        }
    }

    /// What this view holds against a node: a suspicion with its accusers, or its death.
    pub(super) fn held_against(&self, name: NameHash) -> Option<Verdict> {
        let entry = self.core.members.get(name).filter(|entry| entry.status != Status::Alive)?;
        let mut verdict = entry.verdict(name);
        if entry.status == Status::Suspect {
            verdict.accusers = self.suspicions.get(name)?.accusers;
        }
        Some(verdict)
    }

    /// Leaves a node out of this view, with the events of a death. False if it was out already.
    pub(super) fn hide(&mut self, now: Instant, name: NameHash) -> bool {
        let before = self.core.members.get(name).map(|entry| entry.node().clone());
        if !self.core.members.set_hidden(now, name, true) {
            return false;
        }
        let shown = self.suspicions.get(name).is_some_and(|suspicion| suspicion.shown);
        if let Some(node) = before.filter(|_| !shown) {
            self.core.events.push_back(Event::Suspected(node.with_status(Status::Suspect)));
        }
        self.emit_about(name, Event::Died);
        true
    }

    /// A node that was hidden has shown itself, or is held active by somebody who does not hide it.
    pub(super) fn unhide(&mut self, now: Instant, name: NameHash) {
        if self.core.members.hidden_len() > 0 && self.core.members.set_hidden(now, name, false) {
            self.emit_about(name, Event::Joined);
            if self.suspicions.get(name).is_some_and(|suspicion| suspicion.shown) {
                self.core.members.show_suspicion(name);
                self.emit_about(name, Event::Suspected);
            }
        }
    }

    /// Queues an event about a node as the view shows it now.
    pub(super) fn emit_about(&mut self, name: NameHash, event: impl FnOnce(Node) -> Event) {
        if name == self.core.me {
            return;
        }
        if let Some(entry) = self.core.members.get(name) {
            self.core.events.push_back(event(entry.node().clone()));
        }
    }

    /// What there is to tell of a node now. Nothing of one that is hidden.
    fn news_of(&self, subject: NameHash) -> Option<Body<'_>> {
        if subject == self.core.me {
            let leaves = self.core.leave.is_some();
            return Some(if leaves {
                Body::Verdict(self.own_leave())
            } else {
                Body::Alive(self.own_record())
            });
        }
        let entry = self.core.members.get(subject).filter(|entry| !entry.hidden)?;
        if entry.status == Status::Alive {
            return Some(Body::Alive(entry.record()));
        }
        self.held_against(subject).map(Body::Verdict)
    }

    /// The ring offsets of the slots, for the ring as it is.
    fn slots(&mut self) -> &[usize] {
        let n = self.core.members.ring().len();
        if self.ring_offsets.0 != n {
            self.ring_offsets = (n, ring::offsets(n, ring::sends(n, self.core.settings.retransmit)));
        }
        &self.ring_offsets.1
    }

    /// The peer at an offset. Suspects are passed over along the ring; one that stands there still gets what
    /// concerns itself.
    fn peer_of(
        &mut self,
        now: Instant,
        offset: usize,
        used: &[NameHash],
        topics: &[Topic],
    ) -> Option<NameHash> {
        if self.is_crowded(now)
            && let Some(peer) = self.peer_in_crowd(used)
        {
            return Some(peer);
        }
        let ring = self.core.members.ring();
        let n = ring.len();
        let own = ring.binary_search(&self.core.me).unwrap_or(0);
        let place = (own + offset) % n;
        let is_suspect = |name: &NameHash| {
            self.core.members.get(*name).is_none_or(|entry| entry.status == Status::Suspect)
        };
        let first = ring[place];
        let chosen = (0..n)
            .map(|step| ring[(place + step) % n])
            .find(|name| *name != self.core.me && !is_suspect(name) && !used.contains(name));
        if chosen != Some(first) && topics.contains(&Topic::Node(first)) && is_suspect(&first) {
            self.tell_suspect(now, first);
        }
        chosen
    }

    fn tell_suspect(&mut self, now: Instant, name: NameHash) {
        let Some(entry) = self.core.members.get(name) else {
            return;
        };
        let (addr, generation) = (entry.addr(), entry.generation());
        let mut datagram = self.core.datagram_to(generation);
        self.add_news(&mut datagram, name);
        self.core.transmit(now, addr, datagram);
    }

    /// Tells a peer what a slot has for it. Answers whether something had no room.
    fn tell(&mut self, now: Instant, slot: usize, peer: NameHash, topics: &[Topic]) -> bool {
        let Some(entry) = self.core.members.get(peer) else {
            return false;
        };
        let (addr, generation) = (entry.addr(), entry.generation());
        let mut datagram = self.core.datagram_to(generation);
        let mut misfits = 0;
        let own = topics.iter().filter(|topic| **topic == Topic::Node(self.core.me));
        let others = topics.iter().filter(|topic| **topic != Topic::Node(self.core.me));
        let mut told = Vec::with_capacity(topics.len());
        for topic in own.chain(others) {
            if matches!(topic, Topic::State(..)) && !self.state_budget.may_gossip(now) {
                continue;
            }
            if let Some(writes) = self.add_topic(&mut datagram, *topic, peer) {
                self.state_budget.spend(writes);
                told.push(*topic);
            } else {
                misfits += 1;
                if misfits == MISFITS_MAX {
                    break;
                }
            }
        }
        self.rumors.take_turn();
        for topic in told {
            self.rumors.told(slot, topic);
        }
        self.core.transmit(now, addr, datagram);
        misfits > 0
    }

    /// A record was taken: ends what it refutes, tells users, and decides whether it goes on.
    fn record_changed(&mut self, now: Instant, name: NameHash, before: Option<Before>, source: Source) {
        let Some(entry) = self.core.members.get(name) else {
            return;
        };
        let (addr, generation) = (entry.addr(), entry.generation());
        if entry.status == Status::Suspect {
            // It told what belongs to the incarnation that is accused, and nothing against the accusation.
            if before.is_some_and(|before| before.addr != addr) {
                self.emit_about(name, Event::Moved);
            }
            return;
        }
        let same_run = before.as_ref().is_some_and(|before| before.generation == generation);
        let was_shown = self.end_suspicion(name);
        if same_run && before.as_ref().is_some_and(|before| before.status == Status::Suspect) {
            self.damping.refuted(now, name);
        }
        let was_out = before.as_ref().is_some_and(|before| !before.status.is_active() || before.hidden);
        if self.core.members.ring().len() == 2
            && before.as_ref().is_none_or(|before| !before.status.is_active())
        {
            self.has_company(now);
        }
        match &before {
            None => self.emit_about(name, Event::Joined),
            Some(before) => {
                if !same_run {
                    self.emit_about(name, Event::Restarted);
                } else if was_out {
                    self.emit_about(name, Event::Joined);
                } else if was_shown {
                    self.emit_about(name, Event::Recovered);
                }
                if same_run && before.addr != addr {
                    self.emit_about(name, Event::Moved);
                }
            }
        }
        if was_out && same_run {
            self.note_return(now, name);
        }
        self.core.timers.set_earliest(Timer::Isolation, now + self.core.settings.isolation_timeout);
        if self.goes_on(now, before.as_ref(), was_out, source) {
            self.push_rumor(now, name);
        }
    }

    /// This member is not alone any more: from here on there is somebody to hear, and to probe.
    pub(super) fn has_company(&mut self, now: Instant) {
        let _ = self.ears.heard(now, std::time::Duration::MAX);
        self.next_tick = self.next_tick.max(now);
    }

    /// Whether a record that was taken is told on. What everybody learns by comparing views is not, save what
    /// the others can not have: the return of the dead, news across a healed cut, refutations.
    fn goes_on(&mut self, now: Instant, before: Option<&Before>, was_out: bool, source: Source) -> bool {
        let Source::Sync(partner) = source else {
            return true;
        };
        if before.is_some_and(|before| before.status == Status::Suspect) {
            return true;
        }
        let across = self.returned.get(&partner).is_some_and(|at| now.since(*at) < RETURN_MEMORY);
        if !was_out && !across {
            return false;
        }
        let second = now.as_micros() / 1_000_000;
        if self.regossiped.0 != second {
            self.regossiped = (second, 0);
        }
        self.regossiped.1 += 1;
        self.regossiped.1 <= REGOSSIP_PER_SECOND
    }

    fn note_return(&mut self, now: Instant, name: NameHash) {
        self.returned.retain(|_, at| now.since(*at) < RETURN_MEMORY);
        self.returned.insert(name, now);
    }

    /// A node has died or left.
    fn gone(&mut self, now: Instant, name: NameHash, before: &Before) {
        let was_shown = self.end_suspicion(name);
        let Some(status) = self.core.members.get(name).map(|entry| entry.status) else {
            return;
        };
        if status == Status::Left {
            if before.status != Status::Left {
                self.emit_about(name, Event::Left);
            }
        } else if before.status.is_active() && !before.hidden {
            if !was_shown && let Some(entry) = self.core.members.get(name) {
                self.core.events.push_back(Event::Suspected(entry.node().with_status(Status::Suspect)));
            }
            self.emit_about(name, Event::Died);
        }
        self.push_rumor(now, name);
        self.schedule_healing(now);
        self.seek_if_alone(now);
        self.reap(now);
    }

    /// Forgets tombstones that have served their time.
    ///
    /// Beyond SWIM: never while alone. The dead and the left are then all that is left of the cluster, and where they
    /// were is the way back to it. Once there is company again, it gets a moment to tell who of them is back.
    pub(super) fn reap(&mut self, now: Instant) {
        if self.is_alone() {
            self.core.timers.set(Timer::Reap, now + self.core.settings.rejoin_interval);
        } else if let Some(next) = self.core.members.reap(now, self.core.settings.tombstone_ttl) {
            self.core.timers.set(Timer::Reap, next);
        }
    }
}
