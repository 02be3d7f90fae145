//! What members say to a multicast group, to be found by others. It is no datagram of the protocol: its magic is
//! another one, it goes to another port, and who hears it believes no more of it than that a member may be there.

use std::net::SocketAddr;

use super::ClusterTag;
use super::checksum::{self, CHECKSUM_SIZE};
use super::cursor::{Reader, Sink};
use super::malformed::Malformed;

/// "hd": headcount, discovery.
const MAGIC: u16 = 0x6864;
const VERSION: u8 = 2;

/// The longest announcement, in bytes: the one with an IPv6 address.
pub(crate) const ANNOUNCEMENT_SIZE_MAX: usize = 39 + CHECKSUM_SIZE;

/// One member tells a group that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) kind: AnnouncementKind,
    /// Of the speaker's cluster.
    pub(crate) tag: ClusterTag,
    /// Whom the speaker knows: members that know the same nodes say the same number. 0: nobody.
    pub(crate) view: u64,
    /// Where the speaker receives.
    pub(crate) addr: SocketAddr,
}

/// What an announcement asks of those who hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnnouncementKind {
    /// Who else is there?
    Question,
    /// I am.
    Answer,
}

impl Announcement {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ANNOUNCEMENT_SIZE_MAX);
        bytes.put_u16(MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u8(match self.kind {
            AnnouncementKind::Question => 1,
            AnnouncementKind::Answer => 2,
        });
        bytes.put_u64(self.tag.0);
        bytes.put_u64(self.view);
        bytes.put_addr(self.addr);
        checksum::append(&mut bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(checksum::check(bytes)?);
        if reader.u16()? != MAGIC || reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let kind = match reader.u8()? {
            1 => AnnouncementKind::Question,
            2 => AnnouncementKind::Answer,
            _ => return Err(Malformed),
        };
        let (tag, view) = (ClusterTag(reader.u64()?), reader.u64()?);
        let announcement = Self { kind, tag, view, addr: reader.addr()? };
        reader.finish()?;
        Ok(announcement)
    }
}

#[cfg(test)]
mod tests;
