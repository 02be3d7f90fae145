//! Sync: how two views that differ become equal (anti-entropy).
//!
//! Every ping and ack carries the sender's fingerprint, so divergence is found for 8 bytes, at any size, and
//! nothing more is sent while the cluster agrees. Only the prober compares, on the ack.
//!
//! **When.** While news travels views differ as a matter of course. A sync starts when both sides have been
//! quiet for a settle time (7.5 × gossip_interval), or when no comparison was equal for 3 s and at least three
//! differed; at most one at a time, and one per 500 ms, doubling to 30 s while syncs change nothing (views may
//! differ for good: lists, limits) until our view changes or we see a fingerprint that we have not seen.
//! A fill is followed by a comparison with another member, 10 gossip intervals later. A member that was away does not
//! wait. As long as it holds records that are not vouched for, it also syncs with members that hold the same.
//!
//! **How.** One message each way, idempotent, and without state on the answering side; a page is a datagram; the
//! asker asks again for what is lost.
//!
//! ```text
//!  asker                                   peer
//!  BucketDigest: up to 128 sums of record hashes →
//!                                     ←    Digests: 8 bytes a record of the buckets that differ, in pages, and of
//!                                          those that hold what the peer does not vouch for
//!  Offer: own records that differ,    →
//!         keys of those it lacks
//!                                     ←    SyncDelta: records and verdicts that beat the asker's
//! ```
//!
//! An asker with less than half as many nodes is simply filled, page by page, in the order of name hashes, two
//! pulls at a time: that is the flow control, a thousand joiners do not overflow a seed's buffer.
//!
//! | file | holds |
//! |---|---|
//! | [`scheduler`] | when a sync is due |
//! | [`exchange`] | the requests of the asking side |
//! | [`answer`] | the answering side |
//! | [`pull`] | pulling what others have of states and broadcasts and we lack |

mod answer;
mod exchange;
pub(super) mod pull;
mod scheduler;

use std::collections::BTreeMap;
use std::time::Duration;

use super::api::Bound;
use super::core::requests::{DueRequest, RequestKind};
use super::core::{Context, Core, Timer};
use super::membership::Peer;
use super::rules::Rule;
use super::time::Instant;
use crate::wire::body::{BucketDigest, Digests, Offer, Page, Pull};
use crate::wire::lists::{Entry, RecordKey, SumList, Wants};
use crate::wire::{Body, Cookie, NameHash, Record, Seq, ViewMark};
pub(super) use answer::{answer_offer, handle_bucket_digest, handle_offer, handle_pull};
use exchange::{Exchange, ExchangeId, Exchanges, Reach, SyncRequest, TRIES_MAX};
use scheduler::{Compared, SyncScheduler};

/// So often a view is asked for again because it has not settled, each time after twice the pause.
const ASKED_MAX: u32 = 3;
/// The closing sync comes this many gossip intervals after a join, or after a sync that changed something.
const CLOSING_PAUSE: u32 = 10;

/// What an answer is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    BucketDigest,
    Offer,
    Page,
}

/// Whose view is to be compared with ours again, and how often in a row it was asked for.
#[derive(Debug, Clone, Copy)]
struct Recheck {
    peer: NameHash,
    asked: u32,
}

/// An offer that is being read: what it asks for, and for which of its records we hold something newer.
#[derive(Debug)]
pub(super) struct Offered {
    seq: Seq,
    wants: Vec<RecordKey>,
    better: Vec<NameHash>,
}

/// What a datagram that is being read has to do with a sync.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The exchange that it answers.
    exchange: Option<ExchangeId>,
    /// The offer in it, to be answered when all of it is read.
    offer: Option<Offered>,
    /// Records that were asked for and that an answer without room for all has not brought …
    unserved: Vec<RecordKey>,
    /// … and how many were asked for.
    wanted: usize,
}

impl Reading {
    /// Whether records in it are those of a sync.
    pub(super) fn is_sync(&self) -> bool {
        self.exchange.is_some() || self.offer.is_some()
    }
}

/// An exchange that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) peer: Peer,
    /// Whether the peer has filled our view.
    pub(super) filled: bool,
}

/// All syncs of one member.
#[derive(Debug)]
pub(super) struct Sync {
    scheduler: SyncScheduler,
    recheck: Option<Recheck>,
    exchanges: Exchanges,
    /// The pause before a request is repeated the first time.
    retry: Duration,
    /// Whether our view was ever brought up to date with another one.
    has_synced: bool,
}

impl Sync {
    /// `retry`: the pause before a request is repeated the first time.
    pub(super) fn new(now: Instant, retry: Duration) -> Self {
        Self {
            scheduler: SyncScheduler::new(now),
            recheck: None,
            exchanges: Exchanges::default(),
            retry,
            has_synced: false,
        }
    }

    /// Compares our view with what a peer says of its own in an ack. `asked`: how often in a row it was asked for that.
    /// `is_urgent`: something was held back, and comes by no other way.
    pub(super) fn compare(
        &mut self,
        core: &mut Core,
        now: Instant,
        peer: NameHash,
        theirs: &ViewMark,
        asked: u32,
        is_urgent: bool,
    ) {
        if !core.follows(Rule::Sync) {
            return;
        }
        let ours = core.members.fingerprint();
        let settle = core.settle_time();
        let their_quiet = Duration::from_millis(u64::from(theirs.quiet) * 10);
        let mut settled_at = (core.members.quiet_since() + settle).max(now + settle - their_quiet);
        if their_quiet >= settle {
            settled_at = core.members.quiet_since() + settle;
        }
        if !core.members.roster().hidden().is_empty() || is_urgent {
            // Any member that we hear may bring back those that we have given up. No time to lose.
            settled_at = now;
        }
        // A peer that holds the same can vouch for our records, and says which ones it does not vouch for.
        let is_unsure = core.members.is_unsure(core.me);
        if is_unsure {
            settled_at = now;
        }
        let alike = ours == theirs.fingerprint && !is_unsure;
        match self.scheduler.compare(now, (ours, theirs.fingerprint), alike, settled_at) {
            Compared::Equal | Compared::Known => {}
            // A view that does not settle soon is left to the rounds: all members that know it would ask for as long as
            // that takes.
            Compared::Later(at) if asked < ASKED_MAX => {
                self.recheck_with(core, now, peer, now + at.since(now) * 2_u32.pow(asked), asked);
            }
            Compared::Later(_) => {}
            Compared::Sync => {
                if let Some(peer) = core.peer(peer) {
                    let cookie = core.given.get(peer.name).unwrap_or_default();
                    self.begin_comparison(core, now, peer, cookie, false);
                }
            }
        }
    }

    /// Has our view compared with a peer's at some time, soon, having asked for it so often in a row.
    pub(super) fn recheck_with(
        &mut self,
        core: &mut Core,
        now: Instant,
        peer: NameHash,
        at: Instant,
        asked: u32,
    ) {
        self.recheck = Some(Recheck { peer, asked });
        core.timers.set_earliest(Timer::Recheck, at.max(now));
    }

    /// The closing sync: for news that was sent while no member knew us, or that the partner of a sync lacked as well.
    pub(super) fn recheck_with_another(&mut self, core: &mut Core, now: Instant, with: NameHash) {
        let others: Vec<NameHash> = core.others().filter(|name| *name != with).collect();
        if let Some(other) = core.draw(&others) {
            let at = now + core.settings.gossip_interval * CLOSING_PAUSE;
            self.recheck_with(core, now, other, at, 0);
        }
    }

    /// The time for another comparison has come: the peer to be pinged for its view, and how often it was in a row.
    pub(super) fn next_recheck(&mut self, core: &mut Core, now: Instant) -> Option<(NameHash, u32)> {
        let settled_at = core.members.quiet_since() + core.settle_time();
        if settled_at > now && core.members.roster().hidden().is_empty() {
            core.timers.set(Timer::Recheck, settled_at);
            return None;
        }
        let Recheck { peer, asked } = self.recheck.take()?;
        core.members.visible(peer)?;
        Some((peer, asked + 1))
    }

    /// Compares views with a peer whose cookie we have. False if one with that peer runs already, or too many do.
    pub(super) fn begin_comparison(
        &mut self,
        core: &mut Core,
        now: Instant,
        peer: Peer,
        cookie: Cookie,
        urgent: bool,
    ) -> bool {
        let begun = self.exchanges.begin_comparison(peer, cookie, urgent);
        self.begin(core, now, begun)
    }

    /// Has a peer fill our view, which is much smaller than its own. False for the same reasons.
    pub(super) fn begin_fill(
        &mut self,
        core: &mut Core,
        now: Instant,
        peer: Peer,
        cookie: Cookie,
        urgent: bool,
    ) -> bool {
        let begun = self.exchanges.begin_fill(peer, cookie, urgent);
        self.begin(core, now, begun)
    }

    /// Sends the first requests of an exchange.
    fn begin(&mut self, core: &mut Core, now: Instant, begun: Option<ExchangeId>) -> bool {
        if let Some(id) = begun {
            core.metrics.syncs += 1;
            self.send_next(core, now, id);
        }
        begun.is_some()
    }

    /// Whether an exchange runs with a peer.
    pub(super) fn runs_with(&self, peer: NameHash) -> bool {
        self.exchanges.with(peer).is_some()
    }

    /// All of a datagram was read: sends what its exchange may send now, and ends it when nothing is left.
    pub(super) fn go_on(&mut self, core: &mut Core, now: Instant, reading: &Reading) -> Option<Ended> {
        let id = reading.exchange?;
        self.send_next(core, now, id);
        if !self.exchanges.is_done(id) {
            return None;
        }
        let exchange = self.end(core, now, id)?;
        if !exchange.changed {
            core.metrics.syncs_idle += 1;
        }
        self.scheduler.synced(exchange.changed);
        self.has_synced = true;
        Some(Ended { peer: exchange.peer, filled: exchange.filled })
    }

    fn send_next(&mut self, core: &mut Core, now: Instant, id: ExchangeId) {
        while let Some((peer, request)) = self.exchanges.next_request(id) {
            let seq = core.request(now, RequestKind::Sync, id.0, peer, Some(self.retry));
            self.exchanges.sent(id, seq, request.clone());
            self.send_request(core, now, id, seq, &request);
        }
    }

    fn end(&mut self, core: &mut Core, now: Instant, id: ExchangeId) -> Option<Box<Exchange>> {
        let (exchange, seqs) = self.exchanges.end(id)?;
        for seq in seqs {
            core.requests.end(now, seq, false);
        }
        Some(Box::new(exchange))
    }

    /// A request was not answered in time: it is repeated. Answers an exchange that is given up because its peer does
    /// not answer at all.
    pub(super) fn repeat(&mut self, core: &mut Core, now: Instant, due: &DueRequest) -> Option<Ended> {
        let id = ExchangeId(due.owner);
        if due.tries >= TRIES_MAX {
            let exchange = self.end(core, now, id)?;
            self.scheduler.synced(exchange.changed);
            return Some(Ended { peer: exchange.peer, filled: exchange.filled });
        }
        let request = self.exchanges.again(id, due.seq)?;
        self.send_request(core, now, id, due.seq, &request);
        None
    }

    /// A peer wants a fresh cookie with a request of ours.
    pub(super) fn handle_challenge(
        &mut self,
        core: &mut Core,
        now: Instant,
        owner: u64,
        seq: Seq,
        cookie: Cookie,
    ) {
        let id = ExchangeId(owner);
        if self.exchanges.challenged(id, cookie)
            && let Some(request) = self.exchanges.pending(id, seq).cloned()
        {
            core.requests.sent_again(now, seq);
            self.send_request(core, now, id, seq, &request);
        }
    }

    /// Digests of the buckets that differ.
    pub(super) fn handle_digests(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        reading: &mut Reading,
        digests: &Digests<'_>,
    ) {
        let Some(id) = self.answered(core, context, digests.seq, Step::BucketDigest) else {
            return;
        };
        reading.exchange = Some(id);
        if self.exchanges.covered(id, digests.from, digests.next) {
            let Differences { wants, offers, vouched } = differences(core, digests);
            self.exchanges.differ(id, wants, offers);
            for name in vouched {
                if core.vouch(name) {
                    self.exchanges.set_changed(id);
                }
            }
        }
        match self.exchanges.reach(id) {
            Reach::End => self.close(core, context.now, id, digests.seq),
            // As many pages as one answer has: ask for the rest.
            Reach::At(from) if self.exchanges.has_whole_answer(id) => {
                self.close(core, context.now, id, digests.seq);
                self.exchanges.continue_with(id, SyncRequest::BucketDigest { from });
            }
            Reach::At(_) => {}
        }
    }

    /// The answer to an offer. What the peer holds that is newer follows in the same datagram.
    pub(super) fn handle_newer(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        reading: &mut Reading,
        seq: Seq,
        truncated: bool,
    ) {
        let Some(id) = self.answered(core, context, seq, Step::Offer) else {
            return;
        };
        if truncated && let Some(SyncRequest::Offer { wants, .. }) = self.exchanges.pending(id, seq) {
            reading.unserved = wants.clone();
            reading.wanted = wants.len();
        }
        reading.exchange = Some(id);
        self.close(core, context.now, id, seq);
    }

    /// A page of records, which follow in the same datagram.
    pub(super) fn handle_page(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        reading: &mut Reading,
        page: &Page,
    ) {
        let Some(id) = self.answered(core, context, page.seq, Step::Page) else {
            return;
        };
        let (from, until) = match self.exchanges.pending(id, page.seq) {
            Some(SyncRequest::Pull { from, until }) => (*from, Some(*until)),
            Some(SyncRequest::BucketDigest { from }) => (*from, None),
            Some(SyncRequest::Offer { .. }) | None => return,
        };
        reading.exchange = Some(id);
        self.close(core, context.now, id, page.seq);
        // Zero ends the range, and so does what does not lead on, or leads out of it.
        let is_beyond = until.is_some_and(|until| until.0 != 0 && page.next >= until);
        if page.next <= from || is_beyond {
            return;
        }
        match until {
            Some(until) => self.exchanges.continue_with(id, SyncRequest::Pull { from: page.next, until }),
            None => self.exchanges.fill_from(id, page.next),
        }
    }

    /// A record of a sync was taken. `is_older`: what we hold is greater. `has_taught`: it has taught us something.
    pub(super) fn record_read(
        &mut self,
        core: &Core,
        reading: &mut Reading,
        record: &Record<'_>,
        is_older: bool,
        has_taught: bool,
    ) {
        let name = NameHash::of(core.tag, record.name);
        if let Some(id) = reading.exchange {
            let key = RecordKey::from(name);
            reading.unserved.retain(|unserved| *unserved != key);
            if has_taught {
                self.exchanges.set_changed(id);
            }
        } else if let Some(offer) = &mut reading.offer
            && (is_older || is_ahead(core, record))
        {
            offer.better.push(name);
        }
    }

    /// A verdict of a sync is being looked into.
    pub(super) fn verdict_read(&mut self, reading: &Reading) {
        if let Some(id) = reading.exchange {
            self.exchanges.set_changed(id);
        }
    }

    /// All of an answer was read: what had no room in it is asked for again, if it has brought anything.
    pub(super) fn ask_unserved(&mut self, reading: &mut Reading) {
        let unserved = std::mem::take(&mut reading.unserved);
        if let Some(id) = reading.exchange.filter(|_| unserved.len() < reading.wanted) {
            self.exchanges.differ(id, unserved, []);
        }
    }

    /// Whether our view was ever brought up to date with another one.
    pub(super) fn has_synced(&self) -> bool {
        self.has_synced
    }

    /// Our view is as good as that of a member that has been there for long.
    pub(super) fn set_synced(&mut self) {
        self.has_synced = true;
    }

    /// How many requests of its own wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.exchanges.waiting()
    }

    pub(super) fn bound(&self) -> Bound {
        self.exchanges.bound()
    }

    /// The exchange whose request has such an answer as this one.
    fn answered(&self, core: &mut Core, context: &mut Context, seq: Seq, step: Step) -> Option<ExchangeId> {
        let is_answer = |request: &SyncRequest| match step {
            Step::BucketDigest => matches!(request, SyncRequest::BucketDigest { .. }),
            Step::Offer => matches!(request, SyncRequest::Offer { .. }),
            Step::Page => matches!(request, SyncRequest::Pull { .. } | SyncRequest::BucketDigest { .. }),
        };
        let reply = core.answered(context, seq, &[RequestKind::Sync])?;
        if core.returning().is_some() {
            // The answer may be from before we were away, so the request is repeated.
            context.answered = false;
            return None;
        }
        let id = ExchangeId(reply.owner);
        self.exchanges.pending(id, seq).is_some_and(is_answer).then_some(id)
    }

    /// A request is answered for good.
    fn close(&mut self, core: &mut Core, now: Instant, id: ExchangeId, seq: Seq) {
        core.requests.end(now, seq, true);
        self.exchanges.close(id, seq);
    }

    fn send_request(
        &mut self,
        core: &mut Core,
        now: Instant,
        id: ExchangeId,
        seq: Seq,
        request: &SyncRequest,
    ) {
        let Some((peer, cookie)) = self.exchanges.get(id).map(|exchange| (exchange.peer, exchange.cookie))
        else {
            return;
        };
        let mut datagram = core.datagram_to(peer.run());
        match request {
            SyncRequest::BucketDigest { from } => {
                let records = core.members.ring().len();
                let mut bytes = Vec::new();
                let sums = SumList::encode(core.members.sums(), records, &mut bytes);
                let count = u32::try_from(records).unwrap_or(u32::MAX);
                let body = Body::BucketDigest(BucketDigest { seq, cookie, count, from: *from, sums });
                if !datagram.push(&body) {
                    return;
                }
            }
            SyncRequest::Pull { from, until } => {
                if !datagram.push(&Body::Pull(Pull { seq, cookie, from: *from, until: *until })) {
                    return;
                }
            }
            SyncRequest::Offer { wants, records } => {
                let mut bytes = Vec::with_capacity(wants.len() * 5);
                let wants = Wants::encode(wants, &mut bytes);
                if !datagram.push(&Body::Offer(Offer { seq, cookie, wants })) {
                    return;
                }
                let mut sent = 0;
                for name in records {
                    if let Some(entry) = core.members.get(*name).filter(|entry| entry.is_visible())
                        && !datagram.push(&core.sync_record(*name, entry))
                    {
                        break;
                    }
                    sent += 1;
                }
                self.exchanges.offer_rest(id, seq, sent);
            }
        }
        core.transmit(now, peer.addr, datagram);
    }
}

/// Whether a record shows more of a node's state or broadcasts than we have.
pub(super) fn is_behind(core: &Core, record: &Record<'_>) -> bool {
    held_of(core, record)
        .is_some_and(|held| record.state_version > held.state_version || record.broadcast > held.broadcast)
}

/// Whether we have more of a node's state or broadcasts than a record shows.
fn is_ahead(core: &Core, record: &Record<'_>) -> bool {
    held_of(core, record)
        .is_some_and(|held| held.state_version > record.state_version || held.broadcast > record.broadcast)
}

/// What we hold of the run that a record is about.
fn held_of<'a>(core: &'a Core, record: &Record<'_>) -> Option<Record<'a>> {
    let entry = core.members.active(NameHash::of(core.tag, record.name))?;
    (entry.generation() == record.generation).then(|| entry.record())
}

/// What a page of digests shows.
#[derive(Debug, Default)]
struct Differences {
    /// What we lack or hold otherwise.
    wants: Vec<RecordKey>,
    /// What we hold that differs.
    offers: Vec<NameHash>,
    /// What the peer holds as we do and vouches for, and we do not.
    vouched: Vec<NameHash>,
}

/// Compares what a page of digests covers with what we hold.
fn differences(core: &Core, digests: &Digests<'_>) -> Differences {
    let mut found = Differences::default();
    // What the peer lists, by bucket. Name hashes that share their short form count as different.
    let mut listed: BTreeMap<u8, BTreeMap<u32, Entry>> = BTreeMap::new();
    for group in digests.groups.iter() {
        let theirs = listed.entry(group.bucket).or_default();
        for entry in group.entries.iter() {
            if theirs.insert(entry.low, entry).is_some() {
                found.wants.push(RecordKey { bucket: group.bucket, low: entry.low });
            }
        }
    }
    for (name, entry) in core.members.visible_from(digests.from) {
        if digests.next.0 != 0 && name >= digests.next {
            break;
        }
        let is_vouched = match listed.get_mut(&name.bucket()) {
            // A bucket that is not listed is equal, and the peer vouches for all of it.
            None => true,
            Some(theirs) => match theirs.remove(&name.low()) {
                Some(theirs) if theirs.record == digest(core.members.record_hash(entry)) => theirs.vouched,
                Some(_) => {
                    found.wants.push(RecordKey::from(name));
                    found.offers.push(name);
                    false
                }
                None => {
                    found.offers.push(name);
                    false
                }
            },
        };
        if is_vouched && !core.vouches(name, entry) {
            found.vouched.push(name);
        }
    }
    for (bucket, theirs) in listed {
        found.wants.extend(theirs.into_keys().map(|low| RecordKey { bucket, low }));
    }
    found
}

/// What digests carry of a record hash: the low half without its lowest bit.
fn digest(hash: u64) -> u32 {
    let [_, _, _, _, a, b, c, d] = hash.to_be_bytes();
    u32::from_be_bytes([a, b, c, d]) & !1
}
