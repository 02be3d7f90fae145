//! Leaving: a member announces that it leaves.
//!
//! A leave is sent to a few peers directly, which ack it, and gossiped. It says how far the member has come with its
//! state and its broadcasts, and a peer acks it when it has all of that (see [`super::departures`]). It is over when
//! three peers that stay have acked, or as many as there are. It is also over when one has acked, and the others have
//! not for two probe timeouts. A peer that leaves as well says so in its ack, and does not count: else many that leave
//! together would send it only to each other, and be gone.
//!
//! ```text
//!  the leaver                              a peer
//!  leave(cookie, if there is one)       →
//!                                       ←  challenge(cookie), if there was none, or an old one
//!  leave(cookie)                        →
//!                                       ←  fetch, if it lacks anything of what was said
//!  fetched, leave(cookie)               →  gossips it
//!                                       ←  bare ack, and its own leave if it leaves as well
//! ```
//!
//! While what the member has said last goes round, the leave waits to be gossiped until a peer has all of it: so others
//! hear that first, and where they do not, there is a peer to ask.
//!
//! The cookie shows that the leave comes from an address where the leaver receives. Else anybody that can forge its
//! address could remove it. Each ack to a ping has brought a cookie, so the leave goes first to the peers that acked
//! last. For the gossip see [`super::vouch`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::Admission;
use crate::error::{Error, Result};
use crate::node::{Generation, Status};
use crate::protocol::api::{CallResult, RequestId};
use crate::protocol::core::requests::RequestKind;
use crate::protocol::core::{Context, Core, Timer};
use crate::protocol::membership::{Entry, Peer};
use crate::protocol::time::Instant;
use crate::wire::body::LeftAt;
use crate::wire::{Body, Cookie, NameHash, Record, Seq, Verdict};

/// Number of peers that stay and must have acked a leave before it is over.
const LEAVE_ACKS: usize = 3;
/// Number of peers that a leave is first sent to directly, and by which that number grows each time it is sent again …
const LEAVE_PEERS: usize = 5;
/// … up to this number: peers may be gone.
const LEAVE_PEERS_MAX: usize = 20;
/// Number of gossip intervals after which the leave is sent again.
const LEAVE_PAUSE: u32 = 5;
/// Number of probe timeouts after which a peer that has not acked is replaced by another one.
const LEAVE_PATIENCE_TIMEOUTS: u32 = 2;
/// Number of pauses after which one ack is enough where others leave at the same time.
const LEAVE_TOGETHER_PAUSES: u32 = 3;

/// A leave that is under way.
#[derive(Debug)]
pub(super) struct Leave {
    /// The calls that wait for it.
    calls: Vec<RequestId>,
    began: Instant,
    deadline: Instant,
    /// Peers that have acked, and may leave as well.
    acked: BTreeSet<NameHash>,
    /// Peers that have been sent it and have not acked yet.
    open: BTreeMap<Seq, LeavePeer>,
    /// Peers that were sent it since all of them were tried last, whether they acked or not.
    tried: BTreeSet<NameHash>,
    /// Whether what this member has said last was going round when it began.
    has_words: bool,
    /// Whether it is gossiped.
    is_announced: bool,
    /// Whether the call was answered.
    over: bool,
}

/// A peer that a leave is sent to.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeavePeer {
    name: NameHash,
    addr: SocketAddr,
    generation: Generation,
    /// The peer's cookie, to be shown to it; zero: none yet.
    cookie: Cookie,
    /// When the leave was first sent to it, or it has fetched something of what was said last.
    since: Instant,
}

impl Leave {
    /// How many peers were sent the leave and have not acked.
    pub(super) fn waiting(&self) -> usize {
        self.open.len()
    }
}

impl LeavePeer {
    fn asked(&self) -> Peer {
        Peer { name: self.name, addr: self.addr, generation: self.generation }
    }
}

impl Admission {
    /// Announces that this member leaves. Answered with [`CallResult::Left`]. Also returns whether it begins to leave
    /// now.
    pub(in crate::protocol) fn leave(
        &mut self,
        core: &mut Core,
        now: Instant,
        timeout: Duration,
    ) -> (RequestId, bool) {
        let call = core.fresh_call();
        if let Some(leave) = self.leave.as_mut().filter(|leave| !leave.over) {
            // This call waits for the outcome of the first one.
            leave.calls.push(call);
            return (call, false);
        }
        if core.is_alone() || self.leave.is_some() {
            core.answers.push_back((call, CallResult::Left(Ok(()))));
            return (call, false);
        }
        core.leaving = true;
        self.leave = Some(Leave {
            calls: vec![call],
            began: now,
            deadline: now + timeout,
            acked: BTreeSet::new(),
            open: BTreeMap::new(),
            tried: BTreeSet::new(),
            has_words: core.is_speaking(),
            is_announced: false,
            over: false,
        });
        (call, true)
    }

    /// Sends the leave to those that have not acked it, and to others in place of those that do not answer, until
    /// it is over. Returns whether it should be gossiped from now on.
    pub(in crate::protocol) fn send_leave(&mut self, core: &mut Core, now: Instant) -> bool {
        // One that is over stays: a member that has left does not come back by itself.
        let Some(mut leave) = self.leave.take_if(|leave| !leave.over) else {
            return false;
        };
        // Peers may be gone without our having noticed, or leave at the same time.
        let patience = core.settings.probe_timeout * LEAVE_PATIENCE_TIMEOUTS;
        leave.open.retain(|seq, peer| {
            let is_there =
                core.members.active(peer.name).is_some_and(|entry| entry.generation() == peer.generation);
            let stays = is_there && now.since(peer.since) < patience;
            if !stays {
                core.requests.end(now, *seq, false);
            }
            stays
        });
        let pause = core.settings.gossip_interval * LEAVE_PAUSE;
        let pauses = now.since(leave.began).as_micros() / pause.as_micros().max(1);
        let times = usize::try_from(pauses).unwrap_or(usize::MAX).saturating_add(1);
        let places = LEAVE_PEERS.saturating_mul(times).min(LEAVE_PEERS_MAX);
        while leave.open.len() < places
            && let Some(peer) = next_leave_peer(core, now, &leave.tried)
        {
            leave.tried.insert(peer.name);
            leave.open.insert(core.request(now, RequestKind::Leave, 0, peer.asked(), None), peer);
        }
        let others: Vec<NameHash> = core.others().collect();
        let acks = leave.acked.iter().filter(|name| others.contains(name)).count();
        // A peer that has acked gossips it on, and where many dead nodes were not noticed yet there are no more acks.
        // Where others leave as well, most of the peers that do not ack have left.
        let together = acks < leave.acked.len();
        let patience = if together { patience.min(pause * LEAVE_TOGETHER_PAUSES) } else { patience };
        // What was said last has to be with a peer that stays, if any does.
        let is_known = if leave.has_words { acks > 0 } else { !leave.acked.is_empty() };
        let enough = is_known && (leave.open.is_empty() || now.since(leave.began) >= patience);
        if acks >= others.len().min(LEAVE_ACKS) || enough {
            core.answers.extend(leave.calls.drain(..).map(|call| (call, CallResult::Left(Ok(())))));
            leave.over = true;
        } else if leave.deadline <= now {
            let late = |call| (call, CallResult::Left(Err(Error::Timeout)));
            core.answers.extend(leave.calls.drain(..).map(late));
            leave.over = true;
        } else {
            if leave.open.is_empty() {
                leave.tried.clear();
            }
            for (seq, peer) in &leave.open {
                send_leave_to(core, now, *seq, peer);
            }
            core.timers.set(Timer::Leave, (now + pause).min(leave.deadline));
        }
        let is_due = leave.over || !leave.acked.is_empty() || !core.is_speaking();
        let begins = is_due && !std::mem::replace(&mut leave.is_announced, is_due);
        self.leave = Some(leave);
        begins
    }

    /// Our leave as it is sent to a peer that has not acked it, and fetches what we have said last.
    pub(in crate::protocol) fn leave_of(
        &mut self,
        core: &Core,
        now: Instant,
        peer: NameHash,
    ) -> Option<Body<'static>> {
        let open = self.leave.as_mut().filter(|leave| !leave.over)?.open.iter_mut();
        let (seq, peer) = open.into_iter().find(|(_, open)| open.name == peer)?;
        peer.since = now;
        Some(leave_body(core, *seq, peer))
    }

    /// A peer has acked our leave.
    pub(in crate::protocol) fn leave_acked(&mut self, core: &mut Core, now: Instant, seq: Seq) {
        core.requests.end(now, seq, true);
        let Some(leave) = &mut self.leave else {
            return;
        };
        let Some(peer) = leave.open.remove(&seq) else {
            return;
        };
        leave.acked.insert(peer.name);
        let acks = leave.acked.iter().filter(|name| core.members.active(**name).is_some()).count();
        if acks >= LEAVE_ACKS || leave.open.is_empty() || !leave.is_announced {
            // Decided when the rest of the datagram is read, which may say that the peer leaves as well.
            core.timers.set(Timer::Leave, now);
        }
    }

    /// A peer asks for a fresh cookie with our leave, which is sent again at once.
    pub(in crate::protocol) fn leave_challenged(
        &mut self,
        core: &mut Core,
        now: Instant,
        seq: Seq,
        cookie: Cookie,
    ) {
        let peer = self.leave.as_mut().and_then(|leave| leave.open.get_mut(&seq));
        if let Some(peer) = peer
            && std::mem::replace(&mut peer.cookie, cookie) != cookie
        {
            send_leave_to(core, now, seq, peer);
        }
    }
}

/// The verdict by which a dead node counts as one that left; none if it does so already.
pub(in crate::protocol) fn force_leave(core: &Core, name: &str) -> Result<Option<Verdict>> {
    let hash = NameHash::of(core.tag, name);
    let entry = core.members.get(hash).ok_or_else(|| Error::UnknownNode(name.to_owned()))?;
    match entry.status {
        Status::Left => Ok(None),
        Status::Alive | Status::Suspect => Err(Error::Refused),
        Status::Dead => {
            // The node cannot say itself how far it had come: this is what is held of it.
            let Record { state_version, broadcast, .. } = entry.record();
            let left_at = LeftAt { state_version, broadcast };
            Ok(Some(Verdict { status: Status::Left, left_at, ..entry.verdict(hash) }))
        }
    }
}

/// Whether a leave is proven to come from the peer that leaves.
pub(in crate::protocol) fn is_leave_proven(
    core: &mut Core,
    context: &mut Context,
    seq: Seq,
    cookie: Cookie,
) -> bool {
    let (from, run) = (context.from, context.generation);
    let is_there = |entry: &Entry| entry.generation() == run && entry.is_at(from);
    // Then another run has its name already, and an ack is enough.
    let is_known =
        core.members.get(context.sender).is_some_and(|entry| is_there(entry) || entry.generation() > run);
    if !is_known {
        core.metrics.unknown_sender += 1;
        return false;
    }
    let is_sealed_for_us = context.known && context.counter.is_some();
    is_sealed_for_us || core.has_cookie(context, seq, cookie)
}

/// Acks a leave, if its sender counts as gone here, and all that it has said is here.
pub(in crate::protocol) fn ack_leave(core: &mut Core, context: &mut Context, seq: Seq) {
    let run = context.generation;
    let has_left =
        |entry: &Entry| (entry.status == Status::Left && !entry.is_unfinished()) || entry.generation() > run;
    if !core.members.get(context.sender).is_some_and(has_left)
        || std::mem::replace(&mut context.replied, true)
    {
        return;
    }
    let mut ack = core.datagram_back(context);
    // Both together are short compared with the smallest datagram.
    let _ = ack.push(&Body::BareAck { seq });
    if core.leaving {
        let _ = ack.push(&Body::Verdict(core.own_leave()));
    }
    core.transmit(context.now, context.from, ack);
}

fn send_leave_to(core: &mut Core, now: Instant, seq: Seq, peer: &LeavePeer) {
    core.reply(now, peer.addr, (peer.name, peer.generation), &leave_body(core, seq, peer));
}

fn leave_body(core: &Core, seq: Seq, peer: &LeavePeer) -> Body<'static> {
    let (incarnation, left_at) = (core.incarnation, core.own_left_at());
    Body::Leave { seq, cookie: peer.cookie, incarnation, left_at }
}

/// The next peer to send the leave to: first the one that was heard last, which surely is there; then those whose
/// cookies are newest; then any.
fn next_leave_peer(core: &mut Core, now: Instant, tried: &BTreeSet<NameHash>) -> Option<LeavePeer> {
    let rest: Vec<NameHash> = core.others().filter(|name| !tried.contains(name)).collect();
    let heard = |name: &NameHash| core.members.get(*name).map(|entry| entry.last_heard);
    let name = if tried.is_empty() {
        rest.iter().copied().max_by_key(heard)?
    } else {
        let giver = core.given.givers().find(|name| rest.contains(name));
        giver.or_else(|| core.draw(&rest))?
    };
    let entry = core.members.active(name)?;
    let (addr, generation) = (entry.addr(), entry.generation());
    let cookie = core.given.get(name).unwrap_or_default();
    Some(LeavePeer { name, addr, generation, cookie, since: now })
}
