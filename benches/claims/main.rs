//! What is claimed of single steps: how long one holds the lock, what a reader pays, how fast a member answers.
//!
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench claims
//!
//! It needs `cfg(headcount_bench)`, a door to parts that programs do not see. Prints a table with the claims; the exit
//! code tells whether all of them hold.

#![cfg_attr(headcount_bench, expect(clippy::print_stdout, reason = "it prints a table"))]
#![expect(clippy::print_stderr, reason = "it prints a table")]

use std::process::ExitCode;

#[cfg(headcount_bench)]
mod measure;

#[cfg(headcount_bench)]
fn main() -> ExitCode {
    measure::run()
}

#[cfg(not(headcount_bench))]
fn main() -> ExitCode {
    eprintln!("run it so: RUSTFLAGS=\"--cfg headcount_bench\" cargo bench --bench claims");
    ExitCode::FAILURE
}
