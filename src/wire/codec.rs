//! The layout of each body, for both ways side by side: the tables in the [module's docs](super), as code.
//!
//! A field that can hold nonsense is checked where it is read; [`Body::decode`] then makes sure that nothing is
//! left over.

use super::body::{
    Accusers, Ack, Body, Broadcast, BucketDigest, Cuts, Delta, Digests, Fetch, Fragment, FragmentAck, Hello,
    LeftAt, NackReason, Offer, Page, Ping, PingRequest, Pull, Record, RejectHintReason, RejectReason,
    Standing, Verdict, ViewMark, Vouch, Welcome,
};
use super::cursor::{Reader, Sink};
use super::lists::{Groups, SumList, Wants};
use super::malformed::Malformed;
use super::{ClusterId, Cookie, NameHash, Seq, Versions};
use crate::node::{Generation, Incarnation, Status};

/// The numbers of the types of body. A number is never used for another layout: what changes gets a new one.
mod kind {
    pub(super) const PING: u8 = 0x01;
    pub(super) const ACK: u8 = 0x02;
    pub(super) const BARE_ACK: u8 = 0x03;
    pub(super) const PING_REQUEST: u8 = 0x04;
    pub(super) const RELAYED_ACK: u8 = 0x05;
    pub(super) const NACK: u8 = 0x06;

    pub(super) const ALIVE: u8 = 0x10;
    pub(super) const VERDICT: u8 = 0x11;
    pub(super) const DOUBT: u8 = 0x12;
    pub(super) const VOUCH: u8 = 0x13;

    pub(super) const HELLO: u8 = 0x20;
    pub(super) const CHALLENGE: u8 = 0x21;
    pub(super) const WELCOME: u8 = 0x22;
    pub(super) const REJECT: u8 = 0x23;
    pub(super) const HINT: u8 = 0x24;
    pub(super) const LEAVE: u8 = 0x25;

    pub(super) const SUMS: u8 = 0x30;
    pub(super) const DIGESTS: u8 = 0x31;
    pub(super) const OFFER: u8 = 0x32;
    pub(super) const NEWER: u8 = 0x33;
    pub(super) const PULL: u8 = 0x34;
    pub(super) const PAGE: u8 = 0x35;
    pub(super) const SYNC_RECORD: u8 = 0x36;
    pub(super) const SYNC_VERDICT: u8 = 0x37;

    pub(super) const DELTA: u8 = 0x40;
    pub(super) const FETCH: u8 = 0x41;
    pub(super) const FETCHED: u8 = 0x42;
    pub(super) const SYNC_DELTA: u8 = 0x43;
    pub(super) const STANDING: u8 = 0x44;
    pub(super) const CUTS: u8 = 0x45;

    pub(super) const BROADCAST: u8 = 0x50;
    pub(super) const SYNC_BROADCAST: u8 = 0x51;

    pub(super) const FRAGMENT: u8 = 0x60;
    pub(super) const FRAGMENT_ACK: u8 = 0x61;
}

impl<'a> Body<'a> {
    /// The number of its type.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Body::Ping(_) => kind::PING,
            Body::Ack(_) => kind::ACK,
            Body::BareAck { .. } => kind::BARE_ACK,
            Body::PingRequest(_) => kind::PING_REQUEST,
            Body::RelayedAck { .. } => kind::RELAYED_ACK,
            Body::Nack { .. } => kind::NACK,
            Body::Alive { .. } => kind::ALIVE,
            Body::Verdict(_) => kind::VERDICT,
            Body::Doubt { .. } => kind::DOUBT,
            Body::Vouch(_) => kind::VOUCH,
            Body::Hello(_) => kind::HELLO,
            Body::Challenge { .. } => kind::CHALLENGE,
            Body::Welcome(_) => kind::WELCOME,
            Body::Reject { .. } => kind::REJECT,
            Body::RejectHint { .. } => kind::HINT,
            Body::Leave { .. } => kind::LEAVE,
            Body::BucketDigest(_) => kind::SUMS,
            Body::Digests(_) => kind::DIGESTS,
            Body::Offer(_) => kind::OFFER,
            Body::SyncDelta { .. } => kind::NEWER,
            Body::Pull(_) => kind::PULL,
            Body::Page(_) => kind::PAGE,
            Body::SyncRecord { .. } => kind::SYNC_RECORD,
            Body::SyncVerdict(_) => kind::SYNC_VERDICT,
            Body::Delta(_) => kind::DELTA,
            Body::Fetch(_) => kind::FETCH,
            Body::Fetched { .. } => kind::FETCHED,
            Body::PulledDelta(_) => kind::SYNC_DELTA,
            Body::Standing(_) => kind::STANDING,
            Body::Cuts(_) => kind::CUTS,
            Body::Fragment(_) => kind::FRAGMENT,
            Body::FragmentAck(_) => kind::FRAGMENT_ACK,
            Body::Broadcast(_) => kind::BROADCAST,
            Body::PulledBroadcast(_) => kind::SYNC_BROADCAST,
        }
    }

    /// Writes the contents, without type and length.
    pub(super) fn encode(&self, sink: &mut impl Sink) {
        match self {
            Body::Ping(ping) => ping.encode(sink),
            Body::Ack(ack) => ack.encode(sink),
            Body::BareAck { seq } | Body::Fetched { seq } => sink.put_u64(seq.0),
            Body::PingRequest(request) => request.encode(sink),
            Body::RelayedAck { seq, incarnation } => {
                sink.put_u64(seq.0);
                sink.put_varint(incarnation.0);
            }
            Body::Nack { seq, reason } => {
                sink.put_u64(seq.0);
                reason.encode(sink);
            }
            Body::Alive { record, vouched } | Body::SyncRecord { record, vouched } => {
                record.encode(sink);
                sink.put_u8((*vouched).into());
            }
            Body::Verdict(verdict) | Body::SyncVerdict(verdict) => verdict.encode(sink),
            Body::Doubt { subject, cookie } => {
                sink.put_u64(subject.0);
                sink.put_u64(cookie.0);
            }
            Body::Vouch(vouch) => vouch.encode(sink),
            Body::Hello(hello) => hello.encode(sink),
            Body::Challenge { seq, cookie } => {
                sink.put_u64(seq.0);
                sink.put_u64(cookie.0);
            }
            Body::Welcome(welcome) => welcome.encode(sink),
            Body::Reject { seq, reason } => {
                sink.put_u64(seq.0);
                reason.encode(sink);
            }
            Body::RejectHint { seq, reason } => {
                sink.put_u64(seq.0);
                reason.encode(sink);
            }
            Body::Leave { seq, cookie, incarnation, left_at } => {
                sink.put_u64(seq.0);
                sink.put_u64(cookie.0);
                sink.put_varint(incarnation.0);
                left_at.encode(sink);
            }
            Body::BucketDigest(sums) => sums.encode(sink),
            Body::Digests(digests) => digests.encode(sink),
            Body::Offer(offer) => offer.encode(sink),
            Body::SyncDelta { seq, truncated } => {
                sink.put_u64(seq.0);
                sink.put_u8((*truncated).into());
            }
            Body::Pull(pull) => pull.encode(sink),
            Body::Page(page) => page.encode(sink),
            Body::Delta(delta) | Body::PulledDelta(delta) => delta.encode(sink),
            Body::Fetch(fetch) => fetch.encode(sink),
            Body::Standing(standing) => standing.encode(sink),
            Body::Cuts(cuts) => cuts.encode(sink),
            Body::Fragment(fragment) => fragment.encode(sink),
            Body::FragmentAck(ack) => ack.encode(sink),
            Body::Broadcast(broadcast) | Body::PulledBroadcast(broadcast) => broadcast.encode(sink),
        }
    }

    /// Reads the contents, all of them; `None` if the type is unknown.
    pub(super) fn decode(kind: u8, contents: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(contents);
        let body = match kind {
            kind::PING => Body::Ping(Ping::decode(&mut reader)?),
            kind::ACK => Body::Ack(Ack::decode(&mut reader)?),
            kind::BARE_ACK => Body::BareAck { seq: reader.seq()? },
            kind::PING_REQUEST => Body::PingRequest(PingRequest::decode(&mut reader)?),
            kind::RELAYED_ACK => Body::RelayedAck { seq: reader.seq()?, incarnation: reader.incarnation()? },
            kind::NACK => Body::Nack { seq: reader.seq()?, reason: NackReason::decode(&mut reader)? },
            kind::ALIVE => Body::Alive { record: Record::decode(&mut reader)?, vouched: reader.bool()? },
            kind::VERDICT => Body::Verdict(Verdict::decode(&mut reader)?),
            kind::DOUBT => Body::Doubt { subject: reader.name_hash()?, cookie: reader.given_cookie()? },
            kind::VOUCH => Body::Vouch(Vouch::decode(&mut reader)?),
            kind::HELLO => Body::Hello(Hello::decode(&mut reader)?),
            kind::CHALLENGE => Body::Challenge { seq: reader.seq()?, cookie: reader.given_cookie()? },
            kind::WELCOME => Body::Welcome(Welcome::decode(&mut reader)?),
            kind::REJECT => Body::Reject { seq: reader.seq()?, reason: RejectReason::decode(&mut reader)? },
            kind::HINT => {
                Body::RejectHint { seq: reader.seq()?, reason: RejectHintReason::decode(&mut reader)? }
            }
            kind::LEAVE => Body::Leave {
                seq: reader.seq()?,
                cookie: reader.shown_cookie()?,
                incarnation: reader.incarnation()?,
                left_at: LeftAt::decode(&mut reader)?,
            },
            kind::SUMS => Body::BucketDigest(BucketDigest::decode(&mut reader)?),
            kind::DIGESTS => Body::Digests(Digests::decode(&mut reader)?),
            kind::OFFER => Body::Offer(Offer::decode(&mut reader)?),
            kind::NEWER => Body::SyncDelta { seq: reader.seq()?, truncated: reader.bool()? },
            kind::PULL => Body::Pull(Pull::decode(&mut reader)?),
            kind::PAGE => Body::Page(Page::decode(&mut reader)?),
            kind::SYNC_RECORD => {
                Body::SyncRecord { record: Record::decode(&mut reader)?, vouched: reader.bool()? }
            }
            kind::SYNC_VERDICT => Body::SyncVerdict(Verdict::decode(&mut reader)?),
            kind::DELTA => Body::Delta(Delta::decode(&mut reader)?),
            kind::FETCH => Body::Fetch(Fetch::decode(&mut reader)?),
            kind::FETCHED => Body::Fetched { seq: reader.seq()? },
            kind::SYNC_DELTA => Body::PulledDelta(Delta::decode(&mut reader)?),
            kind::STANDING => Body::Standing(Standing::decode(&mut reader)?),
            kind::CUTS => Body::Cuts(Cuts::decode(&mut reader)?),
            kind::FRAGMENT => Body::Fragment(Fragment::decode(&mut reader)?),
            kind::FRAGMENT_ACK => Body::FragmentAck(FragmentAck::decode(&mut reader)?),
            kind::BROADCAST => Body::Broadcast(Broadcast::decode(&mut reader)?),
            kind::SYNC_BROADCAST => Body::PulledBroadcast(Broadcast::decode(&mut reader)?),
            _ => return Ok(None),
        };
        reader.finish()?;
        Ok(Some(body))
    }
}

/// The fields that many bodies share.
impl Reader<'_> {
    pub(super) fn seq(&mut self) -> Result<Seq, Malformed> {
        self.non_zero_u64().map(Seq)
    }

    pub(super) fn name_hash(&mut self) -> Result<NameHash, Malformed> {
        self.non_zero_u64().map(NameHash)
    }

    pub(super) fn generation(&mut self) -> Result<Generation, Malformed> {
        self.non_zero_u64().map(Generation)
    }

    /// A cookie from the one who makes it, who gives one.
    fn given_cookie(&mut self) -> Result<Cookie, Malformed> {
        self.non_zero_u64().map(Cookie)
    }

    /// A cookie from the one who shows it, who may have none.
    pub(super) fn shown_cookie(&mut self) -> Result<Cookie, Malformed> {
        self.u64().map(Cookie)
    }

    fn incarnation(&mut self) -> Result<Incarnation, Malformed> {
        self.varint().map(Incarnation)
    }

    /// A range of name hashes: a beginning, which may be zero, and an end above it, or zero for the end of all.
    fn range(&mut self) -> Result<(NameHash, NameHash), Malformed> {
        let (from, to) = (self.u64()?, self.u64()?);
        if to != 0 && to <= from {
            return Err(Malformed);
        }
        Ok((NameHash(from), NameHash(to)))
    }

    fn non_zero_u64(&mut self) -> Result<u64, Malformed> {
        match self.u64()? {
            0 => Err(Malformed),
            value => Ok(value),
        }
    }
}

impl ViewMark {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.fingerprint);
        sink.put_u8(self.quiet);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { fingerprint: reader.u64()?, quiet: reader.u8()? })
    }
}

impl Ping {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.target.0);
        sink.put_u32(self.round);
        self.view.encode(sink);
        sink.put_varint(self.incarnation.0);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            seq: reader.seq()?,
            target: reader.name_hash()?,
            round: reader.u32()?,
            view: ViewMark::decode(reader)?,
            incarnation: reader.incarnation()?,
        })
    }
}

impl Ack {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.cookie.0);
        sink.put_u32(self.round);
        self.view.encode(sink);
        sink.put_varint(self.incarnation.0);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let seq = reader.seq()?;
        let cookie = reader.given_cookie()?;
        Ok(Self {
            seq,
            round: reader.u32()?,
            view: ViewMark::decode(reader)?,
            incarnation: reader.incarnation()?,
            cookie,
        })
    }
}

impl PingRequest {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.target.0);
        sink.put_u64(self.generation.0);
        sink.put_varint(self.nack_after_ms.into());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            seq: reader.seq()?,
            target: reader.name_hash()?,
            generation: reader.generation()?,
            nack_after_ms: reader.varint_u32()?,
        })
    }
}

impl NackReason {
    fn encode(self, sink: &mut impl Sink) {
        sink.put_u8(match self {
            Self::NoAnswer => 1,
            Self::Unknown => 2,
        });
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            1 => Ok(Self::NoAnswer),
            2 => Ok(Self::Unknown),
            _ => Err(Malformed),
        }
    }
}

impl<'a> Record<'a> {
    /// Also what [`Record::hash`] is over.
    pub(super) fn encode(&self, sink: &mut impl Sink) {
        sink.put_text(self.name);
        sink.put_addr(self.addr);
        sink.put_u64(self.generation.0);
        sink.put_varint(self.incarnation.0);
        sink.put_varint(self.state_version);
        sink.put_varint(self.broadcast);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            name: reader.text()?,
            addr: reader.addr()?,
            generation: reader.generation()?,
            incarnation: reader.incarnation()?,
            state_version: reader.varint()?,
            broadcast: reader.varint()?,
        })
    }
}

impl Verdict {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.subject.0);
        sink.put_u64(self.generation.0);
        sink.put_varint(self.incarnation.0);
        match self.status {
            // Reserved: no receiver takes it.
            Status::Alive => sink.put_u8(0),
            Status::Suspect => {
                sink.put_u8(1);
                self.accusers.encode(sink);
            }
            Status::Dead => sink.put_u8(2),
            Status::Left if self.left_at == LeftAt::default() => sink.put_u8(3),
            Status::Left => {
                sink.put_u8(4);
                self.left_at.encode(sink);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let subject = reader.name_hash()?;
        let generation = reader.generation()?;
        let incarnation = reader.incarnation()?;
        let (mut accusers, mut left_at) = (Accusers::default(), LeftAt::default());
        let status = match reader.u8()? {
            1 => {
                accusers = Accusers::decode(reader)?;
                Status::Suspect
            }
            2 => Status::Dead,
            3 => Status::Left,
            4 => {
                left_at = LeftAt::decode(reader)?;
                if left_at == LeftAt::default() {
                    return Err(Malformed);
                }
                Status::Left
            }
            _ => return Err(Malformed),
        };
        Ok(Self { subject, generation, incarnation, status, accusers, left_at })
    }
}

impl LeftAt {
    fn encode(self, sink: &mut impl Sink) {
        sink.put_varint(self.state_version);
        sink.put_varint(self.broadcast);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { state_version: reader.varint()?, broadcast: reader.varint()? })
    }
}

impl Accusers {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_varint(self.as_slice().len() as u64);
        for name in self.as_slice() {
            sink.put_u64(name.0);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.varint()?;
        if count == 0 {
            return Err(Malformed);
        }
        let mut accusers = Self::default();
        for _ in 0..count {
            // The set does not take one twice, nor one too many.
            if !accusers.insert(reader.name_hash()?) {
                return Err(Malformed);
            }
        }
        Ok(accusers)
    }
}

impl Vouch {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.cookie.0);
        sink.put_u64(self.subject.0);
        sink.put_u64(self.generation.0);
        sink.put_varint(self.incarnation.0);
        self.left_at.encode(sink);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            cookie: reader.shown_cookie()?,
            subject: reader.name_hash()?,
            generation: reader.generation()?,
            incarnation: reader.incarnation()?,
            left_at: LeftAt::decode(reader)?,
        })
    }
}

impl<'a> Hello<'a> {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.cookie.0);
        sink.put_varint(self.attempt.into());
        sink.put_u64(self.cluster.0);
        self.record.encode(sink);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (seq, cookie) = (reader.seq()?, reader.shown_cookie()?);
        let attempt = reader.varint_u32()?;
        if attempt == 0 {
            return Err(Malformed);
        }
        let cluster = ClusterId(reader.u64()?);
        Ok(Self { seq, cookie, attempt, cluster, record: Record::decode(reader)? })
    }
}

impl Welcome {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        self.view.encode(sink);
        sink.put_varint(self.count.into());
        sink.put_u64(self.cluster.0);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            seq: reader.seq()?,
            view: ViewMark::decode(reader)?,
            count: reader.varint_u32()?,
            cluster: ClusterId(reader.u64()?),
        })
    }
}

impl RejectReason {
    fn encode(self, sink: &mut impl Sink) {
        match self {
            Self::NameTaken { addr } => {
                sink.put_u8(1);
                sink.put_addr(addr);
            }
            Self::Stale { known, addr } => {
                sink.put_u8(2);
                sink.put_u64(known.0);
                sink.put_addr(addr);
            }
            Self::ClockAhead => sink.put_u8(3),
            Self::Full => sink.put_u8(4),
            Self::NotAllowed => sink.put_u8(5),
            Self::Unreachable { seen } => {
                sink.put_u8(6);
                sink.put_addr(seen);
            }
            Self::BadAddress => sink.put_u8(7),
            Self::WrongVersion { spoken } => {
                sink.put_u8(8);
                sink.put_u8(spoken.oldest());
                sink.put_u8(spoken.newest());
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            1 => Ok(Self::NameTaken { addr: reader.addr()? }),
            2 => Ok(Self::Stale { known: reader.generation()?, addr: reader.addr()? }),
            3 => Ok(Self::ClockAhead),
            4 => Ok(Self::Full),
            5 => Ok(Self::NotAllowed),
            6 => Ok(Self::Unreachable { seen: reader.addr()? }),
            7 => Ok(Self::BadAddress),
            8 => {
                let (oldest, newest) = (reader.u8()?, reader.u8()?);
                Ok(Self::WrongVersion { spoken: Versions::new(oldest, newest).ok_or(Malformed)? })
            }
            _ => Err(Malformed),
        }
    }
}

impl RejectHintReason {
    fn encode(self, sink: &mut impl Sink) {
        sink.put_u8(match self {
            Self::WrongCluster => 1,
            Self::WrongKey => 2,
        });
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            1 => Ok(Self::WrongCluster),
            2 => Ok(Self::WrongKey),
            _ => Err(Malformed),
        }
    }
}

impl<'a> BucketDigest<'a> {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.cookie.0);
        sink.put_varint(self.count.into());
        sink.put_u64(self.from.0);
        sink.put(self.sums.0);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            seq: reader.seq()?,
            cookie: reader.shown_cookie()?,
            count: reader.varint_u32()?,
            from: reader.u64().map(NameHash)?,
            sums: SumList::decode(reader)?,
        })
    }
}

impl<'a> Digests<'a> {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.from.0);
        sink.put_u64(self.next.0);
        sink.put(self.groups.0);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let seq = reader.seq()?;
        let (from, next) = reader.range()?;
        Ok(Self { seq, from, next, groups: Groups::decode(reader)? })
    }
}

impl<'a> Offer<'a> {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.cookie.0);
        sink.put(self.wants.0);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { seq: reader.seq()?, cookie: reader.shown_cookie()?, wants: Wants::decode(reader)? })
    }
}

impl Pull {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.cookie.0);
        sink.put_u64(self.from.0);
        sink.put_u64(self.until.0);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let seq = reader.seq()?;
        let cookie = reader.shown_cookie()?;
        let (from, until) = reader.range()?;
        Ok(Self { seq, cookie, from, until })
    }
}

impl Page {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.next.0);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { seq: reader.seq()?, next: reader.u64().map(NameHash)? })
    }
}

impl<'a> Broadcast<'a> {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.origin.0);
        sink.put_u64(self.generation.0);
        sink.put_varint(self.number);
        sink.put(self.payload);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (origin, generation) = (reader.name_hash()?, reader.generation()?);
        let number = reader.varint()?;
        if number == 0 {
            return Err(Malformed);
        }
        Ok(Self { origin, generation, number, payload: reader.take_rest() })
    }
}
