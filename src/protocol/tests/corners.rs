//! What must hold in corners that the other tests do not reach.

use super::secs;
use super::world::World;
use crate::node::Status;

/// The fourth ack ended the leave a second time, and the member went on probing, refuted, and was back.
#[test]
fn a_member_that_has_left_stays_away() {
    let mut world = World::cluster(31, 8);
    world.run(secs(3));
    world.call(5, |protocol, now| protocol.leave(now, secs(5)));
    // Its process lingers.
    world.run(secs(20));
    for at in (0..8).filter(|at| *at != 5) {
        assert_eq!(world.status(at, 5), Some(Status::Left), "at {at}");
    }
}
