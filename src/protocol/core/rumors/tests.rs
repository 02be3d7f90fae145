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

/// Takes part in all rounds that are due before `end`: when each was, and which slots it served.
fn rounds(rumors: &mut Rumors, mut now: Instant, end: Instant) -> Vec<(Instant, Vec<usize>)> {
    let mut rounds = Vec::new();
    while let Some(due) = rumors.due().filter(|due| *due < end) {
        now = now.max(due);
        assert!(rumors.begin_round(now, K));
        let mut served = Vec::new();
        for slot in rumors.slots(K) {
            let topics: Vec<Topic> = rumors.for_slot(slot).collect();
            if topics.is_empty() {
                continue;
            }
            if !rumors.may_serve(now, slot) {
                break;
            }
            rumors.sent(now, slot, &topics, false);
            served.push(slot);
        }
        rumors.end_round(now);
        rounds.push((now, served));
    }
    rounds
}

/// Pushes a topic every so often for ten seconds: the datagrams of each second.
fn datagrams_under(pause: u64, topic: impl Fn(u64) -> Topic) -> Vec<usize> {
    let mut rumors = Rumors::new(INTERVAL);
    let mut seconds = vec![0; 10];
    for step in 0..10_000 / pause {
        let now = millis(step * pause);
        rumors.push(now, topic(step), K);
        let served = rounds(&mut rumors, now, now + Duration::from_millis(pause));
        let second = usize::try_from(step * pause / 1_000).unwrap();
        seconds[second] += served.iter().map(|(_, slots)| slots.len()).sum::<usize>();
    }
    seconds
}

#[test]
fn news_leaves_at_once_and_its_second_phase_follows() {
    let mut rumors = Rumors::new(INTERVAL);
    rumors.push(millis(0), node(1), K);
    let all = rounds(&mut rumors, millis(0), millis(1_000));
    assert_eq!(all, [(millis(0), vec![0, 6, 5, 4, 3]), (millis(100), vec![2, 1])]);
    assert!(rumors.is_empty());
}

#[test]
fn what_is_added_to_older_news_waits_and_goes_round_in_one_phase() {
    let mut rumors = Rumors::new(INTERVAL);
    rumors.push_addition(millis(0), millis(200), node(1), K);
    // More of it does not make it wait longer.
    rumors.push_addition(millis(150), millis(350), node(1), K);
    let all = rounds(&mut rumors, millis(150), millis(1_000));
    assert_eq!(all, [(millis(200), vec![0, 6, 5, 4, 3])]);
    assert!(rumors.is_empty());
}

#[test]
fn what_is_added_to_news_on_its_way_goes_to_all_with_the_second_phase() {
    let mut rumors = Rumors::new(INTERVAL);
    rumors.push(millis(0), node(1), K);
    assert_eq!(rounds(&mut rumors, millis(0), millis(50)).len(), 1);
    rumors.push_addition(millis(50), millis(250), node(1), K);
    let all = rounds(&mut rumors, millis(50), millis(1_000));
    assert_eq!(all, [(millis(100), vec![0, 6, 5, 4, 3, 2, 1])]);
}

#[test]
fn news_takes_the_place_of_an_addition_that_waits() {
    let mut rumors = Rumors::new(INTERVAL);
    rumors.push_addition(millis(0), millis(200), node(1), K);
    rumors.push(millis(10), node(1), K);
    let all = rounds(&mut rumors, millis(10), millis(1_000));
    assert_eq!(all, [(millis(10), vec![0, 6, 5, 4, 3]), (millis(200), vec![2, 1])]);
}

#[test]
fn after_a_storm_news_leaves_at_once_again() {
    let mut rumors = Rumors::new(INTERVAL);
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

/// A write costs a token a datagram, 120 a second after a burst of 100; news of nodes costs two.
#[test]
fn lasting_news_is_sent_at_the_rate_of_the_bucket() {
    let state = |step| Topic::State(NameHash(step % 50), step);
    for pause in [5, 20] {
        let writes = datagrams_under(pause, state);
        assert!(
            writes[0] <= 221 && writes[2..].iter().all(|second| (119..=121).contains(second)),
            "{writes:?}"
        );
        let nodes = datagrams_under(pause, node);
        assert!(nodes[0] <= 111 && nodes[2..].iter().all(|second| (59..=61).contains(second)), "{nodes:?}");
    }
    // Sixteen writes a second go to all seven, and share some datagrams of the second phase.
    let writes = datagrams_under(63, state);
    assert!(writes[2..].iter().all(|second| (90..=105).contains(second)), "{writes:?}");
}

/// Where there are no tokens each slot has its turn, and what is pushed then waits for no second phase.
#[test]
fn without_tokens_the_slots_take_turns() {
    let mut rumors = Rumors::new(INTERVAL);
    let mut served = [0; K];
    for step in 0..2_000 {
        let now = millis(step * 10);
        rumors.push(now, Topic::State(NameHash(step % 50), step), K);
        for (_, slots) in rounds(&mut rumors, now, now + Duration::from_millis(10)) {
            slots.into_iter().for_each(|slot| served[slot] += 1);
        }
    }
    let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
    assert!(most - least <= 20, "{served:?}");
}

/// A datagram that broadcasts have filled costs nothing.
#[test]
fn full_datagrams_of_broadcasts_are_free() {
    let mut rumors = Rumors::new(INTERVAL);
    for number in 0..1_000 {
        let now = millis(number * 20);
        rumors.push(now, Topic::Broadcast(NameHash(1), number), K);
        assert!(rumors.due().unwrap() <= now, "round {number}");
        assert!(rumors.begin_round(now, K));
        for slot in rumors.slots(K) {
            let topics: Vec<Topic> = rumors.for_slot(slot).collect();
            assert!(rumors.may_serve(now, slot));
            rumors.sent(now, slot, &topics, true);
        }
        rumors.end_round(now);
    }
}
