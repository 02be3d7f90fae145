//! The threads that look for others: one for each [`Discovery`], which is user code and may block, fail and panic.
//!
//! A thread waits until it is asked, asks its discovery, and gives what it finds to the protocol. It takes no part in
//! the protocol and holds neither the socket nor a lock. One that is busy is not asked again before it is through; the
//! others do not notice.
//!
//! The end of the member closes the queue, and waits a little for the discoveries to be dropped, which may have
//! something to take back. One that is busy then is left behind: it goes, with all that it holds, when it is through.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::mem;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::shared::{Shared, Token, panic_message};
use super::{DISCOVERY, entropy};
use crate::config::{Place, Seed};
use crate::discovery::{Discovery, Seeds};
use crate::error::{Error, Result};
use crate::member::Member;
use crate::node::Node;
use crate::transport::canonical;

/// Addresses of one answer that are used: no more are asked in a round in any case. Of more, others are drawn each
/// time.
const ADDRS_MAX: usize = 256;
/// How long the end waits for the discoveries to be dropped.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where a member looks for others.
#[derive(Debug, Default)]
pub(super) struct Discoveries {
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
            let thread = start(shared, asked, discovery)?;
            self.asking().push(ask);
            self.threads().push(thread);
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

    /// Waits for the threads that were told to end, for a short time.
    pub(super) fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        let threads = self.threads().clone();
        for thread in threads {
            // An error says that it is through, or that the time is over.
            let _ = thread.recv_deadline(deadline);
        }
    }

    /// How many answers were errors or panics.
    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn asking(&self) -> MutexGuard<'_, Vec<Sender<()>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Receiver<Infallible>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread. Its handle is let go: it ends by itself when its queue is closed. What it returns is disconnected
/// then.
fn start(
    shared: &Arc<Shared>,
    asked: Receiver<()>,
    discovery: Box<dyn Discovery>,
) -> Result<Receiver<Infallible>> {
    let shared = Arc::downgrade(shared);
    let rng = ChaCha12Rng::from_seed(entropy()?);
    let (token, thread) = crossbeam_channel::bounded(0);
    let body = move || {
        let _token: Token = token;
        run(&shared, &asked, discovery, rng);
    };
    match thread::Builder::new().name(DISCOVERY.to_owned()).spawn(body) {
        Ok(_) => Ok(thread),
        Err(source) => Err(Error::Io { what: format!("start the thread {DISCOVERY}"), source }),
    }
}

fn run(shared: &Weak<Shared>, asked: &Receiver<()>, mut discovery: Box<dyn Discovery>, mut rng: ChaCha12Rng) {
    let mut has_told = false;
    let mut failed = false;
    for () in asked {
        let Some(shared) = shared.upgrade() else {
            break;
        };
        let member = Member::unowned(Arc::<Shared>::clone(&shared));
        let failure = match panic::catch_unwind(AssertUnwindSafe(|| discovery.discover(&member))) {
            Ok(Ok(found)) => {
                let mut absent = absent(&shared, found);
                if absent.len() > ADDRS_MAX && !has_told {
                    has_told = true;
                    let (name, count) = (shared.name(), absent.len());
                    log::warn!("{name}: a discovery tells {count} addresses; {ADDRS_MAX} are used at a time");
                }
                shared.addresses_found(drawn(&mut rng, &mut absent));
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

/// Those of the addresses at which somebody may be who is not known yet.
fn absent(shared: &Shared, found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let known: BTreeSet<SocketAddr> = shared.nodes().iter().map(Node::addr).collect();
    let found: BTreeSet<SocketAddr> = found.into_iter().map(canonical).collect();
    let is_absent = |addr: &SocketAddr| shared.can_reach(*addr) && !shared.is_own(*addr);
    found.difference(&known).copied().filter(is_absent).collect()
}

/// As many of the addresses as are used, whichever they are.
fn drawn<'a>(rng: &mut ChaCha12Rng, addrs: &'a mut [SocketAddr]) -> &'a [SocketAddr] {
    let count = addrs.len().min(ADDRS_MAX);
    for at in 0..count {
        let other = rng.random_range(at..addrs.len());
        addrs.swap(at, other);
    }
    &addrs[..count]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one that is right may be the last of them.
    #[test]
    fn of_more_addresses_than_are_used_each_has_its_turn() {
        let all: Vec<SocketAddr> = (1..=1_000).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect();
        let mut rng = ChaCha12Rng::from_seed([1; 32]);
        let mut seen = BTreeSet::new();
        for _ in 0..50 {
            let mut addrs = all.clone();
            let drawn = drawn(&mut rng, &mut addrs);
            assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), ADDRS_MAX);
            seen.extend(drawn.iter().copied());
        }
        assert_eq!(seen.len(), all.len());
    }

    #[test]
    fn a_few_addresses_are_all_used() {
        let mut addrs = [SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 1], 2))];
        assert_eq!(drawn(&mut ChaCha12Rng::from_seed([1; 32]), &mut addrs).len(), 2);
        assert_eq!(drawn(&mut ChaCha12Rng::from_seed([1; 32]), &mut []), []);
    }
}
