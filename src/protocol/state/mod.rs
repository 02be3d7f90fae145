//! State: what we write, what we hear of the writes of others, and what we fetch of them.
//!
//! A write leaves at once as a rumor: a **delta**, all that stands of the writes after some version. Who has all
//! before it takes it, tells users and passes it on; who has not fetches what is lacking from the teller (see
//! [`super::sync::pull`]). What a rumor has missed is found by comparing views, for the version is part of a record: the
//! one who is behind then fetches. Of many that are behind, the one that lacks most is brought up to date first, and
//! what does not fit is cut at a version, never in the middle (van Renesse et al., LADIS 2008, section 3: the
//! Scuttlebutt protocol and its *depth* order; a cut delta is its prefix).
//!
//! Beyond Scuttlebutt: the paper's nodes compare digests with a random peer once a second, so news takes seconds.
//! Here rumors carry it in milliseconds while there is room. If deltas are limited
//! ([`Config::state_rate`](crate::Config::state_rate)), answers to fetches have the first claim on them, and rumors
//! get what is above half of what may be sent in a second.
//!
//! A version stands for its contents: two members that hold the same one are not compared. Whoever can write a known
//! member's address and knows the numbers of both runs can break that, with a write at the next version that the owner
//! never made; it stands there until the owner writes that key again, or is started anew. A hash of the contents in
//! each record would show it, for 8 bytes in each and a new hash of up to 64 KiB for each write that is taken. It would
//! not keep that sender from telling the hash as well. A key does, so there is none.

mod budget;

use std::collections::BTreeMap;

use super::api::Bound;
use super::core::rumors::Topic;
use super::core::{Context, Core};
use super::time::Instant;
use crate::error::Result;
use crate::event::Event;
use crate::node::Generation;
use crate::state::{Change, Collected, PAIR_MAX, State, VERSION_MAX, Written};
use crate::wire::body::Delta;
use crate::wire::header::HEADER_SIZE;
use crate::wire::lists::{Lack, Write, WritesBuilder};
use crate::wire::sealed::SEAL_SIZE;
use crate::wire::{Body, DATAGRAM_MAX, NameHash, Writer};
use budget::Budget;

/// Writes that follow each other closely leave in one rumor up to this size.
const CHUNK: usize = 512;
/// States that are collected anew at the same time.
const COLLECTED_MAX: usize = 16;
/// The head of a delta, at its longest as long as versions are below 2³⁵.
const DELTA_HEAD: usize = 8 + 8 + 4 * 5;
/// What a datagram holds beside a key and its value: header, seal, the body before the delta in an answer, type and length,
/// the head, the key's length, the step of the version, and the value's length.
const DELTA_OVERHEAD: usize = HEADER_SIZE + SEAL_SIZE + 10 + 3 + DELTA_HEAD + 1 + 5 + 2;
/// Nobody gets here by writing. Who is said to have is not told apart by higher versions any more, of which there may
/// not be enough, but by another run.
pub(super) const VERSION_CLAIMED_MAX: u64 = VERSION_MAX / 2;

const _: () = assert!(DELTA_OVERHEAD + PAIR_MAX <= DATAGRAM_MAX, "a datagram holds each key with its value");

/// The states of all nodes, as far as more is to be known of them than what the view holds.
#[derive(Debug)]
pub(super) struct States {
    /// States that are collected anew.
    collected: BTreeMap<NameHash, (Generation, Collected)>,
    /// The version after which the newest rumor about our own state begins.
    open_chunk: u64,
    budget: Budget,
}

impl States {
    /// `per_second`: how many writes may be told a second; none: any number.
    pub(super) fn new(now: Instant, per_second: Option<u32>) -> Self {
        Self { collected: BTreeMap::new(), open_chunk: 0, budget: Budget::new(now, per_second) }
    }

    /// Writes a key of our own state. Answers whether that is news.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge), [`Error::Config`](crate::Error::Config),
    /// [`Error::Closed`](crate::Error::Closed): nothing was written.
    pub(super) fn set(&mut self, core: &mut Core, now: Instant, key: &str, value: &[u8]) -> Result<bool> {
        core.check_running()?;
        let mut state = own_state(core);
        let is_new = state.set(key, value)?;
        if is_new {
            self.publish(core, now, state);
        }
        Ok(is_new)
    }

    /// Removes a key of our own state. Answers whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed): nothing was removed.
    pub(super) fn remove(&mut self, core: &mut Core, now: Instant, key: &str) -> Result<bool> {
        core.check_running()?;
        let mut state = own_state(core);
        let was_there = state.remove(key);
        if was_there {
            self.publish(core, now, state);
        }
        Ok(was_there)
    }

    /// Others have writes of ours up to a version that we have not made: our state is written anew above it. False if
    /// it is above it already.
    pub(super) fn rewrite_above(&mut self, core: &mut Core, now: Instant, version: u64) -> bool {
        let mut state = own_state(core);
        if version <= state.version() {
            return false;
        }
        state.rewrite_above(version);
        self.publish(core, now, state);
        true
    }

    /// A run of ours begins with the keys and values that are to be kept.
    pub(super) fn resume<'a>(
        &mut self,
        core: &mut Core,
        now: Instant,
        kept: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) {
        let mut state = State::default();
        let mut dropped = Vec::new();
        for (key, value) in kept {
            if let Err(error) = state.set(key, value) {
                dropped.push((key, error));
            }
        }
        if let Some((key, error)) = dropped.first() {
            core.note(log::Level::Warn, || {
                format!(
                    "{} keys of the state before are not kept, among them {key:?}: {error}",
                    dropped.len()
                )
            });
        }
        self.carry(core, now, state);
    }

    /// A new run of ours begins with the state of the one before it.
    pub(super) fn carry(&mut self, core: &mut Core, now: Instant, mut state: State) {
        state.renumber();
        if state.version() > 0 {
            self.open_chunk = 0;
            core.members.set_state(now, core.me, state);
            gossip_own(core, now);
        }
    }

    /// Adds what a rumor about a state has to tell, while the budget allows it. None if there is no room for one write.
    pub(super) fn add_news(
        &mut self,
        core: &Core,
        datagram: &mut Writer,
        subject: NameHash,
        from: u64,
    ) -> Option<()> {
        let writes = add_news(core, datagram, subject, from)?;
        self.budget.spend(writes);
        Some(())
    }

    /// Whether a rumor about a state may be told now.
    pub(super) fn may_gossip(&mut self, now: Instant) -> bool {
        self.budget.may_gossip(now)
    }

    /// Whether something was held back a moment ago.
    pub(super) fn is_short(&self, now: Instant) -> bool {
        self.budget.is_short(now)
    }

    /// Hears of writes of another node.
    pub(super) fn handle_delta(&mut self, core: &mut Core, context: &Context, delta: &Delta<'_>) {
        if self.take_delta(core, context.now, delta) {
            core.push_topic(context.now, Topic::State(delta.subject, delta.from));
        }
    }

    /// Writes that we have asked for.
    pub(super) fn handle_sync_delta(&mut self, core: &mut Core, context: &Context, delta: &Delta<'_>) {
        if !self.take_delta(core, context.now, delta) {
            self.collect(core, context.now, delta);
        }
    }

    /// How far we have a state, if it is of this run; of one that is collected anew, how far it is collected.
    pub(super) fn held(&self, core: &Core, subject: NameHash, run: Option<Generation>) -> Option<u64> {
        let entry =
            core.members.heeded(subject).filter(|entry| run.is_none_or(|run| entry.generation() == run))?;
        let collected = self.collected.get(&subject).filter(|(run, _)| *run == entry.generation());
        let collected = collected.map_or(0, |(_, collected)| collected.version());
        Some(entry.node().state_version().max(collected))
    }

    /// How to ask for the writes of a state that are missing.
    pub(super) fn lack(&self, core: &Core, subject: NameHash) -> Option<Lack> {
        let entry = core.members.heeded(subject)?;
        let generation = entry.generation();
        if let Some((run, collected)) = self.collected.get(&subject)
            && *run == generation
        {
            let (from, base) = (collected.version(), collected.base());
            return Some(Lack::State { subject, generation, from, base });
        }
        let state = entry.node().versioned_state();
        let (from, base) = state.map_or((0, 0), |state| (state.version(), state.base()));
        Some(Lack::State { subject, generation, from, base })
    }

    /// Adds the writes of a state that somebody lacks. False if there is no room for all of them, or the budget does
    /// not allow it.
    pub(super) fn add_missing(
        &mut self,
        core: &Core,
        now: Instant,
        datagram: &mut Writer,
        subject: NameHash,
        (from, base): (u64, u64),
    ) -> bool {
        if !self.budget.may_answer(now) {
            return false;
        }
        let Some((generation, state)) = told_state(core, subject) else {
            return true;
        };
        let from = if from >= state.base() || base == state.base() { from } else { 0 };
        let mut builder = WritesBuilder::default();
        let room = datagram.room().saturating_sub(DELTA_HEAD);
        let (to, writes) = stretch(state, from, state.version(), room, &mut builder);
        if to == from {
            return false;
        }
        let delta = delta(subject, generation, state, (from, to), &builder);
        let fits = datagram.push(&Body::PulledDelta(delta));
        let all = to == state.version();
        self.budget.spend(writes);
        fits && all
    }

    /// A state is not to be had: what was collected of it is dropped.
    pub(super) fn give_up(&mut self, subject: NameHash) {
        self.collected.remove(&subject);
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "collected states", count: self.collected.len(), max: COLLECTED_MAX }
    }

    /// Takes a stretch of writes if it connects. Answers whether it brought anything.
    fn take_delta(&mut self, core: &mut Core, now: Instant, delta: &Delta<'_>) -> bool {
        let Some(entry) = core.members.heeded(delta.subject) else {
            return false;
        };
        let version = entry.node().state_version();
        if delta.subject == core.me
            || entry.generation() != delta.generation
            || delta.to <= version
            // It does not connect: seen here, before the state is copied.
            || delta.from > version
            || delta.base > version
        {
            return false;
        }
        let mut state = state_of(core, delta.subject);
        let Some(changes) = state.extend(delta.base, delta.from, delta.to, written(delta)) else {
            return false;
        };
        if state.is_oversize() {
            core.metrics.implausible += 1;
            return false;
        }
        self.collected.remove(&delta.subject);
        core.members.set_state(now, delta.subject, state);
        emit_changes(core, delta.subject, changes);
        true
    }

    /// Takes a stretch of a state that is collected anew, and the whole when it is complete.
    fn collect(&mut self, core: &mut Core, now: Instant, delta: &Delta<'_>) {
        let Some(entry) = core.members.heeded(delta.subject) else {
            return;
        };
        let version = entry.node().state_version();
        if entry.generation() != delta.generation || delta.base <= version || delta.subject == core.me {
            return;
        }
        let held = self.collected.remove(&delta.subject).filter(|(run, _)| *run == delta.generation);
        if self.collected.len() >= COLLECTED_MAX {
            // It begins anew when it is its turn again.
            self.collected.pop_first();
        }
        let mut collected = held.map_or_else(Collected::default, |(_, collected)| collected);
        if !collected.extend(delta.base, delta.from, delta.to, written(delta)) {
            return;
        }
        if delta.to < delta.version {
            self.collected.insert(delta.subject, (delta.generation, collected));
            return;
        }
        let newer = collected.into_state();
        let changes = state_of(core, delta.subject).changes_to(&newer);
        core.members.set_state(now, delta.subject, newer);
        emit_changes(core, delta.subject, changes);
    }

    /// Our state is another one from now on, and goes round.
    fn publish(&mut self, core: &mut Core, now: Instant, state: State) {
        let before = own_version(core);
        // Until the next datagram leaves, what is written goes with what was written before it.
        let open = Topic::State(core.me, self.open_chunk);
        let size: usize = state
            .written_after(self.open_chunk)
            .map(|write| write.key.len() + write.value.map_or(0, <[u8]>::len))
            .sum();
        if !core.rumors.contains(open) || size > CHUNK {
            self.open_chunk = before;
        }
        core.members.set_state(now, core.me, state);
        core.push_topic(now, Topic::State(core.me, self.open_chunk));
    }
}

/// We are known from now on: our state goes round.
pub(super) fn gossip_own(core: &mut Core, now: Instant) {
    if own_version(core) > 0 {
        core.push_topic(now, Topic::State(core.me, 0));
    }
}

/// Our own state as it is now, to be changed or carried on.
pub(super) fn own_state(core: &Core) -> State {
    state_of(core, core.me)
}

/// How far behind somebody is that has a state up to `from`; none if we have nothing for it.
pub(super) fn depth(core: &Core, subject: NameHash, run: Generation, from: u64) -> Option<u64> {
    let (held_run, state) = told_state(core, subject)?;
    (held_run == run).then(|| state.version().saturating_sub(from)).filter(|depth| *depth > 0)
}

fn own_version(core: &Core) -> u64 {
    core.members.get(core.me).map_or(0, |entry| entry.node().state_version())
}

/// A node's state as it is now, to be changed.
fn state_of(core: &Core, name: NameHash) -> State {
    core.members.get(name).and_then(|entry| entry.node().versioned_state()).cloned().unwrap_or_default()
}

/// A state that others may be told of, and whose run it is.
fn told_state(core: &Core, name: NameHash) -> Option<(Generation, &State)> {
    let entry = core.members.told(name)?;
    Some((entry.generation(), entry.node().versioned_state()?))
}

/// Adds what a rumor about a state has to tell: the writes after `from`, up to where the next such rumor begins.
/// Answers how many; none if there is no room for one.
fn add_news(core: &Core, datagram: &mut Writer, subject: NameHash, from: u64) -> Option<usize> {
    let Some((generation, state)) = told_state(core, subject).filter(|(_, state)| state.version() > from)
    else {
        return Some(0);
    };
    let until = core.rumors.next_state(subject, from).unwrap_or(u64::MAX).min(state.version());
    // What is below the base can not be told as a stretch.
    let from = if from < state.base() { 0 } else { from };
    let mut builder = WritesBuilder::default();
    let (to, writes) = stretch(state, from, until, datagram.room().saturating_sub(DELTA_HEAD), &mut builder);
    if to == from {
        return None;
    }
    let delta = delta(subject, generation, state, (from, to), &builder);
    datagram.push(&Body::Delta(delta)).then_some(writes)
}

/// Emits changes that the view shows already.
fn emit_changes(core: &mut Core, subject: NameHash, changes: Vec<Change>) {
    let Some(entry) = core.members.told(subject) else {
        return;
    };
    let node = entry.node();
    core.events.extend(changes.into_iter().map(|(key, value)| Event::Changed {
        node: node.clone(),
        key: key.as_ref().to_owned(),
        value: value.map(|value| value.to_vec()),
    }));
}

/// Lays out the writes after `from`, up to `until`, as far as there is room: how far that is, and how many.
fn stretch(state: &State, from: u64, until: u64, room: usize, builder: &mut WritesBuilder) -> (u64, usize) {
    let (mut to, mut count) = (from, 0);
    for write in state.written_after(from).take_while(|write| write.version <= until) {
        let laid_out = Write { key: write.key, step: write.version - to, value: write.value };
        if !builder.push(&laid_out, room) {
            return (to, count);
        }
        to = write.version;
        count += 1;
    }
    // What was written in between and no longer stands is part of it.
    (until.max(from), count)
}

fn delta<'a>(
    subject: NameHash,
    generation: Generation,
    state: &State,
    (from, to): (u64, u64),
    builder: &'a WritesBuilder,
) -> Delta<'a> {
    Delta {
        subject,
        generation,
        version: state.version(),
        base: state.base(),
        from,
        to,
        writes: builder.as_writes(),
    }
}

fn written<'a>(delta: &Delta<'a>) -> impl Iterator<Item = Written<'a>> {
    delta.writes.iter().scan(delta.from, |version, write| {
        *version += write.step;
        Some(Written { key: write.key, version: *version, value: write.value })
    })
}
