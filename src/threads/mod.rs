//! Threads, locks and the clock of the operating system: everything that the protocol is kept away from.
//!
//! Three threads run a member, a fourth its listener, if it has one, and a fifth writes its
//! [snapshot](crate::snapshot), if it is to have one. They are started by `create` and joined
//! by `shutdown`, and nothing else runs the protocol but the calls of the program itself:
//!
//! ```text
//!                   datagrams                     a call of Member (join, ping, leave …)
//!                       │                                   │
//!  hc-receiver ─ blocks in recv ──┐                         │
//!  hc-prober ─ sleeps to its deadline ──┤ one step each ┌───┘
//!  hc-disseminator ─ likewise ──────────┤               │
//!                                 ┌─────▼───────────────▼─────┐
//!                                 │ RwLock: Core              │──── read guard: nodes(), metrics() …
//!                                 │   Protocol, the consumers │
//!                                 └─────┬─────────────────────┘
//!      under the guard: events ─────────┼──▶ the listener's queue ─▶ hc-notifier ─▶ Listener
//!                                       │    and each events() stream
//!      after it: datagrams, answers, wake-ups, log lines, tasks ─▶ hc-discovery, one for each
//!                                       └──▶ changes ─▶ hc-snapshot (the snapshot)
//! ```
//!
//! The rules that keep this simple:
//!
//! - All of them make their steps by the [`driver`], the only place that takes the write guard of a running member.
//!   Under it there is no I/O, no logging, no user code and nothing that waits. The thread that made the step also
//!   sends its datagrams, when the guard is gone.
//! - No thread ever holds two locks.
//! - Events are queued under the guard, which alone keeps their order, and never wait for a consumer.
//! - The prober and the disseminator sleep until the one next deadline of their [`TimerKind`](crate::protocol::TimerKind), and
//!   are woken only if it becomes earlier.
//! - The end is a fact that is written once ([`End`]); whoever finds a reason writes it and wakes the threads,
//!   and each thread ends by itself. Only the callers of `shutdown` and `leave`, and the drop of the last
//!   handle, wait for that.

mod address;
mod alarm;
mod create;
mod disseminator;
mod driver;
mod end;
mod engine;
mod handles;
mod join;
mod notifier;
mod prober;
mod receiver;
mod shared;
mod socket_errors;
mod timer;
mod transport_handle;
mod view;
mod workers;

use std::io;
use std::sync::Arc;
use std::thread;

use rand::TryRng;
use rand::rngs::SysRng;

#[cfg(any(test, headcount_bench))]
pub(crate) use self::create::start;
use self::end::End;
use self::handles::Token;
use self::shared::Shared;
use crate::error::{Error, Result};

// Linux shows the first 15 bytes of a thread's name.
const RECEIVER: &str = "hc-receiver";
const PROBER: &str = "hc-prober";
const DISSEMINATOR: &str = "hc-disseminator";
const NOTIFIER: &str = "hc-notifier";
const RESOLVER: &str = "hc-resolver";
const DISCOVERY: &str = "hc-discovery";
const SNAPSHOT: &str = "hc-snapshot";

/// What keeps a member running: when the last one that holds it lets go, the threads end, without a leave.
#[derive(Debug)]
pub(crate) struct Owner {
    shared: Arc<Shared>,
}

impl Owner {
    /// What it keeps running.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl crate::engine::Owner for Owner {}

impl Drop for Owner {
    fn drop(&mut self) {
        // A copy in another process ends nothing.
        if self.shared.check_process().is_ok() {
            self.shared.end(End::Closed);
            self.shared.wait_for_end();
        }
    }
}

fn entropy() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| Error::Io {
        what: "read random bytes of the system".to_owned(),
        source: io::Error::other(error.to_string()),
    })?;
    Ok(seed)
}

/// Starts a thread whose panic ends the member. `token` is let go when it is through.
fn spawn(
    shared: &Arc<Shared>,
    name: &'static str,
    token: Token,
    body: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> Result<thread::JoinHandle<()>> {
    let shared = Arc::clone(shared);
    let contained = move || {
        shared.contain(name, || body(&shared));
        drop(shared);
        drop(token);
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(contained)
        .map_err(|source| Error::Io { what: format!("start the thread {name}"), source })
}

#[cfg(test)]
mod tests;
