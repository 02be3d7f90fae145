//! What is done to a protocol, step by step, as bytes.

use std::time::Duration;

/// Times are up to 255 ms, doubled less often than this: the longest is 2.3 hours.
const SCALES: u8 = 16;

/// Which of a few things a byte stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice(pub(super) u8);

impl Choice {
    /// One of these, of which there is at least one.
    pub(super) fn of<T: Clone>(self, all: &[T]) -> T {
        all[usize::from(self.0) % all.len()].clone()
    }
}

/// How a datagram is made of its bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct How(pub(super) u8);

impl How {
    /// Fields that only the receiver can have told are put right (see [`super::aim`]).
    pub(super) const AIMED: Self = Self(0);

    pub(super) fn is_aimed(self) -> bool {
        self.0 & 1 == 0
    }

    /// From where the sender does not live.
    pub(super) fn is_elsewhere(self) -> bool {
        self.0 & 2 != 0
    }

    /// Without the receiver's run.
    pub(super) fn is_unbound(self) -> bool {
        self.0 & 4 != 0
    }

    /// By a later run of the sender.
    pub(super) fn is_restarted(self) -> bool {
        self.0 & 8 != 0
    }

    /// It has waited for a second until it was handled.
    pub(super) fn is_late(self) -> bool {
        self.0 & 16 != 0
    }

    /// It answers the last fitting request but so many.
    pub(super) fn answers(self) -> usize {
        usize::from(self.0 >> 5)
    }
}

/// What happens while time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// The protocol does what is due, and those whom it knows answer its pings.
    Answered,
    /// Nobody answers.
    Alone,
    /// It does not wake, and finds in the end what should have been done.
    Asleep,
}

impl Pace {
    const ALL: [Self; 3] = [Self::Answered, Self::Alone, Self::Asleep];
}

/// One step. Persons are counted in [`super::rig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A datagram comes, with a header that is right.
    Datagram { from: Choice, how: How, bodies: &'a [u8] },
    /// Any bytes come.
    Bytes { from: Choice, bytes: &'a [u8] },
    /// One of the last datagrams comes again.
    Again { which: Choice },
    /// Time passes.
    Wait { time: Duration, pace: Pace },
    /// A user wants something of or about a person.
    RequestId { call: Choice, whom: Choice, text: &'a [u8] },
}

/// The steps that are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes a choice; the first one, when nothing is left.
    pub(super) fn choice(&mut self) -> Choice {
        Choice(self.byte())
    }

    /// As many bytes as the two before them say, or what is left.
    fn bytes(&mut self) -> &'a [u8] {
        let length = u16::from_be_bytes([self.byte(), self.byte()]);
        let (bytes, rest) = self.rest.split_at(self.rest.len().min(length.into()));
        self.rest = rest;
        bytes
    }

    fn byte(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.rest = rest;
        *first
    }
}

impl<'a> Iterator for Script<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(match self.byte() % 5 {
            0 => Step::Datagram { from: self.choice(), how: How(self.byte()), bodies: self.bytes() },
            1 => Step::Bytes { from: self.choice(), bytes: self.bytes() },
            2 => {
                let (length, scale) = (self.byte(), self.byte());
                let pace = Choice(scale / SCALES).of(&Pace::ALL);
                Step::Wait { time: Duration::from_millis(u64::from(length) << (scale % SCALES)), pace }
            }
            3 => Step::Again { which: self.choice() },
            _ => Step::RequestId { call: self.choice(), whom: self.choice(), text: self.bytes() },
        })
    }
}

/// Appends the bytes of a step. A time is rounded down to what they can say.
pub(super) fn write(script: &mut Vec<u8>, step: &Step<'_>) {
    match *step {
        Step::Datagram { from, how, bodies } => {
            script.extend([0, from.0, how.0]);
            write_bytes(script, bodies);
        }
        Step::Bytes { from, bytes } => {
            script.extend([1, from.0]);
            write_bytes(script, bytes);
        }
        Step::Wait { time, pace } => {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let scale = (0..SCALES).find(|scale| millis >> scale <= 255).unwrap_or(SCALES - 1);
            let length = u8::try_from(millis >> scale).unwrap_or(u8::MAX);
            let pace = (0..3).find(|choice| Choice(*choice).of(&Pace::ALL) == pace).unwrap_or_default();
            script.extend([2, length, scale + SCALES * pace]);
        }
        Step::Again { which } => script.extend([3, which.0]),
        Step::RequestId { call, whom, text } => {
            script.extend([4, call.0, whom.0]);
            write_bytes(script, text);
        }
    }
}

/// Longer ones are cut off.
fn write_bytes(script: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    script.extend(length.to_be_bytes());
    script.extend(&bytes[..length.into()]);
}
