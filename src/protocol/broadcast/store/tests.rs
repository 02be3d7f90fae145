use super::*;

const ORIGIN: NameHash = NameHash(7);
const RUN: Generation = Generation(1);

fn key(number: u64) -> Key {
    Key { origin: ORIGIN, generation: RUN, number }
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

fn kept(broadcasts: &BroadcastStore, after: u64) -> Vec<u64> {
    broadcasts.after(ORIGIN, RUN, after).map(|(number, _)| number).collect()
}

fn assert_bounded(broadcasts: &BroadcastStore) {
    for bound in broadcasts.bounds() {
        assert!(bound.count <= bound.max, "{bound:?}");
    }
}

#[test]
fn what_is_kept_is_given_in_order_and_taken_once() {
    let mut broadcasts = BroadcastStore::new();
    for number in [3, 1, 2] {
        assert!(broadcasts.keep(at(0), key(number), &[7]));
        assert!(!broadcasts.keep(at(0), key(number), &[8]), "the first one stays");
    }
    broadcasts.keep(at(0), Key { generation: Generation(2), ..key(4) }, b"of another run");
    broadcasts.keep(at(0), Key { origin: NameHash(8), ..key(5) }, b"of another node");
    assert_eq!(kept(&broadcasts, 1), [2, 3]);
    assert_eq!(broadcasts.get(key(3)), Some(&[7][..]));
    assert_eq!(kept(&broadcasts, u64::MAX), [0; 0]);
}

#[test]
fn the_newest_mebibyte_is_kept_and_empty_ones_count() {
    let mut broadcasts = BroadcastStore::new();
    for number in 1..=20_000 {
        broadcasts.keep(at(0), key(number), &[]);
        assert_bounded(&broadcasts);
    }
    let count = BYTES_MAX / OVERHEAD;
    assert_eq!(kept(&broadcasts, 0), (20_001 - count as u64..=20_000).collect::<Vec<_>>());
    broadcasts.keep(at(0), key(20_001), &[0; 65_000]);
    assert_bounded(&broadcasts);
    assert!(broadcasts.get(key(20_001)).is_some());
}

#[test]
fn after_a_minute_a_broadcast_is_forgotten() {
    let mut broadcasts = BroadcastStore::new();
    broadcasts.keep(at(0), key(1), b"one");
    broadcasts.keep(at(30_000), key(2), b"two");
    assert_eq!(broadcasts.next_due(), Some(at(60_000)));
    assert_eq!(broadcasts.pop_due(at(60_000)), None);
    assert_eq!(kept(&broadcasts, 0), [2]);
    assert_eq!(broadcasts.next_due(), Some(at(90_000)));
    assert_eq!(broadcasts.pop_due(at(90_000)), None);
    assert_eq!((kept(&broadcasts, 0), broadcasts.next_due()), (vec![], None));
    assert_eq!(broadcasts.bytes, 0);
}

#[test]
fn the_time_of_a_gap_begins_anew_with_progress() {
    let mut broadcasts = BroadcastStore::new();
    broadcasts.lack(at(0), ORIGIN, RUN, 5);
    broadcasts.lack(at(500), ORIGIN, RUN, 9);
    assert_eq!(broadcasts.next_due(), Some(at(1_000)), "hearing of more is no progress");
    broadcasts.dealt_with(at(900), ORIGIN, RUN, 3);
    assert_eq!(broadcasts.pop_due(at(1_899)), None);
    let gap = broadcasts.pop_due(at(1_900)).unwrap();
    assert_eq!((gap.until, gap.upto), (5, 9), "what was heard of later has more time");
    broadcasts.urge(at(1_900), gap);
    assert_eq!(broadcasts.pop_due(at(2_900)), Some(Gap { urged: true, ..gap }));
    // An answer is not waited for as long: a request that is under way each time would keep the gap for ever.
    broadcasts.await_answer(at(2_900), gap);
    assert_eq!(broadcasts.pop_due(at(2_970)), Some(gap));
    assert_eq!(broadcasts.next_due(), None);
}

#[test]
fn a_gap_that_is_filled_is_over_and_one_of_another_run_takes_its_place() {
    let mut broadcasts = BroadcastStore::new();
    broadcasts.lack(at(0), ORIGIN, RUN, 5);
    broadcasts.dealt_with(at(1), ORIGIN, RUN, 5);
    assert_eq!(broadcasts.next_due(), None);
    broadcasts.lack(at(0), ORIGIN, RUN, 5);
    broadcasts.lack(at(1_000), ORIGIN, Generation(2), 3);
    broadcasts.dealt_with(at(1_500), ORIGIN, RUN, 5);
    let gap = broadcasts.pop_due(at(2_000)).unwrap();
    assert_eq!((gap.generation, gap.until), (Generation(2), 3));
}

#[test]
fn no_more_gaps_are_noted_than_there_is_room_for() {
    let mut broadcasts = BroadcastStore::new();
    for origin in 1..=GAPS_MAX as u64 + 10 {
        broadcasts.lack(at(0), NameHash(origin), RUN, 5);
    }
    assert_bounded(&broadcasts);
    broadcasts.lack(at(0), NameHash(1), Generation(2), 5);
    assert_bounded(&broadcasts);
}
