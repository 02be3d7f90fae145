//! How a member is to run.
//!
//! A [`Config`] is made of a profile and of what differs from it. Its setters only take down what they are
//! given; everything is checked in one place, `validate`, before anything is opened.

mod host_address;
mod seeds;
mod start;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::host_address::HostAddress;
pub use self::seeds::IntoSeeds;
pub(crate) use self::seeds::{Place, Seed, texts};
pub(crate) use self::start::Addresses;
use crate::discovery::Discovery;
#[cfg(doc)]
use crate::error::Error;
use crate::event::Event;
#[cfg(feature = "encryption")]
use crate::keyring::Keyring;
use crate::listener::Listener;
use crate::member::Member;
use crate::transport::Open;

/// The port of a member, unless another one is set.
pub(crate) const DEFAULT_PORT: u16 = 7990;

/// The settings of a member.
///
/// Start from the profile of the network, and change what has to be different:
///
/// | | [`local`](Self::local) | [`lan`](Self::lan) | [`wan`](Self::wan) |
/// |---|---|---|---|
/// | for | one host: development, tests | one data centre | several sites |
/// | [`bind`](Self::bind) | `127.0.0.1:7990`, or any free port | `0.0.0.0:7990` | `0.0.0.0:7990` |
/// | [`probe_interval`](Self::probe_interval) | 250 ms | 1 s | 5 s |
/// | [`probe_timeout`](Self::probe_timeout) | 100 ms | 500 ms | 3 s |
/// | [`gossip_interval`](Self::gossip_interval) | 10 ms | 20 ms | 100 ms |
/// | [`isolation_timeout`](Self::isolation_timeout) | 10 s | 40 s | 120 s |
/// | [`rejoin_interval`](Self::rejoin_interval) | 3 s | 10 s | 30 s |
/// | [`join_timeout`](Self::join_timeout) | 2 s | 5 s | 15 s |
/// | [`send_timeout`](Self::send_timeout) | 2 s | 5 s | 15 s |
///
/// All members of a cluster should have the same values, except for names, addresses, seeds and listeners.
///
/// Setters never fail, resolve or block. [`Member::create`] reports every mistake as [`Error::Config`] before
/// it opens a socket. Durations are between 1 ms and 366 days.
///
/// ```
/// use headcount::{Config, Member};
///
/// let config = Config::lan().name("web-1").cluster("shop").bind("127.0.0.1:0");
/// let member = Member::create(config)?;
/// assert_eq!(member.name(), "web-1");
/// # Ok::<(), headcount::Error>(())
/// ```
#[must_use]
pub struct Config {
    name: Option<String>,
    cluster: String,
    /// `None`: the profile's, for which see `fallback`.
    bind: Option<String>,
    profile: Profile,
    advertise: Option<String>,
    seeds: Vec<String>,
    discoveries: Vec<Box<dyn Discovery>>,
    listener: Option<Box<dyn Listener>>,
    probe_interval: Duration,
    probe_timeout: Duration,
    gossip_interval: Duration,
    retransmit: usize,
    isolation_timeout: Duration,
    rejoin_interval: Duration,
    tombstone_ttl: Duration,
    join_timeout: Duration,
    max_nodes: usize,
    state_rate: Option<u32>,
    event_capacity: usize,
    receive_buffer: usize,
    /// `None`: UDP.
    transport: Option<Box<dyn Open>>,
    send_timeout: Duration,
    max_message: usize,
    #[cfg(feature = "encryption")]
    keyring: Keyring,
    /// What the own state begins with.
    state: BTreeMap<String, Vec<u8>>,
    snapshot: Option<PathBuf>,
    keep_state: bool,
    allow_networks: Option<Vec<String>>,
    allow_names: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    Local,
    Lan,
    Wan,
}

impl Config {
    /// For members on one host: quick to notice, reachable from this host only.
    ///
    /// It is bound to `127.0.0.1:7990`, and to any free port when that is taken: so a program that is started
    /// three times and joins `":7990"` is a cluster. The fallback ends when [`bind`](Self::bind) is called.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let first = Member::create(Config::local())?;
    /// let second = Member::create(Config::local())?;
    /// assert_ne!(first.addr(), second.addr());
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn local() -> Self {
        Self {
            profile: Profile::Local,
            probe_interval: Duration::from_millis(250),
            probe_timeout: Duration::from_millis(100),
            gossip_interval: Duration::from_millis(10),
            isolation_timeout: Duration::from_secs(10),
            rejoin_interval: Duration::from_secs(3),
            join_timeout: Duration::from_secs(2),
            send_timeout: Duration::from_secs(2),
            ..Self::lan()
        }
    }

    /// For members in one data centre. This is also the `Default`.
    ///
    /// It is bound to port 7990 of all IPv4 interfaces; a taken port is an error.
    ///
    /// ```no_run
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::lan().seeds(["db-1", "db-2", "db-3"]))?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn lan() -> Self {
        Self {
            name: None,
            cluster: "headcount".to_owned(),
            bind: None,
            profile: Profile::Lan,
            advertise: None,
            seeds: Vec::new(),
            discoveries: Vec::new(),
            listener: None,
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            gossip_interval: Duration::from_millis(20),
            retransmit: 4,
            isolation_timeout: Duration::from_secs(40),
            rejoin_interval: Duration::from_secs(10),
            tombstone_ttl: Duration::from_secs(24 * 60 * 60),
            join_timeout: Duration::from_secs(5),
            max_nodes: 16_384,
            state_rate: None,
            event_capacity: 4_096,
            receive_buffer: 4 * 1024 * 1024,
            transport: None,
            send_timeout: Duration::from_secs(5),
            max_message: 1024 * 1024,
            #[cfg(feature = "encryption")]
            keyring: Keyring::plain(),
            snapshot: None,
            keep_state: false,
            state: BTreeMap::new(),
            allow_networks: None,
            allow_names: None,
        }
    }

    /// For members at several sites: patient with long and lossy ways.
    ///
    /// It is bound to port 7990 of all IPv4 interfaces; a taken port is an error.
    ///
    /// ```no_run
    /// use headcount::{Config, Member};
    ///
    /// let config = Config::wan().advertise("203.0.113.7:7990").seeds("oslo.example.com");
    /// let member = Member::create(config)?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn wan() -> Self {
        Self {
            profile: Profile::Wan,
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            gossip_interval: Duration::from_millis(100),
            isolation_timeout: Duration::from_secs(120),
            rejoin_interval: Duration::from_secs(30),
            join_timeout: Duration::from_secs(15),
            send_timeout: Duration::from_secs(15),
            ..Self::lan()
        }
    }

    /// The node's name: 1 to 255 bytes of UTF-8 without characters that change how others are shown (Unicode's
    /// categories Cc, Cf, Zl and Zp), unique in the cluster. A node that comes back under its name is the same node,
    /// restarted. Default: the advertised `"ip:port"`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The cluster's name: 1 to 255 bytes of UTF-8, as the node's name. Members of clusters of different names ignore
    /// each other, even if they meet by mistake. It is no secret. Default: `"headcount"`.
    pub fn cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = cluster.into();
        self
    }

    /// Where to receive datagrams: a `SocketAddr`, or one of
    ///
    /// | form | is bound |
    /// |---|---|
    /// | `"10.0.0.1:7990"`, `"[fd00::1]:7990"` | that address |
    /// | `":7990"` | all IPv4 interfaces |
    /// | `"[::]:7990"` | all interfaces, with IPv6 and IPv4 |
    /// | `"10.0.0.0/8:7990"`, `"10.0.0.0/8"` | the host's address in that network; port 7990, unless another one is given |
    /// | `"%eth1:7990"`, `"%eth1"` | the address of that interface, one of IPv4 if it has any; likewise |
    ///
    /// Port 0 is any free port, read back by [`Member::addr`]. Host names are not taken. A network or an interface is
    /// looked up by [`Member::create`], and it is an [`Error::Io`] if the host has no address there. Of several addresses
    /// the lowest is bound. The socket stays there when the host's addresses change. Default: `0.0.0.0:7990`; in the local profile `127.0.0.1:7990`, and any free port if that is taken.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::lan().bind("127.0.0.0/8:0"))?;
    /// assert!(member.addr().ip().is_loopback());
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn bind(mut self, addr: impl ToString) -> Self {
        self.bind = Some(addr.to_string());
        self
    }

    /// The address that others shall send to, where it differs from the bound one (NAT, containers): a `SocketAddr`, or
    /// one of
    ///
    /// | form | is advertised |
    /// |---|---|
    /// | `"203.0.113.7:9001"` | that address; never a wildcard or port 0 |
    /// | `"gate.example.com:9001"` | the address of that host, of IPv4 if it has any |
    /// | `"10.0.0.0/8"`, `"10.0.0.0/8:9001"` | the host's address in that network; the bound port, unless another one is given |
    /// | `"%eth1"`, `"%eth1:9001"` | the address of that interface; likewise |
    ///
    /// Of several addresses it is one of the family of the socket, and of these the lowest; a loopback only if there is no
    /// other. All but the first form are looked up by [`Member::create`], which waits for the resolver and fails with
    /// [`Error::Io`] if there is no such address, and again whenever the member checks its address: each time that it looks for others,
    /// and when others do not know it at that address. If there is another one, the member [moves](Event::Moved).
    ///
    /// Default: the bound address. If that is all interfaces: the address from which the system sends to the first seed
    /// that is an address, or that resolves, of those of the configuration and of [`Member::join`]; without seeds, to the
    /// first node that joins. It is chosen before anything is sent there, and until then it is the address of the
    /// default route. After that it stays, and when the host has it no more, the member [moves](Event::Moved).
    ///
    /// Others admit the member only if they reach it there ([`Error::Unreachable`]). Its datagrams may come from
    /// another address, as they do behind a translator.
    pub fn advertise(mut self, addr: impl ToString) -> Self {
        self.advertise = Some(addr.to_string());
        self
    }

    /// Members to look for in the background, from the start, until one has answered, and again as described in
    /// [`discovery`](crate::discovery). [`Member::create`] does not wait for them, and it is no error when none is
    /// there yet. Host names are resolved again each time. The own address among them is skipped. A second call
    /// replaces the first. Default: none.
    pub fn seeds(mut self, seeds: impl IntoSeeds) -> Self {
        self.seeds = texts(seeds);
        self
    }

    /// A way to find other members, besides the [seeds](Self::seeds): one of the module
    /// [`discovery`](crate::discovery), a closure, or a [`Discovery`] of one's own. Each call adds one, up to 16, and
    /// each has a thread of its own. Default: none.
    ///
    /// ```
    /// use headcount::discovery::{Dns, Multicast};
    /// use headcount::{Config, Member};
    ///
    /// let config = Config::local().discovery(Multicast::new()).discovery(Dns::new("localhost", 7990));
    /// let member = Member::create(config)?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn discovery(mut self, discovery: impl Discovery + 'static) -> Self {
        self.discoveries.push(Box::new(discovery));
        self
    }

    /// The listener that is called for every event, on a thread of its own. It replaces an earlier one. For closures
    /// [`on_event`](Self::on_event) needs fewer type annotations. Default: none.
    pub fn listener(mut self, listener: impl Listener + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// A closure that is called for every event, on a thread of its own. It replaces an earlier listener. Default:
    /// none.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let config = Config::local().bind("127.0.0.1:0").on_event(|member, event| {
    ///     println!("{event}; now we are {}", member.nodes().len());
    /// });
    /// let member = Member::create(config)?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn on_event(self, on_event: impl FnMut(&Member, Event) + Send + 'static) -> Self {
        self.listener(on_event)
    }

    /// How often this member probes another one. Each node is probed by one member per interval, so a probe meets a
    /// crashed node within about one interval; the verdict then takes multiples of
    /// [`probe_timeout`](Self::probe_timeout).
    /// Default: 1 s (LAN), 5 s (WAN), 250 ms (local). Raised, it saves datagrams and notices crashes later.
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// How long a probe waits for an answer. The node is pinged again during the first half of it; at half of it two
    /// other members are asked to ping the node as well, as relays; at its end the probe has failed, and the node is
    /// suspected, provided that a relay got no answer either or that there is nobody to ask. The suspect then has 4 to
    /// 24 times the probe timeout to show that it is alive: the more members confirm the suspicion, the less.
    ///
    /// A probe waits longer when this member's own [`health`](Member::health) is bad (once more for each point of the
    /// score), and when the node's round trip is long (at least 12 round trips).
    ///
    /// It has to be shorter than the [`probe_interval`](Self::probe_interval), and half of it should be longer than
    /// nearly all round trips. Default: 500 ms (LAN), 3 s (WAN), 100 ms (local). Raised, slow nodes and lossy networks
    /// are forgiven more, and crashes are declared later.
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.probe_timeout = timeout;
        self
    }

    /// The pause between two rounds of gossip. After a quiet time the first round leaves at once. Each piece of news is
    /// sent in two rounds, the second at least five intervals after the first; under lasting news in one. After a burst of
    /// 100, a member then sends at most 2.4 datagrams of gossip in an interval (120 a second by default on a LAN), those not
    /// counted that broadcasts fill; half of that if all of the news is of nodes that come and go. Default: 20 ms (LAN), 100 ms (WAN), 10 ms
    /// (local). Raised, more news shares a datagram, and lost news is repeated later.
    pub fn gossip_interval(mut self, interval: Duration) -> Self {
        self.gossip_interval = interval;
        self
    }

    /// How often this member sends each piece of news, on top of once for each digit of the cluster's size: with 4 it
    /// sends it to 6 of 32 nodes, to 8 of 1,000, and to fewer while very much is waiting. 1 to 24. Default: 4. Raised,
    /// news survives more loss and costs more datagrams; what is missed is found by comparing views in any case.
    pub fn retransmit(mut self, times: usize) -> Self {
        self.retransmit = times;
        self
    }

    /// How long this member goes without any answer to its requests before it considers itself isolated and hides all
    /// other nodes. Also the time after which an accusation without proof is made of a node that does not answer
    /// ([`Event::Died`](crate::Event::Died)). Not shorter than the probe interval. Default: 40 s (LAN), 120 s (WAN),
    /// 10 s (local). Raised, a cut-off member shows an outdated view for longer; lowered, short cuts are seen as
    /// isolation.
    pub fn isolation_timeout(mut self, timeout: Duration) -> Self {
        self.isolation_timeout = timeout;
        self
    }

    /// How often this member [looks for others](crate::discovery) in the background, and how often the cluster pings a
    /// dead node to see whether it is back, so that partitions heal. A member that is alone looks for others after 1/16
    /// of the interval and doubles the pause each time, up to all of it. A dead node is pinged by one member of the
    /// whole cluster per interval; if there are several, each is pinged less often the longer it has been dead, every
    /// ten minutes at least. All these times are averages: each pause is drawn at random. Default: 10 s (LAN),
    /// 30 s (WAN), 3 s (local). Raised, it saves datagrams, and the halves of a healed partition find each other later.
    pub fn rejoin_interval(mut self, interval: Duration) -> Self {
        self.rejoin_interval = interval;
        self
    }

    /// How long dead nodes and nodes that have left are remembered, and how long after its start a member looks for the
    /// nodes of its [`snapshot`](Self::snapshot) that it has not seen. A member that is alone forgets nobody. Default:
    /// 24 h. After it, the addresses of the last 64 forgotten dead nodes are still tried, so that a longer partition
    /// heals, too. Raised, it costs memory.
    pub fn tombstone_ttl(mut self, ttl: Duration) -> Self {
        self.tombstone_ttl = ttl;
        self
    }

    /// The deadline of [`Member::join`], resolving host names included: once an address is known, host names have
    /// half of it to resolve. Default: 5 s (LAN), 15 s (WAN), 2 s (local). Raised, slow seeds and resolvers have
    /// more time, and a join that fails takes longer.
    pub fn join_timeout(mut self, timeout: Duration) -> Self {
        self.join_timeout = timeout;
        self
    }

    /// How many active nodes this member admits: 1 to 1,000,000. At the limit newcomers are refused (their
    /// [`Error::Join`] says [`Error::Full`]). Nodes that other members have admitted are held up to a quarter beyond
    /// the limit, and as many dead nodes and nodes that have left are remembered as the limit says. Default: 16,384.
    /// Raising it lets forged nodes consume more memory.
    pub fn max_nodes(mut self, nodes: usize) -> Self {
        self.max_nodes = nodes;
        self
    }

    /// How many writes of states this member sends per second, its own and those that it passes on: a bound on its
    /// traffic for key-value states. At least 1. Not limited by default.
    ///
    /// While the limit is not reached, writes spread in milliseconds; that takes about 7 times the writes of the whole
    /// cluster. With less, states are brought up to date by comparing views, those most behind first, within some
    /// seconds to tens of seconds. Below the writes of the whole cluster, states fall further and further behind.
    pub fn state_rate(mut self, writes_per_second: u32) -> Self {
        self.state_rate = Some(writes_per_second);
        self
    }

    /// How many events wait for the listener, and for each stream of [`Member::events`]: 1 to 10,000,000. At
    /// the limit new ones are dropped, and [`Event::Lagged`] reports how many; messages of other nodes are refused
    /// instead. Default: 4,096. Raised, slower consumers miss nothing and memory can grow: about 100 bytes an event.
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events;
        self
    }

    /// The receive buffer to ask the system (or the transport) for, in bytes: 1 byte to 1 GiB. That of a UDP socket is
    /// never lowered, and a system that gives less is no error. Default: 4 MiB. Raised, it holds longer bursts while
    /// the receiver is not scheduled.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes;
        self
    }

    /// How datagrams travel: [`Udp`](crate::transport::Udp), [`Tcp`](crate::transport::Tcp),
    /// [`Memory`](crate::transport::Memory), or something [of one's own](crate::transport#a-transport-of-ones-own).
    /// All members of a cluster have to use the same. Nothing is opened before [`Member::create`]; the simulator has
    /// its own network and refuses the setting. Default: UDP.
    ///
    /// ```
    /// use headcount::{Config, Member};
    /// use headcount::transport::Tcp;
    ///
    /// let a = Member::create(Config::local().transport(Tcp::new()))?;
    /// let b = Member::create(Config::local().transport(Tcp::new()))?.join(a.addr())?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn transport(mut self, transport: impl Open + 'static) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// The deadline of [`Member::send`], for the whole message, its wait for its turn included. Default: 5 s (LAN),
    /// 15 s (WAN), 2 s (local). Raised, long messages get through worse networks, and a send to a node that has
    /// crashed unnoticed fails later.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.send_timeout = timeout;
        self
    }

    /// The longest message that is sent and accepted, in bytes: 1 to 4,194,304. For a longer one [`Member::send`]
    /// returns [`Error::TooLarge`], and one from another node is refused. Default: 1 MiB. Raised, longer messages go
    /// through, and fewer of them find room at the receiver, where at most 16 MiB wait for its consumers.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Which keys datagrams are sealed and opened with. All members of a cluster have to hold the one that is used; a
    /// join with another one, or with none, fails with [`Error::WrongKey`]. It takes 28 bytes of each datagram, and
    /// without it a checksum takes 4. An address of its own among the seeds that a member does not know as such counts
    /// as a seed that does not answer: what comes back could have been sent back by anybody. Only with the feature
    /// `encryption`. Default: [`Keyring::plain`], no key.
    ///
    /// ```no_run
    /// use headcount::{Config, Key, Keyring, Member};
    ///
    /// let key = Key::from_file("/etc/shop/cluster.key")?;
    /// let member = Member::create(Config::lan().cluster("shop").keyring(Keyring::new(key)))?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    #[cfg(feature = "encryption")]
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = keyring;
        self
    }

    /// A file in which this member keeps what it needs to come back: the nodes that it knows (4,096 at most) and their
    /// addresses, and its own generation. When it is started again, it rejoins by itself, without a seed, also if all
    /// members were down at the same time and some come back at other addresses; and the others take it for the newer
    /// run whatever its clock says. It is written by a thread of its own, at the start, after changes (once a second at
    /// most) and at the end; [`Member::save_snapshot`] writes it now. Default: none.
    ///
    /// The directory has to exist, the path is that of the file itself and not of a link to it, and the member needs a
    /// [`name`](Self::name) if its address may change, since the address is the name of a member that has none. Beside
    /// the file there are others whose names go on with `.lock`, `.new` and `.set-aside-1` to `-4`. On Unix nobody but
    /// the user of the process may read it. A second member that is given the same file is refused. A file that is
    /// damaged, of another cluster, or of a later version of the crate is set aside, with a warning; of one of another
    /// node of the same cluster, the addresses are used. A disk that is full, or may not be written to, is a warning
    /// and a counter ([`Metrics::snapshot_errors`](crate::Metrics::snapshot_errors)). A file that is there and can not
    /// be read (permissions, no descriptors left, a bad disk) lets [`Member::create`] fail, since a generation could
    /// repeat without it: see to it that it can be read, or remove it.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// # let directory = std::env::temp_dir().join(format!("headcount-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).unwrap();
    /// let config = Config::local().bind("127.0.0.1:0").name("web-1").snapshot(directory.join("members"));
    /// let member = Member::create(config)?;
    /// assert_eq!(member.metrics().snapshots_written, 1);
    /// # drop(member);
    /// # std::fs::remove_dir_all(&directory).unwrap();
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn snapshot(mut self, path: impl Into<PathBuf>) -> Self {
        self.snapshot = Some(path.into());
        self
    }

    /// A key of the own state ([`Member::set`]) that is there from the start. What fits into one datagram of all such keys
    /// goes with the first record: other members see it in [`Event::Joined`](crate::Event::Joined) already, unless they
    /// learn of this member by comparing views. They replace keys of the same name that the
    /// [snapshot](Self::snapshot) keeps. A second call with the same key replaces the first. Default: none.
    ///
    /// [`Member::create`](crate::Member::create) returns the errors of [`Member::set`](crate::Member::set).
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let config = Config::local().bind("127.0.0.1:0").state("role", "web").state("version", "1.4");
    /// assert_eq!(Member::create(config)?.local().text("role"), Some("web"));
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn state(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.state.insert(key.into(), value.into());
        self
    }

    /// Whether the [`snapshot`](Self::snapshot) holds the own state ([`Member::set`]) as well, so that the next run
    /// begins with it instead of an empty one. The new run publishes what it finds as its newest state, however old the
    /// file is: if the node has run on another host since, remove the file before it comes back to this one. Default:
    /// false.
    pub fn keep_state(mut self, keep: bool) -> Self {
        self.keep_state = keep;
        self
    }

    /// The networks that nodes may be in, in CIDR notation, IPv4 and IPv6: `"10.0.0.0/8"`, `"fd00::/8"`; an address
    /// alone is a network of one. What comes from elsewhere is dropped unseen and never answered, no node with another
    /// address gets into the view by whichever way, and nothing is sent to any; [`Metrics::not_allowed`] counts it. A
    /// seed elsewhere is [`Error::Refused`]. The own address has to be in them. A second call replaces the first.
    /// Default: any.
    ///
    /// All members should have the same. If lists differ, views never converge: each member keeps only the nodes its
    /// own lists allow. Members that find this out compare their views again and again: every 30 s at rest, and about
    /// every 3 s while there is always news, for some 2 KiB each.
    ///
    /// It does not authenticate: a sender that forges an allowed source address is not kept out.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let config = Config::local().bind("127.0.0.1:0").allow_networks(["127.0.0.0/8", "::1"]);
    /// let member = Member::create(config)?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    ///
    /// [`Metrics::not_allowed`]: crate::Metrics::not_allowed
    pub fn allow_networks(mut self, networks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allow_networks = Some(networks.into_iter().map(Into::into).collect());
        self
    }

    /// The names that nodes may have, as patterns in which `*` stands for any text: `"web-*"`. Nodes of other names do
    /// not get into the view by whichever way, and their joins fail with [`Error::Refused`]. The own name has to match
    /// one of them. A second call replaces the first. Default: any. What is said of differing lists at
    /// [`allow_networks`](Self::allow_networks) holds here, too.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let config = Config::local().bind("127.0.0.1:0").name("web-1").allow_names(["web-*", "db-*"]);
    /// let member = Member::create(config)?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn allow_names(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allow_names = Some(patterns.into_iter().map(Into::into).collect());
        self
    }
}

impl Default for Config {
    /// The LAN profile.
    fn default() -> Self {
        Self::lan()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Config");
        #[cfg(feature = "encryption")]
        fields.field("keyring", &self.keyring);
        fields
            .field("profile", &self.profile)
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("bind", &self.bind)
            .field("advertise", &self.advertise)
            .field("seeds", &self.seeds)
            .field("discoveries", &self.discoveries.len())
            .field("listener", &self.listener.is_some())
            .field("probe_interval", &self.probe_interval)
            .field("probe_timeout", &self.probe_timeout)
            .field("gossip_interval", &self.gossip_interval)
            .field("retransmit", &self.retransmit)
            .field("isolation_timeout", &self.isolation_timeout)
            .field("rejoin_interval", &self.rejoin_interval)
            .field("tombstone_ttl", &self.tombstone_ttl)
            .field("join_timeout", &self.join_timeout)
            .field("max_nodes", &self.max_nodes)
            .field("state_rate", &self.state_rate)
            .field("event_capacity", &self.event_capacity)
            .field("receive_buffer", &self.receive_buffer)
            .field("transport", &self.transport.is_some())
            .field("send_timeout", &self.send_timeout)
            .field("max_message", &self.max_message)
            .field("snapshot", &self.snapshot)
            .field("keep_state", &self.keep_state)
            .field("allow_networks", &self.allow_networks)
            .field("allow_names", &self.allow_names)
            .finish()
    }
}

#[cfg(test)]
mod tests;
