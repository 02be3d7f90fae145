//! The failure detector under other faults than those of the Lifeguard paper (which are in `lifeguard`): members that
//! are slow or starved, and crashes of one, of half, of nearly all.
//!
//!     cargo bench --bench detector                      # all experiments
//!     cargo bench --bench detector -- slow              # one of them
//!     cargo bench --bench detector -- slow 18           # … with so many runs
//!
//! Each run is one simulated cluster of members with the LAN profile, 128 of them unless a row says otherwise,
//! made from a seed that is the number of the run: all figures but the wall times are the same on every machine.
//! The simulator's checks of the invariants are off, which the tests have on: it is faster so. Prints a table for
//! each experiment, with what is asked for beside what was measured; the exit code tells whether all of it was met.
//!
//! A death is false if the node runs and nothing ails it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

use std::process::ExitCode;
use std::time::Duration;

use lab::{AnyResult, Crash, LIMIT, Lab, MINUTE, NODES, Tally, in_parallel, name, share};
use report::{Experiment, Report, seconds};

#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod lab;
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod report;

fn main() -> ExitCode {
    report::run(&[
        Experiment { name: "slow", runs: 4, measure: slow },
        Experiment { name: "starved", runs: 4, measure: starved },
        Experiment { name: "two", runs: 20, measure: two },
        Experiment { name: "mass", runs: 16, measure: mass },
        Experiment { name: "survivors", runs: 20, measure: survivors },
    ])
}

/// Members that take their time for each datagram.
fn slow(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!("slow: 32 of {NODES} take a time for each datagram, 3 min, {runs} runs each"));
    let mut highest = 0;
    for millis in [50, 75, 90, 100] {
        let tally = Tally::sum(in_parallel(runs, |run| {
            let mut lab = Lab::new(run, NODES)?;
            let sick = lab.draw(32);
            sick.iter().for_each(|node| lab.cluster.slow(&name(*node), Duration::from_millis(millis)));
            lab.cluster.run(3 * MINUTE);
            Ok(Tally::of(&lab.take_deaths(), &sick))
        })?);
        let what = format!("{millis:>3} ms: deaths of anybody");
        let deaths = tally.wrong + tally.of_sick;
        if millis == 50 {
            report.at_most(&what, deaths as f64, 0.0);
        } else {
            report.note(&what, deaths);
        }
        if deaths == 0 {
            highest = millis;
        }
    }
    report.note("highest of these without deaths", format!("{highest} ms"));
    Ok(())
}

/// Members that wait for their processor.
fn starved(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!(
        "starved: 16 of {NODES} wait for the processor whenever there is something to do, 3 min, {runs} runs each"
    ));
    for millis in [50, 200, 800] {
        let tally = Tally::sum(in_parallel(runs, |run| {
            let mut lab = Lab::new(run, NODES)?;
            let sick = lab.draw(16);
            sick.iter().for_each(|node| lab.cluster.starve(&name(*node), Duration::from_millis(millis)));
            lab.cluster.run(3 * MINUTE);
            Ok(Tally::of(&lab.take_deaths(), &sick))
        })?);
        report.at_most(
            &format!("{millis:>3} ms on average: deaths of nodes that are well"),
            tally.wrong as f64,
            0.0,
        );
        report.note("     deaths of starved nodes, a run", tally.of_sick as f64 / runs as f64);
    }
    Ok(())
}

/// The smallest cluster there is: no relay, no witness.
fn two(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!("two: one of two crashes, {runs} runs"));
    let mut times = in_parallel(runs, |run| Ok(Crash::of(Lab::new(run, 2)?, 1).times))?.concat();
    times.sort_unstable();
    report.note("until the other one knows: median", seconds(share(&times, 0.5)));
    report.within("  worst", share(&times, 1.0), Duration::from_secs(5));
    Ok(())
}

/// Half of the cluster is gone at once.
fn mass(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!("mass: 64 of {NODES} crash at once, {runs} runs"));
    let crashes = in_parallel(runs, |run| Ok(Crash::of(Lab::new(run, NODES)?, NODES / 2)))?;
    print_crashes(report, &crashes, Some(Duration::from_secs(8)));
    Ok(())
}

/// Few are left: they have to bury the rest without anybody's help.
fn survivors(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!("survivors: all but a few crash at once, {runs} runs each"));
    for (nodes, left) in [(NODES, 1), (NODES, 2), (NODES, 3), (NODES, 5), (16, 2), (3, 2), (3, 1)] {
        report.note(&format!("{left} of {nodes} left"), "");
        let crashes = in_parallel(runs, |run| Ok(Crash::of(Lab::new(run, nodes)?, nodes - left)))?;
        print_crashes(report, &crashes, None);
    }
    Ok(())
}

fn print_crashes(report: &mut Report, crashes: &[Crash], median: Option<Duration>) {
    let mut times: Vec<Duration> = crashes.iter().flat_map(|crash| crash.times.iter().copied()).collect();
    times.sort_unstable();
    let half = share(&times, 0.5);
    match median {
        Some(limit) => {
            report.within("  until a survivor has given up a dead node: median of all pairs", half, limit)
        }
        None => {
            report.note("  until a survivor has given up a dead node: median of all pairs", seconds(half))
        }
    }
    report.note("    99 %", seconds(share(&times, 0.99)));
    let last = crashes.iter().map(|crash| crash.last).max().unwrap_or_default();
    report.within("  until every survivor sees the survivors only, in the worst run", last, LIMIT);
    let unsettled = crashes.iter().filter(|crash| !crash.settled).count();
    report.at_most("  runs in which that took longer, or did not last", unsettled as f64, 0.0);
}
