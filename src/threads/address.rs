//! The address of this member, as it advertises it to others.
//!
//! Usually it is known when the socket is bound, and stays. It is *chosen* for a member that is bound to all interfaces
//! and has no `Config::advertise`: a host may have several addresses, and others reach it at some of them only. A
//! virtual machine, for example, often has a default route to a network of its own, where each machine has the same
//! address, and a second interface for the network of the cluster.
//!
//! | what is known | the address is | it is |
//! |---|---|---|
//! | a seed that is an address, one that resolves, or a node | the one on the route there | settled |
//! | nobody, and somebody says hello | the one on the route to the newcomer | provisional |
//! | nothing | the one on the default route, or the loopback | provisional |
//!
//! `Config::advertise` may also stand for addresses that change: those of the host in a network or on an interface, or
//! those of a host name. The one that was advertised stays as long as it is among them.
//!
//! A settled address stays as long as the host has it: routes change for reasons of their own, as when a VPN takes the
//! default route. Anybody can send a hello, so a newcomer settles nothing before it is a node.

mod found;
mod routes;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

pub(super) use self::found::find;
use self::routes::{Routes, SystemRoutes};
use crate::allow::Allow;
use crate::config::{Addresses, HostAddress, Place};

/// Maximum number of contacts to which routes are looked up: usually the first one is enough.
const CONTACTS_MAX: usize = 16;

/// The address that this member advertises.
#[derive(Debug)]
pub(super) struct OwnAddress {
    current: RwLock<Chosen>,
    bound: SocketAddr,
    /// What the configuration says, if it does.
    advertise: Option<HostAddress>,
    /// The host name that is advertised is being resolved.
    is_resolving: AtomicBool,
    /// Those of the configured seeds that are addresses of other hosts.
    seeds: Vec<SocketAddr>,
    allow: Allow,
}

/// Others, as far as they are known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Contacts<'a> {
    /// Seeds that are about to be asked: the first one decides.
    Seeds(&'a [SocketAddr]),
    /// The nodes. The address that they know stays if it is on the route to one of them.
    Nodes(&'a [SocketAddr]),
    /// Somebody that says hello, and where it says that it is.
    Newcomer(SocketAddr),
}

/// An address of this member, and whether it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chosen {
    addr: SocketAddr,
    is_settled: bool,
}

impl OwnAddress {
    /// `found`: the addresses for which `advertise` stands, if it is set.
    pub(super) fn new(addresses: &Addresses, found: &[IpAddr], bound: SocketAddr) -> Self {
        let seeds = addresses.seeds.iter().filter_map(|seed| match seed.place {
            Place::Addr(addr) => Some(addr),
            Place::Here(_) | Place::Host(..) => None,
        });
        let seeds: Vec<SocketAddr> = seeds.collect();
        let (advertise, allow) = (addresses.advertise.clone(), addresses.allow.clone());
        let settled = |addr| Chosen { addr, is_settled: true };
        let chosen = match &advertise {
            Some(wanted) => settled(one_of(found, wanted, bound, None)),
            None if !bound.ip().is_unspecified() => settled(bound),
            None => choose(None, bound, &seeds, Contacts::Seeds(&[]), &SystemRoutes),
        };
        let is_resolving = AtomicBool::new(false);
        Self { current: RwLock::new(chosen), bound, advertise, is_resolving, seeds, allow }
    }

    pub(super) fn get(&self) -> SocketAddr {
        self.chosen().addr
    }

    /// Whether it is in one of the allowed networks: members with the same lists do not take it otherwise.
    pub(super) fn is_allowed(&self) -> bool {
        self.allow.takes_address(self.get().ip())
    }

    /// Whether it was chosen without knowing anybody, so that contacts may show a better one.
    pub(super) fn is_provisional(&self) -> bool {
        !self.chosen().is_settled
    }

    /// Whether it is provisional, and only this host reaches it.
    pub(super) fn is_local_only(&self) -> bool {
        self.is_provisional() && self.get().ip().is_loopback()
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

    /// Finds out which address it is now, in view of these contacts. That takes no time: a host name is
    /// [resolved](Self::begin_resolving) elsewhere.
    pub(super) fn look(&self, contacts: Contacts<'_>) -> SocketAddr {
        let before = self.chosen();
        match &self.advertise {
            None if self.bound.ip().is_unspecified() => {
                self.set(choose(Some(before), self.bound, &self.seeds, contacts, &SystemRoutes))
            }
            Some(wanted @ (HostAddress::Network(..) | HostAddress::Interface(..))) => {
                self.take(wanted, find(wanted))
            }
            None | Some(HostAddress::Addr(_) | HostAddress::Host(..)) => before.addr,
        }
    }

    /// The host name that is advertised, to be resolved now; none if it is being resolved, or if there is none.
    pub(super) fn begin_resolving(&self) -> Option<&HostAddress> {
        let host = self.advertise.as_ref().filter(|wanted| matches!(wanted, HostAddress::Host(..)));
        host.filter(|_| !self.is_resolving.swap(true, Ordering::Relaxed))
    }

    /// The host name that is advertised was resolved. Returns which address it is now.
    pub(super) fn resolved(&self, found: io::Result<Vec<IpAddr>>) -> SocketAddr {
        self.is_resolving.store(false, Ordering::Relaxed);
        match &self.advertise {
            Some(wanted) => self.take(wanted, found),
            None => self.get(),
        }
    }

    /// Takes one of the addresses for which `advertise` stands now. It stays if there is none.
    fn take(&self, wanted: &HostAddress, found: io::Result<Vec<IpAddr>>) -> SocketAddr {
        let before = self.get();
        match found {
            Ok(found) => {
                let addr = one_of(&found, wanted, self.bound, Some(before.ip()));
                self.set(Chosen { addr, is_settled: true })
            }
            Err(error) => {
                log::debug!("{before} is still advertised: {error}");
                before
            }
        }
    }

    fn set(&self, chosen: Chosen) -> SocketAddr {
        if chosen != self.chosen() {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = chosen;
        }
        chosen.addr
    }

    fn chosen(&self) -> Chosen {
        *self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of the addresses for which `advertise` stands, the one that was advertised before, or else the first that is of the
/// family of the socket.
pub(super) fn one_of(
    found: &[IpAddr],
    wanted: &HostAddress,
    bound: SocketAddr,
    before: Option<IpAddr>,
) -> SocketAddr {
    let is_of_family =
        |ip: &&IpAddr| bound.ip().is_unspecified() && bound.is_ipv6() || ip.is_ipv4() == bound.is_ipv4();
    let kept = before.filter(|ip| found.contains(ip));
    let first = || found.iter().find(is_of_family).or(found.first()).copied();
    let ip = kept.or_else(first).unwrap_or(bound.ip());
    SocketAddr::new(ip, wanted.port().unwrap_or(bound.port()))
}

/// The address of a member that is bound to all interfaces. `before`: what it was until now.
fn choose(
    before: Option<Chosen>,
    bound: SocketAddr,
    seeds: &[SocketAddr],
    contacts: Contacts<'_>,
    routes: &impl Routes,
) -> Chosen {
    let at = |ip| SocketAddr::new(ip, bound.port());
    let settled = |ip| Chosen { addr: at(ip), is_settled: true };
    let provisional = |ip| Chosen { addr: at(ip), is_settled: false };
    let present = before.filter(|before| routes.holds(before.addr.ip()));
    if let Some(present) = present.filter(|present| present.is_settled) {
        return present;
    }
    let sources_to = |targets: &[SocketAddr]| -> Vec<IpAddr> {
        targets.iter().filter_map(|target| routes.source(bound, target.ip())).collect()
    };
    let is_outside = |ip: &IpAddr| !ip.is_loopback();

    let to_seeds = sources_to(seeds);
    if let Some(source) = to_seeds.iter().copied().find(is_outside) {
        return settled(source);
    }
    let (contacts, stays, settles) = match &contacts {
        Contacts::Seeds(seeds) => (*seeds, false, true),
        Contacts::Nodes(nodes) => (*nodes, true, true),
        Contacts::Newcomer(contact) => (std::slice::from_ref(contact), false, false),
    };
    let mut to_contacts = sources_to(&contacts[..contacts.len().min(CONTACTS_MAX)]);
    to_contacts.retain(is_outside);
    let is_present = |ip: &IpAddr| stays && present.is_some_and(|present| present.addr.ip() == *ip);
    if let Some(source) = to_contacts.iter().copied().find(is_present).or(to_contacts.first().copied()) {
        return if settles { settled(source) } else { provisional(source) };
    }
    let kept = present.map(|present| present.addr.ip()).filter(is_outside);
    // A host that has lost its last address keeps it, until it has another one.
    let lost = before.map(|before| before.addr.ip()).filter(is_outside);
    let on_this_host = to_seeds.first().copied().filter(|_| lost.is_none());
    let loopback = if bound.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let found = kept.or(on_this_host).or_else(|| routes.default_source(bound)).or(lost);
    provisional(found.unwrap_or(loopback))
}

#[cfg(test)]
mod tests;
