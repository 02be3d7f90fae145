//! The failure detector, put to the test on the simulator: how fast it finds who is away, and whom it takes for
//! dead who is not, under the faults of the Lifeguard paper and others.
//!
//!     cargo bench --bench detector                      # all experiments
//!     cargo bench --bench detector -- threshold         # one of them
//!     cargo bench --bench detector -- threshold 18      # … with so many runs
//!
//! Each run is one simulated cluster of members with the LAN profile, 128 of them unless a row says otherwise,
//! made from a seed that is the number of the run: all figures but the wall times are the same on every machine.
//! The simulator's checks of the invariants are off, which the tests have on: it is faster so. Prints a table for
//! each experiment, with what is asked for beside what was measured; the exit code tells whether all of it was met.
//!
//! A death is false if the node runs and nothing ails it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use headcount::sim::{Cluster, Rule};
use headcount::{Config, Event, Member};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;

type AnyResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

const NODES: usize = 128;
/// Runs at the same time.
const THREADS: u64 = 2;
/// From the joins to the first fault.
const QUIET: Duration = Duration::from_secs(15);
const MINUTE: Duration = Duration::from_secs(60);

struct Experiment {
    name: &'static str,
    /// Unless told otherwise; where a table has several cases, of each.
    runs: u64,
    measure: fn(&mut Table, u64) -> AnyResult<()>,
}

const EXPERIMENTS: [Experiment; 9] = [
    Experiment { name: "threshold", runs: 198, measure: threshold },
    Experiment { name: "deaf", runs: 36, measure: deaf },
    Experiment { name: "loss", runs: 4, measure: loss },
    Experiment { name: "slow", runs: 4, measure: slow },
    Experiment { name: "starved", runs: 4, measure: starved },
    Experiment { name: "two", runs: 20, measure: two },
    Experiment { name: "mass", runs: 16, measure: mass },
    Experiment { name: "survivors", runs: 20, measure: survivors },
    Experiment { name: "grey", runs: 30, measure: grey },
];

fn main() -> ExitCode {
    // `cargo bench` passes "--bench".
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runs = arguments.iter().find_map(|argument| argument.parse().ok());
    let named = arguments.iter().find(|argument| argument.parse::<u64>().is_err());
    let chosen: Vec<&Experiment> =
        EXPERIMENTS.iter().filter(|experiment| named.is_none_or(|name| name == experiment.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = EXPERIMENTS.iter().map(|experiment| experiment.name).collect();
        eprintln!("error: the experiments are {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let mut table = Table::default();
    for experiment in chosen {
        let began = Instant::now();
        if let Err(error) = (experiment.measure)(&mut table, runs.unwrap_or(experiment.runs).max(1)) {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
        table.note(
            &format!("wall time on {THREADS} threads"),
            format!("{:.0} s", began.elapsed().as_secs_f64()),
        );
        println!();
    }
    if table.missed == 0 {
        return ExitCode::SUCCESS;
    }
    println!("{} missed.", table.missed);
    ExitCode::FAILURE
}

/// What is printed.
#[derive(Default)]
struct Table {
    missed: usize,
}

impl Table {
    fn title(&self, title: &str) {
        println!("{title}\n");
    }

    /// A figure without a bar.
    fn note(&self, what: &str, figure: impl ToString) {
        println!("{what:<72} {:>14}", figure.to_string());
    }

    /// A figure that must meet a bar.
    fn row(&mut self, what: &str, figure: impl ToString, bar: &str, met: bool) {
        let mark = if met { "" } else { "   MISSED" };
        println!("{what:<72} {:>14}   {bar}{mark}", figure.to_string());
        self.missed += usize::from(!met);
    }

    /// A count that must not be above a bar.
    fn at_most(&mut self, what: &str, count: usize, most: usize) {
        let bar = if most == 0 { "0".to_owned() } else { format!("<= {most}") };
        self.row(what, count, &bar, count <= most);
    }

    /// A time that must not be above a bar.
    fn within(&mut self, what: &str, time: Duration, limit: Duration) {
        self.row(what, seconds(time), &format!("<= {}", seconds(limit)), time <= limit);
    }
}

/// A member has given up a node.
#[derive(Debug, Clone, Copy)]
struct Death {
    at: Duration,
    observer: usize,
    node: usize,
}

/// A cluster in which all deaths are noted.
struct Lab {
    cluster: Cluster,
    members: Vec<Member>,
    deaths: Arc<Mutex<Vec<Death>>>,
    /// For what the experiment chooses.
    rng: ChaCha12Rng,
}

impl Lab {
    /// Members who know each other and have been left alone for a while.
    fn new(seed: u64, nodes: usize, without: &[Rule]) -> AnyResult<Self> {
        let cluster = Cluster::new(seed);
        cluster.check(false);
        for rule in without {
            cluster.without(*rule);
        }
        let deaths = Arc::new(Mutex::new(Vec::new()));
        let rng = ChaCha12Rng::seed_from_u64(seed);
        let mut lab = Self { cluster, members: Vec::new(), deaths, rng };
        for index in 0..nodes {
            lab.start(index)?;
        }
        if !lab.cluster.run_until(MINUTE, Cluster::is_converged) {
            return Err(format!("seed {seed}: the {nodes} members have not found each other").into());
        }
        lab.cluster.run(QUIET);
        Ok(lab)
    }

    fn start(&mut self, observer: usize) -> AnyResult<()> {
        let (cluster, deaths) = (self.cluster.clone(), Arc::clone(&self.deaths));
        let config = Config::lan().name(name(observer)).on_event(move |_, event| {
            if let Event::Died(node) = event
                && let Some(node) = index(node.name())
            {
                let death = Death { at: cluster.now(), observer, node };
                deaths.lock().unwrap_or_else(PoisonError::into_inner).push(death);
            }
        });
        let member = self.cluster.add(config)?;
        if observer > 0 {
            member.join(name(0))?;
        }
        self.members.push(member);
        Ok(())
    }

    /// Some of the nodes, drawn at random.
    fn draw(&mut self, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.members.len()).collect();
        all.shuffle(&mut self.rng);
        all.truncate(count);
        all
    }

    /// The deaths that were noted since the last call.
    fn take_deaths(&self) -> Vec<Death> {
        std::mem::take(&mut *self.deaths.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn datagrams_sent(&self) -> u64 {
        self.members.iter().map(|member| member.metrics().datagrams_sent).sum()
    }

    /// Runs on; answers how many datagrams a member sends in a second.
    fn load(&self, time: Duration) -> f64 {
        let before = self.datagrams_sent();
        self.cluster.run(time);
        (self.datagrams_sent() - before) as f64 / self.members.len() as f64 / time.as_secs_f64()
    }
}

/// Deaths of nodes that nothing ailed, and of others.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    /// False ones, at all members …
    wrong: usize,
    /// … and at those that nothing ailed.
    wrong_at_healthy: usize,
    /// Of nodes that something ailed.
    of_sick: usize,
}

impl Tally {
    fn of(deaths: &[Death], sick: &[usize]) -> Self {
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

    fn sum(tallies: impl IntoIterator<Item = Self>) -> Self {
        tallies.into_iter().fold(Self::default(), |sum, tally| Self {
            wrong: sum.wrong + tally.wrong,
            wrong_at_healthy: sum.wrong_at_healthy + tally.wrong_at_healthy,
            of_sick: sum.of_sick + tally.of_sick,
        })
    }
}

/// The threshold experiment of the Lifeguard paper: some nodes neither send nor receive for a while, in lock step.
fn threshold(table: &mut Table, runs: u64) -> AnyResult<()> {
    const BLOCKED: [usize; 9] = [1, 4, 8, 12, 16, 20, 24, 28, 32];
    const MILLIS: [u64; 2] = [16_400, 32_800];
    table.title(&format!(
        "threshold: 1 to 32 of {NODES} neither send nor receive for 16.4 or 32.8 s, {runs} runs"
    ));
    let outcomes = in_parallel(runs, |run| {
        let mut lab = Lab::new(run, NODES, &[])?;
        let sick = lab.draw(*cycle(&BLOCKED, run));
        let time = Duration::from_millis(*cycle(&MILLIS, run / BLOCKED.len() as u64));
        let began = lab.cluster.now();
        sick.iter().for_each(|node| lab.cluster.block(&name(*node)));
        lab.cluster.run(time);
        let found = lab.take_deaths();
        sick.iter().for_each(|node| lab.cluster.resume(&name(*node)));
        lab.cluster.run(QUIET);
        let tally = Tally::sum([Tally::of(&found, &sick), Tally::of(&lab.take_deaths(), &sick)]);
        let healthy = NODES - sick.len();
        let times = sick.iter().map(|node| Found::new(*node, began, &found, &sick)).collect::<Vec<_>>();
        Ok((times, healthy, tally))
    })?;

    let (mut first, mut all, mut unseen) = (Vec::new(), Vec::new(), 0);
    for (found, healthy) in
        outcomes.iter().flat_map(|(times, healthy, _)| times.iter().map(move |t| (t, healthy)))
    {
        first.extend(found.first);
        if found.observers == *healthy {
            all.extend(found.last);
        } else {
            unseen += healthy - found.observers;
        }
    }
    first.sort_unstable();
    all.sort_unstable();
    table.within("first detection: median", share(&first, 0.5), Duration::from_millis(3_800));
    table.within("  99 %", share(&first, 0.99), Duration::from_millis(7_500));
    table.note("  99.9 %", seconds(share(&first, 0.999)));
    table.within("known to all who are well: median", share(&all, 0.5), Duration::from_millis(4_200));
    table.within("  99 %", share(&all, 0.99), Duration::from_millis(8_000));
    table.note("  99.9 %", seconds(share(&all, 0.999)));
    table.at_most("pairs of one who is well and one who is away, who was not missed", unseen, 0);
    let tally = Tally::sum(outcomes.iter().map(|(_, _, tally)| *tally));
    table.at_most("false deaths at members that are well", tally.wrong_at_healthy, 0);
    table.row(
        "false deaths in all, a run",
        format!("{:.2}", tally.wrong as f64 / runs as f64),
        "<= 0.2",
        tally.wrong * 5 <= usize::try_from(runs)?,
    );
    Ok(())
}

/// How a node that is away was found to be.
struct Found {
    first: Option<Duration>,
    last: Option<Duration>,
    /// Those who are well and have found it.
    observers: usize,
}

impl Found {
    fn new(node: usize, began: Duration, deaths: &[Death], sick: &[usize]) -> Self {
        let mut times = vec![None; NODES];
        for death in deaths.iter().filter(|death| death.node == node && !sick.contains(&death.observer)) {
            times[death.observer].get_or_insert(death.at - began);
        }
        let times: Vec<Duration> = times.into_iter().flatten().collect();
        Self { first: times.iter().min().copied(), last: times.iter().max().copied(), observers: times.len() }
    }
}

/// Members that can not hear, which no clock of theirs can tell them.
fn deaf(table: &mut Table, runs: u64) -> AnyResult<()> {
    let controls = runs.div_ceil(6);
    table.title(&format!(
        "deaf: 4 to 32 of {NODES} receive nothing for 2 to 32 s, again and again for 2 min, 10 % loss, {runs} runs"
    ));
    let tally = Tally::sum(in_parallel(runs, |run| spells_of_deafness(run, &[]))?);
    table.at_most("false deaths at members that are well", tally.wrong_at_healthy, 0);
    table.at_most("false deaths in all", tally.wrong, 0);
    // Every seventh case, which is one of each number, time and interval.
    let control = in_parallel(controls, |run| spells_of_deafness(run * 7, &[Rule::Proof, Rule::Silence]))?;
    let wrong = Tally::sum(control).wrong as f64 / controls as f64;
    table.row(
        &format!("false deaths in all, a run, without proof and silence, {controls} runs"),
        format!("{wrong:.0}"),
        "> 50: the experiment can fail",
        wrong > 50.0,
    );
    Ok(())
}

fn spells_of_deafness(run: u64, without: &[Rule]) -> AnyResult<Tally> {
    const DEAF: [usize; 3] = [4, 16, 32];
    const SECONDS: [u64; 3] = [2, 8, 32];
    const INTERVALS: [u64; 2] = [64, 1_024];
    let mut lab = Lab::new(run, NODES, without)?;
    let sick = lab.draw(*cycle(&DEAF, run));
    let time = Duration::from_secs(*cycle(&SECONDS, run / 3));
    let interval = Duration::from_millis(*cycle(&INTERVALS, run / 9));
    lab.cluster.loss(0.1);
    let end = lab.cluster.now() + 2 * MINUTE;
    while lab.cluster.now() < end {
        sick.iter().for_each(|node| lab.cluster.deafen(&name(*node)));
        lab.cluster.run(time);
        sick.iter().for_each(|node| lab.cluster.resume(&name(*node)));
        lab.cluster.run(interval);
    }
    lab.cluster.run(QUIET);
    Ok(Tally::of(&lab.take_deaths(), &sick))
}

/// A network that loses datagrams.
fn loss(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!("loss: 10 min, {runs} runs each"));
    for (percent, most) in [(0, 0), (5, 0), (10, 0), (25, 2)] {
        let outcomes = in_parallel(runs, |run| {
            let lab = Lab::new(run, NODES, &[])?;
            lab.cluster.loss(f64::from(percent) / 100.0);
            let load = lab.load(10 * MINUTE);
            Ok((lab.take_deaths().len(), load))
        })?;
        let worst = outcomes.iter().map(|(deaths, _)| *deaths).max().unwrap_or_default();
        table.at_most(
            &format!("{percent:>2} % of the datagrams lost: deaths, in the worst run"),
            worst,
            most,
        );
        let load = outcomes.iter().map(|(_, load)| load).sum::<f64>() / runs as f64;
        table.note("     datagrams that a member sends in a second", format!("{load:.2}"));
    }
    Ok(())
}

/// Members that take their time for each datagram.
fn slow(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!("slow: 32 of {NODES} take a time for each datagram, 3 min, {runs} runs each"));
    let mut highest = 0;
    for millis in [50, 75, 90, 100] {
        let tally = Tally::sum(in_parallel(runs, |run| {
            let mut lab = Lab::new(run, NODES, &[])?;
            let sick = lab.draw(32);
            sick.iter().for_each(|node| lab.cluster.slow(&name(*node), Duration::from_millis(millis)));
            lab.cluster.run(3 * MINUTE);
            Ok(Tally::of(&lab.take_deaths(), &sick))
        })?);
        let what = format!("{millis:>3} ms: deaths of anybody");
        let deaths = tally.wrong + tally.of_sick;
        if millis == 50 {
            table.at_most(&what, deaths, 0);
        } else {
            table.note(&what, deaths);
        }
        if deaths == 0 {
            highest = millis;
        }
    }
    table.note("highest of these without deaths", format!("{highest} ms"));
    Ok(())
}

/// Members that wait for their processor.
fn starved(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!(
        "starved: 16 of {NODES} wait for the processor whenever there is something to do, 3 min, {runs} runs each"
    ));
    for millis in [50, 200, 800] {
        let tally = Tally::sum(in_parallel(runs, |run| {
            let mut lab = Lab::new(run, NODES, &[])?;
            let sick = lab.draw(16);
            sick.iter().for_each(|node| lab.cluster.starve(&name(*node), Duration::from_millis(millis)));
            lab.cluster.run(3 * MINUTE);
            Ok(Tally::of(&lab.take_deaths(), &sick))
        })?);
        table.at_most(&format!("{millis:>3} ms on average: deaths of nodes that are well"), tally.wrong, 0);
        table.note("     deaths of starved nodes, a run", tally.of_sick as f64 / runs as f64);
    }
    Ok(())
}

/// The smallest cluster there is: no relay, no witness.
fn two(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!("two: one of two crashes, {runs} runs"));
    let mut times = in_parallel(runs, |run| Ok(Crash::new(run, 2, 1)?.times))?.concat();
    times.sort_unstable();
    table.note("until the other one knows: median", seconds(share(&times, 0.5)));
    table.within("  worst", share(&times, 1.0), Duration::from_secs(5));
    Ok(())
}

/// Half of the cluster is gone at once.
fn mass(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!("mass: 64 of {NODES} crash at once, {runs} runs"));
    let crashes = in_parallel(runs, |run| Crash::new(run, NODES, NODES / 2))?;
    print_crashes(table, &crashes, Some(Duration::from_secs(8)));
    Ok(())
}

/// Few are left: they have to bury the rest without anybody's help.
fn survivors(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!("survivors: all but a few crash at once, {runs} runs each"));
    for (nodes, left) in [(NODES, 1), (NODES, 2), (NODES, 3), (NODES, 5), (16, 2), (3, 2), (3, 1)] {
        table.note(&format!("{left} of {nodes} left"), "");
        let crashes = in_parallel(runs, |run| Crash::new(run, nodes, nodes - left))?;
        print_crashes(table, &crashes, None);
    }
    Ok(())
}

fn print_crashes(table: &mut Table, crashes: &[Crash], median: Option<Duration>) {
    let mut times: Vec<Duration> = crashes.iter().flat_map(|crash| crash.times.iter().copied()).collect();
    times.sort_unstable();
    let half = share(&times, 0.5);
    match median {
        Some(limit) => {
            table.within("  until a survivor has given up a dead node: median of all pairs", half, limit)
        }
        None => table.note("  until a survivor has given up a dead node: median of all pairs", seconds(half)),
    }
    table.note("    99 %", seconds(share(&times, 0.99)));
    let last = crashes.iter().map(|crash| crash.last).max().unwrap_or_default();
    table.within("  until every survivor sees the survivors only, in the worst run", last, LIMIT);
    let unsettled = crashes.iter().filter(|crash| !crash.settled).count();
    table.at_most("  runs in which that took longer, or did not last", unsettled, 0);
}

/// Survivors of a crash must know by then.
const LIMIT: Duration = Duration::from_secs(240);

/// What survivors see of a crash of many.
struct Crash {
    /// For each pair of a survivor and a dead node, until the one has given up the other for the first time.
    times: Vec<Duration>,
    /// Until all survivors see exactly the survivors.
    last: Duration,
    /// Whether they do, and still do a little later.
    settled: bool,
}

impl Crash {
    fn new(seed: u64, nodes: usize, dead: usize) -> AnyResult<Self> {
        let mut lab = Lab::new(seed, nodes, &[])?;
        // Not all at the same point of their rounds.
        lab.cluster.run(Duration::from_millis(seed * 37 % 1_000));
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
        Ok(Self { times, last, settled: in_time && settled(&lab.cluster) })
    }
}

/// Two nodes that are there, and hardly.
fn grey(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!(
        "grey: 2 of {NODES} lose 80 % of what they receive, send, or both, 5 min, {runs} runs each"
    ));
    for (what, receives, sends) in [("receive", true, false), ("send", false, true), ("both", true, true)] {
        let tally = Tally::sum(in_parallel(runs, |run| {
            let mut lab = Lab::new(run, NODES, &[])?;
            let sick = lab.draw(2);
            for node in &sick {
                for other in (0..NODES).filter(|other| other != node) {
                    let (node, other) = (name(*node), name(other));
                    if receives {
                        lab.cluster.loss_between(&other, &node, 0.8);
                    }
                    if sends {
                        lab.cluster.loss_between(&node, &other, 0.8);
                    }
                }
            }
            lab.cluster.run(5 * MINUTE);
            Ok(Tally::of(&lab.take_deaths(), &sick))
        })?);
        let at_the_two = tally.wrong - tally.wrong_at_healthy;
        table.at_most(
            &format!("{what}: deaths of nodes that are well, at members that are well"),
            tally.wrong_at_healthy,
            0,
        );
        table.at_most("  at the two themselves", at_the_two, 0);
        table.note("  deaths of the two, a run", tally.of_sick as f64 / runs as f64);
    }
    Ok(())
}

/// Does something for each run, on a few threads; the outcomes in the order of the runs.
fn in_parallel<T: Send>(runs: u64, work: impl Fn(u64) -> AnyResult<T> + Sync) -> AnyResult<Vec<T>> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS.min(runs))
            .map(|first| {
                scope.spawn(move || {
                    let every = usize::try_from(THREADS)?;
                    (first..runs).step_by(every).map(|run| Ok((run, work(run)?))).collect()
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

fn cycle<T>(all: &[T], number: u64) -> &T {
    let count = all.len() as u64;
    &all[usize::try_from(number % count).unwrap_or_default()]
}

fn name(index: usize) -> String {
    format!("n{index}")
}

fn index(name: &str) -> Option<usize> {
    name.strip_prefix('n')?.parse().ok()
}

/// The time within which a share of all came; they are in order.
fn share(times: &[Duration], share: f64) -> Duration {
    let mut rank = 0;
    // In counts: casts from floating point are not exact.
    while ((rank + 1) as f64) < share * times.len() as f64 {
        rank += 1;
    }
    times.get(rank).copied().unwrap_or_default()
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
