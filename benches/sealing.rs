//! What it costs to seal datagrams: processor time and bytes for each, and what is left of the rate of pings and
//! messages.
//!
//!     cargo bench --features encryption --bench sealing
//!
//! The first table is simulated, so that the difference is what sealing and opening takes and nothing else; the second
//! is measured on sockets of the loopback. Runs with and without a key take turns. It reads the processor time of its
//! thread in /proc, so on Linux only.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use headcount::sim::Cluster;
use headcount::{Config, Key, Keyring, Member};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

/// Runs of each kind; an odd number, so that there is a median.
const RUNS: usize = 9;
const PINGS: usize = 5_000;
const SHORT: usize = 100;
const SHORT_COUNT: usize = 10_000;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> AnyResult<()> {
    println!("Simulated, {RUNS} runs each, medians: a datagram sealed, sent and opened");
    println!("{:<34} {:>12} {:>12} {:>14}", "messages", "datagrams", "bytes more", "time more");
    simulated("10,000 of 100 bytes", 10_000, 100)?;
    simulated("10 of 1 MiB", 10, 1 << 20)?;

    println!("\nOn the loopback, {RUNS} runs each, medians");
    println!("{:<34} {:>16} {:>16}", "", "without a key", "with a key");
    both("ping, round trip in µs", ping_time)?;
    both("pings a second, one after the other", ping_rate)?;
    both("messages a second, one thread", |keyring| message_rate(keyring, 1))?;
    both("messages a second, eight threads", |keyring| message_rate(keyring, 8))?;
    Ok(())
}

/// What a simulation has taken.
struct Cost {
    datagrams: u64,
    bytes: u64,
    time: Duration,
}

/// Prints the row of so many messages of one length.
fn simulated(what: &str, count: usize, length: usize) -> AnyResult<()> {
    let (mut datagrams, mut bytes, mut nanos) = (0, Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let [plain, sealed] = [Keyring::plain(), sealed()].map(|keyring| simulate(keyring, count, length));
        let (plain, sealed) = (plain?, sealed?);
        let each = |cost: &Cost, of: f64| of / cost.datagrams as f64;
        datagrams = sealed.datagrams;
        bytes.push(each(&sealed, sealed.bytes as f64) - each(&plain, plain.bytes as f64));
        let time = |cost: &Cost| each(cost, cost.time.as_nanos() as f64);
        nanos.push(time(&sealed) - time(&plain));
    }
    let (bytes, nanos) = (median(bytes), median(nanos));
    println!("{what:<34} {datagrams:>12} {bytes:>12.0} {:>14}", format!("{nanos:.0} ns"));
    Ok(())
}

fn simulate(keyring: Keyring, count: usize, length: usize) -> AnyResult<Cost> {
    let cluster = Cluster::new(1);
    // The checks would open each datagram a second time.
    cluster.check(false);
    let to = cluster.add(Config::lan().name("to").keyring(keyring.clone()).on_event(|_, _| {}))?;
    let from = cluster.add(Config::lan().name("from").keyring(keyring))?.join("to")?;
    let sum = |of: fn(&headcount::Metrics) -> u64| of(&from.metrics()) + of(&to.metrics());
    let (datagrams, bytes) = (sum(|metrics| metrics.datagrams_sent), sum(|metrics| metrics.bytes_sent));
    let payload = vec![7; length];
    let began = processor_time()?;
    for _ in 0..count {
        from.send("to", &payload)?;
    }
    Ok(Cost {
        time: processor_time()?.saturating_sub(began),
        datagrams: sum(|metrics| metrics.datagrams_sent) - datagrams,
        bytes: sum(|metrics| metrics.bytes_sent) - bytes,
    })
}

/// Prints a figure without and with a key.
fn both(what: &str, figure: impl Fn(Keyring) -> AnyResult<f64>) -> AnyResult<()> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        without.push(figure(Keyring::plain())?);
        with.push(figure(sealed())?);
    }
    println!("{what:<34} {:>16.1} {:>16.1}", median(without), median(with));
    Ok(())
}

fn ping_time(keyring: Keyring) -> AnyResult<f64> {
    let [from, _to] = pair(keyring)?;
    let pings = (0..PINGS).map(|_| from.ping("to")).collect::<headcount::Result<Vec<Duration>>>()?;
    Ok(median(pings.iter().map(|ping| ping.as_secs_f64() * 1e6).collect()))
}

fn ping_rate(keyring: Keyring) -> AnyResult<f64> {
    let [from, _to] = pair(keyring)?;
    let began = Instant::now();
    for _ in 0..PINGS {
        from.ping("to")?;
    }
    Ok(PINGS as f64 / began.elapsed().as_secs_f64())
}

fn message_rate(keyring: Keyring, threads: usize) -> AnyResult<f64> {
    let [from, _to] = pair(keyring)?;
    let payload = [7; SHORT];
    let send_all = || (0..SHORT_COUNT / threads).try_for_each(|_| from.send("to", &payload));
    let began = Instant::now();
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(send_all)).collect();
        running.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")).collect()
    });
    for result in results {
        result??;
    }
    Ok(SHORT_COUNT as f64 / began.elapsed().as_secs_f64())
}

/// Two members that know each other; the second one listens.
fn pair(keyring: Keyring) -> AnyResult<[Member; 2]> {
    let config = |name| Config::lan().name(name).bind("127.0.0.1:0").keyring(keyring.clone());
    let to = Member::create(config("to").on_event(|_, _| {}))?;
    let from = Member::create(config("from"))?.join(to.addr())?;
    Ok([from, to])
}

fn sealed() -> Keyring {
    Keyring::new(Key::from_bytes([7; 32]))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// What this thread has had of the processor.
fn processor_time() -> AnyResult<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().ok_or("no processor time in /proc")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}
