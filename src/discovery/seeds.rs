//! Seeds: addresses and host names that somebody has written down.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, iter, thread};

use super::{Discovery, not_simulated};
use crate::config::{IntoSeeds, Place, Seed, texts};
use crate::member::Member;
use crate::transport::canonical;

/// Addresses of one host name at most, which is what an answer of the DNS has room for; the rest is not used.
const ADDRS_MAX: usize = 4_096;
/// Names that are resolved at the same time.
const THREADS_MAX: usize = 8;

/// Addresses and host names, all addresses of a name, resolved anew each time.
///
/// [`Config::seeds`](crate::Config::seeds) is the short way to have these; the type is for those who build their own
/// [`Discovery`] upon it. A name that does not resolve keeps the others from nothing. A seed that makes no sense does:
/// it is an error each time.
///
/// ```
/// use headcount::discovery::Seeds;
/// use headcount::{Config, Member};
///
/// let config = Config::local().bind("127.0.0.1:0").discovery(Seeds::new(["localhost:7990", "127.0.0.2"]));
/// let member = Member::create(config)?;
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Seeds {
    seeds: Result<Vec<Seed>, String>,
}

impl Seeds {
    /// These seeds.
    #[must_use]
    pub fn new(seeds: impl IntoSeeds) -> Self {
        Self { seeds: texts(seeds).iter().map(|text| Seed::parse(text)).collect() }
    }

    /// Seeds that are understood already.
    pub(crate) fn of(seeds: Vec<Seed>) -> Self {
        Self { seeds: Ok(seeds) }
    }
}

impl Discovery for Seeds {
    /// All addresses of all seeds.
    ///
    /// # Errors
    ///
    /// `InvalidInput`: a seed makes no sense. Any other: no seed has an address, and this is why the last one has none.
    fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>> {
        let seeds = self.seeds.as_ref();
        let seeds = seeds.map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason.clone()))?;
        let results = side_by_side(seeds, |seed| match &seed.place {
            Place::Addr(addr) => Ok(vec![*addr]),
            Place::Here(_) => Ok(seed.literal(me.bound().unwrap_or(me.addr())).unwrap_or_default()),
            Place::Host(..) if me.bound().is_none() => Err(not_simulated("resolver")),
            Place::Host(name, port) => resolve(name, *port),
        });
        let mut found = Vec::new();
        let mut failure = None;
        for (seed, result) in results {
            match result {
                Ok(addrs) => found.extend(addrs),
                Err(error) => {
                    log::debug!("{}: {error}", seed.text);
                    failure = Some(io::Error::new(error.kind(), format!("{}: {error}", seed.text)));
                }
            }
        }
        match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }
}

/// Looks up all seeds, in any order. Names that hang do so together: each may take ten seconds.
fn side_by_side<'a, T: Send>(
    seeds: &'a [Seed],
    look_up: impl Fn(&'a Seed) -> T + Sync,
) -> Vec<(&'a Seed, T)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let rest = iter::from_fn(|| seeds.get(next.fetch_add(1, Ordering::Relaxed)));
        rest.map(|seed| (seed, look_up(seed))).collect::<Vec<_>>()
    };
    let names = seeds.iter().filter(|seed| matches!(seed.place, Place::Host(..))).count();
    thread::scope(|scope| {
        // This thread works, too; and does all of it where no other can be started.
        let others: Vec<_> = (1..names.min(THREADS_MAX))
            .map_while(|_| thread::Builder::new().name("hc-names".to_owned()).spawn_scoped(scope, work).ok())
            .collect();
        let mut found = work();
        found.extend(others.into_iter().filter_map(|other| other.join().ok()).flatten());
        found
    })
}

/// All addresses of a host name. It takes as long as the resolver of the system likes.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addrs: Vec<SocketAddr> = (host, port).to_socket_addrs()?.map(canonical).take(ADDRS_MAX).collect();
    addrs.sort_unstable();
    addrs.dedup();
    Ok(addrs)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn names_are_resolved_side_by_side_and_each_once() {
        let texts: Vec<String> = (0..20).map(|number| format!("x{number}.example:1")).collect();
        let seeds: Vec<Seed> = texts.iter().map(|text| Seed::parse(text).unwrap()).collect();
        let running = AtomicUsize::new(0);
        let deadline = Instant::now() + Duration::from_secs(10);
        let meets_all = |_| {
            running.fetch_add(1, Ordering::Relaxed);
            while running.load(Ordering::Relaxed) < THREADS_MAX && Instant::now() < deadline {
                thread::yield_now();
            }
            running.load(Ordering::Relaxed) == THREADS_MAX
        };
        let mut found = side_by_side(&seeds[..THREADS_MAX], meets_all);
        assert!(found.iter().all(|(_, has_met)| *has_met));
        found.extend(side_by_side(&seeds[THREADS_MAX..], |_| true));
        let mut names: Vec<&str> = found.iter().map(|(seed, _)| &*seed.text).collect();
        names.sort_unstable();
        let mut expected: Vec<&str> = texts.iter().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert!(side_by_side(&[], |_| ()).is_empty());
    }
}
