//! What a member knows of its network.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;

/// How a member and the others reach each other, as far as this member knows: see [`Member::reach`](crate::Member::reach).
///
/// Its `Display` is one line for a log.
#[derive(Debug)]
pub struct Reach {
    pub(crate) advertised: SocketAddr,
    pub(crate) seen: Option<SocketAddr>,
    pub(crate) peers: Vec<PeerReach>,
    pub(crate) refusals: Vec<(SocketAddr, Error)>,
}

impl Reach {
    /// The address that this member advertises: others send to it there.
    #[must_use]
    pub fn advertised(&self) -> SocketAddr {
        self.advertised
    }

    /// Where its datagrams come from, as another member has said that did not know it at that address: the outside of a
    /// translator of addresses (NAT), say, or a second interface. None if nobody has said so. That differs from the
    /// advertised address for many members that are well; if nobody reaches the advertised address, joins end with
    /// [`Error::Unreachable`].
    #[must_use]
    pub fn seen(&self) -> Option<SocketAddr> {
        self.seen
    }

    /// All other nodes that take part, by name.
    #[must_use]
    pub fn peers(&self) -> &[PeerReach] {
        &self.peers
    }

    /// The last 16 addresses at most at which a member has refused to let this one in, or at which nobody was reached
    /// for a known reason, and why. An address is not listed any more when the member there lets this one in.
    #[must_use]
    pub fn refusals(&self) -> &[(SocketAddr, Error)] {
        &self.refusals
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "advertised {}", self.advertised)?;
        if let Some(seen) = self.seen.filter(|seen| *seen != self.advertised) {
            write!(f, ", seen at {seen}")?;
        }
        let count =
            |is_meant: fn(&PeerReach) -> bool| self.peers.iter().filter(|peer| is_meant(peer)).count();
        let relayed = count(|peer| peer.relay.is_some());
        let silent = count(|peer| peer.relay.is_none() && peer.answered.is_none());
        write!(
            f,
            ", {} peers, {relayed} of them by relays only, {silent} without an answer",
            self.peers.len()
        )?;
        for (addr, error) in &self.refusals {
            write!(f, "; {addr}: {error}")?;
        }
        Ok(())
    }
}

/// How a member reaches one other node: part of a [`Reach`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerReach {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    pub(crate) answered: Option<Duration>,
    pub(crate) heard: Option<Duration>,
    pub(crate) relay: Option<String>,
    pub(crate) largest: usize,
}

impl PeerReach {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that it advertises.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How long ago it answered anything that this member has asked it directly; none if it never did. In a cluster of
    /// n nodes each member asks each other one within about n [probe intervals](crate::Config::probe_interval).
    #[must_use]
    pub fn answered(&self) -> Option<Duration> {
        self.answered
    }

    /// How long ago a datagram of its own came; none if none ever did.
    #[must_use]
    pub fn heard(&self) -> Option<Duration> {
        self.heard
    }

    /// The node by way of which it answered last, if it does not answer directly: it is alive, and messages to it
    /// ([`Member::send`](crate::Member::send)) do not arrive. None if it answers directly, or not at all.
    #[must_use]
    pub fn relay(&self) -> Option<&str> {
        self.relay.as_deref()
    }

    /// The length of the longest datagram that has come from it, in bytes without IP and UDP headers. None is longer
    /// than 1,232. If this stays short while states and messages do not come, the path drops what is longer.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.largest
    }
}
