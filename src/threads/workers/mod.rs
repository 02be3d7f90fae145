//! The threads that do for the protocol what may block: resolving names, asking discoveries, writing the snapshot.
//!
//! Each has two sides. A member holds the one by which a thread is asked, counted and ended; it knows nothing of the
//! member. The thread's own side does: it makes steps, and ends the member if it panics.
//!
//! | | held by the member | the thread |
//! |---|---|---|
//! | host names of a join | `resolver_pool` | `resolver` |
//! | discoveries | `discoveries` | `discover` |
//! | snapshot | `snapshot_writer` | `snapshot_thread` |

pub(super) mod discover;
pub(super) mod discoveries;
pub(super) mod resolver;
pub(super) mod resolver_pool;
pub(super) mod snapshot_thread;
pub(super) mod snapshot_writer;
