//! Reconnecting: the dead are probed in the background, so that cuts heal by themselves.
//!
//! Beyond SWIM, where a node that was declared dead stays so until somebody starts it anew (Serf's reconnect is
//! the idea's ancestor). A ping to a dead node carries what is held against it. If it runs, it answers, refutes,
//! and asks to be let in again; two halves of a cluster then find all their differences by sync.
//!
//! A tombstone lasts for `tombstone_ttl`, and a cut may last longer. So the address of a dead node is kept when its
//! tombstone is forgotten, of the last 64. Nothing is known of the node there any more: it is sent a hello, as a seed is.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::{Detection, Purpose};
use crate::node::Status;
use crate::protocol::core::{Core, Timer};
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// Dead nodes that may be probed at the same time, to see whether they are back.
const RECONNECTS_MAX: usize = 64;
/// A dead node is asked again at most this much later, however long it has been dead.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(600);

impl Detection {
    /// Asks some of the dead whether they are back: cuts heal.
    ///
    /// Each dead node is asked by one member in the cluster and rejoin_interval on average, less often the
    /// longer it is dead; but some dead node is asked in each rejoin_interval, so that a small half that was away for
    /// long comes back as soon as another one. Returns the addresses of forgotten ones that should get a hello.
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
