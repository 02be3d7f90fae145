//! The membership protocol of one member, as a pure state machine.
//!
//! No socket, thread, lock, clock or entropy of the operating system is in here: time and randomness come in,
//! datagrams and events go out. The same code runs on the threads of this crate, in tests, and on a simulated
//! network.
//!
//! # The contract
//!
//! A driver gives one input at a time, then drains the outputs, then asks when to come again:
//!
//! ```text
//! protocol.handle_datagram(now, received, from, bytes)      a datagram came; `received` is when it did
//! protocol.handle_timeout(now, duty)                        the time that poll_timeout(duty) told has come
//! protocol.join(…) / ping(…) / send(…) / leave(…) / …       a user wants something
//!
//! while let Some(event)    = protocol.poll_event()    { … } for the user, in order; each message is settled
//!     protocol.settle(now, handover)                        at once: whether the user gets it, for the ack
//! while let Some(transmit) = protocol.poll_transmit() { … } datagrams to send, in order, and soon; each may come back
//!     protocol.reuse(datagram)                              when it was sent: so a member at rest allocates nothing
//! while let Some(answer)   = protocol.poll_answer()   { … } to earlier calls
//! while let Some(chore)    = protocol.poll_chore()    { … } work that may block
//! while let Some(note)     = protocol.poll_note()     { … } lines to log
//! protocol.poll_end()                                       it has stopped for good
//! protocol.poll_timeout(duty)                               the next wake-up, one for each duty
//! ```
//!
//! Calling `handle_timeout` too early does nothing; too late is noticed (see [`health`]). The same seed and the
//! same inputs give the same outputs, byte for byte.
//!
//! # The parts
//!
//! Leaves, which do not know each other:
//!
//! | file | holds |
//! |---|---|
//! | [`time`] | the instant without a `now()`, and deadlines |
//! | [`members`] | the member list and the merge rule |
//! | [`ring`] | the order that all members share |
//! | [`probe`] | the ladder of one probe |
//! | [`suspicion`] | deadlines from confirmations |
//! | [`health`] | doubt about ourselves, damping |
//! | [`rumors`] | what is told to whom, in two phases |
//! | [`sync`] | when and how views are compared |
//! | [`join`] | admission, names, leaving |
//! | [`addresses`] | what addresses may have of us |
//! | [`fetch`] | what others have and we lack |
//! | [`outbox`], [`inbox`] | messages on their way: windows, resends; putting together, never twice |
//! | [`broadcasts`] | broadcasts: those that are kept, and gaps |
//! | `replay` | which counters of sealed datagrams were seen |
//!
//! And what combines them, each an `impl Protocol`:
//!
//! | file | rules |
//! |---|---|
//! | [`receive`] | what comes in, to whom it goes |
//! | [`detect`] | probing: rounds, relays, lag |
//! | [`accuse`] | suspicions, verdicts, refutation, isolation |
//! | [`spread`] | taking in news, events, rounds of rumors |
//! | [`compare`] | both sides of a sync |
//! | [`state`] | key-value states: writing, telling, fetching |
//! | [`announce`] | broadcasts: making, delivering, and giving up on them |
//! | [`admit`], [`names`] | joining, and who may have a name |
//! | [`hints`] | why somebody is not answered |
//! | [`depart`], [`vouch`], [`heal`] | leaving, word of a leave, and coming back after cuts |
//! | [`seek`] | looking for others in the background |
//! | [`relocate`] | having another address than before |
//! | [`deliver`] | messages to one node |
//! | [`view`] | what readers are shown |
//! | [`claims`] | what others have of us that we never said |
//! | [`crowd`] | members among names that nobody answers to |
//! | [`acquaint`] | starting out as one of many that know each other |
//! | [`identity`] | what we say about ourselves; datagrams on their way out |
//! | `seal`, `unsealed` | sealed datagrams, with and without the feature `encryption` |
//! | [`bounds`] | how much of everything there is, for who checks it |
//! | `imagine` | views full of nodes that are not there, for benchmarks |
//!
//! # Where the numbers come from
//!
//! Rules and constants were chosen by simulation.
//!
//! The rules are shown by what happens without them (`cargo bench --bench rules`, each beside all rules, of the same
//! seeds; 128 members unless it says otherwise):
//!
//! | rule | with it, and without | shown by |
//! |---|---|---|
//! | the node heard last is the first relay | 3 survivors settle in 78 s, and not in 240 s | `rules -- three LastHeard` |
//! | proof | false deaths a run: 0, and 496 | `rules -- slow Proof` |
//! | silence, where there is no proof either | false deaths a run: 52, and 591 | `rules -- deaf Proof Proof+Silence` |
//! | lag | datagrams a second in clusters of 2 to 5: 3.43, and 3.56 | `rules -- few full Lag` |
//! | health | probes without an answer where the round trip exceeds T: 31 %, and 100 % | `rules -- remote Health` |
//! | witnesses | first detection, median 3.2 s, and 4.7 s | `rules -- threshold Witnesses` |
//! | a lone accusation is probed again | healthy nodes buried by grey ones in 72 runs: 0, and 3 (`loss -- grey` has had 1 to 4 in 30) | `rules -- grey full Confirmed` |
//! | ask first | deaths of healthy nodes at healthy members after a cut: 0, and 177 a run | `rules -- split AskFirst` |
//! | a ping tells a suspect (buddy) | deaths of grey nodes a run: 0, and 148 | `rules -- grey Buddy` |
//! | damping | datagrams a second with starved members: 19.2, and 21.0 | `rules -- starved Damping` |
//! | patience with who refutes | deaths of starved nodes a run: 9, and 926 | `rules -- starved Patience` |
//!
//! The staged second ping, the second relay, relays passing on late acks, the growth of a suspicion's time without
//! confirmations, and the wait of who was buried twice were left out in the same experiments, and missed: under loss,
//! at long round trips, in small clusters, by nodes that come and go. They have no switch. The pace of refutations, and
//! that a relay without the target gives no evidence, made no difference: they guard against what is not simulated, and
//! say so where they stand.
//!
//! And the constants:
//!
//! | constant | value | shown by |
//! |---|---|---|
//! | shortest suspicion | 4 × T | `lifeguard -- threshold`; shorter is faster, and leaves less room for faults that no experiment has |
//! | longest suspicion, confirmations | 6 × that, K = 3 | `lifeguard -- threshold`, `grid` |
//! | witnesses | 5 | `lifeguard -- threshold` |
//! | ladder, relays | T/4, T/2; two | `detector -- slow` |
//! | silence | 4 × T | `lifeguard -- grid`, and `control` without it |
//! | sends of a rumor | retransmit + digits of n | `spreading -- misses`, and its control without the ring |
//! | pause between the phases | 5 × gossip_interval | `spreading -- deaf`: who is deaf for half of that is reached by the second |
//! | a confirmation waits for others | 0.2 × T | `lifeguard -- grid`: bytes; `threshold`: verdicts come as early |
//! | settle time, streak, gap | 7.5 × gossip_interval, 3 s, 0.5 to 30 s | `spreading -- repair` |
//! | buckets, digests | 128, 8 bytes a record | `spreading -- cost` |
//! | pulls at a time | 2 | `spreading -- joining` |
//! | window of messages, bursts, resends | 32 to 128 KiB, 32 KiB, a round trip and its variation | `messages` |
//! | who was buried again stays away | 10 s × 2^p, at most 320 s | `loss -- flip` |
//! | isolation, healing | isolation_timeout, rejoin_interval | `healing`, `detector -- survivors` |

mod accuse;
mod acquaint;
mod addresses;
mod admit;
mod announce;
mod bounds;
mod broadcasts;
mod claims;
mod compare;
mod contract;
mod core;
mod crowd;
mod depart;
mod detect;
mod fetch;
mod heal;
pub(crate) mod health;
mod hints;
mod identity;
#[cfg(feature = "bench")]
pub(crate) mod imagine;
mod join;
mod members;
mod messages;
mod names;
mod probe;
mod receive;
mod relocate;
#[cfg(feature = "encryption")]
mod replay;
mod ring;
mod rumors;
#[cfg(feature = "encryption")]
mod seal;
mod seek;
mod spread;
mod state;
mod suspicion;
mod sync;
mod time;
#[cfg(not(feature = "encryption"))]
mod unsealed;
mod view;
mod vouch;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

pub use contract::Rule;
pub(crate) use contract::{
    Answer, Bound, Call, Chore, Duty, Handover, Heard, Note, Seen, Settings, Transmit, Without,
};
pub(crate) use join::copy as copy_error;
pub(crate) use time::Instant;

use self::core::Core;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::metrics::Metrics;
use crate::node::{Generation, Incarnation};
use crate::state::Collected;
use crate::wire::{ClusterTag, NameHash};
use addresses::Addresses;
use broadcasts::Broadcasts;
use fetch::Fetches;
use health::{Burials, Damping, Ears, Health};
use join::{Approaches, CookieJar, GivenCookies, Join, NameChecks};
use members::Members;
use messages::Messages;
use probe::{Errands, Probes};
use receive::Context;
use ring::Rounds;
use rumors::Rumors;
use seek::Search;
use suspicion::Suspicions;
use sync::{Comparer, ExchangeId, Exchanges};
use time::Deadlines;

/// What wakes the duty to disseminate, besides rumors, exchanges and approaches, which have deadlines of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A suspicion is to be shown to users.
    Show(NameHash),
    /// A suspicion has lasted long enough.
    Suspicion(NameHash),
    /// To see whether nobody was heard for `isolation_timeout`.
    Isolation,
    /// An accusation is to be refuted.
    Refute,
    /// Probe the dead.
    Heal,
    /// Look for others.
    Seek,
    /// To see whether our address is still ours.
    Address,
    /// The oldest tombstone is to be forgotten.
    Reap,
    /// Views that differed are to be compared again.
    Recheck,
    /// Nodes that somebody holds dead, or says that they left, are to be asked.
    Told,
    /// Those who have told of leaves are to be asked again whether they did.
    Doubts,
    /// A join is out of time.
    Join(Call),
    /// The leave is to be told again, or is out of time.
    Leave,
    /// Another run of our name is to be probed.
    Rival,
    /// What others have of us that we never said is to be answered.
    Claims,
    /// An ack of a message is late, or a message is out of time.
    Resend,
    /// To see whether nothing came of an incomplete message for long.
    Stale,
}

/// The protocol of one member.
#[derive(Debug)]
pub(crate) struct Protocol {
    core: Core,
    /// When half of the others had started, as of this moment.
    median_start: Option<(Instant, u64)>,
    suspicions: Suspicions,
    probes: Probes,
    errands: Errands,
    rounds: Rounds,
    round: u32,
    heard_round: Option<u32>,
    next_tick: Instant,
    health: Health,
    ears: Ears,
    damping: Damping,
    crowd: crowd::Crowd,
    burials: Burials,
    last_lag: Option<Instant>,
    /// The highest incarnation of ours that was accused and not refuted yet.
    accused: Option<Incarnation>,
    refuted: Option<Instant>,
    /// Who holds us dead and should hear of our return.
    accusers: Vec<SocketAddr>,
    /// When it was last looked whether our address is still ours.
    address_doubted: Option<Instant>,
    rumors: Rumors,
    ring_offsets: (usize, Vec<usize>),
    comparer: Comparer,
    recheck: Option<compare::Recheck>,
    exchanges: Exchanges,
    /// The joins that wait for an exchange.
    fills: BTreeMap<ExchangeId, Vec<(Call, SocketAddr)>>,
    /// Whether our view was ever brought up to date with somebody else's.
    has_synced: bool,
    /// The joins that wait for the states of a seed.
    settling: Vec<(Call, SocketAddr, NameHash)>,
    fetches: Fetches,
    /// States that are collected anew.
    collected: BTreeMap<NameHash, (Generation, Collected)>,
    /// The version after which the newest rumor about our own state begins.
    open_chunk: u64,
    state_budget: state::Budget,
    broadcasts: Broadcasts,
    told: VecDeque<compare::Told>,
    doubts: vouch::Doubts,
    /// Nodes that were dead here and came back a moment ago.
    returned: BTreeMap<NameHash, Instant>,
    regossiped: (u64, u32),
    approaches: Approaches,
    search: Search,
    joins: BTreeMap<Call, Join>,
    name_checks: NameChecks,
    rival: Option<(SocketAddr, Generation)>,
    claims: claims::Claims,
    hints: (u64, u32),
    messages: Messages,
}

impl Protocol {
    /// `wall` is the time since the Unix epoch that belongs to `now`; `seed` seeds all of its randomness.
    pub(crate) fn new(settings: Settings, now: Instant, wall: Duration, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let tag = ClusterTag::of(&settings.cluster);
        let me = NameHash::of(tag, &settings.name);
        let generation = identity::generation(wall, &mut rng);
        let retry = settings.gossip_interval * 5 / 2;
        let phase = rng.random_range(0..settings.probe_interval.as_micros().max(1));
        let phase = Duration::from_micros(u64::try_from(phase).unwrap_or(0));
        let mut timers = Deadlines::new();
        if settings.discovers {
            timers.set(Timer::Seek, now);
        } else {
            timers.set(Timer::Address, now + settings.rejoin_interval);
        }
        let messages = Messages::new(&settings);
        let round = rng.next_u32() >> 8;
        let cookies = (rng.next_u64(), rng.next_u64());
        let state_rate = settings.state_rate;
        let gossip_interval = settings.gossip_interval;
        let mut protocol = Self {
            core: Core {
                tag,
                me,
                generation,
                incarnation: Incarnation(0),
                started: now,
                wall,
                members: Members::new(tag, settings.max_nodes, now),
                cookies: CookieJar::new(cookies),
                given: GivenCookies::default(),
                addresses: Addresses::default(),
                leave: None,
                #[cfg(feature = "encryption")]
                sealing: seal::Sealing::new(settings.keyring.clone(), seed),
                next_call: 0,
                timers,
                transmits: VecDeque::new(),
                spare: Vec::new(),
                events: VecDeque::new(),
                answers: VecDeque::new(),
                chores: VecDeque::new(),
                notes: VecDeque::new(),
                end: None,
                ended: false,
                metrics: Metrics::default(),
                rng,
                settings,
            },
            median_start: None,
            suspicions: Suspicions::default(),
            probes: Probes::default(),
            errands: Errands::new(),
            rounds: Rounds::default(),
            round,
            heard_round: None,
            next_tick: now + phase,
            health: Health::default(),
            ears: Ears::new(now),
            damping: Damping::default(),
            crowd: crowd::Crowd::default(),
            burials: Burials::default(),
            last_lag: None,
            accused: None,
            refuted: None,
            accusers: Vec::new(),
            address_doubted: None,
            rumors: Rumors::new(now, gossip_interval),
            ring_offsets: (0, Vec::new()),
            comparer: Comparer::new(now),
            recheck: None,
            exchanges: Exchanges::new(retry),
            fills: BTreeMap::new(),
            has_synced: false,
            settling: Vec::new(),
            fetches: Fetches::new(retry),
            collected: BTreeMap::new(),
            open_chunk: 0,
            state_budget: state::Budget::new(now, state_rate),
            broadcasts: Broadcasts::new(),
            told: VecDeque::new(),
            doubts: vouch::Doubts::default(),
            returned: BTreeMap::new(),
            regossiped: (0, 0),
            approaches: Approaches::new(retry),
            search: Search::default(),
            joins: BTreeMap::new(),
            name_checks: NameChecks::new(),
            rival: None,
            claims: claims::Claims::default(),
            hints: (0, 0),
            messages,
        };
        protocol.publish_self(now);
        protocol
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) told for a duty has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant, duty: Duty) {
        if self.core.ended {
            return;
        }
        self.observe_lag(now, None);
        match duty {
            Duty::Probe => self.detect(now),
            Duty::Disseminate => {
                while let Some(timer) = self.core.timers.pop_due(now) {
                    self.handle_timer(now, timer);
                }
                self.retry_exchanges(now);
                self.retry_approaches(now);
                self.give_up_broadcasts(now);
                self.retry_fetches(now);
            }
        }
        self.messages.end_with_the_gone(&mut self.core, now);
        self.spread(now);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        while let Some(transmit) = self.core.transmits.pop_front() {
            if let Some(transmit) = self.sealed(transmit) {
                self.core.metrics.datagrams_sent += 1;
                self.core.metrics.bytes_sent += transmit.datagram.len() as u64;
                return Some(transmit);
            }
        }
        None
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    pub(crate) fn poll_answer(&mut self) -> Option<(Call, Answer)> {
        self.core.answers.pop_front()
    }

    pub(crate) fn poll_chore(&mut self) -> Option<Chore> {
        self.core.chores.pop_front()
    }

    pub(crate) fn poll_note(&mut self) -> Option<Note> {
        self.core.notes.pop_front()
    }

    /// Why the protocol has stopped for good by itself: `NameTaken` after a lost name conflict.
    pub(crate) fn poll_end(&mut self) -> Option<Error> {
        self.core.end.take()
    }

    /// The next wake-up of a duty.
    pub(crate) fn poll_timeout(&self, duty: Duty) -> Option<Instant> {
        if self.core.ended {
            return None;
        }
        let alone = self.core.members.ring().len() < 2;
        let deadlines = match duty {
            Duty::Probe => {
                let tick = (!alone && self.core.leave.is_none()).then_some(self.next_tick);
                [tick, self.probes.next_due(), self.errands.next_due(), None, None, None]
            }
            Duty::Disseminate => [
                self.core.timers.next(),
                if alone { None } else { self.rumors.due() },
                self.exchanges.next_due(),
                self.approaches.next_due(),
                self.fetches.next_due(),
                self.broadcasts.next_due(),
            ],
        };
        deadlines.into_iter().flatten().min()
    }

    /// Sends a message to an active node. Answered with [`Answer::Sent`].
    pub(crate) fn send(&mut self, now: Instant, name: &str, payload: Vec<u8>) -> Result<Call> {
        self.messages.send(&mut self.core, now, name, payload)
    }

    /// What became of the [`Event::Message`] that was polled last.
    pub(crate) fn settle(&mut self, now: Instant, handover: Handover) {
        self.messages.settle(&mut self.core, now, handover);
    }

    /// Takes back the memory of a datagram that was sent, for the next one.
    pub(crate) fn reuse(&mut self, datagram: Vec<u8>) {
        self.core.reuse(datagram);
    }

    /// Raises the own incarnation, as if an accusation was refuted: the smallest piece of news there is.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.core.incarnation = Incarnation(self.core.incarnation.0 + 1);
        self.publish_self(now);
        self.push_rumor(now, self.core.me);
        self.spread(now);
    }

    fn handle_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Show(name) => self.show_suspicion(name),
            Timer::Suspicion(name) => self.bury(now, name),
            Timer::Isolation => self.check_isolation(now),
            Timer::Refute => self.refute(now),
            Timer::Heal => self.heal(now),
            Timer::Seek => self.seek(now),
            Timer::Address => self.check_address_alone(now),
            Timer::Reap => self.reap(now),
            Timer::Recheck => self.compare_again(now),
            Timer::Told => self.ask_the_told(now),
            Timer::Doubts => self.repeat_doubts(now),
            Timer::Join(call) => self.join_is_over(now, call),
            Timer::Leave => self.tell_leave(now),
            Timer::Rival => self.probe_rival(now),
            Timer::Claims => self.answer_claims(now),
            Timer::Resend => self.messages.resend(&mut self.core, now),
            Timer::Stale => self.messages.drop_stale(&mut self.core, now),
        }
    }

    /// Stops for good.
    fn stop(&mut self, error: Error) {
        self.core.ended = true;
        self.core.end = Some(error);
        self.core.transmits.clear();
    }
}

#[cfg(test)]
mod tests;
