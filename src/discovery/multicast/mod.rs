//! Multicast: members on one network find each other, and nobody has to know anything.
//!
//! ```text
//!  newcomer                                the members, all in one group
//!  question (tag, view 0, own address)  →
//!                                       ←  answer (tag, view, own address), from one or two of them: each waits
//!                                          for up to 250 ms, and keeps silent if two others were quicker
//!  hello                                →  and all else as after any other discovery
//! ```
//!
//! The rules are in `responder`, the bytes in [`crate::wire`], the sockets in `channel`, the threads in `session`.

mod channel;
mod responder;
mod session;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use self::channel::{Channel, Interface, index_of};
use self::session::Session;
use super::{Discovery, not_simulated};
use crate::member::Member;

/// Of the block that organisations may use as they like (239.192.0.0/14, RFC 2365); the rest is "hc".
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 0x68, 0x63);
/// Local to the link (RFC 4291), "hc".
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x6863);
const PORT: u16 = 7991;
/// The own network only.
const HOPS: u32 = 1;

/// Finds the members on the same network, and is found by them, without any address given.
///
/// Each member is part of a multicast group. One that looks for others asks the group, and one or two of those who hear
/// it answer; of a thousand, some eight. Members of other clusters ([`Config::cluster`]) do not answer, any
/// number of members of one host take part, and cut-off halves of a cluster find each other.
///
/// | | default | |
/// |---|---|---|
/// | group, IPv4 | 239.192.104.99 | asked by members that are bound to IPv4 or to `[::]` |
/// | group, IPv6 | ff02::6863 | asked by members that are bound to IPv6 |
/// | port | 7991 | another one than that of the member, and the same for all |
/// | interface | that of the address which the member tells others | so that of the default route, or the loopback for a member that is bound to it |
/// | hops | 1 | the own network only |
///
/// What is said is no secret and proves nothing, with a key of the cluster as without: the address of the member, and
/// two hashes. Whoever can send to the group can lead members to where nobody is. It costs a member that is not alone a
/// datagram per [`Config::rejoin_interval`] at most, usually one in a whole cluster.
///
/// When the member moves, its interface is chosen anew.
///
/// Many wireless and nearly all cloud networks carry no multicast; containers hear each other on one host. Linux
/// loopbacks carry it for IPv4 only. Where no interface can, that is an error of the discovery
/// ([`Metrics::discovery_errors`](crate::Metrics::discovery_errors)), and it is tried again.
///
/// [`Config::cluster`]: crate::Config::cluster
/// [`Config::rejoin_interval`]: crate::Config::rejoin_interval
///
/// ```
/// use std::time::Duration;
/// use headcount::discovery::Multicast;
/// use headcount::{Config, Member};
///
/// let start = || Member::create(Config::local().cluster("doc").bind("127.0.0.1:0").discovery(Multicast::new()));
/// let (ann, bob) = (start()?, start()?);
/// ann.wait_until(Duration::from_secs(20), |nodes| nodes.len() == 2)?;
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Multicast {
    group: Option<IpAddr>,
    port: Option<u16>,
    interfaces: Vec<IpAddr>,
    hops: Option<u32>,
    /// From the first question on, as long as the member keeps its address.
    session: Option<Session>,
}

impl Multicast {
    /// The usual groups.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another group, instead of both.
    #[must_use]
    pub fn group(mut self, group: impl Into<IpAddr>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Another port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The interface that has this address, instead of the one that the member's address tells. Each call adds one.
    /// Those of IPv6 are found on Linux only; elsewhere the system chooses.
    #[must_use]
    pub fn interface(mut self, addr: impl Into<IpAddr>) -> Self {
        self.interfaces.push(addr.into());
        self
    }

    /// How many networks the question crosses, the own one included. Above 1 it needs routers that forward multicast,
    /// and with IPv6 a group of a wider scope, of ff05::/16 for example.
    #[must_use]
    pub fn hops(mut self, hops: u8) -> Self {
        self.hops = Some(hops.into());
        self
    }

    /// The groups of the families that the member can send to: as many as can be had. An error if there is none.
    fn open(&self, me: &Member, bound: SocketAddr) -> io::Result<Vec<Channel>> {
        let groups: Vec<IpAddr> = match self.group {
            Some(group) if group.is_multicast() => vec![group],
            Some(group) => {
                let reason = format!("{group} is not a multicast group");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
            None if bound.is_ipv4() => vec![GROUP_V4.into()],
            None if bound.ip().is_unspecified() => vec![GROUP_V4.into(), GROUP_V6.into()],
            None => vec![GROUP_V6.into()],
        };
        let mut channels = Vec::new();
        let mut failure = None;
        for group in groups {
            let group = SocketAddr::new(group, self.port.unwrap_or(PORT));
            match self.open_group(me, bound, group) {
                Ok(channel) => channels.push(channel),
                Err(error) => {
                    log::debug!("{}: {error}", me.name());
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if channels.is_empty() => Err(error),
            _ => Ok(channels),
        }
    }

    fn open_group(&self, me: &Member, bound: SocketAddr, group: SocketAddr) -> io::Result<Channel> {
        let open = |interfaces: &[Interface]| {
            let channel = Channel::open(group, interfaces, self.hops.unwrap_or(HOPS));
            channel.map_err(|error| {
                let on: Vec<String> = interfaces.iter().map(ToString::to_string).collect();
                io::Error::new(error.kind(), format!("multicast to {group} on {}: {error}", on.join(", ")))
            })
        };
        let is_of_family = |ip: &IpAddr| ip.is_ipv4() == group.is_ipv4() && !ip.is_unspecified();
        let named: Vec<Interface> =
            self.interfaces.iter().copied().filter(is_of_family).map(interface).collect();
        if !named.is_empty() {
            return open(&named);
        }
        let any = match group {
            // It is the one that there is.
            SocketAddr::V4(_) if me.addr().ip().is_loopback() => Interface::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V4(_) => Interface::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => Interface::V6(0),
        };
        if is_of_family(&bound.ip()) {
            open(&[interface(bound.ip())])
        } else if is_of_family(&me.addr().ip()) {
            // Others may be told of an address that this host does not have.
            open(&[interface(me.addr().ip())]).or_else(|_| open(&[any]))
        } else {
            open(&[any])
        }
    }
}

impl Discovery for Multicast {
    /// Asks, unless another member of the same view has just done so, and waits for answers, for half a second at most.
    ///
    /// # Errors
    ///
    /// There is no interface for it, the port is taken by something else, or the group is none.
    fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>> {
        let bound = me.bound().ok_or_else(|| not_simulated("multicast"))?;
        let own = me.addr();
        let session = match self.session.take() {
            Some(session) if session.is_of(own) => session,
            // The interfaces are those of the own address, so another address needs another session.
            _ => Session::start(me, own, self.open(me, bound)?)?,
        };
        let found = session.ask()?;
        // One that can not ask is not kept: its interface may be gone, and is looked for anew the next time.
        self.session = Some(session);
        Ok(found)
    }
}

fn interface(addr: IpAddr) -> Interface {
    match addr {
        IpAddr::V4(ip) => Interface::V4(ip),
        IpAddr::V6(ip) => Interface::V6(index_of(ip).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests;
