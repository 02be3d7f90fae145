//! The own address, as others are told it.
//!
//! It is known when the socket is bound, and stays so: save for a member that is bound to all interfaces and was not
//! told what to tell others. Its address is the one that the routing table says, and can change while it runs.

use std::net::SocketAddr;
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

    /// Looks which address it is now. A host that has lost its last one keeps it, until it has another.
    pub(super) fn look(&self) -> SocketAddr {
        let before = self.get();
        let found = self.addresses.advertised(self.bound);
        if found.ip().is_loopback() && !before.ip().is_loopback() {
            return before;
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = found;
        found
    }
}
