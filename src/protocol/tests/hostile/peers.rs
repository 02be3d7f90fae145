//! Members that are let in, and answer what nobody honest would.

use std::net::SocketAddr;

use super::{bodies_of, foreign, record};
use crate::protocol::tests::secs;
use crate::protocol::tests::world::World;
use crate::protocol::{CallResult, RequestId};
use crate::wire::body::{Digests, Page, Pull, Welcome};
use crate::wire::lists::Groups;
use crate::wire::{Body, ClusterId, NameHash, ViewMark};

#[test]
fn a_page_that_leads_out_of_its_range_ends_it() {
    // A joiner pulled on from where such a page said that the next one begins, beyond the end of its own range:
    // a request that nobody can read, sent twelve times, and with debug assertions a panic.
    let (mut world, call, sent) = let_in_by_a_stranger(20, 9_000);
    let pull = |sent: &[(SocketAddr, Vec<u8>)]| {
        bodies_of(sent, |body| if let Body::Pull(pull) = body { Some(pull) } else { None })
    };
    let answer = |world: &mut World, asked: &Pull, next: u64| {
        let page = Page { seq: asked.seq, next: NameHash(next) };
        let datagram = world.forge_stranger("x", 0, &[Body::Page(page)]);
        pull(&world.answers(0, foreign(), &datagram))
    };
    let [first, last] = pull(&sent)[..] else { panic!("{sent:?}") };
    for next in [first.until.0, first.until.0 + 1, u64::MAX] {
        assert_eq!(answer(&mut world, &first, next), []);
    }
    // The other range has no end but that of all.
    let [more] = answer(&mut world, &last, u64::MAX)[..] else { panic!("no pull") };
    assert_eq!((more.from, more.until), (NameHash(u64::MAX), NameHash(0)));
    assert_eq!(answer(&mut world, &more, 0), []);
    assert!(matches!(world.hosts[0].answers.get(&call), Some(CallResult::Joined(Ok(())))));
}

#[test]
fn a_peer_whose_digests_never_end_is_given_up() {
    // Each page was remembered, for as long as the peer went on to answer.
    let (mut world, _, sent) = let_in_by_a_stranger(21, 1);
    let sums = |sent: &[(SocketAddr, Vec<u8>)]| {
        bodies_of(sent, |body| if let Body::BucketDigest(sums) = body { Some(sums.seq) } else { None })
    };
    let (mut seq, mut pages) = (sums(&sent)[0], 0);
    for from in 1..20_000_u64 {
        let groups = Groups::default();
        let page = Body::Digests(Digests { seq, from: NameHash(from), next: NameHash(from + 1), groups });
        let datagram = world.forge_stranger("x", 0, &[page]);
        if let Some(next) = sums(&world.answers(0, foreign(), &datagram)).first() {
            (seq, pages) = (*next, from);
        }
    }
    println!("asked for more until page {pages}");
    assert_eq!(pages, 16_384);
    world.run(secs(30));
    assert_eq!(world.hosts[0].protocol.sync.waiting(), 0);
}

/// A member alone that has said hello to a stranger, and is told that it is in a cluster of so many: its call, and what
/// it sends then.
fn let_in_by_a_stranger(seed: u64, count: u32) -> (World, RequestId, Vec<(SocketAddr, Vec<u8>)>) {
    let mut world = World::new(seed);
    world.add();
    world.recorded = Some(Vec::new());
    let call = world.call(0, |protocol, now| protocol.join(now, &[foreign()]));
    let sent: Vec<_> = world.recorded.take().unwrap().into_iter().map(|(_, to, bytes)| (to, bytes)).collect();
    let seq = bodies_of(&sent, |body| if let Body::Hello(hello) = body { Some(hello.seq) } else { None })[0];
    let welcome =
        Welcome { seq, view: ViewMark { fingerprint: 5, quiet: 255 }, count, cluster: ClusterId(0) };
    let own = Body::SyncRecord { record: record("x", foreign(), 1), vouched: true };
    let datagram = world.forge_stranger("x", 0, &[Body::Welcome(welcome), own]);
    let sent = world.answers(0, foreign(), &datagram);
    (world, call, sent)
}
