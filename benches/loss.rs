//! Networks that lose datagrams, on the simulator: whom members take for dead who is there, what it costs them, and how
//! news gets through.
//!
//!     cargo bench --bench loss                     # all of it
//!     cargo bench --bench loss -- grey             # one of: even, lopsided, grey, flip
//!     cargo bench --bench loss -- grey 20          # … with so many runs
//!
//! | experiment | what is lost |
//! |---|---|
//! | `even` | 0 to 50 % of all datagrams, for ten minutes |
//! | `lopsided` | 30 to 90 % of what one half of the cluster sends to the other, and nothing else |
//! | `grey` | 80 % of what two nodes receive, send, or both, for a quarter of an hour |
//! | `flip` | all that two nodes receive, or also what they send, in 20 s of every 40 |
//!
//! 128 members with the LAN profile, 0.2 to 1 ms from one to another. Bytes are without the headers of IP and UDP.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

use std::process::ExitCode;
use std::time::Duration;

use headcount::sim::Cluster;

use lab::{AnyResult, Lab, Load, MINUTE, NODES, Tally, cycle, in_parallel, name, share};
use report::{Chart, Experiment, Report, number};

#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod lab;
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod report;

/// Half of the time of a flip-flopping node.
const FLIP: Duration = Duration::from_secs(20);
const QUARTER: Duration = Duration::from_secs(900);
/// For how long news is waited for.
const NEWS_MAX: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    report::run(&[
        Experiment { name: "even", runs: 4, measure: even },
        Experiment { name: "lopsided", runs: 4, measure: lopsided },
        Experiment { name: "grey", runs: 10, measure: grey },
        Experiment { name: "flip", runs: 10, measure: flip },
    ])
}

/// What happened in a run.
struct Outcome {
    tally: Tally,
    /// Suspicions that a user was told of, on average.
    shown: f64,
    load: Load,
    /// Until all knew a piece of news, in order.
    news: Vec<Duration>,
}

/// The outcomes of all runs, put together.
struct Summary {
    runs: f64,
    tally: Tally,
    worst: usize,
    shown: f64,
    load: Load,
    news: Vec<Duration>,
}

impl Summary {
    fn of(outcomes: &[Outcome]) -> Self {
        let runs = outcomes.len() as f64;
        let loads: Vec<Load> = outcomes.iter().map(|outcome| outcome.load).collect();
        let mut news: Vec<Duration> =
            outcomes.iter().flat_map(|outcome| outcome.news.iter().copied()).collect();
        news.sort_unstable();
        Self {
            runs,
            tally: Tally::sum(outcomes.iter().map(|outcome| outcome.tally)),
            worst: outcomes.iter().map(|outcome| outcome.tally.wrong).max().unwrap_or_default(),
            shown: outcomes.iter().map(|outcome| outcome.shown).sum::<f64>() / runs,
            load: Load::mean(&loads),
            news,
        }
    }

    /// False deaths a run, suspicions shown, datagrams, bytes, and the times of news: median and 99 %, in ms.
    fn cells(&self) -> [f64; 6] {
        let millis = |part| share(&self.news, part).as_secs_f64() * 1_000.0;
        let wrong = self.tally.wrong as f64 / self.runs;
        [wrong, self.shown, self.load.datagrams, self.load.bytes, millis(0.5), millis(0.99)]
    }
}

/// Lets something ail the sick for a while, and notes what comes of it.
fn observe(lab: &Lab, sick: &[usize], time: Duration, mut pass: impl FnMut(&Lab)) -> Outcome {
    lab.take_suspicions();
    let (began, sent) = (lab.cluster.now(), lab.sent());
    while lab.cluster.now() < began + time {
        pass(lab);
    }
    let load = lab.load_since(sent, began);
    let suspicions = lab.take_suspicions();
    // Who is sick itself sees what it will.
    let at_healthy = suspicions.iter().filter(|suspicion| !sick.contains(&suspicion.observer)).count();
    let shown = at_healthy as f64 / (lab.members.len() - sick.len()) as f64;
    Outcome { tally: Tally::of(&lab.take_deaths(), sick), shown, load, news: Vec::new() }
}

/// How long each of some pieces of news needs to reach everybody.
fn spread(lab: &mut Lab, pieces: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(pieces);
    for _ in 0..pieces {
        let subject = lab.draw(1)[0];
        lab.cluster.touch(&name(subject));
        let incarnation = lab.members[subject].local().incarnation();
        let made = lab.cluster.now();
        let mut lacking: Vec<usize> = (0..lab.members.len()).collect();
        while !lacking.is_empty() && lab.cluster.now() < made + NEWS_MAX {
            lab.cluster.run(Duration::from_millis(1));
            let knows = |member: &usize| {
                let node = lab.members[*member].node(&name(subject));
                node.is_some_and(|node| node.incarnation() >= incarnation)
            };
            lacking.retain(|member| !knows(member));
        }
        times.push(lab.cluster.now() - made);
        lab.cluster.run(Duration::from_secs(1));
    }
    times
}

fn even(report: &mut Report, runs: u64) -> AnyResult<()> {
    const PERCENT: [u32; 7] = [0, 5, 10, 15, 25, 35, 50];
    const PIECES: usize = 50;
    report.title(&format!("even: so much of all datagrams is lost for 10 min, {runs} runs each"));
    let heads = ["deaths", "shown", "datagrams/s", "bytes/s", "news: median", "99 %"];
    report.line("means of a run and member; news in ms", heads.map(str::to_owned));
    let mut load = Vec::new();
    let mut bars = Vec::new();
    for percent in PERCENT {
        let outcomes = in_parallel(runs, |run| {
            let mut lab = Lab::new(run, NODES)?;
            lab.cluster.loss(f64::from(percent) / 100.0);
            let outcome = observe(&lab, &[], 10 * MINUTE, |lab| lab.cluster.run(MINUTE));
            Ok(Outcome { news: spread(&mut lab, PIECES), ..outcome })
        })?;
        let summary = Summary::of(&outcomes);
        report.line(&format!("{percent} %"), summary.cells().map(number));
        load.push((f64::from(percent), summary.load.datagrams));
        bars.push((percent, summary));
    }
    println!();
    for (percent, summary) in bars {
        if let Some(most) = match percent {
            0..=10 => Some(0),
            25 => Some(2),
            _ => None,
        } {
            report.at_most(
                &format!("{percent} %: deaths in the worst run"),
                summary.worst as f64,
                f64::from(most),
            );
        }
        if let Some(most) = match percent {
            0 => Some(2.1),
            10 => Some(6.0),
            25 => Some(LOAD_AT_25),
            _ => None,
        } {
            report.at_most(
                &format!("{percent} %: datagrams a member and second"),
                summary.load.datagrams,
                most,
            );
        }
    }
    let chart = Chart {
        title: "what loss costs, 128 members",
        x: "lost, %",
        y: "datagrams a member and second",
        lines: vec![("headcount".to_owned(), load)],
    };
    report.draw("loss-load", &chart)
}

/// What a member may send in a second when a quarter of all is lost: the token bucket of the rounds allows some more.
const LOAD_AT_25: f64 = 40.0;

fn lopsided(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!(
        "lopsided: one half loses so much of what it sends to the other, 5 min, {runs} runs each"
    ));
    let heads = ["deaths", "shown", "datagrams/s", "bytes/s", "news: median", "99 %"];
    report.line("means of a run and member; news in ms", heads.map(str::to_owned));
    for percent in [30, 60, 90] {
        let outcomes = in_parallel(runs, |run| {
            let mut lab = Lab::new(run, NODES)?;
            let one = lab.draw(NODES / 2);
            for from in &one {
                for to in (0..NODES).filter(|node| !one.contains(node)) {
                    lab.cluster.loss_between(&name(*from), &name(to), f64::from(percent) / 100.0);
                }
            }
            let outcome = observe(&lab, &[], 5 * MINUTE, |lab| lab.cluster.run(MINUTE));
            Ok(Outcome { news: spread(&mut lab, 20), ..outcome })
        })?;
        let summary = Summary::of(&outcomes);
        report.line(&format!("{percent} %"), summary.cells().map(number));
    }
    println!();
    Ok(())
}

/// Which of their links are bad.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bad {
    Receiving,
    Sending,
    Both,
}

impl Bad {
    /// Does something with each direction that is bad, of a node and another one.
    fn each(self, lab: &Lab, sick: &[usize], what: impl Fn(&Cluster, &str, &str)) {
        for node in sick {
            for other in (0..NODES).filter(|other| other != node) {
                let (node, other) = (name(*node), name(other));
                if self != Self::Sending {
                    what(&lab.cluster, &other, &node);
                }
                if self != Self::Receiving {
                    what(&lab.cluster, &node, &other);
                }
            }
        }
    }
}

const BAD: [(&str, Bad); 3] = [("receive", Bad::Receiving), ("send", Bad::Sending), ("both", Bad::Both)];

fn print_heads_of_sick(report: &Report) {
    let heads = ["of the well", "at the well", "of each bad", "shown", "datagrams/s"];
    report.line("deaths in a run; of each bad: an observer", heads.map(str::to_owned));
}

/// Prints what became of two bad nodes.
fn print_sick(report: &Report, what: &str, summary: &Summary) {
    let cells = [
        summary.tally.wrong as f64 / summary.runs,
        summary.tally.wrong_at_healthy as f64 / summary.runs,
        deaths_of_each(summary),
        summary.shown,
        summary.load.datagrams,
    ];
    report.line(what, cells.map(number));
}

/// How often an observer sees each of two bad nodes die, on average.
fn deaths_of_each(summary: &Summary) -> f64 {
    summary.tally.of_sick as f64 / summary.runs / 2.0 / (NODES - 1) as f64
}

fn grey(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!(
        "grey: 2 of {NODES} lose 80 % of what they receive, send or both, 15 min, {runs} runs each"
    ));
    print_heads_of_sick(report);
    let mut summaries = Vec::new();
    for (what, bad) in BAD {
        let outcomes = in_parallel(runs, |run| {
            let mut lab = Lab::new(run, NODES)?;
            let sick = lab.draw(2);
            bad.each(&lab, &sick, |cluster, from, to| cluster.loss_between(from, to, 0.8));
            Ok(observe(&lab, &sick, QUARTER, |lab| lab.cluster.run(MINUTE)))
        })?;
        let summary = Summary::of(&outcomes);
        print_sick(report, what, &summary);
        summaries.push((what, bad, summary));
    }
    println!();
    for (what, bad, summary) in summaries {
        report.at_most(
            &format!("{what}: deaths of nodes that are well, at members that are well"),
            summary.tally.wrong_at_healthy as f64,
            0.0,
        );
        let at_the_two = (summary.tally.wrong - summary.tally.wrong_at_healthy) as f64;
        if bad == Bad::Both {
            report.note("  at the two themselves", at_the_two);
            report.note("  suspicions that a user is told of", number(summary.shown));
        } else {
            report.at_most("  at the two themselves", at_the_two, 0.0);
            report.at_most("  suspicions that a user is told of", summary.shown, 4.0);
        }
    }
    Ok(())
}

fn flip(report: &mut Report, runs: u64) -> AnyResult<()> {
    report.title(&format!(
        "flip: 2 of {NODES} are cut off for {0} s, then not for {0} s, and so on, 15 min, {runs} runs each",
        FLIP.as_secs()
    ));
    print_heads_of_sick(report);
    let mut summaries = Vec::new();
    for (what, bad) in BAD {
        let outcomes = in_parallel(runs, |run| {
            let mut lab = Lab::new(run, NODES)?;
            let sick = lab.draw(2);
            // Not always at the same point of their rounds.
            lab.cluster.run(Duration::from_millis(*cycle(&[0, 130, 370, 610, 880], run)));
            Ok(observe(&lab, &sick, QUARTER, |lab| {
                bad.each(lab, &sick, Cluster::cut);
                lab.cluster.run(FLIP);
                lab.cluster.heal();
                lab.cluster.run(FLIP);
            }))
        })?;
        let summary = Summary::of(&outcomes);
        print_sick(report, what, &summary);
        summaries.push((what, summary));
    }
    println!();
    for (what, summary) in summaries {
        report.at_most(&format!("{what}: deaths of nodes that are well"), summary.tally.wrong as f64, 0.0);
        report.at_most("  deaths of each of the two, an observer", deaths_of_each(&summary), 10.0);
    }
    Ok(())
}
