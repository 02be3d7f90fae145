//! Which host receives at which address.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::translator::{Translation, Translator};
use crate::protocol::Instant;

/// A network of its own: what is behind the translator of this number; none is the network between all.
type Realm = Option<usize>;

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Route {
    /// To this host, where it seems to come from this address.
    Host(usize, SocketAddr),
    /// No host is there.
    Nobody,
    /// A translator does not let it pass.
    Closed,
}

/// All addresses, and the translators between them.
#[derive(Debug, Default)]
pub(in crate::sim) struct Directory {
    hosts: BTreeMap<(Realm, SocketAddr), usize>,
    translators: Vec<Translation>,
}

impl Directory {
    /// Which host receives at an address.
    pub(in crate::sim) fn at(&self, realm: Realm, addr: SocketAddr) -> Option<usize> {
        self.hosts.get(&(realm, addr)).copied()
    }

    /// Makes a host receive at an address.
    pub(in crate::sim) fn insert(&mut self, realm: Realm, addr: SocketAddr, host: usize) {
        self.hosts.insert((realm, addr), host);
    }

    /// A host receives at an address no longer.
    pub(in crate::sim) fn remove(&mut self, realm: Realm, addr: SocketAddr, host: usize) {
        if self.at(realm, addr) == Some(host) {
            self.hosts.remove(&(realm, addr));
        }
    }

    /// Adds a translator: the number of what is behind it.
    pub(in crate::sim) fn add(&mut self, translator: Translator) -> usize {
        self.translators.push(Translation::new(translator));
        self.translators.len() - 1
    }

    /// Makes a translator forget all ports that it has assigned.
    pub(in crate::sim) fn flush(&mut self, translator: usize) {
        if let Some(translation) = self.translators.get_mut(translator) {
            translation.flush();
        }
    }

    /// The way of a datagram from one address to another; `address_of`: of a host, by its name.
    pub(in crate::sim) fn route(
        &mut self,
        now: Instant,
        realm: Realm,
        from: SocketAddr,
        to: SocketAddr,
        address_of: impl Fn(&str) -> Option<SocketAddr>,
    ) -> Route {
        // On one side of a translator nothing is translated.
        if let Some(host) = self.at(realm, to) {
            return Route::Host(host, from);
        }
        let mut source = from;
        if let Some(own) = realm.and_then(|realm| self.translators.get_mut(realm)) {
            if own.is_at(to.ip()) && !own.hairpins() {
                return Route::Closed;
            }
            source = own.outgoing(now, from, to);
        }
        if let Some(host) = self.at(None, to) {
            return Route::Host(host, source);
        }
        // The last one has taken the place of those before it.
        let Some(number) = self.translators.iter().rposition(|translator| translator.is_at(to.ip())) else {
            return Route::Nobody;
        };
        let Some(inside) = self.translators[number].incoming(now, to.port(), source, address_of) else {
            return Route::Closed;
        };
        self.at(Some(number), inside).map_or(Route::Nobody, |host| Route::Host(host, source))
    }
}
