//! Golden traces: what the protocol does, pinned.
//!
//! Changes that are meant to keep behaviour must leave every datagram as it was. Other tests ask for outcomes and would
//! not notice. So here are worlds in which everything happens, and a record of them: for each virtual second a hash of
//! all datagrams so far, of all events and results of calls so far, and of what all views show ([`record`]). If a world
//! goes differently than recorded, the test names the world, the first second that differs, and which of the three
//! hashes does. When a call blocks for several seconds, these seconds have the same hashes.
//!
//! A change that is meant to change behaviour rewrites the record, in a commit that says why:
//!
//! ```text
//! HEADCOUNT_GOLDEN=write cargo test --lib --all-features golden
//! ```
//!
//! The worlds of `plain.txt` have no keys. They run, and go the same way, with and without the feature `encryption`.
//! The worlds of `sealed.txt` run with it only.
//!
//! Each world runs twice, on two threads, and must go the same way both times. What happens in it is drawn from a
//! generator of its own ([`world`]), so a new world changes none of the others.

mod acts;
mod fold;
#[cfg(feature = "encryption")]
mod keys;
mod record;
mod world;

use std::collections::BTreeSet;
use std::{env, fs, panic, thread};

use self::acts::Plan;
use self::record::{Record, Second};
use self::world::{Outcome, World};

/// Where the records are, below the directory of the package.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sim/golden");

/// Events, errors and counters that have to occur in the worlds without keys, taken together.
const TOUCHED: &[&str] = &[
    // Events.
    "joined",
    "suspected",
    "recovered",
    "died",
    "left",
    "restarted",
    "moved",
    "changed",
    "removed",
    "message",
    "broadcast",
    "missed",
    "name conflict",
    "lagged",
    // Errors.
    "full",
    "name taken",
    "no answer",
    "not active",
    "refused",
    "timeout",
    "too large",
    "unknown node",
    // Counters.
    "headcount_broadcasts_missed",
    "headcount_discovery_errors",
    "headcount_fragments_late",
    "headcount_fragments_resent",
    "headcount_health",
    "headcount_isolations",
    "headcount_joins_refused",
    "headcount_lags",
    "headcount_messages_refused",
    "headcount_not_allowed",
    "headcount_probes_failed",
    "headcount_probes_void",
    "headcount_refutations",
    "headcount_rejoin_failures",
    "headcount_tombstones",
    "headcount_unexpected_answers",
    "headcount_unknown_sender",
];

#[test]
fn worlds_without_keys_go_as_recorded_and_the_same_way_each_time() {
    check("plain.txt", include_str!("golden/plain.txt"), 0, &acts::PLAIN, TOUCHED);
}

#[cfg(feature = "encryption")]
#[test]
fn worlds_with_keys_go_as_recorded_and_the_same_way_each_time() {
    let touched = ["wrong key", "headcount_unopened", "headcount_plain_refused", "headcount_replayed"];
    let recorded = include_str!("golden/sealed.txt");
    check("sealed.txt", recorded, acts::FIRST_SEALED, &acts::SEALED, &touched);
}

/// Runs worlds of consecutive numbers and compares them with their record, or writes it.
fn check(file: &str, recorded: &str, first: usize, plans: &[Plan], touched: &[&str]) {
    let run_all = || -> Vec<Outcome> {
        let worlds = plans.iter().enumerate();
        worlds.map(|(index, plan)| World::new(first + index, *plan).run()).collect()
    };
    let (outcomes, again) = thread::scope(|scope| {
        let again = scope.spawn(run_all);
        (run_all(), again.join().unwrap_or_else(|payload| panic::resume_unwind(payload)))
    });
    let record_of = |outcomes: &[Outcome]| -> Record {
        outcomes.iter().enumerate().map(|(index, outcome)| (first + index, outcome.seconds.clone())).collect()
    };
    let record = record_of(&outcomes);
    assert_none("two runs differ", &record::differences(&record, &record_of(&again)));
    let all: BTreeSet<&str> =
        outcomes.iter().flat_map(|outcome| &outcome.touched).map(String::as_str).collect();
    let missing: Vec<_> = touched.iter().filter(|wanted| !all.contains(**wanted)).collect();
    assert!(missing.is_empty(), "no world comes across {missing:?}, but across {all:?}");
    if env::var_os("HEADCOUNT_GOLDEN").is_some_and(|value| value == "write") {
        fs::write(format!("{DIRECTORY}/{file}"), record::write(&record)).unwrap();
    } else {
        assert_none("the record differs", &record::differences(&record::read(recorded).unwrap(), &record));
    }
}

#[track_caller]
fn assert_none(what: &str, differences: &[String]) {
    assert!(differences.is_empty(), "{what}:\n  {}", differences.join("\n  "));
}

fn some_record() -> Record {
    let second = |number| Second::new(number, 2 * number, 3 * number);
    (3..6).map(|world| (world, (0..20).map(|at| second(1_000 * world as u64 + at)).collect())).collect()
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let record = some_record();
    let text = record::write(&record);
    assert_eq!(record::read(&text), Ok(record));
    assert!(text.lines().all(|line| line.len() <= 110), "{text}");
    let cut: String =
        text.lines().filter(|line| !line.starts_with("04 008")).map(|line| line.to_owned() + "\n").collect();
    assert!(record::read(&cut).unwrap_err().starts_with("04 016"));
}

#[test]
fn a_difference_names_its_world_and_second_and_what_it_is() {
    let before = some_record();
    assert_eq!(record::differences(&before, &before), [""; 0]);
    let mut now = before.clone();
    let seconds = now.get_mut(&4).unwrap();
    seconds[13].views ^= 1;
    seconds[13].told ^= 1;
    seconds[14].datagrams ^= 1;
    now.get_mut(&5).unwrap().pop();
    now.insert(6, Vec::new());
    now.remove(&3);
    let differences = record::differences(&before, &now);
    let expected = [
        "world 3 was recorded and is gone",
        "world 4 differs first at second 13: events or results, views",
        "world 5 has 19 seconds, and had 20",
        "world 6 was never recorded",
    ];
    assert_eq!(differences, expected);
}
