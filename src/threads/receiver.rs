//! The thread that waits for datagrams, makes a step of each, and sends the answers itself.
//!
//! No error of the socket ends it: what they mean is told by [`classify`]. Errors
//! that do not stop coming slow it down to a hundred a second, so that they do not burn a processor.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::driver::Outputs;
use super::shared::Shared;
use crate::transport::{RECEIVE_MAX, Transport, Trouble, classify};

/// Errors at one go that cost no pause.
const ERRORS_FREE: u32 = 16;
/// The pause after each further one.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// After so long without an error the next ones are free again.
const ERRORS_FORGOTTEN: Duration = Duration::from_millis(100);

/// What is reserved for a datagram: more than can come. A block of this size is taken from the system on its own, as
/// zeros that use no memory before something is written to them, and datagrams are rarely long. A smaller one would be
/// a part of a heap, and be zeroed by hand: that was 40 kB of each idle member. In a process in which members come and
/// go all the same: some allocators keep such blocks, once one was given back.
const BUFFER: usize = 2 * (RECEIVE_MAX + 1);

/// Receives until the member ends.
pub(super) fn run(shared: &Arc<Shared>, transport: &dyn Transport) {
    let mut reserved = vec![0; BUFFER];
    let buf = &mut reserved[..RECEIVE_MAX];
    let mut outputs = Outputs::default();
    let mut errors = Errors::default();
    while !shared.driver().has_ended() {
        match transport.recv(buf) {
            Ok((len, from)) => {
                let received = shared.driver().now();
                log::trace!("received {len} bytes from {from}");
                // An error says that the member has ended.
                let _ = shared.step_into(&mut outputs, |protocol, now| {
                    protocol.handle_datagram(now, received, from, &buf[..len]);
                });
                errors.count = 0;
            }
            // What a closed transport answers is no error.
            Err(_) if shared.driver().has_ended() => {}
            Err(error) => errors.note(shared, &error),
        }
    }
}

#[derive(Default)]
struct Errors {
    count: u32,
    last: Option<Instant>,
}

impl Errors {
    /// Counts and logs an error that is not a mere tick, and waits if there were too many of either.
    fn note(&mut self, shared: &Shared, error: &io::Error) {
        if classify(error) != Trouble::Tick {
            shared.driver().socket_errors().note_receive(shared.view().name(), error);
        }
        let now = Instant::now();
        let is_old = self.last.is_none_or(|last| now.duration_since(last) > ERRORS_FORGOTTEN);
        self.count = if is_old { 1 } else { self.count.saturating_add(1) };
        self.last = Some(now);
        if self.count > ERRORS_FREE {
            thread::sleep(ERROR_PAUSE);
        }
    }
}
