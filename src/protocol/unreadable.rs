//! Datagrams that cannot be used: damaged, of another version, not sealed where they have to be, or sealed with another
//! key; and the answers to ours. What follows from them stands in [`admission`](super::admission).

use std::net::SocketAddr;

use super::{Instant, Protocol};
use crate::wire::body::RejectHintReason;
use crate::wire::malformed::Malformed;
use crate::wire::version::Unreadable;
use crate::wire::{Body, Packet, SealedHead, Seq};

use super::sealing::Refused;

impl Protocol {
    /// A datagram of which nothing can be read.
    pub(super) fn handle_unreadable(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        why: Unreadable,
    ) {
        let core = &mut self.core;
        match why {
            Unreadable::Malformed => self.count_malformed(from, datagram),
            Unreadable::OtherSeal => {
                self.count_malformed(from, datagram);
                self.admission.send_notice(&mut self.core, now, from, datagram);
            }
            Unreadable::OtherVersion(reads) => {
                core.metrics.other_version += 1;
                self.admission.handle_other_version(core, now, from, datagram, reads);
            }
            Unreadable::Notice(notice) => {
                core.metrics.other_version += 1;
                self.admission.handle_notice(core, from, notice);
            }
        }
    }

    fn count_malformed(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.core.metrics.malformed += 1;
        self.core.note(log::Level::Debug, || {
            format!("malformed datagram of {} bytes from {from}", datagram.len())
        });
    }

    /// A sealed datagram of our cluster.
    pub(super) fn handle_sealed(
        &mut self,
        now: Instant,
        from: SocketAddr,
        head: &SealedHead,
        datagram: &[u8],
    ) {
        match self.sealing.open(&self.core, head, datagram) {
            Ok(bodies) => {
                match Packet::new(head.header, &bodies) {
                    Ok(packet) => {
                        self.handle_packet(now, from, &packet, Some(head.counter), datagram);
                    }
                    Err(Malformed) => self.count_malformed(from, datagram),
                }
                self.sealing.recycle(bodies);
            }
            Err(Refused::Replayed) => {
                self.core.metrics.replayed += 1;
                self.core.note(log::Level::Debug, || format!("a datagram from {from} has come before"));
            }
            Err(Refused::Closed) => {
                let holds_key = self.sealing.holds_key(head.key);
                self.admission.handle_unopened(&mut self.core, now, from, head, holds_key);
            }
        }
    }

    /// A datagram that is not sealed, where all has to be.
    pub(super) fn refuse_plain(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>) {
        match packet.bodies().next() {
            Some(Body::RejectHint { seq, reason }) => self.handle_hint(from, seq, reason),
            _ => self.admission.refuse_plain(&mut self.core, now, from, packet),
        }
    }

    /// A member says why it does not answer what we have sent.
    pub(super) fn handle_hint(&mut self, from: SocketAddr, seq: Seq, reason: RejectHintReason) {
        let core = &mut self.core;
        if self.admission.handle_hint(core, from, seq, reason) {
            return;
        }
        let is_of_member = core.members.at(from).any(|(_, entry)| entry.is_active());
        let key = self.sealing.key_of(seq.0).filter(|_| reason == RejectHintReason::WrongKey && is_of_member);
        match key {
            Some(key) => self.admission.key_is_missing_at(core, from, key),
            None => core.metrics.unexpected_answers += 1,
        }
    }
}
