//! Addresses of hosts, and what translates them.

use std::net::SocketAddr;

use crate::sim::Cluster;
use crate::sim::network::Translator;

/// Addresses: where hosts are, and where they seem to be.
impl Cluster {
    /// Gives a host these addresses, before it is started or while it runs. It receives at all of them, and sends to
    /// each destination from the one that has most bits in common with it, as if there were a route for each. Without
    /// [`Config::advertise`](crate::Config::advertise) it advertises the first one. If it runs, and the address that it
    /// advertises is no longer one of its own, it moves.
    ///
    /// With this the address that a member advertises need not be one of its own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// cluster.addresses("ann", ["192.168.7.1:7990".parse().unwrap()]);
    /// let ann = cluster.add(Config::lan().name("ann"))?;
    /// cluster.addresses("bob", ["10.1.0.2:7990".parse().unwrap(), "192.168.7.2:7990".parse().unwrap()]);
    /// let bob = cluster.add(Config::lan().name("bob"))?;
    /// ann.join("192.168.7.2:7990")?;
    /// assert_eq!(ann.node("bob").map(|bob| bob.addr().to_string()), Some("10.1.0.2:7990".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If there are none, or another host on the same network has one of them.
    #[track_caller]
    pub fn addresses(&self, name: &str, addresses: impl IntoIterator<Item = SocketAddr>) {
        let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
        assert!(!addresses.is_empty(), "the host {name:?} needs an address");
        let mut world = self.sim.world();
        let index = world.index_of(name);
        let realm = world.machine_of(name).translator;
        let mut others = addresses.iter().filter_map(|addr| world.directory.at(realm, *addr));
        if others.any(|other| Some(other) != index) {
            // The world goes on after it.
            drop(world);
            panic!("another host has an address of {name:?}");
        }
        world.machine_of(name).addresses = addresses.clone();
        if let Some(index) = index {
            let moves = !world.hosts[index].advertises;
            world.readdress(index, addresses, moves);
        }
    }

    /// From here on nothing that `from` sends arrives at this address. The other addresses of the same host are
    /// unchanged. [`heal`](Self::heal) ends it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let (lan, backup) = ("10.1.0.2:7990".parse().unwrap(), "192.168.7.2:7990".parse().unwrap());
    /// cluster.addresses("bob", [lan, backup]);
    /// let _bob = cluster.add(Config::lan().name("bob"))?;
    /// let ann = cluster.add(Config::lan().name("ann").join_timeout(Duration::from_secs(2)))?;
    /// cluster.cut_address("ann", lan);
    /// assert!(ann.join(lan).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn cut_address(&self, from: &str, to: SocketAddr) {
        let from = self.index(from);
        self.sim.world().links.close(from, to);
    }

    /// Puts hosts behind a translator, before they are started or while they run. They reach each other at their own
    /// addresses, and no other host does. A member behind it advertises its own address, unless
    /// [`Config::advertise`](crate::Config::advertise) names the mapped port at which it can be reached. `None` removes
    /// the translator.
    ///
    /// ```
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let ann = cluster.add(Config::lan().name("ann"))?;
    /// // Port 9001 of the host leads into the container.
    /// cluster.translate(&["bob"], sim::Translator::new([192, 0, 2, 1]).map(9001, "bob").keep_ports(true));
    /// let bob = cluster.add(Config::lan().name("bob").advertise("192.0.2.1:9001"))?;
    /// assert!(ann.join("192.0.2.1:7990").is_err(), "this port is not mapped");
    /// # let _ = bob;
    /// # Ok(())
    /// # }
    /// ```
    pub fn translate(&self, names: &[&str], translator: impl Into<Option<Translator>>) {
        let mut world = self.sim.world();
        let number = translator.into().map(|translator| world.directory.add(translator));
        for name in names {
            world.put_behind(name, number);
        }
    }

    /// Makes the translator that a host is behind forget all ports that it has assigned, as if it had been restarted.
    /// Mapped ports stay.
    ///
    /// ```
    /// use headcount::{Config, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// cluster.translate(&["bob"], sim::Translator::new([192, 0, 2, 1]));
    /// let _bob = cluster.add(Config::lan().name("bob"))?;
    /// cluster.flush("bob");
    /// # Ok(())
    /// # }
    /// ```
    pub fn flush(&self, name: &str) {
        let mut world = self.sim.world();
        if let Some(number) = world.machine_of(name).translator {
            world.directory.flush(number);
        }
    }
}
