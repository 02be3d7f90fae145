//! One protocol among persons that a script plays, and what must hold whatever they say.
//!
//! | person | who it is |
//! |---|---|
//! | 0 to 3 | `n1` to `n4`, which the protocol, `n0`, knows from the start, unless it starts alone |
//! | 4 | `n5`, which could join |
//! | 5 | `n0` somewhere else, another run: who has the name? |
//! | 6 | `n0` itself: a datagram that has come back |
//! | 7 | a member of another cluster |
//!
//! The names are those of the simulation that the [corpus](super::corpus) is taken from.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use super::aim::{Aim, Sender, Told};
use super::decode::with_right_checksum;
use super::form::{DATAGRAM_MAX, Form};
use super::script::{Choice, How, Pace, Script, Step};
use crate::config::{Config, DEFAULT_PORT};
use crate::event::Event;
use crate::node::{Generation, Incarnation, Node};
use crate::protocol::{EnqueueResult, Instant, Protocol, Settings, TimerKind};
use crate::sim::checks::{Observer, Said, check_bounds, check_length};
use crate::wire::body::Ack;
use crate::wire::{Body, ClusterTag, Cookie, Header, NameHash, Packet, Versions, Writer};

/// As the simulated members call it, who do not say otherwise.
const CLUSTER: &str = "headcount";
/// The clocks at the beginning.
const START: Instant = Instant::from_micros(1_000_000);
const EPOCH: Duration = Duration::from_secs(1_800_000_000);
/// The nodes that know each other at the beginning, `n0` included.
const KNOWN: usize = 5;
const TIMER_KINDS: [TimerKind; 2] = [TimerKind::Probe, TimerKind::Disseminate];
/// Wake-ups in a script; then it goes on asleep, so that a fuzzer does not spend its time on long sleeps.
const WAKES_MAX: u32 = 256;
/// Wake-ups at one moment. More of them would be a member that does not sleep any more.
const WAKES_AT_ONCE_MAX: u32 = 32;
/// Datagrams that can come again.
const RECEIVED_MAX: usize = 64;

/// Somebody whom a script plays.
#[derive(Debug, Clone)]
struct Person {
    name: String,
    addr: SocketAddr,
    generation: Generation,
    tag: ClusterTag,
}

impl Person {
    fn of(protocol: &Protocol) -> Self {
        let node = protocol.local();
        Self {
            name: node.name().to_owned(),
            addr: node.addr(),
            generation: Generation(node.generation()),
            tag: ClusterTag::of(CLUSTER),
        }
    }

    fn hash(&self) -> NameHash {
        NameHash::of(self.tag, &self.name)
    }
}

/// A datagram on its way to the protocol.
#[derive(Debug, Clone)]
struct Arriving {
    from: SocketAddr,
    datagram: Vec<u8>,
    /// As it is without a seal.
    plain: Vec<u8>,
}

/// The protocol, its clock, and who is around.
pub(super) struct Rig {
    protocol: Protocol,
    now: Instant,
    enqueued: EnqueueResult,
    persons: Vec<Person>,
    own: Person,
    form: Form,
    /// Whether what comes again may change anything.
    counts_again: bool,
    /// The last datagrams that have come; the newest last.
    received: VecDeque<Arriving>,
    told: Told,
    observer: Observer,
    said: Said,
    events: u64,
    wakes: u32,
    has_ended: bool,
}

impl Rig {
    /// A protocol as the beginning of a script wants it.
    pub(super) fn new(script: &mut Script<'_>, form: Form) -> Self {
        let (config, counts_again) = form.equip(draw_config(script), script);
        let settings = settings(0, config);
        let enqueued =
            script.choice().of(&[EnqueueResult::Taken, EnqueueResult::NobodyListens, EnqueueResult::NoRoom]);
        let mut protocol = start(0, settings);
        protocol.keep_journal();
        let own = Person::of(&protocol);
        let mut persons: Vec<Person> = others().iter().map(Person::of).collect();
        let later = Generation(own.generation.0 + 1);
        persons.push(Person { name: name(5), addr: addr_of(5), generation: later, ..own });
        persons.push(Person { addr: addr_of(6), generation: later, ..own.clone() });
        persons.push(own.clone());
        persons.push(Person { tag: ClusterTag::of("another"), addr: addr_of(7), ..own.clone() });
        let mut rig = Self {
            protocol,
            now: START,
            enqueued,
            persons,
            own,
            form,
            counts_again,
            received: VecDeque::new(),
            told: Told::default(),
            observer: Observer::default(),
            said: Said::default(),
            events: 0,
            wakes: 0,
            has_ended: false,
        };
        let is_alone = script.choice().of(&[false, true]);
        if !is_alone {
            rig.acquaint();
        }
        rig.drain();
        rig
    }

    /// Does all that is left of a script, until the protocol ends.
    pub(super) fn run(&mut self, script: Script<'_>) {
        for step in script {
            self.step(&step);
            if self.has_ended {
                return;
            }
        }
    }

    /// What the protocol has counted.
    #[cfg(test)]
    pub(super) fn metrics(&self) -> crate::Metrics {
        self.protocol.metrics()
    }

    /// From here on the checks do not know what was before.
    #[cfg(test)]
    pub(super) fn forget_what_was_told(&mut self) {
        self.observer = Observer::default();
    }

    fn acquaint(&mut self) {
        let all = others().iter().chain([&self.protocol]);
        match Protocol::common_view(self.now, all) {
            Ok(view) => self.protocol.adopt_view(self.now, &view),
            Err(wrong) => panic!("the nodes can not be acquainted: {wrong}"),
        }
        let nodes: Vec<Node> = self.protocol.nodes().cloned().collect();
        for node in nodes.into_iter().filter(|node| node.name() != self.own.name) {
            expect(self.observer.check_event(&self.own.name, &Event::Joined(node)));
        }
    }

    fn step(&mut self, step: &Step<'_>) {
        match *step {
            Step::Datagram { from, how, bodies } => self.datagram(from, how, bodies),
            Step::Bytes { from, bytes } => {
                let from = self.person(from).addr;
                // Without a right checksum hardly any would get further than that.
                let datagram = with_right_checksum(bytes);
                let plain = datagram.clone();
                self.receive(self.now, Arriving { from, datagram, plain });
            }
            Step::Again { which } => self.again(which),
            Step::Wait { time, pace } => self.wait(time, pace),
            Step::RequestId { call, whom, text } => self.call(call, whom, text),
        }
    }

    fn person(&self, choice: Choice) -> Person {
        choice.of(&self.persons)
    }

    /// Hands over a datagram. Bodies that nobody can read go as they are.
    fn datagram(&mut self, from: Choice, how: How, bodies: &[u8]) {
        let mut person = self.person(from);
        person.generation.0 += u64::from(how.is_restarted());
        let header = self.header(&person, !how.is_unbound());
        if how.is_elsewhere() {
            person.addr.set_port(person.addr.port() + 1);
        }
        let arriving = match Packet::new(header, bodies) {
            Ok(packet) if how.is_aimed() => {
                let aimed = self.aimed(&packet, &person, how);
                self.arriving(person.addr, &header, &contents(&aimed))
            }
            _ => self.arriving(person.addr, &header, bodies),
        };
        let waited = Duration::from_secs(how.is_late().into());
        self.receive(self.now - waited, arriving);
    }

    fn arriving(&self, from: SocketAddr, header: &Header, bodies: &[u8]) -> Arriving {
        let receiver = if header.receiver.0 == 0 { NameHash(0) } else { self.own.hash() };
        let write = |form: &Form| form.write(header, receiver, bodies);
        Arriving { from, datagram: write(&self.form), plain: write(&Form::Plain) }
    }

    /// One of the last datagrams comes again, from where it came.
    fn again(&mut self, which: Choice) {
        let from_end = usize::from(which.0) % self.received.len().max(1);
        let Some(arriving) = self.received.iter().rev().nth(from_end).cloned() else {
            return;
        };
        let before = self.state();
        self.receive(self.now, arriving);
        assert!(self.counts_again || self.state() == before, "a datagram that has come again counts");
    }

    /// What a user sees, and has heard.
    fn state(&self) -> (u64, u64, u64) {
        (self.protocol.fingerprint(), self.protocol.view_version(), self.events)
    }

    fn header(&self, person: &Person, is_bound: bool) -> Header {
        let own = self.protocol.local().generation();
        Header {
            reads: Versions::OURS,
            tag: person.tag,
            sender: person.hash(),
            generation: person.generation,
            receiver: Generation(if is_bound { own } else { 0 }),
        }
    }

    fn aimed(&self, packet: &Packet<'_>, person: &Person, how: How) -> Vec<u8> {
        let Person { addr, generation, .. } = *person;
        let run = |node: &Node| (NameHash::of(self.own.tag, node.name()), Generation(node.generation()));
        let aim = Aim {
            told: &self.told,
            target: &self.protocol,
            runs: self.protocol.all_nodes().map(run).collect(),
            own: self.own.hash(),
            sender: Sender { addr, name: &person.name, generation, answers: how.answers() },
        };
        let mut writer = Writer::new(Vec::new(), packet.header(), DATAGRAM_MAX);
        for body in packet.bodies() {
            let mut list = Vec::new();
            // What has become too long is left out.
            let _ = writer.push(&aim.at(body, &mut list));
        }
        writer.finish()
    }

    fn receive(&mut self, received: Instant, arriving: Arriving) {
        let Arriving { from, datagram, plain } = &arriving;
        let own = self.protocol.local().generation();
        self.observer.received(own, *from, plain, datagram.len());
        self.protocol.handle_datagram(self.now, received, *from, datagram);
        self.received.push_back(arriving);
        if self.received.len() > RECEIVED_MAX {
            self.received.pop_front();
        }
        self.drain();
    }

    fn wait(&mut self, time: Duration, pace: Pace) {
        let end = self.now + time;
        while pace != Pace::Asleep
            && self.wakes < WAKES_MAX
            && let Some(due) = self.next_wake().filter(|due| *due <= end)
        {
            self.now = self.now.max(due);
            self.told.pings.clear();
            self.wake();
            if pace == Pace::Answered {
                self.answer_pings();
            }
        }
        self.now = end;
        self.wake();
    }

    /// Those who are known from the start answer the pings to them, as members do whose view is the same.
    fn answer_pings(&mut self) {
        for (to, ping) in std::mem::take(&mut self.told.pings) {
            let mut known = self.persons.iter().take(KNOWN - 1);
            let Some(person) = known.find(|person| person.addr == to && person.hash() == ping.target) else {
                continue;
            };
            let node = self.protocol.node(&person.name);
            let ack = Ack {
                seq: ping.seq,
                round: ping.round,
                view: ping.view,
                incarnation: Incarnation(node.map_or(0, Node::incarnation)),
                cookie: Cookie(1),
            };
            let header = self.header(person, true);
            let mut writer = Writer::new(Vec::new(), &header, DATAGRAM_MAX);
            if writer.push(&Body::Ack(ack)) {
                let ack = self.arriving(to, &header, &contents(&writer.finish()));
                self.receive(self.now, ack);
            }
        }
    }

    /// Does what is due now, until nothing is.
    fn wake(&mut self) {
        let mut wakes = 0;
        while !self.has_ended && self.next_wake().is_some_and(|due| due <= self.now) {
            wakes += 1;
            assert!(wakes <= WAKES_AT_ONCE_MAX, "it wakes again and again at {:?}", self.now);
            for kind in TIMER_KINDS {
                if self.protocol.poll_timeout(kind).is_some_and(|due| due <= self.now) {
                    self.protocol.handle_timeout(self.now, kind);
                    self.drain();
                }
            }
        }
        self.wakes += wakes;
    }

    fn next_wake(&self) -> Option<Instant> {
        TIMER_KINDS.into_iter().filter_map(|kind| self.protocol.poll_timeout(kind)).min()
    }

    /// What a user may ask for. What is refused changes nothing, which the checks see.
    fn call(&mut self, call: Choice, whom: Choice, text: &[u8]) {
        let Person { name, addr, .. } = self.person(whom);
        let key = String::from_utf8_lossy(text);
        let (protocol, now) = (&mut self.protocol, self.now);
        match call.0 % 10 {
            0 => drop(protocol.join(now, &[addr])),
            1 => drop(protocol.ping(now, &name)),
            2 => drop(protocol.update(now, &[(&key, Some(text))])),
            3 => drop(protocol.update(now, &[(&key, None)])),
            // Longer than the bytes at hand, to be cut into fragments.
            4 => drop(protocol.send(now, &name, text.repeat(64))),
            5 => drop(protocol.broadcast(now, text)),
            6 => drop(protocol.force_leave(now, &name)),
            7 => protocol.touch(now),
            8 => protocol.addresses_found(now, &[addr]),
            _ => drop(protocol.leave(now, Duration::from_secs(5))),
        }
        self.drain();
    }

    /// Takes out what a step has left, and checks it.
    fn drain(&mut self) {
        while let Some(event) = self.protocol.poll_event() {
            self.events += 1;
            expect(self.observer.check_event(&self.own.name, &event));
            if matches!(event, Event::Message { .. }) {
                self.protocol.complete(self.now, self.enqueued);
            }
        }
        while let Some(transmit) = self.protocol.poll_transmit() {
            let (length, plain) = (transmit.datagram.len(), self.protocol.in_plain(&transmit.datagram));
            expect(check_length(length, crate::wire::DATAGRAM_MAX));
            expect(self.observer.check_sent(self.now, transmit.to, &plain, length));
            match Packet::decode(&plain) {
                Ok(packet) => self.told.note(transmit.to, &packet),
                Err(_) => panic!("nobody can read what it sends: {plain:02x?}"),
            }
        }
        self.has_ended |= self.protocol.poll_end().is_some();
        if !self.has_ended {
            self.check_view();
        }
        while self.protocol.poll_result().is_some() {}
        while self.protocol.poll_log_record().is_some() {}
        while self.protocol.poll_task().is_some() {}
    }

    fn check_view(&mut self) {
        let Self { protocol, observer, own, .. } = self;
        while let Some((name, seen)) = protocol.poll_touched() {
            if name != own.name {
                expect(observer.check_told(&name, seen.as_ref().and_then(|seen| seen.shown)));
            }
            match seen {
                Some(seen) => expect(observer.check_record(name == own.name, seen)),
                None => observer.forget(&name),
            }
        }
        expect(observer.hearing.check(&self.said, protocol.has_synced(), |name| protocol.heard(name)));
        expect(check_bounds(&protocol.bounds()));
    }
}

/// The bodies of a plain datagram, as they stand.
fn contents(datagram: &[u8]) -> Vec<u8> {
    Packet::decode(datagram).iter().flat_map(Packet::contents).copied().collect()
}

/// The configuration that a script begins with.
fn draw_config(script: &mut Script<'_>) -> Config {
    let config = Config::lan()
        .max_nodes(script.choice().of(&[16_384, KNOWN, 8]))
        .max_message(script.choice().of(&[1 << 20, 1, 5_000]))
        .tombstone_ttl(Duration::from_secs(script.choice().of(&[24 * 3_600, 10])));
    match script.choice().of(&[None, Some(1), Some(100)]) {
        Some(rate) => config.state_rate(rate),
        None => config,
    }
}

fn settings(index: usize, config: Config) -> Settings {
    let addr = addr_of(index);
    let config = config.cluster(CLUSTER).name(name(index)).advertise(addr).seeds(addr_of(5).to_string());
    match config.validate().and_then(|addresses| config.settings(&addresses, addr, addr)) {
        Ok(settings) => settings,
        Err(error) => panic!("these settings are wrong: {error}"),
    }
}

fn start(index: usize, settings: Settings) -> Protocol {
    let seed = u8::try_from(index).unwrap_or(u8::MAX);
    Protocol::new(settings, START, EPOCH, [seed; 32])
}

/// The known nodes but `n0`, as they start: only what they say about themselves is used.
fn others() -> &'static [Protocol] {
    static OTHERS: OnceLock<Vec<Protocol>> = OnceLock::new();
    let new = |index| start(index, settings(index, Config::lan()));
    OTHERS.get_or_init(|| (1..KNOWN).map(new).collect())
}

fn name(index: usize) -> String {
    format!("n{index}")
}

/// Where the simulator puts its hosts, too.
pub(super) fn addr_of(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(index + 1).unwrap_or(u8::MAX)], DEFAULT_PORT))
}

#[track_caller]
fn expect(outcome: Result<(), String>) {
    if let Err(wrong) = outcome {
        panic!("{wrong}");
    }
}
