//! What a seal adds to a datagram: which key it was made with, and a number that is used once.
//!
//! ```text
//!  header          36   authenticated                      flags: 1
//!  key, counter    12   authenticated                      together: the head
//!  bodies           …   authenticated and encrypted
//!  tag             16   of all of it
//! ```
//!
//! Here are only the places of these; [`crate::keyring`] fills them. Who has no key reads the head all the same, to
//! say so.

use super::cursor::Reader;
#[cfg(feature = "encryption")]
use super::cursor::{Sink, overwrite_u32, overwrite_u64};
use super::header::Header;
#[cfg(feature = "encryption")]
use super::header::{HEADER_SIZE, SEALED};
use super::malformed::Malformed;

/// The number of a key and the counter.
const NUMBERS_SIZE: usize = 12;
/// The authentication tag.
pub(crate) const TAG_SIZE: usize = 16;
/// What a sealed datagram has more than a plain one of the same bodies. Left free in any case by bodies that fill a
/// datagram, so that their limits do not change with it.
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
        let (head, rest) = datagram.split_at_checked(HEADER_SIZE + NUMBERS_SIZE)?;
        let (bodies, tag) = rest.split_last_chunk()?;
        Some(Self { head, bodies, tag: *tag })
    }
}

/// Whether a datagram that was [written to be sealed](super::Writer::to_be_sealed) still has to be.
#[cfg(feature = "encryption")]
pub(crate) fn is_to_be_sealed(datagram: &[u8]) -> bool {
    matches!(Header::decode(&mut Reader::new(datagram)), Ok((_, SEALED)))
}

/// Leaves room for key and counter behind a header.
#[cfg(feature = "encryption")]
pub(super) fn leave_room(datagram: &mut Vec<u8>) {
    datagram.put(&[0; NUMBERS_SIZE]);
}

/// Writes key and counter into a datagram that was [written to be sealed](super::Writer::to_be_sealed). What it says
/// of its sender, its head, which is to be authenticated, and its bodies, which are to be encrypted; the tag comes
/// behind them. `None` of any other datagram.
#[cfg(feature = "encryption")]
pub(crate) fn fill_head(datagram: &mut [u8], key: u32, counter: u64) -> Option<(Header, &[u8], &mut [u8])> {
    let Ok((header, SEALED)) = Header::decode(&mut Reader::new(datagram)) else {
        return None;
    };
    let (head, bodies) = datagram.split_at_mut_checked(HEADER_SIZE + NUMBERS_SIZE)?;
    overwrite_u32(head, HEADER_SIZE, key);
    overwrite_u64(head, HEADER_SIZE + 4, counter);
    Some((header, head, bodies))
}
