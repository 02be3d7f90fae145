//! The admitting side: whether a newcomer is let in, and what it is told.

use std::net::SocketAddr;

use super::Admission;
use super::names::Incumbent;
use crate::protocol::core::{Context, CookiePurpose, Core};
use crate::protocol::time::Instant;
use crate::wire::body::{Hello, RejectReason, Welcome};
use crate::wire::{Body, ClusterId, NameHash, Record, Seq};

/// Whether somebody may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Decision {
    Yes,
    /// Its name is being checked; it will ask again.
    Wait,
    /// Another run holds its name: that is to be probed first.
    Check(Incumbent),
    No(RejectReason),
}

impl Admission {
    /// Whether a sender that has proved its address may come in.
    pub(in crate::protocol) fn decide(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        name: NameHash,
        record: &Record<'_>,
    ) -> Decision {
        if !core.takes(record) {
            core.metrics.not_allowed += 1;
            return Decision::No(RejectReason::NotAllowed);
        }
        if name == core.me {
            return Decision::No(RejectReason::NameTaken { addr: core.settings.advertise });
        }
        let held = core.members.get(name);
        let is_at_home = held.is_some_and(|entry| entry.is_at(from));
        let since = held.map_or(now, |entry| entry.since);
        let held = held.map(|entry| (entry.generation(), entry.addr(), entry.is_active()));
        let full = core.members.ring().len() >= core.settings.max_nodes;
        let decision = match held {
            None | Some((_, _, false)) if full => Decision::No(RejectReason::Full),
            None => Decision::Yes,
            Some((run, addr, _)) if run == record.generation && (is_at_home || addr == record.addr) => {
                Decision::Yes
            }
            Some((run, addr, _)) if run > record.generation => {
                Decision::No(RejectReason::Stale { known: run, addr })
            }
            Some((_, addr, _)) if is_at_home && addr == record.addr => Decision::Yes,
            // Another run, or the same one that has moved, as it says: does the one that we know still answer there?
            Some((run, addr, _)) => self.check_name(now, name, ((run, addr), since), record.generation),
        };
        // A run that comes back is nobody new, and a name under another run after the other is.
        let is_new = held.is_none_or(|(run, _, _)| run != record.generation);
        if decision == Decision::Yes && is_new && !core.addresses.may_admit(now, from) {
            return Decision::No(RejectReason::Full);
        }
        if let Decision::No(RejectReason::NameTaken { .. }) = decision {
            self.note_refused(now, name, record.addr, core.settings.rejoin_interval * 2);
        }
        decision
    }
}

/// Whether the sender of a hello has shown that it receives at its address; a sender that has not is challenged.
pub(in crate::protocol) fn proves_address(core: &mut Core, context: &mut Context, hello: &Hello<'_>) -> bool {
    let (sender, record) = (context.sender, &hello.record);
    if NameHash::of(core.tag, record.name) != sender || record.generation != context.generation {
        core.metrics.malformed += 1;
        return false;
    }
    match held_elsewhere(core, context.from, sender, record) {
        Some(addr) => has_cookie_from(core, context, hello, addr),
        None => core.has_cookie(context, hello.seq, hello.cookie),
    }
}

/// Refuses a hello.
pub(in crate::protocol) fn reject(
    core: &mut Core,
    context: &Context,
    hello: &Hello<'_>,
    reason: RejectReason,
) {
    let (now, from) = (context.now, context.from);
    core.metrics.joins_refused += 1;
    core.note(log::Level::Debug, || format!("{} at {from} is refused: {reason:?}", hello.record.name));
    core.reply(now, from, context.run(), &Body::Reject { seq: hello.seq, reason });
}

/// Answers a hello whose sender was let in.
pub(in crate::protocol) fn welcome(core: &mut Core, context: &Context, seq: Seq) {
    let (now, from, sender) = (context.now, context.from, context.sender);
    let mut datagram = core.datagram_to(context.run());
    let count = u32::try_from(core.members.ring().len()).unwrap_or(u32::MAX);
    let welcome = Welcome { seq, view: core.view_mark(now), count, cluster: ClusterId(0) };
    let held = core.members.get(sender).filter(|entry| !entry.is_active());
    // It counts as dead or left here, at the number that it told: it has to raise that first.
    let verdict = held.map(|entry| Body::SyncVerdict(entry.verdict(sender)));
    let own = Some(Body::SyncRecord { record: core.own_record(), vouched: true });
    let bodies = [Some(Body::Welcome(welcome)), own, verdict];
    for body in bodies.into_iter().flatten() {
        // All three are short against the smallest datagram.
        let _ = datagram.push(&body);
    }
    core.transmit(now, from, datagram);
}

/// Where we hold the run that says hello, and it says that it is, if the hello is from another address.
fn held_elsewhere(
    core: &Core,
    from: SocketAddr,
    sender: NameHash,
    record: &Record<'_>,
) -> Option<SocketAddr> {
    let held = core.members.get(sender).filter(|entry| entry.generation() == record.generation)?;
    (held.addr() == record.addr && !held.is_at(from)).then_some(record.addr)
}

/// Whether a run that sends from one address receives at the other one where we hold it: else anybody could speak
/// for it. The cookie goes there and has to come back from here.
fn has_cookie_from(core: &mut Core, context: &mut Context, hello: &Hello<'_>, addr: SocketAddr) -> bool {
    let Context { now, from, sender, generation, .. } = *context;
    let purpose = CookiePurpose::HeldElsewhere;
    if core.cookies.accepts(now, purpose, hello.cookie, from, sender, generation) {
        context.proven = true;
        return true;
    }
    if !std::mem::replace(&mut context.replied, true) {
        let cookie = core.cookies.bake(now, purpose, from, sender, generation);
        let mut datagram = core.datagram_back(context);
        if datagram.push(&Body::Challenge { seq: hello.seq, cookie }) {
            core.transmit(now, addr, datagram);
        }
    }
    false
}
