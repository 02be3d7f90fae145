//! Leaving: a member says that it goes, and others hear it (see [`super::join`]).
//!
//! A leave is told to a few peers directly, who ack it, and gossiped. It keeps everything else that the member has said
//! of itself. It is over when three have acked that stay, or as many as there are; or one has, and the others do not
//! for two probe timeouts. Who leaves as well says so in its ack: of many that leave together, those would tell it to
//! each other and be gone.
//!
//! ```text
//!  the leaver                              a peer
//!  leave(cookie, if there is one)       →
//!                                       ←  challenge(cookie), if there was none, or an old one
//!  leave(cookie)                        →  tells it on
//!                                       ←  bare ack, and its own leave if it leaves as well
//! ```
//!
//! The cookie shows that the leave comes from where the leaver receives: else anybody who can forge its address could
//! send it away. Each ack to a ping has brought one, so those are told first who have acked last; for the gossip see
//! [`super::vouch`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::join::{Leave, LeavePeer};
use super::members::Entry;
use super::time::Instant;
use super::{Answer, Call, Context, Protocol, Timer};
use crate::error::{Error, Result};
use crate::node::{Incarnation, Status};
use crate::wire::{Body, Cookie, NameHash, Seq, Verdict};

/// Peers that stay and must have heard of a leave before it is over.
const LEAVE_ACKS: usize = 3;
/// Peers that a leave is told to directly, at the same time; as many more each time it is told again …
const LEAVE_PEERS: usize = 5;
/// … up to this: they may be gone.
const LEAVE_PEERS_MAX: usize = 20;
/// The leave is told again after this many gossip intervals.
const LEAVE_PAUSE: u32 = 5;
/// A peer that has not acked after this many probe timeouts is given up for another one.
const LEAVE_PATIENCE_TIMEOUTS: u32 = 2;
/// Where others leave at the same time, one ack is enough after so many pauses.
const LEAVE_TOGETHER_PAUSES: u32 = 3;

impl Protocol {
    /// Says that this member goes. Answered with [`Answer::Left`].
    pub(crate) fn leave(&mut self, now: Instant, timeout: Duration) -> Call {
        let call = self.core.fresh_call();
        let alone = self.core.members.visible_len() < 2;
        if let Some(leave) = self.core.leave.as_mut().filter(|leave| !leave.over) {
            // It waits for what becomes of the first one.
            leave.calls.push(call);
            return call;
        }
        if alone || self.core.leave.is_some() {
            self.core.answers.push_back((call, Answer::Left(Ok(()))));
            return call;
        }
        self.core.leave = Some(Leave {
            calls: vec![call],
            began: now,
            deadline: now + timeout,
            acked: BTreeSet::new(),
            open: BTreeMap::new(),
            tried: BTreeSet::new(),
            over: false,
        });
        self.tell_leave(now);
        // The rumor goes along the ring as it is with us in it, and at once.
        self.push_rumor(now, self.core.me);
        self.spread(now);
        self.core.members.merge_verdict(now, &self.own_leave());
        call
    }

    /// Buries a dead node for good: it counts as one that left.
    pub(crate) fn force_leave(&mut self, now: Instant, name: &str) -> Result<()> {
        let hash = NameHash::of(self.core.tag, name);
        let entry = self.core.members.get(hash).ok_or_else(|| Error::UnknownNode(name.to_owned()))?;
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

    /// A peer says that it goes.
    pub(super) fn handle_leave(
        &mut self,
        context: &mut Context,
        seq: Seq,
        cookie: Cookie,
        incarnation: Incarnation,
    ) {
        let (now, from, sender, run) = (context.now, context.from, context.sender, context.generation);
        let is_there = |entry: &Entry| entry.generation() == run && entry.is_at(from);
        // Then its name is another's already, and it is enough to say so.
        let is_replaced = |entry: &Entry| entry.generation() > run;
        if !self.core.members.get(sender).is_some_and(|entry| is_there(entry) || is_replaced(entry)) {
            self.core.metrics.unknown_sender += 1;
            return;
        }
        let is_sealed_for_us = context.known && context.counter.is_some();
        if !is_sealed_for_us && !self.has_cookie(context, seq, cookie) {
            return;
        }
        let mut ack = self.core.datagram_back(context);
        // Both are short against the smallest datagram.
        let _ = ack.push(&Body::BareAck { seq });
        if self.core.leave.is_some() {
            let _ = ack.push(&Body::Verdict(self.own_leave()));
        }
        self.take_verdict(now, &Verdict::left(sender, run, incarnation));
        let has_left = |entry: &Entry| entry.status == Status::Left || is_replaced(entry);
        if self.core.members.get(sender).is_some_and(has_left)
            && !std::mem::replace(&mut context.replied, true)
        {
            self.core.transmit(now, from, ack);
        }
    }

    /// Tells the leave to those who have not acked it, and to others in place of those who do not answer, until
    /// it is over.
    pub(super) fn tell_leave(&mut self, now: Instant) {
        // One that is over stays: who has left does not come back by itself.
        let Some(mut leave) = self.core.leave.take_if(|leave| !leave.over) else {
            return;
        };
        // Peers may be gone without our having noticed, or leave at the same time.
        let patience = self.core.settings.probe_timeout * LEAVE_PATIENCE_TIMEOUTS;
        leave.open.retain(|_, peer| {
            self.core.members.active(peer.name).is_some_and(|entry| entry.generation() == peer.generation)
                && now.since(peer.since) < patience
        });
        let pause = self.core.settings.gossip_interval * LEAVE_PAUSE;
        let pauses = now.since(leave.began).as_micros() / pause.as_micros().max(1);
        let times = usize::try_from(pauses).unwrap_or(usize::MAX).saturating_add(1);
        let places = LEAVE_PEERS.saturating_mul(times).min(LEAVE_PEERS_MAX);
        while leave.open.len() < places
            && let Some(peer) = self.next_leave_peer(now, &leave.tried)
        {
            leave.tried.insert(peer.name);
            leave.open.insert(self.core.fresh_seq(), peer);
        }
        let others = self.others();
        let acks = leave.acked.iter().filter(|name| others.contains(name)).count();
        // One that has heard of it tells it on; with many dead that nobody has noticed there are no more acks.
        // Where others leave as well, most of those who do not ack have left.
        let together = acks < leave.acked.len();
        let patience = if together { patience.min(pause * LEAVE_TOGETHER_PAUSES) } else { patience };
        let enough = !leave.acked.is_empty() && (leave.open.is_empty() || now.since(leave.began) >= patience);
        if acks >= others.len().min(LEAVE_ACKS) || enough {
            self.core.answers.extend(leave.calls.drain(..).map(|call| (call, Answer::Left(Ok(())))));
            leave.over = true;
        } else if leave.deadline <= now {
            let late = |call| (call, Answer::Left(Err(Error::Timeout)));
            self.core.answers.extend(leave.calls.drain(..).map(late));
            leave.over = true;
        } else {
            if leave.open.is_empty() {
                leave.tried.clear();
            }
            for (seq, peer) in &leave.open {
                self.tell_leave_to(now, *seq, peer);
            }
            self.core.timers.set(Timer::Leave, (now + pause).min(leave.deadline));
        }
        self.core.leave = Some(leave);
    }

    /// Whether this answers our leave, which is then noted.
    pub(super) fn leave_acked(&mut self, context: &mut Context, seq: Seq) -> bool {
        let Some(leave) = &mut self.core.leave else {
            return false;
        };
        let Some(peer) = leave.open.get(&seq).copied().filter(|peer| peer.addr == context.from) else {
            return false;
        };
        context.answered = true;
        self.core.addresses.heard(context.from);
        leave.open.remove(&seq);
        leave.acked.insert(peer.name);
        let acks = leave.acked.iter().filter(|name| self.core.members.active(**name).is_some()).count();
        if acks >= LEAVE_ACKS || leave.open.is_empty() {
            // When the rest of the datagram is read, which may tell that the peer leaves as well.
            self.core.timers.set(Timer::Leave, context.now);
        }
        true
    }

    /// Whether this answers our leave: then that is told again, at once, with the new cookie.
    pub(super) fn leave_challenged(&mut self, context: &mut Context, seq: Seq, cookie: Cookie) -> bool {
        let Some(leave) = &mut self.core.leave else {
            return false;
        };
        let Some(peer) = leave.open.get_mut(&seq).filter(|peer| peer.addr == context.from) else {
            return false;
        };
        context.answered = true;
        self.core.addresses.heard(context.from);
        if std::mem::replace(&mut peer.cookie, cookie) != cookie {
            let peer = *peer;
            self.tell_leave_to(context.now, seq, &peer);
        }
        true
    }

    /// That this member leaves.
    pub(super) fn own_leave(&self) -> Verdict {
        Verdict::left(self.core.me, self.core.generation, self.core.incarnation)
    }

    fn tell_leave_to(&mut self, now: Instant, seq: Seq, peer: &LeavePeer) {
        let body = Body::Leave { seq, cookie: peer.cookie, incarnation: self.core.incarnation };
        self.core.reply(now, peer.addr, peer.generation, &body);
    }

    /// A peer to be told: first the one that was heard last, who surely is there; then those whose cookies are newest;
    /// then any.
    fn next_leave_peer(&mut self, now: Instant, tried: &BTreeSet<NameHash>) -> Option<LeavePeer> {
        let rest: Vec<NameHash> = self.others().into_iter().filter(|name| !tried.contains(name)).collect();
        let heard = |name: &NameHash| self.core.members.get(*name).map(|entry| entry.last_heard);
        let name = if tried.is_empty() {
            rest.iter().copied().max_by_key(heard)?
        } else {
            let giver = self.core.given.givers().find(|name| rest.contains(name));
            giver.or_else(|| self.core.draw(&rest))?
        };
        let entry = self.core.members.active(name)?;
        let (addr, generation) = (entry.addr(), entry.generation());
        let cookie = self.core.given.get(name).unwrap_or_default();
        Some(LeavePeer { name, addr, generation, cookie, since: now })
    }

    /// The others that take part, as far as we see.
    fn others(&self) -> Vec<NameHash> {
        let visible = |name: &NameHash| self.core.members.active(*name).is_some_and(|entry| !entry.hidden);
        self.core
            .members
            .ring()
            .iter()
            .copied()
            .filter(|name| *name != self.core.me && visible(name))
            .collect()
    }
}
