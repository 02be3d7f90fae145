mod addresses;
mod admission;
mod broadcasts;
mod clocks;
mod damage;
mod discovery;
mod disks;
mod first_states;
mod ghosts;
mod isolation;
#[cfg(feature = "encryption")]
mod keys;
mod last_words;
mod links;
mod rates;
mod requests;
mod rules;
mod states;
mod translation;
mod uplinks;
mod widths;

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::Cluster;
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::member::Member;
use crate::node::Status;
use crate::wire::{Body, Packet};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn name(index: usize) -> String {
    format!("n{index}")
}

/// A converged cluster of `n`.
fn cluster(seed: u64, n: usize) -> (Cluster, Vec<Member>) {
    let cluster = Cluster::new(seed);
    let members: Vec<Member> =
        (0..n).map(|index| cluster.add(Config::lan().name(name(index))).unwrap()).collect();
    for member in &members[1..] {
        member.join("n0").unwrap();
    }
    assert!(cluster.run_until(secs(30), Cluster::is_converged));
    (cluster, members)
}

#[test]
fn members_join_die_restart_and_leave_by_the_names_of_their_hosts() {
    let (cluster, members) = cluster(1, 5);
    cluster.crash("n4");
    assert!(members[4].join("n0").is_err());
    members[0].wait_until(secs(10), |nodes| nodes.len() == 4).unwrap();
    assert_eq!(members[0].node("n4").unwrap().status(), Status::Dead);
    let again = cluster.restart("n4", Config::lan()).unwrap();
    again.join("n1").unwrap();
    assert!(cluster.run_until(secs(5), Cluster::is_converged));
    members[2].leave(secs(5)).unwrap();
    assert!(cluster.run_until(secs(5), Cluster::is_converged));
    assert_eq!(members[0].node("n2").unwrap().status(), Status::Left);
    assert!(members[1].ping("n3").unwrap() < Duration::from_millis(3));
}

#[test]
fn acquainted_members_share_no_change() {
    let cluster = Cluster::new(11);
    let add = |index| cluster.add(Config::lan().name(name(index))).unwrap();
    let members: Vec<Member> = (0..20).map(add).collect();
    let events = members[5].events();
    cluster.acquaint();
    assert!(cluster.is_converged());
    assert_eq!(events.try_iter().filter(|event| matches!(event, Event::Joined(_))).count(), 19);

    // Before anybody else has probed it.
    let held = members[2].node("n1").unwrap();
    members[0].ping("n1").unwrap();
    assert!(members[0].node("n1").unwrap().rtt().is_some());
    assert!(members[2].node("n1").unwrap().rtt().is_none());
    assert!(held.rtt().is_none());

    cluster.touch("n3");
    cluster.run(secs(1));
    assert!(members.iter().all(|member| member.node("n3").unwrap().incarnation() == 1));
    cluster.crash("n4");
    cluster.assert_buried();
    let late = add(20);
    late.join("n7").unwrap();
    cluster.assert_converged();
    assert_eq!(events.try_iter().filter(|event| matches!(event, Event::Died { .. })).count(), 1);
}

#[test]
fn only_strangers_of_one_cluster_are_acquainted() {
    let refusal = |others: [Config; 2], joins: bool| {
        let cluster = Cluster::new(12);
        let members = others.map(|config| cluster.add(config).unwrap());
        if joins {
            members[0].join("b").unwrap();
        }
        let result = panic::catch_unwind(AssertUnwindSafe(|| cluster.acquaint()));
        // The world goes on.
        cluster.run(secs(1));
        result.map_err(|payload| payload.downcast::<String>().map(|text| *text).unwrap_or_default())
    };
    let pair = || [Config::lan().name("a"), Config::lan().name("b")];
    assert_eq!(refusal(pair(), false), Ok(()));
    assert!(refusal(pair(), true).unwrap_err().contains("a knows somebody already"));
    let [a, b] = pair();
    assert!(refusal([a, b.cluster("other")], false).unwrap_err().contains("two clusters"));
    let [a, b] = pair();
    assert!(refusal([a, b.max_nodes(1)], false).unwrap_err().contains("max_nodes"));
}

#[test]
fn one_seed_gives_one_trace() {
    let run = |seed| {
        let (cluster, _members) = cluster(seed, 8);
        cluster.loss(0.1);
        cluster.reorder(0.1);
        cluster.duplicate(0.1);
        cluster.pause("n3");
        cluster.run(secs(20));
        cluster.resume("n3");
        cluster.starve("n4", Duration::from_millis(100));
        cluster.run(secs(20));
        cluster.trace()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn listeners_may_block_in_calls_and_keep_their_place() {
    let told = Arc::new(AtomicUsize::new(0));
    let cluster = Cluster::new(3);
    let mut members = Vec::new();
    for index in 0..10 {
        let told = Arc::clone(&told);
        let config = Config::lan().name(name(index)).on_event(move |member, event| {
            if let Event::Joined(node) = event {
                // Runs virtual time, in which other listeners are called and block as well.
                let rtt = member.ping(node.name()).unwrap();
                assert!(rtt < Duration::from_millis(100), "{rtt:?}");
                told.fetch_add(1, Ordering::Relaxed);
            }
        });
        members.push(cluster.add(config).unwrap());
    }
    for member in &members[1..] {
        member.join("n0").unwrap();
    }
    cluster.run(secs(5));
    assert_eq!(told.load(Ordering::Relaxed), 10 * 9);
}

#[test]
fn a_listener_may_panic_and_drop_its_member() {
    let cluster = Cluster::new(4);
    let first = cluster.add(Config::lan().name("first")).unwrap();
    let kept: Arc<Mutex<Option<Member>>> = Arc::default();
    let inside = Arc::clone(&kept);
    let config = Config::lan().name("second").on_event(move |_, event| {
        if matches!(event, Event::Joined(_)) {
            panic!("a listener that panics");
        }
        drop(inside.lock().unwrap().take());
    });
    *kept.lock().unwrap() = Some(cluster.add(config).unwrap());
    let second = kept.lock().unwrap().as_ref().unwrap().clone();
    second.join("first").unwrap();
    cluster.run(secs(1));
    assert_eq!(second.metrics().listener_panics, 1);
    drop(second);
    let third = cluster.add(Config::lan().name("third")).unwrap();
    third.join("first").unwrap();
    third.leave(secs(5)).unwrap();
    cluster.run(secs(1));
    assert!(kept.lock().unwrap().is_none());
    assert!(first.wait_until(secs(10), |nodes| nodes.len() == 1).is_ok(), "the second one is gone");
}

#[test]
fn a_one_way_cut_is_routed_around() {
    let (cluster, members) = cluster(5, 8);
    let events = members[0].events();
    cluster.cut("n0", "n1");
    cluster.run(secs(60));
    assert!(!events.try_iter().any(|event| matches!(event, Event::Died { .. })));
    assert!(cluster.is_converged());
}

#[test]
fn a_split_into_three_heals() {
    let (cluster, _members) = cluster(6, 9);
    cluster.split(&["n1", "n2", "n3"]);
    cluster.split(&["n4", "n5", "n6"]);
    cluster.run(secs(60));
    assert!(!cluster.is_converged());
    cluster.heal();
    assert!(cluster.run_until(secs(60), Cluster::is_converged));
}

#[test]
fn sick_hosts_bury_nobody() {
    let (cluster, members) = cluster(7, 16);
    let streams: Vec<_> = members.iter().map(Member::events).collect();
    cluster.deafen("n1");
    cluster.block("n2");
    cluster.starve("n3", Duration::from_millis(200));
    cluster.slow("n4", Duration::from_millis(40));
    cluster.run(secs(30));
    for sick in ["n1", "n2", "n3", "n4"] {
        cluster.resume(sick);
    }
    assert!(cluster.run_until(secs(30), Cluster::is_converged));
    let sick = ["n1", "n2", "n3", "n4"];
    for events in streams {
        for event in events.try_iter() {
            let wrong = matches!(&event, Event::Died { node, .. } if !sick.contains(&node.name()));
            assert!(!wrong, "{event}");
        }
    }
}

/// Wake-ups that waited for the processor kept it from the inbox, sooner or later for good.
#[test]
fn a_starved_host_gets_around_to_all_that_waits() {
    let (cluster, members) = cluster(10, 16);
    let streams: Vec<_> = members.iter().map(Member::events).collect();
    for sick in ["n1", "n2", "n3", "n4"] {
        cluster.starve(sick, Duration::from_millis(100));
    }
    cluster.run(secs(120));
    for events in streams {
        assert!(!events.try_iter().any(|event| matches!(event, Event::Died { .. })));
    }
}

#[test]
fn a_join_to_a_host_that_does_not_exist_is_an_error() {
    let cluster = Cluster::new(1);
    let member = cluster.add(Config::lan().name("a")).unwrap();
    let Err(Error::Join(reasons)) = member.join("typo") else { panic!("it has joined nobody") };
    assert!(matches!(&reasons[..], [(seed, Error::Io { .. })] if seed == "typo"));
    member.join("a").unwrap();
}

#[test]
fn who_is_cut_off_from_all_sees_them_dead_until_it_hears_them() {
    let (cluster, members) = cluster(9, 4);
    let events = members[0].events();
    cluster.split(&["n0"]);
    cluster.run(secs(60));
    let statuses: Vec<(&str, Status)> =
        vec![("n1", Status::Dead), ("n2", Status::Dead), ("n3", Status::Dead)];
    for (name, status) in &statuses {
        assert_eq!(members[0].node(name).unwrap().status(), *status);
    }
    for event in events.try_iter() {
        let status = event.node().unwrap().status();
        assert!(matches!(
            (&event, status),
            (Event::Suspected(_), Status::Suspect) | (Event::Died { .. }, Status::Dead)
        ));
    }
    cluster.heal();
    cluster.assert_converged();
    assert_eq!(members[0].node("n1").unwrap().status(), Status::Alive);
}

#[test]
#[should_panic(expected = "no host")]
fn an_unknown_host_is_a_mistake_of_the_test() {
    Cluster::new(1).crash("nobody");
}

#[test]
fn a_leave_among_the_dead_that_nobody_has_noticed_is_soon_over() {
    let cluster = Cluster::new(8);
    let _seed = cluster.add(Config::lan().name("seed")).unwrap();
    for index in 0..12 {
        let member = cluster.add(Config::lan().name(name(index))).unwrap();
        member.join("seed").unwrap();
        if index % 3 == 0 {
            let since = cluster.now();
            member.leave(secs(5)).unwrap();
            assert!(cluster.now() - since < secs(2), "{index}: {:?}", cluster.now() - since);
        }
    }
}

/// Does something on a thread of its own: a deadlock is an error.
fn within_seconds(work: impl FnOnce() + Send + 'static) {
    let (tell, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        work();
        let _ = tell.send(());
    });
    assert!(done.recv_timeout(secs(10)).is_ok(), "it hangs");
}

#[test]
fn one_seed_that_makes_no_sense_does_not_spoil_the_others() {
    let cluster = Cluster::new(1);
    let _first = cluster.add(Config::lan().name("a")).unwrap();
    let second = cluster.add(Config::lan().name("b")).unwrap();
    second.join(["not a host!", "nobody", "a"]).unwrap();
}

#[test]
fn what_a_listener_holds_may_be_the_last_handle_of_another_member() {
    within_seconds(|| {
        let cluster = Cluster::new(1);
        let _first = cluster.add(Config::lan().name("a")).unwrap();
        let second = cluster.add(Config::lan().name("b")).unwrap();
        let refused = Config::lan().name("a").on_event(move |_, _| {
            let _ = &second;
        });
        assert!(cluster.add(refused).is_err());
    });
    within_seconds(|| {
        let cluster = Cluster::new(1);
        let _first = cluster.add(Config::lan().name("a")).unwrap();
        let other = Mutex::new(Some(cluster.add(Config::lan().name("x")).unwrap()));
        let config = Config::lan().name("b").on_event(move |_, _| {
            if let Some(member) = other.lock().unwrap().take() {
                std::panic::panic_any(member);
            }
        });
        cluster.add(config).unwrap().join("a").unwrap();
        cluster.run(secs(1));
    });
}

#[test]
fn a_wait_sees_what_changed_while_listeners_were_told() {
    let cluster = Cluster::new(1);
    let blocking = Config::lan().name("a").on_event(|member, event| {
        if matches!(event, Event::Left(_)) {
            let _ = member.wait_until(secs(20), |_| false);
        }
    });
    let first = cluster.add(blocking).unwrap();
    let others = ["b", "x", "y"].map(|name| cluster.add(Config::lan().name(name)).unwrap());
    for member in &others {
        member.join("a").unwrap();
    }
    cluster.run(secs(2));
    cluster.crash("x");
    first.wait_until(secs(20), |nodes| nodes.len() == 3).unwrap();
    cluster.run(secs(2));
    cluster.crash("y");
    first.force_leave("x").unwrap();
    others[0].wait_until(secs(60), |nodes| nodes.len() == 2).unwrap();
}

#[test]
fn handles_of_an_ended_run_show_what_was_last_known() {
    let cluster = Cluster::new(1);
    let _first = cluster.add(Config::lan().name("a")).unwrap();
    let second = cluster.add(Config::lan().name("b")).unwrap();
    second.join("a").unwrap();
    let known = (second.local().generation(), second.nodes().len());
    let again = cluster.restart("b", Config::lan()).unwrap();
    assert_eq!((second.local().generation(), second.nodes().len()), known);
    assert!(again.local().generation() > known.0);
    assert!(matches!(second.wait_until(secs(1), |_| true), Err(Error::Closed)));
    // What is wrong with a configuration is found before anything is crashed.
    assert!(cluster.restart("b", Config::lan().max_nodes(0)).is_err());
    assert_eq!(again.nodes().len(), 1);
    again.join("a").unwrap();
}

#[test]
fn checks_may_be_turned_on_later() {
    let cluster = Cluster::new(1);
    cluster.check(false);
    let _first = cluster.add(Config::lan().name("a")).unwrap();
    let second = cluster.add(Config::lan().name("b")).unwrap();
    second.join("a").unwrap();
    cluster.run(secs(2));
    cluster.check(true);
    let third = cluster.add(Config::lan().name("c")).unwrap();
    third.join("a").unwrap();
    cluster.crash("b");
    cluster.run(secs(30));
}

#[test]
fn two_hosts_can_not_have_one_address() {
    let cluster = Cluster::new(1);
    let first = cluster.add(Config::lan().name("a")).unwrap();
    assert!(cluster.add(Config::lan().name("b").advertise(first.addr())).is_err());
}

#[test]
fn a_stream_that_was_full_is_told_how_much_it_missed_when_it_is_read() {
    let cluster = Cluster::new(1);
    let first = cluster.add(Config::lan().name("a").event_capacity(1)).unwrap();
    let events = first.events();
    let others = ["b", "c", "d"].map(|name| cluster.add(Config::lan().name(name)).unwrap());
    for member in &others {
        member.join("a").unwrap();
    }
    cluster.run(secs(2));
    assert!(matches!(events.try_recv(), Ok(Event::Joined(_))));
    cluster.run(secs(2));
    assert!(matches!(events.try_recv(), Ok(Event::Lagged(2))));
}

#[test]
fn a_world_goes_on_after_a_wrong_name() {
    let cluster = Cluster::new(1);
    let config = Config::lan().name("a").on_event(|_, _| panic!("a listener that panics"));
    let first = cluster.add(config).unwrap();
    let wrong = std::panic::AssertUnwindSafe(|| cluster.crash("nobody"));
    assert!(std::panic::catch_unwind(wrong).is_err());
    let second = cluster.add(Config::lan().name("b")).unwrap();
    second.join("a").unwrap();
    cluster.run(secs(1));
    assert_eq!(first.metrics().listener_panics, 1);
}

/// What all members show of a key of a node.
fn texts(members: &[Member], of: &str, key: &str) -> Vec<Option<String>> {
    members.iter().map(|member| member.node(of).and_then(|node| node.text(key).map(str::to_owned))).collect()
}

fn joined_cluster(seed: u64, n: usize) -> (Cluster, Vec<Member>) {
    let cluster = Cluster::new(seed);
    let members: Vec<Member> =
        (0..n).map(|number| cluster.add(Config::lan().name(format!("n{number}"))).unwrap()).collect();
    for member in &members[1..] {
        member.join("n0").unwrap();
    }
    cluster.run(Duration::from_secs(2));
    (cluster, members)
}

#[test]
fn a_write_is_seen_by_all_in_milliseconds_and_a_newcomer_has_it_when_it_has_joined() {
    let (cluster, members) = joined_cluster(7, 32);
    members[5].set("http", "10.0.0.6:8080").unwrap();
    assert_eq!(members[5].local().text("http"), Some("10.0.0.6:8080"));
    cluster.run(Duration::from_millis(10));
    assert_eq!(texts(&members, "n5", "http"), vec![Some("10.0.0.6:8080".to_owned()); 32]);
    let late = cluster.add(Config::lan().name("late")).unwrap();
    late.set("own", "before it joined").unwrap();
    late.join("n3").unwrap();
    assert_eq!(late.node("n5").unwrap().text("http"), Some("10.0.0.6:8080"));
    cluster.run(Duration::from_millis(200));
    assert_eq!(texts(&members, "late", "own"), vec![Some("before it joined".to_owned()); 32]);
}

#[test]
fn a_state_larger_than_a_datagram_arrives_whole_and_what_is_removed_stays_away() {
    let (cluster, members) = joined_cluster(8, 12);
    for number in 0..400 {
        members[0].set(&format!("key {number}"), vec![7; 100]).unwrap();
    }
    cluster.split(&["n9"]);
    cluster.run(Duration::from_secs(3));
    // So many that those who have not heard of it can not be told any more what is gone.
    for number in 0..399 {
        members[0].remove(&format!("key {number}")).unwrap();
    }
    cluster.run(Duration::from_secs(60));
    cluster.heal();
    assert!(cluster.run_until(Duration::from_secs(60), Cluster::is_converged));
    for member in &members {
        let node = member.node("n0").unwrap();
        assert_eq!(node.state().map(|(key, _)| key).collect::<Vec<_>>(), ["key 399"]);
    }
}

#[test]
fn a_new_run_begins_with_an_empty_state() {
    let (cluster, members) = joined_cluster(9, 5);
    members[1].set("old", "1").unwrap();
    cluster.run(Duration::from_millis(100));
    cluster.crash("n1");
    cluster.run(Duration::from_secs(15));
    assert_eq!(members[2].node("n1").unwrap().text("old"), Some("1"), "the state of the dead can be read");
    let anew = cluster.restart("n1", Config::lan()).unwrap();
    anew.set("new", "2").unwrap();
    anew.join("n0").unwrap();
    cluster.run(Duration::from_secs(1));
    for member in [0, 2, 3, 4].map(|number| &members[number]) {
        let node = member.node("n1").unwrap();
        assert_eq!((node.text("old"), node.text("new")), (None, Some("2")));
    }
}

/// The payloads that a member is sent, as they come.
fn payloads(events: &Receiver<Event>) -> Vec<Vec<u8>> {
    let payload = |event| match event {
        Event::Message { payload, .. } => Some(payload),
        _ => None,
    };
    events.try_iter().filter_map(payload).collect()
}

#[test]
fn a_mebibyte_arrives_once_whatever_the_network_loses() {
    for percent in [0, 5, 10, 25] {
        let (cluster, members) = cluster(20 + percent, 2);
        let events = members[1].events();
        cluster.loss(percent as f64 / 100.0);
        let payload: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
        let since = cluster.now();
        members[0].send("n1", &payload).unwrap();
        println!("{percent} % lost: {:?}", cluster.now() - since);
        cluster.run(secs(5));
        assert!(payloads(&events) == [payload], "{percent} %");
    }
}

#[test]
fn a_mebibyte_crosses_a_wide_area_network_that_loses_a_quarter() {
    let cluster = Cluster::new(30);
    cluster.latency(Duration::from_millis(40)..Duration::from_millis(60));
    let [a, b] = ["a", "b"].map(|name| cluster.add(Config::wan().name(name)).unwrap());
    b.join("a").unwrap();
    cluster.run(secs(10));
    let events = b.events();
    cluster.loss(0.25);
    let since = cluster.now();
    a.send("b", &vec![7; 1 << 20]).unwrap();
    println!("{:?}", cluster.now() - since);
    assert_eq!(payloads(&events).len(), 1);
}

#[test]
fn listeners_of_fifty_members_that_all_send_do_not_wait_for_each_other_forever() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let cluster = Cluster::new(31);
    let n = 50;
    let mut members = Vec::new();
    for index in 0..n {
        let arrived = Arc::clone(&arrived);
        let next = name((index + 1) % n);
        let config = Config::lan().name(name(index)).on_event(move |member, event| {
            if let Event::Message { payload, .. } = event {
                arrived.fetch_add(1, Ordering::Relaxed);
                // Goes on to the next member, until it has gone ten steps.
                if payload[0] > 0 {
                    member.send(&next, &[payload[0] - 1]).unwrap();
                }
            }
        });
        members.push(cluster.add(config).unwrap());
    }
    for member in &members[1..] {
        member.join("n0").unwrap();
    }
    assert!(cluster.run_until(secs(30), Cluster::is_converged));
    for (index, member) in members.iter().enumerate() {
        member.send(&name((index + 7) % n), &[9]).unwrap();
    }
    cluster.run(secs(5));
    assert_eq!(arrived.load(Ordering::Relaxed), n * 10);
}

#[test]
fn a_stream_that_nobody_reads_has_messages_refused_and_one_that_is_gone_does_not() {
    let (cluster, members) = cluster(32, 2);
    assert!(matches!(members[0].send("n1", b"x"), Err(Error::Refused)), "nobody listens");
    let (read, unread) = (members[1].events(), members[1].events());
    let mut taken = 0;
    while members[0].send("n1", &vec![1; 1 << 20]).is_ok() {
        taken += payloads(&read).len();
        assert!(taken <= 16, "16 MiB wait at most");
    }
    assert_eq!(taken, 15, "one is counted for both, until the first stream has read it");
    drop(unread);
    members[0].send("n1", b"x").unwrap();
    drop(read);
    assert!(matches!(members[0].send("n1", b"x"), Err(Error::Refused)), "nobody listens any more");
    cluster.run(secs(1));
}

#[test]
fn the_end_of_a_member_ends_its_sends() {
    let cluster = Cluster::new(33);
    let config = |name: &str| Config::lan().name(name).send_timeout(secs(60));
    let [a, _b] = ["a", "b"].map(|name| cluster.add(config(name)).unwrap());
    let world = cluster.clone();
    let crashes_a = move |_: &Member, event: Event| {
        if matches!(event, Event::Suspected(_)) {
            world.crash("a");
        }
    };
    let c = cluster.add(config("c").on_event(crashes_a)).unwrap();
    a.join("b").unwrap();
    c.join("b").unwrap();
    cluster.pause("b");
    // Until c suspects b, which ends this member.
    assert!(matches!(a.send("b", b"x"), Err(Error::Closed)));
    assert!(matches!(a.send("b", b"x"), Err(Error::Closed)));
}

/// It hears the accusations, and nobody hears that it refutes them: so it was back at once each time, 23 times.
#[test]
fn who_is_not_heard_again_and_again_stays_away_longer_and_longer() {
    let (cluster, members) = cluster(14, 12);
    let (own, others) = (members[0].events(), members[1].events());
    for _ in 0..22 {
        members[1..].iter().for_each(|to| cluster.cut("n0", to.name()));
        cluster.run(secs(20));
        cluster.heal();
        cluster.run(secs(20));
    }
    let deaths = |events: &Receiver<Event>| {
        events.try_iter().filter(|event| matches!(event, Event::Died { .. })).count()
    };
    let (seen, told) = (deaths(&others), deaths(&own));
    assert!((3..=10).contains(&seen), "it has died {seen} times");
    assert_eq!(told, 0);
    cluster.assert_converged();
}

/// Of the datagrams to a member that were recorded, how many have a body of a kind.
fn count_sent(cluster: &Cluster, to: &Member, is_wanted: impl Fn(&Body<'_>) -> bool) -> usize {
    let sent = cluster.take_recorded().into_iter().filter(|(_, sent)| sent.to == to.addr());
    sent.filter(|(_, sent)| Packet::decode(&sent.datagram).unwrap().bodies().any(|body| is_wanted(&body)))
        .count()
}

#[test]
fn a_newcomer_that_is_long_in_fetching_states_is_not_asked_for_its_view_all_the_time() {
    let (cluster, members) = cluster(31, 12);
    for member in &members {
        for key in 0..16 {
            member.set(&format!("k{key}"), [7; 1_000]).unwrap();
        }
        cluster.run(Duration::from_millis(100));
    }
    let has_all = |member: &Member| {
        let has_it = |index| member.node(&name(index)).is_some_and(|node| node.state().count() == 16);
        (0..members.len()).all(has_it)
    };
    assert!(cluster.run_until(secs(30), |_| members.iter().all(has_all)));
    let late = cluster.add(Config::lan().name("late")).unwrap();
    cluster.starve("late", Duration::from_millis(100));
    let since = cluster.now();
    cluster.record();
    late.join("n0").unwrap();
    assert!(cluster.run_until(secs(60), |_| has_all(&late)));
    let rounds = usize::try_from((cluster.now() - since).as_secs()).unwrap() + 1;
    let pings = count_sent(&cluster, &late, |body| matches!(body, Body::Ping(_)));
    // One of a round, and three until its view is left alone.
    assert!(pings <= 6 * rounds, "{pings} pings in {rounds} rounds");
}

#[test]
fn a_newcomer_far_away_is_sent_each_state_about_once_and_several_at_a_time() {
    let (cluster, members) = cluster(32, 8);
    for member in &members {
        for key in 0..32 {
            member.set(&format!("k{key}"), [7; 1_000]).unwrap();
        }
        cluster.run(Duration::from_millis(100));
    }
    let has_all = |member: &Member| {
        let has_it = |index| member.node(&name(index)).is_some_and(|node| node.state().count() == 32);
        (0..members.len()).all(has_it)
    };
    assert!(cluster.run_until(secs(30), |_| members.iter().all(has_all)));
    let far = cluster.add(Config::lan().name("far")).unwrap();
    for index in 0..members.len() {
        let latency = || Duration::from_millis(75)..Duration::from_millis(80);
        cluster.latency_between(&name(index), "far", latency());
        cluster.latency_between("far", &name(index), latency());
    }
    let since = cluster.now();
    cluster.record();
    far.join("n0").unwrap();
    assert!(cluster.run_until(secs(120), |_| has_all(&far)));
    let took = cluster.now() - since;
    let answers = count_sent(&cluster, &far, |body| matches!(body, Body::Fetched { .. }));
    // 256 datagrams are needed: one at a time 40 s, and each was asked for three times.
    assert!(answers < 320, "{answers} answers");
    assert!(took < secs(14), "{took:?}");
}
