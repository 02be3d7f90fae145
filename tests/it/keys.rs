//! Members whose datagrams are sealed, on real sockets.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use headcount::transport::{Memory, Open, Tcp, Udp};
use headcount::{Config, Error, Event, Key, Keyring, Member, MemberKeyring};

use crate::rig::{Directory, PATIENCE, Watch, config, names, wait_for_count};

/// Of the cluster that changes its keys.
const MEMBERS: usize = 16;

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn start(name: &str, keyring: Keyring) -> Member {
    Member::create(config(name).keyring(keyring)).unwrap()
}

#[test]
fn a_joiner_with_a_wrong_a_missing_or_an_extra_key_is_told_so() {
    let sealed = || Keyring::new(key(1));
    for (of_the_seed, of_the_joiner) in
        [(Some(sealed()), Some(Keyring::new(key(2)))), (Some(sealed()), None), (None, Some(sealed()))]
    {
        let with = |name, keyring: &Option<Keyring>| match keyring {
            Some(keyring) => start(name, keyring.clone()),
            None => crate::rig::start(name),
        };
        let seed = with("a", &of_the_seed);
        let joiner = with("b", &of_the_joiner);
        let watch = Watch::over(&seed);
        let Err(Error::Join(reasons)) = joiner.join(seed.addr()) else {
            panic!("{of_the_seed:?} let in {of_the_joiner:?}")
        };
        assert!(matches!(reasons[..], [(_, Error::WrongKey)]), "{reasons:?}");
        assert_eq!((names(&seed), names(&joiner)), (vec!["a".to_owned()], vec!["b".to_owned()]));
        watch.expect_nothing();
    }
}

#[test]
fn sealed_members_talk_over_each_transport() {
    fn talk<T: Open + Clone + 'static>(transport: &T) {
        let member = |name| -> Config {
            let config = config(name).send_timeout(PATIENCE);
            config.transport(transport.clone()).keyring(Keyring::new(key(1)))
        };
        let a = Member::create(member("a")).unwrap();
        let events = a.events();
        let b = Member::create(member("b")).unwrap().join(a.addr()).unwrap();
        wait_for_count(&a, 2);
        b.set("key", "value").unwrap();
        b.send("a", &[7; 100_000]).unwrap();
        let received = events.iter().find_map(|event| match event {
            Event::Message { payload, .. } => Some(payload.len()),
            _ => None,
        });
        assert_eq!(received, Some(100_000));
        b.leave(Duration::from_secs(5)).unwrap();
        assert_eq!(names(&a), ["a"]);
        assert_eq!(a.metrics().unopened, 0);
    }
    talk(&Udp::new());
    talk(&Tcp::new());
    talk(&Memory::new(1));
}

#[test]
fn a_key_comes_from_a_file() {
    let path = std::env::temp_dir().join(format!("headcount-it-key-{}", std::process::id()));
    fs::write(&path, "0f".repeat(32)).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let keyring = Keyring::new(Key::from_file(&path).unwrap());
    fs::remove_file(&path).unwrap();
    let [a, b] = [start("a", keyring), start("b", Keyring::new(key(0x0f)))];
    b.join(a.addr()).unwrap();
    wait_for_count(&a, 2);
}

/// Sixteen members send each other messages without a pause, while they go from no key to one, to another, and back.
#[test]
fn keys_change_under_messages_and_nobody_and_no_message_is_lost() {
    let start = |index| Member::create(config(&format!("m{index}")).send_timeout(PATIENCE)).unwrap();
    let members: Vec<Member> = (0..MEMBERS).map(start).collect();
    for member in &members[1..] {
        member.join(members[0].addr()).unwrap();
    }
    for member in &members {
        wait_for_count(member, MEMBERS);
    }
    let events: Vec<_> = members.iter().map(Member::events).collect();

    let (is_over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for (index, member) in members.iter().enumerate() {
            let (is_over, sent) = (&is_over, &sent);
            scope.spawn(move || {
                let mut to = index;
                while !is_over.load(Ordering::Relaxed) {
                    to = (to + 1) % MEMBERS;
                    if to != index {
                        member.send(&format!("m{to}"), &[7; 2_000]).unwrap();
                        sent.fetch_add(1, Ordering::Relaxed);
                        // Time for the others: sixteen senders would take all there is.
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            });
        }
        let everywhere = |change: &dyn Fn(MemberKeyring<'_>) -> headcount::Result<()>| {
            for member in &members {
                change(member.keyring()).unwrap();
                let so_far = sent.load(Ordering::Relaxed);
                crate::rig::eventually("messages go on", || sent.load(Ordering::Relaxed) > so_far + 3);
            }
        };
        everywhere(&|keyring| keyring.install(key(1)));
        everywhere(&|keyring| keyring.use_key(key(1).id()));
        everywhere(&|keyring| keyring.refuse_plain());
        everywhere(&|keyring| keyring.install(key(2)));
        everywhere(&|keyring| keyring.use_key(key(2).id()));
        everywhere(&|keyring| keyring.remove(key(1).id()));
        everywhere(&|keyring| keyring.accept_plain());
        everywhere(&|keyring| keyring.use_plain());
        everywhere(&|keyring| keyring.remove(key(2).id()));
        is_over.store(true, Ordering::Relaxed);
    });

    let mut messages = 0;
    for (member, events) in members.iter().zip(&events) {
        for event in events.try_iter() {
            match event {
                Event::Message { .. } => messages += 1,
                // On a machine that is busy with all the tests at once.
                Event::Suspected(_) | Event::Recovered(_) => {}
                other => panic!("{} is told: {other}", member.name()),
            }
        }
        assert_eq!(member.nodes().len(), MEMBERS);
    }
    println!("{messages} messages");
    assert_eq!(messages, sent.load(Ordering::Relaxed));
}

#[test]
fn sealed_members_that_were_killed_come_back_from_their_snapshots() {
    let directory = Directory::new();
    let start = |name: &str| {
        let config = config(name).bind(directory.bind()).snapshot(directory.file(name));
        Member::create(config.keyring(Keyring::new(key(1)))).unwrap()
    };
    let members = ["a", "b", "c"].map(start);
    for member in &members[1..] {
        member.join(members[0].addr()).unwrap();
    }
    for member in &members {
        wait_for_count(member, 3);
        member.save_snapshot().unwrap();
    }
    let [a, b, c] = members;
    drop((b, c));
    // The one that is left drops what seems to be sealed by an earlier run.
    let again = ["b", "c"].map(start);
    for member in &again {
        wait_for_count(member, 3);
    }
    a.set("key", "value").unwrap();
    crate::rig::eventually("they hear each other", || {
        again.iter().all(|member| member.node("a").is_some_and(|node| node.text("key") == Some("value")))
    });
}
