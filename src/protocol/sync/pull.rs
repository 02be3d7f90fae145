//! Pulling: what others have of states and broadcasts and this member lacks, and the requests for it.
//!
//! A record says how far its sender has come with the node's state and broadcasts, and so does every delta. A member
//! that hears of more than it has notes it here. What is missing often comes by itself a moment later, by another
//! way; if it does not, the peer that has it is asked. One request has one answer of one datagram, which brings first
//! what is most behind. The asker asks again as long as answers bring something. What can not be had is forgotten:
//! comparing views finds it again.
//!
//! A request asks for as many items as have room in an answer, so that others are asked for side by side. What of a
//! state has no room in an answer is asked for side by side as well, stretch by stretch, since the answer says where
//! to cut it. One more request may be under way after each answer, and half as many when an answer has not come in
//! time (as in Chiu and Jain, 1989).
//!
//! A request is repeated until it is answered, or its peer is gone. Once an answer is late, another peer that has the
//! items may be asked as well.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::core::requests::RequestKind;
use crate::protocol::core::{Context, Core};
use crate::protocol::membership::Peer;
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::body::Fetch;
use crate::wire::lists::{Lack, Lacks};
use crate::wire::{Body, Cookie, NameHash, Seq};

/// Items that one request asks for.
const ITEMS_MAX: usize = 16;
/// Requests to one peer that are under way at the same time: at first and at least …
const WINDOW_MIN: usize = 4;
/// … and at most. The answers have to find room in a receive buffer.
const WINDOW_MAX: usize = 32;
/// Requests that are under way at the same time.
const REQUESTS_MAX: usize = 64;
/// A request is repeated this often before it is given up.
const TRIES_MAX: u32 = 10;
/// Items that may be lacking at the same time: of twice as many nodes as a view usually holds at most.
const MISSING_MAX: usize = 65_536;

/// What can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// Writes of a node's state.
    State(NameHash),
    /// Broadcasts of a node.
    Broadcasts(NameHash),
    /// Which of the writes that we hold of a node's state still stand.
    Standing(NameHash),
    /// The writes of a node's state between two versions.
    Stretch(NameHash, u64, u64),
}

impl Item {
    /// The node whose state it is a part of.
    pub(crate) fn state(self) -> Option<NameHash> {
        match self {
            Self::State(name) | Self::Standing(name) | Self::Stretch(name, ..) => Some(name),
            Self::Broadcasts(_) => None,
        }
    }

    /// Whether it is the first of what is missing of its kind.
    fn is_first(self) -> bool {
        matches!(self, Self::State(_) | Self::Broadcasts(_))
    }
}

/// One item that is missing.
#[derive(Debug, Clone, Copy)]
struct Missing {
    generation: Generation,
    /// How far the teller has it.
    upto: u64,
    teller: NameHash,
    asked: bool,
    /// The answer should have come.
    is_late: bool,
}

/// A request that is under way.
#[derive(Debug, Clone)]
pub(crate) struct PullRequest {
    pub(crate) peer: Peer,
    /// What it asks for, and how far we had it when it was made.
    pub(crate) items: Vec<(Item, u64)>,
}

/// A request whose answer is being read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pulled {
    seq: Seq,
}

/// A request that is over.
#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) peer: NameHash,
    /// The nodes of whose states its answer has brought something.
    pub(crate) brought: Vec<NameHash>,
}

/// All that is lacking, and all requests.
#[derive(Debug)]
pub(crate) struct Pulls {
    missing: BTreeMap<Item, Missing>,
    requests: BTreeMap<Seq, PullRequest>,
    /// When peers are to be asked.
    asks: Deadlines<NameHash>,
    retry: Duration,
    /// Number of items that the next request asks for.
    bundle: usize,
    /// Requests to one peer that may be under way at the same time …
    window: usize,
    /// … and when that was made less last.
    narrowed: Option<Instant>,
}

impl Pulls {
    /// `retry`: how long what is lacking may come by itself, and the shortest pause before a request is repeated.
    pub(crate) fn new(retry: Duration) -> Self {
        Self {
            missing: BTreeMap::new(),
            requests: BTreeMap::new(),
            asks: Deadlines::new(),
            retry,
            bundle: ITEMS_MAX,
            window: WINDOW_MIN,
            narrowed: None,
        }
    }

    /// A peer has an item up to here, and we do not. `at_once`: it will not come by itself.
    pub(crate) fn lacks(
        &mut self,
        now: Instant,
        item: Item,
        generation: Generation,
        upto: u64,
        teller: NameHash,
        at_once: bool,
    ) {
        let has_room = self.missing.len() < MISSING_MAX;
        let news = Missing { generation, upto, teller, asked: false, is_late: false };
        match self.missing.get_mut(&item) {
            Some(held) if held.is_late && held.teller != teller => *held = news,
            Some(held) if held.generation == generation && held.asked => {
                held.upto = held.upto.max(upto);
                return;
            }
            Some(held) if held.generation == generation && held.upto > upto => {}
            Some(held) => *held = news,
            None if has_room => {
                self.missing.insert(item, news);
            }
            None => return,
        }
        let at = if at_once { now } else { now + self.retry };
        let teller = self.missing.get(&item).map_or(teller, |missing| missing.teller);
        self.asks.set_earliest(teller, at);
    }

    /// A teller is gone: what it had is not to be had there.
    pub(crate) fn forget_teller(&mut self, teller: NameHash) {
        self.missing.retain(|_, missing| missing.asked || missing.teller != teller);
    }

    /// A peer is gone: what it had can be asked of others.
    pub(crate) fn abandon(&mut self, core: &mut Core, now: Instant, peer: NameHash) {
        self.requests.retain(|seq, request| {
            let stays = request.peer.name != peer;
            if !stays {
                core.requests.end(now, *seq, false);
            }
            stays
        });
        self.missing.retain(|_, missing| missing.teller != peer);
    }

    /// Whether a request for it is under way.
    pub(crate) fn is_asked(&self, item: Item) -> bool {
        self.missing.get(&item).is_some_and(|missing| missing.asked)
    }

    /// Whether anything is to be had, or has been asked for, from a peer, besides what had no room in a first answer.
    pub(crate) fn is_asking(&self, peer: NameHash) -> bool {
        let mut first = self.missing.iter().take_while(|(item, _)| item.is_first());
        first.any(|(item, missing)| missing.teller == peer && !self.waits_for_parts(*item))
    }

    /// What a peer may be asked for now, as far as `held` says that it is lacking still: the item, its run, and how
    /// far we have it.
    pub(crate) fn next_items(
        &mut self,
        now: Instant,
        peer: NameHash,
        held: impl Fn(Item, Generation) -> Option<u64>,
    ) -> Vec<(Item, u64)> {
        let running = self.requests.values().filter(|request| request.peer.name == peer).count();
        if running >= self.window || self.requests.len() >= REQUESTS_MAX {
            self.asks.set_earliest(peer, now + self.retry);
            return Vec::new();
        }
        // Only as many are looked at as are needed: a joiner lacks the states of all nodes.
        let (mut items, mut had) = (Vec::new(), Vec::new());
        for (item, missing) in &self.missing {
            // A stretch fills an answer.
            let is_full = !items.is_empty() && matches!(item, Item::Stretch(..));
            if items.len() == self.bundle || is_full {
                break;
            }
            if missing.teller != peer || missing.asked || self.waits_for_parts(*item) {
                continue;
            }
            match held(*item, missing.generation).filter(|held| *held < missing.upto) {
                Some(held) => items.push((*item, held)),
                None => had.push(*item),
            }
        }
        for item in had {
            self.missing.remove(&item);
        }
        for (item, _) in &items {
            if let Some(missing) = self.missing.get_mut(item) {
                missing.asked = true;
            }
        }
        items
    }

    /// Whether parts of a state are missing that come before the rest of it.
    fn waits_for_parts(&self, item: Item) -> bool {
        let Item::State(name) = item else {
            return false;
        };
        let stretches = Item::Stretch(name, 0, 0)..=Item::Stretch(name, u64::MAX, u64::MAX);
        self.missing.contains_key(&Item::Standing(name)) || self.missing.range(stretches).next().is_some()
    }

    /// A peer that is to be asked now.
    pub(crate) fn next_to_ask(&mut self, now: Instant) -> Option<NameHash> {
        self.asks.pop_due(now)
    }

    /// A request that has been sent so often, and not been answered: it is given up. Nothing of what it asked for is to
    /// be had there.
    pub(crate) fn give_up(
        &mut self,
        core: &mut Core,
        now: Instant,
        seq: Seq,
        tries: u32,
    ) -> Option<PullRequest> {
        let peer = self.requests.get(&seq)?.peer.name;
        if tries < TRIES_MAX && core.speaker(peer).is_some() {
            self.narrow(core, now, peer);
            for (item, _) in &self.requests.get(&seq)?.items {
                if let Some(missing) = self.missing.get_mut(item).filter(|missing| missing.teller == peer) {
                    missing.is_late = true;
                }
            }
            return None;
        }
        core.requests.end(now, seq, false);
        let request = self.requests.remove(&seq)?;
        for (item, _) in &request.items {
            if self.missing.get(item).is_some_and(|missing| missing.teller == peer) {
                self.missing.remove(item);
            }
        }
        Some(request)
    }

    /// A request is over: what it asked for, of which `held` says how far we have it now, is had, or asked for again
    /// if the answer has brought anything, or given up. What the answer has not brought may have had no room in it.
    pub(crate) fn close(
        &mut self,
        core: &mut Core,
        now: Instant,
        pulled: &Pulled,
        held: impl Fn(&Core, Item) -> u64,
    ) -> Option<Closed> {
        core.requests.end(now, pulled.seq, true);
        let request = self.requests.remove(&pulled.seq)?;
        self.window = (self.window + 1).min(WINDOW_MAX);
        let is_brought =
            |(item, before): &&(Item, u64)| held(core, *item) > *before || self.waits_for_parts(*item);
        let brought: Vec<Item> = request.items.iter().filter(is_brought).map(|(item, _)| *item).collect();
        let leads_on = !brought.is_empty();
        // What had no room in an answer has it in those to other requests, which need not wait for this one.
        self.bundle = if brought.len() == request.items.len() { self.bundle * 2 } else { brought.len() }
            .clamp(1, ITEMS_MAX);
        for (item, _) in request.items {
            match self.missing.get_mut(&item) {
                Some(missing) if missing.teller != request.peer.name && held(core, item) < missing.upto => {}
                Some(missing) if leads_on && held(core, item) < missing.upto => {
                    (missing.asked, missing.is_late) = (false, false);
                }
                _ => {
                    self.missing.remove(&item);
                }
            }
        }
        let peer = request.peer.name;
        self.asks.set(peer, now);
        Some(Closed { peer, brought: brought.into_iter().filter_map(Item::state).collect() })
    }

    /// An answer has not come in time: half as many requests may be under way from now on. What is late within one round
    /// trip counts once.
    fn narrow(&mut self, core: &Core, now: Instant, peer: NameHash) {
        let pause = core.requests.usual_round_trip(peer).unwrap_or_default().max(self.retry);
        if self.narrowed.is_none_or(|narrowed| now.since(narrowed) > pause) {
            self.window = (self.window / 2).max(WINDOW_MIN);
            self.narrowed = Some(now);
        }
    }

    /// Asks a peer for what it has and we lack, as far as `held` says so still: how far we have an item, if that is of
    /// this run. `lack`: how it is asked for.
    pub(crate) fn ask(
        &mut self,
        core: &mut Core,
        now: Instant,
        peer: Peer,
        held: impl Fn(&Core, Item, Generation) -> Option<u64>,
        lack: impl Fn(&Core, Item) -> Option<Lack>,
    ) {
        loop {
            let items = self.next_items(now, peer.name, |item, run| held(core, item, run));
            if items.is_empty() {
                return;
            }
            let seq = core.request(now, RequestKind::Pull, 0, peer, Some(self.retry));
            self.requests.insert(seq, PullRequest { peer, items });
            self.send(core, now, seq, &lack);
        }
    }

    /// Sends a request, with what we have now.
    pub(crate) fn send(
        &self,
        core: &mut Core,
        now: Instant,
        seq: Seq,
        lack: impl Fn(&Core, Item) -> Option<Lack>,
    ) {
        let Some(request) = self.requests.get(&seq) else {
            return;
        };
        let peer = request.peer;
        let lacks: Vec<Lack> = request.items.iter().filter_map(|(item, _)| lack(core, *item)).collect();
        let mut bytes = Vec::with_capacity(lacks.len() * Lack::SIZE_MAX);
        let lacks = Lacks::encode(&lacks, &mut bytes);
        let cookie = core.given.get(peer.name).unwrap_or_default();
        let mut datagram = core.datagram_to(peer.run());
        if datagram.push(&Body::Fetch(Fetch { seq, cookie, lacks })) {
            core.transmit(now, peer.addr, datagram);
        }
    }

    /// A peer wants a fresh cookie. Answers whether the request is to be sent again.
    pub(crate) fn handle_challenge(&self, core: &mut Core, seq: Seq, cookie: Cookie) -> bool {
        let peer = self.requests.get(&seq).map(|request| request.peer.name);
        let Some(peer) = peer.filter(|peer| core.given.get(*peer) != Some(cookie)) else {
            return false;
        };
        core.given.remember(peer, cookie);
        true
    }

    /// A request of ours is answered; what it brings follows in the same datagram. None if nobody waits for it.
    pub(crate) fn handle_fetched(&self, core: &mut Core, context: &mut Context, seq: Seq) -> Option<Pulled> {
        core.answered(context, seq, &[RequestKind::Pull]).map(|_| Pulled { seq })
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.asks.next()
    }

    pub(crate) fn bounds(&self) -> [Bound; 2] {
        [
            Bound { what: "lacking items", count: self.missing.len(), max: MISSING_MAX },
            Bound { what: "fetch requests", count: self.requests.len(), max: REQUESTS_MAX },
        ]
    }

    /// How many requests wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.requests.len()
    }
}

#[cfg(test)]
mod tests;
