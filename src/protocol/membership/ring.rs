//! One order of all active nodes that every member shares: their name hashes, sorted.
//!
//! Beyond SWIM, which draws both the peers of a rumor and the targets of its probes at random. With random
//! peers a member is missed by all of k copies with probability e^(−k(1−p)) at loss p: by chance some member is always
//! left out. If all members send along one shared ring, each is sent exactly k copies and is missed with p^k. The same
//! order gives every node exactly one prober a round. Views that differ a little degrade both towards random choice.
//!
//! The order follows from the names, so a stranger that knows them can foresee which member sends to which. The retries
//! of sync and the relays of probes are drawn at random as a hedge.

use crate::node::Incarnation;
use crate::wire::NameHash;
use crate::wire::hash::siphash;

/// Salts the choice of witnesses.
const WITNESS_KEY: u64 = u64::from_be_bytes(*b"witness.");
/// Salts the order of probing.
const ROUND_KEY: u64 = u64::from_be_bytes(*b"rounds..");

/// How often a member sends a rumor in a cluster of `n`: `retransmit`, and one for each digit of `n`.
pub(crate) fn sends(n: usize, retransmit: usize) -> usize {
    let mut digits = 0;
    let mut power = 1_usize;
    while power < n.saturating_add(1) {
        power = power.saturating_mul(10);
        digits += 1;
    }
    retransmit + digits
}

/// The offsets on the ring to which the member at any index sends: o_0 = 1, then `n^(j/k)` rounded and strictly
/// rising, so that few hops reach everybody and the ring is always connected. With at most k others: all.
pub(crate) fn offsets(n: usize, k: usize) -> Vec<usize> {
    if n <= k + 1 {
        return (1..n).collect();
    }
    let root = root(n as u64, k);
    let mut power = ONE;
    let mut offsets = vec![1_usize];
    for _ in 1..k {
        power = multiply(power, root);
        let rounded = usize::try_from((power + ONE / 2) >> FRACTION_BITS).unwrap_or(usize::MAX);
        let last = offsets[offsets.len() - 1];
        offsets.push(rounded.max(last + 1));
    }
    offsets
}

/// Where the target of a round stands: the offset from the own index, 1 to n−1. Within n−1 rounds each offset
/// comes once, in an order that changes from cycle to cycle.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    cycle: u32,
    offsets: Vec<u32>,
}

impl Rounds {
    /// The offset that `round` probes in a cluster of `n` ≥ 2.
    pub(crate) fn offset(&mut self, round: u32, n: usize) -> usize {
        let others = u32::try_from(n.saturating_sub(1)).unwrap_or(u32::MAX).max(1);
        let cycle = round / others;
        if self.offsets.len() != others as usize || self.cycle != cycle {
            self.cycle = cycle;
            // Not a new list: the memory of the cycle before is used again.
            self.offsets.clear();
            self.offsets.extend(1..=others);
            for last in (1..self.offsets.len()).rev() {
                let draw = siphash((ROUND_KEY, u64::from(cycle)), &(last as u64).to_be_bytes());
                let other = draw % (last as u64 + 1);
                self.offsets.swap(last, usize::try_from(other).unwrap_or(0));
            }
        }
        self.offsets[(round % others) as usize] as usize
    }
}

/// Whether a node is one of the `count` witnesses of a suspicion. Every member computes the same ones, among the
/// `active` nodes without the suspect. Stops when `count` nodes rank before it, which is soon for nearly every node.
pub(crate) fn is_witness(
    node: NameHash,
    active: &[NameHash],
    suspect: NameHash,
    incarnation: Incarnation,
    count: usize,
) -> bool {
    let key = (WITNESS_KEY ^ suspect.0, incarnation.0);
    let rank = |name: NameHash| (siphash(key, &name.0.to_be_bytes()), name);
    let own = rank(node);
    let before = active.iter().filter(|name| **name != suspect && rank(**name) < own);
    node != suspect && before.take(count).count() < count
}

/// Fixed-point numbers with 32 bits of fraction: integers, so that every machine gets the same ring.
const FRACTION_BITS: u32 = 32;
const ONE: u128 = 1 << FRACTION_BITS;

fn multiply(a: u128, b: u128) -> u128 {
    a.saturating_mul(b) >> FRACTION_BITS
}

/// The k-th root of n, by bisection.
fn root(n: u64, k: usize) -> u128 {
    let n = u128::from(n) << FRACTION_BITS;
    let (mut low, mut high) = (ONE, n);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let mut power = ONE;
        for _ in 0..k {
            power = multiply(power, middle);
            if power > n {
                break;
            }
        }
        if power > n {
            high = middle;
        } else {
            low = middle;
        }
    }
    low
}
