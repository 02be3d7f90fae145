//! The small steps of which everything is made, each timed on its own.
//!
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench micro
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench micro -- sync     # those with this in their names
//!
//! They need `cfg(headcount_bench)`, a door to parts that programs do not see. Times are of one step, on one thread.

#![cfg_attr(not(headcount_bench), expect(clippy::print_stderr, reason = "it says how it is run"))]

use std::process::ExitCode;

#[cfg(headcount_bench)]
mod steps;

#[cfg(headcount_bench)]
fn main() -> ExitCode {
    divan::main();
    ExitCode::SUCCESS
}

#[cfg(not(headcount_bench))]
fn main() -> ExitCode {
    eprintln!("run it so: RUSTFLAGS=\"--cfg headcount_bench\" cargo bench --bench micro");
    ExitCode::FAILURE
}
