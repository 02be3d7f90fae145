//! Messages, as a model: who sent what to whom, how often it came, and what the sender was told.
//!
//! A message is known by the two runs that it is bound to and by its contents. Programs may send the same one again,
//! so copies are counted:
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
use crate::protocol::Call;
use crate::wire::hash::siphash;

/// One message: the name and run of its sender, those of its receiver, and a hash of its contents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Letter {
    from: (String, u64),
    to: (String, u64),
    contents: (usize, u64),
}

impl Letter {
    pub(super) fn new(from: &Node, to: &Node, payload: &[u8]) -> Self {
        let run = |node: &Node| (node.name().to_owned(), node.generation());
        Self { from: run(from), to: run(to), contents: (payload.len(), siphash((1, 2), payload)) }
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
pub(super) type Sending = (usize, u64, Call);

/// All messages that were sent.
#[derive(Debug, Default)]
pub(super) struct Letters {
    letters: BTreeMap<Letter, Copies>,
    open: BTreeMap<Sending, Letter>,
}

impl Letters {
    /// Notes that a message was taken from a program.
    pub(super) fn sent(&mut self, sending: Sending, letter: Letter) {
        self.letters.entry(letter.clone()).or_default().sent += 1;
        self.open.insert(sending, letter);
    }

    /// Notes that a program was given a message; what is wrong with that, if anything.
    pub(super) fn delivered(&mut self, letter: &Letter) -> Result<(), String> {
        let Some(copies) = self.letters.get_mut(letter) else {
            return Err(format!("it was given what nobody has sent: {letter:?}"));
        };
        copies.delivered += 1;
        copies.check(letter)
    }

    /// Notes what a program was told; what is wrong with it, if anything.
    pub(super) fn answered(&mut self, sending: Sending, result: &Result<()>) -> Result<(), String> {
        let Some(letter) = self.open.remove(&sending) else {
            return Err(format!("it was answered twice, or had not sent: {result:?}"));
        };
        let Some(copies) = self.letters.get_mut(&letter) else {
            return Ok(());
        };
        match result {
            Ok(()) => copies.acknowledged += 1,
            Err(Error::Timeout | Error::Restarted | Error::Closed) => {}
            Err(_) => copies.never += 1,
        }
        copies.check(&letter)
    }
}

impl Copies {
    fn check(&self, letter: &Letter) -> Result<(), String> {
        if (self.acknowledged..=self.sent.saturating_sub(self.never)).contains(&self.delivered) {
            Ok(())
        } else {
            Err(format!("a message did not come as its sender was told: {letter:?}, {self:?}"))
        }
    }
}

#[cfg(test)]
mod tests;
