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
//! take a name: he tells of a newer run of it at an address of his own, and answers there. What that run is can not be
//! told from an honest one, by the older run least of all; only a key keeps such a liar out.

use std::net::SocketAddr;

use super::admit::Admission;
use super::join::{Incumbent, NameCheck};
use super::members::INCARNATION_STEP_MAX;
use super::probe::{Purpose, Target};
use super::time::Instant;
use super::{Protocol, Timer};
use crate::error::Error;
use crate::event::Event;
use crate::node::{Generation, Incarnation, Status};
use crate::wire::body::RejectReason;
use crate::wire::{Accusers, NameHash, Record, Verdict};

impl Protocol {
    /// News about our own name.
    pub(super) fn handle_own_name(&mut self, now: Instant, record: &Record<'_>) {
        if record.generation == self.core.generation && record.incarnation > self.core.incarnation {
            // Nobody but us raises it: somebody has forged it, or it is an echo from before a fault.
            let verdict = Verdict {
                subject: self.core.me,
                generation: record.generation,
                incarnation: record.incarnation,
                status: Status::Suspect,
                accusers: Accusers::default(),
            };
            self.handle_accusation(now, record.addr, &verdict);
            if record.incarnation.0 == self.core.incarnation.0.saturating_add(INCARNATION_STEP_MAX) {
                // Who has heard it believes it, and who has not would not believe what refutes it.
                self.claim_run(now, self.core.generation);
            }
        }
        if record.generation > self.core.generation && record.addr != self.core.settings.advertise {
            self.meet_rival(now, record.addr, record.generation);
        } else if record.generation > self.core.generation {
            // An older run of ours, at our address, whose clock was ahead.
            self.claim_run(now, record.generation);
        }
    }

    /// A newer run of our name is known somewhere: at once, and then at most once an interval, it is asked
    /// whether it is there.
    pub(super) fn meet_rival(&mut self, now: Instant, addr: SocketAddr, run: Generation) {
        let first = self.rival.is_none();
        self.rival = Some((addr, run));
        if first {
            self.probe_rival(now);
        }
    }

    /// Asks whether the other run of our name is there.
    pub(super) fn probe_rival(&mut self, now: Instant) {
        let Some((addr, run)) = self.rival else {
            return;
        };
        if run <= self.core.generation {
            self.rival = None;
            return;
        }
        let target = Target { name: self.core.me, addr, generation: run, incarnation: Incarnation(0) };
        if self.probe(now, Purpose::Rival, target).is_none() {
            self.core.timers.set(Timer::Rival, now + self.core.settings.probe_interval);
        }
    }

    /// The other run of our name answers: it is the newer one, we fall silent.
    pub(super) fn yield_name(&mut self, addr: SocketAddr) {
        let name = self.core.settings.name.clone();
        self.core.note(log::Level::Error, || {
            format!("another process uses our name {name}, at {addr}: this member ends")
        });
        self.core.events.push_back(Event::NameConflict { addr });
        let name = self.core.settings.name.clone();
        self.stop(Error::NameTaken { name, addr });
    }

    /// The other run of our name is gone: we take a generation above it.
    pub(super) fn outlive_rival(&mut self, now: Instant, run: Generation) {
        self.rival = None;
        self.renew(now, run);
    }

    /// Takes a generation above one that is known of our name, and tells it. Our state goes with us.
    pub(super) fn renew(&mut self, now: Instant, above: Generation) {
        if above < self.core.generation {
            return;
        }
        self.core.generation = self.generation_above(now, above);
        self.core.incarnation = Incarnation(0);
        self.accused = None;
        let state = self.state_of(self.core.me);
        self.publish_self(now);
        self.push_rumor(now, self.core.me);
        self.carry_state(now, state);
    }

    /// The name is held by another run, or at another address: does that one still answer? Who asks does not matter, so
    /// that nobody begins the check of another one anew, or has its outcome.
    pub(super) fn check_name(&mut self, now: Instant, name: NameHash, incumbent: Incumbent) -> Admission {
        match self.name_checks.get(now, name, incumbent) {
            Some(NameCheck::Running) => Admission::Wait,
            Some(NameCheck::Taken(addr)) => Admission::No(RejectReason::NameTaken { addr }),
            Some(NameCheck::Free) => Admission::Yes,
            None => {
                if self.name_checks.has_room() && self.probe_node(now, Purpose::Incumbent, name).is_some() {
                    self.name_checks.set(now, name, incumbent, NameCheck::Running);
                }
                Admission::Wait
            }
        }
    }
}
