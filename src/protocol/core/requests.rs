//! Requests: all that waits for an answer, whatever it is for.
//!
//! A request has a random number, which its answer repeats. It keeps where it went (the address and, where known, name
//! and run), when, and how often. There is one check for all answers: the number has to be open for a request of this
//! kind, and the answer has to come from the node that was asked, from the address that was asked or another one of its
//! own. The check also returns whether the answer comes from the run that was asked, because another run at the address
//! is news in itself.
//!
//! **Repeating.** A request that is to be repeated is due after its pause, and after twice the pause before each further
//! time, with a jitter of up to a gossip interval. Once the node has answered anything, the first pause is at least what
//! its answers usually take (RFC 6298). Pauses grow to 8 s: so an answer is awaited at any round trip up to 10 s, and a
//! narrow link is not filled with repetitions. While a caller waits, they grow to four round trips or a 16th of the time
//! that it still waits, whichever is longer, because an answer after that is of no use to it. Those that own a request
//! give it up.
//!
//! **Late answers.** A request that was repeated, or was given up, is remembered for a while. The answer to one that was
//! given up still counts: it shows that the node is there and what its answers take, and what it brings is used if it
//! still fits. A second answer to a repeated one shows that the first answer was to the first try, and so its round trip
//! (the Eifel algorithm, RFC 3522).
//!
//! **Our own sleep.** What we were asleep for is nobody's delay: deadlines move by as much, and the round trips of what
//! was sent before are unknown.

mod round_trip;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

pub(in crate::protocol) use self::round_trip::RoundTrip;
use self::round_trip::RoundTrips;
use super::{Context, Core};
use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::membership::{Members, Peer};
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::{NameHash, Seq};

/// How long after the end of a request its answer is used: paths take 10 s at most.
const LATE_MAX: Duration = Duration::from_secs(16);
/// Requests that are remembered for their late answers; the oldest go first.
const OVER_MAX: usize = 128;
/// The longest pause before a request is repeated.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// While a caller waits, a pause takes no longer than this part of the time that is left.
const PAUSES_OF_CALL: u32 = 16;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum RequestKind {
    /// A ping of a probe.
    Ping,
    /// A ping-req of a probe, to a relay.
    PingRequest,
    /// A ping on behalf of another member.
    RelayedPing,
    /// A hello of an attempt to become known.
    Hello,
    /// A step of an exchange.
    Sync,
    /// A request for states and broadcasts.
    Pull,
    /// That this member leaves.
    Leave,
}

/// The receiver of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) struct Asked {
    addr: SocketAddr,
    /// None: any node that is there.
    run: Option<(NameHash, Generation)>,
}

impl Asked {
    /// Any node at an address.
    pub(in crate::protocol) fn anybody_at(addr: SocketAddr) -> Self {
        Self { addr, run: None }
    }
}

impl From<Peer> for Asked {
    fn from(peer: Peer) -> Self {
        Self { addr: peer.addr, run: Some((peer.name, peer.generation)) }
    }
}

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Request {
    kind: RequestKind,
    /// Which of those of this kind it belongs to.
    owner: u64,
    asked: Asked,
    /// When it was sent first; unknown if we were asleep since.
    sent: Option<Instant>,
    tries: u32,
    /// The shortest pause until it is repeated; none: it is not.
    pause: Option<Duration>,
}

/// A request that is over.
#[derive(Debug, Clone, Copy)]
struct Over {
    seq: Seq,
    kind: RequestKind,
    owner: u64,
    asked: Asked,
    sent: Option<Instant>,
    tries: u32,
    answered: Option<Instant>,
    ended: Instant,
}

/// An answer to a request of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) struct Reply {
    pub(in crate::protocol) kind: RequestKind,
    pub(in crate::protocol) owner: u64,
    /// Whether it comes from the run that was asked.
    pub(in crate::protocol) of_run: bool,
    /// How long it has taken since the request was sent; none if that cannot be known: the request was repeated, or we
    /// were asleep.
    pub(in crate::protocol) round_trip: Option<Duration>,
    /// When the request was sent first; unknown if we were asleep since.
    sent: Option<Instant>,
    /// Where it was sent.
    addr: SocketAddr,
}

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) struct DueRequest {
    pub(in crate::protocol) seq: Seq,
    pub(in crate::protocol) kind: RequestKind,
    pub(in crate::protocol) owner: u64,
    /// How often it was sent so far.
    pub(in crate::protocol) tries: u32,
}

/// All requests of one member.
#[derive(Debug)]
pub(in crate::protocol) struct Requests {
    open: BTreeMap<Seq, Request>,
    deadlines: Deadlines<Seq>,
    over: VecDeque<Over>,
    round_trips: RoundTrips,
    /// Until when a caller waits for what this member asks, if one does.
    awaited_until: Option<Instant>,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            deadlines: Deadlines::new(),
            over: VecDeque::new(),
            round_trips: RoundTrips::default(),
            awaited_until: None,
        }
    }

    /// Until when a caller waits for what this member asks; none: nobody waits.
    pub(in crate::protocol) fn await_until(&mut self, until: Option<Instant>) {
        self.awaited_until = until;
    }

    /// A request was sent again out of turn: it waits for as long as after the first time.
    pub(in crate::protocol) fn sent_again(&mut self, now: Instant, seq: Seq) {
        if let Some(pause) = self.open.get(&seq).and_then(|request| self.pause(now, request, 0)) {
            self.deadlines.set(seq, now + pause);
        }
    }

    /// A request that was to be sent now has to wait: it is due again then, and this try does not count.
    pub(in crate::protocol) fn postpone(&mut self, seq: Seq, until: Instant) {
        if let Some(request) = self.open.get_mut(&seq) {
            request.sent = None;
            request.tries = request.tries.saturating_sub(1);
            self.deadlines.set(seq, until);
        }
    }

    /// How long an answer of a node usually takes at the most; none if it has not answered lately.
    pub(in crate::protocol) fn usual_round_trip(&self, node: NameHash) -> Option<Duration> {
        self.round_trips.get(node).most()
    }

    /// How long a request waits until it is repeated, after it was repeated so often.
    fn pause(&self, now: Instant, request: &Request, repeated: u32) -> Option<Duration> {
        let shortest = request.pause?;
        let node = request.asked.run.map(|(name, _)| name);
        let rtt = node.map_or(RoundTrip::new(None), |node| self.round_trips.get(node));
        let longest = match self.awaited_until.filter(|until| *until > now) {
            Some(until) => {
                (rtt.smoothed() * 4).max(until.since(now) / PAUSES_OF_CALL).max(shortest * 4).min(PAUSE_MAX)
            }
            None => PAUSE_MAX,
        };
        let first = rtt.most().unwrap_or_default().max(shortest);
        Some(first.saturating_mul(2_u32.saturating_pow(repeated)).min(longest.max(shortest)))
    }

    /// A request is over, answered or not.
    pub(in crate::protocol) fn end(&mut self, now: Instant, seq: Seq, is_answered: bool) {
        self.deadlines.cancel(seq);
        let Some(Request { kind, owner, asked, sent, tries, .. }) = self.open.remove(&seq) else {
            return;
        };
        // A call that has ended needs no answer, and a second answer to a request that was sent once shows nothing.
        let is_used = !matches!(kind, RequestKind::Hello | RequestKind::Leave);
        if is_used && (tries > 1 || !is_answered) {
            if self.over.len() == OVER_MAX {
                self.over.pop_front();
            }
            let answered = is_answered.then_some(now);
            self.over.push_back(Over { seq, kind, owner, asked, sent, tries, answered, ended: now });
        }
    }

    /// The answer to a request that is over. The second answer to a request that was repeated only shows that the first
    /// one was to the first try, and after how long that came. An answer that is later than any path makes it comes from a
    /// node that was asleep.
    fn find_late(
        &mut self,
        members: &Members,
        context: &Context,
        seq: Seq,
        kinds: &[RequestKind],
    ) -> Option<Reply> {
        let is_late = |over: &Over| context.now.since(over.ended) <= LATE_MAX;
        let is_meant = |over: &Over| over.seq == seq && kinds.contains(&over.kind) && is_late(over);
        let place = self.over.iter().position(is_meant)?;
        let Over { kind, owner, asked, sent, tries, answered, .. } = self.over[place];
        let of_run = is_from(members, &asked, context)?;
        if of_run {
            self.over.remove(place);
        }
        let came = answered.or((tries == 1).then_some(context.now));
        let round_trip = sent.zip(came).map(|(sent, came)| came.since(sent)).filter(|_| of_run);
        let reply = Reply { kind, owner, of_run, round_trip, sent, addr: asked.addr };
        if answered.is_none() {
            return Some(reply);
        }
        self.note_round_trip(context, &reply);
        None
    }

    /// Notes what the answer of a node shows of its round trip. A relay answers when it has an answer itself.
    fn note_round_trip(&mut self, context: &Context, reply: &Reply) {
        if let Some(rtt) = reply.round_trip.filter(|_| reply.of_run && reply.kind != RequestKind::PingRequest)
        {
            self.round_trips.measured(context.now, context.sender, rtt);
        }
    }

    /// We were asleep for so long.
    pub(in crate::protocol) fn push_back(&mut self, lag: Duration) {
        self.open.values_mut().for_each(|request| request.sent = None);
        self.over.iter_mut().for_each(|over| over.sent = None);
        self.deadlines.push_back(lag);
    }

    fn find(&self, members: &Members, context: &Context, seq: Seq, kinds: &[RequestKind]) -> Option<Reply> {
        let request = self.open.get(&seq).filter(|request| kinds.contains(&request.kind))?;
        let of_run = is_from(members, &request.asked, context)?;
        let Request { kind, owner, asked, sent, tries, .. } = *request;
        let round_trip = sent.filter(|_| tries == 1).map(|sent| context.now.since(sent));
        Some(Reply { kind, owner, of_run, round_trip, sent, addr: asked.addr })
    }

    pub(in crate::protocol) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(in crate::protocol) fn len(&self) -> usize {
        self.open.len()
    }

    pub(in crate::protocol) fn bound(&self) -> Bound {
        self.round_trips.bound()
    }
}

impl Core {
    /// Notes a request that is being sent, under a fresh number. `pause`: how long its answer is waited for at least
    /// before it is repeated; none: it is not repeated.
    pub(in crate::protocol) fn request(
        &mut self,
        now: Instant,
        kind: RequestKind,
        owner: u64,
        asked: impl Into<Asked>,
        pause: Option<Duration>,
    ) -> Seq {
        let seq = self.fresh_seq();
        let request = Request { kind, owner, asked: asked.into(), sent: Some(now), tries: 1, pause };
        self.requests.open.insert(seq, request);
        if let Some(pause) = self.requests.pause(now, &request, 0) {
            let jitter = self.jitter(self.settings.gossip_interval);
            self.requests.deadlines.set(seq, now + pause + jitter);
        }
        seq
    }

    /// A request whose answer has not come in time. It is to be sent again or ended; if it is sent, it is due again
    /// after the next pause.
    pub(in crate::protocol) fn next_due_request(&mut self, now: Instant) -> Option<DueRequest> {
        loop {
            let seq = self.requests.deadlines.pop_due(now)?;
            let jitter = self.jitter(self.settings.gossip_interval);
            let Some(request) = self.requests.open.get_mut(&seq) else {
                continue;
            };
            let Request { kind, owner, tries, .. } = *request;
            request.tries += 1;
            let request = *request;
            if let Some(pause) = self.requests.pause(now, &request, tries) {
                self.requests.deadlines.set(seq, now + pause + jitter);
            }
            return Some(DueRequest { seq, kind, owner, tries });
        }
    }

    /// The request that an answer of the run that was asked is for, which stays open if it was; none, and counted, if
    /// nobody of these kinds has waited for it.
    pub(in crate::protocol) fn answered(
        &mut self,
        context: &mut Context,
        seq: Seq,
        kinds: &[RequestKind],
    ) -> Option<Reply> {
        let reply = self.reply_to(context, seq, kinds).filter(|reply| reply.of_run);
        self.note_reply(context, reply)
    }

    /// The same of an answer that may come from another run of the node that was asked.
    pub(in crate::protocol) fn answered_by_any_run(
        &mut self,
        context: &mut Context,
        seq: Seq,
        kinds: &[RequestKind],
    ) -> Option<Reply> {
        let reply = self.reply_to(context, seq, kinds);
        self.note_reply(context, reply)
    }

    fn reply_to(&mut self, context: &Context, seq: Seq, kinds: &[RequestKind]) -> Option<Reply> {
        let open = self.requests.find(&self.members, context, seq, kinds);
        open.or_else(|| self.requests.find_late(&self.members, context, seq, kinds))
    }

    fn note_reply(&mut self, context: &mut Context, reply: Option<Reply>) -> Option<Reply> {
        let Some(reply) = reply else {
            self.metrics.unexpected_answers += 1;
            return None;
        };
        self.note_answer(context, reply.addr);
        if reply.of_run {
            self.members.answered(context.now, context.sender);
        }
        self.requests.note_round_trip(context, &reply);
        if let Some(rtt) = reply.round_trip.filter(|_| reply.of_run && reply.kind == RequestKind::Ping) {
            self.members.measured(context.sender, rtt);
        }
        // Everything that was read before it may be older than the absence; what comes after it is not.
        self.returning = self.returning.filter(|returned| reply.sent.is_none_or(|sent| sent < *returned));
        Some(reply)
    }
}

/// Whether an answer comes from the run that was asked; none if it comes from elsewhere, or from another node.
fn is_from(members: &Members, asked: &Asked, context: &Context) -> Option<bool> {
    let held = || members.get(context.sender).filter(|entry| entry.generation() == context.generation);
    let is_there = asked.addr == context.from
        || asked.addr == context.source
        || held().is_some_and(|entry| entry.is_at(context.from) && entry.is_at(asked.addr));
    match asked.run {
        None => is_there.then_some(true),
        Some((name, run)) if name == context.sender => is_there.then_some(run == context.generation),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
