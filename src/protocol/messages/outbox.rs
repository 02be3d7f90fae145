//! Messages on their way out: what is sent when, and again, until the receiver has said what became of each.
//!
//! A message is cut into fragments of one datagram each. An ack tells which of them have come (selective, as in TCP's
//! SACK), so only what is missing is sent again. Each peer has one window for all of its messages:
//!
//! | question | answer |
//! |---|---|
//! | how much may be under way? | a window in bytes: doubled each round trip at first, then by a fragment each round trip; cut to 7/10 by a loss, once each round trip; never below 32 KiB, or a quarter lost at random would leave nothing of it, and never above 128 KiB, which a small receive buffer still holds, or 256 KiB where round trips take 50 ms or longer |
//! | how much at once? | 32 KiB; the acks of these release the next |
//! | who asks for acks? | the sender: with each fourth fragment, and the last of a burst. The receiver needs no timer for it. It also acks the fragment that closes the gap below one that has asked, or the sender would take it for lost |
//! | what is lost? | a fragment that has not come, though one has that was sent later, and not within a round trip and four times its variation; time decides, not the order (as in RACK, RFC 8985), because networks reorder |
//! | what if nothing comes? | after a timeout the oldest few are sent again, and no more: the receiver may be slow, and all else on its way. Acks begin the timeout anew; it is the same time, a gossip interval at least, and doubled every second time (RFC 6298) |
//! | what starts next? | to one node messages start in the order of the calls, a bounded number at a time; the others wait. What is under way to one node is never more than what is left of the bound for all: nodes that do not answer leave room for messages to others, however many they are |
//!
//! Numbers are never used twice for one pair of runs: each fragment also tells the oldest number that is not done
//! with, and below that the receiver delivers nothing any more.

mod pace;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use pace::{Asks, LONG, Window};

use crate::node::Generation;
use crate::protocol::RequestId;
use crate::protocol::api::Bound;
use crate::protocol::core::requests::RoundTrip;
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::NameHash;
use crate::wire::body::{Fragment, FragmentAck, NUMBERS_AHEAD_MAX, Progress, fragments_of};

/// Messages to one node that are under way at the same time.
const MESSAGES_MAX: usize = 64;
/// Their bytes; one message may be longer.
const PEER_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// The bytes of all messages that are under way at the same time. The longest message has room.
const BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// What is sent at once.
const BURST_MAX: usize = 32 * 1_024;
/// Every so manieth fragment asks for an ack.
const ANSWER_EVERY: usize = 4;
/// Timeouts of the same length: a quarter lost each way loses four answers of nine.
const TIMEOUTS_EACH: u32 = 2;
/// Doublings of the timeout.
const BACKOFF_MAX: u32 = 6;
/// Fragments that are sent again at a timeout. Each asks for an ack, which then tells what else is lost.
const PROBES: usize = 4;
/// Longer round trips, in units of the longest timeout, count as this long: a process that was stopped has them.
const ROUND_TRIP_MAX: u32 = 4;

/// A message of a call.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) call: RequestId,
    pub(crate) payload: Vec<u8>,
    pub(crate) deadline: Instant,
}

/// A fragment to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    number: u64,
    index: u32,
    /// Zero: it asks for no ack.
    ask: u8,
    /// Whether it was sent before.
    pub(crate) is_again: bool,
}

/// What an ack has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acked {
    /// Nobody waits for it.
    Unexpected,
    Progress,
    Delivered(RequestId),
    Refused(RequestId),
}

/// A message that was ended before the receiver said what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) name: NameHash,
    pub(crate) call: RequestId,
    /// Whether all of it was sent: it may have been delivered.
    pub(crate) is_sent: bool,
}

/// How long to wait for acks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// While no round trip is known.
    pub(crate) first: Duration,
    /// The shortest timeout.
    pub(crate) min: Duration,
    /// The longest, unless a round trip takes longer.
    pub(crate) max: Duration,
}

/// All messages on their way out.
#[derive(Debug)]
pub(crate) struct Outbox {
    patience: Patience,
    fragment_size: u32,
    peers: BTreeMap<NameHash, Peer>,
    due: Deadlines<NameHash>,
    /// Who has messages that wait for their start.
    queued: BTreeSet<NameHash>,
    /// The length of all messages under way.
    bytes: usize,
    /// The highest number that a forgotten peer was sent: it may be met again.
    used: u64,
}

impl Outbox {
    pub(crate) fn new(patience: Patience, fragment_size: u32) -> Self {
        Self {
            patience,
            fragment_size,
            peers: BTreeMap::new(),
            due: Deadlines::new(),
            queued: BTreeSet::new(),
            bytes: 0,
            used: 0,
        }
    }

    /// Takes a message to a run of a node. It starts with [`start`](Self::start). Messages to an earlier run must
    /// have been ended.
    pub(crate) fn push(
        &mut self,
        name: NameHash,
        generation: Generation,
        rtt: Option<Duration>,
        message: Message,
    ) {
        let peer = self.peers.entry(name).or_insert_with(|| Peer::new(generation, self.used + 1, rtt));
        if peer.generation != generation {
            debug_assert!(peer.is_idle(), "messages to an earlier run are under way");
            *peer = Peer::new(generation, 1, rtt);
        }
        peer.waiting.push_back(message);
        self.queued.insert(name);
    }

    /// Starts what may start now; to whom there is more to send.
    pub(crate) fn start(&mut self) -> Vec<NameHash> {
        let mut started = Vec::new();
        for name in &self.queued {
            let Some(peer) = self.peers.get_mut(name) else {
                continue;
            };
            let before = peer.bytes;
            let had = peer.flights.len();
            peer.start_waiting(BYTES_MAX - self.bytes, self.fragment_size);
            self.bytes += peer.bytes - before;
            if peer.flights.len() > had {
                started.push(*name);
            }
        }
        self.queued.retain(|name| self.peers.get(name).is_some_and(|peer| !peer.waiting.is_empty()));
        started
    }

    /// What is to be sent to a node now.
    pub(crate) fn burst(&mut self, now: Instant, name: NameHash) -> Vec<Piece> {
        let Some(peer) = self.peers.get_mut(&name) else {
            return Vec::new();
        };
        let burst = peer.burst(now);
        self.schedule(name);
        burst
    }

    /// A piece as it is written, and the run that it is for.
    pub(crate) fn fragment(&self, name: NameHash, piece: Piece) -> Option<(Generation, Fragment<'_>)> {
        let peer = self.peers.get(&name)?;
        let flight = peer.flights.get(&piece.number)?;
        let oldest = peer.flights.keys().next()?;
        let total = length(&flight.message);
        let start = piece.index * flight.size;
        let end = start.saturating_add(flight.size).min(total);
        let fragment = Fragment {
            ask: piece.ask,
            number: piece.number,
            behind: piece.number - oldest,
            total,
            size: flight.size,
            index: piece.index,
            bytes: flight.message.payload.get(start as usize..end as usize)?,
        };
        Some((peer.generation, fragment))
    }

    /// An ack of this run of a node.
    pub(crate) fn acked(
        &mut self,
        now: Instant,
        name: NameHash,
        generation: Generation,
        ack: &FragmentAck<'_>,
    ) -> Acked {
        let peer = self.peers.get_mut(&name).filter(|peer| peer.generation == generation);
        let Some(peer) = peer.filter(|peer| peer.flights.contains_key(&ack.number)) else {
            return Acked::Unexpected;
        };
        peer.note_ack(now, ack, &self.patience);
        peer.lose(now, &self.patience);
        let call = match ack.progress {
            Progress::Receiving { .. } => None,
            Progress::Delivered | Progress::Refused(_) => peer.end(ack.number),
        };
        if let Some(message) = &call {
            self.bytes -= message.payload.len();
        }
        self.schedule(name);
        match (call, ack.progress) {
            (Some(message), Progress::Delivered) => Acked::Delivered(message.call),
            (Some(message), _) => Acked::Refused(message.call),
            (None, _) => Acked::Progress,
        }
    }

    /// Takes for lost what was not acked in time; to whom that is, and the calls whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) -> (Vec<NameHash>, Vec<RequestId>) {
        let (mut names, mut calls) = (Vec::new(), Vec::new());
        while let Some(name) = self.due.pop_due(now) {
            if let Some(peer) = self.peers.get_mut(&name) {
                let before = peer.bytes;
                peer.expire(now, &self.patience, &mut calls);
                self.bytes -= before - peer.bytes;
                names.push(name);
            }
        }
        // Only now: what is due at once would be found again and again.
        for name in &names {
            self.schedule(*name);
        }
        (names, calls)
    }

    /// Ends all messages to nodes that are gone.
    pub(crate) fn end_where(&mut self, is_gone: impl Fn(NameHash, Generation) -> bool) -> Vec<Ended> {
        let mut ended = Vec::new();
        for (name, peer) in self.peers.iter_mut().filter(|(_, peer)| !peer.is_idle()) {
            if is_gone(*name, peer.generation) {
                self.bytes -= peer.bytes;
                self.due.cancel(*name);
                self.queued.remove(name);
                ended.extend(peer.clear().map(|(call, is_sent)| Ended { name: *name, call, is_sent }));
            }
        }
        ended
    }

    /// This member is another run from now on, to which the receivers know no message. Ends those that were sent as a
    /// whole, as they may have been delivered; the others are sent from the start.
    pub(crate) fn restart(&mut self) -> Vec<RequestId> {
        let (mut ended, mut names) = (Vec::new(), Vec::new());
        for (name, peer) in self.peers.iter_mut().filter(|(_, peer)| !peer.flights.is_empty()) {
            self.bytes -= peer.bytes;
            names.push(*name);
            for flight in peer.land().into_values().rev() {
                if flight.unsent == flight.count {
                    ended.push(flight.message.call);
                } else {
                    peer.waiting.push_front(flight.message);
                    self.queued.insert(*name);
                }
            }
        }
        names.into_iter().for_each(|name| self.schedule(name));
        ended
    }

    /// Forgets idle nodes that are not to be kept.
    pub(crate) fn forget(&mut self, is_kept: impl Fn(NameHash) -> bool) {
        self.peers.retain(|name, peer| {
            let stays = !peer.is_idle() || is_kept(*name);
            if !stays {
                self.used = self.used.max(peer.next - 1);
            }
            stays
        });
    }

    /// How many nodes are remembered.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nothing is under way, and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.due.len() == 0
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.next()
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "bytes of messages under way", count: self.bytes, max: BYTES_MAX }
    }

    fn schedule(&mut self, name: NameHash) {
        match self.peers.get(&name).and_then(|peer| peer.due(&self.patience)) {
            Some(at) => self.due.set(name, at),
            None => self.due.cancel(name),
        }
    }
}

/// The length of a message, which is checked before it is taken.
fn length(message: &Message) -> u32 {
    u32::try_from(message.payload.len()).unwrap_or(u32::MAX)
}

/// One message that is under way.
#[derive(Debug)]
struct Flight {
    message: Message,
    /// Of its fragments.
    size: u32,
    count: u32,
    /// The first one that was never sent.
    unsent: u32,
}

impl Flight {
    fn length_of(&self, index: u32) -> usize {
        self.size.min(length(&self.message) - index * self.size) as usize
    }
}

/// A fragment that was sent and is neither acked nor taken for lost.
#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    index: u32,
    length: usize,
    at: Instant,
    is_again: bool,
}

/// All that is on its way to one run of a node.
#[derive(Debug)]
struct Peer {
    generation: Generation,
    /// The number of the next message that starts.
    next: u64,
    waiting: VecDeque<Message>,
    flights: BTreeMap<u64, Flight>,
    /// The length of the messages under way.
    bytes: usize,
    /// Fragments under way, in the order in which they were sent.
    sent: BTreeMap<u64, Sent>,
    sent_bytes: usize,
    next_order: u64,
    /// The latest one that has come.
    highest: u64,
    /// Fragments to be sent again.
    lost: BTreeSet<(u64, u32)>,
    asks: Asks,
    /// When the timeout began: with the last ack, or the last timeout.
    since: Instant,
    /// Timeouts since the last ack.
    timeouts: u32,
    /// Of the lost ones, so many are sent whatever the window.
    probes: usize,
    window: Window,
    rtt: RoundTrip,
}

impl Peer {
    fn new(generation: Generation, next: u64, rtt: Option<Duration>) -> Self {
        Self {
            generation,
            next,
            waiting: VecDeque::new(),
            flights: BTreeMap::new(),
            bytes: 0,
            sent: BTreeMap::new(),
            sent_bytes: 0,
            next_order: 1,
            highest: 0,
            lost: BTreeSet::new(),
            asks: Asks::default(),
            since: Instant::default(),
            timeouts: 0,
            probes: 0,
            window: Window::new(),
            rtt: RoundTrip::new(rtt),
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.flights.is_empty()
    }

    /// Starts waiting messages in order while there is room for them. `room`: what is left for all nodes.
    fn start_waiting(&mut self, mut room: usize, size: u32) {
        while let Some(message) = self.waiting.front() {
            let length = message.payload.len();
            let fits = self.flights.is_empty() || self.bytes + length <= PEER_BYTES_MAX;
            let leaves_room = self.bytes + length + length <= room;
            let oldest = self.flights.keys().next().copied().unwrap_or(self.next);
            let is_near = self.next - oldest < NUMBERS_AHEAD_MAX;
            if !(fits && is_near && self.flights.len() < MESSAGES_MAX && leaves_room) {
                return;
            }
            let Some(message) = self.waiting.pop_front() else {
                return;
            };
            room -= length;
            self.bytes += length;
            let count = fragments_of(self::length(&message), size);
            self.flights.insert(self.next, Flight { message, size, count, unsent: 0 });
            self.next += 1;
        }
    }

    fn burst(&mut self, now: Instant) -> Vec<Piece> {
        let mut burst = Vec::new();
        let end = self.window.size.min(self.sent_bytes + BURST_MAX);
        while self.sent_bytes < end || self.probes > 0 {
            let Some((order, mut piece)) = self.next_piece(now) else {
                break;
            };
            let is_probe = self.probes > 0;
            self.probes = self.probes.saturating_sub(1);
            if is_probe || (burst.len() + 1).is_multiple_of(ANSWER_EVERY) {
                piece.ask = self.asks.ask(order, now, piece.is_again);
            }
            burst.push(piece);
        }
        self.probes = 0;
        if let Some(last) = burst.last_mut().filter(|last| last.ask == 0) {
            last.ask = self.asks.ask(self.next_order - 1, now, last.is_again);
        }
        burst
    }

    /// The next fragment to be sent, and its order: what was lost comes first.
    fn next_piece(&mut self, now: Instant) -> Option<(u64, Piece)> {
        let lost = self.lost.pop_first();
        let unsent = || self.flights.iter().find(|(_, flight)| flight.unsent < flight.count);
        let (number, index) = lost.or_else(|| unsent().map(|(number, flight)| (*number, flight.unsent)))?;
        let flight = self.flights.get_mut(&number)?;
        let is_again = lost.is_some();
        flight.unsent += u32::from(!is_again);
        let length = flight.length_of(index);
        let order = self.next_order;
        self.sent.insert(order, Sent { number, index, length, at: now, is_again });
        self.sent_bytes += length;
        self.next_order += 1;
        Some((order, Piece { number, index, ask: 0, is_again }))
    }

    /// Takes what an ack tells of the fragments of one message.
    fn note_ack(&mut self, now: Instant, ack: &FragmentAck<'_>, patience: &Patience) {
        let has_come = |index: u32| match ack.progress {
            Progress::Receiving { next, beyond } => {
                index < next || (index > next && beyond.contains(index - next))
            }
            Progress::Delivered | Progress::Refused(_) => true,
        };
        self.lost.retain(|(number, index)| *number != ack.number || !has_come(*index));
        let ask = self.asks.answered(ack.ask);
        let mut longest = ask.filter(|ask| ask.is_again).map(|ask| now.since(ask.at));
        self.sent.retain(|_, sent| {
            let acked = sent.number == ack.number && has_come(sent.index);
            if acked {
                self.sent_bytes -= sent.length;
                self.window.grow(sent.length, self.rtt.smoothed() >= LONG);
                // From one that was sent again it is not known which of the two has come (Karn), unless it has asked.
                if !sent.is_again {
                    longest = longest.max(Some(now.since(sent.at)));
                }
            }
            !acked
        });
        if let Some(ask) = ask {
            self.highest = self.highest.max(ask.order);
        }
        if let Some(rtt) = longest {
            self.rtt.measured(rtt.min(patience.max * ROUND_TRIP_MAX));
        }
        self.since = now;
        self.timeouts = 0;
    }

    /// Takes for lost what was overtaken and has not come in time.
    fn lose(&mut self, now: Instant, patience: &Patience) {
        let wait = self.wait(patience);
        let is_late = |(order, sent): (&u64, &Sent)| (sent.at + wait <= now).then_some(*order);
        let late: Vec<u64> = self.sent.range(..self.highest).filter_map(is_late).collect();
        late.into_iter().for_each(|order| self.take_for_lost(order));
    }

    fn take_for_lost(&mut self, order: u64) {
        if let Some(sent) = self.sent.remove(&order) {
            self.sent_bytes -= sent.length;
            self.lost.insert((sent.number, sent.index));
            self.window.cut(order, self.next_order);
        }
    }

    /// Nothing has come for long: sees to it that something asks whether the others have.
    fn probe(&mut self, now: Instant, patience: &Patience) {
        if self.timeout_at(patience).is_none_or(|at| at > now) {
            return;
        }
        let oldest: Vec<u64> = self.sent.keys().take(PROBES).copied().collect();
        self.probes = oldest.len();
        oldest.into_iter().for_each(|order| self.take_for_lost(order));
        self.window.cut(self.next_order - 1, self.next_order);
        self.since = now;
        self.timeouts = self.timeouts.saturating_add(1);
    }

    /// How long a fragment may take once a later one has come.
    fn wait(&self, patience: &Patience) -> Duration {
        self.rtt.most().unwrap_or(patience.first)
    }

    fn timeout_at(&self, patience: &Patience) -> Option<Instant> {
        let (_, oldest) = self.sent.first_key_value()?;
        let wait = self.wait(patience).max(patience.min);
        let doublings = (self.timeouts / TIMEOUTS_EACH).min(BACKOFF_MAX);
        let timeout = (wait * 2_u32.pow(doublings)).min(wait.max(patience.max));
        Some(oldest.at.max(self.since) + timeout)
    }

    fn expire(&mut self, now: Instant, patience: &Patience, calls: &mut Vec<RequestId>) {
        while self.waiting.front().is_some_and(|message| message.deadline <= now) {
            calls.extend(self.waiting.pop_front().map(|message| message.call));
        }
        let over = self.flights.iter().filter(|(_, flight)| flight.message.deadline <= now);
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        for number in over {
            calls.extend(self.end(number).map(|message| message.call));
        }
        self.lose(now, patience);
        self.probe(now, patience);
    }

    /// A message is not under way any more.
    fn end(&mut self, number: u64) -> Option<Message> {
        let flight = self.flights.remove(&number)?;
        self.bytes -= flight.message.payload.len();
        self.lost.retain(|(of, _)| *of != number);
        if self.flights.is_empty() {
            self.asks.clear();
        }
        self.sent.retain(|_, sent| {
            let stays = sent.number != number;
            if !stays {
                self.sent_bytes -= sent.length;
            }
            stays
        });
        Some(flight.message)
    }

    /// Ends everything; with each call whether all of its message has been sent.
    fn clear(&mut self) -> impl Iterator<Item = (RequestId, bool)> + '_ {
        let flights =
            self.land().into_values().map(|flight| (flight.message.call, flight.unsent == flight.count));
        flights.chain(self.waiting.drain(..).map(|message| (message.call, false)))
    }

    /// Takes out everything under way.
    fn land(&mut self) -> BTreeMap<u64, Flight> {
        self.sent.clear();
        self.lost.clear();
        self.asks.clear();
        self.sent_bytes = 0;
        self.bytes = 0;
        std::mem::take(&mut self.flights)
    }

    /// When something is to be done about it next.
    fn due(&self, patience: &Patience) -> Option<Instant> {
        // Messages start in the order of their deadlines.
        let flight = self.flights.values().next().map(|flight| flight.message.deadline);
        let waiting = self.waiting.front().map(|message| message.deadline);
        let wait = self.wait(patience);
        let late = self.sent.range(..self.highest).next().map(|(_, sent)| sent.at + wait);
        [flight, waiting, late, self.timeout_at(patience)].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
