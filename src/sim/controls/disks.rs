//! Virtual disks.

use crate::sim::Cluster;
use crate::sim::disk::{DiskImage, DiskState};

/// Disks: they outlive the processes of a host.
impl Cluster {
    /// Sets the state of a host's disk, before the host is started or while it runs: it works, is full, or fails.
    /// Members write their [snapshots](crate::Config::snapshot) there, at whatever path; each host has a disk of its
    /// own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let config = || Config::lan().snapshot("members");
    /// let _ann = cluster.add(config().name("ann"))?;
    /// let bob = cluster.add(config().name("bob"))?.join("ann")?;
    /// cluster.run(Duration::from_secs(2));
    /// cluster.crash("bob");
    ///
    /// // It finds back without a seed.
    /// let bob = cluster.restart("bob", config())?;
    /// bob.wait_until(Duration::from_secs(10), |nodes| nodes.len() == 2)?;
    ///
    /// cluster.disk("bob", sim::DiskState::Full);
    /// cluster.crash("ann");
    /// cluster.run(Duration::from_secs(20));
    /// assert!(bob.metrics().snapshot_errors > 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn disk(&self, name: &str, state: DiskState) {
        self.sim.world().machine_of(name).disk.state = state;
    }

    /// Everything that is on the disk of a host now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let ann = cluster.add(Config::lan().name("ann").snapshot("members"))?;
    /// let yesterday = cluster.disk_image("ann");
    /// let before = ann.local().generation();
    /// cluster.run(Duration::from_secs(86_400));
    ///
    /// // Its virtual machine is set back to yesterday, and its clock is, too.
    /// cluster.crash("ann");
    /// cluster.put_disk_image("ann", yesterday);
    /// cluster.clock("ann", sim::Clock::behind(Duration::from_secs(2 * 86_400)));
    /// let ann = cluster.restart("ann", Config::lan().snapshot("members"))?;
    /// assert!(ann.local().generation() > before);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn disk_image(&self, name: &str) -> DiskImage {
        self.sim.world().machine_of(name).disk.image.clone()
    }

    /// Replaces everything on the disk of a host, before the host is started or while it runs: by what was there
    /// earlier, by the disk of another host, or by something else.
    ///
    /// ```
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let _ann = cluster.add(Config::lan().name("ann").snapshot("members"))?;
    /// // A copy of the whole host, under another name.
    /// cluster.put_disk_image("bob", cluster.disk_image("ann"));
    /// let bob = cluster.add(Config::lan().name("bob").snapshot("members"))?;
    /// assert_eq!(bob.name(), "bob");
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_disk_image(&self, name: &str, image: DiskImage) {
        self.sim.world().machine_of(name).disk.image = image;
    }
}
