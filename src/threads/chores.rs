//! The thread that resolves host names, which may take as long as the resolver likes.
//!
//! It is started at first need and does one thing after the other. It holds neither the socket nor a lock
//! while it works; the end of the member closes its queue, and nobody waits for it.

use std::io;
use std::mem;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::CHORES;
use super::shared::Shared;
use crate::config::{Place, Seed};
use crate::error::{Error, Result};
use crate::transport::canonical;

/// Jobs that wait at most. One more is refused.
const QUEUE_MAX: usize = 64;
/// Addresses of one host name at most; the rest of them is not used.
const ADDRS_MAX: usize = 256;

/// What became of one host name: its number in the job, and its addresses.
pub(super) type Resolved = (usize, io::Result<Vec<SocketAddr>>);

/// The queue of the chores thread.
#[derive(Debug, Default)]
pub(super) struct Chores {
    state: Mutex<State>,
    /// Whether the configured seeds are being resolved: one time at a time is enough.
    resolving_seeds: AtomicBool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    NotNeeded,
    Running(Sender<Job>),
    Ended,
}

#[derive(Debug)]
struct Job {
    /// Host names and ports.
    hosts: Vec<(String, u16)>,
    then: Then,
}

#[derive(Debug)]
enum Then {
    /// Tell each result to somebody who waits.
    Tell(Sender<Resolved>),
    /// Give the protocol these addresses and those of the host names.
    Seeds(Vec<SocketAddr>),
}

impl Chores {
    /// Resolves host names for a caller who waits.
    pub(super) fn resolve(
        &self,
        shared: &Arc<Shared>,
        hosts: Vec<(String, u16)>,
        tell: Sender<Resolved>,
    ) -> Result<()> {
        self.push(shared, Job { hosts, then: Then::Tell(tell) })
    }

    /// Gives the protocol the addresses of the configured seeds: the literal ones at once, and all of them
    /// when the host names are resolved.
    pub(super) fn resolve_seeds(&self, shared: &Arc<Shared>, seeds: &[Seed]) {
        let literal: Vec<SocketAddr> =
            seeds.iter().filter_map(|seed| seed.literal(shared.bound())).flatten().collect();
        let hosts = hosts(seeds);
        if !literal.is_empty() || hosts.is_empty() {
            shared.seeds_resolved(&literal);
        }
        if hosts.is_empty() || self.resolving_seeds.swap(true, Ordering::AcqRel) {
            return;
        }
        let job = Job { hosts, then: Then::Seeds(literal) };
        if let Err(error) = self.push(shared, job) {
            self.resolving_seeds.store(false, Ordering::Release);
            log::debug!("the seeds are not resolved: {error}");
        }
    }

    /// Tells the thread to end, and keeps it from being started.
    pub(super) fn end(&self) {
        let state = mem::replace(&mut *self.state(), State::Ended);
        drop(state);
    }

    fn push(&self, shared: &Arc<Shared>, job: Job) -> Result<()> {
        let mut state = self.state();
        if matches!(*state, State::NotNeeded) {
            let (sender, jobs) = crossbeam_channel::bounded(QUEUE_MAX);
            start(shared, jobs)?;
            *state = State::Running(sender);
        }
        match &*state {
            State::Running(sender) => sender.try_send(job).map_err(|_| Error::Io {
                what: "resolve host names".to_owned(),
                source: io::Error::other("too many wait for the resolver"),
            }),
            State::NotNeeded | State::Ended => Err(Error::Closed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread. Its handle is let go: it ends by itself when the queue is closed, and a resolver that
/// hangs keeps nothing of the member.
fn start(shared: &Arc<Shared>, jobs: Receiver<Job>) -> Result<()> {
    let shared = Arc::downgrade(shared);
    let body = move || {
        let result = panic::catch_unwind(AssertUnwindSafe(|| run(&shared, &jobs)));
        if let (Err(payload), Some(shared)) = (result, shared.upgrade()) {
            shared.end_by_panic(CHORES, &*payload);
        }
    };
    let started = thread::Builder::new().name(CHORES.to_owned()).spawn(body);
    started.map(drop).map_err(|source| Error::Io { what: format!("start the thread {CHORES}"), source })
}

fn run(shared: &Weak<Shared>, jobs: &Receiver<Job>) {
    for job in jobs {
        let mut found = Vec::new();
        for (number, (host, port)) in job.hosts.iter().enumerate() {
            if shared.upgrade().is_none_or(|shared| shared.has_ended()) {
                return;
            }
            let result = resolve(host, *port);
            match &job.then {
                // Whoever asked may have given up: so does this job.
                Then::Tell(caller) => {
                    if caller.send((number, result)).is_err() {
                        break;
                    }
                }
                Then::Seeds(_) => match result {
                    Ok(addrs) => found.extend(addrs),
                    Err(error) => log::debug!("resolve {host}: {error}"),
                },
            }
        }
        if let (Then::Seeds(literal), Some(shared)) = (job.then, shared.upgrade()) {
            shared.chores().resolving_seeds.store(false, Ordering::Release);
            found.retain(|addr| shared.can_reach(*addr));
            found.extend(literal);
            shared.seeds_resolved(&found);
        }
    }
}

fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addrs: Vec<SocketAddr> = (host, port).to_socket_addrs()?.map(canonical).take(ADDRS_MAX).collect();
    addrs.sort_unstable();
    addrs.dedup();
    Ok(addrs)
}

/// The host names and ports among seeds.
fn hosts(seeds: &[Seed]) -> Vec<(String, u16)> {
    let host = |seed: &Seed| match &seed.place {
        Place::Host(name, port) => Some((name.clone(), *port)),
        Place::Addr(_) | Place::Here(_) => None,
    };
    seeds.iter().filter_map(host).collect()
}
