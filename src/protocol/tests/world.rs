//! Many protocols on a virtual network and clock: the rig of the protocol's tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

use crate::allow::Allow;
use crate::error::Error;
use crate::event::Event;
use crate::node::{Generation, Incarnation, Node, Status};
use crate::protocol::core::CookiePurpose;
use crate::protocol::{
    CallResult, EnqueueResult, Instant, LogRecord, Protocol, RequestId, Settings, Task, TimerKind,
};
use crate::wire::body::Vouch;
use crate::wire::{
    Body, ClusterTag, Cookie, DATAGRAM_MAX, Header, NameHash, Packet, Record, Verdict, Versions, Writer,
};

/// The wall clock at the virtual clock's zero.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);
/// What a host's receive queue holds while it is paused.
const QUEUE_MAX: usize = 1_024;
/// The longest payload that UDP carries over IPv4.
pub(super) const UDP_MAX: usize = 65_507;

/// What the network drops, by receiver and contents.
pub(super) type Filter = Box<dyn Fn(usize, &Packet<'_>) -> bool>;

/// One simulated process.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) addr: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) events: Vec<(Instant, Event)>,
    pub(super) answers: BTreeMap<RequestId, CallResult>,
    pub(super) ended: Option<Error>,
    /// What would be logged, if logging is on.
    pub(super) notes: Vec<LogRecord>,
    /// What becomes of messages that arrive.
    pub(super) enqueued: EnqueueResult,
    pub(super) running: bool,
    paused: bool,
    /// Datagrams that came while it was paused.
    queue: Vec<(SocketAddr, Vec<u8>)>,
    timeouts: [Option<Instant>; 2],
}

enum Action {
    Deliver { from: SocketAddr, to: usize, datagram: Vec<u8> },
}

/// The network, the clock, and all hosts.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) rng: ChaCha12Rng,
    pub(super) hosts: Vec<Host>,
    by_addr: BTreeMap<SocketAddr, usize>,
    actions: BTreeMap<(Instant, u64), Action>,
    wakes: BTreeSet<(Instant, usize, usize)>,
    serial: u64,
    /// Lost datagrams of a thousand.
    pub(super) loss: u32,
    /// Duplicated datagrams of a thousand.
    pub(super) duplication: u32,
    /// Pairs (from, to) that hear nothing.
    pub(super) cuts: BTreeSet<(usize, usize)>,
    /// Lost datagrams of a thousand on single links (from, to).
    pub(super) links: BTreeMap<(usize, usize), u32>,
    /// Hosts that hear nothing and are heard.
    deaf: BTreeSet<usize>,
    pub(super) drops: Option<Filter>,
    pub(super) settings: Settings,
    /// The seeds that everybody is configured with, if `settings.discovers`.
    pub(super) seeds: Vec<SocketAddr>,
    /// Sent over the network: datagrams and bytes.
    pub(super) sent: (u64, u64),
    /// Made by the steps of all hosts, if they are to be counted: peaks of memory can not be measured around that.
    pub(super) allocations: Option<u64>,
    /// A hash of everything that was sent, for comparing runs.
    pub(super) trace: u64,
    pub(super) recorded: Option<Vec<(SocketAddr, SocketAddr, Vec<u8>)>>,
    /// Each datagram is delivered a second time at once, and must change nothing then.
    pub(super) echoes: bool,
}

/// The settings of the LAN profile.
pub(in crate::protocol) fn lan() -> Settings {
    Settings {
        name: String::new(),
        cluster: "test".into(),
        advertise: addr_of(0),
        bound: addr_of(0),
        probe_interval: Duration::from_secs(1),
        probe_timeout: Duration::from_millis(500),
        gossip_interval: Duration::from_millis(20),
        retransmit: 4,
        isolation_timeout: Duration::from_secs(40),
        rejoin_interval: Duration::from_secs(10),
        tombstone_ttl: Duration::from_secs(24 * 3600),
        join_timeout: Duration::from_secs(5),
        max_nodes: 16_384,
        state_rate: None,
        send_timeout: Duration::from_secs(5),
        max_message: 1_024 * 1_024,
        #[cfg(feature = "encryption")]
        keyring: crate::keyring::Keyring::plain(),
        discovers: false,
        allow: Allow::default(),
        without: Default::default(),
    }
}

pub(in crate::protocol) fn addr_of(index: usize) -> SocketAddr {
    let [high, low] = u16::try_from(index).unwrap().to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, high, low)), 7990)
}

/// A datagram with these bodies.
pub(super) fn datagram(header: &Header, bodies: &[Body<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), header, UDP_MAX);
    for body in bodies {
        assert!(writer.push(body), "no room for {body:?}");
    }
    writer.finish()
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            rng: ChaCha12Rng::seed_from_u64(seed),
            hosts: Vec::new(),
            by_addr: BTreeMap::new(),
            actions: BTreeMap::new(),
            wakes: BTreeSet::new(),
            serial: 0,
            loss: 0,
            duplication: 0,
            cuts: BTreeSet::new(),
            links: BTreeMap::new(),
            deaf: BTreeSet::new(),
            drops: None,
            settings: lan(),
            seeds: Vec::new(),
            sent: (0, 0),
            allocations: None,
            trace: 0,
            recorded: None,
            echoes: false,
        }
    }

    /// A converged cluster: all join through the first.
    pub(super) fn cluster(seed: u64, n: usize) -> Self {
        let mut world = Self::new(seed);
        world.grow(n);
        world
    }

    /// A cluster whose members know each other from the beginning, without events: for big ones.
    pub(super) fn introduced(seed: u64, n: usize) -> Self {
        let mut world = Self::new(seed);
        for _ in 0..n {
            world.add();
        }
        let nodes: Vec<Node> = world.hosts.iter().map(|host| host.protocol.local()).collect();
        for index in 0..n {
            world.introduce(index, &nodes);
        }
        world
    }

    /// Puts nodes into a host's view, as if it had always known them.
    pub(super) fn introduce(&mut self, index: usize, nodes: &[Node]) {
        let (now, tag) = (self.now, self.tag());
        for node in nodes {
            let record = Record {
                name: node.name(),
                addr: node.addr(),
                generation: Generation(node.generation()),
                incarnation: Incarnation(node.incarnation()),
                state_version: 0,
                broadcast: 0,
            };
            let members = &mut self.hosts[index].protocol.core.members;
            members.merge_alive(now, NameHash::of(tag, node.name()), &record);
        }
        self.drain(index);
    }

    /// Adds hosts that join through the first, spread over a second, and waits until all views are equal.
    pub(super) fn grow(&mut self, n: usize) {
        for _ in 0..n {
            let index = self.add();
            if index > 0 {
                self.join(index, &[0]);
            }
            let pause = self.rng.random_range(0..1_000_000 / n as u64);
            self.run(Duration::from_micros(pause));
        }
        let limit = Duration::from_secs(30);
        assert!(self.run_until(limit, Self::is_converged), "not converged: {}", self.sizes());
    }

    /// Adds a host that knows nobody.
    pub(super) fn add(&mut self) -> usize {
        let index = self.hosts.len();
        self.add_named(&format!("n{index}"), addr_of(index))
    }

    pub(super) fn add_named(&mut self, name: &str, addr: SocketAddr) -> usize {
        let index = self.hosts.len();
        let protocol = self.start(name, addr);
        self.hosts.push(Host {
            name: name.to_owned(),
            addr,
            protocol,
            events: Vec::new(),
            answers: BTreeMap::new(),
            ended: None,
            notes: Vec::new(),
            enqueued: EnqueueResult::Taken,
            running: true,
            paused: false,
            queue: Vec::new(),
            timeouts: [None, None],
        });
        self.by_addr.insert(addr, index);
        self.drain(index);
        index
    }

    fn start(&mut self, name: &str, addr: SocketAddr) -> Protocol {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let settings =
            Settings { name: name.to_owned(), advertise: addr, bound: addr, ..self.settings.clone() };
        let wall = EPOCH + Duration::from_micros(self.now.as_micros());
        Protocol::new(settings, self.now, wall, seed)
    }

    pub(super) fn join(&mut self, index: usize, seeds: &[usize]) -> RequestId {
        let addr = |seed: &usize| self.hosts.get(*seed).map_or(addr_of(*seed), |host| host.addr);
        let seeds: Vec<SocketAddr> = seeds.iter().map(addr).collect();
        self.call(index, |protocol, now| protocol.join(now, &seeds))
    }

    pub(super) fn call<T>(&mut self, index: usize, call: impl FnOnce(&mut Protocol, Instant) -> T) -> T {
        let answer = call(&mut self.hosts[index].protocol, self.now);
        self.drain(index);
        answer
    }

    /// The process dies without a word.
    pub(super) fn crash(&mut self, index: usize) {
        self.hosts[index].running = false;
        self.drain(index);
    }

    /// A new process of the same name at the same address.
    pub(super) fn restart(&mut self, index: usize) {
        let (name, addr) = (self.hosts[index].name.clone(), self.hosts[index].addr);
        let protocol = self.start(&name, addr);
        let host = &mut self.hosts[index];
        host.protocol = protocol;
        host.running = true;
        host.paused = false;
        host.ended = None;
        host.answers.clear();
        host.events.clear();
        self.by_addr.insert(addr, index);
        self.drain(index);
    }

    /// The process is stopped: nothing runs, datagrams queue up.
    /// Gives a host another address, without a word to anybody.
    pub(super) fn relocate(&mut self, index: usize, addr: SocketAddr) {
        self.by_addr.remove(&self.hosts[index].addr);
        self.hosts[index].addr = addr;
        self.by_addr.insert(addr, index);
    }

    pub(super) fn pause(&mut self, index: usize) {
        self.hosts[index].paused = true;
    }

    /// It goes on: timers fire late, then the queue is read, as it happens to threads.
    pub(super) fn resume(&mut self, index: usize) {
        self.hosts[index].paused = false;
        let late = self.hosts[index].timeouts;
        for (slot, kind) in TIMER_KINDS.into_iter().enumerate() {
            if late[slot].is_some_and(|at| at <= self.now) {
                self.hosts[index].protocol.handle_timeout(self.now, kind);
                self.drain(index);
            }
        }
        for (from, datagram) in std::mem::take(&mut self.hosts[index].queue) {
            self.hosts[index].protocol.handle_datagram(self.now, self.now, from, &datagram);
            self.drain(index);
        }
        self.drain(index);
    }

    /// Cuts or joins two sets of hosts, both ways.
    pub(super) fn cut(&mut self, a: &[usize], b: &[usize], cut: bool) {
        for x in a {
            for y in b {
                for pair in [(*x, *y), (*y, *x)] {
                    if cut {
                        self.cuts.insert(pair);
                    } else {
                        self.cuts.remove(&pair);
                    }
                }
            }
        }
    }

    /// A host hears nothing any more, or hears again; it is heard all the time.
    pub(super) fn deafen(&mut self, index: usize, deaf: bool) {
        if deaf {
            self.deaf.insert(index);
        } else {
            self.deaf.remove(&index);
        }
    }

    pub(super) fn tag(&self) -> ClusterTag {
        ClusterTag::of(&self.settings.cluster)
    }

    pub(super) fn hash(&self, index: usize) -> NameHash {
        NameHash::of(self.tag(), &self.hosts[index].name)
    }

    pub(super) fn generation(&self, index: usize) -> Generation {
        Generation(self.hosts[index].protocol.local().generation())
    }

    /// A datagram as one host would write it to another.
    pub(super) fn forge(&self, sender: usize, receiver: usize, bodies: &[Body<'_>]) -> Vec<u8> {
        let header = Header {
            reads: Versions::OURS,
            tag: self.tag(),
            sender: self.hash(sender),
            generation: self.generation(sender),
            receiver: self.generation(receiver),
        };
        datagram(&header, bodies)
    }

    /// The cookie that one host makes for another.
    pub(super) fn cookie_of(&self, maker: usize, holder: usize) -> Cookie {
        let (name, run) = (self.hash(holder), self.generation(holder));
        self.hosts[maker].protocol.core.cookies.bake(
            self.now,
            CookiePurpose::Request,
            self.hosts[holder].addr,
            name,
            run,
        )
    }

    /// News of a leave as one host tells it to another, with the cookie of that.
    pub(super) fn vouch(&self, sender: usize, receiver: usize, verdict: &Verdict) -> Body<'static> {
        let Verdict { subject, generation, incarnation, left_at, .. } = *verdict;
        let cookie = self.cookie_of(receiver, sender);
        Body::Vouch(Vouch { cookie, subject, generation, incarnation, left_at })
    }

    /// A datagram as somebody whom nobody knows would write it to a host.
    pub(super) fn forge_stranger(&self, name: &str, receiver: usize, bodies: &[Body<'_>]) -> Vec<u8> {
        let header = Header {
            reads: Versions::OURS,
            tag: self.tag(),
            sender: NameHash::of(self.tag(), name),
            generation: Generation(1),
            receiver: self.generation(receiver),
        };
        datagram(&header, bodies)
    }

    /// What a host sends when a datagram comes: to whom, and what.
    pub(super) fn answers(
        &mut self,
        to: usize,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let recorded = self.recorded.replace(Vec::new());
        self.inject(to, from, datagram);
        let answers = std::mem::replace(&mut self.recorded, recorded);
        answers.unwrap_or_default().into_iter().map(|(_, to, datagram)| (to, datagram)).collect()
    }

    /// What a host holds and has told its user, in short: equal as long as nothing changes.
    pub(super) fn view(&self, index: usize) -> (u64, u64, usize) {
        let host = &self.hosts[index];
        (host.protocol.core.members.fingerprint(), host.protocol.view_version(), host.events.len())
    }

    /// Hands a datagram that came before to a host, at once: all that the host holds, and what it has told its user,
    /// has to stay as it is.
    pub(super) fn replay(&mut self, to: usize, from: SocketAddr, datagram: &[u8]) {
        let before = self.memory(to);
        self.inject(to, from, datagram);
        assert_eq!(self.memory(to), before, "{} has changed by a replay from {from}", self.hosts[to].name);
    }

    /// All that a host holds on others and itself, and how much it has told its user.
    pub(super) fn memory(&self, index: usize) -> String {
        use std::fmt::Write;
        let Host { protocol, events, answers, ended, .. } = &self.hosts[index];
        let mut text = format!("{} events, {} answers, ended {ended:?}\n", events.len(), answers.len());
        for (_, entry) in protocol.core.members.iter() {
            let (node, version) = (entry.node(), entry.node().state_version());
            let (status, since, heard) = (entry.status, entry.since, entry.last_heard);
            let (numbers, broadcast) = (entry.seen(), entry.broadcast);
            writeln!(text, "{node:?} {version} {status} {since:?} {heard:?} {numbers:?} {broadcast}")
                .unwrap();
        }
        text
    }

    /// Hands a datagram from anywhere to a host, at once.
    pub(super) fn inject(&mut self, to: usize, from: SocketAddr, datagram: &[u8]) {
        let protocol = &mut self.hosts[to].protocol;
        let work = || protocol.handle_datagram(self.now, self.now, from, datagram);
        count(&mut self.allocations, work);
        self.drain(to);
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until something holds, at most for `limit`; whether it does.
    pub(super) fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        let mut next_check = self.now;
        loop {
            if self.now >= next_check {
                if holds(self) {
                    return true;
                }
                next_check = self.now + Duration::from_millis(5);
            }
            if !self.step(end.min(next_check)) {
                if self.now >= end {
                    return holds(self);
                }
                self.now = end.min(next_check);
            }
        }
    }

    /// Handles the next thing that is due not after `end`.
    fn step(&mut self, end: Instant) -> bool {
        let action = self.actions.first_key_value().map(|((at, _), _)| *at);
        let wake = self.wakes.first().copied();
        let due = action.into_iter().chain(wake.map(|(at, _, _)| at)).min();
        let Some(due) = due.filter(|due| *due <= end) else {
            return false;
        };
        self.now = self.now.max(due);
        if action == Some(due) {
            let Some((_, Action::Deliver { from, to, datagram })) = self.actions.pop_first() else {
                unreachable!()
            };
            let host = &mut self.hosts[to];
            if host.paused {
                if host.queue.len() < QUEUE_MAX {
                    host.queue.push((from, datagram));
                }
            } else if host.running {
                self.inject(to, from, &datagram);
                if self.echoes {
                    self.replay(to, from, &datagram);
                }
            }
        } else if let Some((at, index, slot)) = wake {
            self.wakes.remove(&(at, index, slot));
            let host = &mut self.hosts[index];
            if host.running && !host.paused {
                let work = || host.protocol.handle_timeout(self.now, TIMER_KINDS[slot]);
                count(&mut self.allocations, work);
                self.drain(index);
            }
        }
        true
    }

    fn drain(&mut self, index: usize) {
        let now = self.now;
        let host = &mut self.hosts[index];
        // Before the datagrams: the ack of a message is one of them.
        while let Some(event) = host.protocol.poll_event() {
            if matches!(event, Event::Message { .. }) {
                host.protocol.complete(now, host.enqueued);
                if host.enqueued != EnqueueResult::Taken {
                    continue;
                }
            }
            host.events.push((now, event));
        }
        let from = self.hosts[index].addr;
        while let Some(transmit) = self.hosts[index].protocol.poll_transmit() {
            if !self.hosts[index].running {
                continue;
            }
            assert!(
                transmit.datagram.len() <= DATAGRAM_MAX,
                "a datagram of {} bytes",
                transmit.datagram.len()
            );
            self.sent.0 += 1;
            self.sent.1 += transmit.datagram.len() as u64;
            self.trace = crate::wire::hash::siphash((self.trace, now.as_micros()), &transmit.datagram);
            if let Some(recorded) = &mut self.recorded {
                recorded.push((from, transmit.to, transmit.datagram.clone()));
            }
            self.carry(index, from, transmit.to, &transmit.datagram);
            self.hosts[index].protocol.reuse(transmit.datagram);
        }
        let host = &mut self.hosts[index];
        while let Some((call, answer)) = host.protocol.poll_result() {
            host.answers.insert(call, answer);
        }
        host.notes.extend(std::iter::from_fn(|| host.protocol.poll_log_record()));
        let (mut asked, mut moved) = (false, false);
        while let Some(task) = host.protocol.poll_task() {
            match task {
                Task::Discover => asked = true,
                Task::CheckAddress { .. } => moved |= host.protocol.local().addr() != host.addr,
            }
        }
        if moved && host.running {
            host.protocol.change_address(now, host.addr);
            self.drain(index);
            return;
        }
        if asked && host.running {
            let seeds = self.seeds.clone();
            self.hosts[index].protocol.addresses_found(now, &seeds);
            self.drain(index);
            return;
        }
        if let Some(error) = host.protocol.poll_end() {
            host.ended = Some(error);
        }
        for (slot, kind) in TIMER_KINDS.into_iter().enumerate() {
            let at = if host.running { host.protocol.poll_timeout(kind) } else { None };
            // Overdue is now, not in the past.
            let at = at.map(|at| at.max(now));
            if host.timeouts[slot] != at {
                if let Some(before) = host.timeouts[slot] {
                    self.wakes.remove(&(before, index, slot));
                }
                host.timeouts[slot] = at;
            }
            if let Some(at) = at {
                self.wakes.insert((at, index, slot));
            }
        }
    }

    fn carry(&mut self, sender: usize, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let Some(receiver) = self.by_addr.get(&to).copied() else {
            return;
        };
        if self.cuts.contains(&(sender, receiver)) || self.deaf.contains(&receiver) {
            return;
        }
        if let Some(drops) = &self.drops
            && Packet::decode(datagram).is_ok_and(|packet| drops(receiver, &packet))
        {
            return;
        }
        let loss = self.links.get(&(sender, receiver)).copied().unwrap_or(0).max(self.loss);
        let copies = 1 + usize::from(self.rng.random_range(0..1_000) < self.duplication);
        for _ in 0..copies {
            if self.rng.random_range(0..1_000) < loss {
                continue;
            }
            let latency = Duration::from_micros(self.rng.random_range(200..1_000));
            self.serial += 1;
            let action = Action::Deliver { from, to: receiver, datagram: datagram.to_vec() };
            self.actions.insert((self.now + latency, self.serial), action);
        }
    }

    /// Whether all running hosts hold exactly the running hosts active, at the same numbers.
    pub(super) fn is_converged(&self) -> bool {
        let running: Vec<&Host> =
            self.hosts.iter().filter(|host| host.running && host.ended.is_none()).collect();
        let prints: BTreeSet<u64> =
            running.iter().map(|host| host.protocol.core.members.fingerprint()).collect();
        prints.len() == 1
            && running.iter().all(|host| host.protocol.nodes().count() == running.len())
            && running.iter().all(|host| {
                running.iter().all(|other| {
                    host.protocol.node(&other.name).is_some_and(|node| node.status() != Status::Dead)
                })
            })
    }

    pub(super) fn sizes(&self) -> String {
        let sizes: Vec<String> = self
            .hosts
            .iter()
            .filter(|host| host.running)
            .map(|host| format!("{}:{}", host.name, host.protocol.nodes().count()))
            .collect();
        sizes.join(" ")
    }

    /// What each running host holds, for a failing test.
    pub(super) fn dump(&self) -> String {
        let mut text = format!("at {:?}\n", self.now);
        for host in self.hosts.iter().filter(|host| host.running) {
            let own = host.protocol.local();
            text += &format!("{} {own:?} ended {:?} {:?}\n", host.name, host.ended, host.protocol.metrics());
            for (_, entry) in host.protocol.core.members.iter() {
                text += &format!("    {:?} {} hidden {}\n", entry.node(), entry.status, entry.hidden);
            }
        }
        text
    }

    /// How a host shows another one.
    pub(super) fn status(&self, at: usize, of: usize) -> Option<Status> {
        self.hosts[at].protocol.node(&self.hosts[of].name).map(|node| node.status())
    }

    /// The names of a host's events since a moment, one per line: `died n3`.
    pub(super) fn story(&self, at: usize, since: Instant) -> Vec<String> {
        self.hosts[at]
            .events
            .iter()
            .filter(|(when, _)| *when >= since)
            .map(|(_, event)| {
                let kind = match event {
                    Event::Joined(_) => "joined",
                    Event::Suspected(_) => "suspected",
                    Event::Recovered(_) => "recovered",
                    Event::Died { .. } => "died",
                    Event::Left(_) => "left",
                    Event::Restarted(_) => "restarted",
                    Event::Moved(_) => "moved",
                    Event::Message { .. } => "message",
                    Event::NameConflict { .. } => "conflict",
                    Event::Changed { .. } => "changed",
                    Event::Broadcast { .. } => "broadcast",
                    Event::Missed { .. } => "missed",
                    Event::Lagged(_) => "lagged",
                };
                format!("{kind} {}", event.node().map_or("", |node| node.name()))
            })
            .collect()
    }
}

const TIMER_KINDS: [TimerKind; 2] = [TimerKind::Probe, TimerKind::Disseminate];

/// Does a step's work, and counts its allocations if that is wanted.
fn count(allocations: &mut Option<u64>, work: impl FnOnce()) {
    match allocations {
        Some(allocations) => *allocations += allocation_counter::measure(work).count_total,
        None => work(),
    }
}
