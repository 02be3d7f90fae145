//! How datagrams travel: UDP, TCP, a network in memory, or what a program brings along.
//!
//! A member needs one thing of the world outside: a path that carries datagrams to an address and tells from which
//! address they came. It may lose, double and reorder them; it must not cut or merge them. That path is a
//! [`Transport`]. It knows nothing of the protocol, and the protocol knows nothing of it.
//!
//! [`Config::transport`](crate::Config::transport) is given not a path but what [opens](Open) one, because nothing is
//! opened before [`Member::create`](crate::Member::create). There are three of these:
//!
//! | | for | what it costs |
//! |---|---|---|
//! | [`Udp`], the default | nearly every network | nothing: one socket, and the receiver thread waits in it |
//! | [`Tcp`] | networks that do not let UDP pass | a thread for each connection; a lost packet delays those behind it |
//! | [`Memory`] | tests of a program, with real threads and a network that loses on demand | nothing |
//!
//! All members of a cluster have to use the same.
//!
//! # A transport of one's own
//!
//! Most are a layer above another one. This one counts what is sent, in a number that the program keeps:
//!
//! ```
//! use std::io;
//! use std::net::SocketAddr;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use headcount::transport::{Open, Transport, Udp, Wanted};
//! use headcount::{Config, Member};
//!
//! /// Counts the datagrams that are sent by UDP.
//! #[derive(Clone, Default)]
//! struct Counting {
//!     sent: Arc<AtomicU64>,
//! }
//!
//! impl Open for Counting {
//!     fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Transport>> {
//!         let below = Udp::new().open(wanted)?;
//!         Ok(Box::new(Counted { below, sent: Arc::clone(&self.sent) }))
//!     }
//! }
//!
//! #[derive(Debug)]
//! struct Counted {
//!     below: Box<dyn Transport>,
//!     sent: Arc<AtomicU64>,
//! }
//!
//! impl Transport for Counted {
//!     fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
//!         self.below.recv(buf)
//!     }
//!
//!     fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
//!         self.sent.fetch_add(1, Ordering::Relaxed);
//!         self.below.send(datagram, to)
//!     }
//!
//!     fn local_addr(&self) -> SocketAddr {
//!         self.below.local_addr()
//!     }
//!
//!     fn max_datagram(&self) -> usize {
//!         self.below.max_datagram()
//!     }
//!
//!     fn close(&self) {
//!         self.below.close();
//!     }
//! }
//!
//! let counting = Counting::default();
//! let a = Member::create(Config::local().bind("127.0.0.1:0").transport(counting.clone()))?;
//! let b = Member::create(Config::local().bind("127.0.0.1:0"))?.join(a.addr())?;
//! assert!(counting.sent.load(Ordering::Relaxed) > 0);
//! # Ok::<(), headcount::Error>(())
//! ```

mod memory;
mod queue;
mod tcp;
mod udp;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use self::memory::Memory;
pub use self::tcp::Tcp;
pub(crate) use self::udp::Endpoint;
pub use self::udp::Udp;

/// The largest datagram that can arrive: what the length field of UDP can say. Receive buffers have this size.
pub(crate) const RECEIVE_MAX: usize = 65_535;

/// The largest datagram that IPv4 carries; IPv6 carries 20 bytes more.
const UDP_MAX: usize = 65_507;

/// A receive buffer that is asked for by nobody in particular.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Whether `shutdown` on a socket wakes a thread that waits for a datagram or a connection.
const WAKES_BY_SHUTDOWN: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// One member's datagram path.
///
/// The receiver thread calls [`recv`](Self::recv) in a loop, any thread calls [`send`](Self::send), several at
/// the same time, and the thread that ends the member calls [`close`](Self::close) once or more. Then it is
/// dropped, on any of these threads. When the drop returns, the path is gone: its address is free to be bound
/// again, and no thread or descriptor is left. `shutdown` waits for that, and promises to return within 100 ms.
///
/// **Addresses are identities.** A node is known by the address that it advertises, and nobody may be able to *receive*
/// at an address that is not theirs. The source of a datagram should be that address. Where it is another one (behind a
/// translator, say), answers go to the source, and have to arrive there. A forged source does no harm: the protocol
/// trusts an address only after a number that was sent to it has come back.
///
/// Addresses are canonical in both directions: an IPv4 address is never given in its v4-mapped IPv6 form.
///
/// **Errors end nothing**, neither of `recv` nor of `send`. The kinds `WouldBlock`, `Interrupted` and `TimedOut` of
/// `recv` are ticks: nothing happened. `ConnectionRefused`, `ConnectionReset`, `ConnectionAborted` and `OutOfMemory`
/// are what networks do; they are counted in [`Metrics::socket_errors`](crate::Metrics::socket_errors). Any other kind
/// is counted and logged, as a warning, at most once a minute. `WouldBlock`, `TimedOut` and `OutOfMemory` of `send` say
/// that there was no room: the datagram is counted in [`Metrics::sends_dropped`](crate::Metrics::sends_dropped). A panic
/// of a transport ends the member.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Waits for the next datagram, writes it to `buf` and tells its length and source.
    ///
    /// `buf` has room for 65,535 bytes. It blocks as long as nothing comes, and may return a tick at any time.
    ///
    /// # Errors
    ///
    /// As above. After `close` each call returns an error, soon: what is still waiting may come first.
    fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Hands one datagram over. It must not block for long (10 ms at most): when there is no room, a
    /// datagram is lost. Nobody is told whether one arrives.
    ///
    /// # Errors
    ///
    /// As above: a datagram is lost, this one or one that waited before it.
    fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()>;

    /// Where it receives: the address it is bound to, with the real port. May be a wildcard. Always the same.
    fn local_addr(&self) -> SocketAddr;

    /// The largest datagram that it carries, in bytes. Members send datagrams of up to 1,232: with a transport that
    /// carries less, none is created.
    fn max_datagram(&self) -> usize;

    /// Wakes a blocked `recv` and keeps later ones from blocking. From any thread, any number of times; it
    /// does not wait for `recv` to return. What was handed to `send` before may still leave.
    fn close(&self);
}

/// What opens the [`Transport`] of a member, when it is created.
///
/// A closure does, too: `|wanted: &Wanted| Udp::new().open(wanted)`.
pub trait Open: Send {
    /// Opens it.
    ///
    /// A local member is bound to port 7990, or to another one if that is taken: it is asked a second time after an
    /// error of the kind `AddrInUse`.
    ///
    /// # Errors
    ///
    /// The kind `InvalidInput` says that the transport itself is wrongly set, and becomes
    /// [`Error::Config`](crate::Error::Config); all others become [`Error::Io`](crate::Error::Io).
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Transport>>;
}

impl<F> Open for F
where
    F: Fn(&Wanted) -> io::Result<Box<dyn Transport>> + Send,
{
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Transport>> {
        self(wanted)
    }
}

/// What a member wants of the transport that is opened for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// Where to receive ([`Config::bind`](crate::Config::bind)): the IP may be a wildcard, port 0 is any free port.
    pub bind: SocketAddr,
    /// What others are told to send to, if the configuration says it ([`Config::advertise`](crate::Config::advertise));
    /// else it is what is bound.
    pub advertise: Option<SocketAddr>,
    /// How many bytes may wait to be received ([`Config::receive_buffer`](crate::Config::receive_buffer)). A
    /// transport that holds less is fine.
    pub receive_buffer: usize,
}

impl Wanted {
    /// A path that is bound to `bind` and has the usual buffer: for tests of a transport.
    #[must_use]
    pub fn at(bind: SocketAddr) -> Self {
        Self { bind, advertise: None, receive_buffer: RECEIVE_BUFFER }
    }
}

/// An address with a v4-mapped IPv6 address turned into the IPv4 address that it stands for.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip == addr.ip() => addr,
        ip => SocketAddr::new(ip, addr.port()),
    }
}

/// Where the own host reaches what is bound there: a wildcard is no address to send to.
fn from_this_host(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
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

// No stable `ErrorKind` exists for these two. Linux; BSD and macOS; Windows.
const MESSAGE_TOO_LONG: [i32; 3] = [90, 40, 10_040];
const NO_BUFFERS: [i32; 3] = [105, 55, 10_055];

/// Tells what an error of a transport means. With [`is_without_room`] the one place that knows error numbers.
pub(crate) fn classify(error: &io::Error) -> Trouble {
    use io::ErrorKind;

    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::TimedOut => Trouble::Tick,
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::OutOfMemory => Trouble::Ignored,
        _ if is_number(error, MESSAGE_TOO_LONG) || is_number(error, NO_BUFFERS) => Trouble::Ignored,
        _ => Trouble::Strange,
    }
}

/// Whether an error of a send says that there was no room for the datagram.
pub(crate) fn is_without_room(error: &io::Error) -> bool {
    use io::ErrorKind;

    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::OutOfMemory)
        || is_number(error, NO_BUFFERS)
}

fn is_number(error: &io::Error, numbers: [i32; 3]) -> bool {
    let own = if cfg!(windows) {
        numbers[2]
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        numbers[0]
    } else {
        numbers[1]
    };
    error.raw_os_error() == Some(own)
}

#[cfg(test)]
mod tests;
