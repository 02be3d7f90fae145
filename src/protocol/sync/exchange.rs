//! Exchanges: the requests of the asking side of a sync, in the order in which they are sent, and again.

use std::collections::{BTreeMap, VecDeque};

use crate::protocol::api::Bound;
use crate::protocol::membership::Peer;
use crate::wire::lists::RecordKey;
use crate::wire::{Cookie, NameHash, Seq};

/// Pages of digests that answer one request.
pub(crate) const DIGEST_PAGES_MAX: usize = 8;
/// Maximum number of keys that one offer asks for: the answer is about one datagram.
pub(crate) const WANTS_MAX: usize = 24;
/// Offers in flight.
const OFFERS_MAX: usize = 2;
/// Chains of pulls by which a fresh view is filled.
const CHAINS: usize = 2;
/// A request is repeated this often before the exchange is given up.
pub(super) const TRIES_MAX: u32 = 12;
/// Exchanges that run at the same time …
const EXCHANGES_MAX: usize = 4;
/// … and besides, those that a join waits for, one for each join.
const URGENT_MAX: usize = 64;
/// Maximum number of records that wait for their turn in one exchange, while requests and probes wait for their
/// answers.
const BACKLOG_MAX: usize = 65_536;
/// Maximum number of pages of digests that one exchange takes, more than the largest view fills: a peer that sends
/// still more does not mean to end, and is given up like one that does not answer.
const COVERED_MAX: usize = 16_384;

/// Something that was asked for and has not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SyncRequest {
    BucketDigest { from: NameHash },
    Offer { wants: Vec<RecordKey>, records: Vec<NameHash> },
    Pull { from: NameHash, until: NameHash },
}

/// One running exchange, on the asker's side.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) peer: Peer,
    pub(crate) cookie: Cookie,
    pending: BTreeMap<Seq, SyncRequest>,
    /// Requests that wait for a place in flight.
    queue: VecDeque<SyncRequest>,
    wants: VecDeque<RecordKey>,
    offers: VecDeque<NameHash>,
    /// Pages of digests that have come: where each begins and the next one begins.
    covered: BTreeMap<NameHash, NameHash>,
    /// How many have come since the last request for some.
    pages: usize,
    /// Whether it has taught us anything.
    pub(crate) changed: bool,
    /// Whether the peer has filled our view.
    pub(crate) filled: bool,
}

/// How far pages of digests reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All that differs is covered.
    End,
    /// The first gap begins here.
    At(NameHash),
}

/// Names an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ExchangeId(pub(super) u64);

/// All running exchanges of this member as asker.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    next: u64,
    by_id: BTreeMap<ExchangeId, Exchange>,
}

impl Exchanges {
    /// Begins to compare views with a peer. `None` if one with that peer runs already, or too many do; more may if it
    /// is `urgent`.
    pub(crate) fn begin_comparison(
        &mut self,
        peer: Peer,
        cookie: Cookie,
        urgent: bool,
    ) -> Option<ExchangeId> {
        self.begin(peer, cookie, [SyncRequest::BucketDigest { from: NameHash(0) }].into(), urgent)
    }

    /// Begins to be filled by a peer. `None` for the same reasons.
    pub(crate) fn begin_fill(&mut self, peer: Peer, cookie: Cookie, urgent: bool) -> Option<ExchangeId> {
        let id = self.begin(peer, cookie, chains(NameHash(0)), urgent)?;
        if let Some(exchange) = self.by_id.get_mut(&id) {
            exchange.filled = true;
        }
        Some(id)
    }

    fn begin(
        &mut self,
        peer: Peer,
        cookie: Cookie,
        queue: VecDeque<SyncRequest>,
        urgent: bool,
    ) -> Option<ExchangeId> {
        let max = if urgent { EXCHANGES_MAX + URGENT_MAX } else { EXCHANGES_MAX };
        if self.with(peer.name).is_some() || self.by_id.len() >= max {
            return None;
        }
        let id = ExchangeId(self.next);
        self.next += 1;
        let exchange = Exchange {
            peer,
            cookie,
            pending: BTreeMap::new(),
            queue,
            wants: VecDeque::new(),
            offers: VecDeque::new(),
            covered: BTreeMap::new(),
            pages: 0,
            changed: false,
            filled: false,
        };
        self.by_id.insert(id, exchange);
        Some(id)
    }

    /// The next request that may be sent now.
    pub(crate) fn next_request(&mut self, id: ExchangeId) -> Option<(Peer, SyncRequest)> {
        let exchange = self.by_id.get_mut(&id)?;
        let request = exchange.next_request()?;
        if matches!(request, SyncRequest::BucketDigest { .. }) {
            exchange.pages = 0;
        }
        Some((exchange.peer, request))
    }

    /// Notes a request that is being sent.
    pub(crate) fn sent(&mut self, id: ExchangeId, seq: Seq, request: SyncRequest) {
        if let Some(exchange) = self.by_id.get_mut(&id) {
            exchange.pending.insert(seq, request);
        }
    }

    /// A request as it is to be sent again: for what has not come yet.
    pub(crate) fn again(&mut self, id: ExchangeId, seq: Seq) -> Option<SyncRequest> {
        let exchange = self.by_id.get_mut(&id)?;
        let reach = exchange.reach();
        let request = exchange.pending.get_mut(&seq)?;
        if let (SyncRequest::BucketDigest { from }, Reach::At(gap)) = (&mut *request, reach) {
            *from = gap;
        }
        Some(request.clone())
    }

    /// A request that has not been answered for good.
    pub(crate) fn pending(&self, id: ExchangeId, seq: Seq) -> Option<&SyncRequest> {
        self.by_id.get(&id)?.pending.get(&seq)
    }

    /// A request is answered for good.
    pub(crate) fn close(&mut self, id: ExchangeId, seq: Seq) {
        if let Some(exchange) = self.by_id.get_mut(&id) {
            exchange.pending.remove(&seq);
        }
    }

    /// The peer gives us a cookie. False if it is the one that we have.
    pub(crate) fn challenged(&mut self, id: ExchangeId, cookie: Cookie) -> bool {
        let exchange = self.by_id.get_mut(&id);
        exchange.is_some_and(|exchange| std::mem::replace(&mut exchange.cookie, cookie) != cookie)
    }

    /// A page of digests has come. True if it is new, and one that is taken.
    pub(crate) fn covered(&mut self, id: ExchangeId, from: NameHash, next: NameHash) -> bool {
        let Some(exchange) = self.by_id.get_mut(&id) else {
            return false;
        };
        if exchange.covered.len() >= COVERED_MAX {
            return false;
        }
        let new = exchange.covered.insert(from, next).is_none();
        exchange.pages += usize::from(new);
        new
    }

    /// How far the pages of digests reach without a gap.
    pub(crate) fn reach(&self, id: ExchangeId) -> Reach {
        self.by_id.get(&id).map_or(Reach::End, Exchange::reach)
    }

    /// Whether as many pages have come as one request is answered with.
    pub(crate) fn has_whole_answer(&self, id: ExchangeId) -> bool {
        self.by_id.get(&id).is_some_and(|exchange| exchange.pages >= DIGEST_PAGES_MAX)
    }

    /// Adds what is to be offered and asked for.
    pub(crate) fn differ(
        &mut self,
        id: ExchangeId,
        wants: impl IntoIterator<Item = RecordKey>,
        offers: impl IntoIterator<Item = NameHash>,
    ) {
        if let Some(exchange) = self.by_id.get_mut(&id) {
            exchange.wants.extend(wants);
            exchange.wants.truncate(BACKLOG_MAX);
            exchange.offers.extend(offers);
            exchange.offers.truncate(BACKLOG_MAX);
        }
    }

    /// Some records of an offer found no room in its datagram: they go with the next one.
    pub(crate) fn offer_rest(&mut self, id: ExchangeId, seq: Seq, sent: usize) {
        if let Some(exchange) = self.by_id.get_mut(&id)
            && let Some(SyncRequest::Offer { records, .. }) = exchange.pending.get_mut(&seq)
        {
            for record in records.drain(sent.min(records.len())..).rev() {
                exchange.offers.push_front(record);
            }
        }
    }

    /// Adds a request.
    pub(crate) fn continue_with(&mut self, id: ExchangeId, request: SyncRequest) {
        if let Some(exchange) = self.by_id.get_mut(&id) {
            exchange.queue.push_back(request);
        }
    }

    /// The peer fills us instead: pulls from a name hash on.
    pub(crate) fn fill_from(&mut self, id: ExchangeId, from: NameHash) {
        if let Some(exchange) = self.by_id.get_mut(&id) {
            exchange.filled = true;
            exchange.queue.extend(chains(from));
        }
    }

    /// Whether nothing is left to ask.
    pub(crate) fn is_done(&self, id: ExchangeId) -> bool {
        self.by_id.get(&id).is_none_or(|exchange| {
            exchange.pending.is_empty()
                && exchange.queue.is_empty()
                && exchange.wants.is_empty()
                && exchange.offers.is_empty()
        })
    }

    /// Ends an exchange. Answers also the numbers of its requests.
    pub(crate) fn end(&mut self, id: ExchangeId) -> Option<(Exchange, Vec<Seq>)> {
        let exchange = self.by_id.remove(&id)?;
        let seqs = exchange.pending.keys().copied().collect();
        Some((exchange, seqs))
    }

    pub(crate) fn get(&self, id: ExchangeId) -> Option<&Exchange> {
        self.by_id.get(&id)
    }

    /// Notes that an exchange has taught us something.
    pub(crate) fn set_changed(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.by_id.get_mut(&id) {
            exchange.changed = true;
        }
    }

    /// The exchange that runs with a peer.
    pub(crate) fn with(&self, name: NameHash) -> Option<ExchangeId> {
        self.by_id.iter().find(|(_, exchange)| exchange.peer.name == name).map(|(id, _)| *id)
    }

    /// How many requests wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.by_id.values().map(|exchange| exchange.pending.len()).sum()
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "exchanges", count: self.by_id.len(), max: EXCHANGES_MAX + URGENT_MAX }
    }
}

impl Exchange {
    fn next_request(&mut self) -> Option<SyncRequest> {
        if let Some(request) = self.queue.pop_front() {
            return Some(request);
        }
        let offers = self.pending.values().filter(|request| matches!(request, SyncRequest::Offer { .. }));
        if offers.count() >= OFFERS_MAX || (self.wants.is_empty() && self.offers.is_empty()) {
            return None;
        }
        // The records that find no room in the datagram come back by `offer_rest`.
        let wants = self.wants.drain(..self.wants.len().min(WANTS_MAX)).collect();
        let records = self.offers.drain(..self.offers.len().min(WANTS_MAX * 2)).collect();
        Some(SyncRequest::Offer { wants, records })
    }

    fn reach(&self) -> Reach {
        let mut at = NameHash(0);
        while let Some(next) = self.covered.get(&at) {
            // Pages go forward, or their chain has an end.
            if *next <= at {
                return Reach::End;
            }
            at = *next;
        }
        Reach::At(at)
    }
}

/// The ranges in which a fresh view is pulled at the same time.
fn chains(from: NameHash) -> VecDeque<SyncRequest> {
    let step = (u64::MAX - from.0) / CHAINS as u64;
    if step == 0 {
        return [SyncRequest::Pull { from, until: NameHash(0) }].into();
    }
    (0..CHAINS as u64)
        .map(|chain| SyncRequest::Pull {
            from: NameHash(from.0 + chain * step),
            until: NameHash(if chain + 1 == CHAINS as u64 { 0 } else { from.0 + (chain + 1) * step }),
        })
        .collect()
}
