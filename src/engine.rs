//! What is behind a [`Member`](crate::Member): threads and a socket, or a simulated host.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::events::Events;
#[cfg(feature = "encryption")]
use crate::keyring::Keyring;
use crate::metrics::Metrics;
use crate::node::{Node, Nodes};
use crate::reach::Reach;

/// Runs one member. Its methods are those of the handle, whose docs say what they promise.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    fn join(self: Arc<Self>, seeds: Vec<String>) -> Result<()>;
    fn name(&self) -> &str;
    fn addr(&self) -> SocketAddr;
    fn cluster(&self) -> &str;
    /// Where its socket is bound; none in the simulator, which has none.
    fn bound(&self) -> Option<SocketAddr>;
    /// The time since its creation.
    fn now(&self) -> Duration;
    fn local(&self) -> Node;
    fn nodes(&self) -> Nodes;
    fn node(&self, name: &str) -> Option<Node>;
    fn all_nodes(&self) -> Nodes;
    fn wait_until(&self, timeout: Duration, is_right: &mut dyn FnMut(&Nodes) -> bool) -> Result<Nodes>;
    /// Writes keys of the own state, and removes those without a value.
    fn update(self: Arc<Self>, changes: &[(&str, Option<&[u8]>)]) -> Result<()>;
    fn broadcast(self: Arc<Self>, payload: &[u8]) -> Result<()>;
    fn ping(self: Arc<Self>, name: &str) -> Result<Duration>;
    fn send(self: Arc<Self>, name: &str, payload: &[u8]) -> Result<()>;
    fn save_snapshot(&self) -> Result<()>;
    fn events(&self) -> Events;
    fn health(&self) -> u8;
    fn metrics(&self) -> Metrics;
    fn reach(&self) -> Reach;
    fn force_leave(self: Arc<Self>, name: &str) -> Result<()>;
    fn leave(self: Arc<Self>, timeout: Duration) -> Result<()>;
    fn shutdown(&self) -> Result<()>;
    fn has_ended(&self) -> bool;
    #[cfg(feature = "encryption")]
    fn keyring(&self) -> Keyring;
    #[cfg(feature = "encryption")]
    fn change_keyring(self: Arc<Self>, change: &mut dyn FnMut(&mut Keyring) -> Result<()>) -> Result<()>;
    /// What the handles hold together: its drop ends the member. `None` if none holds it any more.
    fn owner(&self) -> Option<Arc<dyn Owner>>;
}

/// What keeps a member running: when the last one that holds it lets go, the member ends, without a leave.
pub(crate) trait Owner: fmt::Debug + Send + Sync {}
