//! Values: a random member changes its one value; the time until the last of the others sees it.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::Run;
use crate::AnyResult;
use crate::json::Object;

/// From the end of the scenario before.
const SETTLE: Duration = Duration::from_secs(1);
/// A value that takes longer is missed.
const LIMIT: Duration = Duration::from_secs(8);

pub(super) fn measure(run: &mut Run) -> AnyResult<Object> {
    run.pause(SETTLE);
    let mut times = Vec::new();
    let mut missed = 0;
    for value in 1..=run.arguments.kv_reps {
        if run.is_over() {
            break;
        }
        let writer = run.rng.random_range(run.originals());
        run.board.watch_writer(writer);
        let began = Instant::now();
        run.crowd.write(writer, value)?;
        let time = run.wait(began, LIMIT.min(run.arguments.step_timeout), || {
            run.originals().all(|observer| observer == writer || run.board.has_value(observer, value))
        });
        match time {
            Some(time) => times.push(time),
            None => missed += 1,
        }
        let pause = (2 * run.arguments.profile.beat()).mul_f64(run.rng.random());
        run.pause(pause);
    }
    Ok(Object::default()
        .millis("ms", &times)
        .median("median_ms", &times)
        .greatest("max_ms", &times)
        .with("timeouts", missed))
}
