//! Reconnecting: the dead are probed in the background, so that cuts heal by themselves.
//!
//! Beyond SWIM, where a node that was declared dead stays dead until it is started again. The idea comes from Serf's
//! reconnect. A ping to a dead node carries what is held against it. If it runs, it answers, refutes, and asks to be
//! let in again; two halves of a cluster then find all their differences by sync.
//!
//! A tombstone lasts for `tombstone_ttl`, and a cut may last longer. So the addresses of the last 64 dead nodes are
//! kept when their tombstones are forgotten. Nothing else is known of these nodes any more: they are sent a hello, as
//! seeds are.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::{Detection, Purpose};
use crate::node::Status;
use crate::protocol::core::{Core, Timer};
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// Maximum number of dead nodes that are probed at the same time, to see whether they are back.
const RECONNECTS_MAX: usize = 64;
/// The longest time between two probes of a dead node, however long it has been dead.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(600);

impl Detection {
    /// Asks some of the dead whether they are back, so that cuts heal.
    ///
    /// On average, one member of the whole cluster asks each dead node per `rejoin_interval`, and less often the longer
    /// the node is dead. But some dead node is asked in each `rejoin_interval`, so that a small half that was away for
    /// long comes back as soon as any other. Returns the addresses of forgotten ones that should get a hello.
    pub(in crate::protocol) fn reconnect(&mut self, core: &mut Core, now: Instant) -> Vec<SocketAddr> {
        let active = core.members.ring().len().max(1);
        let dead: Vec<(NameHash, Duration)> = core
            .members
            .tombstones()
            .map(|(since, name)| (name, now.since(since)))
            .filter(|(name, _)| core.members.get(*name).is_some_and(|entry| entry.status == Status::Dead))
            .collect();
        let mut running = self.probes.iter().filter(|probe| probe.purpose == Purpose::Reconnect).count();
        let mut lost = core.members.lost();
        let interval = core.settings.rejoin_interval;
        let turn = interval * u32::try_from(dead.len() + lost.len()).unwrap_or(u32::MAX);
        let is_drawn = |core: &mut Core, age: Duration| {
            let pause = (age / 4).min(RECONNECT_PAUSE_MAX).min(turn).max(interval);
            let rarity = pause.as_millis() * active as u128;
            core.rng.random_range(0..rarity.max(1)) < interval.as_millis()
        };
        for (name, age) in &dead {
            if is_drawn(core, *age)
                && running < RECONNECTS_MAX
                && self.probe_node(core, now, Purpose::Reconnect, *name).is_some()
            {
                running += 1;
            }
        }
        if !dead.is_empty() || !lost.is_empty() {
            schedule_reconnect(core, now);
        }
        let ttl = core.settings.tombstone_ttl;
        lost.retain(|_| is_drawn(core, ttl));
        lost
    }
}

/// A node has died: it is asked now and then whether it is back.
pub(in crate::protocol) fn schedule_reconnect(core: &mut Core, now: Instant) {
    let pause = core.settings.rejoin_interval / 2 + core.jitter(core.settings.rejoin_interval);
    core.timers.set_earliest(Timer::Reconnect, now + pause);
}
