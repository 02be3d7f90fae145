//! What must hold at every step of a simulation, whatever happens to it.
//!
//! | invariant | looked at |
//! |---|---|
//! | a record never goes back in (generation, incarnation, status): no resurrection without a higher order | after each step, at the host that made it, for the records it changed |
//! | one (name, generation, incarnation) has one content, everywhere | likewise |
//! | a running node never lists itself dead | likewise |
//! | events tell what the view shows, in a legal order | likewise |
//! | no datagram is longer than `max_datagram` | when it is sent |
//!
//! A violation is a panic that names the seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::event::Event;
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::Seen;

/// What one host has shown so far.
#[derive(Debug, Default)]
pub(super) struct Observer {
    records: BTreeMap<String, Seen>,
    /// Who takes part, as the events told, and whether suspected.
    told: BTreeMap<String, bool>,
}

/// What each number of each node stands for, all over the cluster.
#[derive(Debug, Default)]
pub(super) struct Contents {
    addrs: BTreeMap<(String, Generation, Incarnation), SocketAddr>,
}

impl Contents {
    /// Notes a record; what is wrong with it, if anything.
    pub(super) fn check(&mut self, seen: &Seen) -> Result<(), String> {
        if !seen.is_complete {
            return Ok(());
        }
        let number = (seen.name.clone(), seen.generation, seen.incarnation);
        let addr = *self.addrs.entry(number).or_insert(seen.addr);
        if addr == seen.addr {
            Ok(())
        } else {
            Err(format!("one number of {} has two contents: {addr} and {}", seen.name, seen.addr))
        }
    }
}

impl Observer {
    /// Notes what a record is now; what is wrong with it, if anything. `own`: it is the host's own.
    pub(super) fn check_record(&mut self, own: bool, seen: Seen) -> Result<(), String> {
        if own && seen.status == Status::Dead {
            return Err("it lists itself dead".to_owned());
        }
        let order = (seen.generation, seen.incarnation, seen.status);
        if let Some(before) = self.records.get(&seen.name) {
            let old = (before.generation, before.incarnation, before.status);
            if order < old {
                return Err(format!("{} went back from {old:?} to {order:?}", seen.name));
            }
        }
        self.records.insert(seen.name.clone(), seen);
        Ok(())
    }

    /// Forgets a record that the host has forgotten.
    pub(super) fn forget(&mut self, name: &str) {
        self.records.remove(name);
    }

    /// Notes an event; what is wrong with it, if anything.
    pub(super) fn check_event(&mut self, own: &str, event: &Event) -> Result<(), String> {
        let Some(name) = event.node().map(|node| node.name().to_owned()) else {
            return Ok(());
        };
        if name == own {
            return Err(format!("it is told of itself: {event}"));
        }
        let there = self.told.get(&name).copied();
        let legal = match event {
            Event::Joined(_) => {
                self.told.insert(name, false);
                there.is_none()
            }
            Event::Restarted(_) => {
                self.told.insert(name, false);
                true
            }
            Event::Suspected(_) => {
                self.told.insert(name, true);
                there == Some(false)
            }
            Event::Recovered(_) => {
                self.told.insert(name, false);
                there == Some(true)
            }
            Event::Died(_) => {
                self.told.remove(&name);
                there == Some(true)
            }
            Event::Left(_) => {
                self.told.remove(&name);
                true
            }
            Event::Moved(_) => there.is_some(),
            _ => true,
        };
        if legal { Ok(()) } else { Err(format!("{event}, after it was told {there:?} (suspected?)")) }
    }

    /// Whether the events have told what a record shows now.
    pub(super) fn check_told(&self, name: &str, shown: Option<Status>) -> Result<(), String> {
        let shown = shown.map(|status| status == Status::Suspect);
        let told = self.told.get(name).copied();
        if shown == told {
            Ok(())
        } else {
            Err(format!("of {name} the events told {told:?} and the view shows {shown:?} (suspected?)"))
        }
    }
}
