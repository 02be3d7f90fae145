use super::*;

fn span(original: &State, from: u64, to: u64) -> Span {
    Span { from, to, as_of: original.version(), base: original.base() }
}

/// Brings a copy forward by the writes of (from, to].
fn extend(copy: &mut State, original: &State, from: u64, to: u64) -> Option<Vec<Change>> {
    let writes = original.written_after(from).filter(|write| write.version <= to);
    copy.extend(&span(original, from, to), writes)
}

/// The writes of (from, to] have come.
fn add(collected: &mut Collected, original: &State, from: u64, to: u64) {
    let writes = original.written_after(from).filter(|write| write.version <= to);
    collected.add(span(original, from, to), writes);
}

/// It has come which of the writes of (from, to] still stand.
fn add_standing(collected: &mut Collected, original: &State, from: u64, to: u64) {
    collected.add_standing(&span(original, from, to), original.standing(from, to));
}

/// The owner makes and removes so many keys.
fn come_and_go(state: &mut State, count: usize) {
    for number in 0..count {
        set(state, &format!("{number}"), "");
        assert!(state.remove(&format!("{number}")));
    }
}

fn set(state: &mut State, key: &str, value: &str) {
    assert!(state.set(key, value.as_bytes()).unwrap());
}

fn all(state: &State) -> Vec<(&str, &[u8])> {
    state.iter().collect()
}

#[test]
fn each_write_takes_the_next_version_and_an_equal_value_is_no_write() {
    let mut state = State::default();
    set(&mut state, "a", "1");
    set(&mut state, "b", "");
    assert_eq!(state.version(), 2);
    assert!(!state.set("a", b"1").unwrap());
    assert!(!state.remove("c"));
    assert_eq!(state.version(), 2);
    assert!(state.remove("a"));
    assert!(!state.remove("a"));
    assert_eq!(state.version(), 3);
    assert_eq!(all(&state), [("b", &b""[..])]);
}

#[test]
fn limits_are_errors_that_change_nothing() {
    let mut state = State::default();
    let long = "k".repeat(KEY_MAX + 1);
    let refused = |state: &mut State, key: &str, value: &[u8]| match state.set(key, value) {
        Err(Error::TooLarge { what, size, limit }) => (what, size, limit),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut state, &long, b""), ("key", 256, 255));
    assert_eq!(refused(&mut state, "k", &[0; VALUE_MAX + 1]), ("value", 1_025, 1_024));
    assert!(matches!(state.set("", b""), Err(Error::Config { field: "key", .. })));
    for unfit in ["two\nlines", "\u{2028}", "turned\u{202e}"] {
        assert!(matches!(state.set(unfit, b""), Err(Error::Config { field: "key", .. })), "{unfit:?}");
    }
    assert_eq!(refused(&mut state, &long[..80], &[0; 1_021]), ("key and value", 1_101, 1_100));
    assert_eq!(state, State::default());

    for number in 0..63 {
        assert!(state.set(&format!("{number}"), &[number; VALUE_MAX]).unwrap());
    }
    let before = state.clone();
    let (what, _, limit) = refused(&mut state, "last", &[0; VALUE_MAX]);
    assert_eq!((what, limit), ("state", 65_536));
    assert_eq!(state, before);
    // A longer value in place of a shorter one counts once.
    assert!(state.set("62", &[1; VALUE_MAX]).unwrap());

    let mut state = State::default();
    for number in 0..KEYS_MAX {
        set(&mut state, &format!("{number}"), "");
    }
    assert_eq!(refused(&mut state, "one more", b""), ("number of keys", 1_025, 1_024));
    set(&mut state, "0", "another value of a key that is there");
}

#[test]
fn a_copy_follows_stretch_by_stretch_and_refuses_what_does_not_connect() {
    let mut original = State::default();
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
        set(&mut original, key, value);
    }
    assert!(original.remove("b"));
    let mut copy = State::default();
    assert_eq!(extend(&mut copy, &original, 2, 5), None);
    extend(&mut copy, &original, 0, 3).unwrap();
    assert_eq!((copy.version(), all(&copy)), (3, vec![("a", &b"3"[..])]));
    // It overlaps with what is there; a key that never showed is not told of.
    let changes = extend(&mut copy, &original, 1, 5).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(copy, original);
    assert_eq!(extend(&mut copy, &original, 0, 5), None);
}

#[test]
fn a_copy_that_is_older_than_the_base_follows_once_it_knows_what_stands() {
    let mut original = State::default();
    for (key, value) in [("kept", "1"), ("removed", "2"), ("written anew", "3")] {
        set(&mut original, key, value);
    }
    let mut behind = original.clone();
    assert!(original.remove("removed"));
    set(&mut original, "written anew", "4");
    come_and_go(&mut original, TOMBSTONES_MAX);
    let (middle, end) = (original.version() / 2, original.version());
    assert!(original.base() > behind.version(), "nothing was compacted");
    // The stretch does not say that the key is gone, so it must not be taken.
    assert_eq!(extend(&mut behind, &original, 3, end), None);
    let mut collected = Collected::default();
    add(&mut collected, &original, middle, end);
    assert_eq!(collected.lacking(&behind), None);
    add(&mut collected, &original, 3, middle);
    assert_eq!(collected.advance(&mut behind), []);
    assert_eq!(collected.lacking(&behind), Some(Lacking::Standing(3)));
    add_standing(&mut collected, &original, 0, 1);
    assert_eq!(collected.advance(&mut behind), []);
    assert_eq!((collected.lacking(&behind), collected.standing_upto()), (Some(Lacking::Standing(3)), 1));
    add_standing(&mut collected, &original, 1, 3);
    let changes = collected.advance(&mut behind);
    assert_eq!(behind, original);
    assert!(collected.is_empty());
    // Nothing is shown of what came and went.
    assert_eq!(
        changes,
        [(Arc::from("written anew"), Some(Arc::from(&b"4"[..]))), (Arc::from("removed"), None)]
    );
}

/// What was collected was dropped when the owner forgot more tombstones, and so a copy never caught up with an owner
/// whose keys come and go.
#[test]
fn what_has_come_is_kept_while_the_owner_forgets_tombstones() {
    let mut original = State::default();
    for number in 0..100 {
        set(&mut original, &format!("kept {number}"), "");
    }
    let mut copy = State::default();
    let mut collected = Collected::default();
    let mut shown = 0;
    for round in 0..10 {
        let from = collected.reach(copy.version());
        add(&mut collected, &original, from, (from + 10).min(original.version()));
        collected.advance(&mut copy);
        if let Some(Lacking::Standing(upto)) = collected.lacking(&copy) {
            add_standing(&mut collected, &original, 0, upto);
            collected.advance(&mut copy);
        }
        assert!(all(&copy).len() > shown, "round {round}");
        shown = all(&copy).len();
        come_and_go(&mut original, TOMBSTONES_MAX);
    }
    while copy.version() < original.version() {
        let from = collected.reach(copy.version());
        add(&mut collected, &original, from, original.version());
        collected.advance(&mut copy);
        if let Some(Lacking::Standing(upto)) = collected.lacking(&copy) {
            add_standing(&mut collected, &original, 0, upto);
            collected.advance(&mut copy);
        }
    }
    assert_eq!(copy, original);
}

/// It was written anew while its stretch was on the way: the copy knows only that what it holds does not stand.
#[test]
fn a_key_that_is_written_again_and_again_is_never_shown_as_removed() {
    let mut original = State::default();
    set(&mut original, "clock", "1");
    set(&mut original, "removed", "");
    let mut copy = original.clone();
    assert!(original.remove("removed"));
    set(&mut original, "clock", "2");
    come_and_go(&mut original, TOMBSTONES_MAX);
    let mut collected = Collected::default();
    let first = original.version();
    add_standing(&mut collected, &original, 0, 2);
    set(&mut original, "clock", "3");
    add(&mut collected, &original, 2, first);
    assert_eq!(collected.advance(&mut copy), []);
    assert_eq!((copy.version(), copy.get("clock")), (first, Some(&b"1"[..])));
    assert!(copy.standing(0, first).next().is_none(), "no other copy is to take what has passed");
    let changes = extend(&mut copy, &original, first, original.version()).unwrap();
    assert_eq!(changes, [(Arc::from("clock"), Some(Arc::from(&b"3"[..]))), (Arc::from("removed"), None)]);
    assert_eq!(copy, original);
}

#[test]
fn stretches_are_taken_in_the_order_in_which_they_were_written() {
    let mut original = State::default();
    for key in ["a", "b", "c", "d"] {
        set(&mut original, key, "");
    }
    let mut copy = State::default();
    let mut collected = Collected::default();
    for (from, to, shown) in [(2, 3, 0), (1, 2, 0), (3, 4, 0), (0, 1, 4)] {
        add(&mut collected, &original, from, to);
        collected.advance(&mut copy);
        assert_eq!(all(&copy).len(), shown);
    }
    assert_eq!(copy, original);
    assert!(collected.is_empty());
}

#[test]
fn what_waits_is_bounded() {
    let (mut original, mut collected) = (State::default(), Collected::default());
    let value = [0; VALUE_MAX];
    for version in 1..1_000 {
        original.version = version * 2;
        original.put("key", version * 2, Some(value[..].into()));
        add(&mut collected, &original, version * 2 - 1, version * 2);
    }
    assert!(collected.size <= SIZE_MAX * COPY_SLACK + ENTRY_MAX + 200);
    // Also of what has nothing in it.
    let mut collected = Collected::default();
    for version in 1..10_000 {
        let span = Span { from: version * 2 - 1, to: version * 2, as_of: 1 << 40, base: 0 };
        collected.add(span, std::iter::empty());
    }
    assert!(collected.size <= SIZE_MAX * COPY_SLACK + ENTRY_MAX);
}

#[test]
fn tombstones_are_bounded() {
    let mut state = State::default();
    for number in 0..10_000 {
        set(&mut state, &format!("{number}"), "");
        assert!(state.remove(&format!("{number}")));
        assert!(state.tombstones <= TOMBSTONES_MAX && state.items.len() <= TOMBSTONES_MAX);
        assert_eq!(state.items.len(), state.by_version.len());
    }
    assert_eq!(state.size, 0);
}

#[test]
fn an_owner_writes_anew_above_what_others_claim() {
    let mut original = State::default();
    set(&mut original, "a", "1");
    let mut poisoned = original.clone();
    let forged = Written { key: "forged", version: 70, value: Some(b"x") };
    assert!(poisoned.extend(&Span { from: 1, to: 70, as_of: 70, base: 0 }, [forged].into_iter()).is_some());
    original.rewrite_above(70);
    let end = original.version();
    assert_eq!(extend(&mut poisoned, &original, 70, end), None);
    let mut collected = Collected::default();
    add(&mut collected, &original, 70, end);
    add_standing(&mut collected, &original, 0, 70);
    let changes = collected.advance(&mut poisoned);
    assert_eq!(poisoned, original);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(all(&original), [("a", &b"1"[..])]);
}
