//! The layout of what carries states, for both ways side by side (see [`super::codec`]).

use super::body::{Cuts, Delta, Fetch, Standing};
use super::cursor::{Reader, Sink};
use super::lists::{Lacks, Steps, Writes};
use super::malformed::Malformed;
use crate::state::VERSION_MAX;

impl<'a> Delta<'a> {
    pub(super) fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.subject.0);
        sink.put_u64(self.generation.0);
        sink.put_varint(self.version);
        sink.put_varint(self.version - self.base);
        sink.put_varint(self.version - self.to);
        sink.put_varint(self.to - self.from);
        sink.put(self.writes.0);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let subject = reader.name_hash()?;
        let generation = reader.generation()?;
        let version = reader.version()?;
        let base = version.checked_sub(reader.varint()?).ok_or(Malformed)?;
        let to = version.checked_sub(reader.varint()?).ok_or(Malformed)?;
        let reach = reader.varint()?;
        let from = to.checked_sub(reach).ok_or(Malformed)?;
        let writes = Writes::decode(reader, reach)?;
        Ok(Self { subject, generation, version, base, from, to, writes })
    }
}

impl<'a> Fetch<'a> {
    pub(super) fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.seq.0);
        sink.put_u64(self.cookie.0);
        sink.put(self.lacks.0);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { seq: reader.seq()?, cookie: reader.shown_cookie()?, lacks: Lacks::decode(reader)? })
    }
}

impl<'a> Standing<'a> {
    pub(super) fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.subject.0);
        sink.put_u64(self.generation.0);
        sink.put_varint(self.version);
        sink.put_varint(self.version - self.to);
        sink.put_varint(self.to - self.from);
        sink.put(self.steps.0);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let subject = reader.name_hash()?;
        let generation = reader.generation()?;
        let version = reader.version()?;
        let to = version.checked_sub(reader.varint()?).ok_or(Malformed)?;
        let reach = reader.varint()?;
        let from = to.checked_sub(reach).ok_or(Malformed)?;
        Ok(Self { subject, generation, version, from, to, steps: Steps::decode(reader, reach)? })
    }
}

impl<'a> Cuts<'a> {
    pub(super) fn encode(&self, sink: &mut impl Sink) {
        sink.put_u64(self.subject.0);
        sink.put_u64(self.generation.0);
        sink.put_varint(self.from);
        sink.put(self.steps.0);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let subject = reader.name_hash()?;
        let generation = reader.generation()?;
        let from = reader.version()?;
        Ok(Self { subject, generation, from, steps: Steps::decode(reader, VERSION_MAX - from)? })
    }
}

impl Reader<'_> {
    fn version(&mut self) -> Result<u64, Malformed> {
        let version = self.varint()?;
        if version > VERSION_MAX { Err(Malformed) } else { Ok(version) }
    }
}
