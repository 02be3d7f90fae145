//! Whether broadcasts arrive as they were made: in order, each once, none left out without a `Missed`.
//!
//! An event does not carry its number. But when a step is over, the record of the origin says up to which number its
//! broadcasts are delivered or given up. So the events of the step have the numbers that end there: each delivery takes
//! one, and each `Missed` as many as it reports.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::node::Generation;
use crate::protocol::BroadcastProgress;
use crate::wire::hash::siphash;
use crate::wire::{Body, NameHash, Packet};

/// The hash of the broadcast under each number, all over the cluster.
#[derive(Debug, Default)]
pub(crate) struct Said {
    payloads: BTreeMap<(NameHash, Generation, u64), u64>,
}

impl Said {
    /// Notes the broadcasts in a datagram; returns what is wrong with them, if anything.
    pub(crate) fn check(&mut self, datagram: &[u8]) -> Result<(), String> {
        for body in Packet::decode(datagram).iter().flat_map(Packet::bodies) {
            if let Body::Broadcast(broadcast) | Body::PulledBroadcast(broadcast) = body {
                let number = (broadcast.origin, broadcast.generation, broadcast.number);
                let payload = siphash((0, 0), broadcast.payload);
                if *self.payloads.entry(number).or_insert(payload) != payload {
                    return Err(format!("two broadcasts have one number: {number:?}"));
                }
            }
        }
        Ok(())
    }
}

/// What the events of one step report of the broadcasts of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Delivered { payload: u64 },
    Missed { count: u64 },
}

impl Told {
    fn numbers(self) -> u64 {
        match self {
            Self::Delivered { .. } => 1,
            Self::Missed { count } => count,
        }
    }
}

/// How far the events of one host have come with the broadcasts of the others.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// By name and run: the last number, and whether from there on none may be left out.
    reached: BTreeMap<(String, u64), (u64, bool)>,
    /// The events of this step.
    step: BTreeMap<(String, u64), Vec<Told>>,
}

impl Hearing {
    /// Notes an event of any kind.
    pub(crate) fn note(&mut self, event: &Event) {
        let (from, told) = match event {
            Event::Broadcast { from, payload } => {
                (from, Told::Delivered { payload: siphash((0, 0), payload) })
            }
            Event::Missed { from, count } => (from, Told::Missed { count: *count }),
            _ => return,
        };
        self.step.entry((from.name().to_owned(), from.generation())).or_default().push(told);
    }

    /// The record of a node was forgotten: counting starts over.
    pub(crate) fn forget(&mut self, name: &str) {
        self.reached.retain(|(of, _), _| of != name);
    }

    /// A step is over; returns what is wrong with its broadcasts, if anything. `heard`: the number up to which the
    /// record of a node says that they are delivered or given up. `gapless`: the host has joined, so from here on none
    /// is left out without a `Missed`.
    pub(crate) fn check(
        &mut self,
        said: &Said,
        gapless: bool,
        heard: impl Fn(&str) -> Option<BroadcastProgress>,
    ) -> Result<(), String> {
        for ((name, run), told) in std::mem::take(&mut self.step) {
            // Nothing is known any more of a run that ended in the same step.
            let Some(heard) = heard(&name).filter(|heard| heard.generation.0 == run) else {
                continue;
            };
            let count: u64 = told.iter().map(|told| told.numbers()).sum();
            let Some(mut number) = heard.number.checked_sub(count) else {
                return Err(format!("{name} has made {} broadcasts, and {count} are told", heard.number));
            };
            if let Some((reached, exact)) = self.reached.get(&(name.clone(), run))
                && (number < *reached || (*exact && number != *reached))
            {
                return Err(format!("of {name}, what was told goes on at {number} after {reached}"));
            }
            for told in told {
                number += told.numbers();
                let made = said.payloads.get(&(heard.origin, heard.generation, number));
                if let (Told::Delivered { payload }, Some(made)) = (told, made)
                    && payload != *made
                {
                    return Err(format!("{name} has said something else in broadcast {number}"));
                }
            }
            self.reached.insert((name, run), (number, gapless));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
