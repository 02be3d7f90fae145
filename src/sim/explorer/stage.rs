//! A world of few members in which each step is chosen, and what holds there after each.
//!
//! | after each step | |
//! |---|---|
//! | each record is of a run that existed | no node is made up |
//! | no member holds a higher incarnation of a run than the run has itself | only a node raises its own |
//! | a running run is suspected or dead only if a timer at some member led to it | no datagram accuses by itself |
//! | a running run has left only if it announced that | |
//! | after a join that returned Ok, both are in each other's view | if both still run |
//!
//! | in the end | |
//! |---|---|
//! | all running members show each other, and no other node | within [`EQUAL_WITHIN`] |
//! | each join is answered | |
//! | of each name that was started, one run is left, unless it was ended | the older one, if nothing was late |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::choice::Choice;
use crate::config::Config;
use crate::error::Error;
use crate::member::Member;
use crate::node::Status;
use crate::protocol::{CallResult, RequestId};
use crate::sim::host::Host;
use crate::sim::{Clock, Cluster, Rule};

/// Views are equal within this time, from any world that a search reaches.
///
/// The longest wait occurs when a member that was buried again stays away, and no member has a seed.
pub(super) const EQUAL_WITHIN: Duration = Duration::from_secs(120);
/// How long a process that leaves waits for acks.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Something that an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Act {
    /// A process is started on a host: the first one, or another one in place of the running one.
    Start(&'static str),
    /// The same, at another address.
    StartAt(&'static str, &'static str),
    /// A process of a name that is taken is started on another host.
    Namesake(&'static str),
    /// It calls `join` with another one's address, without waiting for the answer.
    Join(&'static str, &'static str),
    /// It calls `leave` and ends when that is answered.
    Leave(&'static str),
    Crash(&'static str),
    /// From now on the clock of a host is an hour behind.
    ClockBack(&'static str),
    /// Nothing is chosen meanwhile, and no datagram is late.
    Wait(Duration),
}

/// What is done to a few members.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Scenario {
    pub(in crate::sim) label: &'static str,
    /// The seeds that members are configured with. Without seeds, a join is not tried again when its datagrams are
    /// lost.
    pub(in crate::sim) seeds: &'static [&'static str],
    /// What has happened before the search begins.
    pub(in crate::sim) before: Vec<Act>,
    /// What happens in the search, in this order, at any time.
    pub(in crate::sim) acts: Vec<Act>,
}

/// A host and the process on it.
type Run = (usize, u64);

/// A call of `join` that is not answered.
struct Join {
    joiner: Run,
    seed: Run,
    call: RequestId,
}

/// A world, and what was seen in it.
pub(in crate::sim) struct Stage {
    cluster: Cluster,
    seeds: &'static [&'static str],
    members: Vec<Member>,
    acts: Vec<Act>,
    joins: Vec<Join>,
    leaving: BTreeMap<Run, RequestId>,
    /// All runs that there were, by name and generation.
    runs: BTreeMap<(String, u64), Run>,
    /// Runs that a timer has led some member to suspect.
    accused: BTreeSet<(String, u64)>,
    /// Nothing was lost, and nothing came later than a timer.
    is_fair: bool,
}

impl Stage {
    pub(super) fn new(scenario: &Scenario, without: &[Rule]) -> Self {
        let cluster = Cluster::new(77);
        without.iter().for_each(|rule| cluster.without(*rule));
        // Datagrams wait until one of them is chosen.
        cluster.latency(Duration::ZERO..Duration::ZERO);
        let mut stage = Self {
            cluster,
            seeds: scenario.seeds,
            members: Vec::new(),
            acts: scenario.acts.clone(),
            joins: Vec::new(),
            leaving: BTreeMap::new(),
            runs: BTreeMap::new(),
            accused: BTreeSet::new(),
            is_fair: true,
        };
        stage.acts.reverse();
        for act in &scenario.before {
            stage.act(*act);
            stage.observe(false);
        }
        stage
    }

    /// Takes one step.
    pub(super) fn step(&mut self, choice: Choice) {
        self.is_fair &= !matches!(choice, Choice::Lose | Choice::Fire);
        match choice {
            Choice::Deliver(number) => self.cluster.sim.world().deliver(number),
            Choice::Lose => self.cluster.sim.world().lose(0),
            Choice::Double => self.cluster.sim.world().double(0),
            Choice::Fire => self.cluster.sim.world().fire(),
            Choice::Act => {
                if let Some(act) = self.acts.pop() {
                    self.act(act);
                }
            }
        }
        self.observe(choice == Choice::Fire);
    }

    /// Datagrams that are on their way.
    pub(super) fn flights(&self) -> usize {
        usize::try_from(self.cluster.sim.world().in_flight()).unwrap()
    }

    pub(super) fn has_acts(&self) -> bool {
        !self.acts.is_empty()
    }

    /// A hash of the world and of what is still to be done there.
    pub(super) fn digest(&self) -> (u64, usize, usize) {
        (self.cluster.sim.world().digest(), self.acts.len(), self.leaving.len())
    }

    /// Does all remaining acts, and lets all datagrams arrive. Returns how long it takes until all views are equal.
    pub(super) fn end_well(mut self) -> Duration {
        let millisecond = Duration::from_millis(1);
        self.cluster.latency(millisecond..millisecond);
        while let Some(act) = self.acts.pop() {
            self.act(act);
            self.pass(millisecond);
        }
        while !self.leaving.is_empty() {
            self.pass(Duration::from_millis(100));
        }
        let since = self.cluster.now();
        // Datagrams in flight may still change something.
        self.pass(Duration::from_secs(1));
        while !self.cluster.is_converged() || !self.joins.is_empty() {
            let after = self.cluster.now() - since;
            assert!(after < EQUAL_WITHIN, "views differ after {after:?}: {}", self.views());
            self.pass(Duration::from_millis(100));
        }
        self.check_names();
        self.cluster.now() - since
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        self.cluster.run(time);
        self.observe(true);
    }

    fn act(&mut self, act: Act) {
        let cluster = self.cluster.clone();
        match act {
            Act::Start(name) => self.start(name, self.config(name)),
            Act::StartAt(name, addr) => {
                let config = self.config(name).advertise(addr);
                self.start(name, config);
            }
            Act::Namesake(name) => {
                let config = self.config(name);
                self.members.push(cluster.add_namesake(name, config).unwrap());
            }
            Act::Join(name, seed) => self.join(name, seed),
            Act::Leave(name) => {
                let run = self.run_of(name);
                let mut world = cluster.sim.world();
                let call = world.with(run.0, run.1, |protocol, now| protocol.leave(now, LEAVE_TIMEOUT));
                // One that has ended by itself has left.
                self.leaving.extend(call.ok().map(|call| (run, call)));
            }
            Act::Crash(name) => cluster.crash(name),
            Act::ClockBack(name) => cluster.clock(name, Clock::behind(Duration::from_secs(3_600))),
            Act::Wait(time) => cluster.run(time),
        }
    }

    fn config(&self, name: &str) -> Config {
        let config = Config::lan().name(name);
        if self.seeds.is_empty() { config } else { config.seeds(self.seeds) }
    }

    fn start(&mut self, name: &str, config: Config) {
        let is_new = self.cluster.sim.world().index_of(name).is_none();
        let member = if is_new { self.cluster.add(config) } else { self.cluster.restart(name, config) };
        self.members.push(member.unwrap());
    }

    fn join(&mut self, name: &str, seed: &str) {
        let (joiner, seed) = (self.run_of(name), self.run_of(seed));
        let mut world = self.cluster.sim.world();
        let addr = world.hosts[seed.0].addr;
        if let Ok(call) = world.with(joiner.0, joiner.1, |protocol, now| protocol.join(now, &[addr])) {
            drop(world);
            self.joins.push(Join { joiner, seed, call });
        }
    }

    fn run_of(&self, name: &str) -> Run {
        let world = self.cluster.sim.world();
        let host = world.index_of(name).unwrap();
        (host, world.hosts[host].run)
    }

    /// What is checked after each step. `by_timer`: a timer may have fired in it.
    fn observe(&mut self, by_timer: bool) {
        self.end_those_that_left();
        let cluster = self.cluster.clone();
        let world = cluster.sim.world();
        let mut number_of = BTreeMap::new();
        for (index, host) in world.hosts.iter().enumerate().filter(|(_, host)| host.is_running()) {
            let own = host.protocol.local();
            self.runs.insert((host.name.clone(), own.generation()), (index, host.run));
            number_of.insert((index, host.run), (own.generation(), own.incarnation()));
        }
        for host in world.hosts.iter().filter(|host| host.is_running()) {
            for seen in host.protocol.held().filter(|seen| seen.name != host.name) {
                let number = (seen.name.clone(), seen.generation.0);
                let of = format!("{} of {}", host.name, seen.name);
                let Some(run) = self.runs.get(&number) else {
                    panic!("{of}: there was no such run: {seen:?}");
                };
                let Some((_, incarnation)) =
                    number_of.get(run).filter(|(generation, _)| *generation == seen.generation.0)
                else {
                    continue;
                };
                assert!(seen.incarnation.0 <= *incarnation, "{of}: it has {incarnation}: {seen:?}");
                if matches!(seen.status, Status::Suspect | Status::Dead) && by_timer {
                    self.accused.insert(number);
                } else if matches!(seen.status, Status::Suspect | Status::Dead) {
                    assert!(self.accused.contains(&number), "{of}: no timer has led to this: {seen:?}");
                }
                let is_leaving = seen.status != Status::Left || self.leaving.contains_key(run);
                assert!(is_leaving, "{of}: it has never left: {seen:?}");
            }
        }
        drop(world);
        self.check_joins();
    }

    fn end_those_that_left(&mut self) {
        let mut world = self.cluster.sim.world();
        self.leaving.retain(|(host, run), call| {
            let is_over = world.hosts[*host].run != *run || world.answer(*host, *call).is_some();
            if is_over && world.check_running(*host, *run).is_ok() {
                drop(world.end(*host, Error::Closed));
            }
            !is_over
        });
    }

    /// A member that has joined and the member that has let it in show each other, unless one of them is gone.
    fn check_joins(&mut self) {
        let mut world = self.cluster.sim.world();
        self.joins.retain(|Join { joiner, seed, call }| {
            if world.check_running(joiner.0, joiner.1).is_err() {
                return false;
            }
            let Some(CallResult::Joined(outcome)) = world.answer(joiner.0, *call) else {
                return true;
            };
            let is_taken = |(_, error): &(_, Error)| matches!(error, Error::NameTaken { .. });
            if outcome.as_ref().is_err_and(|reasons| reasons.iter().any(is_taken)) {
                // Its program ends it.
                drop(world.end(joiner.0, Error::Closed));
                return false;
            }
            let both_run = world.check_running(seed.0, seed.1).is_ok() && !self.leaving.contains_key(seed);
            if outcome.is_ok() && both_run && !self.leaving.contains_key(joiner) && joiner.0 != seed.0 {
                let (joiner, seed) = (&world.hosts[joiner.0], &world.hosts[seed.0]);
                assert!(shows(joiner, seed), "{} has joined and does not show {}", joiner.name, seed.name);
                assert!(shows(seed, joiner), "{} has let {} in and does not show it", seed.name, joiner.name);
            }
            false
        });
    }

    /// Each name that was not ended has a process that runs.
    fn check_names(&self) {
        let world = self.cluster.sim.world();
        for host in world.hosts.iter().filter(|host| !host.is_running()) {
            let was_ended = matches!(host.end, Some(Error::Closed));
            let another = world.hosts.iter().any(|other| other.is_running() && other.name == host.name);
            assert!(was_ended || another, "nobody is left of {}, which ended with {:?}", host.name, host.end);
            let is_first = world
                .hosts
                .iter()
                .find(|other| other.name == host.name)
                .is_some_and(|first| std::ptr::eq(first, host));
            assert!(was_ended || !is_first || !self.is_fair, "{} has lost its name to a newcomer", host.name);
        }
    }

    fn views(&self) -> String {
        let world = self.cluster.sim.world();
        let of = |host: &Host| {
            let held: Vec<String> = host.protocol.held().map(|seen| format!("{seen:?}")).collect();
            format!("{} (runs: {}) holds {held:#?}", host.name, host.is_running())
        };
        world.hosts.iter().map(of).collect::<Vec<_>>().join("; ")
    }
}

/// Whether a host shows the run of another one.
fn shows(host: &Host, other: &Host) -> bool {
    let node = host.protocol.nodes().find(|node| node.name() == other.name);
    node.is_some_and(|node| node.generation() == other.protocol.local().generation())
}
