//! The simulated network.
//!
//! | file | holds |
//! |---|---|
//! | `links` | what a link between two hosts does to a datagram |
//! | `width` | how many bytes a second fit through, and how many wait |
//! | `largest` | which datagrams are too large, and what becomes of them |
//! | `directory` | which host receives at which address, and through which translator |
//! | `translator` | what writes other addresses into datagrams (NAT) |
//! | `interloper` | an interloper on the path, which copies datagrams and holds them back |
//! | `fates` | what became of all that was sent |
//! | `chance` | how shares and times are drawn |
//!
//! Faults that are not asked for draw no random numbers: a world without a fault goes the same way whether the fault
//! exists or not.

mod chance;
mod directory;
mod fates;
mod interloper;
mod largest;
mod links;
mod translator;
mod width;

pub(super) use self::chance::{flip, millionths};
pub(super) use self::directory::{Directory, Route};
pub use self::fates::Fates;
pub use self::interloper::Interloper;
pub(super) use self::largest::Largest;
pub use self::largest::Oversize;
pub(super) use self::links::{Link, Links};
pub use self::translator::Translator;
pub use self::width::Width;
pub(super) use self::width::{Pipe, on_the_wire};
