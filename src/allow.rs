//! Who may be in the cluster, by address and by name: lists that a member is given, and keeps to.
//!
//! Without a key whoever reaches a member can join. Where the addresses of the hosts are known, or their names follow
//! a pattern, a list keeps out what was started in the wrong place, and whoever can not send from an address on it.
//! It is no secret, and no proof: who can forge such an address is not kept out.
//!
//! A list that was not given takes everybody; an empty one takes nobody. They are plain data, made by
//! [`Config`](crate::Config) and asked by the protocol wherever a datagram, a record or a seed comes in, and wherever
//! a datagram goes out.

mod network;
mod pattern;

use std::net::IpAddr;

pub(crate) use self::network::Network;
use self::pattern::Pattern;

/// The lists of one member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Allow {
    networks: Option<Vec<Network>>,
    names: Option<Vec<Pattern>>,
}

impl Allow {
    /// Takes the addresses of these networks only.
    ///
    /// # Errors
    ///
    /// What is wrong with one of the texts, in words.
    pub(crate) fn set_networks(&mut self, texts: &[String]) -> Result<(), String> {
        self.networks = Some(texts.iter().map(|text| Network::parse(text)).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Takes names of these patterns only.
    ///
    /// # Errors
    ///
    /// What is wrong with one of the texts, in words.
    pub(crate) fn set_names(&mut self, texts: &[String]) -> Result<(), String> {
        self.names = Some(texts.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Whether an address is in one of the networks.
    pub(crate) fn takes_address(&self, ip: IpAddr) -> bool {
        self.networks.as_ref().is_none_or(|networks| networks.iter().any(|network| network.contains(ip)))
    }

    /// Whether a name is of one of the patterns.
    pub(crate) fn takes_name(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.iter().any(|pattern| pattern.matches(name)))
    }
}

#[cfg(test)]
mod tests;
