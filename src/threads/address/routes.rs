//! What the routing table says: from which address of this host the system would send to another one.
//!
//! To connect a UDP socket sends nothing, and makes the system choose the source address.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses that are reserved for documentation (RFC 5737 and RFC 3849): nobody is there, and the route to them is the
/// default route.
const SOMEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The routes of this host.
pub(in crate::threads) trait Routes {
    /// The address from which a socket that is bound to `bound` would send to `target`, if it can.
    fn source(&self, bound: SocketAddr, target: IpAddr) -> Option<IpAddr>;

    /// Whether this host has an address.
    fn holds(&self, ip: IpAddr) -> bool;

    /// The address from which it would send along the default route.
    fn default_source(&self, bound: SocketAddr) -> Option<IpAddr> {
        SOMEWHERE.into_iter().find_map(|target| self.source(bound, target))
    }
}

/// The routes of the operating system.
#[derive(Debug, Clone, Copy)]
pub(in crate::threads) struct SystemRoutes;

impl Routes for SystemRoutes {
    fn source(&self, bound: SocketAddr, target: IpAddr) -> Option<IpAddr> {
        let any: SocketAddr = match target {
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            IpAddr::V6(_) if bound.is_ipv4() => return None,
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).ok()?;
        // Any port but 0 will do: nothing is sent.
        socket.connect((target, 9)).ok()?;
        let source = socket.local_addr().ok()?.ip();
        (!source.is_unspecified()).then_some(source)
    }

    /// Nothing can be bound to another host's address, except where the system is configured to allow that
    /// (`ip_nonlocal_bind` of Linux, on some load balancers); there a member never moves. Nor does it when the system has
    /// no descriptor left.
    fn holds(&self, ip: IpAddr) -> bool {
        UdpSocket::bind((ip, 0)).map_or_else(|error| error.kind() != ErrorKind::AddrNotAvailable, |_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_bound_is_held() {
        assert!(SystemRoutes.holds("127.0.0.1".parse().unwrap()));
        // Of a block for documentation: nobody has it.
        assert!(!SystemRoutes.holds("198.51.100.1".parse().unwrap()));
    }

    #[test]
    fn the_route_to_this_host_begins_at_it() {
        let bound = "0.0.0.0:7990".parse().unwrap();
        let loopback = "127.0.0.1".parse().unwrap();
        assert_eq!(SystemRoutes.source(bound, loopback), Some(loopback));
        // A socket of IPv4 sends nothing by IPv6.
        assert_eq!(SystemRoutes.source(bound, "::1".parse().unwrap()), None);
    }
}
