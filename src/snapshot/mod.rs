//! What a member writes down, so that it finds the others again when it is started anew.
//!
//! Seeds are fine as long as they run. When a whole cluster has lost its power, nobody may be left who was a seed,
//! or it comes back at another address. So each member keeps a file with the nodes that it knows and where they
//! are; whoever is started first waits, and whoever is started later says hello to those who are there.
//!
//! | file | holds |
//! |---|---|
//! | `format` | snapshot ↔ bytes, pure; the format, byte by byte |
//! | `store` | the file on disk: its lock, reading, writing whole or not at all, setting aside |
//! | `absent_contacts` | the addresses that an earlier run knew and this one has not found yet |
//!
//! Four promises, in the order of their weight:
//!
//! - **What is in a file never stops the start.** One that is torn, damaged, too new, or somebody else's is set aside,
//!   with a warning; the member begins as if there was none. A disk that takes nothing is a warning and a counter. An
//!   error is what only the operator can set right: a path that can not be a file's, a file that another process uses,
//!   and one that is there and can not be read. Nobody has seen that it is bad, so it is not set aside; and without it
//!   a generation could be used twice.
//! - **Generations grow**, whatever the clock does: the file holds the last one, and the next run takes a higher one
//!   and has it on disk before it sends its first datagram. So no two runs have the same, and the members that
//!   remember an earlier run take the new one for the newer. A run whose disk did not take that first write runs all
//!   the same (it is a warning and a counter, and tried again); until a write succeeds, it is for the clock to see to
//!   it that the next run has a higher one.
//! - **What was reported as written is there**, after a kill at any moment: it is in a file of its own, and on the
//!   disk, before it takes the name of the one before it.
//! - **Nothing is lost by being alone.** A member that comes back before the others has an empty view. What it writes
//!   then still has the addresses of the run before, until it sees those nodes again. Whom it has seen itself it does
//!   not forget while it is alone, however long they have been dead.
//!
//! What it never does: it takes no node for alive because of a file. It only says hello there, as to a seed.
//!
//! The own state begins anew with each run and has its versions counted from one: others tell runs apart by the
//! generation, and take nothing of an earlier one for something of this. So a state that is
//! [kept](crate::Config::keep_state) is written again by the new run, and that its version goes back harms nobody.

mod absent_contacts;
mod format;
mod store;

use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use self::absent_contacts::AbsentContacts;
pub(crate) use self::store::Store;
use crate::node::{Generation, Node, Status};
use crate::wire::ClusterId;

/// Nodes in one snapshot at most: of more, the active ones that follow the own name in the order of names (as if in
/// a circle), so that each member of a large cluster keeps another part of it.
const NODES_MAX: usize = 4_096;

/// From one write to the next, unless somebody asks for it.
const REST: Duration = Duration::from_secs(1);
/// The same after a write that failed: twice as long after each, up to this.
const REST_MAX: Duration = Duration::from_secs(60);

/// How long to rest after a write, when this many have failed in a row.
pub(crate) fn rest_after(failures: u32) -> Duration {
    REST_MAX.min(REST * 2_u32.pow(failures.min(6)))
}

/// All that is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The cluster's name.
    pub(crate) cluster: String,
    /// Which cluster of that name the nodes belong to. Zero in every snapshot for now.
    pub(crate) cluster_id: ClusterId,
    /// The own name.
    pub(crate) name: String,
    /// Of the own run.
    pub(crate) generation: Generation,
    /// Of the own state.
    pub(crate) state_version: u64,
    /// The own keys and values, if they are to be kept.
    pub(crate) state: Option<Vec<(String, Vec<u8>)>>,
    /// Everybody else.
    pub(crate) nodes: Vec<Contact>,
}

/// Where a node was last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    pub(crate) last_status: LastStatus,
}

/// The status of a node when it was last seen: the first ones are looked for first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LastStatus {
    Active,
    Dead,
    /// Looked for only by a member that is alone: all may have left, to come back later.
    Left,
}

impl LastStatus {
    fn of(status: Status) -> Self {
        match status {
            Status::Alive | Status::Suspect => Self::Active,
            Status::Dead => Self::Dead,
            Status::Left => Self::Left,
        }
    }
}

impl Snapshot {
    /// What a member has to write down: its own node, the nodes of its view, and those that it is still looking for.
    pub(crate) fn of<'a>(
        cluster: &str,
        local: &Node,
        keep_state: bool,
        view: impl Iterator<Item = &'a Node>,
        absent: &AbsentContacts,
    ) -> Self {
        let mut nodes: Vec<Contact> = view
            .filter(|node| node.name() != local.name())
            .map(|node| Contact {
                name: node.name().to_owned(),
                addr: node.addr(),
                last_status: LastStatus::of(node.status()),
            })
            .collect();
        let seen = nodes.len();
        nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for contact in absent.contacts() {
            if nodes[..seen].binary_search_by(|node| node.name.cmp(&contact.name)).is_err() {
                nodes.push(contact.clone());
            }
        }
        nodes.sort_unstable_by(|a, b| {
            let rank = |node: &'_ Contact| (node.last_status, node.name.as_str() < local.name());
            rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name))
        });
        nodes.truncate(NODES_MAX);
        let state = local.state().map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            cluster: cluster.to_owned(),
            cluster_id: ClusterId(0),
            name: local.name().to_owned(),
            generation: Generation(local.generation()),
            state_version: local.state_version(),
            state: keep_state.then(|| state.collect()),
            nodes,
        }
    }

    /// What this node can use of the bytes of a file, and what is wrong with them: then they are to be set aside when
    /// the first snapshot takes their place.
    ///
    /// Of another node of the same cluster only the nodes are taken: this one was renamed, or was started from a copy
    /// of the other's disk, and wants to find its cluster all the same. Its generation and its state are not ours.
    pub(crate) fn read_back(file: &[u8], cluster: &str, name: &str) -> (Option<Self>, Option<String>) {
        let found = match format::decode(file) {
            Ok(found) => found,
            Err(flaw) => return (None, Some(flaw.to_string())),
        };
        if found.cluster != cluster {
            let flaw = format!("is of the cluster {:?}", found.cluster);
            return (None, Some(flaw));
        }
        if found.name == name {
            return (Some(found), None);
        }
        let flaw = format!("is of the node {:?}; its addresses are used", found.name);
        let nodes = found.nodes.into_iter().filter(|node| node.name != name).collect();
        (Some(Self { generation: Generation(0), state_version: 0, state: None, nodes, ..found }), Some(flaw))
    }

    /// The bytes of a file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        format::encode(self)
    }

    /// Whether it holds the same as another one. The version of a state that is not kept is no reason to write again:
    /// some programs write their state all the time.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        let Self { cluster: _, cluster_id, name: _, generation, state_version, state, nodes } = self;
        *cluster_id == other.cluster_id
            && *generation == other.generation
            && *nodes == other.nodes
            && state.is_some() == other.state.is_some()
            && (state.is_none() || *state_version == other.state_version)
    }
}

#[cfg(test)]
pub(crate) mod tests;
