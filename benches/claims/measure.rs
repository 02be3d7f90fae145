//! The claims, and how each is measured.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use headcount::bench::{Core, member_among};
use headcount::transport::Memory;
use headcount::{Config, Member};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

/// Nodes in the seed's view before others join it, and how many do, all at once.
const HELD: u32 = 10_000;
const JOINERS: u32 = 200;
/// Nobody holds the lock for longer.
const HOLD_MAX: Duration = Duration::from_millis(1);

/// Nodes in the view that is read.
const READ: u32 = 1_000;
const READS: u32 = 1_000_000;
/// A reader pays no more while nothing changes.
const READ_MAX: Duration = Duration::from_nanos(100);

const ECHOES: u32 = 20_000;
const RUNS: usize = 5;
const ECHO_RUNS: usize = 9;
/// A member answers at least so often, compared with a socket that sends back what comes.
const ECHO_MIN: f64 = 0.8;
/// So long is a ping or an ack.
const PING_SIZE: usize = 69;

/// Measures all, and prints a table.
pub(crate) fn run() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("\nA claim does not hold.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// True if all claims hold.
fn measure() -> AnyResult<bool> {
    let holds = measure_holds()?;
    let reads = measure_reads()?;
    let echoes = measure_echoes()?;
    Ok(holds && reads && echoes)
}

fn row(what: &str, result: &str) {
    println!("{what:<66} {result}");
}

// ---- How long a step holds the lock ----

/// All steps of some members, in order: between two of them anybody may have the lock.
#[derive(Default)]
struct Holds(Vec<Duration>);

impl Holds {
    /// Makes a step as the threads do under the lock: it is done when its outputs have been taken out.
    fn step(
        &mut self,
        core: &mut Core,
        outputs: &mut Vec<(SocketAddr, Vec<u8>)>,
        work: impl FnOnce(&mut Core),
    ) {
        let began = Instant::now();
        work(core);
        core.drain(outputs);
        self.0.push(began.elapsed());
    }

    /// The same steps, timed once more: the lesser time of each is its own, the rest is the scheduler's.
    fn timed_again(mut self, again: &Self) -> AnyResult<Self> {
        if self.0.len() != again.0.len() {
            return Err("the same script was played in other steps".into());
        }
        self.0.iter_mut().zip(&again.0).for_each(|(hold, again)| *hold = (*again).min(*hold));
        Ok(self)
    }

    /// True if none was too long.
    fn print(mut self, whose: &str) -> bool {
        self.0.sort_unstable();
        let at = |share: usize| self.0[(self.0.len() - 1) * share / 1_000];
        let times = [500, 990, 999, 1_000].map(|share| format!("{:.1}", micros(at(share))));
        row(
            &format!("{whose}: steps; median / 99 % / 99.9 % / longest"),
            &format!("{}; {} µs", self.0.len(), times.join(" / ")),
        );
        let classes = [1, 3, 10, 30, 100, 300, 1_000].map(Duration::from_micros);
        let shares = classes.map(|class| {
            let within = self.0.partition_point(|hold| *hold <= class);
            format!("{}: {}", class.as_micros(), within)
        });
        row("  steps of at most so many µs", &shares.join(", "));
        at(1_000) <= HOLD_MAX
    }
}

fn measure_holds() -> AnyResult<bool> {
    println!("{JOINERS} members join one that holds {HELD} nodes, all at once, the same {RUNS} times\n");
    let [mut seed, mut joiners] = holds_of_a_burst()?;
    for _ in 1..RUNS {
        let again = holds_of_a_burst()?;
        seed = seed.timed_again(&again[0])?;
        joiners = joiners.timed_again(&again[1])?;
    }
    let good = seed.print("the seed");
    let all_good = joiners.print("the joiners") && good;
    row("  claimed: the longest", &format!("{} µs", HOLD_MAX.as_micros()));
    Ok(all_good)
}

/// Many members join one that holds many nodes, over a network that takes 100 µs: the steps of the one, and of the
/// many. Nothing is left to chance, so they are the same each time.
fn holds_of_a_burst() -> AnyResult<[Holds; 2]> {
    let mut now = Duration::from_secs(3_600);
    let seed_addr = joiner_addr(0);
    let mut cores = BTreeMap::new();
    for index in 0..=JOINERS {
        cores.insert(joiner_addr(index), Core::new(now, &format!("m{index:03}"), joiner_addr(index))?);
    }
    if let Some(seed) = cores.get_mut(&seed_addr) {
        seed.imagine(now, 0..HELD - 1, 0);
    }

    let mut holds = [Holds::default(), Holds::default()];
    let whose = |addr: SocketAddr| usize::from(addr != seed_addr);
    let mut outputs = Vec::new();
    let mut carried: Vec<(SocketAddr, SocketAddr, Vec<u8>)> = Vec::new();
    for (addr, core) in cores.iter_mut().filter(|(addr, _)| **addr != seed_addr) {
        holds[whose(*addr)].step(core, &mut outputs, |core| core.join(now, seed_addr));
        carried.extend(outputs.drain(..).map(|(to, datagram)| (*addr, to, datagram)));
    }
    let all = usize::try_from(HELD + JOINERS)?;
    let deadline = now + Duration::from_secs(60);
    while cores.values().any(|core| core.len() < all) {
        if now > deadline {
            return Err("they do not find each other".into());
        }
        now += Duration::from_micros(100);
        for (from, to, datagram) in std::mem::take(&mut carried) {
            if let Some(core) = cores.get_mut(&to) {
                holds[whose(to)].step(core, &mut outputs, |core| core.receive(now, from, &datagram));
                carried.extend(outputs.drain(..).map(|(next, datagram)| (to, next, datagram)));
            }
        }
        for (addr, core) in &mut cores {
            if core.next_wake().is_some_and(|due| due <= now) {
                holds[whose(*addr)].step(core, &mut outputs, |core| core.wake(now));
                carried.extend(outputs.drain(..).map(|(to, datagram)| (*addr, to, datagram)));
            }
        }
    }
    Ok(holds)
}

fn joiner_addr(index: u32) -> SocketAddr {
    let ip = Ipv4Addr::from_bits(Ipv4Addr::new(192, 168, 0, 0).to_bits() + index);
    SocketAddr::from((ip, 7990))
}

// ---- What a reader pays ----

fn measure_reads() -> AnyResult<bool> {
    println!("\n{READ} nodes in a view, {READS} times nodes()\n");
    // It should not notice that they do not run.
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let config = Config::lan().bind("10.1.0.1:7990").transport(Memory::new(1));
    let member = member_among(READ, config.probe_interval(week).isolation_timeout(week))?;
    // The first one after a change builds the view that the others share.
    drop(member.nodes());
    let mut times = Vec::new();
    let mut allocations = 0;
    for _ in 0..RUNS {
        let began = Instant::now();
        let counted = allocation_counter::measure(|| {
            (0..READS).for_each(|_| drop(std::hint::black_box(member.nodes())))
        });
        times.push(began.elapsed() / READS);
        allocations += counted.count_total;
    }
    let time = median(times);
    row(
        "nothing changes: time, and allocations of all calls",
        &format!("{} ns, {allocations}", time.as_nanos()),
    );
    row("  claimed", &format!("{} ns, 0", READ_MAX.as_nanos()));
    Ok(time <= READ_MAX && allocations == 0)
}

// ---- How fast a member answers ----

fn measure_echoes() -> AnyResult<bool> {
    println!(
        "\nA thread that blocks in its socket asks another one {ECHOES} times, {PING_SIZE} bytes each way\n"
    );
    let mut ratios = Vec::new();
    for _ in 0..ECHO_RUNS {
        let bare = echo_of_a_socket()?;
        let answers = echo_of_a_member()?;
        row("a socket sends it back; a member answers a ping", &format!("{bare:.0}; {answers:.0} a second"));
        ratios.push(answers / bare);
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    row("the member's share, median", &format!("{:.0} %", ratio * 100.0));
    row("  claimed: at least", &format!("{:.0} %", ECHO_MIN * 100.0));
    Ok(ratio >= ECHO_MIN)
}

/// How many answers a second come from a thread that sends back what it gets.
fn echo_of_a_socket() -> AnyResult<f64> {
    let (client, server) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let server_addr = server.local_addr()?;
    let is_over = Arc::new(AtomicBool::new(false));
    let echo = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || -> std::io::Result<()> {
            let mut buf = [0; 2_048];
            while !is_over.load(Ordering::Relaxed) {
                let (len, from) = server.recv_from(&mut buf)?;
                server.send_to(&buf[..len], from)?;
            }
            Ok(())
        })
    };
    let mut buf = [0; 2_048];
    let began = Instant::now();
    for _ in 0..ECHOES {
        client.send_to(&[7; PING_SIZE], server_addr)?;
        client.recv_from(&mut buf)?;
    }
    let rate = f64::from(ECHOES) / began.elapsed().as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    client.send_to(&[0], server_addr)?;
    echo.join().map_err(|_| "a thread panicked")??;
    Ok(rate)
}

/// How many pings a second a member answers. Who asks is the protocol of a member, too, on this one thread.
fn echo_of_a_member() -> AnyResult<f64> {
    let member = Member::create(Config::lan().name("answers").bind("127.0.0.1:0"))?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let origin = Instant::now();
    let mut asking = Asking {
        core: Core::new(Duration::ZERO, "asks", socket.local_addr()?)?,
        socket,
        origin,
        datagrams: Vec::new(),
    };
    asking.core.join(Duration::ZERO, member.addr());
    asking.until_answered()?;
    let began = Instant::now();
    for _ in 0..ECHOES {
        asking.core.ping(origin.elapsed(), "answers")?;
        asking.until_answered()?;
    }
    Ok(f64::from(ECHOES) / began.elapsed().as_secs_f64())
}

/// A member without threads.
struct Asking {
    core: Core,
    socket: UdpSocket,
    origin: Instant,
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
}

impl Asking {
    /// Sends what there is to send and handles what comes, until a call is answered.
    fn until_answered(&mut self) -> AnyResult<()> {
        let mut buf = [0; 2_048];
        loop {
            let answered = self.core.drain(&mut self.datagrams);
            for (to, datagram) in self.datagrams.drain(..) {
                self.socket.send_to(&datagram, to)?;
            }
            if answered > 0 {
                return Ok(());
            }
            let (len, from) = self.socket.recv_from(&mut buf)?;
            self.core.receive(self.origin.elapsed(), from, &buf[..len]);
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
