//! Many members in one process: how fast they all see each other, what it costs, and what is left of members
//! that come and go.
//!
//!     cargo bench --bench many            # 256 members
//!     cargo bench --bench many -- 64
//!
//! Linux only: it counts threads and descriptors in /proc. Prints a table; the exit code tells whether a view
//! stayed incomplete or anything was left.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

use std::env;
use std::fs;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use headcount::{Config, Event, Member};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

const MEMBERS: usize = 256;
const LIMIT: Duration = Duration::from_secs(60);
const CYCLES: usize = 1_000;

fn main() -> ExitCode {
    // `cargo bench` passes "--bench".
    let members = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(MEMBERS);
    match measure_join(members).and_then(|()| measure_churn()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("\nSomething was left.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn row(what: &str, result: &str) {
    println!("{what:<66} {result}");
}

/// A member that tells when it has heard of all others.
fn start(index: usize, members: usize, complete: Sender<Instant>) -> headcount::Result<Member> {
    let mut joined = 0;
    let config = Config::lan().name(format!("m{index:04}")).bind("127.0.0.1:0");
    Member::create(config.on_event(move |_, event| {
        if matches!(event, Event::Joined(_)) {
            joined += 1;
            if joined == members - 1 {
                // Nobody listens any more when the measurement is over.
                let _ = complete.send(Instant::now());
            }
        }
    }))
}

fn measure_join(members: usize) -> AnyResult<()> {
    println!("{members} members in one process, LAN profile\n");
    let (sender, complete) = channel();
    let all = (0..members)
        .map(|index| start(index, members, sender.clone()))
        .collect::<headcount::Result<Vec<Member>>>()?;

    let began = join_at_once(&all)?;
    let times = collect(&complete, began, members)?;
    row("all join one seed at once: until the first view is complete", &seconds(times[0]));
    row("  until half of the views are complete", &seconds(times[members / 2]));
    row("  until every view is complete", &seconds(times[members - 1]));
    print_sent(&all, "until then");
    if let Some(member) = all.iter().find(|member| member.nodes().len() != members) {
        return Err(format!("{} sees {} nodes", member.name(), member.nodes().len()).into());
    }
    Ok(())
}

/// Lets all but the first member join it at the same moment; returns when that was.
fn join_at_once(all: &[Member]) -> AnyResult<Instant> {
    let (seed, joiners) = all.split_first().ok_or("no members")?;
    let barrier = Barrier::new(joiners.len() + 1);
    thread::scope(|scope| {
        let joins: Vec<_> = joiners
            .iter()
            .map(|member| {
                scope.spawn(|| {
                    barrier.wait();
                    member.join(seed.addr()).map(drop)
                })
            })
            .collect();
        barrier.wait();
        let began = Instant::now();
        for join in joins {
            join.join().map_err(|_| "a thread panicked")??;
        }
        Ok(began)
    })
}

/// When each view was complete, in order.
fn collect(complete: &Receiver<Instant>, began: Instant, members: usize) -> AnyResult<Vec<Duration>> {
    let deadline = began + LIMIT;
    let mut times = Vec::new();
    while times.len() < members {
        match complete.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(at) => times.push(at.saturating_duration_since(began)),
            Err(_) => return Err(format!("only {} of {members} views are complete", times.len()).into()),
        }
    }
    times.sort_unstable();
    Ok(times)
}

fn print_sent(all: &[Member], when: &str) {
    let count = u64::try_from(all.len()).unwrap_or(1);
    let metrics: Vec<_> = all.iter().map(Member::metrics).collect();
    let datagrams: Vec<u64> = metrics.iter().map(|metrics| metrics.datagrams_sent).collect();
    let bytes: Vec<u64> = metrics.iter().map(|metrics| metrics.bytes_sent).collect();
    let mean_and_most = |of: &[u64]| {
        format!("{}, {}", of.iter().sum::<u64>() / count, of.iter().max().copied().unwrap_or_default())
    };
    row(&format!("  datagrams a member has sent {when}: mean, most"), &mean_and_most(&datagrams));
    row(&format!("  bytes a member has sent {when}: mean, most"), &mean_and_most(&bytes));
}

/// True if nothing was left.
fn measure_churn() -> AnyResult<bool> {
    println!("\n{CYCLES} members that are created and dropped, one after the other\n");
    let cycle = || Member::create(Config::lan().name("m").bind("127.0.0.1:0")).map(drop);
    // What is started once, at first need, is there after the first one.
    cycle()?;
    settle(None)?;
    let before = leftovers()?;
    let began = Instant::now();
    for _ in 0..CYCLES {
        cycle()?;
    }
    let elapsed = began.elapsed();
    settle(Some(before))?;
    let after = leftovers()?;
    row("time for each", &format!("{:.3} ms", elapsed.as_secs_f64() * 1_000.0 / CYCLES as f64));
    row("threads before, after", &format!("{}, {}", before.0, after.0));
    row("descriptors before, after", &format!("{}, {}", before.1, after.1));
    Ok(after.0 <= before.0 && after.1 <= before.1)
}

/// Gives threads that have done their work a moment to be gone from /proc.
fn settle(goal: Option<(usize, usize)>) -> AnyResult<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        let now = leftovers()?;
        if goal.is_some_and(|goal| now.0 <= goal.0 && now.1 <= goal.1) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Threads and descriptors of this process.
fn leftovers() -> AnyResult<(usize, usize)> {
    Ok((fs::read_dir("/proc/self/task")?.count(), fs::read_dir("/proc/self/fd")?.count()))
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
