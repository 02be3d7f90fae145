//! The merge rule, as a table: on the list of members, and on a whole protocol.

mod laws;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

use super::secs;
use super::world::{World, addr_of};
use crate::node::{Generation, Incarnation, Status};
use crate::protocol::Instant;
use crate::protocol::detection::Detection;
use crate::protocol::membership::{Members, Merged};
use crate::wire::body::LeftAt;
use crate::wire::{Accusers, Body, ClusterTag, NameHash, Record, Verdict};

const TAG: ClusterTag = ClusterTag(7);
const STATUSES: [Status; 4] = [Status::Alive, Status::Suspect, Status::Dead, Status::Left];
/// The numbers that are held before news comes: there is room below and above.
const HELD: (u64, u64) = (10, 5);
/// What a record says of itself at most: 2^48, and 2^16 above the number held.
const INCARNATION_MAX: u64 = 1 << 48;
const INCARNATION_STEP_MAX: u64 = 1 << 16;

/// (generation, incarnation, status)
type Order = (u64, u64, Status);

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn record(name: &str, generation: u64, incarnation: u64) -> Record<'_> {
    Record {
        name,
        addr: addr_of(200),
        generation: Generation(generation),
        incarnation: Incarnation(incarnation),
        state_version: 0,
        broadcast: 0,
    }
}

fn verdict(subject: NameHash, (generation, incarnation, status): Order) -> Verdict {
    Verdict {
        subject,
        generation: Generation(generation),
        incarnation: Incarnation(incarnation),
        status,
        accusers: Accusers::default(),
        left_at: LeftAt::default(),
    }
}

/// A list without bounds that matter here.
fn members() -> Members {
    Members::new(TAG, 1_000, at(0))
}

fn tell(members: &mut Members, now: Instant, name: &str, news: Order) -> Merged {
    let hash = NameHash::of(TAG, name);
    if news.2 == Status::Alive {
        members.merge_alive(now, hash, &record(name, news.0, news.1))
    } else {
        members.merge_verdict(now, &verdict(hash, news))
    }
}

fn held(members: &Members, name: &str) -> Option<Order> {
    members
        .get(NameHash::of(TAG, name))
        .map(|entry| (entry.generation().0, entry.incarnation().0, entry.status))
}

/// Every status at a lower, equal and higher generation and incarnation.
fn all_news() -> impl Iterator<Item = Order> {
    let (generation, incarnation) = HELD;
    (generation - 1..=generation + 1).flat_map(move |generation| {
        (incarnation - 1..=incarnation + 1)
            .flat_map(move |incarnation| STATUSES.map(|status| (generation, incarnation, status)))
    })
}

/// What is held after the news: the greater one, except that nobody is judged in a run that nobody has heard of.
fn greater(held: Order, news: Order) -> Order {
    let unheard_of = news.2 != Status::Alive && news.0 > held.0;
    if unheard_of { held } else { held.max(news) }
}

#[test]
fn of_two_pieces_of_news_the_greater_one_wins() {
    for status in STATUSES {
        for news in all_news() {
            let mut members = members();
            tell(&mut members, at(0), "a", (HELD.0, HELD.1, Status::Alive));
            let before = (HELD.0, HELD.1, status);
            tell(&mut members, at(0), "a", before);
            assert_eq!(held(&members, "a"), Some(before));
            let merged = tell(&mut members, at(1), "a", news);
            let after = greater(before, news);
            assert_eq!(held(&members, "a"), Some(after), "{before:?} and {news:?}");
            assert_eq!(matches!(merged, Merged::Changed(_)), after != before, "{before:?} and {news:?}");
            assert_eq!(members.fingerprint(), sum(&members), "{before:?} and {news:?}");
        }
    }
}

#[test]
fn of_an_unknown_node_only_what_it_says_itself_is_taken() {
    for news in all_news() {
        let mut members = members();
        let merged = tell(&mut members, at(0), "a", news);
        let expected = (news.2 == Status::Alive).then_some(news);
        assert_eq!(held(&members, "a"), expected, "{news:?}");
        assert_eq!(merged == Merged::Refused, expected.is_none(), "{news:?}");
    }
}

/// Has the second host tell the first one news of a node; what the first one holds then.
fn tell_of(world: &mut World, name: &str, accuser: NameHash, news: Order) -> Order {
    let (generation, incarnation, status) = news;
    let subject = NameHash::of(world.tag(), name);
    let mut verdict = verdict(subject, news);
    let body = match status {
        Status::Alive => Body::Alive { record: record(name, generation, incarnation), vouched: true },
        Status::Suspect => {
            verdict.accusers.insert(accuser);
            Body::Verdict(verdict)
        }
        Status::Dead => Body::Verdict(verdict),
        Status::Left => world.vouch(1, 0, &verdict),
    };
    let datagram = world.forge(1, 0, &[body]);
    world.inject(0, addr_of(1), &datagram);
    let entry = world.hosts[0].protocol.core.members.get(subject);
    entry.map_or((0, 0, Status::Left), |entry| (entry.generation().0, entry.incarnation().0, entry.status))
}

#[test]
fn a_protocol_merges_news_of_others_by_the_same_rule() {
    let mut world = World::cluster(1, 3);
    let accuser = world.hash(1);
    let mut number = 0;
    for status in STATUSES {
        for news in all_news() {
            number += 1;
            let name = format!("x{number}");
            let before = (HELD.0, HELD.1, status);
            tell_of(&mut world, &name, accuser, (HELD.0, HELD.1, Status::Alive));
            if matches!(status, Status::Suspect | Status::Dead) {
                tell_of(&mut world, &name, accuser, (HELD.0, HELD.1, Status::Suspect));
                let subject = NameHash::of(world.tag(), &name);
                Detection::show_suspicion(&mut world.hosts[0].protocol.core, subject);
            }
            let mut tell = |news| tell_of(&mut world, &name, accuser, news);
            assert_eq!(tell(before), before);
            // Nobody is suspected who is not active: that would bring back the dead at second hand.
            let returns = !status.is_active() && news.2 == Status::Suspect;
            // A death is not believed of a node that nobody has suspected for a while: it is asked first.
            let asked = status == Status::Alive && news.2 == Status::Dead;
            let after = if returns || asked { before } else { greater(before, news) };
            assert_eq!(tell(news), after, "{before:?} and {news:?}");
        }
    }
}

#[test]
fn accusations_of_unknown_nodes_add_nothing_to_a_protocol() {
    let mut world = World::cluster(2, 3);
    let view = world.view(0);
    for status in [Status::Suspect, Status::Dead, Status::Left] {
        let mut verdict = verdict(NameHash::of(world.tag(), "ghost"), (10, 0, status));
        if status == Status::Suspect {
            verdict.accusers.insert(world.hash(1));
        }
        for body in [Body::Verdict(verdict), Body::SyncVerdict(verdict)] {
            let datagram = world.forge(1, 0, &[body]);
            assert!(world.answers(0, addr_of(1), &datagram).is_empty());
        }
    }
    world.run(secs(5));
    assert_eq!(world.view(0), view);
}

#[test]
fn news_of_the_own_node_is_refuted_if_it_holds_and_forgotten_if_not() {
    for status in [Status::Suspect, Status::Dead, Status::Left] {
        for (generation, incarnation) in [(-1, 9), (0, 2), (0, 3), (0, 4), (0, 65_538), (0, 65_540), (1, 0)] {
            let mut world = World::cluster(3, 3);
            // Incarnation 3, by as many refutations.
            for accused in 0..3 {
                accuse(&mut world, 0, accused, Status::Suspect);
                world.run(secs(1));
            }
            assert_eq!(world.hosts[0].protocol.local().incarnation(), 3);
            let run = world.generation(0).0.checked_add_signed(generation).unwrap();
            accuse(&mut world, generation, incarnation, status);
            let believed = generation == 0 && (3..3 + INCARNATION_STEP_MAX).contains(&incarnation);
            world.run(secs(3));
            let local = world.hosts[0].protocol.local();
            let expected = if believed { incarnation + 1 } else { 3 };
            assert_eq!(local.incarnation(), expected, "{status} at {run}, {incarnation}");
            assert_eq!(local.status(), Status::Alive);
            assert!(world.is_converged(), "{status} at {run}, {incarnation}");
        }
    }
}

#[test]
fn an_accusation_is_believed_only_if_its_refutation_is_too() {
    // One at 65,536 was refuted by 65,537 at once, which nobody believed, not even the own list.
    for everybody in [false, true] {
        for incarnation in [INCARNATION_STEP_MAX - 1, INCARNATION_STEP_MAX] {
            let mut world = World::cluster(3, 3);
            let run = world.generation(0);
            accuse(&mut world, 0, incarnation, Status::Dead);
            if everybody {
                let dead = verdict(world.hash(0), (run.0, incarnation, Status::Dead));
                let datagram = world.forge(1, 2, &[Body::Verdict(dead)]);
                world.inject(2, addr_of(1), &datagram);
            }
            world.run(secs(3));
            let believed = incarnation < INCARNATION_STEP_MAX;
            let expected = if believed { incarnation + 1 } else { 0 };
            assert_eq!(world.hosts[0].protocol.local().incarnation(), expected);
            assert!(world.is_converged(), "{}", world.dump());
        }
    }
}

/// Host 1 accuses host 0, at a generation this far from its own.
fn accuse(world: &mut World, generation: i64, incarnation: u64, status: Status) {
    let run = world.generation(0).0.checked_add_signed(generation).unwrap();
    let mut verdict = verdict(world.hash(0), (run, incarnation, status));
    if status == Status::Suspect {
        verdict.accusers.insert(world.hash(1));
    }
    let datagram = world.forge(1, 0, &[Body::Verdict(verdict)]);
    world.inject(0, addr_of(1), &datagram);
}

#[test]
fn a_record_of_the_own_name_from_the_future_makes_this_run_the_newer_one() {
    let mut world = World::cluster(4, 3);
    let run = world.generation(0);
    let ours = Record { addr: addr_of(0), ..record("n0", run.0 + (1 << 30), 0) };
    let datagram = world.forge(1, 2, &[Body::Alive { record: ours, vouched: true }]);
    world.inject(2, addr_of(1), &datagram);
    assert!(world.run_until(secs(5), World::is_converged), "{}", world.sizes());
    assert!(world.generation(0).0 > run.0 + (1 << 30));
    // A record of an older run of it says nothing.
    let view = world.view(0);
    let datagram =
        world.forge(1, 0, &[Body::Alive { record: Record { addr: addr_of(9), ..ours }, vouched: true }]);
    world.inject(0, addr_of(1), &datagram);
    world.run(secs(5));
    assert_eq!(world.view(0), view);
}

#[test]
fn a_tombstone_keeps_old_tables_from_bringing_back_the_dead() {
    for status in [Status::Dead, Status::Left] {
        let mut members = members();
        tell(&mut members, at(0), "a", (10, 5, Status::Alive));
        tell(&mut members, at(1), "a", (10, 5, status));
        for old in [(9, 100), (10, 0), (10, 4), (10, 5)] {
            let merged = tell(&mut members, at(2), "a", (old.0, old.1, Status::Alive));
            assert!(matches!(merged, Merged::Older | Merged::Same), "{old:?}");
        }
        assert_eq!(held(&members, "a"), Some((10, 5, status)));
        assert_eq!((members.ring().len(), members.fingerprint()), (0, 0));
        tell(&mut members, at(3), "a", (10, 6, Status::Alive));
        assert_eq!(held(&members, "a"), Some((10, 6, Status::Alive)));
    }
}

#[test]
fn what_was_taken_for_a_crash_may_turn_out_a_leave_but_not_the_other_way_round() {
    let mut members = members();
    tell(&mut members, at(0), "a", (10, 5, Status::Alive));
    tell(&mut members, at(1), "a", (10, 5, Status::Dead));
    assert!(matches!(tell(&mut members, at(2), "a", (10, 5, Status::Left)), Merged::Changed(_)));
    assert_eq!(tell(&mut members, at(3), "a", (10, 5, Status::Dead)), Merged::Older);
    assert_eq!(held(&members, "a"), Some((10, 5, Status::Left)));
}

#[test]
fn an_incarnation_beyond_belief_is_refused() {
    let held = HELD.1;
    let mut members = members();
    tell(&mut members, at(0), "a", (HELD.0, held, Status::Alive));
    for status in STATUSES {
        for incarnation in [held + INCARNATION_STEP_MAX + 1, INCARNATION_MAX + 1, u64::MAX] {
            let merged = tell(&mut members, at(1), "a", (HELD.0, incarnation, status));
            assert_eq!(merged, Merged::Refused, "{status} {incarnation}");
        }
    }
    // Another run, and somebody new, begin where they like, up to the bound.
    assert_eq!(tell(&mut members, at(2), "a", (11, INCARNATION_MAX + 1, Status::Alive)), Merged::Refused);
    assert_eq!(tell(&mut members, at(2), "b", (11, INCARNATION_MAX + 1, Status::Alive)), Merged::Refused);
    // As far as may be is not too far.
    let far = (HELD.0, held + INCARNATION_STEP_MAX - 1, Status::Suspect);
    assert!(matches!(tell(&mut members, at(3), "a", far), Merged::Changed(_)));
    let farther = (HELD.0, held + 2 * INCARNATION_STEP_MAX - 1, Status::Alive);
    assert!(matches!(tell(&mut members, at(4), "a", farther), Merged::Changed(_)));
}

#[test]
fn an_address_that_an_accusation_overtook_is_taken_without_clearing_the_suspect() {
    let mut members = members();
    tell(&mut members, at(0), "a", (10, 5, Status::Alive));
    tell(&mut members, at(1), "a", (10, 6, Status::Suspect));
    let hash = NameHash::of(TAG, "a");
    let moved = Record { addr: addr_of(201), ..record("a", 10, 6) };
    assert!(matches!(members.merge_alive(at(2), hash, &moved), Merged::Changed(_)));
    assert_eq!(held(&members, "a"), Some((10, 6, Status::Suspect)));
    assert_eq!(members.get(hash).unwrap().addr(), addr_of(201));
    assert_eq!(members.fingerprint(), sum(&members));
    // Once only: an incarnation has one address.
    let again = Record { addr: addr_of(202), ..moved };
    assert_eq!(members.merge_alive(at(3), hash, &again), Merged::Older);
    assert_eq!(members.get(hash).unwrap().addr(), addr_of(201));
}

#[test]
fn an_adopted_view_is_equal_and_goes_its_own_way() {
    let (mut one, mut other) = (members(), members());
    for (name, news) in [("a", (10, 5, Status::Alive)), ("b", (10, 5, Status::Alive))] {
        tell(&mut one, at(0), name, news);
    }
    tell(&mut one, at(1), "a", (10, 5, Status::Suspect));
    tell(&mut one, at(1), "b", (10, 5, Status::Dead));
    other.adopt(at(2), &one);
    assert_eq!((other.fingerprint(), other.sums()), (one.fingerprint(), one.sums()));
    assert_eq!((other.suspects_len(), other.tombstones_len()), (1, 1));
    assert_eq!((other.ring(), other.bounds()), (one.ring(), one.bounds()));
    assert_eq!(other.at(addr_of(200)).count(), 2);

    tell(&mut other, at(3), "a", (10, 6, Status::Alive));
    assert_eq!(held(&one, "a"), Some((10, 5, Status::Suspect)));
    assert_eq!(held(&other, "a"), Some((10, 6, Status::Alive)));
    assert_eq!(one.fingerprint(), sum(&one));
    assert_eq!(other.fingerprint(), sum(&other));
    other.reap(at(3), Duration::from_micros(1));
    assert_eq!((held(&other, "b"), held(&one, "b")), (None, Some((10, 5, Status::Dead))));
}

#[test]
fn whoever_is_at_an_address_is_found_there_whatever_has_happened() {
    let mut rng = ChaCha12Rng::seed_from_u64(5);
    let mut members = Members::new(TAG, 12, at(0));
    for step in 0..4_000 {
        let name = format!("n{}", rng.random_range(0..16));
        let (hash, addr) = (NameHash::of(TAG, &name), addr_of(rng.random_range(0..8)));
        let (generation, incarnation) = (rng.random_range(0..200), rng.random_range(0..3));
        match rng.random_range(0..6) {
            0 => members.add_alias(at(step), hash, addr),
            5 => members.heard_from(at(step + 60_000_000), hash, addr),
            1 => drop(members.reap(at(step), Duration::from_micros(60))),
            2 => {
                let status = STATUSES[rng.random_range(1..4)];
                let known = held(&members, &name).map_or(0, |(known, ..)| known);
                members.merge_verdict(at(step), &verdict(hash, (known, incarnation, status)));
            }
            _ => {
                let record = Record { addr, ..record(&name, generation, incarnation) };
                members.merge_alive(at(step), hash, &record);
            }
        }
        for addr in (0..8).map(addr_of) {
            let found: Vec<NameHash> = members.at(addr).map(|(name, _)| name).collect();
            let there = members.iter().filter(|(_, entry)| entry.is_at(addr)).map(|(name, _)| name);
            assert_eq!(found, there.collect::<Vec<_>>(), "after step {step}");
        }
    }
    let others = members.ring().len() + members.tombstones_len();
    assert!(others > 5, "hardly anybody is held: {others}");
}

#[test]
fn tombstones_are_bounded_and_the_oldest_go_first() {
    let mut members = Members::new(TAG, 8, at(0));
    for number in 0..20 {
        let name = format!("x{number}");
        tell(&mut members, at(number), &name, (10, 0, Status::Alive));
        tell(&mut members, at(number), &name, (10, 0, Status::Dead));
        assert!(members.tombstones_len() <= 8);
    }
    let left: Vec<u64> = (0..20).filter(|number| held(&members, &format!("x{number}")).is_some()).collect();
    assert_eq!(left, (12..20).collect::<Vec<u64>>());
    assert_eq!(members.reap(at(15), Duration::from_micros(2)), Some(at(16)));
    assert_eq!(members.tombstones_len(), 6);
}

#[test]
fn tombstones_of_one_moment_leave_nothing_in_the_fingerprint() {
    let mut members = Members::new(TAG, 8, at(0));
    for number in 0..20 {
        let name = format!("x{number}");
        tell(&mut members, at(0), &name, (10, 0, Status::Alive));
        tell(&mut members, at(0), &name, (10, 0, Status::Dead));
    }
    assert_eq!((members.fingerprint(), members.tombstones_len()), (0, 8));
}

#[test]
fn a_full_list_takes_nobody_in_and_nobody_back() {
    let mut members = Members::new(TAG, 3, at(0));
    for name in ["a", "b", "c"] {
        tell(&mut members, at(0), name, (10, 0, Status::Alive));
    }
    assert_eq!(tell(&mut members, at(1), "d", (10, 0, Status::Alive)), Merged::Refused);
    // News of those who are in is taken all the same.
    assert!(matches!(tell(&mut members, at(1), "a", (11, 0, Status::Alive)), Merged::Changed(_)));
    tell(&mut members, at(2), "a", (11, 0, Status::Dead));
    assert!(matches!(tell(&mut members, at(3), "d", (10, 0, Status::Alive)), Merged::Changed(None)));
    assert_eq!(tell(&mut members, at(4), "a", (11, 1, Status::Alive)), Merged::Refused);
    assert_eq!(held(&members, "a"), Some((11, 0, Status::Dead)));
}

#[test]
fn a_hidden_node_is_out_of_the_fingerprint_and_back_with_its_next_word() {
    let mut members = members();
    let hash = NameHash::of(TAG, "a");
    tell(&mut members, at(0), "a", (10, 5, Status::Alive));
    let before = members.fingerprint();
    assert!(members.set_hidden(at(1), hash, true));
    assert!(!members.set_hidden(at(1), hash, true), "it is hidden already");
    assert_eq!((members.fingerprint(), members.ring().len(), members.roster().len()), (0, 0, 1));
    assert_eq!(members.visible_from(NameHash(0)).count(), 0);
    // What others hold against it does not show it.
    tell(&mut members, at(2), "a", (10, 5, Status::Suspect));
    assert_eq!((members.fingerprint(), members.ring().len()), (0, 0));
    assert!(members.set_hidden(at(3), hash, false));
    assert_eq!((members.fingerprint(), members.ring().len()), (before, 1));
    members.set_hidden(at(4), hash, true);
    tell(&mut members, at(5), "a", (10, 6, Status::Alive));
    assert_eq!((members.roster().hidden().len(), members.ring().len()), (0, 1));
    members.set_hidden(at(6), hash, true);
    tell(&mut members, at(7), "a", (10, 6, Status::Dead));
    assert_eq!((members.roster().hidden().len(), members.ring().len(), members.roster().len()), (0, 0, 0));
    assert!(!members.set_hidden(at(8), hash, true), "the dead are not hidden");
}

/// The fingerprint, from scratch.
fn sum(members: &Members) -> u64 {
    members
        .iter()
        .filter(|(_, entry)| entry.is_visible())
        .fold(0, |sum, (_, entry)| sum.wrapping_add(entry.record().hash(TAG)))
}

#[test]
fn whatever_is_merged_the_list_agrees_with_a_model_of_it() {
    for seed in 0..20 {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        // In half of the runs the bounds are far; in the others the model does not know who is dropped.
        let bound = if seed % 2 == 0 { 1_000 } else { 12 };
        let mut members = Members::new(TAG, bound, at(0));
        let mut model: BTreeMap<String, Order> = BTreeMap::new();
        let mut now = 0;
        for _ in 0..3_000 {
            now += u64::from(rng.next_u32() % 2);
            let name = format!("x{}", rng.random_range(0..40));
            let status = STATUSES[rng.random_range(0..4)];
            let news = (rng.random_range(1..4), rng.random_range(0..6), status);
            // Nobody asks the list to suspect the dead, which would bring one back without a place.
            let dead = members.get(NameHash::of(TAG, &name)).is_some_and(|entry| !entry.is_active());
            if bound < 1_000 && dead && status == Status::Suspect {
                continue;
            }
            match rng.random_range(0..12) {
                0 => {
                    members.set_hidden(at(now), NameHash::of(TAG, &name), rng.random_range(0..2) == 0);
                }
                1 if bound < 1_000 => {
                    members.reap(at(now), Duration::from_micros(100));
                }
                _ => {
                    tell(&mut members, at(now), &name, news);
                    match model.get_mut(&name) {
                        Some(held) => *held = greater(*held, news),
                        None if status == Status::Alive => {
                            model.insert(name.clone(), news);
                        }
                        None => {}
                    }
                }
            }
            if bound == 1_000 {
                assert_eq!(held(&members, &name), model.get(&name).copied(), "seed {seed}");
            }
            check(&members, bound, seed);
        }
    }

    fn check(members: &Members, bound: usize, seed: u64) {
        assert_eq!(members.fingerprint(), sum(members), "seed {seed}");
        let total = members.sums().iter().fold(0_u64, |total, sum| total.wrapping_add(*sum));
        assert_eq!(members.fingerprint(), total, "seed {seed}");
        let active = || members.iter().filter(|(_, entry)| entry.is_active());
        let all: Vec<NameHash> = active().map(|(name, _)| name).collect();
        assert_eq!(members.roster().probed(), all, "seed {seed}");
        assert!(all.len() <= bound + bound / 4 && members.tombstones_len() <= bound, "seed {seed}");
        assert_eq!(members.tombstones_len() + all.len(), members.iter().count(), "seed {seed}");
        let ring: Vec<NameHash> = active().filter(|(_, entry)| !entry.hidden).map(|(name, _)| name).collect();
        assert_eq!(members.ring(), ring, "seed {seed}");
        assert_eq!(
            members.suspects_len(),
            active().filter(|(_, entry)| entry.status == Status::Suspect).count()
        );
    }
}
