//! What could grow without end, and how far it may: for whoever checks that it does not.

use super::contract::Bound;
use super::join::JOINS_MAX;
use super::{Protocol, compare, state};

impl Protocol {
    /// How much there is of everything that others can make grow.
    pub(crate) fn bounds(&self) -> [Bound; 28] {
        let [active, tombstones] = self.core.members.bounds();
        let suspicions = Bound { what: "suspicions", count: self.suspicions.len(), max: active.count };
        let told = Bound { what: "nodes to be asked", count: self.told.len(), max: compare::TOLD_MAX };
        // Two for each suspicion, one for each join, and twelve others.
        let timers_max = 2 * suspicions.count + self.joins.len() + 12;
        let [lacking, requests] = self.fetches.bounds();
        let [kept, kept_bytes, gaps] = self.broadcasts.bounds();
        let collected =
            Bound { what: "collected states", count: self.collected.len(), max: state::COLLECTED_MAX };
        let joins = Bound { what: "joins", count: self.joins.len(), max: JOINS_MAX };
        let timers = Bound { what: "timers", count: self.core.timers.len(), max: timers_max };
        let [windows, reached] = self.sealing_bounds();
        let [sent, received, senders] = self.messages.bounds(&self.core);
        [
            active,
            tombstones,
            suspicions,
            told,
            self.doubts.bound(),
            timers,
            joins,
            self.approaches.bound(),
            self.exchanges.bound(),
            self.rumors.bound(),
            self.probes.bound(),
            self.errands.bound(),
            self.core.given.bound(),
            self.core.addresses.bound(),
            self.search.bound(),
            self.name_checks.bound(),
            self.damping.bound(),
            lacking,
            requests,
            collected,
            sent,
            received,
            senders,
            kept,
            kept_bytes,
            gaps,
            windows,
            reached,
        ]
    }
}
