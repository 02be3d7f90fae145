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
//! [looking for others](super::super::admission), by a member that does not look for others once per `rejoin_interval` as long as
//! it is alone and once after, and by each call of `join`. In company that costs nothing more.
//!
//! Others go on probing the old address meanwhile. The mover's next probe finds out within a probe interval, which is
//! sooner than any suspicion ends, and the incarnation that comes with the new address refutes it.
//!
//! Beyond SWIM, where an address is who a node is.

use std::net::SocketAddr;

use super::Identity;
use crate::node::Incarnation;
use crate::protocol::api::Task;
use crate::protocol::core::{Core, Timer};
use crate::protocol::time::Instant;

impl Identity {
    /// A node that we know does not know us, or not at the address that we send from. In the second case the driver
    /// finds another address when it looks, at most once a probe interval.
    pub(in crate::protocol) fn doubt_address(&mut self, core: &mut Core, now: Instant) {
        let pause = core.settings.probe_interval;
        if self.address_doubted.is_none_or(|last| now.since(last) >= pause) {
            self.address_doubted = Some(now);
            core.tasks.push_back(Task::CheckAddress { newcomer: None });
        }
    }
}

/// A member that is alone and does not look for others has nobody to raise a doubt. The last time is in company: the
/// address may have changed just before.
pub(in crate::protocol) fn check_address_alone(core: &mut Core, now: Instant) {
    core.tasks.push_back(Task::CheckAddress { newcomer: None });
    if core.is_alone() {
        core.timers.set(Timer::Address, now + core.settings.rejoin_interval);
    }
}

/// Where others reach us from now on. False if that is where they did before.
pub(in crate::protocol) fn change_address(core: &mut Core, now: Instant, addr: SocketAddr) -> bool {
    if addr == core.settings.advertise || core.ended || core.leaving {
        return false;
    }
    let before = std::mem::replace(&mut core.settings.advertise, addr);
    core.note(log::Level::Info, || format!("moved from {before} to {addr}"));
    core.incarnation = Incarnation(core.incarnation.0 + 1);
    core.publish_self(now);
    core.push_rumor(now, core.me);
    true
}
