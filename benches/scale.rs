//! How what a cluster costs, and how fast it is, grow with the number of its members, on the simulator.
//!
//!     cargo bench --bench scale                    # 16 to 5,000 members: ten minutes, and 6.5 GB
//!     cargo bench --bench scale -- 64 256 5000     # so many; 5,000 take five minutes
//!     cargo bench --bench scale -- plots/          # with the plots in this directory
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench scale    # 10,000 members, too: five minutes more
//!
//! | column | what it is |
//! |---|---|
//! | join | until every view is complete, when all join through one seed at one moment; the kB that a member has sent by then |
//! | news | until all know one piece of news, at 1 % loss; the datagrams that a member sends for it |
//! | death | one crashes: until the first and until the last of the others have given it up, the middle one of some |
//! | rest | what a member sends in a second when nothing happens |
//! | churn | the same while one member each second crashes and starts anew |
//! | memory | of a member, with all that the simulator keeps for it, when all that is over |
//!
//! The LAN profile, 0.2 to 1 ms from host to host; bytes with the 28 of IP and UDP. At every size 100 pieces of news
//! and 5 crashes. Each size has a process of its own, so that memory is what it says.
//!
//! A view of N nodes needs some 260 bytes for each, so N members that have joined need 260 × N² bytes: 6.5 GB for
//! 5,000. Larger clusters are acquainted instead (`sim::Cluster::acquaint`): their views share what they have in common,
//! so neither joining nor memory can be told of them. Joining is N² in time, too: each of N members takes in N records.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

use std::env;
use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use headcount::{Config, Status};

use group::{Group, Sent, name, some_left};
use lab::{AnyResult, Load, share};
use report::{Arguments, Chart, Line, Report, number};

#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod group;
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod lab;
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod report;

const SIZES: &[usize] = if cfg!(headcount_bench) {
    &[16, 64, 128, 256, 512, 1_000, 2_500, 5_000, 10_000]
} else {
    &[16, 64, 128, 256, 512, 1_000, 2_500, 5_000]
};
/// In larger clusters nobody joins.
const JOINED_MAX: usize = 5_000;
/// Bytes of the IP and UDP headers of a datagram.
const HEADERS: u64 = 28;
/// How long is waited for what must happen.
const PATIENCE: Duration = secs(120);
const CRASHES: usize = 5;
/// How often it is asked who has missed one that has crashed. All are asked until somebody has, which takes a while
/// when they are ten thousand.
const DEATH_STEP: Duration = Duration::from_millis(25);
/// How a process is told to measure one size.
const ONE: &str = "one";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// What is measured of one size; zero where it can not be told.
const TIMES: [&str; 5] = ["join s", "news ms", "99 %", "death s", "to all s"];
const COSTS: [&str; 7] =
    ["join kB", "news dg", "rest dg/s", "rest B/s", "churn dg/s", "churn B/s", "memory kB"];
const FIGURES: usize = TIMES.len() + COSTS.len();
type Figures = [f64; FIGURES];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.names.iter().any(|name| name == ONE), arguments.numbers.as_slice()) {
        (true, [n]) => measure(*n).map(|figures| {
            println!("{}", figures.map(|figure| figure.to_string()).join(" "));
            ExitCode::SUCCESS
        }),
        (false, []) => compare(&Report::new(&arguments), SIZES),
        (false, sizes) => compare(&Report::new(&arguments), sizes),
        (true, _) => Err("one size is needed".into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// Measures all sizes, and prints and draws how the figures grow.
fn compare(report: &Report, sizes: &[usize]) -> AnyResult<ExitCode> {
    let mut all: Vec<(f64, Figures)> = Vec::new();
    for n in sizes {
        all.push((*n as f64, in_own_process(*n)?));
    }
    report.title("scale: how fast a cluster is, by the number of its members");
    print(report, &all, 0, &TIMES);
    report.title("and what it costs a member");
    print(report, &all, TIMES.len(), &COSTS);

    let line = |what: &str, column: usize, unit: f64| -> Line {
        (what.to_owned(), all.iter().map(|(n, figures)| (*n, figures[column] * unit)).collect())
    };
    let times =
        vec![line("a death: to all", 4, 1.0), line("all join at once", 0, 1.0), line("news: 99 %", 2, 1e-3)];
    report.draw(
        "scale-times",
        &Chart { title: "how long it takes", x: "members", y: "seconds", lines: times },
    )?;
    let loads = vec![
        line("bytes, one restarts each second", 10, 1.0),
        line("bytes at rest", 8, 1.0),
        line("datagrams, one restarts each second", 9, 1.0),
        line("datagrams at rest", 7, 1.0),
    ];
    report.draw(
        "scale-loads",
        &Chart { title: "what a member sends", x: "members", y: "each second", lines: loads },
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Prints some columns of the figures, and how they grow.
fn print(report: &Report, all: &[(f64, Figures)], from: usize, columns: &[&str]) {
    report.line("members", columns.iter().map(|column| (*column).to_owned()));
    for (n, figures) in all {
        let show = |figure: &f64| if *figure == 0.0 { "-".to_owned() } else { number(*figure) };
        report.line(&number(*n), figures[from..].iter().take(columns.len()).map(show));
    }
    let growth = |column: usize| {
        let mut known = all.iter().filter(|(_, figures)| figures[column] > 0.0);
        match (known.next(), known.next_back()) {
            (Some((n, first)), Some((more, last))) => {
                format!("N^{:.2}", (last[column] / first[column]).ln() / (more / n).ln())
            }
            _ => "-".to_owned(),
        }
    };
    report.line("grows from first to last as", (from..from + columns.len()).map(growth));
    println!();
}

fn in_own_process(n: usize) -> AnyResult<Figures> {
    let arguments = [ONE.to_owned(), n.to_string()];
    let output = Command::new(env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{n} members can not be measured").into());
    }
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    figures.try_into().map_err(|_| "not all figures were measured".into())
}

// ---- One size ----

fn measure(n: usize) -> AnyResult<Figures> {
    let before = resident();
    let (mut group, join) = if n > JOINED_MAX { (Group::acquainted(1, n)?, None) } else { join(n)? };
    let rest = load(&mut group, |_, _| Ok(()))?;
    let (news, news_cost) = spread(&mut group, rest);
    let (first, last) = deaths(&mut group)?;
    let churned = load(&mut group, churn)?;
    let memory = if n > JOINED_MAX { 0.0 } else { (resident() - before) / n as f64 / 1_000.0 };
    let (join_time, join_bytes) = join.unwrap_or_default();
    let millis = |times: &[Duration], part| share(times, part).as_secs_f64() * 1_000.0;
    Ok([
        join_time,
        millis(&news, 0.5),
        millis(&news, 0.99),
        first,
        last,
        join_bytes / 1_000.0,
        news_cost,
        rest.datagrams,
        rest.bytes,
        churned.datagrams,
        churned.bytes,
        memory,
    ])
}

const NEWS: usize = 100;
/// Two phases 100 ms apart, and their rounds.
const NEWS_PAUSE: Duration = Duration::from_millis(400);
const OBSERVED: Duration = secs(20);

/// How long pieces of news need to reach everybody at 1 % loss, in order, and the datagrams that a member sends for
/// one, beyond what it sends at rest.
fn spread(group: &mut Group, rest: Load) -> (Vec<Duration>, f64) {
    group.cluster.loss(0.01);
    let (began, before) = (group.cluster.now(), Sent::by(&group.members));
    let mut times: Vec<Duration> = (0..NEWS)
        .map(|_| {
            let piece = group.touch();
            let time = group.spread(piece, PATIENCE);
            group.cluster.run(NEWS_PAUSE);
            time
        })
        .collect();
    times.sort_unstable();
    // The last one, too, is told to its end.
    group.cluster.run(secs(2));
    let sent = Sent::by(&group.members).since(before).datagrams as f64 / group.members.len() as f64;
    let at_rest = rest.datagrams * (group.cluster.now() - began).as_secs_f64();
    group.cluster.loss(0.0);
    group.cluster.run(secs(2));
    (times, (sent - at_rest) / NEWS as f64)
}

/// All join at once: the time until every view is complete, and the bytes that a member has sent by then.
fn join(n: usize) -> AnyResult<(Group, Option<(f64, f64)>)> {
    let mut group = Group::new(1);
    group.add_all(n)?;
    let is_complete = |member: usize| group.members[member].metrics().nodes == n as u64;
    let mut open: Vec<usize> = (0..n).collect();
    while some_left(&mut open, is_complete) && group.cluster.now() < PATIENCE {
        group.cluster.run(Duration::from_millis(2));
    }
    if !open.is_empty() {
        return Err(format!("of {n} views {} are not complete", open.len()).into());
    }
    let took = group.cluster.now().as_secs_f64();
    let sent = Sent::by(&group.members).bytes as f64 / n as f64;
    Ok((group.settle()?, Some((took, sent))))
}

/// What a member sends in a second while something happens each second.
fn load(group: &mut Group, mut happen: impl FnMut(&mut Group, usize) -> AnyResult<()>) -> AnyResult<Load> {
    let sent = |group: &Group| Sent::by(&group.members);
    let (mut datagrams, mut bytes) = (0, 0);
    for second in 0..usize::try_from(OBSERVED.as_secs())? {
        happen(group, second)?;
        let before = sent(group);
        group.cluster.run(secs(1));
        let now = sent(group).since(before);
        datagrams += now.datagrams;
        bytes += now.bytes;
    }
    let member_seconds = group.members.len() as f64 * OBSERVED.as_secs_f64();
    Ok(Load { datagrams: datagrams as f64 / member_seconds, bytes: bytes as f64 / member_seconds })
}

/// One starts anew, and joins through another.
fn churn(group: &mut Group, second: usize) -> AnyResult<()> {
    let n = group.members.len();
    let (one, seed) = (name(second * 7 % n), name((second * 7 + 1) % n));
    group.members[second * 7 % n] =
        group.cluster.restart(&one, Config::lan().name(one.clone()).seeds(seed))?;
    Ok(())
}

/// One crashes after another: until the first and until all of the others have given it up, in the middle.
fn deaths(group: &mut Group) -> AnyResult<(f64, f64)> {
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for _ in 0..CRASHES {
        let victim = group.draw();
        let began = group.cluster.now();
        group.cluster.crash(&name(victim));
        let mut open: Vec<usize> = (0..group.members.len()).filter(|member| *member != victim).collect();
        let all = open.len();
        let mut first = None;
        while !open.is_empty() {
            group.cluster.run(DEATH_STEP);
            let is_active = |member: &usize| {
                let node = group.members[*member].node(&name(victim));
                node.is_some_and(|node| node.status() != Status::Dead)
            };
            open.retain(is_active);
            if open.len() < all {
                first.get_or_insert(group.cluster.now() - began);
            }
            if group.cluster.now() - began > PATIENCE {
                return Err(format!("{} have not missed {}", open.len(), name(victim)).into());
            }
        }
        firsts.extend(first);
        lasts.push(group.cluster.now() - began);
        group.members[victim] = group.cluster.restart(&name(victim), Config::lan())?;
        group.members[victim].join(name((victim + 1) % group.members.len()))?;
        group.cluster.run(secs(5));
    }
    firsts.sort_unstable();
    lasts.sort_unstable();
    Ok((share(&firsts, 0.5).as_secs_f64(), share(&lasts, 0.5).as_secs_f64()))
}

/// The memory that this process holds, in bytes; zero where there is no /proc.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() * 1_024.0
}
