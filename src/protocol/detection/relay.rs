//! Relays: pings that this member sends on behalf of others (SWIM, section 3.1, the ping-req; Lifeguard's nacks).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Detection, target_of};
use crate::node::Incarnation;
use crate::protocol::api::Bound;
use crate::protocol::core::requests::RequestKind;
use crate::protocol::core::{Context, Core, Run};
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::body::{NackReason, PingRequest};
use crate::wire::{Body, Seq};

/// Maximum number of pings that this member relays for others at the same time.
const RELAYED_MAX: usize = 1_024;

/// A ping that this member sends for another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct RelayedPing {
    asker: SocketAddr,
    asker_run: Run,
    asker_seq: Seq,
    target: SocketAddr,
    /// Whether the nack was sent to the asker; a late ack is still passed on.
    nacked: bool,
}

/// All pings that this member relays.
#[derive(Debug)]
pub(super) struct RelayedPings {
    by_seq: BTreeMap<Seq, RelayedPing>,
    deadlines: Deadlines<Seq>,
}

impl RelayedPings {
    pub(super) fn new() -> Self {
        Self { by_seq: BTreeMap::new(), deadlines: Deadlines::new() }
    }

    fn has_room(&self) -> bool {
        self.by_seq.len() < RELAYED_MAX
    }

    /// Notes a ping that is being sent.
    fn begin(&mut self, seq: Seq, ping: RelayedPing, nack_at: Instant) {
        self.by_seq.insert(seq, ping);
        self.deadlines.set(seq, nack_at);
    }

    /// A ping is over.
    fn take(&mut self, seq: Seq) -> Option<RelayedPing> {
        self.deadlines.cancel(seq);
        self.by_seq.remove(&seq)
    }

    pub(super) fn len(&self) -> usize {
        self.by_seq.len()
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "relayed pings", count: self.by_seq.len(), max: RELAYED_MAX }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }
}

impl Detection {
    /// Another member asks us to ping a node.
    pub(in crate::protocol) fn handle_ping_request(
        &mut self,
        core: &mut Core,
        context: &Context,
        request: &PingRequest,
    ) {
        let (now, asker) = (context.now, context.from);
        if request.target == core.me && request.generation == core.generation {
            let body = Body::RelayedAck { seq: request.seq, incarnation: core.incarnation };
            core.reply(now, asker, context.run(), &body);
            return;
        }
        let is_held =
            core.members.active(request.target).is_some_and(|entry| entry.generation() == request.generation);
        let Some(target) = target_of(core, request.target).filter(|_| is_held) else {
            let body = Body::Nack { seq: request.seq, reason: NackReason::Unknown };
            core.reply(now, asker, context.run(), &body);
            return;
        };
        // Not even a nack: it would be proof, and nothing was asked.
        if !self.relayed.has_room() || !core.can_reach(target.addr) {
            return;
        }
        let seq = core.request(now, RequestKind::RelayedPing, 0, target.peer(), None);
        let ping = RelayedPing {
            asker,
            asker_run: context.run(),
            asker_seq: request.seq,
            target: target.addr,
            nacked: false,
        };
        let nack_after = Duration::from_millis(u64::from(request.nack_after_ms));
        self.relayed.begin(seq, ping, now + nack_after.min(core.settings.probe_timeout * 16));
        self.write_ping(core, now, &target, seq, None);
    }

    /// Reports to those that have asked us that nothing came. A ping stays for a probe timeout after that, to pass on a
    /// late ack.
    pub(in crate::protocol) fn nack_askers(&mut self, core: &mut Core, now: Instant) {
        while let Some(seq) = self.relayed.deadlines.pop_due(now) {
            let Some(ping) = self.relayed.by_seq.get_mut(&seq) else {
                continue;
            };
            // Nor is it asked if the ping has come back to ourselves.
            if ping.nacked || !core.can_reach(ping.target) {
                self.relayed.take(seq);
                core.requests.end(now, seq, false);
                continue;
            }
            ping.nacked = true;
            self.relayed.deadlines.set(seq, now + core.settings.probe_timeout);
            let nack = Body::Nack { seq: ping.asker_seq, reason: NackReason::NoAnswer };
            core.reply(now, ping.asker, ping.asker_run, &nack);
        }
    }

    /// Passes an ack on to the member that has asked for it.
    pub(super) fn relay_ack(&mut self, core: &mut Core, now: Instant, seq: Seq, incarnation: Incarnation) {
        core.requests.end(now, seq, true);
        if let Some(ping) = self.relayed.take(seq) {
            let body = Body::RelayedAck { seq: ping.asker_seq, incarnation };
            core.reply(now, ping.asker, ping.asker_run, &body);
        }
    }
}
