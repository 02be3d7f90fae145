//! Into the background: the program is started once more, in a session without a terminal.
//!
//! A process that has threads can not be forked, so the daemon is another run of the same program, marked by an
//! environment variable. The first run waits until the second says that all is running, and passes its mistakes on;
//! so whoever has typed the command knows whether it worked.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, process};

use rustix::process::{Pid, setsid, test_kill_process};

use crate::daemon::AnyResult;

const MARK: &str = "HEADCOUNT_DAEMON_DETACHED";
const READY: &str = "ready";

/// Whether this is the run in the background.
pub(crate) fn is_detached() -> bool {
    env::var_os(MARK).is_some()
}

/// Starts the run in the background, and waits until it works.
pub(crate) fn start(pid_file: &Path) -> AnyResult<()> {
    if let Some(pid) = running(pid_file) {
        return Err(format!("{}: process {} is running", pid_file.display(), pid.as_raw_nonzero()).into());
    }
    let mut child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // The log goes where that of this run goes.
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut said)?;
    }
    if said.trim() != READY {
        child.wait()?;
        return Err("the daemon has ended".into());
    }
    Ok(())
}

/// Leaves the terminal, writes the process id, and says that all is running.
pub(crate) fn tell_ready(pid_file: &Path) -> AnyResult<()> {
    setsid()?;
    fs::write(pid_file, format!("{}\n", process::id()))?;
    writeln!(io::stdout(), "{READY}")?;
    Ok(())
}

/// The process that the file names, if there is one.
fn running(pid_file: &Path) -> Option<Pid> {
    let pid = Pid::from_raw(fs::read_to_string(pid_file).ok()?.trim().parse().ok()?)?;
    test_kill_process(pid).is_ok().then_some(pid)
}
