//! The member's side of the thread that writes its snapshot: [`SnapshotWriter`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::error::Result;
use crate::metrics::Metrics;
use crate::node::Nodes;
use crate::protocol::Instant;
use crate::snapshot::AbsentContacts;
use crate::threads::handles::Token;

/// How long the end waits for the last write.
const PATIENCE: Duration = Duration::from_secs(1);

/// Somebody waits for a write.
pub(in crate::threads) type Request = Sender<Result<()>>;

/// By which the thread is asked and ended, and what an earlier run has left: its nodes are looked for as seeds are,
/// until they are seen.
#[derive(Debug)]
pub(in crate::threads) struct SnapshotWriter {
    /// None at the end.
    requests: Mutex<Option<Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Disconnected when the thread is through.
    is_done: Receiver<Infallible>,
    /// Nodes of an earlier run that this one has not seen.
    absent: Mutex<AbsentContacts>,
    /// When those that have not been seen are forgotten: after this time, but never by a member that is alone.
    forget_after: Duration,
    counts: Arc<Counts>,
}

/// What the thread counts.
#[derive(Debug, Default)]
pub(in crate::threads) struct Counts {
    written: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Counts a write.
    pub(in crate::threads) fn add(&self, is_written: bool) {
        let count = if is_written { &self.written } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the thread is given of it.
pub(in crate::threads) struct ThreadSide {
    pub(in crate::threads) requests: Receiver<Request>,
    pub(in crate::threads) counts: Arc<Counts>,
    pub(in crate::threads) token: Token,
}

impl SnapshotWriter {
    /// For a thread that is going to be started.
    pub(in crate::threads) fn new(absent: AbsentContacts, forget_after: Duration) -> (Self, ThreadSide) {
        let (sender, requests) = crossbeam_channel::unbounded();
        let (token, is_done) = crossbeam_channel::bounded(0);
        let counts = Arc::new(Counts::default());
        let writer = Self {
            requests: Mutex::new(Some(sender)),
            thread: Mutex::new(None),
            is_done,
            absent: Mutex::new(absent),
            forget_after,
            counts: Arc::clone(&counts),
        };
        (writer, ThreadSide { requests, counts, token })
    }

    /// Takes care of the thread.
    pub(in crate::threads) fn own(&self, thread: JoinHandle<()>) {
        *lock(&self.thread) = Some(thread);
    }

    /// Has the snapshot written, if anything has changed, and waits for that. None if the thread is through.
    pub(in crate::threads) fn save(&self) -> Option<Result<()>> {
        let requests = lock(&self.requests).clone()?;
        let (caller, result) = crossbeam_channel::bounded(1);
        // An error says that the thread is through, and then there is no result.
        let _ = requests.send(caller);
        // It would keep the thread from ending.
        drop(requests);
        result.recv().ok()
    }

    /// Nodes of an earlier run that this one has not seen.
    pub(in crate::threads) fn absent(&self) -> MutexGuard<'_, AbsentContacts> {
        lock(&self.absent)
    }

    /// Which of the absent to ask now, by a member that has this view.
    pub(in crate::threads) fn take_turn(&self, view: &Nodes, now: Instant) -> Vec<SocketAddr> {
        let is_late = Duration::from_micros(now.as_micros()) >= self.forget_after;
        self.absent().look(view, is_late)
    }

    /// Adds what it has counted.
    pub(in crate::threads) fn count(&self, metrics: &mut Metrics) {
        metrics.snapshots_written = self.counts.written.load(Ordering::Relaxed);
        metrics.snapshot_errors = self.counts.failed.load(Ordering::Relaxed);
    }

    /// Tells the thread to write for the last time.
    pub(in crate::threads) fn end(&self) {
        drop(lock(&self.requests).take());
    }

    /// Waits for the last write.
    pub(in crate::threads) fn wait(&self, name: &str) {
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
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
