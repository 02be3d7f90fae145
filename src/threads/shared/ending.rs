//! The end of a member: who may find a reason, who is woken, and who waits for whom.

use std::any::Any;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as OsInstant};

use crossbeam_channel::RecvTimeoutError;

use super::{Shared, TransportHandle, panic_message};
use crate::error::{Error, Result};
use crate::threads::End;

/// How long the end waits for the threads of the protocol. They come at once, save on a host that is
/// overloaded: there a socket that is really closed is worth more than being on time.
const THREADS_PATIENCE: Duration = Duration::from_secs(2);
/// How long the end waits for the listener.
const NOTIFIER_PATIENCE: Duration = Duration::from_millis(50);
impl Shared {
    /// Whether the member has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Why it has ended, if it has.
    pub(crate) fn end_reason(&self) -> Option<&End> {
        self.end.get()
    }

    /// An error if it has ended.
    pub(crate) fn check_running(&self) -> Result<()> {
        self.end.get().map_or(Ok(()), |end| Err(end.error()))
    }

    /// What calls answer after the end.
    pub(crate) fn end_error(&self) -> Error {
        self.end.get().map_or(Error::Closed, End::error)
    }

    /// Ends the member, if it has not ended: nothing is handled any more, streams and waiting calls are over,
    /// and the threads are woken. Does not wait for them: it may be called from any thread.
    pub(crate) fn end(&self, end: End) {
        if self.end.set(end).is_ok() {
            log::info!("{} at {} has ended", self.name, self.addr());
        }
        let transport = self.core_mut().close();
        if let Some(transport) = transport {
            self.wake_all(&transport);
        }
    }

    /// Runs a thread's body; its panic ends the member.
    pub(in crate::threads) fn contain(&self, thread: &str, body: impl FnOnce()) {
        if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(body)) {
            self.end_by_panic(thread, &*payload);
        }
    }

    /// Ends the member because a thread panicked.
    pub(in crate::threads) fn end_by_panic(&self, thread: &str, payload: &(dyn Any + Send)) {
        log::error!("the thread {thread} panicked: {}", panic_message(payload));
        self.end(End::Panicked(thread.to_owned()));
    }

    pub(super) fn wake_all(&self, transport: &TransportHandle) {
        transport.close();
        self.prober.ring();
        self.disseminator.ring();
        self.discoveries.end();
        if let Some(writer) = self.snapshot_writer.get() {
            writer.end();
        }
    }

    /// Waits until the threads are joined and the socket is closed. The threads of the protocol come at once;
    /// the listener is left behind after 50 ms, and so are discoveries; a thread does not wait for itself.
    pub(crate) fn wait_for_end(&self) {
        let deadline = OsInstant::now() + THREADS_PATIENCE;
        let me = thread::current().id();
        let threads = mem::take(&mut *self.threads());

        // Whoever comes second finds no handles, and waits for the tokens only.
        match self.protocol_threads.recv_deadline(deadline) {
            Err(RecvTimeoutError::Timeout) => log::warn!("{}: a thread does not end", self.name),
            Err(RecvTimeoutError::Disconnected) => {
                threads.protocol.into_iter().filter(|thread| thread.thread().id() != me).for_each(join);
            }
            Ok(never) => match never {},
        }
        if let Some(writer) = self.snapshot_writer.get() {
            writer.wait(&self.name);
        }
        self.discoveries.wait();
        if self.notifier_id.get() != Some(&me) {
            let result = self.notifier_thread.recv_timeout(NOTIFIER_PATIENCE);
            if matches!(result, Err(RecvTimeoutError::Disconnected)) {
                threads.notifier.into_iter().for_each(join);
            }
        }
        self.abandoned.store(true, Ordering::Release);
        // A call of another thread may be sending its last datagram, and holds the transport so long. An error says
        // that it is gone, or that the time is over.
        let _ = self.transport_gone.recv_deadline(deadline);
    }
}

fn join(thread: JoinHandle<()>) {
    // Its panic has been caught and told.
    let _ = thread.join();
}
