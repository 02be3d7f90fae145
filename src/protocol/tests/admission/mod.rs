//! Joining and being admitted: addresses, names, lists of what is allowed, and the search for others.

mod aliases;
mod allow;
mod names;
mod seek;
