//! The experiments, and the tables that they make.

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use headcount::Metrics;
use headcount::sim::{Cluster, Rule};

use crate::lab::{AnyResult, Crash, Found, Lab, MINUTE, NODES, QUIET, cycle, in_parallel, name};
use crate::trial::{Samples, Trial};

/// The runs are divided into so many parts, to see how much the figures vary.
const BATCHES: usize = 10;

struct Experiment {
    name: &'static str,
    about: &'static str,
    runs: u64,
    columns: &'static [(&'static str, Summary)],
    measure: fn(u64, &[Rule]) -> AnyResult<Samples>,
}

/// What becomes of the samples of many runs.
#[derive(Clone, Copy)]
enum Summary {
    Mean,
    Share(usize),
}

impl Summary {
    fn of(self, runs: &[&[f64]]) -> f64 {
        let mut all = runs.concat();
        if all.is_empty() {
            return 0.0;
        }
        match self {
            Self::Mean => all.iter().sum::<f64>() / all.len() as f64,
            Self::Share(percent) => {
                all.sort_unstable_by(f64::total_cmp);
                all[(all.len() * percent / 100).min(all.len() - 1)]
            }
        }
    }
}

use Summary::{Mean, Share};

const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "threshold",
        about: "1 to 32 of 128 neither send nor receive for 16.4 or 32.8 s",
        runs: 40,
        columns: &[
            ("first 50%", Share(50)),
            ("first 99%", Share(99)),
            ("all 50%", Share(50)),
            ("all 99%", Share(99)),
            ("missed", Mean),
            ("false", Mean),
            ("datagrams", Mean),
        ],
        measure: threshold,
    },
    Experiment {
        name: "deaf",
        about: "4 to 32 of 128 receive nothing for 2 to 32 s, again and again, 10 % loss",
        runs: 12,
        columns: &[("false", Mean), ("of the sick", Mean), ("datagrams", Mean)],
        measure: deaf,
    },
    Experiment {
        name: "starved",
        about: "16 of 128 wait for the processor, 50 ms at first and 800 ms at last",
        runs: 12,
        columns: &[("false", Mean), ("of the sick", Mean), ("datagrams", Mean)],
        measure: starved,
    },
    Experiment {
        name: "paused",
        about: "16 of 128 are stopped for 2 to 30 s, again and again",
        runs: 12,
        columns: &[("false", Mean), ("of the sick", Mean), ("datagrams", Mean)],
        measure: paused,
    },
    Experiment {
        name: "slow",
        about: "32 of 128 take 50, 75 or 90 ms for each datagram",
        runs: 12,
        columns: &[("false", Mean), ("of the sick", Mean), ("datagrams", Mean)],
        measure: slow,
    },
    Experiment {
        name: "loss",
        about: "25 % of the datagrams are lost, 5 min",
        runs: 6,
        columns: &[("false", Mean), ("datagrams", Mean)],
        measure: loss,
    },
    Experiment {
        name: "churn",
        about: "views differ: 32 of 128 crash, leave and come back, one each half second, 10 % loss; then 8 others are away",
        runs: 12,
        columns: CUTS,
        measure: churn,
    },
    Experiment {
        name: "blind",
        about: "as churn, with 20 % loss, and views are not compared",
        runs: 10,
        columns: CUTS,
        measure: blind,
    },
    Experiment {
        name: "torn",
        about: "4 % of the pairs do not hear each other; then 8 of 128 are away",
        runs: 12,
        columns: CUTS,
        measure: torn,
    },
    Experiment {
        name: "far",
        about: "round trips of 100 to 140 ms, 5 % loss; then 8 of 128 are away",
        runs: 12,
        columns: CUTS,
        measure: far,
    },
    Experiment {
        name: "remote",
        about: "8 of 128 are so far off that a round trip to them takes more than the probe timeout",
        runs: 12,
        columns: &[("false", Mean), ("of the sick", Mean), ("unanswered %", Mean), ("datagrams", Mean)],
        measure: remote,
    },
    Experiment {
        name: "bloated",
        about: "round trips rise from 1 ms to 1 s within two minutes; then 8 of 128 are away",
        runs: 12,
        columns: CUTS,
        measure: bloated,
    },
    Experiment {
        name: "mixed",
        about: "5 % loss, nodes starved, deaf, paused, slow and grey at once; then 8 others are away",
        runs: 9,
        columns: CUTS,
        measure: mixed,
    },
    Experiment {
        name: "flip",
        about: "4 of 128 are cut off for 20 s of every 40",
        runs: 12,
        columns: &[("false", Mean), ("at the well", Mean), ("of the sick", Mean), ("datagrams", Mean)],
        measure: flip,
    },
    Experiment {
        name: "grey",
        about: "2 of 128 lose 80 % of what they send, receive, or both",
        runs: 18,
        columns: &[("false", Mean), ("at the well", Mean), ("of the sick", Mean), ("datagrams", Mean)],
        measure: grey,
    },
    Experiment {
        name: "bridge",
        about: "two cliques of 8 that only a 17th node joins, 30 min",
        runs: 6,
        columns: &[("false", Mean), ("datagrams", Mean)],
        measure: bridge,
    },
    Experiment {
        name: "circle",
        about: "each of 8 reaches its two neighbours only, 30 min",
        runs: 6,
        columns: &[("false", Mean), ("datagrams", Mean)],
        measure: circle,
    },
    Experiment {
        name: "split",
        about: "4 of 128 are cut off together for 60 s, 10 % loss; how long until views are equal",
        runs: 20,
        columns: &[
            ("false", Mean),
            ("at the well", Mean),
            ("of the sick", Mean),
            ("equal", Mean),
            ("equal 99%", Share(99)),
            ("datagrams", Mean),
        ],
        measure: split,
    },
    Experiment {
        name: "few",
        about: "one of 2 to 5 is stopped for 2 to 30 s, again and again, 20 % loss",
        runs: 200,
        columns: &[("false", Mean), ("of the sick", Mean), ("datagrams", Mean)],
        measure: few,
    },
    Experiment {
        name: "two",
        about: "2 of 128 survive",
        runs: 12,
        columns: LEFT,
        measure: |run, without| survivors(run, without, 2),
    },
    Experiment {
        name: "three",
        about: "3 of 128 survive",
        runs: 12,
        columns: LEFT,
        measure: |run, without| survivors(run, without, 3),
    },
    Experiment {
        name: "half",
        about: "64 of 128 survive",
        runs: 12,
        columns: LEFT,
        measure: |run, without| survivors(run, without, 64),
    },
];

const CUTS: &[(&str, Summary)] = &[
    ("first 50%", Share(50)),
    ("first 99%", Share(99)),
    ("all 50%", Share(50)),
    ("all 99%", Share(99)),
    ("missed", Mean),
    ("false", Mean),
    ("of the sick", Mean),
    ("datagrams", Mean),
];

const LEFT: &[(&str, Summary)] =
    &[("pairs 50%", Share(50)), ("pairs 99%", Share(99)), ("last", Mean), ("unsettled", Mean)];

/// Makes the experiments that the command line names.
pub(crate) fn run() -> ExitCode {
    // `cargo bench` passes "--bench".
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let times = if arguments.iter().any(|argument| argument == "full") { 4 } else { 1 };
    let chosen = |name: &str| arguments.iter().any(|argument| argument == name);
    let experiments: Vec<_> = EXPERIMENTS.iter().filter(|experiment| chosen(experiment.name)).collect();
    let experiments = if experiments.is_empty() { EXPERIMENTS.iter().collect() } else { experiments };
    let mut variants: Vec<Vec<Rule>> = arguments.iter().filter_map(|argument| rules_of(argument)).collect();
    if variants.is_empty() {
        variants = Rule::ALL.iter().map(|rule| vec![*rule]).collect();
    }
    variants.insert(0, Vec::new());
    for experiment in experiments {
        if let Err(error) = print(experiment, &variants, experiment.runs * times) {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Rules by their names: "Proof", "Proof+Silence".
fn rules_of(argument: &str) -> Option<Vec<Rule>> {
    let rule_of = |name: &str| Rule::ALL.iter().copied().find(|rule| format!("{rule:?}") == name);
    argument.split('+').map(rule_of).collect()
}

fn title(variant: &[Rule]) -> String {
    let names: Vec<String> = variant.iter().map(|rule| format!("{rule:?}")).collect();
    if names.is_empty() { "(all rules)".to_owned() } else { names.join("+") }
}

fn print(experiment: &Experiment, variants: &[Vec<Rule>], runs: u64) -> AnyResult<()> {
    let began = Instant::now();
    let outcomes = in_parallel(runs * variants.len() as u64, |job| {
        let variant = usize::try_from(job / runs)?;
        (experiment.measure)(job % runs, &variants[variant])
    })?;
    println!("{}: {}; {runs} runs each\n", experiment.name, experiment.about);
    print!("{:<24}", "without");
    experiment.columns.iter().for_each(|(name, _)| print!("{name:>14}"));
    println!();
    let with_all = &outcomes[..usize::try_from(runs)?];
    for (variant, outcomes) in variants.iter().zip(outcomes.chunks(usize::try_from(runs)?)) {
        print!("{:<24}", title(variant));
        for (column, (_, summary)) in experiment.columns.iter().enumerate() {
            let (figure, error) = summarize(outcomes, column, *summary);
            let (reference, its_error) = summarize(with_all, column, *summary);
            let noise = 3.0 * error.hypot(its_error);
            let mark = match figure - reference {
                more if more > noise => "!",
                less if -less > noise => "+",
                _ => " ",
            };
            print!("{figure:>13.2}{mark}");
        }
        println!();
    }
    println!("\nwall time: {:.0} s\n", began.elapsed().as_secs_f64());
    Ok(())
}

/// The figure of a column, and its standard error.
fn summarize(outcomes: &[Samples], column: usize, summary: Summary) -> (f64, f64) {
    let runs: Vec<&[f64]> = outcomes.iter().map(|samples| samples[column].as_slice()).collect();
    let batches: Vec<f64> =
        runs.chunks(runs.len().div_ceil(BATCHES)).map(|batch| summary.of(batch)).collect();
    let count = batches.len() as f64;
    let mean = batches.iter().sum::<f64>() / count;
    let variance = batches.iter().map(|batch| (batch - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (summary.of(&runs), (variance / count).sqrt())
}

fn threshold(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    const BLOCKED: [usize; 5] = [1, 4, 8, 16, 32];
    const MILLIS: [u64; 2] = [16_400, 32_800];
    let mut trial = Trial::new(run, without, *cycle(&BLOCKED, run))?;
    trial.each_sick(Cluster::block);
    trial.run(Duration::from_millis(*cycle(&MILLIS, run / 5)));
    let datagrams = trial.datagrams();
    let found = trial.lab.take_deaths();
    trial.each_sick(Cluster::resume);
    trial.run(QUIET);
    let (mut first, mut all, mut missed) = (Vec::new(), Vec::new(), 0);
    for node in &trial.sick {
        let found = Found::new(*node, trial.began, &found, &trial.sick);
        first.extend(found.first.map(|at| at.as_secs_f64()));
        all.extend(found.last.map(|at| at.as_secs_f64()));
        missed += NODES - trial.sick.len() - found.observers;
    }
    trial.deaths = found;
    let wrong = trial.tally().wrong as f64;
    Ok(vec![first.clone(), first, all.clone(), all, vec![missed as f64], vec![wrong], vec![datagrams]])
}

fn deaf(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    const DEAF: [usize; 3] = [4, 16, 32];
    const SECONDS: [u64; 3] = [2, 8, 32];
    let trial = Trial::new(run, without, *cycle(&DEAF, run))?;
    trial.lab.cluster.loss(0.1);
    let spell = Duration::from_secs(*cycle(&SECONDS, run / 3));
    trial.by_turns(spell, Duration::from_millis(*cycle(&[250, 2_000], run / 9)), Cluster::deafen);
    Ok(trial.plain())
}

fn starved(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 16)?;
    for millis in [50, 100, 200, 400, 800] {
        trial.each_sick(|cluster, node| cluster.starve(node, Duration::from_millis(millis)));
        trial.run(MINUTE / 2);
    }
    Ok(trial.plain())
}

fn paused(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 16)?;
    trial.by_turns(
        Duration::from_secs(*cycle(&[2, 5, 10, 30], run)),
        Duration::from_secs(*cycle(&[1, 10], run / 4)),
        Cluster::pause,
    );
    Ok(trial.plain())
}

fn few(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::of(run, without, usize::try_from(2 + run % 4)?, 1)?;
    trial.lab.cluster.loss(0.2);
    trial.by_turns(
        Duration::from_secs(*cycle(&[2, 5, 10, 30], run / 4)),
        Duration::from_secs(*cycle(&[1, 10], run / 16)),
        Cluster::pause,
    );
    Ok(trial.plain())
}

fn slow(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 32)?;
    let each = Duration::from_millis(*cycle(&[50, 75, 90], run));
    trial.each_sick(|cluster, node| cluster.slow(node, each));
    trial.run(2 * MINUTE);
    Ok(trial.plain())
}

fn loss(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let mut trial = Trial::new(run, without, 0)?;
    trial.lab.cluster.loss(0.25);
    trial.run(5 * MINUTE);
    let wrong = trial.tally().wrong as f64;
    Ok(vec![vec![wrong], vec![trial.datagrams()]])
}

fn churn(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    restless(run, without, 0.1)
}

fn blind(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    restless(run, &[without, &[Rule::Sync]].concat(), 0.2)
}

fn restless(run: u64, without: &[Rule], loss: f64) -> AnyResult<Samples> {
    let mut trial = Trial::new(run, without, 32)?;
    trial.sick.retain(|node| *node != 0);
    trial.lab.cluster.loss(loss);
    let mut out = Vec::new();
    for step in 0..120 {
        let node = trial.sick[step * 7 % trial.sick.len()];
        if let Some(place) = out.iter().position(|other| *other == node) {
            out.remove(place);
            let config = trial.lab.config(node);
            trial.lab.members[node] = trial.lab.cluster.restart(&name(node), config)?;
            // Whom it asks may be away: then the others find it.
            let _ = trial.lab.members[node].join(name(0));
        } else {
            if step % 3 == 0 {
                let _ = trial.lab.members[node].leave(Duration::from_millis(200));
            } else {
                trial.lab.cluster.crash(&name(node));
            }
            out.push(node);
        }
        trial.run(Duration::from_millis(500));
    }
    Ok(trial.detect())
}

fn torn(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let mut trial = Trial::new(run, without, 0)?;
    for a in 0..NODES {
        for b in trial.lab.draw(NODES / 50).into_iter().filter(|b| *b != a) {
            trial.lab.cluster.cut(&name(a), &name(b));
            trial.lab.cluster.cut(&name(b), &name(a));
        }
    }
    trial.run(2 * MINUTE);
    Ok(trial.detect())
}

fn far(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 0)?;
    trial.lab.cluster.latency(Duration::from_millis(50)..Duration::from_millis(70));
    trial.lab.cluster.loss(0.05);
    trial.run(2 * MINUTE);
    Ok(trial.detect())
}

fn remote(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 8)?;
    let way = Duration::from_millis(280)..Duration::from_millis(400);
    trial.each_sick(|cluster, node| {
        for other in (0..NODES).map(name).filter(|other| other != node) {
            cluster.latency_between(node, &other, way.clone());
            cluster.latency_between(&other, node, way.clone());
        }
    });
    let probes = |counter: fn(&Metrics) -> u64| {
        trial.sick.iter().map(|node| counter(&trial.lab.members[*node].metrics())).sum::<u64>()
    };
    let before = (probes(|metrics| metrics.probes), probes(|metrics| metrics.probes_answered));
    trial.run(3 * MINUTE);
    let after = (probes(|metrics| metrics.probes), probes(|metrics| metrics.probes_answered));
    let share = 100.0 - 100.0 * (after.1 - before.1) as f64 / (after.0 - before.0) as f64;
    let mut samples = trial.plain();
    samples.insert(2, vec![share]);
    Ok(samples)
}

fn bloated(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 0)?;
    for step in 1..=10 {
        trial.lab.cluster.latency(Duration::from_millis(step * 30)..Duration::from_millis(step * 50));
        trial.run(Duration::from_secs(12));
    }
    Ok(trial.detect())
}

fn mixed(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 24)?;
    let cluster = &trial.lab.cluster;
    cluster.loss(0.05);
    let names: Vec<String> = trial.sick.iter().map(|node| name(*node)).collect();
    names[..6].iter().for_each(|node| cluster.starve(node, Duration::from_millis(200)));
    names[6..10].iter().for_each(|node| cluster.slow(node, Duration::from_millis(60)));
    for grey in &names[10..12] {
        for other in (0..NODES).map(name).filter(|other| other != grey) {
            cluster.loss_between(grey, &other, 0.8);
            cluster.loss_between(&other, grey, 0.8);
        }
    }
    for round in 0..10_u64 {
        names[12..16].iter().for_each(|node| cluster.deafen(node));
        names[16..20].iter().for_each(|node| cluster.pause(node));
        names[20..].iter().for_each(|node| cluster.block(node));
        cluster.run(Duration::from_secs(*cycle(&[3, 9, 20], run + round)));
        names[12..].iter().for_each(|node| cluster.resume(node));
        cluster.run(Duration::from_secs(*cycle(&[1, 4, 12], run / 3 + round)));
    }
    Ok(trial.detect())
}

fn flip(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 4)?;
    for _ in 0..8 {
        trial.each_sick(cut_off);
        trial.run(Duration::from_secs(20));
        trial.lab.cluster.heal();
        trial.run(Duration::from_secs(20));
    }
    Ok(trial.parted())
}

fn cut_off(cluster: &Cluster, node: &str) {
    for other in (0..NODES).map(name).filter(|other| other != node) {
        cluster.cut(node, &other);
        cluster.cut(&other, node);
    }
}

fn grey(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 2)?;
    trial.each_sick(|cluster, node| {
        for other in (0..NODES).map(name).filter(|other| other != node) {
            if !run.is_multiple_of(3) {
                cluster.loss_between(node, &other, 0.8);
            }
            if run % 3 != 1 {
                cluster.loss_between(&other, node, 0.8);
            }
        }
    });
    trial.run(5 * MINUTE);
    Ok(trial.parted())
}

fn bridge(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::of(run, without, 17, 0)?;
    for a in 0..8 {
        for b in 8..16 {
            trial.lab.cluster.cut(&name(a), &name(b));
            trial.lab.cluster.cut(&name(b), &name(a));
        }
    }
    trial.run(30 * MINUTE);
    Ok(trial.lasting())
}

fn circle(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::of(run, without, 8, 0)?;
    for a in 0..8 {
        for b in (0..8).filter(|b| !matches!((a + 8 - b) % 8, 0 | 1 | 7)) {
            trial.lab.cluster.cut(&name(a), &name(b));
        }
    }
    trial.run(30 * MINUTE);
    Ok(trial.lasting())
}

fn split(run: u64, without: &[Rule]) -> AnyResult<Samples> {
    let trial = Trial::new(run, without, 4)?;
    trial.lab.cluster.loss(0.1);
    let names: Vec<String> = trial.sick.iter().map(|node| name(*node)).collect();
    trial.lab.cluster.split(&names.iter().map(String::as_str).collect::<Vec<_>>());
    trial.run(Duration::from_secs(*cycle(&[10, 60], run)));
    trial.lab.cluster.heal();
    let healed = trial.lab.cluster.now();
    trial.lab.cluster.run_until(5 * MINUTE, Cluster::is_converged);
    let equal = (trial.lab.cluster.now() - healed).as_secs_f64();
    trial.run(QUIET);
    let mut samples = trial.parted();
    samples.insert(3, vec![equal]);
    samples.insert(3, vec![equal]);
    Ok(samples)
}

fn survivors(run: u64, without: &[Rule], left: usize) -> AnyResult<Samples> {
    let crash = Crash::of(Lab::without(without, run, NODES)?, NODES - left);
    let times: Vec<f64> = crash.times.iter().map(Duration::as_secs_f64).collect();
    let unsettled = f64::from(u8::from(!crash.settled));
    Ok(vec![times.clone(), times, vec![crash.last.as_secs_f64()], vec![unsettled]])
}
