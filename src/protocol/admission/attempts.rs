//! Attempts to become known to the member at an address: each is one hello, repeated until it is answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::protocol::api::{Bound, RequestId};
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::body::RejectHintReason;
use crate::wire::{Cookie, NameHash, Seq};

/// Attempts at the same time, unless for a join by call …
const ATTEMPTS_MAX: usize = 64;
/// … and with those. A seed beyond it is refused.
const ATTEMPTS_CALLED_MAX: usize = 4_096;
/// An attempt that nobody called for is given up after so many tries.
const ATTEMPT_TRIES_MAX: u32 = 12;
/// One that a join has called for, after so many that brought no challenge, if there is a reason why: that takes a
/// second on a local network.
const REFUSED_TRIES_MAX: u32 = 6;

/// One attempt to become known to the member at an address.
#[derive(Debug)]
pub(super) struct JoinAttempt {
    pub(super) addr: SocketAddr,
    /// The join that it belongs to; none if it is to return to somebody who does not know us.
    pub(super) call: Option<RequestId>,
    pub(super) cookie: Cookie,
    /// A node that we hold dead at that address: it is to hear of it.
    pub(super) dead: Option<NameHash>,
    /// Why it may be that nobody answers; anybody can have made it up.
    refusal: Option<RejectHintReason>,
    /// The counter of its last hello, if that was sealed.
    counter: Option<u64>,
    tries: u32,
}

impl JoinAttempt {
    /// Takes a cookie; false if it has that one. Who challenges us has read our hello, and we its answer: whatever
    /// spoke against it was wrong.
    pub(super) fn challenged(&mut self, cookie: Cookie) -> bool {
        self.refusal = None;
        std::mem::replace(&mut self.cookie, cookie) != cookie
    }
}

/// All running attemptes.
#[derive(Debug)]
pub(super) struct JoinAttempts {
    by_seq: BTreeMap<Seq, JoinAttempt>,
    deadlines: Deadlines<Seq>,
    retry: Duration,
}

impl JoinAttempts {
    /// `retry`: the pause before the second try; later ones are two and four times that.
    pub(super) fn new(retry: Duration) -> Self {
        Self { by_seq: BTreeMap::new(), deadlines: Deadlines::new(), retry }
    }

    /// Begins one; its first hello is due at once. `dead`: whom we hold dead at that address. False if there is one to
    /// that address, or too many.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        seq: Seq,
        addr: SocketAddr,
        call: Option<RequestId>,
        dead: Option<NameHash>,
    ) -> bool {
        let max = if call.is_some() { ATTEMPTS_CALLED_MAX } else { ATTEMPTS_MAX };
        let is_known = || self.by_seq.values().any(|other| other.addr == addr);
        if self.by_seq.len() >= max || (call.is_none() && is_known()) {
            return false;
        }
        self.by_seq.insert(
            seq,
            JoinAttempt { addr, call, cookie: Cookie(0), dead, refusal: None, counter: None, tries: 0 },
        );
        self.deadlines.set(seq, now);
        true
    }

    /// An attempt whose next hello is due; one without a call that has tried often enough is dropped.
    pub(super) fn pop_due(&mut self, now: Instant, jitter: Duration) -> Option<Seq> {
        loop {
            let seq = self.deadlines.pop_due(now)?;
            let Some(attempt) = self.by_seq.get_mut(&seq) else {
                continue;
            };
            if attempt.call.is_none() && attempt.tries >= ATTEMPT_TRIES_MAX {
                self.by_seq.remove(&seq);
                continue;
            }
            let wait = self.retry * 2_u32.pow(attempt.tries.min(2));
            attempt.tries += 1;
            self.deadlines.set(seq, now + wait + jitter);
            return Some(seq);
        }
    }

    /// Has the next hello sent at once.
    pub(super) fn hurry(&mut self, now: Instant, seq: Seq) {
        if self.by_seq.contains_key(&seq) {
            self.deadlines.set(seq, now);
        }
    }

    /// The attempt that an answer with this number from this address is for.
    pub(super) fn answered(&mut self, seq: Seq, from: SocketAddr) -> Option<&mut JoinAttempt> {
        self.by_seq.get_mut(&seq).filter(|attempt| attempt.addr == from)
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&JoinAttempt> {
        self.by_seq.get(&seq)
    }

    pub(super) fn end(&mut self, seq: Seq) -> Option<JoinAttempt> {
        self.deadlines.cancel(seq);
        self.by_seq.remove(&seq)
    }

    /// Notes the counter that the hello of an attempt was sealed with.
    pub(super) fn sealed(&mut self, seq: Seq, counter: u64) {
        if let Some(attempt) = self.by_seq.get_mut(&seq) {
            attempt.counter = Some(counter);
        }
    }

    /// There may be a reason why nobody at this address answers; false if it does not name the last hello that went
    /// there, by its number or its counter.
    pub(super) fn refuse(&mut self, addr: SocketAddr, hello: Seq, reason: RejectHintReason) -> bool {
        let is_meant = |seq: Seq, attempt: &JoinAttempt| {
            attempt.addr == addr && (seq == hello || attempt.counter == Some(hello.0))
        };
        let meant = self.by_seq.iter_mut().find(|(seq, attempt)| is_meant(**seq, attempt));
        meant.map(|(_, attempt)| attempt.refusal = Some(reason)).is_some()
    }

    /// The same of whatever goes to this address.
    pub(super) fn refuse_all(&mut self, addr: SocketAddr, reason: RejectHintReason) {
        for attempt in self.by_seq.values_mut().filter(|attempt| attempt.addr == addr) {
            attempt.refusal = Some(reason);
        }
    }

    /// Why nobody at an address answers a join, as far as can be known.
    pub(super) fn refusal(&self, call: RequestId, addr: SocketAddr) -> Option<RejectHintReason> {
        let mut of_join = self.by_seq.values().filter(|attempt| attempt.call == Some(call));
        of_join.find(|attempt| attempt.addr == addr)?.refusal
    }

    /// Ends an attempt that was called for if it has asked often enough against a reason not to, and was never
    /// challenged: whose join it is, and the reason.
    pub(super) fn end_refused(&mut self, seq: Seq) -> Option<(RequestId, SocketAddr, RejectHintReason)> {
        let attempt = self.by_seq.get(&seq).filter(|attempt| attempt.cookie == Cookie(0))?;
        if attempt.tries <= REFUSED_TRIES_MAX {
            return None;
        }
        let refused = (attempt.call?, attempt.addr, attempt.refusal?);
        self.end(seq);
        Some(refused)
    }

    /// A join has come through by one of its attemptes: the others go on in the background, for a while.
    pub(super) fn release(&mut self, call: RequestId) {
        for attempt in self.by_seq.values_mut().filter(|attempt| attempt.call == Some(call)) {
            attempt.call = None;
        }
    }

    /// Drops the attemptes of a join.
    pub(super) fn end_call(&mut self, call: RequestId) {
        let seqs: Vec<Seq> = self
            .by_seq
            .iter()
            .filter(|(_, attempt)| attempt.call == Some(call))
            .map(|(seq, _)| *seq)
            .collect();
        for seq in seqs {
            self.end(seq);
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "join attempts", count: self.by_seq.len(), max: ATTEMPTS_CALLED_MAX }
    }
}
