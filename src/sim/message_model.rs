//! The model of messages that the checker keeps: which run sent what to which, how often it came, and what was reported
//! to the sender.
//!
//! A message is identified by the two runs that it is bound to and by its contents. Programs may send the same message
//! again, so copies are counted:
//!
//! ```text
//!  answered with Ok ≤ delivered ≤ sent − answered with an error that says: never
//! ```
//!
//! This holds after each delivery and each answer: a message is acked after it is delivered, and one that was refused
//! is never delivered later.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::node::Node;
use crate::protocol::RequestId;
use crate::wire::hash::siphash;

/// One message: the name and run of its sender, those of its receiver, and a hash of its contents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    from: (String, u64),
    to: (String, u64),
    contents: (usize, u64),
}

impl Message {
    pub(super) fn new(from: &Node, to: &Node, payload: &[u8]) -> Self {
        let run = |node: &Node| (node.name().to_owned(), node.generation());
        Self { from: run(from), to: run(to), contents: (payload.len(), siphash((1, 2), payload)) }
    }

    /// The same message, of a run that began with this number: it may have taken a higher one since.
    pub(super) fn of_run(mut self, first: u64) -> Self {
        self.from.1 = first;
        self
    }
}

/// What became of all copies of one message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Copies {
    sent: u32,
    delivered: u32,
    acknowledged: u32,
    never: u32,
}

/// Host, run and call: one `send`.
pub(super) type Sending = (usize, u64, RequestId);

/// All messages that were sent.
#[derive(Debug, Default)]
pub(super) struct MessageModel {
    messages: BTreeMap<Message, Copies>,
    open: BTreeMap<Sending, Message>,
}

impl MessageModel {
    /// Notes that a message was taken from a program.
    pub(super) fn sent(&mut self, sending: Sending, message: Message) {
        self.messages.entry(message.clone()).or_default().sent += 1;
        self.open.insert(sending, message);
    }

    /// Notes that a message was delivered to a program; returns what is wrong with that, if anything.
    pub(super) fn delivered(&mut self, message: &Message) -> Result<(), String> {
        let Some(copies) = self.messages.get_mut(message) else {
            return Err(format!("it was given what nobody has sent: {message:?}"));
        };
        copies.delivered += 1;
        copies.check(message)
    }

    /// Notes what `send` has returned to a program; returns what is wrong with it, if anything.
    pub(super) fn answered(&mut self, sending: Sending, result: &Result<()>) -> Result<(), String> {
        let Some(message) = self.open.remove(&sending) else {
            return Err(format!("it was answered twice, or had not sent: {result:?}"));
        };
        let Some(copies) = self.messages.get_mut(&message) else {
            return Ok(());
        };
        match result {
            Ok(()) => copies.acknowledged += 1,
            Err(Error::Timeout | Error::Restarted | Error::Closed) => {}
            Err(_) => copies.never += 1,
        }
        copies.check(&message)
    }
}

impl Copies {
    fn check(&self, message: &Message) -> Result<(), String> {
        if (self.acknowledged..=self.sent.saturating_sub(self.never)).contains(&self.delivered) {
            Ok(())
        } else {
            Err(format!("a message did not come as its sender was told: {message:?}, {self:?}"))
        }
    }
}

#[cfg(test)]
mod tests;
