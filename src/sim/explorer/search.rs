//! The search: breadth first, each world once.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use super::choice::Choice;
use super::stage::{Scenario, Stage};
use crate::sim::Rule;

/// How many of the oldest datagrams in flight may arrive next.
const DELIVERABLE: usize = 3;

/// How far a search goes.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Limits {
    pub(in crate::sim) depth: usize,
    /// Maximum number of worlds that are visited.
    pub(in crate::sim) worlds: usize,
}

/// What a search has seen.
#[derive(Debug, Clone, Default)]
pub(in crate::sim) struct Explored {
    /// Number of paths that were run.
    pub(in crate::sim) runs: usize,
    /// Number of different worlds at their ends.
    pub(in crate::sim) worlds: usize,
    /// The depth to which all worlds were visited.
    pub(in crate::sim) depth: usize,
    /// The longest time until all views were equal.
    pub(in crate::sim) slowest: Duration,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, worlds, depth, slowest } = self;
        write!(f, "{runs} runs, {worlds} worlds, all to depth {depth}, equal after {slowest:.1?} at most")
    }
}

/// A path after which something does not hold.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Failure {
    pub(in crate::sim) path: Vec<Choice>,
    pub(in crate::sim) wrong: String,
}

/// Visits all worlds that a scenario leads to, within limits. The members leave out the rules in `without`.
pub(in crate::sim) fn explore(
    scenario: &Scenario,
    without: &[Rule],
    limits: Limits,
) -> Result<Explored, Failure> {
    let mut explored = Explored::default();
    let mut seen = BTreeSet::new();
    let mut waiting = VecDeque::new();
    visit(scenario, without, Vec::new(), &mut explored, &mut seen, &mut waiting)?;
    while let Some((path, choices)) = waiting.pop_front() {
        explored.depth = path.len();
        if path.len() == limits.depth {
            break;
        }
        for choice in choices {
            if seen.len() == limits.worlds {
                return Ok(explored);
            }
            let longer = path.iter().copied().chain([choice]).collect();
            visit(scenario, without, longer, &mut explored, &mut seen, &mut waiting)?;
        }
    }
    Ok(explored)
}

/// Runs one path. If it leads to a new world, the world is brought to an end in which all are well, and the search goes
/// on from the world.
fn visit(
    scenario: &Scenario,
    without: &[Rule],
    path: Vec<Choice>,
    explored: &mut Explored,
    seen: &mut BTreeSet<(u64, usize, usize)>,
    waiting: &mut VecDeque<(Vec<Choice>, Vec<Choice>)>,
) -> Result<(), Failure> {
    explored.runs += 1;
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut stage = Stage::new(scenario, without);
        path.iter().for_each(|choice| stage.step(*choice));
        if !seen.insert(stage.digest()) {
            return None;
        }
        let choices = choices(&stage);
        Some((choices, stage.end_well()))
    }));
    match outcome {
        Ok(Some((choices, after))) => {
            explored.worlds += 1;
            explored.slowest = explored.slowest.max(after);
            waiting.push_back((path, choices));
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(payload) => {
            let wrong = payload.downcast_ref::<String>().cloned();
            let wrong = wrong.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Failure { path, wrong: wrong.unwrap_or_default() })
        }
    }
}

fn choices(stage: &Stage) -> Vec<Choice> {
    let flights = stage.flights();
    let mut choices: Vec<Choice> = (0..flights.min(DELIVERABLE)).map(Choice::Deliver).collect();
    if flights > 0 {
        choices.extend([Choice::Lose, Choice::Double]);
    }
    if stage.has_acts() {
        choices.push(Choice::Act);
    }
    choices.push(Choice::Fire);
    choices
}
