use std::time::Duration;

use super::{OVERHEAD, Queue};

#[test]
fn the_oldest_gives_way() {
    let queue = Queue::new(3 * OVERHEAD + 30);
    assert_eq!([1, 2, 3].map(|entry| queue.push(entry, 10).unwrap()), [0, 0, 0]);
    assert_eq!(queue.push(4, 20), Ok(2));
    assert_eq!([queue.pop(), queue.pop()], [Some(3), Some(4)]);
}

#[test]
fn one_entry_always_has_room() {
    let queue = Queue::new(1);
    assert_eq!([queue.push('a', 1_000), queue.push('b', 1_000)], [Ok(0), Ok(1)]);
    assert_eq!(queue.pop(), Some('b'));
}

#[test]
fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
    let queue = Queue::new(1_000);
    queue.push('a', 1).unwrap();
    queue.close();
    assert_eq!(queue.push('b', 1), Err('b'));
    assert_eq!([queue.pop(), queue.pop()], [Some('a'), None]);
}

#[test]
fn a_queue_to_which_nothing_comes_is_closed() {
    let queue = Queue::new(1_000);
    queue.push('a', 1).unwrap();
    assert_eq!(queue.pop_or_close(Duration::ZERO), Some('a'));
    assert_eq!(queue.pop_or_close(Duration::from_millis(1)), None);
    assert_eq!(queue.push('b', 1), Err('b'));
}

#[test]
fn what_is_cleared_leaves_its_room() {
    let queue = Queue::new(OVERHEAD + 10);
    queue.push('a', 10).unwrap();
    queue.clear();
    assert_eq!(queue.push('b', 10), Ok(0));
    assert_eq!(queue.pop(), Some('b'));
}
