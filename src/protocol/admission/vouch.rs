//! Leave verification: a relayed leave is accepted only from a verified source address.
//!
//! A leave can not be checked as a death can, by asking the node (see [`super::super::detection`]): who has left does not
//! answer, and its word is to be all over the cluster within milliseconds. But who has told of it is still there, and a
//! source address is easily forged. So it is asked back:
//!
//! ```text
//!  a member                                one that it tells
//!  verdict: x has left                  →
//!                                       ←  doubt(x, cookie)
//!  vouch(cookie, x)                     →  believes it, and tells it on
//! ```
//!
//! A doubt goes to the address of a known member; whoever forges that address does not receive the cookie. There is no
//! doubt about what answers a request of ours, what is sealed, and what shows a cookie at once: acks bring cookies, and
//! the newest are [kept](super::super::core::cookies::GivenCookies), so that in a small cluster a leave costs no round trip more.
//! The member that reported a leave last is asked again a few times.
//!
//! A member that lies under its own address is believed, as in everything that it tells of others; the node refutes it.
//!
//! Beyond SWIM.

use std::collections::VecDeque;

use super::Admission;
use crate::node::Status;
use crate::protocol::api::Bound;
use crate::protocol::core::{Context, CookiePurpose, Core, Timer, vouch};
use crate::protocol::membership::Peer;
use crate::protocol::time::Instant;
use crate::wire::body::Vouch;
use crate::wire::{Body, Cookie, NameHash, Verdict, Writer};

/// Leaves that may be in doubt at the same time; of more, whoever told of them is asked once.
const DOUBTS_MAX: usize = 256;
/// So often a doubt is repeated …
const REPEATS_MAX: u32 = 4;
/// … each time after so many half gossip intervals.
const REPEAT_HALVES: u32 = 5;

/// A leave that we were told of, until its teller has vouched for it.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    subject: NameHash,
    teller: Peer,
    due: Instant,
    repeats: u32,
}

/// All leaves in doubt, each with who told of it last, in the order in which they are to be asked again.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    by_due: VecDeque<Doubt>,
}

impl Doubts {
    pub(super) fn bound(&self) -> Bound {
        Bound { what: "doubts", count: self.by_due.len(), max: DOUBTS_MAX }
    }

    fn push(&mut self, doubt: Doubt) {
        self.by_due.retain(|other| other.subject != doubt.subject);
        if self.by_due.len() < DOUBTS_MAX {
            self.by_due.push_back(doubt);
        }
    }

    fn pop_due(&mut self, now: Instant) -> Option<Doubt> {
        if self.next()? <= now { self.by_due.pop_front() } else { None }
    }

    fn next(&self) -> Option<Instant> {
        self.by_due.front().map(|doubt| doubt.due)
    }
}

impl Admission {
    /// Asks the sender whether it has said that a node left; `back` goes to it when all of its datagram is read.
    pub(in crate::protocol) fn doubt(
        &mut self,
        core: &mut Core,
        context: &Context,
        back: &mut Vec<Body<'static>>,
        subject: NameHash,
    ) {
        let (now, generation) = (context.now, context.generation);
        let teller = Peer { name: context.sender, addr: context.from, generation };
        back.push(doubt_about(core, now, subject, teller));
        self.keep_doubt(core, now, Doubt { subject, teller, due: now, repeats: 0 });
    }

    /// Asks those again who have not vouched for what they said, each about all of it at once: their addresses may have
    /// been forged.
    pub(in crate::protocol) fn repeat_doubts(&mut self, core: &mut Core, now: Instant) {
        let mut asked: Option<(Peer, Writer)> = None;
        while let Some(doubt) = self.doubts.pop_due(now) {
            let Doubt { subject, teller, .. } = doubt;
            let has_left = core.members.get(subject).is_none_or(|entry| entry.status == Status::Left);
            if has_left || !core.members.is_known(teller.name, teller.generation, teller.addr) {
                continue;
            }
            let body = doubt_about(core, now, subject, teller);
            let is_added =
                asked.as_mut().is_some_and(|(peer, datagram)| *peer == teller && datagram.push(&body));
            if !is_added {
                let mut datagram = core.plain_datagram_to(teller.generation);
                // It is short against the smallest datagram.
                let _ = datagram.push(&body);
                if let Some((peer, before)) = asked.replace((teller, datagram)) {
                    core.transmit(now, peer.addr, before);
                }
            }
            let repeats = doubt.repeats + 1;
            if repeats < REPEATS_MAX {
                self.keep_doubt(core, now, Doubt { repeats, ..doubt });
            }
        }
        if let Some((peer, last)) = asked {
            core.transmit(now, peer.addr, last);
        }
        if let Some(due) = self.doubts.next() {
            core.timers.set(Timer::Doubts, due);
        }
    }

    fn keep_doubt(&mut self, core: &mut Core, now: Instant, doubt: Doubt) {
        let due = now + core.settings.gossip_interval * REPEAT_HALVES / 2;
        self.doubts.push(Doubt { due, ..doubt });
        core.timers.set_earliest(Timer::Doubts, due);
    }
}

/// Whether somebody else than the sender could have sent the news of a leave.
pub(in crate::protocol) fn is_doubtful(core: &Core, context: &Context, verdict: &Verdict) -> bool {
    let is_news = core.members.get(verdict.subject).is_some_and(|entry| {
        let held = (entry.incarnation(), entry.status);
        entry.generation() == verdict.generation && (verdict.incarnation, verdict.status) > held
    });
    verdict.status == Status::Left && is_news && !context.answered && context.counter.is_none()
}

/// A peer wants to know whether we have said that a node left.
pub(in crate::protocol) fn handle_doubt(
    core: &Core,
    back: &mut Vec<Body<'static>>,
    subject: NameHash,
    cookie: Cookie,
) {
    if let Some(verdict) = core.held_against(subject).filter(|verdict| verdict.status == Status::Left) {
        back.push(vouch(&verdict, cookie));
    }
}

/// Whether a peer that says that a node has left has shown that it is the one who says so.
pub(in crate::protocol) fn is_vouched(core: &Core, context: &mut Context, vouch: &Vouch) -> bool {
    let (now, from, run) = (context.now, context.from, context.generation);
    let is_good = core.cookies.accepts(now, CookiePurpose::Request, vouch.cookie, from, context.sender, run);
    context.proven |= is_good;
    is_good
}

/// Sends what is to go back together.
pub(in crate::protocol) fn send_back(core: &mut Core, context: &Context, back: Vec<Body<'static>>) {
    if back.is_empty() {
        return;
    }
    let mut datagram = core.datagram_back(context);
    // For what finds no room there are others who tell of it.
    let _ = back.into_iter().all(|body| datagram.push(&body));
    core.transmit(context.now, context.from, datagram);
}

fn doubt_about(core: &Core, now: Instant, subject: NameHash, teller: Peer) -> Body<'static> {
    let cookie = core.cookies.bake(now, CookiePurpose::Request, teller.addr, teller.name, teller.generation);
    Body::Doubt { subject, cookie }
}
