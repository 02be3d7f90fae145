//! One datagram: a [`Header`], then bodies, then a checksum; or in its place, and between them, what a seal needs (see
//! [`super::sealed`]).
//!
//! [`Packet::new`] checks every byte before anything is used, lists included; reading the bodies after that
//! runs the same code again, lazily and without allocation. [`Writer`] is the way back.

#[cfg(feature = "encryption")]
use super::NameHash;
use super::body::Body;
use super::checksum::{self, CHECKSUM_SIZE};
use super::cursor::{Appender, Reader, Sink};
use super::header::{HEADER_SIZE, Header};
use super::malformed::Malformed;
use super::sealed::SealedHead;
use super::version::{self, Form, Unreadable};

/// The most bodies in one datagram, those of unknown types included. The smallest body takes two bytes and some
/// bodies ask for an answer: without this limit one large datagram could cost its receiver tens of thousands of
/// steps under its lock, and as many datagrams.
pub(crate) const BODIES_MAX: usize = 128;
/// Members send datagrams of at least this size where they have so much to say: it holds the longest record.
pub(crate) const DATAGRAM_MIN: usize = 1_200;

/// Room for a ping with a few rumors, taken at once so that a fresh buffer does not grow field by field.
const USUAL_SIZE: usize = 256;

/// A datagram as it comes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Frame<'a> {
    /// Checked whole.
    Plain(Packet<'a>),
    /// Nothing of it is true before it is opened.
    Sealed(SealedHead),
}

impl<'a> Frame<'a> {
    /// Checks all that can be read.
    pub(crate) fn decode(datagram: &'a [u8]) -> Result<Self, Unreadable> {
        let (head, mut reader) = version::decode(datagram)?;
        let header = Header::decode(head, &mut reader)?;
        Ok(if head.form == Form::Sealed {
            Self::Sealed(SealedHead::decode(header, &mut reader)?)
        } else {
            Self::Plain(Packet::new(header, reader.take_rest())?)
        })
    }

    /// Who sends it, or says so.
    pub(crate) fn header(&self) -> &Header {
        match self {
            Self::Plain(packet) => packet.header(),
            Self::Sealed(head) => &head.header,
        }
    }
}

/// The contents of a datagram, checked whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    header: Header,
    bodies: &'a [u8],
}

impl<'a> Packet<'a> {
    /// A datagram that is not sealed.
    pub(crate) fn decode(datagram: &'a [u8]) -> Result<Self, Malformed> {
        match Frame::decode(datagram) {
            Ok(Frame::Plain(packet)) => Ok(packet),
            Ok(Frame::Sealed(_)) | Err(_) => Err(Malformed),
        }
    }

    /// The bodies that belong to a header; every byte is checked.
    pub(crate) fn new(header: Header, bodies: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bodies);
        let mut count = 0;
        while !reader.is_empty() {
            count += 1;
            if count > BODIES_MAX {
                return Err(Malformed);
            }
            next_body(&mut reader)?;
        }
        Ok(Self { header, bodies })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The bodies as they stand.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn contents(&self) -> &'a [u8] {
        self.bodies
    }

    /// The bodies in order, without those of an unknown type.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = Body<'a>> + use<'a> {
        let mut reader = Reader::new(self.bodies);
        std::iter::from_fn(move || {
            while !reader.is_empty() {
                // `decode` has read the same bytes with the same function: this does not fail.
                if let Some(body) = next_body(&mut reader).ok()? {
                    return Some(body);
                }
            }
            None
        })
    }
}

/// Reads type, length and contents; `None` for a type that this version does not know.
fn next_body<'a>(reader: &mut Reader<'a>) -> Result<Option<Body<'a>>, Malformed> {
    let kind = reader.u8()?;
    Body::decode(kind, reader.prefixed()?)
}

/// A plain datagram of bodies that are bytes already, whatever they are.
#[cfg(any(feature = "encryption", test, fuzzing))]
pub(crate) fn plain(header: &Header, bodies: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(HEADER_SIZE + bodies.len() + CHECKSUM_SIZE);
    header.encode(Form::Plain, &mut datagram);
    datagram.put(bodies);
    checksum::append(&mut datagram);
    datagram
}

/// Builds one datagram of at most `limit` bytes.
#[derive(Debug)]
pub(crate) struct Writer {
    datagram: Vec<u8>,
    form: Form,
    /// For all but what comes behind the bodies.
    limit: usize,
    bodies: usize,
}

impl Writer {
    /// Begins a datagram in `buffer`, whose contents are dropped and whose memory is used again.
    pub(crate) fn new(buffer: Vec<u8>, header: &Header, limit: usize) -> Self {
        Self::begin(buffer, header, Form::Plain, limit - CHECKSUM_SIZE)
    }

    /// Likewise, of a datagram to this node that is going to be [sealed](super::sealed::fill_head), and within its limit
    /// then. Zero: whoever receives it.
    #[cfg(feature = "encryption")]
    pub(crate) fn to_be_sealed(buffer: Vec<u8>, header: &Header, receiver: NameHash, limit: usize) -> Self {
        let mut writer = Self::begin(buffer, header, Form::Sealed, limit - super::sealed::TAG_SIZE);
        super::sealed::leave_room(&mut writer.datagram, receiver);
        writer
    }

    fn begin(buffer: Vec<u8>, header: &Header, form: Form, limit: usize) -> Self {
        debug_assert!(limit >= HEADER_SIZE, "a limit of {limit} bytes has no room for a header");
        let mut datagram = buffer;
        datagram.clear();
        datagram.reserve(limit.min(USUAL_SIZE));
        header.encode(form, &mut datagram);
        Self { datagram, form, limit, bodies: 0 }
    }

    /// Appends a body; false, and nothing is changed, if it does not fit: for want of bytes, or because the
    /// datagram has [`BODIES_MAX`] bodies.
    #[must_use]
    pub(crate) fn push(&mut self, body: &Body<'_>) -> bool {
        if self.bodies == BODIES_MAX {
            return false;
        }
        let start = self.datagram.len();
        let fits = Appender::append(&mut self.datagram, self.limit, |sink| {
            sink.put_u8(body.kind());
            sink.put_prefixed(|sink| body.encode(sink));
        });
        self.bodies += usize::from(fits);
        debug_assert!(
            !fits || matches!(next_body(&mut Reader::new(&self.datagram[start..])), Ok(Some(_))),
            "every receiver would refuse {body:?}"
        );
        fits
    }

    /// How many bytes the contents of another body may have, at least.
    pub(crate) fn room(&self) -> usize {
        // Its type, and its length as a varint.
        let head = if self.limit < 1 << 14 { 3 } else { 4 };
        self.limit.saturating_sub(self.datagram.len() + head)
    }

    /// Whether nothing was pushed yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.bodies == 0
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.form == Form::Plain {
            checksum::append(&mut self.datagram);
        }
        self.datagram
    }
}
