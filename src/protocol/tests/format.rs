//! What a member makes of versions, and what it writes into fields of the format that nobody reads yet.

use super::secs;
use super::world::{World, addr_of, datagram};
use crate::error::Error;
use crate::node::Status;
use crate::protocol::CallResult;
use crate::wire::body::{LeftAt, RejectReason};
use crate::wire::version::VersionNotice;
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
    for datagram in [&newer, &notice.encode()] {
        assert!(world.answers(0, addr_of(1), datagram).is_empty());
    }
    assert_eq!(world.hosts[0].protocol.metrics().other_version, metrics.other_version + 2);
    assert_eq!(world.hosts[0].protocol.metrics().malformed, metrics.malformed);
    // With a wrong checksum it is not known what it was.
    assert!(world.answers(0, addr_of(1), &damaged).is_empty());
    assert_eq!(world.hosts[0].protocol.metrics().other_version, metrics.other_version + 2);
    assert_eq!(world.hosts[0].protocol.metrics().malformed, metrics.malformed + 1);
    assert_eq!(world.memory(0), before);
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
