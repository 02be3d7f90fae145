//! How news spreads, what is missed and how that is repaired, on the simulator: in virtual time, from seeds, with
//! the bar beside each figure.
//!
//!     cargo bench --bench spreading                  # everything
//!     cargo bench --bench spreading -- repair        # one experiment
//!     cargo bench --bench spreading -- update 2000   # one experiment, at another size
//!
//! | experiment | what it shows |
//! |---|---|
//! | `update` | until all know one piece of news, and what that costs; ten thousand do not join for it (see below) |
//! | `misses` | how many pieces of news pass somebody by, if views are not compared |
//! | `deaf` | the same while every tenth member receives nothing for a moment |
//! | `load` | until all others have a write while so many a second are made, and what that costs |
//! | `rest` | that nothing is sent when there is no news |
//! | `repair` | until who has missed something has it |
//! | `cost` | what the comparison of two views costs, and filling an empty one |
//! | `joining` | until all views are complete when all join at once |
//! | `speed` | how fast and how large the simulator itself is |
//!
//! A hundred million records need 26 GB. So the ten thousand of `update` are acquainted from the start
//! (`sim::Cluster::acquaint`), which keeps what their views have in common once. That they run the same protocol as
//! members that have joined is seen at 1,000, where both are measured.
//!
//! `misses`, `deaf` and the acquainted members of `update` are there only with `cfg(headcount_bench)`:
//!
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench spreading -- misses
//!
//! Members have the LAN profile, and datagrams take 0.2 to 1 ms. Bytes are what the network carries: 28 for the
//! IP and UDP headers of each datagram are added to what members count. All of it takes half an hour, most
//! of it for `misses` and `update`, and 6 GB. The exit code tells whether a figure misses its bar.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod group;
#[cfg(headcount_bench)]
mod missing;

use std::env;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use headcount::{Config, Event, Member};
use rand::RngExt;

use crate::group::{Group, News, Sent, name};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;
type Experiment = fn(&mut Table, Option<usize>) -> AnyResult<()>;

const EXPERIMENTS: &[(&str, Experiment)] = &[
    ("update", update),
    #[cfg(headcount_bench)]
    ("misses", missing::misses),
    #[cfg(headcount_bench)]
    ("deaf", missing::deaf),
    ("load", load),
    ("rest", rest),
    ("repair", repair),
    ("cost", cost),
    ("joining", joining),
    ("speed", speed),
];

/// In larger clusters nobody joins: members are acquainted from the start.
const JOINED_MAX: usize = 5_000;
/// How `update` is measured: loss, number of updates, and the bars for median and p99 in ms. At a loss of 10 % one in a
/// hundred has to wait for the second phase: it takes many to tell the p99.
const LOSSES: [(f64, usize, f64, f64); 3] =
    [(0.0, 200, 10.0, 20.0), (0.01, 200, 10.0, 20.0), (0.1, 1_000, 10.0, 130.0)];
/// Bytes of the IP and UDP headers of a datagram.
const HEADERS: u64 = 28;
/// What news needs until the last rumor about it is retired: two phases 100 ms apart, and their rounds.
const RETIRED: Duration = millis(400);

fn main() -> ExitCode {
    // `cargo bench` passes "--bench".
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let size = arguments.iter().find_map(|argument| argument.parse().ok());
    let name = arguments.iter().find(|argument| argument.parse::<usize>().is_err());
    if let Some(name) = name.filter(|name| EXPERIMENTS.iter().all(|(known, _)| known != name)) {
        eprintln!("error: there is no experiment {name:?}{NEEDS_CFG}");
        return ExitCode::FAILURE;
    }
    let mut table = Table { missed: 0 };
    for (known, experiment) in EXPERIMENTS {
        if name.is_some_and(|name| name != known) {
            continue;
        }
        let began = Instant::now();
        println!("\n{known}");
        if let Err(error) = experiment(&mut table, size) {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
        println!("  ({:.1} s, {} MB at most)", began.elapsed().as_secs_f64(), memory("VmHWM") / 1_000_000);
    }
    if table.missed > 0 {
        println!("\n{} figures miss their bar.", table.missed);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

// ---- The table ----

struct Table {
    missed: usize,
}

impl Table {
    /// A figure that has no bar.
    fn note(&self, what: &str, figure: &str) {
        println!("  {what:<66} {figure:>12}");
    }

    /// A figure that may be at most so much.
    fn at_most(&mut self, what: &str, figure: f64, bar: f64, unit: &str) {
        self.row(what, figure, &format!("<= {bar}"), unit, figure <= bar);
    }

    /// A figure that must be at least so much.
    #[cfg(headcount_bench)]
    fn at_least(&mut self, what: &str, figure: f64, bar: f64, unit: &str) {
        self.row(what, figure, &format!(">= {bar}"), unit, figure >= bar);
    }

    fn row(&mut self, what: &str, figure: f64, bar: &str, unit: &str, holds: bool) {
        let figure = if figure.fract() == 0.0 { format!("{figure}") } else { format!("{figure:.2}") };
        let missed = if holds { "" } else { "MISSED" };
        println!("  {what:<66} {figure:>12} {bar:>10} {unit:<10} {missed}");
        self.missed += usize::from(!holds);
    }
}

/// Why an experiment may be missing.
const NEEDS_CFG: &str =
    if cfg!(headcount_bench) { "" } else { "; misses and deaf need RUSTFLAGS=\"--cfg headcount_bench\"" };

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn in_millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The value that this share of the values, in percent, does not exceed.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Memory of this process, in bytes; zero where there is no /proc.
fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).unwrap_or_default();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    kilobytes * 1_024
}

// ---- The experiments ----

fn update(table: &mut Table, size: Option<usize>) -> AnyResult<()> {
    let groups = match size {
        Some(n) => vec![(n, n > JOINED_MAX)],
        None if cfg!(headcount_bench) => vec![(128, false), (1_000, false), (1_000, true), (10_000, true)],
        None => vec![(128, false), (1_000, false)],
    };
    for (n, acquainted) in groups {
        let mut group = if acquainted { Group::acquainted(1, n)? } else { Group::of(1, n)? };
        let who = if acquainted { format!("{n} acquainted") } else { format!("{n} members") };
        // At a loss of 10 % so many accuse each other by mistake that ten thousand take over twenty minutes.
        let losses = if n > JOINED_MAX { &LOSSES[..2] } else { &LOSSES[..] };
        for &(loss, updates, median, last) in losses {
            group.cluster.loss(loss);
            group.cluster.run(secs(5));
            let mut times = Vec::new();
            for _ in 0..updates {
                let news = group.touch();
                times.push(group.spread(news, secs(30)));
                group.cluster.run(RETIRED);
            }
            times.sort_unstable();
            let what = format!("{who}, loss {loss}: until all know, ");
            table.at_most(&format!("{what}median"), in_millis(quantile(&times, 50)), median, "ms");
            table.at_most(&format!("{what}p99"), in_millis(quantile(&times, 99)), last, "ms");
        }
        group.cluster.loss(0.0);
        group.cluster.run(secs(10));
        cost_of_update(table, &mut group, &who);
    }
    Ok(())
}

/// What is sent beyond the probes that are sent anyway: rumors that ride on those count with their bytes.
fn cost_of_update(table: &mut Table, group: &mut Group, who: &str) {
    const UPDATES: u32 = 50;
    const PAUSE: Duration = millis(500);
    let before = Sent::by(&group.members);
    group.cluster.run(PAUSE * UPDATES);
    let calm = Sent::by(&group.members).since(before);

    let before = Sent::by(&group.members);
    for _ in 0..UPDATES {
        group.touch();
        group.cluster.run(PAUSE);
    }
    let busy = Sent::by(&group.members).since(before);

    let n = group.members.len();
    let share = f64::from(UPDATES) * n as f64;
    let datagrams = busy.datagrams.saturating_sub(calm.datagrams) as f64 / share;
    let bytes = busy.bytes.saturating_sub(calm.bytes) as f64 / share;
    let calm = calm.datagrams as f64 / n as f64 / (PAUSE * UPDATES).as_secs_f64();
    table.note(&format!("{who}: datagrams a member and second without news"), &format!("{calm:.2}"));
    let what = format!("{who}: datagrams a member for an update");
    if n <= JOINED_MAX {
        table.at_most(&what, datagrams, 9.0, "");
    } else {
        // Nine are what the ring has them send: a bar would tell of the noise.
        table.note(&what, &format!("{datagrams:.2}"));
    }
    table.at_most(&format!("{who}: bytes a member for an update"), bytes, 1_000.0, "B");
}

/// Writes a second, the bars for median and p99 in ms, and for the datagrams of a member in a second.
const LOADS: [(u64, f64, f64, f64); 4] =
    [(5, 10.0, 20.0, 130.0), (20, 20.0, 60.0, 130.0), (50, 100.0, 200.0, 130.0), (200, 100.0, 200.0, 130.0)];

fn load(table: &mut Table, size: Option<usize>) -> AnyResult<()> {
    const SECONDS: u64 = 20;
    /// Writes of the first seconds are not counted: the bucket of tokens is full then.
    const BURST: u64 = 3;
    const KEYS: u64 = 16;
    for (rate, median, p99, datagrams) in LOADS {
        let mut group = Group::of(9, size.unwrap_or(64))?;
        let streams: Vec<_> = group.members.iter().map(Member::events).collect();
        let before = Sent::by(&group.members);
        let began = group.cluster.now();
        let (mut written, mut seen): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
        // A write that is overwritten before it has come to all is not seen by all.
        let end = began + secs(SECONDS);
        let mut sent = None;
        while group.cluster.now() < end + secs(2) {
            let now = group.cluster.now();
            if now >= end {
                sent.get_or_insert_with(|| Sent::by(&group.members));
            } else if began + secs(1).mul_f64(written.len() as f64 / rate as f64) <= now {
                let writer = group.draw();
                let key = format!("k{}", group.rng.random_range(0..KEYS));
                group.members[writer].set(&key, (written.len() as u64).to_be_bytes())?;
                written.push(now);
                seen.push(Duration::ZERO);
            }
            group.cluster.run(millis(1));
            for event in streams.iter().flat_map(|stream| stream.try_iter()) {
                if let Event::Changed { value: Some(value), .. } = event {
                    let write = usize::try_from(u64::from_be_bytes(value[..].try_into()?))?;
                    seen[write] = group.cluster.now() - written[write];
                }
            }
        }
        let mut times = seen.split_off(usize::try_from(BURST * rate)?);
        times.sort_unstable();
        let at =
            |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
        let what = format!("{rate} writes a second in all");
        table.at_most(&format!("{what}: seen by all, median"), at(50), median, "ms");
        table.at_most("  99 %", at(99), p99, "ms");
        let sent = sent.ok_or("nothing was sent")?.since(before).datagrams as f64;
        let each = sent / group.members.len() as f64 / SECONDS as f64;
        table.at_most("  datagrams of a member in a second", each, datagrams, "");
    }
    Ok(())
}

fn rest(table: &mut Table, size: Option<usize>) -> AnyResult<()> {
    let mut group = Group::of(5, size.unwrap_or(1_000))?;
    for loss in [0.0, 0.01] {
        group.cluster.loss(loss);
        for _ in 0..20 {
            group.touch();
            group.cluster.run(millis(50));
        }
        group.cluster.run(secs(1));
        let rounds = |member: &Member| member.metrics().rumor_rounds;
        let suspicions = |member: &Member| member.metrics().suspicions;
        let before = (group.sum(rounds), group.sum(suspicions));
        group.cluster.run(secs(10));
        let what = format!("loss {loss}: rounds of rumors in 10 s without news, all members");
        table.at_most(&what, (group.sum(rounds) - before.0) as f64, 0.0, "");
        table.note("  suspicions in them, which are news", &(group.sum(suspicions) - before.1).to_string());
    }
    Ok(())
}

fn repair(table: &mut Table, size: Option<usize>) -> AnyResult<()> {
    const UPDATES: usize = 400;
    /// The first phase, the second phase 100 ms later, and what the lossy links delay.
    const CUT: Duration = millis(160);
    let n = size.unwrap_or(1_000);
    let mut group = Group::of(6, n)?;
    group.cluster.loss(0.1);
    group.cluster.run(secs(10));

    let idle = |member: &Member| member.metrics().syncs_idle;
    let all = |member: &Member| member.metrics().syncs;
    let (idle_before, syncs_before, began) = (group.sum(idle), group.sum(all), group.cluster.now());
    // Who has missed what, and how many syncs it had begun by then.
    let mut open: Vec<(usize, News, u64)> = Vec::new();
    let mut told_by_others = 0;
    let mut times = Vec::new();
    for index in 0..UPDATES {
        let end = group.cluster.now() + secs(1);
        let news = group.touch();
        let mut victim = group.draw();
        if index % 2 == 0 && victim != news.subject {
            group.deafen(&[victim].into());
            group.cluster.run(CUT);
            group.cluster.heal();
        } else {
            victim = news.subject;
        }
        if !group.knows(victim, news) {
            open.push((victim, news, all(&group.members[victim])));
        }
        while group.cluster.now() < end {
            group.cluster.run(millis(5).min(end - group.cluster.now()));
            open.retain(|(victim, news, syncs)| {
                let has_it = group.knows(*victim, *news);
                if has_it {
                    times.push(group.cluster.now() - news.made);
                    told_by_others += u64::from(all(&group.members[*victim]) == *syncs);
                }
                !has_it
            });
        }
    }
    let elapsed = (group.cluster.now() - began).as_secs_f64();
    // What is still open counts with what it has waited so far.
    times.extend(open.iter().map(|(_, news, _)| group.cluster.now() - news.made));
    times.sort_unstable();
    let repaired = quantile(&times, 50).as_secs_f64();
    let what = format!("{n} members, loss 0.1, an update a second: {} were missed", times.len());
    table.note(&what, "");
    table.at_most("  until who has missed it has it: median", repaired, 1.5, "s");
    table.at_most("  p99", quantile(&times, 99).as_secs_f64(), 5.0, "s");
    table.note("  longest", &format!("{:.2}", times.last().copied().unwrap_or_default().as_secs_f64()));
    table.note(
        "  syncs a second, all members",
        &format!("{:.2}", (group.sum(all) - syncs_before) as f64 / elapsed),
    );
    // A sync that tells the other side something has changed nothing on its own.
    let idle = (group.sum(idle) - idle_before).saturating_sub(told_by_others) as f64 / elapsed;
    table.at_most("  of them needless: neither side has learned anything", idle, 0.3, "");
    Ok(())
}

/// Two members with large views and nobody else: the others have joined one of them and are gone, which the two
/// never find out, as they hardly ever probe. So all that is sent is the exchange that is looked at.
fn cost(table: &mut Table, size: Option<usize>) -> AnyResult<()> {
    for n in size.map_or(vec![1_000, 10_000], |size| vec![size]) {
        cost_of_sync(table, n)?;
    }
    Ok(())
}

fn cost_of_sync(table: &mut Table, n: usize) -> AnyResult<()> {
    const STALE: [usize; 3] = [1, 10, 100];
    const TRIALS: usize = 20;
    const BUFFER: f64 = 208.0 * 1_024.0;
    /// What Linux charges a receive buffer for a datagram of up to 1,400 bytes.
    const CHARGED: f64 = 2_304.0;
    let config = || Config::lan().probe_interval(secs(3_000)).isolation_timeout(secs(3_500));
    let mut group = Group::new(7);
    group.add(config().name("ann"))?;
    let subjects = STALE[STALE.len() - 1];
    let crowd = n - 2 - subjects;
    for begin in (0..crowd).step_by(100) {
        let all: Vec<Member> = (begin..crowd.min(begin + 100))
            .map(|index| group.cluster.add(config().name(name(index)).seeds("ann")))
            .collect::<Result<_, _>>()?;
        let known = 1 + begin as u64 + all.len() as u64;
        if !group.cluster.run_until(secs(5), |_| group.members[0].metrics().nodes == known) {
            return Err("not all are let in".into());
        }
    }
    // Rumors about them.
    group.cluster.run(secs(30));

    // A fresh view is filled.
    let before = Sent::by(&group.members);
    let began = group.cluster.now();
    group.add(config().name("bob").seeds("ann"))?;
    let full = n as u64 - subjects as u64;
    let mut in_flight = 0;
    while group.members[1].metrics().nodes < full && group.cluster.now() - began < secs(10) {
        group.cluster.run(micros(50));
        let sent = group.members[0].metrics().datagrams_sent - before.datagrams;
        in_flight = in_flight.max(sent.saturating_sub(group.members[1].metrics().datagrams_received));
    }
    let took = group.cluster.now() - began;
    let filled = Sent::by(&group.members).since(before);
    table.at_most(&format!("{full} records, a fresh view is filled: time"), took.as_secs_f64(), 0.5, "s");
    table.at_most("  bytes, both sides", filled.bytes as f64 / 1_024.0, 650.0, "KiB");
    table.note("  datagrams, both sides", &filled.datagrams.to_string());
    let charged = in_flight as f64 * CHARGED;
    table.at_most("  most datagrams on the way to it: of a buffer of 208 KiB", charged / BUFFER, 0.5, "");
    group.cluster.run(secs(2));

    // Those of whom there will be news stay.
    for index in 0..subjects {
        group.add(config().name(format!("subject{index}")))?;
        group.members[2 + index].join("ann")?;
    }
    let whole = |group: &Group| group.members.iter().all(|member| member.metrics().nodes == n as u64);
    for _ in 0..10 {
        for member in &group.members[1..] {
            member.ping("ann")?;
        }
        group.cluster.run(secs(1));
    }
    if !whole(&group) {
        return Err("not all subjects are known".into());
    }
    group.cluster.run(secs(30));
    for stale in STALE {
        let (mut datagrams, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..TRIALS {
            let trial = one_sync(&mut group, stale)?;
            datagrams.push(trial.datagrams);
            bytes.push(trial.bytes);
        }
        let mean = |of: &[u64]| of.iter().sum::<u64>() as f64 / of.len() as f64;
        let kib = mean(&bytes) / 1_024.0;
        let what = format!("{n} records, {stale} stale: datagrams of the repair, mean");
        let most = format!(
            "{}, {:.1} KiB",
            datagrams.iter().max().unwrap_or(&0),
            *bytes.iter().max().unwrap_or(&0) as f64 / 1_024.0
        );
        match stale {
            1 => {
                table.at_most(&what, mean(&datagrams), 5.0, "");
                table.at_most("  bytes, mean", kib, 3.0, "KiB");
            }
            10 => {
                table.at_most(&what, mean(&datagrams), 18.0, "");
                table.at_most("  bytes, mean", kib, 12.0, "KiB");
            }
            _ => table.note(&what, &format!("{:.1}, {kib:.1} KiB", mean(&datagrams))),
        }
        table.note("  most of both", &most);
    }
    Ok(())
}

/// What `bob` and `ann` send to repair what `bob` has missed of so many subjects.
fn one_sync(group: &mut Group, stale: usize) -> AnyResult<Sent> {
    let mut subjects: Vec<usize> = (2..group.members.len()).collect();
    for index in 0..stale {
        let other = group.rng.random_range(index..subjects.len());
        subjects.swap(index, other);
    }
    subjects.truncate(stale);

    group.deafen(&[1].into());
    let news: Vec<News> = subjects.iter().map(|subject| group.touch_at(*subject)).collect();
    // A ping tells `ann`, whom no rumor may reach.
    for subject in subjects {
        group.members[subject].ping("ann")?;
    }
    // The rumors run out, and so do the ones that others answer with.
    group.cluster.run(secs(5));
    group.cluster.heal();
    if news.iter().any(|news| group.knows(1, *news) || !group.knows(0, *news)) {
        return Err("the wrong ones know".into());
    }
    let before = Sent::by(&group.members);
    // The ping finds it. It and its ack are sent in any case, and do not count.
    group.members[1].ping("ann")?;
    group.cluster.run(millis(300));
    let exchanged = Sent::by(&group.members).since(before);
    if news.iter().any(|news| !group.knows(1, *news)) {
        return Err("it was not repaired".into());
    }
    group.cluster.run(secs(2));
    let before = Sent::by(&group.members);
    group.members[1].ping("ann")?;
    let ping = Sent::by(&group.members).since(before);
    Ok(Sent { datagrams: exchanged.datagrams - ping.datagrams, bytes: exchanged.bytes - ping.bytes })
}

fn joining(table: &mut Table, size: Option<usize>) -> AnyResult<()> {
    let sizes =
        size.map_or(vec![(128, 2.0, 5), (1_000, 2.5, 3), (2_000, 5.0, 1)], |size| vec![(size, 5.0, 1)]);
    for (n, bar, seeds) in sizes {
        let mut completes: Vec<Duration> = Vec::new();
        let mut last = Duration::ZERO;
        let mut joins = Vec::new();
        let (mut sent, mut most) = (0.0_f64, 0.0_f64);
        for seed in 0..seeds {
            let mut group = Group::new(20 + seed);
            group.cluster.loss(0.01);
            group.add_all(n - 1)?;
            let began = group.cluster.now();
            // One of them waits for its answer.
            group.add(Config::lan().name(name(n - 1)))?;
            group.members[n - 1].join(name(0))?;
            joins.push(group.cluster.now() - began);
            let mut open: Vec<usize> = (0..n).collect();
            while !open.is_empty() && group.cluster.now() - began < secs(60) {
                group.cluster.run(millis(5));
                open.retain(|member| {
                    let complete = group.members[*member].metrics().nodes == n as u64;
                    if complete {
                        completes.push(group.cluster.now() - began);
                    }
                    !complete
                });
            }
            completes.extend(open.iter().map(|_| group.cluster.now() - began));
            last = last.max(group.cluster.now() - began);
            let by_now = Sent::by(&group.members);
            sent += by_now.bytes as f64 / n as f64 / 1_000.0 / seeds as f64;
            most = most.max(Sent::by(&group.members[..1]).datagrams as f64);

            if seed == 0 {
                for late in 0..100 {
                    let began = group.cluster.now();
                    group.add(Config::lan().name(format!("late{late}")))?;
                    group.members[n + late].join(name(0))?;
                    joins.push(group.cluster.now() - began);
                    group.cluster.run(millis(20));
                }
            }
        }
        completes.sort_unstable();
        joins.sort_unstable();
        let what = format!("{n} join at once, loss 0.01, {seeds} times");
        table.note(&what, "");
        table.note("  views complete: median", &format!("{:.2}", quantile(&completes, 50).as_secs_f64()));
        table.note("  views complete: p99", &format!("{:.2}", quantile(&completes, 99).as_secs_f64()));
        table.at_most("  every view complete", last.as_secs_f64(), bar, "s");
        let late = joins.last().copied().unwrap_or_default().as_secs_f64();
        table.at_most("  slowest answer of a join, in the crowd and of 100 later", late, 1.5, "s");
        if n == 1_000 {
            table.at_most("  sent a member, mean", sent, 250.0, "kB");
        } else {
            table.note("  sent a member, mean, kB", &format!("{sent:.0}"));
        }
        table.note("  datagrams the seed has sent, most", &format!("{most:.0}"));
    }
    Ok(())
}

fn speed(table: &mut Table, size: Option<usize>) -> AnyResult<()> {
    let n = size.unwrap_or(1_000);
    let before = memory("VmRSS");
    let began = Instant::now();
    let group = Group::of(8, n)?;
    table.note(
        &format!("{n} members join at once and settle: real time, s"),
        &format!("{:.1}", began.elapsed().as_secs_f64()),
    );
    let began = Instant::now();
    let sent = Sent::by(&group.members);
    group.cluster.run(secs(600));
    let took = began.elapsed().as_secs_f64();
    // By now every member has been heard by most others.
    let each = memory("VmRSS").saturating_sub(before) as f64 / n as f64;
    table.note("  memory a member, kB", &format!("{:.0}", each / 1_000.0));
    table.note("  memory a record, B", &format!("{:.0}", each / n as f64));
    table.at_most("  real time of ten calm virtual minutes", took, 120.0, "s");
    let sent = Sent::by(&group.members).since(sent).datagrams;
    table.note("  datagrams in them", &sent.to_string());
    table.note("  real time a datagram, µs", &format!("{:.1}", took * 1e6 / sent as f64));
    Ok(())
}
