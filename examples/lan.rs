//! Members on one network that find each other, without any address: start this program on several hosts of a LAN, or
//! several times on one.
//!
//!     cargo run --example lan                     # until somebody else is there
//!     cargo run --example lan -- 3                # until three are there, this one included
//!     cargo run --example lan -- 3 127.0.0.1:0    # on the loopback only
//!
//! It prints who is there and leaves. If they are not complete within 20 s the exit code says so.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints what it found")]

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use headcount::discovery::Multicast;
use headcount::{Config, Error, Member};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    // Why multicast does not work is in the log.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> AnyResult<()> {
    let count: usize = env::args().nth(1).map_or(Ok(2), |count| count.parse())?;
    // Any free port: others are told which, and several members fit on one host.
    let bind = env::args().nth(2).unwrap_or_else(|| ":0".to_owned());
    let member = Member::create(Config::lan().bind(bind).discovery(Multicast::new()))?;
    println!("{} looks for others", member.name());

    match member.wait_until(Duration::from_secs(20), |nodes| nodes.len() >= count) {
        Ok(nodes) => nodes.iter().for_each(|node| println!("{node}")),
        Err(Error::Timeout) if member.metrics().discovery_errors > 0 => {
            return Err("nobody was found, and multicast has failed: the warning says why".into());
        }
        Err(Error::Timeout) => return Err(format!("only {} are there", member.nodes().len()).into()),
        Err(error) => return Err(error.into()),
    }

    // The others have to see all as well, so nobody leaves at once.
    thread::sleep(Duration::from_secs(2));
    member.leave(Duration::from_secs(5))?;
    Ok(())
}
