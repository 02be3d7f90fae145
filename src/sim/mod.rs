//! A simulator: many members on a virtual network and a virtual clock, in one thread, from one seed.
//!
//! It runs the very protocol that the threads run. A simulated node is a [`Member`], and every method of it works.
//! Calls that block ([`join`](Member::join), [`wait_until`](Member::wait_until), [`leave`](Member::leave) …) run
//! virtual time until they are answered, also inside a listener. So a program that uses this crate can be tested, with
//! its [`Listener`](crate::Listener) unchanged, against crashes, cuts, pauses and lossy networks: in milliseconds, and
//! with the same outcome each time.
//!
//! ```
//! use std::time::Duration;
//! use headcount::{Config, Status, sim};
//!
//! # fn main() -> headcount::Result<()> {
//! let cluster = sim::Cluster::new(42);
//! let ann = cluster.add(Config::lan().name("ann"))?;
//! let bob = cluster.add(Config::lan().name("bob"))?;
//! let cleo = cluster.add(Config::lan().name("cleo"))?;
//! bob.join("ann")?;
//! cleo.join("ann")?;
//! cluster.run(Duration::from_secs(1));
//!
//! cluster.crash("cleo");
//! ann.wait_until(Duration::from_secs(10), |nodes| nodes.get("cleo").is_none())?;
//! assert_eq!(ann.node("cleo").map(|node| node.status()), Some(Status::Dead));
//!
//! // A cut of a minute heals by itself.
//! cluster.split(&["bob"]);
//! cluster.run(Duration::from_secs(60));
//! cluster.heal();
//! ann.wait_until(Duration::from_secs(60), |nodes| nodes.len() == 2)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it models
//!
//! | | |
//! |---|---|
//! | network | latency (0.2 to 1 ms unless set otherwise) and loss, for all links or for one direction of one; duplication and reordering for all; one-way cuts; splits |
//! | a process | [`crash`](Cluster::crash), [`restart`](Cluster::restart); [`pause`](Cluster::pause) (a stop signal, a VM that moves): nothing runs, 1,024 datagrams wait, and when it goes on its timers fire late, before the queue is read |
//! | a sick host | [`deafen`](Cluster::deafen): only receiving stops; [`block`](Cluster::block): sending and receiving stop, timers run (the anomaly of the Lifeguard paper); [`slow`](Cluster::slow): a fixed time for each datagram; [`starve`](Cluster::starve): whenever there is something to do it waits for the processor, for an exponential time, and then does all of it |
//! | names | are addresses: `join("ann")`. Each host has an address of its own (10.0.0.1:7990 and so on), whatever is bound |
//! | clocks | virtual time is the same for all hosts, and timers run by it; each host has a wall clock of its own, which may be arbitrarily wrong, and drift ([`clock`](Cluster::clock)) |
//! | width | bytes a second and a bounded queue: for what a host sends ([`uplink`](Cluster::uplink)) and is sent ([`downlink`](Cluster::downlink)), and for links |
//! | addresses | one for each host, or [several](Cluster::addresses), which may change; [translators](Cluster::translate) between hosts and the network: other source ports and addresses, mapped ports, hairpins, tables that are [flushed](Cluster::flush); addresses that [can not be reached](Cluster::cut_address) |
//! | damage | [flipped](Cluster::flip) bits; [an interloper](Cluster::intercept) on the path, which copies datagrams, holds them back and replays them, from their source or from another address |
//! | size | the [largest](Cluster::largest) datagram that passes links and hosts; larger ones are swallowed, or refused to their senders |
//! | disks | one for each host, for [snapshots](Config::snapshot); it outlives crashes, and may be [full, or fail](Cluster::disk), or [go back in time](Cluster::put_disk_image) |
//!
//! Hosts keep these settings when a process ends: clock, disk, addresses, translator, widths. Settings of a host that
//! does not exist yet hold once it is started.
//!
//! # Events
//!
//! A call that blocks on a stream of [`events`](Member::events) can not run virtual time: it waits for another thread,
//! and there is none. Wait for an outcome with [`run_until`](Cluster::run_until), or for an event with
//! [`next_event`](Cluster::next_event):
//!
//! ```
//! use std::time::Duration;
//! use headcount::{Config, Event, sim};
//!
//! # fn main() -> headcount::Result<()> {
//! let cluster = sim::Cluster::new(1);
//! let ann = cluster.add(Config::lan().name("ann"))?;
//! let events = ann.events();
//! let bob = cluster.add(Config::lan().name("bob"))?.join("ann")?;
//! assert!(matches!(cluster.next_event(&events, Duration::from_secs(1))?, Event::Joined(_)));
//! cluster.crash("bob");
//! assert!(cluster.run_until(Duration::from_secs(10), |_| {
//!     events.try_iter().any(|event| matches!(event, Event::Died { .. }))
//! }));
//! # let _ = bob;
//! # Ok(())
//! # }
//! ```
//!
//! # Checks
//!
//! After each step the invariants are [checked](Cluster::check): views only go forward, events report what the view
//! shows, queues and datagrams keep their bounds, no member can be used as a reflector, messages arrive once or their
//! senders get an error. A test asserts what must hold at rest with [`Cluster::assert_buried`] and
//! [`Cluster::assert_converged`]. A violation is a panic that names the seed.
//!
//! # Determinism
//!
//! The same seed and the same calls, made by one thread, give the same datagrams at the same times, byte for
//! byte: [`Cluster::trace`] is a hash over all of them.

pub(crate) mod checks;
mod clock;
mod controls;
mod disk;
mod engine;
mod host;
mod machine;
mod message_model;
mod network;
mod snapshots;
mod states;
mod world;

#[cfg(any(test, fuzzing))]
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub use self::clock::Clock;
pub use self::disk::{DiskImage, DiskState};
use self::engine::Sim;
use self::host::Ailments;
pub use self::network::{Fates, Interloper, Oversize, Translator, Width};
use self::network::{Link, millionths};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::member::Member;
use crate::node::Status;
use crate::protocol::Instant;
#[cfg(any(test, fuzzing))]
use crate::protocol::Transmit;
#[cfg(any(test, headcount_bench))]
pub use crate::protocol::rules::Rule;

/// The pause between two checks of a condition.
const AT_REST: Duration = Duration::from_millis(100);

/// A simulated cluster: the network, the clock, and what happens to the hosts. Everything else is done with the
/// [`Member`]s that it makes.
///
/// It is a cheap handle; clones share the world. Names of hosts that do not exist are a mistake of the test, and
/// panic.
#[derive(Debug, Clone)]
pub struct Cluster {
    sim: Arc<Sim>,
}

impl Cluster {
    /// An empty world. Everything random in it comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { sim: Arc::new(Sim::new(seed)) }
    }

    /// Starts a member on a host of its own. It runs until it leaves, is shut down or [crashed](Self::crash), or
    /// its last handle is dropped: keep the handle.
    ///
    /// # Errors
    ///
    /// - [`Error::Config`]: a setting is wrong, a host of this name runs already, another host has its address, or a
    ///   [transport](Config::transport) was given (the network here is the simulator's).
    /// - [`Error::Io`]: the [disk](Self::disk) fails, so that the [snapshot](Config::snapshot) can not be read.
    pub fn add(&self, config: Config) -> Result<Member> {
        self.sim.start(config)
    }

    /// Makes all running members know each other from now on, as if they had joined long ago, for experiments that are
    /// not about joining. Each member gets a `Joined` for each other one. It saves the time that joining takes, and
    /// most of the memory: all views share a record until a member changes it in its own view. So ten thousand members
    /// fit into 4 GB instead of 26; what they change comes on top.
    ///
    /// # Panics
    ///
    /// If they belong to several clusters or their lists differ, if one of them knows another node already, or if there
    /// are more members than the smallest of their [`Config::max_nodes`]. These are mistakes of the test.
    #[cfg(any(test, fuzzing, headcount_bench))]
    #[track_caller]
    pub fn acquaint(&self) {
        let outcome = self.sim.world().acquaint();
        if let Err(wrong) = outcome {
            panic!("the members can not be acquainted: {wrong}");
        }
    }

    /// Lets virtual time pass.
    pub fn run(&self, time: Duration) {
        let end = self.sim.world().now + time;
        let _: Option<()> = self.sim.run(end, |_| None);
    }

    /// Lets virtual time pass until `holds` returns true, at most for `limit`. Returns whether it did. It is called
    /// every 5 ms.
    pub fn run_until(&self, limit: Duration, holds: impl FnMut(&Self) -> bool) -> bool {
        self.ask(limit, Duration::from_millis(5), holds)
    }

    /// The virtual time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.sim.world().now.since(Instant::default())
    }

    /// How long datagrams take, on all links: evenly drawn from this range. 0.2 to 1 ms at first.
    pub fn latency(&self, latency: Range<Duration>) {
        self.sim.world().links.all.latency = latency;
    }

    /// How long datagrams take from one host to another. From the first such call on, this direction keeps its own
    /// settings: later settings for all links do not change it, and [`heal`](Self::heal) does not end it.
    pub fn latency_between(&self, from: &str, to: &str, latency: Range<Duration>) {
        self.between(from, to, |link| link.latency = latency);
    }

    /// The share of datagrams that is lost, 0 to 1, on all links.
    pub fn loss(&self, share: f64) {
        self.sim.world().links.all.loss = millionths(share);
    }

    /// The share of datagrams that is lost from one host to another. From the first such call on, this direction keeps
    /// its own settings: later settings for all links do not change it, and [`heal`](Self::heal) does not end it.
    pub fn loss_between(&self, from: &str, to: &str, share: f64) {
        self.between(from, to, |link| link.loss = millionths(share));
    }

    /// The share of datagrams that arrives twice, 0 to 1, on all links.
    pub fn duplicate(&self, share: f64) {
        self.sim.world().links.all.duplication = millionths(share);
    }

    /// The share of datagrams that is held back for up to ten latencies, and so overtaken, on all links.
    pub fn reorder(&self, share: f64) {
        self.sim.world().links.all.reordering = millionths(share);
    }

    /// From here on nothing arrives at `to` that `from` sends; the other direction is unchanged.
    pub fn cut(&self, from: &str, to: &str) {
        let (from, to) = (self.index(from), self.index(to));
        self.sim.world().links.cut(from, to);
    }

    /// From here on these hosts hear each other, and no other host hears them. Another call with other hosts makes a
    /// third side, and so on.
    pub fn split(&self, together: &[&str]) {
        let together: Vec<usize> = together.iter().map(|name| self.index(name)).collect();
        self.sim.world().links.split(&together);
    }

    /// Ends all cuts and splits.
    pub fn heal(&self) {
        self.sim.world().links.heal();
    }

    /// Stops a process: nothing runs until [`resume`](Self::resume), and what comes in waits.
    pub fn pause(&self, name: &str) {
        self.ail(name, |ailments| ailments.paused = true);
    }

    /// Stops receiving on a host: what comes in waits, all else runs.
    pub fn deafen(&self, name: &str) {
        self.ail(name, |ailments| ailments.deaf = true);
    }

    /// Stops sending and receiving on a host, while its timers run: what comes in and what goes out waits.
    pub fn block(&self, name: &str) {
        self.ail(name, |ailments| ailments.blocked = true);
    }

    /// Makes a host take this long to handle each datagram.
    pub fn slow(&self, name: &str, each: Duration) {
        self.ail(name, |ailments| ailments.slow = each);
    }

    /// Makes a host wait for the processor whenever there is something to do, for an exponential time with this mean.
    /// Then it does all that has waited.
    pub fn starve(&self, name: &str, mean: Duration) {
        self.ail(name, |ailments| ailments.starved = mean);
    }

    /// Ends all that [`pause`](Self::pause), [`deafen`](Self::deafen), [`block`](Self::block),
    /// [`slow`](Self::slow) and [`starve`](Self::starve) have done to a host. Late timers fire first, then what
    /// waited goes out and comes in.
    pub fn resume(&self, name: &str) {
        self.ail(name, |ailments| *ailments = Ailments::default());
    }

    /// Ends a process without a leave. Its [`Member`] returns [`Error::Closed`] from here on.
    pub fn crash(&self, name: &str) {
        let host = self.index(name);
        let mut world = self.sim.world();
        let leftovers = world.end(host, Error::Closed);
        drop(world);
        // A listener may do anything when it is dropped.
        drop(leftovers);
    }

    /// Crashes a process, if it runs, and starts another one in its place, at the same address.
    ///
    /// # Errors
    ///
    /// As of [`add`](Self::add); or [`Error::Config`]: `config` names another host.
    pub fn restart(&self, name: &str, config: Config) -> Result<Member> {
        if config.name_given().is_some_and(|given| given != name) {
            return Err(crate::error::invalid("name", format!("is not {name:?}")));
        }
        config.validate()?;
        config.refuse_the_outside()?;
        self.crash(name);
        self.sim.start(config.name(name))
    }

    /// Whether the invariants are checked at each step of members that are started from here on. True at first;
    /// a cluster of thousands runs faster without.
    pub fn check(&self, checks: bool) {
        self.sim.world().checks = checks;
    }

    /// Leaves out a rule of the protocol in members that are started from here on: to see in an experiment what the
    /// rule is good for, and that the experiment can fail.
    #[cfg(any(test, headcount_bench))]
    pub fn without(&self, rule: Rule) {
        self.sim.world().without.add(rule);
    }

    /// Makes a member raise its incarnation and gossip it, as if it had refuted an accusation. This is the smallest
    /// piece of news there is, for measuring how news spreads.
    pub fn touch(&self, name: &str) {
        let host = self.index(name);
        let mut world = self.sim.world();
        let run = world.hosts[host].run;
        // A host that has ended has no news.
        let _ = world.with(host, run, |protocol, now| protocol.touch(now));
    }

    /// Whether all running members show exactly the running members as alive, and agree on everything that is gossiped
    /// about them.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        let world = self.sim.world();
        let running: Vec<_> = world.hosts.iter().filter(|host| host.is_running()).collect();
        let Some(first) = running.first() else {
            return true;
        };
        let print = first.protocol.fingerprint();
        running
            .iter()
            .all(|host| host.protocol.fingerprint() == print && host.protocol.nodes_len() == running.len())
            && running.iter().all(|host| {
                let node = first.protocol.node(&host.name);
                node.is_some_and(|node| node.status() == Status::Alive && node.addr() == host.addr)
            })
    }

    /// Lets virtual time pass until no running member shows a node that is gone: one that crashed, has left, or was
    /// dropped. Call it when all running members are well and hear each other.
    ///
    /// It may take 2 × (n × probe_interval + isolation_timeout), where n is the number of all hosts there ever were:
    /// each is probed once in n rounds by each of the others, and two of a hundred need most of that time to bury the
    /// rest. A member that is left alone hides the others after the isolation timeout.
    ///
    /// # Panics
    ///
    /// If a node that is gone is still shown then. The message names the seed.
    #[track_caller]
    pub fn assert_buried(&self) {
        let limit = self.sim.world().burial_limit();
        if self.ask(limit, AT_REST, |cluster| cluster.sim.world().first_ghost().is_none()) {
            return;
        }
        let world = self.sim.world();
        if let Some((host, ghost)) = world.first_ghost() {
            let place = world.place();
            panic!("{place}: {host} still shows {ghost}, which is gone, after {limit:?}");
        }
    }

    /// Lets virtual time pass until the cluster [is converged](Self::is_converged). Call it when all running members
    /// are well, hear each other, and have a member or a seed in common.
    ///
    /// It may take 20 minutes longer than [`assert_buried`](Self::assert_buried): a member that was buried again and
    /// again may stay away for 320 s, and the pause between two probes of a node that has been dead for long is up to
    /// 10 minutes.
    ///
    /// # Panics
    ///
    /// If it is not converged then. The message names the seed.
    #[track_caller]
    pub fn assert_converged(&self) {
        let limit = self.sim.world().burial_limit() + Duration::from_secs(1_200);
        if !self.ask(limit, AT_REST, Self::is_converged) {
            let world = self.sim.world();
            panic!("{}: views differ after {limit:?}: {}", world.place(), world.sizes());
        }
    }

    /// A hash over all datagrams that were sent, and when: equal for equal runs.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.sim.world().trace
    }

    /// Gives a host another address. Its member moves there when it next checks its address.
    #[cfg(test)]
    pub(crate) fn relocate(&self, name: &str, addr: SocketAddr) {
        let host = self.index(name);
        let mut world = self.sim.world();
        world.readdress(host, vec![addr], true);
    }

    /// Starts a member on a new host under a name that is taken. From then on this name means the new host here.
    #[cfg(test)]
    pub(crate) fn add_namesake(&self, name: &str, config: Config) -> Result<Member> {
        let host = self.index(name);
        self.sim.world().by_name.remove(name);
        let outcome = self.add(config.name(name));
        if outcome.is_err() {
            self.sim.world().by_name.insert(name.to_owned(), host);
        }
        outcome
    }

    /// From here on all datagrams that are sent are kept.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn record(&self) {
        self.sim.world().recorded = Some(Vec::new());
    }

    /// Takes the datagrams that were kept, in the order in which they were sent: by which host, and to where.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn take_recorded(&self) -> Vec<(SocketAddr, Transmit)> {
        self.sim.world().recorded.take().unwrap_or_default()
    }

    /// Evaluates a condition at once and then repeatedly, until it holds or the time is over.
    fn ask(&self, limit: Duration, every: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now().saturating_add(limit);
        loop {
            if holds(self) {
                return true;
            }
            let left = end.saturating_sub(self.now());
            if left.is_zero() {
                return false;
            }
            self.run(left.min(every));
        }
    }

    fn between(&self, from: &str, to: &str, change: impl FnOnce(&mut Link)) {
        let (from, to) = (self.index(from), self.index(to));
        change(self.sim.world().links.between(from, to));
    }

    fn ail(&self, name: &str, change: impl FnOnce(&mut Ailments)) {
        let host = self.index(name);
        let mut world = self.sim.world();
        change(&mut world.hosts[host].ailments);
        world.revive(host);
    }

    /// The host of a name. If there is none, it panics while the world is not locked, so the world can be used after
    /// that.
    #[track_caller]
    fn index(&self, name: &str) -> usize {
        let found = self.sim.world().index_of(name);
        match found {
            Some(index) => index,
            None => panic!("there is no host {name:?} in this simulation"),
        }
    }
}

#[cfg(test)]
mod explorer;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod tests;
