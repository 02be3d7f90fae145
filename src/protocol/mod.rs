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
//! protocol.handle_timeout(now, kind)                        the time that poll_timeout(kind) told has come
//! protocol.join(…) / ping(…) / send(…) / leave(…) / …       a user wants something
//!
//! while let Some(event)    = protocol.poll_event()    { … } for the user, in order; each message is settled
//!     protocol.complete(now, enqueued)                        at once: whether the user gets it, for the ack
//! while let Some(transmit) = protocol.poll_transmit() { … } datagrams to send, in order, and soon; each may come back
//!     protocol.reuse(datagram)                              when it was sent: so a member at rest allocates nothing
//! while let Some(answer)   = protocol.poll_result()   { … } to earlier calls
//! while let Some(task)    = protocol.poll_task()    { … } work that may block
//! while let Some(note)     = protocol.poll_log_record()     { … } lines to log
//! protocol.poll_end()                                       it has stopped for good
//! protocol.poll_timeout(kind)                               the next wake-up, one for each kind
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
//! | ask first | deaths of healthy nodes at healthy members after a cut: 0, and 177 a run | `rules -- split VerifyFirst` |
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

mod acquaint;
mod admission;
mod api;
mod bounds;
mod broadcast;
mod core;
mod detection;
mod dissemination;
mod gossip;
mod identity;
#[cfg(feature = "bench")]
pub(crate) mod imagine;
mod membership;
mod messages;
mod news;
mod receive;
mod sealing;
mod state;
mod sync;
mod time;
mod view;

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;

pub(crate) use admission::copy_error;
pub use api::Rule;
pub(crate) use api::{
    Bound, BroadcastProgress, CallResult, EnqueueResult, LogRecord, RequestId, Seen, Settings, Task,
    TimerKind, Transmit, Without,
};
pub(crate) use time::Instant;

use self::core::cookies::CookieJar;
use self::core::{Core, Timer};
use crate::error::{Error, Result};
use crate::event::Event;
#[cfg(feature = "encryption")]
use crate::keyring::Keyring;
use crate::node::{Generation, Incarnation};
use crate::wire::address::canonical;
use crate::wire::lists::Lack;
use crate::wire::{NameHash, Seq};
use admission::Admission;
use broadcast::Broadcasts;
use detection::{Detection, Outcome, Purpose, Target};
use dissemination::Dissemination;
use identity::{Defence, Identity};
use messages::Messages;
use sealing::Sealing;
use state::States;
use sync::pull::{Item, Pulls};
use sync::{Ended, Sync};

/// Members that are sent a hello when our address has changed; the others hear of it from them.
const TOLD_OF_CHANGE: usize = 3;

/// The protocol of one member: what all parts are handed, and the parts.
#[derive(Debug)]
pub(crate) struct Protocol {
    core: Core,
    identity: Identity,
    detection: Detection,
    dissemination: Dissemination,
    sync: Sync,
    pulls: Pulls,
    states: States,
    broadcasts: Broadcasts,
    messages: Messages,
    admission: Admission,
    sealing: Sealing,
}

impl Protocol {
    /// `wall` is the time since the Unix epoch that belongs to `now`; `seed` seeds all of its randomness.
    pub(crate) fn new(settings: Settings, now: Instant, wall: Duration, seed: [u8; 32]) -> Self {
        let retry = settings.gossip_interval * 5 / 2;
        let mut core = Core::new(settings, now, wall, seed);
        let detection = Detection::new(&mut core, now);
        core.cookies = CookieJar::new((core.rng.next_u64(), core.rng.next_u64()));
        if core.settings.discovers {
            core.timers.set(Timer::Rejoin, now);
        } else {
            core.timers.set(Timer::Address, now + core.settings.rejoin_interval);
        }
        let sealing = Sealing::new(&mut core, seed);
        core.publish_self(now);
        Self {
            identity: Identity::default(),
            detection,
            dissemination: Dissemination::new(),
            sync: Sync::new(now, retry),
            pulls: Pulls::new(retry),
            states: States::new(now, core.settings.state_rate),
            broadcasts: Broadcasts::new(),
            messages: Messages::new(&core.settings),
            admission: Admission::new(retry),
            sealing,
            core,
        }
    }

    /// Comes back after an earlier run: as a later one, also if the clock went back meanwhile, and with the keys and
    /// values that are to be kept. Before anything was told to anybody.
    pub(crate) fn resume<'a>(
        &mut self,
        now: Instant,
        earlier: Generation,
        kept: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) {
        identity::resume(&mut self.core, now, earlier);
        self.states.resume(&mut self.core, now, kept);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) told for a kind has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant, kind: TimerKind) {
        if self.core.ended {
            return;
        }
        self.observe_lag(now, None);
        match kind {
            TimerKind::Probe => {
                while let Some(probe) = self.detection.next_failed(&mut self.core, now) {
                    let outcome = self.detection.failed(&mut self.core, now, probe);
                    self.probe_ended(now, outcome);
                }
                self.detection.nack_askers(&mut self.core, now);
                self.detection.tick(&mut self.core, now);
            }
            TimerKind::Disseminate => {
                while let Some(timer) = self.core.timers.pop_due(now) {
                    self.handle_timer(now, timer);
                }
                while let Some(Ended { peer, .. }) = self.sync.next_given_up(&mut self.core, now) {
                    self.admission.sync_failed(&mut self.core, now, peer.name, Error::NoAnswer);
                }
                self.admission.send_hellos(&mut self.core, now);
                self.close_gaps(now);
                self.pull_missing(now);
            }
        }
        self.messages.end_with_the_gone(&mut self.core, now);
        self.gossip(now);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        while let Some(transmit) = self.core.transmits.pop_front() {
            if let Some((transmit, hello)) = self.sealing.seal(transmit) {
                if let Some(hello) = hello {
                    self.admission.hello_sealed(hello.seq, hello.counter);
                }
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

    pub(crate) fn poll_result(&mut self) -> Option<(RequestId, CallResult)> {
        self.core.answers.pop_front()
    }

    pub(crate) fn poll_task(&mut self) -> Option<Task> {
        self.core.tasks.pop_front()
    }

    pub(crate) fn poll_log_record(&mut self) -> Option<LogRecord> {
        self.core.notes.pop_front()
    }

    /// Why the protocol has stopped for good by itself: `NameTaken` after a lost name conflict.
    pub(crate) fn poll_end(&mut self) -> Option<Error> {
        self.core.end.take()
    }

    /// The next wake-up of a kind.
    pub(crate) fn poll_timeout(&self, kind: TimerKind) -> Option<Instant> {
        if self.core.ended {
            return None;
        }
        match kind {
            TimerKind::Probe => self.detection.next_due(&self.core),
            TimerKind::Disseminate => {
                let is_alone = self.core.members.ring().len() < 2;
                let deadlines = [
                    self.core.timers.next(),
                    if is_alone { None } else { self.core.rumors.due() },
                    self.sync.next_due(),
                    self.admission.next_due(),
                    self.pulls.next_due(),
                    self.broadcasts.next_due(),
                ];
                deadlines.into_iter().flatten().min()
            }
        }
    }

    /// Joins through the members at these addresses, all at once. Answered with [`CallResult::Joined`].
    pub(crate) fn join(&mut self, now: Instant, seeds: &[SocketAddr]) -> RequestId {
        self.admission.join(&mut self.core, now, seeds)
    }

    /// Addresses at which members may be: says hello to those that are not in the view.
    pub(crate) fn addresses_found(&mut self, now: Instant, found: &[SocketAddr]) {
        let stays_away = self.identity.stays_away(now);
        self.admission.addresses_found(&mut self.core, now, found, stays_away);
    }

    /// Where others reach us from now on; most often where they did before.
    pub(crate) fn change_address(&mut self, now: Instant, addr: SocketAddr) {
        if !identity::change_address(&mut self.core, now, canonical(addr)) {
            return;
        }
        let mut others: Vec<_> = self.core.others().collect();
        for _ in 0..TOLD_OF_CHANGE {
            let Some(other) = self.core.draw(&others) else {
                break;
            };
            others.retain(|name| *name != other);
            if let Some(addr) = self.core.members.get(other).map(|entry| entry.addr()) {
                self.attempt_join(now, addr);
            }
        }
        self.gossip(now);
    }

    /// Says that this member goes. Answered with [`CallResult::Left`].
    pub(crate) fn leave(&mut self, now: Instant, timeout: Duration) -> RequestId {
        let (call, begins) = self.admission.leave(&mut self.core, now, timeout);
        if begins {
            // The rumor goes along the ring as it is with us in it, and at once.
            self.gossip(now);
            let verdict = self.core.own_leave();
            self.core.members.merge_verdict(now, &verdict);
        }
        call
    }

    /// Buries a dead node for good: it counts as one that left.
    pub(crate) fn force_leave(&mut self, now: Instant, name: &str) -> Result<()> {
        if let Some(verdict) = admission::force_leave(&self.core, name)? {
            self.take_verdict(now, &verdict);
            self.gossip(now);
        }
        Ok(())
    }

    /// Measures the round trip to an active node. Answered with [`CallResult::Pinged`].
    pub(crate) fn ping(&mut self, now: Instant, name: &str) -> Result<RequestId> {
        self.detection.ping(&mut self.core, now, name)
    }

    /// Writes a key of our own state.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Config`], [`Error::Closed`]: nothing was written.
    pub(crate) fn set(&mut self, now: Instant, key: &str, value: &[u8]) -> Result<()> {
        if self.states.set(&mut self.core, now, key, value)? {
            self.gossip(now);
        }
        Ok(())
    }

    /// Removes a key of our own state.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: nothing was removed.
    pub(crate) fn remove(&mut self, now: Instant, key: &str) -> Result<()> {
        if self.states.remove(&mut self.core, now, key)? {
            self.gossip(now);
        }
        Ok(())
    }

    /// Says something to all others.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Closed`]: nothing was sent.
    pub(crate) fn broadcast(&mut self, now: Instant, payload: &[u8]) -> Result<()> {
        if self.broadcasts.broadcast(&mut self.core, now, payload)? {
            self.gossip(now);
        }
        Ok(())
    }

    /// Sends a message to an active node. Answered with [`CallResult::Sent`].
    pub(crate) fn send(&mut self, now: Instant, name: &str, payload: Vec<u8>) -> Result<RequestId> {
        self.messages.send(&mut self.core, now, name, payload)
    }

    /// What became of the [`Event::Message`] that was polled last.
    pub(crate) fn complete(&mut self, now: Instant, enqueued: EnqueueResult) {
        self.messages.complete(&mut self.core, now, enqueued);
    }

    /// What this member makes of keys.
    #[cfg(feature = "encryption")]
    pub(crate) fn keyring(&self) -> &Keyring {
        self.sealing.keyring()
    }

    /// Changes what this member makes of keys, from the next datagram on.
    #[cfg(feature = "encryption")]
    pub(crate) fn change_keyring(
        &mut self,
        change: &mut dyn FnMut(&mut Keyring) -> Result<()>,
    ) -> Result<()> {
        self.sealing.change_keyring(&mut self.core, change)
    }

    /// Takes back the memory of a datagram that was sent, for the next one.
    pub(crate) fn reuse(&mut self, datagram: Vec<u8>) {
        self.core.reuse(datagram);
    }

    /// Raises the own incarnation, as if an accusation was refuted: the smallest piece of news there is.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.core.incarnation = Incarnation(self.core.incarnation.0 + 1);
        self.core.publish_self(now);
        self.core.push_rumor(now, self.core.me);
        self.gossip(now);
    }

    fn handle_timer(&mut self, now: Instant, timer: Timer) {
        let core = &mut self.core;
        match timer {
            Timer::Show(name) => Detection::show_suspicion(core, name),
            Timer::Suspicion(name) => {
                if let Some(verdict) = self.detection.declare_dead(core, now, name) {
                    self.take_verdict(now, &verdict);
                }
            }
            Timer::Isolation => {
                if self.detection.check_isolation(core, now) {
                    admission::rejoin_if_alone(core, now);
                }
            }
            Timer::Refute => {
                let defence = self.identity.refute(core, now);
                self.defend(now, defence);
            }
            Timer::Reconnect => self.detection.reconnect(core, now),
            Timer::Rejoin => self.admission.rejoin(core, now),
            Timer::Address => identity::check_address_alone(core, now),
            Timer::Reap => core.reap(now),
            Timer::Recheck => {
                if let Some((peer, asked)) = self.sync.next_recheck(core, now) {
                    self.detection.probe_node(core, now, Purpose::Compare { asked }, peer);
                }
            }
            Timer::Verify => self.detection.verify_reported(core, now),
            Timer::Doubts => self.admission.repeat_doubts(core, now),
            Timer::Join(call) => {
                if let Some((addr, seed)) = self.admission.join_timeout(core, now, call) {
                    self.joined(now, call, addr, seed);
                }
            }
            Timer::Leave => self.admission.send_leave(core, now),
            Timer::Rival => self.probe_rival(now),
            Timer::Claims => self.answer_claims(now),
            Timer::Resend => self.messages.resend(core, now),
            Timer::Stale => self.messages.drop_stale(core, now),
        }
    }

    /// Notices that we were away: a deadline or a datagram is handled far past its time.
    fn observe_lag(&mut self, now: Instant, received: Option<Instant>) {
        let due =
            [TimerKind::Probe, TimerKind::Disseminate].into_iter().filter_map(|kind| self.poll_timeout(kind));
        // Rumors to be sent at once are due at the beginning of time: they tell nothing.
        let due = due.filter(|at| *at > self.core.started).chain(received).min();
        self.detection.observe_lag(&mut self.core, now, due);
    }

    /// Tries to become known to the member at an address, unless we are to stay away.
    fn attempt_join(&mut self, now: Instant, addr: SocketAddr) {
        if !self.identity.stays_away(now) {
            self.admission.attempt(&mut self.core, now, addr);
        }
    }

    /// What a probe that is over means to the other parts.
    fn probe_ended(&mut self, now: Instant, outcome: Option<Outcome>) {
        match outcome {
            None => {}
            Some(Outcome::Incumbent { name, generation, addr, answers }) => {
                self.admission.name_checked(now, name, (generation, addr), answers);
            }
            Some(Outcome::Rival { addr, answers: true, .. }) => identity::yield_name(&mut self.core, addr),
            Some(Outcome::Rival { generation, answers: false, .. }) => {
                self.identity.forget_rival();
                self.renew(now, generation);
            }
            Some(Outcome::Left(verdict)) => self.take_verdict(now, &verdict),
        }
    }

    /// Asks whether the other run of our name is there.
    fn probe_rival(&mut self, now: Instant) {
        let Some((addr, generation)) = self.identity.rival(&self.core) else {
            return;
        };
        let target = Target { name: self.core.me, addr, generation, incarnation: Incarnation(0) };
        if self.detection.probe(&mut self.core, now, Purpose::Rival, target).is_none() {
            self.core.timers.set(Timer::Rival, now + self.core.settings.probe_interval);
        }
    }

    /// What the defence against an accusation leads to.
    fn defend(&mut self, now: Instant, defence: Defence) {
        if defence.refuted {
            self.detection.refuted(&self.core, now);
        }
        for addr in defence.return_to {
            self.attempt_join(now, addr);
        }
    }

    /// Takes a generation above one that is known of our name, and gossips it. Our state goes with us.
    fn renew(&mut self, now: Instant, above: Generation) {
        if above < self.core.generation {
            return;
        }
        let state = state::own_state(&self.core);
        self.identity.renew(&mut self.core, now, above);
        self.states.carry(&mut self.core, now, state);
    }

    /// Goes on above all that was claimed of us.
    fn answer_claims(&mut self, now: Instant) {
        let claims = self.identity.take_claims(&mut self.core, now);
        if let Some(run) = claims.run.filter(|run| *run >= self.core.generation) {
            // What was claimed of the run before it means nothing any more.
            self.renew(now, run);
            return;
        }
        if claims.broadcast > self.core.own_record().broadcast {
            self.core.members.set_broadcast(now, self.core.me, claims.broadcast);
        }
        if self.states.rewrite_above(&mut self.core, now, claims.version) {
            self.gossip(now);
        }
    }

    /// A join has come through: we are in sync with a seed.
    fn joined(&mut self, now: Instant, call: RequestId, addr: SocketAddr, seed: NameHash) {
        if self.admission.joined(&mut self.core, call, addr) {
            self.sync.set_synced();
            state::gossip_own(&mut self.core, now);
            self.sync.recheck_with_another(&mut self.core, now, seed);
        }
    }

    /// An exchange is complete.
    fn exchange_ended(&mut self, now: Instant, ended: Ended) {
        self.admission.synced(ended.peer.name);
        self.settle_joins(now, ended.peer.name);
        if ended.filled {
            self.sync.recheck_with_another(&mut self.core, now, ended.peer.name);
        }
    }

    /// We hold the records of a seed; if its states are here, too, or it does not give them, the joins are through.
    fn settle_joins(&mut self, now: Instant, seed: NameHash) {
        if !self.admission.is_settling() || self.pulls.is_asking(seed) {
            return;
        }
        for (call, addr) in self.admission.take_settled(seed) {
            self.joined(now, call, addr, seed);
        }
    }

    /// Asks origins for the broadcasts that were missing for long, and gives them up when that is in vain.
    fn close_gaps(&mut self, now: Instant) {
        while let Some(gap) = self.broadcasts.pop_due(now) {
            let item = Item::Broadcasts(gap.origin);
            if self.pulls.is_asked(item) {
                self.broadcasts.await_answer(now, gap);
            } else if !gap.urged {
                self.broadcasts.urge(now, gap);
                self.pulls.lacks(now, item, gap.generation, gap.upto, gap.origin, true);
            } else {
                self.broadcasts.skip(&mut self.core, now, &gap);
            }
        }
    }

    /// Asks for what is missing of states and broadcasts, and again for what was not answered.
    fn pull_missing(&mut self, now: Instant) {
        while let Some(due) = self.pulls.pop_due(now) {
            match due {
                sync::pull::Due::Ask(peer) => self.pull_from(now, peer),
                sync::pull::Due::Again(seq) => self.send_pull(now, seq),
                sync::pull::Due::GivenUp(request) => {
                    self.pulls.forget(&request);
                    for (item, _) in &request.items {
                        if let Item::State(subject) = item {
                            self.states.give_up(*subject);
                        }
                    }
                    self.settle_joins(now, request.peer.name);
                }
            }
        }
    }

    fn pull_from(&mut self, now: Instant, name: NameHash) {
        let Some(peer) = self.core.peer(name) else {
            self.pulls.forget_teller(name);
            self.settle_joins(now, name);
            return;
        };
        let states = &self.states;
        self.pulls.ask(
            &mut self.core,
            now,
            peer,
            |core, item, run| held(core, states, item, Some(run)),
            |core, item| lack(core, states, item),
        );
        // All of it may have come by another way.
        self.settle_joins(now, name);
    }

    fn send_pull(&mut self, now: Instant, seq: Seq) {
        let states = &self.states;
        self.pulls.send(&mut self.core, now, seq, |core, item| lack(core, states, item));
    }
}

/// How far we have an item, if it is of this run.
fn held(core: &Core, states: &States, item: Item, run: Option<Generation>) -> Option<u64> {
    match item {
        Item::State(subject) => states.held(core, subject, run),
        Item::Broadcasts(origin) => broadcast::held_of_run(core, origin, run),
    }
}

/// How to ask for an item.
fn lack(core: &Core, states: &States, item: Item) -> Option<Lack> {
    match item {
        Item::State(subject) => states.lack(core, subject),
        Item::Broadcasts(origin) => broadcast::lack(core, origin),
    }
}

#[cfg(test)]
mod tests;
