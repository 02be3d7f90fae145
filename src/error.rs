//! What can go wrong, as it is returned to the caller.
//!
//! Only two kinds of trouble become an [`Error`]: a mistake of the caller (or of the configuration), and an
//! answer of the operating system or of the cluster that the caller has to know. What a peer does wrong is a
//! counter in [`Metrics`](crate::Metrics) and a debug line in the log.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use crate::status::Status;

/// Short for `std::result::Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything a call on a [`Member`](crate::Member) can answer instead of what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or an argument is wrong, or contradicts another one. Nothing has happened: what is wrong with a
    /// configuration is found before a socket is opened.
    #[error("configuration: {field}: {reason}")]
    Config {
        /// The setter's name.
        field: &'static str,
        /// What is wrong with its value.
        reason: String,
    },

    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, such as "bind 10.0.0.1:7990".
        what: String,
        /// Its answer.
        source: io::Error,
    },

    /// No seed let us in. One entry per seed that was tried: as it was given, and why not.
    #[error("no seed could be joined: {}", join_reasons(.0))]
    Join(Vec<(String, Self)>),

    /// A running node of another address has this member's name.
    #[error("the name {name} is taken by {addr}")]
    NameTaken {
        /// The name, this member's own.
        name: String,
        /// Where the node that holds it runs.
        addr: SocketAddr,
    },

    /// Nothing came back before the deadline.
    #[error("no answer")]
    NoAnswer,

    /// The other side belongs to a cluster of another name.
    #[error("a member of another cluster")]
    WrongCluster,

    /// The other side does not hold our key, or we do not hold its.
    #[error("the keys do not match")]
    WrongKey,

    /// The member that was asked hears this member, and reaches nobody at the address that this member advertises: the
    /// address is inside a container, or behind a firewall or a translator of addresses (NAT). Advertise one that
    /// others reach ([`Config::advertise`](crate::Config::advertise)). Or it is the other way round: the member that
    /// was asked admits this one, and this one cannot reach it at the address that it advertises. A join ends with this
    /// error only at its deadline, because datagrams to that address may have been lost.
    ///
    /// Over [TCP](crate::transport::Tcp) a member that is asked has to connect to an address of this member to answer
    /// anything. If it can connect to none, the join ends with [`NoAnswer`](Self::NoAnswer).
    #[error("nobody is reached at {advertised}, though datagrams come from {seen}")]
    Unreachable {
        /// Where the member says that it receives.
        advertised: SocketAddr,
        /// Where its datagrams come from.
        seen: SocketAddr,
    },

    /// One of the two members of a join cannot use the address that the other one advertises: it receives there itself,
    /// or it cannot send to addresses of that family.
    #[error("{advertised} is an address at which not all others can reach its member")]
    BadAddress {
        /// The address that is advertised.
        advertised: SocketAddr,
    },

    /// The other side speaks versions of the format that this member does not read.
    #[error("the versions of the format do not match: there {theirs:?}, here {ours:?}")]
    WrongVersion {
        /// What the other side speaks, from the oldest version to the newest.
        theirs: RangeInclusive<u8>,
        /// What this member reads, likewise.
        ours: RangeInclusive<u8>,
    },

    /// This host's clock is beyond the year 2100, or a known run of this name has the highest generation that there is.
    /// Any clock between 1970 and 2100 is fine, however much it differs from others.
    #[error("this host's clock is beyond the year 2100")]
    ClockAhead,

    /// The cluster takes no more nodes ([`Config::max_nodes`](crate::Config::max_nodes)), or no more from this address
    /// for now: of more than a thousand newcomers at once behind one address (NAT, or 64 bits of IPv6) a hundred are
    /// let in a second. To try again helps then.
    #[error("the cluster is full")]
    Full,

    /// No node of this name is in the view.
    #[error("unknown node {0}")]
    UnknownNode(String),

    /// The node is in the view, but takes no part: it is dead, or has left.
    #[error("{name} is {status}")]
    NotActive {
        /// The node's name.
        name: String,
        /// What it is instead.
        status: Status,
    },

    /// The node is this member itself.
    #[error("this member itself")]
    OwnNode,

    /// Something is larger than the limit that stands for it.
    #[error("{what} too large: {size}, the limit is {limit}")]
    TooLarge {
        /// What is too large: "broadcast", "key", "value", "state", "number of keys" and so on.
        what: &'static str,
        /// Its size: in bytes, if it is not a number of something.
        size: usize,
        /// The largest size that is taken, likewise.
        limit: usize,
    },

    /// The request was understood and not granted: an active node can not be buried, too much is under way (also for a
    /// broadcast, which has waited for room then), or the receiver of a message has no room for it, or no listener. For a
    /// seed: it does not have this member on its lists,
    /// or is not on ours ([`Config::allow_networks`](crate::Config::allow_networks),
    /// [`allow_names`](crate::Config::allow_names)).
    #[error("refused")]
    Refused,

    /// The node was started again in the meantime.
    #[error("the node restarted")]
    Restarted,

    /// The time that the call was given is over.
    #[error("timed out")]
    Timeout,

    /// The member has ended: by `leave`, `shutdown`, or because its last handle is gone.
    #[error("the member has ended")]
    Closed,

    /// One of the member's own threads panicked, which ended the member. This is a bug in this crate (or in
    /// a transport): the log has the message.
    #[error("the thread {0} panicked")]
    Panicked(String),
}

fn join_reasons(seeds: &[(String, Error)]) -> String {
    let reasons: Vec<String> = seeds.iter().map(|(seed, error)| format!("{seed}: {error}")).collect();
    reasons.join("; ")
}

/// The error of a setting or an argument: which one, and what is wrong with it.
pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Error {
    Error::Config { field, reason: reason.into() }
}
