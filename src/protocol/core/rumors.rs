//! Rumors: what there is news of, and which peers it still has to go to.
//!
//! Beyond SWIM, whose news waits for the next ping to a random target: a rumor leaves at once, along the shared
//! ring, in two phases. With k ring peers, numbered from the nearest (0) to the farthest (k−1):
//!
//! | phase | when | to |
//! |---|---|---|
//! | first | in the next round | slots 0, k−1, k−2 … 3 |
//! | second | in the first round one to two pauses (5 × gossip_interval) later | slots 2 and 1 |
//!
//! As all members use the same slots, each is sent exactly k − 2 copies in the first phase and 2 in the second: a
//! member that is deaf for a moment is reached by the second. Then the rumor is retired; loss beyond that is repaired
//! by comparing views. The second phases of several rumors share a datagram: they begin at multiples of the pause.
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
//! A **round** takes place at once after a quiet time, then every `gossip_interval` while there is something to send. A
//! token bucket paces them: a round serves as many slots as there are tokens for, and the next one goes on from there.
//! So a little more news makes each copy a little later, and no amount of it exceeds the bucket's rate. What is pushed
//! while the bucket is less than half full goes to all slots in one phase: the rounds that wait for tokens spread it over
//! time. A datagram that
//! carries what users have written costs one token, and one with news of nodes only costs two: such news comes in
//! storms when many nodes die, and is not read by the millisecond. A datagram that is filled by broadcasts costs
//! nothing, as waiting for more news would not have saved it. At rest there are no rounds.

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
/// The second phase comes this many gossip intervals after the first.
const PAUSE: u32 = 5;
/// Tokens that the bucket gains in `PAUSE` gossip intervals …
const RATE: u32 = 12;
/// … and the most that it holds.
const BURST: u32 = 100;
/// Tokens for a datagram that carries news of nodes only.
const NODES_COST: u32 = 2;

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
    last_round: Option<Instant>,
    /// When the queue wants a round: at once, or when a second phase begins.
    wanted: Option<Instant>,
    /// When the bucket is full again.
    full_at: Instant,
    /// The slot at which a round ended for want of tokens: the next one begins there.
    resume: Option<usize>,
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
fn slot_order(k: usize) -> impl Iterator<Item = usize> {
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

/// The first moment from `at` on that is a multiple of a duration.
fn next_multiple(at: Instant, of: Duration) -> Instant {
    let of = u64::try_from(of.as_micros()).unwrap_or(u64::MAX).max(1);
    Instant::from_micros(at.as_micros().checked_next_multiple_of(of).unwrap_or(u64::MAX))
}

fn bits(slots: impl Iterator<Item = usize>) -> u32 {
    slots.fold(0, |bits, slot| bits | 1_u32.checked_shl(u32::try_from(slot).unwrap_or(u32::MAX)).unwrap_or(0))
}

impl Rumors {
    pub(crate) fn new(gossip_interval: Duration) -> Self {
        Self {
            lanes: [const { BTreeMap::new() }; LANES],
            turn: 0,
            places: BTreeMap::new(),
            arrivals: 0,
            gossip_interval,
            last_round: None,
            wanted: None,
            full_at: Instant::default(),
            resume: None,
        }
    }

    /// There is news: it is sent to `k` peers, from the beginning. Returns whether an older rumor had to go for it.
    pub(crate) fn push(&mut self, now: Instant, topic: Topic, k: usize) -> bool {
        self.remove(topic);
        // Rounds that wait for tokens are phases enough.
        if self.full_at > now + self.token() * (BURST / 2) {
            return self.insert(now, topic, k, bits(0..k), None);
        }
        let pause = self.gossip_interval * PAUSE;
        let second = (next_multiple(now + pause, pause), bits(second_phase(k)));
        self.insert(now, topic, k, first_slots(k), Some(second))
    }

    /// There is more news of something that was sent before. It can wait until `at`, if no older news of it goes on
    /// before that.
    pub(crate) fn push_addition(&mut self, now: Instant, at: Instant, topic: Topic, k: usize) -> bool {
        let lane = &mut self.lanes[topic.lane()];
        let sends = sends(lane.len(), k);
        let Some(rumor) = self.places.get(&topic).and_then(|place| lane.get_mut(place)) else {
            return self.insert(now, topic, k, 0, Some((at, first_slots(k))));
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
        true
    }

    /// The slots in the order in which this round serves them.
    pub(crate) fn slots(&self, k: usize) -> Vec<usize> {
        let mut slots: Vec<usize> = slot_order(k).collect();
        if let Some(place) = slots.iter().position(|slot| Some(*slot) == self.resume) {
            slots.rotate_left(place);
        }
        slots
    }

    /// Whether there is a token for a datagram to this slot. If not, the next round begins here.
    pub(crate) fn may_serve(&mut self, now: Instant, slot: usize) -> bool {
        let may = self.affordable_at() <= now;
        self.resume = (!may).then_some(slot);
        may
    }

    /// Pays for a datagram that carries these topics, and is `full` if others had no room.
    fn pay(&mut self, now: Instant, topics: &[Topic], full: bool) {
        let carries = |is_kind: fn(&Topic) -> bool| topics.iter().any(is_kind);
        let cost = if carries(|topic| matches!(topic, Topic::Broadcast(..))) {
            u32::from(!full)
        } else if carries(|topic| matches!(topic, Topic::State(..))) {
            1
        } else {
            NODES_COST
        };
        self.full_at = self.full_at.max(now) + self.token() * cost;
    }

    /// The time in which the bucket gains a token.
    fn token(&self) -> Duration {
        self.gossip_interval * PAUSE / RATE
    }

    fn affordable_at(&self) -> Instant {
        self.full_at - self.token() * (BURST - 1)
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

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn bound(&self) -> Bound {
        let waiting = self.lanes.iter().map(BTreeMap::len).sum::<usize>();
        Bound { what: "rumors", count: waiting.max(self.places.len()), max: RUMORS_MAX * LANES }
    }

    /// A datagram with these topics was sent to a slot; it was `full` if others had no room. Another lane may come first
    /// in the next one.
    pub(crate) fn sent(&mut self, now: Instant, slot: usize, topics: &[Topic], full: bool) {
        self.pay(now, topics, full);
        self.turn = (self.turn + 1) % TURNS.len();
        self.settle(slot, topics);
    }

    /// These topics need not be sent to a slot any more.
    pub(crate) fn settle(&mut self, slot: usize, topics: &[Topic]) {
        let bit = bits(std::iter::once(slot));
        for topic in topics {
            let lane = &mut self.lanes[topic.lane()];
            if let Some(rumor) = self.places.get(topic).and_then(|place| lane.get_mut(place)) {
                rumor.slots &= !bit;
                rumor.sends = rumor.sends.saturating_sub(1);
            }
        }
    }

    /// Ends a round.
    pub(crate) fn end_round(&mut self, now: Instant) {
        self.retire(|rumor| rumor.sends == 0 || (rumor.slots == 0 && rumor.next.is_none()));
        self.last_round = Some(now);
        self.wanted = self.in_turn().map(Rumor::wanted).min();
    }

    /// When the next round is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let next = self.last_round.map_or(Instant::default(), |last| last + self.gossip_interval);
        Some(self.wanted?.max(next).max(self.affordable_at()))
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

    fn insert(
        &mut self,
        now: Instant,
        topic: Topic,
        k: usize,
        slots: u32,
        next: Option<(Instant, u32)>,
    ) -> bool {
        let lane = &mut self.lanes[topic.lane()];
        let mut dropped = false;
        if lane.len() >= RUMORS_MAX
            && let Some((_, oldest)) = lane.pop_first()
        {
            self.places.remove(&oldest.topic);
            dropped = true;
        }
        let rumor = Rumor { topic, since: now, slots, next, sends: sends(lane.len(), k) };
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
}

#[cfg(test)]
mod tests;
