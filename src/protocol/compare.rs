//! Comparing views: who asks for a sync and when, and both sides of the exchange (see [`super::sync`]).

use std::collections::BTreeMap;

use super::members::Merged;
use super::probe::{Probe, Purpose};
use super::spread::Source;
use super::sync::{Compared, DIGEST_PAGES_MAX, Due, ExchangeId, Peer, Reach, Request};
use super::time::Instant;
use super::{Context, Protocol, Rule, Timer};
use crate::error::Error;
use crate::node::{Generation, Incarnation, Status};
use crate::wire::body::{BUCKETS, Digests, Offer, Page, Pull, Sums};
use crate::wire::lists::{Entry, Group, GroupsBuilder, RecordKey, SUMS_SIZE, SumList, Wants};
use crate::wire::{Body, Cookie, NameHash, Record, Seq, Verdict, ViewMark};

/// Nodes that somebody holds dead and that wait to be asked.
pub(super) const TOLD_MAX: usize = 1_024;
/// Of those, so many are asked at the same time.
const TOLD_AT_ONCE: usize = 26;

/// So often a view is asked for again because it has not settled, each time after twice the pause.
const ASKED_MAX: u32 = 3;

/// Whose view is to be compared with ours again, and how often in a row it was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recheck {
    peer: NameHash,
    asked: u32,
}

/// A node that we hold active and somebody else does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    name: NameHash,
    generation: Generation,
    incarnation: Incarnation,
    /// Dead, or left.
    status: Status,
    by: NameHash,
}

/// An offer that is being read: what it asks for, and of what it told we hold something better.
#[derive(Debug)]
pub(super) struct Offered {
    seq: Seq,
    wants: Vec<RecordKey>,
    better: Vec<NameHash>,
}

impl Protocol {
    /// Compares our view with what a peer told of its own in an ack, having asked for it so often in a row.
    pub(super) fn compare(
        &mut self,
        now: Instant,
        peer: NameHash,
        theirs: &ViewMark,
        cookie: Cookie,
        asked: u32,
    ) {
        if !self.core.follows(Rule::Sync) {
            return;
        }
        let ours = self.core.members.fingerprint();
        let settle = self.core.settle_time();
        let their_quiet = std::time::Duration::from_millis(u64::from(theirs.quiet) * 10);
        let mut settled_at = (self.core.members.quiet_since() + settle).max(now + settle - their_quiet);
        if their_quiet >= settle {
            settled_at = self.core.members.quiet_since() + settle;
        }
        if self.core.members.hidden_len() > 0 || self.state_budget.is_short(now) {
            // Whoever we hear may bring back those that we have given up; and states whose news is not told because
            // of a limit come by no other way. No time to lose.
            settled_at = now;
        }
        match self.comparer.compare(now, ours, theirs.fingerprint, settled_at) {
            Compared::Equal | Compared::Known => {}
            // A view that does not settle soon is left to the rounds: all who know it would ask for as long as that
            // takes.
            Compared::Later(at) if asked < ASKED_MAX => {
                self.recheck_with(now, peer, now + at.since(now) * 2_u32.pow(asked), asked);
            }
            Compared::Later(_) => {}
            Compared::Sync => {
                if let Some(peer) = self.peer(peer) {
                    self.begin_comparison(now, peer, cookie, false);
                }
            }
        }
    }

    /// Has our view compared with a peer's at some time, soon, having asked for it so often in a row.
    pub(super) fn recheck_with(&mut self, now: Instant, peer: NameHash, at: Instant, asked: u32) {
        self.recheck = Some(Recheck { peer, asked });
        self.core.timers.set_earliest(Timer::Recheck, at.max(now));
    }

    /// The time for another comparison has come.
    pub(super) fn compare_again(&mut self, now: Instant) {
        let settled_at = self.core.members.quiet_since() + self.core.settle_time();
        if settled_at > now && self.core.members.hidden_len() == 0 {
            self.core.timers.set(Timer::Recheck, settled_at);
            return;
        }
        if let Some(Recheck { peer, asked }) = self.recheck.take()
            && self.core.members.active(peer).is_some()
        {
            self.probe_node(now, Purpose::Compare { asked: asked + 1 }, peer);
        }
    }

    /// A node of the view as a partner.
    pub(super) fn peer(&self, name: NameHash) -> Option<Peer> {
        let entry = self.core.members.active(name)?;
        Some(Peer { name, addr: entry.addr(), generation: entry.generation() })
    }

    /// Compares views with a peer whose cookie we have.
    pub(super) fn begin_comparison(
        &mut self,
        now: Instant,
        peer: Peer,
        cookie: Cookie,
        urgent: bool,
    ) -> Option<ExchangeId> {
        let begun = self.exchanges.begin_comparison(peer, cookie, urgent);
        self.pump_new(now, begun)
    }

    /// Has a peer fill our view, which is much smaller than its own.
    pub(super) fn begin_fill(
        &mut self,
        now: Instant,
        peer: Peer,
        cookie: Cookie,
        urgent: bool,
    ) -> Option<ExchangeId> {
        let begun = self.exchanges.begin_fill(peer, cookie, urgent);
        self.pump_new(now, begun)
    }

    /// Sends the first request of an exchange, if there was room to begin it.
    fn pump_new(&mut self, now: Instant, begun: Option<ExchangeId>) -> Option<ExchangeId> {
        if begun.is_some() {
            self.core.metrics.syncs += 1;
            self.pump_exchange(now, begun);
        }
        begun
    }

    /// Sends what an exchange may send now, and ends it when nothing is left.
    pub(super) fn pump_exchange(&mut self, now: Instant, id: Option<ExchangeId>) {
        let Some(id) = id else {
            return;
        };
        loop {
            let seq = self.core.fresh_seq();
            let jitter = self.core.jitter(self.core.settings.gossip_interval);
            let Some(request) = self.exchanges.next_request(now, id, seq, jitter) else {
                break;
            };
            self.send_request(now, id, seq, &request);
        }
        if self.exchanges.is_done(id)
            && let Some(exchange) = self.exchanges.end(id)
        {
            if !exchange.changed {
                self.core.metrics.syncs_idle += 1;
            }
            self.comparer.synced(exchange.changed);
            self.has_synced = true;
            for (call, addr) in self.fills.remove(&id).unwrap_or_default() {
                self.settling.push((call, addr, exchange.peer.name));
            }
            self.settle_joins(now, exchange.peer.name);
            if exchange.filled {
                self.compare_with_another(now, exchange.peer.name);
            }
        }
    }

    /// Repeats requests that were not answered, and gives up on peers that do not answer at all.
    pub(super) fn retry_exchanges(&mut self, now: Instant) {
        loop {
            let jitter = self.core.jitter(self.core.settings.gossip_interval);
            match self.exchanges.pop_due(now, jitter) {
                Some(Due::Again(id, seq, request)) => self.send_request(now, id, seq, &request),
                Some(Due::GivenUp(id, exchange)) => {
                    self.comparer.synced(exchange.changed);
                    for (call, addr) in self.fills.remove(&id).unwrap_or_default() {
                        self.seed_failed(now, call, addr, Error::NoAnswer);
                        self.ask_other_seeds(now, call);
                    }
                }
                None => return,
            }
        }
    }

    // The answering side.

    pub(super) fn handle_sums(&mut self, context: &mut Context, sums: &Sums<'_>) {
        if !self.has_cookie(context, sums.seq, sums.cookie) {
            return;
        }
        let ours = self.core.members.visible_len();
        if (sums.count as usize) * 2 < ours {
            self.send_page(context, sums.seq, sums.from, NameHash(0));
            return;
        }
        self.send_digests(context, sums);
    }

    pub(super) fn handle_pull(&mut self, context: &mut Context, pull: &Pull) {
        if self.has_cookie(context, pull.seq, pull.cookie) {
            self.send_page(context, pull.seq, pull.from, pull.until);
        }
    }

    pub(super) fn handle_offer(&mut self, context: &mut Context, offer: &Offer<'_>) {
        if !self.has_cookie(context, offer.seq, offer.cookie) {
            return;
        }
        if !context.known {
            self.core.metrics.unknown_sender += 1;
            return;
        }
        context.offer =
            Some(Offered { seq: offer.seq, wants: offer.wants.iter().collect(), better: Vec::new() });
    }

    /// All of an offer was read: tell what we have that is newer.
    pub(super) fn answer_offer(&mut self, context: &mut Context) {
        let Some(offer) = context.offer.take() else {
            return;
        };
        let mut names: Vec<NameHash> = offer.better;
        for key in offer.wants {
            names.extend(self.core.members.with_key(key).map(|(name, _)| name));
        }
        names.sort_unstable();
        names.dedup();
        let mut bodies = Vec::with_capacity(names.len());
        for name in names {
            let Some(entry) = self.core.members.get(name).filter(|entry| !entry.hidden) else {
                continue;
            };
            bodies.push(if entry.is_active() {
                Body::SyncRecord(entry.record())
            } else {
                Body::SyncVerdict(entry.verdict(name))
            });
        }
        // Whether all fits is told first, so it must be known first.
        let fits = |truncated: bool| {
            let mut datagram = self.core.long_datagram_to(context.generation);
            let mut all = datagram.push(&Body::Newer { seq: offer.seq, truncated });
            for body in &bodies {
                all &= datagram.push(body);
            }
            (datagram, all)
        };
        let (datagram, all) = fits(false);
        let datagram = if all { datagram } else { fits(true).0 };
        self.core.transmit(context.now, context.from, datagram);
    }

    /// The asking side: digests of the buckets that differ.
    pub(super) fn handle_digests(&mut self, context: &mut Context, digests: &Digests<'_>) {
        let Some((id, Request::Sums { .. })) = self.exchanges.answered(digests.seq, context.from) else {
            self.core.metrics.unexpected_answers += 1;
            return;
        };
        context.answered = true;
        self.core.addresses.heard(context.from);
        context.exchange = Some(id);
        if self.exchanges.covered(id, digests.from, digests.next) {
            let (wants, offers) = self.differences(digests);
            self.exchanges.differ(id, wants, offers);
        }
        match self.exchanges.reach(id) {
            Reach::End => self.exchanges.close(digests.seq),
            // As many pages as one answer has: ask for the rest.
            Reach::At(from) if self.exchanges.has_whole_answer(id) => {
                self.exchanges.close(digests.seq);
                self.exchanges.continue_with(id, Request::Sums { from });
            }
            Reach::At(_) => {}
        }
    }

    pub(super) fn handle_newer(&mut self, context: &mut Context, seq: Seq, truncated: bool) {
        let Some((id, Request::Offer { wants, .. })) = self.exchanges.answered(seq, context.from) else {
            self.core.metrics.unexpected_answers += 1;
            return;
        };
        if truncated {
            context.unserved = wants.clone();
            context.wanted = wants.len();
        }
        context.answered = true;
        self.core.addresses.heard(context.from);
        context.exchange = Some(id);
        self.exchanges.close(seq);
    }

    /// All of an answer was read: what had no room in it is asked for again, if it has brought anything.
    pub(super) fn ask_unserved(&mut self, context: &mut Context) {
        let unserved = std::mem::take(&mut context.unserved);
        if let Some(id) = context.exchange.filter(|_| unserved.len() < context.wanted) {
            self.exchanges.differ(id, unserved, []);
        }
    }

    pub(super) fn handle_page(&mut self, context: &mut Context, page: &Page) {
        let Some((id, request)) = self.exchanges.answered(page.seq, context.from) else {
            self.core.metrics.unexpected_answers += 1;
            return;
        };
        let (from, until) = match request {
            Request::Pull { from, until } => (*from, Some(*until)),
            Request::Sums { from } => (*from, None),
            Request::Offer { .. } => return,
        };
        context.answered = true;
        self.core.addresses.heard(context.from);
        context.exchange = Some(id);
        self.exchanges.close(page.seq);
        // Zero ends the range, and so does what does not lead on, or leads out of it.
        let is_beyond = until.is_some_and(|until| until.0 != 0 && page.next >= until);
        if page.next <= from || is_beyond {
            return;
        }
        match until {
            Some(until) => self.exchanges.continue_with(id, Request::Pull { from: page.next, until }),
            None => self.exchanges.fill_from(id, page.next),
        }
    }

    pub(super) fn handle_sync_record(&mut self, context: &mut Context, record: &Record<'_>) {
        let now = context.now;
        if let Some(id) = context.exchange {
            let key = RecordKey::from(NameHash::of(self.core.tag, record.name));
            context.unserved.retain(|unserved| *unserved != key);
            let behind = self.is_behind(record);
            let merged = self.take_record(now, record, Source::Sync(context.sender));
            if behind || matches!(merged, Merged::Changed(_)) {
                self.exchanges.set_changed(id);
            }
        } else if let Some(offer) = &mut context.offer {
            let merged = self.take_record(now, record, Source::Sync(context.sender));
            if merged == Merged::Older || self.is_ahead(record) {
                offer.better.push(NameHash::of(self.core.tag, record.name));
            }
        } else if context.answered {
            // Beside a welcome: the record of who lets us in.
            self.take_record(now, record, Source::Sync(context.sender));
            if !self.takes(record) && NameHash::of(self.core.tag, record.name) == context.sender {
                self.turn_away(now, context.sender);
            }
        } else {
            self.core.metrics.unknown_sender += 1;
        }
    }

    /// Whether a record tells of more of a node's state or broadcasts than we have.
    fn is_behind(&self, record: &Record<'_>) -> bool {
        self.held_of(record).is_some_and(|held| {
            record.state_version > held.state_version || record.broadcast > held.broadcast
        })
    }

    /// Whether we have more of a node's state or broadcasts than a record tells of.
    fn is_ahead(&self, record: &Record<'_>) -> bool {
        self.held_of(record).is_some_and(|held| {
            held.state_version > record.state_version || held.broadcast > record.broadcast
        })
    }

    /// What we hold of the run that a record is about.
    fn held_of(&self, record: &Record<'_>) -> Option<Record<'_>> {
        let entry = self.core.members.active(NameHash::of(self.core.tag, record.name))?;
        (entry.generation() == record.generation).then(|| entry.record())
    }

    /// Somebody whose view we compare holds a node dead, or says that it left. It may be the one who errs: the
    /// node is asked first.
    pub(super) fn handle_sync_verdict(&mut self, context: &Context, verdict: &Verdict) {
        let now = context.now;
        if !context.answered {
            self.core.metrics.unknown_sender += 1;
            return;
        }
        if verdict.subject == self.core.me {
            self.handle_accusation(now, context.from, verdict);
            return;
        }
        if self.ask_first(now, verdict, context.sender)
            && let Some(id) = context.exchange
        {
            self.exchanges.set_changed(id);
        }
    }

    /// Somebody holds a node dead, or says that it left, of which nothing was heard here: it may be the one who
    /// errs, so the node is asked first. False if there is nothing to ask.
    pub(super) fn ask_first(&mut self, now: Instant, verdict: &Verdict, by: NameHash) -> bool {
        let Some(entry) = self.core.members.active(verdict.subject) else {
            return false;
        };
        let (generation, incarnation) = (entry.generation(), entry.incarnation());
        if verdict.status == Status::Suspect
            || (verdict.generation, verdict.incarnation) < (generation, incarnation)
        {
            return false;
        }
        // A newer run that we never heard of is gone there: then ours should be gone for longer.
        let same_run = verdict.generation == generation;
        let incarnation = if same_run { verdict.incarnation } else { incarnation };
        let is_asked = |probe: &Probe| {
            matches!(probe.purpose, Purpose::Told { .. }) && probe.target.name == verdict.subject
        };
        let waits = self.told.iter().any(|told| told.name == verdict.subject);
        if self.told.len() < TOLD_MAX && !waits && !self.probes.iter().any(is_asked) {
            let (name, status) = (verdict.subject, verdict.status);
            self.told.push_back(Told { name, generation, incarnation, status, by });
            self.core.timers.set_earliest(Timer::Told, now);
        }
        true
    }

    /// Asks nodes that somebody holds dead, a bounded number at a time.
    pub(super) fn ask_the_told(&mut self, now: Instant) {
        let is_told = |purpose: Purpose| matches!(purpose, Purpose::Told { .. });
        let mut running = self.probes.iter().filter(|probe| is_told(probe.purpose)).count();
        while running < TOLD_AT_ONCE {
            let Some(told) = self.told.pop_front() else {
                return;
            };
            let Some(mut target) = self.target(told.name) else {
                continue;
            };
            let still = self.core.members.active(told.name).is_some()
                && target.generation == told.generation
                && target.incarnation <= told.incarnation;
            if still {
                target.incarnation = told.incarnation;
                if self.probe(now, Purpose::Told { by: told.by, status: told.status }, target).is_none() {
                    self.told.push_front(told);
                    break;
                }
                running += 1;
            }
        }
        self.core.timers.set(Timer::Told, now + self.core.settings.probe_timeout / 2);
    }

    /// Whether a request carries a good cookie; who has none is given one.
    pub(super) fn has_cookie(&mut self, context: &mut Context, seq: Seq, cookie: Cookie) -> bool {
        if self.core.cookies.accepts(context.now, cookie, context.from, context.sender, context.generation) {
            self.note_proof(context);
            return true;
        }
        self.challenge(context, seq);
        false
    }

    /// Has the sender show that it receives at its address, once a datagram.
    pub(super) fn challenge(&mut self, context: &mut Context, seq: Seq) {
        let (now, from, run) = (context.now, context.from, context.generation);
        if std::mem::replace(&mut context.replied, true) {
            return;
        }
        let cookie = self.core.cookies.bake(now, from, context.sender, run);
        let mut datagram = self.core.datagram_back(context);
        if datagram.push(&Body::Challenge { seq, cookie }) {
            self.core.answer(from, datagram);
        }
    }

    /// One page of records in order of name hash, from `from` on, to before `until` (zero: the end).
    fn send_page(&mut self, context: &Context, seq: Seq, from: NameHash, until: NameHash) {
        let fill = |next: NameHash| {
            let mut datagram = self.core.long_datagram_to(context.generation);
            let mut first_out = NameHash(0);
            let mut told = datagram.push(&Body::Page(Page { seq, next, loaded: false }));
            for (name, entry) in self.core.members.visible_from(from) {
                if until.0 != 0 && name >= until {
                    break;
                }
                told = told && datagram.push(&Body::SyncRecord(entry.record()));
                if !told {
                    first_out = name;
                    break;
                }
            }
            (datagram, first_out)
        };
        // Where the page ends is told first, so it must be known first; its length does not depend on it.
        let (_, next) = fill(NameHash(0));
        let (datagram, _) = fill(next);
        self.core.transmit(context.now, context.from, datagram);
    }

    fn send_digests(&mut self, context: &Context, request: &Sums<'_>) {
        let differs: Vec<bool> = self
            .core
            .members
            .sums()
            .iter()
            .zip(request.sums.iter())
            .map(|(ours, theirs)| *ours != theirs)
            .collect();
        // Header, body head and numbers take less than this.
        let room = self.core.settings.max_datagram.saturating_sub(96);
        let mut from = request.from;
        for _ in 0..DIGEST_PAGES_MAX {
            let (groups, next) = self.digest_page(from, &differs, room);
            let digests = Digests { seq: request.seq, from, next, groups: groups.as_groups() };
            self.core.reply(context.now, context.from, context.generation, &Body::Digests(digests));
            if next.0 == 0 {
                return;
            }
            from = next;
        }
    }

    /// The digest entries of the differing buckets from a name hash on, and where the next page begins.
    fn digest_page(&self, from: NameHash, differs: &[bool], room: usize) -> (GroupsBuilder, NameHash) {
        let mut groups = GroupsBuilder::new();
        for bucket in from.bucket()..u8::try_from(BUCKETS).unwrap_or(u8::MAX) {
            if !differs[usize::from(bucket)] {
                continue;
            }
            let start = NameHash(u64::from(bucket) << 57).max(from);
            if groups.size() + Group::HEADER_SIZE + Entry::SIZE > room {
                return (groups, start.max(NameHash(1)));
            }
            groups.begin_bucket(bucket);
            for (name, entry) in self.core.members.visible_from(start) {
                if name.bucket() != bucket {
                    break;
                }
                if groups.size() + Entry::SIZE > room {
                    return (groups, name);
                }
                groups.push(Entry { low: name.low(), record: low(self.core.members.record_hash(entry)) });
            }
        }
        (groups, NameHash(0))
    }

    /// What a page of digests shows: what we lack or hold otherwise, and what we hold that differs.
    fn differences(&self, digests: &Digests<'_>) -> (Vec<RecordKey>, Vec<NameHash>) {
        let (mut wants, mut offers) = (Vec::new(), Vec::new());
        for group in digests.groups.iter() {
            // Name hashes that share their short form count as different, so each keeps a list.
            let mut theirs: BTreeMap<u32, u32> = BTreeMap::new();
            for entry in group.entries.iter() {
                if theirs.insert(entry.low, entry.record).is_some() {
                    wants.push(RecordKey { bucket: group.bucket, low: entry.low });
                }
            }
            let start = NameHash(u64::from(group.bucket) << 57).max(digests.from);
            for (name, entry) in self.core.members.visible_from(start) {
                if name.bucket() != group.bucket || (digests.next.0 != 0 && name >= digests.next) {
                    break;
                }
                match theirs.remove(&name.low()) {
                    Some(record) if record == low(self.core.members.record_hash(entry)) => {}
                    Some(_) => {
                        wants.push(RecordKey::from(name));
                        offers.push(name);
                    }
                    None => offers.push(name),
                }
            }
            wants.extend(theirs.into_keys().map(|low| RecordKey { bucket: group.bucket, low }));
        }
        (wants, offers)
    }

    pub(super) fn send_request(&mut self, now: Instant, id: ExchangeId, seq: Seq, request: &Request) {
        let Some((peer, cookie)) = self.exchanges.get(id).map(|exchange| (exchange.peer, exchange.cookie))
        else {
            return;
        };
        let mut datagram = self.core.datagram_to(peer.generation);
        match request {
            Request::Sums { from } => {
                let mut bytes = [0; SUMS_SIZE];
                let sums = SumList::encode(self.core.members.sums(), &mut bytes);
                let count = u32::try_from(self.core.members.visible_len()).unwrap_or(u32::MAX);
                let body = Body::Sums(Sums { seq, cookie, count, from: *from, sums });
                if !datagram.push(&body) {
                    return;
                }
            }
            Request::Pull { from, until } => {
                if !datagram.push(&Body::Pull(Pull { seq, cookie, from: *from, until: *until })) {
                    return;
                }
            }
            Request::Offer { wants, records } => {
                let mut bytes = Vec::with_capacity(wants.len() * 5);
                let wants = Wants::encode(wants, &mut bytes);
                if !datagram.push(&Body::Offer(Offer { seq, cookie, wants })) {
                    return;
                }
                let mut sent = 0;
                for name in records {
                    if let Some(entry) = self.core.members.get(*name).filter(|entry| entry.is_visible())
                        && !datagram.push(&Body::SyncRecord(entry.record()))
                    {
                        break;
                    }
                    sent += 1;
                }
                self.exchanges.offer_rest(id, seq, sent);
            }
        }
        self.core.transmit(now, peer.addr, datagram);
    }
}

/// The half of a record hash that digests carry.
fn low(hash: u64) -> u32 {
    let [_, _, _, _, a, b, c, d] = hash.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}
