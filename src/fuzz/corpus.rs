//! What real members say to each other, as a beginning for a fuzzer: it finds in minutes what it would need days to
//! make up.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use super::rig::addr_of;
use super::script::{Choice, How, Pace, Step, write};
use crate::config::Config;
use crate::error::Result;
use crate::member::Member;
use crate::protocol::Transmit;
use crate::sim::Cluster;
use crate::wire::Packet;

/// The choices of settings at the beginning of a script: the usual ones, among nodes that are known or alone.
const KNOWN: [u8; 7] = [0; 7];
const ALONE: [u8; 7] = [0, 0, 0, 0, 0, 0, 1];
/// Datagrams that come before the one that a script is about.
const CONTEXT: usize = 4;
/// The calls that a script can make …
const CALLS: u8 = 10;
/// … and of these the first ones, after which others have something to answer.
const HARMLESS: u8 = 6;

/// Beginnings for the targets of the same names.
#[derive(Debug)]
pub struct Corpus {
    /// For [`decode`](super::decode).
    pub decode: Vec<Vec<u8>>,
    /// For [`protocol`](super::protocol) and [`sealed`](super::sealed).
    pub protocol: Vec<Vec<u8>>,
}

impl Corpus {
    /// Datagrams of a small cluster in which much happens: one for each set of bodies that travel together.
    ///
    /// # Errors
    ///
    /// If what is done in that cluster fails.
    pub fn new() -> Result<Self> {
        let sent = lived()?;
        let mut corpus = Self { decode: Vec::new(), protocol: Vec::new() };
        let (mut kinds, mut kinds_heard) = (BTreeSet::new(), BTreeSet::new());
        for (place, (_, transmit)) in sent.iter().enumerate() {
            let kind = kinds_of(&transmit.datagram);
            let until_here = &sent[..=place];
            if kinds.insert(kind.clone()) {
                corpus.decode.push(transmit.datagram.clone());
                corpus.protocol.push(conversation(ALONE, 0..HARMLESS, until_here));
                corpus.protocol.push(conversation(KNOWN, 0..HARMLESS, until_here));
            }
            // What is told to `n0` fits best: it is the one that hears it again.
            if transmit.to == addr_of(0) && kinds_heard.insert(kind) {
                corpus.protocol.push(conversation(KNOWN, 0..HARMLESS, until_here));
            }
        }
        corpus.protocol.extend((0..CALLS).map(|call| conversation(KNOWN, call..call + 1, &sent)));
        Ok(corpus)
    }
}

/// The types of the bodies in a datagram.
pub(super) fn kinds_of(datagram: &[u8]) -> BTreeSet<u8> {
    Packet::decode(datagram).iter().flat_map(Packet::bodies).map(|body| body.kind()).collect()
}

/// A script in which a user makes these calls, and then the last of these datagrams come that went to the receiver of
/// the very last one.
fn conversation(settings: [u8; 7], calls: Range<u8>, sent: &[(SocketAddr, Transmit)]) -> Vec<u8> {
    let mut script = settings.to_vec();
    for call in calls {
        write(&mut script, &Step::RequestId { call: Choice(call), whom: Choice(0), text: b"some text" });
    }
    let receiver = sent.last().map(|(_, transmit)| transmit.to);
    let heard: Vec<_> = sent.iter().filter(|(_, transmit)| Some(transmit.to) == receiver).collect();
    for (from, Transmit { datagram, .. }) in &heard[heard.len().saturating_sub(CONTEXT + 1)..] {
        let person = (0..5).find(|person| addr_of(usize::from(person + 1)) == *from);
        let from = Choice(person.unwrap_or_default());
        write(&mut script, &Step::Wait { time: Duration::from_millis(100), pace: Pace::Answered });
        let packet = Packet::decode(datagram);
        let bodies = packet.iter().map(Packet::contents).next().unwrap_or_default();
        write(&mut script, &Step::Datagram { from, how: How::AIMED, bodies });
    }
    write(&mut script, &Step::Again { which: Choice(0) });
    script
}

/// A life with everything in it: who sent what to whom, in order.
fn lived() -> Result<Vec<(SocketAddr, Transmit)>> {
    let cluster = Cluster::new(1);
    cluster.record();
    let mut members: Vec<Member> = Vec::new();
    for index in 0..6 {
        let seeds = members.first().map(|first| first.addr().to_string());
        members.push(cluster.add(config(index).seeds(seeds.as_slice()))?);
        cluster.run(Duration::from_millis(500));
    }
    cluster.loss(0.05);
    speak(&members)?;
    cluster.run(Duration::from_secs(5));

    cluster.crash("n3");
    cluster.run(Duration::from_secs(15));
    members[3] = cluster.restart("n3", config(3).seeds(addr_of(0).to_string()))?;
    cluster.run(Duration::from_secs(5));

    cluster.split(&["n0", "n1"]);
    speak(&members)?;
    cluster.run(Duration::from_secs(20));
    cluster.heal();
    cluster.run(Duration::from_secs(30));

    speak(&members)?;
    members[4].leave(Duration::from_secs(5))?;
    cluster.run(Duration::from_secs(10));
    Ok(cluster.take_recorded())
}

fn config(index: usize) -> Config {
    Config::lan().name(format!("n{index}")).on_event(|_, _| ())
}

/// Everybody writes, removes and tells something, and writes to a neighbour.
fn speak(members: &[Member]) -> Result<()> {
    for (member, next) in members.iter().zip(&members[1..]) {
        member.set("up", "yes")?;
        member.set("long", [7; 300])?;
        member.remove("up")?;
        member.broadcast(b"hello all")?;
        // Who is cut off is not reached.
        let _ = member.send(next.name(), b"hello you");
        let _ = member.send(next.name(), &[8; 5_000]);
    }
    Ok(())
}
