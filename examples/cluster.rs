//! A cluster in one command: six processes and an observer on this host, with the timings of a LAN.
//!
//!     cargo run --example cluster
//!
//! Everybody joins; one process is killed and suspected and given up by the others; it is started again
//! under its name; another one leaves. What each of them sees is printed with the time at which it saw it,
//! and a table sums it up. It takes less than a minute, ends by itself, and the exit code tells whether
//! anything went otherwise.
//!
//! The program starts itself for each process. A process is told through its standard input to leave, and
//! ends when that input does, so none is left behind.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it tells a story")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headcount::{Config, Event, Member};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

const OBSERVER: &str = "observer";
const PROCESSES: [&str; 6] = ["ann", "bob", "cleo", "dan", "eve", "finn"];
const CRASHES: &str = "cleo";
const LEAVES: &str = "eve";

/// The first argument of a process that is one of the six.
const AS_PROCESS: &str = "--as-process";
/// What a process prints first, before the address it runs at.
const RUNS: &str = "runs-at";
/// What has not happened by then does not happen.
const LIMIT: Duration = Duration::from_secs(50);
/// How long to go on watching when all is said, for what must not come.
const AFTERMATH: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    env_logger::init();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [AS_PROCESS, name, bind, seed] => run_process(name, bind, seed).map(|()| true),
        [] => run_story(),
        _ => Err("usage: cluster (it takes no arguments)".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

// ---- One of the six processes ----

fn run_process(name: &str, bind: &str, seed: &str) -> AnyResult<()> {
    let member = Member::create(Config::lan().name(name).bind(bind).on_event(|member, event| {
        println!("{}", Line::new(member, &event));
    }))?;
    println!("{RUNS} {}", member.addr());
    member.join(seed)?;

    let mut order = String::new();
    io::stdin().read_line(&mut order)?;
    if order.trim() == "leave" {
        member.leave(Duration::from_secs(5))?;
    }
    Ok(())
}

/// One event as it goes from a process to the story: when, how many nodes are active, what happened, to whom.
struct Line {
    /// Since the Unix epoch: the one clock that all processes of a host share.
    at: Duration,
    nodes: usize,
    what: What,
    who: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Joined,
    Suspected,
    Recovered,
    Died,
    Left,
    Restarted,
    Other,
}

impl What {
    const ALL: [Self; 7] = [
        Self::Joined,
        Self::Suspected,
        Self::Recovered,
        Self::Died,
        Self::Left,
        Self::Restarted,
        Self::Other,
    ];

    fn of(event: &Event) -> Self {
        match event {
            Event::Joined(_) => Self::Joined,
            Event::Suspected(_) => Self::Suspected,
            Event::Recovered(_) => Self::Recovered,
            Event::Died { .. } => Self::Died,
            Event::Left(_) => Self::Left,
            Event::Restarted(_) => Self::Restarted,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Joined => "joined",
            Self::Suspected => "suspected",
            Self::Recovered => "recovered",
            Self::Died => "died",
            Self::Left => "left",
            Self::Restarted => "restarted",
            Self::Other => "other",
        })
    }
}

impl Line {
    fn new(member: &Member, event: &Event) -> Self {
        Self {
            at: now(),
            nodes: member.nodes().len(),
            what: What::of(event),
            who: event.node().map_or("-", |node| node.name()).to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let at = Duration::from_micros(words.next()?.parse().ok()?);
        let nodes = words.next()?.parse().ok()?;
        let what = words.next()?;
        let what = What::ALL.into_iter().find(|known| known.to_string() == what)?;
        Some(Self { at, nodes, what, who: words.next()?.to_owned() })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.at.as_micros(), self.nodes, self.what, self.who)
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

// ---- The story ----

/// True if everything went as it should.
fn run_story() -> AnyResult<bool> {
    let mut story = Story::begin()?;
    let everybody: BTreeSet<&str> = PROCESSES.into_iter().chain([OBSERVER]).collect();
    let but = |gone: &str| everybody.iter().copied().filter(|&name| name != gone).collect::<BTreeSet<_>>();

    let since = story.heading("Six processes start and join the observer.");
    for name in PROCESSES {
        story.start(name, "127.0.0.1:0")?;
    }
    story.chapter("all seven see seven nodes", since, &everybody, |seen| seen.nodes == everybody.len());

    let since = story.heading(&format!("{CRASHES} is killed (SIGKILL)."));
    let addr = story.kill(CRASHES)?;
    let about = |what, who| move |seen: &Line| seen.what == what && seen.who == who;
    story.chapter(&format!("{CRASHES} suspected"), since, &but(CRASHES), about(What::Suspected, CRASHES));
    story.chapter(&format!("{CRASHES} given up"), since, &but(CRASHES), about(What::Died, CRASHES));

    let since = story.heading(&format!("{CRASHES} is started again, at the same address."));
    story.start(CRASHES, &addr.to_string())?;
    story.chapter(&format!("{CRASHES} restarted"), since, &but(CRASHES), about(What::Restarted, CRASHES));
    story.chapter(&format!("{CRASHES} sees seven nodes"), since, &[CRASHES].into(), |seen| {
        seen.nodes == everybody.len()
    });

    let since = story.heading(&format!("{LEAVES} leaves."));
    story.leave(LEAVES)?;
    story.chapter(&format!("{LEAVES} left"), since, &but(LEAVES), about(What::Left, LEAVES));
    story.wait_for_exit(LEAVES)?;

    story.watch(AFTERMATH);
    Ok(story.finish())
}

/// A line, and who said it.
struct Told {
    by: String,
    line: Line,
}

/// One row of the summary.
struct Row {
    text: String,
    first: Option<Duration>,
    last: Option<Duration>,
    seen: usize,
    expected: usize,
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    addr: SocketAddr,
}

/// Ends the process if it was not told to end before.
impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Story {
    began: Duration,
    deadline: Instant,
    observer: Member,
    processes: BTreeMap<String, Process>,
    sender: Sender<Told>,
    lines: Receiver<Told>,
    log: Vec<Told>,
    rows: Vec<Row>,
}

impl Story {
    fn begin() -> AnyResult<Self> {
        let (sender, lines) = channel();
        let told = sender.clone();
        let observer = Member::create(Config::lan().name(OBSERVER).bind("127.0.0.1:0").on_event(
            move |member, event| {
                // Nobody listens any more when the story is over.
                let _ = told.send(Told { by: OBSERVER.into(), line: Line::new(member, &event) });
            },
        ))?;
        Ok(Self {
            began: now(),
            deadline: Instant::now() + LIMIT,
            observer,
            processes: BTreeMap::new(),
            sender,
            lines,
            log: Vec::new(),
            rows: Vec::new(),
        })
    }

    fn start(&mut self, name: &str, bind: &str) -> AnyResult<()> {
        let mut child = Command::new(env::current_exe()?)
            .args([AS_PROCESS, name, bind, &self.observer.addr().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no standard output")?);

        let mut first = String::new();
        stdout.read_line(&mut first)?;
        let addr = first.trim().strip_prefix(RUNS).ok_or_else(|| format!("{name} does not start"))?;
        let process = Process { child, stdin, addr: addr.trim().parse()? };
        self.processes.insert(name.to_owned(), process);

        let (by, told) = (name.to_owned(), self.sender.clone());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok).filter_map(|text| Line::parse(&text)) {
                if told.send(Told { by: by.clone(), line }).is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Kills the process and returns where it ran.
    fn kill(&mut self, name: &str) -> AnyResult<SocketAddr> {
        let mut process = self.processes.remove(name).ok_or("no such process")?;
        process.child.kill()?;
        process.child.wait()?;
        Ok(process.addr)
    }

    fn leave(&mut self, name: &str) -> AnyResult<()> {
        let process = self.processes.get_mut(name).ok_or("no such process")?;
        writeln!(process.stdin, "leave")?;
        Ok(())
    }

    fn wait_for_exit(&mut self, name: &str) -> AnyResult<()> {
        let mut process = self.processes.remove(name).ok_or("no such process")?;
        while Instant::now() < self.deadline {
            if let Some(status) = process.child.try_wait()? {
                let good = if status.success() { Ok(()) } else { Err(format!("{name}: {status}").into()) };
                return good;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("{name} does not end").into())
    }

    /// Prints a heading and returns the time it stands for.
    fn heading(&self, text: &str) -> Duration {
        let now = now();
        println!("\n{:>8.3} s  {text}", now.saturating_sub(self.began).as_secs_f64());
        now
    }

    /// Waits until all of `observers` have said something for which `is_it` holds, and makes a row of it.
    fn chapter(
        &mut self,
        text: &str,
        since: Duration,
        observers: &BTreeSet<&str>,
        is_it: impl Fn(&Line) -> bool,
    ) {
        let everybody = observers.len();
        while self.first_times(since, observers, &is_it).len() < everybody && self.take_line(self.deadline) {}

        let times = self.first_times(since, observers, &is_it);
        self.rows.push(Row {
            text: text.to_owned(),
            first: times.iter().min().copied(),
            last: times.iter().max().copied(),
            seen: times.len(),
            expected: observers.len(),
        });
    }

    /// How long after `since` each observer said it first; those who did not are left out.
    fn first_times(
        &self,
        since: Duration,
        observers: &BTreeSet<&str>,
        is_it: impl Fn(&Line) -> bool,
    ) -> Vec<Duration> {
        let first = |observer: &&str| {
            let said = |told: &&Told| told.by == *observer && told.line.at >= since && is_it(&told.line);
            self.log.iter().find(said).map(|told| told.line.at.saturating_sub(since))
        };
        observers.iter().filter_map(first).collect()
    }

    fn watch(&mut self, duration: Duration) {
        let deadline = Instant::now() + duration;
        while self.take_line(deadline) {}
    }

    /// Prints and keeps the next line; false if none came before the deadline.
    fn take_line(&mut self, deadline: Instant) -> bool {
        let Ok(told) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
            return false;
        };
        let Told { by, line } = &told;
        println!(
            "{:>8.3} s      {by:<8} sees: {} {}, {} nodes",
            line.at.saturating_sub(self.began).as_secs_f64(),
            line.who,
            line.what,
            line.nodes
        );
        self.log.push(told);
        true
    }

    /// Prints the summary; true if all went as it should.
    fn finish(&self) -> bool {
        println!("\n{:<30} {:>10} {:>10} {:>9}", "what", "first", "last", "seen by");
        for row in &self.rows {
            let seen = format!("{} of {}", row.seen, row.expected);
            println!("{:<30} {:>10} {:>10} {seen:>9}", row.text, seconds(row.first), seconds(row.last));
        }

        let wrong: Vec<&Told> = self.log.iter().filter(|told| !self.is_expected(told)).collect();
        println!("{:<30} {:>31}", "reported otherwise", wrong.len());
        for Told { by, line } in &wrong {
            println!("    {by} says that {} {}", line.who, line.what);
        }
        let good = wrong.is_empty() && self.rows.iter().all(|row| row.seen == row.expected);
        println!("\n{}", if good { "All went as it should." } else { "Something went otherwise." });
        good
    }

    /// Whether this is part of the story: each of its events, once per observer.
    fn is_expected(&self, told: &Told) -> bool {
        let Told { by, line } = told;
        let part = match line.what {
            // The one that starts again meets everybody a second time.
            What::Joined => return true,
            What::Suspected | What::Died | What::Restarted => line.who == CRASHES,
            What::Left => line.who == LEAVES,
            What::Recovered | What::Other => false,
        };
        let times = self
            .log
            .iter()
            .filter(|other| other.by == *by && other.line.what == line.what && other.line.who == line.who)
            .count();
        part && times == 1
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| format!("{:.3} s", time.as_secs_f64()))
}
