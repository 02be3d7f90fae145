//! Cluster membership for plain blocking Rust (skeleton: being written).

mod config;
mod error;
mod event;
mod member;
mod metrics;
mod node;
mod protocol;
mod threads;
mod transport;
mod wire;

pub use crossbeam_channel;

pub use crate::config::{Config, IntoSeeds};
pub use crate::error::{Error, Result};
pub use crate::event::{Event, Listener};
pub use crate::member::Member;
pub use crate::metrics::Metrics;
pub use crate::node::{Node, Nodes, Status};
