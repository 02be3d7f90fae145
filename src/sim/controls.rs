//! What a test does to hosts and to the network between them, beyond what stands with [`Cluster`](super::Cluster): one
//! file for each kind of fault.

mod addresses;
mod clocks;
mod damage;
mod disks;
mod events;
mod widths;
