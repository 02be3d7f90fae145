//! Members behind translators: what arrives, and what is taken for dead.

use std::time::Duration;

use super::{cluster, name, secs};
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::events::Events;
use crate::member::Member;
use crate::node::Status;
use crate::sim::{Cluster, Translator};

/// What members have seen of each other since they were watched.
struct Watch<'a> {
    members: Vec<(&'a Member, Events)>,
}

impl<'a> Watch<'a> {
    fn new(members: impl IntoIterator<Item = &'a Member>) -> Self {
        Self { members: members.into_iter().map(|member| (member, member.events())).collect() }
    }

    /// What was held against nodes: a line for each suspicion and each death.
    fn accusations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (member, events) in &self.members {
            let accuses = |event: &Event| matches!(event, Event::Suspected(_) | Event::Died { .. });
            found
                .extend(events.try_iter().filter(accuses).map(|event| format!("{}: {event}", member.name())));
        }
        found
    }
}

/// Sends a message from each to each. Returns the pairs between which none arrived, and asserts that each of the others
/// took less than a second.
fn failed_sends(cluster: &Cluster, members: &[&Member]) -> Vec<(String, String, Duration)> {
    let _listening: Vec<Events> = members.iter().map(|member| member.events()).collect();
    let mut failed = Vec::new();
    for from in members {
        for to in members.iter().filter(|to| to.name() != from.name()) {
            let since = cluster.now();
            let result = from.send(to.name(), &[7; 3_000]);
            let took = cluster.now() - since;
            match result {
                Ok(()) => assert!(took < secs(1), "{} to {}: {took:?}", from.name(), to.name()),
                Err(Error::Timeout) => failed.push((from.name().to_owned(), to.name().to_owned(), took)),
                Err(error) => panic!("{} to {}: {error}", from.name(), to.name()),
            }
        }
    }
    failed
}

/// Asserts that states and broadcasts of each member come to all others within a tenth of a second.
fn assert_spreads(cluster: &Cluster, members: &[&Member], what: &str) {
    for from in members {
        let streams: Vec<Events> = members.iter().map(|member| member.events()).collect();
        from.set("key", what).unwrap();
        from.broadcast(what.as_bytes()).unwrap();
        cluster.run(Duration::from_millis(200));
        for (to, events) in members.iter().zip(&streams).filter(|(to, _)| to.name() != from.name()) {
            let shown = to.node(from.name()).unwrap();
            assert_eq!(shown.text("key"), Some(what), "of {} at {}", from.name(), to.name());
            let is_it = |event: &Event| matches!(event, Event::Broadcast { payload, .. } if payload == what.as_bytes());
            assert!(events.try_iter().any(|event| is_it(&event)), "of {} at {}", from.name(), to.name());
        }
    }
}

/// Messages to it timed out, states and broadcasts came only by repair, and the member was accused 1,415 times an hour.
#[test]
fn a_member_with_a_mapped_port_is_like_all_others_for_an_hour() {
    for (per_destination, forgets_after) in [(false, secs(30)), (true, secs(30)), (true, secs(3))] {
        let (cluster, members) = cluster(1, 4);
        let bridge = Translator::new([203, 0, 113, 7]).map(9001, "x");
        let bridge = bridge.per_destination(per_destination).forget_after(forgets_after);
        cluster.translate(&["x"], bridge);
        let x = cluster.add(Config::lan().name("x").advertise("203.0.113.7:9001")).unwrap();
        x.join("n0").unwrap();
        let all: Vec<&Member> = members.iter().chain([&x]).collect();
        let watch = Watch::new(all.iter().copied());
        assert!(failed_sends(&cluster, &all).is_empty());
        assert_spreads(&cluster, &all, "at first");
        cluster.run(secs(1_800));
        cluster.flush("x");
        let pings = members.iter().map(|member| (member, "x")).chain([(&x, "n0"), (&x, "n3")]);
        for (member, name) in pings {
            assert!(member.ping(name).is_ok(), "{} to {name}", member.name());
        }
        cluster.run(secs(1_800));
        assert!(failed_sends(&cluster, &all).is_empty());
        assert_spreads(&cluster, &all, "after an hour");
        let refutations: u64 = all.iter().map(|member| member.metrics().refutations).sum();
        let accusations = watch.accusations();
        println!("{per_destination}, {forgets_after:?}: {refutations} refutations, {accusations:?}");
        assert_eq!((refutations, accusations.len()), (0, 0), "{accusations:?}");
    }
}

/// Three members behind one router, with mapped ports, and three outside.
fn six(cluster: &Cluster, hairpin: bool) -> Vec<Member> {
    let inside = ["n0", "n1", "n2"];
    let mut router = Translator::new([203, 0, 113, 7]).hairpin(hairpin);
    for (number, name) in inside.into_iter().enumerate() {
        router = router.map(9_000 + u16::try_from(number).unwrap(), name);
    }
    cluster.translate(&inside, router);
    let config = |index: usize| {
        let config = Config::lan().name(name(index));
        if index < inside.len() { config.advertise(format!("203.0.113.7:{}", 9_000 + index)) } else { config }
    };
    let members: Vec<Member> = (0..6).map(|index| cluster.add(config(index)).unwrap()).collect();
    // The last one outside is the seed of all.
    for member in &members[..5] {
        member.join("n5").unwrap();
    }
    let is_whole = |_: &Cluster| members.iter().all(|member| member.nodes().len() == 6);
    assert!(cluster.run_until(secs(10), is_whole));
    members
}

#[test]
fn three_behind_one_router_and_three_outside_are_one_cluster() {
    let cluster = Cluster::new(1);
    let members = six(&cluster, true);
    let all: Vec<&Member> = members.iter().collect();
    assert!(failed_sends(&cluster, &all).is_empty());
    assert_spreads(&cluster, &all, "all");
    let watch = Watch::new([&members[1], &members[2], &members[4], &members[5]]);
    cluster.run(secs(60));
    assert_eq!(watch.accusations(), Vec::<String>::new());
    for killed in ["n0", "n3"] {
        cluster.crash(killed);
        let survivors = || [1, 2, 4, 5].map(|index| members[index].nodes());
        let is_gone = |_: &Cluster| survivors().iter().all(|nodes| nodes.get(killed).is_none());
        assert!(cluster.run_until(secs(10), is_gone), "{killed}");
        cluster.run(secs(60));
        let accusations = watch.accusations();
        assert!(accusations.iter().all(|line| line.contains(killed)), "{accusations:?}");
        cluster.flush("n1");
        cluster.run(secs(300));
        assert_eq!(watch.accusations(), Vec::<String>::new(), "after {killed}");
    }
    assert!(failed_sends(&cluster, &[1, 2, 4, 5].map(|index| &members[index])).is_empty());
    cluster.assert_converged();
}

#[test]
fn without_a_hairpin_those_behind_one_router_are_alive_by_relays_and_have_no_messages() {
    let cluster = Cluster::new(1);
    let members = six(&cluster, false);
    let all: Vec<&Member> = members.iter().collect();
    let watch = Watch::new(all.iter().copied());
    let failed = failed_sends(&cluster, &all);
    assert_eq!(failed.len(), 6, "{failed:?}");
    for (from, to, took) in failed {
        assert!(["n0", "n1", "n2"].contains(&&*from) && ["n0", "n1", "n2"].contains(&&*to));
        assert!(took <= secs(6), "{from} to {to}: {took:?}");
    }
    assert_spreads(&cluster, &all, "all");
    cluster.run(secs(300));
    cluster.flush("n1");
    cluster.run(secs(300));
    for (index, member) in members.iter().enumerate() {
        let reach = member.reach();
        println!("{}: {reach}", member.name());
        for peer in reach.peers() {
            let is_inside = |name: &str| ["n0", "n1", "n2"].contains(&name);
            let is_relayed = is_inside(member.name()) && is_inside(peer.name());
            assert_eq!(peer.relay().is_some(), is_relayed, "{}: {peer:?}", member.name());
            let is_recent = |ago: Option<Duration>| ago.is_some_and(|ago| ago < secs(12));
            assert_eq!((is_recent(peer.answered()), is_recent(peer.heard())), (!is_relayed, !is_relayed));
        }
        assert!(index > 2 || reach.seen().is_none_or(|seen| seen.ip() == reach.advertised().ip()));
    }
    let accusations = watch.accusations();
    let alive = members.iter().all(|member| member.nodes().iter().all(|node| node.status() == Status::Alive));
    println!("{accusations:?}; {:?}", members.iter().map(Member::health).collect::<Vec<_>>());
    assert!(alive && accusations.is_empty(), "{accusations:?}");
    cluster.crash("n0");
    let is_gone = |_: &Cluster| members[1..].iter().all(|member| member.nodes().get("n0").is_none());
    assert!(cluster.run_until(secs(10), is_gone));
}

/// An address that each host has for itself, as that of a bridge for containers: a member that advertises it is reached
/// by one neighbour only, and all others reach themselves there.
#[test]
fn a_member_that_advertises_an_address_that_each_host_has_dies_when_it_is_dead() {
    for n in [5, 24] {
        let bridge = "172.17.0.1:7990";
        let cluster = Cluster::new(1);
        let mut members = Vec::new();
        for number in 0..n {
            let (own, last) = (name(number), u8::try_from(number).unwrap() + 1);
            let host = Translator::new([203, 0, 113, last]).map(7_990, &own).keep_ports(true);
            cluster.translate(&[&own], host);
            cluster.addresses(&own, ["192.168.1.1:7990", bridge].map(|addr| addr.parse().unwrap()));
            let config = Config::lan().name(own).advertise(format!("203.0.113.{last}:7990"));
            members.push(cluster.add(config).unwrap());
        }
        let router = Translator::new([203, 0, 113, 99]).map(7_990, "near").hairpin(true);
        cluster.translate(&["near", "x"], router);
        cluster.addresses("near", ["172.17.0.2:7990".parse().unwrap()]);
        cluster.addresses("x", [bridge.parse().unwrap()]);
        members.push(cluster.add(Config::lan().name("near").advertise("203.0.113.99:7990")).unwrap());
        let x = cluster.add(Config::lan().name("x")).unwrap();
        for member in &members[1..] {
            member.join("203.0.113.1:7990").unwrap();
        }
        let is_whole = |_: &Cluster| members.iter().all(|member| member.nodes().len() == n + 1);
        assert!(cluster.run_until(secs(10), is_whole));
        let Err(Error::Join(refused)) = x.join("203.0.113.2:7990") else { panic!("it is let in") };
        assert!(matches!(refused[0].1, Error::BadAddress { .. }), "{refused:?}");
        let watch = Watch::new(&members);
        x.join("172.17.0.2:7990").unwrap();
        let has_x = |member: &Member| member.node("x").is_some_and(|node| node.status() == Status::Alive);
        assert!(cluster.run_until(secs(10), |_| members.iter().all(has_x)));
        cluster.run(secs(600));
        let accusations = watch.accusations();
        let refutations: u64 = members.iter().chain([&x]).map(|member| member.metrics().refutations).sum();
        let failed: u64 = members.iter().map(|member| member.metrics().probes_failed).sum();
        println!("{n}: {} accusations, {refutations} refutations, {failed} failed probes", accusations.len());
        println!("  health {:?}", members.iter().map(Member::health).collect::<Vec<_>>());
        assert!(members.iter().all(has_x));
        cluster.crash("x");
        cluster.crash("near");
        let since = cluster.now();
        let survivors = &members[..n];
        let is_gone = |_: &Cluster| survivors.iter().all(|member| member.nodes().get("x").is_none());
        let is_in_time = cluster.run_until(secs(600), is_gone);
        println!("  gone {is_in_time} after {:?}", cluster.now() - since);
        // The bound of a death that nobody can prove: two cycles, the isolation, six suspicions and two probes.
        assert!(is_in_time && cluster.now() - since < secs(54 + 2 * (n as u64 + 2)));
    }
}
