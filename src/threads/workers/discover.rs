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
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::thread;

use crossbeam_channel::Receiver;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use crate::config::{Place, Seed};
use crate::discovery::{Discovery, Seeds};
use crate::error::{Error, Result};
use crate::member::Member;
use crate::node::Node;
use crate::threads::driver::panic_message;
use crate::threads::handles::Token;
use crate::threads::shared::Shared;
use crate::threads::{DISCOVERY, entropy};
use crate::transport::canonical;

/// Addresses of one answer that are used: no more are asked in a round in any case. Of more, others are drawn each
/// time.
const ADDRS_MAX: usize = 256;
/// Starts a thread for each discovery, and one for the seeds that are host names.
pub(in crate::threads) fn start(
    shared: &Arc<Shared>,
    seeds: Vec<Seed>,
    discoveries: Vec<Box<dyn Discovery>>,
) -> Result<()> {
    let hosts: Vec<Seed> = seeds.into_iter().filter(|seed| matches!(seed.place, Place::Host(..))).collect();
    let resolving = (!hosts.is_empty()).then(|| -> Box<dyn Discovery> { Box::new(Seeds::of(hosts)) });
    for discovery in resolving.into_iter().chain(discoveries) {
        let (ask, asked) = crossbeam_channel::bounded(1);
        let thread = launch(shared, asked, discovery)?;
        shared.discoveries().own(ask, thread);
    }
    Ok(())
}

/// Starts a thread. Its handle is let go: it ends by itself when its queue is closed. What it returns is disconnected
/// then.
fn launch(
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
                    let (name, count) = (shared.view().name(), absent.len());
                    log::warn!("{name}: a discovery tells {count} addresses; {ADDRS_MAX} are used at a time");
                }
                // In the order in which they were configured.
                shared.choose_address(&absent);
                shared.addresses_found(drawn(&mut rng, &mut absent));
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(payload) => Some(format!("it panicked: {}", panic_message(&*payload))),
        };
        if let Some(failure) = &failure {
            shared.discoveries().count_error();
            // The first of a row may be news to an operator.
            let level = if failed { log::Level::Debug } else { log::Level::Warn };
            log::log!(level, "{}: a discovery has failed: {failure}", shared.view().name());
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
    let own = shared.view().address();
    let is_absent = |addr: &SocketAddr| own.can_reach(*addr) && !own.is_own(*addr);
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
