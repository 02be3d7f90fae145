//! What every datagram begins with: [`Header`], in 36 bytes.

use super::cursor::{Reader, Sink};
use super::malformed::Malformed;
use super::{ClusterTag, NameHash};
use crate::node::Generation;

/// "hc": what does not begin so is not ours.
pub(super) const MAGIC: u16 = 0x6863;
/// The version of the format. Another one is another language.
pub(super) const VERSION: u8 = 1;
/// The bodies stand as they are.
pub(super) const PLAIN: u8 = 0;
/// They are encrypted.
pub(super) const SEALED: u8 = 1;
/// The bytes before the first body, or before what a seal begins with.
pub(crate) const HEADER_SIZE: usize = 36;

/// Says who sends to which run of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) tag: ClusterTag,
    pub(crate) sender: NameHash,
    pub(crate) generation: Generation,
    /// The receiver's run, as far as the sender knows it; zero if it does not.
    pub(crate) receiver: Generation,
}

impl Header {
    pub(super) fn encode(&self, flags: u8, sink: &mut impl Sink) {
        sink.put_u16(MAGIC);
        sink.put_u8(VERSION);
        sink.put_u8(flags);
        sink.put_u64(self.tag.0);
        sink.put_u64(self.sender.0);
        sink.put_u64(self.generation.0);
        sink.put_u64(self.receiver.0);
    }

    /// The header, and its flags.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<(Self, u8), Malformed> {
        if reader.u16()? != MAGIC || reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let flags = reader.u8()?;
        let header = Self {
            tag: ClusterTag(reader.u64()?),
            sender: reader.name_hash()?,
            generation: reader.generation()?,
            receiver: Generation(reader.u64()?),
        };
        Ok((header, flags))
    }
}
