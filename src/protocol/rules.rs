//! The rules that an experiment can leave out, to see what each is good for (`benches/rules`).
//!
//! Only tests and benchmarks can: without `cfg(headcount_bench)` every rule is followed, which the compiler knows.
//!
//! # Where the numbers come from
//!
//! Rules and constants were chosen by simulation.
//!
//! The rules are shown by what happens without them (`RUSTFLAGS="--cfg headcount_bench" cargo bench --bench rules`, each
//! beside all rules, of the same seeds; 128 members unless it says otherwise):
//!
//! | rule | with it, and without | shown by |
//! |---|---|---|
//! | the node heard last is the first relay | 3 survivors settle in 78 s, and not in 240 s | `rules -- three LastHeard` |
//! | proof | false deaths a run: 0, and 496 | `rules -- slow Proof` |
//! | silence, where there is no proof either | false deaths a run: 52, and 591 | `rules -- deaf Proof Proof+Silence` |
//! | lag | datagrams a second in clusters of 2 to 5: 3.43, and 3.56 | `rules -- few full Lag` |
//! | health | probes without an answer where the round trip exceeds T: 31 %, and 100 % | `rules -- remote Health` |
//! | witnesses | first detection, median 3.2 s, and 4.7 s | `rules -- threshold Witnesses` |
//! | a lone accusation is probed again | healthy nodes buried by grey ones in 72 runs: 0, and 3 (`loss -- grey` has had 1 to 4 in 30) | `rules -- grey full Confirmed` |
//! | ask first | deaths of healthy nodes at healthy members after a cut: 0, and 177 a run | `rules -- split VerifyFirst` |
//! | a ping carries the suspicion (buddy) | deaths of grey nodes a run: 0, and 148 | `rules -- grey Buddy` |
//! | the relay that reached a node last is the first | false deaths in half an hour of two cliques with a bridge: 0, and 2.7; datagrams 6.5, and 7.3 | `rules -- bridge KnownRelay` |
//! | damping | datagrams a second in a circle: 9.3, and 26.8; with starved members: 14.6, and 20.7; with grey ones: 4.2, and 13.1 | `rules -- circle Damping` |
//! | vouching | crashed nodes that join again when a member goes on after 25 s: 0, and 9 of 9 | `sim::tests::ghosts` |
//! | more time for a node that refutes | deaths of starved nodes a run: 0, and 450 | `rules -- starved Patience` |
//!
//! The staged second ping, the second relay, relays passing on late acks, the growth of a suspicion's time without
//! confirmations, and the wait of a member that was buried twice were left out in the same experiments, and missed:
//! under loss, at long round trips, in small clusters, by nodes that come and go. They have no switch. The pace of
//! refutations, and that a relay without the target gives no evidence, made no difference: they guard against what is
//! not simulated, and say so where they stand.
//!
//! And the constants:
//!
//! | constant | value | shown by |
//! |---|---|---|
//! | shortest suspicion | 4 × T | `lifeguard -- threshold`; shorter is faster, and leaves less room for faults that no experiment has |
//! | longest suspicion, confirmations | 6 × that, K = 3 | `lifeguard -- threshold`, `grid` |
//! | witnesses | 5 | `lifeguard -- threshold` |
//! | ladder, relays | T/4, T/2; two | `detector -- slow` |
//! | silence | 4 × T | `lifeguard -- grid`, and `control` without it |
//! | sends of a rumor | retransmit + digits of n | `spreading -- misses`, and its control with three sends fewer |
//! | tokens of the rounds, those for news of nodes only | 2.4 a gossip_interval, burst 100; two a datagram | `spreading -- load`; `detector -- together`: with one, half of 500 cost 1,149 datagrams and not 685; with three, 1,000 join in 3.7 s and not 2.1 |
//! | pause between the phases | 5 × gossip_interval | `spreading -- deaf`: a member that is deaf for half of that is reached by the second |
//! | a confirmation waits for others | 0.2 × T | `lifeguard -- grid`: bytes; `threshold`: verdicts come as early |
//! | settle time, streak, gap | 7.5 × gossip_interval, 3 s, 0.5 to 30 s | `spreading -- repair` |
//! | buckets, digests | 128, 8 bytes a record | `spreading -- cost` |
//! | pulls at a time | 2 | `spreading -- joining` |
//! | window of messages, bursts, resends | 32 to 128 KiB, 32 KiB, a round trip and its variation | `messages` |
//! | stay of a member that was buried again | 10 s × 2^p, at most 320 s | `loss -- flip` |
//! | isolation, healing | isolation_timeout, rejoin_interval | `healing`, `detector -- survivors` |
//! | void probes in a row, their time | 5, isolation_timeout | `sim::tests::isolation`: a dead node that no relay knows is gone after 54 to 64 s; `loss -- grey`: no healthy node is declared dead |

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
    /// A member that was away voids its probes and gives suspects the time that was lost.
    Lag,
    /// While nobody is heard no verdict falls, and that time is given to suspects.
    Silence,
    /// A member that does badly waits longer for answers.
    Health,
    /// Five nodes check a new suspicion at once.
    Witnesses,
    /// A node that is accused by one member only is probed again before it is declared dead.
    Confirmed,
    /// A death is believed only if a suspicion was heard of a while before; without it, at once.
    VerifyFirst,
    /// A ping to a suspect carries the suspicion.
    Buddy,
    /// The relay that reached a node last is the first one to be asked about it.
    KnownRelay,
    /// A member accuses a node ever more rarely if the node refutes, and does not answer it.
    Damping,
    /// A node that has refuted a lot lately has more time to refute again.
    Patience,
    /// A node that is not held comes in by itself, or by the record of a member that vouches for it.
    Vouching,
    /// Views that differ are compared and repaired.
    Sync,
    /// A node that is accused refutes the accusation. This rule and the three below are left out only to see that the
    /// checks notice it: nothing holds without them.
    Refutation,
    /// A record that is older than the one held is not taken.
    Order,
    /// A newcomer shows that it receives at the address that it advertises.
    Cookie,
    /// A name is taken over only if the run that holds it does not answer.
    NameCheck,
}

#[cfg(any(test, headcount_bench))]
impl Rule {
    /// All rules that a cluster holds together without.
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
        Self::KnownRelay,
        Self::Damping,
        Self::Patience,
        Self::Vouching,
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
