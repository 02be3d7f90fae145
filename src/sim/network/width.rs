//! How many bytes a second fit through a link, and how many wait for their turn.

use std::net::SocketAddr;
use std::time::Duration;

use crate::protocol::Instant;

/// The default queue of a width.
const QUEUE: Duration = Duration::from_millis(200);

/// How many bytes a second fit through an uplink, a downlink or a link, and how many wait for their turn: see
/// [`Cluster::uplink`](crate::sim::Cluster::uplink).
///
/// Bytes are counted as they go over the wire, with the headers of IP and UDP: 28 for each datagram, and 48 for one to
/// an IPv6 address. Datagrams that find no room in the queue are dropped.
///
/// ```
/// use std::time::Duration;
/// use headcount::sim::Width;
///
/// // 64 kbit/s, with a queue of 2 seconds: what is often found at the edge of the network.
/// let modem = Width::new(8_000).queue(Duration::from_secs(2));
/// // 10 Mbit/s, with room for 64 KiB.
/// let office = Width::new(1_250_000).queue_bytes(65_536);
/// assert_ne!(modem, office);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    bytes_per_second: u64,
    queue: Queue,
}

/// How much waits at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Time(Duration),
    Bytes(u64),
}

impl Width {
    /// This many bytes a second, and a queue of 200 ms.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), queue: Queue::Time(QUEUE) }
    }

    /// The queue, as a time: a datagram that would wait longer for its first byte to go is dropped.
    #[must_use]
    pub fn queue(self, time: Duration) -> Self {
        Self { queue: Queue::Time(time), ..self }
    }

    /// The queue, in bytes: a datagram that finds no room in it is dropped. One that finds an empty queue passes,
    /// however long it is.
    #[must_use]
    pub fn queue_bytes(self, bytes: u64) -> Self {
        Self { queue: Queue::Bytes(bytes), ..self }
    }
}

/// An uplink, a downlink or a link with a width, and what goes through it.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Pipe {
    width: Width,
    /// When everything that it has taken is through, in nanoseconds since the beginning.
    free: u128,
}

impl Pipe {
    pub(in crate::sim) fn new(width: Width) -> Self {
        Self { width, free: 0 }
    }

    pub(super) fn width(&self) -> Width {
        self.width
    }

    /// Takes a datagram; returns when all of it is through. None if it finds no room.
    pub(in crate::sim) fn take(&mut self, now: Instant, bytes: u64) -> Option<Instant> {
        let rate = u128::from(self.width.bytes_per_second);
        let start = self.free.max(u128::from(now.as_micros()) * 1_000);
        let wait = start - u128::from(now.as_micros()) * 1_000;
        let has_room = match self.width.queue {
            Queue::Time(most) => wait <= most.as_nanos(),
            Queue::Bytes(most) => {
                wait == 0 || wait * rate / 1_000_000_000 + u128::from(bytes) <= u128::from(most)
            }
        };
        if !has_room {
            return None;
        }
        self.free = start + u128::from(bytes) * 1_000_000_000 / rate;
        Some(Instant::from_micros(u64::try_from(self.free.div_ceil(1_000)).unwrap_or(u64::MAX)))
    }
}

/// The bytes of a datagram on the wire.
pub(in crate::sim) fn on_the_wire(to: SocketAddr, length: usize) -> u64 {
    let headers = if to.is_ipv4() { 28 } else { 48 };
    length as u64 + headers
}
