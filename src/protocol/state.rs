//! State: what we write, what we hear of the writes of others, and what we fetch of them.
//!
//! A write leaves at once as a rumor: a **delta**, all that stands of the writes after some version. Who has all
//! before it takes it, tells users and passes it on; who has not fetches what is lacking from the teller (see
//! [`super::fetch`]). What a rumor has missed is found by comparing views, for the version is part of a record: the
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

use std::time::Duration;

use super::fetch::{Due, Thing};
use super::rumors::Topic;
use super::spread::MISFITS_MAX;
use super::time::Instant;
use super::{Context, Protocol};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::node::Generation;
use crate::state::{Change, Collected, KEY_MAX, State, VALUE_MAX, VERSION_MAX, Written};
use crate::wire::body::{Delta, Fetch};
use crate::wire::header::HEADER_SIZE;
use crate::wire::lists::{Lack, Lacks, Write, WritesBuilder};
use crate::wire::sealed::SEAL_SIZE;
use crate::wire::{Body, NameHash, Seq, Writer};

/// Writes that follow each other closely leave in one rumor up to this size.
const CHUNK: usize = 512;
/// States that are collected anew at the same time.
pub(super) const COLLECTED_MAX: usize = 16;
/// The head of a delta, at its longest as long as versions are below 2³⁵.
const DELTA_HEAD: usize = 8 + 8 + 4 * 5;
/// What a datagram holds beside the value, of a delta with the longest key: header, seal, the body before it in an
/// answer, type and length, the head, the key with its length, the step of the version, and the value's length.
const DELTA_OVERHEAD: usize = HEADER_SIZE + SEAL_SIZE + 10 + 3 + DELTA_HEAD + 1 + KEY_MAX + 5 + 2;
/// Something held back this long ago is of no account any more.
const SHORT_MEMORY: Duration = Duration::from_secs(2);
/// Nobody gets here by writing. Who is said to have is not told apart by higher versions any more, of which there may
/// not be enough, but by another run.
pub(super) const VERSION_CLAIMED_MAX: u64 = VERSION_MAX / 2;

/// The longest value, given how long a datagram may be.
pub(crate) fn value_max(max_datagram: usize) -> usize {
    VALUE_MAX.min(max_datagram.saturating_sub(DELTA_OVERHEAD))
}

/// How many writes may still be told, if that is limited: a token bucket that holds one second's worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    per_second: Option<u32>,
    tokens: u64,
    refilled: Instant,
    /// When something was held back last.
    short: Option<Instant>,
}

impl Budget {
    /// Tokens are counted in millionths.
    const TOKEN: u64 = 1_000_000;

    pub(super) fn new(now: Instant, per_second: Option<u32>) -> Self {
        let tokens = per_second.map_or(0, u64::from) * Self::TOKEN;
        Self { per_second, tokens, refilled: now, short: None }
    }

    /// Whether an answer to a fetch may be given.
    fn may_answer(&mut self, now: Instant) -> bool {
        self.refill(now);
        let may = self.per_second.is_none() || self.tokens >= Self::TOKEN;
        self.note(now, may)
    }

    /// Whether a rumor may be told: only from the upper half.
    pub(super) fn may_gossip(&mut self, now: Instant) -> bool {
        self.refill(now);
        let may = self.per_second.is_none_or(|limit| self.tokens >= u64::from(limit) * Self::TOKEN / 2);
        self.note(now, may)
    }

    /// Whether something was held back a moment ago.
    pub(super) fn is_short(&self, now: Instant) -> bool {
        self.short.is_some_and(|short| now.since(short) < SHORT_MEMORY)
    }

    fn note(&mut self, now: Instant, may: bool) -> bool {
        if !may {
            self.short = Some(now);
        }
        may
    }

    /// So many writes were told.
    pub(super) fn spend(&mut self, writes: usize) {
        self.tokens = self.tokens.saturating_sub(writes as u64 * Self::TOKEN);
    }

    fn refill(&mut self, now: Instant) {
        let Some(limit) = self.per_second.map(u64::from) else {
            return;
        };
        let elapsed = u64::try_from(now.since(self.refilled).as_micros()).unwrap_or(u64::MAX);
        self.tokens = self.tokens.saturating_add(elapsed.saturating_mul(limit)).min(limit * Self::TOKEN);
        self.refilled = now;
    }
}

impl Protocol {
    /// Writes a key of our own state.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Config`], [`Error::Closed`]: nothing was written.
    pub(crate) fn set(&mut self, now: Instant, key: &str, value: &[u8]) -> Result<()> {
        self.check_running()?;
        let mut state = self.state_of(self.me);
        if state.set(key, value, value_max(self.settings.max_datagram))? {
            self.publish_state(now, state);
        }
        Ok(())
    }

    /// Removes a key of our own state.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: nothing was removed.
    pub(crate) fn remove(&mut self, now: Instant, key: &str) -> Result<()> {
        self.check_running()?;
        let mut state = self.state_of(self.me);
        if state.remove(key) {
            self.publish_state(now, state);
        }
        Ok(())
    }

    /// We are known from now on: our state goes round.
    pub(super) fn tell_state(&mut self, now: Instant) {
        if self.own_state_version() > 0 {
            self.push_topic(now, Topic::State(self.me, 0));
        }
    }

    /// A new run of ours begins with the state of the one before it.
    pub(super) fn carry_state(&mut self, now: Instant, mut state: State) {
        state.renumber();
        if state.version() > 0 {
            self.open_chunk = 0;
            self.members.set_state(now, self.me, state);
            self.tell_state(now);
        }
    }

    /// A node was said to have come this far with its state, by `teller`.
    pub(super) fn state_told(
        &mut self,
        now: Instant,
        subject: NameHash,
        generation: Generation,
        version: u64,
        teller: NameHash,
        at_once: bool,
    ) {
        let entry = self.members.active(subject).filter(|entry| entry.generation() == generation);
        if entry.is_none_or(|entry| version <= entry.node().state_version()) {
            return;
        }
        if subject == self.me {
            self.claim_version(now, version);
        } else {
            self.fetches.lack(now, Thing::State(subject), generation, version, teller, at_once);
        }
    }

    /// Adds what a rumor about a state has to tell: the writes after `from`, up to where the next such rumor begins.
    /// Answers how many; none if there is no room for one.
    pub(super) fn add_state_news(
        &self,
        datagram: &mut Writer,
        subject: NameHash,
        from: u64,
    ) -> Option<usize> {
        let Some((generation, state)) = self.told_state(subject).filter(|(_, state)| state.version() > from)
        else {
            return Some(0);
        };
        let until = self.rumors.next_state(subject, from).unwrap_or(u64::MAX).min(state.version());
        // What is below the base can not be told as a stretch.
        let from = if from < state.base() { 0 } else { from };
        let mut builder = WritesBuilder::default();
        let (to, writes) =
            stretch(state, from, until, datagram.room().saturating_sub(DELTA_HEAD), &mut builder);
        if to == from {
            return None;
        }
        let delta = delta(subject, generation, state, (from, to), &builder);
        datagram.push(&Body::Delta(delta)).then_some(writes)
    }

    /// Hears of writes of another node.
    pub(super) fn handle_delta(&mut self, context: &Context, delta: &Delta<'_>) {
        let now = context.now;
        if self.take_delta(now, delta) {
            self.push_topic(now, Topic::State(delta.subject, delta.from));
        }
        self.state_told(now, delta.subject, delta.generation, delta.version, context.sender, false);
    }

    /// Writes that we have asked for.
    pub(super) fn handle_sync_delta(&mut self, context: &Context, delta: &Delta<'_>) {
        if context.fetched.is_none() {
            self.metrics.unexpected_answers += 1;
            return;
        }
        if !self.take_delta(context.now, delta) {
            self.collect(context.now, delta);
        }
    }

    /// Somebody lacks something that we may have.
    pub(super) fn handle_fetch(&mut self, context: &mut Context, fetch: &Fetch<'_>) {
        if !self.has_cookie(context, fetch.seq, fetch.cookie) {
            return;
        }
        if !context.known {
            self.metrics.unknown_sender += 1;
            return;
        }
        let now = context.now;
        let mut datagram = self.datagram_to(context.generation);
        if !datagram.push(&Body::Fetched { seq: fetch.seq }) {
            return;
        }
        // Most behind first.
        let mut lacks: Vec<(u64, Lack)> =
            fetch.lacks.iter().filter_map(|lack| Some((self.depth(&lack)?, lack))).collect();
        lacks.sort_unstable_by(|a, b| b.cmp(a));
        // One that does not fit is not in the way of those that do.
        let mut misfits = 0;
        for (_, lack) in lacks {
            misfits += usize::from(!self.add_lacking(now, &mut datagram, &lack));
            if misfits == MISFITS_MAX {
                break;
            }
        }
        self.transmit(now, context.from, datagram);
    }

    /// A request of ours is answered; what it brings follows in the same datagram.
    pub(super) fn handle_fetched(&mut self, context: &mut Context, seq: Seq) {
        if self.fetches.answered(seq, context.from).is_none() {
            self.fetches.answered_again(seq);
            self.metrics.unexpected_answers += 1;
            return;
        }
        context.answered = true;
        context.fetched = Some(seq);
        self.addresses.heard(context.from);
    }

    /// All of the answer to a request was read.
    pub(super) fn end_fetch(&mut self, context: &mut Context) {
        let Some(seq) = context.fetched.take() else {
            return;
        };
        let peer = self.fetches.get(seq).map(|request| request.peer.name);
        let Self { fetches, members, collected, .. } = self;
        fetches.close(context.now, seq, |thing| held(members, collected, thing, None).unwrap_or(0));
        self.retry_fetches(context.now);
        if let Some(peer) = peer {
            self.settle_joins(context.now, peer);
        }
    }

    /// Asks for what is lacking, and again for what was not answered.
    pub(super) fn retry_fetches(&mut self, now: Instant) {
        while let Some(due) = self.fetches.pop_due(now) {
            match due {
                Due::Ask(peer) => self.fetch_from(now, peer),
                Due::Again(seq) => self.send_fetch(now, seq),
                Due::GivenUp(request) => {
                    self.fetches.forget(&request);
                    for (thing, _) in &request.things {
                        if let Thing::State(subject) = thing {
                            self.collected.remove(subject);
                        }
                    }
                    self.settle_joins(now, request.peer.name);
                }
            }
        }
    }

    fn fetch_from(&mut self, now: Instant, name: NameHash) {
        let Some(peer) = self.peer(name) else {
            self.fetches.forget_teller(name);
            self.settle_joins(now, name);
            return;
        };
        loop {
            let Self { fetches, members, collected, .. } = self;
            let things =
                fetches.next_things(now, name, |thing, run| held(members, collected, thing, Some(run)));
            if things.is_empty() {
                // All of it may have come by another way.
                self.settle_joins(now, name);
                return;
            }
            let seq = self.fresh_seq();
            self.fetches.begin(now, seq, peer, things);
            self.send_fetch(now, seq);
        }
    }

    /// Sends a request, with what we have now.
    pub(super) fn send_fetch(&mut self, now: Instant, seq: Seq) {
        let Some(request) = self.fetches.get(seq) else {
            return;
        };
        let peer = request.peer;
        let lacks: Vec<Lack> = request.things.iter().filter_map(|(thing, _)| self.lack(*thing)).collect();
        let mut bytes = Vec::with_capacity(lacks.len() * Lack::SIZE_MAX);
        let lacks = Lacks::encode(&lacks, &mut bytes);
        let cookie = self.given.get(peer.name).unwrap_or_default();
        let mut datagram = self.datagram_to(peer.generation);
        if datagram.push(&Body::Fetch(Fetch { seq, cookie, lacks })) {
            self.transmit(now, peer.addr, datagram);
        }
    }

    /// What to ask for, of a thing that is lacking.
    fn lack(&self, thing: Thing) -> Option<Lack> {
        match thing {
            Thing::State(subject) => {
                let entry = self.members.active(subject)?;
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
            Thing::Broadcasts(origin) => {
                let entry = self.members.active(origin)?;
                Some(Lack::Broadcasts { origin, generation: entry.generation(), after: entry.broadcast })
            }
        }
    }

    /// How far behind somebody is who lacks this; none if we have nothing for him.
    fn depth(&self, lack: &Lack) -> Option<u64> {
        match lack {
            Lack::State { subject, generation, from, .. } => {
                let (run, state) = self.told_state(*subject)?;
                (run == *generation).then(|| state.version().saturating_sub(*from)).filter(|depth| *depth > 0)
            }
            Lack::Broadcasts { origin, generation, after } => {
                self.broadcasts_after(*origin, *generation, *after)
            }
        }
    }

    /// Adds what somebody lacks. False if there is no room for more.
    fn add_lacking(&mut self, now: Instant, datagram: &mut Writer, lack: &Lack) -> bool {
        match lack {
            Lack::State { subject, from, base, .. } => {
                if !self.state_budget.may_answer(now) {
                    return false;
                }
                let Some((generation, state)) = self.told_state(*subject) else {
                    return true;
                };
                let from = if *from >= state.base() || *base == state.base() { *from } else { 0 };
                let mut builder = WritesBuilder::default();
                let room = datagram.room().saturating_sub(DELTA_HEAD);
                let (to, writes) = stretch(state, from, state.version(), room, &mut builder);
                if to == from {
                    return false;
                }
                let delta = delta(*subject, generation, state, (from, to), &builder);
                let fits = datagram.push(&Body::SyncDelta(delta));
                let all = to == state.version();
                self.state_budget.spend(writes);
                fits && all
            }
            Lack::Broadcasts { origin, generation, after } => {
                self.add_broadcasts(datagram, *origin, *generation, *after)
            }
        }
    }

    /// Takes a stretch of writes if it connects. Answers whether it brought anything.
    fn take_delta(&mut self, now: Instant, delta: &Delta<'_>) -> bool {
        let Some(entry) = self.members.active(delta.subject) else {
            return false;
        };
        let version = entry.node().state_version();
        if delta.subject == self.me
            || entry.generation() != delta.generation
            || delta.to <= version
            // It does not connect: seen here, before the state is copied.
            || delta.from > version
            || delta.base > version
        {
            return false;
        }
        let mut state = self.state_of(delta.subject);
        let Some(changes) = state.extend(delta.base, delta.from, delta.to, written(delta)) else {
            return false;
        };
        if state.is_oversize() {
            self.metrics.implausible += 1;
            return false;
        }
        self.collected.remove(&delta.subject);
        self.members.set_state(now, delta.subject, state);
        self.tell_changes(delta.subject, changes);
        true
    }

    /// Takes a stretch of a state that is collected anew, and the whole when it is complete.
    fn collect(&mut self, now: Instant, delta: &Delta<'_>) {
        let Some(entry) = self.members.active(delta.subject) else {
            return;
        };
        let version = entry.node().state_version();
        if entry.generation() != delta.generation || delta.base <= version || delta.subject == self.me {
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
        let changes = self.state_of(delta.subject).changes_to(&newer);
        self.members.set_state(now, delta.subject, newer);
        self.tell_changes(delta.subject, changes);
    }

    /// Tells users of changes that the view shows already.
    fn tell_changes(&mut self, subject: NameHash, changes: Vec<Change>) {
        let Some(entry) = self.members.get(subject).filter(|entry| entry.is_visible()) else {
            return;
        };
        let node = entry.node();
        self.events.extend(changes.into_iter().map(|(key, value)| Event::Changed {
            node: node.clone(),
            key: key.as_ref().to_owned(),
            value: value.map(|value| value.to_vec()),
        }));
    }

    pub(super) fn publish_state(&mut self, now: Instant, state: State) {
        let before = self.own_state_version();
        // Until the next datagram leaves, what is written goes with what was written before it.
        let open = Topic::State(self.me, self.open_chunk);
        let size: usize = state
            .written_after(self.open_chunk)
            .map(|write| write.key.len() + write.value.map_or(0, <[u8]>::len))
            .sum();
        if !self.rumors.contains(open) || size > CHUNK {
            self.open_chunk = before;
        }
        self.members.set_state(now, self.me, state);
        self.push_topic(now, Topic::State(self.me, self.open_chunk));
        self.spread(now);
    }

    pub(super) fn check_running(&self) -> Result<()> {
        if self.ended || self.leave.is_some() { Err(Error::Closed) } else { Ok(()) }
    }

    fn own_state_version(&self) -> u64 {
        self.members.get(self.me).map_or(0, |entry| entry.node().state_version())
    }

    /// A node's state as it is now, to be changed.
    pub(super) fn state_of(&self, name: NameHash) -> State {
        self.members.get(name).and_then(|entry| entry.node().versioned_state()).cloned().unwrap_or_default()
    }

    /// A state that others may be told of, and whose run it is.
    fn told_state(&self, name: NameHash) -> Option<(Generation, &State)> {
        let entry = self.members.active(name).filter(|entry| !entry.hidden)?;
        Some((entry.generation(), entry.node().versioned_state()?))
    }
}

/// How far we have a thing, if it is of this run; of a state that is collected anew, how far it is collected.
fn held(
    members: &super::members::Members,
    collected: &std::collections::BTreeMap<NameHash, (Generation, Collected)>,
    thing: Thing,
    run: Option<Generation>,
) -> Option<u64> {
    let (Thing::State(name) | Thing::Broadcasts(name)) = thing;
    let entry = members.active(name).filter(|entry| run.is_none_or(|run| entry.generation() == run))?;
    Some(match thing {
        Thing::State(_) => {
            let collected = collected.get(&name).filter(|(run, _)| *run == entry.generation());
            let collected = collected.map_or(0, |(_, collected)| collected.version());
            entry.node().state_version().max(collected)
        }
        Thing::Broadcasts(_) => entry.broadcast,
    })
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
