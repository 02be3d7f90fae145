//! Bodies that hit: what only the receiver can have told is put in where made-up bytes can not guess it.
//!
//! An answer counts only under the number of its request, an accusation only of the run that is held, a request for
//! much only with a cookie. Left to chance a fuzzer would never get past that, and what comes behind it is where the
//! mistakes are.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::node::Generation;
use crate::protocol::Protocol;
use crate::sim::checks::asked::Asked;
use crate::wire::body::{
    Ack, Broadcast, BucketDigest, Cuts, Delta, Digests, Fetch, Hello, Offer, Page, Ping, PingRequest, Pull,
    Standing, Vouch, Welcome,
};
use crate::wire::lists::{Lack, Lacks};
use crate::wire::{Body, Cookie, NameHash, Packet, Record, Seq, Verdict};

/// Requests that are remembered.
const REQUESTS_MAX: usize = 64;

/// What a protocol has told others that they can come back to.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What was asked, where, and under which number; the newest last.
    requests: VecDeque<(SocketAddr, Asked, Seq)>,
    /// The last cookie for each address.
    cookies: BTreeMap<SocketAddr, Cookie>,
    /// Pings that nobody has answered.
    pub(super) pings: Vec<(SocketAddr, Ping)>,
}

impl Told {
    /// Notes what a datagram tells.
    pub(super) fn note(&mut self, to: SocketAddr, packet: &Packet<'_>) {
        for body in packet.bodies() {
            if let Body::Ack(Ack { cookie, .. })
            | Body::Challenge { cookie, .. }
            | Body::Doubt { cookie, .. } = body
            {
                self.cookies.insert(to, cookie);
            }
            if let Body::Ping(ping) = body {
                self.pings.push((to, ping));
            }
            if let Some((asked, seq)) = Asked::by(&body) {
                self.requests.push_back((to, asked, seq));
            }
        }
        let old = self.requests.len().saturating_sub(REQUESTS_MAX);
        self.requests.drain(..old);
    }

    /// The number of the last request but so many that an address was sent, of these kinds.
    fn request(&self, to: SocketAddr, kinds: &[Asked], but: usize) -> Option<Seq> {
        let fitting = self.requests.iter().rev().filter(|(at, asked, _)| *at == to && kinds.contains(asked));
        fitting.map(|(_, _, seq)| *seq).nth(but)
    }
}

/// Who sends, and how many requests ago the one was that is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) addr: SocketAddr,
    pub(super) name: &'a str,
    pub(super) generation: Generation,
    pub(super) answers: usize,
}

/// What bodies are aimed with.
#[derive(Debug)]
pub(super) struct Aim<'a> {
    pub(super) told: &'a Told,
    pub(super) target: &'a Protocol,
    /// The run that the target holds of each name.
    pub(super) runs: BTreeMap<NameHash, Generation>,
    pub(super) own: NameHash,
    pub(super) sender: Sender<'a>,
}

impl<'a> Aim<'a> {
    /// The body as somebody would send it who has heard what the target says. `list` is for a list that changes.
    pub(super) fn at(&self, body: Body<'a>, list: &'a mut Vec<u8>) -> Body<'a> {
        let cookie = self.told.cookies.get(&self.sender.addr).copied().unwrap_or_default();
        match body {
            Body::Ping(ping) => Body::Ping(Ping { target: self.own, ..ping }),
            Body::Ack(ack) => Body::Ack(Ack { seq: self.answer(&[Asked::Ping], ack.seq), ..ack }),
            Body::BareAck { seq } => Body::BareAck { seq: self.answer(&[Asked::Ping, Asked::Leave], seq) },
            Body::PingRequest(request) => {
                let generation = self.run(request.target, request.generation);
                Body::PingRequest(PingRequest { generation, ..request })
            }
            Body::RelayedAck { seq, incarnation } => {
                Body::RelayedAck { seq: self.answer(&[Asked::Relay], seq), incarnation }
            }
            Body::Nack { seq, reason } => Body::Nack { seq: self.answer(&[Asked::Relay], seq), reason },
            Body::Alive { record, vouched } => Body::Alive { record: self.record(record), vouched },
            Body::Verdict(verdict) => Body::Verdict(self.verdict(verdict)),
            Body::Hello(hello) => {
                let Sender { addr, name, generation, .. } = self.sender;
                Body::Hello(Hello {
                    cookie,
                    record: Record { name, addr, generation, ..hello.record },
                    ..hello
                })
            }
            Body::Challenge { seq, cookie } => {
                let kinds = [Asked::Hello, Asked::View, Asked::Fetch, Asked::Leave];
                Body::Challenge { seq: self.answer(&kinds, seq), cookie }
            }
            Body::Welcome(welcome) => {
                Body::Welcome(Welcome { seq: self.answer(&[Asked::Hello], welcome.seq), ..welcome })
            }
            Body::Reject { seq, reason } => Body::Reject { seq: self.answer(&[Asked::Hello], seq), reason },
            Body::RejectHint { seq, reason } => {
                Body::RejectHint { seq: self.answer(&[Asked::Hello], seq), reason }
            }
            Body::BucketDigest(sums) => Body::BucketDigest(BucketDigest { cookie, ..sums }),
            Body::Digests(digests) => {
                Body::Digests(Digests { seq: self.answer(&[Asked::View], digests.seq), ..digests })
            }
            Body::Offer(offer) => Body::Offer(Offer { cookie, ..offer }),
            Body::SyncDelta { seq, truncated } => {
                Body::SyncDelta { seq: self.answer(&[Asked::View], seq), truncated }
            }
            Body::Pull(pull) => Body::Pull(Pull { cookie, ..pull }),
            Body::Page(page) => Body::Page(Page { seq: self.answer(&[Asked::View], page.seq), ..page }),
            Body::SyncRecord { record, vouched } => Body::SyncRecord { record: self.record(record), vouched },
            Body::SyncVerdict(verdict) => Body::SyncVerdict(self.verdict(verdict)),
            Body::Delta(delta) => Body::Delta(self.delta(delta)),
            Body::Fetch(fetch) => {
                let lacks: Vec<Lack> = fetch.lacks.iter().map(|lack| self.lack(lack)).collect();
                Body::Fetch(Fetch { cookie, lacks: Lacks::encode(&lacks, list), ..fetch })
            }
            Body::Fetched { seq } => Body::Fetched { seq: self.answer(&[Asked::Fetch], seq) },
            Body::PulledDelta(delta) => Body::PulledDelta(self.delta(delta)),
            Body::Standing(standing) => {
                let generation = self.run(standing.subject, standing.generation);
                Body::Standing(Standing { generation, ..standing })
            }
            Body::Cuts(cuts) => {
                Body::Cuts(Cuts { generation: self.run(cuts.subject, cuts.generation), ..cuts })
            }
            Body::Broadcast(broadcast) => Body::Broadcast(self.broadcast(broadcast)),
            Body::PulledBroadcast(broadcast) => Body::PulledBroadcast(self.broadcast(broadcast)),
            Body::Leave { seq, incarnation, left_at, .. } => {
                Body::Leave { seq, cookie, incarnation, left_at }
            }
            Body::Vouch(vouch) => {
                let generation = self.run(vouch.subject, vouch.generation);
                Body::Vouch(Vouch { cookie, generation, ..vouch })
            }
            Body::Doubt { .. } | Body::Fragment(_) | Body::FragmentAck(_) => body,
        }
    }

    /// The number of a request that was sent to the sender; if there is none, what stood there.
    fn answer(&self, kinds: &[Asked], seq: Seq) -> Seq {
        self.told.request(self.sender.addr, kinds, self.sender.answers).unwrap_or(seq)
    }

    /// The run of a node that the target holds; of nodes that it does not hold, what stood there.
    fn run(&self, name: NameHash, generation: Generation) -> Generation {
        self.runs.get(&name).copied().unwrap_or(generation)
    }

    fn record(&self, record: Record<'a>) -> Record<'a> {
        let held = self.target.node(record.name).map(|node| Generation(node.generation()));
        Record { generation: held.unwrap_or(record.generation), ..record }
    }

    fn verdict(&self, verdict: Verdict) -> Verdict {
        Verdict { generation: self.run(verdict.subject, verdict.generation), ..verdict }
    }

    fn delta(&self, delta: Delta<'a>) -> Delta<'a> {
        Delta { generation: self.run(delta.subject, delta.generation), ..delta }
    }

    fn broadcast(&self, broadcast: Broadcast<'a>) -> Broadcast<'a> {
        Broadcast { generation: self.run(broadcast.origin, broadcast.generation), ..broadcast }
    }

    fn lack(&self, lack: Lack) -> Lack {
        match lack {
            Lack::State { subject, generation, from, until } => {
                Lack::State { subject, generation: self.run(subject, generation), from, until }
            }
            Lack::Standing { subject, generation, from, until } => {
                Lack::Standing { subject, generation: self.run(subject, generation), from, until }
            }
            Lack::Broadcasts { origin, generation, after } => {
                Lack::Broadcasts { origin, generation: self.run(origin, generation), after }
            }
        }
    }
}
