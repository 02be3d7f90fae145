//! The threads of a member, for whoever waits until they are through.
//!
//! Each holds a [`Token`] while it runs. The tokens are what is waited for, with a deadline, which the handle of a
//! thread does not offer; it is joined when its token is gone.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

/// How long the end waits for the listener.
const NOTIFIER_PATIENCE: Duration = Duration::from_millis(50);

/// Held by a thread while it runs. Nothing is ever sent.
pub(super) type Token = Sender<Infallible>;

/// The tokens to give to the threads.
pub(super) struct Tokens {
    /// For receiver, prober and disseminator.
    pub(super) protocol: Token,
    /// For the notifier.
    pub(super) notifier: Token,
}

/// The threads that the end of a member joins.
#[derive(Debug)]
pub(super) struct Handles {
    threads: Mutex<Threads>,
    notifier_id: OnceLock<ThreadId>,
    /// Disconnected when receiver, prober and disseminator are through.
    protocol_threads: Receiver<Infallible>,
    /// Disconnected when the notifier is through.
    notifier_thread: Receiver<Infallible>,
    /// Disconnected when the transport is gone, which only the driver and the threads keep alive.
    transport_gone: Receiver<Infallible>,
    /// Nobody waits for the listener any more.
    abandoned: AtomicBool,
}

#[derive(Debug, Default)]
struct Threads {
    protocol: Vec<JoinHandle<()>>,
    notifier: Option<JoinHandle<()>>,
}

impl Handles {
    pub(super) fn new(transport_gone: Receiver<Infallible>) -> (Self, Tokens) {
        let (protocol, protocol_threads) = crossbeam_channel::bounded(0);
        let (notifier, notifier_thread) = crossbeam_channel::bounded(0);
        let handles = Self {
            threads: Mutex::default(),
            notifier_id: OnceLock::new(),
            protocol_threads,
            notifier_thread,
            transport_gone,
            abandoned: AtomicBool::new(false),
        };
        (handles, Tokens { protocol, notifier })
    }

    /// Takes care of a thread of the protocol.
    pub(super) fn own(&self, thread: JoinHandle<()>) {
        self.threads().protocol.push(thread);
    }

    /// Takes care of the notifier.
    pub(super) fn own_notifier(&self, thread: JoinHandle<()>) {
        // It is set once, when the thread is started.
        let _ = self.notifier_id.set(thread.thread().id());
        self.threads().notifier = Some(thread);
    }

    /// Disconnected when the threads of the protocol are through.
    pub(super) fn protocol_threads(&self) -> &Receiver<Infallible> {
        &self.protocol_threads
    }

    /// Whether nobody waits for the listener any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Joins receiver, prober and disseminator, but not the thread that calls. False at the deadline.
    pub(super) fn join_protocol(&self, deadline: Instant) -> bool {
        let me = thread::current().id();
        // Whoever comes second finds no handles, and waits for the token only.
        let threads = std::mem::take(&mut self.threads().protocol);
        match self.protocol_threads.recv_deadline(deadline) {
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                threads.into_iter().filter(|thread| thread.thread().id() != me).for_each(join);
                true
            }
            Ok(never) => match never {},
        }
    }

    /// Joins the notifier, if it is not the thread that calls; it is left behind after 50 ms.
    pub(super) fn join_notifier(&self) {
        let thread = self.threads().notifier.take();
        if self.notifier_id.get() != Some(&thread::current().id()) {
            let result = self.notifier_thread.recv_timeout(NOTIFIER_PATIENCE);
            if matches!(result, Err(RecvTimeoutError::Disconnected)) {
                thread.into_iter().for_each(join);
            }
        }
        self.abandoned.store(true, Ordering::Release);
    }

    /// Waits until the transport is gone.
    pub(super) fn await_transport(&self, deadline: Instant) {
        // A call of another thread may be sending its last datagram, and holds the transport so long. An error says
        // that it is gone, or that the time is over.
        let _ = self.transport_gone.recv_deadline(deadline);
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn join(thread: JoinHandle<()>) {
    // Its panic has been caught and told.
    let _ = thread.join();
}
