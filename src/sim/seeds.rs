//! Random faults: the invariants hold whatever happens, and all views become equal when the faults are over.
//!
//! `HEADCOUNT_SEEDS=200` runs that many seeds, `HEADCOUNT_SEED=17` runs one, and with `RUST_LOG=debug` shows what happens
//! in it. A failing run prints the command that replays it. [`HEADCOUNT_KINDS`](switches) chooses kinds of faults.

mod aftermath;
mod field;
mod lasting;
mod operators;
mod switches;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use self::aftermath::Watched;
use self::switches::Switches;
use super::{Cluster, DiskImage};
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::member::Member;
use crate::node::Status;

/// Number of seeds that run by default.
const SEEDS: u64 = 24;
/// Maximum number of hosts in one run, late joiners included.
const HOSTS_MAX: usize = 24;
/// Number of members that are never taken away.
const LEFT_ALONE: usize = 3;
/// Views are equal within this time after the last fault: a member that was buried again and again stays away for up to
/// 320 s.
const EQUAL_WITHIN: Duration = Duration::from_secs(400);

/// How long a host is cut off, unnoticed.
const APART: Duration = Duration::from_millis(400);
/// How long members have to learn a new round trip.
const SETTLING: Duration = Duration::from_secs(60);
/// A copy is not behind when its owner has been quiet for so long, and five round trips. In nearly all worlds 1 s is enough;
/// with 10 % loss and a translator between the two it has taken more than 3 s, once in 200 worlds.
const QUIET: Duration = Duration::from_secs(10);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn seeds_of_random_faults_end_in_equal_views() {
    if let Some(seed) = number("HEADCOUNT_SEED") {
        // With `RUST_LOG=debug` it shows what happens.
        let _ = env_logger::try_init();
        Run::new(seed).run();
        return;
    }
    let seeds = number("HEADCOUNT_SEEDS").unwrap_or(SEEDS);
    let (mut healed, mut failed) = (Vec::new(), Vec::new());
    for seed in 0..seeds {
        match panic::catch_unwind(AssertUnwindSafe(|| Run::new(seed).run())) {
            Ok(after) => healed.push(after),
            Err(_) => {
                println!("replay: HEADCOUNT_SEED={seed} cargo test --lib seeds_of_random_faults");
                failed.push(seed);
            }
        }
    }
    healed.sort_unstable();
    assert!(failed.is_empty(), "of {seeds} seeds these have failed: {failed:?}");
    println!("{seeds} seeds; equal after {:?} at most, half of them within {:?}", healed.last(), {
        healed.get(healed.len() / 2)
    });
}

/// Twenty nodes write 200 keys each, change them and remove half of them, while datagrams are lost and the network is
/// cut: in the end all members show what was written last, and nothing that was removed.
#[test]
fn seeds_of_many_writes_end_in_equal_states() {
    let seeds = match number("HEADCOUNT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HEADCOUNT_SEEDS").unwrap_or(1),
    };
    for seed in seeds {
        let mut run = Run::new(seed);
        println!("replay: HEADCOUNT_SEED={seed} cargo test --lib seeds_of_many_writes");
        for host in 0..20 {
            run.members
                .push(run.cluster.add(run.sealed(Config::lan()).name(name(host)).seeds(name(0))).unwrap());
        }
        run.cluster.run(millis(2_000));
        run.cluster.loss(0.1);
        let mut writes: Vec<(usize, usize, bool)> = Vec::new();
        for removes in [false, false, true] {
            writes.extend((0..20).flat_map(|host| (0..200).map(move |key| (host, key, removes))));
        }
        for (done, (host, key, removes)) in writes.iter().enumerate() {
            if done % 3_000 == 1_000 {
                let side: Vec<String> = (0..20).filter(|_| run.rng.random()).map(name).collect();
                run.cluster.split(&side.iter().map(String::as_str).collect::<Vec<_>>());
            }
            if done % 3_000 == 2_500 {
                run.cluster.heal();
            }
            let key_name = format!("key {key}");
            // Half of them stay.
            if *removes && key % 2 == 0 {
                run.members[*host].remove(&key_name).unwrap();
            } else {
                run.members[*host].set(&key_name, format!("{done}")).unwrap();
            }
            if done % 10 == 0 {
                let pause = run.below(0..30);
                run.cluster.run(millis(pause as u64));
            }
        }
        run.cluster.heal();
        run.cluster.assert_converged();
        run.assert_equal_states();
        for member in &run.members {
            assert_eq!(member.local().state().count(), 100);
        }
    }
}

fn name(index: usize) -> String {
    format!("n{index}")
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One cluster and what is done to it.
struct Run {
    seed: u64,
    cluster: Cluster,
    /// Draws what happens; the cluster has a generator of its own.
    rng: ChaCha12Rng,
    /// The handles of each host; the last one that is dropped ends a process.
    members: Vec<Member>,
    sick: BTreeSet<usize>,
    switches: Switches,
    /// Links with settings of their own.
    paths: BTreeSet<(usize, usize)>,
    /// Earlier images of disks.
    images: BTreeMap<usize, DiskImage>,
    /// Seconds that members may still rest, summed over all of them.
    rest_left: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            cluster: Cluster::new(1_000 + seed),
            rng: ChaCha12Rng::seed_from_u64(seed),
            members: Vec::new(),
            sick: BTreeSet::new(),
            switches: Switches::new(),
            paths: BTreeSet::new(),
            images: BTreeMap::new(),
            rest_left: 0,
        }
    }

    /// Makes faults happen, then ends them all. Returns how long it takes until all views are equal.
    fn run(mut self) -> Duration {
        self.rest_left = self.rest_secs();
        for _ in 0..self.below(3..20) {
            self.grow();
            let pause = self.below(0..200);
            self.cluster.run(millis(pause as u64));
        }
        for _ in 0..self.below(5..40) {
            self.happen();
            let pause = self.below(0..12_000);
            self.cluster.run(millis(pause as u64));
        }
        self.calm();
        let since = self.cluster.now();
        self.cluster.assert_buried();
        self.cluster.assert_converged();
        let after = self.cluster.now() - since;
        self.mend_all();
        self.assert_equal_states();
        assert!(after <= EQUAL_WITHIN, "seed {}: views were equal only after {after:?}", self.seed);
        Watched::assert_at_rest(&self.cluster, &self.members);
        self.assert_prompt();
        println!("seed {}: {} of {} hosts, equal after {after:?}", self.seed, self.running().len(), {
            self.members.len()
        });
        after
    }

    fn happen(&mut self) {
        let host = self.below(0..self.members.len());
        let other = self.below(0..self.members.len());
        let (own, peer) = (name(host), name(other));
        let (runs, well) = (self.runs(host), self.runs(host) && !self.sick.contains(&host));
        let spare = self.running().len() > LEFT_ALONE;
        match self.below(0..36) {
            0 | 1 if spare => self.cluster.crash(&own),
            2..=4 if !runs => self.restart(host),
            5 | 6 if self.members.len() < HOSTS_MAX => self.grow(),
            7 if well && spare => drop(self.members[host].leave(millis(2_000))),
            8 if well && spare => self.members[host].shutdown().unwrap(),
            // Faster than any member can notice.
            9 if runs => {
                self.cluster.crash(&own);
                self.restart(host);
            }
            10 | 11 if runs => self.ail(host, Cluster::pause),
            12 if runs => self.ail(host, Cluster::deafen),
            13 if runs => self.ail(host, Cluster::block),
            14 if runs => {
                let each = millis(self.below(1..150) as u64);
                self.ail(host, |cluster, name| cluster.slow(name, each));
            }
            15 if runs => {
                let mean = millis(self.below(1..400) as u64);
                self.ail(host, |cluster, name| cluster.starve(name, mean));
            }
            16 => {
                if let Some(sick) = self.sick.pop_first() {
                    self.cluster.resume(&name(sick));
                }
            }
            17 => self.split(),
            18 if host != other => self.cluster.cut(&own, &peer),
            19 => self.cluster.heal(),
            20 => self.weather(),
            21 if host != other => {
                self.paths.insert((host, other));
                let share = self.share(0.9);
                self.cluster.loss_between(&own, &peer, share);
            }
            22 if well => {
                // Whether it is there or not.
                let _ = self.members[host].ping(&peer);
            }
            23 if well => {
                // Refused while it is alive.
                let _ = self.members[host].force_leave(&peer);
            }
            24 | 25 if well => self.write(host),
            26 | 27 if well => {
                // The cluster checks that the message arrives as the result says. Now and then it takes many fragments.
                let length = self.below(0..100) * self.below(0..100) * self.below(1..20);
                let _ = self.members[host].send(&peer, &vec![self.rng.random(); length]);
            }
            28 | 29 if runs => {
                for _ in 0..self.below(1..60) {
                    let payload: [u8; 32] = self.rng.random();
                    // Refused while it leaves.
                    let _ = self.members[host].broadcast(&payload);
                }
            }
            30.. => self.befall(host, other),
            _ => {}
        }
    }

    /// A member writes, a little or a lot.
    fn write(&mut self, host: usize) {
        for _ in 0..self.below(1..8) * self.below(1..8) * self.below(1..8) {
            let key = format!("key {}", self.below(0..60));
            if self.rng.random_bool(0.4) {
                self.members[host].remove(&key).unwrap();
            } else {
                let length = self.below(0..30) * self.below(0..30);
                let value = vec![self.rng.random(); length];
                match self.members[host].set(&key, value) {
                    Ok(()) | Err(Error::TooLarge { what: "state", .. }) => {}
                    Err(error) => panic!("seed {}: {error}", self.seed),
                }
            }
        }
    }

    /// Checks that all others show what a member has written.
    fn assert_equal_states(&self) {
        let running = self.running();
        for (host, other) in running.iter().flat_map(|host| running.iter().map(move |other| (*host, *other)))
        {
            let own = self.members[host].local();
            let shown = self.members[other].node(own.name()).unwrap();
            assert!(own.state().eq(shown.state()), "seed {}: the state of {host} at {other}", self.seed);
        }
    }

    /// Checks that no copy is behind while its owner has been quiet for five round trips and 10 s, with long round trips
    /// and up to 10 % loss. What a host cut off for a moment has written and missed comes by no gossip.
    fn assert_prompt(&mut self) {
        let (loss, slowest) = (self.share(0.1), millis(self.below(1..500) as u64));
        self.cluster.loss(loss);
        self.cluster.latency(slowest / 2..slowest);
        self.cluster.run(SETTLING);
        let running = self.running();
        let apart = name(running[self.below(0..running.len())]);
        let since = self.cluster.now();
        self.cluster.split(&[&apart]);
        for host in running {
            for key in 0..self.below(1..6) {
                let value = vec![self.rng.random(); self.below(0..100)];
                match self.members[host].set(&format!("last {key}"), value) {
                    Ok(()) | Err(Error::TooLarge { what: "state", .. } | Error::Closed) => {}
                    Err(error) => panic!("seed {}: {error}", self.seed),
                }
            }
        }
        self.cluster.run(APART);
        self.cluster.heal();
        if self.cluster.now() - since > APART * 2 {
            // A listener has waited for an answer from beyond the cut, and nodes may have been declared dead.
            return;
        }
        self.cluster.run(slowest * 10 + QUIET);
        println!("seed {}: prompt at {:.1} % loss, one way up to {slowest:?}", self.seed, loss * 100.0);
        self.assert_equal_states();
    }

    /// The network falls into two halves.
    fn split(&mut self) {
        let side: Vec<String> = (0..self.members.len()).filter(|_| self.rng.random()).map(name).collect();
        self.cluster.split(&side.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// All links become better or worse.
    fn weather(&mut self) {
        let (loss, copies, overtaken) = (self.share(0.25), self.share(0.2), self.share(0.3));
        self.cluster.loss(loss);
        self.cluster.duplicate(copies);
        self.cluster.reorder(overtaken);
        let fastest = self.below(1..20) as u64 * 200;
        let slowest = fastest * self.below(1..5) as u64;
        self.cluster.latency(Duration::from_micros(fastest)..Duration::from_micros(slowest));
    }

    /// Ends all faults except those that members have to live with.
    fn calm(&mut self) {
        self.mend();
        self.cluster.heal();
        self.cluster.loss(0.0);
        self.cluster.duplicate(0.0);
        self.cluster.reorder(0.0);
        for (from, to) in &self.paths {
            self.cluster.loss_between(&name(*from), &name(*to), 0.0);
        }
        for host in std::mem::take(&mut self.sick) {
            self.cluster.resume(&name(host));
        }
    }

    /// One more host.
    fn grow(&mut self) {
        let index = self.add();
        self.join(index);
    }

    /// One more host, with seeds.
    fn add(&mut self) -> usize {
        let index = self.members.len();
        let config = self.config().name(name(index));
        let config = self.in_the_field(index, config);
        self.members.push(self.cluster.add(config).unwrap());
        index
    }

    /// Another process of that name, now and then at another address.
    fn restart(&mut self, host: usize) {
        let elsewhere = self.below(0..4) == 0;
        self.start_again(host, elsewhere);
        self.join(host);
    }

    /// Another process of that name, with seeds.
    fn start_again(&mut self, host: usize, elsewhere: bool) {
        self.sick.remove(&host);
        let mut config = self.config();
        if elsewhere {
            let (a, b) = (self.below(1..250), self.below(1..250));
            let addr = format!("10.{}.{a}.{b}:7990", host + 9).parse().unwrap();
            if !self.cluster.sim.world().hosts[host].machine.addresses.is_empty() {
                // It would not be reached at the address that it advertises.
                self.cluster.crash(&name(host));
                self.cluster.addresses(&name(host), [addr]);
            }
            config = config.advertise(addr);
        }
        config = self.in_the_field(host, config);
        // It does not start while its snapshot can not be read.
        self.cluster.disk(&name(host), super::DiskState::Well);
        self.members[host] = self.cluster.restart(&name(host), config).unwrap();
    }

    /// All are configured with the same seeds: islands that never heard of each other meet through them.
    fn config(&mut self) -> Config {
        let config = self.sealed(Config::lan()).seeds((0..HOSTS_MAX).map(name).collect::<Vec<_>>());
        match self.below(0..10) {
            8 | 9 => config.on_event(|member, event| {
                // Answers messages, and greets nodes that join.
                let _ = match event {
                    Event::Message { from, payload } if payload.len() > 1 => {
                        member.send(from.name(), &payload[1..payload.len() / 2 + 1])
                    }
                    Event::Joined(node) => member.send(node.name(), member.name().as_bytes()),
                    _ => Ok(()),
                };
            }),
            0 => config.on_event(|member, _| {
                // It shows itself until it leaves.
                let own = member.local();
                assert!(own.status() == Status::Left || member.nodes().get(own.name()).is_some());
            }),
            1 => config.on_event(|member, event| {
                // Runs virtual time, in which everything else goes on.
                let _ = event.node().map(|node| member.ping(node.name()));
            }),
            2 => {
                let mut patience = self.below(20..200);
                config.on_event(move |member, _| {
                    patience = patience.saturating_sub(1);
                    if patience == 0 {
                        let _ = member.leave(millis(1_000));
                    }
                })
            }
            _ => config,
        }
    }

    /// Every third cluster has a key, if the feature is on.
    #[cfg(feature = "encryption")]
    fn sealed(&self, config: Config) -> Config {
        use crate::keyring::{Key, Keyring};
        if self.seed % 3 == 1 { config.keyring(Keyring::new(Key::from_bytes([7; 32]))) } else { config }
    }

    #[cfg(not(feature = "encryption"))]
    fn sealed(&self, config: Config) -> Config {
        config
    }

    fn join(&mut self, host: usize) {
        let others: Vec<usize> = self.running().into_iter().filter(|other| *other != host).collect();
        if !others.is_empty() {
            let other = others[self.below(0..others.len())];
            // Nobody may answer.
            let _ = self.members[host].join(name(other));
        }
    }

    fn ail(&mut self, host: usize, how: impl FnOnce(&Cluster, &str)) {
        self.sick.insert(host);
        how(&self.cluster, &name(host));
    }

    fn runs(&self, host: usize) -> bool {
        self.cluster.sim.world().hosts[host].is_running()
    }

    fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|host| self.runs(*host)).collect()
    }

    fn below(&mut self, range: std::ops::Range<usize>) -> usize {
        self.rng.random_range(range)
    }

    fn share(&mut self, most: f64) -> f64 {
        f64::from(self.rng.random_range(0..1_000_u32)) / 1_000.0 * most
    }
}
