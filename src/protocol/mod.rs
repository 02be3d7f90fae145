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
//! Calling `handle_timeout` too early does nothing; too late is noticed (see [`detection`]). The same seed and the
//! same inputs give the same outputs, byte for byte.
//!
//! # The rooms
//!
//! Each part is a struct with private fields. Its methods are handed the [`core`], and no part knows another one or
//! [`Protocol`]: a test reads the imports. What one part's outcome means to another is a value that a method returns,
//! and on which the router acts at once.
//!
//! | room | holds |
//! |---|---|
//! | [`core`] | what all parts are handed: settings, our run, clock, random numbers, the view, rumors, cookies, requests, timers, outputs |
//! | [`membership`] | the records and the merge rule, suspicions, the ring |
//! | [`detection`] | rounds of probes, relays, suspicions, reported deaths, reconnecting, doubt about ourselves |
//! | [`dissemination`] | to whom rumors go |
//! | [`sync`] | when and how views are compared, and pulling what others have of states and broadcasts |
//! | [`state`], [`broadcast`], [`messages`] | what programs say: key-value states, broadcasts to all, messages to one node |
//! | [`admission`] | joining, names, leaving, looking for others in the background |
//! | [`identity`] | our own run: its defence, rivals for its name, claims, change of address |
//! | [`sealing`] | sealed datagrams, with and without the feature `encryption` |
//!
//! And the router, each file an `impl Protocol`:
//!
//! | file | routes |
//! |---|---|
//! | this one | calls of users, and timers |
//! | [`receive`] | the bodies of a datagram |
//! | [`news`] | records and verdicts, and what merging them has changed |
//! | [`gossip`] | a round of rumors: each topic is written by the part that knows it |
//! | [`unreadable`] | datagrams that cannot be used: their senders are answered, and operators are warned |
//! | [`routing`] | outcomes of probes, requests, exchanges and pulls |
//! | [`departing`] | leaves, our own and those of others |
//! | [`view`], [`bounds`] | nothing: what readers are shown, and how much there is of everything |
//! | `acquaint`, `imagine`, [`rules`] | for simulations and benchmarks; the rules table says where the numbers come from |
//!
//! **A datagram** goes through the rooms in this order, each entered once if it concerns it: [`receive`] checks the lists
//! and the cluster's tag; [`detection`] notices if we were asleep; [`sealing`] opens it; the record of its sender says
//! whether that is known ([`membership`]); then each body goes to the part that it is for. A ping: [`detection`] hears the
//! round, [`news`] takes the incarnation, and [`detection`] writes the ack with what the [`core`] has of news. When all
//! bodies are read, what they have led to is done once: hello to a stranger ([`admission`]), the answer to an offer and the
//! next requests of an exchange ([`sync`]), the end of a pull; [`sealing`] notes the sender; [`messages`] of nodes that are
//! gone end; and [`gossip`] sends a round, if one is due.
//!
//! **A `set`** enters [`state`], which writes the value into our record ([`membership`]) and queues a rumor ([`core`]).
//! Then [`gossip`] begins a round: [`dissemination`] chooses the peers, and [`state`] writes the delta into each datagram.
//!
//! **A `join`** is one [`admission`] call with a stage. *Asking*: each seed gets a hello ([`core`] keeps the request and
//! repeats it), a challenge brings the cookie, and a welcome ends it. *Syncing*: [`sync`] fills the view or compares it;
//! each record goes through [`news`], which notes in the pulls what is missing of states. *Settling*: the pulls bring the
//! beginning of each state that the seed has ([`state`]). Then the join is answered, our state goes round, and [`sync`] compares views with one
//! more member.
//!
//! Where the numbers come from stands in [`rules`].

#[cfg(any(test, fuzzing, headcount_bench))]
mod acquaint;
mod admission;
mod api;
mod bounds;
mod broadcast;
mod core;
mod departing;
mod detection;
mod dissemination;
mod gossip;
mod identity;
#[cfg(headcount_bench)]
pub(crate) mod imagine;
mod membership;
mod messages;
mod news;
mod receive;
mod routing;
pub(crate) mod rules;
mod sealing;
mod state;
mod sync;
mod time;
mod unreadable;
mod view;

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;

pub(crate) use admission::copy_error;
pub(crate) use api::{
    Bound, BroadcastProgress, CallResult, EnqueueResult, LogRecord, RequestId, Seen, Settings, Task,
    TimerKind, Transmit,
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
use admission::Admission;
use broadcast::Broadcasts;
use detection::{Detection, Purpose};
use dissemination::Dissemination;
use identity::Identity;
use messages::Messages;
use sealing::Sealing;
use state::States;
use sync::Sync;
use sync::pull::Pulls;

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

    /// Comes back after an earlier run: as a later one, also if the clock went back meanwhile. Before anything is sent.
    pub(crate) fn resume(&mut self, now: Instant, earlier: Generation) {
        identity::resume(&mut self.core, now, earlier);
    }

    /// Begins with these keys and values. Before anything is sent.
    pub(crate) fn begin_with<'a>(&mut self, now: Instant, items: impl Iterator<Item = (&'a str, &'a [u8])>) {
        self.states.begin(&mut self.core, now, items);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) returned for a kind of timer has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant, kind: TimerKind) {
        if self.core.ended {
            return;
        }
        self.observe_lag(now, None);
        match kind {
            TimerKind::Probe => {
                while let Some(probe) = self.detection.next_failed(&mut self.core, now) {
                    let outcome = self.detection.failed(&mut self.core, now, &probe);
                    self.probe_ended(now, outcome);
                }
                self.detection.nack_askers(&mut self.core, now);
                self.detection.tick(&mut self.core, now);
            }
            TimerKind::Disseminate => {
                while let Some(timer) = self.core.timers.pop_due(now) {
                    self.handle_timer(now, timer);
                }
                while let Some(due) = self.core.next_due_request(now) {
                    self.repeat(now, &due);
                }
                self.broadcasts.go_on_saying(&mut self.core, now);
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
                    self.admission.hello_sealed(hello.seq, hello.counter, &transmit.datagram);
                }
                if self.sealing.accepts_plain() {
                    self.core.note_sent(&transmit.datagram);
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

    /// The next wake-up of a kind of timer.
    pub(crate) fn poll_timeout(&self, kind: TimerKind) -> Option<Instant> {
        if self.core.ended {
            return None;
        }
        match kind {
            TimerKind::Probe => self.detection.next_due(&self.core),
            TimerKind::Disseminate => {
                let is_alone = self.core.is_alone();
                let deadlines = [
                    self.core.timers.next(),
                    if is_alone { None } else { self.core.rumors.due() },
                    self.core.requests.next_due(),
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
        if others.is_empty() {
            // The change of address may be the reason why nobody answers.
            others.extend(self.core.members.roster().hidden());
        }
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
            self.broadcasts.close(&mut self.core);
            self.send_leave(now);
        }
        call
    }

    /// Buries a dead node for good: it counts as one that left.
    pub(crate) fn force_leave(&mut self, now: Instant, name: &str) -> Result<()> {
        if let Some(verdict) = admission::force_leave(&self.core, name)? {
            self.take_verdict(now, &verdict, self.core.me);
            self.gossip(now);
        }
        Ok(())
    }

    /// Measures the round trip to an active node. Answered with [`CallResult::Pinged`].
    pub(crate) fn ping(&mut self, now: Instant, name: &str) -> Result<RequestId> {
        self.detection.ping(&mut self.core, now, name)
    }

    /// Writes keys of our own state, and removes those without a value.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Config`], [`Error::Closed`]: nothing was written.
    pub(crate) fn update(&mut self, now: Instant, changes: &[(&str, Option<&[u8]>)]) -> Result<()> {
        if self.states.update(&mut self.core, now, changes)? {
            self.gossip(now);
        }
        Ok(())
    }

    /// Says something to all others. Answered with [`CallResult::Broadcast`].
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Closed`]: nothing was sent.
    pub(crate) fn broadcast(&mut self, now: Instant, payload: &[u8]) -> Result<RequestId> {
        let call = self.broadcasts.broadcast(&mut self.core, now, payload)?;
        self.gossip(now);
        Ok(call)
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
                    self.take_verdict(now, &verdict, self.core.me);
                }
            }
            Timer::Isolation => {
                if Detection::check_isolation(core, now) {
                    admission::rejoin_if_alone(core, now);
                }
            }
            Timer::Refute => {
                let defence = self.identity.refute(core, now);
                self.defend(now, defence);
            }
            Timer::Reconnect => {
                for addr in self.detection.reconnect(core, now) {
                    self.attempt_join(now, addr);
                }
            }
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
            // The states may take longer; we are in.
            Timer::Join(call) => match self.admission.settled(core, call) {
                Some(seed) => self.view_is_current(now, seed),
                None => self.admission.join_timeout(core, now, call),
            },
            Timer::Leave => self.send_leave(now),
            Timer::Departures => self.follow_departures(now),
            Timer::Rival => self.probe_rival(now),
            Timer::Claims => self.answer_claims(now),
            Timer::Resend => self.messages.resend(core, now),
            Timer::Stale => self.messages.drop_stale(core, now),
        }
    }
}

#[cfg(test)]
mod tests;
