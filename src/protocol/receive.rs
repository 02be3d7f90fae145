//! From a datagram to the handlers of its bodies, and what of it is known while it is read.

use std::net::SocketAddr;

use super::{ExchangeId, Instant, Protocol, compare, spread};
use crate::node::Generation;
use crate::wire::address::canonical;
use crate::wire::lists::RecordKey;
use crate::wire::malformed::Malformed;
use crate::wire::{Body, Frame, NameHash, Packet, Seq};

/// Where the news of a datagram stands while it is read.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) now: Instant,
    pub(super) from: SocketAddr,
    pub(super) sender: NameHash,
    pub(super) generation: Generation,
    /// Whether the sender is an active node of ours, at its address, who knows our run.
    pub(super) known: bool,
    /// Whether the datagram has answered a request of ours.
    pub(super) answered: bool,
    /// Whether it was sent an answer that needs no proof of its address: one is enough, or many short requests
    /// in one datagram would bring more than came.
    pub(super) replied: bool,
    /// What goes back together when all of it is read: doubts about leaves, and what is vouched for.
    pub(super) back: Vec<Body<'static>>,
    /// Whether its sender does not know us: it is asked to let us in, when all that it holds against us is read.
    pub(super) is_stranger: bool,
    /// The exchange that it answers.
    pub(super) exchange: Option<ExchangeId>,
    /// The offer in it, to be answered when all of it is read.
    pub(super) offer: Option<compare::Offered>,
    /// Of the records that were asked for, those that an answer without room for all has not brought …
    pub(super) unserved: Vec<RecordKey>,
    /// … and how many were asked for.
    pub(super) wanted: usize,
    /// The request for states and broadcasts that it answers.
    pub(super) fetched: Option<Seq>,
    /// Of its seal; none: it came plain.
    pub(super) counter: Option<u64>,
}

impl Protocol {
    /// `received` is when the transport returned the datagram.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        received: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        self.metrics.datagrams_received += 1;
        self.metrics.bytes_received += datagram.len() as u64;
        if self.ended {
            return;
        }
        let from = canonical(from);
        if !self.settings.allow.takes_address(from.ip()) {
            // Not a word to it, not even that somebody is here.
            self.metrics.not_allowed += 1;
            return;
        }
        self.observe_lag(now, Some(received));
        match Frame::decode(datagram) {
            Err(Malformed) => self.count_malformed(from, datagram),
            Ok(frame) if frame.header().tag != self.tag => self.handle_foreign(now, from, &frame),
            Ok(Frame::Sealed(head)) => self.handle_sealed(now, from, &head, datagram),
            Ok(Frame::Plain(packet)) if self.accepts_plain() => self.handle_packet(now, from, &packet, None),
            Ok(Frame::Plain(packet)) => self.refuse_plain(now, from, &packet),
        }
    }

    pub(super) fn count_malformed(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.metrics.malformed += 1;
        self.note(log::Level::Debug, || {
            format!("malformed datagram of {} bytes from {from}", datagram.len())
        });
    }

    /// A datagram that can be read. `counter`: of its seal, if it had one.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &Packet<'_>,
        counter: Option<u64>,
    ) {
        let header = *packet.header();
        if header.sender == self.me && header.generation == self.generation {
            self.met_ourselves(now, packet);
            return;
        }
        let mut context = Context {
            now,
            from,
            sender: header.sender,
            generation: header.generation,
            known: header.receiver == self.generation
                && self.members.is_known(header.sender, header.generation, from),
            answered: false,
            replied: false,
            back: Vec::new(),
            is_stranger: false,
            exchange: None,
            offer: None,
            unserved: Vec::new(),
            wanted: 0,
            fetched: None,
            counter,
        };
        if context.known {
            self.addresses.heard(from);
            self.hear(now, header.sender);
        }
        for body in packet.bodies() {
            self.handle_body(&mut context, &body);
            if self.ended {
                return;
            }
        }
        if context.is_stranger {
            self.approach(now, from);
        }
        self.send_back(&mut context);
        self.answer_offer(&mut context);
        self.ask_unserved(&mut context);
        self.end_fetch(&mut context);
        self.note_sender(&header, counter);
        self.pump_exchange(now, context.exchange);
        self.end_with_the_gone(now);
        self.spread(now);
    }

    fn handle_body(&mut self, context: &mut Context, body: &Body<'_>) {
        match body {
            Body::Ping(ping) => self.handle_ping(context, ping),
            Body::Ack(ack) => self.handle_ack(context, ack),
            Body::BareAck { seq } => self.handle_bare_ack(context, *seq),
            Body::PingRequest(request) if context.known => self.handle_ping_request(context, request),
            Body::RelayedAck { seq, incarnation } => self.handle_relayed_ack(context, *seq, *incarnation),
            Body::Nack { seq, reason } => self.handle_nack(context, *seq, *reason),

            Body::Verdict(verdict) if verdict.subject == self.me => {
                // Whoever knows that we leave is to find our name free: we are gone for him.
                context.replied |= self.leave.is_some() && *verdict == self.own_leave();
                if context.known || context.answered {
                    self.handle_accusation(context.now, context.from, verdict);
                }
            }
            Body::Alive(record) if context.known => {
                self.take_record(context.now, record, spread::Source::Rumor(context.sender));
            }
            Body::Verdict(verdict) if context.known => self.hear_verdict(context, verdict),
            Body::Doubt { subject, cookie } if context.known => self.handle_doubt(context, *subject, *cookie),
            Body::Vouch(vouch) if context.known => self.handle_vouch(context, vouch),

            Body::Hello(hello) => self.handle_hello(context, hello),
            Body::Challenge { seq, cookie } => self.handle_challenge(context, *seq, *cookie),
            Body::Welcome(welcome) => self.handle_welcome(context, welcome),
            Body::Reject { seq, reason } => self.handle_reject(context, *seq, *reason),
            Body::Hint { seq, reason } => self.handle_hint(context.from, *seq, *reason),
            Body::Leave { seq, cookie, incarnation } => {
                self.handle_leave(context, *seq, *cookie, *incarnation);
            }

            Body::Sums(sums) => self.handle_sums(context, sums),
            Body::Pull(pull) => self.handle_pull(context, pull),
            Body::Offer(offer) => self.handle_offer(context, offer),
            Body::Digests(digests) => self.handle_digests(context, digests),
            Body::Newer { seq, truncated } => self.handle_newer(context, *seq, *truncated),
            Body::Page(page) => self.handle_page(context, page),
            Body::SyncRecord(record) => self.handle_sync_record(context, record),
            Body::SyncVerdict(verdict) => self.handle_sync_verdict(context, verdict),

            Body::Delta(delta) if context.known => self.handle_delta(context, delta),
            Body::Fetch(fetch) => self.handle_fetch(context, fetch),
            Body::Fetched { seq } => self.handle_fetched(context, *seq),
            Body::SyncDelta(delta) => self.handle_sync_delta(context, delta),

            Body::Fragment(fragment) if context.known => self.handle_fragment(context, fragment),
            Body::FragmentAck(ack) if context.known => self.handle_fragment_ack(context, ack),
            Body::Broadcast(broadcast) if context.known => self.handle_broadcast(context, broadcast),
            Body::SyncBroadcast(broadcast) => self.handle_sync_broadcast(context, broadcast),

            Body::PingRequest(_)
            | Body::Alive(_)
            | Body::Verdict(_)
            | Body::Doubt { .. }
            | Body::Vouch(_)
            | Body::Delta(_)
            | Body::Fragment(_)
            | Body::FragmentAck(_)
            | Body::Broadcast(_) => {
                self.metrics.unknown_sender += 1;
            }
        }
    }
}
