//! The places for connections of one direction: a bounded number, and who gives way when there are more.
//!
//! The plain rule, least recently used first, would let a stranger who connects without end push out everybody. So:
//!
//! 1. A connection that has carried nothing yet is *unproven*. These hold at most a quarter of the places when
//!    the places are all taken: if there are more, the oldest of them gives way.
//! 2. Else, of the host that has most connections, the least recently used one gives way. A host that floods us with
//!    connections that do carry something pushes out its own.
//!
//! A connection that gives way is woken, and its thread ends by itself a moment later. Threads that are on their way
//! out are bounded by the same number; when there are so many, nobody new comes in: the acceptor waits, and a
//! datagram that would need a new connection is lost.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Of so many places one is for the unproven.
const UNPROVEN_SHARE: usize = 4;

/// What holds a place.
pub(super) trait Kept {
    /// Its connection.
    fn connection(&self) -> &Connection;

    /// Wakes its thread and makes it end.
    fn end(&self) {
        self.connection().shut();
    }
}

/// A connection as the others see it: who is at the other end, and a way to end it.
#[derive(Debug)]
pub(super) struct Connection {
    peer: SocketAddr,
    is_proven: AtomicBool,
    /// When it was used: a number that grows with each use of any.
    used: AtomicU64,
    stream: Mutex<Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    open: Option<Arc<TcpStream>>,
    is_shut: bool,
}

impl Connection {
    /// An unproven one, without a stream. `peer` is where it leads to, or comes from.
    pub(super) fn new(peer: SocketAddr) -> Self {
        Self { peer, is_proven: AtomicBool::new(false), used: AtomicU64::new(0), stream: Mutex::default() }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn is_proven(&self) -> bool {
        self.is_proven.load(Ordering::Relaxed)
    }

    pub(super) fn set_proven(&self, is_proven: bool) {
        self.is_proven.store(is_proven, Ordering::Relaxed);
    }

    /// Takes the stream, before anything blocks on it, in place of an earlier one. An error says that the connection
    /// is to end.
    pub(super) fn hold(&self, stream: &Arc<TcpStream>) -> io::Result<()> {
        let mut held = self.stream();
        if held.is_shut {
            return Err(io::ErrorKind::NotConnected.into());
        }
        held.open = Some(Arc::clone(stream));
        Ok(())
    }

    /// Lets the stream go, which its thread has given up.
    pub(super) fn let_go(&self) {
        self.stream().open = None;
    }

    /// Wakes whoever blocks on the stream, and keeps later ones from it.
    pub(super) fn shut(&self) {
        let mut held = self.stream();
        held.is_shut = true;
        if let Some(stream) = held.open.take() {
            // One that is not connected, or not any more, has nobody to be told.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places.
#[derive(Debug)]
pub(super) struct Places<C> {
    table: Mutex<Table<C>>,
    max: usize,
    uses: AtomicU64,
}

#[derive(Debug)]
struct Table<C> {
    held: Vec<(Arc<C>, JoinHandle<()>)>,
    /// Threads of connections that have lost their place.
    leaving: Vec<JoinHandle<()>>,
    is_closed: bool,
}

impl<C: Kept> Places<C> {
    pub(super) fn new(max: usize) -> Self {
        let table = Table { held: Vec::new(), leaving: Vec::new(), is_closed: false };
        Self { table: Mutex::new(table), max, uses: AtomicU64::new(0) }
    }

    /// Gives a connection a place, and has its thread started. An error says that there is no place to be had.
    pub(super) fn enter(
        &self,
        newcomer: C,
        start: impl FnOnce(Arc<C>) -> io::Result<JoinHandle<()>>,
    ) -> io::Result<()> {
        self.note_use(&newcomer);
        let (_, victim) = self.table().enter(self.max, newcomer, start)?;
        if let Some(victim) = victim {
            victim.end();
        }
        Ok(())
    }

    /// The connection to this peer.
    pub(super) fn find(&self, peer: SocketAddr) -> Option<Arc<C>> {
        self.table().find(peer)
    }

    /// The same. If there is none, one is made and [enters](Self::enter).
    pub(super) fn find_or_enter(
        &self,
        peer: SocketAddr,
        make: impl FnOnce() -> C,
        start: impl FnOnce(Arc<C>) -> io::Result<JoinHandle<()>>,
    ) -> io::Result<Arc<C>> {
        let mut table = self.table();
        if let Some(found) = table.find(peer) {
            self.note_use(&found);
            return Ok(found);
        }
        let newcomer = make();
        self.note_use(&newcomer);
        let (entered, victim) = table.enter(self.max, newcomer, start)?;
        drop(table);
        if let Some(victim) = victim {
            victim.end();
        }
        Ok(entered)
    }

    /// Waits until threads that are on their way out make room for another one. For directions whose threads end at
    /// once.
    pub(super) fn wait_for_room(&self) {
        loop {
            let mut table = self.table();
            table.join_ended();
            if table.leaving.len() < self.max {
                return;
            }
            let oldest = table.leaving.remove(0);
            // It needs the lock to end.
            drop(table);
            join(oldest);
        }
    }

    /// Notes that a connection is used.
    pub(super) fn note_use(&self, kept: &C) {
        let now = self.uses.fetch_add(1, Ordering::Relaxed);
        kept.connection().used.store(now, Ordering::Relaxed);
    }

    /// Takes the place of a connection that ends by itself.
    pub(super) fn release(&self, kept: &Arc<C>) {
        let mut table = self.table();
        if let Some(index) = table.held.iter().position(|(held, _)| Arc::ptr_eq(held, kept)) {
            let (_, thread) = table.held.swap_remove(index);
            table.leaving.push(thread);
        }
    }

    /// Lets nobody in any more, and does this to all who are there.
    pub(super) fn close(&self, each: impl Fn(&C)) {
        let held: Vec<Arc<C>> = {
            let mut table = self.table();
            table.is_closed = true;
            table.held.iter().map(|(held, _)| Arc::clone(held)).collect()
        };
        held.iter().for_each(|held| each(held));
    }

    /// Whether all threads have ended.
    pub(super) fn are_through(&self) -> bool {
        let table = self.table();
        table.held.iter().map(|(_, thread)| thread).chain(&table.leaving).all(JoinHandle::is_finished)
    }

    /// Joins the threads that have ended.
    pub(super) fn join(&self) {
        let threads: Vec<JoinHandle<()>> = {
            let mut table = self.table();
            let held = mem::take(&mut table.held);
            held.into_iter().map(|(_, thread)| thread).chain(mem::take(&mut table.leaving)).collect()
        };
        threads.into_iter().filter(JoinHandle::is_finished).for_each(join);
    }

    fn table(&self) -> MutexGuard<'_, Table<C>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Kept> Table<C> {
    /// Who has to give way for the newcomer is told, to be ended without the lock.
    fn enter(
        &mut self,
        max: usize,
        newcomer: C,
        start: impl FnOnce(Arc<C>) -> io::Result<JoinHandle<()>>,
    ) -> io::Result<(Arc<C>, Option<Arc<C>>)> {
        self.join_ended();
        if self.is_closed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if self.leaving.len() >= max {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let newcomer = Arc::new(newcomer);
        // Its thread may end at once: it finds its place when the lock is free.
        let thread = start(Arc::clone(&newcomer))?;
        let victim = (self.held.len() >= max).then(|| self.victim(max)).flatten().map(|index| {
            let (victim, thread) = self.held.swap_remove(index);
            self.leaving.push(thread);
            victim
        });
        self.held.push((Arc::clone(&newcomer), thread));
        Ok((newcomer, victim))
    }

    fn find(&self, peer: SocketAddr) -> Option<Arc<C>> {
        let found = self.held.iter().find(|(held, _)| held.connection().peer == peer);
        found.map(|(held, _)| Arc::clone(held))
    }

    fn join_ended(&mut self) {
        self.leaving.extract_if(.., |thread| thread.is_finished()).for_each(join);
    }

    /// Who gives way.
    fn victim(&self, max: usize) -> Option<usize> {
        let connections = || self.held.iter().map(|(held, _)| held.connection()).enumerate();
        let unproven = connections().filter(|(_, connection)| !connection.is_proven()).count();
        let give_way_proven = unproven < (max / UNPROVEN_SHARE).max(1);

        let mut crowds: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, connection) in connections() {
            *crowds.entry(connection.peer.ip()).or_default() += 1;
        }
        let order = |connection: &Connection| {
            let crowd = if give_way_proven { crowds.get(&connection.peer.ip()) } else { None };
            (Reverse(crowd.copied()), connection.used.load(Ordering::Relaxed))
        };
        let candidates = connections().filter(|(_, connection)| connection.is_proven() == give_way_proven);
        candidates.min_by_key(|(_, connection)| order(connection)).map(|(index, _)| index)
    }
}

fn join(thread: JoinHandle<()>) {
    // Its panic has been told.
    let _ = thread.join();
}
