//! What could grow without end, and how far it may: for whoever checks that it does not.

use super::contract::Bound;
use super::join::JOINS_MAX;
use super::{Protocol, compare, state};

impl Protocol {
    /// How much there is of everything that others can make grow.
    pub(crate) fn bounds(&self) -> [Bound; 28] {
        let [active, tombstones] = self.members.bounds();
        let suspicions = Bound { what: "suspicions", count: self.suspicions.len(), max: active.count };
        let told = Bound { what: "nodes to be asked", count: self.told.len(), max: compare::TOLD_MAX };
        // Two for each suspicion, one for each join, and twelve others.
        let timers_max = 2 * suspicions.count + self.joins.len() + 12;
        let [lacking, requests] = self.fetches.bounds();
        let [kept, kept_bytes, gaps] = self.broadcasts.bounds();
        let collected =
            Bound { what: "collected states", count: self.collected.len(), max: state::COLLECTED_MAX };
        let joins = Bound { what: "joins", count: self.joins.len(), max: JOINS_MAX };
        let timers = Bound { what: "timers", count: self.timers.len(), max: timers_max };
        let [windows, reached] = self.sealing_bounds();
        let senders = Bound { what: "senders", count: self.inbox.len(), max: active.max + tombstones.max };
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
            self.given.bound(),
            self.addresses.bound(),
            self.search.bound(),
            self.name_checks.bound(),
            self.damping.bound(),
            lacking,
            requests,
            collected,
            self.outbox.bound(),
            self.inbox.bound(),
            senders,
            kept,
            kept_bytes,
            gaps,
            windows,
            reached,
        ]
    }
}
