//! What the outcomes of one part mean to the others: of probes, accusations, requests, exchanges and pulls.

use std::net::SocketAddr;

use super::core::Core;
use super::core::requests::{DueRequest, RequestKind};
use super::detection::{Outcome, Purpose, Target};
use super::identity::Defence;
use super::membership::Entry;
use super::state::States;
use super::sync::Ended;
use super::sync::pull::Item;
use super::{Instant, Protocol, TimerKind, broadcast, identity, state};
use crate::error::Error;
use crate::node::{Generation, Incarnation};
use crate::protocol::core::Timer;
use crate::state::Lacking;
use crate::wire::lists::Lack;
use crate::wire::{NameHash, Seq};

impl Protocol {
    /// Notices that we were away: a deadline or a datagram is handled far past its time.
    pub(super) fn observe_lag(&mut self, now: Instant, received: Option<Instant>) {
        let due =
            [TimerKind::Probe, TimerKind::Disseminate].into_iter().filter_map(|kind| self.poll_timeout(kind));
        // Rumors that should be sent at once are due at the beginning of time: they do not show a lag.
        let due = due.filter(|at| *at > self.core.started).chain(received).min();
        self.detection.observe_lag(&mut self.core, now, due);
    }

    /// Tries to become known to the member at an address, unless we are to stay away.
    pub(super) fn attempt_join(&mut self, now: Instant, addr: SocketAddr) {
        if !self.identity.stays_away(now) {
            self.admission.attempt(&mut self.core, now, addr);
        }
    }

    /// A member reports a node at an address and does not vouch for it, and the node does not take part here: it gets a
    /// hello.
    pub(super) fn follow_hint(&mut self, now: Instant, addr: SocketAddr) {
        if !self.identity.stays_away(now) {
            self.admission.follow_hint(&mut self.core, now, addr);
        }
    }

    /// What a probe that is over means to the other parts.
    pub(super) fn probe_ended(&mut self, now: Instant, outcome: Option<Outcome>) {
        match outcome {
            None => {}
            Some(Outcome::Incumbent { name, generation, addr, answers }) => {
                self.admission.name_checked(now, name, (generation, addr), answers);
            }
            Some(Outcome::Rival { addr, answers: true, .. }) => identity::yield_name(&mut self.core, addr),
            Some(Outcome::Rival { generation, answers: false, .. }) => {
                self.identity.forget_rival();
                self.renew(now, generation);
            }
            Some(Outcome::Left(verdict)) => self.take_verdict(now, &verdict, verdict.subject),
        }
    }

    /// Asks whether the other run of our name is there.
    pub(super) fn probe_rival(&mut self, now: Instant) {
        let Some((addr, generation)) = self.identity.rival(&self.core) else {
            return;
        };
        let target = Target { name: self.core.me, addr, generation, incarnation: Incarnation(0) };
        if self.detection.probe(&mut self.core, now, Purpose::Rival, target).is_none() {
            self.core.timers.set(Timer::Rival, now + self.core.settings.probe_interval);
        }
    }

    /// What the defence against an accusation leads to.
    pub(super) fn defend(&mut self, now: Instant, defence: Defence) {
        if defence.refuted {
            self.detection.refuted(&self.core, now);
        }
        for addr in defence.return_to {
            self.attempt_join(now, addr);
        }
    }

    /// Takes a generation above one that is known of our name, and gossips it. Our state goes with us.
    pub(super) fn renew(&mut self, now: Instant, above: Generation) {
        if above < self.core.generation {
            return;
        }
        let state = state::own_state(&self.core);
        self.identity.renew(&mut self.core, now, above);
        self.states.carry(&mut self.core, now, state);
        self.messages.restart(&mut self.core, now);
    }

    /// Goes on above all that was claimed of us.
    pub(super) fn answer_claims(&mut self, now: Instant) {
        let claims = self.identity.take_claims(&mut self.core, now);
        if let Some(run) = claims.run.filter(|run| *run >= self.core.generation) {
            // What was claimed of the run before it means nothing any more.
            self.renew(now, run);
            return;
        }
        if claims.broadcast > self.core.own_record().broadcast {
            self.core.members.set_broadcast(now, self.core.me, claims.broadcast);
        }
        if self.states.rewrite_above(&mut self.core, now, claims.version) {
            self.gossip(now);
        }
    }

    /// A request was not answered in time.
    pub(super) fn repeat(&mut self, now: Instant, due: &DueRequest) {
        let core = &mut self.core;
        match due.kind {
            RequestKind::Hello => self.admission.repeat_hello(core, now, due),
            RequestKind::Sync => {
                if let Some(Ended { peer, .. }) = self.sync.repeat(core, now, due) {
                    self.admission.sync_failed(core, now, peer.name, &Error::NoAnswer);
                }
            }
            RequestKind::Pull => match self.pulls.give_up(core, now, due.seq, due.tries) {
                Some(request) => self.settle_joins(now, request.peer.name),
                None => self.send_pull(now, due.seq),
            },
            // Their owners repeat them, or nobody does.
            RequestKind::Ping | RequestKind::PingRequest | RequestKind::RelayedPing | RequestKind::Leave => {}
        }
    }

    /// Our view is as good as a seed's from now on.
    pub(super) fn view_is_current(&mut self, now: Instant, seed: NameHash) {
        self.sync.set_synced();
        state::gossip_own(&mut self.core, now);
        self.sync.recheck_with_another(&mut self.core, now, seed);
    }

    /// An exchange is complete.
    pub(super) fn exchange_ended(&mut self, now: Instant, ended: Ended) {
        self.admission.synced(ended.peer.name);
        self.settle_joins(now, ended.peer.name);
        if ended.filled {
            self.sync.recheck_with_another(&mut self.core, now, ended.peer.name);
        }
    }

    /// We hold the records of a seed; if of each of its states the beginning is here, too, or it does not give them,
    /// the joins are through.
    pub(super) fn settle_joins(&mut self, now: Instant, seed: NameHash) {
        let settling = self.admission.settling_with(seed);
        if settling.is_empty() || self.pulls.is_asking(seed) {
            return;
        }
        for call in settling {
            if self.admission.settled(&mut self.core, call).is_some() {
                self.view_is_current(now, seed);
            }
        }
    }

    /// Asks origins for the broadcasts that were missing for long, and gives them up when that is in vain.
    pub(super) fn close_gaps(&mut self, now: Instant) {
        while let Some(gap) = self.broadcasts.pop_due(now) {
            let item = Item::Broadcasts(gap.origin);
            if self.pulls.is_asked(item) || self.admission.is_departing(gap.origin) {
                self.broadcasts.await_answer(now, gap);
            } else if !gap.urged {
                self.broadcasts.urge(now, gap);
                // One that has left does not answer any more.
                if self.core.members.visible(gap.origin).is_some() {
                    self.pulls.lacks(now, item, gap.generation, gap.upto, gap.origin, true);
                }
            } else {
                self.broadcasts.skip(&mut self.core, now, &gap);
            }
        }
    }

    /// Asks for what is missing of states and broadcasts.
    pub(super) fn pull_missing(&mut self, now: Instant) {
        while let Some(peer) = self.pulls.next_to_ask(now) {
            self.pull_from(now, peer);
        }
    }

    /// A peer has more of a state: asks for what is missing before that which has come can be taken.
    pub(super) fn complete_state(&mut self, now: Instant, subject: NameHash, teller: NameHash) {
        let Some(generation) = self.core.members.heeded(subject).map(Entry::generation) else {
            return;
        };
        let (item, upto) = match self.states.lacking(&self.core, subject) {
            Some(Lacking::Standing(upto)) => (Item::Standing(subject), upto),
            Some(Lacking::Writes(upto)) => (Item::State(subject), upto),
            None => return,
        };
        self.pulls.lacks(now, item, generation, upto, teller, true);
    }

    pub(super) fn pull_from(&mut self, now: Instant, name: NameHash) {
        let Some(peer) = self.core.speaker(name) else {
            self.pulls.forget_teller(name);
            self.settle_joins(now, name);
            return;
        };
        let states = &self.states;
        self.pulls.ask(
            &mut self.core,
            now,
            peer,
            |core, item, run| held(core, states, item, Some(run)),
            |core, item| lack(core, states, item),
        );
        // All of it may have come by another way.
        self.settle_joins(now, name);
    }

    pub(super) fn send_pull(&mut self, now: Instant, seq: Seq) {
        let states = &self.states;
        self.pulls.send(&mut self.core, now, seq, |core, item| lack(core, states, item));
    }
}

/// How far we have an item, if it is of this run.
pub(super) fn held(core: &Core, states: &States, item: Item, run: Option<Generation>) -> Option<u64> {
    match item {
        Item::State(subject) => states.held(core, subject, run),
        Item::Standing(subject) => states.standing(core, subject, run),
        Item::Stretch(subject, from, _) => states.reach(core, subject, run, from),
        Item::Broadcasts(origin) => broadcast::held_of_run(core, origin, run),
    }
}

/// How to ask for an item.
fn lack(core: &Core, states: &States, item: Item) -> Option<Lack> {
    match item {
        Item::State(subject) => states.lack(core, subject, (0, 0)),
        Item::Standing(subject) => states.lack_of_standing(core, subject),
        Item::Stretch(subject, from, until) => states.lack(core, subject, (from, until)),
        Item::Broadcasts(origin) => broadcast::lack(core, origin),
    }
}
