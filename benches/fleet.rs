//! Members as processes of the measuring program itself, and what they tell it.
//!
//! A process is told what to do through its standard input and ends when that does, so none is left behind.
//! It prints each event and each answer as one line, with the time since the Unix epoch in front: the one
//! clock that all processes of a host share.

#![allow(dead_code, reason = "each of the measuring programs uses a part")]

use std::collections::BTreeMap;
use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headcount::discovery::Multicast;
use headcount::{Config, Event, Member};

pub(crate) type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

/// The first argument of a process that is a member.
const AS_MEMBER: &str = "--as-member";
/// The last argument of one that is to find the others by multicast.
const BY_MULTICAST: &str = "by-multicast";

/// Views that are equal for so long are taken to stay so.
const STAY: Duration = Duration::from_secs(3);

// ---- One member ----

/// The `main` of a benchmark of processes, each of which is this program started once more: runs a member if it was
/// started as one, else the benchmark, with the numbers among its arguments (`cargo bench` passes words as well). That
/// answers what went otherwise than it should, if anything did.
pub(crate) fn main(bench: impl FnOnce(&[u64]) -> AnyResult<Option<String>>) -> ExitCode {
    let run = || {
        if is_member()? {
            return Ok(None);
        }
        let numbers: Vec<u64> = env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
        bench(&numbers)
    };
    match run() {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(complaint)) => {
            println!("\n{complaint}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is to be said of so many things that went wrong.
pub(crate) fn complaint(wrong: usize) -> Option<String> {
    (wrong > 0).then(|| format!("{wrong} things went otherwise than they should."))
}

/// Runs a member and returns true if this process was started as one.
fn is_member() -> AnyResult<bool> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [AS_MEMBER, name, bind] => run_member(Config::lan().name(name).bind(bind)).map(|()| true),
        [AS_MEMBER, name, bind, BY_MULTICAST] => {
            run_member(Config::lan().name(name).bind(bind).discovery(Multicast::new())).map(|()| true)
        }
        [AS_MEMBER, name, bind, snapshot] => {
            run_member(Config::lan().name(name).bind(bind).snapshot(snapshot)).map(|()| true)
        }
        _ => Ok(false),
    }
}

fn run_member(config: Config) -> AnyResult<()> {
    let member = Member::create(config.on_event(|member, event| {
        let View { count, hash } = View::of(member);
        say(&format!("event {} {} {count} {hash}", word(&event), about(&event)));
    }))?;
    say(&format!("ready {}", member.addr()));

    for line in io::stdin().lines() {
        match line?.split_once(' ').unwrap_or(("view", "")) {
            ("join", seed) => match member.join(seed) {
                Ok(_) => say("joined"),
                Err(error) => say(&format!("failed {error}")),
            },
            ("count", _) => {
                let metrics = member.metrics();
                say(&format!("sent {} {}", metrics.datagrams_sent, metrics.bytes_sent));
            }
            _ => {
                let View { count, hash } = View::of(&member);
                say(&format!("view {count} {hash}"));
            }
        }
    }
    Ok(())
}

fn say(text: &str) {
    // Nobody reads any more when the measurement is over.
    let _ = writeln!(io::stdout(), "{} {text}", now().as_micros());
}

fn word(event: &Event) -> &'static str {
    match event {
        Event::Joined(_) => "joined",
        Event::Suspected(_) => "suspected",
        Event::Recovered(_) => "recovered",
        Event::Died { .. } => "died",
        Event::Left(_) => "left",
        Event::Restarted(_) => "restarted",
        Event::Moved(_) => "moved",
        Event::Lagged(_) => "lagged",
        _ => "other",
    }
}

fn about(event: &Event) -> &str {
    event.node().map_or("-", |node| node.name())
}

pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A view in short: how many nodes are active, and a hash over their names, addresses and generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) count: usize,
    hash: u64,
}

impl View {
    fn of(member: &Member) -> Self {
        let nodes = member.nodes();
        let mut hasher = DefaultHasher::new();
        for node in &nodes {
            (node.name(), node.addr(), node.generation()).hash(&mut hasher);
        }
        Self { count: nodes.len(), hash: hasher.finish() }
    }
}

// ---- All of them ----

/// What a member said, and when.
pub(crate) struct Told {
    pub(crate) by: String,
    /// Since the Unix epoch.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

pub(crate) enum What {
    /// What happened to whom, and the view after it.
    Event {
        word: String,
        about: String,
        view: View,
    },
    View(View),
    /// Datagrams and bytes since the start.
    Sent(u64, u64),
    Joined,
    Failed(String),
}

impl Told {
    fn parse(by: &str, text: &str) -> Option<Self> {
        let (at, text) = text.split_once(' ')?;
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        let what = match (kind, &words[..]) {
            ("event", [word, about, count, hash]) => What::Event {
                word: (*word).into(),
                about: (*about).into(),
                view: View { count: count.parse().ok()?, hash: hash.parse().ok()? },
            },
            ("view", [count, hash]) => {
                What::View(View { count: count.parse().ok()?, hash: hash.parse().ok()? })
            }
            ("sent", [datagrams, bytes]) => What::Sent(datagrams.parse().ok()?, bytes.parse().ok()?),
            ("joined", _) => What::Joined,
            ("failed", _) => What::Failed(rest.into()),
            _ => return None,
        };
        Some(Self { by: by.to_owned(), at: Duration::from_micros(at.parse().ok()?), what })
    }

    /// Whether this is an event of this kind about this node.
    pub(crate) fn is_event(&self, of_kind: &str, about_node: &str) -> bool {
        matches!(&self.what, What::Event { word, about, .. } if word == of_kind && about == about_node)
    }
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    addr: SocketAddr,
}

/// Ends the process, a stopped one too.
impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Fleet {
    processes: BTreeMap<String, Process>,
    sender: Sender<Told>,
    lines: Receiver<Told>,
    pub(crate) log: Vec<Told>,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let (sender, lines) = channel();
        Self { processes: BTreeMap::new(), sender, lines, log: Vec::new() }
    }

    /// Starts a member, with `launcher` (a command that runs what follows it) in front if there is one.
    pub(crate) fn start(&mut self, launcher: &[&str], name: &str, bind: &str) -> AnyResult<SocketAddr> {
        self.launch(launcher, name, &[bind])
    }

    /// Starts a member that keeps its snapshot in a file.
    pub(crate) fn start_kept(&mut self, name: &str, bind: &str, snapshot: &Path) -> AnyResult<SocketAddr> {
        self.launch(&[], name, &[bind, &snapshot.display().to_string()])
    }

    /// Starts a member that finds the others by multicast.
    pub(crate) fn start_with_multicast(
        &mut self,
        launcher: &[&str],
        name: &str,
        bind: &str,
    ) -> AnyResult<SocketAddr> {
        self.launch(launcher, name, &[bind, BY_MULTICAST])
    }

    fn launch(&mut self, launcher: &[&str], name: &str, arguments: &[&str]) -> AnyResult<SocketAddr> {
        let program = env::current_exe()?.display().to_string();
        let words = launcher.iter().copied().chain([program.as_str(), AS_MEMBER, name]);
        let mut words = words.chain(arguments.iter().copied());
        let mut child = Command::new(words.next().unwrap_or_default())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no standard output")?);

        let mut first = String::new();
        stdout.read_line(&mut first)?;
        let addr = first.trim().rsplit_once("ready ").ok_or_else(|| format!("{name} does not start"))?.1;
        let addr = addr.parse()?;
        self.processes.insert(name.to_owned(), Process { child, stdin, addr });

        let (by, told) = (name.to_owned(), self.sender.clone());
        thread::spawn(move || {
            for told_line in stdout.lines().map_while(Result::ok).filter_map(|line| Told::parse(&by, &line)) {
                if told.send(told_line).is_err() {
                    return;
                }
            }
        });
        Ok(addr)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.processes.keys().cloned().collect()
    }

    pub(crate) fn pid(&self, name: &str) -> AnyResult<u32> {
        Ok(self.processes.get(name).ok_or("no such member")?.child.id())
    }

    /// Kills the member (SIGKILL).
    pub(crate) fn kill(&mut self, name: &str) -> AnyResult<()> {
        let mut process = self.processes.remove(name).ok_or("no such member")?;
        process.child.kill()?;
        process.child.wait()?;
        Ok(())
    }

    pub(crate) fn tell(&mut self, name: &str, command: &str) -> AnyResult<()> {
        let process = self.processes.get_mut(name).ok_or("no such member")?;
        writeln!(process.stdin, "{command}")?;
        Ok(())
    }

    /// Lets all but the seed join it at the same moment and waits until all views are complete. Returns how
    /// long each view took.
    pub(crate) fn join_all(&mut self, seed: &str, limit: Duration) -> AnyResult<Vec<Duration>> {
        let began = now();
        let everybody = self.names();
        let order = format!("join {}", self.processes.get(seed).ok_or("no such member")?.addr);
        for name in everybody.iter().filter(|name| *name != seed) {
            self.tell(name, &order)?;
        }

        let complete = |fleet: &Self| -> Vec<Duration> {
            let mut times = BTreeMap::new();
            for told in &fleet.log {
                if let What::Event { view, .. } = &told.what
                    && view.count == everybody.len()
                {
                    times.entry(told.by.as_str()).or_insert(told.at.saturating_sub(began));
                }
            }
            times.into_values().collect()
        };
        let done = self.wait(limit, |fleet| complete(fleet).len() == everybody.len());
        for told in &self.log {
            if let What::Failed(reason) = &told.what {
                return Err(format!("{} could not join: {reason}", told.by).into());
            }
        }
        if !done {
            let count = complete(self).len();
            return Err(format!("only {count} of {} views are complete", everybody.len()).into());
        }
        Ok(complete(self))
    }

    /// Takes lines until this holds; false if it does not in time.
    pub(crate) fn wait(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            // All that is there at once, because looking may be slow.
            while self.take_line(Instant::now()) {}
            if holds(self) {
                return true;
            }
            if !self.take_line(deadline) {
                return holds(self);
            }
        }
    }

    pub(crate) fn watch(&mut self, duration: Duration) {
        self.wait(duration, |_| false);
    }

    fn take_line(&mut self, deadline: Instant) -> bool {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(told) => {
                self.log.push(told);
                true
            }
            Err(_) => false,
        }
    }

    /// Asks all members again and again until their views are equal, have `count` nodes, and have stayed so
    /// for [`STAY`]. Returns how long after `since` that began, or `None` if it was not in time.
    pub(crate) fn wait_for_equal_views(
        &mut self,
        count: usize,
        since: Duration,
        limit: Duration,
    ) -> AnyResult<Option<Duration>> {
        let deadline = Instant::now() + limit;
        let mut equal_from = None;
        while Instant::now() < deadline {
            match self.equal_view(deadline)? {
                Some((at, view)) if view.count == count => {
                    let from = *equal_from.get_or_insert(at);
                    if at.saturating_sub(from) >= STAY {
                        return Ok(Some(from.saturating_sub(since)));
                    }
                }
                _ => equal_from = None,
            }
            self.watch(Duration::from_millis(20));
        }
        Ok(None)
    }

    /// Asks all members once: their view, and when the last one told it, if all tell the same.
    fn equal_view(&mut self, deadline: Instant) -> AnyResult<Option<(Duration, View)>> {
        let from = self.log.len();
        for name in self.names() {
            self.tell(&name, "view")?;
        }
        let views = |fleet: &Self| -> Vec<(Duration, View)> {
            let said = fleet.log[from..].iter();
            said.filter_map(
                |told| if let What::View(view) = told.what { Some((told.at, view)) } else { None },
            )
            .collect()
        };
        let everybody = self.processes.len();
        let limit = deadline.saturating_duration_since(Instant::now());
        if !self.wait(limit, |fleet| views(fleet).len() == everybody) {
            return Ok(None);
        }
        let views = views(self);
        let all_equal = views.windows(2).all(|pair| pair[0].1 == pair[1].1);
        Ok(views.into_iter().max_by_key(|(at, _)| *at).filter(|_| all_equal))
    }

    /// Datagrams and bytes that all members together have sent until now.
    pub(crate) fn sent(&mut self) -> AnyResult<(u64, u64)> {
        let from = self.log.len();
        for name in self.names() {
            self.tell(&name, "count ")?;
        }
        let everybody = self.processes.len();
        let counts = |fleet: &Self| -> Vec<(u64, u64)> {
            let said = fleet.log[from..].iter();
            said.filter_map(|told| {
                if let What::Sent(datagrams, bytes) = told.what { Some((datagrams, bytes)) } else { None }
            })
            .collect()
        };
        if !self.wait(Duration::from_secs(10), |fleet| counts(fleet).len() == everybody) {
            return Err("not all members answer".into());
        }
        Ok(counts(self).iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)))
    }
}

// ---- Tables ----

/// Least, middle and greatest, for a table.
pub(crate) fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return "never".into() };
    let middle = times[times.len() / 2];
    format!("{:.3} / {:.3} / {:.3} s", first.as_secs_f64(), middle.as_secs_f64(), last.as_secs_f64())
}

/// One row of a table: what was measured, and the result.
#[expect(clippy::print_stdout, reason = "it prints a table")]
pub(crate) fn row(what: &str, result: &str) {
    println!("{what:<66} {result}");
}
