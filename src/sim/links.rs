//! What the simulated network does to datagrams on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;

/// Chances are drawn in millionths.
const MILLION: u32 = 1_000_000;

/// How one direction between two hosts is.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) latency: Range<Duration>,
    pub(super) loss: u32,
    pub(super) duplication: u32,
    pub(super) reordering: u32,
}

impl Link {
    pub(super) fn new() -> Self {
        let latency = Duration::from_micros(200)..Duration::from_millis(1);
        Self { latency, loss: 0, duplication: 0, reordering: 0 }
    }
}

/// All links: one way to be for all, and exceptions.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) all: Link,
    exceptions: BTreeMap<(usize, usize), Link>,
    cuts: BTreeSet<(usize, usize)>,
    /// The side that a host is on while the network is split; hosts without one are on a side of their own.
    sides: BTreeMap<usize, usize>,
}

impl Links {
    pub(super) fn new() -> Self {
        Self { all: Link::new(), exceptions: BTreeMap::new(), cuts: BTreeSet::new(), sides: BTreeMap::new() }
    }

    /// The link from one host to another, to be changed for itself.
    pub(super) fn between(&mut self, from: usize, to: usize) -> &mut Link {
        let all = &self.all;
        self.exceptions.entry((from, to)).or_insert_with(|| all.clone())
    }

    /// Nothing passes from one host to another.
    pub(super) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// These hosts hear each other, and nobody else hears them.
    pub(super) fn split(&mut self, together: &[usize]) {
        let side = self.sides.values().max().map_or(1, |last| last + 1);
        for host in together {
            self.sides.insert(*host, side);
        }
    }

    /// Ends all cuts and splits.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.sides.clear();
    }

    /// When the copies of a datagram arrive, counted from now: none, one or two.
    pub(super) fn carry(&self, rng: &mut ChaCha12Rng, from: usize, to: usize) -> [Option<Duration>; 2] {
        if self.cuts.contains(&(from, to)) || self.sides.get(&from) != self.sides.get(&to) {
            return [None, None];
        }
        let link = self.exceptions.get(&(from, to)).unwrap_or(&self.all);
        let copies = 1 + usize::from(happens(rng, link.duplication));
        let mut arrivals = [None, None];
        for arrival in arrivals.iter_mut().take(copies) {
            if happens(rng, link.loss) {
                continue;
            }
            let mut latency = draw(rng, &link.latency);
            if happens(rng, link.reordering) {
                // It is overtaken by what is sent within some ten latencies.
                let most = link.latency.end.saturating_mul(10);
                latency = latency.saturating_add(draw(rng, &(link.latency.start..most)));
            }
            *arrival = Some(latency);
        }
        arrivals
    }
}

/// A share between 0 and 1, in millionths.
pub(super) fn millionths(share: f64) -> u32 {
    let clamped = share.clamp(0.0, 1.0) * f64::from(MILLION);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a million")]
    let millionths = clamped.round() as u32;
    millionths
}

fn happens(rng: &mut ChaCha12Rng, chance: u32) -> bool {
    chance > 0 && rng.random_range(0..MILLION) < chance
}

fn draw(rng: &mut ChaCha12Rng, range: &Range<Duration>) -> Duration {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let (start, end) = (micros(range.start), micros(range.end));
    if start >= end {
        return range.start;
    }
    Duration::from_micros(rng.random_range(start..end))
}
