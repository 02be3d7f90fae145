use super::*;
use crate::config::Config;

const NAT: &str = "10.0.2.15:7990";
const PRIVATE: &str = "192.168.56.11:7990";
const NODE: &str = "192.168.56.10:7990";
const FAR: &str = "203.0.113.9:7990";
const LOOPBACK: &str = "127.0.0.1:7990";

/// A host with these addresses, and networks to which it would send from them, by their first bytes. The default route
/// is the one without any.
struct Host {
    addrs: Vec<&'static str>,
    routes: Vec<(&'static str, &'static str)>,
}

impl Host {
    /// A virtual machine: its default route is to a network that each machine has alike.
    fn virtual_machine() -> Self {
        Self { addrs: vec![NAT, PRIVATE, LOOPBACK], routes: vec![("192.168.56.", PRIVATE), ("", NAT)] }
    }

    /// A host without a default route.
    fn closed() -> Self {
        Self { addrs: vec![PRIVATE, LOOPBACK], routes: vec![("192.168.56.", PRIVATE)] }
    }
}

impl Routes for Host {
    fn source(&self, _bound: SocketAddr, target: IpAddr) -> Option<IpAddr> {
        let text = target.to_string();
        if target.is_loopback() || self.holds(target) {
            return Some(target);
        }
        let found = self.routes.iter().find(|(network, _)| text.starts_with(network));
        found.map(|(_, source)| addr(source).ip()).filter(|source| source.is_ipv4() == target.is_ipv4())
    }

    fn holds(&self, ip: IpAddr) -> bool {
        self.addrs.iter().any(|held| addr(held).ip() == ip)
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| addr(text)).collect()
}

/// What a host chooses. An address with an exclamation mark is settled.
fn chosen(host: &Host, before: Option<&str>, seeds: &[&str], contacts: &[&str]) -> String {
    chosen_by(host, before, seeds, Contacts::Seeds(&addrs(contacts)))
}

fn chosen_by(host: &Host, before: Option<&str>, seeds: &[&str], contacts: Contacts<'_>) -> String {
    let before =
        before.map(|text| Chosen { addr: addr(text.trim_end_matches('!')), is_settled: text.ends_with('!') });
    let Chosen { addr, is_settled } = choose(before, addr("0.0.0.0:7990"), &addrs(seeds), contacts, host);
    format!("{addr}{}", if is_settled { "!" } else { "" })
}

/// It told the address of the default route to everybody, unless a seed of its configuration was an address.
#[test]
fn the_address_is_the_one_on_the_route_to_the_first_that_is_known() {
    let host = Host::virtual_machine();
    assert_eq!(chosen(&host, None, &[], &[]), NAT);
    assert_eq!(chosen(&host, None, &[NODE], &[]), format!("{PRIVATE}!"));
    assert_eq!(chosen(&host, Some(NAT), &[], &[NODE, FAR]), format!("{PRIVATE}!"));
    assert_eq!(chosen(&host, Some(NAT), &[FAR], &[NODE]), format!("{NAT}!"));
}

#[test]
fn the_loopback_is_chosen_if_nothing_else_is_known_and_gives_way() {
    let host = Host::closed();
    assert_eq!(chosen(&host, None, &[], &[]), LOOPBACK);
    assert_eq!(chosen(&host, Some(LOOPBACK), &[], &[LOOPBACK, FAR]), LOOPBACK);
    assert_eq!(chosen(&host, Some(LOOPBACK), &[], &[LOOPBACK, NODE]), format!("{PRIVATE}!"));
    // Its seeds are on this host.
    let host = Host::virtual_machine();
    assert_eq!(chosen(&host, None, &[LOOPBACK], &[]), LOOPBACK);
    assert_eq!(chosen(&host, Some(LOOPBACK), &[LOOPBACK], &[]), LOOPBACK);
    assert_eq!(chosen(&host, Some(LOOPBACK), &[], &[]), NAT);
}

#[test]
fn a_newcomer_shows_an_address_and_settles_nothing() {
    let host = Host::virtual_machine();
    assert_eq!(chosen_by(&host, Some(NAT), &[], Contacts::Newcomer(addr(NODE))), PRIVATE);
    assert_eq!(chosen_by(&host, Some(PRIVATE), &[], Contacts::Newcomer(addr(FAR))), NAT);
    // As a node it does. If there are others elsewhere, the address stays that it was shown.
    let nodes = addrs(&[FAR, NODE]);
    assert_eq!(chosen_by(&host, Some(PRIVATE), &[], Contacts::Nodes(&nodes)), format!("{PRIVATE}!"));
    assert_eq!(chosen_by(&host, Some(PRIVATE), &[], Contacts::Seeds(&nodes)), format!("{NAT}!"));
    let settled = format!("{NAT}!");
    assert_eq!(chosen_by(&host, Some(&settled), &[], Contacts::Newcomer(addr(NODE))), settled);
}

#[test]
fn an_address_that_the_host_still_has_is_kept_when_routes_change() {
    let mut host = Host::virtual_machine();
    host.routes = vec![("", NAT)];
    for before in [format!("{PRIVATE}!"), PRIVATE.to_owned()] {
        assert_eq!(chosen(&host, Some(&before), &[], &[]), before);
    }
    let settled = format!("{PRIVATE}!");
    assert_eq!(chosen(&host, Some(&settled), &[], &[NODE]), settled);
}

#[test]
fn an_address_that_the_host_has_lost_gives_way_to_another_one_only() {
    let before = "192.168.56.99:7990!";
    assert_eq!(chosen(&Host::virtual_machine(), Some(before), &[], &[NODE]), format!("{PRIVATE}!"));
    assert_eq!(chosen(&Host::virtual_machine(), Some(before), &[], &[]), NAT);
    assert_eq!(chosen(&Host::closed(), Some(before), &[], &[]), "192.168.56.99:7990");
    assert_eq!(chosen(&Host::closed(), Some(before), &[LOOPBACK], &[]), "192.168.56.99:7990");
}

/// Bound to all addresses of both families, with a default route of IPv6, it told that to a seed of IPv4.
#[test]
fn the_address_is_of_the_family_of_the_first_that_is_known() {
    let six = "[fd00::2]:7990";
    let host = Host { addrs: vec![six, PRIVATE], routes: vec![("192.168.56.", PRIVATE), ("", six)] };
    let bound = addr("[::]:7990");
    let told = |contacts: &[&str]| {
        choose(None, bound, &[], Contacts::Seeds(&addrs(contacts)), &host).addr.to_string()
    };
    assert_eq!(told(&[]), six);
    assert_eq!(told(&[NODE]), PRIVATE);
    assert_eq!(told(&["[fd00::1]:7990"]), six);
}

#[test]
fn what_is_bound_is_advertised_unless_it_is_a_wildcard() {
    let addresses = Config::lan().validate().unwrap();
    assert_eq!(OwnAddress::new(&addresses, &[], addr("127.0.0.1:7")).get(), addr("127.0.0.1:7"));
    for bound in ["0.0.0.0:7", "[::]:7"] {
        let own = OwnAddress::new(&addresses, &[], addr(bound)).get();
        assert!(!own.ip().is_unspecified());
        assert_eq!(own.port(), 7);
    }
    assert!(OwnAddress::new(&addresses, &[], addr("0.0.0.0:7")).get().is_ipv4());
}

#[test]
fn a_wildcard_advertises_the_address_from_which_the_seeds_are_reached() {
    let addresses = Config::lan().seeds([":7990", "127.0.0.1", "some-host"]).validate().unwrap();
    assert_eq!(OwnAddress::new(&addresses, &[], addr("0.0.0.0:7")).get(), addr("127.0.0.1:7"));
}

#[test]
fn what_stands_for_several_addresses_keeps_the_one_that_was_advertised() {
    let ips = |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
    let bound = addr("0.0.0.0:7990");
    let addresses = Config::lan().advertise("gate.invalid:9001").validate().unwrap();
    let own = OwnAddress::new(&addresses, &ips(&["fd00::7", "203.0.113.7"]), bound);
    assert_eq!(own.get(), addr("203.0.113.7:9001"));
    assert_eq!(own.resolved(Ok(ips(&["203.0.113.6", "203.0.113.7"]))), addr("203.0.113.7:9001"));
    assert_eq!(own.resolved(Err(io::ErrorKind::NotFound.into())), addr("203.0.113.7:9001"));
    assert_eq!(own.resolved(Ok(ips(&["203.0.113.6"]))), addr("203.0.113.6:9001"));
    // Once at a time.
    assert!(own.begin_resolving().is_some() && own.begin_resolving().is_none());

    let addresses = Config::lan().advertise("%lan0").validate().unwrap();
    let own = OwnAddress::new(&addresses, &ips(&["10.0.0.1", "fd00::7"]), addr("[fd00::7]:5"));
    assert_eq!(own.get(), addr("[fd00::7]:5"));
    assert!(own.begin_resolving().is_none());
}
