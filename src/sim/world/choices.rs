//! Steps that a caller chooses, in place of the clock: what happens to the datagrams that are in flight.
//!
//! Datagrams are numbered by arrival time, receiver, sender, and then in the order in which they were sent. So it makes
//! no difference which of two hosts has sent first.

use std::cmp::Reverse;
use std::net::SocketAddr;

use super::{Happening, World};
use crate::protocol::Instant;
use crate::sim::host::Waiting;
use crate::wire::hash::siphash;

/// A datagram in flight, as it waits in the world.
type Flight = Reverse<(Instant, u64, Happening)>;

impl World {
    /// Delivers one of the datagrams that are in flight, now.
    pub(in crate::sim) fn deliver(&mut self, number: usize) {
        let happening = self.take_flight(number);
        self.happen(happening);
    }

    /// Loses one.
    pub(in crate::sim) fn lose(&mut self, number: usize) {
        drop(self.take_flight(number));
    }

    /// Delivers one now, and once more later.
    pub(in crate::sim) fn double(&mut self, number: usize) {
        let happening = self.take_flight(number);
        if let Happening::Arrival { to, waiting: Waiting { from, datagram } } = &happening {
            let waiting = Waiting { from: *from, datagram: datagram.clone() };
            self.schedule(self.now, Happening::Arrival { to: *to, waiting });
        }
        self.happen(happening);
    }

    /// Moves time to the next timer and fires it; no datagram arrives meanwhile.
    pub(in crate::sim) fn fire(&mut self) {
        if let Some((at, host, slot)) = self.wakes.pop_first() {
            self.now = self.now.max(at);
            self.wake(host, slot);
        }
    }

    /// A hash of everything that decides how this world goes on: of two worlds with equal hashes, one can stand for
    /// both. Counters and observations are no part of it.
    pub(in crate::sim) fn digest(&self) -> u64 {
        let mut digest = self.now.as_micros();
        let mut add = |bytes: &[u8]| digest = siphash((digest, 0), bytes);
        for host in &self.hosts {
            let state = host.is_running().then(|| host.protocol.digest());
            add(&state.unwrap_or(0).to_be_bytes());
        }
        let mut flights: Vec<&Flight> = self.happenings.iter().collect();
        flights.sort_unstable_by_key(|flight| place(flight));
        for Reverse((at, _, happening)) in flights {
            add(format!("{at:?} {happening:?}").as_bytes());
        }
        digest
    }

    fn take_flight(&mut self, number: usize) -> Happening {
        let mut flights = std::mem::take(&mut self.happenings).into_vec();
        flights.sort_unstable_by_key(place);
        let Reverse((_, _, happening)) = flights.remove(number);
        self.happenings = flights.into();
        happening
    }
}

/// The sort key of something in flight.
fn place(Reverse((at, serial, happening)): &Flight) -> (Instant, usize, Option<SocketAddr>, u64) {
    match happening {
        Happening::Arrival { to, waiting } | Happening::Passage { to, waiting } => {
            (*at, *to, Some(waiting.from), *serial)
        }
        Happening::Service { host, .. } | Happening::Turn { host, .. } | Happening::Snapshot { host, .. } => {
            (*at, *host, None, *serial)
        }
    }
}
