//! The thread of [`TimerKind::Disseminate`]: rumors, suspicion deadlines, sync, joining and healing.
//!
//! It is apart from the prober so that a burst of news does not delay a probe.

use std::sync::Arc;

use super::shared::Shared;
use super::timer;
use crate::protocol::TimerKind;

/// Spreads news until the member ends.
pub(super) fn run(shared: &Arc<Shared>) {
    timer::run(shared, TimerKind::Disseminate);
}
