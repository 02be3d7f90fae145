//! Threads, locks and the clock of the operating system.
