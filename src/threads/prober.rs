//! The thread of [`Duty::Probe`]: probe rounds and their deadlines.

use std::sync::Arc;

use super::shared::Shared;
use super::timer;
use crate::protocol::Duty;

/// Probes until the member ends.
pub(super) fn run(shared: &Arc<Shared>) {
    timer::run(shared, Duty::Probe);
}
