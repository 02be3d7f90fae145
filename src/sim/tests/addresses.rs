//! Hosts with several addresses, and translators.

use std::net::SocketAddr;

use super::{cluster, secs};
use crate::config::Config;
use crate::member::Member;
use crate::sim::{Cluster, Translator};

fn at(addr: &str) -> SocketAddr {
    addr.parse().unwrap()
}

fn config(name: &str) -> Config {
    Config::lan().name(name).join_timeout(secs(2))
}

fn start(cluster: &Cluster, name: &str) -> Member {
    cluster.add(config(name)).unwrap()
}

/// Whether a datagram from one address inside comes through to another one: what a ping of the network would show.
fn routes(cluster: &Cluster, from: &str, to: &str) -> Option<(String, SocketAddr)> {
    let mut world = cluster.sim.world();
    let sender = world.index_of(from).unwrap();
    let own = world.hosts[sender].source_towards(at(to)).unwrap();
    let (host, source) = world.destination(sender, own, at(to))?;
    Some((world.hosts[host].name.clone(), source))
}

#[test]
fn a_host_receives_at_all_of_its_addresses_and_sends_from_the_nearest() {
    let cluster = Cluster::new(1);
    cluster.addresses("b", [at("10.1.0.2:7990"), at("192.168.7.2:7990"), at("[2001:db8::2]:7990")]);
    let b = start(&cluster, "b");
    cluster.addresses("a", [at("192.168.7.1:7990")]);
    let a = start(&cluster, "a");
    cluster.addresses("c", [at("[2001:db8::3]:7990")]);
    let c = start(&cluster, "c");
    assert_eq!(b.addr(), at("10.1.0.2:7990"));
    a.join("192.168.7.2:7990").unwrap();
    assert_eq!(a.node("b").unwrap().addr(), b.addr());
    assert_eq!(b.node("a").unwrap().addr(), at("192.168.7.1:7990"));
    for (to, from) in [("192.168.7.1:7990", "192.168.7.2:7990"), ("[2001:db8::3]:7990", "[2001:db8::2]:7990")]
    {
        let name = if to.starts_with('[') { "c" } else { "a" };
        assert_eq!(routes(&cluster, "b", to), Some((name.to_owned(), at(from))));
    }
    drop(c);
    let cut = |cluster: &Cluster| {
        let before = cluster.fates().cut;
        cluster.run(secs(3));
        cluster.fates().cut > before
    };
    assert!(!cut(&cluster));
    cluster.cut_address("a", at("10.1.0.2:7990"));
    assert!(cut(&cluster));
    cluster.heal();
    assert!(!cut(&cluster));
}

#[test]
fn an_address_of_a_family_that_no_address_of_the_host_has_is_refused() {
    let cluster = Cluster::new(1);
    cluster.addresses("a", [at("10.1.0.2:7990"), at("192.168.7.2:7990")]);
    let a = start(&cluster, "a");
    assert!(a.join("[2001:db8::2]:7990").is_err());
    assert!(a.metrics().socket_errors > 0);
}

#[test]
fn a_host_that_gets_other_addresses_while_it_runs_moves() {
    let (cluster, members) = cluster(2, 4);
    cluster.addresses("n3", [at("10.9.0.1:7990"), at("10.9.0.2:7990")]);
    cluster.assert_converged();
    assert_eq!(members[0].node("n3").unwrap().addr(), at("10.9.0.1:7990"));
}

#[test]
#[should_panic(expected = "another host has an address of \"b\"")]
fn two_hosts_on_one_network_do_not_share_an_address() {
    let cluster = Cluster::new(1);
    let _a = start(&cluster, "a");
    cluster.addresses("b", [at("10.0.0.1:7990")]);
}

#[test]
fn what_is_behind_a_translator_is_reached_when_it_has_asked() {
    let cluster = Cluster::new(1);
    let _a = start(&cluster, "a");
    let _b = start(&cluster, "b");
    let router = Translator::new([203, 0, 113, 1]).forget_after(secs(10));
    cluster.translate(&["x", "y"], router);
    let _x = start(&cluster, "x");
    let _y = start(&cluster, "y");
    // Its own address means nothing outside.
    assert_eq!(routes(&cluster, "a", "10.0.0.3:7990"), None);
    assert_eq!(routes(&cluster, "y", "10.0.0.3:7990"), Some(("x".to_owned(), at("10.0.0.4:7990"))));
    assert_eq!(routes(&cluster, "a", "203.0.113.1:20000"), None);

    let outside = at("203.0.113.1:20000");
    assert_eq!(routes(&cluster, "x", "10.0.0.1:7990"), Some(("a".to_owned(), outside)));
    assert_eq!(routes(&cluster, "x", "10.0.0.2:7990"), Some(("b".to_owned(), outside)), "one port for all");
    assert_eq!(routes(&cluster, "y", "10.0.0.1:7990").unwrap().1.port(), 20_001);
    assert_eq!(routes(&cluster, "a", "203.0.113.1:20000").unwrap().0, "x");
    assert_eq!(routes(&cluster, "b", "203.0.113.1:20001"), None, "y has asked nobody but a");
    cluster.run(secs(11));
    assert_eq!(routes(&cluster, "a", "203.0.113.1:20000"), None, "it is forgotten");

    assert_eq!(routes(&cluster, "x", "10.0.0.1:7990").unwrap().1.port(), 20_002);
    cluster.flush("x");
    assert_eq!(routes(&cluster, "a", "203.0.113.1:20002"), None);
    assert_eq!(routes(&cluster, "x", "10.0.0.1:7990").unwrap().1.port(), 20_003);
    cluster.translate(&["x"], None);
    assert_eq!(routes(&cluster, "a", "10.0.0.3:7990").unwrap().0, "x");
}

#[test]
fn a_translator_may_give_a_port_to_each_destination_let_all_in_or_keep_ports() {
    let cluster = Cluster::new(1);
    let _a = start(&cluster, "a");
    let _b = start(&cluster, "b");
    let address = |last| Translator::new([203, 0, 113, last]);
    cluster.translate(&["each"], address(1).per_destination(true));
    cluster.translate(&["open"], address(2).open(true));
    cluster.translate(&["kept", "late"], address(3).keep_ports(true));
    let _members = ["each", "open", "kept", "late"].map(|name| start(&cluster, name));
    let port = |from: &str, to: &str| routes(&cluster, from, to).unwrap().1.port();
    assert_eq!((port("each", "10.0.0.1:7990"), port("each", "10.0.0.2:7990")), (20_000, 20_001));
    assert_eq!(port("each", "10.0.0.1:7990"), 20_000);
    assert_eq!(routes(&cluster, "b", "203.0.113.1:20000"), None);

    assert_eq!(port("open", "10.0.0.1:7990"), 20_000);
    assert_eq!(routes(&cluster, "b", "203.0.113.2:20000").unwrap().0, "open");

    assert_eq!(port("kept", "10.0.0.1:7990"), 7_990);
    assert_eq!(port("late", "10.0.0.1:7990"), 20_000, "another host has its port");
}

#[test]
fn a_mapped_port_leads_inside_and_answers_come_from_it() {
    let cluster = Cluster::new(1);
    let a = start(&cluster, "a");
    let bridge = Translator::new([203, 0, 113, 1]).map(9001, "x").map(9002, "y");
    cluster.translate(&["x", "y"], bridge.clone());
    let x = cluster.add(config("x").advertise("203.0.113.1:9001")).unwrap();
    let _y = cluster.add(config("y").advertise("203.0.113.1:9002")).unwrap();
    assert_eq!(routes(&cluster, "a", "203.0.113.1:9001"), Some(("x".to_owned(), a.addr())));
    assert_eq!(routes(&cluster, "x", "10.0.0.1:7990").unwrap().1, at("203.0.113.1:9001"));
    cluster.flush("x");
    assert_eq!(routes(&cluster, "x", "10.0.0.1:7990").unwrap().1, at("203.0.113.1:20000"));
    // The first to send was inside: a mapped port that is used later does not change that.
    assert_eq!(routes(&cluster, "a", "203.0.113.1:9001"), Some(("x".to_owned(), a.addr())));
    assert_eq!(routes(&cluster, "x", "10.0.0.1:7990").unwrap().1, at("203.0.113.1:20000"));
    cluster.run(secs(31));
    assert_eq!(routes(&cluster, "a", "203.0.113.1:9001"), Some(("x".to_owned(), a.addr())));
    assert_eq!(routes(&cluster, "x", "10.0.0.1:7990").unwrap().1, at("203.0.113.1:9001"));
    a.join("x").unwrap();
    assert_eq!(a.node("x").unwrap().addr(), x.addr());

    assert_eq!(routes(&cluster, "y", "203.0.113.1:9001"), None, "it has no hairpin");
    cluster.translate(&["x", "y"], bridge.hairpin(true));
    let through = Some(("x".to_owned(), at("203.0.113.1:20000")));
    assert_eq!(routes(&cluster, "y", "203.0.113.1:9001"), through);
}

#[test]
fn two_networks_behind_translators_may_use_the_same_addresses() {
    let cluster = Cluster::new(1);
    for (number, name) in [(1, "a"), (2, "b")] {
        let site = Translator::new([203, 0, 113, number]).map(7_990, name).keep_ports(true);
        cluster.translate(&[name], site);
        cluster.addresses(name, [at("192.168.1.1:7990")]);
    }
    let a = cluster.add(config("a").advertise("203.0.113.1:7990")).unwrap();
    let b = cluster.add(config("b").advertise("203.0.113.2:7990")).unwrap();
    a.join("b").unwrap();
    cluster.run(secs(30));
    assert!(cluster.is_converged());
    assert_eq!(b.node("a").unwrap().addr(), at("203.0.113.1:7990"));
    assert_eq!(cluster.fates().untranslated, 0);
    assert!(a.join("203.0.113.2:7991").is_err());
    assert!(cluster.fates().untranslated > 0);
}

#[test]
fn translation_goes_the_same_way_each_time() {
    let run = || {
        let cluster = Cluster::new(9);
        let _a = start(&cluster, "a");
        cluster.translate(&["x", "y"], Translator::new([203, 0, 113, 1]).per_destination(true).hairpin(true));
        let members = [start(&cluster, "x"), start(&cluster, "y")];
        for member in members {
            let _ = member.join("a");
            cluster.run(secs(10));
            cluster.flush("y");
        }
        cluster.trace()
    };
    assert_eq!(run(), run());
}
