//! What a datagram says: the bodies, as values.

use std::net::SocketAddr;

pub(crate) use super::lists::{Bits, Groups, Lacks, Steps, SumList, Wants, Writes};
use super::{ClusterId, Cookie, NameHash, Seq, Versions};
use crate::node::{Generation, Incarnation, Status};

/// The most accusers one suspicion carries on the wire.
pub(crate) const ACCUSERS_MAX: usize = 8;
/// Sync compares views by this many buckets.
pub(crate) const BUCKETS: usize = 128;
/// No message is cut into smaller fragments: so a message has few of them for its length.
pub(crate) const FRAGMENT_SIZE_MIN: u32 = 1_024;
/// The longest message that can be sent.
pub(crate) const MESSAGE_MAX: u32 = 4 * 1_024 * 1_024;
/// The most that a fragment takes in a datagram besides its bytes: type 1, length 3, answer 1, number 10, behind 2,
/// total 4, size 3, index 2.
pub(crate) const FRAGMENT_OVERHEAD: usize = 26;
/// A number is less than this above the oldest one that is still under way.
pub(crate) const NUMBERS_AHEAD_MAX: u64 = 1_024;

/// One body. Those that are lists borrow from the datagram and are read lazily; they were checked whole when
/// the datagram was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Ping(Ping),
    Ack(Ack),
    BareAck { seq: Seq },
    PingRequest(PingRequest),
    RelayedAck { seq: Seq, incarnation: Incarnation },
    Nack { seq: Seq, reason: NackReason },
    Alive { record: Record<'a>, vouched: bool },
    Verdict(Verdict),
    Doubt { subject: NameHash, cookie: Cookie },
    Vouch(Vouch),
    Hello(Hello<'a>),
    Challenge { seq: Seq, cookie: Cookie },
    Welcome(Welcome),
    Reject { seq: Seq, reason: RejectReason },
    RejectHint { seq: Seq, reason: RejectHintReason },
    Leave { seq: Seq, cookie: Cookie, incarnation: Incarnation, left_at: LeftAt },
    BucketDigest(BucketDigest<'a>),
    Digests(Digests<'a>),
    Offer(Offer<'a>),
    SyncDelta { seq: Seq, truncated: bool },
    Pull(Pull),
    Page(Page),
    SyncRecord { record: Record<'a>, vouched: bool },
    SyncVerdict(Verdict),
    Delta(Delta<'a>),
    Fetch(Fetch<'a>),
    Fetched { seq: Seq },
    PulledDelta(Delta<'a>),
    Standing(Standing<'a>),
    Cuts(Cuts<'a>),
    Fragment(Fragment<'a>),
    FragmentAck(FragmentAck<'a>),
    Broadcast(Broadcast<'a>),
    PulledBroadcast(Broadcast<'a>),
}

/// What a node says about itself, as others pass it on.
///
/// Beside it, `Alive` and `SyncRecord` say whether the sender *vouches* for it. A sender vouches for a node if, since
/// it was away last, it has admitted the node, has asked it and was answered, or has the record from a member that
/// vouched. The flag is the sender's own and no part of what the node says, so it is in no [hash](Record::hash).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) name: &'a str,
    pub(crate) addr: SocketAddr,
    pub(crate) generation: Generation,
    pub(crate) incarnation: Incarnation,
    pub(crate) state_version: u64,
    pub(crate) broadcast: u64,
}

/// What ping and ack say about the sender's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ViewMark {
    pub(crate) fingerprint: u64,
    /// For how long the view has not changed, in units of 10 ms; 255 is 2.55 s or more.
    pub(crate) quiet: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ping {
    pub(crate) seq: Seq,
    /// The node that is meant: an address may have changed hands.
    pub(crate) target: NameHash,
    pub(crate) round: u32,
    pub(crate) view: ViewMark,
    pub(crate) incarnation: Incarnation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) seq: Seq,
    pub(crate) round: u32,
    pub(crate) view: ViewMark,
    pub(crate) incarnation: Incarnation,
    pub(crate) cookie: Cookie,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PingRequest {
    pub(crate) seq: Seq,
    pub(crate) target: NameHash,
    pub(crate) generation: Generation,
    /// After how many milliseconds without an answer the relay says so.
    pub(crate) nack_after_ms: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NackReason {
    /// The target did not answer the relay in time.
    NoAnswer,
    /// The relay does not hold the target active.
    Unknown,
}

/// An accusation, a death or a leave of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) subject: NameHash,
    pub(crate) generation: Generation,
    pub(crate) incarnation: Incarnation,
    /// Never `Alive`.
    pub(crate) status: Status,
    /// The accusers; empty unless `Suspect`.
    pub(crate) accusers: Accusers,
    /// Zero unless `Left`.
    pub(crate) left_at: LeftAt,
}

impl Verdict {
    /// That a node has left.
    pub(crate) fn left(
        subject: NameHash,
        generation: Generation,
        incarnation: Incarnation,
        left_at: LeftAt,
    ) -> Self {
        Self {
            subject,
            generation,
            incarnation,
            status: Status::Left,
            accusers: Accusers::default(),
            left_at,
        }
    }
}

/// How far a node had come when it left: what is up to there can still be had from others. It says so itself, and
/// whoever passes it on leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LeftAt {
    /// Of its state.
    pub(crate) state_version: u64,
    /// The number of its last broadcast.
    pub(crate) broadcast: u64,
}

/// Confirms that a node has left, and that the sender has reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vouch {
    pub(crate) cookie: Cookie,
    pub(crate) subject: NameHash,
    pub(crate) generation: Generation,
    pub(crate) incarnation: Incarnation,
    pub(crate) left_at: LeftAt,
}

/// A set of accusers, at most [`ACCUSERS_MAX`], in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Accusers {
    len: usize,
    names: [NameHash; ACCUSERS_MAX],
}

impl Accusers {
    /// Adds one; false if it is there already or the set is full.
    pub(crate) fn insert(&mut self, name: NameHash) -> bool {
        if self.len == ACCUSERS_MAX || self.as_slice().contains(&name) {
            return false;
        }
        self.names[self.len] = name;
        self.len += 1;
        true
    }

    pub(crate) fn as_slice(&self) -> &[NameHash] {
        &self.names[..self.len]
    }
}

/// A request to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello<'a> {
    pub(crate) seq: Seq,
    /// Zero in the first one.
    pub(crate) cookie: Cookie,
    /// Which of the hellos of one attempt this is, all with one `seq`: 1, 2 and so on.
    pub(crate) attempt: u32,
    /// The cluster that the receiver's address belonged to, as far as the sender remembers. Zero: it remembers none, or
    /// accepts any. Zero in every hello for now.
    pub(crate) cluster: ClusterId,
    pub(crate) record: Record<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) seq: Seq,
    pub(crate) view: ViewMark,
    /// How many active records the sender holds.
    pub(crate) count: u32,
    /// The id of the sender's cluster. Zero in every welcome for now.
    pub(crate) cluster: ClusterId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RejectReason {
    /// Another node of that name runs at this address.
    NameTaken { addr: SocketAddr },
    /// A run of this generation is known, at this address: try again above it, or check which run that is.
    Stale { known: Generation, addr: SocketAddr },
    /// The generation is too far in the future. No member sends this any more.
    ClockAhead,
    /// No place for another node.
    Full,
    /// The name or the address is not on the lists of allowed ones.
    NotAllowed,
    /// The address in the record does not answer; the hello came from this one.
    Unreachable { seen: SocketAddr },
    /// The address in the record can not be the sender's: it is the receiver's own, or of a family that the receiver
    /// cannot send to.
    BadAddress,
    /// The cluster speaks these versions, and the sender does not read them all. No member sends this yet.
    WrongVersion { spoken: Versions },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RejectHintReason {
    WrongCluster,
    WrongKey,
}

/// A view in sums of its buckets, for comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BucketDigest<'a> {
    pub(crate) seq: Seq,
    pub(crate) cookie: Cookie,
    /// How many active records the sender holds.
    pub(crate) count: u32,
    /// Compare only what is at or above this name hash.
    pub(crate) from: NameHash,
    pub(crate) sums: SumList<'a>,
}

/// The digests of the buckets that differ, for one range of name hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digests<'a> {
    pub(crate) seq: Seq,
    /// The page covers differing buckets from this name hash …
    pub(crate) from: NameHash,
    /// … to before this one; zero is the end of all.
    pub(crate) next: NameHash,
    pub(crate) groups: Groups<'a>,
}

/// Which records the sender lacks; the records that it has itself follow as `SyncRecord` bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer<'a> {
    pub(crate) seq: Seq,
    pub(crate) cookie: Cookie,
    pub(crate) wants: Wants<'a>,
}

/// Asks for the records with name hashes from `from` on, to before `until` (zero: to the end).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pull {
    pub(crate) seq: Seq,
    pub(crate) cookie: Cookie,
    pub(crate) from: NameHash,
    pub(crate) until: NameHash,
}

/// Answers a pull; the records follow as `SyncRecord` bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) seq: Seq,
    /// Where the next pull begins; zero: that was the last page of the range.
    pub(crate) next: NameHash,
}

/// A stretch of what a node has written into its state: all that still stands of the writes after version `from`,
/// up to version `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delta<'a> {
    pub(crate) subject: NameHash,
    pub(crate) generation: Generation,
    /// The version that the sender holds: there is more if it is above `to`.
    pub(crate) version: u64,
    /// Keys that were removed up to this version are not listed: a copy that is older may hold some of them.
    pub(crate) base: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) writes: Writes<'a>,
}

/// Which of the writes in (`from`, `to`] of a node's state still stand, removals not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing<'a> {
    pub(crate) subject: NameHash,
    pub(crate) generation: Generation,
    /// The version that the sender holds: the others were written anew or removed by then.
    pub(crate) version: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Their versions, each as the distance from the one before it; of the first, from `from`.
    pub(crate) steps: Steps<'a>,
}

/// Where to cut the writes after version `from` so that each stretch fits into one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cuts<'a> {
    pub(crate) subject: NameHash,
    pub(crate) generation: Generation,
    pub(crate) from: u64,
    /// The lengths of the stretches, in versions.
    pub(crate) steps: Steps<'a>,
}

/// One broadcast, as its origin made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broadcast<'a> {
    pub(crate) origin: NameHash,
    pub(crate) generation: Generation,
    /// Counted from 1 in each run of the origin.
    pub(crate) number: u64,
    pub(crate) payload: &'a [u8],
}

/// Asks for what the sender lacks of states and broadcasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetch<'a> {
    pub(crate) seq: Seq,
    pub(crate) cookie: Cookie,
    pub(crate) lacks: Lacks<'a>,
}

/// A part of a message. All parts but the last have `size` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    /// Not zero if the sender wants to know now what has come: the ack brings it back, so that it is known which of
    /// several tries has come.
    pub(crate) ask: u8,
    /// Of the message, among those from this run to that run; from 1.
    pub(crate) number: u64,
    /// How far above the oldest number that the sender has not done with. Those below it are delivered, refused
    /// or given up.
    pub(crate) behind: u64,
    /// The length of the message.
    pub(crate) total: u32,
    pub(crate) size: u32,
    pub(crate) index: u32,
    pub(crate) bytes: &'a [u8],
}

/// Into how many fragments of this size a message of this length is cut. An empty message has one, too.
pub(crate) fn fragments_of(total: u32, size: u32) -> u32 {
    total.div_ceil(size.max(1)).max(1)
}

/// What has become of a message so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FragmentAck<'a> {
    /// That of the fragment that it answers; zero if that has not asked.
    pub(crate) ask: u8,
    pub(crate) number: u64,
    pub(crate) progress: Progress<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress<'a> {
    /// All fragments before `next` have come, `next` has not, and of those after it these have.
    Receiving { next: u32, beyond: Bits<'a> },
    /// The message was delivered, once.
    Delivered,
    /// It was not, and will not be.
    Refused(Refusal),
}

/// Why a message is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NobodyListens,
    /// No room in a queue, or for putting it together.
    Overloaded,
    /// Longer than the receiver takes.
    TooLarge,
}
