//! The admitting side: whether a newcomer is admitted, and what it is answered.

use std::net::SocketAddr;

use super::Admission;
use crate::node::Generation;
use crate::protocol::api::Transmit;
use crate::protocol::core::{Context, CookiePurpose, Core, about};
use crate::protocol::rules::Rule;
use crate::protocol::time::Instant;
use crate::wire::body::{Hello, RejectReason, Welcome};
use crate::wire::{Body, ClusterId, NameHash, Record, Seq};

/// If hellos come from another address than the advertised one, the first hellos of an attempt, up to this number, are
/// answered at the advertised address. After that, every other hello is answered at its source.
const CHALLENGED_FIRST: u32 = 3;

/// A run at an address, which is probed to see whether it still answers.
pub(in crate::protocol) type Incumbent = (Generation, SocketAddr);

/// Whether a newcomer may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Decision {
    Yes,
    /// Its name is being checked; it will ask again.
    Wait,
    /// Another run holds its name, and has to be probed first.
    Check(Incumbent),
    No(RejectReason),
}

impl Admission {
    /// Whether the sender of a hello has shown that it receives at the address that it advertises; one that has not is
    /// challenged.
    ///
    /// The challenge goes to that address, wherever the hello came from, and is never longer than the hello. Where the
    /// two addresses differ, some hellos are answered to the source instead: the sender cannot learn otherwise that it
    /// is not reached.
    pub(in crate::protocol) fn proves_address(
        &mut self,
        core: &mut Core,
        context: &mut Context,
        hello: &Hello<'_>,
    ) -> bool {
        let Context { now, from, sender, generation, .. } = *context;
        let record = &hello.record;
        if NameHash::of(core.tag, record.name) != sender || record.generation != generation {
            core.metrics.malformed += 1;
            return false;
        }
        if !core.follows(Rule::Cookie) {
            return true;
        }
        let advertised = record.addr;
        if from == advertised {
            return core.has_cookie(context, hello.seq, hello.cookie);
        }
        let purpose = CookiePurpose::Elsewhere { advertised };
        if core.cookies.accepts(now, purpose, hello.cookie, from, sender, generation) {
            context.proven = true;
            core.addresses.heard(advertised);
            return true;
        }
        if std::mem::replace(&mut context.replied, true) {
            return false;
        }
        if let Some(reason) = refusal(core, sender, record) {
            reject(core, context, hello, reason);
        } else if hello.attempt > CHALLENGED_FIRST && hello.attempt.is_multiple_of(2) {
            self.warn_of_unreachable(core, from, record);
            reject(core, context, hello, RejectReason::Unreachable { seen: from });
        } else {
            let cookie = core.cookies.bake(now, purpose, from, sender, generation);
            let mut datagram = core.datagram_back(context);
            if datagram.push(&Body::Challenge { seq: hello.seq, cookie }) {
                core.transmit(now, advertised, datagram);
            }
        }
        false
    }

    /// A newcomer is heard and not reached. The first one is logged as a warning.
    fn warn_of_unreachable(&mut self, core: &mut Core, from: SocketAddr, record: &Record<'_>) {
        let is_first = !std::mem::replace(&mut self.has_warned, true);
        let level = if is_first { log::Level::Warn } else { log::Level::Debug };
        let Record { name, addr, .. } = *record;
        core.note(level, || {
            format!("{name} at {from} wants to join, and nobody answers at {addr}, which it advertises")
        });
    }

    /// Whether a sender that has proved its address may come in, by its hello or by its welcome to ours.
    pub(in crate::protocol) fn decide(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        name: NameHash,
        record: &Record<'_>,
    ) -> Decision {
        if let Some(reason) = refusal(core, name, record) {
            return Decision::No(reason);
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
            // Another run, or the same one that says it has moved: does the one that we know still answer there?
            Some((run, addr, _)) if core.follows(Rule::NameCheck) => {
                self.check_name(now, name, ((run, addr), since), record.generation)
            }
            Some(_) => Decision::Yes,
        };
        // A known run that comes back is not new; each further run of a name is.
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

/// Why a record is refused, whatever is held of its node; none if it is not. The rule is the same for nodes that say
/// hello and for members that let us in.
fn refusal(core: &mut Core, name: NameHash, record: &Record<'_>) -> Option<RejectReason> {
    if !core.takes(record) {
        core.metrics.not_allowed += 1;
        Some(RejectReason::NotAllowed)
    } else if name == core.me {
        Some(RejectReason::NameTaken { addr: core.settings.advertise })
    } else if !core.can_reach(record.addr) {
        Some(RejectReason::BadAddress)
    } else {
        None
    }
}

/// Refuses a hello.
pub(in crate::protocol) fn reject(
    core: &mut Core,
    context: &Context,
    hello: &Hello<'_>,
    reason: RejectReason,
) {
    let from = context.from;
    core.metrics.joins_refused += 1;
    let Record { name, addr, .. } = hello.record;
    if reason == RejectReason::BadAddress {
        let level = if core.addresses.warns() { log::Level::Warn } else { log::Level::Debug };
        core.note(level, || {
            format!("{name} at {from} is refused: it advertises {addr}, which this host has itself or cannot send to")
        });
    } else {
        core.note(log::Level::Debug, || format!("{name} at {from} is refused: {reason:?}"));
    }
    let mut datagram = core.datagram_back(context);
    if datagram.push(&Body::Reject { seq: hello.seq, reason }) {
        core.transmit_unchecked(from, datagram);
    }
}

/// Something was dropped that a node which takes part has sent to our run, because it comes from an address that is not
/// known as its own. Says so, in no more bytes than came, and in place of a number repeats how the datagram ended: the node
/// has to say hello from there.
pub(in crate::protocol) fn answer_unknown_source(core: &mut Core, context: &mut Context) {
    let held = core.members.active(context.sender).filter(|_| context.is_for_us);
    if held.is_none_or(|entry| entry.generation() != context.generation || entry.is_at(context.from))
        || std::mem::replace(&mut context.replied, true)
    {
        return;
    }
    let seq = about(context.ending);
    let reason = RejectReason::Unreachable { seen: context.from };
    for body in [Body::Reject { seq, reason }, Body::BareAck { seq }] {
        let mut writer = core.plain_datagram_to(context.generation);
        let is_whole = writer.push(&body);
        let datagram = writer.finish();
        if is_whole && datagram.len() <= context.length {
            core.transmits.push_back(Transmit { to: context.from, datagram });
            return;
        }
    }
}

/// Answers a hello whose sender was let in.
pub(in crate::protocol) fn welcome(core: &mut Core, context: &Context, seq: Seq) {
    let (now, from, sender) = (context.now, context.from, context.sender);
    let mut datagram = core.datagram_to(context.run());
    let count = u32::try_from(core.members.ring().len()).unwrap_or(u32::MAX);
    let welcome = Welcome { seq, view: core.view_mark(now), count, cluster: ClusterId(0) };
    let held = core.members.get(sender).filter(|entry| !entry.is_active());
    // It counts as dead or left here, at the number in its hello: it has to raise that number first.
    let verdict = held.map(|entry| Body::SyncVerdict(entry.verdict(sender)));
    let own = Some(Body::SyncRecord { record: core.own_record(), vouched: true });
    let bodies = [Some(Body::Welcome(welcome)), own, verdict];
    for body in bodies.into_iter().flatten() {
        // All three together are short compared with the smallest datagram.
        let _ = datagram.push(&body);
    }
    core.transmit(now, from, datagram);
}
