//! The snapshot of a simulated member: the work of the snapshot thread, in virtual time.
//!
//! It is written when the view or the own state has changed, and then rests for a while. If the disk does not take it,
//! it is tried again, later each time. The contents of the file, and how they are used, are those of the [real
//! one](crate::snapshot).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::disk::Disk;
use crate::error::{Error, Result};
use crate::node::{Node, Nodes};
use crate::protocol::{Instant, Protocol};
use crate::snapshot::{AbsentContacts, Snapshot, rest_after};

/// The snapshot of one member, and when it is written.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    path: PathBuf,
    cluster: String,
    keeps_state: bool,
    /// Nodes of an earlier run that this one has not seen.
    absent: AbsentContacts,
    /// When those are forgotten.
    forget_after: Duration,
    /// The file that is there is not ours.
    has_stranger: bool,
    /// What was written last, and its length.
    written: Option<(Snapshot, usize)>,
    /// Writes that failed in a row.
    failures: u32,
    /// The version of the view that was looked at last.
    seen: Option<u64>,
    /// It rests until then.
    rested: Instant,
    /// Whether a wake-up is scheduled for the end of the rest.
    pub(super) is_awaited: bool,
    pub(super) writes: u64,
    pub(super) errors: u64,
}

/// What there is to do about a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Now,
    At(Instant),
}

impl SnapshotFile {
    /// Reads what an earlier run has left, if there is anything. Nothing is written yet.
    pub(super) fn open(
        disk: &Disk,
        path: PathBuf,
        (cluster, name): (&str, &str),
        keeps_state: bool,
        forget_after: Duration,
    ) -> Result<(Self, Option<Snapshot>)> {
        let (past, flaw) = match disk.read(&path) {
            Ok(file) => Snapshot::read_back(file, cluster, name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
            Err(source) => {
                return Err(Error::Io { what: format!("read the snapshot {}", path.display()), source });
            }
        };
        let nodes = past.as_ref().map(|past| past.nodes.clone()).unwrap_or_default();
        let file = Self {
            path,
            cluster: cluster.to_owned(),
            keeps_state,
            absent: AbsentContacts::new(nodes),
            forget_after,
            has_stranger: flaw.is_some(),
            written: None,
            failures: 0,
            seen: None,
            rested: Instant::default(),
            is_awaited: false,
            writes: 0,
            errors: 0,
        };
        Ok((file, past))
    }

    /// What there is to do for a member whose view has this version.
    pub(super) fn due(&self, now: Instant, version: u64) -> Due {
        if self.seen == Some(version) && self.failures == 0 {
            Due::Nothing
        } else if now >= self.rested {
            Due::Now
        } else {
            Due::At(self.rested)
        }
    }

    /// Writes, if anything has changed or the file is gone; then it rests.
    pub(super) fn keep_up(&mut self, now: Instant, disk: &mut Disk, protocol: &Protocol) -> Result<()> {
        let outcome = self.write(disk, protocol);
        self.seen = Some(protocol.view_version());
        self.rested = now + rest_after(self.failures);
        outcome.map_err(|source| {
            let what = format!("write the snapshot {}", self.path.display());
            Error::Io { what, source }
        })
    }

    fn write(&mut self, disk: &mut Disk, protocol: &Protocol) -> io::Result<()> {
        let (local, view) = (protocol.local(), protocol.all_nodes());
        let snapshot = Snapshot::of(&self.cluster, &local, self.keeps_state, view, &self.absent);
        let is_there = |(written, length): &(Snapshot, usize)| {
            written.says_the_same_as(&snapshot) && disk.length(&self.path) == Some(*length)
        };
        if self.written.as_ref().is_some_and(is_there) {
            return Ok(());
        }
        let bytes = snapshot.encode();
        let length = bytes.len();
        let outcome = disk.replace(&self.path, bytes, self.has_stranger);
        if outcome.is_ok() {
            self.has_stranger = false;
            self.written = Some((snapshot, length));
            self.failures = 0;
            self.writes += 1;
        } else {
            self.written = None;
            self.failures = self.failures.saturating_add(1);
            self.errors += 1;
        }
        outcome
    }

    /// Which nodes of an earlier run to ask now.
    pub(super) fn ask_the_absent(&mut self, age: Duration, protocol: &Protocol) -> Vec<SocketAddr> {
        if self.absent.is_empty() {
            return Vec::new();
        }
        let view: Vec<Node> = protocol.all_nodes().cloned().collect();
        self.absent.look(&Nodes::new(view), age >= self.forget_after)
    }
}
