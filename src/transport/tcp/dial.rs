//! The way out: one connection, one outbox and one thread for each address that is sent to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::places::{Connection, Kept};
use super::{MAGIC, Shared, WRITER, keepalive, spawn};
use crate::transport::queue::Queue;

/// What may wait for one peer, in bytes.
const OUTBOX: usize = 512 * 1024;

/// How long a connection without a datagram is kept: longer than a round of probes among a hundred nodes takes.
const IDLE: Duration = Duration::from_secs(120);
/// The same, for a thread that has no connection.
const IDLE_UNCONNECTED: Duration = Duration::from_secs(5);

/// Long enough for a first packet that is lost: systems repeat it after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a first failure, and the longest one.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A peer that lets us wait so long for room does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that does not acknowledge for so long is cut off. A new connection gets through sooner when the cut is
/// over than the next repetition on the old one, for which systems wait ever longer.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(3);

/// What leads to one address.
#[derive(Debug)]
pub(super) struct Dialled {
    connection: Connection,
    outbox: Queue<Vec<u8>>,
    /// It has connected to us: it is there, whatever our last attempt said.
    is_back: AtomicBool,
}

impl Dialled {
    fn new(to: SocketAddr) -> Self {
        Self { connection: Connection::new(to), outbox: Queue::new(OUTBOX), is_back: AtomicBool::new(false) }
    }

    /// Ends the pause after failures to connect.
    pub(super) fn note_back(&self) {
        self.is_back.store(true, Ordering::Relaxed);
    }

    /// Lets the thread write what it has, if it is connected, and end.
    pub(super) fn finish(&self) {
        self.outbox.close();
        if !self.connection.is_proven() {
            self.connection.shut();
        }
    }
}

impl Kept for Dialled {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn end(&self) {
        self.outbox.close();
        self.outbox.clear();
        self.connection.shut();
    }
}

/// Queues a datagram for the thread that writes to this address.
pub(super) fn send(shared: &Arc<Shared>, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
    let len = u16::try_from(datagram.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let is_other_family = shared.local.is_ipv4() != to.is_ipv4();
    if is_other_family && !(shared.local.is_ipv6() && shared.local.ip().is_unspecified()) {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    let mut frame = Vec::with_capacity(size_of::<u16>() + datagram.len());
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(datagram);

    // A second time, if the first outbox has just been closed because it was idle.
    for _ in 0..2 {
        let bytes = frame.len();
        let start = |link| spawn(shared, WRITER, move |shared| run(shared, &link));
        let link = shared.dialled.find_or_enter(to, || Dialled::new(to), start)?;
        match link.outbox.push(frame, bytes) {
            Ok(0) => return Ok(()),
            // Older ones are lost.
            Ok(_) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(refused) => frame = refused,
        }
        shared.dialled.release(&link);
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// The life of a writer: connects when there is something to send, until there is nothing for long.
fn run(shared: &Arc<Shared>, link: &Arc<Dialled>) {
    let mut stream: Option<Arc<TcpStream>> = None;
    let mut backoff = Backoff::default();
    loop {
        let patience = if stream.is_some() { IDLE } else { IDLE_UNCONNECTED };
        let Some(frame) = link.outbox.pop_or_close(patience) else {
            break;
        };
        if stream.as_deref().is_some_and(is_over) {
            stream = None;
        }
        if link.is_back.swap(false, Ordering::Relaxed) {
            backoff = Backoff::default();
        }
        let result = match &stream {
            Some(stream) => write(stream, &frame),
            None if backoff.is_on() => continue,
            None => dial(shared, link).and_then(|dialled| {
                backoff = Backoff::default();
                write(stream.insert(dialled), &frame)
            }),
        };
        if let Err(error) = result {
            log::debug!("TCP to {}: {error}", link.connection.peer());
            if stream.is_none() {
                backoff.fail();
                link.outbox.clear();
            }
            stream = None;
        }
        if stream.is_none() {
            link.connection.let_go();
        }
        link.connection.set_proven(stream.is_some());
    }
    link.connection.let_go();
    shared.dialled.release(link);
}

/// Connects, and says where we listen.
fn dial(shared: &Shared, link: &Dialled) -> io::Result<Arc<TcpStream>> {
    let to = link.connection.peer();
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if !shared.local.ip().is_unspecified() {
        // The port that it gets may be one at which a member is about to start anew: then it yields.
        if cfg!(unix) {
            socket.set_reuse_address(true)?;
        }
        let mut source = shared.local;
        source.set_port(0);
        socket.bind(&source.into())?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(ACKNOWLEDGE_TIMEOUT))?;

    let stream = Arc::new(TcpStream::from(socket));
    // From here on it can be ended, also while it connects.
    link.connection.hold(&stream)?;
    SockRef::from(&*stream).connect_timeout(&to.into(), CONNECT_TIMEOUT)?;
    if stream.local_addr()? == to {
        // Nobody listens there, and the socket was given that very port: it has met itself.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    write(&stream, &[&MAGIC[..], &shared.told_port.to_be_bytes()].concat())?;
    Ok(stream)
}

/// Whether the peer has closed the connection. It never writes, so there is nothing to read but the end.
fn is_over(stream: &TcpStream) -> bool {
    let read = stream.set_nonblocking(true).and_then(|()| {
        let mut stream = stream;
        stream.read(&mut [0])
    });
    let is_open = matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    !is_open || stream.set_nonblocking(false).is_err()
}

fn write(mut stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let deadline = Instant::now() + WRITE_TIMEOUT;
    loop {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if deadline <= Instant::now() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// The pause after failures to connect.
#[derive(Debug, Default)]
struct Backoff {
    pause: Duration,
    until: Option<Instant>,
}

impl Backoff {
    fn is_on(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    fn fail(&mut self) {
        self.pause = (self.pause * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        self.until = Some(Instant::now() + self.pause);
    }
}
