//! Cluster membership for programs in plain blocking Rust: which nodes are in the cluster, which have died or left,
//! what each of them says of itself, and messages to one or to all.
//!
//! ```
//! use std::time::Duration;
//! use headcount::{Config, Member};
//!
//! # fn main() -> headcount::Result<()> {
//! # let elsewhere = Member::create(Config::local().bind("127.0.0.1:0"))?;
//! # let seed = elsewhere.addr();
//! let config = Config::local().name("web-1").bind("127.0.0.1:0");
//! let member = Member::create(config)?.join(seed)?;
//! for node in &member.nodes() {
//!     println!("{node}"); // web-1 127.0.0.1:41563 alive
//! }
//! member.leave(Duration::from_secs(5))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to begin
//!
//! - [`Config`] says how a member is to run: three profiles ([`local`](Config::local), [`lan`](Config::lan),
//!   [`wan`](Config::wan)) and a setter for each knob.
//! - [`Member::create`] starts one, [`Member::join`] makes it part of a cluster, [`Member::leave`] ends that
//!   politely, and dropping the last handle stops it without notifying peers.
//! - [`Member::nodes`] is the view: an immutable snapshot, cheap enough for a hot path.
//! - A [`Listener`] (or a closure, [`Config::on_event`]) hears what happens, as does every stream of
//!   [`Member::events`]; [`Member::wait_until`] blocks until the view satisfies a predicate.
//! - [`Config::seeds`] and [`Config::discovery`] say how members find each other: addresses, names, files, multicast.
//! - [`Config::transport`] chooses how datagrams travel: UDP, TCP, a network in memory, or a [`Transport`] of one's
//!   own.
//! - [`Member::set`] writes a key of the own state, [`Node::get`] reads what a node has written.
//! - [`Member::send`] sends a message to one node, and tells whether it was delivered. [`Member::broadcast`] tells
//!   something to all.
//! - [`Config::snapshot`] lets a member that is started again find its cluster by itself.
//! - [`sim::Cluster`] runs members on a virtual network and clock, for tests.
//! - With the feature `encryption`, `Config::keyring` has all datagrams sealed with a key that the members share.
//! - [`Member::metrics`] counts, [`Member::health`] reports the local health score, [`Member::reach`] which nodes are
//!   reached and how.
//!
//! # How it is built
//!
//! ```text
//!  Member, Config, Listener        what programs see
//!        │
//!  engine                          what is behind a member, one of:
//!        ├── threads               OS threads, locks, the clock of the system ── transport: UDP, TCP, memory
//!        │                                                                    ── snapshot: the file to come back with
//!        └── sim                   a virtual network and a virtual clock
//!        │
//!  protocol                        the pure state machine: (now, input) → outputs
//!        │
//!  wire                            bytes ↔ values
//! ```
//!
//! The **protocol** is SWIM with Lifeguard, and beyond them: one ring that all members share instead of random
//! targets, accusations that need proof, witnesses, rumors that leave at once, and a fingerprint of the whole
//! view in every probe. It holds no socket, thread, lock or clock. For the rules, read
//! `src/protocol` with the two papers beside it:
//!
//! - Abhinandan Das, Indranil Gupta, Ashish Motivala: *SWIM: Scalable Weakly-consistent Infection-style Process
//!   Group Membership Protocol*, DSN 2002.
//! - Armon Dadgar, James Phillips, Jon Currey: *Lifeguard: Local Health Awareness for More Accurate Failure
//!   Detection*, 2018.
//!
//! # The threads
//!
//! ```text
//!                       datagrams          a call of Member (join, ping, leave …)
//!                           │                          │
//!  hc-receiver ── blocks in recv ──┐                   │
//!  hc-prober ── sleeps to its deadline ──┤ one step each
//!  hc-disseminator ── likewise ──────────┤             │
//!                                  ┌─────▼─────────────▼───────┐
//!                                  │ RwLock: the protocol and  │──── read guard: a new snapshot,
//!                                  │         event consumers   │     all_nodes(), metrics() …
//!                                  └─────┬─────────────────────┘
//!     under the guard: events ───────────┼──▶ the listener's queue ─▶ hc-notifier ─▶ Listener
//!                                        │    and each events() stream
//!     after it: datagrams, answers, wake-ups, log lines
//! ```
//!
//! Each step is short and neither waits nor calls user code, so a listener that blocks, panics or calls back can not
//! hurt the protocol. More threads are started when they are needed: `hc-resolver`, at most eight, while a join has
//! host names to resolve; one for each [`Discovery`] (and for the seeds, if there are host names among them), with
//! `hc-names`, at most seven, while it has several names to resolve; `hc-snapshot` to write the
//! [snapshot](Config::snapshot); and a [transport](transport::Tcp) may have its own. An idle member sleeps: it wakes
//! for its probe, and for those of others.
//!
//! # Logging
//!
//! Through the `log` crate: *warn* is for the operator, *info* tells the own life and the changes of the view,
//! *debug* the decisions of the protocol, *trace* each datagram. Nothing is printed.

mod allow;
#[cfg(headcount_bench)]
#[doc(hidden)]
pub mod bench;
mod config;
mod consumer;
pub mod discovery;
mod engine;
mod error;
mod event;
mod events;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "encryption")]
mod keyring;
mod listener;
mod member;
mod metrics;
mod node;
mod protocol;
mod reach;
pub mod sim;
mod snapshot;
mod state;
mod status;
mod threads;
pub mod transport;
mod wire;

pub use crossbeam_channel;

pub use crate::config::{Config, IntoSeeds};
pub use crate::discovery::Discovery;
pub use crate::error::{Error, Result};
pub use crate::event::Event;
pub use crate::events::Events;
#[cfg(feature = "encryption")]
pub use crate::keyring::{Key, KeyId, Keyring};
pub use crate::listener::Listener;
#[cfg(feature = "encryption")]
pub use crate::member::MemberKeyring;
pub use crate::member::{Member, Update};
pub use crate::metrics::Metrics;
pub use crate::node::{Node, Nodes};
pub use crate::reach::{PeerReach, Reach};
pub use crate::status::Status;
pub use crate::transport::Transport;

/// The README's code is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
