//! The address that a member tells others.
//!
//! Whoever binds to all interfaces has no single address to tell. The routing table knows which one others
//! see: connecting a UDP socket sends nothing, and makes the system choose the source address that it would
//! send from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::seeds::{Place, Seed};

/// Addresses that are reserved for documentation (RFC 5737 and RFC 3849): nobody is there, and the route to
/// them is the default route.
const SOMEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Routes that are tried to others who are known by now: usually the first one tells.
const OTHERS_MAX: usize = 16;

/// What to tell when nothing was configured: the bound address if it is one, else the source address of the
/// routes to the seeds (a loopback only if no seed has a better one), else that of the default route, else that of the
/// routes to others who are known by now (a network of its own may have no default route), else the loopback.
pub(super) fn choose(
    bound: SocketAddr,
    seeds: &[Seed],
    others: impl IntoIterator<Item = SocketAddr>,
) -> SocketAddr {
    choose_by(bound, seeds, others, |target| route_source(bound, target))
}

fn choose_by(
    bound: SocketAddr,
    seeds: &[Seed],
    others: impl IntoIterator<Item = SocketAddr>,
    route_source: impl Fn(IpAddr) -> Option<IpAddr>,
) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let sources: Vec<IpAddr> = seeds
        .iter()
        .filter_map(|seed| match seed.place {
            Place::Addr(addr) => route_source(addr.ip()),
            Place::Here(_) | Place::Host(..) => None,
        })
        .collect();
    let ip = sources
        .iter()
        .find(|ip| !ip.is_loopback())
        .or(sources.first())
        .copied()
        .or_else(|| SOMEWHERE.into_iter().find_map(&route_source))
        .or_else(|| {
            let mut sources = others.into_iter().take(OTHERS_MAX).filter_map(|addr| route_source(addr.ip()));
            sources.find(|ip| !ip.is_loopback())
        })
        .unwrap_or(if bound.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    SocketAddr::new(ip, bound.port())
}

/// The address from which the system would send to `target`, if a socket that is bound as ours can.
fn route_source(bound: SocketAddr, target: IpAddr) -> Option<IpAddr> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told by a host without a default route, on the network 10.9.0.0/24.
    fn told(seeds: &[&str], others: &[&str]) -> String {
        let route_source = |target: IpAddr| match target {
            IpAddr::V4(ip) if ip.is_loopback() => Some(ip.into()),
            IpAddr::V4(ip) if ip.octets().starts_with(&[10, 9, 0]) => Some(Ipv4Addr::new(10, 9, 0, 2).into()),
            _ => None,
        };
        let seeds: Vec<Seed> = seeds.iter().map(|seed| Seed::parse(seed).unwrap()).collect();
        let others = others.iter().map(|addr| addr.parse().unwrap());
        choose_by("0.0.0.0:7990".parse().unwrap(), &seeds, others, route_source).to_string()
    }

    /// It told 127.0.0.1 to everybody, unless a seed of its configuration was an address of that network.
    #[test]
    fn where_there_is_no_default_route_others_tell_which_network_it_is() {
        assert_eq!(told(&[], &[]), "127.0.0.1:7990");
        assert_eq!(told(&["10.9.0.1"], &[]), "10.9.0.2:7990");
        assert_eq!(told(&["db-1.internal"], &[]), "127.0.0.1:7990");
        assert_eq!(told(&["db-1.internal"], &["127.0.0.1:7990", "10.9.0.1:7990"]), "10.9.0.2:7990");
        assert_eq!(told(&[], &["127.0.0.3:7990", "192.0.2.1:7990"]), "127.0.0.1:7990");
    }
}
