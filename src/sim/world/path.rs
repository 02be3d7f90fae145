//! The way of a datagram: from a member's protocol to the queue of another one.
//!
//! ```text
//!  source ─ translators ─ too large? ─ uplink ─ cut? ─ width ─ latency, loss, flips, interloper ─ downlink ─ queue
//! ```

use std::net::SocketAddr;

use super::{Happening, INBOX_MAX, World};
use crate::protocol::Transmit;
use crate::sim::host::Waiting;
use crate::sim::network::{Oversize, Route, flip, on_the_wire};
use crate::wire::hash::siphash;

impl World {
    /// Sends a datagram.
    pub(super) fn send(&mut self, sender: usize, transmit: Transmit) {
        #[cfg(any(test, fuzzing))]
        if let Some(recorded) = &mut self.recorded {
            recorded.push((self.hosts[sender].addr, transmit.clone()));
        }
        let Transmit { to, datagram } = transmit;
        self.trace = siphash((self.trace, self.now.as_micros()), &datagram);
        self.fates.sent += 1;
        self.fates.bytes_sent += datagram.len() as u64;
        let Some(own) = self.hosts[sender].source_towards(to) else {
            self.refuse(sender);
            return;
        };
        let route = self.route(sender, own, to);
        let receiver = match route {
            Route::Host(receiver, _) => Some(receiver),
            Route::Nobody | Route::Closed => None,
        };
        let link = receiver.and_then(|receiver| self.links.open(sender, receiver));
        let on_link = link.and_then(|link| link.largest.refuses(datagram.len()));
        let on_host = self.hosts[sender].machine.largest.refuses(datagram.len());
        if on_host.or(on_link) == Some(Oversize::Refused) {
            self.refuse(sender);
            return;
        }
        if on_host.is_some() {
            self.fates.swallowed += 1;
            return;
        }
        let bytes = on_the_wire(to, datagram.len());
        let uplink = &mut self.hosts[sender].machine.uplink;
        let Some(left) = uplink.as_mut().map_or(Some(self.now), |uplink| uplink.take(self.now, bytes)) else {
            self.fates.no_room += 1;
            return;
        };
        let (receiver, from) = match route {
            Route::Host(receiver, from) => (receiver, from),
            Route::Nobody => {
                self.fates.nobody_there += 1;
                return;
            }
            Route::Closed => {
                self.fates.untranslated += 1;
                return;
            }
        };
        if on_link.is_some() {
            self.fates.swallowed += 1;
            return;
        }
        let link = self.links.open(sender, receiver).filter(|_| !self.links.is_closed(sender, to));
        let Some(link) = link else {
            self.fates.cut += 1;
            return;
        };
        let arrivals = link.carry(&mut self.rng);
        let (soonest, flips, interloper) = (link.latency.start, link.flips, link.interloper.clone());
        let Some(through) = self.links.squeeze((sender, receiver), left, bytes) else {
            self.fates.no_room += 1;
            return;
        };
        if arrivals == [None, None] {
            self.fates.lost += 1;
        }
        for latency in arrivals.into_iter().flatten() {
            let mut waiting = Waiting { from, datagram: datagram.clone() };
            self.fates.flipped += u64::from(flip(&mut self.rng, flips, &mut waiting.datagram));
            let mut at = through + latency;
            if let Some(interloper) = &interloper
                && let Some(held) = interloper.hold(&mut self.rng)
            {
                self.fates.held += 1;
                at = at + held;
                waiting.from = interloper.source(from);
            }
            self.schedule(at, Happening::Arrival { to: receiver, waiting });
        }
        if let Some(interloper) = &interloper
            && let Some(later) = interloper.copy(&mut self.rng)
        {
            self.fates.copied += 1;
            let waiting = Waiting { from: interloper.source(from), datagram };
            self.schedule(through + soonest + later, Happening::Arrival { to: receiver, waiting });
        }
    }

    /// The destination of a datagram that a host sends from one of its addresses.
    fn route(&mut self, sender: usize, own: SocketAddr, to: SocketAddr) -> Route {
        let Self { hosts, directory, by_name, now, .. } = self;
        let address_of = |name: &str| hosts.get(*by_name.get(name)?)?.interfaces.first().copied();
        directory.route(*now, hosts[sender].machine.translator, own, to, address_of)
    }

    /// The host that a datagram goes to, and the source that it has there.
    #[cfg(test)]
    pub(in crate::sim) fn destination(
        &mut self,
        sender: usize,
        own: SocketAddr,
        to: SocketAddr,
    ) -> Option<(usize, SocketAddr)> {
        match self.route(sender, own, to) {
            Route::Host(host, source) => Some((host, source)),
            Route::Nobody | Route::Closed => None,
        }
    }

    /// The system of a host refuses to send a datagram: an error of its socket.
    fn refuse(&mut self, sender: usize) {
        self.fates.refused += 1;
        self.hosts[sender].socket_errors += 1;
    }

    /// A datagram has come to a host: it still has to pass the downlink.
    pub(super) fn arrive(&mut self, to: usize, waiting: Waiting) {
        let addr = self.hosts[to].addr;
        let machine = &mut self.hosts[to].machine;
        if machine.largest.refuses(waiting.datagram.len()).is_some() {
            self.fates.swallowed += 1;
            return;
        }
        let Some(downlink) = &mut machine.downlink else {
            self.queue(to, waiting);
            return;
        };
        match downlink.take(self.now, on_the_wire(addr, waiting.datagram.len())) {
            Some(through) => self.schedule(through, Happening::Passage { to, waiting }),
            None => self.fates.no_room += 1,
        }
    }

    /// Puts a datagram into the queue of a process.
    pub(super) fn queue(&mut self, to: usize, waiting: Waiting) {
        let host = &mut self.hosts[to];
        if !host.is_running() {
            self.fates.nobody_there += 1;
            return;
        }
        if host.inbox.len() < INBOX_MAX {
            self.fates.arrived += 1;
            host.inbox.push_back(waiting);
        } else {
            self.fates.not_read += 1;
        }
        if !host.ailments.receives_nothing() {
            self.serve(to);
        }
    }
}
