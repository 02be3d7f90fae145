//! Suspicions: how long a node that did not answer has to defend itself.
//!
//! A suspicion is bound to one (generation, incarnation) of the suspect; a refutation ends it. Its time starts
//! at `max` and falls to `min` with the logarithm of the number of independent confirmations (Lifeguard,
//! section IV.B). With K expected confirmations and c that came:
//!
//! ```text
//! time = max − (max − min) × log(c + 1) / log(K + 1)        min = 4 × T, max = 6 × min, K = min(3, n − 2)
//! ```
//!
//! Beyond Lifeguard: `min` does not grow with the cluster, because a refutation needs milliseconds and not rounds. The
//! accusers travel with the suspicion, as a set. A node that has refuted a lot lately gets more time. A node that only
//! one member accuses when the time is over is probed once more before it is declared dead.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::node::{Generation, Incarnation};
use crate::protocol::time::Instant;
use crate::wire::{Accusers, NameHash};

/// Maximum number of confirmations that count.
const CONFIRMATIONS_MAX: usize = 3;
/// The shortest time of a suspicion, in probe timeouts.
const MIN_TIMEOUTS: u32 = 4;
/// The longest time of a suspicion, in shortest times.
const MAX_MINS: u32 = 6;
/// log(c + 1) / log(K + 1) in thousandths, by K and c.
const SHARE: [[u32; CONFIRMATIONS_MAX + 1]; CONFIRMATIONS_MAX + 1] =
    [[1000, 1000, 1000, 1000], [0, 1000, 1000, 1000], [0, 631, 1000, 1000], [0, 500, 792, 1000]];

/// The shortest time that a suspect has.
pub(crate) fn shortest(timeout: Duration) -> Duration {
    timeout * MIN_TIMEOUTS
}

/// How many confirmations the deadline waits for in a cluster of `n` active nodes.
pub(crate) fn confirmations(n: usize) -> usize {
    n.saturating_sub(2).min(CONFIRMATIONS_MAX)
}

/// The evidence for an accusation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Another member reports it.
    Heard,
    /// A probe of ours has failed, and a relay's as well.
    Proven,
    /// Several probes of ours have failed, and no relay could confirm it; or one has, and there is no relay.
    Unproven,
}

/// One running suspicion.
#[derive(Debug, Clone)]
pub(crate) struct Suspicion {
    pub(crate) generation: Generation,
    pub(crate) incarnation: Incarnation,
    pub(crate) accusers: Accusers,
    since: Instant,
    /// Number of probes of this member that have failed; an accusation without proof counts as two.
    own_evidence: u32,
    /// Whether a relay has asked in vain for one of them.
    has_proof: bool,
    /// Whether it was reported to users.
    pub(crate) shown: bool,
    /// Number of accusations that the suspect has refuted in the last minute.
    refutations: u32,
}

impl Suspicion {
    pub(crate) fn new(
        now: Instant,
        generation: Generation,
        incarnation: Incarnation,
        refutations: u32,
    ) -> Self {
        Self {
            generation,
            incarnation,
            accusers: Accusers::default(),
            since: now,
            own_evidence: 0,
            has_proof: false,
            shown: false,
            refutations,
        }
    }

    /// Adds an accuser, up to one more than the number that the deadline waits for. False if that changes nothing.
    pub(crate) fn accuse(&mut self, accuser: NameHash, n: usize) -> bool {
        self.accusers.as_slice().len() <= confirmations(n) && self.accusers.insert(accuser)
    }

    /// Notes this member's own evidence.
    pub(crate) fn note(&mut self, evidence: Evidence) {
        self.own_evidence += match evidence {
            Evidence::Heard => 0,
            Evidence::Proven => 1,
            Evidence::Unproven => 2,
        };
        self.has_proof |= evidence == Evidence::Proven;
    }

    /// Whether it is proven, or two members have asked the suspect in vain. An own accusation without proof confirms no
    /// other one here; what others send does not say which kind it is.
    pub(crate) fn is_proven(&self) -> bool {
        self.has_proof || self.accusers.as_slice().len() >= 2
    }

    /// When the suspect is to be declared dead, unless it refutes; `min` is the shortest time that it has.
    pub(crate) fn deadline(&self, n: usize, min: Duration) -> Instant {
        let max = min * MAX_MINS;
        let expected = confirmations(n);
        let confirmed = self.accusers.as_slice().len().saturating_sub(1).min(CONFIRMATIONS_MAX);
        let time = max - (max - min) * SHARE[expected][confirmed] / 1000;
        let patience = min * self.refutations.saturating_sub(1).min(2);
        self.since + (time + patience).min(max)
    }

    /// Whether the only evidence against the suspect is one probe of one member.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.accusers.as_slice().len() < 2 && self.own_evidence < 2
    }

    /// When it is reported to users: after half of the shortest time.
    pub(crate) fn show_at(&self, min: Duration) -> Instant {
        self.since + min / 2
    }

    /// Gives the suspect back time that it lost through no fault of its own.
    pub(crate) fn push_back(&mut self, by: Duration) {
        self.since = self.since + by;
    }
}

/// All running suspicions.
#[derive(Debug, Default)]
pub(crate) struct Suspicions {
    by_name: BTreeMap<NameHash, Suspicion>,
}

impl Suspicions {
    pub(crate) fn insert(&mut self, name: NameHash, suspicion: Suspicion) {
        self.by_name.insert(name, suspicion);
    }

    /// Ends a suspicion.
    pub(crate) fn remove(&mut self, name: NameHash) -> Option<Suspicion> {
        self.by_name.remove(&name)
    }

    pub(crate) fn get(&self, name: NameHash) -> Option<&Suspicion> {
        self.by_name.get(&name)
    }

    pub(crate) fn get_mut(&mut self, name: NameHash) -> Option<&mut Suspicion> {
        self.by_name.get_mut(&name)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (NameHash, &mut Suspicion)> {
        self.by_name.iter_mut().map(|(name, suspicion)| (*name, suspicion))
    }
}
