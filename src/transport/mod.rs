//! How datagrams travel: the [`Transport`] contract, and UDP, which is the default.
//!
//! A transport is one member's unreliable datagram path. It may lose, double and reorder datagrams; it must
//! not cut or merge them. It knows nothing of the protocol, and the protocol knows nothing of it.

mod udp;

use std::fmt;
use std::io;
use std::net::SocketAddr;

pub(crate) use udp::Udp;

/// The largest datagram that can arrive: what UDP's length field can say. Receive buffers have this size.
pub(crate) const RECEIVE_MAX: usize = 65_535;

/// One member's datagram path.
///
/// The receiver thread calls [`recv`](Self::recv) in a loop, any thread calls [`send`](Self::send), and the
/// thread that ends the member calls [`close`](Self::close) once or more. The path is gone, its address free
/// to be bound again, when the last reference is dropped; the member drops its references before `shutdown`
/// returns.
///
/// Addresses are canonical in both directions: an IPv4 address is never given in its v4-mapped IPv6 form.
pub(crate) trait Transport: fmt::Debug + Send + Sync {
    /// Waits for the next datagram, writes it to `buf` and tells its length and source.
    ///
    /// It blocks as long as nothing comes. It may return a tick (would-block, interrupted or timed-out) at
    /// any time. After `close` each call returns an error, soon.
    fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Hands one datagram over. It must not block for long (10 ms at most): when there is no room, the
    /// datagram is lost and an error says so.
    fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()>;

    /// Where it receives: the address it is bound to, with the real port. May be a wildcard.
    fn local_addr(&self) -> SocketAddr;

    /// Wakes a blocked `recv` and keeps later ones from blocking. From any thread, any number of times; it
    /// does not wait for `recv` to return.
    fn close(&self);
}

/// An address with a v4-mapped IPv6 address turned into the IPv4 address that it stands for.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip == addr.ip() => addr,
        ip => SocketAddr::new(ip, addr.port()),
    }
}

/// What an error of a transport means to the loop that got it. The loop goes on in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing happened: look whether the member has ended, and wait again.
    Tick,
    /// A consequence of what peers or the network do, in normal operation: counted and ignored.
    Ignored,
    /// Something that an operator may have to know: counted, and logged at most once a minute.
    Strange,
}

/// Tells what an error of a transport means. The one place that knows error numbers.
pub(crate) fn classify(error: &io::Error) -> Trouble {
    use io::ErrorKind;

    // No stable `ErrorKind` exists for these two. Linux; BSD and macOS; Windows.
    const MESSAGE_TOO_LONG: [i32; 3] = [90, 40, 10_040];
    const NO_BUFFERS: [i32; 3] = [105, 55, 10_055];
    let is_one_of = |numbers: [i32; 3]| {
        let own = if cfg!(windows) {
            numbers[2]
        } else if cfg!(any(target_os = "linux", target_os = "android")) {
            numbers[0]
        } else {
            numbers[1]
        };
        error.raw_os_error() == Some(own)
    };

    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::TimedOut => Trouble::Tick,
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::OutOfMemory => {
            Trouble::Ignored
        }
        _ if is_one_of(MESSAGE_TOO_LONG) || is_one_of(NO_BUFFERS) => Trouble::Ignored,
        _ => Trouble::Strange,
    }
}

#[cfg(test)]
mod tests;
