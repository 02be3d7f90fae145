//! What all versions of the format have in common, so that each can tell the others: [`Head`], [`Versions`],
//! [`VersionNotice`], and what a datagram is that can not be read: [`Unreadable`].
//!
//! Nothing in this file may change, whatever else does: see the [module's docs](super), "Versions".

use std::ops::RangeInclusive;

use super::checksum;
use super::cursor::{Reader, Sink};
use super::malformed::Malformed;

/// "hc": what does not begin so is not ours.
const MAGIC: u16 = 0x6863;
/// The version of the format that is spoken here.
pub(super) const VERSION: u8 = 2;
/// As far below or above its own version a datagram can say that others are read.
const REACH_MAX: u8 = 7;
/// The length of a notice.
const NOTICE_SIZE: usize = 12;

/// The form of a datagram: how it is protected, and with it how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The bodies stand as they are, and a checksum is behind them.
    Plain,
    /// They are encrypted, and a tag is behind them.
    Sealed,
    /// There are none: a [`VersionNotice`].
    Notice,
}

/// The versions that somebody reads, both ends included. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    oldest: u8,
    newest: u8,
}

impl Versions {
    /// Those that are read here.
    pub(crate) const OURS: Self = Self { oldest: VERSION, newest: VERSION };

    /// None of a range without versions, or with version 0.
    pub(crate) fn new(oldest: u8, newest: u8) -> Option<Self> {
        (0 < oldest && oldest <= newest).then_some(Self { oldest, newest })
    }

    pub(crate) fn oldest(self) -> u8 {
        self.oldest
    }

    pub(crate) fn newest(self) -> u8 {
        self.newest
    }

    /// From the oldest to the newest.
    pub(crate) fn range(self) -> RangeInclusive<u8> {
        self.oldest..=self.newest
    }

    /// Whether what is written here is read there.
    pub(crate) fn read_ours(self) -> bool {
        self.range().contains(&VERSION)
    }
}

/// What a datagram of any version begins with, in four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: u8,
    pub(super) form: Form,
    /// The versions that its sender reads; this one is among them.
    pub(super) reads: Versions,
}

impl Head {
    pub(super) fn encode(self, sink: &mut impl Sink) {
        let form = match self.form {
            Form::Plain => 0,
            Form::Sealed => 1,
            Form::Notice => 2,
        };
        let older = self.version.saturating_sub(self.reads.oldest).min(REACH_MAX);
        let newer = self.reads.newest.saturating_sub(self.version).min(REACH_MAX);
        sink.put_u16(MAGIC);
        sink.put_u8(self.version);
        sink.put_u8(form | older << 2 | newer << 5);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        if reader.u16()? != MAGIC {
            return Err(Malformed);
        }
        let (version, flags) = (reader.u8()?, reader.u8()?);
        let form = match flags & 0b11 {
            0 => Form::Plain,
            1 => Form::Sealed,
            2 => Form::Notice,
            _ => return Err(Malformed),
        };
        let oldest = version.checked_sub(flags >> 2 & REACH_MAX).ok_or(Malformed)?;
        let newest = version.checked_add(flags >> 5).ok_or(Malformed)?;
        Ok(Self { version, form, reads: Versions::new(oldest, newest).ok_or(Malformed)? })
    }
}

/// "I can not read what you sent, and this is what I read." The only datagram that is the same in all versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VersionNotice {
    pub(crate) reads: Versions,
    /// The last four bytes of the datagram that it answers.
    pub(crate) answers: u32,
}

impl VersionNotice {
    /// That a member of this version can not read a datagram; none if it would be longer than that.
    pub(crate) fn answer_to(datagram: &[u8]) -> Option<Self> {
        let answers = ending(datagram).filter(|_| datagram.len() >= NOTICE_SIZE)?;
        Some(Self { reads: Versions::OURS, answers })
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut datagram = Vec::new();
        Head { version: self.reads.newest, form: Form::Notice, reads: self.reads }.encode(&mut datagram);
        datagram.put_u32(self.answers);
        checksum::append(&mut datagram);
        datagram
    }
}

/// The last four bytes of a datagram: its checksum, or the end of its tag.
pub(crate) fn ending(datagram: &[u8]) -> Option<u32> {
    datagram.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Why nothing of a datagram can be used. [`OtherVersion`](Self::OtherVersion) and [`Notice`](Self::Notice) have a
/// checksum, and it is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Malformed,
    /// It is of another version; its sender reads these.
    OtherVersion(Versions),
    /// It may be a sealed datagram of another version. It has no checksum, so even that is not certain.
    OtherSeal,
    /// Somebody can not read a datagram that may be ours.
    Notice(VersionNotice),
}

impl From<Malformed> for Unreadable {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// What can be read of a datagram of any version: what stands in front of its checksum, of a plain one of this version,
/// and nothing of a sealed one, which is of this version. The reader is behind the head.
pub(super) fn decode(datagram: &[u8]) -> Result<(Head, Reader<'_>), Unreadable> {
    let mut whole = Reader::new(datagram);
    let head = Head::decode(&mut whole)?;
    if head.form == Form::Sealed {
        // The tag of another version can not be checked: nothing of it is believed, not even its version.
        return if head.version == VERSION { Ok((head, whole)) } else { Err(Unreadable::OtherSeal) };
    }
    let mut checked = Reader::new(checksum::check(datagram)?);
    Head::decode(&mut checked)?;
    if head.form == Form::Notice {
        let answers = checked.u32()?;
        checked.finish()?;
        return Err(Unreadable::Notice(VersionNotice { reads: head.reads, answers }));
    }
    if head.version != VERSION {
        return Err(Unreadable::OtherVersion(head.reads));
    }
    Ok((head, checked))
}
