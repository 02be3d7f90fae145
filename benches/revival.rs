//! A cluster of processes on the loopback, all of which are killed, and which comes back from its snapshots alone: no
//! member is given a seed, and one of them is at another address.
//!
//!     cargo bench --bench revival              # 12 members, down for 2 s
//!     cargo bench --bench revival -- 30        # down for 30 s
//!     cargo bench --bench revival -- 30 50     # 50 members
//!
//! Three times, each in another order. Linux only: it uses several addresses of the loopback. Prints a table; the exit
//! code tells whether all were whole again each time, and nobody was taken for dead.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

mod fleet;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::Duration;

use fleet::{AnyResult, Fleet, What, complaint, now, row};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;

const MEMBERS: usize = 12;
const DOWN: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(60);
/// What is between the starts, one for each time.
const STAGGERS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1)];

fn main() -> ExitCode {
    fleet::main(|numbers| {
        let down = numbers.first().map_or(DOWN, |seconds| Duration::from_secs(*seconds));
        let members = numbers.get(1).and_then(|members| usize::try_from(*members).ok()).unwrap_or(MEMBERS);
        Ok(complaint(measure(members, down)?))
    })
}

/// Where the snapshots are, gone with it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left of it is in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns how many things went otherwise than they should.
fn measure(members: usize, down: Duration) -> AnyResult<usize> {
    println!(
        "{members} processes on the loopback, LAN profile, all killed and down for {} s\n",
        down.as_secs()
    );
    let directory = Directory(env::temp_dir().join(format!("headcount-revival-{}", process::id())));
    fs::create_dir(&directory.0)?;
    let mut fleet = Fleet::new();
    let mut addrs = BTreeMap::new();
    for name in (0..members).map(|index| format!("m{index:02}")) {
        let addr = fleet.start_kept(&name, "127.0.0.1:0", &directory.0.join(&name))?;
        addrs.insert(name, addr);
    }
    fleet.join_all("m00", LIMIT)?;
    // A snapshot is on the disk a second after the last change: this waits for longer.
    fleet.wait_for_equal_views(members, now(), LIMIT)?.ok_or("the views are not equal")?;

    let mut rng = ChaCha12Rng::seed_from_u64(12);
    let mut wrong = 0;
    for (time, stagger) in STAGGERS.into_iter().enumerate() {
        for name in addrs.keys() {
            fleet.kill(name)?;
        }
        fleet.watch(down);
        let mut order: Vec<String> = addrs.keys().cloned().collect();
        order.shuffle(&mut rng);
        // The first to start, the last one, one in between.
        let moved = &order[[0, members - 1, members / 2][time]];
        addrs.insert(moved.clone(), format!("127.0.0.{}:0", time + 2).parse()?);
        println!("one every {} ms, {moved} at a new address", stagger.as_millis());
        wrong += revive(&mut fleet, &directory, &mut addrs, &order, stagger)?;
    }
    Ok(wrong)
}

/// Starts all in this order, each at its address.
fn revive(
    fleet: &mut Fleet,
    directory: &Directory,
    addrs: &mut BTreeMap<String, SocketAddr>,
    order: &[String],
    stagger: Duration,
) -> AnyResult<usize> {
    let from = fleet.log.len();
    let began = now();
    let mut started = began.saturating_sub(stagger);
    for name in order {
        fleet.watch((started + stagger).saturating_sub(now()));
        let addr = addrs.get_mut(name).ok_or("no such member")?;
        *addr = fleet.start_kept(name, &addr.to_string(), &directory.0.join(name))?;
        started = now();
    }
    let whole = fleet.wait_for_equal_views(order.len(), started, LIMIT)?;
    let log = &fleet.log[from..];
    let count = |wanted: &str| {
        log.iter().filter(|told| matches!(&told.what, What::Event { word, .. } if word == wanted)).count()
    };
    let (suspected, died) = (count("suspected"), count("died"));
    let starts = started.saturating_sub(began).as_secs_f64();
    row("  from the first start to the last", &format!("{starts:.3} s"));
    row(
        "  from the last start until all views are equal",
        &whole.map_or("never".into(), |time| format!("{:.3} s", time.as_secs_f64())),
    );
    row("  reports of somebody suspected, dead", &format!("{suspected}, {died}"));
    let sent = fleet.sent()?.0;
    row("  datagrams sent by all until 3 s later", &sent.to_string());
    Ok(usize::from(whole.is_none()) + died)
}
