//! Names: a name belongs to one node, and when two processes use it, exactly one stays.
//!
//! | noticed by | what it does |
//! |---|---|
//! | a member that is asked to let a newcomer in | probes the older run with the full ladder; if it answers, the newcomer is refused |
//! | a newcomer whose generation is not above the known one | tries again above it: its clock went back |
//! | a running member that learns of a newer run of its name | probes it; if it answers, this member falls silent, else it takes a generation above |
//!
//! The outcome of a check counts only for those that wait for it. For later newcomers the name is checked again,
//! because the holder may have crashed meanwhile. A newcomer that was refused and looks for others in the background
//! would try again only at the end of a pause. So it is remembered, and the member that has refused it says hello to it
//! when the holder dies or leaves.
//!
//! All others believe any report of a newer run, because the member that let it in has checked. After a cut there may
//! be two runs of which each was let in properly, and the newer one stays. So without a key, any node that was let in
//! can take a name: it reports a newer run of the name at an address of its own, and answers there. Nobody can
//! distinguish that run from an honest one, the older run least of all. Only a key keeps such a liar out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Admission, Decision, Incumbent};
use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::NameHash;
use crate::wire::body::RejectReason;

/// A check of a name: whether the run that holds it still answers.
#[derive(Debug)]
struct NameCheck {
    incumbent: Incumbent,
    /// The run is being probed.
    is_running: bool,
    /// Newcomers that wait for the outcome.
    waiting: Vec<Generation>,
    /// Newcomers that have waited for an outcome, when it came, and whether the incumbent had answered. Each outcome is
    /// used once, by its newcomer only.
    decided: Vec<(Generation, Instant, bool)>,
    /// The address of the newcomer that was refused last: it waits for the name.
    refused: Option<SocketAddr>,
}

/// Names that are being checked, and names that a newcomer waits for.
#[derive(Debug)]
pub(super) struct NameChecks {
    by_name: BTreeMap<NameHash, NameCheck>,
    deadlines: Deadlines<NameHash>,
}

impl NameChecks {
    /// Maximum number of names at the same time.
    const MAX: usize = 1_024;
    /// Maximum number of newcomers that wait for one check; more of them wait for the next one.
    const WAITING_MAX: usize = 64;
    /// How long a check is remembered if it does not end, or if its outcome is not asked for.
    const MEMORY: Duration = Duration::from_secs(5);

    pub(super) fn new() -> Self {
        Self { by_name: BTreeMap::new(), deadlines: Deadlines::new() }
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "name checks", count: self.by_name.len(), max: Self::MAX }
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(over) = self.deadlines.pop_due(now) {
            self.by_name.remove(&over);
        }
    }
}

impl Admission {
    /// The name is held by another run, or at another address: does that one still answer? All newcomers that ask while
    /// it is probed share the outcome, so that none restarts the check of another one. An outcome does not count if the
    /// record of the incumbent has changed after it (at `since`).
    pub(super) fn check_name(
        &mut self,
        now: Instant,
        name: NameHash,
        (incumbent, since): (Incumbent, Instant),
        run: Generation,
    ) -> Decision {
        let checks = &mut self.name_checks;
        checks.forget_old(now);
        let begins = if checks.by_name.len() < NameChecks::MAX || checks.by_name.contains_key(&name) {
            Decision::Check(incumbent)
        } else {
            Decision::Wait
        };
        let Some(check) = checks.by_name.get_mut(&name).filter(|check| check.incumbent == incumbent) else {
            return begins;
        };
        check.decided.retain(|(_, at, _)| *at >= since);
        if let Some(place) = check.decided.iter().position(|(waited, ..)| *waited == run) {
            let (_, _, answers) = check.decided.swap_remove(place);
            let taken = Decision::No(RejectReason::NameTaken { addr: incumbent.1 });
            return if answers { taken } else { Decision::Yes };
        }
        if !check.is_running {
            return begins;
        }
        if check.waiting.len() < NameChecks::WAITING_MAX && !check.waiting.contains(&run) {
            check.waiting.push(run);
        }
        Decision::Wait
    }

    /// The run that holds a name is being probed, for a newcomer.
    pub(in crate::protocol) fn name_check_begun(
        &mut self,
        now: Instant,
        name: NameHash,
        incumbent: Incumbent,
        run: Generation,
    ) {
        let checks = &mut self.name_checks;
        let before = checks.by_name.remove(&name);
        let refused = before.as_ref().and_then(|check| check.refused);
        let before = before.filter(|check| check.incumbent == incumbent);
        let decided = before.map_or(Vec::new(), |check| check.decided);
        let check = NameCheck { incumbent, is_running: true, waiting: vec![run], decided, refused };
        checks.by_name.insert(name, check);
        checks.deadlines.set(name, now + NameChecks::MEMORY);
    }

    /// The run that holds a name has answered the probe or not.
    pub(in crate::protocol) fn name_checked(
        &mut self,
        now: Instant,
        name: NameHash,
        incumbent: Incumbent,
        answers: bool,
    ) {
        let checks = &mut self.name_checks;
        if let Some(check) = checks.by_name.get_mut(&name).filter(|check| check.incumbent == incumbent) {
            check.is_running = false;
            check.decided.retain(|(_, at, _)| now.since(*at) < NameChecks::MEMORY);
            check.decided.extend(check.waiting.drain(..).map(|run| (run, now, answers)));
            let many = check.decided.len().saturating_sub(NameChecks::WAITING_MAX);
            check.decided.drain(..many);
            checks.deadlines.set(name, now + NameChecks::MEMORY);
        }
    }

    /// A newcomer is refused because its name is taken. It is remembered for `pause`, the longest time that it may take
    /// to try again.
    pub(super) fn note_refused(&mut self, now: Instant, name: NameHash, from: SocketAddr, pause: Duration) {
        if let Some(check) = self.name_checks.by_name.get_mut(&name) {
            check.refused = Some(from);
            self.name_checks.deadlines.set(name, now + pause);
        }
    }

    /// The address of a newcomer that waits for the name of a node that is gone.
    pub(in crate::protocol) fn take_waiting(&mut self, now: Instant, name: NameHash) -> Option<SocketAddr> {
        self.name_checks.forget_old(now);
        self.name_checks.by_name.get_mut(&name)?.refused.take()
    }
}
