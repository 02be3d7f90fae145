//! Hints: why a sender is not answered, sent to nodes that may be joining with the name of another cluster or with the
//! wrong key.
//!
//! | what came | from | the hint says |
//! |---|---|---|
//! | a hello with another cluster's tag, or anything sealed with one | anybody | another cluster |
//! | a datagram that we can not open | an unknown sender | another key |
//! | a hello that is not sealed, where all has to be | an unknown sender | another key |
//!
//! A hint can not be sealed, so it cannot be trusted. Nor can we trust a datagram that we can not open, even if it goes
//! to our run and comes from the address of a seed: sources can be forged. Both are kept as a possible reason, and the
//! hellos go on. A challenge clears the reason, because its sender has read our hello and we have read the challenge. A
//! join that has said hello six times without a challenge, which takes a second on a local network, gives the seed up
//! for the reason that stands. After a challenge it waits for its deadline; then a reason that stands is returned
//! instead of "no answer". An attempt that no join waits for is never given up because of a hint. Forged hints
//! therefore cannot block a join that a real peer answers.
//!
//! A hint repeats the number of the last hello or, where that can not be read, the counter of its seal. A sender that
//! has not seen our hello can not forge it.

use std::net::SocketAddr;

use super::Admission;
use crate::error::Error;
use crate::protocol::core::Core;
use crate::protocol::time::Instant;
use crate::wire::body::RejectHintReason;
use crate::wire::{Body, Frame, Header, Packet, SealedHead, Seq};

/// Maximum number of hints a second, to all addresses together.
const HINTS_PER_SECOND: u32 = 10;

impl From<RejectHintReason> for Error {
    fn from(reason: RejectHintReason) -> Self {
        match reason {
            RejectHintReason::WrongCluster => Self::WrongCluster,
            RejectHintReason::WrongKey => Self::WrongKey,
        }
    }
}

impl Admission {
    /// A datagram with another cluster's tag.
    pub(in crate::protocol) fn handle_foreign(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        frame: &Frame<'_>,
    ) {
        core.metrics.foreign_cluster += 1;
        match frame {
            Frame::Sealed(head) => {
                self.hint(core, now, from, &head.header, Seq(head.counter), RejectHintReason::WrongCluster);
            }
            Frame::Plain(packet) => match packet.bodies().next() {
                Some(Body::Hello(hello)) => {
                    self.hint(core, now, from, packet.header(), hello.seq, RejectHintReason::WrongCluster);
                }
                Some(Body::RejectHint { seq, reason }) => self.handle_hint(core, from, seq, reason),
                _ => {}
            },
        }
    }

    /// A datagram that is not sealed, where all has to be.
    pub(in crate::protocol) fn refuse_plain(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        packet: &Packet<'_>,
    ) {
        let header = packet.header();
        match packet.bodies().next() {
            Some(Body::RejectHint { seq, reason }) => self.handle_hint(core, from, seq, reason),
            first => {
                core.metrics.plain_refused += 1;
                if let Some(Body::Hello(hello)) = first
                    && !core.members.is_known(header.sender, header.generation, from)
                {
                    self.hint(core, now, from, header, hello.seq, RejectHintReason::WrongKey);
                }
            }
        }
    }

    /// A datagram of our cluster that we can not open.
    pub(in crate::protocol) fn handle_unopened(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        head: &SealedHead,
    ) {
        core.metrics.unopened += 1;
        let header = &head.header;
        core.note(log::Level::Debug, || {
            format!("a datagram from {from}, sealed with the key {:08x}, can not be opened", head.key)
        });
        if header.receiver == core.generation {
            // It may be the answer of a member that we ask to let us in, sealed with a key that we do not have.
            self.attempts.refuse_all(from, RejectHintReason::WrongKey);
        }
        if !core.members.is_known(header.sender, header.generation, from) {
            self.hint(core, now, from, header, Seq(head.counter), RejectHintReason::WrongKey);
        }
    }

    /// A member says why it does not answer.
    pub(in crate::protocol) fn handle_hint(
        &mut self,
        core: &mut Core,
        from: SocketAddr,
        seq: Seq,
        reason: RejectHintReason,
    ) {
        if self.attempts.refuse(from, seq, reason) {
            core.note(log::Level::Debug, || format!("{from} may not let us in: {}", Error::from(reason)));
            self.rejoin.refused(from, reason.into());
        } else {
            core.metrics.unexpected_answers += 1;
        }
    }

    /// Sends a hint to the sender of a datagram: why it is not answered.
    fn hint(
        &mut self,
        core: &mut Core,
        now: Instant,
        to: SocketAddr,
        came: &Header,
        seq: Seq,
        reason: RejectHintReason,
    ) {
        let second = now.as_micros() / 1_000_000;
        if self.hints.0 != second {
            self.hints = (second, 0);
        }
        self.hints.1 += 1;
        let mut datagram = core.plain_datagram_to(came.generation);
        if self.hints.1 <= HINTS_PER_SECOND && datagram.push(&Body::RejectHint { seq, reason }) {
            core.transmit_unchecked(to, datagram);
        }
    }
}
