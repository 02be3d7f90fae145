//! Leaving: what leads from the leave of a member, or of another node, to the other parts.

use super::admission;
use super::core::Context;
use super::membership::Entry;
use super::routing::held;
use super::sync::pull::Item;
use super::{Instant, Protocol};
use crate::node::{Incarnation, Status};
use crate::wire::body::LeftAt;
use crate::wire::{Cookie, NameHash, Seq, Verdict};

impl Protocol {
    /// Sends our own leave to peers, and gossips it when it is time to.
    pub(super) fn send_leave(&mut self, now: Instant) {
        if self.admission.send_leave(&mut self.core, now) {
            self.announce_leave(now);
        }
    }

    /// Gossips our own leave: along the ring with us in it, if a round is due now.
    pub(super) fn announce_leave(&mut self, now: Instant) {
        self.core.push_rumor(now, self.core.me);
        self.gossip(now);
        let verdict = self.core.own_leave();
        self.core.members.merge_verdict(now, &verdict);
    }

    /// A peer says that it goes.
    pub(super) fn handle_leave(
        &mut self,
        context: &mut Context,
        seq: Seq,
        cookie: Cookie,
        (incarnation, left_at): (Incarnation, LeftAt),
    ) {
        if !admission::is_leave_proven(&mut self.core, context, seq, cookie) {
            return;
        }
        let (now, sender) = (context.now, context.sender);
        let verdict = Verdict::left(sender, context.generation, incarnation, left_at);
        // It is not gone before all is here that it has said.
        if self.core.speaker(sender).is_some() && self.ask_for_rest(now, &verdict, Some(sender), true) {
            self.admission.note_departure(&mut self.core, now, verdict);
            self.pull_missing(now);
            return;
        }
        self.take_verdict(now, &verdict, sender);
        admission::ack_leave(&mut self.core, context, seq);
    }

    /// A node is gone: if it has left, what it had said by then and is not here is asked for.
    pub(super) fn follow_leave(&mut self, now: Instant, verdict: &Verdict, teller: NameHash) {
        self.abandon_requests(now, verdict.subject);
        let others = [self.core.me, verdict.subject];
        let teller = Some(teller).filter(|teller| !others.contains(teller));
        if self.ask_for_rest(now, verdict, teller, false) {
            self.admission.note_departure(&mut self.core, now, *verdict);
        }
    }

    /// Asks others for what nodes had said when they left.
    pub(super) fn follow_departures(&mut self, now: Instant) {
        while let Some(departure) = self.admission.next_departure(&mut self.core, now) {
            let verdict = departure.verdict;
            let entry = self.core.members.get(verdict.subject);
            if departure.is_silent() && entry.is_some_and(|entry| entry.status != Status::Left) {
                self.take_verdict(now, &verdict, verdict.subject);
                continue;
            }
            let takes_part = entry.is_some_and(Entry::is_visible);
            if departure.is_late() {
                self.abandon_requests(now, verdict.subject);
            }
            let others: Vec<NameHash> = self.core.others().filter(|name| *name != verdict.subject).collect();
            let teller = if takes_part { Some(verdict.subject) } else { self.core.draw(&others) };
            if self.ask_for_rest(now, &verdict, teller, true) {
                let run = Some(verdict.generation);
                let have = |item| held(&self.core, &self.states, item, run).unwrap_or(0);
                let have = (have(Item::State(verdict.subject)), have(Item::Broadcasts(verdict.subject)));
                self.admission.look_again(&mut self.core, now, departure, have);
            }
        }
    }

    /// A node does not answer any more.
    fn abandon_requests(&mut self, now: Instant, name: NameHash) {
        self.pulls.abandon(&mut self.core, now, name);
        self.settle_joins(now, name);
    }

    /// Asks a peer, if there is one, for what a node had said when it left, as far as it is not here. `at_once`: it does
    /// not come by itself. Returns whether anything is lacking.
    fn ask_for_rest(
        &mut self,
        now: Instant,
        verdict: &Verdict,
        teller: Option<NameHash>,
        at_once: bool,
    ) -> bool {
        let Verdict { subject, generation, left_at, .. } = *verdict;
        let entry = self.core.members.heeded(subject).filter(|entry| entry.generation() == generation);
        let Some(entry) = entry.filter(|entry| entry.lacks(&left_at)) else {
            return false;
        };
        let items = [
            (Item::Broadcasts(subject), entry.broadcast, left_at.broadcast),
            (Item::State(subject), entry.node().state_version(), left_at.state_version),
        ];
        self.broadcasts.left(&self.core, now, subject, generation, left_at.broadcast);
        let Some(teller) = teller else {
            return true;
        };
        for (item, _, upto) in items.into_iter().filter(|(_, held, upto)| held < upto) {
            self.pulls.lacks(now, item, generation, upto, teller, at_once);
        }
        true
    }
}
