//! The threads that resolve the host names of joins, which may take as long as the resolver likes.
//!
//! The names of one join are resolved side by side, so that one whose servers are down holds up none of the others. The
//! threads are started for it and end with it, save that one may still be at a name. They hold neither the socket nor a
//! lock, and nobody waits for them: a resolver that hangs keeps nothing of the member.

use std::io;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::resolver_pool::Place;
use crate::discovery::resolve;
use crate::error::{Error, Result};
use crate::threads::RESOLVER;
use crate::threads::shared::Shared;

/// Threads of one join at most: it takes so many names that hang to hold up another one.
const THREADS_OF_JOIN_MAX: usize = 8;

/// Addresses of one host name that are asked: one that answers is enough.
const ADDRS_MAX: usize = 256;

/// A host name and a port.
type Host = (String, u16);

/// What became of one host name: its number, and its addresses.
pub(in crate::threads) type Resolved = (usize, io::Result<Vec<SocketAddr>>);

/// Resolves host names for a caller who waits: `tell` gets the results as they come.
pub(in crate::threads) fn start(
    shared: &Arc<Shared>,
    hosts: Vec<Host>,
    tell: Sender<Resolved>,
) -> Result<()> {
    start_with(resolve, shared, hosts, tell)
}

fn start_with(
    resolver: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Clone + Send + 'static,
    shared: &Arc<Shared>,
    hosts: Vec<Host>,
    tell: Sender<Resolved>,
) -> Result<()> {
    let threads = hosts.len().min(THREADS_OF_JOIN_MAX);
    let (sender, waiting) = crossbeam_channel::unbounded();
    for host in hosts.into_iter().enumerate() {
        // An error would say that the receiver is gone, which is held here.
        let _ = sender.send(host);
    }
    drop(sender);

    for number in 0..threads {
        let work = Work { shared: Arc::downgrade(shared), hosts: waiting.clone(), tell: tell.clone() };
        let started = shared.resolver_pool().claim().and_then(|place| launch(place, work, resolver.clone()));
        // Those that there are do the work of the others, too.
        if number == 0 {
            started?;
        } else if started.is_err() {
            break;
        }
    }
    Ok(())
}

/// What the threads of one join share.
#[derive(Debug)]
struct Work {
    shared: Weak<Shared>,
    /// Those that nobody has begun with.
    hosts: Receiver<(usize, Host)>,
    /// Who is told each result.
    tell: Sender<Resolved>,
}

/// Starts a thread. Its handle is let go: it ends by itself.
fn launch(
    place: Place,
    work: Work,
    resolver: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Result<()> {
    let body = move || {
        let _place = place;
        let result = panic::catch_unwind(AssertUnwindSafe(|| run(&work, resolver)));
        if let (Err(payload), Some(shared)) = (result, work.shared.upgrade()) {
            shared.end_by_panic(RESOLVER, &*payload);
        }
    };
    let started = thread::Builder::new().name(RESOLVER.to_owned()).spawn(body);
    started.map(drop).map_err(|source| Error::Io { what: format!("start the thread {RESOLVER}"), source })
}

fn run(work: &Work, resolver: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>) {
    for (number, (host, port)) in &work.hosts {
        if work.shared.upgrade().is_none_or(|shared| shared.driver().has_ended()) {
            return;
        }
        let result = resolver(&host, port).map(|mut addrs| {
            addrs.truncate(ADDRS_MAX);
            addrs
        });
        // Whoever asked may have given up.
        if work.tell.send((number, result)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config::Config;
    use crate::threads;
    use crate::threads::workers::resolver_pool::THREADS_MAX;

    const LONG: Duration = Duration::from_secs(10);

    fn hosts(names: &[&str]) -> Vec<Host> {
        names.iter().map(|name| ((*name).to_owned(), 7990)).collect()
    }

    /// A resolver that hangs at names with an x, until the first one of the result is dropped.
    fn hangs() -> (Sender<()>, impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Clone + Send + 'static) {
        let (release, hung) = crossbeam_channel::bounded(0);
        let resolver = move |host: &str, port| {
            if host.starts_with('x') {
                hung.recv().unwrap_err();
            }
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], port))])
        };
        (release, resolver)
    }

    /// They were resolved one after the other: a name in a zone without servers kept a join from the seeds behind it
    /// until its time was over.
    #[test]
    fn a_name_that_hangs_holds_up_no_other() {
        let owner = threads::start(Config::local().bind("127.0.0.1:0")).unwrap();
        let (release, resolver) = hangs();
        let (tell, results) = crossbeam_channel::unbounded();
        let hosts = hosts(&["x1", "x2", "x3", "a", "b"]);
        start_with(resolver, owner.shared(), hosts, tell).unwrap();
        let mut resolved: Vec<usize> = (0..2).map(|_| results.recv_timeout(LONG).unwrap().0).collect();
        resolved.sort_unstable();
        assert_eq!(resolved, [3, 4]);
        assert!(results.is_empty());

        drop(release);
        let mut resolved: Vec<usize> = (0..3).map(|_| results.recv_timeout(LONG).unwrap().0).collect();
        resolved.sort_unstable();
        assert_eq!(resolved, [0, 1, 2]);
        assert!(results.recv_timeout(LONG).is_err(), "all threads have ended");
    }

    #[test]
    fn there_are_no_more_than_64_threads_and_again_some_when_they_are_through() {
        let owner = threads::start(Config::local().bind("127.0.0.1:0")).unwrap();
        let (release, resolver) = hangs();
        let (tell, results) = crossbeam_channel::unbounded();
        let pool = owner.shared().resolver_pool();
        let ask = |tell| start_with(resolver.clone(), owner.shared(), hosts(&["x"; 20]), tell);
        for _ in 0..THREADS_MAX / THREADS_OF_JOIN_MAX {
            ask(tell.clone()).unwrap();
        }
        assert_eq!(pool.running(), THREADS_MAX);
        assert!(matches!(ask(tell.clone()), Err(Error::Io { .. })));

        drop((release, tell));
        assert_eq!(results.iter().count(), 20 * THREADS_MAX / THREADS_OF_JOIN_MAX);
        let (tell, results) = crossbeam_channel::unbounded();
        let deadline = Instant::now() + LONG;
        // The last one has told its result, and may not be through.
        while ask(tell.clone()).is_err() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
        drop(tell);
        assert_eq!(results.iter().count(), 20);
    }
}
