//! The recorded form: hashes as text, eight seconds a line.
//!
//! ```text
//! 03 016 5f0c1a2b9d3e …
//! │  │   │   │   └ what the views show at the end of the second
//! │  │   │   └──── all events and results of calls up to then
//! │  │   └──────── all datagrams up to then
//! │  └──────────── the first second of the line
//! └─────────────── the world
//! ```

use std::collections::BTreeMap;
use std::fmt::{self, Write};

const SECONDS_PER_LINE: usize = 8;
/// Hexadecimal digits of a second: four for each of its hashes.
const DIGITS: usize = 12;

/// One virtual second of a world: the low 16 bits of three hashes. Two of them go on from second to second, so what
/// 16 bits do not show in the first second they show in the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Second {
    pub(super) datagrams: u16,
    pub(super) told: u16,
    pub(super) views: u16,
}

impl Second {
    pub(super) fn new(datagrams: u64, told: u64, views: u64) -> Self {
        let low = |hash: u64| u16::try_from(hash & 0xffff).unwrap();
        Self { datagrams: low(datagrams), told: low(told), views: low(views) }
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |at: usize| u16::from_str_radix(text.get(at..at + 4)?, 16).ok();
        let second = Self { datagrams: number(0)?, told: number(4)?, views: number(8)? };
        (text.len() == DIGITS).then_some(second)
    }

    /// What is not the same in another one.
    fn changes(self, other: Self) -> String {
        let parts = [
            ("datagrams", self.datagrams != other.datagrams),
            ("events or results", self.told != other.told),
            ("views", self.views != other.views),
        ];
        let changed: Vec<&str> = parts.iter().filter(|part| part.1).map(|part| part.0).collect();
        changed.join(", ")
    }
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:04x}{:04x}", self.datagrams, self.told, self.views)
    }
}

/// The seconds of each world, by its number.
pub(super) type Record = BTreeMap<usize, Vec<Second>>;

pub(super) fn write(record: &Record) -> String {
    let mut text = String::from(
        "# Golden traces: see src/sim/golden.rs. Written by HEADCOUNT_GOLDEN=write cargo test --lib golden.\n",
    );
    for (world, seconds) in record {
        for (line, some) in seconds.chunks(SECONDS_PER_LINE).enumerate() {
            write!(text, "{world:02} {:03}", line * SECONDS_PER_LINE).unwrap();
            for second in some {
                write!(text, " {second}").unwrap();
            }
            text.push('\n');
        }
    }
    text
}

/// Reads what [`write`] has written; the error is a line that is not understood.
pub(super) fn read(text: &str) -> Result<Record, String> {
    let mut record = Record::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let mut number = || words.next()?.parse::<usize>().ok();
        let (Some(world), Some(first)) = (number(), number()) else {
            return Err(line.to_owned());
        };
        let seconds = record.entry(world).or_default();
        let some: Option<Vec<Second>> = words.map(Second::parse).collect();
        match some {
            Some(some) if seconds.len() == first => seconds.extend(some),
            _ => return Err(line.to_owned()),
        }
    }
    Ok(record)
}

/// Where a world first goes otherwise than before, if it does.
pub(super) fn difference(world: usize, before: &[Second], now: &[Second]) -> Option<String> {
    let first = before.iter().zip(now).position(|(before, now)| before != now);
    if let Some(second) = first {
        let changes = before[second].changes(now[second]);
        return Some(format!("world {world} differs first at second {second}: {changes}"));
    }
    (before.len() != now.len())
        .then(|| format!("world {world} has {} seconds, and had {}", now.len(), before.len()))
}

/// Where each world first goes otherwise than before, of those that do.
pub(super) fn differences(before: &Record, now: &Record) -> Vec<String> {
    let worlds = before.keys().chain(now.keys().filter(|world| !before.contains_key(world)));
    worlds
        .filter_map(|world| match (before.get(world), now.get(world)) {
            (Some(before), Some(now)) => difference(*world, before, now),
            (None, _) => Some(format!("world {world} was never recorded")),
            (_, None) => Some(format!("world {world} was recorded and is gone")),
        })
        .collect()
}
