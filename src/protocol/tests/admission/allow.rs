//! Lists of who may be in: nobody else gets into a view, by whichever way, nor is sent anything.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::secs;
use super::super::world::{World, addr_of};
use crate::allow::Allow;
use crate::error::Error;
use crate::protocol::CallResult;

/// Outside the network of the lists.
fn abroad() -> SocketAddr {
    SocketAddr::from(([10, 2, 0, 8], 7990))
}

/// Names of hosts that begin with an n, in the network that [`addr_of`] gives addresses of.
fn listed() -> Allow {
    let mut allow = Allow::default();
    allow.set_networks(&["10.1.0.0/16".to_owned()]).unwrap();
    allow.set_names(&["n*".to_owned()]).unwrap();
    allow
}

/// Three members with lists, and a fourth without, which lets in whoever comes.
fn lists_and_a_door(seed: u64) -> World {
    let mut world = World::new(seed);
    world.settings.allow = listed();
    world.grow(3);
    world.settings.allow = Allow::default();
    let door = world.add();
    world.join(door, &[0]);
    assert!(world.run_until(secs(10), World::is_converged), "{}", world.sizes());
    world
}

/// What a join has brought, and how long it took at most.
fn joined(world: &mut World, index: usize, seeds: &[usize]) -> Result<(), Vec<(SocketAddr, Error)>> {
    let call = world.join(index, seeds);
    assert!(world.run_until(secs(6), |world| world.hosts[index].answers.contains_key(&call)));
    match world.hosts[index].answers.remove(&call) {
        Some(CallResult::Joined(outcome)) => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_not_on_the_lists_gets_into_no_view_by_rumor_or_sync_and_is_sent_nothing() {
    let mut world = lists_and_a_door(1);
    world.recorded = Some(Vec::new());
    let odd = world.add_named("odd", addr_of(4));
    let far = world.add_named("n5", abroad());
    for newcomer in [odd, far] {
        joined(&mut world, newcomer, &[3]).unwrap();
    }
    let since = world.now;
    world.run(secs(120));
    for at in 0..3 {
        let names: Vec<String> = world.hosts[at].protocol.all_nodes().map(|node| node.to_string()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(world.story(at, since).is_empty(), "{:?}", world.story(at, since));
        assert!(world.hosts[at].protocol.metrics().not_allowed > 0);
        let to_foreigner =
            |(from, to, _): &&(SocketAddr, SocketAddr, Vec<u8>)| *from == addr_of(at) && *to == abroad();
        assert_eq!(world.recorded.as_ref().unwrap().iter().filter(to_foreigner).count(), 0);
    }
    // Nobody takes anybody for dead for it.
    assert!(world.story(3, since).is_empty(), "{:?}", world.story(3, since));
    assert_eq!(world.hosts[3].protocol.nodes().count(), 6);
}

#[test]
fn a_joiner_that_is_not_on_the_lists_is_told_so_by_name_and_nothing_by_address() {
    let mut world = lists_and_a_door(2);
    let odd = world.add_named("odd", addr_of(4));
    let errors = joined(&mut world, odd, &[0]).unwrap_err();
    assert!(matches!(errors[..], [(_, Error::Refused)]), "{errors:?}");
    // At an address of the network, and telling another one.
    let liar = world.add_named("n6", abroad());
    world.hosts[liar].addr = addr_of(6);
    let errors = joined(&mut world, liar, &[0]).unwrap_err();
    assert!(matches!(errors[..], [(_, Error::NoAnswer | Error::Refused)]), "{errors:?}");

    world.recorded = Some(Vec::new());
    let far = world.add_named("n5", abroad());
    let errors = joined(&mut world, far, &[0, 1]).unwrap_err();
    assert!(matches!(errors[..], [(_, Error::NoAnswer), (_, Error::NoAnswer)]), "{errors:?}");
    assert!(world.recorded.unwrap().iter().all(|(_, to, _)| *to != abroad()));
    assert!(world.hosts[0].protocol.metrics().not_allowed > 0);
    assert_eq!(world.hosts[0].protocol.nodes().count(), 4);
}

#[test]
fn a_member_does_not_join_through_a_seed_that_is_not_on_its_own_lists() {
    let mut world = World::new(3);
    world.add_named("odd", addr_of(0));
    world.add_named("n1", abroad());
    world.add_named("n2", addr_of(2));
    joined(&mut world, 1, &[0]).unwrap();
    joined(&mut world, 2, &[0]).unwrap();
    world.settings.allow = listed();
    let strict = world.add_named("n3", addr_of(3));
    let errors = joined(&mut world, strict, &[0, 1]).unwrap_err();
    assert!(matches!(errors[..], [(_, Error::Refused), (_, Error::Refused)]), "{errors:?}");
    joined(&mut world, strict, &[0, 1, 2]).unwrap();
    world.run(secs(5));
    assert!(world.hosts[strict].protocol.node("n2").is_some());
    assert_eq!(world.hosts[strict].protocol.all_nodes().count(), 2, "{}", world.dump());
}

#[test]
fn a_seed_of_the_configuration_that_is_not_on_the_lists_is_never_asked() {
    let mut world = World::new(4);
    world.settings.discovers = true;
    world.settings.allow = listed();
    world.seeds = vec![abroad(), addr_of(1)];
    world.recorded = Some(Vec::new());
    world.add();
    world.run(secs(30));
    let recorded = world.recorded.take().unwrap();
    assert!(recorded.iter().all(|(_, to, _)| *to == addr_of(1)) && !recorded.is_empty());
    assert!(world.hosts[0].protocol.metrics().not_allowed > 0);
}

#[test]
fn lists_that_differ_cost_a_comparison_now_and_then_and_no_storm() {
    let mut world = lists_and_a_door(5);
    let odd = world.add_named("odd", addr_of(4));
    joined(&mut world, odd, &[3]).unwrap();
    let syncs = |world: &World| -> u64 { world.hosts.iter().map(|host| host.protocol.metrics().syncs).sum() };
    world.run(secs(60));
    let (before, sent) = (syncs(&world), world.sent);
    world.run(secs(600));
    let (calm, bytes) = (syncs(&world) - before, world.sent.1 - sent.1);
    println!("at rest: {calm} syncs in 600 s, {bytes} bytes in all");
    let before = syncs(&world);
    let sent = world.sent;
    for number in 0..1_200_u32 {
        world.call(0, |protocol, now| protocol.update(now, &[("k", Some(&number.to_be_bytes()))]).unwrap());
        world.run(Duration::from_millis(500));
    }
    let (busy, bytes) = (syncs(&world) - before, world.sent.1 - sent.1);
    println!("with two writes a second: {busy} syncs in 600 s, {bytes} bytes in all");
    // Each of the five comes to 30 s between two; while its view changes it looks at most at each second probe.
    assert!(calm <= 5 * 600 / 30 + 5 && busy <= 5 * 600 / 2, "{calm}, {busy}");
}
