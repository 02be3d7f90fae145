//! What a test can do to hosts and to the network between them, besides the methods beside [`Cluster`](super::Cluster):
//! one file for each kind of fault.

mod addresses;
mod clocks;
mod damage;
mod disks;
mod events;
mod widths;
