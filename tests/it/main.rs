//! Members with real sockets on the loopback, and the tidiness of the sources.
//!
//! What the protocol decides is tested on the core, in virtual time. Here is what needs an operating system:
//! sockets, threads, listeners, the end of a member. Nothing sleeps and hopes: a test waits for an event or a
//! condition with a deadline, and only the absence of events is given a fixed time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can not go on shall stop")]

mod allow;
mod broadcasts;
mod create;
mod detection;
mod discovery;
mod end;
mod hostile;
mod join;
#[cfg(feature = "encryption")]
mod keys;
mod leave;
mod leftovers;
mod listener;
mod messages;
#[cfg(target_os = "linux")]
mod namespaces;
mod restart;
mod rig;
mod snapshot;
mod state;
mod tcp;
mod tidy;
#[cfg(target_os = "linux")]
mod translation;
mod transports;
mod view;
