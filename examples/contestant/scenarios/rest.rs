//! Rest: nothing happens, and it is measured what that costs. `steady` tells the costs of each member and second,
//! `idle` the errors: who is listed as dead while it lives, under losses that somebody else makes.

use std::time::{Duration, Instant};

use super::{Run, float, rate};
use crate::AnyResult;
use crate::json::Object;
use crate::sample::{Sample, context_switches};

/// How far apart the looks at the views are.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn steady(run: &Run) -> AnyResult<Object> {
    run.pause(run.arguments.settle);
    let wrongs_before = run.board.wrongs();
    // These take a while to be counted: outside of what is measured.
    let switches_before = context_switches()?;
    let before = Sample::take()?;
    let began = Instant::now();
    run.pause(run.arguments.steady);
    let after = Sample::take()?;
    let time = began.elapsed();
    let switches = context_switches()?.saturating_sub(switches_before);
    let wrongs = run.board.wrongs();

    let members = run.arguments.members;
    let each = |after: u64, before: u64| Some(rate(after - before, members, time));
    let resident = |kb: u64| Some(float(kb) / float(members as u64));
    Ok(Object::default()
        .seconds("secs", Some(time))
        .number("cpu_ms_per_member_s", Some(processor_rate(run, &before, &after, time)))
        .with("rss_kb", after.resident_kb)
        .with("rss_base_kb", run.bare.resident_kb)
        .number("rss_kb_per_member", resident(after.resident_kb))
        .number("rss_net_kb_per_member", resident(after.resident_kb.saturating_sub(run.bare.resident_kb)))
        .with("hwm_kb", after.resident_max_kb)
        .with("threads", after.threads)
        .number("udp_out_per_member_s", each(after.datagrams_out, before.datagrams_out))
        .number("udp_in_per_member_s", each(after.datagrams_in, before.datagrams_in))
        .number("ip_bytes_per_member_s", each(after.loopback_bytes, before.loopback_bytes))
        .number("lo_pkts_per_member_s", each(after.loopback_packets, before.loopback_packets))
        .number("tcp_segs_per_member_s", each(after.segments_out, before.segments_out))
        .number("tcp_opens_per_member_s", each(after.connections, before.connections))
        .number("ctxsw_per_member_s", each(switches, 0))
        .with("udp_rcvbuf_err", after.datagrams_refused - before.datagrams_refused)
        .with("fp", wrongs.deaths - wrongs_before.deaths)
        .with("suspicions", wrongs.suspicions - wrongs_before.suspicions))
}

pub(super) fn idle(run: &Run) -> AnyResult<Object> {
    let wrongs_before = run.board.wrongs();
    let before = Sample::take()?;
    let began = Instant::now();
    let wanted = run.within(run.arguments.idle);
    let mut shares = vec![run.pairs_listed()];
    while began.elapsed() < wanted {
        run.pause(LOOK);
        shares.push(run.pairs_listed());
    }
    let after = Sample::take()?;
    let time = began.elapsed();
    let wrongs = run.board.wrongs();

    let members = run.arguments.members;
    let sent = after.datagrams_out - before.datagrams_out;
    let arrived = float(after.datagrams_in - before.datagrams_in) / float(sent.max(1));
    Ok(Object::default()
        .seconds("secs", Some(time))
        .with("fp", wrongs.deaths - wrongs_before.deaths)
        .with("fp_targets", wrongs.victims)
        .with("suspicions", wrongs.suspicions - wrongs_before.suspicions)
        .number("min_pairs_alive", shares.iter().copied().reduce(f64::min))
        .number("mean_pairs_alive", mean(&shares))
        .number("cpu_ms_per_member_s", Some(processor_rate(run, &before, &after, time)))
        .number("udp_out_per_member_s", Some(rate(sent, members, time)))
        .number(
            "ip_bytes_per_member_s",
            Some(rate(after.loopback_bytes - before.loopback_bytes, members, time)),
        )
        .number("udp_loss", Some(1.0 - arrived))
        .with("udp_rcvbuf_err", after.datagrams_refused - before.datagrams_refused))
}

/// Milliseconds of processor time for each member and second.
fn processor_rate(run: &Run, before: &Sample, after: &Sample, time: Duration) -> f64 {
    let micros = u64::try_from((after.processor - before.processor).as_micros()).unwrap_or(u64::MAX);
    rate(micros, run.arguments.members, time) / 1_000.0
}

fn mean(shares: &[f64]) -> Option<f64> {
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / float(shares.len() as u64))
}
