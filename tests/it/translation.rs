//! Members behind a router that translates addresses: network namespaces of Linux, with nftables. They need root, `ip`
//! (iproute2) and `nft`; without these each test says so and is not run.
//!
//! ```text
//!  x0, x1, x2  172.17.0.2 … 4 ── router: mapped ports 9000 … 9002 ── 10.7.0.1 ── o0, o1, o2  10.7.0.10 … 12
//! ```

#![expect(clippy::print_stdout, reason = "it says what is not run, and what was measured")]

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use headcount::{Config, Error, Event, Member};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::rig::{eventually, wait_for_count};

/// How long a message may take that does not arrive.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs a command, and gives it this to read.
fn run(command: &str, input: &str) -> Result<(), String> {
    let mut words = command.split(' ');
    let mut child = Command::new(words.next().unwrap());
    child.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().map_err(|error| format!("{command}: {error}"))?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The router, and the hosts at both sides of it.
struct Router {
    prefix: String,
    namespaces: Vec<String>,
}

impl Router {
    /// None, and it is said why, where there are no namespaces or no translation.
    fn new(name: &str, hairpin: bool) -> Option<Self> {
        let mut router = Self { prefix: format!("hct{}{name}", process::id()), namespaces: Vec::new() };
        match router.build(hairpin) {
            Ok(()) => Some(router),
            Err(reason) => {
                println!("not run: no translation in namespaces here ({reason})");
                None
            }
        }
    }

    fn build(&mut self, hairpin: bool) -> Result<(), String> {
        self.namespace("router")?;
        self.namespace("switch")?;
        for (host, bridge) in [("router", "inside"), ("switch", "br0")] {
            self.set(host, &format!("link add {bridge} type bridge"))?;
            self.set(host, &format!("link set {bridge} up"))?;
        }
        self.set("router", "addr add 172.17.0.1/16 dev inside")?;
        self.plug("router", "switch", "br0", "10.7.0.1/24")?;
        for number in 0..3 {
            let (inside, outside) = (format!("x{number}"), format!("o{number}"));
            self.namespace(&inside)?;
            self.plug(&inside, "router", "inside", &format!("172.17.0.{}/16", number + 2))?;
            self.set(&inside, "route add default via 172.17.0.1")?;
            self.namespace(&outside)?;
            self.plug(&outside, "switch", "br0", &format!("10.7.0.{}/24", number + 10))?;
        }
        let enter = format!("ip netns exec {}", self.name_of("router"));
        run(&format!("{enter} sysctl -qw net.ipv4.ip_forward=1"), "")?;
        let mapped = |number| {
            format!("ip daddr 10.7.0.1 udp dport {} dnat to 172.17.0.{}:7990;", 9_000 + number, number + 2)
        };
        let drops = if hairpin { "" } else { "iifname inside ip daddr 10.7.0.1 drop;" };
        let rules = format!(
            "table ip nat {{
                chain before {{ type filter hook prerouting priority -150; {drops} }}
                chain pre {{ type nat hook prerouting priority -100; {} {} {} }}
                chain post {{ type nat hook postrouting priority 100; ip saddr 172.17.0.0/16 masquerade fully-random; }}
            }}",
            mapped(0),
            mapped(1),
            mapped(2)
        );
        run(&format!("{enter} nft -f -"), &rules)
    }

    /// Makes the router forget each flow that was not used for a second.
    fn forget(&self) -> Result<(), String> {
        let router = self.name_of("router");
        ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"].into_iter().try_for_each(|timeout| {
            run(&format!("ip netns exec {router} sysctl -qw net.netfilter.{timeout}=1"), "")
        })
    }

    fn namespace(&mut self, host: &str) -> Result<(), String> {
        let name = self.name_of(host);
        run(&format!("ip netns add {name}"), "")?;
        self.namespaces.push(name);
        self.set(host, "link set lo up")
    }

    /// Puts an interface of a host at a bridge of another one.
    fn plug(&self, host: &str, other: &str, bridge: &str, address: &str) -> Result<(), String> {
        let namespace = self.name_of(host);
        self.set(other, &format!("link add port-{host} type veth peer name eth0 netns {namespace}"))?;
        self.set(other, &format!("link set port-{host} master {bridge}"))?;
        self.set(other, &format!("link set port-{host} up"))?;
        self.set(host, "link set eth0 up")?;
        self.set(host, &format!("addr add {address} dev eth0"))
    }

    fn set(&self, host: &str, arguments: &str) -> Result<(), String> {
        run(&format!("ip -n {} {arguments}", self.name_of(host)), "")
    }

    fn name_of(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// Starts a member on a host: the threads of a thread that has entered a namespace are in it, too.
    fn start(&self, host: &str, config: Config) -> Member {
        let path = format!("/run/netns/{}", self.name_of(host));
        let entered = move || {
            let namespace = File::open(path).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            Member::create(config).unwrap()
        };
        thread::scope(|scope| scope.spawn(entered).join().unwrap())
    }

    /// Three members inside and three outside, joined by the first one outside.
    fn six(&self) -> Vec<Member> {
        let outside = (0..3).map(|number| self.start(&format!("o{number}"), config(&format!("o{number}"))));
        let inside = (0..3).map(|number| {
            let config = config(&format!("x{number}")).advertise(format!("10.7.0.1:{}", 9_000 + number));
            self.start(&format!("x{number}"), config)
        });
        let members: Vec<Member> = inside.chain(outside).collect();
        for member in members.iter().filter(|member| member.name() != "o0") {
            member.join("10.7.0.10:7990").unwrap();
        }
        members.iter().for_each(|member| wait_for_count(member, 6));
        members
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = run(&format!("ip netns del {namespace}"), "");
        }
    }
}

fn config(name: &str) -> Config {
    let number: u8 = name[1..].parse().unwrap();
    let bind =
        if name.starts_with('o') { format!("10.7.0.{}:7990", number + 10) } else { ":7990".to_owned() };
    let config = Config::local().cluster("translation").name(name).bind(bind).on_event(|_, _| {});
    // A machine that is busy with all the tests at once is late by more than the local profile forgives.
    let config = config.probe_interval(Duration::from_millis(500)).probe_timeout(Duration::from_millis(250));
    config.send_timeout(SEND_TIMEOUT).join_timeout(Duration::from_secs(3))
}

/// The pairs between which no message arrives.
fn failed_sends(members: &[Member]) -> Vec<(String, String)> {
    let mut failed = Vec::new();
    for from in members {
        for to in members.iter().filter(|to| to.name() != from.name()) {
            let since = Instant::now();
            match from.send(to.name(), &[7; 3_000]) {
                Ok(()) => {}
                Err(Error::Timeout) => failed.push((from.name().to_owned(), to.name().to_owned())),
                Err(error) => panic!("{} to {}: {error}", from.name(), to.name()),
            }
            assert!(since.elapsed() < 2 * SEND_TIMEOUT, "{} to {}", from.name(), to.name());
        }
    }
    failed
}

#[test]
fn three_behind_a_router_and_three_outside_are_one_cluster() {
    let Some(router) = Router::new("h", true) else {
        return;
    };
    let mut members = router.six();
    assert_eq!(failed_sends(&members), []);
    router.forget().unwrap();
    let streams: Vec<_> = members.iter().map(|member| (member.name().to_owned(), member.events())).collect();
    thread::sleep(Duration::from_secs(5));
    assert_eq!(failed_sends(&members), []);
    for killed in ["x0", "o2"] {
        members.retain(|member| member.name() != killed);
        eventually("all have noticed the crash", || {
            members.iter().all(|member| member.nodes().get(killed).is_none())
        });
    }
    thread::sleep(Duration::from_secs(5));
    assert!(members.iter().all(|member| member.nodes().len() == 4));
    for (name, events) in streams.iter().filter(|(name, _)| !["x0", "o2"].contains(&&**name)) {
        let died: Vec<String> = events
            .try_iter()
            .filter(|event| matches!(event, Event::Died { .. }))
            .map(|event| event.node().unwrap().name().to_owned())
            .collect();
        assert_eq!(died, ["x0", "o2"], "at {name}");
    }
}

#[test]
fn without_a_hairpin_those_behind_a_router_are_alive_by_relays_and_have_no_messages() {
    let Some(router) = Router::new("n", false) else {
        return;
    };
    let members = router.six();
    thread::sleep(Duration::from_secs(5));
    let failed = failed_sends(&members);
    assert_eq!(failed.len(), 6, "{failed:?}");
    for (from, to) in failed {
        assert!(from.starts_with('x') && to.starts_with('x'), "{from} to {to}");
        let from = members.iter().find(|member| member.name() == from).unwrap();
        let reach = from.reach();
        let peer = reach.peers().iter().find(|peer| peer.name() == to).unwrap();
        assert!(peer.relay().is_some() && peer.answered().is_none(), "{peer:?}");
    }
    assert!(members.iter().all(|member| member.nodes().len() == 6));
}

/// The join was Ok, both were alive, and 12 of 14 probes were void.
#[test]
fn a_container_that_advertises_its_own_address_is_not_let_in_and_is_told_why() {
    let Some(router) = Router::new("c", true) else {
        return;
    };
    let seed = router.start("o0", config("o0"));
    for (advertised, expected) in [(None, "172.17.0.2:7990"), (Some("10.7.0.1:9999"), "10.7.0.1:9999")] {
        let config = config("x0");
        let config = match advertised {
            Some(addr) => config.advertise(addr),
            None => config,
        };
        let x = router.start("x0", config);
        let since = Instant::now();
        let Err(Error::Join(reasons)) = x.join("10.7.0.10:7990") else { panic!("it is let in") };
        println!("after {:?}: {}", since.elapsed(), reasons[0].1);
        assert!(since.elapsed() < Duration::from_secs(4));
        let Error::Unreachable { advertised, seen } = &reasons[0].1 else { panic!("{reasons:?}") };
        assert_eq!(*advertised, expected.parse::<SocketAddr>().unwrap());
        assert_eq!(seen.ip().to_string(), "10.7.0.1");
        assert_eq!(x.reach().seen(), Some(*seen));
        assert_eq!(seed.nodes().len(), 1);
    }
}

/// Five of 300 writes came within 50 s, and a sync a second in vain.
#[test]
fn a_path_for_1380_bytes_that_says_nothing_carries_all_writes() {
    let Some(router) = Router::new("p", true) else {
        return;
    };
    router.set("router", "link set inside mtu 1380").unwrap();
    router.set("x0", "link set eth0 mtu 1380").unwrap();
    let enter = format!("ip netns exec {}", router.name_of("router"));
    let silent = "table ip silent {
        chain out { type filter hook output priority 0; ip protocol icmp drop; }
    }";
    run(&format!("{enter} nft -f -"), silent).unwrap();
    let o0 = router.start("o0", config("o0"));
    let x0 = router.start("x0", config("x0").advertise("10.7.0.1:9000"));
    for number in 0..150 {
        o0.set(&format!("key {number}"), [7; 150]).unwrap();
    }
    x0.join("10.7.0.10:7990").unwrap();
    for number in 150..300 {
        o0.set(&format!("key {number}"), [7; 150]).unwrap();
    }
    let since = Instant::now();
    eventually("all writes have come", || x0.node("o0").is_some_and(|node| node.state().count() == 300));
    println!("300 of 300 writes after {:?}; largest {}", since.elapsed(), x0.reach().peers()[0].largest());
    o0.send("x0", &[7; 100_000]).unwrap();
}
