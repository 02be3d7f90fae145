//! The pace of hellos to addresses that have never answered.
//!
//! A name may resolve to hundreds of addresses at which nobody is any more. The system keeps what is sent to one on the
//! own network until it gives up looking for the host, three seconds with Linux, and counts it against the send buffer,
//! which has room for a few hundred small datagrams. When it is full nothing else leaves, answers to pings included: so
//! these hellos take turns.

use std::time::Duration;

use crate::protocol::time::Instant;

/// Hellos at once …
pub(super) const BURST: u32 = 64;
/// … and the pause between two of them after that: about 360 in the three seconds.
const PAUSE: Duration = Duration::from_millis(10);

/// Turns, by the generic cell rate algorithm (ITU-T I.371).
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last turn would be over if there were no bursts.
    busy_until: Instant,
}

impl Pace {
    /// Takes the next turn, and returns when it is: at `now` or later.
    pub(super) fn take(&mut self, now: Instant) -> Instant {
        self.busy_until = self.busy_until.max(now) + PAUSE;
        let ahead = self.busy_until.since(now).saturating_sub(PAUSE * BURST);
        now + ahead
    }

    /// A turn that has not come is given back: its hello is not sent.
    pub(super) fn give_back(&mut self) {
        self.busy_until = self.busy_until - PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_leave_at_once_and_the_others_100_a_second() {
        let mut pace = Pace::default();
        let now = Instant::default() + Duration::from_secs(1);
        let turns: Vec<Duration> = (0..264).map(|_| pace.take(now).since(now)).collect();
        assert!(turns[..64].iter().all(Duration::is_zero));
        assert_eq!(turns[64], PAUSE);
        assert_eq!(turns[263], Duration::from_secs(2));
        // Those that are not used are for others.
        (0..100).for_each(|_| pace.give_back());
        assert_eq!(pace.take(now).since(now), Duration::from_secs(1) + PAUSE);
        // After a while there is room for a burst again.
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.take(later), later);
    }
}
