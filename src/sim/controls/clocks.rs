//! Wall clocks.

use std::time::Duration;

use crate::sim::Cluster;
use crate::sim::clock::{Clock, WallClock};

/// Clocks: the time of day on each host.
impl Cluster {
    /// Sets the wall clock of a host: before it is started, or while it runs. A member reads it when it starts, to number
    /// its run; so the next run on the host is the first that sees it. Timers do not run by it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let ann = cluster.add(Config::lan().name("ann"))?;
    /// // This host has lost its battery, and begins in the year before.
    /// cluster.clock("bob", sim::Clock::behind(Duration::from_secs(365 * 86_400)));
    /// let bob = cluster.add(Config::lan().name("bob"))?;
    /// assert!(bob.local().generation() < ann.local().generation());
    ///
    /// // It is set right, which the process that runs does not notice.
    /// cluster.clock("bob", sim::Clock::right());
    /// cluster.run(Duration::from_secs(1));
    /// let bob = cluster.restart("bob", Config::lan())?;
    /// assert!(bob.local().generation() > ann.local().generation());
    /// # Ok(())
    /// # }
    /// ```
    pub fn clock(&self, name: &str, clock: Clock) {
        let mut world = self.sim.world();
        let set = WallClock::new(world.now, clock);
        world.machine_of(name).clock = set;
    }

    /// What the wall clock of a host shows: the time since the Unix epoch.
    #[must_use]
    pub fn wall(&self, name: &str) -> Duration {
        let mut world = self.sim.world();
        let now = world.now;
        world.machine_of(name).clock.shows(now)
    }
}
