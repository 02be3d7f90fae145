//! The handle of this process's own node.

/// A running member of a cluster.
#[derive(Debug, Clone)]
pub struct Member {}
