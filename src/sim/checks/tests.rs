//! Each checker can fail.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Contents, Observer, UNPROVEN_PER_SECOND, check_bounds, check_length};
use crate::config::Config;
use crate::event::Event;
use crate::member::Member;
use crate::node::{Generation, Incarnation, Node, Status};
use crate::protocol::{Bound, Instant, Seen, Transmit};
use crate::sim::Cluster;
use crate::wire::body::{LeftAt, Welcome};
use crate::wire::{
    Body, ClusterId, ClusterTag, Cookie, Header, NameHash, Packet, Seq, Versions, ViewMark, Writer,
};

const RUN: Generation = Generation(77);

fn addr(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 7990))
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn seen(name: &str, generation: u64, incarnation: u64, status: Status) -> Seen {
    Seen {
        name: name.to_owned(),
        addr: addr(1),
        generation: Generation(generation),
        incarnation: Incarnation(incarnation),
        status,
        shown: status.is_active().then_some(status),
        is_complete: true,
    }
}

fn node(name: &str) -> Node {
    Node::new(name, addr(1), Status::Alive, Generation(1), Incarnation(0))
}

/// A datagram to a run (0: none is known) with one body.
fn datagram(receiver: Generation, body: &Body<'_>) -> Vec<u8> {
    let header = Header {
        reads: Versions::OURS,
        tag: ClusterTag::of("test"),
        sender: NameHash(5),
        generation: Generation(6),
        receiver,
    };
    let mut writer = Writer::new(Vec::new(), &header, 1_400);
    assert!(writer.push(body));
    writer.finish()
}

fn hello(cookie: Cookie) -> Vec<u8> {
    let record = crate::wire::Record {
        name: "joiner",
        addr: addr(1),
        generation: Generation(6),
        incarnation: Incarnation(0),
        state_version: 0,
        broadcast: 0,
    };
    datagram(
        Generation(0),
        &Body::Hello(crate::wire::body::Hello {
            seq: Seq(9),
            cookie,
            attempt: 1,
            cluster: ClusterId(0),
            record,
        }),
    )
}

#[test]
fn a_record_that_goes_back_is_found() {
    for (held, news) in [
        ((2, 0, Status::Alive), (1, 9, Status::Left)),
        ((1, 3, Status::Alive), (1, 2, Status::Dead)),
        ((1, 3, Status::Dead), (1, 3, Status::Alive)),
        ((1, 3, Status::Left), (1, 3, Status::Dead)),
    ] {
        let mut observer = Observer::default();
        let (held, news) = (seen("a", held.0, held.1, held.2), seen("a", news.0, news.1, news.2));
        assert_eq!(observer.check_record(false, held.clone()), Ok(()));
        assert_eq!(observer.check_record(false, held), Ok(()), "the same again");
        assert!(observer.check_record(false, news.clone()).is_err(), "{news:?}");
        observer.forget("a");
        assert_eq!(observer.check_record(false, news), Ok(()), "it was forgotten");
    }
}

#[test]
fn a_node_that_lists_itself_dead_is_found() {
    let mut observer = Observer::default();
    assert!(observer.check_record(true, seen("me", 1, 0, Status::Dead)).is_err());
    assert_eq!(observer.check_record(true, seen("me", 1, 0, Status::Left)), Ok(()));
}

#[test]
fn one_number_with_two_contents_is_found() {
    let mut contents = Contents::default();
    let first = seen("a", 1, 0, Status::Alive);
    let other = Seen { addr: addr(2), ..first.clone() };
    assert_eq!(contents.check(&first), Ok(()));
    assert_eq!(contents.check(&first), Ok(()));
    assert!(contents.check(&other).is_err());
    let accused = Seen { is_complete: false, ..other };
    assert_eq!(contents.check(&accused), Ok(()), "its address belongs to an older number");
}

fn died(node: Node) -> Event {
    Event::Died { node, proven: true }
}

#[test]
fn events_in_an_illegal_order_are_found() {
    let a = || node("a");
    let stories: [&[Event]; 9] = [
        &[Event::Joined(node("me"))],
        &[Event::Joined(a()), Event::Joined(a())],
        &[Event::Suspected(a())],
        &[Event::Joined(a()), Event::Suspected(a()), Event::Suspected(a())],
        &[Event::Joined(a()), Event::Recovered(a())],
        &[Event::Joined(a()), died(a())],
        &[Event::Joined(a()), Event::Suspected(a()), died(a()), died(a())],
        &[Event::Moved(a())],
        &[Event::Joined(a()), Event::Left(a()), Event::Suspected(a())],
    ];
    for story in stories {
        let mut observer = Observer::default();
        let (last, before) = story.split_last().unwrap();
        for event in before {
            assert_eq!(observer.check_event("me", event), Ok(()), "{story:?}");
        }
        assert!(observer.check_event("me", last).is_err(), "{story:?}");
    }
}

#[test]
fn a_view_that_the_events_did_not_tell_is_found() {
    let mut observer = Observer::default();
    assert_eq!(observer.check_told("a", None), Ok(()));
    assert!(observer.check_told("a", Some(Status::Alive)).is_err());
    assert_eq!(observer.check_event("me", &Event::Joined(node("a"))), Ok(()));
    assert_eq!(observer.check_told("a", Some(Status::Alive)), Ok(()));
    assert!(observer.check_told("a", Some(Status::Suspect)).is_err());
    assert!(observer.check_told("a", None).is_err());
}

#[test]
fn what_outgrows_its_bound_is_found() {
    let bound = |count| Bound { what: "rumors", count, max: 4 };
    assert_eq!(check_bounds(&[bound(0), bound(4)]), Ok(()));
    assert!(check_bounds(&[bound(0), bound(5)]).unwrap_err().contains("5 rumors"));
    assert_eq!(check_length(1_400, 1_400), Ok(()));
    assert!(check_length(1_401, 1_400).is_err());
}

#[test]
fn bytes_to_an_address_that_has_proved_nothing_are_counted() {
    let ping = datagram(Generation(3), &Body::BareAck { seq: Seq(1) });
    let at = |second: u64| Instant::from_micros(second * 1_000_000);
    let mut observer = Observer::default();
    // What came goes back, and 20 datagrams a second more.
    observer.received(RUN.0, addr(1), &ping, ping.len());
    for second in 1..4 {
        for _ in 0..UNPROVEN_PER_SECOND + u32::from(second == 1) {
            assert_eq!(observer.check_sent(at(second), addr(1), &ping, ping.len()), Ok(()));
        }
        assert!(observer.check_sent(at(second), addr(1), &ping, ping.len()).is_err());
        assert_eq!(observer.check_sent(at(second), addr(2), &ping, ping.len()), Ok(()), "another one");
    }
    // A sender that names the run has heard of it.
    let bound = datagram(RUN, &Body::BareAck { seq: Seq(1) });
    observer.received(RUN.0, addr(1), &bound, bound.len());
    for _ in 0..100 {
        assert_eq!(observer.check_sent(at(9), addr(1), &ping, ping.len()), Ok(()));
    }
}

#[test]
fn only_the_answer_to_a_request_that_was_sent_there_proves_an_address() {
    let mut observer = Observer::default();
    let leave = datagram(
        Generation(6),
        &Body::Leave {
            seq: Seq(9),
            cookie: Cookie(0),
            incarnation: Incarnation(0),
            left_at: LeftAt::default(),
        },
    );
    assert_eq!(observer.check_sent(Instant::default(), addr(1), &leave, leave.len()), Ok(()));
    for (from, seq, proves) in [(addr(1), 8, false), (addr(2), 9, false), (addr(1), 9, true)] {
        let answer = datagram(Generation(0), &Body::BareAck { seq: Seq(seq) });
        observer.received(RUN.0, from, &answer, answer.len());
        assert_eq!(observer.accounts[&from.ip()].proven, proves, "{from} {seq}");
    }
}

#[test]
fn only_an_address_that_has_proved_itself_is_let_in() {
    let welcome =
        Welcome { seq: Seq(1), view: ViewMark { fingerprint: 0, quiet: 0 }, count: 1, cluster: ClusterId(0) };
    let welcome = datagram(Generation(6), &Body::Welcome(welcome));
    let mut observer = Observer::default();
    assert!(observer.check_sent(Instant::default(), addr(1), &welcome, welcome.len()).is_err());
    let bound = datagram(RUN, &Body::BareAck { seq: Seq(1) });
    observer.received(RUN.0, addr(1), &bound, bound.len());
    assert_eq!(observer.check_sent(Instant::default(), addr(1), &welcome, welcome.len()), Ok(()));
}

#[test]
fn only_a_cookie_that_was_sent_there_proves_an_address() {
    let baked = Cookie(0xc00_c1e);
    let mut observer = Observer::default();
    let challenge = datagram(Generation(6), &Body::Challenge { seq: Seq(9), cookie: baked });
    assert_eq!(observer.check_sent(Instant::default(), addr(1), &challenge, challenge.len()), Ok(()));
    for (from, cookie, proves) in [
        (addr(1), Cookie(0), false),
        (addr(1), Cookie(1), false),
        (addr(2), baked, false),
        (addr(1), baked, true),
    ] {
        let hello = hello(cookie);
        observer.received(RUN.0, from, &hello, hello.len());
        assert_eq!(observer.accounts[&from.ip()].proven, proves, "{from} {cookie:?}");
    }
    assert!(Packet::decode(&challenge).is_ok());
}

// ---- In a world ----

/// A converged cluster of three.
fn three() -> (Cluster, Vec<Member>) {
    let cluster = Cluster::new(1);
    let members: Vec<Member> =
        ["n0", "n1", "n2"].map(|name| cluster.add(Config::lan().name(name)).unwrap()).into();
    for member in &members[1..] {
        member.join("n0").unwrap();
    }
    cluster.assert_converged();
    (cluster, members)
}

/// What n0 holds on n1.
fn held(cluster: &Cluster) -> Seen {
    let world = cluster.sim.world();
    let node = world.hosts[0].protocol.node("n1").unwrap().clone();
    Seen { addr: node.addr(), ..seen("n1", node.generation(), node.incarnation(), node.status()) }
}

#[test]
#[should_panic(expected = "seed 1, at 2")]
fn a_violation_names_the_seed_and_the_time() {
    let (cluster, _members) = three();
    let too_long = Transmit { to: addr(2), datagram: vec![0; 1_401] };
    cluster.run(secs(2));
    cluster.sim.world().check_transmit(0, &too_long);
}

#[test]
#[should_panic(expected = "n0: n1 went back")]
fn a_world_in_which_a_record_goes_back_ends() {
    let (cluster, _members) = three();
    let ahead = Seen { generation: Generation(u64::MAX), ..held(&cluster) };
    assert_eq!(cluster.sim.world().hosts[0].observer.check_record(false, ahead), Ok(()));
    cluster.touch("n1");
    cluster.run(secs(1));
}

#[test]
#[should_panic(expected = "one number of n1 has two contents")]
fn a_world_in_which_a_number_has_two_contents_ends() {
    let (cluster, _members) = three();
    let next = Incarnation(held(&cluster).incarnation.0 + 1);
    let other = Seen { incarnation: next, addr: addr(99), ..held(&cluster) };
    assert_eq!(cluster.sim.world().contents.check(&other), Ok(()));
    cluster.touch("n1");
    cluster.run(secs(1));
}

#[test]
#[should_panic(expected = "n2 died, after it was told None")]
fn a_world_in_which_a_death_is_told_twice_ends() {
    let (cluster, _members) = three();
    cluster.crash("n2");
    assert!(cluster.run_until(secs(30), |cluster| {
        cluster.sim.world().hosts[0].protocol.node("n2").unwrap().status() == Status::Suspect
    }));
    let event = died(cluster.sim.world().hosts[0].protocol.node("n2").unwrap().clone());
    assert_eq!(cluster.sim.world().hosts[0].observer.check_event("n0", &event), Ok(()));
    cluster.run(secs(30));
}

#[test]
#[should_panic(expected = "of n1 the events told")]
fn a_world_in_which_a_view_changes_untold_ends() {
    let (cluster, _members) = three();
    let left = Event::Left(node("n1"));
    assert_eq!(cluster.sim.world().hosts[0].observer.check_event("n0", &left), Ok(()));
    cluster.touch("n1");
    cluster.run(secs(1));
}

#[test]
#[should_panic(expected = "has proved nothing")]
fn a_world_in_which_one_who_proved_nothing_is_flooded_ends() {
    let (cluster, _members) = three();
    cluster.pause("n1");
    cluster.sim.world().hosts[0].observer.accounts.clear();
    for _ in 0..30 {
        let _ = cluster.sim.world().with(0, 0, |protocol, now| protocol.ping(now, "n1"));
    }
}

#[test]
#[should_panic(expected = "n0 still shows n2, which is gone")]
fn a_survivor_that_buries_nobody_is_found() {
    let (cluster, _members) = three();
    cluster.crash("n2");
    cluster.pause("n0");
    cluster.assert_buried();
}

#[test]
#[should_panic(expected = "views differ after")]
fn a_cut_that_does_not_end_is_found() {
    let (cluster, _members) = three();
    cluster.split(&["n2"]);
    cluster.run(secs(60));
    cluster.assert_converged();
}

#[test]
fn few_survivors_of_many_bury_the_rest_in_time() {
    for (n, survivors) in [(2, 1), (3, 1), (16, 2), (16, 3), (16, 5), (128, 2), (128, 3), (128, 5), (128, 85)]
    {
        let cluster = Cluster::new(2);
        let members: Vec<Member> =
            (0..n).map(|index| cluster.add(Config::lan().name(format!("n{index}"))).unwrap()).collect();
        for member in &members[1..] {
            member.join("n0").unwrap();
        }
        cluster.assert_converged();
        for gone in survivors..n {
            cluster.crash(&format!("n{gone}"));
        }
        let since = cluster.now();
        cluster.assert_buried();
        println!("{survivors} of {n}: after {:?}, the limit is {:?}", cluster.now() - since, {
            cluster.sim.world().burial_limit()
        });
        cluster.assert_converged();
        assert!(members[..survivors].iter().all(|member| member.nodes().len() == survivors));
    }
}
