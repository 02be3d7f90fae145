//! One member, run by hand: it prints what happens and does what is typed.
//!
//!     cargo run --example node -- web-1 127.0.0.1:7990
//!     cargo run --example node -- web-2 127.0.0.1:7991 127.0.0.1:7990
//!     cargo run --example node -- web-3 127.0.0.1:7992 127.0.0.1:7990
//!
//! `RUST_LOG=headcount=debug` shows what the protocol decides. Press Ctrl-C in one of them to see how the
//! others take a crash; type `leave` to see how they take a leave.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a terminal")]

use std::env;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use headcount::crossbeam_channel::{Receiver, select, unbounded};
use headcount::{Config, Event, Member};

const HELP: &str = "\
One member of a cluster, run by hand.

usage: node [--profile lan|wan|local] [--cluster CLUSTER] NAME BIND [SEED ...]

  NAME        unique in the cluster
  BIND        address to receive on: \"10.0.0.1:7990\", or \":7990\" for all interfaces
  SEED        address of any other member: \"10.0.0.2:7990\" or \"host:7990\"
  --profile   how far the members are apart (default: lan)
  --cluster   only members of a cluster of the same name talk to each other

What can be typed while it runs:

  list        all nodes, the dead and the left included
  ping NAME   asks the node for an answer and prints the round trip
  metrics     the counters, in the text format of Prometheus
  leave       tells the others and ends; the end of the input does the same";

fn main() -> ExitCode {
    env_logger::init();
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
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> headcount::Result<()> {
    let member = Member::create(arguments.config)?;
    let events = member.events();
    println!("{} runs at {}", member.name(), member.addr());

    if !arguments.seeds.is_empty() {
        member.join(&arguments.seeds)?;
    }
    print_nodes(&member);

    let commands = read_lines();
    loop {
        select! {
            recv(events) -> event => match event {
                Ok(event) => print_event(&member, &event),
                // The stream ends with the member: another run has its name, or one of its threads failed.
                Err(_) => return member.wait_until(Duration::ZERO, |_| false).map(drop),
            },
            recv(commands) -> line => match line.as_deref().unwrap_or("leave").trim() {
                "" => {}
                "leave" => break,
                command => obey(&member, command),
            },
        }
    }
    member.leave(Duration::from_secs(5))?;
    println!("left");
    Ok(())
}

fn print_event(member: &Member, event: &Event) {
    println!("* {event}");
    // A suspicion changes nothing yet: the node still takes part.
    if !matches!(event, Event::Suspected(_) | Event::Recovered(_)) {
        print_nodes(member);
    }
}

fn print_nodes(member: &Member) {
    let nodes = member.nodes();
    println!("  {} {}:", nodes.len(), if nodes.len() == 1 { "node" } else { "nodes" });
    for node in &nodes {
        println!("    {node}");
    }
}

fn obey(member: &Member, command: &str) {
    match command.split_once(' ').unwrap_or((command, "")) {
        ("list", _) => {
            for node in &member.all_nodes() {
                match node.rtt() {
                    Some(rtt) => println!("  {node}, round trip {rtt:.1?}"),
                    None => println!("  {node}"),
                }
            }
        }
        ("ping", name) => match member.ping(name.trim()) {
            Ok(rtt) => println!("  {name} answered after {rtt:.1?}"),
            Err(error) => println!("  {name}: {error}"),
        },
        ("metrics", _) => print!("{}", member.metrics()),
        _ => println!("  not understood; there are: list, ping NAME, metrics, leave"),
    }
}

/// The lines of the standard input, until it ends. The thread ends with the program.
fn read_lines() -> Receiver<String> {
    let (sender, receiver) = unbounded();
    thread::spawn(move || {
        for line in io::stdin().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

struct Arguments {
    config: Config,
    seeds: Vec<String>,
}

impl Arguments {
    /// `None`: help was asked for.
    fn parse(mut given: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut profile: fn() -> Config = Config::lan;
        let mut cluster = None;
        let mut names = Vec::new();
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "-h" | "--help" => return Ok(None),
                "--profile" => {
                    profile = match given.next().as_deref() {
                        Some("lan") => Config::lan,
                        Some("wan") => Config::wan,
                        Some("local") => Config::local,
                        _ => return Err("--profile takes lan, wan or local".into()),
                    }
                }
                "--cluster" => cluster = Some(given.next().ok_or("--cluster takes a name")?),
                _ if argument.starts_with('-') => return Err(format!("{argument} is not known")),
                _ => names.push(argument),
            }
        }

        let mut names = names.into_iter();
        let (Some(name), Some(bind)) = (names.next(), names.next()) else {
            return Err("a name and an address to bind are needed".into());
        };
        let mut config = profile().name(name).bind(bind);
        if let Some(cluster) = cluster {
            config = config.cluster(cluster);
        }
        Ok(Some(Self { config, seeds: names.collect() }))
    }
}
