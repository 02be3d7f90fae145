//! The lists in bodies: views of bytes, read entry by entry, and how they are built.
//!
//! A list that came in a datagram was checked whole when the datagram was decoded, and one that was built here
//! is valid by construction: hence iteration can not fail. Nothing is copied out of the datagram.

use super::NameHash;
use super::body::BUCKETS;
use super::cursor::{self, Reader, Sink};
use super::malformed::Malformed;
use crate::node::Generation;
use crate::state::VALUE_MAX;

/// The most bytes of [`Bits`].
pub(crate) const BITS_SIZE_MAX: usize = 128;

/// The short key of a record in a digest: which bucket, and 32 other bits of its name hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordKey {
    pub(crate) bucket: u8,
    pub(crate) low: u32,
}

impl RecordKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { bucket: decode_bucket(reader)?, low: reader.u32()? })
    }
}

impl From<NameHash> for RecordKey {
    fn from(name: NameHash) -> Self {
        Self { bucket: name.bucket(), low: name.low() }
    }
}

fn sum(buckets: &[u64]) -> u64 {
    buckets.iter().fold(0, |sum, bucket| sum.wrapping_add(*bucket))
}

fn decode_bucket(reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    let bucket = reader.u8()?;
    if usize::from(bucket) < BUCKETS { Ok(bucket) } else { Err(Malformed) }
}

/// Sums of 8 bytes, each of as many buckets: a power of two of them, at most [`BUCKETS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SumList<'a>(pub(super) &'a [u8]);

impl<'a> SumList<'a> {
    /// Lays the sums of a view of so many records out in `buffer`, whose contents are dropped: a sum for each record or
    /// two, so that neither the sums nor the digests of what differs are long.
    pub(crate) fn encode(sums: &[u64; BUCKETS], records: usize, buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        let count = records.next_power_of_two().clamp(2, BUCKETS * 2) / 2;
        for buckets in sums.chunks_exact(BUCKETS / count) {
            buffer.put_u64(sum(buckets));
        }
        Self(buffer)
    }

    /// The list is the rest of its body.
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let bytes = reader.take_rest();
        let count = bytes.len() / 8;
        let is_whole = bytes.len().is_multiple_of(8) && count.is_power_of_two() && count <= BUCKETS;
        if is_whole { Ok(Self(bytes)) } else { Err(Malformed) }
    }

    /// The sums, in the order of the buckets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.0.chunks_exact(8).map_while(|sum| Reader::new(sum).u64().ok())
    }

    /// Which buckets are in a sum that is not that of these buckets.
    pub(crate) fn differ(&self, ours: &[u64; BUCKETS]) -> [bool; BUCKETS] {
        let mut differ = [false; BUCKETS];
        let each = (BUCKETS * 8).checked_div(self.0.len()).unwrap_or(BUCKETS);
        for ((theirs, ours), differ) in self.iter().zip(ours.chunks(each)).zip(differ.chunks_mut(each)) {
            differ.fill(theirs != sum(ours));
        }
        differ
    }
}

/// Wanted keys, 5 bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wants<'a>(pub(super) &'a [u8]);

impl<'a> Wants<'a> {
    /// Lays the keys out in `buffer`, whose contents are dropped.
    pub(crate) fn encode(keys: &[RecordKey], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        for key in keys {
            debug_assert!(usize::from(key.bucket) < BUCKETS, "there is no bucket {}", key.bucket);
            buffer.put_u8(key.bucket);
            buffer.put_u32(key.low);
        }
        Self(buffer)
    }

    /// The list is the rest of its body.
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let bytes = reader.take_rest();
        let mut keys = Reader::new(bytes);
        while !keys.is_empty() {
            RecordKey::decode(&mut keys)?;
        }
        Ok(Self(bytes))
    }

    /// The keys, in the order in which they were listed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RecordKey> + use<'a> {
        let mut keys = Reader::new(self.0);
        std::iter::from_fn(move || RecordKey::decode(&mut keys).ok())
    }
}

/// Groups of digest entries, a group a bucket: bucket (1 byte), count (2 bytes), then per record the low bits of
/// the name hash (4) and of the record hash (4), whose lowest bit says whether the sender vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Groups<'a>(pub(super) &'a [u8]);

impl<'a> Groups<'a> {
    /// The list is the rest of its body; its buckets ascend.
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let bytes = reader.take_rest();
        let mut groups = Reader::new(bytes);
        let mut last = None;
        while !groups.is_empty() {
            let bucket = Some(Group::decode(&mut groups)?.bucket);
            if bucket <= last {
                return Err(Malformed);
            }
            last = bucket;
        }
        Ok(Self(bytes))
    }

    /// The groups, by bucket.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Group<'a>> + use<'a> {
        let mut groups = Reader::new(self.0);
        std::iter::from_fn(move || Group::decode(&mut groups).ok())
    }
}

/// What a digest says of one bucket; no entries: the sender holds nothing there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group<'a> {
    pub(crate) bucket: u8,
    pub(crate) entries: Entries<'a>,
}

impl<'a> Group<'a> {
    /// The bytes before the entries.
    pub(crate) const HEADER_SIZE: usize = 3;

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let bucket = decode_bucket(reader)?;
        let count = usize::from(reader.u16()?);
        let entries = reader.take(count * Entry::SIZE).map(Entries)?;
        Ok(Self { bucket, entries })
    }
}

/// The entries of one [`Group`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    /// The entries, in the order in which they were listed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry> + use<'a> {
        let mut entries = Reader::new(self.0);
        std::iter::from_fn(move || Entry::decode(&mut entries).ok())
    }
}

/// One record in a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The low half of its name hash, as in [`RecordKey`].
    pub(crate) low: u32,
    /// The low half of its record hash, but for the lowest bit, which is zero.
    pub(crate) record: u32,
    /// Whether the sender vouches for it.
    pub(crate) vouched: bool,
}

impl Entry {
    /// The bytes of one entry.
    pub(crate) const SIZE: usize = 8;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let low = reader.u32()?;
        let record = reader.u32()?;
        Ok(Self { low, record: record & !1, vouched: record & 1 == 1 })
    }
}

/// Builds [`Groups`], bucket by bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupsBuilder {
    bytes: Vec<u8>,
    current: Option<Current>,
}

/// The group that grows.
#[derive(Debug, Clone, Copy)]
struct Current {
    bucket: u8,
    count: u16,
    /// Where in the bytes its count stands.
    count_at: usize,
}

impl GroupsBuilder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Begins the next group. Buckets must ascend.
    pub(crate) fn begin_bucket(&mut self, bucket: u8) {
        debug_assert!(usize::from(bucket) < BUCKETS, "there is no bucket {bucket}");
        debug_assert!(
            self.current.is_none_or(|current| current.bucket < bucket),
            "bucket {bucket} is not above {:?}",
            self.current
        );
        self.bytes.put_u8(bucket);
        self.current = Some(Current { bucket, count: 0, count_at: self.bytes.len() });
        self.bytes.put_u16(0);
    }

    /// Adds an entry to the group that was begun last. 65,535 are the most in one group, far more than the
    /// largest datagram holds: one beyond is left out.
    pub(crate) fn push(&mut self, entry: Entry) {
        debug_assert!(self.current.is_some(), "no bucket was begun");
        let Some(current) = &mut self.current else { return };
        let Some(count) = current.count.checked_add(1) else { return };
        current.count = count;
        cursor::overwrite_u16(&mut self.bytes, current.count_at, count);
        self.bytes.put_u32(entry.low);
        self.bytes.put_u32(entry.record & !1 | u32::from(entry.vouched));
    }

    /// The bytes that the groups take so far.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn as_groups(&self) -> Groups<'_> {
        Groups(&self.bytes)
    }
}

/// What was written into a state: by version, the key (a length byte and UTF-8), how far its version is above the
/// one before it, and the value's length plus one with the value, or 0: removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Writes<'a>(pub(super) &'a [u8]);

/// One key that was written or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Write<'a> {
    pub(crate) key: &'a str,
    /// How far its version is above that of the write before it; of the first, above the `from` of its delta.
    pub(crate) step: u64,
    /// None: removed.
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> Write<'a> {
    fn encode(&self, sink: &mut impl Sink) {
        sink.put_text(self.key);
        sink.put_varint(self.step);
        match self.value {
            None => sink.put_varint(0),
            Some(value) => {
                sink.put_varint(value.len() as u64 + 1);
                sink.put(value);
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let key = reader.text()?;
        let step = reader.varint()?;
        let length = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
        if step == 0 || length > VALUE_MAX + 1 {
            return Err(Malformed);
        }
        let value = length.checked_sub(1).map(|length| reader.take(length)).transpose()?;
        Ok(Self { key, step, value })
    }
}

impl<'a> Writes<'a> {
    /// The list is the rest of its body. Its versions are at most `reach` above the first `from`.
    pub(super) fn decode(reader: &mut Reader<'a>, reach: u64) -> Result<Self, Malformed> {
        let bytes = reader.take_rest();
        let mut writes = Reader::new(bytes);
        let mut left = reach;
        while !writes.is_empty() {
            left = left.checked_sub(Write::decode(&mut writes)?.step).ok_or(Malformed)?;
        }
        Ok(Self(bytes))
    }

    /// The writes, by version.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Write<'a>> + use<'a> {
        let mut writes = Reader::new(self.0);
        std::iter::from_fn(move || Write::decode(&mut writes).ok())
    }
}

/// Lays out writes.
#[derive(Debug, Default)]
pub(crate) struct WritesBuilder {
    bytes: Vec<u8>,
}

impl WritesBuilder {
    /// Appends a write, if all of them are at most `room` bytes then.
    #[must_use]
    pub(crate) fn push(&mut self, write: &Write<'_>, room: usize) -> bool {
        let length = self.bytes.len();
        write.encode(&mut self.bytes);
        let fits = self.bytes.len() <= room;
        if !fits {
            self.bytes.truncate(length);
        }
        fits
    }

    pub(crate) fn as_writes(&self) -> Writes<'_> {
        Writes(&self.bytes)
    }
}

/// Versions that ascend, each as its distance from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Steps<'a>(pub(super) &'a [u8]);

impl<'a> Steps<'a> {
    /// The list is the rest of its body. Its versions are at most `reach` above that before the first.
    pub(super) fn decode(reader: &mut Reader<'a>, reach: u64) -> Result<Self, Malformed> {
        let bytes = reader.take_rest();
        let mut steps = Reader::new(bytes);
        let mut left = reach;
        while !steps.is_empty() {
            let step = steps.varint()?;
            left = left.checked_sub(step).filter(|_| step > 0).ok_or(Malformed)?;
        }
        Ok(Self(bytes))
    }

    /// The versions, where that before the first is `from`.
    pub(crate) fn versions(&self, from: u64) -> impl Iterator<Item = u64> + use<'a> {
        let mut steps = Reader::new(self.0);
        std::iter::from_fn(move || steps.varint().ok()).scan(from, |version, step| {
            *version += step;
            Some(*version)
        })
    }
}

/// Lays out versions.
#[derive(Debug)]
pub(crate) struct StepsBuilder {
    bytes: Vec<u8>,
    last: u64,
}

impl StepsBuilder {
    /// For versions above `from`.
    pub(crate) fn new(from: u64) -> Self {
        Self { bytes: Vec::new(), last: from }
    }

    /// Appends a version, if all of them are at most `room` bytes then. It must be above the one before it.
    #[must_use]
    pub(crate) fn push(&mut self, version: u64, room: usize) -> bool {
        debug_assert!(version > self.last, "{version} is not above {}", self.last);
        let length = self.bytes.len();
        self.bytes.put_varint(version - self.last);
        let fits = self.bytes.len() <= room;
        if fits {
            self.last = version;
        } else {
            self.bytes.truncate(length);
        }
        fits
    }

    /// The version that was appended last.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn as_steps(&self) -> Steps<'_> {
        Steps(&self.bytes)
    }
}

/// What a peer lacks of a node's state or broadcasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// All that was written after version `from`, up to version `until`; 0: up to the last.
    State { subject: NameHash, generation: Generation, from: u64, until: u64 },
    /// Which of the writes after version `from`, up to version `until`, still stand.
    Standing { subject: NameHash, generation: Generation, from: u64, until: u64 },
    /// All broadcasts with numbers above `after`.
    Broadcasts { origin: NameHash, generation: Generation, after: u64 },
}

impl Lack {
    /// No lack takes more bytes.
    pub(crate) const SIZE_MAX: usize = 1 + 8 + 8 + 10 + 10;

    fn encode(&self, sink: &mut impl Sink) {
        match self {
            Self::State { subject, generation, from, until } => {
                sink.put_u8(1);
                sink.put_u64(subject.0);
                sink.put_u64(generation.0);
                sink.put_varint(*from);
                sink.put_varint(*until);
            }
            Self::Standing { subject, generation, from, until } => {
                sink.put_u8(3);
                sink.put_u64(subject.0);
                sink.put_u64(generation.0);
                sink.put_varint(*from);
                sink.put_varint(*until);
            }
            Self::Broadcasts { origin, generation, after } => {
                sink.put_u8(2);
                sink.put_u64(origin.0);
                sink.put_u64(generation.0);
                sink.put_varint(*after);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = reader.u8()?;
        let (subject, generation) = (reader.name_hash()?, reader.generation()?);
        match kind {
            1 => Ok(Self::State { subject, generation, from: reader.varint()?, until: reader.varint()? }),
            2 => Ok(Self::Broadcasts { origin: subject, generation, after: reader.varint()? }),
            3 => Ok(Self::Standing { subject, generation, from: reader.varint()?, until: reader.varint()? }),
            _ => Err(Malformed),
        }
    }
}

/// A list of lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lacks<'a>(pub(super) &'a [u8]);

impl<'a> Lacks<'a> {
    /// Lays the lacks out in `buffer`, whose contents are dropped.
    pub(crate) fn encode(lacks: &[Lack], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        for lack in lacks {
            lack.encode(buffer);
        }
        Self(buffer)
    }

    /// The list is the rest of its body.
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let bytes = reader.take_rest();
        let mut lacks = Reader::new(bytes);
        while !lacks.is_empty() {
            Lack::decode(&mut lacks)?;
        }
        Ok(Self(bytes))
    }

    /// The lacks, in the order in which they were listed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Lack> + use<'a> {
        let mut lacks = Reader::new(self.0);
        std::iter::from_fn(move || Lack::decode(&mut lacks).ok())
    }
}

/// Which fragments after a missing one have come: bit `i` of byte `b`, from the lowest, is the fragment `8 b + i + 1`
/// places after it. The last byte is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bits<'a>(pub(super) &'a [u8]);

impl<'a> Bits<'a> {
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let bytes = reader.take_rest();
        if bytes.len() > BITS_SIZE_MAX || bytes.last() == Some(&0) {
            return Err(Malformed);
        }
        Ok(Self(bytes))
    }

    /// Lays the bits of these distances out in `buffer`. Each is at least 1; those that are too far are left out.
    pub(crate) fn encode(distances: impl IntoIterator<Item = u32>, buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        for distance in distances {
            let bit = distance.saturating_sub(1) as usize;
            if bit / 8 < BITS_SIZE_MAX {
                buffer.resize(buffer.len().max(bit / 8 + 1), 0);
                buffer[bit / 8] |= 1 << (bit % 8);
            }
        }
        Self(buffer)
    }

    /// Whether the bit of a distance is set.
    pub(crate) fn contains(self, distance: u32) -> bool {
        let bit = distance.wrapping_sub(1);
        self.0.get(bit as usize / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }
}
