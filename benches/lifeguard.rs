//! The experiments of the Lifeguard paper (Dadgar, Phillips and Currey, arXiv 1707.00788v2, section V), on the
//! simulator: how fast those are found who are away for a while, and whom they, or others, take for dead when they are
//! not.
//!
//!     cargo bench --bench lifeguard                     # all of it: half an hour on two threads
//!     cargo bench --bench lifeguard -- threshold        # one of: threshold, grid
//!     cargo bench --bench lifeguard -- grid 60          # … with so many runs
//!     cargo bench --bench lifeguard -- grid plots/      # … with the plots in this directory
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench lifeguard -- control
//!
//! | experiment | what it is |
//! |---|---|
//! | `threshold` | C of 128 are away once, for D; how long until a member knows (first detection), and until all do who are well (full dissemination) |
//! | `grid` | C of 128 are away for D, in lock step, then well for I, again and again for two minutes; deaths of nodes that were never away, at all members (FP) and at members that were never away (FP-) |
//! | `control` | `grid` without three of the rules: that the experiment can fail; only with `--cfg headcount_bench` |
//!
//! The paper has one kind of anomaly: sending and receiving block, while timers run. Here are more: everything stops,
//! so that timers are late; and only receiving stops, which no clock can tell, alone and with 10 % loss. The paper ran
//! each cell ten times on one host with real time; here a cell is run three times, from seeds, and the grid is coarser:
//! C of 4, 16, 32, D of 0.5 to 33 s, I of 4 ms to 16 s.
//!
//! The tables begin with what the paper has measured of SWIM and of Lifeguard.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

use std::process::ExitCode;
use std::time::Duration;

use headcount::sim::Cluster;
#[cfg(headcount_bench)]
use headcount::sim::Rule;

use lab::{AnyResult, Found, Lab, Load, MINUTE, NODES, QUIET, Tally, cycle, in_parallel, name, share};
use report::{Chart, Experiment, Report, number, seconds};

#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod lab;
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod report;

/// The rules by which a member doubts itself.
#[cfg(headcount_bench)]
const DOUBTS: &[Rule] = &[Rule::Proof, Rule::Silence, Rule::Lag];

/// How members are away.
struct Kind {
    name: &'static str,
    about: &'static str,
    ail: fn(&Cluster, &str),
    /// What everybody loses besides.
    loss: f64,
}

const KINDS: [Kind; 4] = [
    Kind { name: "block", about: "sending and receiving block", ail: Cluster::block, loss: 0.0 },
    Kind { name: "pause", about: "everything stops", ail: Cluster::pause, loss: 0.0 },
    Kind { name: "deaf", about: "only receiving stops", ail: Cluster::deafen, loss: 0.0 },
    Kind { name: "deaf, loss", about: "the same, and 10 % of all is lost", ail: Cluster::deafen, loss: 0.1 },
];

/// How many are away in a run of the grid …
const AWAY: [usize; 3] = [4, 16, 32];
/// … for how long (ms), in lock step …
const SPELLS: [u64; 5] = [512, 2_048, 8_192, 16_384, 32_768];
/// … and how long they are well in between (ms).
const INTERVALS: [u64; 4] = [4, 64, 1_024, 16_384];
/// What the paper has for these numbers of nodes in 480 runs each: figure 2, read from its vectors.
const PAPER_RUNS: f64 = 480.0;
const PAPER_SWIM: [u32; 3] = [5_973, 34_502, 81_669];
const PAPER_LIFEGUARD: [u32; 3] = [143, 573, 1_197];

fn main() -> ExitCode {
    report::run(&[
        Experiment { name: "threshold", runs: 198, measure: threshold },
        Experiment { name: "grid", runs: 180, measure: grid },
        #[cfg(headcount_bench)]
        Experiment { name: "control", runs: 30, measure: control },
    ])
}

// ---- How long it takes ----

/// What is asked of the detection of one who is away.
struct Times {
    first: Vec<Duration>,
    all: Vec<Duration>,
    /// Pairs of one who is well and one who is away that were not found.
    unseen: usize,
    tally: Tally,
}

fn threshold(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!(
        "threshold: 1 to 32 of {NODES} neither send nor receive for 16.4 or 32.8 s, {runs} runs"
    ));
    let ours = measure_times(runs)?;

    report.line("", ["median", "99 %", "99.9 %", "all: median", "99 %", "99.9 %"].map(str::to_owned));
    let paper = |what, cells: [&str; 6]| report.line(what, cells.map(str::to_owned));
    paper("SWIM, α = 5 (paper)", ["12.44 s", "16.96 s", "19.40 s", "12.90 s", "16.93 s", "20.17 s"]);
    paper(
        "Lifeguard, α = 5, β = 6 (paper)",
        ["12.45 s", "17.90 s", "21.20 s", "12.91 s", "18.05 s", "21.68 s"],
    );
    paper(
        "Lifeguard, α = 2, β = 6 (paper)",
        ["6.76 s", "12.81 s", "15.59 s", "7.32 s", "13.23 s", "15.86 s"],
    );
    let cells = [&ours.first, &ours.all]
        .into_iter()
        .flat_map(|times| [0.5, 0.99, 0.999].map(|part| seconds(share(times, part))));
    report.line("headcount", cells);
    println!();
    report.within("first detection: median", share(&ours.first, 0.5), Duration::from_millis(3_800));
    report.within("  99 %", share(&ours.first, 0.99), Duration::from_millis(7_500));
    report.within("  99.9 %", share(&ours.first, 0.999), Duration::from_millis(9_500));
    report.within("known to all who are well: median", share(&ours.all, 0.5), Duration::from_millis(4_200));
    report.within("  99 %", share(&ours.all, 0.99), Duration::from_millis(8_000));
    report.at_most(
        "pairs of one who is well and one who is away, who was not missed",
        ours.unseen as f64,
        0.0,
    );
    report.at_most("FP-: false deaths at members that are well", ours.tally.wrong_at_healthy as f64, 0.0);
    report.at_most("FP: false deaths in all, a run", ours.tally.wrong as f64 / runs as f64, 0.2);
    Ok(())
}

fn measure_times(runs: u64) -> AnyResult<Times> {
    const BLOCKED: [usize; 9] = [1, 4, 8, 12, 16, 20, 24, 28, 32];
    const MILLIS: [u64; 2] = [16_400, 32_800];
    let outcomes = in_parallel(runs, |run| {
        let mut lab = Lab::new(run, NODES)?;
        let sick = lab.draw(*cycle(&BLOCKED, run));
        let spell = Duration::from_millis(*cycle(&MILLIS, run / BLOCKED.len() as u64));
        let began = lab.cluster.now();
        sick.iter().for_each(|node| lab.cluster.block(&name(*node)));
        lab.cluster.run(spell);
        let found = lab.take_deaths();
        sick.iter().for_each(|node| lab.cluster.resume(&name(*node)));
        lab.cluster.run(QUIET);
        let tally = Tally::sum([Tally::of(&found, &sick), Tally::of(&lab.take_deaths(), &sick)]);
        let times: Vec<Found> = sick.iter().map(|node| Found::new(*node, began, &found, &sick)).collect();
        Ok((times, NODES - sick.len(), tally))
    })?;
    let mut times = Times { first: Vec::new(), all: Vec::new(), unseen: 0, tally: Tally::default() };
    for (found, healthy, tally) in outcomes {
        times.tally = Tally::sum([times.tally, tally]);
        for one in found {
            times.first.extend(one.first);
            if one.observers == healthy {
                times.all.extend(one.last);
            }
            times.unseen += healthy - one.observers;
        }
    }
    times.first.sort_unstable();
    times.all.sort_unstable();
    Ok(times)
}

// ---- Who is taken for dead ----

/// What happens in the runs of a cell, or of many.
struct Outcome {
    tallies: Vec<Tally>,
    loads: Vec<Load>,
}

impl Outcome {
    fn of(lab: fn(u64) -> AnyResult<Lab>, kind: &Kind, runs: u64) -> AnyResult<Self> {
        let both = in_parallel(runs, |run| trial(lab(run)?, kind, run))?;
        let (tallies, loads) = both.into_iter().unzip();
        Ok(Self { tallies, loads })
    }

    fn false_deaths(&self) -> f64 {
        Tally::sum(self.tallies.iter().copied()).wrong as f64
    }

    fn false_deaths_at_healthy(&self) -> f64 {
        Tally::sum(self.tallies.iter().copied()).wrong_at_healthy as f64
    }

    fn a_run(&self) -> f64 {
        self.false_deaths() / self.tallies.len() as f64
    }

    /// False deaths a run with so many away: the runs take turns.
    fn by_number_away(&self) -> [f64; AWAY.len()] {
        std::array::from_fn(|index| {
            let some = self.tallies.iter().skip(index).step_by(AWAY.len());
            let count = some.clone().count().max(1);
            Tally::sum(some.copied()).wrong as f64 / count as f64
        })
    }

    fn print(&self, report: &Report, what: &str) {
        let runs = self.tallies.len() as f64;
        let load = Load::mean(&self.loads);
        let figures = [
            self.a_run(),
            self.false_deaths_at_healthy() / runs,
            Tally::sum(self.tallies.iter().copied()).of_sick as f64 / runs,
            load.datagrams,
            load.bytes,
        ];
        report.line(what, [number(runs)].into_iter().chain(figures.map(number)));
    }
}

/// One run of the grid: members are away by turns, until two minutes are over.
fn trial(mut lab: Lab, kind: &Kind, run: u64) -> AnyResult<(Tally, Load)> {
    let sick = lab.draw(*cycle(&AWAY, run));
    let cell = run / AWAY.len() as u64;
    let spell = Duration::from_millis(*cycle(&SPELLS, cell));
    // Five and four have no common factor: twenty runs are all pairs, and fewer are a fair choice of them.
    let interval = Duration::from_millis(*cycle(&INTERVALS, cell));
    lab.cluster.loss(kind.loss);
    let (began, sent) = (lab.cluster.now(), lab.sent());
    while lab.cluster.now() < began + 2 * MINUTE {
        sick.iter().for_each(|node| (kind.ail)(&lab.cluster, &name(*node)));
        lab.cluster.run(spell);
        sick.iter().for_each(|node| lab.cluster.resume(&name(*node)));
        lab.cluster.run(interval);
    }
    let load = lab.load_since(sent, began);
    lab.cluster.run(QUIET);
    Ok((Tally::of(&lab.take_deaths(), &sick), load))
}

fn print_heads(report: &Report) {
    let heads = ["runs", "FP", "FP-", "of the away", "datagrams/s", "bytes/s"];
    report.line("means of a run, loads a member", heads.map(str::to_owned));
}

fn grid(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!(
        "grid: {AWAY:?} of {NODES} are away for {SPELLS:?} ms, then well for {INTERVALS:?} ms"
    ));
    print_heads(report);
    let paper = |what, cells: [&str; 6]| report.line(what, cells.map(str::to_owned));
    paper("SWIM (paper)", ["4320", "78.5", "0.31", "", "<= 6.6", "<= 2400"]);
    paper("Lifeguard (paper)", ["4320", "1.20", "0.0058", "", "<= 7.3", "<= 2400"]);
    let mut lines = vec![
        points("SWIM (paper)", by_paper(PAPER_SWIM)),
        points("Lifeguard (paper)", by_paper(PAPER_LIFEGUARD)),
    ];
    let mut ours = Vec::new();
    for kind in &KINDS {
        let outcome = Outcome::of(|run| Lab::new(run, NODES), kind, runs)?;
        outcome.print(report, &format!("headcount, {}", kind.name));
        lines.push(points(&format!("headcount, {}", kind.name), outcome.by_number_away()));
        ours.push((kind, outcome));
    }
    println!();
    for (kind, outcome) in &ours {
        report.note(kind.name, kind.about);
        let most = if kind.name == "block" { 0.2 } else { 1.0 };
        report.at_most("  FP: false deaths a run", outcome.a_run(), most);
        let at_healthy = outcome.false_deaths_at_healthy();
        if kind.name == "block" {
            report.at_most("  FP-: at members that are well, in all", at_healthy, 1.0);
        } else {
            report.note("  FP-: at members that are well, in all", number(at_healthy));
        }
        let load = Load::mean(&outcome.loads);
        if kind.loss == 0.0 {
            report.at_most("  datagrams a member and second", load.datagrams, 18.0);
            report.at_most("  bytes a member and second", load.bytes, 1_400.0);
            report.note("  with those of IP and UDP", number(load.bytes + 28.0 * load.datagrams));
        }
    }
    report.draw(
        "lifeguard-grid",
        &Chart {
            title: "false deaths a run of two minutes (none: no line)",
            x: "nodes away, of 128",
            y: "false deaths",
            lines: lines
                .into_iter()
                .filter(|(_, points)| points.iter().any(|(_, deaths)| *deaths > 0.0))
                .collect(),
        },
    )
}

fn by_paper(all: [u32; AWAY.len()]) -> [f64; AWAY.len()] {
    all.map(|deaths| f64::from(deaths) / PAPER_RUNS)
}

fn points(what: &str, deaths: [f64; AWAY.len()]) -> report::Line {
    (what.to_owned(), AWAY.iter().map(|away| *away as f64).zip(deaths).collect())
}

#[cfg(headcount_bench)]
fn control(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title("control: the grid, without proof, silence and lag");
    print_heads(report);
    let mut worst: f64 = 0.0;
    for kind in &KINDS {
        let outcome = Outcome::of(|run| Lab::without(DOUBTS, run, NODES), kind, runs)?;
        outcome.print(report, &format!("headcount without them, {}", kind.name));
        worst = worst.max(outcome.a_run());
    }
    println!();
    report.row(
        "false deaths a run, where they matter most",
        number(worst),
        "> 50: it can fail",
        worst > 50.0,
    );
    Ok(())
}
