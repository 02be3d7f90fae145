//! Members that send from another address than they advertise.

use std::net::SocketAddr;

use super::super::secs;
use super::super::world::{World, addr_of};
use crate::node::Generation;
use crate::protocol::Instant;
use crate::wire::body::{Broadcast, FragmentAck, Hello, NackReason, Progress, RejectReason};
use crate::wire::{Body, ClusterId, Cookie, Packet, Record, Seq};

fn hello(name: &str, addr: SocketAddr, attempt: u32) -> Hello<'_> {
    let record = Record {
        name,
        addr,
        generation: Generation(1),
        incarnation: crate::node::Incarnation(0),
        state_version: 0,
        broadcast: 0,
    };
    Hello { seq: Seq(9), cookie: Cookie(0), attempt, cluster: ClusterId(0), record }
}

/// The only answer to a hello that comes from an address, and where it goes. The answer is never longer than the hello.
fn answer(world: &mut World, from: SocketAddr, hello: Hello<'_>) -> Option<(SocketAddr, Answer)> {
    let sent = world.forge_stranger(hello.record.name, 0, &[Body::Hello(hello)]);
    let answers = world.answers(0, from, &sent);
    let (to, answer) = answers.first()?;
    let is_proven = hello.cookie != Cookie(0);
    assert!(is_proven || (answers.len() == 1 && answer.len() <= sent.len()));
    let answer = match Packet::decode(answer).unwrap().bodies().next() {
        Some(Body::Challenge { cookie, .. }) => Answer::Challenge(cookie),
        Some(Body::Reject { reason, .. }) => Answer::Reject(reason),
        Some(Body::Welcome(_)) => Answer::Welcome,
        other => panic!("{other:?}"),
    };
    Some((*to, answer))
}

#[derive(Debug, PartialEq)]
enum Answer {
    Challenge(Cookie),
    Reject(RejectReason),
    Welcome,
}

#[test]
fn hellos_from_elsewhere_are_answered_at_the_advertised_address_and_in_turn_where_they_come_from() {
    let mut world = World::cluster(1, 2);
    let (seen, advertised) = (addr_of(500), addr_of(600));
    for attempt in 1..=9 {
        let (to, answer) = answer(&mut world, seen, hello("x", advertised, attempt)).unwrap();
        if attempt > 3 && attempt % 2 == 0 {
            assert_eq!((to, answer), (seen, Answer::Reject(RejectReason::Unreachable { seen })));
        } else {
            assert!(to == advertised && matches!(answer, Answer::Challenge(_)), "{to} {answer:?}");
        }
    }
    assert!(world.hosts[0].protocol.node("x").is_none());
}

#[test]
fn a_cookie_that_went_to_the_advertised_address_is_good_from_the_source_that_asked_for_it_only() {
    let mut world = World::cluster(2, 2);
    let (seen, advertised) = (addr_of(500), addr_of(600));
    let Some((_, Answer::Challenge(cookie))) = answer(&mut world, seen, hello("x", advertised, 1)) else {
        panic!("no challenge")
    };
    let with = |addr| Hello { cookie, ..hello("x", addr, 2) };
    for (from, addr) in [(addr_of(501), advertised), (seen, addr_of(601)), (advertised, advertised)] {
        let wrong = answer(&mut world, from, with(addr));
        assert!(matches!(wrong, Some((_, Answer::Challenge(_)))), "{from} {addr}: {wrong:?}");
    }
    assert_eq!(answer(&mut world, seen, with(advertised)), Some((seen, Answer::Welcome)));
    let name = crate::wire::NameHash::of(world.tag(), "x");
    let entry = world.hosts[0].protocol.core.members.get(name).unwrap();
    assert!(entry.addr() == advertised && entry.is_at(seen) && !entry.is_at(addr_of(501)));
}

#[test]
fn an_address_that_can_not_be_a_newcomers_is_refused_at_once() {
    let mut world = World::cluster(3, 2);
    let six = "[2001:db8::1]:7990".parse().unwrap();
    for addr in [addr_of(0), six] {
        let answer = answer(&mut world, addr_of(500), hello("x", addr, 1));
        assert_eq!(answer, Some((addr_of(500), Answer::Reject(RejectReason::BadAddress))));
    }
}

#[test]
fn the_first_newcomer_with_an_address_of_ours_is_a_warning_that_names_it() {
    log::set_max_level(log::LevelFilter::Info);
    let mut world = World::cluster(3, 2);
    world.hosts[0].notes.clear();
    for name in ["x", "y"] {
        let _ = answer(&mut world, addr_of(500), hello(name, addr_of(0), 1));
    }
    let notes = world.hosts[0].notes.iter().filter(|note| note.level == log::Level::Warn);
    let texts: Vec<&str> = notes.map(|note| note.text.as_str()).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].starts_with(&format!("x at {} is refused: it advertises {}", addr_of(500), addr_of(0))));
}

/// Its messages were dropped until it happened to probe the node that dropped them.
#[test]
fn a_node_that_sends_from_an_address_that_is_not_known_as_its_own_is_told_and_says_hello() {
    let mut world = World::cluster(8, 3);
    world.run(secs(2));
    let seen = addr_of(500);
    world.cut(&[1], &[0], true);
    world.recorded = Some(Vec::new());
    world.call(1, |protocol, now| protocol.broadcast(now, &[7; 40]).unwrap());
    let sent = world.recorded.take().unwrap().into_iter().find(|(_, to, _)| *to == addr_of(0)).unwrap().2;
    let answers = world.answers(0, seen, &sent);
    let [(to, answer)] = &answers[..] else { panic!("{answers:?}") };
    assert!(*to == seen && answer.len() <= sent.len());
    let reason = Packet::decode(answer).unwrap().bodies().next().map(|body| format!("{body:?}"));
    assert!(reason.is_some_and(|reason| reason.contains("Unreachable")));
    // Wherever it comes from: the other one may be behind a translator, too.
    let hellos = world.answers(1, addr_of(501), answer);
    assert!(hellos.len() == 1 && hellos[0].0 == addr_of(0), "{hellos:?}");
    // What it has not sent, it does not believe.
    let reason = RejectReason::Unreachable { seen };
    let forged = world.forge(2, 1, &[Body::Reject { seq: Seq(1 << 32 | 7), reason }]);
    assert!(world.answers(1, addr_of(2), &forged).is_empty());
    // Nobody else is answered: what is not dropped, and a run that is not known.
    let not_dropped = world.forge(1, 0, &[Body::Nack { seq: Seq(3), reason: NackReason::NoAnswer }]);
    assert!(world.answers(0, seen, &not_dropped).is_empty());
    let dropped =
        Broadcast { origin: world.hash(1), generation: world.generation(1), number: 1, payload: &[7] };
    let stranger = world.forge_stranger("x", 0, &[Body::Broadcast(dropped)]);
    assert!(world.answers(0, seen, &stranger).is_empty());
    // What has no room for the address is answered without it.
    let short = world.forge(
        1,
        0,
        &[Body::FragmentAck(FragmentAck { ask: 1, number: 1, progress: Progress::Delivered })],
    );
    assert!(world.answers(0, seen, &short).iter().all(|(_, answer)| answer.len() <= short.len()));
}

/// Records from others are believed: else views would differ for good.
#[test]
fn an_address_that_can_not_be_reached_from_here_is_held_when_others_tell_of_it() {
    let mut world = World::cluster(4, 3);
    world.run(secs(1));
    let record = Record { generation: world.generation(1), ..hello("x", addr_of(0), 1).record };
    let datagram = world.forge(1, 0, &[Body::Alive { record, vouched: true }]);
    world.recorded = Some(Vec::new());
    world.inject(0, addr_of(1), &datagram);
    assert_eq!(world.hosts[0].protocol.node("x").unwrap().addr(), addr_of(0));
    world.run(secs(3));
    let is_ping =
        |bytes: &[u8]| Packet::decode(bytes).unwrap().bodies().any(|body| matches!(body, Body::Ping(_)));
    let pings = world.recorded.take().unwrap();
    assert!(pings.iter().all(|(from, to, bytes)| !(*from == addr_of(0) && to == from && is_ping(bytes))));
}

#[test]
fn a_run_has_two_aliases_and_each_is_forgotten_after_a_minute_without_use() {
    let mut world = World::cluster(5, 2);
    let name = world.hash(1);
    let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
    let members = &mut world.hosts[0].protocol.core.members;
    let is_at = |members: &crate::protocol::membership::Members| {
        [501, 502, 503].map(|number| members.get(name).unwrap().is_at(addr_of(number)))
    };
    members.add_alias(at(10), name, addr_of(501));
    members.add_alias(at(11), name, addr_of(502));
    assert_eq!(is_at(members), [true, true, false]);
    members.heard_from(at(50), name, addr_of(501));
    members.add_alias(at(51), name, addr_of(503));
    assert_eq!(is_at(members), [true, false, true]);
    members.heard_from(at(109), name, addr_of(1));
    assert_eq!(is_at(members), [true, false, true]);
    members.heard_from(at(110), name, addr_of(1));
    assert_eq!(is_at(members), [false, false, true]);
    members.heard_from(at(111), name, addr_of(1));
    assert_eq!(is_at(members), [false; 3]);
}

#[cfg(feature = "encryption")]
#[test]
fn what_is_sealed_counts_wherever_it_comes_from_and_is_answered_where_its_sender_is() {
    let mut world = World::new(6);
    world.settings.keyring = crate::Keyring::new(crate::Key::from_bytes([1; 32]));
    world.grow(3);
    world.run(secs(5));
    world.cut(&[1], &[0], true);
    world.recorded = Some(Vec::new());
    world.call(1, |protocol, now| protocol.ping(now, "n0").unwrap());
    let sent = world.recorded.take().unwrap();
    let (_, to, ping) = &sent[0];
    assert_eq!(*to, addr_of(0));
    // An interloper on the path is faster.
    let copier = addr_of(700);
    let answers = world.answers(0, copier, ping);
    let whole: Vec<_> = answers.iter().filter(|(to, _)| *to == addr_of(1)).collect();
    let rest: Vec<_> = answers.iter().filter(|(to, _)| *to != addr_of(1)).collect();
    assert!(whole.len() == 1 && rest.len() == 1 && rest[0].0 == copier, "{answers:?}");
    assert!(rest[0].1.len() < ping.len());
    let name = world.hash(1);
    assert!(!world.hosts[0].protocol.core.members.get(name).unwrap().is_at(copier));
}

/// Its operator saw nothing, unless the program showed the error of the join.
#[test]
fn a_member_that_is_not_reached_warns_once_of_both_addresses() {
    log::set_max_level(log::LevelFilter::Info);
    let mut world = World::cluster(4, 2);
    let x = world.add();
    let (seen, advertised) = (world.hosts[x].addr, addr_of(600));
    world.hosts[x].protocol.core.settings.advertise = advertised;
    for _ in 0..2 {
        world.join(x, &[0]);
        world.run(secs(10));
    }
    let warnings = world.hosts[x].notes.iter().filter(|note| note.level == log::Level::Warn);
    let warnings: Vec<&str> = warnings.map(|note| note.text.as_str()).collect();
    let by = world.hosts[0].addr;
    assert_eq!(
        warnings,
        [format!("{by} sees us at {seen}, and what it sends to {advertised} does not arrive here")]
    );
}
