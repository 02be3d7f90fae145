//! Machines: what hosts have even when nothing runs there, and where they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::World;
use crate::config::DEFAULT_PORT;
use crate::sim::machine::Machine;

impl World {
    /// The network that a host is on, and its addresses there.
    pub(super) fn interfaces(
        &mut self,
        index: usize,
        name: Option<&str>,
        advertise: Option<SocketAddr>,
    ) -> (Option<usize>, Vec<SocketAddr>) {
        let machine = name.map(|name| self.machine(index, name));
        let (realm, given) =
            machine.map(|machine| (machine.translator, machine.addresses.clone())).unwrap_or_default();
        // The advertised address may lead to a translator, and not to the host itself.
        let told = advertise.filter(|_| realm.is_none());
        let addresses = if given.is_empty() { vec![told.unwrap_or_else(|| addr_of(index))] } else { given };
        (realm, addresses)
    }

    /// Gives a host other addresses. If it `moves`, the address that it advertises changes with them, when it next
    /// checks its address.
    pub(in crate::sim) fn readdress(&mut self, index: usize, addresses: Vec<SocketAddr>, moves: bool) {
        let Some(host) = self.hosts.get_mut(index) else {
            return;
        };
        let realm = host.machine.translator;
        for addr in &host.interfaces {
            self.directory.remove(realm, *addr, index);
        }
        if moves
            && !addresses.contains(&host.addr)
            && let Some(first) = addresses.first()
        {
            host.addr = *first;
        }
        for addr in &addresses {
            self.directory.insert(realm, *addr, index);
        }
        host.interfaces = addresses;
    }

    /// Puts hosts behind the translator of this number.
    pub(in crate::sim) fn put_behind(&mut self, name: &str, translator: Option<usize>) {
        let Some(index) = self.index_of(name) else {
            self.machine_of(name).translator = translator;
            return;
        };
        let host = &mut self.hosts[index];
        let before = std::mem::replace(&mut host.machine.translator, translator);
        for addr in &host.interfaces {
            self.directory.remove(before, *addr, index);
            self.directory.insert(translator, *addr, index);
        }
    }

    /// The machine of a host. For a host that has not been started yet, the one that it will be started on.
    pub(super) fn machine(&mut self, index: usize, name: &str) -> &mut Machine {
        match self.hosts.get_mut(index) {
            Some(host) => &mut host.machine,
            None => self.machines.entry(name.to_owned()).or_default(),
        }
    }

    /// The same, by the name of the host.
    pub(in crate::sim) fn machine_of(&mut self, name: &str) -> &mut Machine {
        let index = self.index_of(name).unwrap_or(usize::MAX);
        self.machine(index, name)
    }
}

/// The address that the socket of a process is bound to if it receives at all of these addresses.
pub(super) fn bound_to(interfaces: &[SocketAddr]) -> SocketAddr {
    let is_of_both = interfaces.iter().any(|addr| addr.is_ipv4() != interfaces[0].is_ipv4());
    let ip = if is_of_both { Ipv6Addr::UNSPECIFIED.into() } else { interfaces[0].ip() };
    SocketAddr::new(ip, interfaces[0].port())
}

/// The address of a host that has no address set.
fn addr_of(index: usize) -> SocketAddr {
    let [_, b, c, d] = u32::try_from(index + 1).unwrap_or(u32::MAX).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, b, c, d)), DEFAULT_PORT)
}
