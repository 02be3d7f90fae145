//! The checksum at the end of what is not sealed: CRC-32C (Castagnoli 1993, with the parameters of iSCSI, RFC 3720,
//! section B.4).
//!
//! UDP has a checksum of 16 bits, which misses one damaged datagram of 65,536, and is computed anew by each device that
//! translates addresses. A wrong value in the view of one member would be told to all others. This one finds all bursts
//! of up to 32 bits, up to five wrong bits anywhere in 655 bytes, three in the longest datagram, and all but one of 2³²
//! of everything else. It is no protection against anybody who means harm: for that there are seals.
//!
//! It is part of the format, and twenty lines: eight tables, one for each byte of a word (Kounavis and Berry, "A
//! systematic approach to building high performance software-based CRC generators", 2005), made by the compiler.

use super::cursor::{Reader, Sink};
use super::malformed::Malformed;

/// The bytes of a checksum.
pub(crate) const CHECKSUM_SIZE: usize = 4;

/// The polynomial, the highest power in the lowest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// What each byte does to the register, by how many bytes of a word come after it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut register = byte;
        let mut bit = 0;
        while bit < 8 {
            register = register >> 1 ^ if register & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte as usize] = register;
        byte += 1;
    }
    let mut after = 1;
    while after < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[after - 1][byte];
            tables[after][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        after += 1;
    }
    tables
}

/// The CRC-32C of some bytes.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut register = u32::MAX;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word) ^ u64::from(register);
        let lookup = |place: usize| TABLES[7 - place][(word >> (8 * place) & 0xff) as usize];
        register = (0..8).fold(0, |register, place| register ^ lookup(place));
    }
    for byte in rest {
        register = register >> 8 ^ TABLES[0][((register ^ u32::from(*byte)) & 0xff) as usize];
    }
    !register
}

/// Puts the checksum of all that is there behind it.
pub(crate) fn append(bytes: &mut Vec<u8>) {
    let checksum = crc32c(bytes);
    bytes.put_u32(checksum);
}

/// All that is in front of the checksum, if that is right.
pub(crate) fn check(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (checked, checksum) =
        bytes.split_at_checked(bytes.len().wrapping_sub(CHECKSUM_SIZE)).ok_or(Malformed)?;
    if Reader::new(checksum).u32()? == crc32c(checked) { Ok(checked) } else { Err(Malformed) }
}
