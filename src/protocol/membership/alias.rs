//! Aliases: the addresses that a run sends from, besides the one that it advertises.
//!
//! A translator or a second interface may put another source into the datagrams of a member. That source counts as the
//! member's own once a cookie has shown that both addresses are its own (see [`super::super::admission`]). Aliases are
//! what this member has seen: they are in no record.

use std::net::SocketAddr;
use std::time::Duration;

use crate::protocol::time::Instant;

/// Maximum number of aliases of one run; beyond it, the least recently used one is dropped.
const ALIASES_MAX: usize = 2;
/// How long an unused alias is kept: a translator gives its port to another host.
const ALIAS_MEMORY: Duration = Duration::from_secs(60);

/// All addresses of one node: the one that it advertises, and its aliases.
pub(super) type OwnAddresses = [Option<SocketAddr>; 1 + ALIASES_MAX];

/// The aliases of one run. Hardly any run has one: boxed, because there is one of these for each node in each view.
#[derive(Debug, Clone, Default)]
pub(super) struct Aliases(Option<Box<[Option<Alias>; ALIASES_MAX]>>);

#[derive(Debug, Clone, Copy)]
struct Alias {
    addr: SocketAddr,
    used: Instant,
}

impl Aliases {
    pub(super) fn contains(&self, addr: SocketAddr) -> bool {
        self.iter().any(|alias| alias == addr)
    }

    /// The addresses of a node that advertises this one.
    pub(super) fn with(&self, advertised: SocketAddr) -> OwnAddresses {
        let mut addresses = [None; 1 + ALIASES_MAX];
        let aliases = self.iter().filter(|alias| *alias != advertised);
        for (place, addr) in addresses.iter_mut().zip([advertised].into_iter().chain(aliases)) {
            *place = Some(addr);
        }
        addresses
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Adds one, or notes that it is used.
    pub(super) fn add(&mut self, now: Instant, addr: SocketAddr) {
        let aliases = self.0.get_or_insert_default();
        let used = |alias: &Option<Alias>| alias.map(|alias| alias.used);
        let same = aliases.iter().position(|alias| alias.is_some_and(|alias| alias.addr == addr));
        let place = same.or_else(|| (0..ALIASES_MAX).min_by_key(|place| used(&aliases[*place])));
        if let Some(place) = place {
            aliases[place] = Some(Alias { addr, used: now });
        }
    }

    /// A datagram has come from an address: notes it, if that is an alias, and forgets the aliases that are not used.
    pub(super) fn heard(&mut self, now: Instant, from: SocketAddr) {
        let Some(aliases) = &mut self.0 else {
            return;
        };
        for place in aliases.iter_mut() {
            if let Some(alias) = place.as_mut().filter(|alias| alias.addr == from) {
                alias.used = now;
            }
            place.take_if(|alias| now.since(alias.used) >= ALIAS_MEMORY);
        }
        self.0.take_if(|aliases| aliases.iter().all(Option::is_none));
    }

    fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().flat_map(|aliases| aliases.iter().flatten()).map(|alias| alias.addr)
    }
}
