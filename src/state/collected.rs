//! What has come of a state and can not be taken yet.
//!
//! Stretches of writes are asked for side by side and come in any order. They wait here until those before them have
//! come, and are taken in the order in which they were written.
//!
//! If the holder can not list the keys any more that were removed since the copy was right, it is asked which of the
//! writes that the copy holds still stand. That list and the stretches are taken together, as soon as they reach the
//! version that the list is of: so no view shows a new write beside a key that was removed before it.
//!
//! All of it stays right whatever the owner writes meanwhile, whichever peer it came from, and however long it takes: a
//! stretch of writes only ever gets shorter.

use std::collections::{BTreeMap, BTreeSet};

use super::{COPY_SLACK, Change, KEYS_MAX, SIZE_MAX, Span, State, Written};

/// What waits is counted with this for a stretch …
const STRETCH_SIZE: usize = 64;
/// … and with this for a write in it, beside its key and its value.
const WRITE_SIZE: usize = 40;

/// What is missing of a state besides what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// Which of the writes up to this version still stand.
    Standing(u64),
    /// The writes up to this version.
    Writes(u64),
}

/// What has come of a state and can not be taken yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collected {
    /// By where they begin.
    stretches: BTreeMap<u64, Stretch>,
    /// What they take.
    pub(super) size: usize,
    standing: Option<Standing>,
}

#[derive(Debug, Clone)]
struct Stretch {
    span: Span,
    writes: Vec<Kept>,
}

/// A write, as a [`Written`] that is kept.
#[derive(Debug, Clone)]
struct Kept {
    key: Box<str>,
    version: u64,
    value: Option<Box<[u8]>>,
}

/// Which of the writes up to version `upto` stood at version `as_of`.
#[derive(Debug, Clone)]
struct Standing {
    upto: u64,
    as_of: u64,
    versions: BTreeSet<u64>,
}

impl Collected {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.stretches.is_empty() && self.standing.is_none()
    }

    /// Up to which version all writes after version `from` have come.
    pub(crate) fn reach(&self, from: u64) -> u64 {
        let mut reach = from;
        while let Some(stretch) = self.next(reach) {
            reach = stretch.span.to;
        }
        reach
    }

    /// Up to which version it is known which writes stand.
    pub(crate) fn standing_upto(&self) -> u64 {
        self.standing.as_ref().map_or(0, |standing| standing.upto)
    }

    /// A stretch of writes has come.
    pub(crate) fn add<'a>(&mut self, span: Span, writes: impl Iterator<Item = Written<'a>>) {
        if self.reach(span.from) >= span.to || self.size > SIZE_MAX * COPY_SLACK {
            return;
        }
        let kept = |Written { key, version, value }: Written<'_>| Kept {
            key: key.into(),
            version,
            value: value.map(Into::into),
        };
        let writes = writes.map(kept).collect();
        let stretch = Stretch { span, writes };
        self.size += stretch.size();
        if let Some(shorter) = self.stretches.insert(span.from, stretch) {
            self.size -= shorter.size();
        }
    }

    /// It has come which of the writes in (`from`, `to`] stood at version `as_of`.
    pub(crate) fn add_standing(&mut self, span: &Span, versions: impl Iterator<Item = u64>) {
        let none = || Standing { upto: 0, as_of: u64::MAX, versions: BTreeSet::new() };
        let standing = self.standing.get_or_insert_with(none);
        let has_room = standing.versions.len() <= KEYS_MAX * COPY_SLACK;
        if span.from <= standing.upto && span.to > standing.upto && has_room {
            standing.versions.extend(versions.filter(|version| *version > standing.upto));
            standing.upto = span.to;
            standing.as_of = standing.as_of.min(span.as_of);
        }
    }

    /// A copy takes what it can. Answers what has changed.
    pub(crate) fn advance(&mut self, state: &mut State) -> Vec<Change> {
        let mut changes = Vec::new();
        loop {
            self.take_stretches(state, &mut changes);
            let (held, reach) = (state.version(), self.reach(state.version()));
            let is_whole = |standing: &mut Standing| {
                standing.upto >= held && standing.as_of > state.checked() && reach >= standing.as_of
            };
            let Some(standing) = self.standing.take_if(is_whole) else {
                break;
            };
            state.set_checked(standing.as_of);
            let until = self.take_stretches(state, &mut changes).max(standing.as_of);
            changes.extend(state.keep_standing(held, &standing.versions, until));
        }
        let version = state.version();
        self.stretches.retain(|_, stretch| stretch.span.to > version);
        self.size = self.stretches.values().map(Stretch::size).sum();
        self.standing.take_if(|standing| standing.as_of <= state.checked());
        changes
    }

    /// What is missing, once the copy has taken what it can, before it can take what is here.
    pub(crate) fn lacking(&self, state: &State) -> Option<Lacking> {
        let held = state.version();
        self.next(held)?;
        Some(match &self.standing {
            Some(standing) if standing.upto >= held => Lacking::Writes(standing.as_of),
            _ => Lacking::Standing(held),
        })
    }

    /// Takes the stretches that can be taken. Answers the last version that any of them is of.
    fn take_stretches(&self, state: &mut State, changes: &mut Vec<Change>) -> u64 {
        let mut as_of = 0;
        while let Some(stretch) = self.next(state.version())
            && let Some(news) = state.extend(&stretch.span, stretch.written())
        {
            changes.extend(news);
            as_of = as_of.max(stretch.span.as_of);
        }
        as_of
    }

    /// The stretch that goes on from a version.
    fn next(&self, version: u64) -> Option<&Stretch> {
        self.stretches
            .range(..=version)
            .rev()
            .map(|(_, stretch)| stretch)
            .find(|stretch| stretch.span.to > version)
    }
}

impl Stretch {
    fn written(&self) -> impl Iterator<Item = Written<'_>> {
        self.writes.iter().map(|Kept { key, version, value }| Written {
            key,
            version: *version,
            value: value.as_deref(),
        })
    }

    /// What it takes, about.
    fn size(&self) -> usize {
        let each = |Kept { key, value, .. }: &Kept| {
            WRITE_SIZE + key.len() + value.as_ref().map_or(0, |value| value.len())
        };
        STRETCH_SIZE + self.writes.iter().map(each).sum::<usize>()
    }
}
