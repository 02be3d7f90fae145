//! Broadcasts: what we say to all, and what the others say, in order and once.
//!
//! A broadcast leaves at once as a rumor, and whoever gets it first by a rumor passes it on. The number up to which a
//! view has dealt with an origin's broadcasts is part of the origin's record, and so of the fingerprint: whoever has
//! lost even the last one is found when views are compared, and fetches it (see [`super::sync::pull`]). What nobody can
//! give is given up after a while, and users are told how much that was (see [`store`]).
//!
//! # Where a view begins
//!
//! A newcomer does not hear what was said before; members hear all that a newcomer says, even if its first
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

mod room;
mod store;

use super::api::{Bound, BroadcastProgress, CallResult, RequestId};
use super::core::rumors::Topic;
use super::core::{Core, GENERATION_RANDOM_BITS};
use super::time::Instant;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::node::Generation;
use crate::wire::body::Broadcast;
use crate::wire::header::HEADER_SIZE;
use crate::wire::lists::Lack;
use crate::wire::sealed::SEAL_SIZE;
use crate::wire::{Body, DATAGRAM_MAX, NameHash, Record, Writer};
use room::{Room, Waiting};
pub(super) use store::Gap;
use store::{BroadcastStore, Key};

/// What a datagram holds beside the payload of a broadcast that is fetched: the header (36), what a sealed datagram
/// needs more (28), the answer's head (10), type and length (4), and the head of the broadcast (26).
const OVERHEAD: usize = HEADER_SIZE + SEAL_SIZE + 10 + 4 + 26;
/// The longest payload.
const PAYLOAD_MAX: usize = DATAGRAM_MAX - OVERHEAD;
/// The highest number that is believed. A thousand broadcasts a second take nine thousand years to get there.
pub(super) const NUMBER_MAX: u64 = 1 << 48;
/// A member that is claimed to be beyond this goes on as another run: there may not be enough numbers above.
pub(super) const NUMBER_CLAIMED_MAX: u64 = NUMBER_MAX / 2;

/// All broadcasts of one member, its own and those of others.
#[derive(Debug)]
pub(super) struct Broadcasts {
    store: BroadcastStore,
    room: Room,
}

/// What became of a broadcast that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It brings nothing.
    Nothing,
    /// It was delivered, and maybe others after it.
    Delivered,
    /// It is kept; others before it are missing.
    Early,
}

impl Broadcasts {
    pub(super) fn new() -> Self {
        Self { store: BroadcastStore::new(), room: Room::default() }
    }

    /// Says something to all others, when there is [room]. Answered with [`CallResult::Broadcast`].
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Closed`]: nothing was sent.
    pub(super) fn broadcast(&mut self, core: &mut Core, now: Instant, payload: &[u8]) -> Result<RequestId> {
        core.check_running()?;
        let (size, limit) = (payload.len(), PAYLOAD_MAX);
        if size > limit {
            return Err(Error::TooLarge { what: "broadcast", size, limit });
        }
        let call = core.fresh_call();
        self.room.wait(call, payload.to_vec(), now + core.settings.send_timeout);
        self.go_on_saying(core, now);
        Ok(call)
    }

    /// Starts broadcasts that wait for room, as far as there is some, and ends those that have waited for as long as
    /// they may.
    pub(super) fn go_on_saying(&mut self, core: &mut Core, now: Instant) {
        while let Some(late) = self.room.next_expired(now) {
            core.metrics.broadcasts_refused += 1;
            core.answers.push_back((late.call, CallResult::Broadcast(Err(Error::Refused))));
        }
        let is_gossiped = |core: &Core, number| core.rumors.contains(Topic::Broadcast(core.me, number));
        while let Some(next) = self.room.next(now, |number| is_gossiped(core, number)) {
            self.say(core, now, &next.payload);
            core.answers.push_back((next.call, CallResult::Broadcast(Ok(()))));
        }
    }

    /// This member leaves: nothing is said any more.
    pub(super) fn close(&mut self, core: &mut Core) {
        for Waiting { call, .. } in self.room.close() {
            core.answers.push_back((call, CallResult::Broadcast(Err(Error::Closed))));
        }
    }

    fn say(&mut self, core: &mut Core, now: Instant, payload: &[u8]) {
        // Hidden nodes fetch it when they are back.
        if core.members.roster().len() < 2 {
            return;
        }
        let number = core.own_record().broadcast + 1;
        self.store.keep(now, Key { origin: core.me, generation: core.generation, number }, payload);
        core.members.set_broadcast(now, core.me, number);
        core.metrics.broadcasts_sent += 1;
        core.push_topic(now, Topic::Broadcast(core.me, number));
        self.room.start(number, payload.len());
    }

    /// A broadcast of somebody else that goes round: it is kept, delivered when its turn has come, and passed on.
    pub(super) fn take_gossiped(
        &mut self,
        core: &mut Core,
        now: Instant,
        broadcast: &Broadcast<'_>,
    ) -> Taken {
        let taken = self.take_pulled(core, now, broadcast);
        // It may come from a run that sends longer ones.
        if taken != Taken::Nothing && broadcast.payload.len() <= PAYLOAD_MAX {
            core.push_topic(now, Topic::Broadcast(broadcast.origin, broadcast.number));
        }
        taken
    }

    /// A broadcast of somebody else that we have asked for: it is kept, and delivered when its turn has come.
    pub(super) fn take_pulled(&mut self, core: &mut Core, now: Instant, broadcast: &Broadcast<'_>) -> Taken {
        let Broadcast { origin, generation, number, payload } = *broadcast;
        let Some(held) = held(core, origin, generation).filter(|held| number > *held) else {
            return Taken::Nothing;
        };
        if number > NUMBER_MAX {
            core.metrics.implausible += 1;
            return Taken::Nothing;
        }
        if !self.store.keep(now, Key { origin, generation, number }, payload) {
            return Taken::Nothing;
        }
        self.room.heard(now, origin);
        if number == held + 1 {
            self.deliver(core, now, origin, generation);
            Taken::Delivered
        } else {
            self.store.lack(now, origin, generation, number);
            Taken::Early
        }
    }

    /// A record has said how far its teller is with the broadcasts of a node. `jumps`: nobody owes us what is below.
    /// Answers whether broadcasts are missing.
    pub(super) fn reported(
        &mut self,
        core: &mut Core,
        now: Instant,
        origin: NameHash,
        record: &Record<'_>,
        jumps: bool,
    ) -> bool {
        let (generation, number) = (record.generation, record.broadcast);
        if held(core, origin, generation).is_none_or(|held| number <= held) {
            return false;
        }
        if jumps {
            core.members.set_broadcast(now, origin, number);
            self.deliver(core, now, origin, generation);
        } else {
            self.store.lack(now, origin, generation, number);
        }
        !jumps
    }

    /// A node has left after this number: what is lacking up to there is given up after a while.
    pub(super) fn left(
        &mut self,
        core: &Core,
        now: Instant,
        origin: NameHash,
        generation: Generation,
        number: u64,
    ) {
        if held(core, origin, generation).is_some_and(|held| held < number) {
            self.store.lack(now, origin, generation, number);
        }
    }

    /// A gap whose time is over, taken out.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Gap> {
        self.store.pop_due(now)
    }

    /// The origin of a gap is asked: it gets new time.
    pub(super) fn urge(&mut self, now: Instant, gap: Gap) {
        self.store.urge(now, gap);
    }

    /// A request for what a gap lacks is under way: its answer is waited for.
    pub(super) fn await_answer(&mut self, now: Instant, gap: Gap) {
        self.store.await_answer(now, gap);
    }

    /// Goes on behind a gap: delivers what is there of it, and reports how much is not.
    pub(super) fn skip(&mut self, core: &mut Core, now: Instant, gap: &Gap) {
        let (origin, generation) = (gap.origin, gap.generation);
        // Of who is not shown now, comparing views tells again should it come back.
        while let Some(held) = held(core, origin, generation).filter(|held| *held < gap.until) {
            let there = self.store.after(origin, generation, held).next();
            let next = there.map_or(gap.until + 1, |(number, _)| number.min(gap.until + 1));
            let count = next - held - 1;
            core.metrics.broadcasts_missed = core.metrics.broadcasts_missed.saturating_add(count);
            core.emit_about(origin, |from| Event::Missed { from, count });
            core.members.set_broadcast(now, origin, next - 1);
            self.deliver(core, now, origin, generation);
        }
        if held(core, origin, generation).is_some_and(|held| held < gap.upto) {
            self.store.lack(now, origin, generation, gap.upto);
        }
    }

    /// Adds a broadcast as a rumor. False if there is no room for it.
    pub(super) fn add_news(&self, core: &Core, datagram: &mut Writer, origin: NameHash, number: u64) -> bool {
        let Some(entry) = core.members.told(origin) else {
            return true;
        };
        let generation = entry.generation();
        self.store.get(Key { origin, generation, number }).is_none_or(|payload| {
            datagram.push(&Body::Broadcast(Broadcast { origin, generation, number, payload }))
        })
    }

    /// Adds the broadcasts that somebody lacks, lowest number first. False if there is no room for more.
    pub(super) fn add_missing(
        &self,
        datagram: &mut Writer,
        origin: NameHash,
        generation: Generation,
        after: u64,
    ) -> bool {
        self.store.after(origin, generation, after).all(|(number, payload)| {
            datagram.push(&Body::PulledBroadcast(Broadcast { origin, generation, number, payload }))
        })
    }

    /// How far behind somebody is that has the broadcasts of a run up to `after`; none if we have nothing for it.
    pub(super) fn depth(
        &self,
        core: &Core,
        origin: NameHash,
        generation: Generation,
        after: u64,
    ) -> Option<u64> {
        core.members.told(origin).filter(|entry| entry.generation() == generation)?;
        self.store.after(origin, generation, after).next_back().map(|(newest, _)| newest - after)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        [self.store.next_due(), self.room.next_due()].into_iter().flatten().min()
    }

    pub(super) fn bounds(&self) -> impl Iterator<Item = Bound> {
        self.store.bounds().into_iter().chain(self.room.bounds())
    }

    /// Delivers all whose turn has come.
    fn deliver(&mut self, core: &mut Core, now: Instant, origin: NameHash, generation: Generation) {
        let Some(entry) = core.members.heeded(origin) else {
            return;
        };
        let mut held = entry.broadcast;
        for (number, payload) in self.store.after(origin, generation, held) {
            if number != held + 1 {
                break;
            }
            held = number;
            core.metrics.broadcasts_delivered += 1;
            core.events.push_back(Event::Broadcast { from: entry.node().clone(), payload: payload.to_vec() });
        }
        core.members.set_broadcast(now, origin, held);
        self.store.dealt_with(now, origin, generation, held);
    }
}

/// Where our view of the broadcasts of a run begins, should it not be known yet: see [the rule](self).
pub(super) fn first_number(core: &Core, record: &Record<'_>, is_joining: bool) -> u64 {
    let began = |generation: Generation| generation.0 >> GENERATION_RANDOM_BITS;
    if is_joining || began(record.generation) < began(core.generation) { record.broadcast } else { 0 }
}

/// How far we are with the broadcasts of a node, whether it is active or not.
pub(super) fn progress(core: &Core, name: &str) -> Option<BroadcastProgress> {
    let origin = NameHash::of(core.tag, name);
    let entry = core.members.get(origin)?;
    Some(BroadcastProgress { origin, generation: entry.generation(), number: entry.broadcast })
}

/// How to ask for the broadcasts of a node that are missing: after which number of which run.
pub(super) fn lack(core: &Core, origin: NameHash) -> Option<Lack> {
    let entry = core.members.heeded(origin)?;
    Some(Lack::Broadcasts { origin, generation: entry.generation(), after: entry.broadcast })
}

/// How far we are with the broadcasts of a node of which more are taken, if it is of this run.
pub(super) fn held_of_run(core: &Core, origin: NameHash, run: Option<Generation>) -> Option<u64> {
    let entry =
        core.members.heeded(origin).filter(|entry| run.is_none_or(|run| entry.generation() == run))?;
    Some(entry.broadcast)
}

/// How far we are with the broadcasts of a node, if more of this run are taken.
fn held(core: &Core, origin: NameHash, generation: Generation) -> Option<u64> {
    let entry = core.members.heeded(origin).filter(|entry| !entry.hidden)?;
    (entry.generation() == generation).then_some(entry.broadcast)
}
