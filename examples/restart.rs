//! A worker that is killed, twice, and goes on where it was, without being told where the others are.
//!
//!     cargo run --example restart
//!
//! The worker is a process of its own. It counts its jobs in its state and keeps a snapshot, with the state in it. Only
//! at its first start it is given a seed. It is killed in the middle of its work, which no program can prepare for, and
//! started again, each time at another port: it finds its cluster by the addresses in the snapshot, and begins with the
//! job after the last one that it had saved. It takes some seconds, ends by itself, and the exit code tells whether
//! anything went otherwise.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it tells a story")]

use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{self, Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use headcount::{Config, Event, Member, Node};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

/// The first argument of the process that is the worker.
const AS_WORKER: &str = "--as-worker";
const LIMIT: Duration = Duration::from_secs(30);
const JOB: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    env_logger::init();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [AS_WORKER, snapshot] => work(snapshot, None),
        [AS_WORKER, snapshot, seed] => work(snapshot, Some(seed)),
        [] => tell_story(),
        _ => Err("usage: restart (it takes no arguments)".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

// ---- The worker ----

fn work(snapshot: &str, seed: Option<&str>) -> AnyResult<()> {
    let config = Config::local().name("worker").bind("127.0.0.1:0").snapshot(snapshot).keep_state(true);
    let member = Member::create(config)?;
    if let Some(seed) = seed {
        member.join(seed)?;
    }
    let mut jobs = jobs_of(&member.local());
    println!("  worker: I run at {} and have done {jobs} jobs", member.addr());

    // Its standard input ends with the program that has started it, and so does it.
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    loop {
        thread::sleep(JOB);
        jobs += 1;
        member.set("jobs", jobs.to_string())?;
        if jobs.is_multiple_of(10) {
            // From here on they are done, whatever happens.
            member.save_snapshot()?;
            member.set("saved", jobs.to_string())?;
        }
    }
}

/// What a worker says it has done.
fn jobs_of(node: &Node) -> u64 {
    node.text("jobs").and_then(|jobs| jobs.parse().ok()).unwrap_or(0)
}

/// And how much of that is on its disk.
fn saved_of(node: &Node) -> u64 {
    node.text("saved").and_then(|jobs| jobs.parse().ok()).unwrap_or(0)
}

// ---- The one who watches it ----

fn tell_story() -> AnyResult<()> {
    let directory = env::temp_dir().join(format!("headcount-restart-{}", process::id()));
    fs::create_dir(&directory)?;
    let result = watch(&directory.join("worker"));
    fs::remove_dir_all(&directory)?;
    result
}

fn watch(snapshot: &Path) -> AnyResult<()> {
    let watcher = Config::local().name("watcher").bind("127.0.0.1:0").on_event(|_, event| {
        if !matches!(event, Event::Changed { .. }) {
            println!("  watcher: {event}");
        }
    });
    let watcher = Member::create(watcher)?;
    println!("The worker is started, with a seed.");
    let mut worker =
        Worker::start(&[AS_WORKER, &snapshot.display().to_string(), &watcher.addr().to_string()])?;
    for jobs in [27, 54] {
        let nodes = watcher
            .wait_until(LIMIT, |nodes| nodes.get("worker").is_some_and(|node| jobs_of(node) >= jobs))?;
        let killed = nodes.get("worker").ok_or("no worker")?.clone();
        worker.kill()?;
        println!(
            "It is killed when it has done {} jobs, and has saved {}.",
            jobs_of(&killed),
            saved_of(&killed)
        );

        println!("It is started again, with nothing but its snapshot.");
        worker = Worker::start(&[AS_WORKER, &snapshot.display().to_string()])?;
        let is_back = |node: &Node| node.generation() > killed.generation() && jobs_of(node) > 0;
        let nodes = watcher.wait_until(LIMIT, |nodes| nodes.get("worker").is_some_and(is_back))?;
        let back = nodes.get("worker").ok_or("no worker")?;
        println!("It is back, at {} instead of {}.", back.addr(), killed.addr());
        if jobs_of(back) < saved_of(&killed) {
            return Err(format!("only {} jobs are left of {}", jobs_of(back), saved_of(&killed)).into());
        }
    }
    worker.kill()
}

/// The worker's process, which is gone with it.
struct Worker(Child);

impl Worker {
    fn start(arguments: &[&str]) -> AnyResult<Self> {
        let mut command = Command::new(env::current_exe()?);
        Ok(Self(command.args(arguments).stdin(Stdio::piped()).spawn()?))
    }

    /// By a signal that it can not catch.
    fn kill(&mut self) -> AnyResult<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It fails only if it has ended already.
        let _ = self.kill();
    }
}
