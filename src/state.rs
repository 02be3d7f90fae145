//! A node's key-value state: what a node says about itself beyond that it is there.
//!
//! Only the node itself writes. Each write takes the next **version**, and a key keeps the version of its last
//! write, so the state of somebody who has seen everything up to version v is brought up to date by the writes
//! above v, in order. Two copies never contradict each other: one is behind (van Renesse, Dumitriu, Gough and
//! Thomas, "Efficient Reconciliation and Flow Control for Anti-Entropy Protocols", LADIS 2008, section 3).
//!
//! A removed key stays as a tombstone, or it would come back from a copy that has not heard of it. Beyond the paper, the
//! number of tombstones is bounded: the owner forgets the older half of too many, and declares a **base**. Keys that were
//! removed up to the base are not listed any more. A copy that is older asks which of the writes that it holds still
//! [stand](Collected), which are a byte or two each, and so needs no tombstone.
//!
//! | number | of a copy |
//! |---|---|
//! | version | it holds all that stands of the writes up to here |
//! | checked | of what it holds nothing was removed up to here; never below the version |
//! | base | it can not list the keys that were removed up to here |

mod collected;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result, invalid};
use crate::wire::text::unfit_letter;
pub(crate) use collected::{Collected, Lacking};

/// The longest key, in bytes of UTF-8.
pub(crate) const KEY_MAX: usize = 255;
/// The longest value, in bytes.
pub(crate) const VALUE_MAX: usize = 1_024;
/// The most bytes of one key and its value: with all that goes with them they fit into one datagram.
pub(crate) const ENTRY_MAX: usize = 1_100;
/// The most keys.
pub(crate) const KEYS_MAX: usize = 1_024;
/// The most bytes of all keys and values together.
pub(crate) const SIZE_MAX: usize = 64 * 1_024;
/// The highest version. A thousand writes a second take nine thousand years to get there.
pub(crate) const VERSION_MAX: u64 = 1 << 48;
/// With more tombstones than this the older half is forgotten.
const TOMBSTONES_MAX: usize = 256;
/// A copy may be larger than the original ever was by this factor: of a key that was written twice in a row a copy
/// that is behind may still hold the first, longer value.
const COPY_SLACK: usize = 3;

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    version: u64,
    /// None: removed.
    value: Option<Arc<[u8]>>,
}

/// The state of one run of a node, as far as it is known: all that stands of the writes up to its version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct State {
    version: u64,
    base: u64,
    /// Up to where it is checked, if that is above the version; else 0.
    checked: u64,
    items: BTreeMap<Arc<str>, Item>,
    /// What stands of the writes. An item whose version is not here has been written anew or removed …
    by_version: BTreeMap<u64, Arc<str>>,
    /// … and is shown until the copy has come to this version, where it has its new value if it has one. 0: there is
    /// none.
    passing_until: u64,
    tombstones: usize,
    /// Bytes of all keys and values that are there.
    size: usize,
}

/// One key that was written, with the version of the write, or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written<'a> {
    pub(crate) key: &'a str,
    pub(crate) version: u64,
    pub(crate) value: Option<&'a [u8]>,
}

/// A stretch of writes: all that stands, in a state of version `as_of` with this base, of the writes after version
/// `from`, up to version `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) as_of: u64,
    pub(crate) base: u64,
}

/// A key whose value is another one than before; none: it was removed.
pub(crate) type Change = (Arc<str>, Option<Arc<[u8]>>);

impl State {
    /// The version of the last write.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Keys that were removed up to this version are not listed.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Of what is here, nothing was removed up to this version.
    pub(crate) fn checked(&self) -> u64 {
        if self.version == 0 { u64::MAX } else { self.checked.max(self.version) }
    }

    /// The bytes of its tables, without keys and values, which it shares with earlier versions: about 96 for each key.
    pub(crate) fn table_bytes(&self) -> usize {
        self.items.len() * 96
    }

    /// What a key holds.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.items.get(key)?.value.as_deref()
    }

    /// The keys with their values, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.items.iter().filter_map(|(key, item)| Some((key.as_ref(), item.value.as_deref()?)))
    }

    /// What stands of the writes above a version, by version.
    pub(crate) fn written_after(&self, from: u64) -> impl DoubleEndedIterator<Item = Written<'_>> {
        self.by_version.range(from.saturating_add(1)..).filter_map(|(version, key)| {
            let value = self.items.get(key)?.value.as_deref();
            Some(Written { key, version: *version, value })
        })
    }

    /// The versions of the writes in (`from`, `to`] that still stand, removals not included.
    pub(crate) fn standing(&self, from: u64, to: u64) -> impl Iterator<Item = u64> {
        self.written_after(from)
            .take_while(move |write| write.version <= to)
            .filter(|write| write.value.is_some())
            .map(|write| write.version)
    }

    /// The owner writes. Answers whether that changed anything.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Config`]: nothing was written.
    pub(crate) fn set(&mut self, key: &str, value: &[u8]) -> Result<bool> {
        if key.is_empty() {
            return Err(invalid("key", "is empty"));
        }
        if let Some(letter) = unfit_letter(key) {
            return Err(invalid("key", format!("{key:?} has the character {letter:?}")));
        }
        at_most("key", key.len(), KEY_MAX)?;
        at_most("value", value.len(), VALUE_MAX)?;
        at_most("key and value", key.len() + value.len(), ENTRY_MAX)?;
        let held = self.get(key);
        if held == Some(value) {
            return Ok(false);
        }
        let held = held.map_or(0, |held| key.len() + held.len());
        at_most("state", self.size - held + key.len() + value.len(), SIZE_MAX)?;
        if held == 0 {
            let keys = self.len() + 1;
            if keys > KEYS_MAX {
                return Err(Error::TooLarge { what: "number of keys", size: keys, limit: KEYS_MAX });
            }
        }
        self.version += 1;
        self.put(key, self.version, Some(value.into()));
        Ok(true)
    }

    /// The owner removes a key. Answers whether it was there.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        self.version += 1;
        self.put(key, self.version, None);
        self.compact();
        true
    }

    /// The owner writes everything anew, above a version that somebody claims to have. Who has that one has to
    /// collect the state anew: it may hold keys that nobody has written.
    pub(crate) fn rewrite_above(&mut self, version: u64) {
        *self = self.rewritten(Self { version: version + 1, base: version + 1, ..Self::default() });
    }

    /// The owner writes everything anew from the beginning, as the state of another run.
    pub(crate) fn renumber(&mut self) {
        *self = self.rewritten(Self::default());
    }

    /// A copy takes the next stretch of writes, as far as it is checked: beyond, it may hold keys whose removal is not
    /// listed any more. Answers what has changed, by version; none if nothing of it can be taken.
    pub(crate) fn extend<'a>(
        &mut self,
        span: &Span,
        writes: impl Iterator<Item = Written<'a>>,
    ) -> Option<Vec<Change>> {
        let (held, checked) = (self.version, self.checked());
        let to = if span.base <= checked { span.to } else { span.to.min(checked) };
        if span.from > held || to <= held {
            return None;
        }
        let mut changes = Vec::new();
        for write in writes.filter(|write| write.version > held && write.version <= to) {
            let value: Option<Arc<[u8]>> = write.value.map(Into::into);
            let was_there = self.get(write.key).is_some();
            let key = self.put(write.key, write.version, value.clone());
            if was_there || value.is_some() {
                changes.push((key, value));
            }
        }
        self.version = to;
        self.set_checked(checked.min(span.as_of));
        self.rebase(span.base.min(to));
        self.end_passing(&mut changes);
        Some(changes)
    }

    /// Of what is here with a version up to `upto` only these versions still stand. The other keys are shown until the
    /// copy has come to the version `until`: those that were written anew have their new value then.
    fn keep_standing(&mut self, upto: u64, standing: &BTreeSet<u64>, until: u64) -> Vec<Change> {
        let Self { items, by_version, .. } = self;
        by_version.retain(|version, key| {
            let is_tombstone = items.get(key).is_some_and(|item| item.value.is_none());
            *version > upto || is_tombstone || standing.contains(version)
        });
        self.passing_until = self.passing_until.max(until);
        let mut changes = Vec::new();
        self.end_passing(&mut changes);
        changes
    }

    fn set_checked(&mut self, checked: u64) {
        self.checked = if checked > self.version { checked } else { 0 };
    }

    /// What was shown up to a version that the copy has come to goes.
    fn end_passing(&mut self, changes: &mut Vec<Change>) {
        if self.passing_until == 0 || self.version < self.passing_until {
            return;
        }
        self.passing_until = 0;
        let is_passing = |item: &Item| !self.by_version.contains_key(&item.version);
        let passing = self.items.iter().filter(|(_, item)| is_passing(item)).map(|(key, _)| Arc::clone(key));
        for key in passing.collect::<Vec<_>>() {
            if let Some(item) = self.items.remove(&key) {
                self.count_out(&key, &item);
                changes.push((key, None));
            }
        }
    }

    /// Whether it is larger than the copy of an honest state can be.
    pub(crate) fn is_oversize(&self) -> bool {
        self.size > SIZE_MAX * COPY_SLACK
            || self.len() > KEYS_MAX * COPY_SLACK
            || self.tombstones > (TOMBSTONES_MAX + KEYS_MAX) * COPY_SLACK
    }

    /// Another state, and behind it what is here.
    fn rewritten(&self, mut anew: Self) -> Self {
        for (key, value) in self.iter() {
            anew.version += 1;
            anew.put(key, anew.version, Some(value.into()));
        }
        anew
    }

    /// How many keys there are.
    fn len(&self) -> usize {
        self.items.len() - self.tombstones
    }

    fn put(&mut self, key: &str, version: u64, value: Option<Arc<[u8]>>) -> Arc<str> {
        let key = match self.items.remove_entry(key) {
            Some((key, old)) => {
                self.by_version.remove(&old.version);
                self.count_out(&key, &old);
                key
            }
            None => key.into(),
        };
        match &value {
            Some(value) => self.size += key.len() + value.len(),
            None => self.tombstones += 1,
        }
        self.by_version.insert(version, Arc::clone(&key));
        self.items.insert(Arc::clone(&key), Item { version, value });
        key
    }

    fn count_out(&mut self, key: &str, item: &Item) {
        match &item.value {
            Some(value) => self.size -= key.len() + value.len(),
            None => self.tombstones -= 1,
        }
    }

    /// The owner forgets the older half of too many tombstones.
    fn compact(&mut self) {
        if self.tombstones <= TOMBSTONES_MAX {
            return;
        }
        let is_tombstone = |key: &Arc<str>| self.items.get(key).is_some_and(|item| item.value.is_none());
        let middle = self.by_version.iter().filter(|(_, key)| is_tombstone(key)).nth(TOMBSTONES_MAX / 2);
        if let Some(base) = middle.map(|(version, _)| *version) {
            self.rebase(base);
        }
    }

    /// Forgets the tombstones up to a version.
    fn rebase(&mut self, base: u64) {
        if base <= self.base {
            return;
        }
        self.base = base;
        let Self { items, by_version, tombstones, .. } = self;
        by_version.retain(|version, key| {
            let is_over = *version <= base && items.get(key).is_some_and(|item| item.value.is_none());
            if is_over {
                items.remove(key);
                *tombstones -= 1;
            }
            !is_over
        });
    }
}

fn at_most(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
