//! Clusters over TCP, and what comes to a port that accepts everybody.

use std::io::Write;
use std::net::TcpStream;

use headcount::transport::Tcp;
use headcount::{Config, Member};

use crate::rig::{Watch, config, expect_all_quiet, wait_for_count};

fn over_tcp(name: &str) -> Config {
    config(name).transport(Tcp::new())
}

fn pair() -> [Member; 2] {
    let a = Member::create(over_tcp("a")).unwrap();
    let b = Member::create(over_tcp("b")).unwrap().join(a.addr()).unwrap();
    wait_for_count(&a, 2);
    wait_for_count(&b, 2);
    [a, b]
}

/// Nothing happened, and the two still hear each other.
fn expect_undisturbed([a, b]: &[Member; 2], watches: &[Watch; 2]) {
    expect_all_quiet(watches);
    a.ping("b").unwrap();
    b.ping("a").unwrap();
}

#[test]
fn garbage_on_the_port_changes_nothing() {
    let members = pair();
    let watches = members.each_ref().map(Watch::over);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 70_000], &[0xff; 70_000], b"headcT\x01\x00"] {
        let mut stream = TcpStream::connect(members[0].addr()).unwrap();
        // It may be closed before all of it is written.
        let _ = stream.write_all(garbage);
    }
    // The preamble is right, and what follows is none of ours.
    let mut stream = TcpStream::connect(members[0].addr()).unwrap();
    stream.write_all(b"headcT\x01\x00\x1f\x36\xff\xff").unwrap();
    stream.write_all(&[0x5a; 65_535]).unwrap();
    expect_undisturbed(&members, &watches);
}

#[test]
fn a_flood_of_connections_changes_nothing() {
    let members = pair();
    let watches = members.each_ref().map(Watch::over);
    let _flood: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(members[0].addr()).unwrap()).collect();
    expect_undisturbed(&members, &watches);
}

#[test]
fn more_members_than_connections_are_a_cluster() {
    let narrow = |name: &str| Member::create(config(name).transport(Tcp::new().connections(4))).unwrap();
    let seed = narrow("seed");
    let members: Vec<Member> = (0..11).map(|index| narrow(&format!("m{index}"))).collect();
    for member in &members {
        member.join(seed.addr()).unwrap();
    }
    for member in members.iter().chain([&seed]) {
        wait_for_count(member, 12);
    }
    let watches: Vec<Watch> = members.iter().map(Watch::over).collect();
    expect_all_quiet(&watches);
}
