//! Addresses that the system has to find: those of the host in a network or on an interface, and those of a host name.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::config::HostAddress;
use crate::discovery::resolve;

/// The IP addresses for which a setting stands now, IPv4 first and the loopback last. That of a host name takes as long as the resolver likes.
///
/// # Errors
///
/// There are none, or the system does not say.
pub(in crate::threads) fn find(wanted: &HostAddress) -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs;
    let found: Vec<IpAddr> = match wanted {
        HostAddress::Addr(addr) => vec![addr.ip()],
        HostAddress::Network(network, _) => {
            let ips = interfaces()?.into_iter().map(|interface| interface.ip());
            ips.filter(|ip| network.contains(*ip)).collect()
        }
        HostAddress::Interface(name, _) => {
            let named = interfaces()?.into_iter().filter(|interface| interface.name == *name);
            named.map(|interface| interface.ip()).collect()
        }
        HostAddress::Host(name, port) => resolve(name, *port)?.iter().map(SocketAddr::ip).collect(),
    };
    let mut found: Vec<IpAddr> = found.into_iter().filter(|ip| is_for_others(*ip)).collect();
    found.sort_unstable_by_key(|ip| (ip.is_loopback(), *ip));
    if found.is_empty() {
        let reason = match wanted {
            HostAddress::Network(network, _) => format!("this host has no address in {network}"),
            HostAddress::Interface(name, _) => format!("there is no interface {name}, or it has no address"),
            HostAddress::Addr(_) | HostAddress::Host(..) => "there is none".to_owned(),
        };
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, reason));
    }
    Ok(found)
}

/// Whether an address means something to other hosts: one that is local to a link does not.
fn is_for_others(ip: IpAddr) -> bool {
    let is_of_link = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !ip.is_unspecified() && !ip.is_multicast() && !is_of_link
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allow::Network;

    fn network(text: &str) -> HostAddress {
        HostAddress::Network(Network::parse(text).unwrap(), None)
    }

    #[test]
    fn the_addresses_of_this_host_are_found_by_network_and_by_interface() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(find(&network("127.0.0.0/8")).unwrap(), [loopback]);
        let interfaces = if_addrs::get_if_addrs().unwrap();
        let name = interfaces.into_iter().find(|interface| interface.ip() == loopback).unwrap().name;
        assert!(find(&HostAddress::Interface(name, None)).unwrap().contains(&loopback));
    }

    #[test]
    fn where_the_host_has_no_address_that_is_an_error() {
        // Of a block for documentation: nobody has it.
        let error = find(&network("198.51.100.0/24")).unwrap_err();
        assert_eq!(error.to_string(), "this host has no address in 198.51.100.0/24");
        assert!(find(&HostAddress::Interface("no such one".to_owned(), None)).is_err());
        assert!(find(&HostAddress::Host("nobody.invalid".to_owned(), 1)).is_err());
    }
}
