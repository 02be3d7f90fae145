//! What readers of a member are shown: who it is, where, and which nodes are active.

use std::sync::{PoisonError, RwLock};

use super::address::OwnAddress;
use super::driver::Driver;
use crate::node::{Node, Nodes};
use crate::protocol::Settings;

/// The member as its readers see it.
#[derive(Debug)]
pub(super) struct View {
    name: String,
    cluster: String,
    address: OwnAddress,
    /// The last view that somebody asked for, and its version.
    nodes: RwLock<Option<(u64, Nodes)>>,
}

impl View {
    pub(super) fn new(settings: &Settings, address: OwnAddress) -> Self {
        Self {
            name: settings.name.clone(),
            cluster: settings.cluster.clone(),
            address,
            nodes: RwLock::new(None),
        }
    }

    /// The own name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The cluster's name.
    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Where it is, and which address others are told.
    pub(super) fn address(&self) -> &OwnAddress {
        &self.address
    }

    /// The active nodes: the last view if it is still right, else a new one. Two callers that come at the same
    /// moment after a change may both build it; the alternative would be to hold two locks.
    pub(super) fn nodes(&self, driver: &Driver) -> Nodes {
        let current = driver.view_version();
        if let Some((version, nodes)) = &*self.nodes.read().unwrap_or_else(PoisonError::into_inner)
            && *version == current
        {
            return nodes.clone();
        }
        let (version, nodes): (u64, Vec<Node>) =
            driver.read(|protocol| (protocol.view_version(), protocol.nodes().cloned().collect()));
        let nodes = Nodes::new(nodes);

        let mut last = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = match &*last {
            Some((newer, _)) if *newer > version => None,
            _ => last.replace((version, nodes.clone())),
        };
        // Dropping a large view takes a while: not under the lock.
        drop(last);
        drop(replaced);
        nodes
    }
}
