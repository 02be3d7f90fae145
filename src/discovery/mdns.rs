//! mDNS and DNS-SD (RFC 6762, RFC 6763): how printers are found, through the crate `mdns-sd`.
//!
//! A member is an instance of the service `_headcount._udp`. Its name is a hash of the node's, since DNS has rules for
//! names and we have others; its text shows the cluster, and the address that it advertises. That address may lie outside
//! the networks of its interfaces, and then has no address record: `mdns-sd` answers on an interface with addresses of its
//! network only. The records hold those of the interfaces, and are used only if the text shows none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mdns_sd::{DaemonEvent, IfKind, Receiver, RecvTimeoutError, ServiceDaemon, ServiceEvent, ServiceInfo};

use super::{Discovery, not_simulated};
use crate::config::{Place, Seed};
use crate::member::Member;
use crate::wire::{ClusterTag, NameHash};

const SERVICE: &str = "_headcount._udp.local.";
/// The key of the text that holds the cluster's tag.
const CLUSTER: &str = "cluster";
/// The key of the text that shows the advertised address.
const ADDR: &str = "addr";
/// How long the first question waits for answers. Later ones are returned the next time.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the end waits for the goodbye to be said, and for the thread of `mdns-sd`.
const FAREWELL: Duration = Duration::from_millis(500);
/// Events that are taken in at a time; the rest is taken in the next time.
const EVENTS_MAX: usize = 1_024;
/// Instances that are remembered; further ones are not.
const KNOWN_MAX: usize = 256;

/// Finds the members on the same network by mDNS, as the service `_headcount._udp`.
///
/// [`Multicast`](super::Multicast) does the same with less traffic, and needs no other crate. This is for networks where
/// mDNS is what gets through, or where members shall be seen with the usual tools (`avahi-browse _headcount._udp`).
/// It has a thread of its own, that of the crate `mdns-sd`, and takes up to a second longer, since mDNS has each name
/// checked first. A member that moves is announced anew, and at its end, if there is time for that
/// ([`Discovery`]), it is taken back; else others forget it after a while.
///
/// With the feature `mdns`.
///
/// ```
/// use headcount::discovery::Mdns;
/// use headcount::{Config, Member};
///
/// let member = Member::create(Config::local().bind("127.0.0.1:0").discovery(Mdns::new()))?;
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Mdns {
    /// From the first question on.
    browser: Option<Browser>,
}

impl Mdns {
    /// On the interface that the member is bound to, or on all of them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Discovery for Mdns {
    /// The members that have announced themselves.
    ///
    /// # Errors
    ///
    /// What the crate `mdns-sd` says, if nobody is known.
    fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>> {
        let bound = me.bound().ok_or_else(|| not_simulated("mDNS"))?;
        let addr = me.addr();
        // The address that was announced is not the own one any more.
        self.browser.take_if(|browser| browser.addr != addr);
        let browser = match &mut self.browser {
            Some(browser) => browser,
            None => self.browser.insert(Browser::start(me, addr, bound).map_err(io::Error::other)?),
        };
        browser.listen()
    }
}

/// One member's part in mDNS.
struct Browser {
    /// What it has announced.
    addr: SocketAddr,
    daemon: ServiceDaemon,
    tag: String,
    fullname: String,
    events: Receiver<ServiceEvent>,
    troubles: Receiver<DaemonEvent>,
    /// Addresses by instance.
    known: BTreeMap<String, Vec<SocketAddr>>,
}

impl Browser {
    /// Announces the member, and begins to listen.
    fn start(me: &Member, addr: SocketAddr, bound: SocketAddr) -> mdns_sd::Result<Self> {
        let tag = ClusterTag::of(me.cluster());
        let instance = format!("{:016x}", NameHash::of(tag, me.name()).0);
        let tag = format!("{:016x}", tag.0);
        let host = format!("headcount-{instance}.local.");
        // Without a record of each network it would not be resolved there.
        let mut ips: BTreeSet<IpAddr> =
            if_addrs::get_if_addrs().unwrap_or_default().iter().map(if_addrs::Interface::ip).collect();
        ips.insert(addr.ip());
        let ips: Vec<IpAddr> = ips.into_iter().collect();
        let advertised = addr.to_string();
        let text = [(CLUSTER, &*tag), (ADDR, &*advertised)];
        let service = ServiceInfo::new(SERVICE, &instance, &host, &ips[..], addr.port(), &text[..])?;
        let fullname = service.get_fullname().to_owned();

        let daemon = ServiceDaemon::new()?;
        let troubles = daemon.monitor()?;
        if !bound.ip().is_unspecified() {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(IfKind::Addr(bound.ip()))?;
        }
        let events = daemon.browse(SERVICE)?;
        daemon.register(service)?;
        Ok(Self { addr, daemon, tag, fullname, events, troubles, known: BTreeMap::new() })
    }

    /// Takes in what has come, and waits a little for the first one.
    fn listen(&mut self) -> io::Result<Vec<SocketAddr>> {
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..EVENTS_MAX {
            let patience = if self.known.is_empty() { deadline } else { Instant::now() };
            match self.events.recv_deadline(patience) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => break,
                // It ends when we are too slow: all that is there is reported again.
                Err(RecvTimeoutError::Disconnected) => {
                    self.events = self.daemon.browse(SERVICE).map_err(io::Error::other)?;
                    break;
                }
            }
        }
        let errors = self.troubles.try_iter().filter_map(|trouble| match trouble {
            DaemonEvent::Error(error) => Some(error),
            _ => None,
        });
        match errors.last() {
            Some(error) if self.known.is_empty() => Err(io::Error::other(error)),
            _ => Ok(self.known.values().flatten().copied().collect()),
        }
    }

    fn take(&mut self, event: ServiceEvent) {
        match event {
            ServiceEvent::ServiceResolved(found) => {
                let is_ours = found.get_property_val_str(CLUSTER) == Some(&self.tag);
                let has_room = self.known.len() < KNOWN_MAX || self.known.contains_key(&found.fullname);
                if is_ours && found.fullname != self.fullname && has_room {
                    let at = |ip: &mdns_sd::ScopedIp| SocketAddr::new(ip.to_ip_addr(), found.port);
                    let advertised = found.get_property_val_str(ADDR).and_then(advertised);
                    let addrs = match advertised {
                        Some(addr) => vec![addr],
                        None => found.addresses.iter().map(at).collect(),
                    };
                    self.known.insert(found.fullname.clone(), addrs);
                }
            }
            ServiceEvent::ServiceRemoved(_, fullname) => {
                self.known.remove(&fullname);
            }
            _ => {}
        }
    }
}

/// The address in the text of an instance.
fn advertised(text: &str) -> Option<SocketAddr> {
    match Seed::parse(text).ok()?.place {
        Place::Addr(addr) => Some(addr),
        Place::Here(_) | Place::Host(..) => None,
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // An error says that the daemon has ended, or is too busy to say goodbye: then the others forget us by time.
        if let Ok(said) = self.daemon.unregister(&self.fullname) {
            let _ = said.recv_timeout(FAREWELL);
        }
        if let Ok(ended) = self.daemon.shutdown() {
            let _ = ended.recv_timeout(FAREWELL);
        }
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser").field("known", &self.known).finish_non_exhaustive()
    }
}
