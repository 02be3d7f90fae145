use std::net::{Ipv4Addr, SocketAddr};

use super::Addresses;
use crate::protocol::Instant;

fn at(micros: u64) -> Instant {
    Instant::from_micros(10_000_000 + micros)
}

/// One of many that nobody has heard of.
fn made_up(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits(0x0b00_0000 + number), 7_990))
}

#[test]
fn to_fill_the_tables_gives_nobody_a_budget_back() {
    let mut table = Addresses::default();
    let (source, victim) = (SocketAddr::from(([10, 9, 9, 8], 1)), SocketAddr::from(([10, 9, 9, 9], 1)));
    let (mut admitted, mut sent) = (0, 0);
    for round in 0..4 {
        admitted += (0..1_100).filter(|_| table.may_admit(at(0), source)).count();
        sent += (0..100).filter(|_| table.may_send(at(0), victim)).count();
        for number in round * 65_536..(round + 1) * 65_536 {
            table.may_send(at(0), made_up(number));
            table.came(at(0), made_up(number));
            table.heard(made_up(number));
        }
    }
    assert_eq!((admitted, sent), (1_024, 20));
    let bound = table.bound();
    assert!(bound.count <= bound.max);
}

#[test]
fn a_node_is_asked_for_an_answer_once_a_second_when_half_of_its_share_is_used_up() {
    let mut table = Addresses::default();
    let asked = |table: &mut Addresses, time| {
        let send = |_| {
            table.may_send(at(time), made_up(1));
            table.should_ask(made_up(1))
        };
        (1..=30).map(send).collect::<Vec<_>>()
    };
    let tenth: Vec<bool> = (1..=30).map(|sent| sent == 10).collect();
    assert_eq!(asked(&mut table, 0), tenth);
    assert_eq!(asked(&mut table, 500_000), [false; 30]);
    assert_eq!(asked(&mut table, 1_000_000), tenth);
    table.heard(made_up(1));
    assert_eq!(asked(&mut table, 2_000_000), [false; 30]);
}

#[test]
fn a_full_table_has_room_again_when_time_has_made_up_for_what_is_in_it() {
    let mut table = Addresses::default();
    assert!((0..65_536).all(|number| table.came(at(0), made_up(number))));
    assert!((0..65_536).all(|number| table.may_send(at(0), made_up(number))));
    assert!(!table.came(at(0), made_up(65_536)) && !table.may_send(at(0), made_up(65_536)));
    assert!(table.came(at(200_000), made_up(65_536)) && table.may_send(at(1_000_000), made_up(65_536)));
}

#[test]
fn newcomers_of_ipv6_are_counted_by_64_bits() {
    let mut table = Addresses::default();
    let addr = |network: u16, host: u16| SocketAddr::from(([0xfd00, 0, 0, network, 0, 0, 0, host], 1));
    assert_eq!((0..2_000).filter(|host| table.may_admit(at(0), addr(1, *host))).count(), 1_024);
    assert!(table.may_admit(at(0), addr(2, 1)));
}
