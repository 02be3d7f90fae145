//! The sockets of one group: one that hears it, and one for each interface that speaks to it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::transport::{Endpoint, Transport};

/// A group on some interfaces. Several members of one host may have the same.
#[derive(Debug)]
pub(super) struct Channel {
    ears: Endpoint,
    /// Only what comes from the same link is heard.
    is_local: bool,
    /// Each with the group as it is seen on its interface.
    mouths: Vec<(UdpSocket, SocketAddr)>,
}

/// An interface, as the system wants to be told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    /// The one with this address; unspecified: the system chooses.
    V4(Ipv4Addr),
    /// The one with this number; 0: the system chooses.
    V6(u32),
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(Ipv4Addr::UNSPECIFIED) | Self::V6(0) => f.write_str("any interface"),
            Self::V4(ip) => write!(f, "the interface of {ip}"),
            Self::V6(index) => write!(f, "interface {index}"),
        }
    }
}

impl Channel {
    /// Becomes part of the group on all these interfaces, which are of its family. What is said to it crosses `hops`
    /// networks, the own one included.
    pub(super) fn open(group: SocketAddr, interfaces: &[Interface], hops: u32) -> io::Result<Self> {
        let ears = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
        share_port(&ears)?;
        if group.is_ipv6() {
            ears.set_only_v6(true)?;
        }
        let bound = where_to_bind(group, interfaces);
        ears.bind(&bound.into())?;
        let is_local = bound.ip().is_unspecified() && is_of_link(group);
        let mut mouths = Vec::with_capacity(interfaces.len());
        for interface in interfaces {
            join(&ears, group, *interface)?;
            mouths.push(mouth(group, *interface, hops)?);
        }
        Ok(Self { ears: Endpoint::of(ears.into())?, is_local, mouths })
    }

    /// Says something on all interfaces. An error if it is heard on none.
    pub(super) fn say(&self, bytes: &[u8]) -> io::Result<()> {
        let mut outcome = Ok(());
        let mut is_said = false;
        for (mouth, group) in &self.mouths {
            match mouth.send_to(bytes, group) {
                Ok(_) => is_said = true,
                Err(error) => {
                    let reason = format!("multicast to {group}: {error}");
                    outcome = Err(io::Error::new(error.kind(), reason));
                }
            }
        }
        if is_said { Ok(()) } else { outcome }
    }

    /// Waits for something that is said, for so long at most: then it is an error of the kinds that are ticks.
    /// It tells from where it comes as well.
    pub(super) fn listen(
        &self,
        buf: &mut [u8],
        patience: Option<Duration>,
    ) -> io::Result<(usize, SocketAddr)> {
        self.ears.set_patience(patience)?;
        match self.ears.recv(buf) {
            Ok((_, from)) if self.is_local && !is_on_link(from) => Err(io::ErrorKind::WouldBlock.into()),
            result => result,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.ears.is_closed()
    }

    /// Wakes whoever listens.
    pub(super) fn close(&self) {
        self.ears.close();
    }
}

/// Several sockets of one host hear the group at one port, each of them all of it.
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    // Elsewhere than on Linux, where this one shares datagrams *out*, and only among processes of one user.
    #[cfg(all(
        unix,
        not(any(target_os = "linux", target_os = "android", target_os = "solaris", target_os = "illumos"))
    ))]
    socket.set_reuse_port(true)?;
    Ok(())
}

/// Bound to the group, a socket hears nothing that is sent to the host alone. Windows can not do that, and no system if
/// the group is local to a link and it is not said to which.
fn where_to_bind(group: SocketAddr, interfaces: &[Interface]) -> SocketAddr {
    match interfaces {
        [Interface::V4(_), ..] if cfg!(unix) => group,
        [Interface::V6(1..)] if cfg!(unix) => on(group, interfaces[0]),
        _ if group.is_ipv4() => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), group.port()),
        _ => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), group.port()),
    }
}

/// Whether a group ends where its link ends.
fn is_of_link(group: SocketAddr) -> bool {
    matches!(group, SocketAddr::V6(group) if group.ip().segments()[0] & 0xff0f == 0xff02)
}

/// Whether a datagram comes from the own link for certain, or from this host. What is said to a group of a link comes
/// from such an address, and no router passes it on: so a socket that is bound to no group, and hears what is sent to
/// the host alone, can tell what came from elsewhere.
fn is_on_link(from: SocketAddr) -> bool {
    matches!(from, SocketAddr::V6(from) if from.ip().is_unicast_link_local() || from.ip().is_loopback())
}

/// The group as it is seen on an interface: one of IPv6 that is local to a link is another one on each.
fn on(group: SocketAddr, interface: Interface) -> SocketAddr {
    match (group, interface) {
        (SocketAddr::V6(v6), Interface::V6(index)) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into(),
        _ => group,
    }
}

fn join(ears: &Socket, group: SocketAddr, interface: Interface) -> io::Result<()> {
    match (group.ip(), interface) {
        (IpAddr::V4(ip), Interface::V4(interface)) => ears.join_multicast_v4(&ip, &interface),
        (IpAddr::V6(ip), Interface::V6(index)) => ears.join_multicast_v6(&ip, index),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn mouth(group: SocketAddr, interface: Interface, hops: u32) -> io::Result<(UdpSocket, SocketAddr)> {
    let mouth = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    // Others of this host are to hear it, too.
    match interface {
        Interface::V4(interface) => {
            mouth.set_multicast_if_v4(&interface)?;
            mouth.set_multicast_ttl_v4(hops)?;
            mouth.set_multicast_loop_v4(true)?;
        }
        Interface::V6(index) => {
            mouth.set_multicast_if_v6(index)?;
            mouth.set_multicast_hops_v6(hops)?;
            mouth.set_multicast_loop_v6(true)?;
        }
    }
    // Nobody waits for room: what does not fit is said again soon.
    mouth.set_nonblocking(true)?;
    Ok((mouth.into(), on(group, interface)))
}

/// The number of the interface that has this address; none if that can not be told. Only Linux tells without more than
/// the standard library.
pub(super) fn index_of(ip: Ipv6Addr) -> Option<u32> {
    let wanted: String = ip.octets().iter().map(|byte| format!("{byte:02x}")).collect();
    let table = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    let line = table.lines().find(|line| line.starts_with(&wanted))?;
    u32::from_str_radix(line.split_ascii_whitespace().nth(1)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_sent_to_the_host_from_elsewhere_is_not_on_the_link() {
        assert!(is_on_link(addr("[fe80::1%2]:7991")) && is_on_link(addr("[::1]:7991")));
        assert!(!is_on_link(addr("[2001:db8::1]:7991")) && !is_on_link(addr("[fd00::1]:7991")));
        assert!(!is_on_link(addr("203.0.113.7:7991")));
    }

    #[test]
    fn only_a_group_of_a_link_ends_where_the_link_ends() {
        assert!(is_of_link(addr("[ff02::6863]:7991")) && is_of_link(addr("[ff12::1]:7991")));
        assert!(!is_of_link(addr("[ff05::6863]:7991")) && !is_of_link(addr("239.192.104.99:7991")));
    }
}
