//! A bounded queue between threads of a transport. When it is full the oldest gives way: of news that can not all
//! be had, the newest is worth most.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What an entry costs beside its bytes, so that empty ones are bounded as well.
const OVERHEAD: usize = 64;

/// Entries that wait, bounded by their bytes.
#[derive(Debug)]
pub(super) struct Queue<T> {
    contents: Mutex<Contents<T>>,
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Debug)]
struct Contents<T> {
    entries: VecDeque<(usize, T)>,
    bytes: usize,
    is_closed: bool,
}

impl<T> Queue<T> {
    /// An empty queue for so many bytes. It always has room for one entry, however large.
    pub(super) fn new(bytes_max: usize) -> Self {
        let contents = Contents { entries: VecDeque::new(), bytes: 0, is_closed: false };
        Self { contents: Mutex::new(contents), changed: Condvar::new(), bytes_max }
    }

    /// Adds an entry of so many bytes and tells how many older ones gave way. A closed queue gives it back.
    pub(super) fn push(&self, entry: T, bytes: usize) -> Result<usize, T> {
        let mut contents = self.contents();
        if contents.is_closed {
            return Err(entry);
        }
        let cost = bytes + OVERHEAD;
        let mut dropped = 0;
        while contents.bytes + cost > self.bytes_max && contents.take_oldest().is_some() {
            dropped += 1;
        }
        contents.bytes += cost;
        contents.entries.push_back((cost, entry));
        drop(contents);
        self.changed.notify_one();
        Ok(dropped)
    }

    /// Waits for the next entry. `None`: the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut contents = self.contents();
        loop {
            if let Some(entry) = contents.take_oldest() {
                return Some(entry);
            }
            if contents.is_closed {
                return None;
            }
            contents = self.changed.wait(contents).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, but when nothing comes for so long, the queue is closed: whoever adds the next entry learns
    /// that nobody would take it out.
    pub(super) fn pop_or_close(&self, patience: Duration) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut contents = self.contents();
        loop {
            if let Some(entry) = contents.take_oldest() {
                return Some(entry);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            contents.is_closed |= left.is_zero();
            if contents.is_closed {
                return None;
            }
            (contents, _) = self.changed.wait_timeout(contents, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes no more entries. Those that wait can still be had.
    pub(super) fn close(&self) {
        self.contents().is_closed = true;
        self.changed.notify_all();
    }

    /// Drops what waits.
    pub(super) fn clear(&self) {
        let mut contents = self.contents();
        contents.bytes = 0;
        contents.entries.clear();
    }

    fn contents(&self) -> MutexGuard<'_, Contents<T>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Contents<T> {
    fn take_oldest(&mut self) -> Option<T> {
        let (cost, entry) = self.entries.pop_front()?;
        self.bytes -= cost;
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
