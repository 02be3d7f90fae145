//! What the simulated network does to datagrams on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;

use super::chance::{draw, happens};
use super::interloper::Interloper;
use super::largest::Largest;
use super::width::{Pipe, Width};
use crate::protocol::Instant;

/// The properties of one direction between two hosts.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Link {
    pub(in crate::sim) latency: Range<Duration>,
    pub(in crate::sim) loss: u32,
    pub(in crate::sim) duplication: u32,
    pub(in crate::sim) reordering: u32,
    pub(in crate::sim) width: Option<Width>,
    pub(in crate::sim) largest: Largest,
    pub(in crate::sim) flips: u32,
    pub(in crate::sim) interloper: Option<Interloper>,
}

impl Link {
    pub(in crate::sim) fn new() -> Self {
        let latency = Duration::from_micros(200)..Duration::from_millis(1);
        Self {
            latency,
            loss: 0,
            duplication: 0,
            reordering: 0,
            width: None,
            largest: Largest::default(),
            flips: 0,
            interloper: None,
        }
    }

    /// When the copies of a datagram arrive, counted from when it has left: none, one or two.
    pub(in crate::sim) fn carry(&self, rng: &mut ChaCha12Rng) -> [Option<Duration>; 2] {
        let copies = 1 + usize::from(happens(rng, self.duplication));
        let mut arrivals = [None, None];
        for arrival in arrivals.iter_mut().take(copies) {
            if happens(rng, self.loss) {
                continue;
            }
            let mut latency = draw(rng, &self.latency);
            if happens(rng, self.reordering) {
                // It is overtaken by what is sent within some ten latencies.
                let most = self.latency.end.saturating_mul(10);
                latency = latency.saturating_add(draw(rng, &(self.latency.start..most)));
            }
            *arrival = Some(latency);
        }
        arrivals
    }
}

/// All links: properties for all of them, and exceptions.
#[derive(Debug)]
pub(in crate::sim) struct Links {
    pub(in crate::sim) all: Link,
    exceptions: BTreeMap<(usize, usize), Link>,
    cuts: BTreeSet<(usize, usize)>,
    /// Addresses at which nothing arrives of what a host sends.
    closed: BTreeSet<(usize, SocketAddr)>,
    /// The side that a host is on while the network is split; hosts without one are on a side of their own.
    sides: BTreeMap<usize, usize>,
    /// What goes through the links that have a width.
    pipes: BTreeMap<(usize, usize), Pipe>,
}

impl Links {
    pub(in crate::sim) fn new() -> Self {
        Self {
            all: Link::new(),
            exceptions: BTreeMap::new(),
            cuts: BTreeSet::new(),
            closed: BTreeSet::new(),
            sides: BTreeMap::new(),
            pipes: BTreeMap::new(),
        }
    }

    /// The link from one host to another, to be changed for itself.
    pub(in crate::sim) fn between(&mut self, from: usize, to: usize) -> &mut Link {
        let all = &self.all;
        self.exceptions.entry((from, to)).or_insert_with(|| all.clone())
    }

    /// Nothing passes from one host to another.
    pub(in crate::sim) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// Nothing that a host sends to an address arrives there.
    pub(in crate::sim) fn close(&mut self, from: usize, to: SocketAddr) {
        self.closed.insert((from, to));
    }

    /// Whether nothing that a host sends to an address arrives there.
    pub(in crate::sim) fn is_closed(&self, from: usize, to: SocketAddr) -> bool {
        self.closed.contains(&(from, to))
    }

    /// These hosts hear each other, and no other host hears them.
    pub(in crate::sim) fn split(&mut self, together: &[usize]) {
        let side = self.sides.values().max().map_or(1, |last| last + 1);
        for host in together {
            self.sides.insert(*host, side);
        }
    }

    /// Ends all cuts and splits.
    pub(in crate::sim) fn heal(&mut self) {
        self.cuts.clear();
        self.closed.clear();
        self.sides.clear();
    }

    /// The link from one host to another; none if nothing passes.
    pub(in crate::sim) fn open(&self, from: usize, to: usize) -> Option<&Link> {
        let is_cut = self.cuts.contains(&(from, to)) || self.sides.get(&from) != self.sides.get(&to);
        (!is_cut).then(|| self.exceptions.get(&(from, to)).unwrap_or(&self.all))
    }

    /// Takes a datagram through the width of a link: when it is through. None if it finds no room.
    pub(in crate::sim) fn squeeze(
        &mut self,
        link: (usize, usize),
        now: Instant,
        bytes: u64,
    ) -> Option<Instant> {
        let Some(width) = self.exceptions.get(&link).unwrap_or(&self.all).width else {
            return Some(now);
        };
        let pipe = self.pipes.entry(link).or_insert_with(|| Pipe::new(width));
        if pipe.width() != width {
            *pipe = Pipe::new(width);
        }
        pipe.take(now, bytes)
    }
}
