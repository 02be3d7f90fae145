//! What the tests share: members that find each other, and a watch over one's events.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use headcount::crossbeam_channel::RecvTimeoutError;
use headcount::{Config, Event, Member};

/// Far beyond what anything here takes, even on a busy machine: only a test that fails waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long to look for events that must not come: a probe interval of theirs, and a verdict.
pub(crate) const QUIET: Duration = Duration::from_secs(2);

/// The settings of a member of this test's own cluster. Ports of ended members are used again by other
/// tests, so each test (its thread has its name) has a cluster of its own. The probes are those of a LAN: a
/// machine that is busy with all the tests at once is late by more than the local profile forgives.
pub(crate) fn config(name: &str) -> Config {
    let cluster = thread::current().name().unwrap_or("it").to_owned();
    let config = Config::local().cluster(cluster).name(name).bind("127.0.0.1:0");
    config.probe_interval(Duration::from_secs(1)).probe_timeout(Duration::from_millis(500))
}

pub(crate) fn start(name: &str) -> Member {
    Member::create(config(name)).unwrap()
}

/// Members of these names that all see each other.
pub(crate) fn cluster<const N: usize>(names: [&str; N]) -> [Member; N] {
    let members = names.map(start);
    for member in &members[1..] {
        member.join(members[0].addr()).unwrap();
    }
    for member in &members {
        wait_for_count(member, N);
    }
    members
}

/// Members "a" and "b" that see each other; "a" has this listener.
pub(crate) fn pair_with_listener(listener: impl FnMut(&Member, Event) + Send + 'static) -> [Member; 2] {
    let a = Member::create(config("a").on_event(listener)).unwrap();
    let b = start("b").join(a.addr()).unwrap();
    wait_for_count(&a, 2);
    wait_for_count(&b, 2);
    [a, b]
}

pub(crate) fn wait_for_count(member: &Member, count: usize) {
    if member.wait_until(PATIENCE, |nodes| nodes.len() == count).is_err() {
        panic!("{} does not see {count} nodes, but {:?}", member.name(), member.nodes());
    }
}

/// For what no event tells.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The names of the active nodes in a member's view.
pub(crate) fn names(member: &Member) -> Vec<String> {
    member.nodes().iter().map(|node| node.name().to_owned()).collect()
}

/// Where nobody receives: the socket is closed when this returns.
pub(crate) fn vacant_addr() -> SocketAddr {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A directory of a test's own, gone with it.
pub(crate) struct Directory {
    path: PathBuf,
    number: u8,
}

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("headcount-it-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self { path, number }
    }

    /// Where the members of this test bind: an address of the loopback that no other test uses, nor one of the same
    /// tests run twice, so that nobody takes the port of a member that is down.
    pub(crate) fn bind(&self) -> SocketAddr {
        let [_, _, high, low] = process::id().to_be_bytes();
        let own = Ipv4Addr::new(127, 64 + high % 128, low, self.number);
        SocketAddr::new(if cfg!(target_os = "linux") { own } else { Ipv4Addr::LOCALHOST }.into(), 0)
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The names of its files.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Set where a test runs alone in a process.
const ALONE: &str = "HEADCOUNT_TEST_ALONE";

/// Runs a test in a process of its own: the threads of other tests must not be counted there, or their sockets be held
/// by the many processes that it starts. Returns what it has printed.
pub(crate) fn run_alone(test: &str, body: impl FnOnce()) -> String {
    run_alone_with(test, &[], body)
}

/// The same, with these variables in its environment.
pub(crate) fn run_alone_with(test: &str, variables: &[(&str, &str)], body: impl FnOnce()) -> String {
    if env::var_os(ALONE).is_some() {
        body();
        return String::new();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text
}

/// Everything that one member is told from now on.
pub(crate) struct Watch {
    observer: String,
    events: headcount::Events,
    seen: Vec<Event>,
}

impl Watch {
    pub(crate) fn over(member: &Member) -> Self {
        Self { observer: member.name().to_owned(), events: member.events(), seen: Vec::new() }
    }

    /// The next event.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Event {
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => {
                self.seen.push(event.clone());
                event
            }
            Err(error) => panic!("{}: {error}; seen so far: {:?}", self.observer, self.seen),
        }
    }

    /// The next event must read so, as "b died".
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let event = self.next();
        assert_eq!(short(&event), text, "{} has seen {:?}", self.observer, self.seen);
    }

    /// No event may come for a while.
    #[track_caller]
    pub(crate) fn expect_quiet(&self) {
        if let Ok(event) = self.events.recv_timeout(QUIET) {
            panic!("{} sees {event} after {:?}", self.observer, self.seen);
        }
    }

    /// No event may be waiting.
    #[track_caller]
    pub(crate) fn expect_nothing(&self) {
        if let Ok(event) = self.events.try_recv() {
            panic!("{} sees {event} after {:?}", self.observer, self.seen);
        }
    }

    /// The stream must end; events on the way there are fine.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_deadline(deadline) {
                Ok(event) => self.seen.push(event),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("the events of {} do not end", self.observer),
            }
        }
    }
}

/// No event may come to any of them for a while.
#[track_caller]
pub(crate) fn expect_all_quiet(watches: &[Watch]) {
    watches[0].expect_quiet();
    watches.iter().for_each(Watch::expect_nothing);
}

/// What happened to whom, in two words.
pub(crate) fn short(event: &Event) -> String {
    match event {
        Event::Joined(node) => format!("{} joined", node.name()),
        Event::Suspected(node) => format!("{} suspected", node.name()),
        Event::Recovered(node) => format!("{} recovered", node.name()),
        Event::Died { node, .. } => format!("{} died", node.name()),
        Event::Left(node) => format!("{} left", node.name()),
        Event::Restarted(node) => format!("{} restarted", node.name()),
        Event::Moved(node) => format!("{} moved", node.name()),
        other => other.to_string(),
    }
}
