//! The hashes that the format specifies (SipHash-2-4).

use std::net::SocketAddr;

use super::body::Record;
use super::{ClusterTag, NameHash};

/// SipHash-2-4 (Aumasson and Bernstein, 2012) of `bytes` under a key of two words.
pub(crate) fn siphash(_key: (u64, u64), _bytes: &[u8]) -> u64 {
    todo!()
}

impl ClusterTag {
    /// The tag of a cluster's name.
    pub(crate) fn of(_cluster: &str) -> Self {
        todo!()
    }
}

impl NameHash {
    /// The hash of a node's name in a cluster.
    pub(crate) fn of(_tag: ClusterTag, _name: &str) -> Self {
        todo!()
    }
}

impl Record<'_> {
    /// What this record adds to its sender's fingerprint: a hash of all that it says.
    pub(crate) fn hash(&self, _tag: ClusterTag) -> u64 {
        todo!()
    }
}

/// Canonical form: an IPv4 address that is mapped into IPv6 is that IPv4 address.
pub(crate) fn canonical(_addr: SocketAddr) -> SocketAddr {
    todo!()
}
