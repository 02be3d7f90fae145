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

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Transport, canonical};

/// A send may wait this long for room in the send buffer; then its datagram is lost.
const SEND_TIMEOUT: Duration = Duration::from_millis(10);

/// Below this the receive buffer is not worth a system call.
const RECEIVE_BUFFER_MIN: usize = 64 * 1024;

const WAKES_BY_SHUTDOWN: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A UDP socket: IPv4, IPv6, or both when bound to `[::]`.
#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    local: SocketAddr,
    closed: AtomicBool,
}

impl Udp {
    /// Binds the socket and raises its receive buffer towards `receive_buffer` bytes, as far as the system
    /// lets.
    pub(crate) fn bind(addr: SocketAddr, receive_buffer: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() && addr.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        raise_receive_buffer(&socket, receive_buffer);
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        if !WAKES_BY_SHUTDOWN {
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        }
        socket.bind(&addr.into())?;

        let socket = UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok(Self { socket, local, closed: AtomicBool::new(false) })
    }

    /// The size of the receive buffer, in bytes, as the system tells it (Linux: twice what was asked, for its
    /// own bookkeeping).
    pub(crate) fn receive_buffer(&self) -> io::Result<usize> {
        SockRef::from(&self.socket).recv_buffer_size()
    }

    /// Waits until a datagram is there, on systems where `recv_from` must not be woken by `close`.
    fn wait(&self) -> io::Result<()> {
        if WAKES_BY_SHUTDOWN {
            self.socket.peek(&mut [])?;
        }
        Ok(())
    }

    fn check_open(&self) -> io::Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    fn wake_by_datagrams(&self) {
        let ip = match self.local.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        for _ in 0..3 {
            // A failure leaves the read timeout.
            let _ = self.socket.send_to(&[], SocketAddr::new(ip, self.local.port()));
        }
    }
}

impl Transport for Udp {
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
        loop {
            match self.socket.send_to(datagram, to) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(drop),
            }
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
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

/// Linux cuts a wish to what it allows; others refuse it, so it is halved until it is granted.
fn raise_receive_buffer(socket: &Socket, wanted: usize) {
    let present = socket.recv_buffer_size().unwrap_or(0);
    let mut size = wanted;
    while size >= RECEIVE_BUFFER_MIN && size > present {
        if socket.set_recv_buffer_size(size).is_ok() {
            return;
        }
        size /= 2;
    }
}
