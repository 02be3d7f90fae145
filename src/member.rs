//! The handle of this process's own node.

#[cfg(feature = "encryption")]
mod keyring;
mod update;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "encryption")]
pub use self::keyring::MemberKeyring;
pub use self::update::Update;
#[cfg(doc)]
use crate::config::Config;
use crate::config::{IntoSeeds, texts};
use crate::engine::{Engine, Owner};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
#[cfg(doc)]
use crate::event::Event;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::node::{Node, Nodes};
use crate::reach::Reach;

/// A running member of a cluster: this process's own node.
///
/// It is a cheap clone of one shared handle, to be used from any number of threads. The member runs until
/// [`leave`](Self::leave), [`shutdown`](Self::shutdown), or the drop of its last handle, which stops it without
/// a leave: to the others that is a crash. The reference that a [`Listener`](crate::Listener) is given does not
/// count as a handle; a clone of it does.
///
/// After the end, readers ([`name`](Self::name), [`addr`](Self::addr), [`local`](Self::local),
/// [`nodes`](Self::nodes), [`node`](Self::node), [`all_nodes`](Self::all_nodes), [`health`](Self::health),
/// [`metrics`](Self::metrics), [`reach`](Self::reach)) show what was last known, the time goes on ([`now`](Self::now)), `leave` and `shutdown` are Ok, and all else answers
/// [`Error::Closed`]; or [`Error::NameTaken`] if it ended because another run of it won its name. If a thread
/// of the member panicked, that has ended it, and every call but the readers answers [`Error::Panicked`].
///
/// **After a fork** (Unix) the member goes on in the process that created it. In the other one it does nothing: `leave`,
/// `shutdown` and the drop of a handle have no effect, calls that would send something return [`Error::Closed`], and
/// readers may block. That process still holds the socket and the lock of the [snapshot](Config::snapshot): the address
/// is free when both have let go of it, or when it starts another program (`exec`).
///
/// ```
/// use std::time::Duration;
/// use headcount::{Config, Member};
///
/// let first = Member::create(Config::local().bind("127.0.0.1:0"))?;
/// let second = Member::create(Config::local().bind("127.0.0.1:0"))?.join(first.addr())?;
/// for node in &second.nodes() {
///     println!("{node}");
/// }
/// second.leave(Duration::from_secs(5))?;
/// # Ok::<(), headcount::Error>(())
/// ```
pub struct Member {
    engine: Arc<dyn Engine>,
    /// None: the handle of a listener or a discovery, which keeps nothing running.
    owner: Option<Arc<dyn Owner>>,
}

impl Member {
    /// The first handle of a member.
    pub(crate) fn new(engine: Arc<dyn Engine>, owner: Arc<dyn Owner>) -> Self {
        Self { engine, owner: Some(owner) }
    }

    /// The handle that a listener or a discovery is given.
    pub(crate) fn unowned(engine: Arc<dyn Engine>) -> Self {
        Self { engine, owner: None }
    }

    /// A handle that keeps nothing running.
    pub(crate) fn watching(&self) -> Self {
        Self::unowned(Arc::clone(&self.engine))
    }

    /// Joins the cluster that any of the seeds belongs to: asks all of them in parallel, and returns when this
    /// member is in sync with the first one that answered. The result is a clone of this handle, so that it
    /// can be chained; it may be ignored.
    ///
    /// It waits for the beginning of each node's state as well: [`Node::get`] shows of what the seed knew the keys that
    /// were written first, as many as fit into one datagram, unless the seed gives no states or the time is over. The
    /// rest follows ([`wait_until`](Self::wait_until), [`Event::Changed`]).
    ///
    /// It takes [`Config::join_timeout`] at most, resolving host names included; all addresses of a name are
    /// asked. The own address among the seeds is skipped: if there is no other one, that is Ok, and this
    /// member is the first of its cluster. So all hosts can share one list.
    ///
    /// # Errors
    ///
    /// - [`Error::Join`]: no seed let us in. It has one entry per seed: [`Error::NoAnswer`],
    ///   [`Error::WrongCluster`], [`Error::WrongKey`], [`Error::NameTaken`], [`Error::Full`], [`Error::ClockAhead`],
    ///   [`Error::Unreachable`], [`Error::BadAddress`], [`Error::WrongVersion`];
    ///   [`Error::Io`] for a name that does not resolve or an address of a family that the socket can not send to,
    ///   [`Error::Timeout`] for one whose resolver did not answer, [`Error::Config`] for a seed that makes no
    ///   sense. The member goes on as it was; try again.
    /// - [`Error::Config`]: there was no seed at all.
    /// - [`Error::Closed`], [`Error::NameTaken`], [`Error::Panicked`]: the member has ended.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let first = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// let second = Member::create(Config::local().bind("127.0.0.1:0"))?.join(first.addr())?;
    /// assert_eq!(second.nodes().len(), 2);
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn join(&self, seeds: impl IntoSeeds) -> Result<Self> {
        Arc::clone(&self.engine).join(texts(seeds))?;
        Ok(self.clone())
    }

    /// The own name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.engine.name()
    }

    /// The own address, as others are told it: with the real port, never a wildcard. It stays the same, save for a
    /// member that is bound to all interfaces and has no [`Config::advertise`]: when its host gets another address, it
    /// moves, and the others are told so ([`Event::Moved`]).
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.engine.addr()
    }

    /// The cluster's name ([`Config::cluster`]).
    #[must_use]
    pub fn cluster(&self) -> &str {
        self.engine.cluster()
    }

    /// Where the socket is bound; none in the simulator, which has no sockets.
    pub(crate) fn bound(&self) -> Option<SocketAddr> {
        self.engine.bound()
    }

    /// The time since this member was created: virtual where it is [simulated](crate::sim), and that of the system's
    /// monotonic clock elsewhere. A listener or a discovery that measures time by it can be tested in the simulator.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// cluster.run(Duration::from_secs(5));
    /// let member = cluster.add(Config::lan().name("ann"))?;
    /// cluster.run(Duration::from_secs(60));
    /// assert_eq!(member.now(), Duration::from_secs(60));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn now(&self) -> Duration {
        self.engine.now()
    }

    /// The own node.
    #[must_use]
    pub fn local(&self) -> Node {
        self.engine.local()
    }

    /// The active nodes by name, the own one included: a snapshot that is built once after each change, and
    /// otherwise as cheap as a clone of an `Arc`. It waits for one bounded step of the protocol at most.
    #[must_use]
    pub fn nodes(&self) -> Nodes {
        self.engine.nodes()
    }

    /// The node of this name, whatever its status, if it is known. The own one is.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<Node> {
        self.engine.node(name)
    }

    /// All nodes by name, whatever their status: the own one, and the dead and the left as long as they are
    /// remembered ([`Config::tombstone_ttl`]). It is built anew for each call.
    #[must_use]
    pub fn all_nodes(&self) -> Nodes {
        self.engine.all_nodes()
    }

    /// Waits until `is_right` returns true for the active nodes: asks it at once and after every change of
    /// the view, on this thread, with no lock held. Returns the nodes that it agreed to.
    ///
    /// # Errors
    ///
    /// - [`Error::Timeout`]: it did not agree in time.
    /// - [`Error::Closed`], [`Error::NameTaken`], [`Error::Panicked`]: the member has ended, before or
    ///   meanwhile.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// let nodes = member.wait_until(Duration::from_secs(5), |nodes| nodes.len() >= 1)?;
    /// assert!(nodes.get(member.name()).is_some());
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn wait_until(&self, timeout: Duration, mut is_right: impl FnMut(&Nodes) -> bool) -> Result<Nodes> {
        self.engine.wait_until(timeout, &mut is_right)
    }

    /// Writes a key of this member's own state, which every member of the cluster gets to see: an address of a
    /// service, a load, a version. When it returns, [`local`](Self::local) and [`nodes`](Self::nodes) of this member
    /// show it; the others hear of it within milliseconds ([`Event::Changed`], [`Node::get`]). Writing the value that
    /// is there already does nothing.
    ///
    /// Only a node itself writes its state, and a new run of it begins with an empty one, unless it
    /// [keeps](Config::keep_state) the one before. The state of a node that
    /// has died or left can be read until the node is forgotten ([`all_nodes`](Self::all_nodes)).
    ///
    /// # Errors
    ///
    /// Nothing was written.
    ///
    /// - [`Error::TooLarge`]: a key has at most 255 bytes, a value 1,024, both together 1,100, all keys and values
    ///   together 65,536; there are at most 1,024 keys.
    /// - [`Error::Config`]: the key is empty, or has a character that changes how others are shown (Unicode's categories
    ///   Cc, Cf, Zl and Zp).
    /// - [`Error::Closed`], [`Error::NameTaken`], [`Error::Panicked`]: the member has ended.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// member.set("http", "10.0.0.1:8080")?;
    /// assert_eq!(member.local().text("http"), Some("10.0.0.1:8080"));
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        Arc::clone(&self.engine).update(&[(key, Some(value.as_ref()))])
    }

    /// Removes a key of this member's own state; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::NameTaken`], [`Error::Panicked`]: the member has ended.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// member.set("leaving", "soon")?;
    /// member.remove("leaving")?;
    /// assert_eq!(member.local().get("leaving"), None);
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn remove(&self, key: &str) -> Result<()> {
        Arc::clone(&self.engine).update(&[(key, None)])
    }

    /// Writes and removes several keys of this member's own state in one step: each handle of this member shows all of it
    /// or nothing. It leaves together, and the others usually show it in one step too if keys and values fit into one
    /// datagram (1,100 bytes or less, and 10 more for each key). A member that has missed it, or of more, may show the
    /// earlier ones first.
    ///
    /// `change` is called once, before anything is written, and may use this member. A key that it writes twice
    /// gets the second value. Removals come first: they make room.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set): nothing was written, none of it.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// member.update(|state| {
    ///     state.set("role", "leader").set("term", "7").remove("candidate");
    /// })?;
    /// assert_eq!(member.local().text("term"), Some("7"));
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn update(&self, change: impl FnOnce(&mut Update)) -> Result<()> {
        let mut update = Update::default();
        change(&mut update);
        let changes: Vec<_> =
            update.changes.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        Arc::clone(&self.engine).update(&changes)
    }

    /// Tells something to all others: each node that is in the cluster now and stays in it delivers it once, after all
    /// that this member has broadcast before ([`Event::Broadcast`]). It returns when the broadcast is on its way and
    /// waits for no answer; usually all have it within milliseconds. This member itself is not told. While nobody else
    /// is there nothing is sent, and who joins later hears nothing of what was said before.
    ///
    /// It waits while too much of what this member has broadcast is still being passed on: 256 KiB, with 128 bytes for
    /// each broadcast, divided by the number of members that have broadcast within 10 s. Calls that wait are served in
    /// order. It may be called in a listener: what it waits for depends on no listener.
    ///
    /// Who has lost a broadcast gets it from somebody who keeps it: each member keeps the newest 1 MiB of all, for a
    /// minute at most. Who was cut off for longer, or has to catch up with more, is told how many it has missed
    /// ([`Event::Missed`]). What is said right before a [`leave`](Self::leave) that returns Ok reaches all; what is said
    /// in the last seconds before a crash may not. As with all events, a consumer that is too slow loses the newest ones
    /// and is told so ([`Event::Lagged`]).
    ///
    /// # Errors
    ///
    /// Nothing was sent.
    ///
    /// - [`Error::Refused`]: there was no room within [`Config::send_timeout`].
    /// - [`Error::TooLarge`]: a broadcast fits into one datagram: it has at most
    ///   1,128 bytes.
    /// - [`Error::Closed`], [`Error::NameTaken`], [`Error::Panicked`]: the member has ended, or leaves.
    ///
    /// ```
    /// use headcount::{Config, Event, Member};
    ///
    /// let ann = Member::create(Config::local().name("ann").bind("127.0.0.1:0"))?;
    /// let bob = Member::create(Config::local().name("bob").bind("127.0.0.1:0"))?;
    /// bob.join(ann.addr())?;
    /// let events = ann.events();
    /// bob.broadcast(b"the cache is stale")?;
    /// let told = events.iter().find(|event| matches!(event, Event::Broadcast { .. }));
    /// assert!(matches!(told, Some(Event::Broadcast { payload, .. }) if payload == b"the cache is stale"));
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn broadcast(&self, payload: &[u8]) -> Result<()> {
        Arc::clone(&self.engine).broadcast(payload)
    }

    /// Asks a node whether it is there, and tells how long the answer took. It is not a probe: no answer has
    /// no consequence.
    ///
    /// # Errors
    ///
    /// - [`Error::UnknownNode`]: there is no active node of this name, or it is this member itself.
    /// - [`Error::Timeout`]: it did not answer in time (the probe timeout, longer while this member is not
    ///   healthy). Relays are not asked.
    /// - [`Error::NoAnswer`]: it answered, but this member was asleep meanwhile: there is no round trip to tell.
    /// - [`Error::Refused`]: too many probes run already.
    /// - [`Error::Closed`], [`Error::NameTaken`], [`Error::Panicked`]: the member has ended.
    ///
    /// ```
    /// use headcount::{Config, Error, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// assert!(matches!(member.ping("nobody"), Err(Error::UnknownNode(_))));
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn ping(&self, name: &str) -> Result<Duration> {
        Arc::clone(&self.engine).ping(name)
    }

    /// Sends a message to an active node and waits until that has it: until it has its place with the node's listener
    /// and its streams, which get it as [`Event::Message`]. Suspected nodes are sent to like all others.
    ///
    /// `Ok` says that it was delivered to the run of the node that was active at the call, once. Messages of several
    /// threads go at the same time, in any order. At most 64 messages and 2 MiB (or one longer message) are under way
    /// to a node at a time, 16 MiB to all nodes together, and to no node more than what is left of that; further ones
    /// wait, in the order of the calls for each node, and their time runs. So do messages to a node that puts 16 MiB
    /// together already. An empty message is fine.
    ///
    /// # Errors
    ///
    /// After these it may have been delivered, once, or not:
    ///
    /// - [`Error::Timeout`]: nobody said in time what became of it ([`Config::send_timeout`]). Or, when all of it had
    ///   been sent, the node was given up or left, or this member took a higher generation.
    /// - [`Error::Restarted`]: another run of the node has taken the place of the one that it was for.
    /// - [`Error::Closed`], [`Error::NameTaken`], [`Error::Panicked`]: this member has ended, before (then it was not
    ///   sent) or meanwhile. Also from the moment when it leaves.
    ///
    /// After these it was not delivered, and will not be:
    ///
    /// - [`Error::UnknownNode`]: no node of this name is known.
    /// - [`Error::NotActive`]: it is dead, or has left, at the call or before all was sent.
    /// - [`Error::OwnNode`]: it is this member itself.
    /// - [`Error::TooLarge`]: it is longer than [`Config::max_message`].
    /// - [`Error::Refused`]: the node has no listener and no stream, or one of them has no room (it is stuck, or slower
    ///   than its messages come), or its `max_message` is lower than this member's.
    ///
    /// ```
    /// use headcount::{Config, Event, Member};
    ///
    /// let ann = Member::create(Config::local().bind("127.0.0.1:0").name("ann"))?;
    /// let events = ann.events();
    /// let bob = Member::create(Config::local().bind("127.0.0.1:0").name("bob"))?.join(ann.addr())?;
    /// bob.send("ann", b"hello")?;
    ///
    /// let message = events.iter().find(|event| matches!(event, Event::Message { .. }));
    /// assert!(matches!(message, Some(Event::Message { from, payload })
    ///     if from.name() == "bob" && payload == b"hello"));
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn send(&self, name: &str, payload: &[u8]) -> Result<()> {
        Arc::clone(&self.engine).send(name, payload)
    }

    /// Writes the [snapshot](Config::snapshot) now, if anything has changed or the file is gone, and returns when it is
    /// on the disk: what this member knows at the call, its own state included if that [is kept](Config::keep_state),
    /// survives a kill and a power cut from here on. It is not needed for coming back: the snapshot is written by
    /// itself, within a second.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`]: the disk did not take it. The snapshot before it is still there, and the member goes on trying.
    /// - [`Error::Config`]: this member has no snapshot.
    /// - [`Error::Closed`], [`Error::NameTaken`], [`Error::Panicked`]: the member has ended, before or meanwhile.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// # let directory = std::env::temp_dir().join(format!("headcount-save-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).unwrap();
    /// let config = || Config::local().bind("127.0.0.1:0").name("db-1").snapshot(directory.join("members"));
    /// let member = Member::create(config().keep_state(true))?;
    /// member.set("shards", "0-31")?;
    /// member.save_snapshot()?;
    /// # drop(member);
    ///
    /// // After a kill, at the next start:
    /// let member = Member::create(config().keep_state(true))?;
    /// assert_eq!(member.local().text("shards"), Some("0-31"));
    /// # drop(member);
    /// # std::fs::remove_dir_all(&directory).unwrap();
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn save_snapshot(&self) -> Result<()> {
        self.engine.save_snapshot()
    }

    /// Opens a stream of the events from now on. Each call opens its own; clones of one receiver share it. It
    /// ends with the end of the member, and does not keep the member running.
    ///
    /// [`Config::event_capacity`] events wait at most, and fewer if they keep more than 16 MiB alive: each event holds
    /// its node with the state as it was. When the stream is full, new events are dropped and
    /// [`Event::Lagged`] reports how many, as soon as there is room. Messages ([`send`](Self::send)) are not dropped but
    /// refused, unless they find room in every stream and with the listener, and 16 MiB of them wait in all: a stream
    /// that nobody reads holds them up for all others, so drop it.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// let events = member.events();
    /// member.shutdown()?;
    /// assert_eq!(events.iter().count(), 0);
    /// # Ok::<(), headcount::Error>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        self.engine.events()
    }

    /// How well this member itself does (Lifeguard's local health): 0 is healthy, 8 the worst. It grows when
    /// answers are missed that healthy nodes should have given: then this host, its network or its scheduling
    /// is slow, and the member gives others more time before it suspects them.
    #[must_use]
    pub fn health(&self) -> u8 {
        self.engine.health()
    }

    /// The counters at this moment.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// assert_eq!(member.metrics().nodes, 1);
    /// println!("{}", member.metrics());
    /// # Ok::<(), headcount::Error>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.engine.metrics()
    }

    /// What this member knows of its network: the address that it advertises, where others see it, which nodes answer
    /// it, directly or by way of others, and which ones have refused it and why. For programs that show it, and for logs: it is
    /// built for each call.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let ann = Member::create(Config::local().name("ann").bind("127.0.0.1:0"))?;
    /// let bob = Member::create(Config::local().name("bob").bind("127.0.0.1:0"))?.join(ann.addr())?;
    /// let reach = bob.reach();
    /// println!("{reach}"); // advertised 127.0.0.1:40001, 1 peers, 0 of them by relays only, 0 without an answer
    /// assert_eq!(reach.advertised(), bob.addr());
    /// assert!(reach.peers()[0].answered().is_some() && reach.peers()[0].relay().is_none());
    /// # Ok::<(), headcount::Error>(())
    /// ```
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.engine.reach()
    }

    /// The keys that this member seals and opens datagrams with, to be looked at and changed while it runs. Only with
    /// the feature `encryption`.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// assert_eq!(member.keyring().used(), None);
    /// # Ok::<(), headcount::Error>(())
    /// ```
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn keyring(&self) -> MemberKeyring<'_> {
        MemberKeyring::new(&self.engine)
    }

    /// Declares a dead node to have left, in the whole cluster: it is not looked for any more.
    ///
    /// # Errors
    ///
    /// - [`Error::UnknownNode`]: no node of this name is remembered.
    /// - [`Error::Refused`]: it is active; only the dead can be buried.
    /// - [`Error::Closed`], [`Error::NameTaken`], [`Error::Panicked`]: the member has ended.
    ///
    /// Nothing has changed after an error.
    ///
    /// ```
    /// use headcount::{Config, Error, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// assert!(matches!(member.force_leave("nobody"), Err(Error::UnknownNode(_))));
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn force_leave(&self, name: &str) -> Result<()> {
        Arc::clone(&self.engine).force_leave(name)
    }

    /// Says goodbye and ends the member. Returns when a few others that stay know it and have all that this member has
    /// [written](Self::set) and [broadcast](Self::broadcast), at once if there are none, and after `timeout` in any case:
    /// these few pass it on to all. The socket is closed when it returns. From any thread, also from inside a listener,
    /// also twice.
    ///
    /// # Errors
    ///
    /// - [`Error::Timeout`]: too few have confirmed that they know and have everything. They may all the same; if they do
    ///   not know, they will find this node dead. The member has ended either way.
    /// - [`Error::Panicked`]: a thread of the member panicked, which had ended it already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// member.leave(Duration::from_secs(5))?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn leave(&self, timeout: Duration) -> Result<()> {
        Arc::clone(&self.engine).leave(timeout)
    }

    /// Ends the member without notifying peers: to them that is a crash. Returns within 100 ms, with the socket closed,
    /// so that its port can be bound again, and the threads joined (a last [snapshot](Config::snapshot) is waited for,
    /// 1 s at most); a listener that does not return is left behind, and ends when it returns. From any thread, also
    /// from inside a listener, also twice.
    ///
    /// # Errors
    ///
    /// - [`Error::Panicked`]: a thread of the member panicked, which had ended it already.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
    /// member.shutdown()?;
    /// member.shutdown()?;
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn shutdown(&self) -> Result<()> {
        self.engine.shutdown()
    }
}

impl Clone for Member {
    /// A handle that counts, also of the reference that a listener is given.
    fn clone(&self) -> Self {
        let owner = self.owner.clone().or_else(|| self.engine.owner());
        Self { engine: Arc::clone(&self.engine), owner }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name())
            .field("addr", &self.addr())
            .field("ended", &self.engine.has_ended())
            .finish()
    }
}

#[cfg(test)]
mod tests;
