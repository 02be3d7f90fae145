use super::*;

fn written(state: &State, from: u64, to: u64) -> Vec<(String, u64, Option<Vec<u8>>)> {
    state
        .written_after(from)
        .filter(|write| write.version <= to)
        .map(|write| (write.key.to_owned(), write.version, write.value.map(<[u8]>::to_vec)))
        .collect()
}

/// Brings a copy forward by the writes of (from, to].
fn extend(copy: &mut State, original: &State, from: u64, to: u64) -> Option<Vec<Change>> {
    let writes = written(original, from, to);
    let writes = writes.iter().map(|(key, version, value)| Written {
        key,
        version: *version,
        value: value.as_deref(),
    });
    copy.extend(original.base(), from, to, writes)
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
    assert_eq!(extend(&mut copy, &original, 0, 5).unwrap(), []);
}

#[test]
fn a_removed_key_does_not_come_back_through_compaction() {
    let mut original = State::default();
    set(&mut original, "kept", "1");
    set(&mut original, "removed", "2");
    let mut behind = original.clone();
    assert!(original.remove("removed"));
    for number in 0..TOMBSTONES_MAX {
        set(&mut original, &format!("{number}"), "");
        assert!(original.remove(&format!("{number}")));
    }
    assert!(original.base() > behind.version(), "nothing was compacted");
    // The stretch does not say that the key is gone, so it must not be taken.
    assert_eq!(extend(&mut behind, &original, 2, original.version()), None);
    let mut collected = Collected::default();
    let (middle, end) = (original.version() / 2, original.version());
    for (from, to) in [(0, middle), (middle, end)] {
        let writes = written(&original, from, to);
        let writes = writes.iter().map(|(key, version, value)| Written {
            key,
            version: *version,
            value: value.as_deref(),
        });
        assert!(collected.extend(original.base(), from, to, writes));
    }
    let newer = collected.into_state();
    assert_eq!(newer, original);
    assert_eq!(behind.changes_to(&newer), [(Arc::from("removed"), None)]);
}

/// What was collected of a state with another base may hold keys that were removed since.
#[test]
fn what_is_collected_begins_anew_with_another_base() {
    let mut collected = Collected::default();
    let write = Written { key: "removed since", version: 1, value: Some(b"") };
    assert!(collected.extend(5, 0, 1, [write].into_iter()));
    assert!(!collected.extend(9, 1, 9, std::iter::empty()));
    assert!(collected.extend(9, 0, 9, std::iter::empty()));
    assert_eq!(all(&collected.into_state()), []);
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
    assert!(poisoned.extend(0, 1, 70, [forged].into_iter()).is_some());
    original.rewrite_above(70);
    let (base, end) = (original.base(), original.version());
    assert_eq!(extend(&mut poisoned, &original, 70, end), None);
    let mut collected = Collected::default();
    let writes = written(&original, 0, end);
    let writes = writes.iter().map(|(key, version, value)| Written {
        key,
        version: *version,
        value: value.as_deref(),
    });
    assert!(collected.extend(base, 0, end, writes));
    assert_eq!(collected.into_state(), original);
    assert_eq!(all(&original), [("a", &b"1"[..])]);
}
