//! What users see of a node: [`Node`], with its [`Status`], and the snapshot [`Nodes`].

mod compact;

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use self::compact::{Name, Place};
use crate::state::State;
pub(crate) use crate::status::Status;

/// One run of a node: grows each time a node of that name starts.
///
/// Milliseconds since the epoch in the high 42 bits, random low bits: unique per run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Generation(pub(crate) u64);

/// The number that only the node itself raises, within one generation, to refute an accusation (SWIM,
/// section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Incarnation(pub(crate) u64);

/// One node, as this member saw it at one moment: a snapshot that is cheap to clone and never changes, save
/// for [`Node::rtt`].
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    name: Name,
    addr: Place,
    status: Status,
    generation: Generation,
    incarnation: Incarnation,
    /// None while nothing was written: in large clusters of nodes without state that is most of them.
    state: Option<Arc<State>>,
    /// In microseconds; zero: not known. Written in place: the round trip is measured far more often than a node
    /// changes, and snapshots that users have kept are to show the newest one.
    rtt: AtomicU32,
}

impl Node {
    /// A snapshot of a node whose round trip is not known yet.
    pub(crate) fn new(
        name: &str,
        addr: SocketAddr,
        status: Status,
        generation: Generation,
        incarnation: Incarnation,
    ) -> Self {
        Self(Arc::new(Inner {
            name: Name::new(name),
            addr: Place::new(addr),
            status,
            generation,
            incarnation,
            state: None,
            rtt: AtomicU32::new(0),
        }))
    }

    /// The same node with other news, keeping what stays true: the state is that of a run, the round trip that of
    /// its address.
    pub(crate) fn updated(
        &self,
        addr: SocketAddr,
        status: Status,
        generation: Generation,
        incarnation: Incarnation,
    ) -> Self {
        let same_run = generation == self.0.generation;
        let addr = Place::new(addr);
        let rtt = if same_run && addr == self.0.addr { self.0.rtt.load(Ordering::Relaxed) } else { 0 };
        let state = if same_run { self.0.state.clone() } else { None };
        Self(Arc::new(Inner {
            name: self.0.name.clone(),
            addr,
            status,
            generation,
            incarnation,
            state,
            rtt: AtomicU32::new(rtt),
        }))
    }

    /// The same node with another state.
    pub(crate) fn with_state(&self, state: State) -> Self {
        Self(Arc::new(Inner {
            name: self.0.name.clone(),
            addr: self.0.addr,
            status: self.0.status,
            generation: self.0.generation,
            incarnation: self.0.incarnation,
            state: Some(Arc::new(state)),
            rtt: AtomicU32::new(self.0.rtt.load(Ordering::Relaxed)),
        }))
    }

    /// The same node, shown otherwise.
    pub(crate) fn with_status(&self, status: Status) -> Self {
        self.updated(self.addr(), status, self.0.generation, self.0.incarnation)
    }

    /// Its name, unique in the cluster, 1 to 255 bytes.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name.as_str()
    }

    /// Where it receives datagrams.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.0.addr.addr()
    }

    /// How it fared when this snapshot was taken.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// Whether it took part when this snapshot was taken: alive or suspect.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.status.is_active()
    }

    /// Its run: a number that is greater after each start of a node of this name.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.0
    }

    /// How often it changed what it says about itself in this run, refutations of false accusations
    /// included.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation.0
    }

    /// The smoothed round trip between this member and the node, as measured by probes. `None` before the
    /// first one, and for the own node. Live: the value is the newest one, whenever the snapshot was taken, until
    /// something else about the node changes; from then on it stays what it was.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        match self.0.rtt.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros.into())),
        }
    }

    /// What the node says of itself under a key: what it has written with [`Member::set`](crate::Member::set), as
    /// far as this member has heard. The bytes are what was written; see [`text`](Self::text).
    ///
    /// ```
    /// # use headcount::{Config, Member};
    /// # fn main() -> headcount::Result<()> {
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// member.set("load", [3, 0, 7])?;
    /// assert_eq!(member.local().get("load"), Some(&[3, 0, 7][..]));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.state.as_ref()?.get(key)
    }

    /// Likewise, as text: none if the value is not UTF-8.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.get(key)?).ok()
    }

    /// All keys with their values, by key.
    pub fn state(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.state.iter().flat_map(|state| state.iter())
    }

    /// The versioned state, if anything was ever written.
    pub(crate) fn versioned_state(&self) -> Option<&State> {
        self.0.state.as_deref()
    }

    /// The version of the state: zero if nothing was ever written.
    pub(crate) fn state_version(&self) -> u64 {
        self.0.state.as_ref().map_or(0, |state| state.version())
    }

    /// Stores a smoothed round trip.
    pub(crate) fn set_rtt(&self, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        self.0.rtt.store(micros, Ordering::Relaxed);
    }
}

/// `web-1 10.0.0.1:7990 alive`
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name(), self.addr(), self.status())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Node({} {} {} generation {} incarnation {})",
            self.name(),
            self.addr(),
            self.status(),
            self.generation(),
            self.incarnation()
        )
    }
}

/// Equal when they are the same news about the same run, with the same state.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.0.name.as_bytes() == other.0.name.as_bytes()
            && self.0.addr == other.0.addr
            && self.0.status == other.0.status
            && self.0.generation == other.0.generation
            && self.0.incarnation == other.0.incarnation
            && self.0.state == other.0.state
    }
}

impl Eq for Node {}

/// Nodes by name, at one moment: an immutable snapshot, cheap to clone, that holds no lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes(Arc<[Node]>);

impl Nodes {
    /// Takes nodes in any order; a name must not appear twice.
    pub(crate) fn new(mut nodes: Vec<Node>) -> Self {
        nodes.sort_unstable_by(|a, b| a.0.name.as_bytes().cmp(b.0.name.as_bytes()));
        Self(nodes.into())
    }

    /// The node of this name, if it is in this snapshot.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        let index = self.0.binary_search_by(|node| node.0.name.as_bytes().cmp(name.as_bytes())).ok()?;
        Some(&self.0[index])
    }
}

impl Deref for Nodes {
    type Target = [Node];

    fn deref(&self) -> &[Node] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Nodes {
    type Item = &'a Node;
    type IntoIter = std::slice::Iter<'a, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Nodes {
    type Item = Node;
    type IntoIter = std::vec::IntoIter<Node>;

    fn into_iter(self) -> Self::IntoIter {
        let nodes: Vec<Node> = self.iter().cloned().collect();
        nodes.into_iter()
    }
}

#[cfg(test)]
mod tests;
