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

use std::net::SocketAddr;

use super::contract::{Handover, Settings};
use super::inbox::{STALE, Taken};
use super::outbox::{Acked, Ended, Message, Patience};
use super::time::Instant;
use super::{Answer, Call, Context, Protocol, Timer};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::node::Generation;
use crate::wire::body::{FRAGMENT_OVERHEAD, Fragment, FragmentAck, Refusal};
use crate::wire::header::HEADER_SIZE;
use crate::wire::sealed::SEAL_SIZE;
use crate::wire::{Body, NameHash};

/// A message that was told as an event and has not been settled.
#[derive(Debug)]
pub(super) struct Unsettled {
    sender: NameHash,
    generation: Generation,
    from: SocketAddr,
    ask: u8,
    number: u64,
}

impl Protocol {
    /// Sends a message to an active node. Answered with [`Answer::Sent`].
    pub(crate) fn send(&mut self, now: Instant, name: &str, payload: Vec<u8>) -> Result<Call> {
        let limit = self.settings.max_message;
        if payload.len() > limit {
            return Err(Error::TooLarge { what: "message", size: payload.len(), limit });
        }
        let hash = NameHash::of(self.tag, name);
        if hash == self.me {
            return Err(Error::OwnNode);
        }
        if self.leave.is_some() {
            return Err(Error::Closed);
        }
        let entry = self.members.get(hash).ok_or_else(|| Error::UnknownNode(name.to_owned()))?;
        if !entry.is_visible() {
            return Err(Error::NotActive { name: name.to_owned(), status: entry.node().status() });
        }
        let (generation, rtt) = (entry.generation(), entry.node().rtt());
        if self.outbox.len() >= self.records() {
            self.outbox.forget(|name| self.members.get(name).is_some());
        }
        let call = self.fresh_call();
        let message = Message { call, payload, deadline: now + self.settings.send_timeout };
        self.outbox.push(hash, generation, rtt, message);
        self.go_on_sending(now, &[hash]);
        Ok(call)
    }

    /// What became of the [`Event::Message`] that was polled last.
    pub(crate) fn settle(&mut self, now: Instant, handover: Handover) {
        let Some(Unsettled { sender, generation, from, ask, number }) = self.unsettled.pop_front() else {
            debug_assert!(false, "no message is unsettled");
            return;
        };
        let outcome = match handover {
            Handover::Taken => {
                self.metrics.messages_received += 1;
                Ok(())
            }
            Handover::NobodyListens => Err(Refusal::NobodyListens),
            Handover::NoRoom => Err(Refusal::Overloaded),
        };
        self.inbox.settle(sender, number, outcome);
        if let Err(refusal) = outcome {
            self.refused(sender, refusal);
        }
        self.ack_fragment(now, from, sender, generation, ask, number);
    }

    pub(super) fn handle_fragment(&mut self, context: &mut Context, fragment: &Fragment<'_>) {
        // One is enough: many small ones in one datagram would bring more than came.
        if std::mem::replace(&mut context.replied, true) {
            return;
        }
        let (now, from) = (context.now, context.from);
        let (sender, generation) = (context.sender, context.generation);
        let (ask, number) = (fragment.ask, fragment.number);
        if !self.inbox.contains(sender) && self.inbox.len() >= self.records() {
            self.inbox.forget(|name| self.members.get(name).is_some());
        }
        let max_message = self.settings.max_message;
        match self.inbox.take(now, sender, generation, fragment, max_message) {
            Taken::Late => self.metrics.fragments_late += 1,
            Taken::Contradicts => self.metrics.implausible += 1,
            Taken::Decided => {
                self.metrics.fragments_late += 1;
                self.ack_fragment(now, from, sender, generation, ask, number);
            }
            Taken::Refused(refusal) => {
                self.refused(sender, refusal);
                self.ack_fragment(now, from, sender, generation, ask, number);
            }
            Taken::Part => {
                self.timers.set_earliest(Timer::Stale, now + STALE);
                if ask != 0 {
                    self.ack_fragment(now, from, sender, generation, ask, number);
                }
            }
            Taken::Complete(payload) => {
                if let Some(entry) = self.members.get(sender) {
                    let from_node = entry.node().clone();
                    self.events.push_back(Event::Message { from: from_node, payload });
                    self.unsettled.push_back(Unsettled { sender, generation, from, ask, number });
                }
            }
        }
    }

    pub(super) fn handle_fragment_ack(&mut self, context: &Context, ack: &FragmentAck<'_>) {
        let (now, sender) = (context.now, context.sender);
        match self.outbox.acked(now, sender, context.generation, ack) {
            Acked::Unexpected => {
                self.metrics.unexpected_answers += 1;
                return;
            }
            Acked::Progress => {}
            Acked::Delivered(call) => {
                self.metrics.messages_sent += 1;
                self.answers.push_back((call, Answer::Sent(Ok(()))));
            }
            Acked::Refused(call) => self.fail(call, Error::Refused),
        }
        self.go_on_sending(now, &[sender]);
    }

    /// What was not acked in time is sent again, and whose time is over ends.
    pub(super) fn resend(&mut self, now: Instant) {
        let (names, calls) = self.outbox.expire(now);
        for call in calls {
            self.fail(call, Error::Timeout);
        }
        self.go_on_sending(now, &names);
    }

    /// Messages of senders that have fallen silent are not going to be complete.
    pub(super) fn drop_stale(&mut self, now: Instant) {
        if let Some(next) = self.inbox.drop_stale(now) {
            self.timers.set(Timer::Stale, next);
        }
    }

    /// Ends what is under way to and from nodes that are gone, if the view has changed since it was asked last.
    pub(super) fn end_with_the_gone(&mut self, now: Instant) {
        let version = self.members.version();
        if std::mem::replace(&mut self.messages_checked, version) == version {
            return;
        }
        if self.inbox.has_parts() {
            let members = &self.members;
            self.inbox.drop_incomplete(|name, generation| {
                members.active(name).is_some_and(|entry| entry.generation() == generation)
            });
        }
        if self.outbox.is_idle() {
            return;
        }
        let members = &self.members;
        let ended = self.outbox.end_where(|name, generation| {
            !members.get(name).is_some_and(|entry| entry.generation() == generation && entry.is_visible())
        });
        for Ended { name, call, is_sent } in ended {
            let error = match self.members.get(name) {
                Some(entry) if entry.is_visible() => Error::Restarted,
                Some(entry) if !is_sent => {
                    let node = entry.node();
                    Error::NotActive { name: node.name().to_owned(), status: node.status() }
                }
                // It may have been delivered before the node was gone.
                _ => Error::Timeout,
            };
            self.fail(call, error);
        }
        self.go_on_sending(now, &[]);
    }

    /// Starts what may start, and sends what may be sent, to these nodes and to those for whom something starts.
    fn go_on_sending(&mut self, now: Instant, names: &[NameHash]) {
        let mut names = names.to_vec();
        for name in self.outbox.start() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            self.send_burst(now, name);
        }
        match self.outbox.next_due() {
            Some(due) => self.timers.set(Timer::Resend, due),
            None => self.timers.cancel(Timer::Resend),
        }
    }

    fn send_burst(&mut self, now: Instant, name: NameHash) {
        for piece in self.outbox.burst(now, name) {
            let Some((generation, fragment)) = self.outbox.fragment(name, piece) else {
                continue;
            };
            let Some(addr) = self.members.get(name).map(|entry| entry.addr()) else {
                return;
            };
            let mut datagram = self.long_datagram_to(generation);
            let fits = datagram.push(&Body::Fragment(fragment));
            debug_assert!(fits, "a fragment that does not fit");
            self.metrics.fragments_sent += 1;
            self.metrics.fragments_resent += u64::from(piece.is_again);
            self.transmit(now, addr, datagram);
        }
    }

    fn ack_fragment(
        &mut self,
        now: Instant,
        to: SocketAddr,
        name: NameHash,
        generation: Generation,
        ask: u8,
        number: u64,
    ) {
        let mut bits = Vec::new();
        if let Some(ack) = self.inbox.ack(name, ask, number, &mut bits) {
            self.reply(now, to, generation, &Body::FragmentAck(ack));
        }
    }

    fn fail(&mut self, call: Call, error: Error) {
        self.metrics.messages_failed += 1;
        self.answers.push_back((call, Answer::Sent(Err(error))));
    }

    fn refused(&mut self, sender: NameHash, refusal: Refusal) {
        self.metrics.messages_refused += 1;
        let name = self.members.get(sender).map(|entry| entry.node().name().to_owned());
        self.note(log::Level::Debug, || {
            format!("a message of {} is refused: {refusal:?}", name.unwrap_or_default())
        });
    }

    /// How many records are held.
    pub(super) fn records(&self) -> usize {
        self.members.ring().len() + self.members.tombstones_len()
    }
}

/// How many bytes of a message a datagram of these settings carries.
pub(super) fn fragment_size(settings: &Settings) -> u32 {
    let size = settings.max_datagram - HEADER_SIZE - SEAL_SIZE - FRAGMENT_OVERHEAD;
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// How long the acks of a node are waited for.
pub(super) fn patience(settings: &Settings) -> Patience {
    Patience { first: settings.probe_timeout / 4, min: settings.gossip_interval, max: settings.probe_timeout }
}
