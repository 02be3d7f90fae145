//! An interloper on the path between two hosts.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;

use super::chance::{draw, happens, millionths};

/// An interloper on the path: it sees datagrams pass, keeps some of them, and sends them on later or once more. See
/// [`Cluster::intercept`](crate::sim::Cluster::intercept).
///
/// ```
/// use std::time::Duration;
/// use headcount::sim::Interloper;
///
/// // Replays one in ten an hour later, from another address.
/// let hour = Duration::from_secs(3_600);
/// let mallory = Interloper::new().copies(0.1).after(hour..2 * hour).from(([10, 66, 0, 1], 7990));
/// // Holds one in a hundred back for up to a minute.
/// let trudy = Interloper::new().holds(0.01).after(Duration::ZERO..Duration::from_secs(60));
/// assert_ne!(mallory, trudy);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interloper {
    copies: u32,
    holds: u32,
    after: Range<Duration>,
    from: Option<SocketAddr>,
}

impl Interloper {
    /// An interloper that does nothing yet. Unless set otherwise, it acts within 10 ms, and from the source of each
    /// datagram.
    #[must_use]
    pub fn new() -> Self {
        Self { copies: 0, holds: 0, after: Duration::ZERO..Duration::from_millis(10), from: None }
    }

    /// The share of datagrams, 0 to 1, that it sends once more; also of those that the link loses.
    #[must_use]
    pub fn copies(self, share: f64) -> Self {
        Self { copies: millionths(share), ..self }
    }

    /// The share of datagrams, 0 to 1, that it holds back, and sends on later.
    #[must_use]
    pub fn holds(self, share: f64) -> Self {
        Self { holds: millionths(share), ..self }
    }

    /// How much later copies, and datagrams that were held back, go on: evenly drawn from this range. The latency of
    /// the link comes on top.
    #[must_use]
    pub fn after(self, later: Range<Duration>) -> Self {
        Self { after: later, ..self }
    }

    /// Makes everything that it sends, copies and datagrams that were held back, come from this address.
    #[must_use]
    pub fn from(self, addr: impl Into<SocketAddr>) -> Self {
        Self { from: Some(addr.into()), ..self }
    }

    /// The source of what it sends.
    pub(in crate::sim) fn source(&self, from: SocketAddr) -> SocketAddr {
        self.from.unwrap_or(from)
    }

    /// How long a datagram is held back, if it is.
    pub(in crate::sim) fn hold(&self, rng: &mut ChaCha12Rng) -> Option<Duration> {
        happens(rng, self.holds).then(|| draw(rng, &self.after))
    }

    /// How much later a datagram comes once more, if it does.
    pub(in crate::sim) fn copy(&self, rng: &mut ChaCha12Rng) -> Option<Duration> {
        happens(rng, self.copies).then(|| draw(rng, &self.after))
    }
}

impl Default for Interloper {
    fn default() -> Self {
        Self::new()
    }
}
