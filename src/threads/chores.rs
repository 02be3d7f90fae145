//! The thread that resolves the host names of joins, which may take as long as the resolver likes.
//!
//! It is started at first need and does one thing after the other. It holds neither the socket nor a lock
//! while it works; the end of the member closes its queue, and nobody waits for it.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::CHORES;
use super::shared::Shared;
use crate::discovery::resolve;
use crate::error::{Error, Result};

/// Jobs that wait at most. One more is refused.
const QUEUE_MAX: usize = 64;

/// Addresses of one host name that are asked: one that answers is enough.
const ADDRS_MAX: usize = 256;

/// What became of one host name: its number in the job, and its addresses.
pub(super) type Resolved = (usize, io::Result<Vec<SocketAddr>>);

/// The queue of the chores thread.
#[derive(Debug, Default)]
pub(super) struct Chores {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    NotNeeded,
    Running(Sender<Job>),
    Ended,
}

/// Host names to resolve for somebody who waits.
#[derive(Debug)]
struct Job {
    /// Host names and ports.
    hosts: Vec<(String, u16)>,
    /// Who is told each result.
    tell: Sender<Resolved>,
}

impl Chores {
    /// Resolves host names for a caller who waits.
    pub(super) fn resolve(
        &self,
        shared: &Arc<Shared>,
        hosts: Vec<(String, u16)>,
        tell: Sender<Resolved>,
    ) -> Result<()> {
        let mut state = self.state();
        if matches!(*state, State::NotNeeded) {
            let (sender, jobs) = crossbeam_channel::bounded(QUEUE_MAX);
            start(shared, jobs)?;
            *state = State::Running(sender);
        }
        match &*state {
            State::Running(sender) => sender.try_send(Job { hosts, tell }).map_err(|_| Error::Io {
                what: "resolve host names".to_owned(),
                source: io::Error::other("too many wait for the resolver"),
            }),
            State::NotNeeded | State::Ended => Err(Error::Closed),
        }
    }

    /// Tells the thread to end, and keeps it from being started.
    pub(super) fn end(&self) {
        let state = mem::replace(&mut *self.state(), State::Ended);
        drop(state);
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
    for Job { hosts, tell } in jobs {
        for (number, (host, port)) in hosts.iter().enumerate() {
            if shared.upgrade().is_none_or(|shared| shared.has_ended()) {
                return;
            }
            // Whoever asked may have given up: so does this job.
            let result = resolve(host, *port).map(|mut addrs| {
                addrs.truncate(ADDRS_MAX);
                addrs
            });
            if tell.send((number, result)).is_err() {
                break;
            }
        }
    }
}
