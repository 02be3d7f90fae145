//! The same targets on chance instead of a fuzzer, for a few seconds.
//!
//! `HEADCOUNT_SEEDS=100000` runs that many inputs, `HEADCOUNT_SEED=17` runs one. A failing run prints the command that
//! replays it.

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

use super::script::{Choice, How, Pace, Step, write};
use super::*;

/// Inputs that run by default.
const SEEDS: u64 = 3_000;
/// Changes to one input.
const CHANGES_MAX: usize = 8;

/// Likewise, where all is sealed: without optimization that takes ten times as long.
#[cfg(feature = "encryption")]
const SEALED_SEEDS: u64 = 200;

/// Runs a target on inputs of a corpus, each changed a little or a lot.
fn run_changed(test: &str, seeds: u64, corpus: &[Vec<u8>], target: impl Fn(&[u8])) {
    let number = |variable| std::env::var(variable).ok().map(|text| text.parse().unwrap());
    let seeds = match number("HEADCOUNT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HEADCOUNT_SEEDS").unwrap_or(seeds),
    };
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let input = changed(&mut ChaCha12Rng::seed_from_u64(seed), corpus);
        if panic::catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            println!("replay: HEADCOUNT_SEED={seed} cargo test --lib {test}");
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "of the seeds {seeds:?} these have failed: {failed:?}");
}

/// An input of the corpus, with some changes.
fn changed(rng: &mut ChaCha12Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = any(rng, corpus).to_vec();
    for _ in 0..rng.random_range(0..=CHANGES_MAX) {
        let range = range_of(rng, &input);
        match rng.random_range(0..6) {
            0 if !range.is_empty() => input[range.start] ^= 1 << rng.random_range(0..8),
            1 => rng.fill_bytes(&mut input[range]),
            2 => drop(input.drain(range)),
            3 => {
                let again = input[range.clone()].to_vec();
                input.splice(range.end..range.end, again);
            }
            4 => {
                let other = any(rng, corpus);
                let part = other[range_of(rng, other)].to_vec();
                input.splice(range.end..range.end, part);
            }
            // Whole, so that one story goes on with another.
            _ => input.extend(any(rng, corpus)),
        }
    }
    input
}

fn any<'a>(rng: &mut ChaCha12Rng, corpus: &'a [Vec<u8>]) -> &'a [u8] {
    &corpus[rng.random_range(0..corpus.len())]
}

/// A part of an input, most often a short one.
fn range_of(rng: &mut ChaCha12Rng, input: &[u8]) -> std::ops::Range<usize> {
    let start = rng.random_range(0..=input.len());
    let length = (input.len() - start) >> rng.random_range(0..8_u32);
    start..start + length
}

#[test]
fn what_members_say_is_read_to_the_last_bit() {
    let corpus = Corpus::new().unwrap().decode;
    let kinds: BTreeSet<u8> = corpus.iter().flat_map(|datagram| corpus::kinds_of(datagram)).collect();
    println!("{} datagrams with {} types of bodies", corpus.len(), kinds.len());
    // All but those that need an accident: rejects, hints, nacks of a relay …
    assert!(kinds.len() >= 24, "{kinds:02x?}");
    assert!(corpus.iter().all(|datagram| decode(datagram)));
}

#[test]
fn changed_datagrams_are_refused_or_reproduced() {
    let corpus = Corpus::new().unwrap().decode;
    run_changed("changed_datagrams", SEEDS, &corpus, |input| {
        decode(input);
    });
}

#[test]
fn changed_scripts_break_nothing() {
    run_changed("changed_scripts", SEEDS, &Corpus::new().unwrap().protocol, protocol);
}

#[test]
#[cfg(feature = "encryption")]
fn changed_scripts_break_nothing_that_is_sealed() {
    run_changed("changed_scripts_break_nothing_that", SEALED_SEEDS, &Corpus::new().unwrap().protocol, sealed);
}

#[test]
fn scripts_get_far() {
    // What can not happen without several right steps in a row: names of counters.
    let far = [
        "suspicions",
        "refutations",
        "probes_answered",
        "isolations",
        "syncs",
        "broadcasts_delivered",
        "broadcasts_missed",
        "messages_received",
        "messages_sent",
        "fragments_resent",
    ];
    let corpus = Corpus::new().unwrap().protocol;
    let mut reached = BTreeSet::new();
    for seed in 0..SEEDS {
        let input = changed(&mut ChaCha12Rng::seed_from_u64(seed), &corpus);
        let mut script = Script::new(&input);
        let mut rig = Rig::new(&mut script, Form::Plain);
        rig.run(script);
        let samples = rig.metrics().to_string();
        let counts = samples.lines().filter_map(|line| line.strip_prefix("headcount_")?.split_once(' '));
        reached.extend(counts.filter(|(_, count)| *count != "0").map(|(name, _)| name.to_owned()));
    }
    println!("{} counters: {reached:?}", reached.len());
    let missed: Vec<&str> = far.into_iter().filter(|name| !reached.contains(*name)).collect();
    // Which of them chance finds changes with every change of the corpus.
    assert!(missed.len() <= 2, "{missed:?}");
}

#[test]
fn a_step_is_read_as_it_was_written() {
    let steps = [
        Step::Datagram { from: Choice(1), how: How(0x2a), bodies: b"bodies" },
        Step::Bytes { from: Choice(200), bytes: b"" },
        Step::Again { which: Choice(9) },
        Step::Wait { time: Duration::from_millis(100), pace: Pace::Answered },
        Step::Wait { time: Duration::from_secs(3_600) * 2, pace: Pace::Asleep },
        Step::RequestId { call: Choice(2), whom: Choice(3), text: &[7; 3_000] },
    ];
    let mut script = Vec::new();
    steps.iter().for_each(|step| write(&mut script, step));
    let read: Vec<Step<'_>> = Script::new(&script).collect();
    assert_eq!(read.len(), steps.len());
    for (read, written) in read.iter().zip(&steps) {
        match (read, written) {
            (Step::Wait { time, pace }, Step::Wait { time: exact, pace: exactly }) => {
                assert_eq!(pace, exactly);
                assert!(*time <= *exact && *time > *exact - *exact / 100, "{time:?} for {exact:?}");
            }
            _ => assert_eq!(read, written),
        }
    }
}

#[test]
fn every_byte_string_is_a_script() {
    for length in 0..40 {
        for byte in [0, 1, 2, 3, 4, 0xff] {
            protocol(&vec![byte; length]);
        }
    }
}

#[test]
#[should_panic(expected = "after it was told None")]
fn an_event_that_does_not_follow_is_noticed() {
    let mut script = Script::new(&[]);
    let mut rig = Rig::new(&mut script, Form::Plain);
    rig.forget_what_was_told();
    let mut bytes = Vec::new();
    write(&mut bytes, &Step::Wait { time: Duration::from_secs(60), pace: Pace::Alone });
    rig.run(Script::new(&bytes));
}
