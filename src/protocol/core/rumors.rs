//! Rumors: what there is news of, and which peers it still has to go to.
//!
//! Beyond SWIM, whose news waits for the next ping to a random target: a rumor leaves at once, along the shared
//! ring, in two phases. With k ring peers, numbered from the nearest (0) to the farthest (k−1):
//!
//! | phase | when | to |
//! |---|---|---|
//! | first | in the next round | slots 0, k−1, k−2 … 3 |
//! | second | in the first round a pause (5 × gossip_interval) later | slots 2 and 1 |
//!
//! As all members use the same slots, each is sent exactly k − 2 copies in the first phase and 2 in the second: a
//! member that is deaf for a moment is reached by the second. Then the rumor is retired; loss beyond that is repaired
//! by comparing views.
//!
//! News that only **adds** to news that was sent before is not urgent: it waits for a while, in which more of the kind
//! may come, and is then sent in one phase, to the slots of the first phase. A member that misses it has the older
//! news.
//!
//! A rumor is only its [`Topic`]: a datagram carries what the view holds when it is made, so newer news of a node
//! replaces older news by itself.
//!
//! **Lanes.** Nodes, states and broadcasts wait in a lane each, with a bound of its own, so that no kind of news
//! pushes another out of the queue. In a datagram the lanes come in this order, but of every four datagrams one
//! begins with the states and one with the broadcasts: none is starved either. News of a state that is older than a
//! second is no longer sent: comparing views brings it in better order.
//!
//! A **round** takes place at once after a quiet time, then every `gossip_interval`, doubling up to five times
//! that while rounds do not fill their datagrams; a token bucket bounds the rounds under lasting news. At rest
//! there are none.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::api::Bound;
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// Rumors that wait in a lane; the oldest go first, counted.
const RUMORS_MAX: usize = 4_096;
/// About two datagrams' worth: with more waiting, each is sent less often.
const CROWD: usize = 52;
/// … but never less often than this.
const SENDS_MIN: usize = 3;
/// The second phase comes this many gossip intervals after the first; the longest pause between rounds.
const PAUSE: u32 = 5;
/// Rounds that may follow each other without the bucket's refill.
const BURST: u32 = 50;

/// Kinds of news: nodes, states, broadcasts.
const LANES: usize = 3;
/// Whose turn it is to come first in a datagram.
const TURNS: [[usize; LANES]; 4] = [[0, 1, 2], [1, 0, 2], [0, 1, 2], [2, 0, 1]];

/// How long news of a state is sent.
const STATE_MEMORY: Duration = Duration::from_secs(1);

/// What there is news of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// A node: that it is there, suspected, or gone.
    Node(NameHash),
    /// What a node has written into its state after this version, up to the next such rumor.
    State(NameHash, u64),
    /// The broadcast of a node with this number.
    Broadcast(NameHash, u64),
}

impl Topic {
    /// The node that it is about, or comes from.
    pub(crate) fn subject(self) -> NameHash {
        match self {
            Self::Node(name) | Self::State(name, _) | Self::Broadcast(name, _) => name,
        }
    }

    fn lane(self) -> usize {
        match self {
            Self::Node(_) => 0,
            Self::State(..) => 1,
            Self::Broadcast(..) => 2,
        }
    }
}

/// One rumor on its way.
#[derive(Debug, Clone, Copy)]
struct Rumor {
    topic: Topic,
    since: Instant,
    /// Slots that are to get it in this phase, as bits.
    slots: u32,
    /// When the next phase may begin, and its slots; `None` in the last one.
    next: Option<(Instant, u32)>,
    /// Sends that are left, over all phases.
    sends: usize,
}

impl Rumor {
    /// When a round should send it.
    fn wanted(&self) -> Instant {
        match self.next {
            Some((at, _)) if self.slots == 0 => at,
            _ => Instant::default(),
        }
    }
}

/// The queue of rumors and the clock of the rounds.
#[derive(Debug)]
pub(crate) struct Rumors {
    /// By lane, in order of arrival.
    lanes: [BTreeMap<u64, Rumor>; LANES],
    places: BTreeMap<Topic, u64>,
    /// Counts the datagrams that were filled, for the turns of the lanes.
    turn: usize,
    arrivals: u64,
    gossip_interval: Duration,
    interval: Duration,
    last_round: Option<Instant>,
    /// When the queue wants a round: at once, or when a second phase begins.
    wanted: Option<Instant>,
    tokens: u32,
    refilled: Instant,
}

/// The slots of the first phase, in the order in which they are served.
fn first_phase(k: usize) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain((3..k).rev()).filter(move |slot| *slot < k)
}

/// The slots of the second phase. Of so few peers that the first phase has one only, the others come at once.
fn second_phase(k: usize) -> impl Iterator<Item = usize> {
    [2, 1].into_iter().filter(move |slot| *slot < k)
}

/// All slots, in the order in which a round serves them.
pub(crate) fn slot_order(k: usize) -> impl Iterator<Item = usize> {
    first_phase(k).chain(second_phase(k))
}

/// How often a rumor is sent, by the number of others in its lane.
fn sends(waiting: usize, k: usize) -> usize {
    if k <= 3 {
        // With so few peers, some are sent it twice.
        k + second_phase(k).count()
    } else if waiting > CROWD {
        (k * CROWD / waiting).max(SENDS_MIN)
    } else {
        k
    }
}

/// The slots of the first phase as bits. With hardly any peers news goes to all of them at once.
fn first_slots(k: usize) -> u32 {
    if k <= 3 { bits(0..k) } else { bits(first_phase(k)) }
}

fn bits(slots: impl Iterator<Item = usize>) -> u32 {
    slots.fold(0, |bits, slot| bits | 1_u32.checked_shl(u32::try_from(slot).unwrap_or(u32::MAX)).unwrap_or(0))
}

impl Rumors {
    pub(crate) fn new(now: Instant, gossip_interval: Duration) -> Self {
        Self {
            lanes: [const { BTreeMap::new() }; LANES],
            turn: 0,
            places: BTreeMap::new(),
            arrivals: 0,
            gossip_interval,
            interval: gossip_interval,
            last_round: None,
            wanted: None,
            tokens: BURST,
            refilled: now,
        }
    }

    /// There is news: it is sent to `k` peers, from the beginning. Returns whether an older rumor had to go for it.
    pub(crate) fn push(&mut self, now: Instant, topic: Topic, k: usize) -> bool {
        self.remove(topic);
        let second = (now + self.gossip_interval * PAUSE, bits(second_phase(k)));
        self.insert(now, topic, k, first_slots(k), second)
    }

    /// There is more news of something that was sent before. It can wait until `at`, if no older news of it goes on
    /// before that.
    pub(crate) fn push_addition(&mut self, now: Instant, at: Instant, topic: Topic, k: usize) -> bool {
        let lane = &mut self.lanes[topic.lane()];
        let sends = sends(lane.len(), k);
        let Some(rumor) = self.places.get(&topic).and_then(|place| lane.get_mut(place)) else {
            return self.insert(now, topic, k, 0, (at, first_slots(k)));
        };
        let (at, slots) = rumor.next.unwrap_or((at, 0));
        let again = slots | first_slots(k);
        if again != slots {
            rumor.next = Some((at, again));
            rumor.sends += sends;
            let wanted = rumor.wanted();
            self.want(wanted);
        }
        false
    }

    /// It is not sent any more.
    pub(crate) fn remove(&mut self, topic: Topic) {
        if let Some(place) = self.places.remove(&topic) {
            self.lanes[topic.lane()].remove(&place);
        }
    }

    /// Whether it is being sent.
    pub(crate) fn contains(&self, topic: Topic) -> bool {
        self.places.contains_key(&topic)
    }

    /// Where the next rumor about the state of a node begins, after one that begins at `from`.
    pub(crate) fn next_state(&self, subject: NameHash, from: u64) -> Option<u64> {
        let after = Topic::State(subject, from.saturating_add(1));
        match self.places.range(after..).next() {
            Some((Topic::State(name, next), _)) if *name == subject => Some(*next),
            _ => None,
        }
    }

    /// Begins a round, if one is due. It is to be ended with [`end_round`](Self::end_round).
    pub(crate) fn begin_round(&mut self, now: Instant, k: usize) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        let all = bits(0..k);
        self.forget_states(now);
        for rumor in self.lanes.iter_mut().flat_map(BTreeMap::values_mut) {
            rumor.slots &= all;
            if rumor.slots == 0
                && let Some((_, slots)) = rumor.next.take_if(|(at, _)| *at <= now)
            {
                rumor.slots = slots & all;
            }
        }
        self.refill(now);
        self.tokens = self.tokens.saturating_sub(1);
        true
    }

    /// What should be sent to a slot, in the order of the lanes' turn, each lane oldest first.
    pub(crate) fn for_slot(&self, slot: usize) -> impl Iterator<Item = Topic> {
        let bit = bits(std::iter::once(slot));
        self.in_turn().filter(move |rumor| rumor.sends > 0 && rumor.slots & bit != 0).map(|rumor| rumor.topic)
    }

    /// All that there is news of, in the order of the lanes' turn, each lane oldest first.
    pub(crate) fn topics(&self) -> impl Iterator<Item = Topic> {
        self.in_turn().map(|rumor| rumor.topic)
    }

    /// A datagram was filled: another lane may come first in the next one.
    pub(crate) fn take_turn(&mut self) {
        self.turn = (self.turn + 1) % TURNS.len();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn bound(&self) -> Bound {
        let waiting = self.lanes.iter().map(BTreeMap::len).sum::<usize>();
        Bound { what: "rumors", count: waiting.max(self.places.len()), max: RUMORS_MAX * LANES }
    }

    /// It was sent to a slot.
    pub(crate) fn told(&mut self, slot: usize, topic: Topic) {
        let bit = bits(std::iter::once(slot));
        let lane = &mut self.lanes[topic.lane()];
        if let Some(rumor) = self.places.get(&topic).and_then(|place| lane.get_mut(place)) {
            rumor.slots &= !bit;
            rumor.sends = rumor.sends.saturating_sub(1);
        }
    }

    /// Ends a round; `full`: something that was to go with it had no room.
    pub(crate) fn end_round(&mut self, now: Instant, full: bool) {
        self.retire(|rumor| rumor.sends == 0 || (rumor.slots == 0 && rumor.next.is_none()));
        // Lasting news is sent in rounds at the longest pause: that is no quiet time.
        let quiet = self.last_round.is_none_or(|last| now.since(last) >= self.gossip_interval * PAUSE * 2);
        self.interval = if full || quiet {
            self.gossip_interval
        } else {
            (self.interval * 2).min(self.gossip_interval * PAUSE)
        };
        if full && self.lanes[1..].iter().any(|lane| !lane.is_empty()) {
            // It was needed: the bucket is for news that comes back again and again, not for what users write.
            self.tokens = (self.tokens + 1).min(BURST);
        }
        self.last_round = Some(now);
        self.wanted = self.in_turn().map(Rumor::wanted).min();
    }

    /// When the next round is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let wanted = self.wanted?;
        let mut earliest = self.last_round.map_or(Instant::default(), |last| last + self.interval);
        if self.tokens == 0 {
            earliest = earliest.max(self.refilled + self.gossip_interval * PAUSE);
        }
        Some(wanted.max(earliest))
    }

    /// Drops news of states that is too old to be sent.
    fn forget_states(&mut self, now: Instant) {
        self.retire(|rumor| matches!(rumor.topic, Topic::State(..)) && now.since(rumor.since) > STATE_MEMORY);
    }

    fn retire(&mut self, is_over: impl Fn(&Rumor) -> bool) {
        for lane in &mut self.lanes {
            lane.retain(|_, rumor| {
                let over = is_over(rumor);
                if over {
                    self.places.remove(&rumor.topic);
                }
                !over
            });
        }
    }

    fn insert(&mut self, now: Instant, topic: Topic, k: usize, slots: u32, next: (Instant, u32)) -> bool {
        let lane = &mut self.lanes[topic.lane()];
        let mut dropped = false;
        if lane.len() >= RUMORS_MAX
            && let Some((_, oldest)) = lane.pop_first()
        {
            self.places.remove(&oldest.topic);
            dropped = true;
        }
        let rumor = Rumor { topic, since: now, slots, next: Some(next), sends: sends(lane.len(), k) };
        let wanted = rumor.wanted();
        self.places.insert(topic, self.arrivals);
        lane.insert(self.arrivals, rumor);
        self.arrivals += 1;
        self.want(wanted);
        dropped
    }

    fn want(&mut self, at: Instant) {
        self.wanted = Some(self.wanted.map_or(at, |wanted| wanted.min(at)));
    }

    fn in_turn(&self) -> impl Iterator<Item = &Rumor> {
        TURNS[self.turn].into_iter().flat_map(|lane| self.lanes[lane].values())
    }

    fn refill(&mut self, now: Instant) {
        let pause = self.gossip_interval * PAUSE;
        let refills = now.since(self.refilled).as_micros() / pause.as_micros().max(1);
        if refills > 0 {
            let refills = u32::try_from(refills).unwrap_or(BURST);
            self.tokens = self.tokens.saturating_add(refills).min(BURST);
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests;
