//! How `bind` and `advertise` are written: as an address, or as something by which the system finds one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::seeds::{Place, Seed};
use super::validate::{SCOPED, check_destination, check_scope};
use crate::allow::Network;
use crate::transport::canonical;

/// An address of this host, or one that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostAddress {
    /// That address.
    Addr(SocketAddr),
    /// The host's address in a network, with this port or the usual one.
    Network(Network, Option<u16>),
    /// The address of an interface, by its name, with this port or the usual one.
    Interface(String, Option<u16>),
    /// The address that a host name stands for, and a port.
    Host(String, u16),
}

impl HostAddress {
    /// Reads what to bind: `"ip:port"`, `":port"`, a network or an interface.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(super) fn parse_bind(text: &str) -> Result<Self, String> {
        if let Some(found) = Self::parse_found(text)? {
            return Ok(found);
        }
        let addr = match text.strip_prefix(':').map(str::parse) {
            Some(Ok(port)) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
            _ if text.contains('%') => return Err(format!("{text:?}: {SCOPED}")),
            _ => text.parse().map_err(|_| format!("{text:?} is neither \"ip:port\" nor \":port\""))?,
        };
        check_scope(addr.ip()).map_err(|reason| format!("{text:?}: {reason}"))?;
        let is_broadcast = matches!(addr.ip(), IpAddr::V4(ip) if ip.is_broadcast());
        if addr.ip().is_multicast() || is_broadcast {
            return Err(format!("{text:?} is not the address of an interface"));
        }
        Ok(Self::Addr(canonical(addr)))
    }

    /// Reads what to advertise: `"ip:port"`, `"host:port"`, a network or an interface.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(super) fn parse_advertise(text: &str) -> Result<Self, String> {
        if let Some(found) = Self::parse_found(text)? {
            return if found.port() == Some(0) { Err(format!("{text:?} has port 0")) } else { Ok(found) };
        }
        if text.contains('%') {
            return Err(format!("{text:?}: {SCOPED}"));
        }
        if let Ok(addr) = text.parse().map(canonical) {
            check_destination(addr).map_err(|reason| format!("{text:?}: {reason}"))?;
            return Ok(Self::Addr(addr));
        }
        match Seed::parse(text).map(|seed| seed.place) {
            Ok(Place::Host(name, port)) if text.contains(':') => Ok(Self::Host(name, port)),
            Ok(_) | Err(_) => Err(format!("{text:?} is neither \"ip:port\" nor \"host:port\"")),
        }
    }

    /// A network or an interface, each with a port or without; none if it is neither.
    fn parse_found(text: &str) -> Result<Option<Self>, String> {
        let port = |digits: &str| match digits.parse() {
            Ok(port) if digits.bytes().all(|digit| digit.is_ascii_digit()) => Ok(port),
            _ => Err(format!("{text:?}: {digits:?} is no port")),
        };
        if let Some(interface) = text.strip_prefix('%') {
            let (name, port) = match interface.rsplit_once(':') {
                Some((name, digits)) => (name, Some(port(digits)?)),
                None => (interface, None),
            };
            if name.is_empty() || name.contains(char::is_control) {
                return Err(format!("{text:?} names no interface"));
            }
            return Ok(Some(Self::Interface(name.to_owned(), port)));
        }
        let Some((ip, rest)) = text.split_once('/') else {
            return Ok(None);
        };
        let (bits, port) = match rest.split_once(':') {
            Some((bits, digits)) => (bits, Some(port(digits)?)),
            None => (rest, None),
        };
        Ok(Some(Self::Network(Network::parse(&format!("{ip}/{bits}"))?, port)))
    }

    /// The address, if nothing has to be found out for it.
    pub(crate) fn literal(&self) -> Option<SocketAddr> {
        match self {
            Self::Addr(addr) => Some(*addr),
            Self::Network(..) | Self::Interface(..) | Self::Host(..) => None,
        }
    }

    /// The port, if it is given.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Addr(addr) => Some(addr.port()),
            Self::Network(_, port) | Self::Interface(_, port) => *port,
            Self::Host(_, port) => Some(*port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str, port: Option<u16>) -> HostAddress {
        HostAddress::Network(Network::parse(text).unwrap(), port)
    }

    #[test]
    fn networks_and_interfaces_are_understood_with_a_port_and_without() {
        let interface = |name: &str, port| HostAddress::Interface(name.to_owned(), port);
        for (text, expected) in [
            ("10.0.0.0/8", network("10.0.0.0/8", None)),
            ("10.0.0.0/8:7990", network("10.0.0.0/8", Some(7990))),
            ("fd00::/8", network("fd00::/8", None)),
            ("fd00::/8:1", network("fd00::/8", Some(1))),
            ("%eth1", interface("eth1", None)),
            ("%eth1:9000", interface("eth1", Some(9000))),
        ] {
            assert_eq!(HostAddress::parse_bind(text).as_ref(), Ok(&expected), "{text}");
            assert_eq!(HostAddress::parse_advertise(text).as_ref(), Ok(&expected), "{text}");
        }
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/8:",
            "10.0.0.0/8:x",
            "/8",
            "%",
            "%:1",
            "%eth1:+1",
            "eth/1",
        ] {
            assert!(HostAddress::parse_bind(text).is_err(), "{text}");
            assert!(HostAddress::parse_advertise(text).is_err(), "{text}");
        }
    }

    #[test]
    fn port_0_can_be_bound_and_not_advertised() {
        for text in ["10.0.0.0/8:0", "%eth1:0"] {
            assert_eq!(HostAddress::parse_bind(text).unwrap().port(), Some(0), "{text}");
            assert!(HostAddress::parse_advertise(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_name_can_be_advertised_and_not_bound() {
        let expected = HostAddress::Host("gate.example.com".to_owned(), 9001);
        assert_eq!(HostAddress::parse_advertise("gate.example.com:9001"), Ok(expected));
        for text in ["gate.example.com", "gate:0", "gate:port", ":7990", "10.0.0.1"] {
            assert!(HostAddress::parse_advertise(text).is_err(), "{text}");
        }
        assert!(HostAddress::parse_bind("gate.example.com:9001").is_err());
    }
}
