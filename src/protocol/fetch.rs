//! Fetching: what others have told us that they have and we lack, and the requests for it.
//!
//! A record tells how far its teller has come with the node's state and broadcasts, and so does every delta. Who
//! hears of more than he has notes it here. What is lacking often comes by itself a moment later, by another way; if
//! it does not, the teller is asked. One request, one answer of one datagram, which brings first what is most behind;
//! the asker asks again as long as that leads on. What can not be had is forgotten: comparing views finds it again.
//!
//! A request asks for as many things as have room in an answer, so that the others are asked for side by side. It is
//! repeated when the answer should have come; if two answers come, that was too early (the Eifel algorithm, RFC 3522).
//! Who is slow would be sent everything several times otherwise, and be slower for it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::contract::Bound;
use super::sync::Peer;
use super::time::{Deadlines, Instant};
use crate::node::Generation;
use crate::wire::{NameHash, Seq};

/// Things that one request asks for.
const THINGS_MAX: usize = 16;
/// Requests to one peer that are under way at the same time.
const REQUESTS_PER_PEER: usize = 4;
/// Requests that are under way at the same time.
const REQUESTS_MAX: usize = 64;
/// A request is repeated this often before it is given up.
const TRIES_MAX: u32 = 6;
/// Things that may be lacking at the same time: of twice as many nodes as a view usually holds at most.
const LACKING_MAX: usize = 65_536;

/// Answers have at the most so many times the pause that they have at first.
const PAUSES_MAX: u32 = 16;

/// What can be lacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing {
    /// Writes of a node's state.
    State(NameHash),
    /// Broadcasts of a node.
    Broadcasts(NameHash),
}

/// One thing that is lacking.
#[derive(Debug, Clone, Copy)]
struct Lacking {
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
    pub(crate) things: Vec<(Thing, u64)>,
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
pub(crate) struct Fetches {
    lacking: BTreeMap<Thing, Lacking>,
    requests: BTreeMap<Seq, Request>,
    deadlines: Deadlines<Wake>,
    retry: Duration,
    /// How long answers take, smoothed.
    usual: Duration,
    /// Requests that were repeated and answered, and after what time: a second answer tells that the first one was to
    /// the first try.
    repeated: VecDeque<(Seq, Duration)>,
    /// So many things the next request asks for.
    bundle: usize,
}

impl Fetches {
    /// `retry`: how long what is lacking may come by itself, and the pause before a request is repeated the first
    /// time; later ones are up to four times that.
    pub(crate) fn new(retry: Duration) -> Self {
        Self {
            lacking: BTreeMap::new(),
            requests: BTreeMap::new(),
            deadlines: Deadlines::new(),
            retry,
            usual: Duration::ZERO,
            repeated: VecDeque::new(),
            bundle: THINGS_MAX,
        }
    }

    /// Somebody has a thing up to here, and we do not. `at_once`: it will not come by itself.
    pub(crate) fn lack(
        &mut self,
        now: Instant,
        thing: Thing,
        generation: Generation,
        upto: u64,
        teller: NameHash,
        at_once: bool,
    ) {
        let has_room = self.lacking.len() < LACKING_MAX;
        let news = Lacking { generation, upto, teller, asked: false };
        match self.lacking.get_mut(&thing) {
            Some(held) if held.generation == generation && held.asked => {
                held.upto = held.upto.max(upto);
                return;
            }
            Some(held) if held.generation == generation && held.upto > upto => {}
            Some(held) => *held = news,
            None if has_room => {
                self.lacking.insert(thing, news);
            }
            None => return,
        }
        let at = if at_once { now } else { now + self.retry };
        let teller = self.lacking.get(&thing).map_or(teller, |lacking| lacking.teller);
        self.deadlines.set_earliest(Wake::Ask(teller), at);
    }

    /// A teller is gone: what it had is not to be had there.
    pub(crate) fn forget_teller(&mut self, teller: NameHash) {
        self.lacking.retain(|_, lacking| lacking.asked || lacking.teller != teller);
    }

    /// Whether a request for it is under way.
    pub(crate) fn is_asked(&self, thing: Thing) -> bool {
        self.lacking.get(&thing).is_some_and(|lacking| lacking.asked)
    }

    /// Whether anything is to be had, or has been asked for, from a peer.
    pub(crate) fn is_asking(&self, peer: NameHash) -> bool {
        self.lacking.values().any(|lacking| lacking.teller == peer)
    }

    /// What a peer may be asked for now, as far as `held` says that it is lacking still: the thing, its run, and how
    /// far we have it.
    pub(crate) fn next_things(
        &mut self,
        now: Instant,
        peer: NameHash,
        held: impl Fn(Thing, Generation) -> Option<u64>,
    ) -> Vec<(Thing, u64)> {
        let running = self.requests.values().filter(|request| request.peer.name == peer).count();
        if running >= REQUESTS_PER_PEER || self.requests.len() >= REQUESTS_MAX {
            self.deadlines.set_earliest(Wake::Ask(peer), now + self.retry);
            return Vec::new();
        }
        // Only as many are looked at as are needed: a joiner lacks the states of all nodes.
        let (mut things, mut had) = (Vec::new(), Vec::new());
        for (thing, lacking) in &mut self.lacking {
            if things.len() == self.bundle {
                break;
            }
            if lacking.teller == peer && !lacking.asked {
                match held(*thing, lacking.generation).filter(|held| *held < lacking.upto) {
                    Some(held) => {
                        lacking.asked = true;
                        things.push((*thing, held));
                    }
                    None => had.push(*thing),
                }
            }
        }
        for thing in had {
            self.lacking.remove(&thing);
        }
        things
    }

    /// Notes a request that is being sent.
    pub(crate) fn begin(&mut self, now: Instant, seq: Seq, peer: Peer, things: Vec<(Thing, u64)>) {
        self.requests.insert(seq, Request { peer, things, begun: now, tries: 1 });
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
    pub(crate) fn close(&mut self, now: Instant, seq: Seq, held: impl Fn(Thing) -> u64) {
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
        let brought = request.things.iter().filter(|(thing, before)| held(*thing) > *before).count();
        let leads_on = brought > 0;
        // What had no room in an answer has it in those to other requests, which need not wait for this one.
        self.bundle =
            if brought == request.things.len() { self.bundle * 2 } else { brought }.clamp(1, THINGS_MAX);
        for (thing, _) in request.things {
            match self.lacking.get_mut(&thing) {
                Some(lacking) if leads_on && held(thing) < lacking.upto => lacking.asked = false,
                _ => {
                    self.lacking.remove(&thing);
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
        for (thing, _) in &request.things {
            self.lacking.remove(thing);
        }
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Request> {
        self.requests.get(&seq)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(crate) fn bounds(&self) -> [Bound; 2] {
        [
            Bound { what: "lacking things", count: self.lacking.len(), max: LACKING_MAX },
            Bound { what: "fetch requests", count: self.requests.len(), max: REQUESTS_MAX },
        ]
    }

    fn end(&mut self, seq: Seq) -> Option<Request> {
        self.deadlines.cancel(Wake::Again(seq));
        self.requests.remove(&seq)
    }
}
