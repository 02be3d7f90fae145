//! Coming back from a snapshot: alone, all at once, elsewhere, after a kill, and with disks that do not do as they
//! should.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use headcount::{Config, Error, Member, sim};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use crate::rig::{Directory, PATIENCE, Watch, config, eventually, names, run_alone, wait_for_count};

/// A member that keeps its snapshot in a file of its name.
fn kept(directory: &Directory, name: &str) -> Config {
    config(name).bind(directory.bind()).snapshot(directory.file(name))
}

fn start(directory: &Directory, name: &str) -> Member {
    Member::create(kept(directory, name)).unwrap()
}

/// The member again, at the address that it had. That may take a moment: a process which another test is just starting
/// has the old socket open, too, until it runs its program.
fn start_at(directory: &Directory, name: &str, addr: SocketAddr) -> Member {
    let mut member = None;
    eventually("its address is free", || match Member::create(kept(directory, name).bind(addr)) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AddrInUse => false,
        result => {
            member = Some(result.unwrap());
            true
        }
    });
    member.unwrap()
}

/// Members of these names that all see each other, and whose snapshots say so.
fn cluster<const N: usize>(directory: &Directory, names: [&str; N]) -> [Member; N] {
    let members = names.map(|name| start(directory, name));
    for member in &members[1..] {
        member.join(members[0].addr()).unwrap();
    }
    for member in &members {
        wait_for_count(member, N);
        member.save_snapshot().unwrap();
    }
    members
}

#[test]
fn a_member_that_is_started_anew_rejoins_by_itself_also_at_another_address() {
    let directory = Directory::new();
    let [a, b, c] = cluster(&directory, ["a", "b", "c"]);
    let mut watch = Watch::over(&a);
    let old = c.local();
    c.shutdown().unwrap();
    let c = start(&directory, "c");
    wait_for_count(&c, 3);
    watch.expect("c restarted");
    assert!(c.local().generation() > old.generation());
    assert_ne!(c.addr(), old.addr());
    eventually("b knows where c is", || b.node("c").unwrap().addr() == c.addr());
}

#[test]
fn a_cluster_that_was_down_is_whole_again_without_a_seed_and_with_one_address_changed() {
    let directory = Directory::new();
    let members = cluster(&directory, ["a", "b", "c", "d"]);
    let addrs = members.each_ref().map(Member::addr);
    drop(members);
    let again = |index: usize, name| start_at(&directory, name, addrs[index]);
    // "b" is elsewhere, and starts first: nobody can find it, it has to find the others.
    let b = start(&directory, "b");
    let members = [b, again(3, "d"), again(0, "a"), again(2, "c")];
    for member in &members {
        wait_for_count(member, 4);
    }
}

/// The last one to leave an orderly shutdown saw all others leave before.
#[test]
fn a_cluster_whose_members_have_all_left_is_whole_again() {
    let directory = Directory::new();
    let [a, b, c] = cluster(&directory, ["a", "b", "c"]);
    let (first, last) = (a.addr(), c.addr());
    for member in [&a, &b, &c] {
        member.leave(PATIENCE).unwrap();
    }
    let a = start_at(&directory, "a", first);
    let c = start_at(&directory, "c", last);
    wait_for_count(&a, 2);
    wait_for_count(&c, 2);
}

/// It had an empty view, which it wrote.
#[test]
fn a_member_that_comes_back_alone_forgets_nobody() {
    let directory = Directory::new();
    let [a, b] = cluster(&directory, ["a", "b"]);
    let addr = b.addr();
    drop((a, b));
    for _ in 0..3 {
        let a = start(&directory, "a");
        assert_eq!(names(&a), ["a"]);
        a.save_snapshot().unwrap();
    }
    // This one has lost its snapshot: it is found.
    fs::remove_file(directory.file("b")).unwrap();
    let b = start_at(&directory, "b", addr);
    let _a = start(&directory, "a");
    wait_for_count(&b, 2);
}

#[test]
fn a_state_comes_back_only_if_it_is_to_be_kept() {
    let directory = Directory::new();
    let observer = crate::rig::start("observer");
    let create = |keep| Member::create(kept(&directory, "a").keep_state(keep)).unwrap();
    let a = create(true).join(observer.addr()).unwrap();
    a.set("shards", "0-31").unwrap();
    a.save_snapshot().unwrap();
    drop(a);
    let a = create(true);
    assert_eq!(a.local().text("shards"), Some("0-31"));
    let shows_it = |generation: u64| {
        let node = observer.node("a").unwrap();
        node.generation() == generation && node.text("shards") == Some("0-31")
    };
    eventually("the observer has the state of the new run", || shows_it(a.local().generation()));
    a.remove("shards").unwrap();
    a.set("shards", "32-63").unwrap();
    eventually("it hears what is written since", || {
        observer.node("a").unwrap().text("shards") == Some("32-63")
    });
    drop(a);
    let a = create(false);
    assert_eq!(a.local().state().count(), 0);
}

#[test]
fn a_file_that_can_not_be_used_is_set_aside_and_the_member_runs() {
    let directory = Directory::new();
    fs::write(directory.file("a"), b"headsnap and then nothing that makes sense").unwrap();
    let a = start(&directory, "a");
    assert_eq!(names(&a), ["a"]);
    assert_eq!(a.metrics().snapshots_written, 1);
    assert_eq!(directory.files(), ["a", "a.lock", "a.set-aside-1"]);
}

#[test]
fn a_snapshot_of_another_cluster_is_set_aside() {
    let directory = Directory::new();
    drop(start(&directory, "a"));
    let generation = Member::create(kept(&directory, "a").cluster("another")).unwrap().local().generation();
    assert!(generation > 0);
    assert_eq!(directory.files(), ["a", "a.lock", "a.set-aside-1"]);
}

#[test]
fn a_renamed_member_finds_its_cluster_by_the_addresses_of_its_old_name() {
    let directory = Directory::new();
    let [a, b] = cluster(&directory, ["a", "b"]);
    drop(b);
    let renamed = Member::create(config("renamed").snapshot(directory.file("b"))).unwrap();
    let sees = |member: &Member, name| member.node(name).is_some_and(|node| node.is_active());
    eventually("they have found each other", || sees(&a, "renamed") && sees(&renamed, "a"));
}

#[test]
fn a_second_member_with_the_same_snapshot_is_refused() {
    let directory = Directory::new();
    let first = start(&directory, "a");
    let error = Member::create(config("b").snapshot(directory.file("a"))).unwrap_err();
    assert!(matches!(error, Error::Config { field: "snapshot", .. }), "{error}");
    first.shutdown().unwrap();
    start(&directory, "a");
}

#[test]
fn a_member_without_a_snapshot_says_so_and_so_does_a_simulated_one() {
    let member = crate::rig::start("a");
    assert!(matches!(member.save_snapshot(), Err(Error::Config { field: "snapshot", .. })));
    let simulated = sim::Cluster::new(1).add(Config::lan().name("a")).unwrap();
    assert!(matches!(simulated.save_snapshot(), Err(Error::Config { field: "snapshot", .. })));
}

/// Nobody writes there, not even root.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_may_not_be_written_to_is_counted_and_the_member_runs() {
    let a = Member::create(config("a").snapshot("/sys/headcount-members")).unwrap();
    let b = crate::rig::start("b").join(a.addr()).unwrap();
    wait_for_count(&a, 2);
    wait_for_count(&b, 2);
    assert!(a.metrics().snapshot_errors >= 1);
    assert_eq!(a.metrics().snapshots_written, 0);
    assert!(matches!(a.save_snapshot(), Err(Error::Io { .. })));
}

// ---- Processes ----

/// The file of the process's snapshot: set where a test runs as the process that it has started.
const FILE: &str = "HEADCOUNT_TEST_SNAPSHOT";
/// How often to kill, if not a few times.
const KILLS: &str = "HEADCOUNT_KILLS";
const KILLS_DEFAULT: u32 = 50;

/// This test again, as another process. Through a shell, that may limit it first.
fn process(test: &str, file: &Path, limits: &str) -> Child {
    let script = format!("{limits} exec \"$0\" --exact {test} --nocapture --test-threads=1");
    Command::new("sh")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .env(FILE, file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // The harness has begun a line.
    stdout.write_all(format!("\n{text}\n").as_bytes()).unwrap();
    stdout.flush().unwrap();
}

/// The number behind the last line that begins so.
fn last_number(text: &str, word: &str) -> Option<u64> {
    let numbers = text.lines().filter_map(|line| line.strip_prefix(word));
    numbers.filter_map(|number| number.trim().parse().ok()).next_back()
}

/// A member that keeps its state, in whatever process.
fn start_with_state(file: &Path) -> Member {
    Member::create(with_state(file)).unwrap()
}

fn with_state(file: &Path) -> Config {
    let config = Config::local().cluster("processes").name("a").bind("127.0.0.1:0");
    config.snapshot(file).keep_state(true)
}

/// A state of some kilobytes that shows whether it is whole.
fn write_state(member: &Member, number: u32) {
    for key in 0..16 {
        member.set(&format!("fill-{key}"), [number.to_be_bytes()[3]; 1_000]).unwrap();
    }
    member.set("number", number.to_string()).unwrap();
}

/// The number of the state, or none if there is none. The file is of one moment, which may be between two keys.
fn read_state(member: &Member) -> Option<u32> {
    let local = member.local();
    let number: u32 = local.text("number")?.parse().unwrap();
    let mut fills = (0..16).filter_map(|key| local.get(&format!("fill-{key}")));
    let [now, next] = [number, number + 1].map(|number| number.to_be_bytes()[3]);
    assert!(fills.all(|fill| fill.len() == 1_000 && (fill[0] == now || fill[0] == next)));
    Some(number)
}

/// A member that writes its snapshot all the time, and says each time that it has.
fn write_until_killed(file: &Path) {
    let member = start_with_state(file);
    let mut number = read_state(&member).unwrap_or(0);
    say(&format!("generation {}", member.local().generation()));
    say(&format!("found {number}"));
    loop {
        number += 1;
        write_state(&member, number);
        member.save_snapshot().unwrap();
        say(&format!("written {number}"));
    }
}

/// A test that, as a process of its own, is a member that writes until it is killed.
const WRITER: &str = "snapshot::a_kill_at_any_moment_loses_nothing_that_was_reported_as_written";

#[test]
fn a_second_process_with_the_same_snapshot_is_refused_until_the_first_is_killed() {
    let directory = Directory::new();
    let file = directory.file("a");
    let mut child = process(WRITER, &file, "");
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while last_number(&text, "written ").is_none() {
        assert!(lines.read_line(&mut text).unwrap() > 0, "it ended by itself: {text}");
    }
    let error = Member::create(config("a").snapshot(&file)).unwrap_err();
    assert!(matches!(error, Error::Config { field: "snapshot", .. }), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(read_state(&start_with_state(&file)).is_some());
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_reported_as_written() {
    if let Some(file) = env::var_os(FILE) {
        return write_until_killed(file.as_ref());
    }
    println!("{}", run_alone(WRITER, kill_writers));
}

/// Starts it again and again, and kills it at random moments.
fn kill_writers() {
    let kills = env::var(KILLS).map_or(KILLS_DEFAULT, |kills| kills.parse().unwrap());
    let directory = Directory::new();
    let mut rng = ChaCha12Rng::seed_from_u64(6);
    let (mut reported, mut generation, mut starts, mut wrote) = (0, 0, 0, 0);
    for kill in 0..kills {
        let mut child = process(WRITER, &directory.file("a"), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        // Every fourth is killed while it starts, the others while they write.
        let is_early = kill % 4 == 3;
        while !is_early && last_number(&text, "found ").is_none() {
            assert!(lines.read_line(&mut text).unwrap() > 0, "it ended by itself: {text}");
        }
        thread::sleep(Duration::from_micros(rng.random_range(0..40_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        lines.read_to_string(&mut text).unwrap();

        if let Some(found) = last_number(&text, "found ") {
            starts += 1;
            let run = last_number(&text, "generation ").unwrap();
            assert!(run > generation, "kill {kill}: {run} after {generation}");
            generation = run;
            assert!(found >= reported, "kill {kill}: {found} found, {reported} had been written");
            reported = found;
        }
        if let Some(written) = last_number(&text, "written ") {
            wrote += 1;
            assert!(written > reported);
            reported = written;
        }
        // A write that was killed leaves a file that nobody reads; nothing was ever broken.
        assert!(!directory.files().iter().any(|file| file.contains("set-aside")), "{:?}", directory.files());
    }
    assert!(starts > 0 && wrote > 0);
    say(&format!(
        "{kills} kills: {starts} starts read a snapshot, {wrote} wrote, {reported} writes were reported"
    ));
}

/// A disk that takes no byte more: what is written beyond the limit is an error, as on a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_counted_and_the_snapshot_before_it_stays() {
    const TEST: &str = "snapshot::a_full_disk_is_counted_and_the_snapshot_before_it_stays";
    if let Some(file) = env::var_os(FILE) {
        let member = start_with_state(file.as_ref());
        say(&format!("found {}", read_state(&member).unwrap()));
        write_state(&member, 8);
        assert!(matches!(member.save_snapshot(), Err(Error::Io { .. })));
        assert_eq!(member.metrics().snapshots_written, 0);
        say(&format!("errors {}", member.metrics().snapshot_errors));
        return;
    }
    let directory = Directory::new();
    let file = directory.file("a");
    let member = start_with_state(&file);
    write_state(&member, 7);
    member.save_snapshot().unwrap();
    drop(member);
    let before = fs::read(&file).unwrap();

    let output = process(TEST, &file, "trap '' XFSZ; ulimit -f 1;").wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(last_number(&text, "found "), Some(7), "{text}");
    assert!(last_number(&text, "errors ").is_some_and(|errors| errors >= 2), "{text}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(directory.files(), ["a", "a.lock"]);
}

/// With no descriptor left the file could not be opened, was set aside as if it were broken, and the next run began
/// with nothing.
#[cfg(target_os = "linux")]
#[test]
fn a_start_without_descriptors_leaves_a_good_file_where_it_is() {
    const TEST: &str = "snapshot::a_start_without_descriptors_leaves_a_good_file_where_it_is";
    if let Some(file) = env::var_os(FILE) {
        let mut failed = 0;
        for spare in 0..12 {
            // More than the process may have.
            let mut held: Vec<fs::File> = (0..100).map_while(|_| fs::File::open("/dev/null").ok()).collect();
            held.truncate(held.len() - spare);
            failed += u32::from(matches!(Member::create(with_state(file.as_ref())), Err(Error::Io { .. })));
        }
        say(&format!("failed {failed}"));
        assert_eq!(read_state(&start_with_state(file.as_ref())), Some(7));
        return;
    }
    let directory = Directory::new();
    let file = directory.file("a");
    let member = start_with_state(&file);
    write_state(&member, 7);
    drop(member);

    let output = process(TEST, &file, "ulimit -n 64;").wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(last_number(&text, "failed ").is_some_and(|failed| failed > 0), "{text}");
    assert_eq!(directory.files(), ["a", "a.lock"]);
}
