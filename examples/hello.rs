//! The smallest cluster: start this program three times, in three terminals or with `&`.
//!
//!     cargo run --example hello
//!
//! The first one takes port 7990 of the loopback, the others any free port, and all of them name 7990 as
//! their seed. Each prints the three nodes and leaves. A cluster that is not complete within 20 s makes the
//! exit code say so.

#![expect(clippy::print_stdout, reason = "it prints what it found")]

use std::thread;
use std::time::Duration;

use headcount::{Config, Member, Result};

fn main() -> Result<()> {
    let member = Member::create(Config::local())?.join(":7990")?;

    let nodes = member.wait_until(Duration::from_secs(20), |nodes| nodes.len() == 3)?;
    for node in &nodes {
        println!("{node}");
    }

    // The other two have to see three nodes as well, so nobody leaves at once.
    thread::sleep(Duration::from_secs(1));
    member.leave(Duration::from_secs(5))
}
