//! How shares and times are drawn.

use std::ops::Range;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;

/// Chances are drawn in millionths.
const MILLION: u32 = 1_000_000;

/// A share between 0 and 1, in millionths.
pub(in crate::sim) fn millionths(share: f64) -> u32 {
    let clamped = share.clamp(0.0, 1.0) * f64::from(MILLION);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a million")]
    let millionths = clamped.round() as u32;
    millionths
}

/// Whether something of this chance happens. A chance of zero draws no random number.
pub(super) fn happens(rng: &mut ChaCha12Rng, chance: u32) -> bool {
    chance > 0 && rng.random_range(0..MILLION) < chance
}

/// A time out of a range; an empty range draws no random number.
pub(super) fn draw(rng: &mut ChaCha12Rng, range: &Range<Duration>) -> Duration {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let (start, end) = (micros(range.start), micros(range.end));
    if start >= end {
        return range.start;
    }
    Duration::from_micros(rng.random_range(start..end))
}

/// Flips one bit of a datagram, if that happens.
pub(in crate::sim) fn flip(rng: &mut ChaCha12Rng, chance: u32, datagram: &mut [u8]) -> bool {
    if datagram.is_empty() || !happens(rng, chance) {
        return false;
    }
    let bit = rng.random_range(0..datagram.len() * 8);
    datagram[bit / 8] ^= 1 << (bit % 8);
    true
}
