//! Simulated clusters in which suspicions and deaths are noted: what the experiments on the failure detector share.

use std::error::Error;
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use headcount::sim::Cluster;
#[cfg(headcount_bench)]
use headcount::sim::Rule;
use headcount::{Config, Event, Member};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;

pub(crate) type AnyResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) const NODES: usize = 128;
/// Runs at the same time.
pub(crate) const THREADS: u64 = 2;
/// From the joins to the first fault.
pub(crate) const QUIET: Duration = Duration::from_secs(15);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A member has given up a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    pub(crate) at: Duration,
    pub(crate) observer: usize,
    pub(crate) node: usize,
}

/// A member has told its user that it suspects a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspicion {
    pub(crate) observer: usize,
    pub(crate) node: usize,
}

/// What is noted.
#[derive(Debug, Default)]
struct Notes {
    deaths: Vec<Death>,
    suspicions: Vec<Suspicion>,
}

/// A cluster in which all suspicions and deaths are noted.
pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    seed: u64,
    pub(crate) members: Vec<Member>,
    notes: Arc<Mutex<Notes>>,
    /// For what the experiment chooses.
    pub(crate) rng: ChaCha12Rng,
}

impl Lab {
    /// Members who know each other and have been left alone for a while.
    pub(crate) fn new(seed: u64, nodes: usize) -> AnyResult<Self> {
        Self::begin(Cluster::new(seed), seed, nodes, true)?.settle()
    }

    /// The same of many, without the joins.
    #[cfg(headcount_bench)]
    pub(crate) fn acquainted(seed: u64, nodes: usize) -> AnyResult<Self> {
        let lab = Self::begin(Cluster::new(seed), seed, nodes, false)?;
        lab.cluster.acquaint();
        lab.settle()
    }

    /// The same, but they do without some rules.
    #[cfg(headcount_bench)]
    pub(crate) fn without(rules: &[Rule], seed: u64, nodes: usize) -> AnyResult<Self> {
        let cluster = Cluster::new(seed);
        rules.iter().for_each(|rule| cluster.without(*rule));
        let lab = Self::begin(cluster, seed, nodes, true)?;
        if rules.contains(&Rule::Sync) {
            // A member that lacks somebody learns it by joining again.
            lab.cluster.run(QUIET);
            for member in &lab.members[1..] {
                member.join(name(0))?;
            }
        }
        lab.settle()
    }

    /// Members, that join or do not.
    fn begin(cluster: Cluster, seed: u64, nodes: usize, joins: bool) -> AnyResult<Self> {
        cluster.check(false);
        let rng = ChaCha12Rng::seed_from_u64(seed);
        let mut lab = Self { cluster, seed, members: Vec::new(), notes: Arc::default(), rng };
        for index in 0..nodes {
            lab.start(index, joins)?;
        }
        Ok(lab)
    }

    fn settle(self) -> AnyResult<Self> {
        if !self.cluster.run_until(MINUTE, Cluster::is_converged) {
            let (seed, nodes) = (self.seed, self.members.len());
            return Err(format!("seed {seed}: the {nodes} members have not found each other").into());
        }
        self.cluster.run(QUIET);
        Ok(self)
    }

    fn start(&mut self, observer: usize, joins: bool) -> AnyResult<()> {
        let member = self.cluster.add(self.config(observer))?;
        if joins && observer > 0 {
            member.join(name(0))?;
        }
        self.members.push(member);
        Ok(())
    }

    /// How a member is started, also anew.
    pub(crate) fn config(&self, observer: usize) -> Config {
        let (cluster, notes) = (self.cluster.clone(), Arc::clone(&self.notes));
        Config::lan().name(name(observer)).on_event(move |_, event| {
            let Some(node) = event.node().and_then(|node| index(node.name())) else {
                return;
            };
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Suspected(_) => notes.suspicions.push(Suspicion { observer, node }),
                Event::Died { .. } => notes.deaths.push(Death { at: cluster.now(), observer, node }),
                _ => {}
            }
        })
    }

    /// Some of the nodes, drawn at random.
    pub(crate) fn draw(&mut self, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.members.len()).collect();
        all.shuffle(&mut self.rng);
        all.truncate(count);
        all
    }

    /// The deaths that were noted since the last call.
    pub(crate) fn take_deaths(&self) -> Vec<Death> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner).deaths)
    }

    /// The suspicions that users were told of since the last call.
    pub(crate) fn take_suspicions(&self) -> Vec<Suspicion> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner).suspicions)
    }

    /// What all have sent so far.
    pub(crate) fn sent(&self) -> Sent {
        let metrics = self.members.iter().map(Member::metrics);
        metrics.fold(Sent::default(), |sum, metrics| Sent {
            datagrams: sum.datagrams + metrics.datagrams_sent,
            bytes: sum.bytes + metrics.bytes_sent,
        })
    }

    /// What a member has sent in a second since then, on average.
    pub(crate) fn load_since(&self, before: Sent, since: Duration) -> Load {
        let now = self.sent();
        let share = self.members.len() as f64 * (self.cluster.now() - since).as_secs_f64();
        // A member that was started anew counts from there.
        Load {
            datagrams: now.datagrams.saturating_sub(before.datagrams) as f64 / share,
            bytes: now.bytes.saturating_sub(before.bytes) as f64 / share,
        }
    }
}

/// What members have sent, all together: the bytes without the 28 of IP and UDP for each datagram.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

/// What a member sends in a second.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) datagrams: f64,
    pub(crate) bytes: f64,
}

impl Load {
    pub(crate) fn mean(loads: &[Self]) -> Self {
        let count = loads.len().max(1) as f64;
        Self {
            datagrams: loads.iter().map(|load| load.datagrams).sum::<f64>() / count,
            bytes: loads.iter().map(|load| load.bytes).sum::<f64>() / count,
        }
    }
}

/// Deaths of nodes that nothing ailed, and of others.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// False ones, at all members …
    pub(crate) wrong: usize,
    /// … and at those that nothing ailed.
    pub(crate) wrong_at_healthy: usize,
    /// Of nodes that something ailed.
    pub(crate) of_sick: usize,
}

impl Tally {
    pub(crate) fn of(deaths: &[Death], sick: &[usize]) -> Self {
        let mut tally = Self::default();
        for death in deaths {
            if sick.contains(&death.node) {
                tally.of_sick += 1;
            } else {
                tally.wrong += 1;
                tally.wrong_at_healthy += usize::from(!sick.contains(&death.observer));
            }
        }
        tally
    }

    pub(crate) fn sum(tallies: impl IntoIterator<Item = Self>) -> Self {
        tallies.into_iter().fold(Self::default(), |sum, tally| Self {
            wrong: sum.wrong + tally.wrong,
            wrong_at_healthy: sum.wrong_at_healthy + tally.wrong_at_healthy,
            of_sick: sum.of_sick + tally.of_sick,
        })
    }
}

/// How a node that is away was found to be.
pub(crate) struct Found {
    pub(crate) first: Option<Duration>,
    pub(crate) last: Option<Duration>,
    /// Those who are well and have found it.
    pub(crate) observers: usize,
}

impl Found {
    pub(crate) fn new(node: usize, began: Duration, deaths: &[Death], sick: &[usize]) -> Self {
        let mut times = vec![None; NODES];
        for death in deaths.iter().filter(|death| death.node == node && !sick.contains(&death.observer)) {
            times[death.observer].get_or_insert(death.at - began);
        }
        let times: Vec<Duration> = times.into_iter().flatten().collect();
        Self { first: times.iter().min().copied(), last: times.iter().max().copied(), observers: times.len() }
    }
}

/// Survivors of a crash must know by then.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

/// What survivors see of a crash of many.
pub(crate) struct Crash {
    /// For each pair of a survivor and a dead node, until the one has given up the other for the first time.
    pub(crate) times: Vec<Duration>,
    /// Until all survivors see exactly the survivors.
    pub(crate) last: Duration,
    /// Whether they do, and still do a little later.
    pub(crate) settled: bool,
}

impl Crash {
    /// So many of a lab crash.
    pub(crate) fn of(mut lab: Lab, dead: usize) -> Self {
        let nodes = lab.members.len();
        // Not all at the same point of their rounds.
        lab.cluster.run(Duration::from_millis(lab.seed * 37 % 1_000));
        let dead = lab.draw(dead);
        let began = lab.cluster.now();
        dead.iter().for_each(|node| lab.cluster.crash(&name(*node)));
        let survivors: Vec<usize> = (0..nodes).filter(|node| !dead.contains(node)).collect();
        let settled =
            |_: &Cluster| survivors.iter().all(|node| lab.members[*node].nodes().len() == survivors.len());
        // Who is alone hides all others, so the number is enough.
        let in_time = lab.cluster.run_until(LIMIT, settled);
        let last = lab.cluster.now() - began;
        lab.cluster.run(QUIET);
        let mut pairs = vec![None; nodes * nodes];
        for death in lab.take_deaths() {
            pairs[death.observer * nodes + death.node].get_or_insert(death.at - began);
        }
        let times = pairs.into_iter().flatten().collect();
        Self { times, last, settled: in_time && settled(&lab.cluster) }
    }
}

/// Does something for each run, on a few threads; the outcomes in the order of the runs.
pub(crate) fn in_parallel<T: Send>(
    runs: u64,
    work: impl Fn(u64) -> AnyResult<T> + Sync,
) -> AnyResult<Vec<T>> {
    let work = &work;
    let next = &AtomicU64::new(0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS.min(runs))
            .map(|_| {
                scope.spawn(move || {
                    let runs = iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed))
                        .take_while(|run| *run < runs);
                    runs.map(|run| Ok((run, work(run)?))).collect()
                })
            })
            .collect();
        let mut outcomes = Vec::new();
        for thread in threads {
            let some: AnyResult<Vec<(u64, T)>> = thread.join().map_err(|_| "a thread panicked")?;
            outcomes.extend(some?);
        }
        outcomes.sort_unstable_by_key(|(run, _)| *run);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    })
}

/// The time within which a share of all came; they are in order.
pub(crate) fn share(times: &[Duration], share: f64) -> Duration {
    let mut rank = 0;
    // In counts: casts from floating point are not exact.
    while ((rank + 1) as f64) < share * times.len() as f64 {
        rank += 1;
    }
    times.get(rank).copied().unwrap_or_default()
}

pub(crate) fn cycle<T>(all: &[T], number: u64) -> &T {
    let count = all.len() as u64;
    &all[usize::try_from(number % count).unwrap_or_default()]
}

pub(crate) fn name(index: usize) -> String {
    format!("n{index}")
}

pub(crate) fn index(name: &str) -> Option<usize> {
    name.strip_prefix('n')?.parse().ok()
}
