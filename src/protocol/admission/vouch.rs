//! Leave verification: a relayed leave is accepted only from a verified source address.
//!
//! A leave can not be checked as a death can, by asking the node (see [`super::super::detection`]): a node that has
//! left does not answer, and its leave should reach the whole cluster within milliseconds. But the member that reports
//! the leave is still there. Its source address is easily forged, so it is asked whether it has sent the report:
//!
//! ```text
//!  a member                                a peer that gets its gossip
//!  verdict: x has left                  →
//!                                       ←  doubt(x, cookie)
//!  vouch(cookie, x)                     →  believes it, and gossips it
//! ```
//!
//! A doubt goes to the address of a known member; a forger of that address does not receive the cookie. No doubt is
//! sent about a leave in an answer to a request of ours, in a sealed datagram, or in one that shows a cookie at once:
//! acks bring cookies, and the newest are [kept](super::super::core::cookies::GivenCookies), so that in a small cluster
//! a leave costs no round trip more. The member that reported a leave last is asked again a few times.
//!
//! A member that lies under its own address is believed, as in everything that it reports about others; the node
//! refutes the lie.
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

/// Maximum number of leaves in doubt at the same time; beyond it, the member that reported a leave is asked only once.
const DOUBTS_MAX: usize = 256;
/// How often a doubt is repeated …
const REPEATS_MAX: u32 = 4;
/// … and after how many half gossip intervals each time.
const REPEAT_HALVES: u32 = 5;

/// A leave that was reported to us, until the reporter has vouched for it.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    subject: NameHash,
    teller: Peer,
    due: Instant,
    repeats: u32,
}

/// All leaves in doubt, each with the member that reported it last, in the order in which these are asked again.
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
    /// Asks the sender whether it has reported that a node left; `back` goes to it when all of its datagram is read.
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

    /// Asks those members again that have not vouched for their reports, each about all of its reports at once: their
    /// addresses may have been forged.
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
                // It is short compared with the smallest datagram.
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

/// Whether another node than the sender could have sent the news of a leave.
pub(in crate::protocol) fn is_doubtful(core: &Core, context: &Context, verdict: &Verdict) -> bool {
    let is_news = core.members.get(verdict.subject).is_some_and(|entry| {
        let held = (entry.incarnation(), entry.status);
        entry.generation() == verdict.generation && (verdict.incarnation, verdict.status) > held
    });
    verdict.status == Status::Left && is_news && !context.answered && context.counter.is_none()
}

/// A peer asks whether we have reported that a node left.
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

/// Whether the report of a leave is proven to come from the peer that it seems to come from.
pub(in crate::protocol) fn is_vouched(core: &Core, context: &mut Context, vouch: &Vouch) -> bool {
    let (now, from, run) = (context.now, context.from, context.generation);
    let is_good = core.cookies.accepts(now, CookiePurpose::Request, vouch.cookie, from, context.sender, run);
    context.proven |= is_good;
    is_good
}

/// Sends all answers to a peer together.
pub(in crate::protocol) fn send_back(core: &mut Core, context: &Context, back: Vec<Body<'static>>) {
    if back.is_empty() {
        return;
    }
    let mut datagram = core.datagram_back(context);
    // A leave that finds no room is reported by others, too.
    let _ = back.into_iter().all(|body| datagram.push(&body));
    core.transmit(context.now, context.from, datagram);
}

fn doubt_about(core: &Core, now: Instant, subject: NameHash, teller: Peer) -> Body<'static> {
    let cookie = core.cookies.bake(now, CookiePurpose::Request, teller.addr, teller.name, teller.generation);
    Body::Doubt { subject, cookie }
}
