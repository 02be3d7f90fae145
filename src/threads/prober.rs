//! The thread of [`TimerKind::Probe`]: probe rounds and their deadlines.

use std::sync::Arc;

use super::shared::Shared;
use super::timer;
use crate::protocol::TimerKind;

/// Probes until the member ends.
pub(super) fn run(shared: &Arc<Shared>) {
    timer::run(shared, TimerKind::Probe);
}
