//! Forged, broken and replayed datagrams: they change no view, are answered with little, and evict nobody.

mod floods;
mod names;
mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::{Rng, RngExt};

use super::secs;
use super::world::{UDP_MAX, World, addr_of, datagram};
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::CallResult;
use crate::wire::body::{
    Ack, BUCKETS, Broadcast, BucketDigest, Delta, Digests, Fetch, Fragment, FragmentAck, Hello, LeftAt,
    NackReason, Offer, Page, Ping, PingRequest, Progress, Pull, RejectHintReason, RejectReason, Vouch,
    Welcome,
};
use crate::wire::checksum::{self, CHECKSUM_SIZE};
use crate::wire::header::HEADER_SIZE;
use crate::wire::lists::{Groups, Lacks, SumList, Wants, Writes};
use crate::wire::packet::BODIES_MAX;
use crate::wire::{
    Accusers, Body, ClusterId, ClusterTag, Cookie, Header, NameHash, Packet, Record, Seq, Verdict, Versions,
    ViewMark,
};

/// Where nobody of the cluster lives.
fn foreign() -> SocketAddr {
    SocketAddr::from(([10, 66, 6, 6], 666))
}

fn forged_addr(number: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits((11 << 24) + number)), 1)
}

fn ping(target: NameHash) -> Ping {
    Ping {
        seq: Seq(77),
        target,
        round: 1,
        view: ViewMark { fingerprint: 5, quiet: 255 },
        incarnation: Incarnation(0),
    }
}

fn ack(seq: Seq) -> Ack {
    Ack {
        seq,
        round: 1,
        view: ViewMark { fingerprint: 5, quiet: 255 },
        incarnation: Incarnation(0),
        cookie: Cookie(1),
    }
}

fn record(name: &str, addr: SocketAddr, generation: u64) -> Record<'_> {
    Record {
        name,
        addr,
        generation: Generation(generation),
        incarnation: Incarnation(0),
        state_version: 0,
        broadcast: 0,
    }
}

/// A verdict on a host as it is now, with its incarnation this much higher.
fn verdict_on(world: &World, index: usize, above: u64, status: Status) -> Verdict {
    Verdict {
        subject: world.hash(index),
        generation: world.generation(index),
        incarnation: Incarnation(world.hosts[index].protocol.local().incarnation() + above),
        status,
        accusers: Accusers::default(),
        left_at: LeftAt::default(),
    }
}

fn accused_by(mut verdict: Verdict, accuser: NameHash) -> Verdict {
    verdict.accusers.insert(accuser);
    verdict
}

/// One body of each type, as a stranger of this name would send it.
fn each_body<'a>(
    world: &World,
    to: usize,
    name: &'a str,
    addr: SocketAddr,
    sums: SumList<'a>,
) -> Vec<Body<'a>> {
    let (seq, cookie) = (Seq(77), Cookie(0));
    let (from, end) = (NameHash(0), NameHash(0));
    let view = ViewMark { fingerprint: 5, quiet: 255 };
    let (us, run) = (world.hash(to), world.generation(to));
    let delta = Delta {
        subject: us,
        generation: run,
        version: 9,
        base: 0,
        from: 0,
        to: 9,
        writes: Writes::default(),
    };
    let broadcast = Broadcast { origin: us, generation: run, number: 9, payload: b"x" };
    vec![
        Body::Ping(ping(us)),
        Body::Ack(ack(seq)),
        Body::BareAck { seq },
        Body::PingRequest(PingRequest { seq, target: us, generation: run, nack_after_ms: 1 }),
        Body::RelayedAck { seq, incarnation: Incarnation(0) },
        Body::Nack { seq, reason: NackReason::NoAnswer },
        Body::Alive { record: record("x", addr, 1), vouched: true },
        Body::Verdict(verdict_on(world, to, 0, Status::Dead)),
        Body::Doubt { subject: us, cookie: Cookie(1) },
        Body::Vouch(Vouch {
            cookie: Cookie(1),
            subject: us,
            generation: run,
            incarnation: Incarnation(0),
            left_at: LeftAt::default(),
        }),
        Body::Hello(Hello { seq, cookie, attempt: 1, cluster: ClusterId(0), record: record(name, addr, 1) }),
        Body::Challenge { seq, cookie: Cookie(1) },
        Body::Welcome(Welcome { seq, view, count: 9_000, cluster: ClusterId(0) }),
        Body::Reject { seq, reason: RejectReason::Full },
        Body::RejectHint { seq, reason: RejectHintReason::WrongKey },
        Body::Leave { seq, cookie, incarnation: Incarnation(0), left_at: LeftAt::default() },
        Body::BucketDigest(BucketDigest { seq, cookie, count: 0, from, sums }),
        Body::Digests(Digests { seq, from, next: end, groups: Groups::default() }),
        Body::Offer(Offer { seq, cookie, wants: Wants::default() }),
        Body::SyncDelta { seq, truncated: false },
        Body::Pull(Pull { seq, cookie, from, until: end }),
        Body::Page(Page { seq, next: end }),
        Body::SyncRecord { record: record("x", addr, 1), vouched: true },
        Body::SyncVerdict(verdict_on(world, to, 0, Status::Dead)),
        Body::Fragment(Fragment {
            ask: 1,
            number: 1,
            behind: 0,
            total: 1,
            size: 1_024,
            index: 0,
            bytes: b"x",
        }),
        Body::FragmentAck(FragmentAck { ask: 1, number: 1, progress: Progress::Delivered }),
        Body::Delta(delta),
        Body::Fetch(Fetch { seq, cookie, lacks: Lacks::default() }),
        Body::Fetched { seq },
        Body::PulledDelta(delta),
        Body::Broadcast(broadcast),
        Body::PulledBroadcast(broadcast),
    ]
}

/// The types of the bodies in a datagram.
fn kinds(datagram: &[u8]) -> Vec<String> {
    let packet = Packet::decode(datagram).unwrap();
    let kind = |body: Body<'_>| {
        let text = format!("{body:?}");
        text.chars().take_while(|letter| letter.is_alphanumeric()).collect()
    };
    packet.bodies().map(kind).collect()
}

/// A small cluster in which much has happened, now at rest, and up to so many datagrams of each kind that were
/// sent: who to whom, and what.
fn lived(seed: u64, of_each: usize) -> (World, Vec<(SocketAddr, usize, Vec<u8>)>) {
    let mut world = World::new(seed);
    world.recorded = Some(Vec::new());
    world.grow(6);
    world.run(secs(5));
    world.crash(5);
    world.run(secs(15));
    world.restart(5);
    world.join(5, &[0]);
    world.run(secs(5));
    let split = [0, 1];
    world.cut(&split, &[2, 3, 4, 5], true);
    world.run(secs(20));
    world.cuts.clear();
    assert!(world.run_until(secs(60), World::is_converged), "{}", world.sizes());
    world.call(4, |protocol, now| protocol.leave(now, secs(5)));
    world.run(secs(5));
    world.crash(4);
    world.run(secs(20));
    assert!(world.is_converged());
    let mut counts: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    let recorded = world.recorded.take().unwrap();
    let sample = recorded.into_iter().filter_map(|(from, to, datagram)| {
        let to = (0..6).find(|index| addr_of(*index) == to && *index != 4)?;
        let count = counts.entry(kinds(&datagram)).or_default();
        *count += 1;
        (*count <= of_each).then_some((from, to, datagram))
    });
    let sample = sample.collect();
    (world, sample)
}

fn bytes(answers: &[(SocketAddr, Vec<u8>)]) -> usize {
    answers.iter().map(|(_, datagram)| datagram.len()).sum()
}

/// Whether answers go to where the datagram came from, save a challenge: that goes to the member that it says it is
/// from.
fn go_to(member: SocketAddr, from: SocketAddr, answers: &[(SocketAddr, Vec<u8>)]) -> bool {
    answers.iter().all(|(to, answer)| *to == from || (*to == member && kinds(answer) == ["Challenge"]))
}

/// The address that the hello in a datagram names.
fn advertised(datagram: &[u8]) -> Option<SocketAddr> {
    Packet::decode(datagram).ok()?.bodies().find_map(|body| match body {
        Body::Hello(hello) => Some(hello.record.addr),
        _ => None,
    })
}

/// The cookie that answers a first hello.
fn challenge(answers: &[(SocketAddr, Vec<u8>)]) -> Cookie {
    let cookie = answers.iter().find_map(|(_, datagram)| {
        Packet::decode(datagram).unwrap().bodies().find_map(|body| match body {
            Body::Challenge { cookie, .. } => Some(cookie),
            _ => None,
        })
    });
    cookie.expect("a cookie")
}

/// These bytes with the checksum that they need to be looked at.
fn checked(bytes: &[u8]) -> Vec<u8> {
    let mut datagram = bytes.to_vec();
    checksum::append(&mut datagram);
    datagram
}

/// A datagram with one bit flipped, and a checksum that is right all the same: somebody has done it on purpose.
fn flipped(datagram: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = datagram[..datagram.len() - CHECKSUM_SIZE].to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    checked(&bytes)
}

#[test]
fn random_bytes_change_nothing_and_are_not_answered() {
    let mut world = World::cluster(1, 3);
    let view = world.view(0);
    let header = world.forge(1, 0, &[])[..HEADER_SIZE].to_vec();
    for round in 0..1_500_usize {
        let length = match round % 3 {
            0 => world.rng.random_range(0..200),
            1 => world.rng.random_range(0..2_000),
            _ => world.rng.random_range(0..=UDP_MAX),
        };
        let mut bytes = vec![0; length];
        world.rng.fill_bytes(&mut bytes);
        let from = if round % 2 == 0 { addr_of(1) } else { foreign() };
        assert!(world.answers(0, from, &bytes).is_empty(), "{length} bytes");
        // The same behind a header that is right in every field.
        let known = header.len().min(length);
        bytes[..known].copy_from_slice(&header[..known]);
        assert!(world.answers(0, from, &bytes).is_empty(), "{length} bytes behind a header");
        // And before a checksum that is right.
        assert!(world.answers(0, from, &checked(&bytes)).is_empty(), "{length} bytes with a checksum");
        assert_eq!(world.view(0), view);
    }
    for length in [0, 1, 35, UDP_MAX] {
        assert!(world.answers(0, addr_of(1), &vec![0xff; length]).is_empty());
    }
    assert!(world.hosts[0].protocol.metrics().malformed > 2_000);
}

#[test]
fn a_datagram_that_was_cut_anywhere_changes_nothing() {
    let (mut world, sample) = lived(2, 2);
    let all: BTreeSet<String> = sample.iter().flat_map(|(_, _, datagram)| kinds(datagram)).collect();
    println!("{} datagrams with {all:?}", sample.len());
    // Nearly all kinds: one that a run needs only by chance may be missing.
    assert!(all.len() >= 17, "{all:?}");
    let mut most = 0;
    for (from, to, datagram) in &sample {
        let view = world.view(*to);
        for length in 0..=datagram.len() {
            for cut in [datagram[..length].to_vec(), checked(&datagram[..length])] {
                let answers = world.answers(*to, *from, &cut);
                // A round of rumors, if it accuses the receiver of what it has refuted.
                most = most.max(answers.len());
                assert!(most <= 8, "{most} answers to {:?}", kinds(datagram));
                assert_eq!(world.view(*to), view, "{:?} cut to {length}", kinds(datagram));
            }
        }
    }
    let since = world.now;
    world.run(secs(30));
    assert!(world.is_converged());
    assert!([0, 1, 2, 3, 5].iter().all(|at| world.story(*at, since).is_empty()));
}

#[test]
fn a_datagram_from_another_address_changes_nothing_whatever_bits_were_flipped() {
    let (mut world, sample) = lived(3, 1);
    for (from, to, datagram) in &sample {
        let view = world.view(*to);
        for bit in 0..(datagram.len() - CHECKSUM_SIZE) * 8 {
            let answers = world.answers(*to, foreign(), &flipped(datagram, bit));
            assert!(bytes(&answers) <= datagram.len(), "{:?}, bit {bit}", kinds(datagram));
            let named = advertised(&flipped(datagram, bit)).unwrap_or(*from);
            assert!(go_to(named, foreign(), &answers), "{:?}, bit {bit}", kinds(datagram));
            assert_eq!(world.view(*to), view, "{:?}, bit {bit}", kinds(datagram));
        }
        let answers = world.answers(*to, foreign(), datagram);
        assert!(bytes(&answers) <= datagram.len(), "{:?}", kinds(datagram));
        assert_eq!(world.view(*to), view, "{:?}", kinds(datagram));
    }
}

#[test]
fn a_cluster_survives_what_flipped_bits_from_its_own_members_tell_it() {
    let (mut world, sample) = lived(4, 1);
    let mut number = 0;
    for (from, to, datagram) in &sample {
        for bit in (0..(datagram.len() - CHECKSUM_SIZE) * 8).step_by(5) {
            let answers = world.answers(*to, *from, &flipped(datagram, bit));
            assert!(answers.len() <= 9 + 64, "{:?}", kinds(datagram));
            number += 1;
        }
        world.run(Duration::from_millis(50));
    }
    let since = world.now;
    assert!(world.run_until(secs(600), World::is_converged), "{}", world.dump());
    println!("{number} datagrams; views equal again after {:?}", world.now.since(since));
    for index in [0, 1, 2, 3, 5] {
        assert!(world.hosts[index].ended.is_none());
    }
}

#[test]
fn a_datagram_of_a_member_that_was_damaged_on_its_way_changes_nothing() {
    let (mut world, sample) = lived(7, 1);
    for (from, to, datagram) in &sample {
        let view = world.view(*to);
        let dropped = |world: &World| {
            let metrics = world.hosts[*to].protocol.metrics();
            metrics.malformed + metrics.unopened
        };
        let before = dropped(&world);
        for bit in 0..datagram.len() * 8 {
            let mut damaged = datagram.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // One that seems to be sealed brings a stranger a hint.
            let answers = world.answers(*to, *from, &damaged);
            assert!(
                answers.iter().all(|(_, answer)| kinds(answer) == ["RejectHint"]),
                "{:?}",
                kinds(datagram)
            );
            assert!(answers.is_empty() || bit == 3 * 8, "{:?}, bit {bit}", kinds(datagram));
        }
        assert_eq!(dropped(&world) - before, datagram.len() as u64 * 8);
        assert_eq!(world.view(*to), view, "{:?}", kinds(datagram));
    }
}

#[test]
fn many_pings_in_one_datagram_make_one_answer() {
    let mut world = World::cluster(5, 3);
    let pings: Vec<Body<'_>> = (1..=BODIES_MAX as u64)
        .map(|seq| Body::Ping(Ping { seq: Seq(seq), ..ping(world.hash(0)) }))
        .collect();
    let known = world.forge(1, 0, &pings);
    assert_eq!(world.answers(0, addr_of(1), &known).len(), 1);
    assert_eq!(world.answers(0, foreign(), &known).len(), 1);
    let stranger = world.forge_stranger("x", 0, &pings);
    assert_eq!(world.answers(0, foreign(), &stranger).len(), 1);
}

#[test]
fn an_answer_to_an_unknown_sender_is_never_longer_than_what_came() {
    expect_short_answers(World::new(6));
}

/// While keys change: a seal would make the answer longer than a question that had none.
#[test]
#[cfg(feature = "encryption")]
fn an_answer_to_an_unknown_sender_without_a_key_is_never_longer_than_what_came() {
    let mut world = World::new(6);
    let key = crate::Key::from_bytes([7; 32]);
    world.settings.keyring = crate::Keyring::new(key).accepting_plain();
    expect_short_answers(world);
}

fn expect_short_answers(mut world: World) {
    let mut buffer = Vec::new();
    let sums = SumList::encode(&[0; BUCKETS], BUCKETS * 2, &mut buffer);
    world.grow(5);
    // Two addresses of former members: one died, one left.
    world.crash(3);
    world.call(4, |protocol, now| protocol.leave(now, secs(5)));
    world.run(secs(20));
    world.crash(4);
    let senders = [
        ("a stranger", "x", Generation(1), foreign()),
        ("a member's name", "n1", world.generation(1), foreign()),
        ("a stranger behind a member's address", "x", Generation(1), addr_of(1)),
        ("a dead member", "n3", world.generation(3), addr_of(3)),
        ("a member that left", "n4", world.generation(4), addr_of(4)),
        ("another run of one that left", "n4", Generation(1), addr_of(4)),
    ];
    // Of each kind on its own, bytes in and out where most comes out for what came in.
    let mut table: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (who, name, generation, addr) in senders {
        for receiver in [Generation(0), world.generation(0)] {
            let header = Header {
                reads: Versions::OURS,
                tag: world.tag(),
                sender: NameHash::of(world.tag(), name),
                generation,
                receiver,
            };
            let mut bodies = each_body(&world, 0, name, addr, sums);
            for body in &mut bodies {
                if let Body::Hello(hello) = body {
                    hello.record.generation = generation;
                }
            }
            for (place, first) in bodies.iter().enumerate() {
                let alone = datagram(&header, &[*first]);
                let answers = world.answers(0, addr, &alone);
                let (came, out) = (alone.len(), bytes(&answers));
                let most = table.entry(kinds(&alone)[0].clone()).or_insert((came, out));
                if out * most.0 > most.1 * came {
                    *most = (came, out);
                }
                assert!(go_to(addr_of(1), addr, &answers));
                assert!(bytes(&answers) <= alone.len(), "{who}: {first:?}");
                // Beside another body, and as often as fits.
                for second in &bodies[place..] {
                    for times in [1, BODIES_MAX / 2] {
                        let pair = datagram(&header, &[*first, *second]).len();
                        if pair * times > UDP_MAX {
                            continue;
                        }
                        let many = datagram(&header, &vec![[*first, *second]; times].concat());
                        let out = bytes(&world.answers(0, addr, &many));
                        assert!(out <= many.len(), "{who}: {times} times {first:?} and {second:?}: {out}");
                    }
                }
            }
        }
    }
    for (kind, (came, out)) in &table {
        println!("{kind:<14} {came:>5} in {out:>4} out");
    }
    assert_eq!(table.len(), 32, "all kinds of bodies");
}

#[test]
fn accusations_with_the_highest_numbers_do_not_evict_a_live_node() {
    for status in [Status::Suspect, Status::Dead, Status::Left] {
        for above in [0, 1 << 15, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 1 << 48, u64::MAX] {
            let mut world = World::cluster(7, 6);
            let since = world.now;
            let lie = verdict_on(&world, 0, above, status);
            for at in 1..6 {
                let accuser = 1 + at % 5;
                let lie = if status == Status::Suspect { accused_by(lie, world.hash(accuser)) } else { lie };
                let datagram = world.forge(accuser, at, &[Body::Verdict(lie)]);
                world.inject(at, addr_of(accuser), &datagram);
            }
            world.run(secs(10));
            assert!(world.is_converged(), "{status} {above}: {}", world.dump());
            assert!((1..6).all(|at| world.status(at, 0) == Some(Status::Alive)), "{status} {above}");
            assert!(world.story(0, since).is_empty(), "it has lost nobody: {:?}", world.story(0, since));
        }
    }
}

#[test]
fn a_member_that_is_slandered_again_and_again_is_back_when_it_ends() {
    let mut world = World::cluster(8, 6);
    for round in 0..20 {
        let lie = verdict_on(&world, 0, round % 3, Status::Dead);
        let datagram = world.forge(1, 2, &[Body::Verdict(lie)]);
        world.inject(2, addr_of(1), &datagram);
        world.run(secs(1));
    }
    let since = world.now;
    assert!(world.run_until(secs(400), World::is_converged), "{}", world.dump());
    println!("back after {:?}", world.now.since(since));
}

#[test]
fn an_ack_counts_once_in_time_from_the_run_and_address_that_was_asked() {
    let mut world = World::cluster(10, 4);
    world.cut(&[0], &[1], true);
    let ask = |world: &mut World| {
        world.recorded = Some(Vec::new());
        let call = world.call(0, |protocol, now| protocol.ping(now, "n1").unwrap());
        let sent = world.recorded.take().unwrap();
        let seq = sent.iter().find_map(|(_, to, datagram)| {
            Packet::decode(datagram).unwrap().bodies().find_map(|body| match body {
                Body::Ping(ping) if *to == addr_of(1) => Some(ping.seq),
                _ => None,
            })
        });
        (call, seq.unwrap())
    };
    let (call, seq) = ask(&mut world);
    let unexpected = |world: &World| world.hosts[0].protocol.metrics().unexpected_answers;
    let right = Header {
        reads: Versions::OURS,
        tag: world.tag(),
        sender: world.hash(1),
        generation: world.generation(1),
        receiver: world.generation(0),
    };
    let forged = [
        ("another address", addr_of(2), right, seq),
        ("another port", SocketAddr::new(addr_of(1).ip(), 1), right, seq),
        ("another number", addr_of(1), right, Seq(seq.0 ^ 1)),
        ("another name", addr_of(1), Header { sender: world.hash(2), ..right }, seq),
        ("another run", addr_of(1), Header { generation: Generation(right.generation.0 + 1), ..right }, seq),
        ("another cluster", addr_of(1), Header { tag: ClusterTag(1), ..right }, seq),
    ];
    for (what, from, header, seq) in forged {
        let before = unexpected(&world);
        assert!(world.answers(0, from, &datagram(&header, &[Body::Ack(ack(seq))])).is_empty());
        assert!(!world.hosts[0].answers.contains_key(&call), "{what}");
        assert_eq!(unexpected(&world) - before, u64::from(header.tag == right.tag), "{what}");
        for body in [
            Body::RelayedAck { seq, incarnation: Incarnation(0) },
            Body::Nack { seq, reason: NackReason::NoAnswer },
        ] {
            world.inject(0, from, &datagram(&header, &[body]));
        }
        assert!(!world.hosts[0].answers.contains_key(&call), "{what}");
    }
    let good = datagram(&right, &[Body::Ack(ack(seq))]);
    world.inject(0, addr_of(1), &good);
    assert!(matches!(world.hosts[0].answers.get(&call), Some(CallResult::Pinged(Ok(_)))));
    let (before, health) = (unexpected(&world), world.hosts[0].protocol.health());
    world.inject(0, addr_of(1), &good);
    assert_eq!(unexpected(&world), before + 1, "doubled");
    let (call, seq) = ask(&mut world);
    world.run(secs(2));
    assert!(matches!(world.hosts[0].answers.get(&call), Some(CallResult::Pinged(Err(_)))));
    let before = unexpected(&world);
    // It shows that the node is there, once, and the call has ended.
    for again in [0, 1] {
        world.inject(0, addr_of(1), &datagram(&right, &[Body::Ack(ack(seq))]));
        assert_eq!(unexpected(&world), before + again, "late");
    }
    assert!(matches!(world.hosts[0].answers.get(&call), Some(CallResult::Pinged(Err(_)))));
    assert_eq!(world.hosts[0].protocol.health(), health);
}

#[test]
fn verdicts_and_records_from_unknown_senders_are_ignored_and_counted() {
    let mut world = World::cluster(11, 4);
    let right = Header {
        reads: Versions::OURS,
        tag: world.tag(),
        sender: world.hash(2),
        generation: world.generation(2),
        receiver: world.generation(0),
    };
    let older = Generation(right.generation.0 - 1);
    let senders = [
        (foreign(), right),
        (addr_of(3), right),
        (addr_of(2), Header { generation: older, ..right }),
        (addr_of(2), Header { receiver: Generation(0), ..right }),
        (addr_of(2), Header { receiver: Generation(right.receiver.0 - 1), ..right }),
        (addr_of(2), Header { sender: NameHash::of(world.tag(), "x"), ..right }),
    ];
    let view = world.view(0);
    for (from, header) in senders {
        for status in [Status::Suspect, Status::Dead, Status::Left] {
            for subject in [0, 1] {
                let mut lie = verdict_on(&world, subject, 0, status);
                if status == Status::Suspect {
                    lie = accused_by(lie, world.hash(3));
                }
                let before = world.hosts[0].protocol.metrics().unknown_sender;
                let bodies = [
                    Body::Verdict(lie),
                    Body::SyncVerdict(lie),
                    Body::Alive { record: record("x", foreign(), 1), vouched: true },
                ];
                world.inject(0, from, &datagram(&header, &bodies));
                assert_eq!(world.view(0), view);
                let counted = world.hosts[0].protocol.metrics().unknown_sender - before;
                assert!(counted >= 2, "{counted}");
            }
        }
    }
    world.run(secs(10));
    assert_eq!(world.view(0), view);
}

#[test]
fn two_clusters_that_have_each_other_among_their_seeds_never_merge() {
    let mut world = World::new(23);
    world.settings.discovers = true;
    world.seeds = (0..8).map(addr_of).collect();
    for index in 0..8 {
        world.settings.cluster = if index % 2 == 0 { "even" } else { "odd" }.to_owned();
        world.add();
        world.run(secs(1));
    }
    world.run(secs(60));
    for index in 0..8 {
        let protocol = &world.hosts[index].protocol;
        let names: BTreeSet<&str> = protocol.all_nodes().map(|node| node.name()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!((0..8).all(|other| names.contains(&*format!("n{other}")) == (other % 2 == index % 2)));
        assert!(protocol.metrics().foreign_cluster > 0);
    }
}

/// The bodies of one kind among what was sent.
fn bodies_of<'a, T>(sent: &'a [(SocketAddr, Vec<u8>)], kind: impl Fn(Body<'a>) -> Option<T>) -> Vec<T> {
    sent.iter()
        .flat_map(|(_, datagram)| Packet::decode(datagram).unwrap().bodies())
        .filter_map(kind)
        .collect()
}
