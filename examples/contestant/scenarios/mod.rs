//! What is done with the members, and what is measured meanwhile. One file for each scenario:
//!
//! | file | scenario | question |
//! |---|---|---|
//! | [`converge`] | `converge` | how long do members that join take until all list all, and what does it cost? |
//! | [`rest`] | `steady`, `idle` | what do members cost that have nothing to tell, and whom do they wrong? |
//! | [`values`] | `kv` | how long does a value take to everybody? |
//! | [`deaths`] | `detect` | how long does a death take to be noticed, and a newcomer? |

mod converge;
mod deaths;
mod rest;
mod values;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use crate::AnyResult;
use crate::arguments::Arguments;
use crate::board::Board;
use crate::crowd::Crowd;
use crate::json::Object;
use crate::sample::Sample;

/// Members that may join besides those of the command line.
const NEWCOMERS_MAX: usize = 16;
/// How far apart the looks at the board are.
const POLL: Duration = Duration::from_millis(2);

/// What all scenarios share.
struct Run {
    arguments: Arguments,
    board: Arc<Board>,
    crowd: Crowd,
    rng: ChaCha12Rng,
    began: Instant,
    /// Before there was any member.
    bare: Sample,
}

/// Runs the scenarios of the command line, and tells what was measured.
pub(crate) fn run(arguments: Arguments) -> AnyResult<Object> {
    let board = Arc::new(Board::new(arguments.members + NEWCOMERS_MAX));
    let mut run = Run {
        crowd: Crowd::new(Arc::clone(&board)),
        board,
        rng: ChaCha12Rng::seed_from_u64(arguments.seed),
        began: Instant::now(),
        bare: Sample::take()?,
        arguments,
    };
    let mut result = run.describe().with("converge", converge::measure(&mut run)?);
    if run.arguments.has("steady") {
        result = result.with("steady", rest::steady(&run)?);
    }
    if run.arguments.has("idle") {
        result = result.with("idle", rest::idle(&run)?);
    }
    if run.arguments.has("kv") {
        result = result.with("kv", values::measure(&mut run)?);
    }
    if run.arguments.has("detect") {
        result = result.with("detect", deaths::measure(&mut run)?);
    }
    Ok(result.with("total", run.total()?))
}

impl Run {
    fn describe(&self) -> Object {
        let arguments = &self.arguments;
        Object::default()
            .word("contestant", "headcount")
            .word("version", env!("CARGO_PKG_VERSION"))
            .with("members", arguments.members)
            .word("profile", arguments.profile.name())
            .word("variant", &arguments.variant)
            .with("seed", arguments.seed)
            .with("join_spread", arguments.join_spread.as_secs_f64())
            .word("scenario", &arguments.scenarios.join(","))
    }

    /// Over the whole run.
    fn total(&self) -> AnyResult<Object> {
        let wrongs = self.board.wrongs();
        let sample = Sample::take()?;
        Ok(Object::default()
            .with("fp", wrongs.deaths)
            .with("fp_targets", wrongs.victims)
            .with("suspicions_of_alive", wrongs.suspicions)
            .with("zombie_ups", wrongs.risen)
            .seconds("wall_secs", Some(self.began.elapsed()))
            .seconds("cpu_secs", Some(sample.processor))
            .with("udp_out", sample.datagrams_out)
            .with("udp_in", sample.datagrams_in)
            .with("lo_bytes", sample.loopback_bytes)
            .with("udp_rcvbuf_err", sample.datagrams_refused)
            .with("hwm_kb", sample.resident_max_kb))
    }

    /// The members of the command line.
    fn originals(&self) -> std::ops::Range<usize> {
        0..self.arguments.members
    }

    /// The share of all ordered pairs of them of which the one lists the other.
    fn pairs_listed(&self) -> f64 {
        let listed: usize = self.originals().map(|observer| self.board.count(observer)).sum();
        let members = self.arguments.members;
        float(listed as u64) / float((members * (members - 1)) as u64)
    }

    /// A time, or what is left of the run if that is less.
    fn within(&self, wanted: Duration) -> Duration {
        wanted.min(self.arguments.max.saturating_sub(self.began.elapsed()))
    }

    fn is_over(&self) -> bool {
        self.within(POLL).is_zero()
    }

    fn pause(&self, time: Duration) {
        thread::sleep(self.within(time));
    }

    /// Looks again and again until it is so. Tells how long that took since `from`; none if it takes too long.
    fn wait(&self, from: Instant, timeout: Duration, mut is_so: impl FnMut() -> bool) -> Option<Duration> {
        let deadline = Instant::now() + self.within(timeout);
        loop {
            if is_so() {
                return Some(from.elapsed());
            }
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(POLL);
        }
    }
}

/// A count for each member and second.
fn rate(count: u64, members: usize, time: Duration) -> f64 {
    float(count) / float(members as u64) / time.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
