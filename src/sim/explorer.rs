//! All that can happen to two or three members within a few steps: a bounded exhaustive search over the real protocol.
//!
//! A [scenario](scenarios) begins with members that know each other, or not, and goes on with acts: they join, restart,
//! leave. At each step one of a few things happens ([`Choice`](choice::Choice)): one of the oldest datagrams in flight
//! arrives, or the oldest is lost or arrives twice, or the next timer fires, or the next act is done. The
//! [search](search) tries all of them, breadth first, so the first failure is a shortest one. It
//! continues with one of several equal worlds. To return to a world, it repeats the choices that led there.
//!
//! After each step the [invariants](super::checks) of all simulations must hold, and those of the
//! [`Stage`](stage::Stage). From each world that was reached, the remaining acts are done and all datagrams arrive. In
//! the end all running members must show each other.
//!
//! `HEADCOUNT_EXPLORE=7` looks seven steps deep, at all worlds; without it the number of worlds is bounded.

mod choice;
mod scenarios;
mod search;
mod stage;
mod tests;
