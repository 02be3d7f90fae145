//! Flipped bits, and somebody on the path.

use std::time::Duration;

use super::{cluster, secs};
use crate::sim::{Cluster, Fates, Interloper};

/// What happened within a while in a healthy cluster, and to its trace.
fn within(seconds: u64, fault: impl FnOnce(&Cluster)) -> (Fates, u64) {
    let (cluster, _members) = cluster(1, 4);
    // Nothing of this is survived without harm.
    cluster.check(false);
    let before = cluster.fates();
    fault(&cluster);
    cluster.run(secs(seconds));
    let after = cluster.fates();
    let fates = Fates {
        sent: after.sent - before.sent,
        arrived: after.arrived - before.arrived,
        flipped: after.flipped - before.flipped,
        held: after.held - before.held,
        copied: after.copied - before.copied,
        ..Fates::default()
    };
    (fates, cluster.trace())
}

#[test]
fn a_share_of_datagrams_arrives_with_one_flipped_bit() {
    let (cluster, _members) = cluster(2, 2);
    cluster.record();
    cluster.flip_between("n0", "n1", 1.0);
    let mut wrong = 0;
    for _ in 0..100 {
        cluster.run(Duration::from_millis(50));
    }
    let fates = cluster.fates();
    let from = cluster.sim.world().hosts[0].addr;
    for (source, _) in cluster.take_recorded() {
        wrong += u64::from(source == from);
    }
    assert!(fates.flipped > 0);
    assert!(fates.flipped <= wrong, "{} of {wrong}", fates.flipped);
    let (fates, _) = within(60, |cluster| cluster.flip(0.2));
    assert!(fates.flipped * 10 > fates.sent && fates.flipped * 3 < fates.sent, "{fates:?}");
}

#[test]
fn a_flipped_bit_is_one_bit() {
    use rand::SeedableRng;
    let mut rng = rand::rngs::ChaCha12Rng::seed_from_u64(1);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        let mut datagram = [0_u8; 4];
        assert!(crate::sim::network::flip(&mut rng, 1_000_000, &mut datagram));
        assert_eq!(datagram.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        seen.insert(datagram);
    }
    assert_eq!(seen.len(), 32, "each bit has its turn");
    assert!(!crate::sim::network::flip(&mut rng, 1_000_000, &mut []));
    let mut draws = [1, 1].map(rand::rngs::ChaCha12Rng::seed_from_u64);
    assert!(!crate::sim::network::flip(&mut draws[0], 0, &mut [1]));
    let [next, undisturbed] = draws.map(|mut rng| rand::Rng::next_u64(&mut rng));
    assert_eq!(next, undisturbed, "what can not happen draws nothing");
}

#[test]
fn somebody_on_the_path_sends_datagrams_once_more_later_and_from_elsewhere() {
    let (fates, _) = within(60, |cluster| {
        cluster.intercept_all(Interloper::new().copies(0.5).after(secs(1)..secs(2)));
    });
    assert!(fates.copied * 3 > fates.sent && fates.arrived > fates.sent, "{fates:?}");

    let (cluster, members) = cluster(3, 2);
    cluster.check(false);
    let elsewhere = ([10, 66, 0, 1], 7_990);
    cluster.intercept("n0", "n1", Interloper::new().copies(1.0).after(secs(9)..secs(10)).from(elsewhere));
    let received = || members[1].metrics().datagrams_received;
    cluster.run(secs(8));
    let before = received();
    cluster.cut("n0", "n1");
    cluster.run(secs(1));
    // Only copies are still on their way.
    cluster.run(secs(5));
    assert!(received() > before);
}

#[test]
fn somebody_on_the_path_holds_datagrams_back() {
    let (fates, _) = within(60, |cluster| {
        cluster.intercept_all(Interloper::new().holds(0.1).after(secs(1)..secs(2)));
    });
    assert!(fates.held * 20 > fates.sent && fates.copied == 0, "{fates:?}");
    let (_, plain) = within(5, |_| ());
    let (fates, idle) = within(5, |cluster| cluster.intercept_all(Interloper::new()));
    assert_eq!((fates.held, fates.copied, idle), (0, 0, plain), "one that does nothing changes nothing");
}

#[test]
fn damage_goes_the_same_way_each_time() {
    let run = || {
        within(20, |cluster| {
            cluster.flip(0.05);
            cluster.intercept_all(Interloper::new().copies(0.1).holds(0.1).after(secs(0)..secs(5)));
        })
    };
    assert_eq!(run(), run());
}
