//! Fetching: what others have told us that they have and we lack, and the requests for it.
//!
//! A record tells how far its teller has come with the node's state and broadcasts, and so does every delta. Who
//! hears of more than he has notes it here. What is lacking often comes by itself a moment later, by another way; if
//! it does not, the teller is asked. One request, one answer of one datagram, which brings first what is most behind;
//! the asker asks again as long as that leads on. What can not be had is forgotten: comparing views finds it again.
//!
//! A request asks for as many items as have room in an answer, so that the others are asked for side by side. It is
//! repeated when the answer should have come; if two answers come, that was too early (the Eifel algorithm, RFC 3522).
//! Who is slow would be sent everyitem several times otherwise, and be slower for it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::core::{Context, Core};
use crate::protocol::membership::Peer;
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::body::Fetch;
use crate::wire::lists::{Lack, Lacks};
use crate::wire::{Body, Cookie, NameHash, Seq};

/// Items that one request asks for.
const ITEMS_MAX: usize = 16;
/// Requests to one peer that are under way at the same time.
const REQUESTS_PER_PEER: usize = 4;
/// Requests that are under way at the same time.
const REQUESTS_MAX: usize = 64;
/// A request is repeated this often before it is given up.
const TRIES_MAX: u32 = 6;
/// Items that may be lacking at the same time: of twice as many nodes as a view usually holds at most.
const MISSING_MAX: usize = 65_536;

/// Answers have at the most so many times the pause that they have at first.
const PAUSES_MAX: u32 = 16;

/// What can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// Writes of a node's state.
    State(NameHash),
    /// Broadcasts of a node.
    Broadcasts(NameHash),
}

/// One item that is missing.
#[derive(Debug, Clone, Copy)]
struct Missing {
    generation: Generation,
    /// How far the teller has it.
    upto: u64,
    teller: NameHash,
    asked: bool,
}

/// A request that is under way.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) peer: Peer,
    /// What it asks for, and how far we had it when it was made.
    pub(crate) items: Vec<(Item, u64)>,
    begun: Instant,
    tries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Ask(NameHash),
    Again(Seq),
}

/// What is due.
#[derive(Debug)]
pub(crate) enum Due {
    /// This peer is to be asked.
    Ask(NameHash),
    /// This request is to be sent again.
    Again(Seq),
    /// This request was not answered: it is over.
    GivenUp(Request),
}

/// All that is lacking, and all requests.
#[derive(Debug)]
pub(crate) struct Pulls {
    missing: BTreeMap<Item, Missing>,
    requests: BTreeMap<Seq, Request>,
    deadlines: Deadlines<Wake>,
    retry: Duration,
    /// How long answers take, smoothed.
    usual: Duration,
    /// Requests that were repeated and answered, and after what time: a second answer tells that the first one was to
    /// the first try.
    repeated: VecDeque<(Seq, Duration)>,
    /// So many items the next request asks for.
    bundle: usize,
}

impl Pulls {
    /// `retry`: how long what is lacking may come by itself, and the pause before a request is repeated the first
    /// time; later ones are up to four times that.
    pub(crate) fn new(retry: Duration) -> Self {
        Self {
            missing: BTreeMap::new(),
            requests: BTreeMap::new(),
            deadlines: Deadlines::new(),
            retry,
            usual: Duration::ZERO,
            repeated: VecDeque::new(),
            bundle: ITEMS_MAX,
        }
    }

    /// Somebody has a item up to here, and we do not. `at_once`: it will not come by itself.
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
        let news = Missing { generation, upto, teller, asked: false };
        match self.missing.get_mut(&item) {
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
        self.deadlines.set_earliest(Wake::Ask(teller), at);
    }

    /// A teller is gone: what it had is not to be had there.
    pub(crate) fn forget_teller(&mut self, teller: NameHash) {
        self.missing.retain(|_, missing| missing.asked || missing.teller != teller);
    }

    /// Whether a request for it is under way.
    pub(crate) fn is_asked(&self, item: Item) -> bool {
        self.missing.get(&item).is_some_and(|missing| missing.asked)
    }

    /// Whether anything is to be had, or has been asked for, from a peer.
    pub(crate) fn is_asking(&self, peer: NameHash) -> bool {
        self.missing.values().any(|missing| missing.teller == peer)
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
        if running >= REQUESTS_PER_PEER || self.requests.len() >= REQUESTS_MAX {
            self.deadlines.set_earliest(Wake::Ask(peer), now + self.retry);
            return Vec::new();
        }
        // Only as many are looked at as are needed: a joiner lacks the states of all nodes.
        let (mut items, mut had) = (Vec::new(), Vec::new());
        for (item, missing) in &mut self.missing {
            if items.len() == self.bundle {
                break;
            }
            if missing.teller == peer && !missing.asked {
                match held(*item, missing.generation).filter(|held| *held < missing.upto) {
                    Some(held) => {
                        missing.asked = true;
                        items.push((*item, held));
                    }
                    None => had.push(*item),
                }
            }
        }
        for item in had {
            self.missing.remove(&item);
        }
        items
    }

    /// Notes a request that is being sent.
    pub(crate) fn begin(&mut self, now: Instant, seq: Seq, peer: Peer, items: Vec<(Item, u64)>) {
        self.requests.insert(seq, Request { peer, items, begun: now, tries: 1 });
        self.deadlines.set(Wake::Again(seq), now + self.pause());
    }

    /// How long the answer to a request is waited for at first.
    fn pause(&self) -> Duration {
        (self.usual * 2).clamp(self.retry, self.retry * PAUSES_MAX)
    }

    /// What is due now.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        let pause = self.pause();
        loop {
            match self.deadlines.pop_due(now)? {
                Wake::Ask(peer) => return Some(Due::Ask(peer)),
                Wake::Again(seq) => {
                    let Some(request) = self.requests.get_mut(&seq) else {
                        continue;
                    };
                    if request.tries >= TRIES_MAX {
                        return self.end(seq).map(Due::GivenUp);
                    }
                    let wait = pause * 2_u32.pow(request.tries.min(2));
                    request.tries += 1;
                    self.deadlines.set(Wake::Again(seq), now + wait);
                    return Some(Due::Again(seq));
                }
            }
        }
    }

    /// The request that an answer with this number from this address is for.
    pub(crate) fn answered(&self, seq: Seq, from: SocketAddr) -> Option<&Request> {
        self.requests.get(&seq).filter(|request| request.peer.addr == from)
    }

    /// A request is over: what it asked for, of which `held` says how far we have it now, is had, or asked for again
    /// if the answer has brought anything, or given up. What the answer has not brought may have had no room in it.
    pub(crate) fn close(&mut self, now: Instant, seq: Seq, held: impl Fn(Item) -> u64) {
        let Some(request) = self.end(seq) else {
            return;
        };
        let took = now.since(request.begun);
        if request.tries == 1 {
            self.note_time(took);
        } else {
            self.repeated.push_back((seq, took));
            if self.repeated.len() > REQUESTS_MAX {
                self.repeated.pop_front();
            }
        }
        let brought = request.items.iter().filter(|(item, before)| held(*item) > *before).count();
        let leads_on = brought > 0;
        // What had no room in an answer has it in those to other requests, which need not wait for this one.
        self.bundle =
            if brought == request.items.len() { self.bundle * 2 } else { brought }.clamp(1, ITEMS_MAX);
        for (item, _) in request.items {
            match self.missing.get_mut(&item) {
                Some(missing) if leads_on && held(item) < missing.upto => missing.asked = false,
                _ => {
                    self.missing.remove(&item);
                }
            }
        }
        self.deadlines.set(Wake::Ask(request.peer.name), now);
    }

    /// An answer came that nobody waits for: if it is a second one, its request was repeated too early.
    pub(crate) fn answered_again(&mut self, seq: Seq) {
        if let Some(place) = self.repeated.iter().position(|(repeated, _)| *repeated == seq)
            && let Some((_, took)) = self.repeated.remove(place)
        {
            self.note_time(took);
        }
    }

    fn note_time(&mut self, took: Duration) {
        self.usual = (self.usual * 7 + took) / 8;
    }

    /// A request was not answered: what it asked for is not to be had there.
    pub(crate) fn forget(&mut self, request: &Request) {
        for (item, _) in &request.items {
            self.missing.remove(item);
        }
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Request> {
        self.requests.get(&seq)
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
            let seq = core.fresh_seq();
            self.begin(now, seq, peer, items);
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
        let mut datagram = core.datagram_to(peer.generation);
        if datagram.push(&Body::Fetch(Fetch { seq, cookie, lacks })) {
            core.transmit(now, peer.addr, datagram);
        }
    }

    /// A peer wants a fresh cookie. None if nothing was asked of it under this number; else whether the request is to
    /// be sent again.
    pub(crate) fn handle_challenge(
        &self,
        core: &mut Core,
        context: &mut Context,
        seq: Seq,
        cookie: Cookie,
    ) -> Option<bool> {
        let peer = self.answered(seq, context.from)?.peer.name;
        core.note_answer(context);
        let is_new = core.given.get(peer) != Some(cookie);
        if is_new {
            core.given.remember(peer, cookie);
        }
        Some(is_new)
    }

    /// A request of ours is answered; what it brings follows in the same datagram. False if nobody waits for it.
    pub(crate) fn handle_fetched(&mut self, core: &mut Core, context: &mut Context, seq: Seq) -> bool {
        if self.answered(seq, context.from).is_none() {
            self.answered_again(seq);
            core.metrics.unexpected_answers += 1;
            return false;
        }
        core.note_answer(context);
        true
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(crate) fn bounds(&self) -> [Bound; 2] {
        [
            Bound { what: "lacking items", count: self.missing.len(), max: MISSING_MAX },
            Bound { what: "fetch requests", count: self.requests.len(), max: REQUESTS_MAX },
        ]
    }

    fn end(&mut self, seq: Seq) -> Option<Request> {
        self.deadlines.cancel(Wake::Again(seq));
        self.requests.remove(&seq)
    }
}
