//! What a member makes of versions, and what it writes into fields of the format that nobody reads yet.

use std::time::Duration;

use super::secs;
use super::world::{World, addr_of, datagram};
use crate::error::Error;
use crate::node::Status;
use crate::protocol::CallResult;
use crate::wire::body::{LeftAt, NackReason, RejectReason};
use crate::wire::version::{VersionNotice, ending};
use crate::wire::{Body, ClusterId, Header, NameHash, Packet, Seq, Verdict, Versions, checksum};

/// The bodies of all datagrams that were recorded, and from which host to which they went.
fn bodies(world: &mut World) -> Vec<(usize, usize, String)> {
    let recorded = world.recorded.replace(Vec::new()).unwrap();
    let index = |addr| (0..100).find(|index| addr_of(*index) == addr).unwrap();
    let mut found = Vec::new();
    for (from, to, bytes) in recorded {
        let packet = Packet::decode(&bytes).unwrap();
        found.extend(packet.bodies().map(|body| (index(from), index(to), format!("{body:?}"))));
    }
    found
}

#[test]
fn a_datagram_of_another_version_is_counted_as_that_and_changes_nothing() {
    let mut world = World::cluster(1, 3);
    world.run(secs(2));
    let (before, metrics) = (world.memory(0), world.hosts[0].protocol.metrics());
    let mut newer = world.forge(1, 0, &[Body::BareAck { seq: Seq(1) }]);
    newer.truncate(newer.len() - checksum::CHECKSUM_SIZE);
    newer[2..4].copy_from_slice(&[3, 0]);
    let damaged = [&newer[..], &[0; 4]].concat();
    checksum::append(&mut newer);
    let notice = VersionNotice { reads: Versions::new(3, 4).unwrap(), answers: 7 };
    let answer = VersionNotice { reads: Versions::OURS, answers: ending(&newer).unwrap() };
    assert_eq!(world.answers(0, addr_of(1), &newer), [(addr_of(1), answer.encode())]);
    assert!(world.answers(0, addr_of(1), &notice.encode()).is_empty());
    assert_eq!(world.hosts[0].protocol.metrics().other_version, metrics.other_version + 2);
    assert_eq!(world.hosts[0].protocol.metrics().malformed, metrics.malformed);
    // With a wrong checksum it is not known what it was.
    assert!(world.answers(0, addr_of(1), &damaged).is_empty());
    assert_eq!(world.hosts[0].protocol.metrics().other_version, metrics.other_version + 2);
    assert_eq!(world.hosts[0].protocol.metrics().malformed, metrics.malformed + 1);
    assert_eq!(world.memory(0), before);
}

/// A datagram of another version, or sealed, with these flags and this between head and checksum.
fn of_version(version: u8, flags: u8, between: &[u8]) -> Vec<u8> {
    let mut datagram = [&[0x68, 0x63, version, flags], between].concat();
    checksum::append(&mut datagram);
    datagram
}

#[test]
fn what_can_not_be_read_because_of_its_version_is_answered_by_a_shorter_notice_ten_times_a_second() {
    let mut world = World::cluster(5, 2);
    let from = addr_of(50);
    // It has no room for a notice.
    assert!(world.answers(0, from, &of_version(3, 0, &[])).is_empty());
    let mut answered = 0;
    for number in 0..40 {
        let sealed = u8::from(number % 2 == 0);
        let datagram = of_version(3, sealed, &[number; 60]);
        for (to, answer) in world.answers(0, from, &datagram) {
            assert_eq!(to, from);
            assert_eq!(answer[..8], [&[0x68, 0x63, 2, 2], &datagram[datagram.len() - 4..]].concat());
            answered += 1;
        }
    }
    assert_eq!(answered, 10);
    // Nor is a notice answered, which would have no end.
    world.run(secs(2));
    let notice = VersionNotice { reads: Versions::new(3, 3).unwrap(), answers: 7 };
    assert!(world.answers(0, from, &notice.encode()).is_empty());
}

/// The seed counted a malformed datagram, and the join ended with "no answer" after five seconds.
#[test]
fn a_joiner_that_is_not_read_is_told_which_versions_are() {
    let cases = [(3, 4, true, true), (1, 1, true, true), (2, 3, true, false), (3, 4, false, false)];
    for (oldest, newest, repeats, is_reason) in cases {
        let mut world = World::new(6);
        world.recorded = Some(Vec::new());
        let joiner = world.add();
        let call = world.join(joiner, &[50]);
        let reads = Versions::new(oldest, newest).unwrap();
        let mut took = 0;
        for _ in 0..60 {
            let hellos = world.recorded.replace(Vec::new()).unwrap();
            for (_, _, hello) in hellos.iter().filter(|(from, to, _)| from != to) {
                let answers = ending(hello).unwrap() ^ u32::from(!repeats);
                world.inject(joiner, addr_of(50), &VersionNotice { reads, answers }.encode());
            }
            if world.hosts[joiner].answers.contains_key(&call) {
                break;
            }
            took += 1;
            world.run(Duration::from_millis(100));
        }
        let Some(CallResult::Joined(Err(errors))) = world.hosts[joiner].answers.get(&call) else {
            panic!("{:?}", world.hosts[joiner].answers);
        };
        println!("{reads:?}: {:?} after {took} × 100 ms", errors[0].1);
        if is_reason {
            assert!(matches!(&errors[0].1, Error::WrongVersion { theirs, ours }
                if *theirs == (oldest..=newest) && *ours == (2..=2)));
            assert!(took < 20);
        } else {
            assert!(matches!(errors[0].1, Error::NoAnswer));
        }
    }
}

/// The three releases by which a cluster goes from version 2 to version 3: what each of them writes, and what this one,
/// which knows version 2 only, makes of it.
#[test]
fn a_rolling_change_of_the_version_is_seen_by_those_that_read_the_old_one_only() {
    let mut world = World::cluster(7, 2);
    let rest = |bytes: &[u8]| bytes[4..bytes.len() - checksum::CHECKSUM_SIZE].to_vec();
    let sample = world.forge(1, 0, &[Body::Nack { seq: Seq(1), reason: NackReason::NoAnswer }]);
    // The first reads 2 and 3, and writes 2: nothing changes for this one.
    let first = of_version(2, 0b0010_0000, &rest(&sample));
    let metrics = world.hosts[0].protocol.metrics();
    assert!(world.answers(0, addr_of(1), &first).is_empty());
    let after = world.hosts[0].protocol.metrics();
    assert_eq!((after.malformed, after.other_version), (metrics.malformed, metrics.other_version));
    assert_eq!(Packet::decode(&first).unwrap().header().reads, Versions::new(2, 3).unwrap());
    // The second writes 3, and reads 2 and 3; the third writes and reads 3. Both learn that they are not read here.
    let contents: Vec<u8> = (1..=32).collect();
    for (flags, end, notice) in
        [(0b0000_0100, "368d6e0a", "68630202368d6e0ae01cc16d"), (0, "5b85b447", "686302025b85b4478bfe232c")]
    {
        let datagram = of_version(3, flags, &contents);
        assert_eq!(hex(&datagram[36..]), end);
        let answers = world.answers(0, addr_of(1), &datagram);
        let [(to, answer)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((*to, hex(answer)), (addr_of(1), notice.to_owned()));
    }
    assert_eq!(world.hosts[0].protocol.metrics().other_version, metrics.other_version + 2);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_reject_tells_the_joiner_why() {
    let seen = addr_of(77);
    let cases = [
        (
            RejectReason::Unreachable { seen },
            "nobody is reached at 10.1.0.0:7990, though datagrams come from 10.1.0.77:7990",
        ),
        (
            RejectReason::BadAddress,
            "10.1.0.0:7990 is an address at which not all others can reach its member",
        ),
        (
            RejectReason::WrongVersion { spoken: Versions::new(3, 4).unwrap() },
            "the versions of the format do not match: there 3..=4, here 2..=2",
        ),
    ];
    for (reason, expected) in cases {
        let mut world = World::new(2);
        world.recorded = Some(Vec::new());
        let joiner = world.add();
        let call = world.join(joiner, &[50]);
        let hello = world.recorded.take().unwrap();
        let seq = hello.iter().find_map(|(_, _, bytes)| {
            Packet::decode(bytes).unwrap().bodies().find_map(|body| match body {
                Body::Hello(hello) => Some(hello.seq),
                _ => None,
            })
        });
        let header = Header {
            reads: Versions::OURS,
            tag: world.tag(),
            sender: NameHash(1),
            generation: world.generation(joiner),
            receiver: world.generation(joiner),
        };
        let reject = datagram(&header, &[Body::Reject { seq: seq.unwrap(), reason }]);
        for bit in 0..reject.len() * 8 {
            let mut damaged = reject.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            world.inject(joiner, addr_of(50), &damaged);
            assert!(!world.hosts[joiner].answers.contains_key(&call), "bit {bit}");
        }
        world.inject(joiner, addr_of(50), &reject);
        if matches!(reason, RejectReason::Unreachable { .. }) {
            // The datagram that would show that it is reached may have been lost.
            world.run(secs(4));
            assert!(!world.hosts[joiner].answers.contains_key(&call));
            world.run(secs(2));
        }
        let Some(CallResult::Joined(Err(errors))) = world.hosts[joiner].answers.get(&call) else {
            panic!("{:?}", world.hosts[joiner].answers);
        };
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].1.to_string(), expected);
        let copy = crate::protocol::copy_error(&errors[0].1);
        assert_eq!(copy.to_string(), expected);
        assert!(!matches!(copy, Error::NoAnswer));
    }
}

#[test]
fn the_hellos_of_an_attempt_are_counted_from_one() {
    let mut world = World::new(3);
    world.recorded = Some(Vec::new());
    let joiner = world.add();
    world.join(joiner, &[50]);
    world.run(secs(2));
    let recorded = world.recorded.take().unwrap();
    let mut hellos = Vec::new();
    for (_, _, bytes) in &recorded {
        for body in Packet::decode(bytes).unwrap().bodies() {
            if let Body::Hello(hello) = body {
                assert_eq!(hello.cluster, ClusterId(0));
                hellos.push((hello.seq, hello.attempt));
            }
        }
    }
    assert!(hellos.len() > 5, "{hellos:?}");
    for (place, hello) in hellos.iter().enumerate() {
        assert_eq!(*hello, (hellos[0].0, u32::try_from(place).unwrap() + 1));
    }
}

#[test]
fn a_leave_says_how_far_the_leaver_had_come_and_whoever_tells_it_on_says_the_same() {
    let mut world = World::cluster(4, 12);
    for _ in 0..3 {
        world.call(11, |protocol, now| protocol.update(now, &[("key", Some(b"value"))])).unwrap();
        world.call(11, |protocol, now| protocol.update(now, &[("key", None)])).unwrap();
        world.call(11, |protocol, now| protocol.broadcast(now, b"news")).unwrap();
    }
    // One has nothing of it.
    world.cut(&[11], &[0], true);
    world.run(secs(1));
    let record = world.hosts[11].protocol.core.own_record();
    let left_at = LeftAt { state_version: record.state_version, broadcast: record.broadcast };
    assert_eq!(left_at, LeftAt { state_version: 6, broadcast: 3 });
    let name = world.hash(11);
    world.recorded = Some(Vec::new());
    world.call(11, |protocol, now| protocol.leave(now, secs(5)));
    world.run(secs(3));
    let told: Vec<_> = bodies(&mut world)
        .into_iter()
        .filter(|(_, _, body)| body.contains("left_at") && (body.contains("Left") || !body.contains("Dead")))
        .filter(|(_, _, body)| ["Leave", "Vouch", "Verdict"].iter().any(|kind| body.starts_with(kind)))
        .collect();
    assert!(told.iter().any(|(from, _, _)| *from == 11) && told.iter().any(|(from, _, _)| *from != 11));
    for (from, to, body) in &told {
        assert!(body.contains(&format!("{left_at:?}")), "{from} says {body} to {to}");
    }
    for index in 0..11 {
        let held: Verdict = world.hosts[index].protocol.core.held_against(name).unwrap();
        assert_eq!((held.status, held.left_at), (Status::Left, left_at), "{index}");
    }
}

#[cfg(feature = "encryption")]
#[test]
fn a_sealed_datagram_counts_at_the_node_that_it_is_for_though_another_one_has_its_generation() {
    use crate::{Key, Keyring};

    let mut world = World::new(5);
    world.settings.keyring = Keyring::new(Key::from_bytes([1; 32]));
    world.grow(3);
    world.run(secs(2));
    world.recorded = Some(Vec::new());
    world.call(0, |protocol, now| protocol.update(now, &[("key", Some(b"value"))])).unwrap();
    world.run(secs(1));
    // Whatever went from the first host to the second, as if the third had the generation of the second.
    world.hosts[2].protocol.core.generation = world.generation(1);
    let recorded = world.recorded.take().unwrap();
    let moved = recorded.iter().filter(|(from, to, _)| (*from, *to) == (addr_of(0), addr_of(1)));
    let (before, unopened) = (world.view(2), world.hosts[2].protocol.metrics().unopened);
    let mut count = 0;
    for (from, _, bytes) in moved {
        assert!(world.answers(2, *from, bytes).is_empty());
        count += 1;
    }
    assert!(count > 0);
    assert_eq!(world.hosts[2].protocol.metrics().unopened, unopened + count);
    assert_eq!(world.view(2), before);
}
