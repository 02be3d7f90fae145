//! The failure detector under other faults than those of the Lifeguard paper (which are in `lifeguard`): members that
//! are slow or starved, and crashes of one, of half, of nearly all, and of many of 64 to 2,000.
//!
//!     cargo bench --bench detector                      # all experiments
//!     cargo bench --bench detector -- slow              # one of them
//!     cargo bench --bench detector -- slow 18           # … with so many runs
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench detector -- together
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

#[cfg(headcount_bench)]
use headcount::Member;

#[cfg(headcount_bench)]
use lab::QUIET;
use lab::{AnyResult, Crash, LIMIT, Lab, MINUTE, NODES, Tally, in_parallel, name, share};
#[cfg(headcount_bench)]
use report::number;
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
        #[cfg(headcount_bench)]
        Experiment { name: "together", runs: 1, measure: together },
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

/// What survivors see of many nodes that crash together, and what they send until all know.
#[cfg(headcount_bench)]
struct Together {
    /// Until every survivor sees survivors only.
    known: Duration,
    /// Datagrams sent by a survivor …
    datagrams: f64,
    /// … in the second with most of them …
    busiest: f64,
    /// … and the most that one survivor sends in a second.
    most: u64,
    /// Deaths of survivors, reported at all survivors.
    wrong: usize,
}

#[cfg(headcount_bench)]
impl Together {
    fn of(mut lab: Lab, dead: usize) -> Self {
        let nodes = lab.members.len();
        let dead = lab.draw(dead);
        let members: Vec<&Member> =
            (0..nodes).filter(|node| !dead.contains(node)).map(|node| &lab.members[node]).collect();
        let (began, left) = (lab.cluster.now(), members.len());
        dead.iter().for_each(|node| lab.cluster.crash(&name(*node)));
        let sent = || -> Vec<u64> { members.iter().map(|member| member.metrics().datagrams_sent).collect() };
        let before = sent();
        let (mut last, mut known) = (before.clone(), None);
        let (mut busiest, mut most) = (0, 0);
        // To the end of the second in which all know.
        while known.is_none() && lab.cluster.now() < began + LIMIT {
            for _ in 0..20 {
                lab.cluster.run(Duration::from_millis(50));
                if known.is_none() && members.iter().all(|member| member.metrics().nodes <= left as u64) {
                    known = Some(lab.cluster.now() - began);
                }
            }
            let now = sent();
            let each = || now.iter().zip(&last).map(|(now, last)| now - last);
            (busiest, most) = (each().sum::<u64>().max(busiest), each().max().unwrap_or_default().max(most));
            last = now;
        }
        let datagrams = last.iter().sum::<u64>() - before.iter().sum::<u64>();
        lab.cluster.run(QUIET);
        Self {
            known: known.unwrap_or(LIMIT),
            datagrams: datagrams as f64 / left as f64,
            busiest: busiest as f64 / left as f64,
            most,
            wrong: Tally::of(&lab.take_deaths(), &dead).wrong_at_healthy,
        }
    }
}

/// A rack, a room or a zone is gone.
#[cfg(headcount_bench)]
fn together(report: &mut Report, runs: u64) -> AnyResult<()> {
    const PERCENT: [usize; 3] = [25, 33, 50];
    report.title(&format!("together: a part of the nodes crashes at once, {runs} runs each"));
    let heads = ["all know", "datagrams", "busiest second", "of one", "false"];
    report.line("the worst run; datagrams of a survivor until all know", heads.map(str::to_owned));
    let mut half_of_most = None;
    for (nodes, loss) in [(64, 0), (64, 5), (500, 0), (500, 5), (2_000, 0), (2_000, 5)] {
        for percent in PERCENT {
            let outcomes = in_parallel(runs, |run| {
                let lab = Lab::acquainted(run, nodes)?;
                lab.cluster.loss(f64::from(loss) / 100.0);
                Ok(Together::of(lab, nodes * percent / 100))
            })?;
            let worst = |of: fn(&Together) -> f64| outcomes.iter().map(of).fold(0.0, f64::max);
            let worst = [
                worst(|outcome| outcome.known.as_secs_f64()),
                worst(|outcome| outcome.datagrams),
                worst(|outcome| outcome.busiest),
                worst(|outcome| outcome.most as f64),
                worst(|outcome| outcome.wrong as f64),
            ];
            report.line(&format!("{percent} % of {nodes}, {loss} % loss"), worst.map(number));
            if (nodes, percent, loss) == (2_000, 50, 0) {
                half_of_most = Some(worst);
            }
        }
    }
    println!();
    if let Some([known, datagrams, busiest, _, wrong]) = half_of_most {
        report.at_most("half of 2,000: seconds until all know", known, 12.0);
        report.at_most("  datagrams a survivor", datagrams, 632.0);
        report.at_most("  in the busiest second", busiest, 100.0);
        report.at_most("  deaths of survivors", wrong, 0.0);
    }
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
