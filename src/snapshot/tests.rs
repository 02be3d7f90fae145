use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, process};

use super::format::{FILE_MAX, Flaw, decode, encode};
use super::{AbsentContacts, Contact, LastStatus, NODES_MAX, Snapshot, Store};
use crate::error::Error;
use crate::node::{Generation, Incarnation, Node, Nodes, Status};
use crate::wire::ClusterId;
use crate::wire::hash::siphash;

fn contact(name: &str, port: u16, last_status: LastStatus) -> Contact {
    Contact { name: name.to_owned(), addr: ([10, 0, 0, 1], port).into(), last_status }
}

fn snapshot() -> Snapshot {
    Snapshot {
        cluster: "c".to_owned(),
        cluster_id: ClusterId(0x1112_1314_1516_1718),
        name: "me".to_owned(),
        generation: Generation(0x0102_0304_0506_0708),
        state_version: 300,
        state: Some(vec![("k".to_owned(), b"va".to_vec()), ("=".to_owned(), Vec::new())]),
        nodes: vec![
            contact("a", 7990, LastStatus::Active),
            Contact { addr: "[2001:db8::1]:1".parse().unwrap(), ..contact("b", 1, LastStatus::Dead) },
            contact("d", 2, LastStatus::Left),
        ],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A directory of this test's own, gone with it.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("headcount-unit-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.0.join("members")
    }

    /// The names of the files in it.
    fn files(&self) -> Vec<String> {
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|entry| name(entry.unwrap())).collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Store {
    Store::open(path).unwrap()
}

#[test]
fn the_bytes_of_a_snapshot_are_as_specified() {
    let bytes = encode(&snapshot());
    let (content, checksum) = bytes.split_at(bytes.len() - 8);
    let expected = [
        "68656164736e6170 0002 0000004c",
        "01 63  1112131415161718  02 6d65  0102030405060708  ac02  01",
        "02  01 6b 02 7661  01 3d 00",
        "03",
        "01 61  04 0a000001 1f36  00",
        "01 62  06 20010db8000000000000000000000001 0001  01",
        "01 64  04 0a000001 0002  02",
    ];
    assert_eq!(hex(content), expected.concat().replace(' ', ""));
    let key = (u64::from_be_bytes(*b"headcoun"), u64::from_be_bytes(*b"snapshot"));
    assert_eq!(checksum, siphash(key, content).to_be_bytes());
    assert_eq!(hex(checksum), "a6d9ade7fc430cf3");
}

#[test]
fn a_snapshot_is_read_as_it_was_written() {
    assert_eq!(decode(&encode(&snapshot())), Ok(snapshot()));
    let without_state = Snapshot { state: None, nodes: Vec::new(), ..snapshot() };
    assert_eq!(decode(&encode(&without_state)), Ok(without_state));
}

#[test]
fn a_snapshot_that_is_cut_anywhere_or_has_a_tail_is_torn() {
    let bytes = encode(&snapshot());
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length]), Err(Flaw::Torn), "{length}");
    }
    assert_eq!(decode(&[&bytes[..], &[0]].concat()), Err(Flaw::Torn));
}

#[test]
fn a_snapshot_with_any_bit_flipped_is_not_taken() {
    let bytes = encode(&snapshot());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let flaw = decode(&flipped).unwrap_err();
        let expected = match bit / 8 {
            0..8 => Flaw::NotASnapshot,
            10..14 => Flaw::Torn,
            _ => Flaw::Damaged,
        };
        assert_eq!(flaw, expected, "bit {bit}");
    }
}

/// The same with a checksum that is right.
fn sealed(mut content: Vec<u8>) -> Vec<u8> {
    let key = (u64::from_be_bytes(*b"headcoun"), u64::from_be_bytes(*b"snapshot"));
    let checksum = siphash(key, &content);
    content.extend(checksum.to_be_bytes());
    content
}

#[test]
fn bytes_that_are_wrong_under_a_right_checksum_are_refused_without_a_panic() {
    let bytes = encode(&snapshot());
    let content = &bytes[..bytes.len() - 8];
    for at in 14..content.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = content.to_vec();
            changed[at] = value;
            // Whatever comes of it can be written again.
            if let Ok(read) = decode(&sealed(changed.clone())) {
                assert_eq!(encode(&read), sealed(changed), "{at} {value}");
            }
        }
    }
    // Four thousand million nodes are said to follow.
    let mut lying = content[..content.len() - 43].to_vec();
    lying.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    let length = u32::try_from(lying.len() - 14).unwrap();
    lying[10..14].copy_from_slice(&length.to_be_bytes());
    assert_eq!(decode(&sealed(lying)), Err(Flaw::Malformed));
}

#[test]
fn another_version_of_the_format_is_told_from_a_damaged_file() {
    let mut bytes = encode(&snapshot());
    bytes.truncate(bytes.len() - 8);
    for version in [1, 3] {
        bytes[9] = version;
        assert_eq!(decode(&sealed(bytes.clone())), Err(Flaw::OtherVersion(version.into())));
    }
}

#[test]
fn the_largest_snapshot_fits_into_the_longest_file() {
    let name = |index: usize| format!("{index:0255}");
    let nodes = (0..NODES_MAX).map(|index| Contact {
        addr: "[2001:db8::1]:1".parse().unwrap(),
        ..contact(&name(index), 1, LastStatus::Active)
    });
    let state = (0..1_024).map(|index| (format!("{index:064}"), Vec::new())).collect();
    let snapshot = Snapshot { nodes: nodes.collect(), state: Some(state), ..snapshot() };
    let bytes = encode(&snapshot);
    assert!(bytes.len() <= FILE_MAX, "{}", bytes.len());
    assert_eq!(decode(&bytes), Ok(snapshot));
}

fn node(name: &str, port: u16, status: Status) -> Node {
    Node::new(name, ([10, 0, 0, 1], port).into(), status, Generation(7), Incarnation(0))
}

#[test]
fn a_snapshot_has_the_view_and_those_that_are_still_looked_for() {
    let local = node("m", 1, Status::Alive);
    let view = [
        local.clone(),
        node("z", 2, Status::Suspect),
        node("a", 3, Status::Alive),
        node("n", 4, Status::Dead),
        node("o", 5, Status::Left),
    ];
    let absent =
        AbsentContacts::new(vec![contact("a", 99, LastStatus::Active), contact("q", 6, LastStatus::Active)]);
    let snapshot = Snapshot::of("c", &local, false, view.iter(), &absent);
    assert_eq!(snapshot.generation, Generation(7));
    assert_eq!(snapshot.state, None);
    // The active first, beginning behind the own name. What the view says of somebody is newer.
    let expected = [
        contact("q", 6, LastStatus::Active),
        contact("z", 2, LastStatus::Active),
        contact("a", 3, LastStatus::Active),
        contact("n", 4, LastStatus::Dead),
        contact("o", 5, LastStatus::Left),
    ];
    assert_eq!(snapshot.nodes, expected);
}

#[test]
fn of_too_many_nodes_the_active_ones_behind_the_own_name_are_kept() {
    let local = node("m", 1, Status::Alive);
    let mut view: Vec<Node> =
        (0..NODES_MAX).map(|index| node(&format!("x{index}"), 2, Status::Alive)).collect();
    view.push(node("a", 3, Status::Alive));
    view.push(node("n", 3, Status::Dead));
    let snapshot = Snapshot::of("c", &local, false, view.iter(), &AbsentContacts::default());
    assert_eq!(snapshot.nodes.len(), NODES_MAX);
    assert!(snapshot.nodes.iter().all(|node| node.name.starts_with('x')));
}

#[test]
fn of_too_many_nodes_in_a_file_the_first_ones_are_taken() {
    let nodes: Vec<Contact> =
        (0..40_000).map(|index| contact(&format!("x{index}"), 2, LastStatus::Active)).collect();
    let read = decode(&encode(&Snapshot { nodes: nodes.clone(), ..snapshot() })).unwrap();
    assert_eq!(read.nodes, nodes[..NODES_MAX]);
}

#[test]
fn a_state_that_is_not_kept_is_no_reason_to_write() {
    let later = |state| Snapshot { state_version: 301, state, ..snapshot() };
    assert!(!later(snapshot().state).says_the_same_as(&snapshot()));
    assert!(later(None).says_the_same_as(&Snapshot { state: None, ..snapshot() }));
    assert!(!later(None).says_the_same_as(&snapshot()));
    assert!(!Snapshot { generation: Generation(1), ..snapshot() }.says_the_same_as(&snapshot()));
    assert!(!Snapshot { nodes: Vec::new(), ..snapshot() }.says_the_same_as(&snapshot()));
}

#[test]
fn the_absent_are_asked_in_turn_until_they_are_seen() {
    let contacts = (0..70).map(|index| contact(&format!("n{index}"), 100 + index, LastStatus::Active));
    let mut absent = AbsentContacts::new(contacts.collect());
    let mut asked: Vec<u16> = Vec::new();
    for _ in 0..3 {
        let turn = absent.take_turn(false);
        assert!(turn.len() <= 32);
        asked.extend(turn.iter().map(|addr| addr.port()));
    }
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, (100..170).collect::<Vec<u16>>());
    absent.cross_out(|name| name != "n5");
    assert_eq!(absent.take_turn(false), [([10, 0, 0, 1], 105).into()]);
    assert_eq!(absent.take_turn(false), [([10, 0, 0, 1], 105).into()]);
    let none = Nodes::new(Vec::new());
    assert_eq!(absent.look(&none, true).len(), 1, "a member that is alone forgets nobody");
}

#[test]
fn who_has_left_is_asked_only_by_who_is_alone() {
    let mut absent =
        AbsentContacts::new(vec![contact("a", 1, LastStatus::Left), contact("b", 2, LastStatus::Dead)]);
    assert_eq!(absent.take_turn(false), [([10, 0, 0, 1], 2).into()]);
    let turn: Vec<u16> = absent.take_turn(true).iter().map(|addr| addr.port()).collect();
    assert_eq!(turn.len(), 2);
}

#[test]
fn what_was_saved_is_there_at_the_next_start_and_no_other_file_is_left() {
    let directory = Directory::new();
    {
        let mut store = open(&directory.snapshot());
        assert_eq!(store.load("c", "me").unwrap(), None);
        store.save(&Snapshot { nodes: Vec::new(), ..snapshot() }).unwrap();
        store.save(&snapshot()).unwrap();
    }
    assert_eq!(open(&directory.snapshot()).load("c", "me").unwrap(), Some(snapshot()));
    assert_eq!(directory.files(), ["members", "members.lock"]);
}

#[test]
fn a_store_sees_that_its_file_is_gone_or_cut() {
    let directory = Directory::new();
    let mut store = open(&directory.snapshot());
    assert!(!store.is_in_place());
    store.save(&snapshot()).unwrap();
    assert!(store.is_in_place());
    fs::write(directory.snapshot(), b"headsnap").unwrap();
    assert!(!store.is_in_place());
    fs::remove_file(directory.snapshot()).unwrap();
    assert!(!store.is_in_place());
}

#[test]
fn what_a_killed_write_has_left_is_not_in_the_way() {
    let directory = Directory::new();
    let mut store = open(&directory.snapshot());
    fs::write(directory.0.join("members.new"), b"half of").unwrap();
    store.save(&snapshot()).unwrap();
    assert_eq!(store.load("c", "me").unwrap(), Some(snapshot()));
    assert_eq!(directory.files(), ["members", "members.lock"]);
}

#[test]
fn a_second_store_of_the_same_file_is_refused_until_the_first_is_gone() {
    let directory = Directory::new();
    let first = open(&directory.snapshot());
    let error = Store::open(&directory.snapshot()).unwrap_err();
    assert!(matches!(error, Error::Config { field: "snapshot", .. }), "{error}");
    assert!(error.to_string().contains("another member uses"), "{error}");
    drop(first);
    open(&directory.snapshot());
}

#[test]
fn a_path_that_can_not_be_a_file_is_refused() {
    let directory = Directory::new();
    for path in [
        directory.0.clone(),
        PathBuf::from("/"),
        directory.0.join(".."),
        directory.0.join("nowhere/members"),
        directory.0.join("members/"),
    ] {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, Error::Config { field: "snapshot", .. }), "{}: {error}", path.display());
    }
    assert_eq!(directory.files(), [""; 0]);
}

/// A FIFO that nobody writes to was opened, and the start never ended; a device was renamed.
#[cfg(unix)]
#[test]
fn what_is_not_a_regular_file_is_refused_and_left_alone() {
    let directory = Directory::new();
    let fifo = directory.0.join("fifo");
    assert!(process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [&fifo, Path::new("/dev/null")] {
        let error = Store::open(path).unwrap_err();
        assert!(error.to_string().contains("is not a regular file"), "{error}");
    }
    assert_eq!(directory.files(), ["fifo"]);
}

/// A start blocked on a FIFO and made a file where a link led, and any user could lock the file.
#[cfg(unix)]
#[test]
fn nobody_else_has_a_say_in_the_lock() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    let directory = Directory::new();
    let lock = directory.0.join("members.lock");
    drop(open(&directory.snapshot()));
    assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);

    fs::remove_file(&lock).unwrap();
    symlink(directory.0.join("elsewhere"), &lock).unwrap();
    drop(open(&directory.snapshot()));
    assert_eq!(directory.files(), ["members.lock"]);

    fs::remove_file(&lock).unwrap();
    assert!(process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    drop(open(&directory.snapshot()));

    fs::remove_file(&lock).unwrap();
    let held = fs::File::create(&lock).unwrap();
    held.try_lock().unwrap();
    assert!(Store::open(&directory.snapshot()).is_err());
    match chown(&lock, Some(65_534), None) {
        Ok(()) => drop(open(&directory.snapshot())),
        Err(error) => println!("what another user locks was not tried: {error}"),
    }
    assert_eq!(directory.files(), ["members.lock"]);
}

/// It was replaced by the first snapshot, and the file that it led to, on a volume that outlives the host, say, was
/// never written: the next start that found the link again began with nothing, or with what was old.
#[cfg(unix)]
#[test]
fn a_link_is_refused_and_left_alone() {
    let directory = Directory::new();
    fs::write(directory.snapshot(), encode(&snapshot())).unwrap();
    for (link, target) in [("leads", directory.snapshot()), ("dangles", directory.0.join("nothing"))] {
        let link = directory.0.join(link);
        std::os::unix::fs::symlink(target, &link).unwrap();
        let error = Store::open(&link).unwrap_err();
        assert!(matches!(error, Error::Config { field: "snapshot", .. }), "{error}");
        assert!(error.to_string().contains("is a link"), "{error}");
    }
    assert_eq!(directory.files(), ["dangles", "leads", "members"]);
}

/// It was set aside, and the next run began anew. Here an address of no memory is read, which is an error of the disk
/// (EIO) as far as the reader can tell.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_can_not_be_read_is_an_error_and_left_where_it_is() {
    let directory = Directory::new();
    let mut store = open(&directory.snapshot());
    std::os::unix::fs::symlink("/proc/self/mem", directory.snapshot()).unwrap();
    let error = store.load("c", "me").unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(directory.files(), ["members", "members.lock"]);
}

#[test]
fn a_file_that_is_no_whole_snapshot_is_set_aside_as_it_is() {
    let directory = Directory::new();
    let whole = encode(&snapshot());
    let mut flipped = whole.clone();
    flipped[40] ^= 4;
    let too_long = vec![b'h'; FILE_MAX + 1_000];
    for (number, bytes) in [&whole[..whole.len() - 1], &flipped, b"", &too_long].into_iter().enumerate() {
        fs::write(directory.snapshot(), bytes).unwrap();
        let mut store = open(&directory.snapshot());
        assert_eq!(store.load("c", "me").unwrap(), None);
        store.save(&snapshot()).unwrap();
        assert_eq!(store.load("c", "me").unwrap(), Some(snapshot()));
        let aside = directory.0.join(format!("members.set-aside-{}", number + 1));
        assert_eq!(fs::read(aside).unwrap(), bytes);
    }
}

#[test]
fn no_more_than_four_files_are_set_aside_and_the_last_is_the_newest() {
    let directory = Directory::new();
    for number in 0..9 {
        fs::write(directory.snapshot(), [number]).unwrap();
        let mut store = open(&directory.snapshot());
        store.load("c", "me").unwrap();
        store.save(&snapshot()).unwrap();
        store.save(&snapshot()).unwrap();
    }
    let aside = |number| fs::read(directory.0.join(format!("members.set-aside-{number}"))).unwrap();
    assert_eq!([aside(1), aside(2), aside(3), aside(4)], [[0], [1], [2], [8]]);
    assert_eq!(directory.files().len(), 6);
}

#[test]
fn nothing_of_another_cluster_is_taken() {
    let directory = Directory::new();
    let mut store = open(&directory.snapshot());
    store.save(&snapshot()).unwrap();
    assert_eq!(store.load("other", "me").unwrap(), None);
    store.save(&Snapshot { cluster: "other".to_owned(), ..snapshot() }).unwrap();
    assert_eq!(directory.files(), ["members", "members.lock", "members.set-aside-1"]);
}

#[test]
fn of_another_node_of_the_cluster_only_the_addresses_are_taken() {
    let directory = Directory::new();
    let mut store = open(&directory.snapshot());
    store.save(&snapshot()).unwrap();
    let taken = store.load("c", "a").unwrap().unwrap();
    assert_eq!((taken.generation, taken.state_version, taken.state), (Generation(0), 0, None));
    // Not the own one.
    assert_eq!(taken.nodes, snapshot().nodes[1..]);
    store.save(&Snapshot { name: "a".to_owned(), ..snapshot() }).unwrap();
    assert_eq!(directory.files(), ["members", "members.lock", "members.set-aside-1"]);
}

/// A start that failed later on had taken it away already.
#[test]
fn what_belongs_to_another_node_stays_until_a_snapshot_takes_its_place() {
    let directory = Directory::new();
    let mut store = open(&directory.snapshot());
    store.save(&snapshot()).unwrap();
    store.load("other", "me").unwrap();
    // The next snapshot can not be written there.
    fs::create_dir(directory.0.join("members.new")).unwrap();
    store.save(&snapshot()).unwrap_err();
    drop(store);
    assert_eq!(directory.files(), ["members", "members.lock", "members.new"]);
    assert_eq!(open(&directory.snapshot()).load("c", "me").unwrap(), Some(snapshot()));
}

#[cfg(unix)]
#[test]
fn nobody_but_the_user_may_read_a_snapshot() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    open(&directory.snapshot()).save(&snapshot()).unwrap();
    let mode = fs::metadata(directory.snapshot()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_the_next_file_is_replaced_and_not_followed() {
    let directory = Directory::new();
    let precious = directory.0.join("precious");
    fs::write(&precious, b"data").unwrap();
    std::os::unix::fs::symlink(&precious, directory.0.join("members.new")).unwrap();
    open(&directory.snapshot()).save(&snapshot()).unwrap();
    assert_eq!(fs::read(&precious).unwrap(), b"data");
}
