//! Broadcasts over real sockets.

use headcount::{Event, Member};

use crate::rig::{PATIENCE, cluster};

#[test]
fn every_other_member_hears_a_hundred_broadcasts_in_order() {
    let members = cluster(["a", "b", "c"]);
    let streams = [members[1].events(), members[2].events()];
    for number in 0..100_u8 {
        members[0].broadcast(&[number]).unwrap();
    }
    for events in &streams {
        for number in 0..100_u8 {
            let event = events.recv_timeout(PATIENCE).unwrap();
            let Event::Broadcast { from, payload } = event else { panic!("{event}") };
            assert_eq!((from.name(), payload), ("a", vec![number]));
        }
    }
    let delivered = |member: &Member| member.metrics().broadcasts_delivered;
    assert_eq!(members.iter().map(delivered).collect::<Vec<_>>(), [0, 100, 100]);
    assert_eq!(members[0].metrics().broadcasts_sent, 100);
}
