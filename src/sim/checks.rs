//! What must hold at every step of a simulation, whatever happens to it.
//!
//! | invariant | looked at |
//! |---|---|
//! | a record never goes back in (generation, incarnation, status): no resurrection without a higher order | after each step, at the host that made it, for the records it changed |
//! | one (name, generation, incarnation) has one content, everywhere | likewise |
//! | a running node never lists itself dead | likewise |
//! | states only go forward, as they were [written](super::states) | likewise |
//! | events report what the view shows, in a legal order | likewise |
//! | one number of a run stands for one broadcast | when a datagram is made |
//! | each broadcast is delivered once, in order, unchanged, or reported as missed | after each step, at the host that made it |
//! | views and queues are within their bounds | after each step, at the host that made it |
//! | no datagram is longer than 1,232 bytes | when it is made |
//! | an address that has proved nothing is not sent more bytes than came from it, except 20 datagrams a second | likewise |
//! | nobody is let in at an address that has proved nothing | likewise |
//! | a message that was answered with Ok was delivered once; one that was answered with an error was not, except after `Timeout`, `Restarted` and the end of its sender: then once at most (see [`message_model`](super::message_model)) | when it is delivered, and when its call is answered |
//!
//! A violation is a panic that names the seed. For what holds only at rest, a test calls
//! [`Cluster::assert_buried`](super::Cluster::assert_buried) and
//! [`Cluster::assert_converged`](super::Cluster::assert_converged).

pub(crate) mod asked;
mod hearing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

pub(crate) use self::hearing::{Hearing, Said};
use crate::event::Event;
use crate::node::{Generation, Incarnation, Node, Status};
use crate::protocol::{Bound, Instant, Seen};
use crate::wire::{Body, Cookie, Packet, Seq};

/// Maximum number of datagrams a second to an address that has proved nothing, beyond the bytes that came from there:
/// the first ones to the addresses of seeds and records.
const UNPROVEN_PER_SECOND: u32 = 20;

/// What one host has shown so far.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    records: BTreeMap<String, Seen>,
    nodes: BTreeMap<String, Node>,
    /// Which nodes take part, by the events, and whether they are suspected.
    told: BTreeMap<String, bool>,
    /// Which nodes have left: what they had said before may still come.
    left: BTreeSet<String>,
    /// What came from each address and went to it, whatever the port: members do not distinguish ports either.
    accounts: BTreeMap<IpAddr, Account>,
    /// The number of the last hello that came from another address than it advertises, and where it came from.
    hello: Option<(Seq, IpAddr)>,
    pub(crate) hearing: Hearing,
}

/// What passed between a host and an address.
#[derive(Debug, Default)]
struct Account {
    /// Something came from there that only a node that hears the host could know: its run, a cookie, or the number of a
    /// request.
    proven: bool,
    /// Bytes that came from there and are not answered yet.
    credit: usize,
    /// The cookies that were sent there, each with the address that the hello came from.
    cookies: BTreeSet<(Cookie, IpAddr)>,
    /// The numbers of the requests that were sent there.
    asked: BTreeSet<Seq>,
    /// The second of the last datagram that went beyond what had come, and how many there were in it.
    excess: (u64, u32),
}

/// What each number of each node stands for, all over the cluster.
#[derive(Debug, Default)]
pub(super) struct Contents {
    addrs: BTreeMap<(String, Generation, Incarnation), SocketAddr>,
}

impl Contents {
    /// Notes a record; returns what is wrong with it, if anything.
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

/// What has outgrown its bound, if anything.
pub(crate) fn check_bounds(bounds: &[Bound]) -> Result<(), String> {
    match bounds.iter().find(|bound| bound.count > bound.max) {
        Some(Bound { what, count, max }) => Err(format!("it keeps {count} {what}, the limit is {max}")),
        None => Ok(()),
    }
}

/// Whether a datagram is within its limit.
pub(crate) fn check_length(length: usize, limit: usize) -> Result<(), String> {
    if length <= limit { Ok(()) } else { Err(format!("a datagram of {length} bytes, the limit is {limit}")) }
}

impl Observer {
    /// Notes a datagram that the host has got, as it was before it was sealed; `length`: as it came. `own`: the run of
    /// the host.
    pub(crate) fn received(&mut self, own: u64, from: SocketAddr, datagram: &[u8], length: usize) {
        if let Ok(packet) = Packet::decode(datagram) {
            for body in packet.bodies() {
                self.note_hello(from.ip(), &body);
            }
        }
        let account = self.accounts.entry(from.ip()).or_default();
        account.credit += length;
        let Ok(packet) = Packet::decode(datagram) else {
            return;
        };
        let echoes =
            |body| matches!(body, Body::Hello(hello) if account.cookies.contains(&(hello.cookie, from.ip())));
        account.proven |= packet.header().receiver.0 == own || packet.bodies().any(echoes);
        // Whatever the source of an answer is: the request was read where it was sent.
        for seq in packet.bodies().filter_map(|body| asked::answered(&body)) {
            self.accounts
                .values_mut()
                .filter(|account| account.asked.contains(&seq))
                .for_each(|account| account.proven = true);
        }
    }

    /// A hello repeats a cookie. An earlier hello from the same source had that cookie sent to the address that its
    /// sender advertises: so the sender receives there, and sends from here.
    fn note_hello(&mut self, from: IpAddr, body: &Body<'_>) {
        let Body::Hello(hello) = body else {
            return;
        };
        let advertised = hello.record.addr.ip();
        self.hello = (from != advertised).then_some((hello.seq, from));
        let account = self.accounts.get(&advertised);
        if account.is_some_and(|account| account.cookies.contains(&(hello.cookie, from))) {
            for addr in [advertised, from] {
                self.accounts.entry(addr).or_default().proven = true;
            }
        }
    }

    /// Notes a datagram that the host sends, as it is before it is sealed; `length`: as it goes. Returns what is wrong
    /// with it, if anything.
    pub(crate) fn check_sent(
        &mut self,
        now: Instant,
        to: SocketAddr,
        datagram: &[u8],
        length: usize,
    ) -> Result<(), String> {
        let account = self.accounts.entry(to.ip()).or_default();
        if account.proven && self.hello.is_none() {
            return Ok(());
        }
        let packet = Packet::decode(datagram);
        for body in packet.iter().flat_map(Packet::bodies) {
            if matches!(body, Body::Welcome(_)) && !account.proven {
                return Err(format!("{to} has proved nothing, and is let in"));
            }
            if let Body::Challenge { cookie, seq } = body {
                let source = self.hello.filter(|(hello, _)| *hello == seq).map_or(to.ip(), |(_, from)| from);
                account.cookies.insert((cookie, source));
            }
            account.asked.extend(asked::Asked::by(&body).map(|(_, seq)| seq));
        }
        if account.proven {
            return Ok(());
        }
        if let Some(rest) = account.credit.checked_sub(length) {
            account.credit = rest;
            return Ok(());
        }
        let second = now.as_micros() / 1_000_000;
        if account.excess.0 != second {
            account.excess = (second, 0);
        }
        account.excess.1 += 1;
        if account.excess.1 <= UNPROVEN_PER_SECOND {
            return Ok(());
        }
        let credit = account.credit;
        Err(format!("{to} has proved nothing; it is sent {length} bytes, and {credit} came from there"))
    }

    /// Notes what a record is now; returns what is wrong with it, if anything. `own`: it is the host's own.
    pub(crate) fn check_record(&mut self, own: bool, seen: Seen) -> Result<(), String> {
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

    /// Notes how the host shows a node now; returns how it showed it before.
    pub(crate) fn shows(&mut self, node: &Node) -> Option<Node> {
        self.nodes.insert(node.name().to_owned(), node.clone())
    }

    /// Forgets a record that the host has forgotten.
    pub(crate) fn forget(&mut self, name: &str) {
        self.records.remove(name);
        self.nodes.remove(name);
        self.hearing.forget(name);
    }

    /// Notes an event; returns what is wrong with it, if anything.
    pub(crate) fn check_event(&mut self, own: &str, event: &Event) -> Result<(), String> {
        self.hearing.note(event);
        let Some(name) = event.node().map(|node| node.name().to_owned()) else {
            return Ok(());
        };
        if name == own {
            return Err(format!("it is told of itself: {event}"));
        }
        let there = self.told.get(&name).copied();
        let legal = match event {
            Event::Joined(_) => {
                self.left.remove(&name);
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
            Event::Died { .. } => {
                self.told.remove(&name);
                there == Some(true)
            }
            Event::Left(_) => {
                self.told.remove(&name);
                self.left.insert(name);
                true
            }
            Event::Broadcast { .. } | Event::Missed { .. } => there.is_some() || self.left.contains(&name),
            Event::Moved(_) => there.is_some(),
            _ => true,
        };
        if legal { Ok(()) } else { Err(format!("{event}, after it was told {there:?} (suspected?)")) }
    }

    /// Whether the events have reported what a record shows now.
    pub(crate) fn check_told(&self, name: &str, shown: Option<Status>) -> Result<(), String> {
        let shown = shown.map(|status| status == Status::Suspect);
        let told = self.told.get(name).copied();
        if shown == told {
            Ok(())
        } else {
            Err(format!("of {name} the events told {told:?} and the view shows {shown:?} (suspected?)"))
        }
    }
}

#[cfg(test)]
mod tests;
