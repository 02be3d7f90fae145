//! Sleeping until a deadline that others may move.
//!
//! Each [`TimerKind`] has one alarm and one thread that sleeps by it. A step of any thread may move the deadline:
//! the new one is [set](Alarm::set) under the guard, so that the last step's stands, and the sleeper is
//! [rung](Alarm::ring_if_earlier) after it, only if it would wake too late. A deadline that became later wakes
//! nobody: the sleeper finds out by itself.
//!
//! No wake-up gets lost: the setter writes the deadline and then reads until when the thread sleeps, the
//! sleeper writes until when it will sleep and then reads the deadline again. In whatever order these four
//! happen, one of the two sees the other's (all are sequentially consistent). A ring that comes before the
//! sleeper parks keeps it from parking.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::Thread;

use crate::protocol::Instant;
#[cfg(doc)]
use crate::protocol::TimerKind;

/// The deadline when there is none.
pub(super) const NEVER: u64 = u64::MAX;

/// The alarm of one kind. Times are microseconds since the member's creation.
#[derive(Debug)]
pub(super) struct Alarm {
    /// The deadline, as of the last step.
    due: AtomicU64,
    /// What the thread sleeps until, or slept until if it is awake.
    sleeps_until: AtomicU64,
    thread: OnceLock<Thread>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { due: AtomicU64::new(NEVER), sleeps_until: AtomicU64::new(NEVER), thread: OnceLock::new() }
    }

    /// Says whose alarm it is. Before that, nobody may move the deadline.
    pub(super) fn set_thread(&self, thread: Thread) {
        // It is set once, when the thread is started.
        let _ = self.thread.set(thread);
    }

    /// Moves the deadline. Under the guard.
    pub(super) fn set(&self, due: Option<Instant>) {
        self.due.store(due.map_or(NEVER, Instant::as_micros), SeqCst);
    }

    /// Wakes the thread if it would sleep past the deadline, and tells whether it did.
    pub(super) fn ring_if_earlier(&self) -> bool {
        let is_earlier = self.due.load(SeqCst) < self.sleeps_until.load(SeqCst);
        if is_earlier {
            self.ring();
        }
        is_earlier
    }

    /// Wakes the thread.
    pub(super) fn ring(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Announces until when the thread is going to sleep, and tells it.
    pub(super) fn announce(&self) -> u64 {
        loop {
            let due = self.due.load(SeqCst);
            self.sleeps_until.store(due, SeqCst);
            if due <= self.due.load(SeqCst) {
                return due;
            }
        }
    }
}
