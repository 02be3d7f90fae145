//! How many threads resolve host names for one member: [`ResolverPool`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Threads at most. A join that gets none is refused.
pub(in crate::threads) const THREADS_MAX: usize = 64;

/// The places of the threads that resolve host names.
#[derive(Debug, Default)]
pub(in crate::threads) struct ResolverPool {
    /// How many run.
    running: Arc<AtomicUsize>,
}

impl ResolverPool {
    /// A place for one more thread, if there is any.
    pub(in crate::threads) fn claim(&self) -> Result<Place> {
        let more = |running| (running < THREADS_MAX).then_some(running + 1);
        match self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Place(Arc::clone(&self.running))),
            Err(_) => Err(Error::Io {
                what: "resolve host names".to_owned(),
                source: io::Error::other("too many wait for the resolver"),
            }),
        }
    }

    /// How many threads run.
    #[cfg(test)]
    pub(in crate::threads) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// Held by a thread while it runs.
#[derive(Debug)]
pub(in crate::threads) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
