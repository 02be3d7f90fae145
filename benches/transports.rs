//! What each transport costs: how fast members join, notice a crash and answer, and how many threads they have.
//!
//!     cargo bench --bench transports
//!
//! Linux only: it counts threads in /proc. Prints a table; the exit code tells whether a view stayed incomplete.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use headcount::transport::{Memory, Tcp, Udp};
use headcount::{Config, Member, Status};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

const MEMBERS: usize = 8;
const RUNS: usize = 5;
const PINGS: usize = 2_000;
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    println!("{MEMBERS} members in one process, LAN profile, medians of {RUNS} runs and {PINGS} pings\n");
    println!(
        "{:<10} {:>10} {:>12} {:>12} {:>20}",
        "transport", "all join", "seen dead", "ping", "threads a member"
    );
    let memory = |config: Config, network: &Memory| config.transport(network.clone());
    let result = measure("UDP", || |config: Config| config.transport(Udp::new()))
        .and_then(|()| measure("TCP", || |config: Config| config.transport(Tcp::new())))
        .and_then(|()| {
            measure("memory", || {
                let network = Memory::new(1);
                move |config| memory(config, &network)
            })
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What one run has shown.
struct Run {
    joined: Duration,
    detected: Duration,
    ping: Duration,
    threads: usize,
}

/// Measures a transport. Each run has a network of its own.
fn measure<N: Fn(Config) -> Config>(name: &str, network: impl Fn() -> N) -> AnyResult<()> {
    let runs = (0..RUNS).map(|_| run(&network())).collect::<AnyResult<Vec<Run>>>()?;
    let times = |of: fn(&Run) -> Duration| median(runs.iter().map(of).collect());
    let threads = runs.iter().map(|run| run.threads).max().unwrap_or_default();
    println!(
        "{name:<10} {:>7.1} ms {:>10.2} s {:>9.0} µs {:>20.1}",
        times(|run| run.joined).as_secs_f64() * 1e3,
        times(|run| run.detected).as_secs_f64(),
        times(|run| run.ping).as_secs_f64() * 1e6,
        threads as f64 / MEMBERS as f64,
    );
    Ok(())
}

fn run(over: &impl Fn(Config) -> Config) -> AnyResult<Run> {
    let before = threads()?;
    let mut members = (0..MEMBERS)
        .map(|index| Member::create(over(Config::lan().name(format!("m{index}")).bind("127.0.0.1:0"))))
        .collect::<headcount::Result<Vec<Member>>>()?;

    let began = Instant::now();
    for member in &members[1..] {
        member.join(members[0].addr())?;
    }
    for member in &members {
        member.wait_until(LIMIT, |nodes| nodes.len() == MEMBERS)?;
    }
    let joined = began.elapsed();

    let pings = (0..PINGS).map(|_| members[0].ping("m1")).collect::<headcount::Result<Vec<Duration>>>()?;
    let threads = threads()? - before;

    let began = Instant::now();
    drop(members.pop());
    members[0].wait_until(LIMIT, |nodes| nodes.len() < MEMBERS)?;
    let detected = began.elapsed();
    match members[0].all_nodes().iter().filter(|node| node.status() == Status::Dead).count() {
        1 => Ok(Run { joined, detected, ping: median(pings), threads }),
        dead => Err(format!("{dead} nodes were reported dead").into()),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Threads of this process.
fn threads() -> AnyResult<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}
