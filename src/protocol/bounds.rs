//! What could grow without end, and how far it may: for whoever checks that it does not.

use super::Protocol;
use super::api::Bound;
use super::core::Timer;

impl Protocol {
    /// How much there is of everything that others can make grow.
    pub(crate) fn bounds(&self) -> Vec<Bound> {
        let core = &self.core;
        let [active, tombstones] = core.members.bounds();
        let suspicions = Bound { what: "suspicions", count: core.suspicions.len(), max: active.count };
        let admission = self.admission.bounds();
        let joins = admission[0].count;
        let timers_max = 2 * suspicions.count + joins + Timer::SINGLE;
        let timers = Bound { what: "timers", count: core.timers.len(), max: timers_max };
        let waiting =
            [self.admission.waiting(), self.detection.waiting(), self.sync.waiting(), self.pulls.waiting()];
        // Each has an owner, which knows when it is over.
        let requests = Bound { what: "requests", count: core.requests.len(), max: waiting.iter().sum() };
        let mut bounds = vec![active, tombstones, core.members.lost_bound(), suspicions, timers, requests];
        bounds.extend([self.sync.bound(), core.rumors.bound(), core.given.bound(), core.addresses.bound()]);
        bounds.extend(admission);
        bounds.extend(self.detection.bounds());
        bounds.extend(self.pulls.bounds());
        bounds.extend([self.states.bound(), core.requests.bound()]);
        bounds.extend(self.messages.bounds(core));
        bounds.extend(self.broadcasts.bounds());
        bounds.extend(self.sealing.bounds(core));
        bounds
    }
}
