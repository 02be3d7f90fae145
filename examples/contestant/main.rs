//! Many members in one process, taken through scenarios and measured: a load generator, and the entrant of this
//! library where several are compared.
//!
//!     cargo run --release --example contestant -- --members 64 --profile local --scenario steady,kv,detect
//!
//! Each member is what any program would start: its own socket, its own threads, its own listener. They know each
//! other through their sockets only. A board on the side notes what each of them says about each other one, and it is
//! the board that is asked when all have noticed something.
//!
//! The result is one line of JSON. The command line (`--help`) and the keys are those of a benchmark that drives
//! programs like this one, of other libraries, so that all are measured alike: what the figures mean stands where they
//! are made, in `scenarios`.
//!
//! Linux only: it reads /proc. The counters of the network are those of the whole host, so for exact figures give it a
//! network of its own: `unshare -n sh -c 'ip link set lo up && exec contestant …'`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints its result")]

mod arguments;
mod board;
mod crowd;
mod json;
mod sample;
mod scenarios;

use std::env;
use std::process::ExitCode;

use arguments::{Arguments, HELP};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("{mistake}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match scenarios::run(arguments) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
