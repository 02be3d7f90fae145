//! Broadcasts: what we say to all, and what the others say, in order and once.
//!
//! A broadcast leaves at once as a rumor, and whoever gets it first by a rumor passes it on. The number up to which a
//! view has dealt with an origin's broadcasts is part of the origin's record, and so of the fingerprint: whoever has
//! lost even the last one is found when views are compared, and fetches it (see [`super::fetch`]). What nobody can
//! give is given up after a while, and users are told how much that was (see [`super::broadcasts`]).
//!
//! # Where a view begins
//!
//! Who joins shall not hear what was said before; who is there shall hear all that a newcomer says, even if its first
//! broadcasts overtake the news that it is there. When a run comes into a view that did not know it, either may be
//! the case, and its record may tell any number. The view begins
//!
//! | when | at |
//! |---|---|
//! | we are joining ourselves: our view was never brought up to date with another one, and is about to be | the number told |
//! | the run began before ours | the number told: we are the newcomer to it |
//! | else | 0: it is the newcomer, and all that it has said is for us |
//!
//! Runs carry the time of their start. If clocks differ so much that a newcomer seems older than we are, what it said
//! before its record came here is not delivered. Of a run that is known only delivering and giving up move the
//! number, save that, while we are joining, numbers told by the seed are jumped to: nobody owes us what is below.

use super::broadcasts::{Gap, Key};
use super::fetch::Thing;
use super::identity::GENERATION_RANDOM_BITS;
use super::rumors::Topic;
use super::time::Instant;
use super::{Context, Heard, Protocol};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::node::Generation;
use crate::wire::body::Broadcast;
use crate::wire::header::HEADER_SIZE;
use crate::wire::sealed::SEAL_SIZE;
use crate::wire::{Body, NameHash, Record, Writer};

/// What a datagram holds beside the payload of a broadcast that is fetched: the header (36), what a sealed datagram
/// needs more (28), the answer's head (10), type and length (4), and the head of the broadcast (26).
const OVERHEAD: usize = HEADER_SIZE + SEAL_SIZE + 10 + 4 + 26;
/// The highest number that is believed. A thousand broadcasts a second take nine thousand years to get there.
pub(super) const NUMBER_MAX: u64 = 1 << 48;
/// Who is said to be beyond this goes on as another run: there may not be enough numbers above.
pub(super) const NUMBER_CLAIMED_MAX: u64 = NUMBER_MAX / 2;

impl Protocol {
    /// Tells something to all others.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Closed`]: nothing was sent.
    pub(crate) fn broadcast(&mut self, now: Instant, payload: &[u8]) -> Result<()> {
        self.check_running()?;
        let (size, limit) = (payload.len(), self.broadcast_max());
        if size > limit {
            return Err(Error::TooLarge { what: "broadcast", size, limit });
        }
        if self.members.ring().len() < 2 {
            return Ok(());
        }
        let number = self.own_record().broadcast + 1;
        self.broadcasts.keep(now, Key { origin: self.me, generation: self.generation, number }, payload);
        self.members.set_broadcast(now, self.me, number);
        self.metrics.broadcasts_sent += 1;
        self.push_topic(now, Topic::Broadcast(self.me, number));
        self.spread(now);
        Ok(())
    }

    /// A broadcast that goes round.
    pub(super) fn handle_broadcast(&mut self, context: &Context, broadcast: &Broadcast<'_>) {
        let now = context.now;
        if self.take_broadcast(now, broadcast, context.sender)
            // Ours may be the shorter datagrams.
            && broadcast.payload.len() <= self.broadcast_max()
        {
            self.push_topic(now, Topic::Broadcast(broadcast.origin, broadcast.number));
        }
    }

    /// A broadcast that we have asked for.
    pub(super) fn handle_sync_broadcast(&mut self, context: &Context, broadcast: &Broadcast<'_>) {
        if context.fetched.is_none() {
            self.metrics.unexpected_answers += 1;
            return;
        }
        self.take_broadcast(context.now, broadcast, context.sender);
    }

    /// Where our view of the broadcasts of a run begins, should it not be known yet: see [the rule](self).
    pub(super) fn first_broadcast(&self, record: &Record<'_>) -> u64 {
        let began = |generation: Generation| generation.0 >> GENERATION_RANDOM_BITS;
        if self.is_joining() || began(record.generation) < began(self.generation) {
            record.broadcast
        } else {
            0
        }
    }

    /// A record has told how far its teller is with the broadcasts of a node.
    pub(super) fn broadcasts_told(
        &mut self,
        now: Instant,
        origin: NameHash,
        record: &Record<'_>,
        teller: NameHash,
        at_once: bool,
    ) {
        let (generation, number) = (record.generation, record.broadcast);
        if self.held_broadcast(origin, generation).is_none_or(|held| number <= held) {
            return;
        }
        if at_once && self.is_joining() {
            self.members.set_broadcast(now, origin, number);
            self.deliver(now, origin, generation);
        } else {
            self.broadcasts.lack(now, origin, generation, number);
            self.fetches.lack(now, Thing::Broadcasts(origin), generation, number, teller, at_once);
        }
    }

    /// Asks the origin for what was lacking for long, and gives it up when that is in vain.
    pub(super) fn give_up_broadcasts(&mut self, now: Instant) {
        while let Some(gap) = self.broadcasts.pop_due(now) {
            if self.fetches.is_asked(Thing::Broadcasts(gap.origin)) {
                self.broadcasts.await_answer(now, gap);
            } else if !gap.urged {
                self.broadcasts.urge(now, gap);
                let thing = Thing::Broadcasts(gap.origin);
                self.fetches.lack(now, thing, gap.generation, gap.upto, gap.origin, true);
            } else {
                self.skip(now, &gap);
            }
        }
    }

    /// Adds a broadcast as a rumor. False if there is no room for it.
    pub(super) fn add_broadcast(&self, datagram: &mut Writer, origin: NameHash, number: u64) -> bool {
        let Some(entry) = self.members.active(origin).filter(|entry| !entry.hidden) else {
            return true;
        };
        let generation = entry.generation();
        self.broadcasts.get(Key { origin, generation, number }).is_none_or(|payload| {
            datagram.push(&Body::Broadcast(Broadcast { origin, generation, number, payload }))
        })
    }

    /// Adds the broadcasts that somebody lacks, lowest number first. False if there is no room for more.
    pub(super) fn add_broadcasts(
        &self,
        datagram: &mut Writer,
        origin: NameHash,
        generation: Generation,
        after: u64,
    ) -> bool {
        self.broadcasts.after(origin, generation, after).all(|(number, payload)| {
            datagram.push(&Body::SyncBroadcast(Broadcast { origin, generation, number, payload }))
        })
    }

    /// How far behind somebody is who has the broadcasts of a run up to this one; none if we have nothing for him.
    pub(super) fn broadcasts_after(
        &self,
        origin: NameHash,
        generation: Generation,
        after: u64,
    ) -> Option<u64> {
        self.held_broadcast(origin, generation)?;
        self.broadcasts.after(origin, generation, after).next_back().map(|(newest, _)| newest - after)
    }

    /// How far we are with the broadcasts of a node, whether it is active or not.
    pub(crate) fn heard(&self, name: &str) -> Option<Heard> {
        let origin = NameHash::of(self.tag, name);
        let entry = self.members.get(origin)?;
        Some(Heard { origin, generation: entry.generation(), number: entry.broadcast })
    }

    /// Whether our view was ever brought up to date with somebody else's.
    pub(crate) fn has_synced(&self) -> bool {
        self.has_synced
    }

    /// Whether our view was never brought up to date, and is about to be.
    fn is_joining(&self) -> bool {
        let is_under_way = !self.joins.is_empty()
            || self.approaches.next_due().is_some()
            || self.exchanges.next_due().is_some();
        !self.has_synced && is_under_way
    }

    /// Keeps a broadcast and delivers what its turn has come for. False if it brings nothing.
    fn take_broadcast(&mut self, now: Instant, broadcast: &Broadcast<'_>, teller: NameHash) -> bool {
        let Broadcast { origin, generation, number, payload } = *broadcast;
        if origin == self.me {
            if generation == self.generation {
                self.claim_broadcast(now, number);
            }
            return false;
        }
        let Some(held) = self.held_broadcast(origin, generation).filter(|held| number > *held) else {
            return false;
        };
        if number > NUMBER_MAX {
            self.metrics.implausible += 1;
            return false;
        }
        if !self.broadcasts.keep(now, Key { origin, generation, number }, payload) {
            return false;
        }
        if number == held + 1 {
            self.deliver(now, origin, generation);
        } else {
            self.broadcasts.lack(now, origin, generation, number);
            self.fetches.lack(now, Thing::Broadcasts(origin), generation, number, teller, false);
        }
        true
    }

    /// Delivers all whose turn has come.
    fn deliver(&mut self, now: Instant, origin: NameHash, generation: Generation) {
        let Some(entry) = self.members.active(origin) else {
            return;
        };
        let mut held = entry.broadcast;
        for (number, payload) in self.broadcasts.after(origin, generation, held) {
            if number != held + 1 {
                break;
            }
            held = number;
            self.metrics.broadcasts_delivered += 1;
            self.events.push_back(Event::Broadcast { from: entry.node().clone(), payload: payload.to_vec() });
        }
        self.members.set_broadcast(now, origin, held);
        self.broadcasts.dealt_with(now, origin, generation, held);
    }

    /// Goes on behind a gap: delivers what is there of it, and tells how much is not.
    fn skip(&mut self, now: Instant, gap: &Gap) {
        let (origin, generation) = (gap.origin, gap.generation);
        // Of who is not shown now, comparing views tells again should it come back.
        while let Some(held) = self.held_broadcast(origin, generation).filter(|held| *held < gap.until) {
            let there = self.broadcasts.after(origin, generation, held).next();
            let next = there.map_or(gap.until + 1, |(number, _)| number.min(gap.until + 1));
            let count = next - held - 1;
            self.metrics.broadcasts_missed = self.metrics.broadcasts_missed.saturating_add(count);
            self.emit_about(origin, |from| Event::Missed { from, count });
            self.members.set_broadcast(now, origin, next - 1);
            self.deliver(now, origin, generation);
        }
        if self.held_broadcast(origin, generation).is_some_and(|held| held < gap.upto) {
            self.broadcasts.lack(now, origin, generation, gap.upto);
        }
    }

    /// How far we are with the broadcasts of a node, if this run of it is shown.
    fn held_broadcast(&self, origin: NameHash, generation: Generation) -> Option<u64> {
        let entry = self.members.active(origin)?;
        (!entry.hidden && entry.generation() == generation).then_some(entry.broadcast)
    }

    /// The longest payload.
    fn broadcast_max(&self) -> usize {
        self.settings.max_datagram.saturating_sub(OVERHEAD)
    }
}
