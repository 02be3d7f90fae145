//! What a seal adds to a datagram: which key it was made with, and a number that is used once.
//!
//! ```text
//!  header          36   authenticated                      form 1
//!  key, counter    12   authenticated                      together: the head
//!  receiver             authenticated, and not sent        the name hash of the node that is meant
//!  bodies           …   authenticated and encrypted
//!  tag             16   of all of it
//! ```
//!
//! Here are only the places of these; [`crate::keyring`] fills them. Who has no key reads the head all the same, to
//! say so.

#[cfg(feature = "encryption")]
use super::NameHash;
use super::cursor::Reader;
#[cfg(feature = "encryption")]
use super::cursor::{Sink, overwrite_u32, overwrite_u64};
#[cfg(feature = "encryption")]
use super::header::HEADER_SIZE;
use super::header::Header;
use super::malformed::Malformed;
#[cfg(feature = "encryption")]
use super::version::{Form, Head};

/// The number of a key and the counter.
const NUMBERS_SIZE: usize = 12;
/// Header, key and counter.
#[cfg(feature = "encryption")]
pub(crate) const HEAD_SIZE: usize = HEADER_SIZE + NUMBERS_SIZE;
/// The authentication tag.
pub(crate) const TAG_SIZE: usize = 16;
/// What a sealed datagram has besides header and bodies. Left free in any case by bodies that fill a datagram, so that
/// their limits do not change with it; the checksum of a plain one finds room in it.
pub(crate) const SEAL_SIZE: usize = NUMBERS_SIZE + TAG_SIZE;

/// All that can be read of a sealed datagram without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedHead {
    pub(crate) header: Header,
    /// The number of the key.
    pub(crate) key: u32,
    /// Not 0, and never twice for one run of the sender.
    pub(crate) counter: u64,
}

impl SealedHead {
    /// Reads what follows the header.
    pub(super) fn decode(header: Header, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (key, counter) = (reader.u32()?, reader.u64()?);
        if counter == 0 || reader.take_rest().len() < TAG_SIZE {
            return Err(Malformed);
        }
        Ok(Self { header, key, counter })
    }
}

/// A sealed datagram in the parts that opening it takes.
#[cfg(feature = "encryption")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// Header, key and counter: authenticated as they stand.
    pub(crate) head: &'a [u8],
    /// Encrypted.
    pub(crate) bodies: &'a [u8],
    pub(crate) tag: [u8; TAG_SIZE],
}

#[cfg(feature = "encryption")]
impl<'a> Parts<'a> {
    /// `None` of a datagram that is too short to be sealed.
    pub(crate) fn of(datagram: &'a [u8]) -> Option<Self> {
        let (head, rest) = datagram.split_at_checked(HEAD_SIZE)?;
        let (bodies, tag) = rest.split_last_chunk()?;
        Some(Self { head, bodies, tag: *tag })
    }
}

/// A datagram that was [written to be sealed](super::Writer::to_be_sealed), with its key and its counter. The tag comes
/// behind it.
#[cfg(feature = "encryption")]
#[derive(Debug)]
pub(crate) struct Unsealed<'a> {
    pub(crate) header: Header,
    /// Whom it is for; zero: whoever receives it. To be authenticated with the head.
    pub(crate) receiver: NameHash,
    /// Header, key and counter, to be authenticated.
    pub(crate) head: &'a [u8],
    /// To be encrypted.
    pub(crate) bodies: &'a mut [u8],
}

/// Whether a datagram that was [written to be sealed](super::Writer::to_be_sealed) still has to be.
#[cfg(feature = "encryption")]
pub(crate) fn is_to_be_sealed(datagram: &[u8]) -> bool {
    header_of(&mut Reader::new(datagram)).is_some()
}

/// The header of a datagram that is sealed or to be sealed.
#[cfg(feature = "encryption")]
fn header_of(reader: &mut Reader<'_>) -> Option<Header> {
    let head = Head::decode(reader).ok().filter(|head| head.form == Form::Sealed)?;
    Header::decode(head, reader).ok()
}

/// Leaves room for key and counter behind a header. Until they are known, the receiver stands where the counter will.
#[cfg(feature = "encryption")]
pub(super) fn leave_room(datagram: &mut Vec<u8>, receiver: NameHash) {
    datagram.put_u32(0);
    datagram.put_u64(receiver.0);
}

/// Writes key and counter into a datagram that was [written to be sealed](super::Writer::to_be_sealed). `None` of any
/// other datagram.
#[cfg(feature = "encryption")]
pub(crate) fn fill_head(datagram: &mut [u8], key: u32, counter: u64) -> Option<Unsealed<'_>> {
    let mut reader = Reader::new(datagram);
    let header = header_of(&mut reader)?;
    let (_, receiver) = (reader.u32().ok()?, reader.u64().map(NameHash).ok()?);
    let (head, bodies) = datagram.split_at_mut_checked(HEAD_SIZE)?;
    overwrite_u32(head, HEADER_SIZE, key);
    overwrite_u64(head, HEADER_SIZE + 4, counter);
    Some(Unsealed { header, receiver, head, bodies })
}
