//! Messages to one node: taking them from the program, and handing them to it.
//!
//! ```text
//!  sender                                        receiver
//!  send(name, payload)
//!  Fragment, Fragment, Fragment(ask)        →    put together
//!                                           ←    FragmentAck(receiving, what has come)
//!  … what is missing, what is left          →    complete: an event, which takes its place with every consumer
//!                                                or with none; the driver tells which (settle)
//!                                           ←    FragmentAck(delivered | refused)
//!  Ok | Refused
//! ```
//!
//! Only known senders that know our run are heard. A message is bound to two runs, of the sender and of the receiver,
//! and is delivered once at most: `Ok` says that it was, `Timeout` and `Restarted` that it may have been, and every
//! other error that it was not and will not be.
//!
//! A message is acked when it has its place, and not before: it is never one of the events that are dropped. Whether
//! there is one only the driver knows, who has the consumers; so it says, after each [`Event::Message`], what became
//! of it, and the ack leaves in the same step.

mod inbox;
mod outbox;

use std::collections::VecDeque;
use std::net::SocketAddr;

use inbox::{Inbox, STALE, Taken};
use outbox::{Acked, Ended, Message, Outbox, Patience};

use super::api::{Bound, EnqueueResult, Settings};
use super::api::{CallResult, RequestId};
use super::core::Core;
use super::core::{Context, Timer};
use super::time::Instant;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::node::Generation;
use crate::wire::body::{FRAGMENT_OVERHEAD, Fragment, FragmentAck, Refusal};
use crate::wire::header::HEADER_SIZE;
use crate::wire::sealed::SEAL_SIZE;
use crate::wire::{Body, DATAGRAM_MAX, NameHash};

/// Number of probe timeouts after which an incomplete message of which nothing comes makes room for others that wait.
/// Senders try again within one.
const WAITING_PATIENCE_TIMEOUTS: u32 = 4;

/// A message from where its last fragment came, and how that asked for an ack. A complete one is pending until the
/// driver says whether it was enqueued.
#[derive(Debug, Clone, Copy)]
struct PendingDelivery {
    sender: NameHash,
    generation: Generation,
    from: SocketAddr,
    ask: u8,
    number: u64,
}

/// All messages of one member, in both directions.
#[derive(Debug)]
pub(super) struct Messages {
    outbox: Outbox,
    inbox: Inbox,
    /// Messages among the events that have been polled, or are to be.
    pending: VecDeque<PendingDelivery>,
    /// The version of the view for which messages were ended with their nodes.
    checked: u64,
}

impl Messages {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            outbox: Outbox::new(patience(settings), FRAGMENT_SIZE),
            inbox: Inbox::new(settings.probe_timeout * WAITING_PATIENCE_TIMEOUTS),
            pending: VecDeque::new(),
            checked: 0,
        }
    }

    /// Sends a message to an active node. Answered with [`CallResult::Sent`].
    pub(super) fn send(
        &mut self,
        core: &mut Core,
        now: Instant,
        name: &str,
        payload: Vec<u8>,
    ) -> Result<RequestId> {
        let limit = core.settings.max_message;
        if payload.len() > limit {
            return Err(Error::TooLarge { what: "message", size: payload.len(), limit });
        }
        let hash = NameHash::of(core.tag, name);
        if hash == core.me {
            return Err(Error::OwnNode);
        }
        if core.leaving {
            return Err(Error::Closed);
        }
        let entry = core.members.get(hash).ok_or_else(|| Error::UnknownNode(name.to_owned()))?;
        if !entry.is_visible() {
            return Err(Error::NotActive { name: name.to_owned(), status: entry.node().status() });
        }
        let (generation, rtt) = (entry.generation(), entry.node().rtt());
        if self.outbox.len() >= core.records() {
            self.outbox.forget(|name| core.members.get(name).is_some());
        }
        let call = core.fresh_call();
        let message = Message { call, payload, deadline: now + core.settings.send_timeout };
        self.outbox.push(hash, generation, rtt, message);
        self.go_on_sending(core, now, &[hash]);
        Ok(call)
    }

    /// What became of the [`Event::Message`] that was polled last.
    pub(super) fn complete(&mut self, core: &mut Core, now: Instant, enqueued: EnqueueResult) {
        let Some(pending) = self.pending.pop_front() else {
            debug_assert!(false, "no message is unsettled");
            return;
        };
        let outcome = match enqueued {
            EnqueueResult::Taken => {
                core.metrics.messages_received += 1;
                Ok(())
            }
            EnqueueResult::NobodyListens => Err(Refusal::NobodyListens),
            EnqueueResult::NoRoom => Err(Refusal::Overloaded),
        };
        self.inbox.complete(pending.sender, pending.number, outcome);
        if let Err(refusal) = outcome {
            Self::refused(core, pending.sender, refusal);
        }
        self.ack_fragment(core, now, &pending);
    }

    pub(super) fn handle_fragment(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        fragment: &Fragment<'_>,
    ) {
        // One is enough: many small ones in one datagram would bring more than came.
        if std::mem::replace(&mut context.replied, true) {
            return;
        }
        let (now, sender, generation) = (context.now, context.sender, context.generation);
        let (from, ask, number) = (context.from, fragment.ask, fragment.number);
        let pending = PendingDelivery { sender, generation, from, ask, number };
        if !self.inbox.contains(sender) && self.inbox.len() >= core.records() {
            self.inbox.forget(|name| core.members.get(name).is_some());
        }
        let max_message = core.settings.max_message;
        match self.inbox.take(now, sender, generation, fragment, max_message) {
            Taken::Late => core.metrics.fragments_late += 1,
            Taken::Contradicts => core.metrics.implausible += 1,
            Taken::Decided => {
                core.metrics.fragments_late += 1;
                self.ack_fragment(core, now, &pending);
            }
            Taken::Refused(refusal) => {
                Self::refused(core, sender, refusal);
                self.ack_fragment(core, now, &pending);
            }
            taken @ (Taken::Part | Taken::Filled) => {
                core.timers.set_earliest(Timer::Stale, now + STALE);
                if ask != 0 || taken == Taken::Filled {
                    self.ack_fragment(core, now, &pending);
                }
            }
            Taken::Waits => core.metrics.fragments_early += 1,
            Taken::Complete(payload) => {
                if let Some(entry) = core.members.get(sender) {
                    let from_node = entry.node().clone();
                    core.events.push_back(Event::Message { from: from_node, payload });
                    self.pending.push_back(pending);
                }
            }
        }
        self.begin_waiting(core, now);
    }

    pub(super) fn handle_fragment_ack(&mut self, core: &mut Core, context: &Context, ack: &FragmentAck<'_>) {
        let (now, sender) = (context.now, context.sender);
        match self.outbox.acked(now, sender, context.generation, ack) {
            Acked::Unexpected => {
                core.metrics.unexpected_answers += 1;
                return;
            }
            Acked::Progress => {}
            Acked::Delivered(call) => {
                core.metrics.messages_sent += 1;
                core.answers.push_back((call, CallResult::Sent(Ok(()))));
            }
            Acked::Refused(call) => Self::fail(core, call, Error::Refused),
        }
        self.go_on_sending(core, now, &[sender]);
    }

    /// What was not acked in time is sent again, and whose time is over ends.
    pub(super) fn resend(&mut self, core: &mut Core, now: Instant) {
        let (names, calls) = self.outbox.expire(now);
        for call in calls {
            Self::fail(core, call, Error::Timeout);
        }
        self.go_on_sending(core, now, &names);
    }

    /// Messages of senders that have fallen silent are not going to be complete.
    pub(super) fn drop_stale(&mut self, core: &mut Core, now: Instant) {
        for sender in self.inbox.drop_stale(now) {
            Self::refused(core, sender, Refusal::Overloaded);
        }
        self.begin_waiting(core, now);
        if let Some(next) = self.inbox.stale_at() {
            core.timers.set(Timer::Stale, next);
        }
    }

    /// Begins messages that have waited for room, as far as there is some, and asks their senders for them.
    fn begin_waiting(&mut self, core: &mut Core, now: Instant) {
        if !self.inbox.has_waiting() {
            return;
        }
        while let Some((sender, generation, number)) = self.inbox.begin_waiting(now) {
            if let Some(from) = core.members.active(sender).map(|entry| entry.addr()) {
                self.ack_fragment(core, now, &PendingDelivery { sender, generation, from, ask: 0, number });
            }
        }
        if let Some(next) = self.inbox.stale_at() {
            core.timers.set_earliest(Timer::Stale, next);
        }
    }

    /// Ends what is under way to and from nodes that are gone, if the view has changed since it was asked last.
    pub(super) fn end_with_the_gone(&mut self, core: &mut Core, now: Instant) {
        let version = core.members.version();
        if std::mem::replace(&mut self.checked, version) == version {
            return;
        }
        if self.inbox.has_parts() {
            let members = &core.members;
            self.inbox.drop_incomplete(|name, generation| {
                members.active(name).is_some_and(|entry| entry.generation() == generation)
            });
            self.begin_waiting(core, now);
        }
        if self.outbox.is_idle() {
            return;
        }
        let members = &core.members;
        let ended = self.outbox.end_where(|name, generation| {
            !members.get(name).is_some_and(|entry| entry.generation() == generation && entry.is_visible())
        });
        for Ended { name, call, is_sent } in ended {
            let error = match core.members.get(name) {
                Some(entry) if entry.is_visible() => Error::Restarted,
                Some(entry) if !is_sent => {
                    let node = entry.node();
                    Error::NotActive { name: node.name().to_owned(), status: node.status() }
                }
                // It may have been delivered before the node was gone.
                _ => Error::Timeout,
            };
            Self::fail(core, call, error);
        }
        self.go_on_sending(core, now, &[]);
    }

    /// This member is another run from now on.
    pub(super) fn restart(&mut self, core: &mut Core, now: Instant) {
        for call in self.outbox.restart() {
            Self::fail(core, call, Error::Timeout);
        }
        self.go_on_sending(core, now, &[]);
    }

    /// Starts what may start, and sends what may be sent, to these nodes and to those for whom something starts.
    fn go_on_sending(&mut self, core: &mut Core, now: Instant, names: &[NameHash]) {
        let mut names = names.to_vec();
        for name in self.outbox.start() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            self.send_burst(core, now, name);
        }
        match self.outbox.next_due() {
            Some(due) => core.timers.set(Timer::Resend, due),
            None => core.timers.cancel(Timer::Resend),
        }
    }

    fn send_burst(&mut self, core: &mut Core, now: Instant, name: NameHash) {
        for piece in self.outbox.burst(now, name) {
            let Some((generation, fragment)) = self.outbox.fragment(name, piece) else {
                continue;
            };
            let Some(addr) = core.members.get(name).map(|entry| entry.addr()) else {
                return;
            };
            let mut datagram = core.long_datagram_to((name, generation));
            let fits = datagram.push(&Body::Fragment(fragment));
            debug_assert!(fits, "a fragment that does not fit");
            core.metrics.fragments_sent += 1;
            core.metrics.fragments_resent += u64::from(piece.is_again);
            core.transmit(now, addr, datagram);
        }
    }

    fn ack_fragment(&self, core: &mut Core, now: Instant, to: &PendingDelivery) {
        let mut bits = Vec::new();
        if let Some(ack) = self.inbox.ack(to.sender, to.ask, to.number, &mut bits) {
            core.reply(now, to.from, (to.sender, to.generation), &Body::FragmentAck(ack));
        }
    }

    /// How much there is of what others can make grow.
    pub(super) fn bounds(&self, core: &Core) -> [Bound; 3] {
        let [active, tombstones] = core.members.bounds();
        let senders = Bound { what: "senders", count: self.inbox.len(), max: active.max + tombstones.max };
        [self.outbox.bound(), self.inbox.bound(), senders]
    }

    #[cfg(test)]
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.outbox.next_due()
    }

    fn fail(core: &mut Core, call: RequestId, error: Error) {
        core.metrics.messages_failed += 1;
        core.answers.push_back((call, CallResult::Sent(Err(error))));
    }

    fn refused(core: &mut Core, sender: NameHash, refusal: Refusal) {
        core.metrics.messages_refused += 1;
        let name = core.members.get(sender).map(|entry| entry.node().name().to_owned());
        core.note(log::Level::Debug, || {
            format!("a message of {} is refused: {refusal:?}", name.unwrap_or_default())
        });
    }
}

/// How many bytes of a message a datagram carries.
#[expect(clippy::cast_possible_truncation, reason = "less than a datagram")]
const FRAGMENT_SIZE: u32 = (DATAGRAM_MAX - HEADER_SIZE - SEAL_SIZE - FRAGMENT_OVERHEAD) as u32;

/// How long the acks of a node are waited for.
fn patience(settings: &Settings) -> Patience {
    Patience { first: settings.probe_timeout / 4, min: settings.gossip_interval, max: settings.probe_timeout }
}
