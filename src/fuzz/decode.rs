//! One datagram: the decoder refuses it, or reads it to the last bit.

use crate::wire::announcement::Announcement;
use crate::wire::checksum::{self, CHECKSUM_SIZE};
use crate::wire::reproduce::refuses_or_reproduces;
use crate::wire::{Body, Packet};

/// Decodes a datagram and reads every list in it; decodes it as an announcement, too. That is done with the datagram as
/// it is, and with its checksum put right, without which hardly any would get further. Returns whether it was taken as a
/// datagram, with the right checksum.
///
/// # Panics
///
/// If a list has more entries than there are bytes, or what was read is written again as other bytes.
pub fn decode(datagram: &[u8]) -> bool {
    decode_as_it_is(datagram);
    decode_as_it_is(&with_right_checksum(datagram))
}

/// A datagram with the checksum that belongs to all before its last four bytes.
pub(super) fn with_right_checksum(datagram: &[u8]) -> Vec<u8> {
    let mut right = datagram[..datagram.len().saturating_sub(CHECKSUM_SIZE)].to_vec();
    checksum::append(&mut right);
    right
}

fn decode_as_it_is(datagram: &[u8]) -> bool {
    if let Ok(announcement) = Announcement::decode(datagram) {
        assert_eq!(announcement.encode(), datagram);
    }
    if let Ok(packet) = Packet::decode(datagram) {
        let entries: usize = packet.bodies().map(|body| entries(&body)).sum();
        assert!(entries <= datagram.len(), "{entries} entries in {} bytes", datagram.len());
    }
    refuses_or_reproduces(datagram)
}

/// How many entries the list of a body has. All of them are read, which the decoder leaves to the receiver.
fn entries(body: &Body<'_>) -> usize {
    match body {
        Body::BucketDigest(sums) => sums.sums.iter().count(),
        Body::Digests(digests) => digests.groups.iter().map(|group| group.entries.iter().count()).sum(),
        Body::Offer(offer) => offer.wants.iter().count(),
        Body::Fetch(fetch) => fetch.lacks.iter().count(),
        Body::Delta(delta) | Body::PulledDelta(delta) => delta.writes.iter().count(),
        Body::Standing(standing) => standing.steps.versions(standing.from).count(),
        Body::Cuts(cuts) => cuts.steps.versions(cuts.from).count(),
        _ => 0,
    }
}
