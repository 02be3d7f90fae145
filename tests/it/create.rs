//! `Member::create`: what it refuses, and what it makes of addresses and names.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use headcount::transport::{Memory, Tcp, Transport, Udp, Wanted};
use headcount::{Config, Error, Event, Member, Metrics, Node, Nodes, Status};

use crate::rig::{Directory, cluster, config, names, run_alone_with, vacant_addr, wait_for_count};

#[track_caller]
fn expect_config_error(field: &str, config: Config) {
    match Member::create(config) {
        Err(Error::Config { field: found, reason }) => {
            assert_eq!(found, field, "{reason}");
            assert!(!reason.is_empty());
        }
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn a_wrong_setting_is_an_error_that_names_the_field() {
    expect_config_error("name", config(""));
    expect_config_error("name", config(&"n".repeat(256)));
    expect_config_error("name", config("two\nlines"));
    expect_config_error("cluster", config("a").cluster(""));
    expect_config_error("bind", config("a").bind(""));
    expect_config_error("bind", config("a").bind("nonsense"));
    expect_config_error("bind", config("a").bind("localhost:7990"));
    expect_config_error("bind", config("a").bind("127.0.0.1:70000"));
    expect_config_error("advertise", config("a").advertise("nonsense"));
    expect_config_error("advertise", config("a").advertise("0.0.0.0:7990"));
    expect_config_error("advertise", config("a").advertise("[::]:7990"));
    expect_config_error("advertise", config("a").advertise("127.0.0.1:0"));
    expect_config_error("seeds", config("a").seeds("localhost:port"));
    expect_config_error("probe_interval", config("a").probe_interval(Duration::ZERO));
    expect_config_error("probe_timeout", config("a").probe_timeout(Duration::ZERO));
    expect_config_error("max_nodes", config("a").max_nodes(0));
    expect_config_error("event_capacity", config("a").event_capacity(0));
    expect_config_error("snapshot", config("a").snapshot(""));
    expect_config_error("snapshot", config("a").snapshot("/"));
    expect_config_error("snapshot", config("a").snapshot("/no/such/directory/members"));
    expect_config_error("keep_state", config("a").keep_state(true));
}

#[test]
fn a_probe_timeout_beyond_the_probe_interval_is_a_contradiction() {
    let contradictory =
        config("a").probe_interval(Duration::from_millis(100)).probe_timeout(Duration::from_millis(500));
    expect_config_error("probe_timeout", contradictory);
}

#[test]
fn a_refused_config_opens_no_socket() {
    let addr = vacant_addr();
    expect_config_error("name", config("").bind(addr));
    UdpSocket::bind(addr).unwrap();
}

#[test]
fn a_taken_port_is_an_error_that_names_the_address() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap();
    match Member::create(config("a").bind(addr)) {
        Err(error @ Error::Io { .. }) => {
            assert!(error.to_string().contains(&addr.to_string()), "{error}");
            assert!(std::error::Error::source(&error).is_some());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_foreign_address_is_an_error_and_not_all_interfaces() {
    // From the block for documentation: no host here has it.
    match Member::create(config("a").bind("192.0.2.1:0")) {
        Err(Error::Io { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn port_0_becomes_a_real_port_that_is_advertised() {
    let [a, b] = cluster(["a", "b"]);
    assert_ne!(a.addr().port(), 0);
    assert_eq!(a.local().addr(), a.addr());
    assert_eq!(b.node("a").unwrap().addr(), a.addr());
}

#[test]
fn a_wildcard_is_bound_and_not_advertised() {
    let member = Member::create(config("a").bind("0.0.0.0:0")).unwrap();
    assert!(!member.addr().ip().is_unspecified());
    assert_ne!(member.addr().port(), 0);
}

#[test]
fn bind_and_advertise_may_differ() {
    let port = vacant_addr().port();
    let advertised = SocketAddr::from(([127, 0, 0, 1], port));
    let a = Member::create(config("a").bind(format!("0.0.0.0:{port}")).advertise(advertised)).unwrap();
    let b = Member::create(config("b")).unwrap().join(advertised).unwrap();
    assert_eq!(a.addr(), advertised);
    wait_for_count(&a, 2);
    assert_eq!(b.node("a").unwrap().addr(), advertised);
}

#[test]
fn the_default_name_is_the_advertised_address() {
    let member = Member::create(Config::local().bind("127.0.0.1:0")).unwrap();
    assert_eq!(member.name(), member.addr().to_string());
    assert_eq!(names(&member), [member.name()]);
}

#[test]
fn a_second_local_member_takes_another_port_when_none_was_asked_for() {
    let cluster = "a_second_local_member";
    let first = Member::create(Config::local().cluster(cluster)).unwrap();
    let second = Member::create(Config::local().cluster(cluster)).unwrap();
    assert_ne!(first.addr(), second.addr());
    assert!(first.addr().ip().is_loopback() && second.addr().ip().is_loopback());
}

#[test]
fn a_new_member_sees_itself_alone_and_alive() {
    let member = Member::create(config("a")).unwrap();
    assert_eq!(names(&member), ["a"]);
    assert_eq!(member.local().status(), Status::Alive);
    assert_eq!(member.local(), member.node("a").unwrap());
    assert_eq!(member.all_nodes().len(), 1);
    assert!(member.node("b").is_none());
    assert_eq!(member.health(), 0);
}

#[test]
fn public_types_go_where_threads_go() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    fn sent<T: Send + std::fmt::Debug>() {}
    shared::<Member>();
    shared::<Node>();
    shared::<Nodes>();
    shared::<Event>();
    shared::<Status>();
    shared::<Metrics>();
    shared::<Error>();
    shared::<Box<dyn Transport>>();
    shared::<Udp>();
    shared::<Tcp>();
    shared::<Memory>();
    shared::<Wanted>();
    sent::<Config>();
    #[cfg(feature = "encryption")]
    {
        shared::<headcount::Key>();
        shared::<headcount::KeyId>();
        shared::<headcount::Keyring>();
        shared::<headcount::MemberKeyring<'static>>();
    }
}

/// It hung for two seconds, and logged that a thread does not end: it waited for what it held itself.
#[test]
fn a_member_whose_threads_can_not_be_started_fails_at_once() {
    // No system has room for a stack of 64 TiB, so no thread can be started there.
    let stack = (64_u64 << 40).to_string();
    let test = "create::a_member_whose_threads_can_not_be_started_fails_at_once";
    run_alone_with(test, &[("RUST_MIN_STACK", &stack)], || {
        let directory = Directory::new();
        let configs = [
            ("a plain one", config("a")),
            ("with a listener", config("a").on_event(|_, _| {})),
            ("with a snapshot", config("a").snapshot(directory.file("snapshot"))),
            ("with a discovery", config("a").discovery(|_: &Member| Ok(Vec::new()))),
            ("with a host name", config("a").seeds("nobody.invalid")),
            ("over TCP", config("a").transport(Tcp::new())),
        ];
        for (what, config) in configs {
            let begun = Instant::now();
            let result = Member::create(config);
            assert!(matches!(result, Err(Error::Io { .. })), "{what}: {result:?}");
            assert!(begun.elapsed() < Duration::from_millis(1_500), "{what}: {:?}", begun.elapsed());
        }
    });
}
