//! A small sharded cache: who is in the cluster decides which node holds which key, and nothing else does.
//!
//!     cargo run --example shards
//!
//! Each shard is a process that serves keys over blocking TCP, and says in its state where. A key lives on the two
//! shards that score highest for it (rendezvous hashing: Thaler and Ravishankar, 1998). So everybody who sees the
//! same nodes finds the same two, and when a shard comes or goes no keys move but its own.
//!
//! Four shards start, a client stores some keys, a fifth shard comes, one is killed. Each time the shards move what
//! has to move and say in their state that they are done. It ends by itself; the exit code tells whether each key was
//! found all the time, lived where it belongs in the end, and nothing else was moved.
//!
//! It is a cache: a key that is written at the very moment it moves may be missed, and a copy that came too late for
//! one placement stays until the next.

#![expect(clippy::print_stdout, reason = "it tells a story")]

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::env;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio, exit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use headcount::crossbeam_channel::RecvTimeoutError;
use headcount::{Config, Member, Nodes};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

const KEYS: usize = 400;
/// So a crash loses nothing, unless a second one comes before the first is known and its keys are copied.
const COPIES: usize = 2;
/// Each serves one request at a time.
const WORKERS: usize = 4;

/// Under this key of its state a shard says where it serves.
const SERVES: &str = "serves";
/// Under this one, by which placement it has moved its keys.
const SETTLED: &str = "settled";

/// For each step of a request between two hosts.
const TCP_TIMEOUT: Duration = Duration::from_millis(500);
/// What could not be moved is tried again after this time.
const RETRY: Duration = Duration::from_millis(200);
/// How long each part of the story may take. A crash is detected within a few seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest request or answer, in bytes.
const MESSAGE_MAX: u64 = 64 * 1024;

fn main() -> AnyResult<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [] => run_story(),
        [name, seed] => run_shard(name, seed),
        _ => Err("usage: shards, for the story; shards NAME SEED, for one shard until its input ends".into()),
    }
}

// ---- Where keys live ----

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shard {
    name: String,
    addr: SocketAddr,
}

/// The shards that somebody sees: all that is needed to find a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Placement(Vec<Shard>);

impl Placement {
    /// Nodes that do not say where they serve are no shards: the client is none.
    fn by(nodes: &Nodes) -> Self {
        let shards = nodes.iter().filter_map(|node| {
            let addr = node.text(SERVES)?.parse().ok()?;
            Some(Shard { name: node.name().to_owned(), addr })
        });
        Self(shards.collect())
    }

    /// The shards that hold a key, best first.
    fn owners(&self, key: &str) -> Vec<&Shard> {
        let mut ranked: Vec<&Shard> = self.0.iter().collect();
        ranked.sort_by_cached_key(|shard| Reverse(hash((&shard.name, key))));
        ranked.truncate(COPIES);
        ranked
    }

    /// Equal placements have equal ones.
    fn fingerprint(&self) -> String {
        format!("{:016x}", hash(&self.0))
    }
}

/// The same in all processes of one build, which is enough here. Builds of different compilers may differ: shards that
/// are upgraded one by one need a hash function of their own.
fn hash(what: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(what)
}

// ---- A shard ----

type Store = Arc<Mutex<HashMap<String, String>>>;

fn lock(store: &Store) -> MutexGuard<'_, HashMap<String, String>> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(store: &Store, request: &str) -> String {
    let words: Vec<&str> = request.split_whitespace().collect();
    match words[..] {
        ["put", key, value] => {
            lock(store).insert(key.to_owned(), value.to_owned());
            "stored".to_owned()
        }
        // From another shard, and maybe older than what a client has put here.
        ["copy", key, value] => {
            lock(store).entry(key.to_owned()).or_insert_with(|| value.to_owned());
            "stored".to_owned()
        }
        ["get", key] => lock(store).get(key).cloned().unwrap_or_default(),
        ["keys"] => lock(store).keys().cloned().collect::<Vec<_>>().join(" "),
        _ => "not understood".to_owned(),
    }
}

fn run_shard(name: &str, seed: &str) -> AnyResult<()> {
    let store = Store::default();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for _ in 0..WORKERS {
        let (listener, store) = (listener.try_clone()?, Arc::clone(&store));
        thread::spawn(move || {
            loop {
                // Who has asked sees that it failed, and may ask again.
                let _ = serve(&listener, &store);
            }
        });
    }
    // It runs until its input ends: so it does not outlive the story, which holds the other end.
    thread::spawn(|| {
        let _ = io::stdin().read_line(&mut String::new());
        exit(0);
    });

    let member = Member::create(Config::local().name(name).bind("127.0.0.1:0"))?;
    let events = member.events();
    member.set(SERVES, listener.local_addr()?.to_string())?;
    member.join(seed)?;

    let mut settled = Placement::default();
    loop {
        let placement = Placement::by(&member.nodes());
        if placement != settled && move_keys(&store, name, &settled, &placement).is_ok() {
            member.set(SETTLED, placement.fingerprint())?;
            settled = placement;
        }
        // Whatever has happened, the view shows it.
        if events.recv_timeout(RETRY) == Err(RecvTimeoutError::Disconnected) {
            return Err("the member has ended".into());
        }
    }
}

/// Waits for a request and answers it.
fn serve(listener: &TcpListener, store: &Store) -> io::Result<()> {
    let (stream, _) = listener.accept()?;
    let request = receive(&stream)?;
    send(&stream, &answer(store, &request))
}

/// A request has a connection of its own: that is short to write, and no idle connection keeps a worker busy.
fn ask(addr: SocketAddr, request: &str) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&addr, TCP_TIMEOUT)?;
    send(&stream, request)?;
    receive(&stream)
}

fn send(mut stream: &TcpStream, message: &str) -> io::Result<()> {
    stream.set_write_timeout(Some(TCP_TIMEOUT))?;
    stream.write_all(format!("{message}\n").as_bytes())
}

/// A message is a line; without its end it is half a message.
fn receive(stream: &TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(TCP_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(stream).take(MESSAGE_MAX).read_line(&mut line)?;
    line.strip_suffix('\n').map(str::to_owned).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Copies each key to the shards that are to hold it from now on, and lets go of those that live elsewhere. After an
/// error some are still where they were.
fn move_keys(store: &Store, me: &str, before: &Placement, now: &Placement) -> io::Result<()> {
    let held: Vec<(String, String)> = lock(store).clone().into_iter().collect();
    for (key, value) in held {
        let (had, have) = (before.owners(&key), now.owners(&key));
        let is_ours = have.iter().any(|shard| shard.name == me);
        // Who keeps a key brings it to who is new. Who lets it go makes sure of all.
        for shard in have.iter().filter(|shard| shard.name != me && !(is_ours && had.contains(shard))) {
            ask(shard.addr, &format!("copy {key} {value}"))?;
        }
        // A client that does not know the new placement yet may have put another value here meanwhile.
        let mut store = lock(store);
        if !is_ours && store.get(&key) == Some(&value) {
            store.remove(&key);
        }
    }
    Ok(())
}

// ---- The story ----

/// A key, and the name of a shard that holds it.
type Held = (String, String);
type Copies = BTreeSet<Held>;

fn run_story() -> AnyResult<()> {
    // A member that is no shard. It finds the keys by the same rule as they.
    let client = Member::create(Config::local().name("client").bind("127.0.0.1:0"))?;
    // They end with this process, whose end closes their input.
    let start = |name: &str| {
        let seed = client.addr().to_string();
        Command::new(env::current_exe()?).args([name, &seed]).stdin(Stdio::piped()).spawn()
    };
    let _others = [start("ann")?, start("cleo")?, start("dan")?];
    let mut bob = start("bob")?;
    wait_until_settled(&client, 4)?;
    put_all(&client)?;
    let four = check(&client, "ann, bob, cleo and dan run, and the keys are stored")?;

    let _eve = start("eve")?;
    wait_until_settled(&client, 5)?;
    let five = check(&client, "eve has come")?;
    expect_moved(&four, &five, |(_, shard)| shard == "eve")?;

    bob.kill()?;
    bob.wait()?;
    find_all(&client)?;
    println!("bob is killed, and all keys are found nevertheless");
    wait_until_settled(&client, 4)?;
    let rest = check(&client, "bob is known to be gone")?;
    expect_moved(&five, &rest, |(key, _)| five.contains(&(key.clone(), "bob".to_owned())))?;
    println!("all went as it should");
    Ok(())
}

/// Fails if there is a copy that was not there before and need not have been made.
fn expect_moved(before: &Copies, after: &Copies, is_needed: impl Fn(&Held) -> bool) -> AnyResult<()> {
    let new: Vec<_> = after.difference(before).collect();
    println!("    {} of {} copies are new; a fifth is {}", new.len(), after.len(), after.len() / 5);
    if new.into_iter().all(is_needed) { Ok(()) } else { Err("a key was copied for nothing".into()) }
}

fn entries() -> impl Iterator<Item = (String, String)> {
    (0..KEYS).map(|n| (format!("key-{n}"), format!("value-{n}")))
}

/// Waits until so many shards have moved their keys by the placement that is seen here.
fn wait_until_settled(client: &Member, count: usize) -> headcount::Result<Nodes> {
    client.wait_until(PATIENCE, |nodes| {
        let placement = Placement::by(nodes);
        let fingerprint = placement.fingerprint();
        let settled = nodes.iter().filter(|node| node.text(SETTLED) == Some(&fingerprint));
        placement.0.len() == count && settled.count() == count
    })
}

fn put_all(client: &Member) -> io::Result<()> {
    let placement = Placement::by(&client.nodes());
    for (key, value) in entries() {
        for shard in placement.owners(&key) {
            ask(shard.addr, &format!("put {key} {value}"))?;
        }
    }
    Ok(())
}

/// Fails if a key can not be found. Whoever does not answer, or does not have it, is passed over.
fn find_all(client: &Member) -> AnyResult<()> {
    let placement = Placement::by(&client.nodes());
    for (key, value) in entries() {
        let request = format!("get {key}");
        let has_it = |shard: &&Shard| ask(shard.addr, &request).is_ok_and(|found| found == value);
        placement.owners(&key).into_iter().find(has_it).ok_or_else(|| format!("{key} is lost"))?;
    }
    Ok(())
}

/// Fails if a key can not be found, or if one is not where it belongs, or somewhere else as well.
fn check(client: &Member, what: &str) -> AnyResult<Copies> {
    find_all(client)?;
    println!("{what}");
    let placement = Placement::by(&client.nodes());
    let mut copies = Copies::new();
    for Shard { name, addr } in &placement.0 {
        let answer = ask(*addr, "keys")?;
        let keys: Vec<&str> = answer.split_whitespace().collect();
        println!("    {name:<4} holds {} keys", keys.len());
        copies.extend(keys.iter().map(|key| ((*key).to_owned(), name.clone())));
    }
    let mut expected = Copies::new();
    for (key, _) in entries() {
        expected.extend(placement.owners(&key).iter().map(|shard| (key.clone(), shard.name.clone())));
    }
    if copies == expected { Ok(copies) } else { Err("keys are not where they belong".into()) }
}
