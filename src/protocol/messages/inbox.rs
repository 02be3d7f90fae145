//! Messages on their way in: fragments put together, and what became of each message, so that none is delivered
//! twice.
//!
//! A sender's messages are numbered for each pair of runs. For each number there is, from the first fragment on:
//!
//! ```text
//!  parts ──▶ complete ──▶ delivered ──┐
//!    │           └──────▶ refused  ───┤ the sender is told, again and again if it asks
//!    └── no room, too long ──▶ refused┘
//!                                     └──▶ the sender has done with it: forgotten, and so is all below it
//! ```
//!
//! What a sender has done with is told by its fragments as the oldest number that is still under way: a number below
//! that is never delivered any more. So a few numbers are remembered a sender, not all that there ever were; they stay
//! as long as the sender's record.
//!
//! Memory grows with the bytes that have come, not with a length that somebody told, and is bounded for each sender
//! and for all together.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::time::Instant;
use crate::wire::NameHash;
use crate::wire::body::{Fragment, FragmentAck, MESSAGE_MAX, Progress, Refusal, fragments_of};
use crate::wire::lists::Bits;

/// Bytes of incomplete messages, of all senders.
const BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Bytes of incomplete messages of one sender: no more are under way at the same time.
const SENDER_BYTES_MAX: usize = MESSAGE_MAX as usize;
/// Incomplete messages of one sender.
const SENDER_PARTS_MAX: usize = 64;
/// An incomplete message of which nothing came for so long is dropped. Its sender has given up: it would have sent
/// something many times in this time.
pub(crate) const STALE: Duration = Duration::from_secs(30);

/// What becomes of a message for good.
pub(crate) type Outcome = Result<(), Refusal>;

/// What a fragment has brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Its sender has done with the message.
    Late,
    /// It contradicts the other fragments of its message.
    Contradicts,
    /// What became of the message was decided before.
    Decided,
    /// The message is refused from here on.
    Refused(Refusal),
    /// Another part, or one that was there.
    Part,
    /// The whole message; what becomes of it is to be told with [`Inbox::settle`].
    Complete(Vec<u8>),
}

/// All messages on their way in.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    senders: BTreeMap<NameHash, Sender>,
    /// The bytes in parts.
    bytes: usize,
    /// Incomplete messages.
    parts: usize,
}

/// What came from one run of a node.
#[derive(Debug)]
struct Sender {
    generation: Generation,
    /// It has done with all numbers below.
    oldest: u64,
    outcomes: BTreeMap<u64, Outcome>,
    parts: BTreeMap<u64, Parts>,
    bytes: usize,
}

/// An incomplete message.
#[derive(Debug)]
struct Parts {
    total: u32,
    size: u32,
    pieces: BTreeMap<u32, Vec<u8>>,
    bytes: usize,
    last: Instant,
}

impl Parts {
    /// The first fragment that has not come.
    fn next(&self) -> u32 {
        let have = self.pieces.keys().zip(0..).take_while(|(index, place)| **index == *place);
        u32::try_from(have.count()).unwrap_or(u32::MAX)
    }

    fn is_complete(&self) -> bool {
        self.pieces.len() == fragments_of(self.total, self.size) as usize
    }
}

impl Inbox {
    /// Takes a fragment from a run of a node.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        name: NameHash,
        generation: Generation,
        fragment: &Fragment<'_>,
        message_max: usize,
    ) -> Taken {
        self.begin(name, generation);
        self.advance(name, fragment.number - fragment.behind);
        let Some(sender) = self.senders.get_mut(&name) else {
            return Taken::Late;
        };
        let number = fragment.number;
        if number < sender.oldest {
            return Taken::Late;
        }
        if sender.outcomes.contains_key(&number) {
            return Taken::Decided;
        }
        if fragment.total as usize > message_max {
            return self.refuse(name, number, Refusal::TooLarge);
        }
        if fragments_of(fragment.total, fragment.size) == 1 && !sender.parts.contains_key(&number) {
            return Taken::Complete(fragment.bytes.to_vec());
        }
        let (count, held) = (sender.parts.len(), sender.bytes);
        let length = fragment.bytes.len();
        let parts = sender.parts.get_mut(&number);
        if let Some(parts) = &parts {
            if parts.total != fragment.total || parts.size != fragment.size {
                return Taken::Contradicts;
            }
            if parts.pieces.contains_key(&fragment.index) {
                return Taken::Part;
            }
        } else if count >= SENDER_PARTS_MAX {
            return self.refuse(name, number, Refusal::Overloaded);
        }
        if held + length > SENDER_BYTES_MAX || self.bytes + length > BYTES_MAX {
            return self.refuse(name, number, Refusal::Overloaded);
        }
        self.parts += usize::from(parts.is_none());
        let parts = sender.parts.entry(number).or_insert_with(|| Parts {
            total: fragment.total,
            size: fragment.size,
            pieces: BTreeMap::new(),
            bytes: 0,
            last: now,
        });
        parts.pieces.insert(fragment.index, fragment.bytes.to_vec());
        parts.last = now;
        parts.bytes += length;
        sender.bytes += length;
        self.bytes += length;
        if !parts.is_complete() {
            return Taken::Part;
        }
        let pieces = self.drop_parts(name, number);
        let mut payload = Vec::with_capacity(fragment.total as usize);
        // Each is freed as soon as it is copied.
        pieces.into_values().for_each(|piece| payload.extend_from_slice(&piece));
        Taken::Complete(payload)
    }

    /// Says what became of a complete message.
    pub(crate) fn complete(&mut self, name: NameHash, number: u64, outcome: Outcome) {
        if let Some(sender) = self.senders.get_mut(&name) {
            sender.outcomes.insert(number, outcome);
        }
    }

    /// What is told to a sender about one of its messages, when a fragment of it has this ask; `buffer` is for the list
    /// in it.
    pub(crate) fn ack<'a>(
        &self,
        name: NameHash,
        ask: u8,
        number: u64,
        buffer: &'a mut Vec<u8>,
    ) -> Option<FragmentAck<'a>> {
        let sender = self.senders.get(&name)?;
        let progress = match (sender.outcomes.get(&number), sender.parts.get(&number)) {
            (Some(Ok(())), _) => Progress::Delivered,
            (Some(Err(refusal)), _) => Progress::Refused(*refusal),
            (None, Some(parts)) => {
                let next = parts.next();
                let beyond = parts.pieces.range(next..).map(|(index, _)| index - next);
                Progress::Receiving { next, beyond: Bits::encode(beyond, buffer) }
            }
            (None, None) => return None,
        };
        Some(FragmentAck { ask, number, progress })
    }

    /// Drops the incomplete messages of senders that are not to be kept: they can not complete them any more.
    pub(crate) fn drop_incomplete(&mut self, is_kept: impl Fn(NameHash, Generation) -> bool) {
        self.drop_parts_where(|name, generation, _| !is_kept(name, generation));
    }

    /// Drops the incomplete messages of which nothing came for long; when to look again.
    pub(crate) fn drop_stale(&mut self, now: Instant) -> Option<Instant> {
        self.drop_parts_where(|_, _, parts| parts.last + STALE <= now);
        let parts = self.senders.values().flat_map(|sender| sender.parts.values());
        parts.map(|parts| parts.last + STALE).min()
    }

    /// Forgets senders that are not to be kept.
    pub(crate) fn forget(&mut self, is_kept: impl Fn(NameHash) -> bool) {
        self.senders.retain(|name, sender| {
            let stays = is_kept(*name);
            if !stays {
                self.bytes -= sender.bytes;
                self.parts -= sender.parts.len();
            }
            stays
        });
    }

    /// Whether a sender is remembered.
    pub(crate) fn contains(&self, name: NameHash) -> bool {
        self.senders.contains_key(&name)
    }

    /// How many senders are remembered.
    pub(crate) fn len(&self) -> usize {
        self.senders.len()
    }

    /// Whether a message is incomplete.
    pub(crate) fn has_parts(&self) -> bool {
        self.parts > 0
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "bytes of incomplete messages", count: self.bytes, max: BYTES_MAX }
    }

    /// Makes sure that a sender is remembered, as the run that it is.
    fn begin(&mut self, name: NameHash, generation: Generation) {
        if self.senders.get(&name).is_some_and(|sender| sender.generation == generation) {
            return;
        }
        let sender =
            Sender { generation, oldest: 1, outcomes: BTreeMap::new(), parts: BTreeMap::new(), bytes: 0 };
        if let Some(before) = self.senders.insert(name, sender) {
            self.bytes -= before.bytes;
            self.parts -= before.parts.len();
        }
    }

    /// A sender has done with all numbers below `oldest`.
    fn advance(&mut self, name: NameHash, oldest: u64) {
        let Some(sender) = self.senders.get_mut(&name).filter(|sender| sender.oldest < oldest) else {
            return;
        };
        sender.oldest = oldest;
        sender.outcomes = sender.outcomes.split_off(&oldest);
        let done: Vec<u64> = sender.parts.range(..oldest).map(|(number, _)| *number).collect();
        for number in done {
            self.drop_parts(name, number);
        }
    }

    fn refuse(&mut self, name: NameHash, number: u64, refusal: Refusal) -> Taken {
        self.drop_parts(name, number);
        self.complete(name, number, Err(refusal));
        Taken::Refused(refusal)
    }

    fn drop_parts(&mut self, name: NameHash, number: u64) -> BTreeMap<u32, Vec<u8>> {
        let sender = self.senders.get_mut(&name);
        let Some((sender, parts)) =
            sender.and_then(|sender| sender.parts.remove(&number).map(|parts| (sender, parts)))
        else {
            return BTreeMap::new();
        };
        sender.bytes -= parts.bytes;
        self.bytes -= parts.bytes;
        self.parts -= 1;
        parts.pieces
    }

    fn drop_parts_where(&mut self, is_over: impl Fn(NameHash, Generation, &Parts) -> bool) {
        for (name, sender) in &mut self.senders {
            let generation = sender.generation;
            sender.parts.retain(|_, parts| {
                let stays = !is_over(*name, generation, parts);
                if !stays {
                    sender.bytes -= parts.bytes;
                    self.bytes -= parts.bytes;
                    self.parts -= 1;
                }
                stays
            });
        }
    }
}

#[cfg(test)]
mod tests;
