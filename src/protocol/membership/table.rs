//! The member list: what this view holds on every node, and the one rule by which news is merged into it.
//!
//! A record is ordered by (generation, incarnation, status), with Alive < Suspect < Dead < Left, and the
//! greater one wins (SWIM, section 4.2, with two additions). Everything else follows from that order:
//!
//! | held | news | outcome |
//! |---|---|---|
//! | `(g, i, Alive)` | `(g, i, Suspect)` | an accusation beats the incarnation that it accuses |
//! | `(g, i, Suspect)` | `(g, i+1, Alive)` | a refutation beats the accusation |
//! | `(g, i, Dead)` | `(g, i, Alive)` | nothing: old tables do not bring back the dead |
//! | `(g, i, Dead)` | `(g, i, Left)` | Beyond SWIM: what was taken for a crash was a leave |
//! | `(g, i, any)` | `(g+1, 0, Alive)` | Beyond SWIM: a restart beats everything before it |
//!
//! The list also keeps the **fingerprint** of the view: the wrapping sum of the hashes of all active records,
//! in 128 buckets by name hash, so that a change costs O(1) and two views are compared for 8 bytes. The
//! status is not part of it: a suspicion is a timed opinion, and its end changes another number.
//!
//! A node that this member alone has given up is **hidden**: its record stays and it is probed, but it takes no part.
//! It is left out of the ring, of the fingerprint and of everything that is sent to others, and users see it as dead.
//! So a view that hides nodes differs from the others, and ordinary sync brings them back from any node that does not
//! hide them.
//!
//! A record is **vouched** for or not (see [`super::super::core`]). That is this member's own knowledge, and part of
//! neither the order nor the fingerprint.

mod entry;
mod vouching;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::address_index::AddressIndex;
use super::alias::{Aliases, OwnAddresses};
use super::lost::LostAddresses;
use super::roster::Roster;
use crate::node::{Generation, Node, Status};
use crate::protocol::api::Bound;
use crate::protocol::time::Instant;
use crate::state::State;
use crate::wire::body::BUCKETS;
use crate::wire::lists::RecordKey;
use crate::wire::{ClusterTag, NameHash, Record, Verdict};
use entry::Facts;
pub(crate) use entry::{Before, Entry};

/// An incarnation above this is not believed: a node that refutes a thousand times a second needs nine
/// thousand years to get there.
const INCARNATION_MAX: u64 = 1 << 48;
/// An incarnation further than this above the one held is not believed. Nor is an accusation of an incarnation that is
/// as far above it: members that have not heard it would not believe the refutation.
pub(crate) const INCARNATION_STEP_MAX: u64 = 1 << 16;

/// What merging a piece of news did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merged {
    /// The view is unchanged: the same is held already.
    Same,
    /// The view is unchanged: what is held is greater.
    Older,
    /// The view is unchanged: the news can not be believed, is about an unknown node, or finds no place.
    Refused,
    /// The record was taken. Before, there was this one, or none.
    Changed(Option<Before>),
}

/// All records of one view.
#[derive(Debug)]
pub(crate) struct Members {
    tag: ClusterTag,
    /// Each in memory of its own, because a map leaves a third of its slots free: among 1,000 nodes a record takes
    /// 273 bytes this way, and 281 inside the map (`spreading -- speed 1000`). It is an `Arc` for `adopt`, in
    /// simulations: views share a record until one of them changes it.
    entries: BTreeMap<NameHash, Arc<Entry>>,
    roster: Roster,
    by_addr: AddressIndex,
    suspects: usize,
    /// Number of absences of this member, from one: each withdraws all earlier vouching.
    absences: u32,
    /// Whether some records may not have been vouched for since the last absence.
    is_unsure: bool,
    /// The two nodes that were heard last, the latest first.
    heard_last: [Option<NameHash>; 2],
    /// Dead and left ones by the time they became so.
    tombstones: BTreeSet<(Instant, NameHash)>,
    tombstones_max: usize,
    lost: LostAddresses,
    nodes_max: usize,
    sums: Box<[u64; BUCKETS]>,
    fingerprint: u64,
    /// When the fingerprint changed last.
    changed: Instant,
    /// Raised by every change that users can see.
    version: u64,
    /// The names of records that have changed, if they are being recorded.
    journal: Option<Vec<String>>,
}

impl Members {
    /// An empty view. `nodes_max` bounds the tombstones and, with a quarter more, the active records: other members may
    /// have admitted nodes that we would not.
    pub(crate) fn new(tag: ClusterTag, nodes_max: usize, now: Instant) -> Self {
        Self {
            tag,
            entries: BTreeMap::new(),
            roster: Roster::default(),
            by_addr: AddressIndex::default(),
            suspects: 0,
            absences: 1,
            is_unsure: false,
            heard_last: [None; 2],
            tombstones: BTreeSet::new(),
            tombstones_max: nodes_max,
            lost: LostAddresses::default(),
            nodes_max: nodes_max + nodes_max / 4,
            sums: Box::new([0; BUCKETS]),
            fingerprint: 0,
            changed: now,
            version: 0,
            journal: None,
        }
    }

    /// Keeps the names of records that change from here on.
    pub(crate) fn keep_journal(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// The name of a record that has changed.
    pub(crate) fn pop_touched(&mut self) -> Option<String> {
        self.journal.as_mut()?.pop()
    }

    /// Replaces all records by those of another view; both share them in memory. The limits stay as they are.
    #[cfg(any(test, fuzzing, headcount_bench))]
    pub(crate) fn adopt(&mut self, now: Instant, other: &Self) {
        self.entries.clone_from(&other.entries);
        self.roster.clone_from(&other.roster);
        self.by_addr.clone_from(&other.by_addr);
        (self.suspects, self.absences) = (other.suspects, other.absences);
        self.tombstones.clone_from(&other.tombstones);
        self.sums.clone_from(&other.sums);
        self.fingerprint = other.fingerprint;
        self.changed = now;
        self.version += 1;
        for entry in self.entries.values() {
            note_touched(&mut self.journal, entry.node.name());
        }
    }

    /// Merges what a node says about itself. Its broadcast number is taken only for a run that was not known. For a
    /// known run it says what was sent, and not what was delivered here.
    pub(crate) fn merge_alive(&mut self, now: Instant, name: NameHash, record: &Record<'_>) -> Merged {
        let far = self.entries.get(&name).is_some_and(|entry| {
            record.generation == entry.generation()
                && record.incarnation.0 > entry.incarnation().0.saturating_add(INCARNATION_STEP_MAX)
        });
        if far { Merged::Refused } else { self.merge_proven(now, name, record) }
    }

    /// The same for what only the node itself can have said: it may have refuted more accusations than we have heard
    /// of.
    pub(crate) fn merge_proven(&mut self, now: Instant, name: NameHash, record: &Record<'_>) -> Merged {
        if record.incarnation.0 > INCARNATION_MAX {
            return Merged::Refused;
        }
        let Some(entry) = self.entries.get(&name) else {
            if self.is_full() {
                return Merged::Refused;
            }
            self.insert(now, name, record);
            return Merged::Changed(None);
        };
        if entry.node.name() != record.name {
            return Merged::Refused;
        }
        let same_run = record.generation == entry.generation();
        let news = (record.generation, record.incarnation, Status::Alive);
        if news <= entry.order() {
            let same = news.0 == entry.generation() && news.1 == entry.incarnation();
            // An accusation with this incarnation came before the record of the node itself: take the record.
            if same && !entry.is_complete && entry.is_active() {
                let before = Before::of(entry);
                self.update(now, name, Facts::of(record), |entry| entry.is_complete = true);
                return Merged::Changed(Some(before));
            }
            return if news == entry.order() { Merged::Same } else { Merged::Older };
        }
        let before = Before::of(entry);
        let returns = !entry.is_active();
        if returns && self.is_full() {
            return Merged::Refused;
        }
        self.update(now, name, Facts::of(record), |entry| {
            entry.is_complete = true;
            entry.status = Status::Alive;
            entry.left_at = None;
            entry.hidden = false;
            if !same_run {
                entry.broadcast = record.broadcast;
                entry.aliases = Aliases::default();
                entry.last_heard = Instant::default();
                entry.last_answer = Instant::default();
            }
        });
        Merged::Changed(Some(before))
    }

    /// Merges an accusation, a death or a leave. About an unknown node it adds nothing.
    pub(crate) fn merge_verdict(&mut self, now: Instant, verdict: &Verdict) -> Merged {
        let Some(entry) = self.entries.get(&verdict.subject) else {
            return Merged::Refused;
        };
        if verdict.generation > entry.generation()
            || verdict.incarnation.0 > INCARNATION_MAX
            || (verdict.generation == entry.generation()
                && verdict.incarnation.0 >= entry.incarnation().0.saturating_add(INCARNATION_STEP_MAX))
        {
            return Merged::Refused;
        }
        let news = (verdict.generation, verdict.incarnation, verdict.status);
        match news.cmp(&entry.order()) {
            std::cmp::Ordering::Less => Merged::Older,
            std::cmp::Ordering::Equal => Merged::Same,
            std::cmp::Ordering::Greater => {
                let before = Before::of(entry);
                let facts = Facts { incarnation: verdict.incarnation, ..entry.facts() };
                let is_raised = verdict.incarnation > entry.incarnation();
                self.update(now, verdict.subject, facts, |entry| {
                    entry.status = verdict.status;
                    entry.left_at = (verdict.status == Status::Left).then(|| Box::new(verdict.left_at));
                    entry.is_complete &= !is_raised;
                });
                Merged::Changed(Some(before))
            }
        }
    }

    /// Hides a node from this view, or shows it again. False if it is so already.
    pub(crate) fn set_hidden(&mut self, now: Instant, name: NameHash, hidden: bool) -> bool {
        match self.entries.get(&name) {
            Some(entry) if entry.is_active() && entry.hidden != hidden => {
                let facts = entry.facts();
                self.update(now, name, facts, |entry| entry.hidden = hidden);
                true
            }
            _ => false,
        }
    }

    /// Holds another state of a node.
    pub(crate) fn set_state(&mut self, now: Instant, name: NameHash, state: State) {
        if let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) {
            entry.node = entry.node.with_state(state);
            self.version += 1;
            note_touched(&mut self.journal, entry.node.name());
            self.recount(now, name);
        }
    }

    /// The broadcasts of a node are delivered or given up, up to this one.
    pub(crate) fn set_broadcast(&mut self, now: Instant, name: NameHash, number: u64) {
        if let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) {
            entry.broadcast = number;
            self.recount(now, name);
        }
    }

    /// Lets users see the suspicion of a node.
    pub(crate) fn show_suspicion(&mut self, name: NameHash) {
        if let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) {
            entry.node = entry.node.with_status(entry.status);
            self.version += 1;
            note_touched(&mut self.journal, entry.node.name());
        }
    }

    /// Notes that a node was heard.
    pub(crate) fn heard(&mut self, now: Instant, name: NameHash) {
        if let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) {
            entry.last_heard = now;
            if self.heard_last[0] != Some(name) {
                self.heard_last = [Some(name), self.heard_last[0]];
            }
        }
    }

    /// Notes that a node has answered us.
    pub(crate) fn answered(&mut self, now: Instant, name: NameHash) {
        if let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) {
            entry.last_answer = now;
        }
    }

    /// Notes the length of a datagram of a node.
    pub(crate) fn came_from(&mut self, name: NameHash, length: usize) {
        if let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) {
            entry.largest = entry.largest.max(u16::try_from(length).unwrap_or(u16::MAX));
        }
    }

    /// Of all nodes that take part except one, the node that was heard last; none if it is not one of the two heard
    /// last.
    pub(crate) fn heard_last_but(&self, not: NameHash) -> Option<NameHash> {
        let mut last = self.heard_last.into_iter().flatten();
        last.find(|name| *name != not && self.visible(*name).is_some())
    }

    /// Notes an alias: a run has shown that an address is its own that it does not advertise.
    pub(crate) fn add_alias(&mut self, now: Instant, name: NameHash, addr: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&name).filter(|entry| entry.addr() != addr) {
            let entry = Arc::make_mut(entry);
            let were = entry.addresses();
            entry.aliases.add(now, addr);
            self.reindex(name, were);
        }
    }

    /// A datagram has come from an address in the name of a node: aliases that are not used are forgotten.
    pub(crate) fn heard_from(&mut self, now: Instant, name: NameHash, from: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&name).filter(|entry| !entry.aliases.is_empty()) {
            let entry = Arc::make_mut(entry);
            let were = entry.addresses();
            entry.aliases.heard(now, from);
            self.reindex(name, were);
        }
    }

    /// Folds a measured round trip into the smoothed one (RFC 6298: a weight of 1/8).
    pub(crate) fn measured(&mut self, name: NameHash, rtt: Duration) {
        if let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) {
            let smoothed = entry.node.rtt().map_or(rtt, |old| (old * 7 + rtt) / 8);
            entry.node.set_rtt(smoothed);
        }
    }

    /// Forgets tombstones older than `ttl`; when the next one falls due.
    pub(crate) fn reap(&mut self, now: Instant, ttl: Duration) -> Option<Instant> {
        while let Some((since, name)) = self.tombstones.first().copied() {
            if since + ttl > now {
                return Some(since + ttl);
            }
            self.forget_tombstone(since, name);
        }
        None
    }

    pub(crate) fn get(&self, name: NameHash) -> Option<&Entry> {
        self.entries.get(&name).map(Arc::as_ref)
    }

    /// The records that have this address as one of their own, active or not.
    pub(crate) fn at(&self, addr: SocketAddr) -> impl Iterator<Item = (NameHash, &Entry)> {
        let candidates = self.by_addr.candidates(addr).flat_map(|names| self.entries.range(names));
        candidates.filter(move |(_, entry)| entry.is_at(addr)).map(|(name, entry)| (*name, entry.as_ref()))
    }

    /// The active record of a node, hidden or not.
    pub(crate) fn active(&self, name: NameHash) -> Option<&Entry> {
        self.get(name).filter(|entry| entry.is_active())
    }

    /// The record of a node that takes part.
    pub(crate) fn visible(&self, name: NameHash) -> Option<&Entry> {
        self.get(name).filter(|entry| entry.is_visible())
    }

    /// The record of a node whose writes and broadcasts are still taken: it is active, or has left and not all that it
    /// had said by then is here.
    pub(crate) fn heeded(&self, name: NameHash) -> Option<&Entry> {
        self.get(name).filter(|entry| entry.is_active() || entry.is_unfinished())
    }

    /// The record of a node whose writes and broadcasts are sent to others: it takes part, or has left.
    pub(crate) fn told(&self, name: NameHash) -> Option<&Entry> {
        self.get(name).filter(|entry| entry.is_visible() || entry.status == Status::Left)
    }

    /// Whether this sender is the active run that we know, at an address of its own.
    pub(crate) fn is_known(&self, name: NameHash, generation: Generation, from: SocketAddr) -> bool {
        self.active(name).is_some_and(|entry| entry.generation() == generation && entry.is_at(from))
    }

    /// Whether this run of a node was ever heard here.
    pub(crate) fn was_heard(&self, name: NameHash) -> bool {
        self.get(name).is_some_and(|entry| entry.last_heard > Instant::default())
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (NameHash, &Entry)> {
        self.entries.iter().map(|(name, entry)| (*name, entry.as_ref()))
    }

    /// The visible records from a name hash on, in order.
    pub(crate) fn visible_from(&self, from: NameHash) -> impl Iterator<Item = (NameHash, &Entry)> {
        self.entries
            .range(from..)
            .filter(|(_, entry)| entry.is_visible())
            .map(|(name, entry)| (*name, entry.as_ref()))
    }

    /// The visible records with a short key (nearly always one or none).
    pub(crate) fn with_key(&self, key: RecordKey) -> impl Iterator<Item = (NameHash, &Entry)> {
        let from = NameHash(u64::from(key.bucket) << 57);
        self.entries
            .range(from..)
            .take_while(move |(name, _)| name.bucket() == key.bucket)
            .filter(move |(name, entry)| name.low() == key.low && entry.is_visible())
            .map(|(name, entry)| (*name, entry.as_ref()))
    }

    /// The part of a visible record in the sums.
    pub(crate) fn record_hash(&self, entry: &Entry) -> u64 {
        entry.record().hash(self.tag)
    }

    /// The nodes that take part, in order of name hash: active and not hidden, the own node included.
    pub(crate) fn ring(&self) -> &[NameHash] {
        self.roster.ring()
    }

    /// All active nodes, hidden ones included.
    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Whether no further node can become active.
    pub(crate) fn is_full(&self) -> bool {
        self.roster.len() >= self.nodes_max
    }

    pub(crate) fn suspects_len(&self) -> usize {
        self.suspects
    }

    /// Dead and left nodes, oldest first, with the time they became so.
    pub(crate) fn tombstones(&self) -> impl Iterator<Item = (Instant, NameHash)> + '_ {
        self.tombstones.iter().copied()
    }

    /// The addresses of forgotten dead nodes where no node is that takes part, oldest first.
    pub(crate) fn lost(&mut self) -> Vec<SocketAddr> {
        let mut lost = std::mem::take(&mut self.lost);
        let addrs = lost.without(|addr| self.at(addr).any(|(_, entry)| entry.is_visible()));
        self.lost = lost;
        addrs
    }

    pub(crate) fn tombstones_len(&self) -> usize {
        self.tombstones.len()
    }

    /// How many are active, and how many are not, with the limits of both.
    pub(crate) fn bounds(&self) -> [Bound; 2] {
        [
            Bound { what: "active nodes", count: self.roster.len(), max: self.nodes_max },
            Bound {
                what: "tombstones",
                count: self.entries.len() - self.roster.len(),
                max: self.tombstones_max,
            },
        ]
    }

    pub(crate) fn lost_bound(&self) -> Bound {
        self.lost.bound()
    }

    pub(crate) fn sums(&self) -> &[u64; BUCKETS] {
        &self.sums
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Since when the fingerprint is what it is.
    pub(crate) fn quiet_since(&self) -> Instant {
        self.changed
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    fn insert(&mut self, now: Instant, name: NameHash, record: &Record<'_>) {
        note_touched(&mut self.journal, record.name);
        let entry = Entry {
            node: Node::new(record.name, record.addr, Status::Alive, record.generation, record.incarnation),
            status: Status::Alive,
            broadcast: record.broadcast,
            is_complete: true,
            since: now,
            last_heard: Instant::default(),
            last_answer: Instant::default(),
            largest: 0,
            hidden: false,
            vouched: self.absences,
            aliases: Aliases::default(),
            left_at: None,
            counted: 0,
        };
        self.entries.insert(name, Arc::new(entry));
        self.roster.set(name, true, false);
        self.reindex(name, OwnAddresses::default());
        self.recount(now, name);
        self.version += 1;
    }

    /// Changes a record and everything that is derived from it. The one place where that happens.
    fn update(&mut self, now: Instant, name: NameHash, facts: Facts, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) else {
            return;
        };
        let old = Before::of(entry);
        let were = entry.addresses();
        change(entry);
        if old.status != entry.status {
            entry.since = now;
        }
        if !entry.is_active() {
            entry.hidden = false;
        }
        let (status, hidden, takes_part) = (entry.status, entry.hidden, entry.is_visible());
        let shown = if status == Status::Suspect { Status::Alive } else { status };
        // A suspicion that is shown to users stays so while only its numbers change.
        let shown =
            if status == Status::Suspect && entry.node.status() == Status::Suspect { status } else { shown };
        // A hidden node is as good as dead to users of this member.
        let shown = if hidden { Status::Dead } else { shown };
        entry.node = entry.node.updated(facts.addr, shown, facts.generation, facts.incarnation);
        self.version += 1;
        note_touched(&mut self.journal, entry.node.name());

        self.suspects -= usize::from(old.status == Status::Suspect);
        self.suspects += usize::from(status == Status::Suspect);
        self.roster.set(name, takes_part, hidden);
        // Before the bound on the tombstones, which may forget this very record.
        self.reindex(name, were);
        self.recount(now, name);
        if !old.status.is_active() {
            self.tombstones.remove(&(old.since, name));
        }
        if !status.is_active() {
            let since = if old.status == status { old.since } else { now };
            self.tombstones.insert((since, name));
            if self.tombstones.len() > self.tombstones_max
                && let Some((since, oldest)) = self.tombstones.first().copied()
            {
                self.forget_tombstone(since, oldest);
            }
        }
    }

    fn forget_tombstone(&mut self, since: Instant, name: NameHash) {
        self.tombstones.remove(&(since, name));
        if let Some(entry) = self.entries.remove(&name) {
            note_touched(&mut self.journal, entry.node.name());
            self.reindex(name, entry.addresses());
            if entry.status == Status::Dead {
                self.lost.push(entry.addr());
            }
        }
        self.version += 1;
    }

    /// Brings the index by address up to date with a record, whose addresses were these.
    fn reindex(&mut self, name: NameHash, were: OwnAddresses) {
        let are = self.entries.get(&name).map_or(OwnAddresses::default(), |entry| entry.addresses());
        if are != were {
            were.into_iter().flatten().for_each(|addr| self.by_addr.remove(addr, name));
            are.into_iter().flatten().for_each(|addr| self.by_addr.insert(addr, name));
        }
    }

    /// Brings the sums up to date with a record.
    fn recount(&mut self, now: Instant, name: NameHash) {
        let Some(entry) = self.entries.get_mut(&name).map(Arc::make_mut) else {
            return;
        };
        let counts = if entry.is_visible() { entry.record().hash(self.tag) } else { 0 };
        let change = counts.wrapping_sub(entry.counted);
        if change == 0 {
            return;
        }
        entry.counted = counts;
        let sum = &mut self.sums[usize::from(name.bucket())];
        *sum = sum.wrapping_add(change);
        self.fingerprint = self.fingerprint.wrapping_add(change);
        self.changed = now;
    }
}

fn note_touched(journal: &mut Option<Vec<String>>, name: &str) {
    if let Some(journal) = journal {
        journal.push(name.to_owned());
    }
}
