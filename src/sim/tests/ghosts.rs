//! A member that was away holds nodes that have crashed meanwhile: its records do not bring them back anywhere.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::{Cluster, Rule};
use super::secs;
use crate::config::Config;
use crate::event::Event;
use crate::member::Member;

/// The reason why members are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    Pause,
    Cut,
    Deafness,
}

/// The last members of a cluster of eight are away while three others crash. If there is time, two more join and crash:
/// news of these waits for the members that hear nothing. Before those are back, three more join, which have never seen
/// the dead nodes.
#[derive(Debug, Clone, Copy)]
struct Case {
    absence: Absence,
    away: usize,
    span: Duration,
    seed: u64,
    /// After this time no member remembers the dead, and no relay can prove that one does not answer.
    tombstone_ttl: Duration,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { absence, away, span, seed, .. } = self;
        write!(f, "{absence:?} of {away} for {span:?}, seed {seed}")
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

fn is_ghost(name: &str) -> bool {
    ["old1", "old2", "old3", "brief0", "brief1"].contains(&name)
}

/// How often a crashed node has joined somewhere after the members that were away are back.
fn joined_ghosts(case: Case, without: &[Rule]) -> usize {
    let cluster = Cluster::new(case.seed);
    cluster.check(false);
    without.iter().for_each(|rule| cluster.without(*rule));
    let joined = Arc::new(AtomicUsize::new(0));
    let add = |name: String| -> Member {
        let joined = Arc::clone(&joined);
        let count = move |_: &Member, event: Event| {
            if let Event::Joined(node) = &event
                && is_ghost(node.name())
            {
                joined.fetch_add(1, Ordering::Relaxed);
            }
        };
        let config = Config::lan().name(name).seeds(["old0"]).tombstone_ttl(case.tombstone_ttl);
        cluster.add(config.on_event(count)).unwrap()
    };
    let mut members: Vec<Member> = (0..8).map(|index| add(format!("old{index}"))).collect();
    cluster.assert_converged();
    cluster.run(secs(20));
    let away: Vec<String> = (0..case.away).map(|index| format!("old{}", 7 - index)).collect();
    let names: Vec<&str> = away.iter().map(String::as_str).collect();
    match case.absence {
        Absence::Pause => names.iter().for_each(|name| cluster.pause(name)),
        Absence::Cut => cluster.split(&names),
        Absence::Deafness => names.iter().for_each(|name| cluster.deafen(name)),
    }
    for index in 1..=3 {
        cluster.crash(&format!("old{index}"));
    }
    if case.span >= secs(20) {
        members.extend((0..2).map(|index| add(format!("brief{index}"))));
        cluster.run(secs(3));
        (0..2).for_each(|index| cluster.crash(&format!("brief{index}")));
        cluster.run(case.span - secs(3));
    } else {
        cluster.run(case.span);
    }
    members.extend((0..3).map(|index| add(format!("new{index}"))));
    cluster.run(secs(5));
    joined.store(0, Ordering::Relaxed);
    match case.absence {
        Absence::Cut => cluster.heal(),
        Absence::Pause | Absence::Deafness => names.iter().for_each(|name| cluster.resume(name)),
    }
    cluster.run(secs(30));
    let joined = joined.load(Ordering::Relaxed);
    if case.span < case.tombstone_ttl {
        cluster.assert_converged();
    }
    joined
}

fn cases(
    spans: &[u64],
    seeds: std::ops::RangeInclusive<u64>,
    tombstone_ttl: Duration,
) -> impl Iterator<Item = Case> {
    let kinds = [Absence::Pause, Absence::Cut, Absence::Deafness].into_iter();
    let kinds = kinds.flat_map(|absence| (1..=3).map(move |away| (absence, away)));
    let timed = kinds.flat_map(move |kind| spans.iter().map(move |span| (kind, secs(*span))));
    timed.flat_map(move |((absence, away), span)| {
        seeds.clone().map(move |seed| Case { absence, away, span, seed, tombstone_ttl })
    })
}

#[test]
fn nobody_joins_the_dead_on_the_word_of_a_member_that_was_away() {
    let known = cases(&[3, 5, 8, 20, 60, 300], 1..=4, 24 * HOUR);
    let forgotten = cases(&[400], 1..=4, secs(300));
    let mut failed = Vec::new();
    for case in known.chain(forgotten) {
        let joined = joined_ghosts(case, &[]);
        if joined > 0 {
            failed.push(format!("{case}: {joined}"));
        }
    }
    assert!(failed.is_empty(), "ghosts joined:\n{}", failed.join("\n"));
}

#[test]
fn nobody_joins_the_dead_that_all_others_have_forgotten_for_an_hour() {
    let absence = Absence::Pause;
    let case = Case { absence, away: 1, span: 3 * HOUR, seed: 1, tombstone_ttl: 2 * HOUR };
    assert_eq!(joined_ghosts(case, &[]), 0, "{case}");
}

#[test]
fn without_vouching_the_dead_join_again() {
    for (span, tombstone_ttl) in [(20, 24 * HOUR), (60, 24 * HOUR), (400, secs(300))] {
        let case = Case { absence: Absence::Pause, away: 1, span: secs(span), seed: 2, tombstone_ttl };
        // Three dead nodes join at three members that have never seen them.
        let joined = joined_ghosts(case, &[Rule::Vouching]);
        assert!(joined >= 6, "{case}: {joined}");
    }
}
