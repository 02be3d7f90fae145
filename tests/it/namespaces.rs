//! Members on hosts that have networks of their own: network namespaces of Linux, made here and removed again, also on
//! failure. They need root and the `ip` command (iproute2); without these each test says so and is not run.
//!
//! A thread that has entered a namespace stays in it, and so do the threads that it starts: members that are made there
//! live there.

#![expect(clippy::print_stdout, reason = "it says what is not run, and what was measured")]

use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use headcount::transport::{Open, Udp, Wanted};
use headcount::{Config, Error, Event, Member};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::rig::{eventually, names, wait_for_count};

/// Runs the `ip` command.
fn ip(arguments: &str) -> Result<(), String> {
    let run = Command::new("ip").args(arguments.split(' ')).output();
    let output = run.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Hosts on one switch.
struct Network {
    /// What the names of its namespaces begin with.
    prefix: String,
    namespaces: Vec<String>,
}

impl Network {
    /// A switch without hosts. None, and it is said why, where there are no namespaces.
    fn new(name: &str) -> Option<Self> {
        let mut network = Self { prefix: format!("hc{}{name}", process::id()), namespaces: Vec::new() };
        let made = network.namespace("switch");
        match made.and_then(|switch| ip(&format!("-n {switch} link add br0 type bridge"))) {
            Ok(()) => {
                network.set("switch", "link set br0 up");
                Some(network)
            }
            Err(reason) => {
                println!("not run: no network namespaces here ({reason})");
                None
            }
        }
    }

    fn namespace(&mut self, host: &str) -> Result<String, String> {
        let name = self.name_of(host);
        ip(&format!("netns add {name}"))?;
        self.namespaces.push(name.clone());
        ip(&format!("-n {name} link set lo up"))?;
        Ok(name)
    }

    fn name_of(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// Adds a host, whose interface `lan0` is at the switch and has these addresses.
    fn add(&mut self, host: &str, addresses: &[&str]) {
        let namespace = self.namespace(host).unwrap();
        self.set("switch", &format!("link add port-{host} type veth peer name lan0 netns {namespace}"));
        self.set("switch", &format!("link set port-{host} master br0 up"));
        self.set(host, "link set lan0 up");
        for address in addresses {
            // An address of IPv6 is used at once, without asking whether another host has it.
            let nodad = if address.contains(':') { " nodad" } else { "" };
            self.set(host, &format!("addr add {address} dev lan0{nodad}"));
        }
    }

    /// Changes something at a host.
    fn set(&self, host: &str, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.name_of(host))).unwrap();
    }

    /// Runs something on a host.
    fn on<T: Send>(&self, host: &str, body: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name_of(host));
        let entered = move || {
            let namespace = File::open(path).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            body()
        };
        thread::scope(|scope| scope.spawn(entered).join().unwrap())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = ip(&format!("netns del {namespace}"));
        }
    }
}

/// A member of all interfaces, that notices crashes within seconds.
fn config(name: &str) -> Config {
    Config::local().cluster("namespaces").name(name).bind("0.0.0.0:7990").join_timeout(Duration::from_secs(5))
}

/// The addresses of all nodes, in the order of their names, as a member sees them.
fn addrs(member: &Member) -> Vec<String> {
    member.nodes().iter().map(|node| node.addr().to_string()).collect()
}

/// Virtual machines often have a network each for the way out, in which each has the same address. All three told
/// 10.0.2.15: each pinged itself, a killed one was alive 240 s later, and others flapped.
#[test]
fn hosts_whose_default_routes_lead_elsewhere_are_members_at_the_addresses_that_reach_their_seed() {
    let Some(mut network) = Network::new("two") else { return };
    let hosts = ["a", "b", "c"];
    for (host, address) in hosts.iter().zip(["192.168.56.10/24", "192.168.56.11/24", "192.168.56.12/24"]) {
        network.add(host, &[address]);
        network.set(host, "link add out0 type veth peer name out1");
        network.set(host, "addr add 10.0.2.15/24 dev out0");
        network.set(host, "link set out0 up");
        network.set(host, "link set out1 up");
        network.set(host, "route add default via 10.0.2.2 dev out0");
    }
    let seed = "192.168.56.10:7990";
    let a = network.on("a", || Member::create(config("a")).unwrap());
    assert_eq!(a.addr().to_string(), "10.0.2.15:7990");
    let b = network.on("b", || Member::create(config("b")).unwrap().join(seed).unwrap());
    let c = network.on("c", || Member::create(config("c").seeds(seed)).unwrap());
    let expected = ["192.168.56.10:7990", "192.168.56.11:7990", "192.168.56.12:7990"];
    for member in [&a, &b, &c] {
        wait_for_count(member, 3);
        assert_eq!(addrs(member), expected, "{}", member.name());
    }
    c.shutdown().unwrap();
    for member in [&a, &b] {
        wait_for_count(member, 2);
        assert_eq!(names(member), ["a", "b"]);
    }
}

/// A member of both families told the address of its default route, which was of IPv6: the seed could not send there.
#[test]
fn a_member_of_both_families_is_reached_by_a_seed_of_one() {
    let Some(mut network) = Network::new("six") else { return };
    network.add("a", &["10.5.0.1/24"]);
    network.add("b", &["10.5.0.2/24", "fd00::2/64"]);
    network.set("b", "-6 route add default via fd00::1 dev lan0");
    let a = network.on("a", || Member::create(config("a")).unwrap());
    let both = || config("b").bind("[::]:7990");
    let b = network.on("b", || Member::create(both()).unwrap());
    assert_eq!(b.addr().to_string(), "[fd00::2]:7990");
    let b = network.on("b", || b.join("10.5.0.1:7990").unwrap());
    wait_for_count(&a, 2);
    assert_eq!(addrs(&a), ["10.5.0.1:7990", "10.5.0.2:7990"]);
    assert_eq!(addrs(&b), addrs(&a));
}

/// Datagrams to unused addresses of the local network wait in the send buffer for ARP. When it was full, each
/// send blocked for 10 to 17 ms in the thread that answers pings, and the others declared the joiner dead.
#[test]
fn a_member_that_asks_400_dead_addresses_answers_others_at_once() {
    let Some(mut network) = Network::new("many") else { return };
    for (host, address) in [("a", "10.5.9.1/16"), ("b", "10.5.9.2/16"), ("c", "10.5.9.3/16")] {
        network.add(host, &[address]);
    }
    let dead: Vec<String> =
        (0..400).map(|host| format!("10.5.{}.{}:7990", 1 + host / 200, 1 + host % 200)).collect();
    let seeds: Vec<String> = dead.iter().cloned().chain(["10.5.9.1:7990".to_owned()]).collect();
    let a = network.on("a", || Member::create(config("a")).unwrap());
    let c = network.on("c", || Member::create(config("c")).unwrap().join("10.5.9.1:7990").unwrap());
    let events = a.events();
    let begun = Instant::now();
    let b = network.on("b", || Member::create(config("b")).unwrap().join(&seeds).unwrap());
    println!("joined after {:?}", begun.elapsed());
    let asked = b.metrics().datagrams_sent;
    let mut pings: Vec<Duration> = Vec::new();
    network.on("b", || {
        let asking = || {
            let failed = b.join(&dead);
            assert!(failed.is_err());
        };
        thread::scope(|scope| {
            let asking = scope.spawn(asking);
            while !asking.is_finished() {
                pings.push(a.ping("b").unwrap());
                pings.push(b.ping("c").unwrap());
                thread::sleep(Duration::from_millis(20));
            }
        });
    });
    pings.sort_unstable();
    let (median, longest) = (pings[pings.len() / 2], pings[pings.len() - 1]);
    println!("{} pings: median {median:?}, longest {longest:?}", pings.len());
    println!("sent {asked}, then {}; {} dropped", b.metrics().datagrams_sent, b.metrics().sends_dropped);
    let is_bad = |event: &Event| matches!(event, Event::Suspected(_) | Event::Died { .. });
    let bad: Vec<Event> = events.try_iter().filter(is_bad).collect();
    assert!(bad.is_empty(), "{bad:?}");
    // Alone on two cores: 0.1 ms, and 2 ms at most. It was 10 ms and more for each.
    assert!(median <= Duration::from_millis(5), "median {median:?}");
    drop(c);
}

/// Each waited for 10 ms when the send buffer was full.
#[test]
fn no_send_waits_for_room() {
    let Some(mut network) = Network::new("full") else { return };
    network.add("a", &["10.5.0.1/16"]);
    network.on("a", || {
        let socket = Udp::new().open(&Wanted::at("10.5.0.1:7990".parse().unwrap())).unwrap();
        let begun = Instant::now();
        let mut longest = Duration::ZERO;
        let mut dropped = 0;
        for number in 0..2_000_u32 {
            // Few: all namespaces share one table of neighbours.
            let to = SocketAddr::from((Ipv4Addr::from_bits(0x0A05_0100 + number % 16), 7990));
            let sending = Instant::now();
            match socket.send(&[0; 1_000], to) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => dropped += 1,
                Err(error) => panic!("{error}"),
            }
            longest = longest.max(sending.elapsed());
        }
        println!("{dropped} of 2000 dropped, in {:?}, longest {longest:?}", begun.elapsed());
        assert!((1..2_000).contains(&dropped));
        assert!(begun.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn a_member_is_bound_and_advertised_by_network_or_by_interface() {
    let Some(mut network) = Network::new("by") else { return };
    network.add("a", &["192.168.56.10/24"]);
    network.set("a", "link add out0 type veth peer name out1");
    network.set("a", "addr add 10.0.2.15/24 dev out0");
    network.set("a", "link set out0 up");
    let addr = |config: Config| {
        network.on("a", move || Member::create(config).map(|member| member.addr().to_string()))
    };
    assert_eq!(addr(config("a").bind("%lan0:7991")).unwrap(), "192.168.56.10:7991");
    assert_eq!(addr(config("a").bind("10.0.2.0/24")).unwrap(), "10.0.2.15:7990");
    assert_eq!(addr(config("a").advertise("%out0")).unwrap(), "10.0.2.15:7990");
    assert_eq!(addr(config("a").advertise("192.168.0.0/16:9001")).unwrap(), "192.168.56.10:9001");
    for config in
        [config("a").bind("%lan1"), config("a").bind("172.16.0.0/12"), config("a").advertise("%lan1")]
    {
        let error = addr(config).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }

    // The interface gets another address.
    let a = network.on("a", || {
        Member::create(config("a").advertise("%lan0").rejoin_interval(Duration::from_millis(200)))
    });
    let a = a.unwrap();
    network.set("a", "addr del 192.168.56.10/24 dev lan0");
    network.set("a", "addr add 192.168.56.20/24 dev lan0");
    eventually("it has moved", || a.addr().to_string() == "192.168.56.20:7990");
}

/// What such a member announced by mDNS had no address, nobody found it, and no error said so.
#[cfg(feature = "mdns")]
#[test]
fn members_that_advertise_addresses_of_other_networks_are_found_by_mdns() {
    use headcount::discovery::Mdns;

    let Some(mut network) = Network::new("mdns") else { return };
    for (host, address, other) in [("a", 1, 2), ("b", 2, 1)] {
        network.add(host, &[&format!("192.168.56.{address}/24")]);
        network.set(host, &format!("addr add 10.99.0.{address}/32 dev lo"));
        network.set(host, &format!("route add 10.99.0.{other} via 192.168.56.{other}"));
    }
    let member = |host: &str, address: &str| {
        let config = config(host).advertise(address).rejoin_interval(Duration::from_secs(1));
        network.on(host, || Member::create(config.discovery(Mdns::new())).unwrap())
    };
    let (a, b) = (member("a", "10.99.0.1:7990"), member("b", "10.99.0.2:7990"));
    wait_for_count(&a, 2);
    wait_for_count(&b, 2);
    assert_eq!(addrs(&a), ["10.99.0.1:7990", "10.99.0.2:7990"]);
}
