//! How clusters heal, in the simulator: halves that were cut apart, other shapes of cuts, a node that was alone, an
//! outage of all links, a cut of ten minutes, clusters that never knew of each other; and what a calm simulated cluster
//! costs.
//!
//!     cargo bench --bench healing                    # all of it: some minutes
//!     cargo bench --bench healing -- halves          # one of: calm, halves, shapes, lone, outage, long, apart
//!     cargo bench --bench healing -- calm 5000       # the memory of a larger one
//!
//! Times are virtual unless it says otherwise, and the same on every machine. Linux only: it reads its memory in
//! /proc. Prints a table with the bar beside each figure; the exit code tells whether one was missed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

use std::env;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use headcount::{Config, Event, Member, sim::Cluster};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;
/// A network, and a cluster on it that is to become whole.
type Halves = (Cluster, Vec<Member>);

const SEED: u64 = 1;
/// How long what goes wrong lasts.
const FAULT: Duration = Duration::from_secs(60);
/// How long a long fault lasts.
const LONG_FAULT: Duration = Duration::from_secs(600);
/// An experiment that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(600);
/// From the end of a fault until all views are equal.
const HEALED_MAX: Duration = Duration::from_secs(15);
/// Datagrams a member until then, for each node of the cluster.
const DATAGRAMS_MAX: u64 = 3;
/// From the end of a long fault until all views are equal, at most.
const LONG_HEALED_MAX: Duration = Duration::from_secs(60);
/// Runs of what varies much from one to the next.
const RUNS: u64 = 30;
const CALM: Duration = Duration::from_secs(600);
/// Real time for ten calm minutes of a thousand nodes.
const CALM_MAX: Duration = Duration::from_secs(120);
const MANY: usize = 1_000;
const FEW: usize = 128;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("\nA bar was missed.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> AnyResult<bool> {
    // `cargo bench` passes "--bench".
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let size = arguments.iter().find_map(|argument| argument.parse().ok());
    let is_asked = |what: &str| {
        let mut names = arguments.iter().filter(|argument| argument.parse::<usize>().is_err()).peekable();
        names.peek().is_none() || names.any(|name| name == what)
    };
    let mut table = Table::default();
    // The first, because the peak of its memory is that of the process.
    if is_asked("calm") {
        calm(&mut table, size.unwrap_or(MANY))?;
    }
    if is_asked("halves") {
        for n in size.map_or(vec![128, MANY], |n| vec![n]) {
            halves(&mut table, n)?;
        }
    }
    if is_asked("shapes") {
        shapes(&mut table, size.unwrap_or(FEW))?;
    }
    if is_asked("lone") {
        lone(&mut table, size.unwrap_or(MANY))?;
    }
    if is_asked("outage") {
        for n in size.map_or(vec![128, MANY], |n| vec![n]) {
            outage(&mut table, n)?;
        }
    }
    for n in size.map_or(vec![6, 32, 128], |n| vec![n]) {
        if is_asked("long") {
            together(&mut table, "cut apart for 10 minutes, no seeds", n, LONG_HEALED_MAX, cut_for_long)?;
        }
        if is_asked("apart") {
            together(&mut table, "started apart, two seeds in common", n, HEALED_MAX, started_apart)?;
        }
    }
    Ok(!table.missed)
}

// ---- What is measured ----

/// Ten minutes in which nothing happens.
fn calm(table: &mut Table, n: usize) -> AnyResult<()> {
    let began = Instant::now();
    let (cluster, members) = start(SEED, n)?;
    let joined = began.elapsed();
    let sent = sent(&members);
    let streams: Vec<_> = members.iter().map(Member::events).collect();

    let began = Instant::now();
    cluster.run(CALM);
    let real = began.elapsed();

    let events = streams.iter().map(|stream| stream.try_iter().count()).sum::<usize>();
    let rate = (self::sent(&members) - sent) as f64 / CALM.as_secs_f64() / n as f64;
    table.title(&format!("{n} calm nodes for {} virtual minutes", CALM.as_secs() / 60));
    table.row("real time, on one core", &seconds(real), real <= CALM_MAX || n > MANY, &seconds(CALM_MAX));
    table.plain("real time until all had joined", &seconds(joined));
    table.plain("datagrams a second and member", &format!("{rate:.2}"));
    table.row("events", &events.to_string(), events == 0, "0");
    let peak = peak_memory()?;
    table.plain("memory a node", &format!("{} kB", peak / 1_000 / n as u64));
    table.plain("memory a record", &format!("{} bytes", peak / (n * n) as u64));
    Ok(())
}

/// Two halves that do not hear each other.
fn halves(table: &mut Table, n: usize) -> AnyResult<()> {
    let (cluster, members) = start(SEED, n)?;
    let names: Vec<&str> = members[..n / 2].iter().map(Member::name).collect();
    cluster.split(&names);
    cluster.run(FAULT);
    if members.iter().any(|member| member.nodes().len() != n / 2) {
        return Err("the halves have not buried each other".into());
    }
    let before = sent(&members);
    cluster.heal();
    let healed = heal(&cluster)?;
    let datagrams = (sent(&members) - before) / n as u64;
    let bar = DATAGRAMS_MAX * n as u64;
    table.title(&format!("{0} | {0} nodes, cut for {1} s", n / 2, FAULT.as_secs()));
    table.row("all views are equal after", &seconds(healed), healed <= HEALED_MAX, &seconds(HEALED_MAX));
    table.row("datagrams a member until then", &datagrams.to_string(), datagrams <= bar, &bar.to_string());
    Ok(())
}

/// A way to cut a cluster into pieces.
struct Shape {
    name: &'static str,
    cut: fn(&Cluster, &[&str]),
}

const SHAPES: [Shape; 6] = [
    Shape { name: "one half and the other", cut: |cluster, all| cluster.split(&all[..all.len() / 2]) },
    Shape { name: "a quarter and the rest", cut: |cluster, all| cluster.split(&all[..all.len() / 4]) },
    Shape { name: "three and the rest", cut: |cluster, all| cluster.split(&all[..3]) },
    Shape {
        name: "eight equal parts",
        cut: |cluster, all| all.chunks(all.len().div_ceil(8)).for_each(|part| cluster.split(part)),
    },
    Shape {
        name: "one half does not hear the other, which hears it",
        cut: |cluster, all| {
            let (one, other) = all.split_at(all.len() / 2);
            cut_off(cluster, other, one);
        },
    },
    Shape {
        name: "two halves that both hear a tenth in between",
        cut: |cluster, all| {
            let (bridge, banks) = all.split_at(all.len() / 10);
            let (left, right) = banks.split_at(banks.len() / 2);
            debug_assert!(!bridge.is_empty(), "too few for a bridge");
            cut_off(cluster, left, right);
            cut_off(cluster, right, left);
        },
    },
];

fn cut_off(cluster: &Cluster, from: &[&str], to: &[&str]) {
    for from in from {
        to.iter().for_each(|to| cluster.cut(from, to));
    }
}

/// Cuts of many shapes, short and long.
fn shapes(table: &mut Table, n: usize) -> AnyResult<()> {
    for shape in &SHAPES {
        for time in [FAULT, LONG_FAULT] {
            let (cluster, members) = start(SEED, n)?;
            let names: Vec<&str> = members.iter().map(Member::name).collect();
            (shape.cut)(&cluster, &names);
            cluster.run(time);
            let shown = members.iter().map(|member| member.nodes().len()).sum::<usize>() / n;
            let before = sent(&members);
            cluster.heal();
            let healed = heal(&cluster)?;
            let datagrams = (sent(&members) - before) / n as u64;
            let bar = DATAGRAMS_MAX * n as u64;
            table.title(&format!("{n} nodes, for {} s: {}", time.as_secs(), shape.name));
            table.plain("nodes that a member shows at the end of that", &shown.to_string());
            table.row(
                "all views are equal after",
                &seconds(healed),
                healed <= HEALED_MAX,
                &seconds(HEALED_MAX),
            );
            table.row(
                "datagrams a member until then",
                &datagrams.to_string(),
                datagrams <= bar,
                &bar.to_string(),
            );
        }
    }
    Ok(())
}

/// One node that hears nobody, and is heard by nobody.
fn lone(table: &mut Table, n: usize) -> AnyResult<()> {
    let (cluster, members) = start(SEED, n)?;
    let (alone, others) = members.split_first().ok_or("no members")?;
    let streams: Vec<_> = others.iter().map(Member::events).collect();
    cluster.split(&[alone.name()]);
    cluster.run(FAULT);
    let shown = alone.nodes().len();
    cluster.heal();
    let healed = heal(&cluster)?;
    cluster.run(FAULT);
    let is_false = |event: &Event| match event {
        Event::Suspected(node) | Event::Died { node, .. } => node.name() != alone.name(),
        _ => false,
    };
    let accused = streams.iter().flat_map(|stream| stream.try_iter()).filter(is_false).count();
    table.title(&format!("one node alone for {} s among {n}", FAULT.as_secs()));
    table.plain("nodes that it shows at the end of that", &shown.to_string());
    table.row("all views are equal after", &seconds(healed), healed <= HEALED_MAX, &seconds(HEALED_MAX));
    table.row("healthy nodes suspected or dead, at anybody", &accused.to_string(), accused == 0, "0");
    Ok(())
}

/// No datagram arrives anywhere.
fn outage(table: &mut Table, n: usize) -> AnyResult<()> {
    let (cluster, members) = start(SEED, n)?;
    let accusations = || members.iter().map(|member| member.metrics().suspicions).sum::<u64>();
    let accused = accusations();
    cluster.loss(1.0);
    cluster.run(FAULT);
    let shown = members.iter().map(|member| member.nodes().len()).max().unwrap_or_default();
    let before = sent(&members);
    cluster.loss(0.0);
    let healed = heal(&cluster)?;
    let datagrams = (sent(&members) - before) / n as u64;
    let accused = accusations() - accused;
    table.title(&format!("{n} nodes, all links cut for {} s", FAULT.as_secs()));
    table.plain("nodes that anybody shows at the end of that", &shown.to_string());
    table.row("all views are equal after", &seconds(healed), healed <= HEALED_MAX, &seconds(HEALED_MAX));
    table.plain("datagrams a member until then", &datagrams.to_string());
    table.row("suspicions that anybody had", &accused.to_string(), accused == 0, "0");
    Ok(())
}

/// How long two halves need that have become able to hear each other, in many runs.
fn together(
    table: &mut Table,
    what: &str,
    n: usize,
    bar: Duration,
    halves: fn(u64, usize) -> AnyResult<Halves>,
) -> AnyResult<()> {
    let mut times = Vec::new();
    for seed in 0..RUNS {
        let (cluster, members) = halves(seed, n)?;
        if members.iter().any(|member| member.nodes().len() != n / 2) {
            return Err("there are not two halves".into());
        }
        cluster.heal();
        times.push(heal(&cluster)?);
    }
    times.sort_unstable();
    let (median, greatest) = (times[times.len() / 2], times[times.len() - 1]);
    table.title(&format!("{0} | {0} nodes, {what}; {RUNS} runs", n / 2));
    table.plain("all views are equal after, median", &seconds(median));
    table.row("greatest", &seconds(greatest), greatest <= bar, &seconds(bar));
    Ok(())
}

/// Two halves that knew each other ten minutes ago.
fn cut_for_long(seed: u64, n: usize) -> AnyResult<Halves> {
    let (cluster, members) = start(seed, n)?;
    let names: Vec<&str> = members[..n / 2].iter().map(Member::name).collect();
    cluster.split(&names);
    cluster.run(LONG_FAULT);
    Ok((cluster, members))
}

/// Two halves that have never heard of each other. All have the same two seeds, one in each half.
fn started_apart(seed: u64, n: usize) -> AnyResult<Halves> {
    let cluster = Cluster::new(seed);
    cluster.check(false);
    let names: Vec<String> = (0..n).map(|index| format!("n{index:04}")).collect();
    let seeds = [names[0].as_str(), names[n / 2].as_str()];
    let members = names
        .iter()
        .map(|name| cluster.add(Config::lan().name(name.as_str()).seeds(seeds)))
        .collect::<headcount::Result<Vec<Member>>>()?;
    cluster.split(&names[..n / 2].iter().map(String::as_str).collect::<Vec<_>>());
    cluster.run(FAULT);
    Ok((cluster, members))
}

// ---- How ----

/// A cluster in which all have joined and all views are equal.
fn start(seed: u64, n: usize) -> AnyResult<Halves> {
    let cluster = Cluster::new(seed);
    // The invariants are checked in the tests.
    cluster.check(false);
    let members = (0..n)
        .map(|index| cluster.add(Config::lan().name(format!("n{index:04}"))))
        .collect::<headcount::Result<Vec<Member>>>()?;
    for member in &members[1..] {
        member.join(members[0].name())?;
    }
    heal(&cluster)?;
    cluster.run(Duration::from_secs(10));
    Ok((cluster, members))
}

/// Until all views are equal.
fn heal(cluster: &Cluster) -> AnyResult<Duration> {
    let since = cluster.now();
    if cluster.run_until(LIMIT, Cluster::is_converged) {
        Ok(cluster.now() - since)
    } else {
        Err(format!("the views are not equal after {LIMIT:?}").into())
    }
}

/// Datagrams that all have sent.
fn sent(members: &[Member]) -> u64 {
    members.iter().map(|member| member.metrics().datagrams_sent).sum()
}

/// The most memory that this process had so far, in bytes.
fn peak_memory() -> AnyResult<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1_024)
}

#[derive(Default)]
struct Table {
    missed: bool,
}

impl Table {
    fn title(&self, what: &str) {
        println!("\n{what}\n");
    }

    /// A figure with its bar.
    fn row(&mut self, what: &str, figure: &str, is_met: bool, bar: &str) {
        self.missed |= !is_met;
        println!("{what:<50} {figure:>12}  {} {bar}", if is_met { "within" } else { "MISSED" });
    }

    /// A figure without one.
    fn plain(&self, what: &str, figure: &str) {
        println!("{what:<50} {figure:>12}");
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
