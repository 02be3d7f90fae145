//! The translation of addresses (NAT): a translator stands between hosts and the network, and writes other addresses
//! into their datagrams.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::protocol::Instant;

/// After how long without use a port is forgotten, unless set otherwise.
const FORGETS_AFTER: Duration = Duration::from_secs(30);
/// The first of the ports that are assigned.
const FIRST_PORT: u16 = 20_000;
/// Up to this number of flows, none are cleared away.
const FLOWS_MANY: usize = 10_000;

/// What translates the addresses of hosts that are behind it: see [`Cluster::translate`](crate::sim::Cluster::translate).
///
/// A datagram from a host behind it arrives outside from the outside address, and from a port that the translator has
/// assigned. The destination can answer to that port until nothing has passed for a while; then the port is forgotten.
/// Nothing else gets in, except through a port that is [mapped](Self::map): answers to what came in through it leave
/// from that port, unless the host was the first to send to that destination; then they leave from the assigned port,
/// until it is forgotten. Hosts behind the same translator reach each other directly.
///
/// ```
/// use headcount::sim::Translator;
///
/// // A home router.
/// let router = Translator::new([203, 0, 113, 1]);
/// // The network of a container: port 9001 outside is 7990 inside.
/// let bridge = Translator::new([203, 0, 113, 2]).map(9001, "bob").hairpin(true);
/// # let _ = (router, bridge);
/// ```
#[derive(Debug, Clone)]
pub struct Translator {
    outside: IpAddr,
    per_destination: bool,
    keeps_ports: bool,
    is_open: bool,
    hairpins: bool,
    forgets_after: Duration,
    /// The host that each port leads to.
    mapped: BTreeMap<u16, String>,
}

impl Translator {
    /// A translator with this outside address. It assigns one port to each host, lets in only answers, has no hairpin,
    /// and forgets a port after 30 s without use.
    #[must_use]
    pub fn new(outside: impl Into<IpAddr>) -> Self {
        Self {
            outside: outside.into(),
            per_destination: false,
            keeps_ports: false,
            is_open: false,
            hairpins: false,
            forgets_after: FORGETS_AFTER,
            mapped: BTreeMap::new(),
        }
    }

    /// Maps an outside port to a host inside: every host can send to it.
    #[must_use]
    pub fn map(mut self, port: u16, host: &str) -> Self {
        self.mapped.insert(port, host.to_owned());
        self
    }

    /// Whether it assigns another port for each destination (a symmetric NAT), not one for all that a host sends.
    #[must_use]
    pub fn per_destination(self, is_on: bool) -> Self {
        Self { per_destination: is_on, ..self }
    }

    /// Whether it assigns the port that the host uses inside, if no other host has it. If that port is mapped to the host
    /// as well, only the address is translated.
    #[must_use]
    pub fn keep_ports(self, is_on: bool) -> Self {
        Self { keeps_ports: is_on, ..self }
    }

    /// Whether it lets everything in through a port that is assigned (a full cone), not only answers.
    #[must_use]
    pub fn open(self, is_on: bool) -> Self {
        Self { is_open: is_on, ..self }
    }

    /// Whether hosts behind it reach each other through its outside address.
    #[must_use]
    pub fn hairpin(self, is_on: bool) -> Self {
        Self { hairpins: is_on, ..self }
    }

    /// After how long without use a port is forgotten.
    #[must_use]
    pub fn forget_after(self, time: Duration) -> Self {
        Self { forgets_after: time, ..self }
    }
}

/// A translator at work.
#[derive(Debug)]
pub(super) struct Translation {
    rules: Translator,
    /// The port by which an address inside and one outside communicate.
    flows: BTreeMap<(SocketAddr, SocketAddr), Flow>,
    /// The address inside that a port was assigned to.
    owners: BTreeMap<u16, SocketAddr>,
    next_port: u16,
    /// With more flows than this the old ones are cleared away.
    flows_many: usize,
}

/// The flow between an address inside and one outside.
#[derive(Debug, Clone, Copy)]
struct Flow {
    port: u16,
    used: Instant,
}

impl Translation {
    pub(super) fn new(rules: Translator) -> Self {
        Self {
            rules,
            flows: BTreeMap::new(),
            owners: BTreeMap::new(),
            next_port: FIRST_PORT,
            flows_many: FLOWS_MANY,
        }
    }

    /// Whether this is its address outside.
    pub(super) fn is_at(&self, ip: IpAddr) -> bool {
        self.rules.outside == ip
    }

    pub(super) fn hairpins(&self) -> bool {
        self.rules.hairpins
    }

    /// Forgets all ports that were assigned.
    pub(super) fn flush(&mut self) {
        self.flows.clear();
        self.owners.clear();
    }

    /// Takes a datagram from inside to an address outside. Returns the source that it has there.
    pub(super) fn outgoing(&mut self, now: Instant, inside: SocketAddr, to: SocketAddr) -> SocketAddr {
        let port = match self.flow(now, inside, to) {
            Some(flow) => flow.port,
            None => self.port_for(now, inside),
        };
        self.note(now, inside, to, port);
        SocketAddr::new(self.rules.outside, port)
    }

    /// Takes a datagram from outside to one of its ports. Returns the address inside that it goes to; none if it may
    /// not pass.
    pub(super) fn incoming(
        &mut self,
        now: Instant,
        port: u16,
        from: SocketAddr,
        address_of: impl Fn(&str) -> Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let inside = match self.rules.mapped.get(&port) {
            Some(name) => address_of(name)?,
            None => {
                let inside = *self.owners.get(&port)?;
                let is_asked = self.flow(now, inside, from).is_some_and(|flow| flow.port == port);
                let is_open = self.rules.is_open && self.port_of(now, inside) == Some(port);
                if !is_asked && !is_open {
                    return None;
                }
                inside
            }
        };
        // A flow that was begun from inside keeps its port.
        let port = self.flow(now, inside, from).map_or(port, |flow| flow.port);
        self.note(now, inside, from, port);
        Some(inside)
    }

    fn note(&mut self, now: Instant, inside: SocketAddr, outside: SocketAddr, port: u16) {
        self.flows.insert((inside, outside), Flow { port, used: now });
        if self.flows.len() > self.flows_many {
            let keeps = self.rules.forgets_after;
            self.flows.retain(|_, flow| now.since(flow.used) < keeps);
            self.flows_many = FLOWS_MANY.max(2 * self.flows.len());
        }
    }

    /// The flow between two addresses, if it is not forgotten.
    fn flow(&self, now: Instant, inside: SocketAddr, outside: SocketAddr) -> Option<Flow> {
        let flow = self.flows.get(&(inside, outside)).copied();
        flow.filter(|flow| now.since(flow.used) < self.rules.forgets_after)
    }

    /// The port that was assigned to an address, if it is not forgotten.
    fn port_of(&self, now: Instant, inside: SocketAddr) -> Option<u16> {
        let lowest = SocketAddr::from(([0; 4], 0));
        let flows = self.flows.range((inside, lowest)..).take_while(|((of, _), _)| *of == inside);
        let mut live = flows.filter(|(_, flow)| now.since(flow.used) < self.rules.forgets_after);
        live.find(|(_, flow)| self.owners.get(&flow.port) == Some(&inside)).map(|(_, flow)| flow.port)
    }

    /// The port for a new flow from an address.
    fn port_for(&mut self, now: Instant, inside: SocketAddr) -> u16 {
        if !self.rules.per_destination
            && let Some(port) = self.port_of(now, inside)
        {
            return port;
        }
        let own = inside.port();
        if self.rules.keeps_ports && self.owners.get(&own).is_none_or(|owner| *owner == inside) {
            self.owners.insert(own, inside);
            return own;
        }
        // If all ports are in use, the next one in turn is taken away from its owner.
        let mut port = self.next_port;
        for _ in FIRST_PORT..u16::MAX {
            let is_used = |flow: &Flow| flow.port == port && now.since(flow.used) < self.rules.forgets_after;
            if !self.rules.mapped.contains_key(&port) && !self.flows.values().any(is_used) {
                break;
            }
            port = following(port);
        }
        self.next_port = following(port);
        self.owners.insert(port, inside);
        port
    }
}

/// The port after this one, of those that are assigned.
fn following(port: u16) -> u16 {
    if port == u16::MAX { FIRST_PORT } else { port + 1 }
}
