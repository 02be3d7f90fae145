//! Into the background: the program is started once more, in a session without a terminal.
//!
//! A process that has threads can not be forked, so the daemon is another run of the same program, marked by an
//! environment variable. The first run waits until the second says that all is running, and passes its mistakes on;
//! so whoever has typed the command knows whether it worked.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use rustix::process::setsid;

use crate::daemon::AnyResult;

const MARK: &str = "HEADCOUNT_DAEMON_DETACHED";
const READY: &str = "ready";

/// Whether this is the run in the background.
pub(crate) fn is_detached() -> bool {
    env::var_os(MARK).is_some()
}

/// Starts the run in the background, and waits until it works.
pub(crate) fn start() -> AnyResult<()> {
    let mut child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // The log, and what goes wrong, goes where that of this run goes.
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut said)?;
    }
    if said.trim() == READY {
        return Ok(());
    }
    child.wait()?;
    Err("the daemon has ended".into())
}

/// Says that all is running, and leaves the terminal.
pub(crate) fn tell_ready() -> AnyResult<()> {
    setsid()?;
    writeln!(io::stdout(), "{READY}")?;
    Ok(())
}

/// A file with the id of this process, locked for as long as it runs: the lock goes with the process, however that
/// ends, so a file that was left behind is in nobody's way.
pub(crate) struct PidFile {
    path: PathBuf,
    _locked: File,
}

impl PidFile {
    /// An error if another process that runs has it.
    pub(crate) fn claim(path: &Path) -> AnyResult<Self> {
        let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.try_lock().map_err(|error| format!("{}: another daemon has it: {error}", path.display()))?;
        file.set_len(0)?;
        writeln!(file, "{}", process::id())?;
        Ok(Self { path: path.to_owned(), _locked: file })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!("{}: {error}", self.path.display());
        }
    }
}
