//! UDP on a blocking socket.
//!
//! The standard library has no way to wake a thread that is blocked in a receive. Linux has:
//! `shutdown(SHUT_RD)` wakes it, and although it answers `ENOTCONN` for an unconnected socket, every later
//! receive returns at once. Elsewhere the socket sends itself a datagram, more than once because it may get
//! lost, and a read timeout of one second is the last resort.
//!
//! What `SHUT_RD` wakes gets zero bytes *and no source address*, and `UdpSocket::recv_from` (Rust 1.95) does
//! not expect that: it reads an address that was never written, and panics if what is there happens to look
//! like one. So on Linux it is `peek` that blocks, which asks for no address; `recv_from` is called only when
//! a datagram is there. That costs one more system call, 0.2 µs, a datagram.

use std::ffi::c_int;
use std::io;
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::{Open, Transport, UDP_MAX, WAKES_BY_SHUTDOWN, Wanted, canonical, from_this_host};

/// `MSG_DONTWAIT`: the call does not wait for room. Windows has no such flag; there a send waits this long at most.
const DO_NOT_WAIT: c_int = if cfg!(any(target_os = "linux", target_os = "android")) {
    0x40
} else if cfg!(unix) {
    0x80
} else {
    0
};
const SEND_TIMEOUT: Duration = Duration::from_millis(10);

/// Where `close` may fail to wake who waits, it looks this often.
const TICK: Duration = Duration::from_secs(1);

/// The send buffer, in bytes, as far as the system lets: room for a burst.
const SEND_BUFFER: usize = 1024 * 1024;

/// Below this a buffer is not worth a system call.
const BUFFER_MIN: usize = 64 * 1024;

/// Datagrams by UDP: the default.
///
/// IPv4, IPv6, or both when bound to `[::]`. Nothing has to be set: the address, the receive buffer and the size of
/// datagrams are those of the [`Config`](crate::Config).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Udp {}

impl Udp {
    /// UDP.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Open for Udp {
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Transport>> {
        let endpoint = Endpoint::bind(wanted.bind, wanted.receive_buffer)?;
        if let Ok(size) = endpoint.receive_buffer()
            && size < wanted.receive_buffer
        {
            log::debug!("the receive buffer has {size} bytes, {} were wanted", wanted.receive_buffer);
        }
        Ok(Box::new(endpoint))
    }
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Endpoint {
    socket: UdpSocket,
    local: SocketAddr,
    closed: AtomicBool,
}

impl Endpoint {
    /// Binds the socket and raises its receive buffer towards `receive_buffer` bytes, as far as the system
    /// lets.
    pub(super) fn bind(addr: SocketAddr, receive_buffer: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() && addr.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        let present = socket.recv_buffer_size().unwrap_or(0);
        raise_buffer(present, receive_buffer, |size| socket.set_recv_buffer_size(size));
        let present = socket.send_buffer_size().unwrap_or(0);
        raise_buffer(present, SEND_BUFFER, |size| socket.set_send_buffer_size(size));
        socket.bind(&addr.into())?;
        Self::of(socket.into())
    }

    /// A socket that is bound already.
    pub(crate) fn of(socket: UdpSocket) -> io::Result<Self> {
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        let local = socket.local_addr()?;
        let endpoint = Self { socket, local, closed: AtomicBool::new(false) };
        endpoint.set_patience(None)?;
        Ok(endpoint)
    }

    /// How long `recv` waits before it is a tick; none: as long as nothing comes.
    pub(crate) fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        let last_resort = (!WAKES_BY_SHUTDOWN).then_some(TICK);
        // Zero would be an error.
        let patience = patience.map(|patience| patience.max(Duration::from_millis(1)));
        self.socket.set_read_timeout(patience.or(last_resort))
    }

    /// The size of the receive buffer, in bytes, as the system tells it (Linux: twice what was asked, for its
    /// own bookkeeping).
    pub(super) fn receive_buffer(&self) -> io::Result<usize> {
        SockRef::from(&self.socket).recv_buffer_size()
    }

    /// Waits until a datagram is there, on systems where `recv_from` must not be woken by `close`.
    fn wait(&self) -> io::Result<()> {
        if WAKES_BY_SHUTDOWN {
            self.socket.peek(&mut [])?;
        }
        Ok(())
    }

    /// Whether it was told to close.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn check_open(&self) -> io::Result<()> {
        if self.is_closed() { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    fn wake_by_datagrams(&self) {
        for _ in 0..3 {
            // A failure leaves the read timeout.
            let _ = self.socket.send_to(&[], from_this_host(self.local));
        }
    }
}

impl Transport for Endpoint {
    fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let waited = self.wait();
        self.check_open()?;
        waited?;
        let received = self.socket.recv_from(buf);
        self.check_open()?;
        received.map(|(len, from)| (len, canonical(from)))
    }

    fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let to = match to {
            SocketAddr::V4(v4) if self.local.is_ipv6() => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            to => to,
        };
        let to = SockAddr::from(to);
        loop {
            match SockRef::from(&self.socket).send_to_with_flags(datagram, &to, DO_NOT_WAIT) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(drop),
            }
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn max_datagram(&self) -> usize {
        UDP_MAX
    }

    fn close(&self) {
        // Before the wake-up: whoever is woken sees it.
        self.closed.store(true, Ordering::SeqCst);
        if WAKES_BY_SHUTDOWN {
            // Answers ENOTCONN, and works.
            let _ = SockRef::from(&self.socket).shutdown(Shutdown::Read);
        } else {
            self.wake_by_datagrams();
        }
    }
}

/// Raises a buffer from its present size. Linux cuts a wish to what it allows; others refuse it, so it is halved until it
/// is granted.
fn raise_buffer(present: usize, wanted: usize, set: impl Fn(usize) -> io::Result<()>) {
    let mut size = wanted;
    while size >= BUFFER_MIN && size > present {
        if set(size).is_ok() {
            return;
        }
        size /= 2;
    }
}
