//! What became of all that was sent.

/// What became of the datagrams that simulated members have sent so far: see
/// [`Cluster::fates`](crate::sim::Cluster::fates). A datagram that is still on its way is only in `sent`; one that arrives
/// twice is twice in `arrived`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Fates {
    /// Sent by members.
    pub sent: u64,
    /// Their bytes, without headers.
    pub bytes_sent: u64,
    /// Arrived at a running process.
    pub arrived: u64,
    /// Lost by a link, by chance.
    pub lost: u64,
    /// Sent where a cut or a split let nothing through.
    pub cut: u64,
    /// Sent to an address that no host has, or arrived at a host whose process has ended.
    pub nobody_there: u64,
    /// Stopped by a translator: the port leads nowhere, it is no answer, or there is no hairpin.
    pub untranslated: u64,
    /// Without room in the queue of an uplink, a downlink or a link.
    pub no_room: u64,
    /// Without room in the queue of a receiving process.
    pub not_read: u64,
    /// Too large, and swallowed.
    pub swallowed: u64,
    /// Refused by the sender's system.
    pub refused: u64,
    /// Sent on with a flipped bit.
    pub flipped: u64,
    /// Held back by an interloper on the path.
    pub held: u64,
    /// Sent once more by an interloper on the path. They arrive, or not, like all others.
    pub copied: u64,
}
