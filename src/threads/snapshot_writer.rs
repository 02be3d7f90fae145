//! The thread that writes the snapshot of the member, if it is to have one.
//!
//! It sleeps until the view or the own state changes, writes, and rests for a while, so that a change is on the disk
//! at once and a storm of changes costs one write a second. A write that fails is tried again, later each time. At the
//! end of the member it writes once more, and is waited for, but not for long: a disk may hang.
//!
//! The other half is what an earlier run has left: its nodes are looked for as seeds are, until they are seen
//! ([`AbsentContacts`]).

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};

use super::shared::Shared;
use super::{SNAPSHOT, spawn};
use crate::engine::Engine;
use crate::error::invalid;
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::snapshot::{AbsentContacts, Snapshot, Store};

/// From one write to the next, unless somebody asks for it.
const REST: Duration = Duration::from_secs(1);
/// The same after a write that failed: twice as long after each, up to this.
const REST_MAX: Duration = Duration::from_secs(60);
/// Failures are logged this far apart.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// How long the end waits for the last write.
const PATIENCE: Duration = Duration::from_secs(1);

/// Somebody waits for a write.
type Request = Sender<Result<()>>;

/// The member's side of the thread.
#[derive(Debug)]
pub(super) struct SnapshotWriter {
    /// None at the end.
    requests: Mutex<Option<Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Disconnected when the thread is through.
    is_done: Receiver<Infallible>,
    /// Nodes of an earlier run that this one has not seen.
    absent: Mutex<AbsentContacts>,
    /// When those who have not been seen are forgotten: after this time, but never by who is alone.
    forget_after: Duration,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    failed: AtomicU64,
}

/// What a member that is to have a snapshot begins with.
#[derive(Debug)]
pub(super) struct SnapshotSetup {
    pub(super) store: Store,
    pub(super) cluster: String,
    pub(super) keep_state: bool,
    /// The nodes of the run before.
    pub(super) absent: AbsentContacts,
    pub(super) forget_after: Duration,
}

/// Writes the first snapshot, so that the own generation is on the disk before anybody hears of it, and starts the
/// thread. That the disk does not take it is no reason not to run.
pub(super) fn start(shared: &Arc<Shared>, setup: SnapshotSetup) -> Result<()> {
    let SnapshotSetup { store, cluster, keep_state, absent, forget_after } = setup;
    let (requests, asked) = crossbeam_channel::unbounded();
    let (token, is_done) = crossbeam_channel::bounded(0);
    let counts = Arc::new(Counts::default());
    let snapshot_writer = SnapshotWriter {
        requests: Mutex::new(Some(requests)),
        thread: Mutex::new(None),
        is_done,
        absent: Mutex::new(absent),
        forget_after,
        counts: Arc::clone(&counts),
    };
    // It is set once, when the member is created.
    let snapshot_writer = shared.snapshot_writer.get_or_init(|| snapshot_writer);
    let mut writer =
        Writer { store, cluster, keep_state, counts, written: None, failures: 0, failure_logged: None };
    writer.keep_up(shared);
    let thread = spawn(shared, SNAPSHOT, token, move |shared| run(shared, &asked, writer))?;
    *lock(&snapshot_writer.thread) = Some(thread);
    Ok(())
}

/// Writes until the member ends, and then once more.
fn run(shared: &Arc<Shared>, requests: &Receiver<Request>, mut writer: Writer) {
    // An error says that the member has ended.
    if let Ok(watch) = shared.watch() {
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
                    log::warn!("{}: the snapshot {path} can not be written: {error}", shared.name());
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
        let rested = Instant::now() + REST_MAX.min(REST * 2_u32.pow(self.failures.min(6)));
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
                self.counts.written.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) => {
                // It may be there without having reached the disk.
                self.written = None;
                self.failures = self.failures.saturating_add(1);
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn snapshot(&self, shared: &Shared) -> Snapshot {
        // Both in one look.
        let (local, view) = shared.read(|protocol| {
            let view: Vec<_> = protocol.all_nodes().cloned().collect();
            (protocol.local(), view)
        });
        let absent = shared.snapshot_writer.get().map(|writer| writer.absent().clone()).unwrap_or_default();
        Snapshot::of(&self.cluster, &local, self.keep_state, view.iter(), &absent)
    }
}

impl SnapshotWriter {
    /// Adds what it has counted.
    pub(super) fn count(&self, metrics: &mut Metrics) {
        metrics.snapshots_written = self.counts.written.load(Ordering::Relaxed);
        metrics.snapshot_errors = self.counts.failed.load(Ordering::Relaxed);
    }

    /// Tells the thread to write for the last time.
    pub(super) fn end(&self) {
        drop(lock(&self.requests).take());
    }

    /// Waits for the last write.
    pub(super) fn wait(&self, name: &str) {
        match self.is_done.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => log::warn!("{name}: the last snapshot is still being written"),
            Err(RecvTimeoutError::Disconnected) => {
                let thread = lock(&self.thread).take();
                // Its panic has been caught and told.
                let _ = thread.map(JoinHandle::join);
            }
            Ok(never) => match never {},
        }
    }

    fn absent(&self) -> MutexGuard<'_, AbsentContacts> {
        lock(&self.absent)
    }
}

impl Shared {
    /// Has the snapshot written, if anything has changed, and waits for that.
    pub(super) fn save_snapshot(&self) -> Result<()> {
        let Some(writer) = self.snapshot_writer.get() else {
            return Err(invalid("snapshot", "there is none"));
        };
        let Some(requests) = lock(&writer.requests).clone() else {
            return Err(self.end_error());
        };
        let (caller, result) = crossbeam_channel::bounded(1);
        // An error says that the thread is through, and then there is no result.
        let _ = requests.send(caller);
        // It would keep the thread from ending.
        drop(requests);
        result.recv().unwrap_or_else(|_| Err(self.end_error()))
    }

    /// Says hello to nodes that an earlier run knew and this one has not seen.
    pub(super) fn look_for_the_absent(self: &Arc<Self>) {
        let Some(writer) = self.snapshot_writer.get() else {
            return;
        };
        if writer.absent().is_empty() {
            return;
        }
        // Not under the lock of the absent contacts.
        let view = self.all_nodes();
        let is_alone = view.iter().filter(|node| node.is_active()).count() < 2;
        let mut addrs = {
            let mut absent = writer.absent();
            absent.cross_out(|name| view.get(name).is_some());
            if !is_alone && Duration::from_micros(self.now().as_micros()) >= writer.forget_after {
                absent.clear();
            }
            absent.take_turn(is_alone)
        };
        addrs.retain(|addr| self.can_reach(*addr));
        self.addresses_found(&addrs);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
