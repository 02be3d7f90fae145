//! Widths of links, and the largest datagram that passes.

use crate::sim::Cluster;
use crate::sim::network::{Fates, Largest, Oversize, Pipe, Width};

/// Widths and sizes of paths.
impl Cluster {
    /// Limits how much a host sends, to all others together: how many bytes a second, and how many wait. `None` removes
    /// the limit. Before the host is started, or while it runs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let ann = cluster.add(Config::lan().name("ann"))?;
    /// let _events = ann.events();
    /// let bob = cluster.add(Config::lan().name("bob"))?.join("ann")?;
    /// cluster.uplink("bob", sim::Width::new(10_000).queue_bytes(20_000));
    /// let since = cluster.now();
    /// bob.send("ann", &[0; 10_000])?;
    /// assert!(cluster.now() - since >= Duration::from_secs(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn uplink(&self, name: &str, width: impl Into<Option<Width>>) {
        self.sim.world().machine_of(name).uplink = width.into().map(Pipe::new);
    }

    /// Limits how much a host receives, from all others together: how many bytes a second, and how many wait. `None`
    /// removes the limit. Before the host is started, or while it runs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let ann = cluster.add(Config::lan().name("ann"))?;
    /// let _events = ann.events();
    /// let bob = cluster.add(Config::lan().name("bob"))?.join("ann")?;
    /// cluster.downlink("ann", sim::Width::new(1_000).queue(Duration::from_secs(1)));
    /// let since = cluster.now();
    /// bob.ping("ann")?;
    /// assert!(cluster.now() - since >= Duration::from_millis(50));
    /// # Ok(())
    /// # }
    /// ```
    pub fn downlink(&self, name: &str, width: impl Into<Option<Width>>) {
        self.sim.world().machine_of(name).downlink = width.into().map(Pipe::new);
    }

    /// Limits each link between two hosts, each direction by itself: how many bytes a second, and how many wait. `None`
    /// removes the limit.
    ///
    /// ```
    /// use headcount::sim::{Cluster, Width};
    ///
    /// let cluster = Cluster::new(1);
    /// cluster.width(Width::new(1_000_000));
    /// cluster.width(None);
    /// ```
    pub fn width(&self, width: impl Into<Option<Width>>) {
        self.sim.world().links.all.width = width.into();
    }

    /// Limits the link from one host to another: how many bytes a second, and how many wait. `None` removes the limit.
    /// From the first such call on, this direction keeps its own settings, as with
    /// [`loss_between`](Self::loss_between).
    ///
    /// ```
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let _ann = cluster.add(Config::wan().name("ann"))?;
    /// let _bob = cluster.add(Config::wan().name("bob"))?;
    /// cluster.width_between("ann", "bob", sim::Width::new(8_000));
    /// # Ok(())
    /// # }
    /// ```
    pub fn width_between(&self, from: &str, to: &str, width: impl Into<Option<Width>>) {
        self.between(from, to, |link| link.width = width.into());
    }

    /// The largest datagram that passes a link, on all of them, in bytes without the headers of IP and UDP;
    /// and what becomes of larger ones. `usize::MAX` removes the limit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let ann = cluster.add(Config::lan().name("ann").send_timeout(Duration::from_secs(2)))?;
    /// let _bob = cluster.add(Config::lan().name("bob"))?.join("ann")?;
    /// cluster.largest(1_000, sim::Oversize::Refused);
    /// assert!(ann.send("bob", &[0; 10_000]).is_err());
    /// assert!(ann.metrics().socket_errors > 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn largest(&self, bytes: usize, beyond: Oversize) {
        self.sim.world().links.all.largest = Largest::new(bytes, beyond);
    }

    /// The largest datagram that passes from one host to another. From the first such call on, this direction keeps its
    /// own settings, as with [`loss_between`](Self::loss_between).
    ///
    /// ```
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let _ann = cluster.add(Config::lan().name("ann"))?;
    /// let _bob = cluster.add(Config::lan().name("bob"))?;
    /// // A tunnel of 1,280 bytes, and a filter that keeps its notices back.
    /// cluster.largest_between("ann", "bob", 1_252, sim::Oversize::Swallowed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn largest_between(&self, from: &str, to: &str, bytes: usize, beyond: Oversize) {
        self.between(from, to, |link| link.largest = Largest::new(bytes, beyond));
    }

    /// The largest datagram that a host sends and receives, before it is started or while it runs. Larger datagrams
    /// that come in are swallowed in any case: their senders get no error.
    ///
    /// ```
    /// use headcount::sim::{Cluster, Oversize};
    ///
    /// let cluster = Cluster::new(1);
    /// cluster.largest_of("ann", 1_252, Oversize::Refused);
    /// ```
    pub fn largest_of(&self, name: &str, bytes: usize, beyond: Oversize) {
        self.sim.world().machine_of(name).largest = Largest::new(bytes, beyond);
    }

    /// What became of all datagrams that were sent so far.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let _ann = cluster.add(Config::lan().name("ann"))?;
    /// let _bob = cluster.add(Config::lan().name("bob"))?.join("ann")?;
    /// assert_eq!(cluster.fates().lost, 0);
    /// cluster.loss(0.5);
    /// cluster.run(Duration::from_secs(10));
    /// assert!(cluster.fates().lost > 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn fates(&self) -> Fates {
        self.sim.world().fates
    }
}
