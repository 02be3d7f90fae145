//! Names and addresses in less memory: each view of a cluster holds one of each for each node, so what N members know
//! of each other grows with N².

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str;
use std::sync::Arc;

/// Names up to this length, in bytes, are kept in place. One that is longer costs an allocation.
pub(super) const SHORT_MAX: usize = 22;

/// A name. As large as three words, whatever its length.
#[derive(Debug, Clone)]
pub(super) enum Name {
    /// The first bytes are the name, and the others are zero.
    Short {
        len: u8,
        bytes: [u8; SHORT_MAX],
    },
    Long(Arc<str>),
}

impl Name {
    pub(super) fn new(name: &str) -> Self {
        let mut bytes = [0; SHORT_MAX];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(name.as_bytes());
                Self::Short { len, bytes }
            }
            _ => Self::Long(name.into()),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            #[expect(clippy::expect_used, reason = "these bytes were copied from a text")]
            Self::Short { .. } => str::from_utf8(self.as_bytes()).expect("a name is text"),
            Self::Long(name) => name,
        }
    }

    /// Its bytes are in the same order as the text, and are had without looking whether they are one.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(name) => name.as_bytes(),
        }
    }
}

/// An address as members tell it: without scope and flow label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// IPv4 addresses are mapped into IPv6; a member is never told of one that is so by itself.
    ip: [u8; 16],
    port: u16,
}

impl Place {
    pub(super) fn new(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: addr.port() }
    }

    pub(super) fn addr(self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.ip).to_canonical(), self.port)
    }
}
