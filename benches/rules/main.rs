//! What each rule of the failure detector is good for: every experiment is made with all rules, and then again and
//! again with one of them left out, from the same seeds.
//!
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench rules                         # everything, quickly
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench rules -- full                 # four times the runs
//!     RUSTFLAGS="--cfg headcount_bench" cargo bench --bench rules -- deaf Proof Silence   # some experiments, some rules
//!
//! Only with that `cfg` the crate has rules that can be left out. Prints a table for each experiment. Less is better in
//! all of its columns. A figure is marked if it differs from that of all rules by more than three standard errors: `!`
//! where it is worse without the rule, `+` where it is better. The errors come from ten batches of the runs, so they
//! are rough; what is not marked may be chance.

#![cfg_attr(headcount_bench, expect(clippy::print_stdout, reason = "it prints tables"))]
#![expect(clippy::print_stderr, reason = "it prints tables")]

use std::process::ExitCode;

#[cfg(headcount_bench)]
mod experiments;
#[cfg(headcount_bench)]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
#[path = "../lab.rs"]
mod lab;
#[cfg(headcount_bench)]
mod trial;

#[cfg(headcount_bench)]
fn main() -> ExitCode {
    experiments::run()
}

#[cfg(not(headcount_bench))]
fn main() -> ExitCode {
    eprintln!("run it so: RUSTFLAGS=\"--cfg headcount_bench\" cargo bench --bench rules");
    ExitCode::FAILURE
}
