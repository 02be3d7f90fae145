//! What may happen next.

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Choice {
    /// One of the oldest datagrams arrives.
    Deliver(usize),
    /// The oldest one is lost.
    Lose,
    /// The oldest one arrives, and will once more.
    Double,
    /// The next timer fires.
    Fire,
    /// The next act of the scenario is done.
    Act,
}
