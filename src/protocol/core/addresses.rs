//! Addresses: what is sent to those that have not shown themselves, and how many newcomers one source brings.
//!
//! Anybody can make a member send to an address, by reporting a node there, and a host with one address can bring any
//! number of names. Each address has a budget, and each table a limit of its own: filling one table takes nothing from
//! another, and restores no budget.
//!
//! | table | by | at the limit |
//! |---|---|---|
//! | addresses that have shown themselves | address | starts over: the budget applies until they are heard again |
//! | sends to others, this second | address | nothing is sent to further ones, this second |
//! | addresses from which our own datagrams have come back | address | no further one is noted |
//! | newcomers that were let in | address; of IPv6 the first 64 bits, which one host can have for itself | nobody comes from further ones until some budget is whole again |

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::protocol::api::Bound;
use crate::protocol::time::Instant;

/// Addresses with what they are owed.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// Those that have shown themselves: one for each node, sooner or later, so nothing else is kept of them.
    proven: BTreeSet<IpAddr>,
    /// Datagrams that were sent to others in this second, and whether they were asked to answer.
    sends: BTreeMap<IpAddr, (u32, bool)>,
    second: u64,
    newcomers: BTreeMap<IpAddr, Newcomers>,
    /// When newcomers that time has made up for were forgotten last.
    swept: Instant,
    /// Addresses from which datagrams of our own have come back, and when that was: what is sent there arrives here.
    loops: Vec<(SocketAddr, Instant)>,
    /// The warning of an address that is unreachable from here was logged.
    has_warned: bool,
}

/// Newcomers that were let in, less those that time has made up for.
#[derive(Debug, Clone, Copy, Default)]
struct Newcomers {
    at: Instant,
    count: u32,
}

impl Newcomers {
    /// How many of them time has made up for.
    fn drained(&self, now: Instant) -> u32 {
        let drained = now.since(self.at).as_micros() * u128::from(Addresses::NEWCOMERS_PER_SECOND);
        u32::try_from(drained / 1_000_000).unwrap_or(u32::MAX)
    }
}

impl Addresses {
    /// Datagrams a second to an address that has not shown itself.
    const UNPROVEN_PER_SECOND: u32 = 20;
    /// Newcomers from one source at once …
    const NEWCOMERS_BURST: u32 = 1_024;
    /// … and a second after that.
    const NEWCOMERS_PER_SECOND: u64 = 100;
    /// Places in each table.
    const MAX: usize = 65_536;
    /// Maximum number of addresses of this host that it does not advertise and others do …
    const LOOPS_MAX: usize = 16;
    /// … and how long one is kept: addresses and routes change.
    const LOOP_MEMORY: Duration = Duration::from_secs(60);
    /// A full table is not searched for free places more often than this.
    const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

    /// Something was received from there that nobody could have sent with a forged source: from a known node, in
    /// answer to us, or with a good cookie.
    pub(crate) fn heard(&mut self, addr: SocketAddr) {
        if self.proven.contains(&addr.ip()) {
            return;
        }
        if self.proven.len() >= Self::MAX {
            self.proven.clear();
        }
        self.proven.insert(addr.ip());
    }

    /// Whether that address has shown itself.
    pub(crate) fn is_proven(&self, addr: SocketAddr) -> bool {
        self.proven.contains(&addr.ip())
    }

    /// Whether a datagram may be sent there now.
    pub(crate) fn may_send(&mut self, now: Instant, addr: SocketAddr) -> bool {
        if self.proven.contains(&addr.ip()) {
            return true;
        }
        let second = now.as_micros() / 1_000_000;
        if self.second != second {
            self.second = second;
            self.sends.clear();
        }
        if self.sends.len() >= Self::MAX && !self.sends.contains_key(&addr.ip()) {
            return false;
        }
        let (sends, _) = self.sends.entry(addr.ip()).or_default();
        *sends += 1;
        *sends <= Self::UNPROVEN_PER_SECOND
    }

    /// Whether to ask a node there for an answer, which shows that it receives: half of what may be sent to it was sent
    /// this second. Once a second.
    pub(crate) fn should_ask(&mut self, addr: SocketAddr) -> bool {
        let sends = self.sends.get_mut(&addr.ip()).filter(|_| !self.proven.contains(&addr.ip()));
        sends.is_some_and(|(sends, asked)| {
            *sends >= Self::UNPROVEN_PER_SECOND / 2 && !std::mem::replace(asked, true)
        })
    }

    /// Whether one more newcomer may come from there now, which it then does. Members that share a loopback address
    /// are not bounded.
    pub(crate) fn may_admit(&mut self, now: Instant, addr: SocketAddr) -> bool {
        addr.ip().is_loopback() || self.came(now, addr)
    }

    /// A newcomer from there was let in, here or elsewhere: so that one source does not have its share of each member.
    /// False if it was one too many.
    pub(crate) fn came(&mut self, now: Instant, addr: SocketAddr) -> bool {
        let source = source_of(addr.ip());
        if !self.newcomers.contains_key(&source) && !self.has_room_for_newcomers(now) {
            return false;
        }
        let newcomers = self.newcomers.entry(source).or_default();
        let drained = newcomers.drained(now);
        if drained > 0 {
            *newcomers = Newcomers { at: now, count: newcomers.count.saturating_sub(drained) };
        }
        if newcomers.count >= Self::NEWCOMERS_BURST {
            return false;
        }
        newcomers.count += 1;
        true
    }

    /// A datagram of our own has come back from there. Returns whether that is new.
    pub(crate) fn came_back(&mut self, now: Instant, addr: SocketAddr) -> bool {
        let known = self.loops.iter_mut().find(|(looped, _)| *looped == addr);
        if let Some((_, at)) = known {
            *at = now;
            return false;
        }
        let has_room = self.loops.len() < Self::LOOPS_MAX;
        if has_room {
            self.loops.push((addr, now));
        }
        has_room
    }

    /// Whether what is sent to an address comes back to us.
    pub(crate) fn is_loop(&self, addr: SocketAddr) -> bool {
        self.loops.iter().any(|(looped, _)| *looped == addr)
    }

    /// Another node was heard from there.
    pub(crate) fn is_of_another(&mut self, addr: SocketAddr) {
        self.loops.retain(|(looped, _)| *looped != addr);
    }

    /// Forgets addresses from which nothing has come back for long.
    pub(crate) fn forget_loops(&mut self, now: Instant) {
        self.loops.retain(|(_, at)| now.since(*at) < Self::LOOP_MEMORY);
    }

    /// Whether to warn of an address that is unreachable from here: only of the first one.
    pub(crate) fn warns(&mut self) -> bool {
        !std::mem::replace(&mut self.has_warned, true)
    }

    pub(crate) fn bound(&self) -> Bound {
        let count = self.proven.len() + self.sends.len() + self.newcomers.len() + self.loops.len();
        Bound { what: "addresses", count, max: 3 * Self::MAX + Self::LOOPS_MAX }
    }

    /// Whether there is a place for one more source, when those that have their whole budget again are forgotten.
    fn has_room_for_newcomers(&mut self, now: Instant) -> bool {
        if self.newcomers.len() >= Self::MAX && now.since(self.swept) >= Self::SWEEP_INTERVAL {
            self.swept = now;
            self.newcomers.retain(|_, newcomers| newcomers.drained(now) < newcomers.count);
        }
        self.newcomers.len() < Self::MAX
    }
}

/// The owner of an address: for IPv6 a network of 64 bits, because one host may choose the rest.
fn source_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests;
