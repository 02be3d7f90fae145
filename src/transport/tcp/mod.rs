//! Datagrams over TCP, for networks that do not let UDP pass.
//!
//! A member connects to whom it sends to, keeps the connection for a while, and writes datagrams into it. What a
//! datagram is stays the same: it may get lost (a queue is full, a connection breaks), and nobody waits for it.
//!
//! ```text
//!  connection   = preamble, datagrams                      from the one that dials; nothing ever comes back
//!  preamble     = "headcT", version (0x01), 0x00, port     port: where the dialer listens, 2 bytes, big-endian
//!  datagram     = length, bytes                            length: 2 bytes, big-endian, 0 to 65,535
//! ```
//!
//! # One direction only
//!
//! A node is known by its address, so an accepted connection has to be given one: the IP address it comes from and
//! the port that the preamble tells. The IP address is true (there was a handshake). The port is a claim: any process
//! on that host, or behind that NAT, can tell the port of another. If answers went back over the accepted connection,
//! a liar would *receive* what is meant for the other, and the cookie by which the protocol checks addresses would
//! prove nothing. Therefore a member **writes only to connections that it has dialled, and reads only from those it
//! has accepted**. A frame to an address arrives at the process that listens there. A peer that declares a wrong port
//! is no better off than a forger of UDP source addresses: it can send, and hears nothing.
//!
//! A member whose port is mapped by a NAT declares the advertised port. If its connections come from another IP address
//! than the advertised one, both addresses have to lead to it: a member that admits it dials the advertised address,
//! and answers at the address that the hello came from.
//!
//! # Threads
//!
//! ```text
//!  send ─▶ outbox of the address ─▶ hc-tcp-write ══ connection ══▶ hc-tcp-read ─▶ inbox ─▶ recv
//!          oldest gives way          connects, writes              one for each    oldest gives way
//!                                                  hc-tcp-accept ──▶ accepted
//! ```
//!
//! Each connection has a thread of its own that may block, so nobody waits for a peer that is slow or silent. Each
//! direction keeps a [bounded number](places) of them.
//!
//! | what may take long | limit | then |
//! |---|---|---|
//! | connecting | 2 s | the datagrams that wait are lost, the next ones too for 50 ms, twice as long each time up to 1 s, or until the peer connects to us |
//! | writing a datagram | 1 s | the connection is closed; the next datagram dials again |
//! | data that is not acknowledged (Linux) | 3 s | likewise: else a cut of a minute would be felt for another one |
//! | a preamble | 5 s | the connection is closed |
//! | nothing to send | 2 min (5 s if not connected) | the connection and its thread end |
//! | nothing received | 5 min; a host that is gone is noticed after a minute | the connection and its thread end |

mod accept;
mod dial;
mod places;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use self::accept::Accepted;
use self::dial::Dialled;
use self::places::{Kept, Places};
use super::queue::Queue;
use super::{Open, RECEIVE_MAX, Transport, WAKES_BY_SHUTDOWN, Wanted, from_this_host};

const CONNECTIONS: RangeInclusive<usize> = 1..=1_024;

/// What a connection begins with, before the port.
const MAGIC: [u8; 8] = *b"headcT\x01\x00";

/// Connections that the system has made and the acceptor has not come to.
const BACKLOG: i32 = 128;

/// A connection on which nothing has come for so long is asked whether its host is still there, three times.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long the end waits for writers to write what they have, and then for all threads to end.
const END_STEP: Duration = Duration::from_millis(25);
const END_POLL: Duration = Duration::from_micros(100);

// Linux shows the first 15 bytes of a thread's name.
const ACCEPTOR: &str = "hc-tcp-accept";
const READER: &str = "hc-tcp-read";
const WRITER: &str = "hc-tcp-write";

/// Datagrams over TCP, for networks that do not let UDP pass.
///
/// A member listens at its address, connects to those it sends to, and keeps the connections for a while. It needs
/// more threads than UDP (one, and one for each connection, about two for each node in a small cluster), and where
/// packets are lost, those behind them are late: prefer UDP where it works.
///
/// Of connections, 64 are kept in each direction. When there are more, those of the host that has most of them give
/// way first, and of these the least recently used; connections that have not carried anything yet hold at most a
/// quarter of the places. So strangers who connect without end can not push out the members of the cluster.
///
/// ```
/// use headcount::transport::Tcp;
/// use headcount::{Config, Member};
///
/// let member = Member::create(Config::local().transport(Tcp::new().connections(128)))?;
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    connections: usize,
}

impl Tcp {
    /// TCP, with the usual number of connections.
    #[must_use]
    pub fn new() -> Self {
        Self { connections: 64 }
    }

    /// How many connections are kept in each direction: 1 to 1,024. Default: 64. Raised to the size of the cluster,
    /// fewer have to be made anew, and there are more threads: one for each.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self::new()
    }
}

impl Open for Tcp {
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Transport>> {
        if !CONNECTIONS.contains(&self.connections) {
            let (min, max) = (CONNECTIONS.start(), CONNECTIONS.end());
            let reason = format!("{} connections are not between {min} and {max}", self.connections);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        Ok(Box::new(Endpoint::listen(wanted, self.connections)?))
    }
}

/// A bound address, with its connections.
#[derive(Debug)]
pub(super) struct Endpoint {
    shared: Arc<Shared>,
    /// Held by nobody but this and the acceptor, so that the port is free when these two are gone.
    listener: Arc<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
}

/// What the threads of an endpoint share.
#[derive(Debug)]
struct Shared {
    local: SocketAddr,
    /// Where others are to send to.
    told_port: u16,
    /// Datagrams with their sources, and errors of the acceptor.
    inbox: Queue<io::Result<(SocketAddr, Vec<u8>)>>,
    accepted: Places<Accepted>,
    dialled: Places<Dialled>,
    is_closed: AtomicBool,
    has_panicked: AtomicBool,
}

impl Endpoint {
    fn listen(wanted: &Wanted, connections: usize) -> io::Result<Self> {
        let listener = listen(wanted.bind)?;
        let local = listener.local_addr()?;
        let shared = Arc::new(Shared {
            local,
            told_port: wanted.advertise.unwrap_or(local).port(),
            inbox: Queue::new(wanted.receive_buffer),
            accepted: Places::new(connections),
            dialled: Places::new(connections),
            is_closed: AtomicBool::new(false),
            has_panicked: AtomicBool::new(false),
        });
        let listener = Arc::new(listener);
        let acceptor = spawn(&shared, ACCEPTOR, {
            let listener = Arc::clone(&listener);
            move |shared| accept::run(shared, &listener)
        })?;
        Ok(Self { shared, listener, acceptor: Some(acceptor) })
    }

    /// Waits a little for the threads to end; whether they have.
    fn wait(&self) -> bool {
        let deadline = Instant::now() + END_STEP;
        loop {
            let is_through = self.acceptor.as_ref().is_none_or(JoinHandle::is_finished)
                && self.shared.accepted.are_through()
                && self.shared.dialled.are_through();
            if is_through || deadline <= Instant::now() {
                return is_through;
            }
            thread::sleep(END_POLL);
        }
    }
}

impl Transport for Endpoint {
    fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let Some(received) = self.shared.inbox.pop() else {
            assert!(
                !self.shared.has_panicked.load(Ordering::SeqCst),
                "a thread of the TCP transport panicked"
            );
            return Err(io::ErrorKind::NotConnected.into());
        };
        let (from, datagram) = received?;
        let len = datagram.len();
        buf.get_mut(..len).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(&datagram);
        Ok((len, from))
    }

    fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        dial::send(&self.shared, datagram, to)
    }

    fn local_addr(&self) -> SocketAddr {
        self.shared.local
    }

    fn max_datagram(&self) -> usize {
        RECEIVE_MAX
    }

    fn close(&self) {
        if self.shared.is_closed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.shared.inbox.close();
        self.shared.inbox.clear();
        if WAKES_BY_SHUTDOWN {
            // A failure would mean that it does not listen.
            let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Read);
        } else {
            // Wakes the acceptor. A failure would mean that it has enough to accept.
            let _ = TcpStream::connect_timeout(&from_this_host(self.shared.local), END_STEP);
        }
        self.shared.accepted.close(Kept::end);
        self.shared.dialled.close(Dialled::finish);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.close();
        if !self.wait() {
            self.shared.dialled.close(Kept::end);
            self.wait();
        }
        // Who is not through by now is connecting, on a system where that can not be ended: it holds nothing but
        // that socket, and ends by itself.
        if let Some(acceptor) = self.acceptor.take_if(|acceptor| acceptor.is_finished()) {
            // Its panic has been told.
            let _ = acceptor.join();
        }
        self.shared.accepted.join();
        self.shared.dialled.join();
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // Connections of the run before may still be fading away; they must not keep the port. (On Windows they do not,
    // and the option would mean something else.) When any port will do, one without them is better; then the option
    // is for the run after this one, to whom these connections are the past.
    if cfg!(unix) && addr.port() != 0 {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&addr.into())?;
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_INTERVAL)
}

/// Starts a thread. If it panics, so does the next `recv`, which ends the member.
fn spawn(
    shared: &Arc<Shared>,
    name: &str,
    body: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        if panic::catch_unwind(AssertUnwindSafe(|| body(&shared))).is_err() {
            shared.has_panicked.store(true, Ordering::SeqCst);
            shared.inbox.close();
        }
    })
}

#[cfg(test)]
mod tests;
