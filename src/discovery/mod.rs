//! How members find each other: seeds, a name in the DNS, a file, a command, multicast, or what a program brings along.
//!
//! A member that knows one other member's address finds the whole cluster through it. Where that first address comes
//! from differs from place to place, so it is a part that can be exchanged: a [`Discovery`], of which a member may have
//! several ([`Config::discovery`](crate::Config::discovery)).
//!
//! | | finds | where |
//! |---|---|---|
//! | [`Seeds`] | addresses and host names that were written down; this is what [`Config::seeds`](crate::Config::seeds) uses | anywhere |
//! | [`Dns`] | all addresses of one name | orchestrators: the headless service of Kubernetes, for example |
//! | [`File`] | the lines of a file | where something else writes the file |
//! | [`Exec`] | the addresses that a command prints | clouds and orchestrators, by the command that they come with |
//! | [`Multicast`] | whoever is on the same network | one LAN, or one host; nothing has to be known |
//! | `Mdns` | the same, by the protocol of printers and the like; with the feature `mdns` | where that is what gets through |
//!
//! What it finds are hints: addresses to say hello to. Whoever answers there has to be a member of the cluster, and an
//! address that does not answer is sent 20 datagrams a second at most. So a discovery may be wrong, late or lied to; it
//! costs some datagrams.
//!
//! # When it is asked
//!
//! As soon as the member runs, and from then on as long as it does: in a member that is alone after 1/16 of
//! [`Config::rejoin_interval`](crate::Config::rejoin_interval), then after twice that, and so on up to once per
//! `rejoin_interval`; in company once per `rejoin_interval`, since a cluster may have come up as two that do not know
//! of each other, or a cut may have lasted for longer than the dead are remembered. All these pauses vary by half. A
//! member that is alone again begins anew, within 1/16 of `rejoin_interval`. In company no more than three of the
//! addresses that are new are asked in one round.
//!
//! [`Member::join`](crate::Member::join) is another thing: it is called, it waits, and it tells what happened.
//!
//! # One's own
//!
//! A closure will do. This one asks a registry, which may take as long as it likes:
//!
//! ```
//! # use std::io;
//! # use std::net::SocketAddr;
//! # fn ask_registry(_cluster: &str) -> io::Result<Vec<SocketAddr>> { Ok(Vec::new()) }
//! use headcount::{Config, Member};
//!
//! let config = Config::local().bind("127.0.0.1:0").discovery(|me: &Member| ask_registry(me.cluster()));
//! let member = Member::create(config)?;
//! # Ok::<(), headcount::Error>(())
//! ```
//!
//! What has to be told of the own member, and taken back at its end, belongs into a type with a `Drop`:
//!
//! ```
//! use std::io;
//! use std::net::SocketAddr;
//! use std::sync::{Arc, Mutex, PoisonError};
//!
//! use headcount::discovery::Discovery;
//! use headcount::{Config, Member};
//!
//! /// Addresses that the members of one process share.
//! type Board = Arc<Mutex<Vec<SocketAddr>>>;
//!
//! #[derive(Default)]
//! struct Pinned {
//!     board: Board,
//!     own: Option<SocketAddr>,
//! }
//!
//! impl Discovery for Pinned {
//!     fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>> {
//!         let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
//!         if self.own.is_none() {
//!             self.own = Some(me.addr());
//!             board.push(me.addr());
//!         }
//!         Ok(board.clone())
//!     }
//! }
//!
//! impl Drop for Pinned {
//!     fn drop(&mut self) {
//!         let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
//!         board.retain(|addr| Some(*addr) != self.own);
//!     }
//! }
//!
//! # fn main() -> headcount::Result<()> {
//! let board = Board::default();
//! let start = || {
//!     let pinned = Pinned { board: Arc::clone(&board), own: None };
//!     Member::create(Config::local().bind("127.0.0.1:0").discovery(pinned))
//! };
//! let (ann, bob) = (start()?, start()?);
//! ann.wait_until(std::time::Duration::from_secs(20), |nodes| nodes.len() == 2)?;
//! # Ok(())
//! # }
//! ```

mod dns;
mod exec;
mod file;
#[cfg(feature = "mdns")]
mod mdns;
mod multicast;
mod seeds;

use std::io;
use std::net::SocketAddr;

pub use self::dns::Dns;
pub use self::exec::Exec;
pub use self::file::File;
#[cfg(feature = "mdns")]
pub use self::mdns::Mdns;
pub use self::multicast::Multicast;
pub use self::seeds::Seeds;
pub(crate) use self::seeds::resolve;
use crate::member::Member;

/// Finds addresses at which other members may be.
///
/// It has a thread of its own, named `hc-discovery`, and may block there as long as it likes: that delays neither the
/// member, nor other discoveries, nor the end. It is dropped on that thread when the member has ended; the end waits
/// for that, but no longer than 50 ms. If it is busy then, it is dropped when it is through, unless the process ends
/// before.
pub trait Discovery: Send {
    /// Tells what is known now: any number of addresses in any order. The own one may be among them, and those of
    /// members that are known already; of all others 256 are used, drawn anew each time.
    ///
    /// `me` is the member that asks. The reference keeps nothing running; a clone of it does.
    ///
    /// In the [simulator](crate::sim) it is called as everywhere, between two steps of the world, and has to name
    /// simulated addresses.
    ///
    /// # Errors
    ///
    /// Whatever kept it from finding out. It is counted
    /// ([`Metrics::discovery_errors`](crate::Metrics::discovery_errors)), the first of a row is logged as a warning,
    /// and it is asked again as if it had found nothing. The same holds for a panic.
    fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>>;
}

impl<F> Discovery for F
where
    F: FnMut(&Member) -> io::Result<Vec<SocketAddr>> + Send,
{
    fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>> {
        self(me)
    }
}

/// An error of those that ask the world outside, in the simulator.
fn not_simulated(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("the simulator has no {what}"))
}

#[cfg(test)]
mod tests;
