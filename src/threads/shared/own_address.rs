//! The member checks its address when others are looked for, joined, or do not know this member where it is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;

use super::Shared;
use crate::config::HostAddress;
use crate::node::Node;
use crate::threads::RESOLVER;
use crate::threads::address::{Contacts, find};

impl Shared {
    /// Finds out which address to advertise now, in view of the nodes that are known.
    pub(super) fn check_address_by_nodes(self: &Arc<Self>) {
        let (name, nodes) = (self.view.name(), self.nodes());
        let others = nodes.iter().filter(|node| node.name() != name);
        let others: Vec<SocketAddr> = others.map(Node::addr).collect();
        self.check_address(Contacts::Nodes(&others));
    }

    /// Finds out which address to advertise now, in view of these contacts.
    pub(in crate::threads) fn check_address(self: &Arc<Self>, contacts: Contacts<'_>) {
        let own = self.view.address();
        if let Some(host) = own.begin_resolving() {
            self.resolve_advertised(host.clone());
        }
        let before = own.get();
        self.take_address(before, own.look(contacts));
    }

    /// The host name that is advertised was resolved.
    fn advertised_found(self: &Arc<Self>, found: io::Result<Vec<IpAddr>>) {
        let own = self.view.address();
        let before = own.get();
        self.take_address(before, own.resolved(found));
    }

    fn take_address(self: &Arc<Self>, before: SocketAddr, addr: SocketAddr) {
        if addr != before && !self.view.address().is_allowed() {
            let name = self.view.name();
            log::warn!(
                "{name}: the address {addr}, which it advertises now, is in none of the allowed networks"
            );
        }
        // An error says that the member has ended.
        let _ = self.step(|protocol, now| protocol.change_address(now, addr));
    }

    /// Resolves the host name that is advertised, on a thread of its own, and takes the result.
    fn resolve_advertised(self: &Arc<Self>, host: HostAddress) {
        let member = Arc::downgrade(self);
        let body = move || {
            let found = find(&host);
            if let Some(shared) = member.upgrade() {
                shared.contain(RESOLVER, || shared.advertised_found(found));
            }
        };
        if let Err(error) = thread::Builder::new().name(RESOLVER.to_owned()).spawn(body) {
            // It is tried again when the address is checked next.
            self.advertised_found(Err(error));
        }
    }
}
