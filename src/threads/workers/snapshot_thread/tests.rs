use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::error::Error;
use crate::member::Member;
use crate::node::Generation;
use crate::snapshot::tests::Directory;
use crate::snapshot::{Contact, LastStatus, Snapshot, Store};
use crate::wire::ClusterId;

fn member(directory: &Directory) -> Member {
    let config = Config::local().bind("127.0.0.1:0").name("me").snapshot(directory.snapshot());
    Member::create(config.keep_state(true)).unwrap()
}

/// Waits for what is going to happen soon.
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What is on the disk, read past the lock of who writes it.
fn on_disk(path: &Path) -> Option<Snapshot> {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    let snapshot = Store::open(&copy).unwrap().load("headcount", "me").unwrap();
    fs::remove_file(copy).unwrap();
    snapshot
}

#[test]
fn the_generation_is_on_the_disk_when_create_returns_and_grows_though_the_clock_went_back() {
    let directory = Directory::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    // An earlier run, by a clock that was ten years ahead.
    let ahead = u64::try_from(now).unwrap() + 10 * 365 * 24 * 3_600 * 1_000;
    let mut last = Generation((ahead << 22) | 0x3f_ffff);
    let earlier = Snapshot {
        cluster: "headcount".to_owned(),
        cluster_id: ClusterId(0),
        name: "me".to_owned(),
        generation: last,
        state_version: 0,
        state: None,
        nodes: Vec::new(),
    };
    Store::open(&directory.snapshot()).unwrap().save(&earlier).unwrap();
    for _ in 0..3 {
        let member = member(&directory);
        let generation = Generation(member.local().generation());
        assert!(generation > last);
        assert_eq!(on_disk(&directory.snapshot()).unwrap().generation, generation);
        last = generation;
    }
}

#[test]
fn a_change_is_written_without_being_asked_for() {
    let directory = Directory::new();
    let member = member(&directory);
    member.set("key", "value").unwrap();
    let expected = Some(vec![("key".to_owned(), b"value".to_vec())]);
    soon("it is on the disk", || on_disk(&directory.snapshot()).is_some_and(|found| found.state == expected));
}

#[test]
fn many_changes_cost_one_write_a_second() {
    let directory = Directory::new();
    let member = member(&directory);
    let began = Instant::now();
    for number in 0..2_000_u32 {
        member.set("key", number.to_be_bytes()).unwrap();
        thread::sleep(Duration::from_micros(200));
    }
    let written = member.metrics().snapshots_written;
    // The first one, one at the first change, and one each second after it.
    assert!(written <= 3 + began.elapsed().as_secs(), "{written} in {:?}", began.elapsed());
    member.save_snapshot().unwrap();
    let found = on_disk(&directory.snapshot()).unwrap().state.unwrap();
    assert_eq!(found, [("key".to_owned(), 1_999_u32.to_be_bytes().to_vec())]);
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let directory = Directory::new();
    let member = member(&directory);
    for _ in 0..10 {
        member.save_snapshot().unwrap();
    }
    assert_eq!(member.metrics().snapshots_written, 1);
}

/// It was reported as written.
#[test]
fn a_file_that_was_removed_is_written_again_when_asked_for_and_at_the_end() {
    let directory = Directory::new();
    let member = member(&directory);
    fs::remove_file(directory.snapshot()).unwrap();
    member.save_snapshot().unwrap();
    assert!(on_disk(&directory.snapshot()).is_some());
    fs::remove_file(directory.snapshot()).unwrap();
    member.shutdown().unwrap();
    assert!(on_disk(&directory.snapshot()).is_some());
}

#[test]
fn a_disk_that_takes_nothing_for_a_while_is_counted_and_tried_again() {
    let directory = Directory::new();
    let member = member(&directory);
    // At one blow: something may be written there just now.
    let elsewhere = Directory::new();
    fs::rename(&directory.0, elsewhere.0.join("moved")).unwrap();
    member.set("key", "value").unwrap();
    assert!(matches!(member.save_snapshot(), Err(Error::Io { .. })));
    assert!(member.metrics().snapshot_errors >= 1);
    let written = member.metrics().snapshots_written;
    fs::create_dir(&directory.0).unwrap();
    soon("it is written again", || member.metrics().snapshots_written > written);
    assert!(on_disk(&directory.snapshot()).unwrap().state.is_some());
}

#[test]
fn what_was_said_last_is_written_at_the_end() {
    let directory = Directory::new();
    for (value, end) in [
        (1, Member::shutdown as fn(&Member) -> _),
        (2, |member: &Member| member.leave(Duration::from_secs(1))),
    ] {
        let member = member(&directory);
        for _ in 0..3 {
            member.set("key", [0]).unwrap();
            member.set("key", [value]).unwrap();
        }
        end(&member).unwrap();
        assert_eq!(
            on_disk(&directory.snapshot()).unwrap().state,
            Some(vec![("key".to_owned(), vec![value])])
        );
        assert!(matches!(member.save_snapshot(), Err(Error::Closed)));
    }
}

/// A member whose earlier run knew somebody at this socket, who never answers. It asks often and forgets early.
fn member_that_knew(directory: &Directory, ghost: &UdpSocket) -> Member {
    let nodes = vec![Contact {
        name: "ghost".to_owned(),
        addr: ghost.local_addr().unwrap(),
        last_status: LastStatus::Active,
    }];
    let earlier = Snapshot {
        cluster: "headcount".to_owned(),
        cluster_id: ClusterId(0),
        name: "me".to_owned(),
        generation: Generation(1),
        state_version: 0,
        state: None,
        nodes,
    };
    Store::open(&directory.snapshot()).unwrap().save(&earlier).unwrap();
    let config = Config::local().bind("127.0.0.1:0").name("me").snapshot(directory.snapshot());
    let often = config.rejoin_interval(Duration::from_millis(50)).tombstone_ttl(Duration::from_millis(1));
    Member::create(often.keep_state(true)).unwrap()
}

/// Whether it is still in the snapshot, which is written for that.
fn is_remembered(directory: &Directory, member: &Member, number: u32) -> bool {
    member.set("written", number.to_string()).unwrap();
    member.save_snapshot().unwrap();
    on_disk(&directory.snapshot()).unwrap().nodes.iter().any(|node| node.name == "ghost")
}

#[test]
fn who_is_alone_asks_for_the_absent_without_end() {
    let directory = Directory::new();
    let ghost = UdpSocket::bind("127.0.0.1:0").unwrap();
    ghost.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let member = member_that_knew(&directory, &ghost);
    // Each time it is asked ten times, within 20 s.
    for _ in 0..12 {
        ghost.recv(&mut [0; 2_000]).unwrap();
    }
    assert!(is_remembered(&directory, &member, 1));
}

#[test]
fn who_has_company_forgets_the_absent_after_a_while() {
    let directory = Directory::new();
    let ghost = UdpSocket::bind("127.0.0.1:0").unwrap();
    let member = member_that_knew(&directory, &ghost);
    assert!(is_remembered(&directory, &member, 0));
    let other = Member::create(Config::local().bind("127.0.0.1:0").name("other")).unwrap();
    member.join(other.addr()).unwrap();
    let mut number = 0;
    soon("it is forgotten", || {
        number += 1;
        !is_remembered(&directory, &member, number)
    });
}

/// The one it had met was crossed out of the absent contacts, and then reaped from the view: it was in neither.
#[test]
fn whoever_is_alone_for_longer_than_tombstones_last_keeps_and_asks_whom_it_has_met() {
    let directory = Directory::new();
    let config = Config::local().bind("127.0.0.1:0").name("me").snapshot(directory.snapshot());
    let often = config.rejoin_interval(Duration::from_millis(50)).tombstone_ttl(Duration::from_millis(1));
    let member = Member::create(often.keep_state(true)).unwrap();
    let met = Member::create(Config::local().bind("127.0.0.1:0").name("ghost")).unwrap();
    let addr = met.addr();
    member.join(addr).unwrap();
    drop(met);
    soon("it is dead", || member.nodes().len() == 1);

    let ghost = UdpSocket::bind(addr).unwrap();
    ghost.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // More than were under way when it died.
    for _ in 0..12 {
        ghost.recv(&mut [0; 2_000]).unwrap();
    }
    assert!(is_remembered(&directory, &member, 1));
}
