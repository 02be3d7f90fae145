//! One datagram: header, then bodies.

use super::body::Body;
use super::{ClusterTag, NameHash};
use crate::node::Generation;

/// Says who sends to which run of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) tag: ClusterTag,
    pub(crate) sender: NameHash,
    pub(crate) generation: Generation,
    /// The receiver's run, as far as the sender knows it; zero if it does not.
    pub(crate) receiver: Generation,
}

/// The datagram breaks the format; nothing of it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A datagram that was checked whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    header: Header,
    bodies: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Checks every byte.
    pub(crate) fn decode(_datagram: &'a [u8]) -> Result<Self, Malformed> {
        todo!()
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The bodies in order, without those of an unknown type.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = Body<'a>> + use<'a> {
        let _ = self.bodies;
        std::iter::empty()
    }
}

/// Builds one datagram of at most `limit` bytes.
#[derive(Debug)]
pub(crate) struct Writer {
    datagram: Vec<u8>,
    limit: usize,
}

impl Writer {
    /// Begins a datagram in `buffer`, whose contents are dropped and whose memory is used again.
    pub(crate) fn new(_buffer: Vec<u8>, _header: &Header, _limit: usize) -> Self {
        todo!()
    }

    /// Appends a body; false, and nothing is changed, if it does not fit.
    #[must_use]
    pub(crate) fn push(&mut self, _body: &Body<'_>) -> bool {
        todo!()
    }

    /// Bytes that are still free.
    pub(crate) fn remaining(&self) -> usize {
        self.limit - self.datagram.len()
    }

    /// Whether anything was pushed.
    pub(crate) fn is_empty(&self) -> bool {
        todo!()
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.datagram
    }
}
