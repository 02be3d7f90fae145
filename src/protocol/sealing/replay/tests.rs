use std::collections::BTreeSet;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::node::Generation;
use crate::wire::NameHash;

fn run(name: u64) -> Run {
    (NameHash(name), Generation(1))
}

#[test]
fn a_counter_is_good_once() {
    let mut window = Window::after(10);
    for counter in [11, 13, 12, 5_000, 4_999, 3_000] {
        assert!(window.is_fresh(counter), "{counter}");
        window.note(counter);
        assert!(!window.is_fresh(counter), "{counter}");
    }
}

#[test]
fn what_was_there_before_the_window_began_counts_as_seen() {
    for first in [1, 63, 64, 65, 1_000, u64::MAX - 1] {
        let window = Window::after(first);
        for counter in first.saturating_sub(3_000)..=first {
            assert!(!window.is_fresh(counter), "{counter} of a window after {first}");
        }
        assert!(window.is_fresh(first + 1));
    }
}

#[test]
fn a_counter_2_048_below_the_highest_is_too_old_and_the_one_above_it_is_not() {
    for highest in [WINDOW * 2, WINDOW * 2 + 1, WINDOW * 2 + 63] {
        let mut window = Window::after(1);
        window.note(highest);
        assert!(window.is_fresh(highest - WINDOW + 1));
        assert!(!window.is_fresh(highest - WINDOW));
    }
}

#[test]
fn the_highest_counter_there_is_can_be_noted() {
    let mut window = Window::after(7);
    window.note(u64::MAX);
    assert!(!window.is_fresh(u64::MAX));
    assert!(window.is_fresh(u64::MAX - 1));
    assert!(!window.is_fresh(7));
}

#[test]
fn a_window_agrees_with_a_set_of_all_that_was_seen() {
    for (seed, stride) in (0..50).zip([2, 100, 3_000].into_iter().cycle()) {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let first = rng.random_range(1..1_000_000);
        let (mut window, mut seen, mut highest) = (Window::after(first), BTreeSet::new(), first);
        for _ in 0..5_000 {
            let counter = (highest + rng.random_range(0..stride)).saturating_sub(rng.random_range(0..2_500));
            let is_fresh = counter > first
                && !seen.contains(&counter)
                && highest.saturating_sub(counter.min(highest)) < WINDOW;
            assert_eq!(window.is_fresh(counter), is_fresh, "seed {seed}: {counter}, highest {highest}");
            if is_fresh {
                window.note(counter);
                seen.insert(counter);
                highest = highest.max(counter);
            }
        }
    }
}

#[test]
fn a_run_without_a_window_is_taken_above_what_it_has_reached() {
    let mut reached = Reached::default();
    assert!(reached.is_fresh(run(1), 5));
    reached.note(run(1), 5);
    reached.note(run(1), 3);
    assert!(!reached.is_fresh(run(1), 5));
    assert!(reached.is_fresh(run(1), 6));
    assert!(reached.is_fresh((NameHash(1), Generation(2)), 5), "another run");
    reached.forget(run(1));
    assert!(reached.is_fresh(run(1), 5));
}

#[test]
fn runs_without_a_window_are_bounded_and_the_oldest_is_forgotten() {
    let mut reached = Reached::default();
    for name in 1..=REACHED_MAX as u64 + 1 {
        reached.note(run(name), 5);
    }
    assert_eq!(reached.bound().count, REACHED_MAX);
    assert!(reached.is_fresh(run(1), 5));
    assert!(!reached.is_fresh(run(2), 5));
}
