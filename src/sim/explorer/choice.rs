//! What may happen next.

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Choice {
    /// One of the oldest datagrams in flight arrives.
    Deliver(usize),
    /// The oldest one is lost.
    Lose,
    /// The oldest one arrives now, and once more later.
    Double,
    /// The next timer fires.
    Fire,
    /// The next act of the scenario is done.
    Act,
}
