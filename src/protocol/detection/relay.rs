//! Relays: pings that this member sends on behalf of others (SWIM, section 3.1, the ping-req; Lifeguard's nacks).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Detection, Target, target_of};
use crate::node::{Generation, Incarnation};
use crate::protocol::api::Bound;
use crate::protocol::core::{Context, Core};
use crate::protocol::time::{Deadlines, Instant};
use crate::wire::body::{NackReason, PingRequest};
use crate::wire::{Body, Seq};

/// Pings that this member may relay for others at the same time.
const RELAYED_MAX: usize = 1_024;

/// A ping that this member sends for another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct RelayedPing {
    pub(super) asker: SocketAddr,
    pub(super) asker_generation: Generation,
    pub(super) asker_seq: Seq,
    pub(super) target: Target,
    /// Whether the asker was told that nothing came; a late ack is still passed on.
    pub(super) nacked: bool,
}

/// All relayed pings of this member as a relay.
#[derive(Debug)]
pub(super) struct RelayedPings {
    by_seq: BTreeMap<Seq, RelayedPing>,
    deadlines: Deadlines<Seq>,
}

impl RelayedPings {
    pub(super) fn new() -> Self {
        Self { by_seq: BTreeMap::new(), deadlines: Deadlines::new() }
    }

    /// Takes an ping under a fresh number; false if there are too many.
    pub(super) fn begin(&mut self, seq: Seq, ping: RelayedPing, nack_at: Instant) -> bool {
        if self.by_seq.len() >= RELAYED_MAX {
            return false;
        }
        self.by_seq.insert(seq, ping);
        self.deadlines.set(seq, nack_at);
        true
    }

    /// The target has answered: the ping, which is over.
    pub(super) fn answered(&mut self, seq: Seq, from: SocketAddr) -> Option<RelayedPing> {
        self.by_seq.get(&seq).filter(|ping| ping.target.addr == from)?;
        self.deadlines.cancel(seq);
        self.by_seq.remove(&seq)
    }

    /// An ping whose asker is to be told now that nothing came. It stays for `grace` to pass on a late ack.
    pub(super) fn pop_due(&mut self, now: Instant, grace: Duration) -> Option<RelayedPing> {
        loop {
            let seq = self.deadlines.pop_due(now)?;
            let Some(ping) = self.by_seq.get_mut(&seq) else {
                continue;
            };
            if ping.nacked {
                self.by_seq.remove(&seq);
                continue;
            }
            ping.nacked = true;
            self.deadlines.set(seq, now + grace);
            return Some(*ping);
        }
    }

    pub(super) fn bound(&self) -> Bound {
        Bound { what: "relayed pings", count: self.by_seq.len(), max: RELAYED_MAX }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }
}

impl Detection {
    /// Somebody asks us to ping a node.
    pub(in crate::protocol) fn handle_ping_request(
        &mut self,
        core: &mut Core,
        context: &Context,
        request: &PingRequest,
    ) {
        let (now, asker) = (context.now, context.from);
        if request.target == core.me && request.generation == core.generation {
            let body = Body::RelayedAck { seq: request.seq, incarnation: core.incarnation };
            core.reply(now, asker, context.generation, &body);
            return;
        }
        let is_held =
            core.members.active(request.target).is_some_and(|entry| entry.generation() == request.generation);
        let Some(target) = target_of(core, request.target).filter(|_| is_held) else {
            let body = Body::Nack { seq: request.seq, reason: NackReason::Unknown };
            core.reply(now, asker, context.generation, &body);
            return;
        };
        let seq = core.fresh_seq();
        let ping = RelayedPing {
            asker,
            asker_generation: context.generation,
            asker_seq: request.seq,
            target,
            nacked: false,
        };
        let nack_after = Duration::from_millis(u64::from(request.nack_after_ms));
        if self.relayed.begin(seq, ping, now + nack_after.min(core.settings.probe_timeout * 16)) {
            self.write_ping(core, now, &target, seq, None);
        }
    }

    /// Reports to those that have asked us that nothing came.
    pub(in crate::protocol) fn nack_askers(&mut self, core: &mut Core, now: Instant) {
        while let Some(ping) = self.relayed.pop_due(now, core.settings.probe_timeout) {
            let nack = Body::Nack { seq: ping.asker_seq, reason: NackReason::NoAnswer };
            core.reply(now, ping.asker, ping.asker_generation, &nack);
        }
    }

    /// Passes an ack on to the member that has asked for it; false if nobody has.
    pub(super) fn relay_ack(
        &mut self,
        core: &mut Core,
        context: &Context,
        seq: Seq,
        incarnation: Incarnation,
    ) -> bool {
        let Some(ping) = self.relayed.answered(seq, context.from) else {
            return false;
        };
        let body = Body::RelayedAck { seq: ping.asker_seq, incarnation };
        core.reply(context.now, ping.asker, ping.asker_generation, &body);
        true
    }
}
