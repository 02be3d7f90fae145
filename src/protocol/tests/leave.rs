//! Leaving: what it costs, and that nobody can have a member leave but that member.

use std::net::SocketAddr;
use std::time::Duration;

use super::secs;
use super::world::{World, addr_of};
use crate::node::{Incarnation, Status};
use crate::protocol::core::CookiePurpose;
use crate::protocol::{CallResult, Instant};
use crate::wire::body::{LeftAt, Vouch};
use crate::wire::{Body, Cookie, Packet, Seq, Verdict};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// That a host has left.
fn left(world: &World, subject: usize) -> Verdict {
    Verdict::left(world.hash(subject), world.generation(subject), Incarnation(0), LeftAt::default())
}

/// What one host says to another to leave, with a cookie.
fn leave(cookie: Cookie) -> Body<'static> {
    Body::Leave { seq: Seq(9), cookie, incarnation: Incarnation(0), left_at: LeftAt::default() }
}

/// How many bodies there are of some kind in what was recorded from one address.
fn count(
    recorded: &[(SocketAddr, SocketAddr, Vec<u8>)],
    from: SocketAddr,
    is_meant: impl Fn(&Body<'_>) -> bool,
) -> usize {
    let from = recorded.iter().filter(|(sender, _, _)| *sender == from);
    from.map(|(_, _, bytes)| Packet::decode(bytes).unwrap().bodies().filter(|body| is_meant(body)).count())
        .sum()
}

/// Has hosts leave at the same moment, each process ending as soon as its leave is over; how long the last one took.
fn leave_together(world: &mut World, leavers: std::ops::Range<usize>) -> Duration {
    let since = world.now;
    let mut calls: Vec<_> =
        leavers.map(|at| (at, world.call(at, |protocol, now| protocol.leave(now, secs(5))))).collect();
    while !calls.is_empty() {
        assert!(world.now.since(since) < secs(6), "{calls:?}");
        world.run(millis(1));
        calls.retain(|(at, call)| {
            let answer = world.hosts[*at].answers.get(call);
            assert!(matches!(answer, None | Some(CallResult::Left(Ok(())))), "{at}: {answer:?}");
            let is_over = answer.is_some();
            if is_over {
                world.crash(*at);
            }
            !is_over
        });
    }
    world.now.since(since)
}

/// Whether all but the last host show that it has left, and nothing else.
fn show_the_leave_alone(world: &World, since: Instant) {
    let last = world.hosts.len() - 1;
    let name = &world.hosts[last].name;
    for at in 0..last {
        assert_eq!(world.story(at, since), [format!("left {name}")], "at {at}");
        assert_eq!(world.status(at, last), Some(Status::Left));
    }
}

/// Each was believed at once, and told on: in 40 s with a million of them, members were seen to leave and come back 531
/// times, and a death among them was known after 155 s.
#[test]
fn a_leave_with_a_forged_source_changes_nothing() {
    let mut world = World::cluster(1, 5);
    world.run(secs(5));
    let since = world.now;
    let of_another = world.cookie_of(1, 2);
    let vouch = |world: &World, cookie| {
        let Verdict { subject, generation, incarnation, left_at, .. } = left(world, 2);
        Body::Vouch(Vouch { cookie, subject, generation, incarnation, left_at })
    };
    for (claimed, body) in [
        (2, leave(Cookie(0))),
        (2, leave(Cookie(1))),
        (2, leave(of_another)),
        (2, Body::Verdict(left(&world, 2))),
        (1, Body::Verdict(left(&world, 2))),
        (1, vouch(&world, Cookie(0))),
        (1, vouch(&world, Cookie(1))),
        (1, vouch(&world, world.cookie_of(0, 2))),
    ] {
        for _ in 0..100 {
            let forged = world.forge(claimed, 0, &[body]);
            world.inject(0, addr_of(claimed), &forged);
            world.run(millis(10));
        }
    }
    assert!((0..5).all(|at| world.story(at, since).is_empty()));
    assert!((0..5).all(|at| world.hosts[at].protocol.metrics().refutations == 0));
    assert!(world.is_converged());
}

#[test]
fn who_is_told_that_it_has_left_itself_refutes_it() {
    let mut world = World::cluster(4, 4);
    world.run(secs(2));
    let since = world.now;
    let vouched = world.vouch(1, 0, &left(&world, 0));
    let told = world.forge(1, 0, &[vouched]);
    world.inject(0, addr_of(1), &told);
    world.run(secs(1));
    assert_eq!(world.hosts[0].protocol.local().incarnation(), 1);
    assert!(world.is_converged());
    assert!((0..4).all(|at| world.story(at, since).is_empty()));
}

#[test]
fn a_leave_takes_one_round_trip_with_cookies_and_two_without() {
    for (seed, warm, most) in [(2, secs(30), millis(2)), (3, Duration::ZERO, millis(4))] {
        let mut world = World::introduced(seed, 4);
        world.run(warm);
        world.recorded = Some(Vec::new());
        let call = world.call(3, |protocol, now| protocol.leave(now, secs(5)));
        world.run(most);
        assert!(
            matches!(world.hosts[3].answers.get(&call), Some(CallResult::Left(Ok(())))),
            "after {warm:?}"
        );
        let recorded = world.recorded.as_ref().unwrap();
        let leaves = count(recorded, addr_of(3), |body| matches!(body, Body::Leave { .. }));
        let challenges = (0..3)
            .map(|at| count(recorded, addr_of(at), |body| matches!(body, Body::Challenge { .. })))
            .sum::<usize>();
        assert_eq!((leaves, challenges), if warm.is_zero() { (6, 3) } else { (3, 0) });
    }
}

#[test]
fn a_leave_is_known_soon_and_as_a_leave_though_a_quarter_is_lost() {
    for seed in 0..10 {
        let mut world = World::introduced(seed, 64);
        world.run(secs(1));
        world.loss = 250;
        let since = world.now;
        let call = world.call(63, |protocol, now| protocol.leave(now, secs(5)));
        let has_ended = |world: &World| world.hosts[63].answers.contains_key(&call);
        assert!(world.run_until(millis(500), has_ended), "seed {seed}");
        world.crash(63);
        let is_known = |world: &World| (0..63).all(|at| world.status(at, 63) == Some(Status::Left));
        assert!(world.run_until(secs(3), is_known), "seed {seed}");
        let took = world.now.since(since);
        println!("seed {seed}: known to all after {took:?}");
        world.loss = 0;
        world.run(secs(20));
        for at in 0..63 {
            let story = world.story(at, since);
            let of_leaver: Vec<_> = story.iter().filter(|line| line.ends_with(" n63")).collect();
            assert_eq!(of_leaver, ["left n63"], "seed {seed} at {at}");
        }
    }
}

#[test]
fn a_challenge_that_does_not_answer_the_leave_is_not_heeded() {
    let mut world = World::introduced(5, 4);
    world.drops = Some(Box::new(|_, packet| packet.bodies().any(|body| matches!(body, Body::Leave { .. }))));
    world.call(3, |protocol, now| protocol.leave(now, secs(5)));
    for from in [0, 1, 2] {
        let challenge = Body::Challenge { seq: Seq(9), cookie: Cookie(9) };
        let forged = world.forge(from, 3, &[challenge]);
        assert!(world.answers(3, addr_of(from), &forged).is_empty());
    }
    assert_eq!(world.hosts[3].protocol.metrics().unexpected_answers, 3);
    world.drops = None;
    let is_known = |world: &World| (0..3).all(|at| world.status(at, 3) == Some(Status::Left));
    assert!(world.run_until(secs(1), is_known));
}

/// It was believed and never acked: the leaver told it to one after the other until its time was over.
#[test]
fn a_leave_from_the_address_that_a_member_sends_from_is_acked() {
    let mut world = World::cluster(6, 3);
    world.run(secs(2));
    let (alias, name) = (addr_of(500), world.hash(2));
    let run = world.generation(2);
    world.hosts[0].protocol.core.members.add_alias(world.now, name, alias);
    let cookie =
        world.hosts[0].protocol.core.cookies.bake(world.now, CookiePurpose::Request, alias, name, run);
    let said = world.forge(2, 0, &[leave(cookie)]);
    let answers = world.answers(0, alias, &said);
    let is_ack = |body: Body<'_>| body == Body::BareAck { seq: Seq(9) };
    let acks = answers.iter().filter(|(to, answer)| {
        *to == alias && Packet::decode(answer).is_ok_and(|packet| packet.bodies().any(is_ack))
    });
    assert_eq!(acks.count(), 1);
    assert_eq!(world.status(0, 2), Some(Status::Left));
}

#[test]
fn a_doubt_that_is_lost_is_repeated() {
    let mut world = World::introduced(8, 3);
    world.call(2, |protocol, now| {
        protocol.core.members.merge_verdict(
            now,
            &Verdict::left(protocol.core.me, protocol.core.generation, Incarnation(0), LeftAt::default()),
        );
    });
    let verdict = left(&world, 2);
    world.call(1, |protocol, now| protocol.take_verdict(now, &verdict, verdict.subject));
    world.cut(&[0], &[1, 2], true);
    let told = world.forge(1, 0, &[Body::Verdict(verdict)]);
    world.inject(0, addr_of(1), &told);
    world.run(millis(100));
    assert_eq!(world.status(0, 2), Some(Status::Alive));
    world.cuts.clear();
    world.run(millis(60));
    assert_eq!(world.status(0, 2), Some(Status::Left));
}

/// It was suspected first, and then dead: nobody but its teller had heard it go.
#[test]
fn a_leave_that_is_heard_of_when_views_are_compared_is_a_leave() {
    let mut world = World::cluster(9, 6);
    world.run(secs(5));
    let since = world.now;
    // Nothing but comparing views and probes reaches the first one.
    let is_news = |body: Body<'_>| {
        matches!(body, Body::Verdict(_) | Body::Vouch(_) | Body::Leave { .. } | Body::Alive { .. })
    };
    world.drops = Some(Box::new(move |to, packet| to == 0 && packet.bodies().any(is_news)));
    world.call(5, |protocol, now| protocol.leave(now, secs(5)));
    world.run(millis(100));
    world.crash(5);
    assert_eq!(world.status(0, 5), Some(Status::Alive));
    assert!(world.run_until(secs(10), |world| world.status(0, 5) == Some(Status::Left)), "{}", world.dump());
    world.drops = None;
    world.run(secs(10));
    show_the_leave_alone(&world, since);
}

#[test]
fn who_is_said_to_have_left_when_views_are_compared_and_answers_has_not() {
    let mut world = World::cluster(10, 4);
    world.run(secs(5));
    let since = world.now;
    let wrong = left(&world, 3);
    world.cut(&[1], &[0, 2, 3], true);
    world.call(1, |protocol, now| protocol.take_verdict(now, &wrong, wrong.subject));
    world.run(secs(1));
    world.cuts.clear();
    assert!(world.run_until(secs(30), World::is_converged), "{}", world.dump());
    for at in [0, 2] {
        assert!(!world.story(at, since).iter().any(|line| line == "left n3"), "at {at}");
    }
}

/// It answered, so a program that was started elsewhere under its name was refused until its process was gone. When
/// that was let in, nobody acked the leave any more.
#[test]
fn the_name_of_one_that_leaves_is_free_for_a_newcomer_elsewhere_before_it_is_gone() {
    let mut world = World::cluster(13, 8);
    world.run(secs(20));
    let is_ack = |body: Body<'_>| matches!(body, Body::BareAck { .. });
    world.drops = Some(Box::new(move |to, packet| to == 7 && packet.bodies().any(is_ack)));
    let leave = world.call(7, |protocol, now| protocol.leave(now, secs(2)));
    world.run(millis(100));
    assert!((0..7).all(|at| world.status(at, 7) == Some(Status::Left)));
    let heir = world.add_named("n7", addr_of(500));
    let join = world.join(heir, &[0]);
    world.run(secs(1));
    assert!(!world.hosts[7].answers.contains_key(&leave), "it still leaves");
    assert!(
        matches!(world.hosts[heir].answers[&join], CallResult::Joined(Ok(()))),
        "{:?}",
        world.hosts[heir].answers
    );
    world.drops = None;
    world.run(secs(2));
    assert!(matches!(world.hosts[7].answers[&leave], CallResult::Left(Ok(()))));
    assert!(
        world.hosts[7].ended.is_none()
            && !world.story(7, Instant::default()).contains(&"conflict ".to_owned())
    );
    world.crash(7);
    assert!(world.run_until(secs(5), World::is_converged), "{}", world.dump());
}

/// They told it to each other, and ended: of 31 leaves the one that stayed heard 7 to 10, and saw the others die after
/// 40 s.
#[test]
fn who_stays_hears_of_all_that_leave_at_the_same_moment() {
    for seed in 0..3 {
        for (n, stay, loss) in [(3, 1, 0), (8, 1, 0), (32, 1, 0), (32, 2, 100), (64, 8, 0), (128, 1, 0)] {
            let mut world = World::cluster(seed, n);
            world.run(secs(40));
            world.loss = loss;
            let since = world.now;
            let took = leave_together(&mut world, stay..n);
            let case = format!("seed {seed}: {stay} of {n} stay, loss {loss}: over after {took:?}");
            println!("{case}");
            assert!(took < millis(500), "{case}");
            world.loss = 0;
            world.run(secs(60));
            let mut leaves: Vec<_> = (stay..n).map(|leaver| format!("left n{leaver}")).collect();
            leaves.sort_unstable();
            for at in 0..stay {
                let mut story = world.story(at, since);
                story.sort_unstable();
                assert_eq!(story, leaves, "{case}, at {at}");
            }
        }
    }
}

#[test]
fn of_a_cluster_that_leaves_at_the_same_moment_nobody_waits_long_for_another() {
    for (n, loss) in [(2, 0), (5, 0), (32, 0), (128, 0), (2, 250), (5, 250), (32, 250)] {
        let mut world = World::introduced(12, n);
        world.run(secs(5));
        world.loss = loss;
        let took = leave_together(&mut world, 0..n);
        println!("all of {n}, loss {loss}: over after {took:?}");
        assert!(took < millis(500), "{n}, loss {loss}: {took:?}");
    }
}

#[test]
fn what_many_say_before_they_leave_at_the_same_moment_reaches_who_stays() {
    for (n, stay, loss) in [(8, 1, 0), (32, 2, 0), (32, 8, 0), (32, 8, 100), (32, 8, 250)] {
        let mut world = World::introduced(15, n);
        world.run(secs(5));
        world.loss = loss;
        for at in stay..n {
            world.call(at, |protocol, now| {
                protocol.broadcast(now, b"so long").unwrap();
                protocol.update(now, &[("gone", Some(b"yes"))]).unwrap();
            });
        }
        let took = leave_together(&mut world, stay..n);
        world.run(secs(10));
        let heard = |at: usize| world.hosts[at].protocol.metrics().broadcasts_delivered;
        let keys = |at: usize| {
            world.hosts[at].protocol.all_nodes().filter(|node| node.get("gone").is_some()).count()
        };
        let all: Vec<_> = (0..stay).map(|at| (heard(at), keys(at))).collect();
        println!("{stay} of {n} stay, loss {loss}: over after {took:?}; {all:?}");
        assert_eq!(all, vec![((n - stay) as u64, n - stay); stay]);
        assert!(took < secs(1), "{stay} of {n}, loss {loss}: {took:?}");
    }
}

/// Each doubt was repeated in a datagram of its own.
#[test]
fn doubts_bring_whoever_is_said_to_tell_of_leaves_no_flood() {
    let mut world = World::introduced(14, 100);
    let said: Vec<Body<'_>> = (2..50).map(|at| Body::Verdict(left(&world, at))).collect();
    let forged = world.forge(1, 0, &said);
    world.recorded = Some(Vec::new());
    world.inject(0, addr_of(1), &forged);
    world.run(millis(500));
    let recorded = world.recorded.take().unwrap();
    let is_doubt = |(from, to, bytes): &&(SocketAddr, SocketAddr, Vec<u8>)| {
        (*from, *to) == (addr_of(0), addr_of(1))
            && Packet::decode(bytes).unwrap().bodies().any(|body| matches!(body, Body::Doubt { .. }))
    };
    let doubts: Vec<usize> = recorded.iter().filter(is_doubt).map(|(_, _, bytes)| bytes.len()).collect();
    println!(
        "{} bytes came, {} datagrams of {} bytes went",
        forged.len(),
        doubts.len(),
        doubts.iter().sum::<usize>()
    );
    assert!(doubts.len() <= 5, "of one datagram: {}", doubts.len());
}
