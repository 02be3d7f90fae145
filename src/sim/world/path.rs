//! The way of a datagram: from a member's protocol to the queue of another one.
//!
//! ```text
//!  too large? ─ uplink ─ cut? too large? ─ width of the link ─ latency, loss ─ downlink ─ queue of the process
//! ```

use super::{Happening, INBOX_MAX, World};
use crate::protocol::Transmit;
use crate::sim::host::Waiting;
use crate::sim::network::{Oversize, on_the_wire};
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
        let from = self.hosts[sender].addr;
        let receiver = self.by_addr.get(&to).copied();
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
        let Some(receiver) = receiver else {
            self.fates.nobody_there += 1;
            return;
        };
        if on_link.is_some() {
            self.fates.swallowed += 1;
            return;
        }
        let Some(link) = self.links.open(sender, receiver) else {
            self.fates.cut += 1;
            return;
        };
        let arrivals = link.carry(&mut self.rng);
        let Some(through) = self.links.squeeze((sender, receiver), left, bytes) else {
            self.fates.no_room += 1;
            return;
        };
        if arrivals == [None, None] {
            self.fates.lost += 1;
        }
        for latency in arrivals.into_iter().flatten() {
            let waiting = Waiting { from, datagram: datagram.clone() };
            self.schedule(through + latency, Happening::Arrival { to: receiver, waiting });
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
