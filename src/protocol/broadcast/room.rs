//! Room: how much this member may have under way of what it says to all, and which calls wait for some.
//!
//! All members keep the newest broadcasts of all origins, within one bound. A member that misses some fetches them, as
//! long as they are kept. So the origins share a quarter of that bound for what they have under way: then a broadcast
//! is kept for several times as long as it goes round. Each origin knows how many others there are, because it hears
//! them.
//!
//! A broadcast is under way while this member gossips it. If rumors cannot keep up with what all say, they stay longer,
//! and so there is less room: what all members can pass on is what sets the pace.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::store::{BYTES_MAX, OVERHEAD};
use crate::protocol::RequestId;
use crate::protocol::api::Bound;
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// What the broadcasts of all origins that are under way may take of what is kept.
const SHARE: usize = 4;
/// An origin counts for so long after its last broadcast.
const ORIGIN_MEMORY: Duration = Duration::from_secs(10);
/// Other origins that are counted.
const ORIGINS_MAX: usize = 4_096;

/// A broadcast that waits for room.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: RequestId,
    pub(super) payload: Vec<u8>,
    deadline: Instant,
}

/// What is under way, and what waits.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Numbers and sizes of own broadcasts, oldest first.
    under_way: VecDeque<(u64, usize)>,
    bytes: usize,
    /// In the order of the calls, and so of their deadlines.
    waiting: VecDeque<Waiting>,
    /// When other origins were heard last.
    origins: BTreeMap<NameHash, Instant>,
}

impl Room {
    /// A broadcast of another origin was heard.
    pub(super) fn heard(&mut self, now: Instant, origin: NameHash) {
        if self.origins.insert(origin, now).is_none() {
            self.forget_origins(now);
            if self.origins.len() > ORIGINS_MAX {
                self.origins.remove(&origin);
            }
        }
    }

    /// A broadcast has started.
    pub(super) fn start(&mut self, number: u64, payload: usize) {
        self.under_way.push_back((number, payload + OVERHEAD));
        self.bytes += payload + OVERHEAD;
    }

    /// A call waits for its turn, until this time.
    pub(super) fn wait(&mut self, call: RequestId, payload: Vec<u8>, deadline: Instant) {
        self.waiting.push_back(Waiting { call, payload, deadline });
    }

    /// The next broadcast, if there is room for it. `is_gossiped`: whether the one with a number is under way still.
    pub(super) fn next(&mut self, now: Instant, is_gossiped: impl Fn(u64) -> bool) -> Option<Waiting> {
        let size = self.waiting.front()?.payload.len() + OVERHEAD;
        self.forget_origins(now);
        if !self.has_room(size) {
            self.under_way.retain(|(number, size)| {
                let stays = is_gossiped(*number);
                self.bytes -= if stays { 0 } else { *size };
                stays
            });
        }
        if self.has_room(size) { self.waiting.pop_front() } else { None }
    }

    /// All that wait, in order.
    pub(super) fn close(&mut self) -> impl Iterator<Item = Waiting> {
        self.waiting.drain(..)
    }

    /// A broadcast that has waited for as long as it may.
    pub(super) fn next_expired(&mut self, now: Instant) -> Option<Waiting> {
        if self.next_due()? <= now { self.waiting.pop_front() } else { None }
    }

    /// When the next broadcast has waited for as long as it may.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.deadline)
    }

    pub(super) fn bounds(&self) -> [Bound; 2] {
        [
            Bound { what: "bytes of own broadcasts", count: self.bytes, max: BYTES_MAX / SHARE },
            Bound { what: "origins of broadcasts", count: self.origins.len(), max: ORIGINS_MAX },
        ]
    }

    /// Whether there is room for so much. One broadcast may always be under way.
    fn has_room(&self, size: usize) -> bool {
        let share = BYTES_MAX / SHARE / (self.origins.len() + 1);
        self.under_way.is_empty() || self.bytes + size <= share
    }

    fn forget_origins(&mut self, now: Instant) {
        self.origins.retain(|_, heard| now.since(*heard) < ORIGIN_MEMORY);
    }
}
