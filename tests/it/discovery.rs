//! Members that find each other without `join`.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headcount::crossbeam_channel::bounded;
use headcount::discovery::{Dns, File, Multicast};
use headcount::{Config, Discovery, Error, Member};

use crate::rig::{
    QUIET, Watch, config, eventually, expect_all_quiet, names, start, vacant_addr, wait_for_count,
};

fn create(config: Config) -> Member {
    Member::create(config).unwrap()
}

/// A discovery that knows one member.
fn knows(addr: SocketAddr) -> impl Discovery + 'static {
    move |_: &Member| Ok(vec![addr])
}

#[test]
fn a_member_is_found_by_a_closure() {
    let a = start("a");
    let b = create(config("b").discovery(knows(a.addr())));
    wait_for_count(&a, 2);
    wait_for_count(&b, 2);
}

#[test]
fn several_discoveries_are_asked_side_by_side() {
    let a = start("a");
    let b = create(
        config("b")
            .discovery(|_: &Member| Err(io::Error::other("out of order")))
            .discovery(knows(vacant_addr()))
            .discovery(knows(a.addr())),
    );
    wait_for_count(&b, 2);
    eventually("the error is counted", || b.metrics().discovery_errors >= 1);
}

#[test]
fn a_discovery_that_panics_is_counted_and_asked_again() {
    let a = start("a");
    let addr = a.addr();
    let mut calls = 0;
    let b = create(config("b").discovery(move |_: &Member| {
        calls += 1;
        assert!(calls > 2, "not now");
        Ok(vec![addr])
    }));
    wait_for_count(&b, 2);
    assert_eq!(b.metrics().discovery_errors, 2);
}

#[test]
fn a_discovery_that_blocks_delays_neither_the_others_nor_the_end() {
    let a = start("a");
    let (release, blocked) = bounded::<()>(0);
    let has_begun = Arc::new(AtomicBool::new(false));
    let begun = Arc::clone(&has_begun);
    let blocks = move |_: &Member| {
        begun.store(true, Ordering::SeqCst);
        let _ = blocked.recv();
        Ok(Vec::new())
    };
    let b = create(config("b").discovery(blocks).discovery(knows(a.addr())));
    wait_for_count(&b, 2);
    eventually("the first one is asked", || has_begun.load(Ordering::SeqCst));
    let addr = b.addr();
    let began = Instant::now();
    b.shutdown().unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // The socket is closed, whatever the discovery holds.
    create(config("c").bind(addr));
    drop(release);
}

#[test]
fn a_discovery_is_dropped_when_its_member_has_ended() {
    struct Tells(Arc<AtomicUsize>);
    impl Discovery for Tells {
        fn discover(&mut self, _: &Member) -> io::Result<Vec<SocketAddr>> {
            Ok(Vec::new())
        }
    }
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let tells = || config("a").discovery(Tells(Arc::clone(&dropped)));
    drop(create(tells()));
    eventually("the first is dropped", || dropped.load(Ordering::SeqCst) == 1);
    create(tells()).shutdown().unwrap();
    eventually("the second is dropped", || dropped.load(Ordering::SeqCst) == 2);
    assert!(Member::create(tells().name("")).is_err());
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}

/// It may have something to take back, and the process may end at once. On a busy machine 50 ms may be too short now
/// and then; if nobody waited, they would be so each time.
#[test]
fn the_end_waits_for_an_idle_discovery_to_be_dropped() {
    struct Slow(Arc<AtomicBool>);
    impl Discovery for Slow {
        fn discover(&mut self, _: &Member) -> io::Result<Vec<SocketAddr>> {
            Ok(Vec::new())
        }
    }
    impl Drop for Slow {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(10));
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let is_waited_for = || {
        let is_dropped = Arc::new(AtomicBool::new(false));
        create(config("a").discovery(Slow(Arc::clone(&is_dropped)))).shutdown().unwrap();
        is_dropped.load(Ordering::SeqCst)
    };
    assert!((0..50).any(|_| is_waited_for()));
}

#[test]
fn a_discovery_knows_whom_it_is_for() {
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let a = create(config("a").cluster("shop").discovery(move |me: &Member| {
        *tell.lock().unwrap() = Some((me.cluster().to_owned(), me.name().to_owned(), me.addr()));
        Ok(Vec::new())
    }));
    eventually("it is asked", || told.lock().unwrap().is_some());
    assert_eq!(*told.lock().unwrap(), Some(("shop".to_owned(), "a".to_owned(), a.addr())));
}

#[test]
fn sixteen_discoveries_are_enough() {
    let many = |count| (0..count).fold(config("a"), |config, _| config.discovery(knows(vacant_addr())));
    assert!(Member::create(many(16)).is_ok());
    match Member::create(many(17)) {
        Err(Error::Config { field, .. }) => assert_eq!(field, "discovery"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_finds_members() {
    let a = start("a");
    let b = create(config("b").discovery(Dns::new("localhost", a.addr().port())));
    wait_for_count(&b, 2);
}

#[test]
fn host_names_among_the_seeds_are_resolved_anew() {
    let addr = vacant_addr();
    let early = create(config("early").seeds(format!("localhost:{}", addr.port())));
    eventually("it has looked in vain", || early.metrics().rejoin_failures >= 1);
    let late = create(config("late").bind(addr));
    wait_for_count(&early, 2);
    wait_for_count(&late, 2);
}

#[test]
fn a_line_that_is_written_later_finds_a_member() {
    let path = std::env::temp_dir().join(format!("headcount-it-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    let b = create(config("b").discovery(File::new(&path)));
    eventually("the file is missed", || b.metrics().discovery_errors >= 1);
    let a = start("a");
    fs::write(&path, format!("# who is there\n{}\n", a.addr())).unwrap();
    wait_for_count(&b, 2);
    fs::remove_file(&path).unwrap();
}

/// All on the loopback, which is the interface of the address that they are bound to.
#[test]
fn members_on_one_host_find_each_other_by_multicast() {
    let found = |name| create(config(name).discovery(Multicast::new()));
    let members = ["a", "b", "c"].map(found);
    for member in &members {
        wait_for_count(member, 3);
        assert_eq!(names(member), ["a", "b", "c"]);
    }
    // A latecomer asks, and the others answer.
    let d = found("d");
    wait_for_count(&d, 4);
    for member in members {
        member.shutdown().unwrap();
    }
    wait_for_count(&d, 1);
    let e = found("e");
    wait_for_count(&d, 2);
    wait_for_count(&e, 2);
}

#[test]
fn clusters_in_one_group_do_not_mix() {
    let group = || Multicast::new().port(17_991);
    let a = create(config("a").cluster("red").discovery(group()));
    let b = create(config("b").cluster("blue").discovery(group()));
    eventually("both have looked", || [&a, &b].iter().all(|member| member.metrics().rejoin_failures >= 3));
    std::thread::sleep(QUIET);
    assert_eq!((names(&a), names(&b)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    // They have not even said hello.
    assert_eq!((a.metrics().datagrams_received, b.metrics().datagrams_received), (0, 0));
}

#[test]
fn an_interface_that_carries_no_multicast_is_an_error_that_is_counted() {
    // Reserved for documentation: no host has it.
    let nowhere: IpAddr = "198.51.100.7".parse().unwrap();
    let a = create(config("a").discovery(Multicast::new().interface(nowhere)));
    eventually("the error is counted", || a.metrics().discovery_errors >= 2);
    a.shutdown().unwrap();
}

/// All are bound to both families, and each tells one address: all reach each other, whichever it is.
#[test]
fn dual_stack_members_find_peers_of_both_families() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let dual = |name: &str, ip: IpAddr| {
        let port = vacant_addr().port();
        config(name).bind(format!("[::]:{port}")).advertise(SocketAddr::from((ip, port)))
    };
    let v4 = create(dual("v4", Ipv4Addr::LOCALHOST.into()));
    let v6 = create(dual("v6", Ipv6Addr::LOCALHOST.into()));
    let late = create(dual("late", Ipv6Addr::LOCALHOST.into()).seeds([v4.addr(), v6.addr()]));
    let members = [&v4, &v6, &late];
    for member in members {
        wait_for_count(member, 3);
    }
    let watches = members.map(Watch::over);
    for (asker, asked) in
        [(&v4, "v6"), (&v6, "v4"), (&late, "v4"), (&late, "v6"), (&v4, "late"), (&v6, "late")]
    {
        asker.ping(asked).unwrap();
    }
    expect_all_quiet(&watches);
}

#[cfg(feature = "mdns")]
#[test]
fn members_on_one_host_find_each_other_by_mdns() {
    use headcount::discovery::Mdns;

    let a = create(config("a").discovery(Mdns::new()));
    let b = create(config("b").discovery(Mdns::new()));
    let stranger = create(config("a").cluster("another").discovery(Mdns::new()));
    wait_for_count(&a, 2);
    wait_for_count(&b, 2);
    assert_eq!(names(&stranger), ["a"]);
    assert_eq!(stranger.metrics().datagrams_received, 0);
}
