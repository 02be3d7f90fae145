//! What the threads and the handles of one member share: [`Shared`], with the lock around the protocol, and
//! [`Shared::step`], by which everybody uses it.

mod ending;

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant as OsInstant};

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::Owner;
use super::address::OwnAddress;
use super::alarm::Alarm;
use super::discover::Discoveries;
use super::end::End;
use super::resolver_pool::ResolverPool;
use super::snapshot_writer::SnapshotWriter;
use super::transport_handle::TransportHandle;
use crate::config::Addresses;
use crate::consumer::{self, Consumer};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::metrics::Metrics;
use crate::node::{Node, Nodes};
use crate::protocol::{Answer, Call, Chore, Duty, Instant, Note, Protocol, Settings, Transmit};
use crate::transport::{Trouble, classify};

/// Strange errors of the socket are logged this far apart.
const TROUBLE_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// An answer of the protocol may come this much later than its deadline: it has to wait for its turn.
pub(crate) const ANSWER_GRACE: Duration = Duration::from_millis(100);

/// Held by a thread while it runs. Nothing is ever sent.
pub(super) type Token = Sender<Infallible>;

/// The tokens to give to the threads.
pub(super) struct Tokens {
    /// For receiver, prober and disseminator.
    pub(super) protocol: Token,
    /// For the notifier.
    pub(super) notifier: Token,
}

/// One running or ended member.
#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    addr: OwnAddress,
    bound: SocketAddr,
    cluster: String,
    join_timeout: Duration,
    send_timeout: Duration,
    probe_interval: Duration,
    event_capacity: usize,
    origin: OsInstant,

    core: RwLock<Core>,
    /// Written once, before the core is closed: a step that does not see it is one that the end waits for.
    end: OnceLock<End>,
    prober: Alarm,
    disseminator: Alarm,
    resolver_pool: ResolverPool,
    discoveries: Discoveries,
    /// Set at the start, if there is to be a snapshot.
    pub(super) snapshot_writer: OnceLock<SnapshotWriter>,

    /// The view's version as of the last step.
    view_version: AtomicU64,
    /// The last view that somebody asked for, and its version.
    view: RwLock<Option<(u64, Nodes)>>,

    owner: OnceLock<Weak<Owner>>,
    threads: Mutex<Threads>,
    notifier_id: OnceLock<ThreadId>,
    /// Disconnected when receiver, prober and disseminator are through.
    protocol_threads: Receiver<Infallible>,
    /// Disconnected when the notifier is through.
    notifier_thread: Receiver<Infallible>,
    /// Disconnected when the transport is gone, which only the core and the threads keep alive.
    transport_gone: Receiver<Infallible>,
    /// Nobody waits for the listener any more.
    abandoned: AtomicBool,

    socket_errors: AtomicU64,
    listener_panics: AtomicU64,
    trouble_logged: Mutex<Option<OsInstant>>,
}

/// The threads to join.
#[derive(Debug, Default)]
struct Threads {
    protocol: Vec<JoinHandle<()>>,
    notifier: Option<JoinHandle<()>>,
}

/// What is inside the lock.
#[derive(Debug)]
pub(super) struct Core {
    protocol: Protocol,
    consumers: Vec<Consumer>,
    /// Who waits for changes of the view.
    watchers: Vec<(u64, Sender<()>)>,
    watchers_made: u64,
    /// Who waits for which answer.
    calls: BTreeMap<Call, Sender<Answer>>,
    /// Taken out at the end.
    transport: Option<Arc<TransportHandle>>,
    events_dropped: u64,
}

/// What a step leaves to do when the guard is gone. Kept by each thread, so that its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    transport: Option<Arc<TransportHandle>>,
    transmits: Vec<Transmit>,
    /// The last datagram that was sent: its memory goes back to the protocol in the next step. At rest no step has more
    /// than one.
    sent: Option<Vec<u8>>,
    answers: Vec<(Sender<Answer>, Answer)>,
    /// To be logged.
    events: Vec<Event>,
    chores: Vec<Chore>,
    notes: Vec<Note>,
    /// The member has ended in this step, and this was its transport.
    closed: Option<Arc<TransportHandle>>,
}

/// Tells of every change of the view, until it is dropped.
pub(crate) struct Watch<'a> {
    shared: &'a Shared,
    number: u64,
    changes: Receiver<()>,
}

impl Watch<'_> {
    /// Gets a message after changes, and is disconnected at the end of the member.
    pub(crate) fn changes(&self) -> &Receiver<()> {
        &self.changes
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.shared.core_mut().watchers.retain(|(number, _)| *number != self.number);
    }
}

impl Shared {
    pub(super) fn new(
        settings: &Settings,
        addresses: Addresses,
        event_capacity: usize,
        origin: OsInstant,
        protocol: Protocol,
        transport: Arc<TransportHandle>,
        transport_gone: Receiver<Infallible>,
    ) -> (Self, Tokens) {
        let (protocol_token, protocol_threads) = crossbeam_channel::bounded(0);
        let (notifier_token, notifier_thread) = crossbeam_channel::bounded(0);
        let core = Core {
            protocol,
            consumers: Vec::new(),
            watchers: Vec::new(),
            watchers_made: 0,
            calls: BTreeMap::new(),
            transport: Some(transport),
            events_dropped: 0,
        };
        let shared = Self {
            name: settings.name.clone(),
            discoveries: Discoveries::new(settings.bound, &addresses.seeds),
            addr: OwnAddress::new(addresses, settings.bound),
            bound: settings.bound,
            cluster: settings.cluster.clone(),
            join_timeout: settings.join_timeout,
            send_timeout: settings.send_timeout,
            probe_interval: settings.probe_interval,
            event_capacity,
            origin,
            core: RwLock::new(core),
            end: OnceLock::new(),
            prober: Alarm::new(),
            disseminator: Alarm::new(),
            resolver_pool: ResolverPool::default(),
            snapshot_writer: OnceLock::new(),
            view_version: AtomicU64::new(0),
            view: RwLock::new(None),
            owner: OnceLock::new(),
            threads: Mutex::default(),
            notifier_id: OnceLock::new(),
            protocol_threads,
            notifier_thread,
            transport_gone,
            abandoned: AtomicBool::new(false),
            socket_errors: AtomicU64::new(0),
            listener_panics: AtomicU64::new(0),
            trouble_logged: Mutex::new(None),
        };
        (shared, Tokens { protocol: protocol_token, notifier: notifier_token })
    }
}

/// Steps.
impl Shared {
    /// Makes one step of the protocol: the only way in which anything is done with it. An error says that the
    /// member has ended.
    pub(crate) fn step<T>(self: &Arc<Self>, work: impl FnOnce(&mut Protocol, Instant) -> T) -> Result<T> {
        self.step_into(&mut Outputs::default(), |core, now| work(&mut core.protocol, now))
    }

    /// Makes a step that begins a call, and tells where its answer is going to be. It is disconnected without
    /// an answer if the member ends.
    pub(crate) fn call(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Protocol, Instant) -> Result<Call>,
    ) -> Result<Receiver<Answer>> {
        self.step_into(&mut Outputs::default(), |core, now| {
            let call = work(&mut core.protocol, now)?;
            let (sender, receiver) = crossbeam_channel::bounded(1);
            core.calls.insert(call, sender);
            Ok(receiver)
        })?
    }

    /// Makes a step, with the buffers of the thread that makes it.
    pub(super) fn step_into<T>(
        self: &Arc<Self>,
        outputs: &mut Outputs,
        work: impl FnOnce(&mut Core, Instant) -> T,
    ) -> Result<T> {
        let result = {
            let mut core = self.core_mut();
            if let Some(end) = self.end.get() {
                return Err(end.error());
            }
            // Read under the guard: so time never goes back from one step to the next.
            let now = self.now();
            let result = panic::catch_unwind(AssertUnwindSafe(|| {
                outputs.sent.take().into_iter().for_each(|datagram| core.protocol.reuse(datagram));
                let result = work(&mut core, now);
                self.drain(&mut core, now, outputs);
                result
            }));
            if result.is_err() {
                // Whatever the protocol is now, it is not used again. The end is written under the guard, so
                // that no step comes between.
                let thread = thread::current().name().unwrap_or("of the caller").to_owned();
                let _ = self.end.set(End::Panicked(thread));
                outputs.closed = core.close();
            }
            result
        };
        self.deliver(outputs);
        result.map_err(|payload| {
            log::error!("the protocol panicked: {}", panic_message(&*payload));
            self.end_error()
        })
    }

    /// Takes out of the protocol what the step has left, and queues the events.
    fn drain(&self, core: &mut Core, now: Instant, outputs: &mut Outputs) {
        // The version comes before the events: who sees an event finds a view that shows it.
        let version = core.protocol.view_version();
        if self.view_version.swap(version, Ordering::AcqRel) != version {
            let is_gone = |result| matches!(result, Err(TrySendError::Disconnected(())));
            core.watchers.retain(|(_, watcher)| !is_gone(watcher.try_send(())));
        }
        core.consumers.retain_mut(|consumer| consumer.tell_missed().is_some());
        // Not `log_enabled!`, which asks the logger: that is code of the user.
        let is_logged = log::max_level() >= log::Level::Info;
        while let Some(event) = core.protocol.poll_event() {
            if matches!(event, Event::Message { .. }) {
                // Before the datagrams are taken out: the ack is one of them.
                core.hand_over(now, event);
                continue;
            }
            core.tell(&event);
            if is_logged {
                outputs.events.push(event);
            }
        }
        outputs.transmits.extend(std::iter::from_fn(|| core.protocol.poll_transmit()));
        if !outputs.transmits.is_empty() {
            outputs.transport.clone_from(&core.transport);
        }
        while let Some((call, answer)) = core.protocol.poll_answer() {
            outputs.answers.extend(core.calls.remove(&call).map(|caller| (caller, answer)));
        }
        outputs.chores.extend(std::iter::from_fn(|| core.protocol.poll_chore()));
        outputs.notes.extend(std::iter::from_fn(|| core.protocol.poll_note()));
        self.prober.set(core.protocol.poll_timeout(Duty::Probe));
        self.disseminator.set(core.protocol.poll_timeout(Duty::Disseminate));
        if let Some(error) = core.protocol.poll_end() {
            let _ = self.end.set(match error {
                Error::NameTaken { name, addr } => End::NameTaken { name, addr },
                _ => End::Closed,
            });
            outputs.closed = core.close();
        }
    }

    /// Does what the step has left to do. Without the guard.
    fn deliver(self: &Arc<Self>, outputs: &mut Outputs) {
        if let Some(transport) = outputs.transport.take() {
            for Transmit { to, datagram } in outputs.transmits.drain(..) {
                log::trace!("sending {} bytes to {to}", datagram.len());
                if let Err(error) = transport.send(&datagram, to) {
                    self.note_trouble(format_args!("send to {to}"), &error);
                }
                outputs.sent = Some(datagram);
            }
        }
        for (caller, answer) in outputs.answers.drain(..) {
            // Whoever asked may have given up.
            let _ = caller.try_send(answer);
        }
        self.prober.ring_if_earlier();
        self.disseminator.ring_if_earlier();
        for event in outputs.events.drain(..) {
            match event {
                Event::NameConflict { .. } => log::warn!("{}: {event}", self.name),
                event => log::info!("{event}"),
            }
        }
        for Note { level, text } in outputs.notes.drain(..) {
            log::log!(level, "{}: {text}", self.name);
        }
        for chore in outputs.chores.drain(..) {
            match chore {
                Chore::Discover => {
                    self.look_for_the_absent();
                    self.discoveries.ask(self);
                }
                Chore::CheckAddress => self.check_address(self.nodes().iter().map(Node::addr)),
            }
        }
        if let Some(transport) = outputs.closed.take() {
            self.wake_all(&transport);
        }
    }

    /// Finds out which address is the own one now, to be told to others, of whom some are known.
    pub(super) fn check_address(self: &Arc<Self>, others: impl IntoIterator<Item = SocketAddr>) {
        let before = self.addr.get();
        let addr = self.addr.look(others);
        if addr != before && !self.addr.is_allowed() {
            log::warn!("{}: the own address is {addr} now, and in none of the allowed networks", self.name);
        }
        // An error says that the member has ended.
        let _ = self.step(|protocol, now| protocol.move_to(now, addr));
    }

    /// Gives the protocol addresses at which others may be.
    pub(super) fn addresses_found(self: &Arc<Self>, addrs: &[SocketAddr]) {
        if self.addr.is_unsettled() {
            self.check_address(addrs.iter().copied());
        }
        // An error says that the member has ended.
        let _ = self.step(|protocol, now| protocol.addresses_found(now, addrs));
    }

    /// The time of the protocol: microseconds since the member's creation.
    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The alarm of a duty.
    pub(super) fn alarm(&self, duty: Duty) -> &Alarm {
        match duty {
            Duty::Probe => &self.prober,
            Duty::Disseminate => &self.disseminator,
        }
    }

    /// Counts an error of the transport, and logs it if an operator may have to know.
    pub(super) fn note_trouble(&self, what: fmt::Arguments<'_>, error: &io::Error) {
        self.socket_errors.fetch_add(1, Ordering::Relaxed);
        if classify(error) == Trouble::Strange && self.may_log_trouble() {
            log::warn!("{}: {what}: {error}", self.name);
        }
    }

    fn may_log_trouble(&self) -> bool {
        let now = OsInstant::now();
        let mut logged = self.trouble_logged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged.is_none_or(|last| now.duration_since(last) >= TROUBLE_LOG_INTERVAL);
        if is_due {
            *logged = Some(now);
        }
        is_due
    }
}

/// Readers.
impl Shared {
    /// The own name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is bound to all interfaces, and so far only this host can reach it.
    pub(super) fn may_be_out_of_reach(&self) -> bool {
        self.addr.is_unsettled()
    }

    /// What others send to.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr.get()
    }

    /// Where the socket is bound.
    pub(super) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// The cluster's name.
    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Disconnected when the threads of the protocol are through.
    pub(super) fn protocol_threads(&self) -> &Receiver<Infallible> {
        &self.protocol_threads
    }

    pub(super) fn join_timeout(&self) -> Duration {
        self.join_timeout
    }

    pub(super) fn send_timeout(&self) -> Duration {
        self.send_timeout
    }

    /// Longer than any ping of the protocol takes to be answered.
    pub(crate) fn ping_patience(&self) -> Duration {
        10 * self.probe_interval
    }

    pub(super) fn event_capacity(&self) -> usize {
        self.event_capacity
    }

    pub(super) fn resolver_pool(&self) -> &ResolverPool {
        &self.resolver_pool
    }

    pub(super) fn discoveries(&self) -> &Discoveries {
        &self.discoveries
    }

    /// Whether an address is certainly the own one.
    pub(super) fn is_own(&self, addr: SocketAddr) -> bool {
        let own = self.addr();
        let is_interface = self.bound.ip().is_unspecified()
            && addr.port() == self.bound.port()
            && (addr.ip().is_loopback() || addr.ip() == own.ip());
        addr == own || addr == self.bound || is_interface
    }

    /// Whether the socket can send to an address of this family.
    pub(super) fn can_reach(&self, addr: SocketAddr) -> bool {
        match self.bound.ip() {
            IpAddr::V4(_) => addr.is_ipv4(),
            IpAddr::V6(ip) => addr.is_ipv6() || ip.is_unspecified(),
        }
    }

    /// Reads the protocol, for one bounded step.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Protocol) -> T) -> T {
        work(&self.core().protocol)
    }

    /// The active nodes: the last view if it is still right, else a new one. Two callers that come at the same
    /// moment after a change may both build it; the alternative would be to hold two locks.
    pub(crate) fn nodes(&self) -> Nodes {
        let current = self.view_version.load(Ordering::Acquire);
        if let Some((version, nodes)) = &*self.view.read().unwrap_or_else(PoisonError::into_inner)
            && *version == current
        {
            return nodes.clone();
        }
        let (version, nodes): (u64, Vec<Node>) =
            self.read(|protocol| (protocol.view_version(), protocol.nodes().cloned().collect()));
        let nodes = Nodes::new(nodes);

        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = match &*view {
            Some((newer, _)) if *newer > version => None,
            _ => view.replace((version, nodes.clone())),
        };
        // Dropping a large view takes a while: not under the lock.
        drop(view);
        drop(replaced);
        nodes
    }

    /// The counters of the protocol and those of the threads.
    pub(crate) fn metrics(&self) -> Metrics {
        let (mut metrics, events_dropped) = {
            let core = self.core();
            (core.protocol.metrics().to_owned(), core.events_dropped)
        };
        metrics.events_dropped = events_dropped;
        metrics.listener_panics = self.listener_panics.load(Ordering::Relaxed);
        metrics.discovery_errors = self.discoveries.errors();
        metrics.socket_errors = self.socket_errors.load(Ordering::Relaxed);
        if let Some(writer) = self.snapshot_writer.get() {
            writer.count(&mut metrics);
        }
        metrics
    }
}

/// Consumers and watchers.
impl Shared {
    /// Opens a stream of the events from now on. It is over at once if the member has ended.
    pub(crate) fn events(&self) -> Receiver<Event> {
        let (consumer, events) = Consumer::new(self.event_capacity);
        // An error says that the member has ended; then the consumer is dropped, which closes the stream.
        let _ = self.add_consumer(consumer);
        events
    }

    /// Adds a consumer.
    pub(super) fn add_consumer(&self, consumer: Consumer) -> Result<()> {
        let mut core = self.core_mut();
        self.check_running()?;
        core.consumers.push(consumer);
        Ok(())
    }

    /// Watches the view from now on.
    pub(crate) fn watch(&self) -> Result<Watch<'_>> {
        let (sender, changes) = crossbeam_channel::bounded(1);
        let mut core = self.core_mut();
        self.check_running()?;
        core.watchers_made += 1;
        let number = core.watchers_made;
        core.watchers.push((number, sender));
        Ok(Watch { shared: self, number, changes })
    }

    /// Counts a panic of the listener.
    pub(super) fn count_listener_panic(&self) {
        self.listener_panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nobody waits for the listener any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

/// Threads and owner.
impl Shared {
    /// Takes care of a thread of the protocol.
    pub(super) fn own(&self, thread: JoinHandle<()>) {
        self.threads().protocol.push(thread);
    }

    /// Takes care of the notifier.
    pub(super) fn own_notifier(&self, thread: JoinHandle<()>) {
        // It is set once, when the thread is started.
        let _ = self.notifier_id.set(thread.thread().id());
        self.threads().notifier = Some(thread);
    }

    /// Says what keeps the member running.
    pub(super) fn set_owner(&self, owner: Weak<Owner>) {
        // It is set once, when it is created.
        let _ = self.owner.set(owner);
    }

    /// What keeps the member running, if anything still does.
    pub(crate) fn owner(&self) -> Option<Arc<Owner>> {
        self.owner.get().and_then(Weak::upgrade)
    }
}

/// Locks. A panic under one of them has ended the member already, and readers may go on.
impl Shared {
    fn core(&self) -> RwLockReadGuard<'_, Core> {
        self.core.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn core_mut(&self) -> RwLockWriteGuard<'_, Core> {
        self.core.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// The protocol, for the step that has the guard.
    pub(super) fn protocol_mut(&mut self) -> &mut Protocol {
        &mut self.protocol
    }

    /// Queues an event for every consumer.
    fn tell(&mut self, event: &Event) {
        self.events_dropped += consumer::tell(&mut self.consumers, event);
    }

    /// Queues a message for all consumers or for none, and has its sender told.
    fn hand_over(&mut self, now: Instant, message: Event) {
        let handover = consumer::hand_over(&mut self.consumers, message);
        self.protocol.settle(now, handover);
    }

    /// Ends all streams and waiting calls. The first one to do so gets the transport.
    fn close(&mut self) -> Option<Arc<TransportHandle>> {
        self.consumers.clear();
        self.watchers.clear();
        self.calls.clear();
        self.transport.take()
    }
}

/// What a panic said.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
