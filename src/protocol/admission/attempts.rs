//! Attempts to become known to the member at an address. Each is one hello, repeated until it is answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::error::Error;
use crate::protocol::api::{Bound, RequestId};
use crate::protocol::core::Run;
use crate::wire::body::RejectHintReason;
use crate::wire::version::ending;
use crate::wire::{Cookie, NameHash, Seq, Versions};

/// Maximum number of attempts at the same time, except those for a join by call …
const ATTEMPTS_MAX: usize = 64;
/// … so many of them because of what others have reported: the rest is for what this member has seen itself.
const HINTED_MAX: usize = ATTEMPTS_MAX * 3 / 4;
/// … and including those. A seed beyond it is refused.
const ATTEMPTS_CALLED_MAX: usize = 4_096;
/// Number of tries after which an attempt that no call waits for is given up: 20 s or more, twice the longest round trip.
const ATTEMPT_TRIES_MAX: u32 = 10;
/// Number of tries without a challenge after which an attempt for a join is given up, if there is a reason why nobody
/// answers. They take a second on a local network.
const REFUSED_TRIES_MAX: u32 = 6;

/// Why nobody may answer, as a datagram says that anybody can have sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    /// Another key or cluster.
    Hint(RejectHintReason),
    /// These versions of the format are read there, and ours is not.
    Versions(Versions),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Hint(RejectHintReason::WrongCluster) => Self::WrongCluster,
            Refusal::Hint(RejectHintReason::WrongKey) => Self::WrongKey,
            Refusal::Versions(theirs) => {
                Self::WrongVersion { theirs: theirs.range(), ours: Versions::OURS.range() }
            }
        }
    }
}

/// One attempt to become known to the member at an address.
#[derive(Debug)]
pub(super) struct JoinAttempt {
    pub(super) addr: SocketAddr,
    /// The join that it belongs to; none if no call waits for it.
    pub(super) call: Option<RequestId>,
    pub(super) cookie: Cookie,
    /// A node that we hold dead at that address: the hello carries that verdict.
    pub(super) dead: Option<NameHash>,
    /// Why nobody may answer; the reason can be forged.
    pub(super) refusal: Option<Refusal>,
    /// An address that is advertised and seems not to be reached, and where datagrams of its member come from. It is
    /// ours, or that of the member that the attempt goes to.
    pub(super) unreachable: Option<(SocketAddr, SocketAddr)>,
    /// The run that has challenged it: that run is reached at the address.
    challenger: Option<Run>,
    /// The counter of its last hello, if that was sealed.
    counter: Option<u64>,
    /// What its last hello ended with.
    ending: Option<u32>,
    /// Hellos so far.
    pub(super) hellos: u32,
    /// It waits for the turn of its next hello.
    pub(super) waits_for_turn: bool,
    /// The join that it belonged to has come through by another one.
    is_released: bool,
}

impl JoinAttempt {
    /// Takes a cookie of a member; false if it has that one already. A member that challenges us has read our hello,
    /// and we have read its answer: any hint that spoke against that was wrong.
    pub(super) fn challenged(&mut self, by: Run, cookie: Cookie) -> bool {
        (self.refusal, self.unreachable) = (None, None);
        self.challenger = Some(by);
        std::mem::replace(&mut self.cookie, cookie) != cookie
    }

    /// Whether to give it up after the hellos so far: no call waits for it any more, or there is a reason why nobody
    /// answers and it was never challenged.
    pub(super) fn is_vain(&self, tries: u32) -> bool {
        let is_silent = self.cookie == Cookie(0);
        match self.call {
            Some(_) => self.refusal.is_some() && is_silent && tries >= REFUSED_TRIES_MAX,
            None => tries >= ATTEMPT_TRIES_MAX || (self.is_released && is_silent),
        }
    }
}

/// All running attempts, by the numbers of their hellos.
#[derive(Debug, Default)]
pub(super) struct JoinAttempts {
    by_seq: BTreeMap<Seq, JoinAttempt>,
}

impl JoinAttempts {
    /// Whether another attempt to this address may begin: there are not too many, and none to that address yet, unless
    /// a join calls for it.
    pub(super) fn may_begin(&self, addr: SocketAddr, call: Option<RequestId>) -> bool {
        let max = if call.is_some() { ATTEMPTS_CALLED_MAX } else { ATTEMPTS_MAX };
        let is_known = || self.by_seq.values().any(|other| other.addr == addr);
        self.by_seq.len() < max && (call.is_some() || !is_known())
    }

    /// Whether another attempt may begin because of what others have reported.
    pub(super) fn has_room_for_hint(&self) -> bool {
        self.by_seq.len() < HINTED_MAX
    }

    /// Begins an attempt. `dead`: the node that we hold dead at that address.
    pub(super) fn begin(
        &mut self,
        seq: Seq,
        addr: SocketAddr,
        call: Option<RequestId>,
        dead: Option<NameHash>,
    ) {
        let attempt = JoinAttempt {
            addr,
            call,
            cookie: Cookie(0),
            dead,
            refusal: None,
            unreachable: None,
            challenger: None,
            counter: None,
            ending: None,
            hellos: 0,
            waits_for_turn: false,
            is_released: false,
        };
        self.by_seq.insert(seq, attempt);
    }

    pub(super) fn get_mut(&mut self, seq: Seq) -> Option<&mut JoinAttempt> {
        self.by_seq.get_mut(&seq)
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&JoinAttempt> {
        self.by_seq.get(&seq)
    }

    pub(super) fn end(&mut self, seq: Seq) -> Option<JoinAttempt> {
        self.by_seq.remove(&seq)
    }

    /// Notes the counter that the hello of an attempt was sealed with, and what it ended with then.
    pub(super) fn sealed(&mut self, seq: Seq, counter: u64, datagram: &[u8]) {
        if let Some(attempt) = self.by_seq.get_mut(&seq) {
            attempt.counter = Some(counter);
            attempt.ending = ending(datagram);
        }
    }

    /// Notes what the hello of an attempt ends with.
    pub(super) fn sent(&mut self, seq: Seq, datagram: &[u8]) {
        if let Some(attempt) = self.by_seq.get_mut(&seq) {
            attempt.ending = ending(datagram);
        }
    }

    /// Notes a possible reason why nobody at this address answers. False if the reason does not name the last hello
    /// that went there, by its number or its counter.
    pub(super) fn refuse(&mut self, addr: SocketAddr, hello: Seq, reason: RejectHintReason) -> bool {
        let is_meant = |seq: Seq, attempt: &JoinAttempt| seq == hello || attempt.counter == Some(hello.0);
        self.refuse_one(addr, Refusal::Hint(reason), is_meant)
    }

    /// The same, where the last hello is named by what it ended with.
    pub(super) fn refuse_version(&mut self, addr: SocketAddr, ending: u32, theirs: Versions) -> bool {
        self.refuse_one(addr, Refusal::Versions(theirs), |_, attempt| attempt.ending == Some(ending))
    }

    fn refuse_one(
        &mut self,
        addr: SocketAddr,
        refusal: Refusal,
        is_meant: impl Fn(Seq, &JoinAttempt) -> bool,
    ) -> bool {
        let mut there = self.by_seq.iter_mut().filter(|(_, attempt)| attempt.addr == addr);
        let meant = there.find(|(seq, attempt)| is_meant(**seq, attempt));
        meant.map(|(_, attempt)| attempt.refusal = Some(refusal)).is_some()
    }

    /// The same, for any attempt to this address.
    pub(super) fn refuse_all(&mut self, addr: SocketAddr, reason: RejectHintReason) {
        for attempt in self.by_seq.values_mut().filter(|attempt| attempt.addr == addr) {
            attempt.refusal = Some(Refusal::Hint(reason));
        }
    }

    /// Whether what was sent to an address has reached this run.
    pub(super) fn has_reached(&self, addr: SocketAddr, run: Run) -> bool {
        self.by_seq.values().any(|attempt| attempt.addr == addr && attempt.challenger == Some(run))
    }

    /// Why nobody at an address admits us, as far as can be known.
    pub(super) fn reason(&self, call: RequestId, addr: SocketAddr) -> Option<Error> {
        let mut of_join = self.by_seq.values().filter(|attempt| attempt.call == Some(call));
        let attempt = of_join.find(|attempt| attempt.addr == addr)?;
        let unreachable = |(advertised, seen)| Error::Unreachable { advertised, seen };
        attempt.unreachable.map(unreachable).or(attempt.refusal.map(Error::from))
    }

    /// A join has come through by one of its attempts. The others go on in the background if somebody has answered
    /// them; those that are not answered are not repeated.
    pub(super) fn release(&mut self, call: RequestId) {
        for attempt in self.by_seq.values_mut().filter(|attempt| attempt.call == Some(call)) {
            (attempt.call, attempt.is_released) = (None, true);
        }
    }

    /// The numbers of the hellos of a join.
    pub(super) fn of_call(&self, call: RequestId) -> Vec<Seq> {
        let of_join = self.by_seq.iter().filter(|(_, attempt)| attempt.call == Some(call));
        of_join.map(|(seq, _)| *seq).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_seq.len()
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "join attempts", count: self.by_seq.len(), max: ATTEMPTS_CALLED_MAX }
    }
}
