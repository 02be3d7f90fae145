//! Hints: why somebody is not answered, told to who may be joining with the wrong cluster's name or the wrong key.
//!
//! | what came | from | it is told |
//! |---|---|---|
//! | a hello with another cluster's tag, or anything sealed with one | anybody | another cluster |
//! | a datagram that we can not open | who is not known | another key |
//! | a hello that is not sealed, where all has to be | who is not known | another key |
//!
//! A hint can not be sealed, so nobody can trust it: all it does is to end an attempt that would have waited for its
//! deadline in vain, with an error that says more. It repeats the number of what came: that of the hello or, where that
//! can not be read, the counter of the seal. Who has not seen our datagrams can not make one up.

use std::net::SocketAddr;

use super::Protocol;
use super::time::Instant;
use crate::error::Error;
use crate::wire::body::HintReason;
use crate::wire::{Body, Frame, Header, Packet, SealedHead, Seq};

/// Hints a second, to all together.
const HINTS_PER_SECOND: u32 = 10;

impl Protocol {
    /// A datagram with another cluster's tag.
    pub(super) fn handle_foreign(&mut self, now: Instant, from: SocketAddr, frame: &Frame<'_>) {
        self.metrics.foreign_cluster += 1;
        match frame {
            Frame::Sealed(head) => {
                self.hint(now, from, &head.header, Seq(head.counter), HintReason::WrongCluster);
            }
            Frame::Plain(packet) => match packet.bodies().next() {
                Some(Body::Hello(hello)) => {
                    self.hint(now, from, packet.header(), hello.seq, HintReason::WrongCluster);
                }
                Some(Body::Hint { seq, reason }) => self.handle_hint(now, from, seq, reason),
                _ => {}
            },
        }
    }

    /// A datagram that is not sealed, where all has to be.
    pub(super) fn refuse_plain(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>) {
        let header = packet.header();
        match packet.bodies().next() {
            Some(Body::Hint { seq, reason }) => self.handle_hint(now, from, seq, reason),
            first => {
                self.metrics.plain_refused += 1;
                if let Some(Body::Hello(hello)) = first
                    && !self.members.is_known(header.sender, header.generation, from)
                {
                    self.hint(now, from, header, hello.seq, HintReason::WrongKey);
                }
            }
        }
    }

    /// A datagram of our cluster that we can not open.
    pub(super) fn handle_unopened(&mut self, now: Instant, from: SocketAddr, head: &SealedHead) {
        self.metrics.unopened += 1;
        let header = &head.header;
        self.note(log::Level::Debug, || {
            format!("a datagram from {from}, sealed with the key {:08x}, can not be opened", head.key)
        });
        if header.receiver == self.generation {
            // Whom we ask to let us in does answer, but seals it.
            self.seed_refuses(now, from, Error::WrongKey);
        }
        if !self.members.is_known(header.sender, header.generation, from) {
            self.hint(now, from, header, Seq(head.counter), HintReason::WrongKey);
        }
    }

    /// Somebody says why it does not answer.
    pub(super) fn handle_hint(&mut self, now: Instant, from: SocketAddr, seq: Seq, reason: HintReason) {
        if !self.has_sealed(seq.0) && self.approaches.answered(seq, from).is_none() {
            self.metrics.unexpected_answers += 1;
            return;
        }
        let error = match reason {
            HintReason::WrongCluster => Error::WrongCluster,
            HintReason::WrongKey => Error::WrongKey,
        };
        self.seed_refuses(now, from, error);
    }

    /// Who is at an address is never going to let us in, by all that can be known.
    fn seed_refuses(&mut self, now: Instant, addr: SocketAddr, error: Error) {
        while let Some(approach) = self.approaches.end_one_to(addr) {
            match approach.call {
                Some(call) => self.seed_failed(now, call, addr, super::copy_error(&error)),
                None => self.note(log::Level::Warn, || format!("{addr} does not let us in: {error}")),
            }
        }
    }

    /// Tells the sender of a datagram why it is not answered.
    fn hint(&mut self, now: Instant, to: SocketAddr, came: &Header, seq: Seq, reason: HintReason) {
        let second = now.as_micros() / 1_000_000;
        if self.hints.0 != second {
            self.hints = (second, 0);
        }
        self.hints.1 += 1;
        let mut datagram = self.plain_datagram_to(came.generation);
        if self.hints.1 <= HINTS_PER_SECOND && datagram.push(&Body::Hint { seq, reason }) {
            self.answer(to, datagram);
        }
    }
}
