//! The layout of what carries messages, for both ways side by side (see [`super::codec`]).

use super::body::{
    FRAGMENT_SIZE_MIN, Fragment, FragmentAck, MESSAGE_MAX, NUMBERS_AHEAD_MAX, Progress, Refusal, fragments_of,
};
use super::cursor::{Reader, Sink};
use super::lists::Bits;
use super::malformed::Malformed;

impl<'a> Fragment<'a> {
    pub(super) fn encode(&self, sink: &mut impl Sink) {
        sink.put_u8(self.ask);
        sink.put_varint(self.number);
        sink.put_varint(self.behind);
        sink.put_varint(self.total.into());
        sink.put_varint(self.size.into());
        sink.put_varint(self.index.into());
        sink.put(self.bytes);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let fragment = Self {
            ask: reader.u8()?,
            number: reader.number()?,
            behind: reader.varint()?,
            total: reader.varint_u32()?,
            size: reader.varint_u32()?,
            index: reader.varint_u32()?,
            bytes: reader.take_rest(),
        };
        if fragment.is_valid() { Ok(fragment) } else { Err(Malformed) }
    }

    /// Whether the numbers are possible, and go with each other and with the bytes.
    fn is_valid(&self) -> bool {
        let Self { number, behind, total, size, index, .. } = *self;
        let numbers = behind < number.min(NUMBERS_AHEAD_MAX);
        let sizes = total <= MESSAGE_MAX && (FRAGMENT_SIZE_MIN..=u32::from(u16::MAX)).contains(&size);
        // In this order: the products fit because the index is in range.
        numbers
            && sizes
            && index < fragments_of(total, size)
            && self.bytes.len() == size.min(total - index * size) as usize
    }
}

impl<'a> FragmentAck<'a> {
    pub(super) fn encode(&self, sink: &mut impl Sink) {
        sink.put_u8(self.ask);
        sink.put_varint(self.number);
        match self.progress {
            Progress::Receiving { next, beyond } => {
                sink.put_u8(0);
                sink.put_varint(next.into());
                sink.put(beyond.0);
            }
            Progress::Delivered => sink.put_u8(1),
            Progress::Refused(refusal) => sink.put_u8(match refusal {
                Refusal::NobodyListens => 2,
                Refusal::Overloaded => 3,
                Refusal::TooLarge => 4,
            }),
        }
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let ask = reader.u8()?;
        let number = reader.number()?;
        let progress = match reader.u8()? {
            0 => Progress::Receiving { next: reader.varint_u32()?, beyond: Bits::decode(reader)? },
            1 => Progress::Delivered,
            2 => Progress::Refused(Refusal::NobodyListens),
            3 => Progress::Refused(Refusal::Overloaded),
            4 => Progress::Refused(Refusal::TooLarge),
            _ => return Err(Malformed),
        };
        Ok(Self { ask, number, progress })
    }
}

impl Reader<'_> {
    /// The number of a message.
    fn number(&mut self) -> Result<u64, Malformed> {
        match self.varint()? {
            0 => Err(Malformed),
            number => Ok(number),
        }
    }
}
