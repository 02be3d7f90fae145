//! A network inside the process.
//!
//! Tests of a program want the real thing (its members, with their threads and its listeners) and yet a network that
//! loses and delays as they say. Here it is a table of inboxes under one lock. There is no thread: a datagram is put
//! into the inbox at once with the moment at which it is due, and the receiver that waits there sleeps until the
//! earliest one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::{Open, RECEIVE_MAX, Transport, Wanted};

/// What port 0 becomes: the range that systems use, too.
const FREE_PORTS: Range<u16> = 49_152..u16::MAX;

/// What a datagram costs in a receive buffer, beside its bytes.
const OVERHEAD: usize = 64;

/// A network in memory, for tests: members that are given clones of it hear each other, and nobody else.
///
/// It behaves like one host with UDP. Any address can be bound, and is free again when its member has ended; a
/// wildcard receives what is sent to its port at any address, and is seen at the one it was sent to. What is sent to
/// an address that nobody has bound is lost. So is what comes when the receive buffer is full.
///
/// It loses and delays nothing at first. Both are drawn from the seed: the same datagrams, sent in the same order,
/// have the same fate. Threads send in an order of their own, so a run with members is not replayed by its seed; for
/// that there is the [simulator](crate::sim).
///
/// ```
/// use std::time::Duration;
/// use headcount::transport::Memory;
/// use headcount::{Config, Member};
///
/// let network = Memory::new(42);
/// network.loss(0.05);
/// network.delay(Duration::from_millis(1)..Duration::from_millis(5));
/// let a = Member::create(Config::local().name("a").bind("10.0.0.1:7990").transport(network.clone()))?;
/// let b = Member::create(Config::local().name("b").bind("10.0.0.2:7990").transport(network.clone()))?;
/// b.join(a.addr())?;
/// assert_eq!(b.nodes().len(), 2);
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Memory {
    network: Arc<Mutex<Network>>,
}

#[derive(Debug)]
struct Network {
    loss: f64,
    delay: Range<Duration>,
    rng: ChaCha12Rng,
    inboxes: BTreeMap<SocketAddr, Arc<Inbox>>,
    next_port: u16,
}

impl Memory {
    /// A network without loss and delay.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let network = Network {
            loss: 0.0,
            delay: Duration::ZERO..Duration::ZERO,
            rng: ChaCha12Rng::seed_from_u64(seed),
            inboxes: BTreeMap::new(),
            next_port: FREE_PORTS.start,
        };
        Self { network: Arc::new(Mutex::new(network)) }
    }

    /// The share of datagrams that is lost from here on, 0 to 1.
    pub fn loss(&self, share: f64) {
        self.network().loss = share;
    }

    /// How long datagrams take from here on: evenly drawn from this range. Where it is not empty, they overtake each
    /// other.
    pub fn delay(&self, delay: Range<Duration>) {
        self.network().delay = delay;
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open for Memory {
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Transport>> {
        let mut network = self.network();
        let local = network.free_address(wanted.bind)?;
        let inbox = Arc::new(Inbox::new(wanted.receive_buffer));
        network.inboxes.insert(local, Arc::clone(&inbox));
        drop(network);
        Ok(Box::new(Endpoint { memory: self.clone(), local, inbox }))
    }
}

impl Network {
    /// The address to bind, with a real port.
    fn free_address(&mut self, wanted: SocketAddr) -> io::Result<SocketAddr> {
        if wanted.port() != 0 {
            return if self.is_taken(wanted) { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(wanted) };
        }
        for _ in FREE_PORTS {
            let port = self.next_port;
            self.next_port = if port + 1 < FREE_PORTS.end { port + 1 } else { FREE_PORTS.start };
            let addr = SocketAddr::new(wanted.ip(), port);
            if !self.is_taken(addr) {
                return Ok(addr);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn is_taken(&self, addr: SocketAddr) -> bool {
        let overlaps = |bound: &SocketAddr| covers(*bound, addr.ip()) || covers(addr, bound.ip());
        self.inboxes.keys().any(|bound| bound.port() == addr.port() && overlaps(bound))
    }

    /// Whose inbox an address leads to: that of the address itself, or of a wildcard.
    fn inbox(&self, to: SocketAddr) -> Option<&Arc<Inbox>> {
        let exact = self.inboxes.get(&to);
        exact.or_else(|| {
            let mut candidates = self.inboxes.iter();
            let found = candidates.find(|(bound, _)| bound.port() == to.port() && covers(**bound, to.ip()));
            found.map(|(_, inbox)| inbox)
        })
    }

    /// How long the next datagram takes, or that it is lost.
    fn draw(&mut self) -> Option<Duration> {
        if self.rng.random::<f64>() < self.loss {
            return None;
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (least, most) = (micros(self.delay.start), micros(self.delay.end));
        let drawn = if least < most { self.rng.random_range(least..most) } else { least };
        Some(Duration::from_micros(drawn))
    }
}

/// Whether what is bound here receives what is sent to this IP address. `[::]` is for IPv4 as well.
fn covers(bound: SocketAddr, ip: IpAddr) -> bool {
    bound.ip() == ip || bound.ip().is_unspecified() && (bound.is_ipv6() || ip.is_ipv4())
}

/// A bound address.
#[derive(Debug)]
struct Endpoint {
    memory: Memory,
    local: SocketAddr,
    inbox: Arc<Inbox>,
}

impl Transport for Endpoint {
    fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let datagram = self.inbox.take()?;
        let len = datagram.bytes.len();
        buf.get_mut(..len).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(&datagram.bytes);
        Ok((len, datagram.from))
    }

    fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        if datagram.len() > self.max_datagram() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // The host has every address: a wildcard answers from the one that it is asked at.
        let ip = if self.local.ip().is_unspecified() { to.ip() } else { self.local.ip() };
        let from = SocketAddr::new(ip, self.local.port());
        let mut network = self.memory.network();
        // Drawn for each datagram, so that the fate of one does not depend on who else is there.
        let delay = network.draw();
        let inbox = network.inbox(to).cloned();
        drop(network);
        if let (Some(delay), Some(inbox)) = (delay, inbox) {
            inbox.put(Instant::now() + delay, from, datagram);
        }
        Ok(())
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn max_datagram(&self) -> usize {
        RECEIVE_MAX
    }

    fn close(&self) {
        self.inbox.close();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.memory.network().inboxes.remove(&self.local);
    }
}

/// What is on its way to one address.
#[derive(Debug)]
struct Inbox {
    contents: Mutex<Contents>,
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Contents {
    /// The earliest one on top.
    datagrams: BinaryHeap<Reverse<Datagram>>,
    bytes: usize,
    /// How many have come: what is due at the same moment stays in order.
    count: u64,
    is_closed: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Datagram {
    due: Instant,
    number: u64,
    from: SocketAddr,
    bytes: Vec<u8>,
}

impl Inbox {
    fn new(bytes_max: usize) -> Self {
        Self { contents: Mutex::default(), changed: Condvar::new(), bytes_max }
    }

    /// Adds a datagram, if there is room.
    fn put(&self, due: Instant, from: SocketAddr, bytes: &[u8]) {
        let mut contents = self.contents();
        let cost = bytes.len() + OVERHEAD;
        if contents.is_closed || contents.bytes + cost > self.bytes_max {
            return;
        }
        contents.bytes += cost;
        contents.count += 1;
        let number = contents.count;
        contents.datagrams.push(Reverse(Datagram { due, number, from, bytes: bytes.to_vec() }));
        drop(contents);
        self.changed.notify_one();
    }

    /// Waits for the next datagram that is due.
    fn take(&self) -> io::Result<Datagram> {
        let mut contents = self.contents();
        loop {
            if contents.is_closed {
                return Err(io::ErrorKind::NotConnected.into());
            }
            let now = Instant::now();
            let due = contents.datagrams.peek().map(|Reverse(datagram)| datagram.due);
            contents = match due {
                Some(due) if due <= now => {
                    if let Some(Reverse(datagram)) = contents.datagrams.pop() {
                        contents.bytes -= datagram.bytes.len() + OVERHEAD;
                        return Ok(datagram);
                    }
                    contents
                }
                Some(due) => {
                    let waited = self.changed.wait_timeout(contents, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(contents).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn close(&self) {
        self.contents().is_closed = true;
        self.changed.notify_all();
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
