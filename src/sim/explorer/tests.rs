//! The search finds no fault in the protocol, and finds the faults that are made on purpose.

use std::time::Instant;

use super::scenarios;
use super::search::{Limits, explore};
use crate::sim::Rule;

/// Maximum number of worlds of each scenario, unless the environment asks for all worlds to some depth.
const WORLDS: usize = 300;

#[test]
fn whatever_happens_within_a_few_steps_two_or_three_members_agree_in_the_end() {
    let depth = std::env::var("HEADCOUNT_EXPLORE").ok().map(|text| text.parse().unwrap());
    let limits = match depth {
        Some(depth) => Limits { depth, worlds: usize::MAX },
        None => Limits { depth: usize::MAX, worlds: WORLDS },
    };
    let mut failed = Vec::new();
    for scenario in scenarios::all() {
        let begin = Instant::now();
        match explore(&scenario, &[], limits) {
            Ok(explored) => println!("{}: {explored}, in {:.1?}", scenario.label, begin.elapsed()),
            Err(failure) => failed.push((scenario.label, failure)),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Searches for a failure with a rule left out.
fn is_found(rule: Rule, label: &str) -> String {
    let found = explore(&scenarios::one(label), &[rule], Limits { depth: usize::MAX, worlds: 4_000 });
    let failure = found.expect_err("it was not found");
    println!("without {rule:?}: {:?}: {}", failure.path, failure.wrong);
    failure.wrong
}

#[test]
fn a_dropped_refutation_is_found() {
    is_found(Rule::Refutation, "rest of two");
}

#[test]
fn a_merge_that_takes_the_older_is_found() {
    is_found(Rule::Order, "join");
}

#[test]
fn an_admission_without_a_cookie_is_found() {
    is_found(Rule::Cookie, "join");
}

#[test]
fn a_name_that_is_taken_over_from_one_that_runs_is_found() {
    is_found(Rule::NameCheck, "name conflict");
}
