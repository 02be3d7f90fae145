//! Errors of the transport: all are counted, and strange ones are logged, each kind once a minute at most.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::transport::{Trouble, classify, is_without_room};

/// Errors of one kind are logged this far apart: one must not hide another.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of kinds that are told apart; the rest is one kind.
const KINDS_MAX: usize = 64;

/// The kind of an error: whether it was of a send, its number or else its kind.
type Kind = (bool, Option<i32>, String);

/// The errors of one member's transport.
#[derive(Debug, Default)]
pub(super) struct SocketErrors {
    count: AtomicU64,
    dropped: AtomicU64,
    logged: Mutex<BTreeMap<Kind, Instant>>,
}

impl SocketErrors {
    /// Counts an error of a send, and logs it if an operator may have to know. `name` is the member's.
    pub(super) fn note_send(&self, name: &str, to: impl fmt::Display, error: &io::Error) {
        if is_without_room(error) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.note(name, true, format_args!("send to {to}"), error);
        }
    }

    /// The same for an error of a receive.
    pub(super) fn note_receive(&self, name: &str, error: &io::Error) {
        self.note(name, false, format_args!("receive"), error);
    }

    /// How many there were, those that say that there is no room to send left out.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many datagrams were dropped because there was no room to send them.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn note(&self, name: &str, is_send: bool, what: fmt::Arguments<'_>, error: &io::Error) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if classify(error) == Trouble::Strange && self.may_log(Instant::now(), is_send, error) {
            log::warn!("{name}: {what}: {error}");
        }
    }

    fn may_log(&self, now: Instant, is_send: bool, error: &io::Error) -> bool {
        let kind = (is_send, error.raw_os_error(), format!("{:?}", error.kind()));
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = logged.contains_key(&kind);
        let kind = if is_known || logged.len() < KINDS_MAX { kind } else { (is_send, None, String::new()) };
        let is_due = logged.get(&kind).is_none_or(|last| now.duration_since(*last) >= LOG_INTERVAL);
        if is_due {
            logged.insert(kind, now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One kind hid all others for a minute.
    #[test]
    fn each_kind_of_error_is_logged_once_a_minute() {
        let errors = SocketErrors::default();
        let [unreachable, forbidden] = [101, 1].map(io::Error::from_raw_os_error);
        let own = io::Error::other("of a transport of one's own");
        let begun = Instant::now();
        for (seconds, expected) in [(0, true), (1, false), (59, false), (60, true), (61, false)] {
            let now = begun + Duration::from_secs(seconds);
            for (is_send, error) in
                [(true, &unreachable), (false, &unreachable), (true, &forbidden), (true, &own)]
            {
                assert_eq!(errors.may_log(now, is_send, error), expected, "after {seconds} s: {error}");
            }
        }
    }

    #[test]
    fn the_table_of_kinds_is_bounded() {
        let errors = SocketErrors::default();
        let now = Instant::now();
        for number in 0..1_000 {
            errors.may_log(now, true, &io::Error::from_raw_os_error(number));
        }
        assert_eq!(errors.logged.lock().unwrap().len(), KINDS_MAX + 1);
    }

    #[test]
    fn a_datagram_for_which_there_is_no_room_is_no_error() {
        let errors = SocketErrors::default();
        let to = "10.0.0.1:7990";
        errors.note_send("a", to, &io::ErrorKind::WouldBlock.into());
        assert_eq!((errors.count(), errors.dropped()), (0, 1));
        errors.note_send("a", to, &io::ErrorKind::ConnectionRefused.into());
        assert_eq!((errors.count(), errors.dropped()), (1, 1));
    }
}
