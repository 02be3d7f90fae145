//! Moving: the address of this member changes while it runs, as when a lease of DHCP ends.
//!
//! ```text
//!  the mover                                  a member that it knows
//!  ping, from the new address              →
//!                                          ←  bare ack: nobody is known at that address
//!  (the driver is asked which address it is)
//!  hello: own record, with the new address
//!  and a higher incarnation                →  after the cookie: probes the old address, as if another run wanted the
//!                                             name. Nobody answers there: it has moved, and the news goes round
//! ```
//!
//! So nobody can take an address away from a member that answers there.
//!
//! A bare ack does not always come: who is alone gets none, and who has got to know us since knows where our datagrams
//! come from, and tells of an address at which nobody is. So the driver is asked as well in each round of
//! [looking for others](super::seek), by a member that does not look for others once per `rejoin_interval` as long as
//! it is alone and once after, and by each call of `join`. In company that costs nothing more.
//!
//! Others go on probing the old address meanwhile. The mover's next probe finds out within a probe interval, which is
//! sooner than any suspicion ends, and the incarnation that comes with the new address refutes it.
//!
//! Beyond SWIM, where an address is who a node is.

use std::net::SocketAddr;

use super::time::Instant;
use super::{Chore, Protocol, Timer};
use crate::node::Incarnation;
use crate::wire::NameHash;
use crate::wire::address::canonical;

/// Members that are told of a new address at once, each by a hello; the others hear it from them.
const TOLD: usize = 3;

impl Protocol {
    /// Somebody whom we know does not know us, or not at the address that we send from. In the second case the driver
    /// finds another address when it looks, at most once a probe interval.
    pub(super) fn doubt_address(&mut self, now: Instant) {
        let pause = self.settings.probe_interval;
        if self.address_doubted.is_none_or(|last| now.since(last) >= pause) {
            self.address_doubted = Some(now);
            self.chores.push_back(Chore::CheckAddress);
        }
    }

    /// Who is alone and does not look for others has nobody to raise a doubt. The last time is in company: the address
    /// may have changed just before.
    pub(super) fn check_address_alone(&mut self, now: Instant) {
        self.chores.push_back(Chore::CheckAddress);
        if self.is_alone() {
            self.timers.set(Timer::Address, now + self.settings.rejoin_interval);
        }
    }

    /// Where others reach us from now on; most often where they did before.
    pub(crate) fn move_to(&mut self, now: Instant, addr: SocketAddr) {
        let addr = canonical(addr);
        if addr == self.settings.advertise || self.ended || self.leave.is_some() {
            return;
        }
        let before = std::mem::replace(&mut self.settings.advertise, addr);
        self.note(log::Level::Info, || format!("moved from {before} to {addr}"));
        self.incarnation = Incarnation(self.incarnation.0 + 1);
        self.publish_self(now);
        self.push_rumor(now, self.me);
        let mut others: Vec<NameHash> =
            self.members.ring().iter().copied().filter(|name| *name != self.me).collect();
        for _ in 0..TOLD {
            let Some(other) = self.draw(&others) else {
                break;
            };
            others.retain(|name| *name != other);
            if let Some(addr) = self.members.get(other).map(|entry| entry.addr()) {
                self.approach(now, addr);
            }
        }
        self.spread(now);
    }
}
