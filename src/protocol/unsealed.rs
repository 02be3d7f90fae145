//! What the protocol does without the feature `encryption`, in place of `seal`: it sends and takes plain datagrams, and
//! tells who sends sealed ones that they can not be opened.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::contract::{Bound, Transmit};
use super::time::Instant;
use super::{Context, Protocol};
use crate::wire::{Header, SealedHead};

impl Protocol {
    pub(super) fn sealed(&self, transmit: Transmit) -> Option<Transmit> {
        Some(transmit)
    }

    pub(super) fn accepts_plain(&self) -> bool {
        true
    }

    pub(super) fn handle_sealed(
        &mut self,
        now: Instant,
        from: SocketAddr,
        head: &SealedHead,
        _datagram: &[u8],
    ) {
        self.handle_unopened(now, from, head);
    }

    pub(super) fn note_proof(&self, _context: &Context) {}

    pub(super) fn note_sender(&self, _header: &Header, _counter: Option<u64>) {}

    pub(crate) fn in_plain<'a>(&self, datagram: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(datagram)
    }

    pub(super) fn sealing_bounds(&self) -> [Bound; 2] {
        [Bound { what: "windows against replays", count: 0, max: 0 }; 2]
    }
}
