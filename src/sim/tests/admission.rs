//! Members that send from another address than they advertise, and addresses at which nothing arrives.

use std::net::SocketAddr;

use super::{cluster, name, secs};
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::member::Member;
use crate::node::Status;
use crate::sim::{Cluster, Translator};

fn outside(last: u8) -> Translator {
    Translator::new([203, 0, 113, last])
}

/// The answer that a member which could not join got from its only seed.
fn reason(result: Result<Member, Error>) -> Option<Error> {
    match result {
        Err(Error::Join(mut reasons)) => reasons.pop().map(|(_, reason)| reason),
        _ => None,
    }
}

#[test]
fn a_member_whose_advertised_address_nothing_reaches_is_not_let_in() {
    for loss in [0.0, 0.25] {
        let (cluster, members) = cluster(1, 4);
        let events = members[1].events();
        cluster.loss(loss);
        cluster.translate(&["x"], outside(7));
        let x = cluster.add(Config::lan().name("x").advertise("203.0.113.7:9001").seeds(["n0"])).unwrap();
        let reason = reason(x.join("n0"));
        cluster.run(secs(60));
        println!("loss {loss}: {reason:?}; {} refutations", x.metrics().refutations);
        let suspected = events.try_iter().filter(|event| matches!(event, Event::Suspected(_))).count();
        println!(
            "{suspected} suspected; views {:?}",
            members.iter().map(|m| m.nodes().len()).collect::<Vec<_>>()
        );
        let Some(Error::Unreachable { advertised, seen }) = reason else { panic!("{reason:?}") };
        assert_eq!(advertised, "203.0.113.7:9001".parse::<SocketAddr>().unwrap());
        assert_eq!(seen.ip(), advertised.ip());
        let reach = x.reach();
        assert_eq!((reach.advertised(), reach.seen()), (advertised, Some(seen)));
        let refused: Vec<_> = reach.refusals().iter().map(|(by, why)| (*by, why.to_string())).collect();
        let expected = format!("nobody is reached at {advertised}, though datagrams come from {seen}");
        assert_eq!(refused, [(members[0].addr(), expected)]);
        assert!(members.iter().all(|member| member.node("x").is_none()));
    }
}

#[test]
fn a_member_that_speaks_from_elsewhere_and_is_reached_where_it_says_is_like_all_others() {
    for (loss, per_destination) in [(0.0, false), (0.0, true), (0.25, false)] {
        let (cluster, members) = cluster(1, 4);
        cluster.loss(loss);
        cluster.translate(&["x"], outside(7).map(9001, "x").per_destination(per_destination));
        let x = cluster.add(Config::lan().name("x").advertise("203.0.113.7:9001")).unwrap();
        x.join("n0").unwrap();
        let events: Vec<_> = members.iter().map(Member::events).collect();
        cluster.run(secs(120));
        let suspected: usize = events
            .iter()
            .map(|events| {
                events
                    .try_iter()
                    .filter(|event| matches!(event, Event::Suspected(_) | Event::Died { .. }))
                    .count()
            })
            .sum();
        println!(
            "loss {loss}, {per_destination}: {suspected} suspected, {} refutations",
            x.metrics().refutations
        );
        cluster.loss(0.0);
        assert!(members.iter().all(|member| member.node("x").unwrap().status() == Status::Alive));
        assert!(members.iter().all(|member| member.ping("x").is_ok()));
        assert!(x.ping("n3").is_ok());
        cluster.assert_converged();
        assert_eq!(suspected, 0);
        assert!(loss > 0.0 || x.metrics().refutations == 0);
    }
}

/// A member that asked the other one at a second address was let in, and held a node that it could not reach.
#[test]
fn a_member_whose_advertised_address_nothing_reaches_lets_nobody_in() {
    let cluster = Cluster::new(1);
    let [advertised, other] = ["10.1.0.2:7990", "192.168.7.2:7990"].map(|addr| addr.parse().unwrap());
    cluster.addresses("s", [advertised, other]);
    let _s = cluster.add(Config::lan().name("s")).unwrap();
    cluster.addresses("j", ["192.168.7.1:7990".parse().unwrap()]);
    let j = cluster.add(Config::lan().name("j")).unwrap();
    cluster.cut_address("j", advertised);
    let reason = reason(j.join(other));
    let Some(Error::Unreachable { advertised: at, seen }) = reason else { panic!("{reason:?}") };
    assert_eq!((at, seen), (advertised, other));
    assert!(j.node("s").is_none());
    cluster.heal();
    let since = cluster.now();
    j.join(other).unwrap();
    println!("in after {:?}", cluster.now() - since);
    cluster.assert_converged();
}

/// With a key, what came from the address that was asked counted as from the one that is advertised, and the join never
/// ended.
#[test]
fn a_member_joins_by_an_address_that_the_seed_does_not_advertise() {
    let plain = |name: &str| Config::lan().name(name);
    join_by_another_address(plain);
    #[cfg(feature = "encryption")]
    {
        use crate::keyring::{Key, Keyring};
        join_by_another_address(|name| plain(name).keyring(Keyring::new(Key::from_bytes([7; 32]))));
    }
}

fn join_by_another_address(config: impl Fn(&str) -> Config) {
    let cluster = Cluster::new(1);
    let [advertised, other] = ["10.1.0.2:7990", "192.168.7.2:7990"].map(|addr| addr.parse().unwrap());
    cluster.addresses("s", [advertised, other]);
    let _s = cluster.add(config("s")).unwrap();
    cluster.addresses("j", ["192.168.7.1:7990".parse().unwrap()]);
    let j = cluster.add(config("j")).unwrap();
    let since = cluster.now();
    j.join(other).unwrap();
    // It knows the seed by now, at the other address.
    j.join(other).unwrap();
    assert!(cluster.now() - since < secs(2), "{:?}", cluster.now() - since);
    cluster.assert_converged();
}

#[test]
fn many_that_speak_from_one_address_join_at_once() {
    let cluster = Cluster::new(1);
    let seed = cluster.add(Config::lan().name("n0")).unwrap();
    let mut translator = outside(7);
    for number in 0..256_u16 {
        translator = translator.map(10_000 + number, &name(usize::from(number) + 1));
    }
    let names: Vec<String> = (1..=256).map(name).collect();
    cluster.translate(&names.iter().map(String::as_str).collect::<Vec<_>>(), translator.hairpin(true));
    let members: Vec<Member> = (0..256_u16)
        .map(|number| {
            let config = Config::lan().name(name(usize::from(number) + 1)).seeds(["n0"]);
            cluster.add(config.advertise(format!("203.0.113.7:{}", 10_000 + number))).unwrap()
        })
        .collect();
    assert!(cluster.run_until(secs(30), Cluster::is_converged));
    assert_eq!(seed.nodes().len(), 257);
    drop(members);
}

/// Each was sent six hellos in the first second, and ten in all, also when the join had come through long ago.
#[test]
fn dead_seeds_are_asked_at_a_pace_and_no_more_when_the_join_has_come_through() {
    let (cluster, members) = cluster(5, 2);
    let x = cluster.add(Config::lan().name("x")).unwrap();
    let dead: Vec<String> =
        (0..400).map(|host| format!("10.77.{}.{}:7990", host / 200, 1 + host % 200)).collect();
    let sent = || x.metrics().datagrams_sent;
    assert!(x.join(&dead).is_err());
    println!("{} datagrams in 5 s to 400 dead addresses", sent());
    assert!((500..=570).contains(&sent()), "{}", sent());

    let before = sent();
    let seeds: Vec<String> = dead.iter().cloned().chain([members[0].addr().to_string()]).collect();
    x.join(&seeds).unwrap();
    let joined = sent();
    cluster.run(secs(60));
    println!("{} until it had joined, {} in the minute after that", joined - before, sent() - joined);
    assert!(sent() - joined < 400, "{}", sent() - joined);
}
