//! Damage on the way: by chance, and on purpose.

use crate::sim::Cluster;
use crate::sim::network::{Interloper, millionths};

/// Damage to datagrams on their way.
impl Cluster {
    /// The share of datagrams, 0 to 1, that arrives with a flipped bit, on all links.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let _ann = cluster.add(Config::lan().name("ann"))?;
    /// let _bob = cluster.add(Config::lan().name("bob"))?.join("ann")?;
    /// // The invariants do not hold if a flipped bit is believed.
    /// # cluster.check(false);
    /// cluster.flip(0.1);
    /// cluster.run(Duration::from_secs(10));
    /// assert!(cluster.fates().flipped > 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flip(&self, share: f64) {
        self.sim.world().links.all.flips = millionths(share);
    }

    /// The share of datagrams that arrives with a flipped bit from one host to another. From the first such call on,
    /// this direction keeps its own settings, as with [`loss_between`](Self::loss_between).
    ///
    /// ```
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let _ann = cluster.add(Config::lan().name("ann"))?;
    /// let _bob = cluster.add(Config::lan().name("bob"))?;
    /// // Its memory is broken.
    /// cluster.flip_between("ann", "bob", 0.01);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flip_between(&self, from: &str, to: &str, share: f64) {
        self.between(from, to, |link| link.flips = millionths(share));
    }

    /// Puts an interloper on the path from one host to another. `None` removes it; datagrams that it holds then are
    /// still sent on. From the first such call on, this direction keeps its own settings, as with
    /// [`loss_between`](Self::loss_between).
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let ann = cluster.add(Config::lan().name("ann"))?;
    /// let bob = cluster.add(Config::lan().name("bob"))?.join("ann")?;
    /// let second = Duration::from_secs(1);
    /// cluster.intercept("bob", "ann", sim::Interloper::new().copies(0.5).after(second..5 * second));
    /// cluster.run(10 * second);
    /// assert!(cluster.fates().copied > 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn intercept(&self, from: &str, to: &str, interloper: impl Into<Option<Interloper>>) {
        self.between(from, to, |link| link.interloper = interloper.into());
    }

    /// Puts an interloper on all paths; `None` removes it.
    ///
    /// ```
    /// use headcount::sim::{Cluster, Interloper};
    ///
    /// let cluster = Cluster::new(1);
    /// cluster.intercept_all(Interloper::new().holds(0.01));
    /// cluster.intercept_all(None);
    /// ```
    pub fn intercept_all(&self, interloper: impl Into<Option<Interloper>>) {
        self.sim.world().links.all.interloper = interloper.into();
    }
}
