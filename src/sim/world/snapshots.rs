//! When members write their snapshots.

use super::{Happening, World};
use crate::config::Config;
use crate::error::{Result, invalid};
use crate::protocol::Settings;
use crate::sim::snapshots::{Due, SnapshotFile};
use crate::snapshot::Snapshot;

impl World {
    /// Opens the snapshot of a member that has one configured, with what an earlier run has left there.
    pub(super) fn open_snapshot(
        &mut self,
        index: usize,
        config: &Config,
        settings: &Settings,
    ) -> Result<(Option<SnapshotFile>, Option<Snapshot>)> {
        let Some(path) = config.snapshot_path() else {
            return Ok((None, None));
        };
        let node = (settings.cluster.as_str(), settings.name.as_str());
        let disk = &self.machine(index, &settings.name).disk;
        let keeps = config.keeps_state();
        let (file, past) = SnapshotFile::open(disk, path.to_owned(), node, keeps, settings.tombstone_ttl)?;
        Ok((Some(file), past))
    }

    /// Makes a member write its snapshot, if it has one and something has changed: now, or when it has rested.
    pub(super) fn keep_snapshot(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let Some(snapshot) = &mut host.snapshot else {
            return;
        };
        if host.end.is_some() || host.ailments.paused {
            return;
        }
        match snapshot.due(self.now, host.protocol.view_version()) {
            Due::Nothing => {}
            Due::Now => {
                // It is counted, and tried again.
                let _ = self.write_snapshot(index);
                self.keep_snapshot(index);
            }
            Due::At(at) => {
                if !std::mem::replace(&mut snapshot.is_awaited, true) {
                    let run = host.run;
                    self.schedule(at, Happening::Snapshot { host: index, run });
                }
            }
        }
    }

    /// Makes a member write its snapshot now, if anything has changed.
    pub(in crate::sim) fn write_snapshot(&mut self, index: usize) -> Result<()> {
        let host = &mut self.hosts[index];
        let Some(snapshot) = &mut host.snapshot else {
            return Err(invalid("snapshot", "there is none"));
        };
        let outcome = snapshot.keep_up(self.now, &mut host.machine.disk, &host.protocol);
        if let Err(error) = &outcome {
            self.lines.push((log::Level::Warn, format!("{}: {error}", host.name)));
        }
        outcome
    }

    /// A member has rested since it wrote its snapshot.
    pub(super) fn snapshot_has_rested(&mut self, index: usize) {
        if let Some(snapshot) = &mut self.hosts[index].snapshot {
            snapshot.is_awaited = false;
        }
        self.keep_snapshot(index);
    }

    /// Asks nodes of an earlier run that have not been seen yet.
    pub(super) fn ask_the_absent(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let age = self.now.since(host.started);
        let Some(snapshot) = &mut host.snapshot else {
            return;
        };
        let absent = snapshot.ask_the_absent(age, &host.protocol);
        if !absent.is_empty() {
            host.protocol.addresses_found(self.now, &absent);
            self.drain(index);
        }
    }
}
