//! The life of a thread that makes a step whenever its [`TimerKind`] is due.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::alarm::NEVER;
use super::driver::Outputs;
use super::shared::Shared;
use crate::protocol::TimerKind;

/// Sleeps and makes steps until the member ends.
pub(super) fn run(shared: &Arc<Shared>, kind: TimerKind) {
    let driver = shared.driver();
    let mut outputs = Outputs::default();
    while !driver.has_ended() {
        let due = driver.alarm(kind).announce();
        let now = driver.now().as_micros();
        if due == NEVER {
            thread::park();
        } else if now < due {
            thread::park_timeout(Duration::from_micros(due - now));
        } else {
            // An error says that the member has ended.
            let _ = shared.step_into(&mut outputs, |protocol, now| protocol.handle_timeout(now, kind));
        }
    }
}
