//! Bytes and values.

pub(crate) mod body;
mod codec;
mod cursor;
pub(crate) mod hash;
pub(crate) mod lists;
pub(crate) mod packet;
#[cfg(test)]
mod tests;

pub(crate) use body::{Accusers, Body, Record, Verdict, ViewMark};
pub(crate) use packet::{Header, Malformed, Packet, Writer};

/// Which cluster a datagram belongs to: a hash of the cluster's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ClusterTag(pub(crate) u64);

/// A node's name in 64 bits, salted with the cluster tag: how nodes are named everywhere but in records. Never
/// zero, so that zero can mean "none" and "the end".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct NameHash(pub(crate) u64);

impl NameHash {
    /// The sync bucket: the top bits, so that the order of name hashes is also the order of buckets.
    pub(crate) fn bucket(self) -> u8 {
        (self.0 >> 57) as u8
    }

    /// Other bits than the bucket's.
    pub(crate) fn low(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

/// Ties an answer to its request; random, so that nobody who did not see the request can answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Seq(pub(crate) u64);

/// Proves that its holder receives at the address it was made for. Zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Cookie(pub(crate) u64);
