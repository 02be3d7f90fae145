//! The ladder: how one node finds out whether another one answers (SWIM, section 3.1; Lifeguard's nacks).
//!
//! ```text
//!  0                          ping
//!  max(4 × RTT, T/4)          ping again (at most T/2)
//!  (1 + health) × T/2         ping once more, and ask two relays to ping
//!  … a relay that hears nothing answers with a nack when 80 % of the time that was left is over
//!  (1 + health) × T           verdict
//! ```
//!
//! T is the probe timeout, at least 12 × RTT. Fewer and later packets than feels right, on purpose: retries
//! knock out slow nodes, and asking relays earlier does not bring the verdict forward.
//!
//! Beyond SWIM and Lifeguard:
//!
//! - **Binding.** A probe is about one (name, address, generation, incarnation), as known when it began: a late
//!   ack proves nothing about another one, and a failure accuses only that incarnation. Sequence numbers are
//!   random, and an answer counts only from the address that was asked.
//! - **Proof.** Whenever there is a relay at all, a failed probe accuses only if a relay's nack for it came: a member
//!   that hears nobody accuses nobody. A probe that fails without proof is [void](super::void).

use std::net::SocketAddr;
use std::time::Duration;

use super::health::HEALTH_MAX;
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::api::{Bound, RequestId};
use crate::protocol::membership::Peer;
use crate::protocol::time::Instant;
use crate::wire::body::{LeftAt, NackReason};
use crate::wire::{NameHash, Seq};

/// Maximum number of probes at the same time; beyond it, only those of the common rounds begin.
pub(crate) const PROBES_MAX: usize = 256;
/// Maximum number of probes of common rounds at the same time.
pub(crate) const ROUNDS_MAX: usize = HEALTH_MAX as usize + 1;
/// The probe timeout is at least this many round trips. A round trip longer than the configured timeout counts as that
/// timeout: it dates from a time when a host was slow, and may be the last one that was measured.
const TIMEOUT_RTTS: u32 = 12;

/// Maximum number of pings of one probe.
const PINGS_MAX: usize = 3;

/// Why a node is probed. It decides what the outcome is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The target of a common round.
    Round,
    /// To check another member's suspicion as a witness, or the node that had an address before a newcomer: one ping,
    /// one relay.
    Witness,
    /// The last probe of it was void: more relays are asked.
    Void,
    /// Another member reports that it is dead or has left.
    Reported { by: NameHash, status: Status, left_at: LeftAt },
    /// Whether a dead node is back: pings only.
    Reconnect,
    /// To compare views: pings only. `asked`: how many such requests were sent in a row before it.
    Compare { asked: u32 },
    /// A user asks: pings only.
    User(RequestId),
    /// Whether the node that holds a name still runs, before a newcomer gets the name.
    Incumbent,
    /// Whether another run of our own name answers.
    Rival,
}

impl Purpose {
    /// How many relays are asked at half time.
    pub(crate) fn relays(self) -> usize {
        match self {
            Self::Round | Self::Reported { .. } | Self::Incumbent | Self::Rival => 2,
            Self::Witness => 1,
            Self::Void => 5,
            Self::Reconnect | Self::Compare { .. } | Self::User(_) => 0,
        }
    }

    /// How often in a row the target was asked for its view because it was too early to compare views.
    pub(crate) fn asked(self) -> u32 {
        match self {
            Self::Compare { asked } => asked,
            _ => 0,
        }
    }
}

/// What a probe is about, as known when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: NameHash,
    pub(crate) addr: SocketAddr,
    pub(crate) generation: Generation,
    pub(crate) incarnation: Incarnation,
}

impl Target {
    pub(super) fn peer(&self) -> Peer {
        Peer { name: self.name, addr: self.addr, generation: self.generation }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    First,
    Second,
    Third,
    Over,
}

/// What a probe does when its next deadline is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Ping,
    PingAndAskRelays,
    Verdict,
}

/// One running probe.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) purpose: Purpose,
    pub(crate) target: Target,
    began: Instant,
    /// The pings that were sent, each under a number of its own, so that an ack shows the round trip.
    pings: [Option<Seq>; PINGS_MAX],
    rtt: Option<Duration>,
    /// When the relays are asked and when the verdict falls, counted from the beginning; both are stretched by health.
    relays_after: Duration,
    timeout: Duration,
    /// T, not stretched.
    base_timeout: Duration,
    stage: Stage,
    /// The numbers of the requests to relays.
    relays: Vec<Seq>,
    /// Whether there was any node that could have been a relay.
    pub(crate) relay_exists: bool,
    /// A relay has asked in vain: the proof that another member hears us.
    pub(crate) proven: bool,
    /// A relay does not hold the target active: it has heard us.
    pub(crate) is_unknown: bool,
}

impl Probe {
    pub(crate) fn new(
        now: Instant,
        purpose: Purpose,
        target: Target,
        rtt: Option<Duration>,
        timeout: Duration,
        health: u8,
    ) -> Self {
        let base_timeout = rtt.map_or(timeout, |rtt| timeout.max(rtt.min(timeout) * TIMEOUT_RTTS));
        let timeout = base_timeout * (1 + u32::from(health));
        Self {
            purpose,
            target,
            began: now,
            pings: [None; PINGS_MAX],
            rtt,
            relays_after: timeout / 2,
            timeout,
            base_timeout,
            stage: Stage::First,
            relays: Vec::new(),
            relay_exists: false,
            proven: false,
            is_unknown: false,
        }
    }

    /// When its next step is due.
    pub(crate) fn due(&self) -> Instant {
        let half = self.began + self.relays_after;
        match self.stage {
            Stage::First if self.purpose == Purpose::Witness => half,
            Stage::First => {
                let wait = self.rtt.map_or(Duration::ZERO, |rtt| rtt * 4).max(self.base_timeout / 4);
                (self.began + wait.min(self.base_timeout / 2)).min(half)
            }
            Stage::Second => half,
            Stage::Third | Stage::Over => self.began + self.timeout,
        }
    }

    /// Goes on to the step that is due.
    pub(crate) fn advance(&mut self) -> Step {
        match self.stage {
            Stage::First if self.purpose != Purpose::Witness => {
                self.stage = Stage::Second;
                Step::Ping
            }
            Stage::First | Stage::Second => {
                self.stage = Stage::Third;
                if self.purpose.relays() > 0 { Step::PingAndAskRelays } else { Step::Ping }
            }
            Stage::Third | Stage::Over => {
                self.stage = Stage::Over;
                Step::Verdict
            }
        }
    }

    /// When the relays should report that they heard nothing: when 80 % of the remaining time, less one round trip to
    /// the relay, is over.
    pub(crate) fn nack_after(&self, now: Instant, relay_rtt: Duration) -> Duration {
        let left = (self.began + self.timeout).since(now);
        left.saturating_sub(relay_rtt) * 4 / 5
    }

    /// The numbers of all its requests.
    pub(super) fn requests(&self) -> impl Iterator<Item = Seq> {
        self.pings.iter().flatten().chain(&self.relays).copied()
    }

    /// Gives it back the time for which we were asleep.
    fn push_back(&mut self, lag: Duration) {
        self.began = self.began + lag;
    }
}

/// Names a running probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProbeId(pub(super) u64);

/// All running probes. At rest there are none or one, and never many: they are looked through.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    next: u64,
    /// In the order in which they began.
    running: Vec<(ProbeId, Probe)>,
}

impl Probes {
    /// Begins a probe, whose first ping should be sent now. `None` if too many run.
    pub(crate) fn begin(&mut self, probe: Probe) -> Option<ProbeId> {
        if self.running.len() >= PROBES_MAX && probe.purpose != Purpose::Round {
            return None;
        }
        let id = ProbeId(self.next);
        self.next += 1;
        self.running.push((id, probe));
        Some(id)
    }

    /// Notes that a ping of a probe is being sent.
    pub(crate) fn pinged(&mut self, id: ProbeId, seq: Seq) {
        let free = self.get_mut(id).and_then(|probe| probe.pings.iter_mut().find(|ping| ping.is_none()));
        if let Some(ping) = free {
            *ping = Some(seq);
        }
    }

    /// Gives all probes back the time for which we were asleep.
    pub(crate) fn push_back(&mut self, lag: Duration) {
        for (_, probe) in &mut self.running {
            probe.push_back(lag);
        }
    }

    /// The next step of a probe that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(ProbeId, Step)> {
        let waiting = self.running.iter_mut().filter(|(_, probe)| probe.stage != Stage::Over);
        let (id, probe) = waiting.min_by_key(|(id, probe)| (probe.due(), *id))?;
        (probe.due() <= now).then(|| (*id, probe.advance()))
    }

    /// Notes that a relay was asked for a probe.
    pub(crate) fn asked(&mut self, id: ProbeId, seq: Seq) {
        if let Some(probe) = self.get_mut(id) {
            probe.relays.push(seq);
        }
    }

    /// Notes whether any relay could be asked.
    pub(crate) fn set_relay_exists(&mut self, id: ProbeId, exists: bool) {
        if let Some(probe) = self.get_mut(id) {
            probe.relay_exists = exists;
        }
    }

    /// A relay answers that it heard nothing, or that it does not hold the target active. The latter proves that we are
    /// heard, but is no evidence against the target: where views differ for good (for a limit on nodes, say), every
    /// relay might answer so of a healthy node. It is evidence if another member has reported that the target is dead,
    /// or if we have given it up ourselves (`is_hidden`): then every member that knows of the death answers so. In
    /// experiments it makes no difference.
    pub(crate) fn nacked(&mut self, id: ProbeId, reason: NackReason, is_hidden: bool) {
        if let Some(probe) = self.get_mut(id) {
            let reported = matches!(probe.purpose, Purpose::Reported { .. });
            probe.proven |= reason == NackReason::NoAnswer || reported || is_hidden;
            probe.is_unknown |= reason == NackReason::Unknown;
        }
    }

    /// Ends a probe.
    pub(crate) fn finish(&mut self, id: ProbeId) -> Option<Probe> {
        let place = self.place(id)?;
        Some(self.running.remove(place).1)
    }

    /// Ends all probes of some purposes and returns them.
    pub(crate) fn finish_all(&mut self, which: impl Fn(&Probe) -> bool) -> Vec<Probe> {
        let over = self.running.extract_if(.., |(_, probe)| which(probe));
        over.map(|(_, probe)| probe).collect()
    }

    pub(crate) fn get(&self, id: ProbeId) -> Option<&Probe> {
        self.place(id).map(|place| &self.running[place].1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Probe> {
        self.running.iter().map(|(_, probe)| probe)
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "probes", count: self.running.len(), max: PROBES_MAX + ROUNDS_MAX }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.iter().filter(|probe| probe.stage != Stage::Over).map(Probe::due).min()
    }

    fn get_mut(&mut self, id: ProbeId) -> Option<&mut Probe> {
        self.place(id).map(|place| &mut self.running[place].1)
    }

    fn place(&self, id: ProbeId) -> Option<usize> {
        self.running.binary_search_by_key(&id, |(id, _)| *id).ok()
    }
}

#[cfg(test)]
mod tests;
