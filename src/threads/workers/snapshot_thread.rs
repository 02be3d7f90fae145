//! The thread that writes the snapshot of the member, if it is to have one.
//!
//! It sleeps until the view or the own state changes, writes, and rests for a while, so that a change is on the disk
//! at once and a storm of changes costs one write a second. A write that fails is tried again, later each time. At the
//! end of the member it writes once more, and is waited for, but not for long: a disk may hang.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, select};

use super::snapshot_writer::{Counts, Request, SnapshotWriter, ThreadSide};
use crate::error::{Error, Result};
use crate::snapshot::{AbsentContacts, Snapshot, Store, rest_after};
use crate::threads::shared::Shared;
use crate::threads::{SNAPSHOT, spawn};

/// Failures are logged this far apart.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What a member that is to have a snapshot begins with.
#[derive(Debug)]
pub(in crate::threads) struct SnapshotSetup {
    pub(in crate::threads) store: Store,
    pub(in crate::threads) cluster: String,
    pub(in crate::threads) keep_state: bool,
    /// The nodes of the run before.
    pub(in crate::threads) absent: AbsentContacts,
    pub(in crate::threads) forget_after: Duration,
}

/// Writes the first snapshot, so that the own generation is on the disk before anybody hears of it, and starts the
/// thread. That the disk does not take it is no reason not to run.
pub(in crate::threads) fn start(shared: &Arc<Shared>, setup: SnapshotSetup) -> Result<()> {
    let SnapshotSetup { store, cluster, keep_state, absent, forget_after } = setup;
    let (writer, ThreadSide { requests, counts, token }) = SnapshotWriter::new(absent, forget_after);
    let writer = shared.own_snapshot_writer(writer);
    let mut thread =
        Writer { store, cluster, keep_state, counts, written: None, failures: 0, failure_logged: None };
    thread.keep_up(shared);
    writer.own(spawn(shared, SNAPSHOT, token, move |shared| run(shared, &requests, thread))?);
    Ok(())
}

/// Writes until the member ends, and then once more.
fn run(shared: &Arc<Shared>, requests: &Receiver<Request>, mut writer: Writer) {
    // An error says that the member has ended.
    if let Ok(watch) = shared.driver().watch() {
        // The first time for what has changed before it was watched.
        let mut goes_on = !writer.keep_up(shared) || writer.rest(shared, requests);
        while goes_on {
            goes_on = writer.await_change(shared, requests, watch.changes());
            writer.keep_up(shared);
            goes_on = goes_on && writer.rest(shared, requests);
        }
    }
    writer.keep_up(shared);
}

/// The thread's side.
#[derive(Debug)]
struct Writer {
    store: Store,
    cluster: String,
    keep_state: bool,
    counts: Arc<Counts>,
    /// What is on the disk.
    written: Option<Snapshot>,
    /// Writes that failed in a row.
    failures: u32,
    failure_logged: Option<Instant>,
}

impl Writer {
    /// Writes, if it has to, and tells whether it had. What fails is logged.
    fn keep_up(&mut self, shared: &Shared) -> bool {
        let path = self.store.path().display().to_string();
        let failed_before = self.failures > 0;
        match self.write(shared) {
            Ok(false) => return false,
            Ok(true) if failed_before => log::info!("the snapshot {path} is written again"),
            Ok(true) => {}
            Err(error) => {
                let now = Instant::now();
                if self.failure_logged.is_none_or(|last| now.duration_since(last) >= FAILURE_LOG_INTERVAL) {
                    self.failure_logged = Some(now);
                    log::warn!("{}: the snapshot {path} can not be written: {error}", shared.view().name());
                }
            }
        }
        true
    }

    /// Waits until the view or the own state changes, or a write has failed that is to be tried again. False at the end
    /// of the member.
    fn await_change(
        &mut self,
        shared: &Shared,
        requests: &Receiver<Request>,
        changes: &Receiver<()>,
    ) -> bool {
        while self.failures == 0 {
            select! {
                recv(requests) -> request => match request {
                    Ok(caller) => self.answer(shared, &caller),
                    Err(_) => return false,
                },
                recv(changes) -> change => return change.is_ok(),
            }
        }
        true
    }

    /// Writes only what somebody asks for, for a while. False at the end of the member.
    fn rest(&mut self, shared: &Shared, requests: &Receiver<Request>) -> bool {
        let rested = Instant::now() + rest_after(self.failures);
        loop {
            match requests.recv_deadline(rested) {
                Ok(caller) => self.answer(shared, &caller),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Writes for somebody who waits.
    fn answer(&mut self, shared: &Shared, caller: &Request) {
        let result = self.write(shared).map(drop).map_err(|source| {
            let what = format!("write the snapshot {}", self.store.path().display());
            Error::Io { what, source }
        });
        // Whoever asked may have given up.
        let _ = caller.send(result);
    }

    /// Writes, if anything has changed or the file is gone, and tells whether it had to.
    fn write(&mut self, shared: &Shared) -> io::Result<bool> {
        let snapshot = self.snapshot(shared);
        let is_written = self.written.as_ref().is_some_and(|written| written.says_the_same_as(&snapshot));
        if is_written && self.store.is_in_place() {
            return Ok(false);
        }
        match self.store.save(&snapshot) {
            Ok(()) => {
                self.written = Some(snapshot);
                self.failures = 0;
                self.counts.add(true);
                Ok(true)
            }
            Err(error) => {
                // It may be there without having reached the disk.
                self.written = None;
                self.failures = self.failures.saturating_add(1);
                self.counts.add(false);
                Err(error)
            }
        }
    }

    fn snapshot(&self, shared: &Shared) -> Snapshot {
        // Both in one look.
        let (local, view) = shared.driver().read(|protocol| {
            let view: Vec<_> = protocol.all_nodes().cloned().collect();
            (protocol.local(), view)
        });
        let absent = shared.snapshot_writer().map(|writer| writer.absent().clone()).unwrap_or_default();
        Snapshot::of(&self.cluster, &local, self.keep_state, view.iter(), &absent)
    }
}

#[cfg(test)]
mod tests;
