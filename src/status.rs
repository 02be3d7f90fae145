//! How a node fares, in four words: [`Status`].

use std::fmt;

/// How a node fares, in this member's view.
///
/// The order is the order of the merge rule: of two pieces of news about one incarnation of a node the
/// greater one wins (SWIM, section 4.2; `Left` is ours).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It answers.
    Alive,
    /// It did not answer somebody, and has not yet refuted that.
    Suspect,
    /// It did not answer for so long that the cluster has given it up.
    Dead,
    /// It said that it goes.
    Left,
}

impl Status {
    /// Whether the node takes part: `Alive` or `Suspect`.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        })
    }
}
