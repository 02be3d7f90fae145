//! The wall clocks of hosts.
//!
//! Virtual time is the same for all hosts: timers, latencies and deadlines run by it. A host's wall clock is a
//! different thing: it may be years off, and run too fast or too slow. A member reads it once, when it starts, to
//! number its run. So a clock that is set while a member runs affects only the next run on that host.

use std::time::Duration;

use crate::protocol::Instant;

/// The time since the Unix epoch that a right clock shows at the beginning.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// How the wall clock of a simulated host goes: see [`Cluster::clock`](crate::sim::Cluster::clock).
///
/// ```
/// use std::time::Duration;
/// use headcount::sim::Clock;
///
/// let slow_by_two_years = Clock::behind(Duration::from_secs(2 * 365 * 86_400));
/// let fast_by_a_second_an_hour = Clock::right().drifting(278);
/// assert_ne!(slow_by_two_years, fast_by_a_second_an_hour);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// In microseconds.
    offset: i64,
    /// In millionths.
    drift: i32,
}

impl Clock {
    /// A clock that is right and stays so, as all are at first.
    #[must_use]
    pub fn right() -> Self {
        Self::default()
    }

    /// A clock that is ahead by this much.
    #[must_use]
    pub fn ahead(by: Duration) -> Self {
        Self { offset: micros(by), drift: 0 }
    }

    /// A clock that is behind by this much. It shows no time before 1970: a clock that is set before that stays at
    /// 1970.
    #[must_use]
    pub fn behind(by: Duration) -> Self {
        Self { offset: -micros(by), drift: 0 }
    }

    /// The same clock, gaining this many microseconds in each second from the moment when it is set; a negative number
    /// loses them.
    #[must_use]
    pub fn drifting(self, micros_per_second: i32) -> Self {
        Self { drift: micros_per_second, ..self }
    }
}

/// A clock, and when it was set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WallClock {
    clock: Clock,
    set: Instant,
}

impl WallClock {
    pub(super) fn new(now: Instant, clock: Clock) -> Self {
        Self { clock, set: now }
    }

    /// The time since the Unix epoch that it shows.
    pub(super) fn shows(&self, now: Instant) -> Duration {
        let right = EPOCH + Duration::from_micros(now.as_micros());
        let drifted = i128::from(now.as_micros() - self.set.as_micros()) * i128::from(self.clock.drift);
        let off = i128::from(self.clock.offset) + drifted / 1_000_000;
        let by = Duration::from_micros(u64::try_from(off.unsigned_abs()).unwrap_or(u64::MAX));
        if off < 0 { right.saturating_sub(by) } else { right.saturating_add(by) }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
