//! Joining: members 1, 2, … join member 0, all at the same moment or one by one, until each lists all others.

use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::Run;
use crate::AnyResult;
use crate::json::Object;
use crate::sample::Sample;

/// When so much of all pairs is known is told apart.
const SHARES: [(&str, f64); 4] =
    [("p50_secs", 0.5), ("p90_secs", 0.9), ("p99_secs", 0.99), ("p999_secs", 0.999)];

/// The clock starts right before the first join; if all join at the same moment, their sockets are bound before.
pub(super) fn measure(run: &mut Run) -> AnyResult<Object> {
    let created = Instant::now();
    let at_once = run.arguments.join_spread.is_zero();
    for index in run.originals().take(if at_once { run.arguments.members } else { 1 }) {
        run.crowd.start(&run.arguments, index)?;
    }
    let start_time = created.elapsed();

    let before = Sample::take()?;
    let began = Instant::now();
    if at_once {
        let joiners: Vec<usize> = run.originals().skip(1).collect();
        run.crowd.join(&joiners, 0)?;
    } else {
        join_one_by_one(run, began)?;
    }
    let call_time = began.elapsed();

    let complete = run.arguments.members - 1;
    let mut first_complete = None;
    let mut shares = [None; SHARES.len()];
    let all_complete = run.wait(began, run.arguments.converge_timeout, || {
        let views_complete = run.originals().filter(|index| run.board.count(*index) >= complete).count();
        if views_complete > 0 {
            first_complete.get_or_insert_with(|| began.elapsed());
        }
        let listed = run.pairs_listed();
        for (share, time) in SHARES.iter().zip(&mut shares) {
            if listed >= share.1 {
                time.get_or_insert_with(|| began.elapsed());
            }
        }
        views_complete == run.arguments.members
    });
    let after = Sample::take()?;

    let mut result = Object::default()
        .with("converged", all_complete.is_some())
        .seconds("secs", all_complete)
        .seconds("first_full_view_secs", first_complete);
    for (share, time) in SHARES.iter().zip(shares) {
        result = result.seconds(share.0, time);
    }
    Ok(result
        .seconds("start_secs", Some(start_time))
        .seconds("join_call_secs", Some(call_time))
        .number("pairs_known", Some(run.pairs_listed()))
        .seconds("cpu_secs", Some(after.processor - before.processor))
        .with("udp_out", after.datagrams_out - before.datagrams_out)
        .with("lo_bytes", after.loopback_bytes - before.loopback_bytes)
        .with("tcp_segs", after.segments_out - before.segments_out)
        .with("udp_rcvbuf_err", after.datagrams_refused - before.datagrams_refused)
        .with("fp", run.board.wrongs().deaths))
}

/// Each is created and joins at a random moment, so that they do not probe in step.
fn join_one_by_one(run: &mut Run, began: Instant) -> AnyResult<()> {
    let spread = run.arguments.join_spread;
    let mut moments: Vec<Duration> =
        run.originals().skip(1).map(|_| spread.mul_f64(run.rng.random())).collect();
    moments.sort_unstable();
    for (index, moment) in run.originals().skip(1).zip(moments) {
        thread::sleep(moment.saturating_sub(began.elapsed()));
        run.crowd.start(&run.arguments, index)?;
        run.crowd.join(&[index], 0)?;
    }
    Ok(())
}
