//! What the threads and the handles of one member share: [`Shared`].
//!
//! It puts together what each knows nothing of the others: the [driver](Driver) of the protocol, the [view](View) for
//! readers, and the threads that do for the protocol what may block.

mod ending;
mod own_address;

use std::net::SocketAddr;
use std::process;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::address::{Contacts, OwnAddress};
use super::driver::{Driver, Outputs};
use super::handles::Handles;
use super::view::View;
use super::workers::discoveries::Discoveries;
use super::workers::resolver_pool::ResolverPool;
use super::workers::snapshot_writer::SnapshotWriter;
use crate::config::Seed;
use crate::consumer::Consumer;
use crate::engine::Owner;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::node::Nodes;
use crate::protocol::{CallResult, Instant, Protocol, RequestId, Settings, Task};

/// An answer of the protocol may come this much later than its deadline: it has to wait for its turn.
pub(super) const ANSWER_GRACE: Duration = Duration::from_millis(100);

/// One running or ended member.
#[derive(Debug)]
pub(crate) struct Shared {
    driver: Driver,
    view: View,
    handles: Handles,
    resolver_pool: ResolverPool,
    discoveries: Discoveries,
    /// Set at the start, if there is to be a snapshot.
    snapshot_writer: OnceLock<SnapshotWriter>,
    owner: OnceLock<Weak<dyn Owner>>,
    /// The process that has made it: there its threads run.
    process: AtomicU32,

    join_timeout: Duration,
    send_timeout: Duration,
    probe_interval: Duration,
    event_capacity: usize,
    listener_panics: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        settings: &Settings,
        seeds: &[Seed],
        address: OwnAddress,
        event_capacity: usize,
        driver: Driver,
        handles: Handles,
    ) -> Self {
        Self {
            driver,
            discoveries: Discoveries::new(settings.bound, seeds),
            view: View::new(settings, address),
            handles,
            resolver_pool: ResolverPool::default(),
            snapshot_writer: OnceLock::new(),
            owner: OnceLock::new(),
            process: AtomicU32::new(process::id()),
            join_timeout: settings.join_timeout,
            send_timeout: settings.send_timeout,
            probe_interval: settings.probe_interval,
            event_capacity,
            listener_panics: AtomicU64::new(0),
        }
    }
}

/// Steps.
impl Shared {
    /// Makes one step of the protocol, and does what it has left to do. An error says that the member has ended, or runs
    /// in another process.
    pub(crate) fn step<T>(self: &Arc<Self>, work: impl FnOnce(&mut Protocol, Instant) -> T) -> Result<T> {
        self.check_process()?;
        self.step_into(&mut Outputs::default(), work)
    }

    /// Likewise, with the buffers of the thread that makes the step.
    pub(super) fn step_into<T>(
        self: &Arc<Self>,
        outputs: &mut Outputs,
        work: impl FnOnce(&mut Protocol, Instant) -> T,
    ) -> Result<T> {
        let result = self.driver.step(outputs, work);
        self.follow_up(outputs);
        result
    }

    /// Makes a step that begins a call, and tells where its answer is going to be. It is disconnected without
    /// an answer if the member ends.
    pub(super) fn call(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Protocol, Instant) -> Result<RequestId>,
    ) -> Result<Receiver<CallResult>> {
        self.check_process()?;
        let mut outputs = Outputs::default();
        let result = self.driver.call(&mut outputs, work);
        self.follow_up(&mut outputs);
        result
    }

    /// Does what a step has left and the driver can not do.
    fn follow_up(self: &Arc<Self>, outputs: &mut Outputs) {
        for task in outputs.tasks() {
            match task {
                Task::Discover => self.discover(),
                Task::CheckAddress { newcomer: None } => self.check_address_by_nodes(),
                Task::CheckAddress { newcomer: Some(newcomer) } if self.view.address().is_provisional() => {
                    self.check_address(Contacts::Newcomer(newcomer));
                }
                Task::CheckAddress { .. } => {}
            }
        }
        if let Some(transport) = outputs.closed() {
            self.wake_all(&transport);
        }
    }

    /// Looks for others, and returns before they are found.
    fn discover(self: &Arc<Self>) {
        self.look_for_the_absent();
        let known = self.discoveries.known();
        if !known.is_empty() {
            self.addresses_found(known);
        }
        self.discoveries.ask();
    }

    /// Says hello to nodes that an earlier run knew and this one has not seen.
    fn look_for_the_absent(self: &Arc<Self>) {
        let Some(writer) = self.snapshot_writer.get() else {
            return;
        };
        if writer.absent().is_empty() {
            return;
        }
        // Not under the lock of the absent contacts.
        let view = self.all_nodes();
        let mut addrs = writer.take_turn(&view, self.driver.now());
        addrs.retain(|addr| self.view.address().can_reach(*addr));
        self.addresses_found(&addrs);
    }

    /// Chooses which address is advertised, if that is open, by the route to the first of these that has one.
    pub(super) fn choose_address(self: &Arc<Self>, contacts: &[SocketAddr]) {
        if self.view.address().is_provisional() {
            self.check_address(Contacts::Seeds(contacts));
        }
    }

    /// Gives the protocol addresses at which others may be.
    pub(super) fn addresses_found(self: &Arc<Self>, addrs: &[SocketAddr]) {
        self.choose_address(addrs);
        // An error says that the member has ended.
        let _ = self.step(|protocol, now| protocol.addresses_found(now, addrs));
    }
}

/// Readers.
impl Shared {
    /// The protocol's driver.
    pub(super) fn driver(&self) -> &Driver {
        &self.driver
    }

    /// What readers are shown.
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// The active nodes.
    pub(super) fn nodes(&self) -> Nodes {
        self.view.nodes(&self.driver)
    }

    /// All nodes that are held, the dead and those that have left included.
    pub(super) fn all_nodes(&self) -> Nodes {
        let nodes = self.driver.read(|protocol| protocol.all_nodes().cloned().collect());
        // Sorted here, when the lock is gone.
        Nodes::new(nodes)
    }

    /// The counters of the protocol and those of the threads.
    pub(super) fn metrics(&self) -> Metrics {
        let mut metrics = self.driver.metrics();
        metrics.listener_panics = self.listener_panics.load(Ordering::Relaxed);
        metrics.discovery_errors = self.discoveries.errors();
        if let Some(writer) = self.snapshot_writer.get() {
            writer.count(&mut metrics);
        }
        metrics
    }

    /// Opens a stream of the events from now on. It is over at once if the member has ended.
    pub(super) fn events(&self) -> Events {
        let (consumer, events) = Consumer::new(self.event_capacity);
        // An error says that the member has ended; then the consumer is dropped, which closes the stream.
        let _ = self.driver.add_consumer(consumer);
        events
    }

    /// How many events a consumer may be behind.
    pub(super) fn event_capacity(&self) -> usize {
        self.event_capacity
    }

    pub(super) fn join_timeout(&self) -> Duration {
        self.join_timeout
    }

    pub(super) fn send_timeout(&self) -> Duration {
        self.send_timeout
    }

    /// Longer than any ping of the protocol takes to be answered.
    pub(super) fn ping_patience(&self) -> Duration {
        10 * self.probe_interval
    }
}

/// Threads and owner.
impl Shared {
    /// An error in a process that was forked off: it has a copy of the member, and its socket, but none of its threads.
    /// What it would do to the socket, it would do to the member itself; and a lock that was held at the fork is held
    /// there for good.
    pub(super) fn check_process(&self) -> Result<()> {
        if self.process.load(Ordering::Relaxed) == process::id() { Ok(()) } else { Err(Error::Closed) }
    }

    /// As if this process were one that was forked off, or the right one again.
    #[cfg(test)]
    pub(super) fn fork(&self, is_forked: bool) {
        self.process.store(if is_forked { 0 } else { process::id() }, Ordering::Relaxed);
    }

    /// The threads that the end joins.
    pub(super) fn handles(&self) -> &Handles {
        &self.handles
    }

    pub(super) fn resolver_pool(&self) -> &ResolverPool {
        &self.resolver_pool
    }

    pub(super) fn discoveries(&self) -> &Discoveries {
        &self.discoveries
    }

    /// The member's side of the thread that writes the snapshot, if there is one.
    pub(super) fn snapshot_writer(&self) -> Option<&SnapshotWriter> {
        self.snapshot_writer.get()
    }

    /// Takes care of what writes the snapshot.
    pub(super) fn own_snapshot_writer(&self, writer: SnapshotWriter) -> &SnapshotWriter {
        // It is set once, when the member is created.
        self.snapshot_writer.get_or_init(|| writer)
    }

    /// Says what keeps the member running.
    pub(super) fn set_owner(&self, owner: Weak<dyn Owner>) {
        // It is set once, when the member is created.
        let _ = self.owner.set(owner);
    }

    /// What keeps the member running, if anything still does.
    pub(super) fn owner(&self) -> Option<Arc<dyn Owner>> {
        self.owner.get().and_then(Weak::upgrade)
    }

    /// Counts a panic of the listener.
    pub(super) fn count_listener_panic(&self) {
        self.listener_panics.fetch_add(1, Ordering::Relaxed);
    }
}
