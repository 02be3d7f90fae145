//! Where a member looks for others: [`Discoveries`], the member's side of the threads that do so.

use std::convert::Infallible;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::config::Seed;

/// How long the end waits for the discoveries to be dropped.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where a member looks for others.
#[derive(Debug, Default)]
pub(in crate::threads) struct Discoveries {
    /// Those that are known without asking: seeds that are addresses. They need no thread.
    known: Vec<SocketAddr>,
    /// How each of the threads is asked.
    asking: Mutex<Vec<Sender<()>>>,
    /// Each is disconnected when its thread is through.
    threads: Mutex<Vec<Receiver<Infallible>>>,
    /// Answers that were errors or panics.
    errors: AtomicU64,
}

impl Discoveries {
    /// Those of the configured seeds that are known already.
    pub(in crate::threads) fn new(bound: SocketAddr, seeds: &[Seed]) -> Self {
        let known = seeds.iter().filter_map(|seed| seed.literal(bound)).flatten().collect();
        Self { known, ..Self::default() }
    }

    /// Adds a thread: how it is asked, and what is disconnected when it is through.
    pub(in crate::threads) fn own(&self, ask: Sender<()>, thread: Receiver<Infallible>) {
        self.asking().push(ask);
        self.threads().push(thread);
    }

    /// The addresses that are known without asking.
    pub(in crate::threads) fn known(&self) -> &[SocketAddr] {
        &self.known
    }

    /// Asks all threads, and returns before they answer.
    pub(in crate::threads) fn ask(&self) {
        for ask in &*self.asking() {
            // One that is busy has a question waiting.
            let _ = ask.try_send(());
        }
    }

    /// Tells the threads to end.
    pub(in crate::threads) fn end(&self) {
        let asking = mem::take(&mut *self.asking());
        drop(asking);
    }

    /// Waits for the threads that were told to end, for a short time.
    pub(in crate::threads) fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        let threads = self.threads().clone();
        for thread in threads {
            // An error says that it is through, or that the time is over.
            let _ = thread.recv_deadline(deadline);
        }
    }

    /// Counts an answer that was an error or a panic.
    pub(in crate::threads) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// How many answers were errors or panics.
    pub(in crate::threads) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn asking(&self) -> MutexGuard<'_, Vec<Sender<()>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Receiver<Infallible>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
