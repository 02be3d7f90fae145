//! Requests and answers: which bodies ask, which answer them, and the number that ties the two.

use crate::wire::{Body, Seq};

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Whether a node is there.
    Ping,
    /// To ping another node.
    Relay,
    /// To be let in.
    Hello,
    /// To ack a leave.
    Leave,
    /// Records: by sums, an offer, or a pull.
    View,
    /// States and broadcasts.
    Fetch,
}

impl Asked {
    /// The request that a body makes, if any, and its number.
    pub(crate) fn by(body: &Body<'_>) -> Option<(Self, Seq)> {
        match body {
            Body::Ping(ping) => Some((Self::Ping, ping.seq)),
            Body::PingRequest(request) => Some((Self::Relay, request.seq)),
            Body::Hello(hello) => Some((Self::Hello, hello.seq)),
            Body::Leave { seq, .. } => Some((Self::Leave, *seq)),
            Body::BucketDigest(sums) => Some((Self::View, sums.seq)),
            Body::Offer(offer) => Some((Self::View, offer.seq)),
            Body::Pull(pull) => Some((Self::View, pull.seq)),
            Body::Fetch(fetch) => Some((Self::Fetch, fetch.seq)),
            _ => None,
        }
    }
}

/// The number of the request that a body answers, if it answers one and so proves that the request was read. A hint
/// proves nothing: it is not trusted.
pub(crate) fn answered(body: &Body<'_>) -> Option<Seq> {
    match body {
        Body::Ack(ack) => Some(ack.seq),
        Body::Welcome(welcome) => Some(welcome.seq),
        Body::Digests(digests) => Some(digests.seq),
        Body::Page(page) => Some(page.seq),
        Body::BareAck { seq }
        | Body::RelayedAck { seq, .. }
        | Body::Nack { seq, .. }
        | Body::Challenge { seq, .. }
        | Body::Reject { seq, .. }
        | Body::SyncDelta { seq, .. }
        | Body::Fetched { seq } => Some(*seq),
        _ => None,
    }
}
