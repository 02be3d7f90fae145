//! Members that find each other by multicast alone: six hosts on one switch (network namespaces on a bridge), with one
//! process each and with ten each. Counts what is said to the group. At last one host gets another address.
//!
//!     cargo bench --bench finding              # needs root and the `ip` command (iproute2)
//!     cargo bench --bench finding -- 10        # listens for 10 s more, not for 60
//!
//! No member knows an address of another one. The namespaces are made here and removed again, also on failure; all
//! addresses live inside them. Prints a table; the exit code tells whether all found each other, and whether more was
//! said than has to be, and whether the one that moved was taken for dead. Without root or `ip` it says so and measures
//! nothing.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

mod fleet;
mod namespaces;

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{self, Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fleet::{AnyResult, Fleet, What, now, row, spread};
use namespaces::{Janitor, ip, launcher};
use socket2::{Domain, Protocol, Socket, Type};

const HOSTS: usize = 6;
/// How long is listened for what is said when all know each other.
const CALM: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(60);
/// What the docs say: one question per rejoin_interval in the whole cluster, or two because the pauses vary by half.
const QUESTIONS_PER_10_S: u64 = 3;
/// Announcements a member until all know each other: its first question, an answer, and again each for luck.
const ANNOUNCEMENTS_A_MEMBER: u64 = 4;

/// The group and port that are used unless one says otherwise.
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 104, 99);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x6863);
const PORT: u16 = 7991;

/// The first argument of a process that counts what is said.
const AS_EAR: &str = "--as-ear";

fn main() -> ExitCode {
    fleet::main(run)
}

/// True if everything went as it should.
fn run(numbers: &[u64]) -> AnyResult<Option<String>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [AS_EAR, own, index] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return listen(own.parse()?, index.parse()?).map(|()| None);
    }
    let calm = numbers.first().map_or(CALM, |seconds| Duration::from_secs(*seconds));
    let network = match Network::new() {
        Ok(network) => network,
        Err(reason) => {
            println!("not run: no network namespaces here ({reason})");
            return Ok(None);
        }
    };
    let mut is_right = true;
    is_right &= measure(&network, "IPv4", 1, calm, Network::v4)?;
    is_right &= measure(&network, "IPv6", 1, calm, Network::v6)?;
    is_right &= measure(&network, "IPv4", 10, calm, Network::v4)?;
    is_right &= measure_move(&network)?;
    Ok((!is_right).then(|| "Not all have found each other, or too much was said.".to_owned()))
}

/// Starts so many members on each host, at once.
fn measure(
    network: &Network,
    family: &str,
    members_a_host: usize,
    calm: Duration,
    addr: fn(usize) -> IpAddr,
) -> AnyResult<bool> {
    let members = HOSTS * members_a_host;
    println!("{members} members on {HOSTS} hosts, {family}, LAN profile\n");
    let mut ear = Ear::start(&network.hosts[0], addr(0), network.index)?;
    let mut fleet = Fleet::new();
    let began = now();
    for index in 0..members {
        let host = index % HOSTS;
        let bind = SocketAddr::new(addr(host), 0).to_string();
        fleet.start_with_multicast(&launcher(&network.hosts[host]), &format!("m{index}"), &bind)?;
    }
    row("from the first start to the last", &seconds(now() - began));
    let equal = fleet.wait_for_equal_views(members, began, LIMIT)?;
    row("until all views are equal and complete", &equal.map_or("never".into(), seconds));
    let (questions, answers) = ear.counts()?;
    row("  questions, answers until then", &format!("{questions}, {answers}"));

    fleet.watch(calm);
    let (later_questions, later_answers) = ear.counts()?;
    let (later_questions, later_answers) = (later_questions - questions, later_answers - answers);
    row(&format!("  in the next {} s", calm.as_secs()), &format!("{later_questions}, {later_answers}"));
    let deaths =
        fleet.log.iter().filter(|told| matches!(&told.what, What::Event { word, .. } if word == "died"));
    let deaths = deaths.count();
    row("deaths reported", &deaths.to_string());
    println!();

    let few = questions + answers <= ANNOUNCEMENTS_A_MEMBER * members as u64
        && later_questions <= QUESTIONS_PER_10_S * (calm.as_secs() / 10 + 1)
        && later_answers == 0;
    Ok(equal.is_some() && few && deaths == 0)
}

/// A host gets another address while its member runs.
fn measure_move(network: &Network) -> AnyResult<bool> {
    println!("{HOSTS} members, bound to all interfaces; one host gets another address\n");
    let mut fleet = Fleet::new();
    let began = now();
    for (host, namespace) in network.hosts.iter().enumerate() {
        fleet.start_with_multicast(&launcher(namespace), &format!("m{host}"), "0.0.0.0:7990")?;
    }
    if fleet.wait_for_equal_views(HOSTS, began, LIMIT)?.is_none() {
        return Ok(false);
    }
    let (since, from) = (now(), fleet.log.len());
    let mover = HOSTS - 1;
    network.renumber(mover, Network::v4(100))?;
    let name = format!("m{mover}");
    let moves = |fleet: &Fleet| -> Vec<Duration> {
        let told = fleet.log[from..].iter().filter(|told| told.is_event("moved", &name));
        told.map(|told| told.at.saturating_sub(since)).collect()
    };
    fleet.wait(LIMIT, |fleet| moves(fleet).len() == HOSTS - 1);
    row("until the others have seen it move (least / middle / greatest)", &spread(moves(&fleet)));
    let equal = fleet.wait_for_equal_views(HOSTS, since, LIMIT)?;
    row("until all views are equal again", &equal.map_or("never".into(), seconds));
    let deaths = fleet.log[from..].iter();
    let deaths =
        deaths.filter(|told| matches!(&told.what, What::Event { word, .. } if word == "died")).count();
    row("deaths reported", &deaths.to_string());
    Ok(moves(&fleet).len() == HOSTS - 1 && equal.is_some() && deaths == 0)
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

// ---- Who counts ----

/// A process inside the first host that counts announcements.
struct Ear {
    process: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Ear {
    fn start(namespace: &str, own: IpAddr, index: u32) -> AnyResult<Self> {
        let program = env::current_exe()?;
        let mut words = launcher(namespace).into_iter();
        let mut process = Command::new(words.next().unwrap_or_default())
            .args(words)
            .arg(program)
            .args([AS_EAR, &own.to_string(), &index.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = process.stdin.take().ok_or("no standard input")?;
        let told = BufReader::new(process.stdout.take().ok_or("no standard output")?);
        let mut ear = Self { process, ask, told };
        // It listens when it has answered.
        ear.counts()?;
        Ok(ear)
    }

    /// Questions and answers so far.
    fn counts(&mut self) -> AnyResult<(u64, u64)> {
        writeln!(self.ask)?;
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        let (questions, answers) = line.trim().split_once(' ').ok_or("the ear does not answer")?;
        Ok((questions.parse()?, answers.parse()?))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Counts announcements until the input ends, and tells the counts for each line of it.
fn listen(own: IpAddr, index: u32) -> AnyResult<()> {
    let group: IpAddr = if own.is_ipv4() { GROUP_V4.into() } else { GROUP_V6.into() };
    let addr = SocketAddr::new(group, PORT);
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    let any: IpAddr = if own.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    socket.bind(&SocketAddr::new(any, PORT).into())?;
    match own {
        IpAddr::V4(own) => socket.join_multicast_v4(&GROUP_V4, &own)?,
        IpAddr::V6(_) => socket.join_multicast_v6(&GROUP_V6, index)?,
    }
    let counts: Arc<[AtomicU64; 2]> = Arc::default();
    let counting = Arc::clone(&counts);
    thread::spawn(move || {
        let socket = UdpSocket::from(socket);
        let mut announcement = [0; 64];
        while let Ok(length) = socket.recv(&mut announcement) {
            if let [0x68, 0x64, 1, kind @ (1 | 2), ..] = announcement[..length] {
                counting[usize::from(kind) - 1].fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for line in io::stdin().lines() {
        line?;
        let [questions, answers] = [0, 1].map(|kind| counts[kind].load(Ordering::Relaxed));
        println!("{questions} {answers}");
    }
    Ok(())
}

// ---- The network ----

/// Hosts on one switch, each a namespace with one interface. Removed when dropped.
struct Network {
    hosts: Vec<String>,
    /// The number of the interface on each host.
    index: u32,
    _janitor: Janitor,
}

impl Network {
    fn new() -> AnyResult<Self> {
        let id = process::id();
        let switch = format!("headcount-{id}-switch");
        let hosts: Vec<String> = (0..HOSTS).map(|host| format!("headcount-{id}-host{host}")).collect();
        ip("netns list")?;
        let everything: Vec<String> = hosts.iter().chain([&switch]).cloned().collect();
        let network = Self { _janitor: Janitor::hire(&everything)?, hosts, index: 7 };

        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        for (host, namespace) in network.hosts.iter().enumerate() {
            let (v4, v6, index) = (Self::v4(host), Self::v6(host), network.index);
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            // Made inside the namespaces, so that the host's own interfaces stay as they are.
            ip(&format!(
                "-n {namespace} link add eth0 index {index} type veth peer name port{host} netns {switch}"
            ))?;
            ip(&format!("-n {switch} link set port{host} master br0"))?;
            ip(&format!("-n {switch} link set port{host} up"))?;
            ip(&format!("-n {namespace} addr add {v4}/24 dev eth0"))?;
            ip(&format!("-n {namespace} addr add {v6}/64 dev eth0 nodad"))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} route add default dev eth0"))?;
        }
        Ok(network)
    }

    /// Takes the addresses of a host away and gives it this one.
    fn renumber(&self, host: usize, addr: IpAddr) -> AnyResult<()> {
        let namespace = &self.hosts[host];
        ip(&format!("-n {namespace} addr flush dev eth0"))?;
        ip(&format!("-n {namespace} addr add {addr}/24 dev eth0"))?;
        ip(&format!("-n {namespace} route add default dev eth0"))
    }

    /// Inside the namespaces only.
    fn v4(host: usize) -> IpAddr {
        Ipv4Addr::new(10, 213, 78, 1 + u8::try_from(host).unwrap_or(u8::MAX)).into()
    }

    fn v6(host: usize) -> IpAddr {
        Ipv6Addr::new(0xfd13, 0x78, 0, 0, 0, 0, 0, 1 + u16::try_from(host).unwrap_or(u16::MAX)).into()
    }
}
