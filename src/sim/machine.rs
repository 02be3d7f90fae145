//! What stays of a host when its process ends: [`Machine`].

use std::net::SocketAddr;

use super::clock::WallClock;
use super::disk::Disk;
use super::network::{Largest, Pipe};

/// The machine on which the processes of one host run, one after the other.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) clock: WallClock,
    pub(super) disk: Disk,
    /// Where it can be reached, if that was set.
    pub(super) addresses: Vec<SocketAddr>,
    /// The number of the translator that it is behind.
    pub(super) translator: Option<usize>,
    /// The width that everything it sends goes through.
    pub(super) uplink: Option<Pipe>,
    /// The width that everything sent to it goes through.
    pub(super) downlink: Option<Pipe>,
    /// What it sends and receives.
    pub(super) largest: Largest,
}
