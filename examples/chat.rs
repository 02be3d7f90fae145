//! A chat of several terminals: what is typed goes to all others as a broadcast, or to one of them as a message.
//!
//!     cargo run --example chat -- ann
//!     cargo run --example chat -- bob
//!
//! The first one takes port 7990 of the loopback, the others any free port, and all of them name 7990 as their seed.
//! The input may be a pipe as well: at its end the program leaves.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a terminal")]

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use headcount::{Config, Event, Member};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
A chat with everybody else on this host who runs it.

usage: chat NAME

What can be typed while it runs:

  TEXT            says it to all who are there
  /to NAME TEXT   says it to one, and tells whether it has arrived
  /who            who is there
  /quit           leaves; the end of the input does the same";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let name = match arguments.as_slice() {
        [name] if name == "-h" || name == "--help" => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        [name] => name,
        _ => {
            eprintln!("a name is needed, and nothing else\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match chat(name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn chat(name: &str) -> AnyResult<()> {
    let config = Config::local().name(name).on_event(|_, event| print_event(&event));
    let member = Member::create(config)?.join(":7990")?;
    print_nodes(&member);

    for line in io::stdin().lines() {
        match line?.trim() {
            "" => {}
            "/quit" => break,
            command if command.starts_with('/') => obey(&member, command),
            text => {
                if let Err(error) = member.broadcast(text.as_bytes()) {
                    println!("  not said: {error}");
                }
            }
        }
    }
    member.leave(Duration::from_secs(5))?;
    Ok(())
}

fn obey(member: &Member, command: &str) {
    let mut words = command.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("/who"), None, None) => print_nodes(member),
        // Waits for the answer of the other one. What others say is printed meanwhile: the listener has its own thread.
        (Some("/to"), Some(name), Some(text)) => match member.send(name, text.as_bytes()) {
            Ok(()) => println!("  delivered to {name}"),
            Err(error) => println!("  to {name}: {error}"),
        },
        _ => println!("  not understood; there are: /to NAME TEXT, /who, /quit"),
    }
}

fn print_event(event: &Event) {
    let text = String::from_utf8_lossy;
    match event {
        Event::Broadcast { from, payload } => println!("{}: {}", from.name(), text(payload)),
        Event::Message { from, payload } => println!("{} to you: {}", from.name(), text(payload)),
        // What a suspicion comes to is told soon enough, and nobody here has a state.
        Event::Suspected(_) | Event::Recovered(_) | Event::Changed { .. } => {}
        // Who has come, died or left, and what was missed.
        event => println!("* {event}"),
    }
}

fn print_nodes(member: &Member) {
    for node in &member.nodes() {
        println!("  {node}");
    }
}
