//! The end of a member: who may find a reason, who is woken, and who waits for whom.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use super::Shared;
use crate::threads::driver::panic_message;
use crate::threads::end::End;
use crate::threads::transport_handle::TransportHandle;

/// How long the end waits for the threads of the protocol. They come at once, except on a host that is overloaded:
/// there a socket that is really closed is worth more than being on time.
const THREADS_PATIENCE: Duration = Duration::from_secs(2);

impl Shared {
    /// Ends the member, if it has not ended: nothing is handled any more, streams and waiting calls are over,
    /// and the threads are woken. Does not wait for them: it may be called from any thread.
    pub(in crate::threads) fn end(&self, end: End) {
        if self.driver.end(end) {
            log::info!("{} at {} has ended", self.view.name(), self.view.address().get());
        }
        if let Some(transport) = self.driver.close() {
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
        self.driver.ring();
        self.discoveries.end();
        if let Some(writer) = self.snapshot_writer.get() {
            writer.end();
        }
    }

    /// Waits until the threads are joined and the socket is closed. The threads of the protocol come at once;
    /// the listener is left behind after 50 ms, and so are discoveries; a thread does not wait for itself.
    pub(in crate::threads) fn wait_for_end(&self) {
        let deadline = Instant::now() + THREADS_PATIENCE;
        let name = self.view.name();
        if !self.handles.join_protocol(deadline) {
            log::warn!("{name}: a thread does not end");
        }
        if let Some(writer) = self.snapshot_writer.get() {
            writer.wait(name);
        }
        self.discoveries.wait();
        self.handles.join_notifier();
        self.handles.await_transport(deadline);
    }
}
