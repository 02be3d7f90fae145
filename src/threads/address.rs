//! The own address, as others are told it.
//!
//! It is known when the socket is bound, and stays so: save for a member that is bound to all interfaces and was not
//! told what to tell others. Its address is the one that the routing table says, and can change while it runs.
//!
//! A host may have several addresses, and its routes change for reasons of their own: a VPN comes up and takes the
//! default route, say. So an address that was told stays as long as the host has it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{PoisonError, RwLock};

use crate::config::Addresses;

/// What others are told.
#[derive(Debug)]
pub(super) struct OwnAddress {
    current: RwLock<SocketAddr>,
    bound: SocketAddr,
    addresses: Addresses,
}

impl OwnAddress {
    pub(super) fn new(addresses: Addresses, bound: SocketAddr) -> Self {
        let current = RwLock::new(addresses.advertised(bound));
        Self { current, bound, addresses }
    }

    pub(super) fn get(&self) -> SocketAddr {
        *self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is in one of the allowed networks: members with the same lists do not take it otherwise.
    pub(super) fn is_allowed(&self) -> bool {
        self.addresses.allow.takes_address(self.get().ip())
    }

    /// Whether it may not be the one to tell: all interfaces, and no route that leads anywhere.
    pub(super) fn is_unsettled(&self) -> bool {
        let is_chosen = self.addresses.advertise.is_none();
        is_chosen && self.bound.ip().is_unspecified() && self.get().ip().is_loopback()
    }

    /// Where the socket is bound.
    pub(super) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Whether an address is certainly the own one.
    pub(super) fn is_own(&self, addr: SocketAddr) -> bool {
        let own = self.get();
        let is_interface = self.bound.ip().is_unspecified()
            && addr.port() == self.bound.port()
            && (addr.ip().is_loopback() || addr.ip() == own.ip());
        addr == own || addr == self.bound || is_interface
    }

    /// Whether the socket can send to an address of this family.
    pub(super) fn can_reach(&self, addr: SocketAddr) -> bool {
        match self.bound.ip() {
            IpAddr::V4(_) => addr.is_ipv4(),
            IpAddr::V6(ip) => addr.is_ipv6() || ip.is_unspecified(),
        }
    }

    /// Looks which address it is now, to be told to others, of whom some are known.
    pub(super) fn look(&self, others: impl IntoIterator<Item = SocketAddr>) -> SocketAddr {
        let before = self.get();
        let addr = choose(before, self.addresses.advertised_to(self.bound, others), is_held);
        if addr != before {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = addr;
        }
        addr
    }
}

/// What to tell from now on: the address that was told, or the one that the routing table says now. A host that has
/// lost its last one keeps it, until it has another.
fn choose(before: SocketAddr, found: SocketAddr, is_held: impl Fn(IpAddr) -> bool) -> SocketAddr {
    let is_kept = !before.ip().is_loopback() && (found.ip().is_loopback() || is_held(before.ip()));
    if is_kept { before } else { found }
}

/// Whether this host has an address: else nothing can be bound to it, save where the system is told to allow that
/// (`ip_nonlocal_bind` of Linux, on some load balancers); there a member does not move.
fn is_held(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETHERNET: &str = "10.7.0.1:7990";
    const LOOPBACK: &str = "127.0.0.1:7990";
    const OTHER: &str = "10.99.0.1:7990";

    /// What is told by a host that has these addresses.
    fn told(before: &str, found: &str, held: &[&str]) -> String {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let held: Vec<IpAddr> = held.iter().map(|text| addr(text).ip()).collect();
        choose(addr(before), addr(found), |ip| held.contains(&ip)).to_string()
    }

    #[test]
    fn an_address_that_the_host_still_has_is_kept_when_routes_change() {
        assert_eq!(told(ETHERNET, OTHER, &[ETHERNET, OTHER, LOOPBACK]), ETHERNET);
    }

    #[test]
    fn an_address_that_the_host_has_lost_gives_way_to_another_one_only() {
        assert_eq!(told(ETHERNET, OTHER, &[OTHER, LOOPBACK]), OTHER);
        assert_eq!(told(ETHERNET, LOOPBACK, &[LOOPBACK]), ETHERNET);
    }

    #[test]
    fn the_loopback_gives_way_to_the_first_address_that_others_can_reach() {
        assert_eq!(told(LOOPBACK, ETHERNET, &[ETHERNET, LOOPBACK]), ETHERNET);
        assert_eq!(told(LOOPBACK, LOOPBACK, &[LOOPBACK]), LOOPBACK);
    }

    #[test]
    fn what_can_be_bound_is_held() {
        assert!(is_held("127.0.0.1".parse().unwrap()));
        // Of a block for documentation: nobody has it.
        assert!(!is_held("198.51.100.1".parse().unwrap()));
    }
}
