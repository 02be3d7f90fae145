//! The calls of a [`Member`] that is simulated. Those that block run the world until they are
//! answered.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::host::{Host, Leftovers, Past};
use super::world::World;
use crate::config::{Config, Seed};
use crate::consumer::{self, Consumer};
use crate::discovery::Discovery;
use crate::engine::{Engine, Owner};
use crate::error::{Error, Result, invalid};
use crate::event::Event;
use crate::events::Events;
#[cfg(feature = "encryption")]
use crate::keyring::Keyring;
use crate::listener::Listener;
use crate::member::Member;
use crate::metrics::Metrics;
use crate::node::{Node, Nodes};
use crate::protocol::{CallResult, Instant, Protocol, RequestId};
use crate::reach::Reach;

/// Maximum number of listeners inside each other's blocking calls; events beyond that wait.
const DEPTH_MAX: usize = 64;
/// An answer comes at its deadline at the latest. If there is none by this time, the world is broken.
const GRACE: Duration = Duration::from_secs(1);

/// The world, with the one lock around it. No user code runs under the lock.
#[derive(Debug)]
pub(super) struct Sim {
    world: Mutex<World>,
    /// How many listeners are being called, each inside a blocking call of the one before.
    depth: AtomicUsize,
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        Self { world: Mutex::new(World::new(seed)), depth: AtomicUsize::new(0) }
    }

    /// The world. After a broken invariant it is still there to be looked at.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process.
    pub(super) fn start(self: &Arc<Self>, mut config: Config) -> Result<Member> {
        // The listener of a refused configuration, and what is left of the run before, are dropped after the guard.
        let before;
        let mut world = self.world();
        let host;
        (host, before) = world.start(&mut config)?;
        let process = self.process(&world, host);
        let owner: Arc<dyn Owner> = Arc::new(Kept { process: Arc::clone(&process) });
        world.hosts[host].owner = Some(Arc::downgrade(&owner));
        drop(world);
        if let Some(mut before) = before {
            drop(before.end(Error::Closed));
            let past = Arc::clone(&before.past);
            let _ = past.set(Mutex::new(before));
        }
        Ok(Member::new(process, owner))
    }

    /// The run that a host is in.
    fn process(self: &Arc<Self>, world: &World, host: usize) -> Arc<Process> {
        let there = &world.hosts[host];
        Arc::new(Process {
            sim: Arc::clone(self),
            host,
            run: there.run,
            name: there.name.clone(),
            cluster: there.cluster.clone(),
            addr: there.addr,
            started: there.started,
            past: Arc::clone(&there.past),
        })
    }

    /// Runs the world to a moment, or until something is done.
    pub(super) fn run<T>(
        self: &Arc<Self>,
        end: Instant,
        mut done: impl FnMut(&mut World) -> Option<T>,
    ) -> Option<T> {
        loop {
            let lines = std::mem::take(&mut self.world().lines);
            for (level, line) in lines {
                log::log!(level, "{line}");
            }
            self.tell_listeners(end);
            self.ask_discoveries();
            let mut world = self.world();
            if let Some(result) = done(&mut world) {
                return Some(result);
            }
            if !world.step(end) {
                world.now = world.now.max(end);
                return None;
            }
        }
    }

    /// Calls the listeners that have something to hear. The world is not locked meanwhile. Their calls may block, and
    /// so let time pass: beyond `end` the others wait.
    fn tell_listeners(self: &Arc<Self>, end: Instant) {
        while self.depth.load(Ordering::Relaxed) < DEPTH_MAX && self.world().now <= end {
            let Some((host, listener, event)) = self.next_event() else {
                return;
            };
            self.tell(host, listener, event);
        }
    }

    /// An event that can be passed to a listener now. A listener that is in a call gets it later, as on its own thread.
    fn next_event(&self) -> Option<(usize, Box<dyn Listener>, Event)> {
        let mut world = self.world();
        let waiting: Vec<usize> = world.to_be_told.iter().copied().collect();
        for host in waiting {
            let there = &mut world.hosts[host];
            if there.ailments.paused {
                continue;
            }
            let Some(listener) = there.listener.take() else {
                if there.listener_events.is_none() {
                    world.to_be_told.remove(&host);
                }
                continue;
            };
            match there.listener_events.as_ref().and_then(|events| events.try_recv().ok()) {
                Some(event) => return Some((host, listener, event)),
                None => {
                    there.listener = Some(listener);
                    world.to_be_told.remove(&host);
                }
            }
        }
        None
    }

    fn tell(self: &Arc<Self>, host: usize, mut listener: Box<dyn Listener>, event: Event) {
        let process = {
            let world = self.world();
            self.process(&world, host)
        };
        let run = process.run;
        let member = Member::unowned(process);
        self.depth.fetch_add(1, Ordering::Relaxed);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| listener.on_event(&member, event)));
        self.depth.fetch_sub(1, Ordering::Relaxed);
        let panicked = outcome.is_err();
        if let Err(payload) = outcome {
            // A broken invariant is not the listener's fault.
            if self.world.is_poisoned() {
                panic::resume_unwind(payload);
            }
            // Dropped where no lock is held: it is the user's.
            drop(payload);
        }
        let mut world = self.world();
        let there = &mut world.hosts[host];
        if there.run == run {
            there.listener_panics += u64::from(panicked);
        }
        if there.run == run && there.is_running() {
            there.listener = Some(listener);
        } else {
            drop(world);
            // Dropped where no lock is held.
            drop(listener);
        }
    }
}

/// Discoveries.
impl Sim {
    /// Asks the discoveries of the hosts that look for others. The world is not locked meanwhile.
    fn ask_discoveries(self: &Arc<Self>) {
        while self.depth.load(Ordering::Relaxed) < DEPTH_MAX {
            let (process, discoveries) = {
                let mut world = self.world();
                let Some(host) = world.to_discover.pop_first() else {
                    return;
                };
                let discoveries = std::mem::take(&mut world.hosts[host].discoveries);
                (self.process(&world, host), discoveries)
            };
            self.discover(&process, discoveries);
        }
    }

    fn discover(self: &Arc<Self>, process: &Arc<Process>, mut discoveries: Vec<Box<dyn Discovery>>) {
        let (host, run) = (process.host, process.run);
        let me = Member::unowned(Arc::<Process>::clone(process));
        for discovery in &mut discoveries {
            self.depth.fetch_add(1, Ordering::Relaxed);
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| discovery.discover(&me)));
            self.depth.fetch_sub(1, Ordering::Relaxed);
            if let Ok(Ok(found)) = &outcome {
                // An error says that the member has ended.
                let _ = self.world().with(host, run, |protocol, now| protocol.addresses_found(now, found));
                continue;
            }
            if let Err(payload) = outcome {
                // A broken invariant is not the discovery's fault.
                if self.world.is_poisoned() {
                    panic::resume_unwind(payload);
                }
                // Dropped where no lock is held: it is the user's.
                drop(payload);
            }
            let there = &mut self.world().hosts[host];
            there.discovery_errors += u64::from(there.run == run);
        }
        let mut world = self.world();
        let there = &mut world.hosts[host];
        if there.run == run && there.is_running() {
            there.discoveries = discoveries;
        } else {
            drop(world);
            // Dropped where no lock is held.
            drop(discoveries);
        }
    }
}

/// A seed names a host that does not exist.
fn unknown(seed: &str) -> Error {
    let source = io::Error::new(io::ErrorKind::NotFound, "there is no such host in this simulation");
    Error::Io { what: format!("resolve {seed}"), source }
}

/// One run of a simulated process.
pub(super) struct Process {
    sim: Arc<Sim>,
    host: usize,
    run: u64,
    name: String,
    cluster: String,
    addr: SocketAddr,
    started: Instant,
    past: Past,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("run", &self.run).finish_non_exhaustive()
    }
}

/// What the handles of a simulated process hold together.
#[derive(Debug)]
struct Kept {
    process: Arc<Process>,
}

impl Owner for Kept {}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.process.end(Error::Closed));
    }
}

impl Process {
    fn end(&self, error: Error) -> Option<Leftovers> {
        let mut world = self.sim.world();
        world.check_running(self.host, self.run).ok()?;
        // The last time, as its thread would. A crash has no such moment.
        let _ = world.write_snapshot(self.host);
        Some(world.end(self.host, error))
    }

    fn read<T>(&self, work: impl FnOnce(&Protocol) -> T) -> T {
        self.read_host(|host| work(&host.protocol))
    }

    /// Reads the host of this run, also when another run has taken its place.
    fn read_host<T>(&self, work: impl FnOnce(&Host) -> T) -> T {
        let world = self.sim.world();
        let there = &world.hosts[self.host];
        match self.past.get() {
            Some(past) if there.run != self.run => work(&past.lock().unwrap_or_else(PoisonError::into_inner)),
            _ => work(there),
        }
    }

    /// Runs the world until a call is answered.
    fn wait(&self, call: RequestId, patience: Duration) -> Result<CallResult> {
        let end = self.sim.world().now + patience + GRACE;
        let result = self.sim.run(end, |world| match world.check_running(self.host, self.run) {
            Err(error) => Some(Err(error)),
            Ok(()) => world.answer(self.host, call).map(Ok),
        });
        result.unwrap_or(Err(Error::Timeout))
    }

    fn call(&self, work: impl FnOnce(&mut Protocol, Instant) -> Result<RequestId>) -> Result<RequestId> {
        self.sim.world().with(self.host, self.run, work)?
    }
}

impl Engine for Process {
    fn join(self: Arc<Self>, seeds: Vec<String>) -> Result<()> {
        if seeds.is_empty() {
            return Err(invalid("seeds", "none was given"));
        }
        let mut named: Vec<(String, Result<SocketAddr>)> = Vec::with_capacity(seeds.len());
        let join_timeout;
        {
            let world = self.sim.world();
            world.check_running(self.host, self.run)?;
            join_timeout = world.hosts[self.host].join_timeout;
            for text in seeds {
                let addr = match Seed::parse(&text) {
                    Ok(seed) => world.resolve(self.host, &seed).ok_or_else(|| unknown(&text)),
                    Err(reason) => Err(invalid("seeds", reason)),
                };
                named.push((text, addr));
            }
        }
        let addrs: Vec<SocketAddr> =
            named.iter().filter_map(|(_, addr)| addr.as_ref().ok().copied()).collect();
        // Other members were named, and none of them can be asked: so being alone is no success.
        if addrs.len() < named.len() && addrs.iter().all(|addr| *addr == self.addr) {
            let failed = named.into_iter().filter_map(|(text, addr)| Some((text, addr.err()?)));
            return Err(Error::Join(failed.collect()));
        }
        let call = self.call(|protocol, now| Ok(protocol.join(now, &addrs)))?;
        let errors = match self.wait(call, join_timeout) {
            Ok(CallResult::Joined(Err(errors))) => errors,
            Ok(_) => return Ok(()),
            // A host that does not get to its timers.
            Err(Error::Timeout) => Vec::new(),
            Err(error) => return Err(error),
        };
        let reason = |addr: SocketAddr| {
            let found = errors.iter().find(|(of, _)| *of == addr);
            found.map_or(Error::NoAnswer, |(_, error)| crate::protocol::copy_error(error))
        };
        let others = named.into_iter().filter(|(_, addr)| addr.as_ref().ok() != Some(&self.addr));
        Err(Error::Join(others.map(|(text, addr)| (text, addr.map_or_else(|error| error, reason))).collect()))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn cluster(&self) -> &str {
        &self.cluster
    }

    fn bound(&self) -> Option<SocketAddr> {
        None
    }

    fn now(&self) -> Duration {
        self.sim.world().now.since(self.started)
    }

    fn local(&self) -> Node {
        self.read(Protocol::local)
    }

    fn nodes(&self) -> Nodes {
        Nodes::new(self.read(|protocol| protocol.nodes().cloned().collect()))
    }

    fn node(&self, name: &str) -> Option<Node> {
        self.read(|protocol| protocol.node(name).cloned())
    }

    fn all_nodes(&self) -> Nodes {
        Nodes::new(self.read(|protocol| protocol.all_nodes().cloned().collect()))
    }

    fn wait_until(&self, timeout: Duration, is_right: &mut dyn FnMut(&Nodes) -> bool) -> Result<Nodes> {
        let (end, mut seen) = {
            let world = self.sim.world();
            world.check_running(self.host, self.run)?;
            // Before the predicate is evaluated first: listeners that get events meanwhile may run the world.
            (world.now + timeout, world.hosts[self.host].protocol.view_version())
        };
        loop {
            // Evaluated outside of the lock: it is user code.
            let nodes = Engine::nodes(self);
            if is_right(&nodes) {
                return Ok(nodes);
            }
            let changed = self.sim.run(end, |world| {
                if let Err(error) = world.check_running(self.host, self.run) {
                    return Some(Err(error));
                }
                let version = world.hosts[self.host].protocol.view_version();
                (std::mem::replace(&mut seen, version) != version).then_some(Ok(()))
            });
            match changed {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(Error::Timeout),
            }
        }
    }

    fn update(self: Arc<Self>, changes: &[(&str, Option<&[u8]>)]) -> Result<()> {
        self.sim.world().with(self.host, self.run, |protocol, now| protocol.update(now, changes))?
    }

    fn broadcast(self: Arc<Self>, payload: &[u8]) -> Result<()> {
        let (call, timeout) = {
            let mut world = self.sim.world();
            let call =
                world.with(self.host, self.run, |protocol, now| protocol.broadcast(now, payload))??;
            // Usually there is room, and no time passes.
            if let Some(CallResult::Broadcast(result)) = world.answer(self.host, call) {
                return result;
            }
            (call, world.hosts[self.host].send_timeout)
        };
        match self.wait(call, timeout) {
            Ok(CallResult::Broadcast(result)) => result,
            Ok(_) => Err(Error::Closed),
            Err(error) => Err(error),
        }
    }

    fn ping(self: Arc<Self>, name: &str) -> Result<Duration> {
        let call = self.call(|protocol, now| protocol.ping(now, name))?;
        match self.wait(call, Duration::from_secs(3_600))? {
            CallResult::Pinged(result) => result,
            _ => Err(Error::Closed),
        }
    }

    fn send(self: Arc<Self>, name: &str, payload: &[u8]) -> Result<()> {
        let (call, timeout) = {
            let mut world = self.sim.world();
            let call = world.send_message(self.host, self.run, name, payload)?;
            (call, world.hosts[self.host].send_timeout)
        };
        match self.wait(call, timeout) {
            Ok(CallResult::Sent(result)) => result,
            Ok(_) => Err(Error::Closed),
            Err(error) => Err(error),
        }
    }

    fn save_snapshot(&self) -> Result<()> {
        let mut world = self.sim.world();
        world.check_running(self.host, self.run)?;
        world.write_snapshot(self.host)
    }

    fn events(&self) -> Events {
        let mut world = self.sim.world();
        let is_running = world.check_running(self.host, self.run).is_ok();
        let host = &mut world.hosts[self.host];
        let (consumer, events) = Consumer::new(host.event_capacity);
        if is_running {
            consumer::add(&mut host.consumers, consumer);
        }
        events
    }

    fn health(&self) -> u8 {
        self.read(Protocol::health)
    }

    fn metrics(&self) -> Metrics {
        self.read_host(|host| Metrics {
            events_dropped: host.events_dropped,
            listener_panics: host.listener_panics,
            discovery_errors: host.discovery_errors,
            socket_errors: host.socket_errors,
            snapshots_written: host.snapshot.as_ref().map_or(0, |snapshot| snapshot.writes),
            snapshot_errors: host.snapshot.as_ref().map_or(0, |snapshot| snapshot.errors),
            ..host.protocol.metrics()
        })
    }

    fn reach(&self) -> Reach {
        let now = self.sim.world().now;
        self.read(|protocol| protocol.reach(now))
    }

    fn force_leave(self: Arc<Self>, name: &str) -> Result<()> {
        self.sim.world().with(self.host, self.run, |protocol, now| protocol.force_leave(now, name))?
    }

    fn leave(self: Arc<Self>, timeout: Duration) -> Result<()> {
        let result = match self.call(|protocol, now| Ok(protocol.leave(now, timeout))) {
            Ok(call) => match self.wait(call, timeout) {
                Ok(CallResult::Left(result)) => result,
                Err(Error::Timeout) => Err(Error::Timeout),
                _ => Ok(()),
            },
            Err(_) => Ok(()),
        };
        self.shutdown().and(result)
    }

    fn shutdown(&self) -> Result<()> {
        drop(self.end(Error::Closed));
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.sim.world().check_running(self.host, self.run).is_err()
    }

    #[cfg(feature = "encryption")]
    fn keyring(&self) -> Keyring {
        self.read(|protocol| protocol.keyring().clone())
    }

    #[cfg(feature = "encryption")]
    fn change_keyring(self: Arc<Self>, change: &mut dyn FnMut(&mut Keyring) -> Result<()>) -> Result<()> {
        self.sim.world().with(self.host, self.run, |protocol, _| protocol.change_keyring(change))?
    }

    fn owner(&self) -> Option<Arc<dyn Owner>> {
        let world = self.sim.world();
        let host = &world.hosts[self.host];
        host.owner.as_ref().filter(|_| host.run == self.run).and_then(Weak::upgrade)
    }
}
