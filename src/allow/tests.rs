use std::net::IpAddr;

use super::Allow;
use super::network::Network;
use super::pattern::Pattern;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_network_holds_the_addresses_that_share_its_prefix() {
    for (network, inside, outside) in [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
        ("10.1.2.64/26", ["10.1.2.64", "10.1.2.127"], ["10.1.2.63", "10.1.2.128"]),
        ("192.0.2.7", ["192.0.2.7", "192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
        ("192.0.2.7/32", ["192.0.2.7", "192.0.2.7"], ["192.0.2.6", "::ffff:192.0.2.7"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1"]),
        ("::/0", ["::", "2001:db8::1"], ["0.0.0.0", "127.0.0.1"]),
        ("fd00::/8", ["fd00::", "fdff:ffff::1"], ["fc00::1", "fe00::"]),
        ("2001:db8::/33", ["2001:db8::1", "2001:db8:7fff::"], ["2001:db8:8000::", "10.0.0.1"]),
        ("fd00::1", ["fd00::1", "fd00::1"], ["fd00::", "fd00::2"]),
    ] {
        let parsed = Network::parse(network).unwrap();
        assert!(inside.into_iter().all(|inside| parsed.contains(ip(inside))), "{network}");
        assert!(!outside.into_iter().any(|outside| parsed.contains(ip(outside))), "{network}");
    }
}

#[test]
fn a_mapped_network_is_its_ipv4_network() {
    for (mapped, plain) in [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
    ] {
        assert_eq!(Network::parse(mapped), Network::parse(plain), "{mapped}");
    }
}

#[test]
fn what_is_no_network_is_refused() {
    for text in [
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/8/8",
        "10.0.0.0/ 8",
        "10.0.0.0/255.0.0.0",
        "10.0.0/8",
        "fd00::/129",
        "web-1",
        "10.0.0.1:7990",
        "[fd00::1]",
        " 10.0.0.1",
    ] {
        assert!(Network::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn bits_behind_the_prefix_are_a_mistake_that_names_the_network() {
    let reason = Network::parse("10.1.2.3/8").unwrap_err();
    assert!(reason.ends_with("the network is 10.0.0.0/8"), "{reason}");
    let reason = Network::parse("fd00::1/64").unwrap_err();
    assert!(reason.ends_with("the network is fd00::/64"), "{reason}");
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, matching, others) in [
        ("web-1", &["web-1"][..], &["web-10", "web-", "Web-1", ""][..]),
        ("web-*", &["web-", "web-1", "web-*"], &["web", "my-web-1"]),
        ("*-eu", &["-eu", "db-eu"], &["db-eu-1", "eu"]),
        ("*", &["x", "ein Ümlaut"], &[]),
        ("a*b*c", &["abc", "a-b-c", "abbc", "abcbc"], &["acb", "ab", "ac", "abcd"]),
        ("*ab*ab*", &["abab", "xabxabx"], &["ab", "aab", "aba"]),
        ("a**c", &["ac", "abc"], &["a"]),
        ("ab*ba", &["abba", "ab-ba"], &["aba"]),
        ("[::1]:*", &["[::1]:7990"], &["::1:7990"]),
    ] {
        let parsed = Pattern::parse(pattern).unwrap();
        assert!(matching.iter().all(|name| parsed.matches(name)), "{pattern}");
        assert!(!others.iter().any(|name| parsed.matches(name)), "{pattern}");
    }
    assert!(Pattern::parse("").is_err());
}

#[test]
fn a_list_that_was_not_given_takes_everybody_and_an_empty_one_nobody() {
    let mut allow = Allow::default();
    assert!(allow.takes_address(ip("192.0.2.1")) && allow.takes_name("x"));
    allow.set_networks(&[]).unwrap();
    assert!(!allow.takes_address(ip("192.0.2.1")) && allow.takes_name("x"));
    allow.set_names(&[]).unwrap();
    assert!(!allow.takes_name("x"));
    allow.set_names(&["web-*".to_owned(), "db-*".to_owned()]).unwrap();
    assert!(allow.takes_name("web-1") && allow.takes_name("db-1") && !allow.takes_name("x"));
}
