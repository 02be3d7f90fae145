//! One world: its hosts, what happens to them, and what is noted of it at each second.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::acts::{ALL, Act, Plan, Profile, Theme};
use super::fold::{self, Fold};
use super::record::Second;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::events::Events;
use crate::member::Member;
use crate::sim::Cluster;

/// Members that are never taken away.
const LEFT_ALONE: usize = 2;
/// One part in so many of a world's time is calm: at its end nothing happens any more, and all faults are over. So the
/// record shows healing as well.
const CALM_SHARE: usize = 5;

/// What came of a world.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) seconds: Vec<Second>,
    /// Kinds of events and of errors that were seen, and counters of members that have counted something.
    pub(super) touched: BTreeSet<String>,
}

/// One simulated host, with the member that was started on it last.
struct Seat {
    name: String,
    member: Member,
    /// None: it hears nothing, and refuses messages.
    events: Option<Events>,
    /// Another host has a member of its name, which is found by the name.
    is_displaced: bool,
}

/// A world while it runs.
pub(super) struct World {
    plan: Plan,
    cluster: Cluster,
    /// Draws what happens; the cluster draws for itself.
    rng: ChaCha12Rng,
    /// In the order of the hosts of the cluster.
    seats: Vec<Seat>,
    /// Hosts that are sick, and until when.
    sick: BTreeMap<usize, Duration>,
    lossy: BTreeSet<(usize, usize)>,
    /// The network is cut until then.
    cut_until: Option<Duration>,
    /// Where members find each other, if they do it by a discovery.
    board: Arc<Mutex<Vec<SocketAddr>>>,
    /// Steps of the change of keys that were taken.
    #[cfg(feature = "encryption")]
    pub(super) steps: usize,
    moves: u8,
    told: Fold,
    seconds: Vec<Second>,
    touched: BTreeSet<String>,
}

pub(super) fn name(index: usize) -> String {
    format!("n{index}")
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl World {
    pub(super) fn new(number: usize, plan: Plan) -> Self {
        Self {
            plan,
            cluster: Cluster::new(7_000 + number as u64),
            rng: ChaCha12Rng::seed_from_u64(number as u64),
            seats: Vec::new(),
            sick: BTreeMap::new(),
            lossy: BTreeSet::new(),
            cut_until: None,
            board: Arc::default(),
            #[cfg(feature = "encryption")]
            steps: 0,
            moves: 0,
            told: Fold::default(),
            seconds: Vec::new(),
            touched: BTreeSet::new(),
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        // Other tests check the invariants.
        self.cluster.check(false);
        for _ in 0..self.plan.hosts {
            self.grow();
            self.pass(0..150);
        }
        while self.seconds.len() + self.plan.seconds / CALM_SHARE < self.plan.seconds {
            self.recover();
            let is_special = !self.plan.theme.acts().is_empty() && self.rng.random_bool(0.6);
            let act = if is_special { self.pick(self.plan.theme.acts()) } else { self.pick(ALL) };
            self.act(act);
            self.pass(0..self.plan.pause);
        }
        self.calm();
        while self.seconds.len() < self.plan.seconds {
            self.pass(500..501);
        }
        self.seconds.truncate(self.plan.seconds);
        let members = self.seats.iter().map(|seat| seat.member.metrics().to_string());
        for metrics in members.collect::<Vec<_>>() {
            let counts = metrics.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0"));
            for line in counts {
                self.told.text(line);
                self.touched.extend(line.split(' ').next().map(str::to_owned));
            }
        }
        // What was counted is a part of the last second.
        let counts = self.told.hash();
        if let Some(last) = self.seconds.last_mut() {
            *last = Second::new(self.cluster.trace(), counts, last.views.into());
        }
        Outcome { seconds: self.seconds, touched: self.touched }
    }

    /// Lets some time pass.
    pub(super) fn pass(&mut self, range: Range<u64>) {
        // A call may have taken long.
        self.note_seconds();
        let end = self.cluster.now() + millis(self.rng.random_range(range));
        while self.cluster.now() < end {
            let next = self.next_second();
            self.cluster.run(end.min(next) - self.cluster.now());
            self.note_seconds();
        }
    }

    fn next_second(&self) -> Duration {
        Duration::from_secs(self.seconds.len() as u64 + 1)
    }

    /// Notes how it is, for each second that is over. If a call has blocked for longer, they are noted alike.
    fn note_seconds(&mut self) {
        if self.cluster.now() < self.next_second() {
            return;
        }
        for (host, seat) in self.seats.iter().enumerate() {
            for event in seat.events.iter().flat_map(|events| events.try_iter()) {
                self.told.number(host as u64);
                self.told.event(&event);
                self.touched.insert(fold::kind(&event).to_owned());
            }
        }
        let mut views = Fold::default();
        for (host, seat) in self.seats.iter().enumerate().filter(|(host, _)| self.runs(*host)) {
            views.number(host as u64);
            views.node(&seat.member.local());
            views.number(seat.member.health().into());
            for node in seat.member.all_nodes().iter() {
                views.shown(node);
            }
        }
        let second = Second::new(self.cluster.trace(), self.told.hash(), views.hash());
        while self.cluster.now() >= self.next_second() {
            self.seconds.push(second);
        }
    }

    /// Notes what a call has returned.
    pub(super) fn note<T>(&mut self, result: Result<T>, number: impl FnOnce(T) -> u64) {
        let result = result.map(number);
        if let Err(error) = &result {
            self.touched.insert(fold::reason(error).to_owned());
        }
        if let Err(Error::Join(reasons)) = &result {
            self.touched.extend(reasons.iter().map(|(_, error)| fold::reason(error).to_owned()));
        }
        self.told.result(&result);
    }
}

/// What happens.
impl World {
    fn act(&mut self, act: Act) {
        let host = self.below(self.seats.len());
        let other = self.below(self.seats.len());
        let (own, peer) = (self.seats[host].name.clone(), self.seats[other].name.clone());
        // A host that is displaced is not found by its name.
        let runs = self.runs(host) && !self.seats[host].is_displaced;
        let well = runs && !self.sick.contains_key(&host);
        let spare = (0..self.seats.len()).filter(|host| self.runs(*host)).count() > LEFT_ALONE;
        let member = self.seats[host].member.clone();
        match act {
            Act::Grow if self.seats.len() < self.plan.hosts + self.plan.hosts / 4 + 1 => self.grow(),
            Act::Crash if runs && spare => self.cluster.crash(&own),
            Act::Restart => {
                let gone: Vec<usize> = (0..self.seats.len()).filter(|host| !self.runs(*host)).collect();
                if !gone.is_empty() {
                    let host = gone[self.below(gone.len())];
                    self.restart(host);
                }
            }
            Act::RestartAtOnce if runs => self.restart(host),
            Act::Leave if well && spare => self.note(member.leave(millis(1_500)), |()| 0),
            Act::Shutdown if well && spare => self.note(member.shutdown(), |()| 0),
            // Refused while it is alive.
            Act::ForceLeave if well => self.note(member.force_leave(&peer), |()| 0),
            Act::Pause if runs => self.ail(host, Cluster::pause),
            Act::Deafen if runs => self.ail(host, Cluster::deafen),
            Act::Block if runs => self.ail(host, Cluster::block),
            Act::Slow if runs => {
                let each = millis(self.number(1..120));
                self.ail(host, |cluster, name| cluster.slow(name, each));
            }
            Act::Starve if runs => {
                let mean = millis(self.number(1..300));
                self.ail(host, |cluster, name| cluster.starve(name, mean));
            }
            Act::Split => self.split(),
            Act::Alone if !self.seats[host].is_displaced => self.cut(&[&own]),
            Act::Cut if host != other => {
                self.cluster.cut(&own, &peer);
                self.cut_for_a_while();
            }
            Act::Weather => self.weather(),
            Act::LossBetween if host != other => {
                self.lossy.insert((host, other));
                let share = self.share(0.9);
                self.cluster.loss_between(&own, &peer, share);
            }
            Act::LatencyBetween if host != other => {
                let slowest = self.number(2..120);
                self.cluster.latency_between(&own, &peer, millis(1)..millis(slowest));
            }
            Act::Set if well => {
                for _ in 0..self.number(1..6) {
                    self.write(&member, 30);
                }
            }
            // Many values of up to the largest size: the whole state takes many datagrams.
            Act::SetLarge if well => {
                for _ in 0..self.number(4..12) {
                    self.write(&member, 1_100);
                }
            }
            // More is removed than is remembered.
            Act::SetMany if well => {
                for key in 0..300 {
                    self.note(member.set(&format!("many {key}"), b"some"), |()| 0);
                }
                for key in 0..300 {
                    self.note(member.remove(&format!("many {key}")), |()| 0);
                }
            }
            Act::Remove if well => {
                for _ in 0..self.number(1..12) {
                    let key = format!("key {}", self.below(40));
                    self.note(member.remove(&key), |()| 0);
                }
            }
            Act::Send if well => {
                for _ in 0..self.number(1..4) {
                    let length = self.below(2_000);
                    self.send(&member, &peer, length);
                }
            }
            Act::SendLong if well => self.send(&member, &peer, 60_000),
            Act::Broadcast if runs => self.broadcast(&member, 1..6),
            Act::BroadcastMany if runs => self.broadcast(&member, 30..100),
            Act::Ping if well => {
                // Whether it is there or not.
                let result = member.ping(&peer);
                self.note(result, |rtt| u64::try_from(rtt.as_micros()).unwrap());
            }
            Act::Join if well => self.note(member.join(&peer), |_| 0),
            Act::JoinNobody if well => self.note(member.join(["nobody", "10.7.7.7:7990"]), |_| 0),
            Act::Touch if runs => self.cluster.touch(&own),
            Act::Move if runs && self.moves < u8::MAX => {
                self.moves += 1;
                self.cluster.relocate(&own, SocketAddr::from(([10, 8, 0, self.moves], 7_990)));
            }
            Act::Namesake if runs => self.add_namesake(host, other),
            #[cfg(feature = "encryption")]
            Act::Keys => self.take_step(),
            #[cfg(feature = "encryption")]
            Act::KeyOutOfTurn if well => self.take_step_out_of_turn(&member),
            _ => {}
        }
    }

    /// One more host.
    fn grow(&mut self) {
        let index = self.seats.len();
        let config = self.config(index).name(name(index));
        let result = self.cluster.add(config);
        self.sit(name(index), result, None);
        self.join(index);
    }

    /// Another process of that name, now and then at another address.
    fn restart(&mut self, host: usize) {
        if self.seats[host].is_displaced {
            return;
        }
        self.sick.remove(&host);
        let mut config = self.config(host);
        if self.below(4) == 0 {
            config = config.advertise(format!("10.9.{host}.{}:7990", 1 + self.below(250)));
        }
        let name = self.seats[host].name.clone();
        let result = self.cluster.restart(&name, config);
        self.sit(name, result, Some(host));
        self.join(host);
    }

    /// Another process of that name on a host of its own. Most often the first one is cut off at that moment, and
    /// yields when it hears of the newer one.
    fn add_namesake(&mut self, host: usize, other: usize) {
        let name = self.seats[host].name.clone();
        if self.below(3) > 0 {
            self.cut(&[&name]);
        }
        let config = self.config(self.seats.len());
        let result = self.cluster.add_namesake(&name, config);
        self.seats[host].is_displaced = result.is_ok();
        self.sit(name, result, None);
        self.join_through(self.seats.len() - 1, other);
    }

    /// Keeps a member that was started on a new host, or on one that was there.
    fn sit(&mut self, name: String, result: Result<Member>, host: Option<usize>) {
        let member = match result {
            Ok(member) => member,
            Err(error) => panic!("{name} does not start: {error}"),
        };
        self.told.text(member.name());
        let index = host.unwrap_or(self.seats.len());
        let events = (index % 7 != 6).then(|| member.events());
        let seat = Seat { name, member, events, is_displaced: false };
        match host {
            Some(host) => self.seats[host] = seat,
            None => self.seats.push(seat),
        }
    }

    fn join(&mut self, host: usize) {
        let is_other = |other: &usize| *other != host && self.runs(*other);
        let others: Vec<usize> = (0..self.seats.len()).filter(is_other).collect();
        if !others.is_empty() && self.plan.theme != Theme::Discovery {
            let other = others[self.below(others.len())];
            self.join_through(host, other);
        }
    }

    fn join_through(&mut self, host: usize, other: usize) {
        let seed = self.seats[other].name.clone();
        let result = self.seats[host].member.join(seed);
        self.note(result, |_| 0);
    }

    fn config(&self, index: usize) -> Config {
        let config = match self.plan.profile {
            Profile::Local => Config::local(),
            Profile::Lan => Config::lan(),
            Profile::Wan => Config::wan(),
        };
        let patience = if self.plan.profile == Profile::Wan { millis(4_000) } else { millis(1_200) };
        let mut config = config.join_timeout(patience).send_timeout(patience);
        // The others look for nobody once they have joined.
        if index.is_multiple_of(2) {
            config = config.seeds([name(0), name(1), name(2)]);
        }
        match self.plan.theme {
            Theme::Graves => config.tombstone_ttl(millis(12_000)),
            Theme::Discovery => self.discovering(config),
            Theme::Allow if index < 6 => config.allow_networks(["10.0.0.0/29", "10.8.0.0/16", "10.9.0.0/16"]),
            Theme::Allow => config.allow_names(["n*"]),
            Theme::StateRate => config.state_rate(1 + u32::try_from(index % 5).unwrap() * 8),
            Theme::Full => config.max_nodes(self.plan.hosts - 2),
            Theme::Lagging => config.event_capacity(3),
            Theme::Listeners => config.on_event(|member, event| {
                // It answers messages, and pings each node that joins. Both run virtual time.
                let _ = match event {
                    Event::Message { from, payload } if payload.len() > 1 => {
                        member.send(from.name(), &payload[1..payload.len() / 2 + 1])
                    }
                    Event::Joined(node) => member.ping(node.name()).map(|_| ()),
                    _ => Ok(()),
                };
            }),
            #[cfg(feature = "encryption")]
            Theme::Sealed | Theme::Keys => self.keyed(config, index),
            _ => config,
        }
    }

    /// A member that pins its address to a board and reads it. Sometimes it can not.
    fn discovering(&self, config: Config) -> Config {
        let (board, mut calls) = (Arc::clone(&self.board), 0);
        config.discovery(move |me: &Member| {
            calls += 1;
            if calls % 4 == 2 {
                return Err(io::Error::other("not now"));
            }
            let mut board = board.lock().unwrap();
            if !board.contains(&me.addr()) {
                board.push(me.addr());
            }
            Ok(board.clone())
        })
    }

    fn ail(&mut self, host: usize, how: impl FnOnce(&Cluster, &str)) {
        let until = self.cluster.now() + millis(self.number(200..self.plan.trouble));
        self.sick.insert(host, until);
        how(&self.cluster, &self.seats[host].name);
    }

    fn split(&mut self) {
        let names: Vec<String> = self.seats.iter().map(|seat| seat.name.clone()).collect();
        let side: Vec<&str> =
            names.iter().filter(|_| self.rng.random_bool(0.4)).map(String::as_str).collect();
        self.cut(&side);
    }

    /// Has these hosts hear each other only, for a while.
    fn cut(&mut self, together: &[&str]) {
        self.cluster.split(together);
        self.cut_for_a_while();
    }

    fn cut_for_a_while(&mut self) {
        let until = self.cluster.now() + millis(self.number(500..2 * self.plan.trouble));
        self.cut_until.get_or_insert(until);
    }

    /// Ends what has lasted long enough.
    fn recover(&mut self) {
        let now = self.cluster.now();
        if self.cut_until.is_some_and(|until| until <= now) {
            self.cut_until = None;
            self.cluster.heal();
        }
        let well: Vec<usize> =
            self.sick.iter().filter(|(_, until)| **until <= now).map(|sick| *sick.0).collect();
        for host in well {
            self.sick.remove(&host);
            self.cluster.resume(&self.seats[host].name);
        }
    }

    /// All links become better or worse.
    fn weather(&mut self) {
        let (loss, copies, overtaken) = (self.share(0.2), self.share(0.2), self.share(0.3));
        self.cluster.loss(loss);
        self.cluster.duplicate(copies);
        self.cluster.reorder(overtaken);
        let fastest = self.number(1..20) * 200;
        let slowest = fastest * self.number(1..5);
        self.cluster.latency(Duration::from_micros(fastest)..Duration::from_micros(slowest));
    }

    /// Ends all that is wrong.
    fn calm(&mut self) {
        self.cluster.heal();
        self.cluster.loss(0.0);
        self.cluster.duplicate(0.0);
        self.cluster.reorder(0.0);
        for (from, to) in std::mem::take(&mut self.lossy) {
            self.cluster.loss_between(&self.seats[from].name, &self.seats[to].name, 0.0);
        }
        for host in std::mem::take(&mut self.sick).into_keys() {
            self.cluster.resume(&self.seats[host].name);
        }
    }

    /// A member writes something of at most that length, which may be too long.
    fn write(&mut self, member: &Member, most: usize) {
        let key = format!("key {}", self.below(40));
        let value = vec![self.rng.random(); self.below(most)];
        self.note(member.set(&key, value), |()| 0);
    }

    fn send(&mut self, member: &Member, to: &str, length: usize) {
        let payload = vec![self.rng.random(); length];
        self.note(member.send(to, &payload), |()| 0);
    }

    fn broadcast(&mut self, member: &Member, times: Range<u64>) {
        for _ in 0..self.number(times) {
            let payload: [u8; 24] = self.rng.random();
            // Refused while it leaves.
            self.note(member.broadcast(&payload), |()| 0);
        }
    }
}

/// Helpers.
impl World {
    fn runs(&self, host: usize) -> bool {
        self.cluster.sim.world().hosts[host].is_running()
    }

    #[cfg(feature = "encryption")]
    pub(super) fn theme(&self) -> Theme {
        self.plan.theme
    }

    /// The members that run, with their hosts.
    #[cfg(feature = "encryption")]
    pub(super) fn running(&self) -> Vec<Member> {
        let running = self.seats.iter().enumerate().filter(|(host, _)| self.runs(*host));
        running.map(|(_, seat)| seat.member.clone()).collect()
    }

    fn pick(&mut self, acts: &[Act]) -> Act {
        acts[self.below(acts.len())]
    }

    // `u32`, so that all platforms draw the same.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..u32::try_from(end).unwrap()) as usize
    }

    fn number(&mut self, range: Range<u64>) -> u64 {
        self.rng.random_range(range)
    }

    fn share(&mut self, most: f64) -> f64 {
        f64::from(self.rng.random_range(0..1_000_u32)) / 1_000.0 * most
    }
}
