//! The only file that touches bytes: a bounded [`Reader`], and a [`Sink`] for what is written.
//!
//! Here are the primitives of the format: fixed-width integers, varints, texts and socket addresses. Whatever a
//! peer sends, reading ends in a value or in [`Malformed`]: every length is compared with what is there before
//! anything is taken, and a value that has two spellings on paper has one here, so that equal values are equal
//! bytes. Writing to an [`Appender`] is all or nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use byteorder::{BigEndian, ByteOrder};

use super::address::{canonical, is_one_host};
use super::malformed::Malformed;
use super::text::unfit_letter;

/// The longest varint: ten times seven bits hold 64.
const VARINT_MAX: usize = 10;

const FAMILY_IPV4: u8 = 4;
const FAMILY_IPV6: u8 = 6;

/// Reads from the front of a byte string. A failed read may have consumed something: the caller gives up then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Ok if all was read: bytes that nobody asked for are an error.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Whatever is left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.take(2).map(BigEndian::read_u16)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.take(4).map(BigEndian::read_u32)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.take(8).map(BigEndian::read_u64)
    }

    /// One byte, 0 or 1.
    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// A number in LEB128, in its shortest form.
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for index in 0..VARINT_MAX {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * index);
            let overflows = shifted >> (7 * index) != bits;
            let overlong = byte == 0 && index > 0;
            if overflows || overlong {
                return Err(Malformed);
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A varint that fits in 32 bits.
    pub(crate) fn varint_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed)
    }

    /// As many bytes as the varint in front of them says.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        self.take(length)
    }

    /// A text: UTF-8 of 1 to 255 bytes, all letters of which are [fit](super::text).
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u8()?;
        let text = std::str::from_utf8(self.take(length.into())?).map_err(|_| Malformed)?;
        if text.is_empty() || unfit_letter(text).is_some() { Err(Malformed) } else { Ok(text) }
    }

    /// The address of one socket of one host, in canonical form.
    pub(crate) fn addr(&mut self) -> Result<SocketAddr, Malformed> {
        let ip = match self.u8()? {
            FAMILY_IPV4 => IpAddr::from(Ipv4Addr::from_bits(self.u32()?)),
            FAMILY_IPV6 => {
                let bits = self.take(16).map(BigEndian::read_u128)?;
                IpAddr::from(Ipv6Addr::from_bits(bits))
            }
            _ => return Err(Malformed),
        };
        let addr = SocketAddr::new(ip, self.u16()?);
        if addr.port() == 0 || !is_one_host(ip) || canonical(addr) != addr {
            return Err(Malformed);
        }
        Ok(addr)
    }
}

/// Takes what is written, field after field: the way into a datagram, a list, or a hash.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn put_u16(&mut self, value: u16) {
        let mut bytes = [0; 2];
        BigEndian::write_u16(&mut bytes, value);
        self.put(&bytes);
    }

    fn put_u32(&mut self, value: u32) {
        let mut bytes = [0; 4];
        BigEndian::write_u32(&mut bytes, value);
        self.put(&bytes);
    }

    fn put_u64(&mut self, value: u64) {
        let mut bytes = [0; 8];
        BigEndian::write_u64(&mut bytes, value);
        self.put(&bytes);
    }

    fn put_varint(&mut self, value: u64) {
        let mut bytes = [0; VARINT_MAX];
        let mut length = 0;
        let mut rest = value;
        while rest > 0x7f {
            bytes[length] = (rest & 0x7f) as u8 | 0x80;
            rest >>= 7;
            length += 1;
        }
        bytes[length] = (rest & 0x7f) as u8;
        self.put(&bytes[..=length]);
    }

    /// Callers keep to 255 bytes; what is beyond is cut off, so that the length never lies.
    fn put_text(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        self.put_u8(length);
        self.put(&text.as_bytes()[..length.into()]);
    }

    fn put_addr(&mut self, addr: SocketAddr) {
        match canonical(addr) {
            SocketAddr::V4(v4) => {
                self.put_u8(FAMILY_IPV4);
                self.put_u32(v4.ip().to_bits());
            }
            SocketAddr::V6(v6) => {
                let mut bytes = [0; 16];
                BigEndian::write_u128(&mut bytes, v6.ip().to_bits());
                self.put_u8(FAMILY_IPV6);
                self.put(&bytes);
            }
        }
        self.put_u16(addr.port());
    }
}

/// Without a limit: for lists, which the datagram limits when they are put into it.
impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends to a buffer that must not grow over a limit: all that is written, or nothing.
#[derive(Debug)]
pub(super) struct Appender<'b> {
    buffer: &'b mut Vec<u8>,
    limit: usize,
    overflowed: bool,
}

impl<'b> Appender<'b> {
    /// Runs `write`; false, with the buffer as it was, if that was too much for the limit.
    pub(super) fn append(buffer: &'b mut Vec<u8>, limit: usize, write: impl FnOnce(&mut Self)) -> bool {
        let start = buffer.len();
        let mut appender = Self { buffer, limit, overflowed: false };
        write(&mut appender);
        let Self { buffer, overflowed, .. } = appender;
        if overflowed {
            buffer.truncate(start);
        }
        !overflowed
    }

    /// Puts the length of what `write` writes in front of it.
    pub(super) fn put_prefixed(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.buffer.len();
        write(self);
        let end = self.buffer.len();
        self.put_varint((end - start) as u64);
        // The length is known only now: it goes to the end first, and from there to the front.
        let length = self.buffer.len() - end;
        self.buffer[start..].rotate_right(length);
    }
}

impl Sink for Appender<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.overflowed |= bytes.len() > self.limit.saturating_sub(self.buffer.len());
        if !self.overflowed {
            self.buffer.extend_from_slice(bytes);
        }
    }
}

/// Writes `value` over the two bytes at `at`.
pub(super) fn overwrite_u16(bytes: &mut [u8], at: usize, value: u16) {
    BigEndian::write_u16(&mut bytes[at..], value);
}

/// Writes `value` over the four bytes at `at`.
#[cfg(feature = "encryption")]
pub(super) fn overwrite_u32(bytes: &mut [u8], at: usize, value: u32) {
    BigEndian::write_u32(&mut bytes[at..], value);
}

/// Writes `value` over the eight bytes at `at`.
#[cfg(feature = "encryption")]
pub(super) fn overwrite_u64(bytes: &mut [u8], at: usize, value: u64) {
    BigEndian::write_u64(&mut bytes[at..], value);
}
