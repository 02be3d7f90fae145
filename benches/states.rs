//! How the states of nodes reach all others, and what that costs: on the simulator, in virtual time, from seeds; and
//! once on sockets.
//!
//!     cargo bench --bench states              # everything, some minutes
//!     cargo bench --bench states -- sockets   # one experiment
//!
//! | experiment | what it shows |
//! |---|---|
//! | `writes` | 128 members, 64 keys each, one write a second each, 1 % loss: until all have a write, traffic, and how old what somebody holds may get; without a limit and with some |
//! | `double` | the same, with the rate doubled for a while and back again: the experiment of the Scuttlebutt paper (van Renesse et al., LADIS 2008, figures 4 and 5) |
//! | `large` | one state as large as it may be |
//! | `sockets` | 256 members in this process, on loopback: until all others have seen one write |
//!
//! Members have the LAN profile, simulated datagrams take 0.2 to 1 ms. A member is *stale* for as long as the oldest
//! write that it lacks is old. Bytes are what the network carries: 28 for the IP and UDP headers of each datagram are
//! added to what members count. The exit code tells whether a figure misses its bar.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headcount::sim::Cluster;
use headcount::{Config, Event, Member};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;
/// Answers whether all bars were met.
type Experiment = fn() -> AnyResult<bool>;

const EXPERIMENTS: [(&str, Experiment); 4] =
    [("writes", writes), ("double", double), ("large", large), ("sockets", sockets)];

const MEMBERS: usize = 128;
const KEYS: usize = 64;
/// IP and UDP headers.
const HEADERS: u64 = 28;

fn main() -> ExitCode {
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let mut all_met = true;
    for (name, experiment) in EXPERIMENTS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("\n{name}");
        match experiment() {
            Ok(met) => all_met &= met,
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if all_met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Who has seen which writes, and when. The writes of each member are numbered; a state has all up to the highest
/// number in it.
#[derive(Default)]
struct Sightings {
    /// When each write of a member was made, in order.
    made: BTreeMap<String, Vec<Duration>>,
    /// How many writes of a member an observer has seen.
    seen: BTreeMap<(String, String), usize>,
    delays: Vec<Duration>,
    /// From when on delays are counted.
    since: Duration,
}

impl Sightings {
    fn note(&mut self, now: Duration, observer: &str, subject: &str, number: usize) {
        let Some(made) = self.made.get(subject) else {
            return;
        };
        let seen = self.seen.entry((observer.to_owned(), subject.to_owned())).or_default();
        for write in &made[(*seen).min(number)..number] {
            if *write >= self.since {
                self.delays.push(now - *write);
            }
        }
        *seen = number.max(*seen);
    }

    /// The age of the oldest write that somebody lacks.
    fn staleness(&self, now: Duration) -> Duration {
        let lacking = |((_, subject), seen): (&(String, String), &usize)| {
            self.made.get(subject).and_then(|made| made.get(*seen)).map(|made| now - *made)
        };
        self.seen.iter().filter_map(lacking).max().unwrap_or_default()
    }
}

/// A simulated cluster whose members write all the time.
struct Workload {
    cluster: Cluster,
    members: Vec<Member>,
    sightings: Arc<Mutex<Sightings>>,
    rng: ChaCha12Rng,
    /// Turns of the second that have passed.
    turn: usize,
}

impl Workload {
    fn new(seed: u64, limit: Option<u32>) -> AnyResult<Self> {
        let cluster = Cluster::new(seed);
        cluster.check(false);
        let sightings = Arc::new(Mutex::new(Sightings::default()));
        let mut members = Vec::with_capacity(MEMBERS);
        for index in 0..MEMBERS {
            let mut config = Config::lan().name(name(index)).on_event({
                let (sightings, cluster) = (Arc::clone(&sightings), cluster.clone());
                move |member, event| {
                    if let Event::Changed { node, value: Some(value), .. } = event {
                        let now = cluster.now();
                        lock(&sightings).note(now, member.name(), node.name(), number_in(&value));
                    }
                }
            });
            if let Some(limit) = limit {
                config = config.state_rate(limit);
            }
            members.push(cluster.add(config)?);
        }
        for member in &members[1..] {
            member.join(name(0))?;
        }
        if !cluster.run_until(Duration::from_secs(60), Cluster::is_converged) {
            return Err("the cluster does not come together".into());
        }
        {
            let mut sightings = lock(&sightings);
            for observer in 0..MEMBERS {
                sightings.made.insert(name(observer), Vec::new());
                for subject in (0..MEMBERS).filter(|subject| *subject != observer) {
                    sightings.seen.insert((name(observer), name(subject)), 0);
                }
            }
        }
        cluster.loss(0.01);
        Ok(Self { cluster, members, sightings, rng: ChaCha12Rng::seed_from_u64(seed), turn: 0 })
    }

    /// Each member writes so often a second, one after the other; tells the staleness at the end of each second.
    fn run(&mut self, seconds: usize, writes_per_second: usize) -> AnyResult<Vec<Duration>> {
        let mut staleness = Vec::with_capacity(seconds);
        let turns = MEMBERS * writes_per_second;
        for _ in 0..seconds {
            for _ in 0..turns {
                let writer = self.turn % MEMBERS;
                self.turn += 1;
                self.write(writer)?;
                self.cluster.run(Duration::from_secs(1) / u32::try_from(turns)?);
            }
            staleness.push(lock(&self.sightings).staleness(self.cluster.now()));
        }
        Ok(staleness)
    }

    fn write(&mut self, writer: usize) -> AnyResult<()> {
        let number = {
            let now = self.cluster.now();
            let mut sightings = lock(&self.sightings);
            let made = sightings.made.entry(name(writer)).or_default();
            made.push(now);
            made.len()
        };
        let key = format!("key {}", self.rng.random_range(0..KEYS));
        // With key and versions it is about 75 bytes.
        self.members[writer].set(&key, format!("{number:>60}"))?;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let sent = self.members.iter().map(Member::metrics);
        sent.map(|metrics| metrics.bytes_sent + metrics.datagrams_sent * HEADERS).sum()
    }
}

fn number_in(value: &[u8]) -> usize {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn writes() -> AnyResult<bool> {
    const SECONDS: usize = 60;
    println!("| writes told a second and member | delay median | p99 | oldest ever | kB/s a member | bar |");
    println!("|---|---|---|---|---|---|");
    let mut all_met = true;
    for limit in [None, Some(1_000), Some(400), Some(200)] {
        let mut load = Workload::new(1, limit)?;
        load.run(20, 1)?;
        lock(&load.sightings).since = load.cluster.now();
        let before = load.bytes();
        let staleness = load.run(SECONDS, 1)?;
        let rate = (load.bytes() - before) as f64 / 1_000.0 / SECONDS as f64 / MEMBERS as f64;
        let mut delays = std::mem::take(&mut lock(&load.sightings).delays);
        let (median, p99) = (quantile(&mut delays, 0.5), quantile(&mut delays, 0.99));
        let oldest = staleness.into_iter().max().unwrap_or_default();
        let (met, bar) = match limit {
            None => (p99 <= Duration::from_millis(500) && rate <= 120.0, "p99 <= 0.5 s, <= 120 kB/s"),
            Some(200) => (oldest <= Duration::from_secs(20), "oldest <= 20 s"),
            Some(_) => (true, ""),
        };
        all_met &= met;
        let limit = limit.map_or("any".to_owned(), |limit| limit.to_string());
        let missed = if met { "" } else { " MISSED" };
        println!("| {limit} | {median:.3?} | {p99:.3?} | {oldest:.2?} | {rate:.1} | {bar}{missed} |");
    }
    Ok(all_met)
}

fn double() -> AnyResult<bool> {
    println!(
        "staleness in s: median and worst over the seconds of each phase; the paper's worst is 4.9 before and"
    );
    println!("23.6 at the peak, with 100 deltas an exchange");
    println!(
        "| writes told a second and member | 60 s at one write | 50 s at two | the next 30 s | 60 s after that |"
    );
    println!("|---|---|---|---|---|");
    for limit in [None, Some(400), Some(200)] {
        let mut load = Workload::new(2, limit)?;
        load.run(20, 1)?;
        let phases = [(60, 1), (50, 2), (30, 1), (60, 1)];
        let mut cells = String::new();
        for (seconds, rate) in phases {
            let mut staleness = load.run(seconds, rate)?;
            let worst = staleness.iter().max().copied().unwrap_or_default();
            let median = quantile(&mut staleness, 0.5);
            cells += &format!(" {:.2} / {:.2} |", median.as_secs_f64(), worst.as_secs_f64());
        }
        println!("| {} |{cells}", limit.map_or("any".to_owned(), |limit| limit.to_string()));
    }
    Ok(true)
}

fn large() -> AnyResult<bool> {
    println!("| members | loss | all 64 KiB of one member with all others | bytes a member |");
    println!("|---|---|---|---|");
    for (members, loss) in [(16, 0.0), (128, 0.0), (128, 0.1)] {
        let cluster = Cluster::new(3);
        cluster.check(false);
        let all: Vec<Member> = (0..members)
            .map(|index| cluster.add(Config::lan().name(name(index))))
            .collect::<Result<_, _>>()?;
        for member in &all[1..] {
            member.join(name(0))?;
        }
        cluster.run(Duration::from_secs(3));
        cluster.loss(loss);
        let sent = || all.iter().map(|member| member.metrics().bytes_sent).sum::<u64>();
        let (begin, before) = (cluster.now(), sent());
        for key in 0..63 {
            all[0].set(&format!("{key}"), [7; 1_024])?;
        }
        let has_all = |member: &Member| member.node(&name(0)).is_some_and(|node| node.state().count() == 63);
        if !cluster.run_until(Duration::from_secs(120), |_| all.iter().all(has_all)) {
            return Err("it does not arrive".into());
        }
        let (time, bytes) = (cluster.now() - begin, (sent() - before) / members as u64);
        println!("| {members} | {:.0} % | {time:.2?} | {bytes} |", loss * 100.0);
    }
    Ok(true)
}

fn sockets() -> AnyResult<bool> {
    const SIZE: usize = 256;
    const WRITES: usize = 30;
    let seen: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let mut members: Vec<Member> = Vec::with_capacity(SIZE);
    for index in 0..SIZE {
        let seen = Arc::clone(&seen);
        let config = Config::lan().name(name(index)).bind("127.0.0.1:0").on_event(move |_, event| {
            if matches!(event, Event::Changed { .. }) {
                lock(&seen).push(Instant::now());
            }
        });
        let member = Member::create(config)?;
        if let Some(first) = members.first() {
            member.join(first.addr())?;
        }
        members.push(member);
    }
    for member in &members {
        member.wait_until(Duration::from_secs(60), |nodes| nodes.len() == SIZE)?;
    }
    std::thread::sleep(Duration::from_secs(3));
    let sent = || -> u64 {
        let metrics = members.iter().map(Member::metrics);
        metrics.map(|metrics| metrics.bytes_sent + metrics.datagrams_sent * HEADERS).sum()
    };
    let (mut times, mut bytes) = (Vec::new(), Vec::new());
    for number in 0..WRITES {
        lock(&seen).clear();
        let (begin, before) = (Instant::now(), sent());
        members[number * 7 % SIZE].set("load", number.to_string())?;
        let deadline = begin + Duration::from_secs(30);
        while lock(&seen).len() < SIZE - 1 {
            if Instant::now() > deadline {
                return Err("not everybody has seen a write".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        times.push(lock(&seen).iter().max().map_or(Duration::ZERO, |last| *last - begin));
        // Until the second phase of the rumor is over.
        std::thread::sleep(Duration::from_millis(400));
        bytes.push(Duration::from_micros((sent() - before) / SIZE as u64));
    }
    let (median, worst) = (quantile(&mut times, 0.5), quantile(&mut times, 1.0));
    let bytes = quantile(&mut bytes, 0.5).as_micros();
    let met = median < Duration::from_millis(100);
    let missed = if met { "" } else { " MISSED" };
    println!(
        "{SIZE} members, {WRITES} writes: seen by all others after {median:.1?} (median), {worst:.1?} (worst);"
    );
    println!("{bytes} bytes sent a member and write, probes included; bar: median < 100 ms{missed}");
    Ok(met)
}

fn name(index: usize) -> String {
    format!("n{index:03}")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of an index")]
    let place = (last as f64 * share).round() as usize;
    values.get(place).copied().unwrap_or_default()
}
