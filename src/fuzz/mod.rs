//! Hostile input: made-up bytes, and what must hold whatever they are.
//!
//! Nobody can list what a peer may send. So bytes are made up, by a fuzzer that watches which code runs
//! (`fuzz/`, with cargo-fuzz) or by chance (the tests beside this), and here they become input:
//!
//! | target | what the bytes are | what must hold, besides that nothing panics |
//! |---|---|---|
//! | [`decode`] | one datagram | it is refused, or what was read is written again as the same bytes |
//! | [`protocol`] | a script: datagrams, time, calls of a user | what the simulator [checks](crate::sim) at each step and is not for others to break: the view, its events, bounds, lengths, no more for an unproven address than came from there; and it sleeps |
//! | [`sealed`] | a script; the datagrams in it are sealed, what does not begin with a right header is not | the same, and what comes again changes nothing |
//!
//! Random bytes rarely get past the first check of a receiver. Three things help: the [`Corpus`], which is taken from
//! a simulated cluster; headers that are right; and bodies that are [aimed](aim).
//!
//! # Scripts
//!
//! | bytes | | |
//! |---|---|---|
//! | 8 | settings, a choice each | `rig` |
//! | then steps, to the end: | | `script` |
//! | 0, person, how, length (2), bodies | a datagram with a right header | |
//! | 1, person, length (2), bytes | any bytes as a datagram | |
//! | 2, length, scale | time passes | |
//! | 3, which | a datagram comes again | |
//! | 4, call, person, length (2), text | a user calls | |
//!
//! A step's first byte counts modulo 5, a choice modulo the number of what there is to choose from, and past the end
//! all is zero: every byte string is a script.

mod aim;
mod corpus;
mod decode;
mod form;
mod rig;
mod script;

pub use self::corpus::Corpus;
pub use self::decode::decode;
use self::form::Form;
use self::rig::Rig;
use self::script::Script;

/// Does to a protocol what a script says.
///
/// # Panics
///
/// If something does not hold.
pub fn protocol(script: &[u8]) {
    let mut script = Script::new(script);
    Rig::new(&mut script, Form::Plain).run(script);
}

/// Does to a protocol with a key what a script says.
///
/// # Panics
///
/// If something does not hold.
#[cfg(feature = "encryption")]
pub fn sealed(script: &[u8]) {
    let mut script = Script::new(script);
    Rig::new(&mut script, Form::sealed()).run(script);
}

#[cfg(test)]
mod tests;
