//! The check behind "what the decoder takes, the encoder writes again": for tests and fuzzing.

use super::checksum;
use super::cursor::{Reader, Sink};
use super::header::HEADER_SIZE;
use super::malformed::Malformed;
use super::{Body, Packet, Writer};

/// Either the decoder refuses a datagram, or what it reads is written as the very same bytes, but for the bodies of
/// unknown types. Whether it was taken.
///
/// # Panics
///
/// If other bytes are written.
pub(crate) fn refuses_or_reproduces(datagram: &[u8]) -> bool {
    let Ok(packet) = Packet::decode(datagram) else { return false };
    let mut writer = Writer::new(Vec::new(), packet.header(), datagram.len());
    for body in packet.bodies() {
        assert!(writer.push(&body), "it takes more room than it did: {body:?}");
    }
    assert_eq!(Ok(writer.finish()), without_unknown(datagram, packet.contents()));
    true
}

/// A datagram without the bodies of unknown types, cut out as bytes.
fn without_unknown(datagram: &[u8], bodies: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut known = datagram[..HEADER_SIZE].to_vec();
    let mut reader = Reader::new(bodies);
    while !reader.is_empty() {
        let kind = reader.u8()?;
        let contents = reader.prefixed()?;
        if Body::decode(kind, contents)?.is_some() {
            known.put_u8(kind);
            known.put_varint(contents.len() as u64);
            known.put(contents);
        }
    }
    checksum::append(&mut known);
    Ok(known)
}
