//! One consumer of events: the listener, or a stream of [`Member::events`](crate::Member::events).
//!
//! A queue that is full never makes the protocol wait: the newest event is dropped, and when there is room
//! again the consumer is first told how many it has missed.
//!
//! A message is not dropped so: it takes its place in the queue of each consumer, or in none, and its sender is told.
//! The messages in all queues have 16 MiB together, so a consumer that reads nothing holds up the messages for all.
//! While no message waits, the next one is taken, whatever it adds up to. Otherwise a message that is too long for so
//! many consumers would never be taken.
//!
//! Other events are bounded in bytes, too, with the tables of the states that they keep alive: an event carries its node,
//! and a node the state as it was, whose table takes 96 kB for 1,024 keys. Keys and values are not counted: versions of a
//! state share them. A queue that is full in this way takes events again when half of it is
//! read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use crossbeam_channel::Sender;

use crate::event::Event;
use crate::events::Events;
use crate::node::Node;
use crate::protocol::EnqueueResult;

/// The bytes of messages that wait for the consumers of one member, all together. A message counts once for each. One
/// that comes when none waits may be more.
const MESSAGE_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// The bytes that the events keep alive that wait for one consumer, apart from messages. One that comes when none waits
/// may be more.
const HELD_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// Adds a consumer, and lets go of those that are gone.
pub(crate) fn add(consumers: &mut Vec<Consumer>, consumer: Consumer) {
    consumers.retain(Consumer::is_there);
    consumers.push(consumer);
}

/// Queues an event for every consumer, and lets go of those that are gone. Returns how many have dropped it.
pub(crate) fn tell(consumers: &mut Vec<Consumer>, event: &Event) -> u64 {
    consumers.retain(Consumer::is_there);
    consumers.iter_mut().map(|consumer| consumer.offer(event)).sum()
}

/// Queues a message for every consumer or for none, and lets go of those that are gone.
pub(crate) fn hand_over(consumers: &mut Vec<Consumer>, message: Event) -> EnqueueResult {
    let length = message_length(&message);
    consumers.retain(Consumer::is_there);
    if consumers.is_empty() {
        return EnqueueResult::NobodyListens;
    }
    let mut waiting = 0;
    let mut has_place = true;
    for consumer in consumers.iter_mut() {
        consumer.tell_missed();
        has_place &= consumer.has_place() && consumer.held.has_room(&message);
        waiting += consumer.message_bytes();
    }
    let has_bytes = waiting == 0 || waiting + length * consumers.len() <= MESSAGE_BYTES_MAX;
    if !has_place || !has_bytes {
        return EnqueueResult::NoRoom;
    }
    // The last one is not copied, and mostly there is one.
    let copies = std::iter::repeat_n(message, consumers.len());
    for (consumer, message) in consumers.iter_mut().zip(copies) {
        consumer.push(message);
    }
    EnqueueResult::Taken
}

fn message_length(event: &Event) -> usize {
    match event {
        Event::Message { payload, .. } => payload.len(),
        _ => 0,
    }
}

/// The sending end of a consumer's queue. There is one sender, used under the guard only.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// Grows as it fills: an array of the full capacity would cost each member a third of a megabyte. That
    /// there is one sender makes its length a bound.
    sender: Sender<Event>,
    /// Shared by the receiving ends.
    receivers: Weak<()>,
    capacity: usize,
    /// Dropped since the last event that was queued.
    missed: u64,
    /// How many events were ever queued.
    pushed: u64,
    /// The messages among those that wait, and perhaps some that wait no more: which event it was, and its length.
    messages: VecDeque<(u64, usize)>,
    message_bytes: usize,
    held: Held,
}

/// What the events of one queue keep alive.
#[derive(Debug, Default)]
struct Held {
    /// The events that keep anything alive: which it was, its own bytes, and the state of its node.
    events: VecDeque<(u64, usize, Option<StateId>)>,
    /// How many events share a state, and its bytes.
    states: BTreeMap<StateId, (usize, usize)>,
    bytes: usize,
}

/// Where a state is in memory: no other one is there while an event keeps it alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StateId(usize);

/// What an event keeps alive: its own bytes, and the state of its node with its bytes.
fn weigh(event: &Event) -> (usize, Option<(StateId, usize)>) {
    let own = match event {
        Event::Changed { key, value, .. } => key.len() + value.as_ref().map_or(0, Vec::len),
        Event::Broadcast { payload, .. } => payload.len(),
        _ => 0,
    };
    let state = event.node().and_then(Node::versioned_state);
    (own, state.map(|state| (StateId(std::ptr::from_ref(state).addr()), state.table_bytes())))
}

impl Held {
    /// Whether an event has room.
    fn has_room(&self, event: &Event) -> bool {
        let (own, state) = weigh(event);
        let new = state.filter(|(id, _)| !self.states.contains_key(id)).map_or(0, |(_, bytes)| bytes);
        self.bytes == 0 || self.bytes + own + new <= HELD_BYTES_MAX
    }

    fn add(&mut self, place: u64, event: &Event) {
        let (own, state) = weigh(event);
        if own == 0 && state.is_none() {
            return;
        }
        self.bytes += own;
        if let Some((id, bytes)) = state {
            let (sharers, _) = self.states.entry(id).or_insert((0, bytes));
            *sharers += 1;
            self.bytes += if *sharers == 1 { bytes } else { 0 };
        }
        self.events.push_back((place, own, state.map(|(id, _)| id)));
    }

    /// So many events were taken out of the queue.
    fn take(&mut self, taken: u64) {
        while let Some((_, own, state)) = self.events.front().copied().filter(|(place, ..)| *place < taken) {
            self.events.pop_front();
            self.bytes -= own;
            if let Some(id) = state
                && let Some((sharers, bytes)) = self.states.get_mut(&id)
            {
                *sharers -= 1;
                if *sharers == 0 {
                    self.bytes -= *bytes;
                    self.states.remove(&id);
                }
            }
        }
    }
}

impl Consumer {
    /// A consumer and the events that it is going to see.
    pub(crate) fn new(capacity: usize) -> (Self, Events) {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let receivers = Arc::new(());
        let consumer = Self {
            sender,
            receivers: Arc::downgrade(&receivers),
            capacity,
            missed: 0,
            pushed: 0,
            messages: VecDeque::new(),
            message_bytes: 0,
            held: Held::default(),
        };
        (consumer, Events::new(receiver, receivers))
    }

    /// Whether somebody has a receiving end.
    pub(crate) fn is_there(&self) -> bool {
        self.receivers.strong_count() > 0
    }

    /// Queues an event, or drops it. Returns how many were dropped, 0 or 1.
    pub(crate) fn offer(&mut self, event: &Event) -> u64 {
        self.tell_missed();
        if self.has_place() && self.held.has_room(event) {
            self.push(event.clone());
            return 0;
        }
        self.missed += 1;
        1
    }

    /// Reports dropped events as soon as there is room.
    pub(crate) fn tell_missed(&mut self) {
        self.held.take(self.taken());
        if self.missed > 0 && self.sender.len() < self.capacity && self.held.bytes <= HELD_BYTES_MAX / 2 {
            self.push(Event::Lagged(self.missed));
            self.missed = 0;
        }
    }

    /// Whether one more event has a place.
    fn has_place(&self) -> bool {
        self.missed == 0 && self.sender.len() < self.capacity
    }

    /// How many events were taken out of the queue, at least.
    fn taken(&self) -> u64 {
        self.pushed - self.sender.len() as u64
    }

    /// The bytes of the messages that wait. The receiving end may take one meanwhile: then it is fewer.
    fn message_bytes(&mut self) -> usize {
        let taken = self.taken();
        while let Some((_, length)) = self.messages.front().copied().filter(|(place, _)| *place < taken) {
            self.messages.pop_front();
            self.message_bytes -= length;
        }
        self.message_bytes
    }

    fn push(&mut self, event: Event) {
        if let Event::Message { payload, .. } = &event {
            self.messages.push_back((self.pushed, payload.len()));
            self.message_bytes += payload.len();
        }
        self.held.add(self.pushed, &event);
        // It fails if the receiving ends have gone just now. Then it is found out at the next event.
        if self.sender.send(event).is_ok() {
            self.pushed += 1;
        }
    }
}

#[cfg(test)]
mod tests;
