//! Network namespaces: hosts and cables that exist in the kernel only. They need root and the `ip` command.

#![allow(dead_code, reason = "each of the measuring programs uses a part")]

use std::process::{Child, Command, Stdio};

use crate::fleet::AnyResult;

/// The command that runs what follows it inside a namespace.
pub(crate) fn launcher(namespace: &str) -> [&str; 4] {
    ["ip", "netns", "exec", namespace]
}

/// Runs the `ip` command.
pub(crate) fn ip(arguments: &str) -> AnyResult<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// A process that removes namespaces (and with them the interfaces) when its input ends: when it is dropped, and also
/// when this program is killed.
pub(crate) struct Janitor {
    process: Child,
}

impl Janitor {
    /// For namespaces that are about to be made.
    pub(crate) fn hire(namespaces: &[String]) -> AnyResult<Self> {
        let script = "trap '' INT TERM HUP; cat; for name; do ip netns del $name; done";
        let mut janitor = Command::new("sh");
        janitor
            .args(["-c", script, "janitor"])
            .args(namespaces)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self { process: janitor.spawn()? })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Fails only when it has ended already.
        let _ = self.process.wait();
    }
}
