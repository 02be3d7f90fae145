//! Streams of events, in virtual time.

use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::sim::Cluster;

/// Streams of events.
impl Cluster {
    /// Waits for the next event of a stream ([`Member::events`](crate::Member::events)), in virtual time. The stream
    /// itself can not do that: calls that block on it (`recv`, `recv_timeout`, `iter`, `select!`) wait for another
    /// thread, and no other thread runs the world.
    ///
    /// # Errors
    ///
    /// - [`Error::Timeout`]: nothing came in time.
    /// - [`Error::Closed`]: its member has ended, and nothing is left in it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headcount::{Config, Event, sim};
    ///
    /// # fn main() -> headcount::Result<()> {
    /// let cluster = sim::Cluster::new(1);
    /// let ann = cluster.add(Config::lan().name("ann"))?;
    /// let events = ann.events();
    /// let bob = cluster.add(Config::lan().name("bob"))?.join("ann")?;
    /// bob.shutdown()?;
    /// loop {
    ///     match cluster.next_event(&events, Duration::from_secs(10))? {
    ///         Event::Died { node, .. } if node.name() == "bob" => break,
    ///         other => println!("{other}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_event(&self, stream: &Receiver<Event>, timeout: Duration) -> Result<Event> {
        let end = self.sim.world().now + timeout;
        let found = self.sim.run(end, |_| match stream.try_recv() {
            Ok(event) => Some(Ok(event)),
            Err(TryRecvError::Disconnected) => Some(Err(Error::Closed)),
            Err(TryRecvError::Empty) => None,
        });
        found.unwrap_or(Err(Error::Timeout))
    }
}
