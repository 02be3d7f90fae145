//! Messages on their way in: fragments put together, and what became of each message, so that none is delivered
//! twice.
//!
//! A sender's messages are numbered for each pair of runs. For each number there is, from the first fragment on:
//!
//! ```text
//!  waits ──▶ parts ──▶ complete ──▶ delivered ──┐
//!              │           └──────▶ refused  ───┤ the sender is told, again and again if it asks
//!              └── too long, silence ─▶ refused ┘
//!                                               └──▶ the sender has done with it: forgotten, and so is all below it
//! ```
//!
//! What a sender has done with is told by its fragments as the oldest number that is still under way: a number below
//! that is never delivered any more. So a few numbers are remembered a sender, not all that there ever were; they stay
//! as long as the sender's record.
//!
//! Memory grows with the bytes that have come. The lengths of the incomplete messages are bounded, for each sender and
//! for all together, so that each message that was begun has room to become complete. Others wait for their turn: until
//! then their fragments are dropped without an ack, their senders try again ever more rarely, and when there is room
//! they get an ack that asks for all fragments. While messages wait, a message of which nothing comes for long is refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::time::Instant;
use crate::wire::NameHash;
use crate::wire::body::{Fragment, FragmentAck, MESSAGE_MAX, Progress, Refusal, fragments_of};
use crate::wire::lists::Bits;

/// The lengths of the incomplete messages of all senders.
const BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Those of one sender: no more are under way at the same time.
const SENDER_BYTES_MAX: usize = MESSAGE_MAX as usize;
/// Messages that wait for their turn. Senders of more try again until they find a place.
const WAITING_MAX: usize = 256;
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
    /// The last part that was missing below one that has asked for an ack: its sender may take it for lost.
    Filled,
    /// There is no room for the message yet.
    Waits,
    /// The whole message; what becomes of it is reported with [`Inbox::complete`].
    Complete(Vec<u8>),
}

/// All messages on their way in.
#[derive(Debug)]
pub(crate) struct Inbox {
    senders: BTreeMap<NameHash, Sender>,
    /// The lengths of the incomplete messages.
    bytes: usize,
    /// Incomplete messages.
    parts: usize,
    /// Messages that wait for room, in the order in which they came.
    waiting: VecDeque<Waiting>,
    /// After this time without a fragment an incomplete message is refused if others wait.
    patience: Duration,
}

/// A message that waits for room.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    name: NameHash,
    generation: Generation,
    number: u64,
    total: u32,
    size: u32,
}

/// What came from one run of a node.
#[derive(Debug)]
struct Sender {
    generation: Generation,
    /// It has done with all numbers below.
    oldest: u64,
    outcomes: BTreeMap<u64, Outcome>,
    parts: BTreeMap<u64, Parts>,
    /// The lengths of the incomplete messages.
    bytes: usize,
}

/// An incomplete message.
#[derive(Debug)]
struct Parts {
    total: u32,
    size: u32,
    pieces: BTreeMap<u32, Vec<u8>>,
    /// The first fragment that has not come.
    next: u32,
    /// The highest fragment that has asked for an ack, if one below it was missing then.
    asked: Option<u32>,
    last: Instant,
}

impl Parts {
    fn new(now: Instant, total: u32, size: u32) -> Self {
        Self { total, size, pieces: BTreeMap::new(), next: 0, asked: None, last: now }
    }

    /// The length of the whole message.
    fn length(&self) -> usize {
        self.total as usize
    }

    /// Takes a fragment. Returns whether all below one that has asked for an ack have come now.
    fn take(&mut self, now: Instant, fragment: &Fragment<'_>) -> bool {
        self.last = now;
        self.pieces.entry(fragment.index).or_insert_with(|| fragment.bytes.to_vec());
        while self.pieces.contains_key(&self.next) {
            self.next += 1;
        }
        if fragment.ask != 0 && self.next < fragment.index {
            self.asked = self.asked.max(Some(fragment.index));
        }
        self.asked.take_if(|asked| self.next > *asked).is_some()
    }

    fn is_complete(&self) -> bool {
        self.pieces.len() == fragments_of(self.total, self.size) as usize
    }
}

impl Inbox {
    /// `patience`: after this time without a fragment an incomplete message is refused if others wait.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { senders: BTreeMap::new(), bytes: 0, parts: 0, waiting: VecDeque::new(), patience }
    }

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
        if !sender.parts.contains_key(&number) {
            let length = fragment.total as usize;
            let is_other = |waiting: &&Waiting| {
                let is_open = waiting.generation == generation && waiting.number >= sender.oldest;
                waiting.name == name && waiting.number != number && is_open
            };
            let waits = self.waiting.iter().filter(is_other);
            let (count, bytes) =
                waits.fold((0, 0), |(count, bytes), waiting| (count + 1, bytes + waiting.total as usize));
            if sender.parts.len() + count >= SENDER_PARTS_MAX
                || sender.bytes + bytes + length > SENDER_BYTES_MAX
            {
                return self.refuse(name, number, Refusal::Overloaded);
            }
            let Fragment { total, size, .. } = *fragment;
            let waiting = Waiting { name, generation, number, total, size };
            if !self.waiting.is_empty() || self.bytes + length > BYTES_MAX {
                self.wait(waiting);
                return Taken::Waits;
            }
            self.begin_message(now, waiting);
        }
        let sender = self.senders.get_mut(&name);
        let Some(parts) = sender.and_then(|sender| sender.parts.get_mut(&number)) else {
            return Taken::Late;
        };
        if parts.total != fragment.total || parts.size != fragment.size {
            return Taken::Contradicts;
        }
        let fills = parts.take(now, fragment);
        if !parts.is_complete() {
            return if fills { Taken::Filled } else { Taken::Part };
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
                let next = parts.next;
                let beyond = parts.pieces.range(next..).map(|(index, _)| index - next);
                Progress::Receiving { next, beyond: Bits::encode(beyond, buffer) }
            }
            (None, None) => return None,
        };
        Some(FragmentAck { ask, number, progress })
    }

    /// Drops the incomplete messages of senders that are not to be kept: they can not complete them any more.
    pub(crate) fn drop_incomplete(&mut self, is_kept: impl Fn(NameHash, Generation) -> bool) {
        self.waiting.retain(|waiting| is_kept(waiting.name, waiting.generation));
        for (name, sender) in &mut self.senders {
            if !is_kept(*name, sender.generation) {
                self.bytes -= std::mem::take(&mut sender.bytes);
                self.parts -= sender.parts.len();
                sender.parts.clear();
            }
        }
    }

    /// Begins a message that has waited for room, if there is some: whose it is, and its number. Its sender should be
    /// sent an ack.
    pub(crate) fn begin_waiting(&mut self, now: Instant) -> Option<(NameHash, Generation, u64)> {
        while let Some(waiting) = self.waiting.front().copied() {
            let Waiting { name, generation, number, .. } = waiting;
            let sender = self.senders.get(&name).filter(|sender| sender.generation == generation);
            let is_open = |sender: &Sender| {
                number >= sender.oldest
                    && !sender.outcomes.contains_key(&number)
                    && !sender.parts.contains_key(&number)
            };
            let is_open = sender.is_some_and(is_open);
            if is_open && self.bytes + waiting.total as usize > BYTES_MAX {
                return None;
            }
            self.waiting.pop_front();
            if is_open {
                self.begin_message(now, waiting);
                return Some((name, generation, number));
            }
        }
        None
    }

    /// Whether messages wait for room.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Refuses the incomplete messages of which nothing came for long, and sooner if others wait; whose they are.
    pub(crate) fn drop_stale(&mut self, now: Instant) -> Vec<NameHash> {
        let patience = self.patience();
        let mut stale = Vec::new();
        for (name, sender) in &self.senders {
            let parts = sender.parts.iter().filter(|(_, parts)| parts.last + patience <= now);
            stale.extend(parts.map(|(number, _)| (*name, *number)));
        }
        for (name, number) in &stale {
            self.refuse(*name, *number, Refusal::Overloaded);
        }
        stale.into_iter().map(|(name, _)| name).collect()
    }

    /// When to look for these next.
    pub(crate) fn stale_at(&self) -> Option<Instant> {
        let parts = self.senders.values().flat_map(|sender| sender.parts.values());
        parts.map(|parts| parts.last + self.patience()).min()
    }

    /// For how long nothing may come of an incomplete message.
    fn patience(&self) -> Duration {
        if self.waiting.is_empty() { STALE } else { self.patience }
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

    /// A message has room.
    fn begin_message(&mut self, now: Instant, message: Waiting) {
        let Waiting { name, number, total, size, .. } = message;
        if let Some(sender) = self.senders.get_mut(&name) {
            let parts = Parts::new(now, total, size);
            self.parts += 1;
            self.bytes += parts.length();
            sender.bytes += parts.length();
            sender.parts.insert(number, parts);
        }
    }

    /// A message waits for room.
    fn wait(&mut self, message: Waiting) {
        let Waiting { name, generation, number, .. } = message;
        let is_same =
            |other: &Waiting| other.name == name && other.generation == generation && other.number == number;
        if self.waiting.len() < WAITING_MAX && !self.waiting.iter().any(is_same) {
            self.waiting.push_back(message);
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
        sender.bytes -= parts.length();
        self.bytes -= parts.length();
        self.parts -= 1;
        parts.pieces
    }
}

#[cfg(test)]
mod tests;
