//! Whether a configuration can be run: every mistake is found here, before anything is opened.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Addresses, Config, DEFAULT_PORT, HostAddress, Profile, Seed};
use crate::allow::Allow;
use crate::error::{Result, invalid};
use crate::state::State;
use crate::wire::body::MESSAGE_MAX;
use crate::wire::text::unfit_letter;

/// Names of nodes and clusters, in bytes.
const NAME_LEN: RangeInclusive<usize> = 1..=255;
const MAX_NODES: RangeInclusive<usize> = 1..=1_000_000;
const EVENT_CAPACITY: RangeInclusive<usize> = 1..=10_000_000;
const RECEIVE_BUFFER: RangeInclusive<usize> = 1..=1_073_741_824;
const RETRANSMIT: RangeInclusive<usize> = 1..=24;
/// Each has a thread.
const DISCOVERIES: RangeInclusive<usize> = 0..=16;
const MAX_MESSAGE: RangeInclusive<usize> = 1..=MESSAGE_MAX as usize;
/// Below the first no clock of an operating system can be trusted; above the second nobody waits.
const DURATION: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(366 * 24 * 60 * 60);
/// Why an address of one link is not taken.
pub(super) const SCOPED: &str = "an address with a scope, local to a link, can not be told to others";

impl Config {
    /// Checks everything that can be checked without the system.
    pub(crate) fn validate(&self) -> Result<Addresses> {
        if let Some(name) = &self.name {
            check_name("name", name)?;
        }
        check_name("cluster", &self.cluster)?;
        let addresses = self.addresses()?;
        check_range("discovery", &self.discoveries.len(), &DISCOVERIES)?;

        check_range("probe_interval", &self.probe_interval, &DURATION)?;
        check_range("probe_timeout", &self.probe_timeout, &DURATION)?;
        check_range("gossip_interval", &self.gossip_interval, &DURATION)?;
        check_range("retransmit", &self.retransmit, &RETRANSMIT)?;
        check_range("isolation_timeout", &self.isolation_timeout, &DURATION)?;
        check_range("rejoin_interval", &self.rejoin_interval, &DURATION)?;
        check_range("tombstone_ttl", &self.tombstone_ttl, &DURATION)?;
        check_range("join_timeout", &self.join_timeout, &DURATION)?;
        check_range("max_nodes", &self.max_nodes, &MAX_NODES)?;
        if self.state_rate == Some(0) {
            return Err(invalid("state_rate", "0 writes a second bring no state anywhere".to_owned()));
        }
        check_range("event_capacity", &self.event_capacity, &EVENT_CAPACITY)?;
        check_range("receive_buffer", &self.receive_buffer, &RECEIVE_BUFFER)?;
        check_range("send_timeout", &self.send_timeout, &DURATION)?;
        check_range("max_message", &self.max_message, &MAX_MESSAGE)?;
        #[cfg(feature = "encryption")]
        self.keyring.check()?;
        let mut state = State::default();
        self.state.iter().try_for_each(|(key, value)| state.set(key, value).map(|_| ()))?;
        if self.snapshot.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(invalid("snapshot", "is empty"));
        }
        if self.keep_state && self.snapshot.is_none() {
            return Err(invalid("keep_state", "there is no snapshot to keep it in"));
        }

        if self.probe_timeout >= self.probe_interval {
            let (timeout, interval) = (self.probe_timeout, self.probe_interval);
            let reason = format!("{timeout:?} is not shorter than the probe interval of {interval:?}");
            return Err(invalid("probe_timeout", reason));
        }
        if self.isolation_timeout < self.probe_interval {
            let (timeout, interval) = (self.isolation_timeout, self.probe_interval);
            let reason = format!("{timeout:?} is shorter than the probe interval of {interval:?}");
            return Err(invalid("isolation_timeout", reason));
        }
        Ok(addresses)
    }

    fn addresses(&self) -> Result<Addresses> {
        let default_ip = match self.profile {
            Profile::Local => Ipv4Addr::LOCALHOST,
            Profile::Lan | Profile::Wan => Ipv4Addr::UNSPECIFIED,
        };
        let (bind, fallback) = match &self.bind {
            Some(text) => (HostAddress::parse_bind(text).map_err(|reason| invalid("bind", reason))?, None),
            None => {
                let any_port = SocketAddr::new(default_ip.into(), 0);
                let fallback = (self.profile == Profile::Local).then_some(any_port);
                (HostAddress::Addr(SocketAddr::new(default_ip.into(), DEFAULT_PORT)), fallback)
            }
        };
        let advertise = match &self.advertise {
            Some(text) => {
                Some(HostAddress::parse_advertise(text).map_err(|reason| invalid("advertise", reason))?)
            }
            None => None,
        };
        let seeds = self.seeds.iter().map(|text| Seed::parse(text)).collect::<Result<Vec<_>, _>>();
        let seeds = seeds.map_err(|reason| invalid("seeds", reason))?;
        let allow = self.allow()?;
        check_allowed(&allow, self.name.as_deref(), advertise.as_ref().and_then(HostAddress::literal))?;
        Ok(Addresses { bind, fallback, advertise, seeds, allow })
    }

    fn allow(&self) -> Result<Allow> {
        let mut allow = Allow::default();
        if let Some(networks) = &self.allow_networks {
            allow.set_networks(networks).map_err(|reason| invalid("allow_networks", reason))?;
        }
        if let Some(names) = &self.allow_names {
            allow.set_names(names).map_err(|reason| invalid("allow_names", reason))?;
        }
        Ok(allow)
    }
}

/// An error if the own name or address, as far as they are known, is not on the own lists.
pub(super) fn check_allowed(allow: &Allow, name: Option<&str>, addr: Option<SocketAddr>) -> Result<()> {
    if let Some(addr) = addr.filter(|addr| !allow.takes_address(addr.ip())) {
        return Err(invalid("allow_networks", format!("the own address {addr} is in none of them")));
    }
    if let Some(name) = name.filter(|name| !allow.takes_name(name)) {
        return Err(invalid("allow_names", format!("the own name {name} is of none of these patterns")));
    }
    Ok(())
}

fn check_name(field: &'static str, name: &str) -> Result<()> {
    check_range(field, &name.len(), &NAME_LEN).map_err(|_| {
        let (min, max) = (NAME_LEN.start(), NAME_LEN.end());
        invalid(field, format!("has {} bytes, not {min} to {max}", name.len()))
    })?;
    match unfit_letter(name) {
        Some(letter) => Err(invalid(field, format!("{name:?} has the character {letter:?}"))),
        None => Ok(()),
    }
}

fn check_range<T: PartialOrd + fmt::Debug>(
    field: &'static str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<()> {
    if range.contains(value) {
        return Ok(());
    }
    let (min, max) = (range.start(), range.end());
    Err(invalid(field, format!("{value:?} is not between {min:?} and {max:?}")))
}

/// Whether a datagram can be meant for one member at this address.
pub(super) fn check_destination(addr: SocketAddr) -> Result<(), String> {
    check_scope(addr.ip())?;
    let is_broadcast = matches!(addr.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    if addr.ip().is_unspecified() {
        Err("a wildcard is not an address to send to".into())
    } else if addr.ip().is_multicast() || is_broadcast {
        Err("is not the address of one host".into())
    } else if addr.port() == 0 {
        Err("port 0 is not a port to send to".into())
    } else {
        Ok(())
    }
}

/// Members tell each other their addresses. One that is local to a link needs a scope (`%eth0`), which means something
/// on one host only, so it is of no use to others.
pub(super) fn check_scope(ip: IpAddr) -> Result<(), String> {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Err(SCOPED.to_owned()),
        _ => Ok(()),
    }
}
