//! Datagrams on their way out, and who may be sent how many.

use std::net::SocketAddr;

use super::time::Instant;
use super::{Context, Protocol, Transmit};
use crate::node::Generation;
use crate::wire::{Body, Header, Writer};

/// Datagrams whose memory is kept for the next ones: at rest there is a ping and an ack under way.
const SPARE_MAX: usize = 2;

impl Protocol {
    /// Takes back the memory of a datagram that was sent, for the next one.
    pub(crate) fn reuse(&mut self, datagram: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(datagram);
        }
    }

    /// A datagram to some run of a node, to be filled and sent.
    pub(super) fn datagram_to(&mut self, receiver: Generation) -> Writer {
        let memory = self.spare.pop().unwrap_or_default();
        self.writer(memory, &self.header_to(receiver))
    }

    /// Likewise, in memory of its own: for long ones, and those that are only tried.
    pub(super) fn long_datagram_to(&self, receiver: Generation) -> Writer {
        self.writer(Vec::new(), &self.header_to(receiver))
    }

    /// A datagram that anybody can read.
    pub(super) fn plain_datagram_to(&self, receiver: Generation) -> Writer {
        Writer::new(Vec::new(), &self.header_to(receiver), self.settings.max_datagram)
    }

    /// A datagram to who has sent one and may be a stranger: not sealed if that was not, because a seal could make it
    /// the longer one.
    pub(super) fn datagram_back(&mut self, context: &Context) -> Writer {
        match context.counter {
            Some(_) => self.datagram_to(context.generation),
            None => self.plain_datagram_to(context.generation),
        }
    }

    /// Queues a datagram, unless its address is not on our lists, or has not shown itself and had its share for this
    /// second.
    pub(super) fn transmit(&mut self, now: Instant, to: SocketAddr, datagram: Writer) {
        if datagram.is_empty() {
            return;
        }
        if !self.settings.allow.takes_address(to.ip()) {
            self.metrics.not_allowed += 1;
        } else if self.addresses.may_send(now, to) {
            self.answer(to, datagram);
        } else {
            self.metrics.withheld += 1;
        }
    }

    /// Queues a datagram that answers one which just came from there, and is no longer: it needs no proof of the
    /// address.
    pub(super) fn answer(&mut self, to: SocketAddr, datagram: Writer) {
        self.transmits.push_back(Transmit { to, datagram: datagram.finish() });
    }

    /// Sends one body on its own.
    pub(super) fn reply(&mut self, now: Instant, to: SocketAddr, receiver: Generation, body: &Body<'_>) {
        let mut datagram = self.datagram_to(receiver);
        if datagram.push(body) {
            self.transmit(now, to, datagram);
        }
    }

    /// Says that we send to some run of a node.
    pub(super) fn header_to(&self, receiver: Generation) -> Header {
        Header { tag: self.tag, sender: self.me, generation: self.generation, receiver }
    }
}
