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
use std::process::ExitCode;
use std::time::{Duration, Instant};

use headcount::sim::Rule;

use lab::{
    AnyResult, Crash, Found, LIMIT, Lab, MINUTE, NODES, QUIET, THREADS, Tally, cycle, in_parallel, name,
};

mod lab;

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
        let tally = sum([Tally::of(&found, &sick), Tally::of(&lab.take_deaths(), &sick)]);
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
    let tally = sum(outcomes.iter().map(|(_, _, tally)| *tally));
    table.at_most("false deaths at members that are well", tally.wrong_at_healthy, 0);
    table.row(
        "false deaths in all, a run",
        format!("{:.2}", tally.wrong as f64 / runs as f64),
        "<= 0.2",
        tally.wrong * 5 <= usize::try_from(runs)?,
    );
    Ok(())
}

/// Members that can not hear, which no clock of theirs can tell them.
fn deaf(table: &mut Table, runs: u64) -> AnyResult<()> {
    let controls = runs.div_ceil(6);
    table.title(&format!(
        "deaf: 4 to 32 of {NODES} receive nothing for 2 to 32 s, again and again for 2 min, 10 % loss, {runs} runs"
    ));
    let tally = sum(in_parallel(runs, |run| spells_of_deafness(run, &[]))?);
    table.at_most("false deaths at members that are well", tally.wrong_at_healthy, 0);
    table.at_most("false deaths in all", tally.wrong, 0);
    // Every seventh case, which is one of each number, time and interval.
    let control = in_parallel(controls, |run| spells_of_deafness(run * 7, &[Rule::Proof, Rule::Silence]))?;
    let wrong = sum(control).wrong as f64 / controls as f64;
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
            let load = load(&lab, 10 * MINUTE);
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
        let tally = sum(in_parallel(runs, |run| {
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
        let tally = sum(in_parallel(runs, |run| {
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
    let mut times = in_parallel(runs, |run| Ok(Crash::new(run, 2, 1, &[])?.times))?.concat();
    times.sort_unstable();
    table.note("until the other one knows: median", seconds(share(&times, 0.5)));
    table.within("  worst", share(&times, 1.0), Duration::from_secs(5));
    Ok(())
}

/// Half of the cluster is gone at once.
fn mass(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!("mass: 64 of {NODES} crash at once, {runs} runs"));
    let crashes = in_parallel(runs, |run| Crash::new(run, NODES, NODES / 2, &[]))?;
    print_crashes(table, &crashes, Some(Duration::from_secs(8)));
    Ok(())
}

/// Few are left: they have to bury the rest without anybody's help.
fn survivors(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!("survivors: all but a few crash at once, {runs} runs each"));
    for (nodes, left) in [(NODES, 1), (NODES, 2), (NODES, 3), (NODES, 5), (16, 2), (3, 2), (3, 1)] {
        table.note(&format!("{left} of {nodes} left"), "");
        let crashes = in_parallel(runs, |run| Crash::new(run, nodes, nodes - left, &[]))?;
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

/// Two nodes that are there, and hardly.
fn grey(table: &mut Table, runs: u64) -> AnyResult<()> {
    table.title(&format!(
        "grey: 2 of {NODES} lose 80 % of what they receive, send, or both, 5 min, {runs} runs each"
    ));
    for (what, receives, sends) in [("receive", true, false), ("send", false, true), ("both", true, true)] {
        let tally = sum(in_parallel(runs, |run| {
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

fn sum(tallies: impl IntoIterator<Item = Tally>) -> Tally {
    tallies.into_iter().fold(Tally::default(), |sum, tally| Tally {
        wrong: sum.wrong + tally.wrong,
        wrong_at_healthy: sum.wrong_at_healthy + tally.wrong_at_healthy,
        of_sick: sum.of_sick + tally.of_sick,
    })
}

/// Runs on; answers how many datagrams a member sends in a second.
fn load(lab: &Lab, time: Duration) -> f64 {
    let before = lab.datagrams_sent();
    lab.cluster.run(time);
    (lab.datagrams_sent() - before) as f64 / lab.members.len() as f64 / time.as_secs_f64()
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
