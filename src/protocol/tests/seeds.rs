//! Random faults: whatever happens, the invariants hold, and when it is over all views become equal.
//!
//! `HEADCOUNT_SEEDS=200` runs that many seeds, `HEADCOUNT_SEED=17` runs one. A failing run names its seed.

use std::collections::BTreeSet;

use rand::RngExt;

use super::secs;
use super::world::{World, addr_of};
use crate::event::Event;
use crate::node::Status;

/// Seeds that run by default.
const SEEDS: u64 = 24;
/// Hosts in one run, late joiners included.
const HOSTS_MAX: usize = 24;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn seeds_of_random_faults_end_in_equal_views() {
    if let Some(seed) = number("HEADCOUNT_SEED") {
        run(seed);
        return;
    }
    let seeds = number("HEADCOUNT_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        let outcome = std::panic::catch_unwind(|| run(seed));
        if let Err(panic) = outcome {
            eprintln!("replay: HEADCOUNT_SEED={seed} cargo test --lib seeds_of_random_faults");
            std::panic::resume_unwind(panic);
        }
    }
    println!("{seeds} seeds");
}

fn run(seed: u64) {
    let mut world = World::new(1_000 + seed);
    let n = world.rng.random_range(3..20);
    // All are configured with the same seeds: islands that never heard of each other meet through them.
    world.settings.has_seeds = true;
    world.seeds = (0..HOSTS_MAX).map(addr_of).collect();
    world.grow(n);
    world.duplication = world.rng.random_range(0..50);
    let mut gone: BTreeSet<usize> = BTreeSet::new();
    let mut paused: BTreeSet<usize> = BTreeSet::new();
    for _ in 0..world.rng.random_range(5..25) {
        let host = world.rng.random_range(0..world.hosts.len());
        match world.rng.random_range(0..9) {
            0 if gone.len() + 3 < world.hosts.len() && gone.insert(host) => world.crash(host),
            1 if gone.remove(&host) => {
                paused.remove(&host);
                world.restart(host);
                join_any(&mut world, host, &gone);
            }
            2 if !gone.contains(&host) && paused.insert(host) => world.pause(host),
            3 if paused.remove(&host) && !gone.contains(&host) => world.resume(host),
            4 => world.loss = world.rng.random_range(0..200),
            5 => {
                let all: Vec<usize> = (0..world.hosts.len()).collect();
                let (a, b): (Vec<usize>, Vec<usize>) =
                    all.into_iter().partition(|_| world.rng.random_range(0..2) == 0);
                world.cut(&a, &b, true);
            }
            6 => world.cuts.clear(),
            7 if world.hosts.len() < HOSTS_MAX => {
                let joiner = world.add();
                join_any(&mut world, joiner, &gone);
            }
            8 if gone.len() + 3 < world.hosts.len() && !gone.contains(&host) && !paused.contains(&host) => {
                world.call(host, |protocol, now| protocol.leave(now, secs(2)));
                world.run(secs(2));
                gone.insert(host);
                world.crash(host);
            }
            _ => {}
        }
        let pause = world.rng.random_range(0..15_000);
        world.run(std::time::Duration::from_millis(pause));
        check(&world);
    }
    world.loss = 0;
    world.duplication = 0;
    world.cuts.clear();
    for host in paused {
        if !gone.contains(&host) {
            world.resume(host);
        }
    }
    let calm = world.now;
    if !world.run_until(secs(700), World::is_converged) {
        panic!("seed {seed}: views differ: {}\n{}", world.sizes(), world.dump());
    }
    check(&world);
    let healing = world.now.since(calm);
    println!("seed {seed}: {} hosts, equal after {healing:?}", world.hosts.len());
}

fn join_any(world: &mut World, host: usize, gone: &BTreeSet<usize>) {
    let others: Vec<usize> =
        (0..world.hosts.len()).filter(|other| *other != host && !gone.contains(other)).collect();
    if !others.is_empty() {
        let seed = others[world.rng.random_range(0..others.len())];
        world.join(host, &[seed]);
    }
}

/// What holds after every step.
fn check(world: &World) {
    for host in world.hosts.iter().filter(|host| host.running && host.ended.is_none()) {
        let protocol = &host.protocol;
        let local = protocol.local();
        assert!(local.status() != Status::Dead, "{} lists itself dead", host.name);
        // The events tell what the view shows.
        let mut told: BTreeSet<String> = BTreeSet::new();
        let mut suspected: BTreeSet<String> = BTreeSet::new();
        for (_, event) in &host.events {
            let Some(name) = event.node().map(|node| node.name().to_owned()) else { continue };
            assert!(name != host.name, "{} is told of itself: {event}", host.name);
            match event {
                Event::Joined(_) => assert!(told.insert(name.clone()), "{}: {event} twice", host.name),
                Event::Restarted(_) => {
                    told.insert(name.clone());
                    suspected.remove(&name);
                }
                Event::Suspected(_) => {
                    assert!(told.contains(&name), "{}: {event}, which is not there", host.name);
                    assert!(suspected.insert(name.clone()), "{}: {event} twice", host.name);
                }
                Event::Recovered(_) => {
                    assert!(suspected.remove(&name), "{}: {event}, not suspected", host.name);
                }
                Event::Died(_) => {
                    assert!(suspected.remove(&name), "{}: {event}, not suspected", host.name);
                    assert!(told.remove(&name), "{}: {event}, which is not there", host.name);
                }
                Event::Left(_) => {
                    told.remove(&name);
                    suspected.remove(&name);
                }
                _ => {}
            }
        }
        let shown: BTreeSet<String> =
            protocol.nodes().map(|node| node.name().to_owned()).filter(|name| *name != host.name).collect();
        assert_eq!(told, shown, "{}: events and view differ", host.name);
        let shown: BTreeSet<String> = protocol
            .nodes()
            .filter(|node| node.status() == Status::Suspect)
            .map(|node| node.name().to_owned())
            .collect();
        assert_eq!(suspected, shown, "{}: suspicions told and shown differ", host.name);
    }
}
