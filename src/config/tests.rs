use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{Config, Place, Seed, texts};
use crate::error::Error;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The field that a configuration is refused for, and why.
fn refused(config: Config) -> (&'static str, String) {
    match config.validate() {
        Err(Error::Config { field, reason }) => (field, reason),
        other => panic!("{other:?}"),
    }
}

fn place(text: &str) -> Place {
    Seed::parse(text).unwrap().place
}

#[test]
fn every_profile_is_valid() {
    for config in [Config::local(), Config::lan(), Config::wan(), Config::default()] {
        config.validate().unwrap();
    }
}

#[test]
fn only_the_local_profile_falls_back_and_only_while_bind_was_not_called() {
    let local = Config::local().validate().unwrap();
    assert_eq!(
        (local.bind.literal(), local.fallback),
        (Some(addr("127.0.0.1:7990")), Some(addr("127.0.0.1:0")))
    );
    let bound = Config::local().bind("127.0.0.1:7990").validate().unwrap();
    assert_eq!((bound.bind.literal(), bound.fallback), (Some(addr("127.0.0.1:7990")), None));
    for config in [Config::lan(), Config::wan()] {
        let addresses = config.validate().unwrap();
        assert_eq!((addresses.bind.literal(), addresses.fallback), (Some(addr("0.0.0.0:7990")), None));
    }
}

#[test]
fn names_have_1_to_255_bytes_and_no_letter_that_changes_others() {
    Config::lan().name("x".repeat(255)).validate().unwrap();
    Config::lan().name("ein Name, mit Ümlaut").validate().unwrap();
    assert_eq!(refused(Config::lan().name("")).0, "name");
    assert_eq!(refused(Config::lan().name("ü".repeat(128))).0, "name");
    assert_eq!(refused(Config::lan().name("two\nlines")).0, "name");
    assert_eq!(refused(Config::lan().name("nul\0")).0, "name");
    assert_eq!(refused(Config::lan().name("\u{202e}1-bew")).0, "name");
    assert_eq!(refused(Config::lan().cluster("")).0, "cluster");
    assert_eq!(refused(Config::lan().cluster("\u{85}")).0, "cluster");
}

#[test]
fn a_duration_of_zero_is_refused_by_its_name() {
    let zero = Duration::ZERO;
    assert_eq!(refused(Config::lan().probe_interval(zero)).0, "probe_interval");
    assert_eq!(refused(Config::lan().probe_timeout(zero)).0, "probe_timeout");
    assert_eq!(refused(Config::lan().gossip_interval(zero)).0, "gossip_interval");
    assert_eq!(refused(Config::lan().isolation_timeout(zero)).0, "isolation_timeout");
    assert_eq!(refused(Config::lan().rejoin_interval(zero)).0, "rejoin_interval");
    assert_eq!(refused(Config::lan().tombstone_ttl(zero)).0, "tombstone_ttl");
    assert_eq!(refused(Config::lan().join_timeout(zero)).0, "join_timeout");
    assert_eq!(refused(Config::lan().send_timeout(zero)).0, "send_timeout");
    assert_eq!(refused(Config::lan().join_timeout(Duration::MAX)).0, "join_timeout");
}

#[test]
fn numbers_outside_their_range_are_refused_by_their_name() {
    assert_eq!(refused(Config::lan().max_nodes(0)).0, "max_nodes");
    assert_eq!(refused(Config::lan().event_capacity(0)).0, "event_capacity");
    assert_eq!(refused(Config::lan().receive_buffer(0)).0, "receive_buffer");
    assert_eq!(refused(Config::lan().retransmit(0)).0, "retransmit");
    Config::lan().max_message(4 << 20).validate().unwrap();
    assert_eq!(refused(Config::lan().max_message(0)).0, "max_message");
    assert_eq!(refused(Config::lan().max_message((4 << 20) + 1)).0, "max_message");
}

#[test]
fn contradictions_are_refused() {
    let second = Duration::from_secs(1);
    let (field, reason) = refused(Config::lan().probe_timeout(second));
    assert_eq!(field, "probe_timeout");
    assert_eq!(reason, "1s is not shorter than the probe interval of 1s");
    let config = Config::lan().isolation_timeout(Duration::from_millis(999));
    assert_eq!(refused(config).0, "isolation_timeout");
}

#[test]
fn an_address_to_bind_is_understood() {
    for (text, expected) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        (":7990", "0.0.0.0:7990"),
        (":0", "0.0.0.0:0"),
        ("[::]:7990", "[::]:7990"),
        ("[::ffff:127.0.0.1]:1", "127.0.0.1:1"),
    ] {
        assert_eq!(
            Config::lan().bind(text).validate().unwrap().bind.literal(),
            Some(addr(expected)),
            "{text}"
        );
    }
    let typed = addr("[::1]:7990");
    assert_eq!(Config::lan().bind(typed).validate().unwrap().bind.literal(), Some(typed));
}

#[test]
fn an_address_to_bind_that_is_not_understood_never_means_all_interfaces() {
    for text in [
        "",
        ":",
        "7990",
        "localhost:7990",
        "127.0.0.1",
        "127.0.0.1:",
        ":65536",
        ":-1",
        "::1",
        "[::1]",
        " :7990",
        "0.0.0.0:7990 ",
        "224.0.0.1:7990",
        "255.255.255.255:7990",
        "[ff02::1]:7990",
    ] {
        assert_eq!(refused(Config::lan().bind(text)).0, "bind", "{text:?}");
    }
}

#[test]
fn a_wildcard_or_port_0_is_never_advertised() {
    for text in ["", ":7990", "0.0.0.0:7990", "[::]:7990", "10.0.0.1:0", "10.0.0.1", "host", "224.0.0.1:1"] {
        assert_eq!(refused(Config::lan().advertise(text)).0, "advertise", "{text:?}");
    }
    let addresses = Config::lan().advertise("[::ffff:10.0.0.1]:7990").validate().unwrap();
    assert_eq!(addresses.advertise_literally().unwrap(), Some(addr("10.0.0.1:7990")));
}

#[test]
fn the_default_name_is_the_advertised_address() {
    let config = Config::lan().advertise("10.0.0.1:7990");
    let addresses = config.validate().unwrap();
    let (bound, own) = (addr("0.0.0.0:1"), addr("10.0.0.1:7990"));
    let settings = config.settings(&addresses, bound, own).unwrap();
    assert_eq!(settings.name, "10.0.0.1:7990");
    assert!(!settings.discovers);
    assert_eq!(config.name("web-1").settings(&addresses, bound, own).unwrap().name, "web-1");
}

#[test]
fn lists_that_are_not_understood_or_leave_out_the_member_itself_are_refused_by_their_name() {
    assert_eq!(refused(Config::lan().allow_networks(["10.0.0.0/33"])).0, "allow_networks");
    assert_eq!(refused(Config::lan().allow_networks(["10.0.0.1/8"])).0, "allow_networks");
    assert_eq!(refused(Config::lan().allow_names([""])).0, "allow_names");
    let config = || Config::lan().name("web-1").advertise("10.0.0.1:7990");
    config().allow_networks(["fd00::/8", "10.0.0.0/8"]).allow_names(["web-*"]).validate().unwrap();
    assert_eq!(refused(config().allow_networks(["fd00::/8"])).0, "allow_networks");
    assert_eq!(refused(config().allow_names(["db-*"])).0, "allow_names");
    assert_eq!(refused(config().allow_names([""; 0])).0, "allow_names");
}

#[test]
fn an_address_that_is_known_only_when_bound_is_looked_for_in_the_lists_then() {
    let config = Config::lan().allow_networks(["10.0.0.0/8"]);
    let addresses = config.validate().unwrap();
    let settings = |own| config.settings(&addresses, own, own);
    assert!(settings(addr("10.0.0.1:7990")).is_ok());
    let error = settings(addr("192.0.2.1:7990")).unwrap_err();
    assert!(matches!(error, Error::Config { field: "allow_networks", .. }), "{error}");
}

#[test]
fn seeds_are_understood() {
    let host = |name: &str, port| Place::Host(name.to_owned(), port);
    for (text, expected) in [
        (":7990", Place::Here(7990)),
        ("10.0.0.1:1", Place::Addr(addr("10.0.0.1:1"))),
        ("10.0.0.1", Place::Addr(addr("10.0.0.1:7990"))),
        ("[::1]:1", Place::Addr(addr("[::1]:1"))),
        ("::1", Place::Addr(addr("[::1]:7990"))),
        ("[::1]", Place::Addr(addr("[::1]:7990"))),
        ("[::ffff:10.0.0.1]:1", Place::Addr(addr("10.0.0.1:1"))),
        ("host", host("host", 7990)),
        (" db-1.my_zone.internal.:1 ", host("db-1.my_zone.internal.", 1)),
    ] {
        assert_eq!(place(text), expected, "{text}");
    }
}

#[test]
fn seeds_that_make_no_sense_are_refused() {
    for text in [
        "",
        ":",
        ":0",
        "host:",
        "host:0",
        "host:65536",
        "host:port",
        "10.0.0.1:0",
        "0.0.0.0:7990",
        "::",
        "224.0.0.1",
        "10.0.0.256",
        "10.0.0",
        "a,b",
        "two words",
        "http://host",
        "[host]:7990",
        "fe80::1",
        ".",
        &"x".repeat(254),
    ] {
        assert!(Seed::parse(text).is_err(), "{text:?}");
        assert_eq!(refused(Config::lan().seeds(text)).0, "seeds", "{text:?}");
    }
}

/// Records have no room for a scope, and without one nothing can be sent there.
#[test]
fn addresses_that_are_local_to_a_link_are_refused_with_the_reason() {
    for text in ["fe80::1%3", "fe80::1%eth0", "[fe80::1%3]:7990", "[fe80::1%eth0]:7990", "[fe80::1]:7990"] {
        let (field, reason) = refused(Config::lan().seeds(text));
        assert!(field == "seeds" && reason.contains("scope"), "{text}: {field}: {reason}");
    }
    for text in ["[fe80::1%3]:7990", "[fe80::1%eth0]:7990", "[fe80::1]:7990"] {
        let (field, reason) = refused(Config::lan().bind(text));
        assert!(field == "bind" && reason.contains("scope"), "{text}: {field}: {reason}");
        let (field, reason) = refused(Config::lan().advertise(text));
        assert!(field == "advertise" && reason.contains("scope"), "{text}: {field}: {reason}");
    }
}

#[test]
fn a_seed_here_is_the_bound_address_or_the_loopback() {
    let here = |bound: &str| Seed::parse(":5").unwrap().literal(addr(bound)).unwrap();
    assert_eq!(here("127.0.0.3:1"), [addr("127.0.0.3:5")]);
    assert_eq!(here("0.0.0.0:1"), [addr("127.0.0.1:5")]);
    assert_eq!(here("[::]:1"), [addr("127.0.0.1:5"), addr("[::1]:5")]);
    assert_eq!(Seed::parse("host").unwrap().literal(addr("0.0.0.0:1")), None);
}

#[test]
#[expect(clippy::needless_borrows_for_generic_args, reason = "references are shapes too")]
fn seeds_are_taken_in_all_their_shapes() {
    let one = addr("127.0.0.1:5");
    let text = one.to_string();
    let strings = vec![text.clone(), text.clone()];
    let (strs, addrs) = ([text.as_str()], [one, one]);

    assert_eq!(texts(text.as_str()), ["127.0.0.1:5"]);
    assert_eq!(texts(text.clone()), ["127.0.0.1:5"]);
    assert_eq!(texts(&text), ["127.0.0.1:5"]);
    assert_eq!(texts(one), ["127.0.0.1:5"]);
    assert_eq!(texts(&one), ["127.0.0.1:5"]);
    assert_eq!(texts((IpAddr::from(Ipv4Addr::LOCALHOST), 5)), ["127.0.0.1:5"]);
    assert_eq!(texts(&strings).len(), 2);
    assert_eq!(texts(strings.as_slice()).len(), 2);
    assert_eq!(texts(strings).len(), 2);
    assert_eq!(texts(strs).len(), 1);
    assert_eq!(texts(&strs).len(), 1);
    assert_eq!(texts(&strs[..]).len(), 1);
    assert_eq!(texts(addrs).len(), 2);
    assert_eq!(texts(&addrs).len(), 2);
    assert_eq!(texts(vec![(addrs[0].ip(), 5)]).len(), 1);
    assert_eq!(texts(Vec::<String>::new()).len(), 0);
}

#[test]
fn debug_tells_that_there_is_a_listener_and_no_more() {
    let shown = format!("{:?}", Config::lan().on_event(|_, _| {}));
    assert!(shown.contains("listener: true"), "{shown}");
}
