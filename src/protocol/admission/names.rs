//! Names: one name is one node, and when two processes use it, exactly one stays.
//!
//! | who finds out | what it does |
//! |---|---|
//! | a member that is asked to let a newcomer in | probes the older run with the full ladder; if it answers, the newcomer is refused |
//! | a newcomer whose generation is not above the known one | comes again above it: its clock went back |
//! | a running member that learns of a newer run of its name | probes it; if it answers, this member falls silent, else it takes a generation above |
//!
//! All others believe whoever tells of a newer run, because the member that let it in has checked. After a cut there
//! may be two runs of which each was let in properly, and the newer one stays. So without a key whoever was let in can
//! take a name: it reports a newer run of the name at an address of its own, and answers there. What that run is can not be
//! told from an honest one, by the older run least of all; only a key keeps such a liar out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Admission;
use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::NameHash;

/// What is known of a name that a newcomer wants and another run holds, or the same one elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameCheck {
    /// The older run is being probed.
    Running,
    /// It has answered, at this address.
    Taken(SocketAddr),
    /// It has not: the name is free for the newer run.
    Free,
}

/// A run at an address, which is asked whether it still answers.
pub(in crate::protocol) type Incumbent = (Generation, SocketAddr);

/// Names that are being checked: whether who holds one still answers, whoever wants it.
#[derive(Debug)]
pub(super) struct NameChecks {
    by_name: BTreeMap<NameHash, (Incumbent, NameCheck)>,
    deadlines: Deadlines<NameHash>,
}

impl NameChecks {
    /// Checks that may be remembered at the same time.
    const MAX: usize = 1_024;
    /// How long an outcome holds.
    const MEMORY: Duration = Duration::from_secs(5);

    pub(super) fn new() -> Self {
        Self { by_name: BTreeMap::new(), deadlines: Deadlines::new() }
    }

    /// What is known about a name, as long as this run holds it there.
    pub(super) fn get(&mut self, now: Instant, name: NameHash, incumbent: Incumbent) -> Option<NameCheck> {
        while let Some(over) = self.deadlines.pop_due(now) {
            self.by_name.remove(&over);
        }
        self.by_name.get(&name).filter(|(held, _)| *held == incumbent).map(|(_, check)| *check)
    }

    /// Whether another check can be begun.
    pub(super) fn has_room(&self) -> bool {
        self.by_name.len() < Self::MAX
    }

    pub(super) fn set(&mut self, now: Instant, name: NameHash, incumbent: Incumbent, check: NameCheck) {
        self.by_name.insert(name, (incumbent, check));
        self.deadlines.set(name, now + Self::MEMORY);
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "name checks", count: self.by_name.len(), max: Self::MAX }
    }

    /// The older run has answered or not.
    pub(super) fn decide(&mut self, now: Instant, name: NameHash, incumbent: Incumbent, check: NameCheck) {
        if self.by_name.get(&name).is_some_and(|(held, _)| *held == incumbent) {
            self.set(now, name, incumbent, check);
        }
    }
}

impl Admission {
    /// The run that holds a name is being probed.
    pub(in crate::protocol) fn name_check_begun(
        &mut self,
        now: Instant,
        name: NameHash,
        incumbent: Incumbent,
    ) {
        self.name_checks.set(now, name, incumbent, NameCheck::Running);
    }

    /// The run that holds a name has answered the probe or not.
    pub(in crate::protocol) fn name_checked(
        &mut self,
        now: Instant,
        name: NameHash,
        incumbent: Incumbent,
        answers: bool,
    ) {
        let check = if answers { NameCheck::Taken(incumbent.1) } else { NameCheck::Free };
        self.name_checks.decide(now, name, incumbent, check);
    }
}
