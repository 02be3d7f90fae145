//! Messages to one node: what a long one takes on a lossy network, how many short ones go through in a second, and what
//! a listener that is stuck holds up.
//!
//!     cargo bench --bench messages
//!
//! The first table is simulated: loss, and receivers that take a time for each datagram, or wait for the processor
//! whenever there is something to do, so long on average. The other two are measured on sockets of the loopback. The
//! memory is read in /proc, so on Linux only. The exit code tells whether a message got lost.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

use std::fs;
use std::ops::Range;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use headcount::sim::Cluster;
use headcount::{Config, Event, Member};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

const MEBIBYTE: usize = 1 << 20;
/// Simulations of each kind; an odd number, so that there is a median.
const SEEDS: u64 = 21;
/// What the sender of a long one waits.
const PATIENCE: Duration = Duration::from_secs(60);
const SHORT: usize = 100;
const SHORT_COUNT: usize = 10_000;

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("\nMessages got lost.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> AnyResult<bool> {
    println!("1 MiB, simulated, {SEEDS} seeds each: medians, and the worst time");
    println!("{:<34} {:>10} {:>10} {:>10} {:>6}", "network", "time", "worst", "datagrams", "lost");
    let mut lost = 0;
    for (what, config, latency) in [
        ("LAN, 0.2 to 1 ms", Config::lan as fn() -> Config, micros(200)..micros(1_000)),
        ("WAN, 40 to 60 ms", Config::wan, micros(40_000)..micros(60_000)),
    ] {
        for percent in [0, 5, 10, 25] {
            let network = format!("{what}, {percent} % lost");
            let lose = |cluster: &Cluster| cluster.loss(f64::from(percent) / 100.0);
            lost += long_messages(&network, config, latency.clone(), lose)?;
        }
    }
    let latency = || micros(200)..micros(1_000);
    for (what, config) in [("local", Config::local as fn() -> Config), ("LAN", Config::lan)] {
        for each in [1_000, 4_000] {
            let receiver = format!("{what}, receiver takes {} ms each", each / 1_000);
            lost += long_messages(&receiver, config, latency(), |cluster| cluster.slow("to", micros(each)))?;
        }
        let receiver = format!("{what}, receiver waits 50 ms");
        lost += long_messages(&receiver, config, latency(), |cluster| cluster.starve("to", micros(50_000)))?;
    }

    println!("\n{SHORT_COUNT} messages of {SHORT} bytes between two members on the loopback");
    println!("{:<34} {:>10} {:>10} {:>10} {:>10}", "threads that send", "a second", "median", "p99", "again");
    for threads in [1, 8] {
        lost += short_messages(threads)?;
    }

    println!("\nA listener that is stuck, and messages of 1 MiB");
    stuck_listener()?;
    Ok(lost == 0)
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// The value that so many percent are not above.
fn percentile<T: Copy + Ord>(values: &mut [T], percent: usize) -> T {
    values.sort_unstable();
    values[(values.len() - 1) * percent / 100]
}

/// Prints the row of what ails a network or the receiver; how many messages got lost.
fn long_messages(
    what: &str,
    config: fn() -> Config,
    latency: Range<Duration>,
    ail: impl Fn(&Cluster),
) -> AnyResult<usize> {
    let (mut times, mut datagrams, mut lost) = (Vec::new(), Vec::new(), 0);
    for seed in 0..SEEDS {
        let cluster = Cluster::new(seed);
        cluster.latency(latency.clone());
        let from = cluster.add(config().name("from").send_timeout(PATIENCE))?;
        let to = cluster.add(config().name("to"))?;
        to.join("from")?;
        // A few probes: their round trips are known.
        cluster.run(Duration::from_secs(10));
        let _events = to.events();
        ail(&cluster);
        let sent = || from.metrics().datagrams_sent + to.metrics().datagrams_sent;
        let (since, before) = (cluster.now(), sent());
        lost += usize::from(from.send("to", &vec![7; MEBIBYTE]).is_err());
        times.push(cluster.now() - since);
        datagrams.push(sent() - before);
    }
    let (time, worst) = (percentile(&mut times, 50), percentile(&mut times, 100));
    let datagrams = percentile(&mut datagrams, 50);
    println!("{what:<34} {:>10} {:>10} {datagrams:>10} {lost:>6}", in_millis(time), in_millis(worst));
    Ok(lost)
}

fn in_millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

fn start(name: &str, on_event: impl FnMut(&Member, Event) + Send + 'static) -> AnyResult<Member> {
    Ok(Member::create(Config::lan().name(name).bind("127.0.0.1:0").on_event(on_event))?)
}

/// Prints the row of so many threads; how many messages got lost.
fn short_messages(threads: usize) -> AnyResult<usize> {
    let to = start("to", |_, _| {})?;
    let from = start("from", |_, _| {})?.join(to.addr())?;
    let payload = [7; SHORT];
    let since = Instant::now();
    let results: Vec<(usize, Vec<Duration>)> = thread::scope(|scope| {
        let send_all = || {
            let mut lost = 0;
            let each = (0..SHORT_COUNT / threads).map(|_| {
                let began = Instant::now();
                lost += usize::from(from.send("to", &payload).is_err());
                began.elapsed()
            });
            let times = each.collect();
            (lost, times)
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(send_all)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let elapsed = since.elapsed();
    let lost = results.iter().map(|(lost, _)| lost).sum();
    let mut times: Vec<Duration> = results.into_iter().flat_map(|(_, times)| times).collect();
    let rate = times.len() as f64 / elapsed.as_secs_f64();
    let [median, late] = [50, 99].map(|percent| percentile(&mut times, percent).as_micros());
    let again = from.metrics().fragments_resent;
    println!(
        "{threads:<34} {rate:>10.0} {:>10} {:>10} {again:>10}",
        format!("{median} µs"),
        format!("{late} µs")
    );
    Ok(lost)
}

fn stuck_listener() -> AnyResult<()> {
    let (release, hang) = std::sync::mpsc::channel::<()>();
    let to = start("to", move |_, _| {
        let _ = hang.recv();
    })?;
    let from = start("from", |_, _| {})?.join(to.addr())?;
    let payload = vec![7; MEBIBYTE];
    let before = resident_kib();
    let mut taken = 0;
    let (refused, time) = loop {
        let began = Instant::now();
        match from.send("to", &payload) {
            Ok(()) => taken += 1,
            Err(error) => break (error, began.elapsed()),
        }
    };
    println!("taken, then waiting in the queue   {taken:>10} MiB");
    println!("the next one                       {:>10} after {}", refused.to_string(), in_millis(time));
    // As many again: what is refused leaves nothing.
    let again = (0..32).filter(|_| from.send("to", &payload).is_ok()).count();
    println!("of 32 more, taken                  {again:>10}");
    if let (Some(before), Some(after)) = (before, resident_kib()) {
        println!("memory of the process grew by      {:>10} MiB", after.saturating_sub(before) / 1_024);
    }
    drop(release);
    Ok(())
}

/// What the process has in memory.
fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
