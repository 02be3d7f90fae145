//! Errors of the transport: all are counted, and a strange one is logged, once a minute at most.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::transport::{Trouble, classify};

/// Strange errors of the socket are logged this far apart.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The errors of one member's transport.
#[derive(Debug, Default)]
pub(super) struct SocketErrors {
    count: AtomicU64,
    logged: Mutex<Option<Instant>>,
}

impl SocketErrors {
    /// Counts an error, and logs it if an operator may have to know. `name` is the member's.
    pub(super) fn note(&self, name: &str, what: fmt::Arguments<'_>, error: &io::Error) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if classify(error) == Trouble::Strange && self.may_log() {
            log::warn!("{name}: {what}: {error}");
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn may_log(&self) -> bool {
        let now = Instant::now();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        if is_due {
            *logged = Some(now);
        }
        is_due
    }
}
