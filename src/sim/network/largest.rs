//! Which datagrams are too large, and what becomes of them.

/// What becomes of a datagram that is too large for a link or a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// It is lost without an error: a path that is narrower than it looks, with a filter that drops the notice (a black
    /// hole).
    Swallowed,
    /// The sender's system refuses to send it: [`Metrics::socket_errors`](crate::Metrics::socket_errors) counts it.
    Refused,
}

/// The largest datagram that passes.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Largest {
    bytes: usize,
    beyond: Oversize,
}

impl Largest {
    pub(in crate::sim) fn new(bytes: usize, beyond: Oversize) -> Self {
        Self { bytes, beyond }
    }

    /// What becomes of a datagram of this length, if it is too large.
    pub(in crate::sim) fn refuses(self, length: usize) -> Option<Oversize> {
        (length > self.bytes).then_some(self.beyond)
    }
}

impl Default for Largest {
    fn default() -> Self {
        Self { bytes: usize::MAX, beyond: Oversize::Swallowed }
    }
}
