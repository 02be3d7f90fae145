use super::*;
use crate::node::Status;
use crate::protocol::tests::world::{addr_of, lan};
use crate::wire::{Record, Verdict};

const RETRY: Duration = Duration::from_millis(50);
const RUN: Generation = Generation(1);

/// One that holds the peer.
fn core() -> Core {
    let mut core = Core::new(lan(), Instant::default(), Duration::from_secs(1_800_000_000), [1; 32]);
    let record = Record { name: "peer", addr: addr_of(9), generation: RUN, ..core.own_record() };
    core.members.merge_alive(Instant::default(), peer().name, &record);
    core
}

fn peer() -> Peer {
    Peer { name: NameHash(9), addr: addr_of(9), generation: RUN }
}

fn context(now: Instant) -> Context {
    let Peer { name: sender, addr: from, generation } = peer();
    Context {
        now,
        from,
        source: from,
        sender,
        generation,
        length: 100,
        ending: 0,
        is_for_us: true,
        counter: None,
        known: true,
        answered: false,
        proven: false,
        dropped: false,
        replied: false,
    }
}

/// Asks the peer for all that it may be asked for, held up to here: the numbers of the requests.
fn ask(pulls: &mut Pulls, core: &mut Core, now: Instant, held: impl Fn(Item) -> u64) -> Vec<Seq> {
    let before: Vec<Seq> = pulls.requests.keys().copied().collect();
    pulls.ask(core, now, peer(), |_, item, _| Some(held(item)), |_, _| None);
    pulls.requests.keys().filter(|seq| !before.contains(seq)).copied().collect()
}

fn answer(pulls: &mut Pulls, core: &mut Core, now: Instant, seq: Seq, held: impl Fn(Item) -> u64) {
    let pulled = pulls.handle_fetched(core, &mut context(now), seq).unwrap();
    pulls.close(core, now, &pulled, |_, item| held(item));
}

#[test]
fn what_is_lacking_is_asked_for_in_turn_without_looking_at_all_of_it() {
    let (now, peer) = (Instant::default(), NameHash(9));
    let mut pulls = Pulls::new(Duration::from_millis(50));
    for name in 1..=1_000 {
        pulls.lacks(now, Item::State(NameHash(name)), Generation(1), 5, peer, true);
    }
    let looked = std::cell::Cell::new(0);
    // Every third has come by itself.
    let items = pulls.next_items(now, peer, |item, _| {
        looked.set(looked.get() + 1);
        let Item::State(NameHash(name)) = item else { panic!("{item:?}") };
        Some(if name % 3 == 1 { 5 } else { 0 })
    });
    let names: Vec<u64> = (1..).filter(|name| name % 3 != 1).take(16).collect();
    assert_eq!(items, names.iter().map(|name| (Item::State(NameHash(*name)), 0)).collect::<Vec<_>>());
    assert_eq!(looked.get(), 24);
}

#[test]
fn what_finds_no_room_in_an_answer_is_asked_for_side_by_side() {
    let (mut pulls, mut core, now) = (Pulls::new(RETRY), core(), Instant::default());
    for name in 1..=8 {
        pulls.lacks(now, Item::State(NameHash(name)), RUN, 5, peer().name, true);
    }
    let held = |item| u64::from(item == Item::State(NameHash(1)));
    let first = ask(&mut pulls, &mut core, now, |_| 0);
    assert_eq!(first.len(), 1);
    assert_eq!(pulls.requests[&first[0]].items.len(), 8);
    answer(&mut pulls, &mut core, now, first[0], held);
    let next = ask(&mut pulls, &mut core, now, held);
    assert_eq!(next.len(), WINDOW_MIN + 1);
    assert!(next.iter().all(|seq| pulls.requests[seq].items.len() == 1));
}

#[test]
fn what_had_no_room_in_an_answer_is_asked_for_again_as_long_as_answers_bring_something() {
    let (mut pulls, mut core, now) = (Pulls::new(Duration::from_secs(1)), core(), Instant::default());
    let items = [1, 2].map(|origin| Item::Broadcasts(NameHash(origin)));
    for item in items {
        pulls.lacks(now, item, RUN, 5, peer().name, true);
    }
    // All of the first, and nothing of the second.
    let held = |item| if item == items[0] { 5 } else { 0 };
    let first = ask(&mut pulls, &mut core, now, |_| 0);
    assert_eq!(pulls.requests[&first[0]].items.len(), 2);
    answer(&mut pulls, &mut core, now, first[0], held);
    let second = ask(&mut pulls, &mut core, now, held);
    assert_eq!(pulls.requests[&second[0]].items.len(), 1);
    answer(&mut pulls, &mut core, now, second[0], held);
    assert_eq!(ask(&mut pulls, &mut core, now, held), [], "it has nothing of it");
}

#[test]
fn stretches_of_a_state_are_asked_for_side_by_side_and_the_rest_of_it_after_them() {
    let (mut pulls, mut core, now) = (Pulls::new(RETRY), core(), Instant::default());
    let state = Item::State(NameHash(1));
    let stretches: Vec<Item> =
        (1..4).map(|number| Item::Stretch(NameHash(1), number * 10, number * 10 + 10)).collect();
    pulls.lacks(now, state, RUN, 50, peer().name, true);
    let first = ask(&mut pulls, &mut core, now, |_| 0);
    assert!(pulls.is_asking(peer().name));
    for item in &stretches {
        let Item::Stretch(_, _, to) = *item else { panic!("{item:?}") };
        pulls.lacks(now, *item, RUN, to, peer().name, true);
    }
    answer(&mut pulls, &mut core, now, first[0], |_| 10);
    assert!(!pulls.is_asking(peer().name), "the first of it is here");
    let asked = ask(&mut pulls, &mut core, now, |_| 10);
    let items: Vec<Item> = asked.iter().map(|seq| pulls.requests[seq].items[0].0).collect();
    assert_eq!((asked.len(), items.iter().all(|item| stretches.contains(item))), (3, true));
    for seq in &asked[..2] {
        answer(&mut pulls, &mut core, now, *seq, |_| 40);
        assert_eq!(ask(&mut pulls, &mut core, now, |_| 10), []);
    }
    answer(&mut pulls, &mut core, now, asked[2], |_| 40);
    let last = ask(&mut pulls, &mut core, now, |_| 40);
    assert_eq!(pulls.requests[&last[0]].items, [(state, 40)]);
}

#[test]
fn more_is_asked_for_at_once_as_long_as_answers_come_in_time() {
    let (mut pulls, mut core, mut now) = (Pulls::new(RETRY), core(), Instant::default());
    for number in 0..1_000 {
        let item = Item::Stretch(NameHash(1), number, number + 1);
        pulls.lacks(now, item, RUN, number + 1, peer().name, true);
    }
    let mut asked = ask(&mut pulls, &mut core, now, |_| 0);
    assert_eq!(asked.len(), WINDOW_MIN);
    for _ in 0..10 {
        for seq in asked {
            answer(&mut pulls, &mut core, now, seq, |_| 0);
        }
        asked = ask(&mut pulls, &mut core, now, |_| 0);
    }
    assert_eq!(asked.len(), WINDOW_MAX);
    now = now + RETRY * 2;
    let due: Vec<_> = std::iter::from_fn(|| core.next_due_request(now)).collect();
    assert_eq!(due.len(), WINDOW_MAX);
    for due in due {
        assert!(pulls.give_up(&mut core, now, due.seq, due.tries).is_none());
    }
    assert_eq!(pulls.window, WINDOW_MAX / 2, "what was lost together counts once");
}

/// Repeats requests until they are given up: how often one was sent, and when it was given up.
fn repeat_in_vain(pulls: &mut Pulls, core: &mut Core) -> (u32, Instant) {
    let (mut now, mut sent) = (Instant::default(), 1);
    while let Some(due_at) = core.requests.next_due() {
        now = due_at;
        let due = core.next_due_request(now).unwrap();
        if pulls.give_up(core, now, due.seq, due.tries).is_none() {
            sent += 1;
        }
    }
    assert_eq!((pulls.waiting(), core.requests.len()), (0, 0));
    (sent, now)
}

#[test]
fn a_peer_that_does_not_answer_is_given_up_after_the_longest_round_trip() {
    let (mut pulls, mut core, now) = (Pulls::new(RETRY), core(), Instant::default());
    pulls.lacks(now, Item::State(NameHash(1)), RUN, 5, peer().name, true);
    ask(&mut pulls, &mut core, now, |_| 0);
    let (sent, at) = repeat_in_vain(&mut pulls, &mut core);
    assert_eq!(sent, TRIES_MAX);
    assert!(at.since(now) > Duration::from_secs(20), "{at:?}");
    assert!(!pulls.is_asking(peer().name));
}

#[test]
fn a_peer_that_is_gone_is_given_up_at_once() {
    let (mut pulls, mut core, now) = (Pulls::new(RETRY), core(), Instant::default());
    pulls.lacks(now, Item::State(NameHash(1)), RUN, 5, peer().name, true);
    ask(&mut pulls, &mut core, now, |_| 0);
    let died =
        Verdict { status: Status::Dead, ..core.members.get(peer().name).unwrap().verdict(peer().name) };
    core.members.merge_verdict(now, &died);
    assert_eq!(repeat_in_vain(&mut pulls, &mut core).0, 1);
}

#[test]
fn what_a_peer_does_not_answer_in_time_is_asked_of_another_one() {
    let (mut pulls, mut core, mut now) = (Pulls::new(RETRY), core(), Instant::default());
    let (item, other) = (Item::State(NameHash(1)), NameHash(8));
    pulls.lacks(now, item, RUN, 5, peer().name, true);
    let seq = ask(&mut pulls, &mut core, now, |_| 0)[0];
    pulls.lacks(now, item, RUN, 5, other, true);
    assert!(!pulls.is_asking(other));
    now = core.requests.next_due().unwrap();
    let due = core.next_due_request(now).unwrap();
    assert!(pulls.give_up(&mut core, now, due.seq, due.tries).is_none());
    pulls.lacks(now, item, RUN, 5, other, true);
    assert_eq!(pulls.next_items(now, other, |_, _| Some(0)), [(item, 0)]);
    // The answer that was late is taken, and the other one is still awaited.
    answer(&mut pulls, &mut core, now, seq, |_| 3);
    assert!(pulls.is_asking(other) && !pulls.is_asking(peer().name));
}
