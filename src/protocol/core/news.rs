//! The view as others and users hear of it: what is held against a node, what there is news of, and the events.

use super::rumors::Topic;
use super::{Core, Timer};
use crate::event::Event;
use crate::node::{Node, Status};
use crate::protocol::membership::{Suspicion, ring};
use crate::protocol::time::Instant;
use crate::wire::body::Vouch;
use crate::wire::{Body, Cookie, NameHash, Verdict, Writer};

/// Maximum number of rumors for each datagram that may not fit, before no further ones are tried.
pub(in crate::protocol) const MISFITS_MAX: usize = 4;

impl Core {
    /// There is news of a node: it goes round.
    pub(in crate::protocol) fn push_rumor(&mut self, now: Instant, subject: NameHash) {
        self.push_topic(now, Topic::Node(subject));
    }

    /// There is more of the news of a node that went round: it follows until `at`.
    pub(in crate::protocol) fn push_addition(&mut self, now: Instant, at: Instant, subject: NameHash) {
        let slots = self.slot_count();
        if slots > 0 && self.rumors.push_addition(now, at, Topic::Node(subject), slots) {
            self.metrics.rumors_dropped += 1;
        }
    }

    /// There is news: it goes round.
    pub(in crate::protocol) fn push_topic(&mut self, now: Instant, topic: Topic) {
        let slots = self.slot_count();
        if slots > 0 && self.rumors.push(now, topic, slots) {
            self.metrics.rumors_dropped += 1;
        }
    }

    /// As many as there are offsets, which change with each newcomer: they are computed when they are needed.
    fn slot_count(&self) -> usize {
        let n = self.members.ring().len();
        ring::sends(n, self.settings.retransmit).min(n.saturating_sub(1))
    }

    /// Adds what is held against the receiver, then rumors, as far as there is room.
    pub(in crate::protocol) fn add_news(&self, datagram: &mut Writer, receiver: NameHash) {
        if let Some(verdict) = self.held_against(receiver) {
            // If there is no room for it, there is none for rumors.
            let _ = datagram.push(&Body::Verdict(verdict));
        }
        self.add_rumors(datagram, receiver);
    }

    /// Adds rumors, the one about ourselves first, as far as there is room. It does not count as telling them.
    pub(in crate::protocol) fn add_rumors(&self, datagram: &mut Writer, receiver: NameHash) {
        if self.rumors.is_empty() || self.members.active(receiver).is_none() {
            return;
        }
        let mut misfits = 0;
        let own = self.rumors.topics().filter(|topic| *topic == Topic::Node(self.me));
        let others = self.rumors.topics().filter(|topic| *topic != Topic::Node(self.me));
        for topic in own.chain(others.filter(|topic| topic.subject() != receiver)) {
            // News of states has its own way to go.
            if let Topic::Node(subject) = topic
                && !self.add_node(datagram, subject, receiver)
            {
                misfits += 1;
                if misfits == MISFITS_MAX {
                    break;
                }
            }
        }
    }

    /// Adds the news of a node. False if there is no room for it.
    pub(in crate::protocol) fn add_node(
        &self,
        datagram: &mut Writer,
        subject: NameHash,
        receiver: NameHash,
    ) -> bool {
        match self.news_of(subject) {
            // It knows itself; what is held against it, it must hear.
            Some(Body::Alive { .. }) if subject == receiver => true,
            Some(body) => datagram.push(&self.vouched(body, receiver)),
            None => true,
        }
    }

    /// What this view holds against a node: a suspicion with its accusers, or its death.
    pub(in crate::protocol) fn held_against(&self, name: NameHash) -> Option<Verdict> {
        let entry = self.members.get(name).filter(|entry| entry.status != Status::Alive)?;
        let mut verdict = entry.verdict(name);
        if entry.status == Status::Suspect {
            verdict.accusers = self.suspicions.get(name)?.accusers;
        }
        Some(verdict)
    }

    /// Ends the suspicion of a node, however it ended.
    pub(in crate::protocol) fn end_suspicion(&mut self, name: NameHash) -> Option<Suspicion> {
        self.timers.cancel(Timer::Suspicion(name));
        self.timers.cancel(Timer::Show(name));
        self.suspicions.remove(name)
    }

    /// Leaves a node out of this view, with the events of a death. False if it was out already.
    pub(in crate::protocol) fn hide(&mut self, now: Instant, name: NameHash) -> bool {
        let before = self.members.get(name).map(|entry| entry.node().clone());
        if !self.members.set_hidden(now, name, true) {
            return false;
        }
        let shown = self.suspicions.get(name).is_some_and(|suspicion| suspicion.shown);
        if let Some(node) = before.filter(|_| !shown) {
            self.events.push_back(Event::Suspected(node.with_status(Status::Suspect)));
        }
        self.emit_death(name, false);
        true
    }

    /// A hidden node has answered, or a member that does not hide it holds it active.
    pub(in crate::protocol) fn unhide(&mut self, now: Instant, name: NameHash) {
        if self.members.roster().hidden().contains(&name) && self.members.set_hidden(now, name, false) {
            self.timers.set_earliest(Timer::Isolation, now + self.settings.isolation_timeout);
            self.emit_about(name, Event::Joined);
            if self.suspicions.get(name).is_some_and(|suspicion| suspicion.shown) {
                self.members.show_suspicion(name);
                self.emit_about(name, Event::Suspected);
            }
        }
    }

    /// Makes room for a node that takes part: if the view is full, one that is hidden counts as dead from here on.
    /// Answers whether there was one.
    pub(in crate::protocol) fn make_room(&mut self, now: Instant) -> bool {
        let hidden = self.members.roster().hidden().first().filter(|_| self.members.is_full());
        let Some(name) = hidden.copied() else {
            return false;
        };
        if let Some(entry) = self.members.get(name) {
            let verdict = Verdict { status: Status::Dead, ..entry.verdict(name) };
            self.members.merge_verdict(now, &verdict);
        }
        self.end_suspicion(name);
        self.reap(now);
        true
    }

    /// Forgets tombstones that have served their time.
    ///
    /// Beyond SWIM: never while alone. The dead and the left are then all that is left of the cluster, and where they
    /// were is the way back to it. Once there is company again, it gets a moment to report which of them is back.
    pub(in crate::protocol) fn reap(&mut self, now: Instant) {
        if self.is_alone() {
            self.timers.set(Timer::Reap, now + self.settings.rejoin_interval);
        } else if let Some(next) = self.members.reap(now, self.settings.tombstone_ttl) {
            self.timers.set(Timer::Reap, next);
        }
    }

    /// Queues an event about a node as the view shows it now.
    pub(in crate::protocol) fn emit_about(&mut self, name: NameHash, event: impl FnOnce(Node) -> Event) {
        if name == self.me {
            return;
        }
        if let Some(entry) = self.members.get(name) {
            self.events.push_back(event(entry.node().clone()));
        }
    }

    /// A run that comes into the view shows what has come of its state in the same datagram: in its first event, and not in
    /// events of their own. `since`: how many events there were before the datagram was read.
    pub(in crate::protocol) fn merge_first_states(&mut self, since: usize) {
        let is_first = |event: &Event| matches!(event, Event::Joined(_) | Event::Restarted(_));
        for place in since..self.events.len() {
            let Some(first) = self.events.get(place).filter(|event| is_first(event)) else {
                continue;
            };
            let run = first.node().map(|node| (node.name().to_owned(), node.generation()));
            let is_change = |event: &Event| {
                let Event::Changed { node, .. } = event else {
                    return false;
                };
                run.as_ref()
                    .is_some_and(|(name, generation)| node.name() == name && node.generation() == *generation)
            };
            let latest = self.events.range(place..).rev().find(|event| is_change(event));
            let Some(latest) = latest.and_then(Event::node).cloned() else {
                continue;
            };
            if let Some(Event::Joined(node) | Event::Restarted(node)) = self.events.get_mut(place) {
                *node = latest.with_status(node.status());
            }
            let rest = self.events.split_off(place);
            self.events.extend(rest.into_iter().filter(|event| !is_change(event)));
        }
    }

    /// Queues the event of a death.
    pub(in crate::protocol) fn emit_death(&mut self, name: NameHash, proven: bool) {
        self.metrics.deaths_unproven += u64::from(!proven);
        self.emit_about(name, |node| Event::Died { node, proven });
    }

    /// What is gossiped about a node now. Nothing for a hidden one.
    fn news_of(&self, subject: NameHash) -> Option<Body<'_>> {
        if subject == self.me {
            let leaves = self.leaving;
            return Some(if leaves {
                Body::Verdict(self.own_leave())
            } else {
                Body::Alive { record: self.own_record(), vouched: true }
            });
        }
        let entry = self.members.get(subject).filter(|entry| !entry.hidden)?;
        if entry.status == Status::Alive {
            return Some(Body::Alive { record: entry.record(), vouched: self.vouches(subject, entry) });
        }
        self.held_against(subject).map(Body::Verdict)
    }

    /// The news for a receiver: of a leave with the cookie that it has given us, if there is one.
    pub(in crate::protocol) fn vouched<'a>(&self, news: Body<'a>, receiver: NameHash) -> Body<'a> {
        match (news, self.given.get(receiver)) {
            (Body::Verdict(verdict), Some(cookie))
                if verdict.status == Status::Left && verdict.subject != receiver =>
            {
                vouch(&verdict, cookie)
            }
            _ => news,
        }
    }
}

pub(in crate::protocol) fn vouch(verdict: &Verdict, cookie: Cookie) -> Body<'static> {
    let Verdict { subject, generation, incarnation, left_at, .. } = *verdict;
    Body::Vouch(Vouch { cookie, subject, generation, incarnation, left_at })
}
