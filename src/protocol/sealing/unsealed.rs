//! What the protocol does without the feature `encryption`, in place of `sealed`: it sends and takes plain datagrams, and
//! cannot open sealed ones.

use std::borrow::Cow;

use crate::node::Generation;
use crate::protocol::api::{Bound, Transmit};
use crate::protocol::core::{Context, Core};
use crate::wire::{SealedHead, Seq};

/// Nothing is sealed.
#[derive(Debug)]
pub(in crate::protocol) struct Sealing;

/// There is none.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) struct SealedHello {
    pub(in crate::protocol) seq: Seq,
    pub(in crate::protocol) counter: u64,
}

/// Why a datagram was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Refused {
    Closed,
    #[expect(dead_code, reason = "nothing is opened, so nothing comes again")]
    Replayed,
}

impl Sealing {
    pub(in crate::protocol) fn new(_core: &mut Core, _seed: [u8; 32]) -> Self {
        Self
    }

    pub(in crate::protocol) fn holds_key(&self, _number: u32) -> bool {
        false
    }

    pub(in crate::protocol) fn key_of(&self, _counter: u64) -> Option<u32> {
        None
    }

    pub(in crate::protocol) fn seal(&self, transmit: Transmit) -> Option<(Transmit, Option<SealedHello>)> {
        Some((transmit, None))
    }

    pub(in crate::protocol) fn accepts_plain(&self) -> bool {
        true
    }

    pub(in crate::protocol) fn open(
        &self,
        _core: &Core,
        _head: &SealedHead,
        _datagram: &[u8],
    ) -> Result<Vec<u8>, Refused> {
        Err(Refused::Closed)
    }

    pub(in crate::protocol) fn recycle(&self, _buffer: Vec<u8>) {}

    pub(in crate::protocol) fn note_sender(&self, _core: &Core, _context: &Context, _receiver: Generation) {}

    pub(in crate::protocol) fn in_plain<'a>(&self, datagram: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(datagram)
    }

    pub(in crate::protocol) fn bounds(&self, _core: &Core) -> [Bound; 2] {
        [Bound { what: "windows against replays", count: 0, max: 0 }; 2]
    }
}
