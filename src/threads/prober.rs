//! The thread of [`Duty::Probe`]: probe rounds and their deadlines.

use std::sync::Arc;

use super::alarm;
use super::shared::Shared;
use crate::protocol::Duty;

/// Probes until the member ends.
pub(super) fn run(shared: &Arc<Shared>) {
    alarm::keep(shared, Duty::Probe);
}
