use super::*;

const INTERVAL: Duration = Duration::from_millis(20);
/// Ring peers of 128 members.
const K: usize = 7;

fn millis(millis: u64) -> Instant {
    Instant::from_micros(1_000_000) + Duration::from_millis(millis)
}

fn node(number: u64) -> Topic {
    Topic::Node(NameHash(number))
}

/// Takes part in all rounds that are due before `end`: when each was, and which slots were told.
fn rounds(rumors: &mut Rumors, mut now: Instant, end: Instant) -> Vec<(Instant, Vec<usize>)> {
    let mut rounds = Vec::new();
    while let Some(due) = rumors.due().filter(|due| *due < end) {
        now = now.max(due);
        assert!(rumors.begin_round(now, K));
        let mut slots = Vec::new();
        for slot in slot_order(K) {
            let topics: Vec<Topic> = rumors.for_slot(slot).collect();
            if !topics.is_empty() {
                slots.push(slot);
            }
            topics.into_iter().for_each(|topic| rumors.told(slot, topic));
        }
        rumors.end_round(now, false);
        rounds.push((now, slots));
    }
    rounds
}

#[test]
fn news_leaves_at_once_and_its_second_phase_follows() {
    let mut rumors = Rumors::new(millis(0), INTERVAL);
    rumors.push(millis(0), node(1), K);
    let all = rounds(&mut rumors, millis(0), millis(1_000));
    assert_eq!(all, [(millis(0), vec![0, 6, 5, 4, 3]), (millis(100), vec![2, 1])]);
    assert!(rumors.is_empty());
}

#[test]
fn what_is_added_to_older_news_waits_and_goes_round_in_one_phase() {
    let mut rumors = Rumors::new(millis(0), INTERVAL);
    rumors.push_addition(millis(0), millis(200), node(1), K);
    // More of it does not make it wait longer.
    rumors.push_addition(millis(150), millis(350), node(1), K);
    let all = rounds(&mut rumors, millis(150), millis(1_000));
    assert_eq!(all, [(millis(200), vec![0, 6, 5, 4, 3])]);
    assert!(rumors.is_empty());
}

#[test]
fn what_is_added_to_news_on_its_way_goes_to_all_with_the_second_phase() {
    let mut rumors = Rumors::new(millis(0), INTERVAL);
    rumors.push(millis(0), node(1), K);
    assert_eq!(rounds(&mut rumors, millis(0), millis(50)).len(), 1);
    rumors.push_addition(millis(50), millis(250), node(1), K);
    let all = rounds(&mut rumors, millis(50), millis(1_000));
    assert_eq!(all, [(millis(100), vec![0, 6, 5, 4, 3, 2, 1])]);
}

#[test]
fn news_takes_the_place_of_an_addition_that_waits() {
    let mut rumors = Rumors::new(millis(0), INTERVAL);
    rumors.push_addition(millis(0), millis(200), node(1), K);
    rumors.push(millis(10), node(1), K);
    let all = rounds(&mut rumors, millis(10), millis(1_000));
    assert_eq!(all, [(millis(10), vec![0, 6, 5, 4, 3]), (millis(110), vec![2, 1])]);
}

#[test]
fn after_a_storm_news_leaves_at_once_again() {
    let mut rumors = Rumors::new(millis(0), INTERVAL);
    for step in 0..100 {
        let now = millis(step * 10);
        rumors.push(now, node(step), K);
        rounds(&mut rumors, now, now + Duration::from_millis(10));
    }
    rounds(&mut rumors, millis(1_000), millis(2_000));
    assert!(rumors.is_empty());
    rumors.push(millis(2_000), node(1), K);
    assert_eq!(rounds(&mut rumors, millis(2_000), millis(2_001)).len(), 1);
}
