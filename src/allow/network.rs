//! Networks in CIDR notation (RFC 4632): an address, and how many of its first bits count.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    /// The bits behind the prefix are zero.
    first: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads `"10.0.0.0/8"` or `"fd00::/8"`; an address alone is the network that holds only it. An IPv4 address
    /// that is mapped into IPv6 is that IPv4 address.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let address: IpAddr =
            address.parse().map_err(|_| format!("{text:?} is neither \"ip/bits\" nor an ip address"))?;
        let bits = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        let prefix = match prefix {
            None => bits,
            Some(digits) => parse_prefix(digits)
                .filter(|prefix| *prefix <= bits)
                .ok_or_else(|| format!("{text:?} has no number of bits from 0 to {bits} after the slash"))?,
        };
        let first = first_of(address, prefix);
        if first != address {
            return Err(format!("{text:?} has bits set behind its prefix: the network is {first}/{prefix}"));
        }
        let mapped_bits = Ipv6Addr::BITS - Ipv4Addr::BITS;
        Ok(match first.to_canonical() {
            v4 @ IpAddr::V4(_) if first.is_ipv6() && prefix >= mapped_bits => {
                Self { first: v4, prefix: prefix - mapped_bits }
            }
            _ => Self { first, prefix },
        })
    }

    /// Whether it holds an address, which is not a mapped one.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.first.is_ipv4() && first_of(ip, self.prefix) == self.first
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

fn parse_prefix(digits: &str) -> Option<u32> {
    // A sign would be a number to `parse`.
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// An address with the bits behind a prefix cleared.
fn first_of(ip: IpAddr, prefix: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(Ipv4Addr::BITS - prefix).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(Ipv6Addr::BITS - prefix).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}
