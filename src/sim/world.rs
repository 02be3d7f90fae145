//! The simulated world: hosts, network and clock, and the one step by which it goes on.

#[cfg(test)]
mod choices;
mod invariants;
mod machines;
mod path;
mod snapshots;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

use self::machines::bound_to;
use super::checks::{Contents, Observer, Said, check_bounds};
use super::host::{Ailments, Host, Leftovers, Past, Waiting};
use super::machine::Machine;
use super::message_model::MessageModel;
use super::network::{Directory, Fates, Links};
use super::states::Ledger;
use crate::config::{Config, Place, Seed};
use crate::consumer::Consumer;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::node::Node;
#[cfg(any(test, fuzzing))]
use crate::protocol::Transmit;
use crate::protocol::{CallResult, EnqueueResult, Instant, Protocol, RequestId, Settings, Task, TimerKind};

/// Maximum number of datagrams that wait for a host that does not receive; more are lost, as in a socket's buffer.
const INBOX_MAX: usize = 1_024;
const TIMER_KINDS: [TimerKind; 2] = [TimerKind::Probe, TimerKind::Disseminate];

/// Something that is going to happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A datagram comes to a host.
    Arrival { to: usize, waiting: Waiting },
    /// A datagram has passed the downlink of a host.
    Passage { to: usize, waiting: Waiting },
    /// A slow host has finished the next datagram of its inbox.
    Service { host: usize, run: u64 },
    /// A starved host has the processor.
    Turn { host: usize, run: u64 },
    /// A member has rested since it wrote its snapshot.
    Snapshot { host: usize, run: u64 },
}

/// The whole simulated world.
pub(super) struct World {
    seed: u64,
    pub(super) now: Instant,
    rng: ChaCha12Rng,
    pub(super) hosts: Vec<Host>,
    pub(super) by_name: BTreeMap<String, usize>,
    pub(super) directory: Directory,
    pub(super) links: Links,
    /// Of hosts that have not been started yet.
    machines: BTreeMap<String, Machine>,
    /// What became of all that was sent.
    pub(super) fates: Fates,
    happenings: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    wakes: BTreeSet<(Instant, usize, usize)>,
    serial: u64,
    pub(super) contents: Contents,
    ledger: Ledger,
    /// Which messages were sent, and what became of them.
    messages: MessageModel,
    /// The first number of each run that has taken a higher one since.
    numbers: BTreeMap<(String, u64), u64>,
    said: Said,
    /// Whether the invariants are checked.
    pub(super) checks: bool,
    /// Rules that are left out in members that are started.
    #[cfg(any(test, headcount_bench))]
    pub(super) without: crate::protocol::rules::Without,
    /// Hosts with events for their listeners.
    pub(super) to_be_told: BTreeSet<usize>,
    /// Hosts whose discoveries are to be asked.
    pub(super) to_discover: BTreeSet<usize>,
    /// A hash over all that was sent, and when.
    pub(super) trace: u64,
    /// Lines to be logged when the guard is dropped: a logger is code of the user.
    pub(super) lines: Vec<(log::Level, String)>,
    /// All that was sent, and from where, if it is kept.
    #[cfg(any(test, fuzzing))]
    pub(super) recorded: Option<Vec<(SocketAddr, Transmit)>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Instant::default(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            hosts: Vec::new(),
            by_name: BTreeMap::new(),
            directory: Directory::default(),
            links: Links::new(),
            machines: BTreeMap::new(),
            fates: Fates::default(),
            happenings: BinaryHeap::new(),
            wakes: BTreeSet::new(),
            serial: 0,
            contents: Contents::default(),
            ledger: Ledger::default(),
            messages: MessageModel::default(),
            numbers: BTreeMap::new(),
            said: Said::default(),
            checks: true,
            #[cfg(any(test, headcount_bench))]
            without: Default::default(),
            to_be_told: BTreeSet::new(),
            to_discover: BTreeSet::new(),
            trace: 0,
            lines: Vec::new(),
            #[cfg(any(test, fuzzing))]
            recorded: None,
        }
    }

    /// Starts a process: on a new host, or on the one of its name if nothing runs there.
    /// The second result is what is left of the run before, to be dropped where no lock is held.
    pub(super) fn start(&mut self, config: &mut Config) -> Result<(usize, Option<Box<Host>>)> {
        let addresses = config.validate()?;
        config.refuse_the_outside()?;
        let index = match config.name_given().and_then(|name| self.by_name.get(name)) {
            Some(index) => *index,
            None => self.hosts.len(),
        };
        if self.hosts.get(index).is_some_and(Host::is_running) {
            return Err(crate::error::invalid("name", "a process of this name runs already"));
        }
        let advertise = addresses.advertise_literally()?;
        let (realm, interfaces) = self.interfaces(index, config.name_given(), advertise);
        let others = interfaces.iter().filter_map(|addr| self.directory.at(realm, *addr));
        if others.into_iter().any(|other| other != index && self.hosts[other].is_running()) {
            return Err(crate::error::invalid("advertise", "another host has this address"));
        }
        let advertises = advertise.is_some();
        let addr = advertise.unwrap_or(interfaces[0]);
        let mut settings = config.settings(&addresses, interfaces[0], addr)?;
        settings.bound = bound_to(&interfaces);
        #[cfg(any(test, headcount_bench))]
        {
            settings.without = self.without;
        }
        let (snapshot, past) = self.open_snapshot(index, config, &settings)?;
        settings.discovers |= past.as_ref().is_some_and(|past| !past.nodes.is_empty());
        let now = self.now;
        let wall = self.machine(index, &settings.name).clock.shows(now);
        let mut protocol = self.new_protocol(&settings, wall);
        if let Some(past) = &past {
            protocol.resume(now, past.generation);
        }
        protocol.begin_with(now, config.first_state(past.as_ref()));
        let machine = std::mem::take(self.machine(index, &settings.name));
        self.machines.remove(&settings.name);
        let mut host = Host {
            name: settings.name.clone(),
            cluster: settings.cluster.clone(),
            addr,
            advertises,
            interfaces,
            run: self.hosts.get(index).map_or(0, |host| host.run + 1),
            number: protocol.local().generation(),
            protocol,
            seeds: addresses.seeds,
            event_capacity: config.events_max(),
            join_timeout: settings.join_timeout,
            send_timeout: settings.send_timeout,
            probe_interval: settings.probe_interval,
            isolation_timeout: settings.isolation_timeout,
            end: None,
            owner: None,
            consumers: Vec::new(),
            listener: config.take_listener(),
            discoveries: config.take_discoveries(),
            discovery_errors: 0,
            listener_events: None,
            events_dropped: 0,
            listener_panics: 0,
            answers: BTreeMap::new(),
            ailments: Ailments::default(),
            inbox: std::collections::VecDeque::new(),
            outbox: std::collections::VecDeque::new(),
            busy_until: self.now,
            awaits_turn: false,
            wakes: [None, None],
            checks: self.checks,
            past: Past::default(),
            observer: Observer::default(),
            machine,
            snapshot,
            socket_errors: 0,
            started: self.now,
        };
        if host.listener.is_some() {
            let (consumer, events) = Consumer::new(host.event_capacity);
            host.consumers.push(consumer);
            host.listener_events = Some(events);
        }
        self.by_name.insert(host.name.clone(), index);
        if let Some(before) = self.hosts.get(index) {
            // It may come back elsewhere.
            for addr in &before.interfaces {
                self.directory.remove(realm, *addr, index);
            }
        }
        for addr in &host.interfaces {
            self.directory.insert(realm, *addr, index);
        }
        let before = if index == self.hosts.len() {
            self.hosts.push(host);
            None
        } else {
            Some(Box::new(std::mem::replace(&mut self.hosts[index], host)))
        };
        // Its generation is on the disk before any other node hears of it.
        self.keep_snapshot(index);
        self.drain(index);
        Ok((index, before))
    }

    fn new_protocol(&mut self, settings: &Settings, wall: Duration) -> Protocol {
        let mut entropy = [0; 32];
        self.rng.fill_bytes(&mut entropy);
        let mut protocol = Protocol::new(settings.clone(), self.now, wall, entropy);
        if self.checks {
            protocol.keep_journal();
        }
        protocol
    }

    /// Makes all running members know each other at once. The error says why they can not.
    #[cfg(any(test, fuzzing, headcount_bench))]
    pub(super) fn acquaint(&mut self) -> std::result::Result<(), String> {
        let running: Vec<usize> =
            (0..self.hosts.len()).filter(|host| self.hosts[*host].is_running()).collect();
        let protocols = running.iter().map(|host| &self.hosts[*host].protocol);
        let view = Protocol::common_view(self.now, protocols)?;
        for host in running {
            self.hosts[host].protocol.adopt_view(self.now, &view);
            let name = &self.hosts[host].name;
            let others = self.hosts[host].protocol.nodes().filter(|node| node.name() != name);
            for node in others.cloned().collect::<Vec<_>>() {
                self.tell(host, Event::Joined(node));
            }
            self.drain(host);
        }
        Ok(())
    }

    /// Does something with the protocol of a host whose run has not ended.
    pub(super) fn with<T>(
        &mut self,
        host: usize,
        run: u64,
        work: impl FnOnce(&mut Protocol, Instant) -> T,
    ) -> Result<T> {
        self.check_running(host, run)?;
        let result = work(&mut self.hosts[host].protocol, self.now);
        self.drain(host);
        Ok(result)
    }

    pub(super) fn check_running(&self, host: usize, run: u64) -> Result<()> {
        let host = &self.hosts[host];
        match &host.end {
            Some(error) if host.run == run => Err(crate::protocol::copy_error(error)),
            None if host.run == run => Ok(()),
            _ => Err(Error::Closed),
        }
    }

    /// Ends the process of a host without a leave.
    pub(super) fn end(&mut self, host: usize, error: Error) -> Leftovers {
        self.note_number(host);
        let leftovers = self.hosts[host].end(error);
        self.drain(host);
        leftovers
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The addresses of a seed: the names of hosts are addresses here.
    pub(super) fn resolve(&self, host: usize, seed: &Seed) -> Option<SocketAddr> {
        match &seed.place {
            Place::Host(name, port) => {
                let full = format!("{name}:{port}");
                let index = self.by_name.get(name).or_else(|| self.by_name.get(&full))?;
                Some(self.hosts[*index].addr)
            }
            Place::Addr(addr) => Some(*addr),
            Place::Here(port) => Some(SocketAddr::new(self.hosts[host].interfaces[0].ip(), *port)),
        }
    }

    /// Lets what waits for a host come in, after something has changed with it. Late timers come before what
    /// waits in the queue: the worst order.
    pub(super) fn revive(&mut self, host: usize) {
        self.wake_late(host);
        if !self.hosts[host].ailments.blocked {
            for transmit in std::mem::take(&mut self.hosts[host].outbox) {
                self.send(host, transmit);
            }
        }
        self.serve(host);
        self.drain(host);
    }

    fn wake_late(&mut self, host: usize) {
        for (slot, kind) in TIMER_KINDS.into_iter().enumerate() {
            if !self.hosts[host].ailments.paused
                && self.hosts[host].wakes[slot].is_some_and(|at| at <= self.now)
            {
                self.hosts[host].protocol.handle_timeout(self.now, kind);
                self.drain(host);
            }
        }
    }

    /// Handles the next thing that is due not after `end`. False: there is none.
    pub(super) fn step(&mut self, end: Instant) -> bool {
        let happening = self.happenings.peek().map(|Reverse((at, _, _))| *at);
        let wake = self.wakes.first().copied();
        let Some(due) = happening.into_iter().chain(wake.map(|wake| wake.0)).min().filter(|due| *due <= end)
        else {
            return false;
        };
        self.now = self.now.max(due);
        if happening == Some(due) {
            if let Some(Reverse((_, _, happening))) = self.happenings.pop() {
                self.happen(happening);
            }
        } else if let Some((at, host, slot)) = wake {
            self.wakes.remove(&(at, host, slot));
            self.wake(host, slot);
        }
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { to, waiting } => self.arrive(to, waiting),
            Happening::Passage { to, waiting } => self.queue(to, waiting),
            Happening::Service { host, run } => {
                if self.hosts[host].run == run && self.hosts[host].is_running() {
                    self.serve_one(host);
                }
            }
            Happening::Snapshot { host, run } => {
                if self.hosts[host].run == run && self.hosts[host].is_running() {
                    self.snapshot_has_rested(host);
                }
            }
            Happening::Turn { host, run } => {
                if self.hosts[host].run == run && self.hosts[host].is_running() {
                    self.take_turn(host);
                }
            }
        }
    }

    fn wake(&mut self, host: usize, slot: usize) {
        let ailments = &self.hosts[host].ailments;
        if !self.hosts[host].is_running() || ailments.paused {
            return;
        }
        if ailments.starved.is_zero() {
            self.hosts[host].protocol.handle_timeout(self.now, TIMER_KINDS[slot]);
            self.drain(host);
        } else {
            self.await_turn(host);
        }
    }

    /// Makes a starved host wait for its processor.
    fn await_turn(&mut self, host: usize) {
        if std::mem::replace(&mut self.hosts[host].awaits_turn, true) {
            return;
        }
        let wait = self.exponential(self.hosts[host].ailments.starved);
        let run = self.hosts[host].run;
        self.schedule(self.now + wait, Happening::Turn { host, run });
    }

    /// A starved host has the processor and does all that has waited: late timers first.
    fn take_turn(&mut self, host: usize) {
        self.hosts[host].awaits_turn = false;
        self.wake_late(host);
        self.read(host);
    }

    /// Makes a host read its inbox: at once, or when it has the processor.
    fn serve(&mut self, host: usize) {
        if self.hosts[host].ailments.starved.is_zero() {
            self.read(host);
        } else if !self.hosts[host].inbox.is_empty() {
            self.await_turn(host);
        }
    }

    fn read(&mut self, host: usize) {
        let ailments = self.hosts[host].ailments.clone();
        if ailments.receives_nothing() {
            return;
        }
        if ailments.slow.is_zero() {
            while let Some(Waiting { from, datagram }) = self.hosts[host].inbox.pop_front() {
                self.handle(host, self.now, from, &datagram);
                if !self.hosts[host].is_running() {
                    return;
                }
            }
        } else if self.hosts[host].busy_until <= self.now && !self.hosts[host].inbox.is_empty() {
            let at = self.now + ailments.slow;
            self.hosts[host].busy_until = at;
            let run = self.hosts[host].run;
            self.schedule(at, Happening::Service { host, run });
        }
    }

    fn handle(&mut self, host: usize, received: Instant, from: SocketAddr, datagram: &[u8]) {
        if self.hosts[host].checks {
            let Host { protocol, observer, .. } = &mut self.hosts[host];
            let own = protocol.local().generation();
            observer.received(own, from, &protocol.in_plain(datagram), datagram.len());
        }
        self.hosts[host].protocol.handle_datagram(self.now, received, from, datagram);
        self.drain(host);
    }

    fn serve_one(&mut self, host: usize) {
        let ailments = &self.hosts[host].ailments;
        if ailments.receives_nothing() {
            return;
        }
        if let Some(Waiting { from, datagram }) = self.hosts[host].inbox.pop_front() {
            self.handle(host, self.now, from, &datagram);
        }
        self.read(host);
    }

    /// An exponentially distributed time, in integers: so that every machine draws the same.
    fn exponential(&mut self, mean: Duration) -> Duration {
        if mean.is_zero() {
            return Duration::ZERO;
        }
        // −ln(u) by summing the waits between coin flips of small probability.
        let slice = mean / 32;
        let mut slices = 0;
        while slices < 32 * 12 && self.rng.random_range(0..32_u32) != 0 {
            slices += 1;
        }
        slice.saturating_mul(slices)
    }

    /// Number of datagrams that are in flight.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> u64 {
        let is_datagram = |happening: &Happening| {
            matches!(happening, Happening::Arrival { .. } | Happening::Passage { .. })
        };
        self.happenings.iter().filter(|Reverse((_, _, happening))| is_datagram(happening)).count() as u64
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.serial += 1;
        self.happenings.push(Reverse((at, self.serial, happening)));
    }

    /// Takes out of a protocol what a step has left.
    pub(super) fn drain(&mut self, index: usize) {
        self.tell_events(index);
        while let Some(transmit) = self.hosts[index].protocol.poll_transmit() {
            if !self.hosts[index].is_running() {
                continue;
            }
            if self.hosts[index].checks {
                self.check_transmit(index, &transmit);
            }
            if self.hosts[index].ailments.blocked {
                self.hosts[index].outbox.push_back(transmit);
            } else {
                self.send(index, transmit);
            }
        }
        let mut touched = Vec::new();
        while let Some((name, seen)) = self.hosts[index].protocol.poll_touched() {
            touched.push((name, seen));
        }
        if self.hosts[index].checks && self.hosts[index].is_running() {
            self.check_touched(index, touched);
            let Host { protocol, observer, .. } = &mut self.hosts[index];
            let outcome =
                observer.hearing.check(&self.said, protocol.has_synced(), |name| protocol.heard(name));
            self.expect(index, outcome);
            self.expect(index, check_bounds(&self.hosts[index].protocol.bounds()));
        }
        while let Some((call, answer)) = self.hosts[index].protocol.poll_result() {
            if let CallResult::Sent(result) = &answer {
                self.check_answered(index, call, result);
            }
            self.hosts[index].answers.insert(call, answer);
        }
        let host = &mut self.hosts[index];
        while let Some(note) = host.protocol.poll_log_record() {
            self.lines.push((note.level, format!("{}: {}", host.name, note.text)));
        }
        let (mut discovers, mut has_moved) = (false, false);
        while let Some(task) = host.protocol.poll_task() {
            match task {
                Task::Discover => discovers = true,
                // Addresses stay what they are, unless a test has moved the host.
                Task::CheckAddress { .. } => has_moved |= host.protocol.local().addr() != host.addr,
            }
        }
        if let Some(error) = host.protocol.poll_end() {
            if let Some(snapshot) = &mut host.snapshot {
                // For the last time.
                let _ = snapshot.keep_up(self.now, &mut host.machine.disk, &host.protocol);
            }
            host.end = Some(error);
            // Its streams end; queued events are still delivered.
            host.consumers.clear();
        }
        if has_moved && host.is_running() {
            host.protocol.change_address(self.now, host.addr);
            self.drain(index);
        }
        self.set_wakes(index);
        self.keep_snapshot(index);
        if discovers && self.hosts[index].is_running() {
            self.to_discover.insert(index);
            self.ask_the_absent(index);
            let seeds: Vec<SocketAddr> =
                self.hosts[index].seeds.iter().filter_map(|seed| self.resolve(index, seed)).collect();
            self.hosts[index].protocol.addresses_found(self.now, &seeds);
            self.drain(index);
        }
    }

    /// Passes to the consumers of a host what has happened there. This comes before its datagrams are taken out: the
    /// ack of a message is one of them.
    fn tell_events(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        host.consumers.iter_mut().for_each(Consumer::tell_missed);
        if host.listener_events.as_ref().is_some_and(|events| !events.is_empty()) {
            self.to_be_told.insert(index);
        }
        while let Some(event) = self.hosts[index].protocol.poll_event() {
            self.tell(index, event);
        }
    }

    /// Passes an event to the consumers of a host.
    fn tell(&mut self, index: usize, event: Event) {
        let host = &mut self.hosts[index];
        if !host.is_running() {
            return;
        }
        if host.checks {
            let outcome = host.observer.check_event(&host.name, &event);
            self.expect(index, outcome);
        }
        let host = &mut self.hosts[index];
        if let Event::Message { from, payload } = &event {
            let message = self.delivered(index, from, payload);
            let host = &mut self.hosts[index];
            if host.hand_over(self.now, event) == EnqueueResult::Taken {
                let outcome = self.messages.delivered(&message);
                self.expect(index, outcome);
            }
        } else {
            if log::max_level() >= log::Level::Info {
                self.lines.push((log::Level::Info, format!("{}: {event}", host.name)));
            }
            host.tell(&event);
        }
        if self.hosts[index].listener_events.is_some() {
            self.to_be_told.insert(index);
        }
    }

    fn set_wakes(&mut self, index: usize) {
        for (slot, kind) in TIMER_KINDS.into_iter().enumerate() {
            let host = &mut self.hosts[index];
            let due = if host.is_running() { host.protocol.poll_timeout(kind) } else { None };
            // What is overdue is due now.
            let due = due.map(|at| at.max(self.now));
            if let Some(before) = host.wakes[slot]
                && host.wakes[slot] != due
            {
                self.wakes.remove(&(before, index, slot));
            }
            host.wakes[slot] = due;
            if let Some(at) = due {
                self.wakes.insert((at, index, slot));
            }
        }
    }

    /// A running member that still shows a node that does not run: both names.
    pub(super) fn first_ghost(&self) -> Option<(&str, &str)> {
        let gone = |name: &str| self.index_of(name).is_none_or(|index| !self.hosts[index].is_running());
        let mut running = self.hosts.iter().filter(|host| host.is_running());
        running.find_map(|host| {
            let ghost = host.protocol.nodes().map(Node::name).find(|name| gone(name))?;
            Some((host.name.as_str(), ghost))
        })
    }

    /// How long members that are well may take to bury nodes that are gone.
    pub(super) fn burial_limit(&self) -> Duration {
        let n = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let running = self.hosts.iter().filter(|host| host.is_running());
        let limits = running.map(|host| 2 * (n * host.probe_interval + host.isolation_timeout));
        limits.max().unwrap_or_default()
    }

    /// How many nodes each running member shows.
    pub(super) fn sizes(&self) -> String {
        let running = self.hosts.iter().filter(|host| host.is_running());
        let sizes = running.map(|host| format!("{}: {}", host.name, host.protocol.nodes_len()));
        sizes.collect::<Vec<_>>().join(", ")
    }

    /// The text that a failing check begins with, so that the run can be repeated.
    pub(super) fn place(&self) -> String {
        format!("seed {}, at {} µs", self.seed, self.now.as_micros())
    }

    /// The answer to a call, if it has come.
    pub(super) fn answer(&mut self, host: usize, call: RequestId) -> Option<crate::protocol::CallResult> {
        self.hosts[host].answers.remove(&call)
    }
}
