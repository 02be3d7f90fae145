//! A command that prints addresses.

use std::ffi::OsString;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::{Discovery, not_simulated};
use crate::config::{Place, Seed};
use crate::member::Member;

/// What a command may print, in bytes.
const OUTPUT_MAX: usize = 1024 * 1024;
/// What is kept of its error output, in bytes.
const ERRORS_MAX: usize = 4 * 1024;
/// How long a command may take, unless it is set.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longer times mean for ever, and could not be added to the time of the day.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 86_400);
// Linux shows the first 15 bytes of a thread's name.
const READER: &str = "hc-exec-read";
/// How often it is looked whether a command has ended.
const POLL: Duration = Duration::from_millis(10);

/// Finds members by a command that prints their addresses, for every cloud and orchestrator that has one.
///
/// The program is started directly, not by a shell: arguments are passed as they are, and nothing in them is expanded.
/// It gets no input. What it prints is addresses, separated by white space or line breaks, each an IP address with a
/// port or without (then it is port 7990). Words that are no addresses are skipped, and the first of them is logged. It
/// is started again each time a discovery is [asked](super#when-it-is-asked).
///
/// | it | then |
/// |---|---|
/// | runs for longer than its [timeout](Self::timeout) | it is killed, and that is an error |
/// | prints more than 1 MiB | likewise |
/// | ends with another status than 0 | error, with the last line of its error output |
/// | prints words, and no address among them | error |
/// | prints nothing | nobody is found |
///
/// The command counts as ended when its output is closed, too. Processes that it leaves behind are not killed, and have to
/// close their output: until then the command is not started again, and that is an error.
///
/// ```
/// use headcount::discovery::Exec;
/// use headcount::{Config, Member};
///
/// // The private addresses of all virtual machines with a tag.
/// let machines = Exec::new("aws")
///     .args(["ec2", "describe-instances", "--filters", "Name=tag:cluster,Values=shop", "--output", "text"])
///     .args(["--query", "Reservations[].Instances[].PrivateIpAddress"]);
/// let member = Member::create(Config::local().bind("127.0.0.1:0").discovery(machines))?;
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Exec {
    program: OsString,
    arguments: Vec<OsString>,
    timeout: Duration,
    /// A word that is no address was logged.
    has_warned: bool,
    /// Threads that read what a command prints.
    readers: Arc<AtomicUsize>,
}

/// The copy starts commands of its own.
impl Clone for Exec {
    fn clone(&self) -> Self {
        let Self { program, arguments, timeout, .. } = self;
        Self { arguments: arguments.clone(), timeout: *timeout, ..Self::new(program) }
    }
}

impl Exec {
    /// This program, found in `PATH` unless it is a path.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            timeout: TIMEOUT,
            has_warned: false,
            readers: Arc::default(),
        }
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// How long it may run. Default: 10 s. At the end of the member it is not waited for: it goes on until then.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn run(&mut self) -> io::Result<Vec<SocketAddr>> {
        if self.readers.load(Ordering::Acquire) > 0 {
            let reason = "what it started earlier still holds its output open";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, reason));
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let result = self.watch(&mut child);
        if result.is_err() {
            // An error says that it has ended already.
            let _ = child.kill();
        }
        // Else it would stay in the table of processes.
        let _ = child.wait();
        self.read(&result?)
    }

    /// Waits until it has ended, and returns what it has printed.
    fn watch(&self, child: &mut Child) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + self.timeout.min(TIMEOUT_MAX);
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it took too long, and was killed");
        let output = collect(&self.readers, child.stdout.take(), OUTPUT_MAX + 1)?;
        let errors = collect(&self.readers, child.stderr.take(), ERRORS_MAX)?;
        let output = output.recv_deadline(deadline).map_err(|_| late())?;
        if output.len() > OUTPUT_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it prints more than 1 MiB"));
        }
        let status = await_end(child, deadline)?.ok_or_else(late)?;
        if status.success() {
            return Ok(output);
        }
        let errors = errors.recv_deadline(deadline).unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors);
        let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(io::Error::other(format!("{status} {last}").trim_end().to_owned()))
    }

    /// The addresses in an output.
    fn read(&mut self, output: &[u8]) -> io::Result<Vec<SocketAddr>> {
        let text = String::from_utf8_lossy(output);
        let mut found = Vec::new();
        let mut stray = None;
        for word in text.split_whitespace() {
            match address(word) {
                Some(addr) => found.push(addr),
                None => stray = stray.or(Some(word)),
            }
        }
        let Some(word) = stray else {
            return Ok(found);
        };
        let word: String = word.chars().take(64).collect();
        if found.is_empty() {
            let reason = format!("it prints no address, but {word:?}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        if !std::mem::replace(&mut self.has_warned, true) {
            log::warn!("{}: {word:?} is no address", self.program.display());
        }
        Ok(found)
    }
}

impl Discovery for Exec {
    /// The addresses that it prints.
    ///
    /// # Errors
    ///
    /// It can not be started, or one of the cases [above](Self).
    fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>> {
        if me.bound().is_none() {
            return Err(not_simulated("commands"));
        }
        let found = self.run();
        found.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.program.display())))
    }
}

/// Reads what a command prints, up to so many bytes, on a thread, which is counted. The thread ends when nobody holds the
/// other end open.
fn collect(
    readers: &Arc<AtomicUsize>,
    pipe: Option<impl Read + Send + 'static>,
    bytes_max: usize,
) -> io::Result<Receiver<Vec<u8>>> {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let count = Arc::clone(readers);
    let read = move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error counts.
            let _ = pipe.by_ref().take(bytes_max as u64).read_to_end(&mut bytes);
            // It has given up if the time is over.
            let _ = sender.send(bytes);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        count.fetch_sub(1, Ordering::Release);
    };
    readers.fetch_add(1, Ordering::AcqRel);
    let started = thread::Builder::new().name(READER.to_owned()).spawn(read);
    if started.is_err() {
        readers.fetch_sub(1, Ordering::Release);
    }
    started.map(|_| receiver)
}

/// Waits until a command has ended; none if it has not at the deadline.
fn await_end(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
}

/// An address with a port or without.
fn address(word: &str) -> Option<SocketAddr> {
    match Seed::parse(word).ok()?.place {
        Place::Addr(addr) => Some(addr),
        Place::Here(_) | Place::Host(..) => None,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn me() -> Member {
        Member::create(Config::local().bind("127.0.0.1:0")).unwrap()
    }

    fn shell(script: &str) -> Exec {
        Exec::new("sh").args(["-c", script])
    }

    fn failure(mut exec: Exec) -> (io::ErrorKind, String) {
        let error = exec.discover(&me()).unwrap_err();
        (error.kind(), error.to_string())
    }

    #[test]
    fn what_it_prints_is_addresses_with_a_port_or_without() {
        let mut exec = Exec::new("printf").arg("10.0.0.1\n10.0.0.2:1 None\t[fd00::1]:5  fd00::2");
        let found: Vec<String> = exec.discover(&me()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.1:7990", "10.0.0.2:1", "[fd00::1]:5", "[fd00::2]:7990"]);
        assert_eq!(Exec::new("true").discover(&me()).unwrap(), []);
    }

    /// There is no shell that would expand them.
    #[test]
    fn arguments_are_passed_as_they_are() {
        let (kind, text) = failure(Exec::new("printf").args(["%s", "$(echo 10.0.0.1);*"]));
        assert_eq!(kind, io::ErrorKind::InvalidData);
        assert_eq!(text, "printf: it prints no address, but \"$(echo\"");
    }

    #[test]
    fn a_command_that_fails_is_an_error_that_says_why() {
        assert_eq!(failure(Exec::new("/no/such/program")).0, io::ErrorKind::NotFound);
        let (_, text) = failure(shell("echo 10.0.0.1; echo first >&2; echo access denied >&2; exit 3"));
        assert_eq!(text, "sh: exit status: 3 access denied");
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed() {
        let begun = Instant::now();
        let limit = Duration::from_millis(200);
        // It holds its output open, closes it, or leaves it to another process.
        for script in ["exec sleep 60", "exec sleep 60 >&- 2>&-", "sleep 60 & echo 10.0.0.1"] {
            assert_eq!(failure(shell(script).timeout(limit)).0, io::ErrorKind::TimedOut, "{script}");
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    /// Each round left one more process behind, with two threads.
    #[test]
    fn a_command_is_not_started_again_while_something_holds_its_output_open() {
        let mut exec = shell("sleep 2 & echo 10.0.0.1").timeout(Duration::from_millis(200));
        let kind = |exec: &mut Exec| exec.discover(&me()).unwrap_err().kind();
        assert_eq!(kind(&mut exec), io::ErrorKind::TimedOut);
        assert_eq!(kind(&mut exec), io::ErrorKind::ResourceBusy);
        thread::sleep(Duration::from_secs(3));
        assert_eq!(kind(&mut exec), io::ErrorKind::TimedOut);
        assert_eq!(kind(&mut exec.clone()), io::ErrorKind::TimedOut);
        assert_eq!(
            failure(shell("exec sleep 9").timeout(Duration::MAX).timeout(Duration::ZERO)).0,
            io::ErrorKind::TimedOut
        );
    }

    #[test]
    fn a_command_that_prints_without_end_is_killed() {
        assert_eq!(failure(Exec::new("yes").arg("10.0.0.1")).0, io::ErrorKind::FileTooLarge);
        // What it says beside the addresses does not hold it up.
        let mut exec = shell("yes | head -c 1000000 >&2; echo 10.0.0.1");
        assert_eq!(exec.discover(&me()).unwrap().len(), 1);
    }
}
