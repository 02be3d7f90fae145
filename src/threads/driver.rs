//! The protocol behind its lock: [`Driver`], by which everybody uses it.
//!
//! A *step* takes the write guard, gives the protocol one input, takes out everything that it has to say about it, and
//! lets the guard go; only then datagrams are sent, callers answered, sleepers woken and lines logged. There is no
//! other way to change anything. Under the guard there is no I/O, no logging, no user code and nothing that waits.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Instant as OsInstant;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::alarm::Alarm;
use super::end::End;
use super::socket_errors::SocketErrors;
use super::transport_handle::TransportHandle;
use crate::consumer::{self, Consumer};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::metrics::Metrics;
use crate::protocol::{CallResult, Instant, LogRecord, Protocol, RequestId, Task, TimerKind, Transmit};

/// Runs the protocol of one member, step by step.
#[derive(Debug)]
pub(super) struct Driver {
    /// The member's, for the log.
    name: String,
    origin: OsInstant,
    core: RwLock<Core>,
    /// Written once, before the core is closed: a step that does not see it is one that the end waits for.
    end: OnceLock<End>,
    prober: Alarm,
    disseminator: Alarm,
    /// The view's version as of the last step.
    view_version: AtomicU64,
    socket_errors: SocketErrors,
}

/// What is inside the lock.
#[derive(Debug)]
struct Core {
    protocol: Protocol,
    consumers: Vec<Consumer>,
    /// Who waits for changes of the view.
    watchers: Vec<(u64, Sender<()>)>,
    watchers_made: u64,
    /// Who waits for which answer.
    calls: BTreeMap<RequestId, Sender<CallResult>>,
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
    answers: Vec<(Sender<CallResult>, CallResult)>,
    /// To be logged.
    events: Vec<Event>,
    tasks: Vec<Task>,
    notes: Vec<LogRecord>,
    /// The member has ended in this step, and this was its transport.
    closed: Option<Arc<TransportHandle>>,
}

impl Outputs {
    /// What may block, for whoever made the step.
    pub(super) fn tasks(&mut self) -> impl Iterator<Item = Task> {
        self.tasks.drain(..)
    }

    /// The transport, if the member has ended in this step.
    pub(super) fn closed(&mut self) -> Option<Arc<TransportHandle>> {
        self.closed.take()
    }
}

/// Tells of every change of the view, until it is dropped.
pub(super) struct Watch<'a> {
    driver: &'a Driver,
    number: u64,
    changes: Receiver<()>,
}

impl Watch<'_> {
    /// Gets a message after changes, and is disconnected at the end of the member.
    pub(super) fn changes(&self) -> &Receiver<()> {
        &self.changes
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.driver.core_mut().watchers.retain(|(number, _)| *number != self.number);
    }
}

impl Driver {
    pub(super) fn new(
        name: String,
        origin: OsInstant,
        protocol: Protocol,
        transport: Arc<TransportHandle>,
    ) -> Self {
        let core = Core {
            protocol,
            consumers: Vec::new(),
            watchers: Vec::new(),
            watchers_made: 0,
            calls: BTreeMap::new(),
            transport: Some(transport),
            events_dropped: 0,
        };
        Self {
            name,
            origin,
            core: RwLock::new(core),
            end: OnceLock::new(),
            prober: Alarm::new(),
            disseminator: Alarm::new(),
            view_version: AtomicU64::new(0),
            socket_errors: SocketErrors::default(),
        }
    }
}

/// Steps.
impl Driver {
    /// Makes one step of the protocol: the only way in which anything is done with it. What remains in `outputs` is for
    /// the caller to do. An error says that the member has ended.
    pub(super) fn step<T>(
        &self,
        outputs: &mut Outputs,
        work: impl FnOnce(&mut Protocol, Instant) -> T,
    ) -> Result<T> {
        self.step_core(outputs, |core, now| work(&mut core.protocol, now))
    }

    /// Makes a step that begins a call, and tells where its answer is going to be. It is disconnected without
    /// an answer if the member ends.
    pub(super) fn call(
        &self,
        outputs: &mut Outputs,
        work: impl FnOnce(&mut Protocol, Instant) -> Result<RequestId>,
    ) -> Result<Receiver<CallResult>> {
        self.step_core(outputs, |core, now| {
            let call = work(&mut core.protocol, now)?;
            let (sender, receiver) = crossbeam_channel::bounded(1);
            core.calls.insert(call, sender);
            Ok(receiver)
        })?
    }

    fn step_core<T>(&self, outputs: &mut Outputs, work: impl FnOnce(&mut Core, Instant) -> T) -> Result<T> {
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
        core.consumers.iter_mut().for_each(Consumer::tell_missed);
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
        while let Some((call, answer)) = core.protocol.poll_result() {
            outputs.answers.extend(core.calls.remove(&call).map(|caller| (caller, answer)));
        }
        outputs.tasks.extend(std::iter::from_fn(|| core.protocol.poll_task()));
        outputs.notes.extend(std::iter::from_fn(|| core.protocol.poll_log_record()));
        self.prober.set(core.protocol.poll_timeout(TimerKind::Probe));
        self.disseminator.set(core.protocol.poll_timeout(TimerKind::Disseminate));
        if let Some(error) = core.protocol.poll_end() {
            let _ = self.end.set(match error {
                Error::NameTaken { name, addr } => End::NameTaken { name, addr },
                _ => End::Closed,
            });
            outputs.closed = core.close();
        }
    }

    /// Does what the step has left to do, but for what may block. Without the guard.
    fn deliver(&self, outputs: &mut Outputs) {
        if let Some(transport) = outputs.transport.take() {
            for Transmit { to, datagram } in outputs.transmits.drain(..) {
                log::trace!("sending {} bytes to {to}", datagram.len());
                if let Err(error) = transport.send(&datagram, to) {
                    self.socket_errors.note_send(&self.name, to, &error);
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
        for LogRecord { level, text } in outputs.notes.drain(..) {
            log::log!(level, "{}: {text}", self.name);
        }
    }

    /// The time of the protocol: microseconds since the member's creation.
    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The alarm of a kind of timer.
    pub(super) fn alarm(&self, kind: TimerKind) -> &Alarm {
        match kind {
            TimerKind::Probe => &self.prober,
            TimerKind::Disseminate => &self.disseminator,
        }
    }

    /// The errors of the transport.
    pub(super) fn socket_errors(&self) -> &SocketErrors {
        &self.socket_errors
    }
}

/// Readers.
impl Driver {
    /// Reads the protocol, for one bounded step.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Protocol) -> T) -> T {
        work(&self.core().protocol)
    }

    /// The view's version as of the last step.
    pub(super) fn view_version(&self) -> u64 {
        self.view_version.load(Ordering::Acquire)
    }

    /// The counters of the protocol, its consumers and its transport.
    pub(super) fn metrics(&self) -> Metrics {
        let (mut metrics, events_dropped) = {
            let core = self.core();
            (core.protocol.metrics().to_owned(), core.events_dropped)
        };
        metrics.events_dropped = events_dropped;
        metrics.socket_errors = self.socket_errors.count();
        metrics.sends_dropped = self.socket_errors.dropped();
        metrics
    }
}

/// Consumers and watchers.
impl Driver {
    /// Adds a consumer.
    pub(super) fn add_consumer(&self, consumer: Consumer) -> Result<()> {
        let mut core = self.core_mut();
        self.check_running()?;
        consumer::add(&mut core.consumers, consumer);
        Ok(())
    }

    /// Watches the view from now on.
    pub(super) fn watch(&self) -> Result<Watch<'_>> {
        let (sender, changes) = crossbeam_channel::bounded(1);
        let mut core = self.core_mut();
        self.check_running()?;
        core.watchers_made += 1;
        let number = core.watchers_made;
        core.watchers.push((number, sender));
        Ok(Watch { driver: self, number, changes })
    }
}

/// The end.
impl Driver {
    /// Whether the member has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Why it has ended, if it has.
    pub(super) fn end_reason(&self) -> Option<&End> {
        self.end.get()
    }

    /// An error if it has ended.
    pub(super) fn check_running(&self) -> Result<()> {
        self.end.get().map_or(Ok(()), |end| Err(end.error()))
    }

    /// What calls answer after the end.
    pub(super) fn end_error(&self) -> Error {
        self.end.get().map_or(Error::Closed, End::error)
    }

    /// Writes down that the member has ended: no step is made any more. False if it had ended before.
    pub(super) fn end(&self, end: End) -> bool {
        self.end.set(end).is_ok()
    }

    /// Ends all streams and waiting calls, of a member that has ended. The first one to do so gets the transport.
    pub(super) fn close(&self) -> Option<Arc<TransportHandle>> {
        self.core_mut().close()
    }

    /// Wakes the threads that sleep by an alarm.
    pub(super) fn ring(&self) {
        self.prober.ring();
        self.disseminator.ring();
    }
}

/// The lock. A panic under it has ended the member already, and readers may go on.
impl Driver {
    fn core(&self) -> RwLockReadGuard<'_, Core> {
        self.core.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn core_mut(&self) -> RwLockWriteGuard<'_, Core> {
        self.core.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Queues an event for every consumer.
    fn tell(&mut self, event: &Event) {
        self.events_dropped += consumer::tell(&mut self.consumers, event);
    }

    /// Queues a message for all consumers or for none, and has its sender told.
    fn hand_over(&mut self, now: Instant, message: Event) {
        let enqueued = consumer::hand_over(&mut self.consumers, message);
        self.protocol.complete(now, enqueued);
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
