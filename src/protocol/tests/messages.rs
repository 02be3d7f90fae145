//! Messages to one node: they arrive once, or their sender knows.

use std::time::Duration;

use super::secs;
use super::world::World;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::node::Status;
use crate::protocol::{CallResult, EnqueueResult, Instant, Protocol, RequestId};
use crate::wire::body::{Fragment, FragmentAck, Progress, Refusal};
use crate::wire::{Body, DATAGRAM_MAX, Packet};

fn payload(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().step_by(31).take(length).collect()
}

fn send(world: &mut World, from: usize, to: usize, payload: &[u8]) -> Result<RequestId> {
    let name = world.hosts[to].name.clone();
    world.call(from, |protocol, now| protocol.send(now, &name, payload.to_vec()))
}

/// Runs until a message is answered; how, and after what time.
#[track_caller]
fn answer(world: &mut World, at: usize, call: RequestId) -> (Result<()>, Duration) {
    let since = world.now;
    assert!(world.run_until(secs(20), |world| world.hosts[at].answers.contains_key(&call)), "no answer");
    match world.hosts[at].answers.remove(&call) {
        Some(CallResult::Sent(result)) => (result, world.now.since(since)),
        other => panic!("{other:?}"),
    }
}

/// What a host was sent: by whom, and what.
fn messages(world: &World, at: usize) -> Vec<(String, Vec<u8>)> {
    let events = world.hosts[at].events.iter();
    let message = |event: &Event| match event {
        Event::Message { from, payload } => Some((from.name().to_owned(), payload.clone())),
        _ => None,
    };
    events.filter_map(|(_, event)| message(event)).collect()
}

fn fragment(number: u64, total: u32, index: u32, bytes: &[u8]) -> Body<'_> {
    Body::Fragment(Fragment { ask: 1, number, behind: number - 1, total, size: 1_024, index, bytes })
}

/// Gives a host a datagram of another one, by way of the network.
fn deliver(world: &mut World, from: usize, to: usize, datagram: &[u8]) {
    let (now, addr) = (world.now, world.hosts[from].addr);
    world.call(to, |protocol, _| protocol.handle_datagram(now, now, addr, datagram));
}

/// What a host says of the messages of another one, from now on.
fn record(world: &mut World) {
    world.recorded = Some(Vec::new());
}

fn acks(world: &mut World) -> Vec<String> {
    let recorded = world.recorded.take().unwrap();
    let mut acks = Vec::new();
    for (_, _, datagram) in recorded {
        for body in Packet::decode(&datagram).unwrap().bodies() {
            if let Body::FragmentAck(FragmentAck { number, progress, .. }) = body {
                acks.push(match progress {
                    Progress::Receiving { next, .. } => format!("{number} receiving {next}"),
                    Progress::Delivered => format!("{number} delivered"),
                    Progress::Refused(refusal) => format!("{number} {refusal:?}"),
                });
            }
        }
    }
    acks
}

#[test]
fn messages_of_any_length_arrive_once_and_whole() {
    let mut world = World::cluster(1, 3);
    for (to, length) in [(1, 0), (2, 1), (1, 1_309), (1, 1_310), (2, 1_311), (2, 100_000), (1, 1 << 20)] {
        let call = send(&mut world, 0, to, &payload(length)).unwrap();
        let (result, time) = answer(&mut world, 0, call);
        result.unwrap();
        let arrived = messages(&world, to);
        assert_eq!(arrived.last().unwrap(), &("n0".to_owned(), payload(length)));
        assert!(time < Duration::from_millis(100), "{length} bytes took {time:?}");
    }
    assert_eq!((messages(&world, 1).len(), messages(&world, 2).len()), (4, 3));
    let metrics = world.hosts[0].protocol.metrics();
    assert_eq!((metrics.messages_sent, metrics.messages_failed), (7, 0));
    // The network changes the order all the time.
    assert!(metrics.fragments_resent < metrics.fragments_sent / 10, "{metrics:?}");
}

#[test]
fn datagrams_are_filled_but_for_what_encryption_will_need() {
    let mut world = World::new(2);
    world.grow(2);
    record(&mut world);
    let call = send(&mut world, 0, 1, &payload(300_000)).unwrap();
    answer(&mut world, 0, call).0.unwrap();
    let longest = world.recorded.take().unwrap().iter().map(|(_, _, datagram)| datagram.len()).max();
    let full = DATAGRAM_MAX - 28;
    assert!((full - 16..=full).contains(&longest.unwrap()), "{longest:?}");
}

#[test]
fn a_member_that_becomes_another_run_repeats_no_message_that_may_have_come() {
    let mut world = World::cluster(3, 3);
    let renew = |protocol: &mut Protocol, now| protocol.renew(now, protocol.core.generation);
    world.deafen(0, true);
    let short = send(&mut world, 0, 1, b"once").unwrap();
    let long = send(&mut world, 0, 2, &payload(100_000)).unwrap();
    assert!(world.run_until(secs(1), |world| !messages(world, 1).is_empty()));
    world.call(0, renew);
    world.deafen(0, false);
    assert!(matches!(answer(&mut world, 0, short).0, Err(Error::Timeout)));
    answer(&mut world, 0, long).0.unwrap();
    world.run(secs(6));
    assert_eq!(messages(&world, 1), [("n0".to_owned(), b"once".to_vec())]);
    assert_eq!(messages(&world, 2), [("n0".to_owned(), payload(100_000))]);
}

#[test]
fn messages_arrive_once_through_loss_and_duplication() {
    let mut world = World::cluster(4, 2);
    world.loss = 250;
    world.duplication = 100;
    let mut calls = Vec::new();
    for number in 0..50 {
        calls.push(send(&mut world, 0, 1, &payload(number * 1_000)).unwrap());
    }
    for call in calls {
        answer(&mut world, 0, call).0.unwrap();
    }
    world.run(secs(2));
    let mut lengths: Vec<usize> = messages(&world, 1).iter().map(|(_, payload)| payload.len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, (0..50).map(|number| number * 1_000).collect::<Vec<_>>());
}

#[test]
fn a_call_that_can_not_succeed_says_so_at_once() {
    let mut world = World::cluster(5, 4);
    world.call(2, |protocol, now| protocol.leave(now, secs(5)));
    world.run(secs(1));
    world.crash(2);
    world.crash(3);
    assert!(world.run_until(secs(20), |world| world.status(0, 3) == Some(Status::Dead)));
    let to_nobody = world.call(0, |protocol, now| protocol.send(now, "nobody", b"x".to_vec()));
    assert!(matches!(to_nobody, Err(Error::UnknownNode(name)) if name == "nobody"));
    let left = send(&mut world, 0, 2, b"x");
    assert!(matches!(left, Err(Error::NotActive { name, status: Status::Left }) if name == "n2"));
    let dead = send(&mut world, 0, 3, b"x");
    assert!(matches!(dead, Err(Error::NotActive { name, status: Status::Dead }) if name == "n3"));
    assert!(matches!(send(&mut world, 0, 0, b"x"), Err(Error::OwnNode)));
    let long = send(&mut world, 0, 1, &payload((1 << 20) + 1));
    assert!(matches!(long, Err(Error::TooLarge { size: 1_048_577, limit: 1_048_576, .. })));
}

#[test]
fn who_has_no_room_or_no_listener_refuses() {
    for enqueued in [EnqueueResult::NoRoom, EnqueueResult::NobodyListens] {
        let mut world = World::cluster(6, 2);
        world.hosts[1].enqueued = enqueued;
        let call = send(&mut world, 0, 1, &payload(10_000)).unwrap();
        assert!(matches!(answer(&mut world, 0, call).0, Err(Error::Refused)));
        // It stays refused, and later messages are fine.
        world.hosts[1].enqueued = EnqueueResult::Taken;
        let call = send(&mut world, 0, 1, b"later").unwrap();
        answer(&mut world, 0, call).0.unwrap();
        world.run(secs(5));
        assert_eq!(messages(&world, 1), [("n0".to_owned(), b"later".to_vec())]);
    }
}

#[test]
fn a_receiver_that_takes_less_refuses() {
    let mut world = World::new(7);
    world.add();
    world.settings.max_message = 1_000;
    world.add();
    world.join(1, &[0]);
    assert!(world.run_until(secs(5), World::is_converged));
    let call = send(&mut world, 0, 1, &payload(1_001)).unwrap();
    assert!(matches!(answer(&mut world, 0, call).0, Err(Error::Refused)));
}

#[test]
fn a_crash_ends_what_was_all_sent_with_a_timeout_and_what_was_not_with_the_death() {
    let mut world = World::new(8);
    world.settings.send_timeout = secs(60);
    world.grow(3);
    world.crash(1);
    let short = send(&mut world, 0, 1, b"all of it is in the first datagram").unwrap();
    let long = send(&mut world, 0, 1, &payload(1 << 20)).unwrap();
    assert!(matches!(answer(&mut world, 0, short).0, Err(Error::Timeout)));
    assert_eq!(world.status(0, 1), Some(Status::Dead));
    let (result, _) = answer(&mut world, 0, long);
    assert!(matches!(result, Err(Error::NotActive { name, status: Status::Dead }) if name == "n1"));
}

#[test]
fn nobody_answers_within_the_send_timeout() {
    let mut world = World::cluster(9, 2);
    world.drops = Some(Box::new(|_, packet| packet.bodies().any(|body| matches!(body, Body::Fragment(_)))));
    let call = send(&mut world, 0, 1, b"x").unwrap();
    let (result, time) = answer(&mut world, 0, call);
    assert!(matches!(result, Err(Error::Timeout)));
    assert!((secs(5)..secs(5) + Duration::from_millis(10)).contains(&time), "{time:?}");
}

#[test]
fn a_restart_of_the_receiver_ends_what_was_for_its_earlier_run() {
    let mut world = World::cluster(10, 3);
    world.crash(1);
    let call = send(&mut world, 0, 1, b"for the first run").unwrap();
    world.restart(1);
    world.join(1, &[2]);
    assert!(matches!(answer(&mut world, 0, call).0, Err(Error::Restarted)));
    let call = send(&mut world, 0, 1, b"for the second run").unwrap();
    answer(&mut world, 0, call).0.unwrap();
    assert_eq!(messages(&world, 1), [("n0".to_owned(), b"for the second run".to_vec())]);
}

#[test]
fn a_restart_of_the_sender_begins_anew() {
    let mut world = World::cluster(11, 2);
    for _ in 0..3 {
        let call = send(&mut world, 0, 1, b"again").unwrap();
        answer(&mut world, 0, call).0.unwrap();
        world.crash(0);
        world.restart(0);
        world.join(0, &[1]);
        assert!(world.run_until(secs(5), World::is_converged));
    }
    assert_eq!(messages(&world, 1).len(), 3);
}

#[test]
fn suspects_are_sent_to_and_who_leaves_sends_no_more() {
    let mut world = World::cluster(12, 3);
    world.crash(2);
    let is_suspect = |world: &World| {
        let entry = world.hosts[0].protocol.core.members.get(world.hash(2));
        entry.is_some_and(|entry| entry.status == Status::Suspect)
    };
    assert!(world.run_until(secs(20), is_suspect));
    assert!(send(&mut world, 0, 2, b"x").is_ok());
    world.call(0, |protocol, now| protocol.leave(now, secs(5)));
    assert!(matches!(send(&mut world, 0, 1, b"x"), Err(Error::Closed)));
}

#[test]
fn who_hides_all_others_ends_what_is_under_way_to_them() {
    let mut world = World::new(13);
    world.settings.send_timeout = secs(300);
    world.grow(3);
    world.cut(&[0], &[1, 2], true);
    let call = send(&mut world, 0, 1, &payload(1 << 20)).unwrap();
    let hidden = |world: &World| world.hosts[0].protocol.nodes().count() == 1;
    assert!(world.run_until(secs(100), hidden));
    let (result, _) = answer(&mut world, 0, call);
    assert!(matches!(result, Err(Error::NotActive { status: Status::Dead, .. })), "{result:?}");
    assert!(matches!(send(&mut world, 0, 1, b"x"), Err(Error::NotActive { status: Status::Dead, .. })));
}

#[test]
fn a_replayed_message_is_delivered_once_also_after_the_receiver_restarted() {
    let mut world = World::cluster(14, 2);
    record(&mut world);
    let call = send(&mut world, 0, 1, &payload(3_000)).unwrap();
    answer(&mut world, 0, call).0.unwrap();
    let addr = world.hosts[1].addr;
    let recorded = world.recorded.take().unwrap();
    let old: Vec<Vec<u8>> =
        recorded.into_iter().filter(|(_, to, _)| *to == addr).map(|(_, _, datagram)| datagram).collect();
    record(&mut world);
    old.iter().for_each(|datagram| deliver(&mut world, 0, 1, datagram));
    assert!(acks(&mut world).iter().all(|ack| ack == "1 delivered"), "it is told again what became of it");
    assert_eq!(messages(&world, 1).len(), 1);

    // And when its sender has done with it, nothing is said at all.
    let call = send(&mut world, 0, 1, b"next").unwrap();
    answer(&mut world, 0, call).0.unwrap();
    record(&mut world);
    old.iter().for_each(|datagram| deliver(&mut world, 0, 1, datagram));
    assert_eq!(acks(&mut world), [""; 0]);

    world.restart(1);
    world.join(1, &[0]);
    assert!(world.run_until(secs(5), World::is_converged));
    old.iter().for_each(|datagram| deliver(&mut world, 0, 1, datagram));
    assert_eq!(messages(&world, 1), []);
}

#[test]
fn fragments_of_whom_nobody_knows_are_dropped_and_counted() {
    let mut world = World::cluster(15, 2);
    let stranger = world.forge_stranger("stranger", 1, &[fragment(1, 1, 0, b"x")]);
    // Its sender is known, but not from there.
    let elsewhere = world.forge(0, 1, &[fragment(1, 1, 0, b"x")]);
    let before = world.hosts[1].protocol.metrics();
    for datagram in [stranger, elsewhere] {
        let (now, from) = (world.now, std::net::SocketAddr::from(([10, 66, 6, 6], 666)));
        world.call(1, |protocol, _| protocol.handle_datagram(now, now, from, &datagram));
    }
    let after = world.hosts[1].protocol.metrics();
    assert_eq!(after.unknown_sender - before.unknown_sender, 2);
    // The sender that is known is answered that it is not known there.
    assert_eq!(after.datagrams_sent, before.datagrams_sent + 1);
    assert_eq!(messages(&world, 1), []);
}

#[test]
fn many_fragments_in_one_datagram_bring_one_ack() {
    let mut world = World::cluster(16, 2);
    let bodies: Vec<Body<'_>> = (1..=100).map(|number| fragment(number, 1, 0, b"x")).collect();
    let datagram = world.forge(0, 1, &bodies);
    record(&mut world);
    deliver(&mut world, 0, 1, &datagram);
    assert_eq!(acks(&mut world), ["1 delivered"]);
    assert_eq!(messages(&world, 1).len(), 1);
}

#[test]
fn a_known_sender_that_lies_costs_no_more_than_its_bound() {
    let mut world = World::cluster(17, 3);
    let part = payload(1_024);
    record(&mut world);
    // Every length is as much as can be told, and none of it is completed.
    for number in 1..=200 {
        for index in 0..100 {
            let datagram = world.forge(0, 1, &[fragment(number, 1 << 20, index, &part)]);
            deliver(&mut world, 0, 1, &datagram);
        }
    }
    let bounds = world.hosts[1].protocol.bounds();
    assert!(bounds.iter().all(|bound| bound.count <= bound.max), "{bounds:?}");
    let held = bounds.iter().find(|bound| bound.what == "bytes of incomplete messages").unwrap();
    assert!((1..=4 << 20).contains(&held.count), "{held:?}");
    assert!(acks(&mut world).iter().any(|ack| *ack == format!("200 {:?}", Refusal::Overloaded)));
    // Others are not held up, and silence ends it.
    let call = send(&mut world, 2, 1, &payload(100_000)).unwrap();
    answer(&mut world, 2, call).0.unwrap();
    world.run(secs(40));
    let bounds = world.hosts[1].protocol.bounds();
    let held = bounds.iter().find(|bound| bound.what == "bytes of incomplete messages").unwrap();
    assert_eq!(held.count, 0);
}

#[test]
fn acks_that_lie_end_no_message_of_others_and_do_no_harm() {
    let mut world = World::cluster(18, 3);
    world.cut(&[0], &[1], true);
    let call = send(&mut world, 0, 1, &payload(50_000)).unwrap();
    let ack = |number, progress| Body::FragmentAck(FragmentAck { ask: 0, number, progress });
    let beyond = crate::wire::lists::Bits::default();
    let lies = [ack(1, Progress::Delivered), ack(1, Progress::Receiving { next: u32::MAX, beyond })];
    // Of another node; of a number that nobody used.
    for datagram in [world.forge(2, 0, &lies), world.forge(1, 0, &[ack(2, Progress::Delivered)])] {
        let from = if datagram == world.forge(2, 0, &lies) { 2 } else { 1 };
        deliver(&mut world, from, 0, &datagram);
    }
    assert!(!world.hosts[0].answers.contains_key(&call));
    // Of the receiver itself: only its own message is spoilt.
    let everything = world.forge(1, 0, &[ack(1, Progress::Receiving { next: u32::MAX, beyond })]);
    deliver(&mut world, 1, 0, &everything);
    assert!(matches!(answer(&mut world, 0, call).0, Err(Error::Timeout)));
}

/// It took 4.9 s: what was under way to the others was all that may be.
#[test]
fn a_message_to_a_healthy_node_is_not_held_up_by_others_that_hang() {
    let mut world = World::cluster(20, 18);
    world.run(secs(2));
    for hung in 2..18 {
        world.pause(hung);
    }
    let long = payload(1 << 20);
    for call in 0..48 {
        send(&mut world, 0, 2 + call % 16, &long).unwrap();
    }
    world.run(Duration::from_millis(100));
    for length in [5, 1_000, 100_000] {
        let call = send(&mut world, 0, 1, &payload(length)).unwrap();
        let (result, time) = answer(&mut world, 0, call);
        result.unwrap();
        assert!(time <= Duration::from_millis(10), "{length} bytes took {time:?}");
    }
}

/// 32 of 50 were refused, because there was no room to put them together.
#[test]
fn fifty_senders_of_long_messages_to_one_node_take_their_turn() {
    for loss in [0, 100] {
        let mut world = World::cluster(21, 51);
        world.run(secs(2));
        world.loss = loss;
        let long = payload(1 << 20);
        let calls: Vec<_> = (1..51).map(|from| (from, send(&mut world, from, 0, &long).unwrap())).collect();
        for (from, call) in calls {
            answer(&mut world, from, call).0.unwrap();
        }
        let received = world.hosts[0].protocol.metrics().messages_received;
        println!(
            "loss {loss}: {received} received, {:?} early",
            world.hosts[0].protocol.metrics().fragments_early
        );
        assert_eq!(received, 50);
    }
}

/// Messages that were begun and go on no more stood in the way of all others for 30 s.
#[test]
fn senders_that_hang_give_way_to_those_that_wait() {
    let mut world = World::cluster(22, 40);
    world.run(secs(2));
    let long = payload(1 << 20);
    for from in 1..20 {
        send(&mut world, from, 0, &long).unwrap();
    }
    world.run(Duration::from_millis(3));
    for hung in 1..20 {
        world.pause(hung);
    }
    let calls: Vec<_> = (20..40).map(|from| (from, send(&mut world, from, 0, &long).unwrap())).collect();
    for (from, call) in calls {
        answer(&mut world, from, call).0.unwrap();
    }
    let metrics = world.hosts[0].protocol.metrics();
    assert!((1..=16).contains(&metrics.messages_refused), "{}", metrics.messages_refused);
}

#[test]
fn a_message_costs_few_datagrams_and_nothing_when_it_is_over() {
    let mut world = World::cluster(19, 2);
    world.run(secs(5));
    let before = world.sent.0;
    let call = send(&mut world, 0, 1, &payload(1 << 20)).unwrap();
    let (result, time) = answer(&mut world, 0, call);
    result.unwrap();
    let datagrams = world.sent.0 - before;
    println!("1 MiB in {time:?} and {datagrams} datagrams");
    assert!(datagrams < 806 * 3 / 2, "{datagrams}");
    assert_eq!(world.hosts[0].protocol.messages.next_due(), None);
    let since: Instant = world.now;
    world.run(secs(1));
    assert!(world.story(1, since).is_empty());
}
