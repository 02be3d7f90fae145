//! What happens in the cluster, reported to the program: [`Event`].

use std::fmt;
use std::net::SocketAddr;

#[cfg(doc)]
use crate::member::Member;
use crate::node::Node;

/// One thing that happened in this member's view.
///
/// Events about one node come in order, and none is invented. When an event arrives, the view
/// ([`Member::nodes`]) already shows what it reports. The own node causes none but
/// [`NameConflict`](Event::NameConflict).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A node has come into the view: it is new here, or a run of it that was dead or had left is back.
    ///
    /// It shows the state that came together with the news. Members that hear of the join by gossip see what the node
    /// had written before, as far as one datagram holds it ([`Config::state`](crate::Config::state)). A member that
    /// learns of nodes by comparing views, such as one that has just joined, sees no state yet. The rest is reported key
    /// by key, as [`Changed`](Event::Changed).
    Joined(Node),
    /// A node has not answered for a while. Most suspicions end well and are over before they are shown:
    /// this is reported only when half of the shortest suspicion time has passed. A [`Died`](Event::Died) always has
    /// one before it.
    Suspected(Node),
    /// A node that was shown as suspected has answered.
    Recovered(Node),
    /// A node was given up: it crashed, hangs, or can not be reached. Also reported of every node when this member gets
    /// no answers any more ([`Config::isolation_timeout`](crate::Config::isolation_timeout)).
    Died {
        /// The node.
        node: Node,
        /// Whether two members have probed it in vain. False if there was no other member to ask, if none could confirm
        /// it, or if this member is isolated: then the fault may lie with this member. Each death that is not proven is
        /// counted in [`Metrics::deaths_unproven`](crate::Metrics::deaths_unproven).
        proven: bool,
    },
    /// A node announced that it leaves, or it was buried for good with [`Member::force_leave`]. What it has written and
    /// broadcast before that usually comes before this event, and some of it may come after it.
    Left(Node),
    /// A node that was known under this name was started again: same name, newer generation, whatever its earlier run
    /// was.
    ///
    /// It shows the state of the new run, as far as [`Joined`](Event::Joined) does. The keys of the earlier run are gone
    /// with it. No [`Changed`](Event::Changed) reports that: most of them are written again in the same moment.
    Restarted(Node),
    /// The same run of a node has a new address.
    Moved(Node),
    /// A node has written something into its state, or removed it, or it had done so before and that is known only now.
    Changed {
        /// The node, with the state as it is now: when several changes arrive together, each event carries the final
        /// state.
        node: Node,
        /// Which key.
        key: String,
        /// What it holds now; none: it was removed.
        value: Option<Vec<u8>>,
    },
    /// A node has sent a message to this member, with [`Member::send`]. It comes once, whole, and is never among
    /// the events that are dropped.
    Message {
        /// The node that sent it.
        from: Node,
        /// What it sent, as it was given.
        payload: Vec<u8>,
    },
    /// A node has sent something to all ([`Member::broadcast`]). The broadcasts of one run of a node come in the order
    /// in which it made them, each once.
    Broadcast {
        /// The node that has made it.
        from: Node,
        /// What it says.
        payload: Vec<u8>,
    },
    /// Broadcasts of a node that were never delivered here and can no longer be had: this member was cut off for too
    /// long. What comes after this one was made after them.
    Missed {
        /// The node that has made them.
        from: Node,
        /// How many, by the highest number that was heard of. Without encryption a peer with a spoofed source can
        /// inflate this number; use it for display only.
        count: u64,
    },
    /// Another process uses our name and has the newer run of it: this member has fallen silent.
    NameConflict {
        /// Where the other one runs.
        addr: SocketAddr,
    },
    /// The consumer was too slow and this many events were dropped: read [`Member::nodes`] again.
    Lagged(u64),
}

impl Event {
    /// The node that the event is about or comes from, if there is one.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        match self {
            Self::Joined(node)
            | Self::Suspected(node)
            | Self::Recovered(node)
            | Self::Died { node, .. }
            | Self::Left(node)
            | Self::Restarted(node)
            | Self::Moved(node)
            | Self::Changed { node, .. }
            | Self::Message { from: node, .. }
            | Self::Broadcast { from: node, .. }
            | Self::Missed { from: node, .. } => Some(node),
            Self::NameConflict { .. } | Self::Lagged(_) => None,
        }
    }
}

/// One line, ready to log: `web-2 died`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined(node) => write!(f, "{} joined from {}", node.name(), node.addr()),
            Self::Suspected(node) => write!(f, "{} is suspected", node.name()),
            Self::Recovered(node) => write!(f, "{} recovered", node.name()),
            Self::Died { node, proven: true } => write!(f, "{} died", node.name()),
            Self::Died { node, proven: false } => write!(f, "{} died, unproven", node.name()),
            Self::Left(node) => write!(f, "{} left", node.name()),
            Self::Restarted(node) => write!(f, "{} restarted at {}", node.name(), node.addr()),
            Self::Moved(node) => write!(f, "{} moved to {}", node.name(), node.addr()),
            Self::Changed { node, key, value: Some(value) } => {
                write!(f, "{} set {key:?} to {} bytes", node.name(), value.len())
            }
            Self::Changed { node, key, value: None } => write!(f, "{} removed {key:?}", node.name()),
            Self::Message { from, payload } => {
                write!(f, "{} sent a message of {} bytes", from.name(), payload.len())
            }
            Self::Broadcast { from, payload } => {
                write!(f, "{} broadcast {} bytes", from.name(), payload.len())
            }
            Self::Missed { from, count } => write!(f, "{count} broadcasts of {} were missed", from.name()),
            Self::NameConflict { addr } => write!(f, "our name is taken by {addr}"),
            Self::Lagged(count) => write!(f, "{count} events were dropped"),
        }
    }
}
