//! State: what we write, what we hear of the writes of others, and what we fetch of them.
//!
//! A write leaves at once as a rumor: a **delta**, all that stands of the writes after some version. A member that has
//! all before it takes it, reports it to users and passes it on; one that has not fetches what is missing from the
//! sender (see [`super::sync::pull`]). What a rumor has missed is found by comparing views, for the version is part
//! of a record: the one that is behind then fetches. Of many that are behind, the one that lacks most is brought up
//! to date first, and what does not fit is cut at a version, never in the middle (van Renesse et al., LADIS 2008,
//! section 3: the Scuttlebutt protocol and its *depth* order; a cut delta is its prefix).
//!
//! ```text
//!  asker                                          holder
//!  State: all after version 40            →
//!                                         ←       Delta: (210, 260], and Cuts: 90, 150, 210
//!  State: (40, 90]     side by side       →
//!  State: (90, 150]                       →
//!  State: (150, 210]                      →
//!                                         ←       three times Delta
//!  Standing: (0, 40], if the base is      →
//!  above 40
//!                                         ←       Standing: 3, 7, 8, 21, 40
//! ```
//!
//! A stretch of writes only ever gets shorter, because what is written anew gets a higher version. So what is cut once
//! fits for good, whichever member it comes from, and what has come stays right while the owner goes on writing (see
//! [`Collected`]).
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
use std::time::Duration;

use super::api::Bound;
use super::core::delta::{WRITE_OVERHEAD, delta, head_size, sendable, stretch};
use super::core::rumors::Topic;
use super::core::{Context, Core};
use super::membership::Entry;
use super::time::Instant;
use crate::error::Result;
use crate::event::Event;
use crate::node::Generation;
use crate::state::{Change, Collected, ENTRY_MAX, Lacking, Span, State, VERSION_MAX, Written};
use crate::wire::body::{Cuts, Delta, Standing};
use crate::wire::header::HEADER_SIZE;
use crate::wire::lists::{Lack, StepsBuilder, WritesBuilder};
use crate::wire::sealed::SEAL_SIZE;
use crate::wire::{Body, DATAGRAM_MAX, NameHash, Writer};
use budget::Budget;

/// How long a node is a newcomer.
const NEWCOMER: Duration = Duration::from_secs(10);
/// Writes that follow each other closely leave in one rumor up to this size.
const CHUNK: usize = 512;
/// Nodes of whose states something waits at the same time until it can be taken.
const COLLECTED_MAX: usize = 64;
/// What cuts may take of an answer: enough for those of a whole state.
const CUTS_ROOM: usize = 200;
/// The head of cuts, with type and length.
const CUTS_HEAD: usize = 3 + 8 + 8 + 5;
/// The head of a delta, at its longest: versions are below 2⁴⁹.
const DELTA_HEAD: usize = 8 + 8 + 4 * 7;
/// What a datagram holds beside one key and its value: header, seal, the body before the delta in an answer, type and
/// length, the head, and what a write takes.
const DELTA_OVERHEAD: usize = HEADER_SIZE + SEAL_SIZE + 10 + 3 + DELTA_HEAD + WRITE_OVERHEAD;
const _: () = assert!(DELTA_OVERHEAD + ENTRY_MAX <= DATAGRAM_MAX, "a datagram holds each key with its value");
/// Nobody gets here by writing. Who is said to have is not told apart by higher versions any more, of which there may
/// not be enough, but by another run.
pub(super) const VERSION_CLAIMED_MAX: u64 = VERSION_MAX / 2;

/// The states of all nodes, as far as more is to be known of them than what the view holds.
#[derive(Debug)]
pub(super) struct States {
    /// What has come of states and can not be taken yet.
    collected: BTreeMap<NameHash, Waiting>,
    /// The version after which the newest rumor about our own state begins.
    open_chunk: u64,
    budget: Budget,
}

/// What has come of a state and can not be taken yet.
#[derive(Debug)]
struct Waiting {
    generation: Generation,
    collected: Collected,
    /// When something came last.
    touched: Instant,
}

impl States {
    /// `per_second`: how many writes may be told a second; none: any number.
    pub(super) fn new(now: Instant, per_second: Option<u32>) -> Self {
        Self { collected: BTreeMap::new(), open_chunk: 0, budget: Budget::new(now, per_second) }
    }

    /// Writes keys of our own state, and removes those without a value. Returns whether that is news.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge), [`Error::Config`](crate::Error::Config),
    /// [`Error::Closed`](crate::Error::Closed): nothing was written.
    pub(super) fn update(
        &mut self,
        core: &mut Core,
        now: Instant,
        changes: &[(&str, Option<&[u8]>)],
    ) -> Result<bool> {
        core.check_running()?;
        let mut state = own_state(core);
        let before = state.version();
        let last: BTreeMap<&str, Option<&[u8]>> = changes.iter().copied().collect();
        // What is removed makes room for what is written.
        last.iter().filter(|(_, value)| value.is_none()).for_each(|(key, _)| _ = state.remove(key));
        for (key, value) in last.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            state.set(key, value)?;
        }
        let is_news = state.version() > before;
        if is_news {
            self.publish(core, now, state);
        }
        Ok(is_news)
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

    /// A run of ours begins with these keys and values.
    pub(super) fn begin<'a>(
        &mut self,
        core: &mut Core,
        now: Instant,
        items: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) {
        let mut state = State::default();
        let (mut first, mut count) = (None, 0_usize);
        for (key, value) in items {
            if let Err(error) = state.set(key, value) {
                first.get_or_insert((key, error));
                count += 1;
            }
        }
        if let Some((key, error)) = first {
            let text = || format!("{count} keys are not kept, the first is {key:?}: {error}");
            core.note(log::Level::Warn, text);
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
        let connects = |entry: &Entry| delta.from <= entry.node().state_version();
        if core.members.heeded(delta.subject).is_some_and(connects) && self.take(core, context.now, delta) {
            core.push_topic(context.now, Topic::State(delta.subject, delta.from));
        }
    }

    /// Writes that we have asked for. Those of which we only heard from their owner go on: it may have made them behind a
    /// cut, and then no other member has heard of them. A newcomer's go round by themselves.
    pub(super) fn handle_sync_delta(&mut self, core: &mut Core, context: &Context, delta: &Delta<'_>) {
        let known = core.members.heeded(delta.subject).filter(|_| delta.subject == context.sender);
        let is_whole = delta.to == delta.version;
        let from = known
            .filter(|entry| is_whole && context.now.since(entry.since) > NEWCOMER)
            .map(|entry| entry.node().state_version());
        if self.take(core, context.now, delta)
            && let Some(from) = from
        {
            core.push_topic(context.now, Topic::State(delta.subject, from));
        }
    }

    /// Which of the writes that we hold still stand.
    pub(super) fn handle_standing(&mut self, core: &mut Core, context: &Context, standing: &Standing<'_>) {
        let Standing { subject, generation, version: as_of, from, to, steps } = *standing;
        let span = Span { from, to, as_of, base: 0 };
        self.collect(core, context.now, subject, generation, |collected| {
            collected.add_standing(&span, steps.versions(from));
        });
    }

    /// Up to which version the writes after version `from` have come without a gap, of a state of this run.
    pub(super) fn reach(
        &self,
        core: &Core,
        subject: NameHash,
        run: Option<Generation>,
        from: u64,
    ) -> Option<u64> {
        let entry =
            core.members.heeded(subject).filter(|entry| run.is_none_or(|run| entry.generation() == run))?;
        let from = from.max(entry.node().state_version());
        Some(self.collected(subject, entry.generation()).map_or(from, |collected| collected.reach(from)))
    }

    /// The same of all that we hold.
    pub(super) fn held(&self, core: &Core, subject: NameHash, run: Option<Generation>) -> Option<u64> {
        self.reach(core, subject, run, 0)
    }

    /// Up to which version it is known which writes stand, as far as that is of any use.
    pub(super) fn standing(&self, core: &Core, subject: NameHash, run: Option<Generation>) -> Option<u64> {
        let entry =
            core.members.heeded(subject).filter(|entry| run.is_none_or(|run| entry.generation() == run))?;
        match self.lacking(core, subject) {
            Some(Lacking::Standing(_)) => {
                let collected = self.collected(subject, entry.generation());
                Some(collected.map_or(0, Collected::standing_upto))
            }
            _ => Some(u64::MAX),
        }
    }

    /// What is missing of a state before what has come can be taken.
    pub(super) fn lacking(&self, core: &Core, subject: NameHash) -> Option<Lacking> {
        let entry = core.members.heeded(subject)?;
        let state = entry.node().versioned_state()?;
        self.collected(subject, entry.generation())?.lacking(state)
    }

    /// How to ask for the writes of a state after version `from` that are missing.
    pub(super) fn lack(&self, core: &Core, subject: NameHash, (from, until): (u64, u64)) -> Option<Lack> {
        let generation = core.members.heeded(subject)?.generation();
        let from = self.reach(core, subject, None, from)?;
        Some(Lack::State { subject, generation, from, until })
    }

    /// How to ask which of the writes of a state still stand.
    pub(super) fn lack_of_standing(&self, core: &Core, subject: NameHash) -> Option<Lack> {
        let generation = core.members.heeded(subject)?.generation();
        let Lacking::Standing(until) = self.lacking(core, subject)? else {
            return None;
        };
        let from = self.standing(core, subject, None)?;
        Some(Lack::Standing { subject, generation, from, until })
    }

    /// Adds the writes of a state that somebody lacks, after version `from`, up to version `until`. False if there is
    /// no room for all of them, or the budget does not allow it. `whole`: how much room an answer has.
    pub(super) fn add_missing(
        &mut self,
        core: &Core,
        now: Instant,
        datagram: &mut Writer,
        subject: NameHash,
        (from, until): (u64, u64),
        whole: usize,
    ) -> bool {
        if !self.budget.may_answer(now) {
            return false;
        }
        let Some((generation, state)) = sendable(core, subject) else {
            return true;
        };
        // With a limit there is no use in asking for more at once.
        let is_open = until == 0 && !self.budget.is_limited();
        let until = if until == 0 { state.version() } else { until.min(state.version()) };
        let room = datagram.room().saturating_sub(head_size(state));
        let mut builder = WritesBuilder::default();
        let (to, writes) = stretch(state, from, until, room, &mut builder);
        if is_open && to < until {
            let whole = whole.saturating_sub(head_size(state));
            if let Some(writes) = add_in_parts(datagram, subject, generation, state, from, (room, whole)) {
                self.budget.spend(writes);
                return false;
            }
        }
        if to <= from {
            return false;
        }
        let delta = delta(subject, generation, state, (from, to), &builder);
        self.budget.spend(writes);
        datagram.push(&Body::PulledDelta(delta)) && to == until
    }

    /// Adds which of the writes that somebody holds of a state, after version `from`, up to version `until`, still
    /// stand. False if there is no room for all of them, or the budget does not allow it.
    pub(super) fn add_standing(
        &mut self,
        core: &Core,
        now: Instant,
        datagram: &mut Writer,
        subject: NameHash,
        (from, until): (u64, u64),
    ) -> bool {
        if !self.budget.may_answer(now) {
            return false;
        }
        let Some((generation, state)) =
            sendable(core, subject).filter(|(_, state)| from < until && until <= state.version())
        else {
            return true;
        };
        let (mut steps, mut to) = (StepsBuilder::new(from), until);
        let room = datagram.room().saturating_sub(head_size(state));
        for version in state.standing(from, until) {
            if !steps.push(version, room) {
                to = steps.last();
                break;
            }
        }
        if to == from {
            return false;
        }
        let (version, steps) = (state.version(), steps.as_steps());
        self.budget.spend(1);
        datagram.push(&Body::Standing(Standing { subject, generation, version, from, to, steps }))
            && to == until
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "states that wait", count: self.collected.len(), max: COLLECTED_MAX }
    }

    /// Takes a stretch of writes, now or when those before it have come. Answers whether a view shows more than before.
    fn take(&mut self, core: &mut Core, now: Instant, delta: &Delta<'_>) -> bool {
        let Delta { subject, generation, version: as_of, base, from, to, .. } = *delta;
        // Seen here, before the state is copied.
        if core.members.heeded(subject).is_none_or(|entry| to <= entry.node().state_version()) {
            return false;
        }
        let span = Span { from, to, as_of, base };
        self.collect(core, now, subject, generation, |collected| collected.add(span, written(delta)))
    }

    /// Something has come of a state: takes what can be taken now. Answers whether that is more than before.
    fn collect(
        &mut self,
        core: &mut Core,
        now: Instant,
        subject: NameHash,
        generation: Generation,
        add: impl FnOnce(&mut Collected),
    ) -> bool {
        let is_of_run = |entry: &&Entry| entry.generation() == generation;
        let Some(entry) = core.members.heeded(subject).filter(is_of_run).filter(|_| subject != core.me)
        else {
            return false;
        };
        let held = entry.node().state_version();
        let waiting = self.collected.remove(&subject).filter(|waiting| waiting.generation == generation);
        let mut collected = waiting.map_or_else(Collected::default, |waiting| waiting.collected);
        add(&mut collected);
        let mut state = state_of(core, subject);
        let changes = collected.advance(&mut state);
        if state.is_oversize() {
            core.metrics.implausible += 1;
            return false;
        }
        if !collected.is_empty() {
            self.make_room();
            self.collected.insert(subject, Waiting { generation, collected, touched: now });
        }
        let is_news = state.version() > held;
        if is_news {
            core.members.set_state(now, subject, state);
            emit_changes(core, subject, changes);
        }
        is_news
    }

    /// Makes room for what has come of one more state.
    fn make_room(&mut self) {
        while self.collected.len() >= COLLECTED_MAX {
            let oldest = self.collected.iter().min_by_key(|(_, waiting)| waiting.touched);
            let Some(oldest) = oldest.map(|(name, _)| *name) else {
                return;
            };
            self.collected.remove(&oldest);
        }
    }

    fn collected(&self, subject: NameHash, generation: Generation) -> Option<&Collected> {
        let waiting = self.collected.get(&subject).filter(|waiting| waiting.generation == generation)?;
        Some(&waiting.collected)
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
    let (held_run, state) = sendable(core, subject)?;
    (held_run == run).then(|| state.version().saturating_sub(from)).filter(|depth| *depth > 0)
}

fn own_version(core: &Core) -> u64 {
    core.members.get(core.me).map_or(0, |entry| entry.node().state_version())
}

/// A node's state as it is now, to be changed.
fn state_of(core: &Core, name: NameHash) -> State {
    core.members.get(name).and_then(|entry| entry.node().versioned_state()).cloned().unwrap_or_default()
}

/// Adds what a rumor about a state has to tell: the writes after `from`, up to where the next such rumor begins.
/// Answers how many; none if there is no room for one.
fn add_news(core: &Core, datagram: &mut Writer, subject: NameHash, from: u64) -> Option<usize> {
    let Some((generation, state)) = sendable(core, subject).filter(|(_, state)| state.version() > from)
    else {
        return Some(0);
    };
    let until = core.rumors.next_state(subject, from).unwrap_or(u64::MAX).min(state.version());
    let mut builder = WritesBuilder::default();
    let (to, writes) =
        stretch(state, from, until, datagram.room().saturating_sub(head_size(state)), &mut builder);
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

/// Adds one stretch of the writes after `from`, which have no room in one answer, and where to cut the others.
/// Answers how many writes it has; none if there is no room for one.
///
/// A copy that has nothing yet gets the first stretch, since it can show that at once. Any other gets the last one: a
/// key that is written again and again stands only there, and has gone on by the time that another stretch is asked
/// for.
fn add_in_parts(
    datagram: &mut Writer,
    subject: NameHash,
    generation: Generation,
    state: &State,
    from: u64,
    (room, whole): (usize, usize),
) -> Option<usize> {
    let (room, version) = (room.saturating_sub(CUTS_ROOM), state.version());
    let mut builder = WritesBuilder::default();
    let span = if from == 0 {
        (0, stretch(state, 0, version, room, &mut builder).0)
    } else {
        let begin = last_stretch(state, from, room);
        (begin, stretch(state, begin, version, room, &mut builder).0)
    };
    let writes = builder.as_writes().iter().count();
    if writes == 0 {
        return None;
    }
    let others = if from == 0 { (span.1, version) } else { (from, span.0) };
    let steps = cuts(state, others, whole);
    let cuts = Cuts { subject, generation, from: others.0, steps: steps.as_steps() };
    let delta = delta(subject, generation, state, span, &builder);
    (datagram.push(&Body::PulledDelta(delta)) && datagram.push(&Body::Cuts(cuts))).then_some(writes)
}

/// After which version the last writes begin that have room together.
fn last_stretch(state: &State, from: u64, mut room: usize) -> u64 {
    for write in state.written_after(from).rev() {
        let size = write.key.len() + write.value.map_or(0, <[u8]>::len) + WRITE_OVERHEAD;
        match room.checked_sub(size) {
            Some(left) => room = left,
            None => return write.version,
        }
    }
    from
}

/// Where to cut the writes after `from`, up to `until`, so that each stretch has at most `room` bytes, as far as
/// there is room for that.
fn cuts(state: &State, (mut from, until): (u64, u64), room: usize) -> StepsBuilder {
    let mut cuts = StepsBuilder::new(from);
    while from < until {
        let (to, _) = stretch(state, from, until, room, &mut WritesBuilder::default());
        if to <= from || !cuts.push(to, CUTS_ROOM - CUTS_HEAD) {
            break;
        }
        from = to;
    }
    cuts
}

fn written<'a>(delta: &Delta<'a>) -> impl Iterator<Item = Written<'a>> {
    delta.writes.iter().scan(delta.from, |version, write| {
        *version += write.step;
        Some(Written { key: write.key, version: *version, value: write.value })
    })
}
