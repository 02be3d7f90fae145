//! One socket has one address: the [`canonical`] form, and which addresses name one host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Canonical form, so that one socket has one address: an IPv4 address that is mapped into IPv6 is that IPv4
/// address, and flow label and scope, which mean something on one host only, are dropped.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    let ip: IpAddr = addr.ip().to_canonical();
    SocketAddr::new(ip, addr.port())
}

/// Whether datagrams to this address reach at most one host.
pub(super) fn is_one_host(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}
