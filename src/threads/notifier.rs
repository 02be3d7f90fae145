//! The thread that calls the listener: user code, which may block, panic and call back.
//!
//! It takes no part in the protocol. Behind it is a queue that never makes the protocol wait, and if it
//! blocks for good, it is left behind at the end with nothing of ours but its listener.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::driver::panic_message;
use super::shared::Shared;
use crate::event::Event;
use crate::listener::Listener;
use crate::member::Member;

/// Delivers events until the member has ended and all are delivered, or nobody waits for that any more.
pub(super) fn run(shared: &Arc<Shared>, events: &Receiver<Event>, mut listener: Box<dyn Listener>) {
    let member = Member::unowned(Arc::<Shared>::clone(shared));
    for event in events {
        if shared.handles().is_abandoned() {
            break;
        }
        contain(shared, || listener.on_event(&member, event));
    }
    // Dropping it is user code too.
    contain(shared, || drop(listener));
}

fn contain(shared: &Shared, user_code: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(user_code)) {
        shared.count_listener_panic();
        log::error!("the listener panicked: {}", panic_message(&*payload));
    }
}
