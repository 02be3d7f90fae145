//! The threads that look for others: one for each [`Discovery`], which is user code and may block, fail and panic.
//!
//! A thread waits until it is asked, asks its discovery, and gives what it finds to the protocol. It takes no part in
//! the protocol and holds neither the socket nor a lock. One that is busy is not asked again before it is through; the
//! others do not notice. The end of the member closes the queue; nobody waits for a discovery that is busy then, and
//! it goes, with all that it holds, when it is through.

use std::mem;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::DISCOVERY;
use super::shared::{Shared, panic_message};
use crate::config::{Place, Seed};
use crate::discovery::{Discovery, Seeds};
use crate::error::{Error, Result};
use crate::member::Member;

/// Addresses of one answer that are used.
const ADDRS_MAX: usize = 256;

/// Where a member looks for others.
#[derive(Debug, Default)]
pub(super) struct Discoveries {
    /// Those that are known without asking: seeds that are addresses. They need no thread.
    known: Vec<SocketAddr>,
    /// How each of the threads is asked.
    asking: Mutex<Vec<Sender<()>>>,
    /// Answers that were errors or panics.
    errors: AtomicU64,
}

impl Discoveries {
    /// Those of the configured seeds that are known already.
    pub(super) fn new(bound: SocketAddr, seeds: &[Seed]) -> Self {
        let known = seeds.iter().filter_map(|seed| seed.literal(bound)).flatten().collect();
        Self { known, ..Self::default() }
    }

    /// Starts a thread for each discovery, and one for the seeds that are host names.
    pub(super) fn start(
        &self,
        shared: &Arc<Shared>,
        seeds: Vec<Seed>,
        discoveries: Vec<Box<dyn Discovery>>,
    ) -> Result<()> {
        let hosts: Vec<Seed> =
            seeds.into_iter().filter(|seed| matches!(seed.place, Place::Host(..))).collect();
        let resolving = (!hosts.is_empty()).then(|| -> Box<dyn Discovery> { Box::new(Seeds::of(hosts)) });
        for discovery in resolving.into_iter().chain(discoveries) {
            let (ask, asked) = crossbeam_channel::bounded(1);
            start(shared, asked, discovery)?;
            self.asking().push(ask);
        }
        Ok(())
    }

    /// Asks all of them, and returns before they answer.
    pub(super) fn ask(&self, shared: &Arc<Shared>) {
        if !self.known.is_empty() {
            shared.addresses_found(&self.known);
        }
        for ask in &*self.asking() {
            // One that is busy has a question waiting.
            let _ = ask.try_send(());
        }
    }

    /// Tells the threads to end.
    pub(super) fn end(&self) {
        let asking = mem::take(&mut *self.asking());
        drop(asking);
    }

    /// How many answers were errors or panics.
    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn asking(&self) -> MutexGuard<'_, Vec<Sender<()>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread. Its handle is let go: it ends by itself when its queue is closed.
fn start(shared: &Arc<Shared>, asked: Receiver<()>, discovery: Box<dyn Discovery>) -> Result<()> {
    let shared = Arc::downgrade(shared);
    let body = move || run(&shared, &asked, discovery);
    let started = thread::Builder::new().name(DISCOVERY.to_owned()).spawn(body);
    started.map(drop).map_err(|source| Error::Io { what: format!("start the thread {DISCOVERY}"), source })
}

fn run(shared: &Weak<Shared>, asked: &Receiver<()>, mut discovery: Box<dyn Discovery>) {
    let mut failed = false;
    for () in asked {
        let Some(shared) = shared.upgrade() else {
            break;
        };
        let member = Member::unowned(Arc::<Shared>::clone(&shared));
        let failure = match panic::catch_unwind(AssertUnwindSafe(|| discovery.discover(&member))) {
            Ok(Ok(mut found)) => {
                found.truncate(ADDRS_MAX);
                found.retain(|addr| shared.can_reach(*addr));
                shared.addresses_found(&found);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(payload) => Some(format!("it panicked: {}", panic_message(&*payload))),
        };
        if let Some(failure) = &failure {
            shared.discoveries().errors.fetch_add(1, Ordering::Relaxed);
            // The first of a row may be news to an operator.
            let level = if failed { log::Level::Debug } else { log::Level::Warn };
            log::log!(level, "{}: a discovery has failed: {failure}", shared.name());
        }
        failed = failure.is_some();
    }
    // Dropping it is user code, too.
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| drop(discovery))) {
        log::error!("a discovery panicked when it was dropped: {}", panic_message(&*payload));
    }
}
