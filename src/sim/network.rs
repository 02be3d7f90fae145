//! The simulated network.
//!
//! | file | holds |
//! |---|---|
//! | `links` | what a link between two hosts does to a datagram |
//! | `width` | how many bytes a second fit through, and how many wait |
//! | `largest` | which datagrams are too large, and what becomes of them |
//! | `fates` | what became of all that was sent |
//! | `chance` | how shares and times are drawn |
//!
//! What is not asked for draws nothing: a world without a fault goes the same way whether the fault exists or not.

mod chance;
mod fates;
mod largest;
mod links;
mod width;

pub(super) use self::chance::millionths;
pub use self::fates::Fates;
pub(super) use self::largest::Largest;
pub use self::largest::Oversize;
pub(super) use self::links::{Link, Links};
pub use self::width::Width;
pub(super) use self::width::{Pipe, on_the_wire};
