//! The addresses of dead nodes whose tombstones were forgotten. They lead back to a part of the cluster that was cut
//! off for longer than tombstones last.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::protocol::api::Bound;

/// Maximum number of addresses that are kept; the one that was lost first is dropped first.
const LOST_MAX: usize = 64;

/// Addresses at which no node is known any more, oldest first.
#[derive(Debug, Default)]
pub(super) struct LostAddresses(VecDeque<SocketAddr>);

impl LostAddresses {
    pub(super) fn push(&mut self, addr: SocketAddr) {
        if self.0.contains(&addr) {
            return;
        }
        if self.0.len() >= LOST_MAX {
            self.0.pop_front();
        }
        self.0.push_back(addr);
    }

    /// Drops those at which a node is known again. Returns the others.
    pub(super) fn without(&mut self, is_found: impl Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
        self.0.retain(|addr| !is_found(*addr));
        self.0.iter().copied().collect()
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "lost addresses", count: self.0.len(), max: LOST_MAX }
    }
}
