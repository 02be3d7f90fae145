//! Keys that change while a cluster runs.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::{name, secs};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::events::Events;
use crate::keyring::{Key, Keyring};
use crate::member::Member;
use crate::member::MemberKeyring;
use crate::sim::Cluster;

const MEMBERS: usize = 16;

type Step = (&'static str, fn(&MemberKeyring<'_>) -> Result<()>);

/// From no key to the first, to the second, and to none: each step is taken at all members before the next.
const STEPS: [Step; 9] = [
    ("install a", |keyring| keyring.install(key(1))),
    ("use a", |keyring| keyring.use_key(key(1).id())),
    ("refuse plain", |keyring| keyring.refuse_plain()),
    ("install b", |keyring| keyring.install(key(2))),
    ("use b", |keyring| keyring.use_key(key(2).id())),
    ("remove a", |keyring| keyring.remove(key(1).id())),
    ("accept plain", |keyring| keyring.accept_plain()),
    ("use plain", |keyring| keyring.use_plain()),
    ("remove b", |keyring| keyring.remove(key(2).id())),
];

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

/// What the members have said to each other.
struct Talk {
    members: Vec<Member>,
    events: Vec<Events>,
    rng: ChaCha12Rng,
    /// Messages for each member.
    sent: BTreeMap<usize, Vec<Vec<u8>>>,
    broadcasts: usize,
    number: u64,
}

impl Talk {
    fn new(members: Vec<Member>, seed: u64) -> Self {
        let events = members.iter().map(Member::events).collect();
        let rng = ChaCha12Rng::seed_from_u64(seed);
        Self { members, events, rng, sent: BTreeMap::new(), broadcasts: 0, number: 0 }
    }

    /// Two members say something to somebody, and one to all.
    fn go_on(&mut self) {
        for length in [8, 5_000] {
            let from = self.rng.random_range(0..MEMBERS);
            let to = (from + self.rng.random_range(1..MEMBERS)) % MEMBERS;
            self.number += 1;
            let mut payload = vec![0; length];
            payload[..8].copy_from_slice(&self.number.to_be_bytes());
            self.members[from].send(&name(to), &payload).unwrap();
            self.sent.entry(to).or_default().push(payload);
        }
        let from = self.rng.random_range(0..MEMBERS);
        self.members[from].broadcast(&self.number.to_be_bytes()).unwrap();
        self.broadcasts += 1;
    }

    /// Every message has come once and every broadcast has come, and nobody was taken for gone.
    fn expect_nothing_lost(&self) {
        let (mut all_broadcasts, mut messages) = (0, BTreeMap::new());
        for (host, events) in self.events.iter().enumerate() {
            for event in events.try_iter() {
                match event {
                    Event::Message { payload, .. } => {
                        messages.entry(host).or_insert_with(Vec::new).push(payload);
                    }
                    Event::Broadcast { .. } => all_broadcasts += 1,
                    Event::Changed { .. } => {}
                    other => panic!("n{host} is told: {other}"),
                }
            }
        }
        messages.values_mut().for_each(|payloads| payloads.sort());
        let mut sent = self.sent.clone();
        sent.values_mut().for_each(|payloads| payloads.sort());
        assert!(messages == sent, "other messages have come than were sent");
        assert_eq!(all_broadcasts, self.broadcasts * (MEMBERS - 1));
    }
}

#[test]
fn keys_change_in_a_running_cluster_in_all_directions_and_nobody_and_nothing_is_lost() {
    for (seed, loss) in [(1, 0.0), (2, 0.02)] {
        let (cluster, members) = super::cluster(seed, MEMBERS);
        cluster.loss(loss);
        let mut talk = Talk::new(members, seed);
        for (what, step) in STEPS {
            let mut order: Vec<usize> = (0..MEMBERS).collect();
            order.shuffle(&mut talk.rng);
            for host in order {
                step(&talk.members[host].keyring()).unwrap_or_else(|error| panic!("{what}: {error}"));
                talk.go_on();
                let pause = talk.rng.random_range(0..400);
                cluster.run(Duration::from_millis(pause));
            }
            let used: Vec<_> = talk.members.iter().map(|member| member.keyring().used()).collect();
            assert!(used.iter().all(|key| *key == used[0]), "{what}: {used:?}");
        }
        cluster.run(secs(5));
        assert!(cluster.is_converged());
        talk.expect_nothing_lost();
        let refused: u64 = talk.members.iter().map(|member| member.metrics().plain_refused).sum();
        let unopened: u64 = talk.members.iter().map(|member| member.metrics().unopened).sum();
        println!("{} messages, {} broadcasts", talk.number, talk.broadcasts);
        assert_eq!((refused, unopened), (0, 0), "datagrams that somebody could not take");
    }
}

/// What the experiment above would show if the order of the steps were of no use.
#[test]
fn a_key_that_is_used_before_all_have_it_cuts_a_member_off() {
    let (cluster, members) = super::cluster(3, 4);
    members[0].keyring().install(key(1)).unwrap();
    members[0].keyring().use_key(key(1).id()).unwrap();
    assert!(matches!(members[0].send("n1", b"hello"), Err(Error::Timeout)));
    assert!(cluster.run_until(secs(60), |_| members[1].nodes().get("n0").is_none()));
    // All others get it: the cut heals.
    for member in &members[1..] {
        member.keyring().install(key(1)).unwrap();
    }
    cluster.assert_converged();
}

#[test]
fn a_member_that_is_started_in_the_middle_of_a_change_is_configured_for_it() {
    let sealed = |keyring: Keyring, host: usize| Config::lan().name(name(host)).keyring(keyring);
    let cluster = Cluster::new(4);
    let (a, b) = (|| Keyring::new(key(1)), || Keyring::new(key(2)));
    let first = cluster.add(sealed(a(), 0)).unwrap();
    first.keyring().install(key(2)).unwrap();
    let second = cluster.add(sealed(a().with(key(2)), 1)).unwrap().join("n0").unwrap();
    first.keyring().use_key(key(2).id()).unwrap();
    let third = cluster.add(sealed(b().with(key(1)), 2)).unwrap().join("n1").unwrap();
    second.keyring().use_key(key(2).id()).unwrap();
    for member in [&first, &second, &third] {
        member.keyring().remove(key(1).id()).unwrap();
    }
    let _fourth = cluster.add(sealed(b(), 3)).unwrap().join("n2").unwrap();
    cluster.assert_converged();
    let late = cluster.add(sealed(a(), 4)).unwrap();
    let Err(Error::Join(reasons)) = late.join("n0") else { panic!() };
    assert!(matches!(reasons[..], [(_, Error::WrongKey)]), "{reasons:?}");
}

#[test]
fn the_keyring_of_a_member_that_has_ended_can_be_read_and_not_changed() {
    let (_cluster, members) = super::cluster(5, 2);
    members[0].keyring().install(key(1)).unwrap();
    members[0].shutdown().unwrap();
    assert_eq!(members[0].keyring().ids(), [key(1).id()]);
    assert!(matches!(members[0].keyring().use_key(key(1).id()), Err(Error::Closed)));
}
