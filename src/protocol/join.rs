//! Coming and going: how a member is let in, what happens when names collide, and how it leaves.
//!
//! ```text
//!  joiner                                     any member
//!  Hello(cookie 0, own record)           →
//!                                        ←    Challenge(cookie): a keyed hash; nothing is kept
//!  Hello(cookie, own record)             →    the name is free, or was this node's: it is let in, once,
//!                                             and the news goes round
//!                                        ←    Welcome(fingerprint, count), own record
//!  … then it is filled, or compares views (see sync)
//!  … and 10 gossip intervals later compares with another member: what was told while nobody knew it
//! ```
//!
//! The cookie proves that the joiner receives at its address, so that nobody is sent more than he sent before
//! (as in QUIC's address validation, RFC 9000, section 8.1). A run that is held at another address than the hello came
//! from is sent the cookie there: else anybody who has heard of it could speak for it. The same hello brings back a
//! running node that is not known to somebody (`Approach`): one that was held dead, or whose joining went by.
//!
//! **Names.** If a newcomer's name is held by another run at another address, the older run is probed with the
//! full ladder: if it answers, the newcomer is refused. At the same address the newer run takes over. Only the
//! member that lets in checks; all others follow the merge rule.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Call;
use super::contract::Bound;
use super::time::{Deadlines, Instant};
use crate::error::Error;
use crate::node::Generation;
use crate::wire::body::HintReason;
use crate::wire::hash::siphash;
use crate::wire::{Cookie, NameHash, Seq};

/// A cookie is good for one to two of these.
const COOKIE_EPOCH: Duration = Duration::from_secs(30);
/// Joins by call that run at the same time; of more, every seed is refused.
pub(crate) const JOINS_MAX: usize = 64;
/// Approaches to members that do not know us, at the same time, unless for a join by call …
const APPROACHES_MAX: usize = 64;
/// … and with those. A seed beyond it is refused.
const APPROACHES_CALLED_MAX: usize = 4_096;
/// An approach that nobody called for is given up after so many tries.
const APPROACH_TRIES_MAX: u32 = 12;
/// One that a join has called for, after so many that brought no challenge, if there is a reason why: that takes a
/// second on a local network.
const REFUSED_TRIES_MAX: u32 = 6;

/// Cookies that others have given us and that we keep; the oldest go first. As many come in the time that one is good
/// for, from a ping a second.
const GIVEN_MAX: usize = 64;

/// Makes and checks cookies. They are not stored: a cookie is a keyed hash of whom it was made for and when.
#[derive(Debug)]
pub(crate) struct CookieJar {
    key: (u64, u64),
}

impl CookieJar {
    pub(crate) fn new(key: (u64, u64)) -> Self {
        Self { key }
    }

    /// The cookie for a sender at an address, good for 30 to 60 s.
    pub(crate) fn bake(&self, now: Instant, addr: SocketAddr, name: NameHash, run: Generation) -> Cookie {
        self.of_epoch(epoch(now), addr, name, run)
    }

    /// Whether a cookie was made for this sender at this address not long ago.
    pub(crate) fn accepts(
        &self,
        now: Instant,
        cookie: Cookie,
        addr: SocketAddr,
        name: NameHash,
        run: Generation,
    ) -> bool {
        let epoch = epoch(now);
        cookie.0 != 0
            && (cookie == self.of_epoch(epoch, addr, name, run)
                || (epoch > 0 && cookie == self.of_epoch(epoch - 1, addr, name, run)))
    }

    fn of_epoch(&self, epoch: u64, addr: SocketAddr, name: NameHash, run: Generation) -> Cookie {
        let mut bytes = [0; 42];
        match addr.ip() {
            IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes[..16].copy_from_slice(&ip.octets()),
        }
        bytes[16..18].copy_from_slice(&addr.port().to_be_bytes());
        bytes[18..26].copy_from_slice(&name.0.to_be_bytes());
        bytes[26..34].copy_from_slice(&run.0.to_be_bytes());
        bytes[34..].copy_from_slice(&epoch.to_be_bytes());
        Cookie(siphash(self.key, &bytes).max(1))
    }
}

/// The cookies that others have given us, to be shown to them. One that is not good any more is answered with another.
#[derive(Debug, Default)]
pub(crate) struct GivenCookies {
    /// The newest last.
    by_age: VecDeque<(NameHash, Cookie)>,
}

impl GivenCookies {
    /// A node has given us a cookie.
    pub(crate) fn remember(&mut self, by: NameHash, cookie: Cookie) {
        self.by_age.retain(|(giver, _)| *giver != by);
        if self.by_age.len() == GIVEN_MAX {
            self.by_age.pop_front();
        }
        self.by_age.push_back((by, cookie));
    }

    /// What there is to show to a node.
    pub(crate) fn get(&self, to: NameHash) -> Option<Cookie> {
        self.by_age.iter().find(|(giver, _)| *giver == to).map(|(_, cookie)| *cookie)
    }

    /// Who has given us cookies, whoever did so last first.
    pub(crate) fn givers(&self) -> impl Iterator<Item = NameHash> {
        self.by_age.iter().rev().map(|(giver, _)| *giver)
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "cookies of others", count: self.by_age.len(), max: GIVEN_MAX }
    }
}

fn epoch(now: Instant) -> u64 {
    now.as_micros() / u64::try_from(COOKIE_EPOCH.as_micros()).unwrap_or(1)
}

/// One attempt to become known to the member at an address.
#[derive(Debug)]
pub(crate) struct Approach {
    pub(crate) addr: SocketAddr,
    /// The join that it belongs to; none if it is to return to somebody who does not know us.
    pub(crate) call: Option<Call>,
    pub(crate) cookie: Cookie,
    /// A node that we hold dead at that address: it is to hear of it.
    pub(crate) dead: Option<NameHash>,
    /// Why it may be that nobody answers; anybody can have made it up.
    refusal: Option<HintReason>,
    /// The counter of its last hello, if that was sealed.
    counter: Option<u64>,
    tries: u32,
}

impl Approach {
    /// Takes a cookie; false if it has that one. Who challenges us has read our hello, and we its answer: whatever
    /// spoke against it was wrong.
    pub(crate) fn challenged(&mut self, cookie: Cookie) -> bool {
        self.refusal = None;
        std::mem::replace(&mut self.cookie, cookie) != cookie
    }
}

/// All running approaches.
#[derive(Debug)]
pub(crate) struct Approaches {
    by_seq: BTreeMap<Seq, Approach>,
    deadlines: Deadlines<Seq>,
    retry: Duration,
}

impl Approaches {
    /// `retry`: the pause before the second try; later ones are two and four times that.
    pub(crate) fn new(retry: Duration) -> Self {
        Self { by_seq: BTreeMap::new(), deadlines: Deadlines::new(), retry }
    }

    /// Begins one; its first hello is due at once. `dead`: whom we hold dead at that address. False if there is one to
    /// that address, or too many.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        seq: Seq,
        addr: SocketAddr,
        call: Option<Call>,
        dead: Option<NameHash>,
    ) -> bool {
        let max = if call.is_some() { APPROACHES_CALLED_MAX } else { APPROACHES_MAX };
        let is_known = || self.by_seq.values().any(|other| other.addr == addr);
        if self.by_seq.len() >= max || (call.is_none() && is_known()) {
            return false;
        }
        self.by_seq.insert(
            seq,
            Approach { addr, call, cookie: Cookie(0), dead, refusal: None, counter: None, tries: 0 },
        );
        self.deadlines.set(seq, now);
        true
    }

    /// An approach whose next hello is due; one without a call that has tried often enough is dropped.
    pub(crate) fn pop_due(&mut self, now: Instant, jitter: Duration) -> Option<Seq> {
        loop {
            let seq = self.deadlines.pop_due(now)?;
            let Some(approach) = self.by_seq.get_mut(&seq) else {
                continue;
            };
            if approach.call.is_none() && approach.tries >= APPROACH_TRIES_MAX {
                self.by_seq.remove(&seq);
                continue;
            }
            let wait = self.retry * 2_u32.pow(approach.tries.min(2));
            approach.tries += 1;
            self.deadlines.set(seq, now + wait + jitter);
            return Some(seq);
        }
    }

    /// Has the next hello sent at once.
    pub(crate) fn hurry(&mut self, now: Instant, seq: Seq) {
        if self.by_seq.contains_key(&seq) {
            self.deadlines.set(seq, now);
        }
    }

    /// The approach that an answer with this number from this address is for.
    pub(crate) fn answered(&mut self, seq: Seq, from: SocketAddr) -> Option<&mut Approach> {
        self.by_seq.get_mut(&seq).filter(|approach| approach.addr == from)
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Approach> {
        self.by_seq.get(&seq)
    }

    pub(crate) fn end(&mut self, seq: Seq) -> Option<Approach> {
        self.deadlines.cancel(seq);
        self.by_seq.remove(&seq)
    }

    /// Notes the counter that the hello of an approach was sealed with.
    #[cfg(feature = "encryption")]
    pub(crate) fn sealed(&mut self, seq: Seq, counter: u64) {
        if let Some(approach) = self.by_seq.get_mut(&seq) {
            approach.counter = Some(counter);
        }
    }

    /// There may be a reason why nobody at this address answers; false if it does not name the last hello that went
    /// there, by its number or its counter.
    pub(crate) fn refuse(&mut self, addr: SocketAddr, hello: Seq, reason: HintReason) -> bool {
        let is_meant = |seq: Seq, approach: &Approach| {
            approach.addr == addr && (seq == hello || approach.counter == Some(hello.0))
        };
        let meant = self.by_seq.iter_mut().find(|(seq, approach)| is_meant(**seq, approach));
        meant.map(|(_, approach)| approach.refusal = Some(reason)).is_some()
    }

    /// The same of whatever goes to this address.
    pub(crate) fn refuse_all(&mut self, addr: SocketAddr, reason: HintReason) {
        for approach in self.by_seq.values_mut().filter(|approach| approach.addr == addr) {
            approach.refusal = Some(reason);
        }
    }

    /// Why nobody at an address answers a join, as far as can be known.
    pub(crate) fn refusal(&self, call: Call, addr: SocketAddr) -> Option<HintReason> {
        let mut of_join = self.by_seq.values().filter(|approach| approach.call == Some(call));
        of_join.find(|approach| approach.addr == addr)?.refusal
    }

    /// Ends an approach that was called for if it has asked often enough against a reason not to, and was never
    /// challenged: whose join it is, and the reason.
    pub(crate) fn end_refused(&mut self, seq: Seq) -> Option<(Call, SocketAddr, HintReason)> {
        let approach = self.by_seq.get(&seq).filter(|approach| approach.cookie == Cookie(0))?;
        if approach.tries <= REFUSED_TRIES_MAX {
            return None;
        }
        let refused = (approach.call?, approach.addr, approach.refusal?);
        self.end(seq);
        Some(refused)
    }

    /// A join has come through by one of its approaches: the others go on in the background, for a while.
    pub(crate) fn release(&mut self, call: Call) {
        for approach in self.by_seq.values_mut().filter(|approach| approach.call == Some(call)) {
            approach.call = None;
        }
    }

    /// Drops the approaches of a join.
    pub(crate) fn end_call(&mut self, call: Call) {
        let seqs: Vec<Seq> = self
            .by_seq
            .iter()
            .filter(|(_, approach)| approach.call == Some(call))
            .map(|(seq, _)| *seq)
            .collect();
        for seq in seqs {
            self.end(seq);
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "approaches", count: self.by_seq.len(), max: APPROACHES_CALLED_MAX }
    }
}

/// One `join` that is under way.
#[derive(Debug)]
pub(crate) struct Join {
    /// What became of each seed; none: nothing yet.
    pub(crate) seeds: Vec<(SocketAddr, Option<Error>)>,
    pub(crate) deadline: Instant,
}

impl Join {
    /// Notes why a seed did not let us in.
    pub(crate) fn fail(&mut self, addr: SocketAddr, error: Error) {
        for seed in self.seeds.iter_mut().filter(|seed| seed.0 == addr) {
            seed.1 = Some(copy(&error));
        }
    }

    /// Whether it is decided that nobody lets us in: every seed has said so, or one that our name is taken.
    pub(crate) fn is_lost(&self) -> bool {
        self.seeds.iter().all(|(_, error)| error.is_some())
            || self.seeds.iter().any(|(_, error)| matches!(error, Some(Error::NameTaken { .. })))
    }

    /// What happened with each seed.
    pub(crate) fn into_errors(self) -> Vec<(SocketAddr, Error)> {
        self.seeds.into_iter().map(|(addr, error)| (addr, error.unwrap_or(Error::NoAnswer))).collect()
    }
}

/// Copies one of the errors that a seed can answer with.
pub(crate) fn copy(error: &Error) -> Error {
    match error {
        Error::NameTaken { name, addr } => Error::NameTaken { name: name.clone(), addr: *addr },
        Error::WrongCluster => Error::WrongCluster,
        Error::WrongKey => Error::WrongKey,
        Error::ClockAhead => Error::ClockAhead,
        Error::Full => Error::Full,
        Error::Refused => Error::Refused,
        Error::Timeout => Error::Timeout,
        Error::Closed => Error::Closed,
        _ => Error::NoAnswer,
    }
}

/// What is known of a name that a newcomer wants and another run holds, or the same one elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameCheck {
    /// The older run is being probed.
    Running,
    /// It has answered, at this address.
    Taken(SocketAddr),
    /// It has not: the name is free for the newer run.
    Free,
}

/// A run at an address, which is asked whether it still answers.
pub(crate) type Incumbent = (Generation, SocketAddr);

/// Names that are being checked: whether who holds one still answers, whoever wants it.
#[derive(Debug)]
pub(crate) struct NameChecks {
    by_name: BTreeMap<NameHash, (Incumbent, NameCheck)>,
    deadlines: Deadlines<NameHash>,
}

impl NameChecks {
    /// Checks that may be remembered at the same time.
    const MAX: usize = 1_024;
    /// How long an outcome holds.
    const MEMORY: Duration = Duration::from_secs(5);

    pub(crate) fn new() -> Self {
        Self { by_name: BTreeMap::new(), deadlines: Deadlines::new() }
    }

    /// What is known about a name, as long as this run holds it there.
    pub(crate) fn get(&mut self, now: Instant, name: NameHash, incumbent: Incumbent) -> Option<NameCheck> {
        while let Some(over) = self.deadlines.pop_due(now) {
            self.by_name.remove(&over);
        }
        self.by_name.get(&name).filter(|(held, _)| *held == incumbent).map(|(_, check)| *check)
    }

    /// Whether another check can be begun.
    pub(crate) fn has_room(&self) -> bool {
        self.by_name.len() < Self::MAX
    }

    pub(crate) fn set(&mut self, now: Instant, name: NameHash, incumbent: Incumbent, check: NameCheck) {
        self.by_name.insert(name, (incumbent, check));
        self.deadlines.set(name, now + Self::MEMORY);
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "name checks", count: self.by_name.len(), max: Self::MAX }
    }

    /// The older run has answered or not.
    pub(crate) fn decide(&mut self, now: Instant, name: NameHash, incumbent: Incumbent, check: NameCheck) {
        if self.by_name.get(&name).is_some_and(|(held, _)| *held == incumbent) {
            self.set(now, name, incumbent, check);
        }
    }
}

/// A leave that is under way.
#[derive(Debug)]
pub(crate) struct Leave {
    /// Who waits for it.
    pub(crate) calls: Vec<Call>,
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
    /// Who has acked, and may leave as well.
    pub(crate) acked: BTreeSet<NameHash>,
    /// Whom it is told, and who has not acked yet.
    pub(crate) open: BTreeMap<Seq, LeavePeer>,
    /// Whom it was told, whatever came of it.
    pub(crate) tried: BTreeSet<NameHash>,
    /// Whether the call was answered.
    pub(crate) over: bool,
}

/// A peer that is told of a leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeavePeer {
    pub(crate) name: NameHash,
    pub(crate) addr: SocketAddr,
    pub(crate) generation: Generation,
    /// Of the peer's, to be shown to it; zero: none yet.
    pub(crate) cookie: Cookie,
    /// When it was told first.
    pub(crate) since: Instant,
}
