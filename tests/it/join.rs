//! `Member::join` and the background seeds: who is let in, and what the others are told.

use std::net::UdpSocket;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use headcount::{Config, Error, Member};

use crate::rig::{Watch, cluster, config, names, run_alone, start, vacant_addr, wait_for_count};

/// What happened with each seed.
#[track_caller]
fn reasons(result: headcount::Result<Member>) -> Vec<(String, Error)> {
    match result {
        Err(Error::Join(reasons)) => reasons,
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_members_see_each_other_and_are_told_once() {
    let [a, b] = [start("a"), start("b")];
    let (mut watch_a, mut watch_b) = (Watch::over(&a), Watch::over(&b));
    b.join(a.addr()).unwrap();
    watch_a.expect("b joined");
    watch_b.expect("a joined");
    assert_eq!(names(&a), ["a", "b"]);
    assert_eq!(names(&b), ["a", "b"]);
    watch_a.expect_quiet();
    watch_b.expect_quiet();
}

#[test]
fn join_returns_with_the_whole_view() {
    let [a, _b, _c] = cluster(["a", "b", "c"]);
    let d = start("d").join(a.addr()).unwrap();
    assert_eq!(names(&d), ["a", "b", "c", "d"]);
}

#[test]
fn the_event_is_told_after_the_view_shows_it() {
    let a = start("a");
    let mut watch = Watch::over(&a);
    let b = start("b").join(a.addr()).unwrap();
    watch.expect("b joined");
    assert_eq!(a.node("b").unwrap().addr(), b.addr());
    assert_eq!(a.nodes().len(), 2);
}

#[test]
fn a_seed_may_be_given_in_many_ways() {
    let a = start("a");
    let port = a.addr().port();
    start("b").join(a.addr()).unwrap();
    start("c").join(a.addr().to_string()).unwrap();
    start("d").join(format!("localhost:{port}").as_str()).unwrap();
    start("e").join(format!(":{port}")).unwrap();
    start("f").join((a.addr().ip(), port)).unwrap();
    start("g").join(vec![a.addr()]).unwrap();
    start("h").join([a.addr().to_string()]).unwrap();
    start("i").join(&[a.addr()][..]).unwrap();
}

#[test]
fn only_itself_as_seed_is_fine_and_alone() {
    let a = start("a");
    let joined = a.join(a.addr()).unwrap();
    assert_eq!(names(&joined), ["a"]);
}

#[test]
fn the_own_address_among_the_seeds_is_skipped() {
    let [a, b] = [start("a"), start("b")];
    b.join([b.addr(), a.addr()]).unwrap();
    wait_for_count(&a, 2);
    wait_for_count(&b, 2);
}

#[test]
fn a_seed_that_does_not_answer_is_an_error_within_the_deadline() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (silent, vacant) = (silent.local_addr().unwrap(), vacant_addr());
    let a = Member::create(config("a").join_timeout(Duration::from_millis(500))).unwrap();

    let began = Instant::now();
    let reasons = reasons(a.join([silent, vacant]));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    let seeds: Vec<&str> = reasons.iter().map(|(seed, _)| seed.as_str()).collect();
    assert_eq!(seeds, [silent.to_string(), vacant.to_string()]);
    assert!(reasons.iter().all(|(_, error)| matches!(error, Error::NoAnswer)), "{reasons:?}");
}

/// The first one took the error of the address that both lead to, and the second was not in the list.
#[test]
fn seeds_with_an_address_in_common_have_an_entry_each() {
    let member = Member::create(config("a").join_timeout(Duration::from_millis(100))).unwrap();
    let vacant = vacant_addr();
    let seeds = [vacant.to_string(), format!("localhost:{}", vacant.port()), vacant.to_string()];
    let reasons = reasons(member.join(&seeds));
    let named: Vec<&String> = reasons.iter().map(|(seed, _)| seed).collect();
    assert_eq!(named, [&seeds[0], &seeds[1], &seeds[2]]);
    assert!(reasons.iter().all(|(_, error)| matches!(error, Error::NoAnswer)), "{reasons:?}");
}

/// Keeps the warnings.
struct Warnings(Mutex<Vec<String>>);

impl log::Log for Warnings {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// It said "send: Invalid argument", and nobody knew where to.
#[test]
fn an_address_that_can_not_be_sent_to_is_named_in_the_log() {
    static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));
    run_alone("join::an_address_that_can_not_be_sent_to_is_named_in_the_log", || {
        log::set_logger(&WARNINGS).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
        let a = Member::create(config("a").join_timeout(Duration::from_millis(100))).unwrap();
        // A socket on the loopback can not send to other hosts; this one is reserved for documentation.
        a.join("198.51.100.1:7990").unwrap_err();
        let warnings = WARNINGS.0.lock().unwrap();
        let expected = "a: send to 198.51.100.1:7990: ";
        assert!(matches!(&warnings[..], [only] if only.starts_with(expected)), "{warnings:?}");
    });
}

#[test]
fn a_seed_that_makes_no_sense_is_an_error_of_that_seed() {
    let a = start("a");
    let reasons = reasons(a.join("localhost:port"));
    assert!(
        matches!(&reasons[..], [(seed, Error::Config { .. })] if seed == "localhost:port"),
        "{reasons:?}"
    );
    assert_eq!(names(&a), ["a"]);
}

#[test]
fn one_seed_alive_among_several_is_enough() {
    let a = start("a");
    let b = start("b").join([vacant_addr(), vacant_addr(), a.addr()]).unwrap();
    assert_eq!(names(&b), ["a", "b"]);
}

#[test]
fn a_member_can_try_again_after_a_failed_join() {
    let a = start("a");
    let b = Member::create(config("b").join_timeout(Duration::from_millis(300))).unwrap();
    assert!(b.join(vacant_addr()).is_err());
    b.join(a.addr()).unwrap();
    wait_for_count(&a, 2);
}

#[test]
fn another_cluster_does_not_let_us_in_and_hears_nothing_of_us() {
    let a = start("a");
    let watch = Watch::over(&a);
    let stranger = Member::create(config("b").cluster("another cluster")).unwrap();
    let reasons = reasons(stranger.join(a.addr()));
    assert!(matches!(reasons[..], [(_, Error::WrongCluster)]), "{reasons:?}");
    assert_eq!(names(&stranger), ["b"]);
    assert_eq!(names(&a), ["a"]);
    watch.expect_quiet();
}

#[test]
fn a_taken_name_is_refused_and_its_holder_stays() {
    let [a, b] = cluster(["a", "b"]);
    let watch = Watch::over(&a);
    let second = start("b");
    let error = second.join(a.addr()).unwrap_err();
    let taken = match &error {
        Error::Join(reasons) => &reasons[0].1,
        other => other,
    };
    match taken {
        Error::NameTaken { name, addr } => assert_eq!((name.as_str(), *addr), ("b", b.addr())),
        other => panic!("{other:?}"),
    }
    assert_eq!(a.node("b").unwrap().addr(), b.addr());
    watch.expect_quiet();
}

#[test]
fn the_name_of_the_seed_itself_is_taken_too() {
    let a = start("a");
    let error = start("a").join(a.addr()).unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
    assert_eq!(names(&a), ["a"]);
}

#[test]
fn seeds_that_are_down_at_start_are_joined_when_they_come_up() {
    let addr = vacant_addr();
    let early = Member::create(config("early").seeds(addr)).unwrap();
    assert_eq!(names(&early), ["early"]);
    let late = Member::create(config("late").bind(addr)).unwrap();
    wait_for_count(&early, 2);
    wait_for_count(&late, 2);
}

#[test]
fn many_members_that_join_at_once_all_see_each_other() {
    let seed = start("seed");
    let names: Vec<String> = (0..15).map(|index| format!("n{index}")).collect();
    let members: Vec<Member> = names.iter().map(|name| start(name)).collect();
    std::thread::scope(|scope| {
        for member in &members {
            scope.spawn(|| member.join(seed.addr()).unwrap());
        }
    });
    for member in members.iter().chain([&seed]) {
        wait_for_count(member, 16);
    }
}

fn pair_over(first: Config, second: Config) -> Option<[Member; 2]> {
    let a = Member::create(first).unwrap();
    let b = Member::create(second).unwrap();
    b.join(a.addr()).unwrap();
    wait_for_count(&a, 2);
    wait_for_count(&b, 2);
    Some([a, b])
}

/// Containers without IPv6 exist; there is nothing to test then.
fn has_ipv6() -> bool {
    UdpSocket::bind("[::1]:0").is_ok()
}

#[test]
fn ipv6_works() {
    if has_ipv6() {
        let [a, b] = pair_over(config("a").bind("[::1]:0"), config("b").bind("[::1]:0")).unwrap();
        assert!(a.addr().is_ipv6());
        assert_eq!(b.node("a").unwrap().addr(), a.addr());
        a.ping("b").unwrap();
    }
}

#[test]
fn a_dual_stack_member_is_one_node_with_its_v4_address() {
    if has_ipv6() {
        let port = vacant_addr().port();
        let dual = config("dual").bind(format!("[::]:{port}")).advertise(format!("127.0.0.1:{port}"));
        let [dual, v4] = pair_over(dual, config("v4")).unwrap();
        assert_eq!(v4.node("dual").unwrap().addr().to_string(), format!("127.0.0.1:{port}"));
        assert_eq!(dual.node("v4").unwrap().addr(), v4.addr());
        assert!(dual.node("v4").unwrap().addr().is_ipv4());
        dual.ping("v4").unwrap();
        v4.ping("dual").unwrap();
    }
}
