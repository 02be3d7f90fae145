//! Storms of forged datagrams against sixteen members without a key: what they cost, and that a death is still seen.
//!
//! `HEADCOUNT_FORGED=1000000 cargo test --release --lib storms -- --nocapture` throws that many of each kind within
//! 40 s and prints the table; without the variable there are few. Memory is what the test has allocated at its peak,
//! virtual network included, above a run without a storm. `HEADCOUNT_STORM=JoinsFromOne` throws that kind only. A star
//! says that the death was known only when the storm was over.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::secs;
use super::world::{World, addr_of};
use crate::event::Event;
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::Instant;
use crate::wire::body::{Hello, LeftAt, Ping};
use crate::wire::{Accusers, Body, ClusterId, Cookie, Packet, Record, Seq, Verdict, ViewMark};

/// Members; the last one crashes in the middle of the storm.
const N: usize = 16;
const VICTIM: usize = N - 1;
/// The storm lasts so many steps of 10 ms; the crash comes after a quarter of them.
const STEPS: u32 = 4_000;
const STEP: Duration = Duration::from_millis(10);

/// What is thrown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storm {
    None,
    /// First hellos without a cookie, each of another name at another address.
    HellosFromMany,
    /// Pings, each of another name at another address.
    PingsFromMany,
    /// Both hellos, of one name after the other, from one address: each is let in as far as the limit goes.
    JoinsFromOne,
    /// The same, each from another address, which really answers: nothing but a key tells them from members.
    JoinsFromMany,
    /// Suspicions of members at their present numbers, told by nobody who is known, from many addresses.
    AccusationsFromMany,
    /// The same as if from a member: its address and both generations are known to the forger.
    AccusationsOfAMember,
    /// Deaths of members, likewise.
    DeathsOfAMember,
    /// Leaves of members, likewise.
    LeavesOfAMember,
    /// Leaves in a member's own name, from its address.
    LeavesByAMember,
    /// Records of nodes that do not exist, likewise.
    RecordsOfAMember,
}

/// What became of it.
#[derive(Debug)]
struct Outcome {
    /// From the crash until all survivors hold it dead.
    detected: Option<Duration>,
    during_the_storm: bool,
    /// Deaths and leaves of running members, at survivors: users were told.
    evictions: usize,
    /// Suspicions of running members, likewise.
    suspicions: usize,
    nodes_max: u64,
    /// Nanoseconds for each forged datagram.
    cost: u128,
    bytes_max: u64,
}

fn source(number: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits((11 << 24) + number)), 1)
}

fn record(name: &str, addr: SocketAddr, generation: Generation) -> Record<'_> {
    Record { name, addr, generation, incarnation: Incarnation(0), state_version: 0, broadcast: 0 }
}

/// A member that runs, another than `not`.
fn other(number: u32, not: usize) -> usize {
    let other = usize::try_from(number / 16).unwrap() % (N - 1);
    if other == not { (other + 1) % (N - 1) } else { other }
}

/// What is held against a member, at the numbers that `at` knows.
fn verdict(world: &World, at: usize, subject: usize, status: Status) -> Verdict {
    let node = world.hosts[at].protocol.node(&world.hosts[subject].name).unwrap();
    let mut accusers = Accusers::default();
    if status == Status::Suspect {
        for accuser in (0..N).filter(|accuser| *accuser != subject).take(4) {
            accusers.insert(world.hash(accuser));
        }
    }
    Verdict {
        subject: world.hash(subject),
        generation: Generation(node.generation()),
        incarnation: Incarnation(node.incarnation()),
        status,
        accusers,
        left_at: LeftAt::default(),
    }
}

/// Throws one; answers how many datagrams that were.
fn throw(world: &mut World, storm: Storm, number: u32) -> u32 {
    let to = usize::try_from(number).unwrap() % (N - 1);
    let teller = other(number, to);
    let name = format!("x{number}");
    let generation = world.generation(0);
    let mut count = 1;
    let from_member = |world: &mut World, body: Body<'_>| {
        let datagram = world.forge(teller, to, &[body]);
        world.inject(to, addr_of(teller), &datagram);
    };
    match storm {
        Storm::None => count = 0,
        Storm::HellosFromMany => {
            let hello = Hello {
                seq: Seq(1),
                cookie: Cookie(0),
                attempt: 1,
                cluster: ClusterId(0),
                record: record(&name, source(number), Generation(1)),
            };
            let datagram = world.forge_stranger(&name, to, &[Body::Hello(hello)]);
            world.inject(to, source(number), &datagram);
        }
        Storm::PingsFromMany => {
            let view = ViewMark { fingerprint: 5, quiet: 255 };
            let ping =
                Ping { seq: Seq(1), target: world.hash(to), round: 1, view, incarnation: Incarnation(0) };
            let datagram = world.forge_stranger(&name, to, &[Body::Ping(ping)]);
            world.inject(to, source(number), &datagram);
        }
        Storm::JoinsFromOne | Storm::JoinsFromMany => {
            count = 2;
            let addr = match storm {
                Storm::JoinsFromMany => source(number),
                _ => SocketAddr::new(source(0).ip(), u16::try_from(1 + number % 65_000).unwrap()),
            };
            let mut hello = Hello {
                seq: Seq(1),
                cookie: Cookie(0),
                attempt: 1,
                cluster: ClusterId(0),
                record: record(&name, addr, Generation(1)),
            };
            let datagram = world.forge_stranger(&name, to, &[Body::Hello(hello)]);
            for (_, answer) in world.answers(to, addr, &datagram) {
                for body in Packet::decode(&answer).unwrap().bodies() {
                    if let Body::Challenge { cookie, .. } = body {
                        hello.cookie = cookie;
                    }
                }
            }
            let datagram = world.forge_stranger(&name, to, &[Body::Hello(hello)]);
            world.inject(to, addr, &datagram);
        }
        Storm::AccusationsFromMany => {
            let lie = verdict(world, to, other(number + 5, to), Status::Suspect);
            let datagram = world.forge_stranger(&name, to, &[Body::Verdict(lie)]);
            world.inject(to, source(number), &datagram);
        }
        Storm::AccusationsOfAMember => {
            let lie = verdict(world, to, other(number / 3 + 5, to), Status::Suspect);
            from_member(world, Body::Verdict(lie));
        }
        Storm::DeathsOfAMember | Storm::LeavesOfAMember => {
            let status = if storm == Storm::DeathsOfAMember { Status::Dead } else { Status::Left };
            let lie = verdict(world, to, other(number / 3 + 5, to), status);
            from_member(world, Body::Verdict(lie));
        }
        Storm::LeavesByAMember => {
            let leave = Body::Leave {
                seq: Seq(1),
                cookie: Cookie(u64::from(number)),
                incarnation: Incarnation(0),
                left_at: LeftAt::default(),
            };
            from_member(world, leave);
        }
        Storm::RecordsOfAMember => {
            from_member(
                world,
                Body::Alive { record: record(&name, source(number), generation), vouched: true },
            );
        }
    }
    count
}

/// A cluster in a storm of so many datagrams.
fn weather(storm: Storm, forged: u32) -> Outcome {
    let mut outcome = Outcome {
        detected: None,
        during_the_storm: true,
        evictions: 0,
        suspicions: 0,
        nodes_max: 0,
        cost: 0,
        bytes_max: 0,
    };
    let memory = allocation_counter::measure(|| {
        let mut world = World::cluster(1, N);
        world.run(secs(5));
        let mut crashed = None;
        let (mut thrown, mut number) = (0, 0);
        let mut cost = Duration::ZERO;
        for step in 0..STEPS {
            if step == STEPS / 4 {
                world.crash(VICTIM);
                crashed = Some(world.now);
            }
            let begun = std::time::Instant::now();
            let until = u64::from(forged) * u64::from(step + 1) / u64::from(STEPS);
            while storm != Storm::None && u64::from(thrown) < until {
                thrown += throw(&mut world, storm, number);
                number += 1;
            }
            cost += begun.elapsed();
            world.run(STEP);
            if step % 10 == 9 {
                look(&mut world, &mut outcome, crashed);
            }
        }
        outcome.cost = cost.as_nanos() / u128::from(thrown.max(1));
        outcome.during_the_storm = outcome.detected.is_some();
        for _ in 0..400 {
            if outcome.detected.is_none() {
                world.run(secs(5));
                look(&mut world, &mut outcome, crashed);
            }
        }
    });
    outcome.bytes_max = memory.bytes_max;
    outcome
}

/// Looks at what the survivors show, and forgets what they have told.
fn look(world: &mut World, outcome: &mut Outcome, crashed: Option<Instant>) {
    let real: BTreeMap<String, usize> =
        (0..VICTIM).map(|index| (world.hosts[index].name.clone(), index)).collect();
    for host in &mut world.hosts {
        for (_, event) in std::mem::take(&mut host.events) {
            let is_real = event.node().is_some_and(|node| real.contains_key(node.name()));
            match event {
                Event::Died { .. } | Event::Left(_) if is_real => outcome.evictions += 1,
                Event::Suspected(_) if is_real => outcome.suspicions += 1,
                _ => {}
            }
        }
        let bounds = host.protocol.bounds();
        assert!(bounds.iter().all(|bound| bound.count <= bound.max), "{bounds:?}");
        outcome.nodes_max = outcome.nodes_max.max(host.protocol.metrics().nodes);
    }
    let is_out = |at| world.status(at, VICTIM).is_none_or(|status| !status.is_active());
    if let Some(crashed) = crashed
        && outcome.detected.is_none()
        && (0..VICTIM).all(is_out)
    {
        outcome.detected = Some(world.now.since(crashed));
    }
}

#[test]
fn storms_of_forged_datagrams_evict_nobody_and_hide_no_death() {
    let forged = std::env::var("HEADCOUNT_FORGED").map_or(800, |text| text.parse().unwrap());
    let calm = weather(Storm::None, 0);
    println!(
        "{:<22} {:>9} {:>12} {:>10} {:>11} {:>9} {:>8}",
        "storm", "ns each", "MiB a member", "nodes", "death after", "suspected", "evicted"
    );
    for storm in [
        Storm::None,
        Storm::HellosFromMany,
        Storm::PingsFromMany,
        Storm::JoinsFromOne,
        Storm::JoinsFromMany,
        Storm::AccusationsFromMany,
        Storm::AccusationsOfAMember,
        Storm::DeathsOfAMember,
        Storm::LeavesOfAMember,
        Storm::LeavesByAMember,
        Storm::RecordsOfAMember,
    ] {
        if std::env::var("HEADCOUNT_STORM").is_ok_and(|wanted| wanted != format!("{storm:?}")) {
            continue;
        }
        let seen = weather(storm, forged);
        let mib = (seen.bytes_max.saturating_sub(calm.bytes_max)) as f64 / f64::from(1 << 20) / N as f64;
        let death = seen.detected.map_or("never".to_owned(), |after| {
            format!("{:.1} s{}", after.as_secs_f64(), if seen.during_the_storm { "" } else { " *" })
        });
        println!(
            "{:<22} {:>9} {mib:>12.2} {:>10} {death:>11} {:>9} {:>8}",
            format!("{storm:?}"),
            seen.cost,
            seen.nodes_max,
            seen.suspicions,
            seen.evictions
        );
        // 20,480 records of 300 bytes or so, and what goes with them.
        assert!(mib < 16.0, "{storm:?}: {mib} MiB");
        assert_eq!(seen.evictions, 0, "{storm:?}");
        // Names at which nobody answers are probed in their turn until they are gone.
        let names = Duration::from_secs(seen.nodes_max - N as u64);
        assert!(
            seen.detected.is_some_and(|after| after < secs(30) + names),
            "{storm:?}: {:?}",
            seen.detected
        );
    }
}
