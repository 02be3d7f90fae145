//! What every datagram of this version begins with: [`Header`], in 36 bytes.

use super::cursor::{Reader, Sink};
use super::malformed::Malformed;
use super::version::{Form, Head, VERSION, Versions};
use super::{ClusterTag, NameHash};
use crate::node::Generation;

/// The bytes before the first body, or before what a seal begins with.
pub(crate) const HEADER_SIZE: usize = 36;

/// Says who sends to which run of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The versions that the sender reads.
    pub(crate) reads: Versions,
    pub(crate) tag: ClusterTag,
    pub(crate) sender: NameHash,
    pub(crate) generation: Generation,
    /// The receiver's run, as far as the sender knows it; zero if it does not.
    pub(crate) receiver: Generation,
}

impl Header {
    pub(super) fn encode(&self, form: Form, sink: &mut impl Sink) {
        Head { version: VERSION, form, reads: self.reads }.encode(sink);
        sink.put_u64(self.tag.0);
        sink.put_u64(self.sender.0);
        sink.put_u64(self.generation.0);
        sink.put_u64(self.receiver.0);
    }

    /// What follows the head.
    pub(super) fn decode(head: Head, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            reads: head.reads,
            tag: ClusterTag(reader.u64()?),
            sender: reader.name_hash()?,
            generation: reader.generation()?,
            receiver: Generation(reader.u64()?),
        })
    }
}
