//! The acts of a few members; the search tries everything with their datagrams.

use std::time::Duration;

use super::stage::Act::{ClockBack, Crash, Join, Leave, Namesake, Start, StartAt, Wait};
use super::stage::{Act, Scenario};

/// An address that no other host has.
const ELSEWHERE: &str = "10.9.0.1:7990";
const ALL: &[&str] = &["a", "b", "c"];

fn scenario(label: &'static str, seeds: &'static [&'static str], before: &[Act], acts: &[Act]) -> Scenario {
    Scenario { label, seeds, before: before.to_vec(), acts: acts.to_vec() }
}

/// All scenarios that are searched.
pub(super) fn all() -> Vec<Scenario> {
    let apart = [Start("a"), Start("b")];
    let two = [Start("a"), Start("b"), Join("b", "a"), Wait(Duration::from_secs(3))];
    let three =
        [Start("a"), Start("b"), Start("c"), Join("b", "a"), Join("c", "a"), Wait(Duration::from_secs(5))];
    let pair = &ALL[..2];
    vec![
        scenario("join", &[], &apart, &[Join("b", "a")]),
        scenario("cross-join", &[], &apart, &[Join("b", "a"), Join("a", "b")]),
        scenario(
            "join of two",
            &[],
            &[&apart[..], &[Start("c")]].concat(),
            &[Join("b", "a"), Join("c", "a")],
        ),
        scenario("rest of two", &[], &two, &[]),
        scenario("rest of three", &[], &three, &[]),
        scenario("restart", pair, &two, &[Start("b"), Join("b", "a")]),
        scenario("restart with the clock back", pair, &two, &[ClockBack("b"), Start("b"), Join("b", "a")]),
        scenario("restart elsewhere", pair, &two, &[StartAt("b", ELSEWHERE), Join("b", "a")]),
        scenario(
            "restart elsewhere with the clock back",
            ALL,
            &three,
            &[ClockBack("c"), StartAt("c", ELSEWHERE), Join("c", "a"), Join("c", "b")],
        ),
        scenario("restart of both", pair, &two, &[Start("a"), Start("b"), Join("b", "a")]),
        scenario("leave and restart", pair, &two, &[Leave("b"), Start("b"), Join("b", "a")]),
        scenario("leave of two", ALL, &three, &[Leave("b"), Leave("c")]),
        scenario(
            "addresses change hands",
            ALL,
            &three,
            &[Crash("b"), StartAt("c", "10.0.0.2:7990"), Join("c", "a"), StartAt("b", "10.0.0.3:7990")],
        ),
        scenario("crash and join", ALL, &three, &[Crash("b"), Start("c"), Join("c", "a")]),
        scenario("name conflict", ALL, &three, &[Namesake("c"), Join("c", "a")]),
    ]
}

/// One of them.
pub(super) fn one(label: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.label == label).unwrap()
}
