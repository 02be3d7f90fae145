//! Crowds: nodes of which nobody was ever heard.
//!
//! Without a key whoever can receive at an address brings in names, and who can write a member's address tells of any
//! number. The limits on nodes keep that from memory, and names that nobody answers to die one after the other. Until
//! then there may be thousands of them for a handful of members, and what goes along the ring goes to them: a member
//! that dies is probed once in minutes, and the news of it reaches nobody.
//!
//! The idea: a node that runs is heard sooner or later, and one that was made up is not. When more probes fail of nodes
//! that were never heard here than such nodes are heard for the first time, this member is for a while (`MEMORY`) aware
//! of a crowd. Then a round whose target was never heard probes one that was, too, and rumors go to nodes that were
//! heard. So members find each other's deaths as quickly as by random probing, however many names there are. Where
//! nearly all nodes run nothing changes.
//!
//! Beyond SWIM, which trusts its members.

use std::time::Duration;

use super::Detection;
use crate::node::Status;
use crate::protocol::core::Core;
use crate::protocol::time::Instant;
use crate::wire::NameHash;

/// For so long after a probe of a node that was never heard has failed a crowd is reckoned with.
const MEMORY: Duration = Duration::from_secs(60);
/// So many more of them fail than are heard for the first time: less is chance, where some nodes have died …
const SILENT_MIN: u8 = 3;
/// … and as many more are counted.
const SILENT_MAX: u8 = 12;

/// Whether there is a crowd, and who is not of it.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// When a probe of somebody who was never heard failed last.
    noticed: Option<Instant>,
    /// How many more of those have failed than were heard for the first time.
    silent: u8,
    /// The others that were heard, as of the last round in a crowd.
    heard: Vec<NameHash>,
}

impl Detection {
    /// A probe of a node has failed.
    pub(super) fn notice_silence(&mut self, core: &Core, now: Instant, name: NameHash) {
        if !core.members.was_heard(name) {
            self.crowd.noticed = Some(now);
            self.crowd.silent = (self.crowd.silent + 1).min(SILENT_MAX);
            if self.crowd.silent == SILENT_MIN {
                self.crowd.heard = heard_others(core);
            }
        }
    }

    /// A node was heard, maybe for the first time.
    pub(super) fn notice_voice(&mut self, core: &Core, name: NameHash) {
        if !core.members.was_heard(name) {
            self.crowd.silent = self.crowd.silent.saturating_sub(1);
        }
    }

    /// Whether nodes are about that nobody has heard.
    fn is_crowded(&self, now: Instant) -> bool {
        self.crowd.silent >= SILENT_MIN
            && self.crowd.noticed.is_some_and(|noticed| now.since(noticed) < MEMORY)
    }

    /// In a round whose target was never heard: one that was, if there is a crowd.
    pub(super) fn target_in_crowd(
        &mut self,
        core: &mut Core,
        now: Instant,
        target: NameHash,
    ) -> Option<NameHash> {
        if !self.is_crowded(now) || core.members.was_heard(target) {
            return None;
        }
        // All are looked at, but once a round.
        let heard = heard_others(core);
        let target = core.draw(&heard);
        self.crowd.heard = heard;
        target
    }

    /// In a crowd: a node to be told a rumor that was heard, is not suspected, and is not among those that are told
    /// already.
    pub(in crate::protocol) fn peer_in_crowd(
        &self,
        core: &mut Core,
        now: Instant,
        used: &[NameHash],
    ) -> Option<NameHash> {
        if !self.is_crowded(now) {
            return None;
        }
        let is_alive =
            |name: &NameHash| core.members.get(*name).is_some_and(|entry| entry.status == Status::Alive);
        let heard = self.crowd.heard.iter().copied();
        let peers: Vec<NameHash> = heard.filter(|name| !used.contains(name) && is_alive(name)).collect();
        core.draw(&peers)
    }
}

fn heard_others(core: &Core) -> Vec<NameHash> {
    core.others().filter(|name| core.members.was_heard(*name)).collect()
}
