//! The rules that an experiment can leave out, to see what each is good for (`benches/rules`).
//!
//! Only tests and benchmarks can: without `cfg(headcount_bench)` every rule is followed, which the compiler knows.

/// A rule of the protocol that an experiment leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, headcount_bench)),
    expect(unreachable_pub, reason = "benchmarks see it, programs do not")
)]
pub enum Rule {
    /// The first relay is the node that was heard last; without it, all relays are random.
    LastHeard,
    /// A failed probe accuses only if a relay has asked in vain, too.
    Proof,
    /// Who was away voids its probes and gives suspects the time that was lost.
    Lag,
    /// While nobody is heard no verdict falls, and that time is given to suspects.
    Silence,
    /// Who does badly waits longer for answers.
    Health,
    /// Five nodes check a new suspicion at once.
    Witnesses,
    /// Who is accused by one member only is probed again before it is buried.
    Confirmed,
    /// A death is believed only if a suspicion was heard of a while before; without it, at once.
    VerifyFirst,
    /// A ping to a suspect tells it that it is suspected.
    Buddy,
    /// Who has refuted a lot lately is not accused for a while.
    Damping,
    /// Who has refuted a lot lately has more time to refute again.
    Patience,
    /// Views that differ are compared and repaired.
    Sync,
}

#[cfg(any(test, headcount_bench))]
impl Rule {
    /// All rules that can be left out.
    pub const ALL: &[Self] = &[
        Self::LastHeard,
        Self::Proof,
        Self::Lag,
        Self::Silence,
        Self::Health,
        Self::Witnesses,
        Self::Confirmed,
        Self::VerifyFirst,
        Self::Buddy,
        Self::Damping,
        Self::Patience,
        Self::Sync,
    ];
}

/// Rules that are left out in an experiment, to see what they are good for.
#[cfg(any(test, headcount_bench))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Without(u32);

#[cfg(any(test, headcount_bench))]
impl Without {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u32;
    }

    pub(crate) fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u32) != 0
    }
}
