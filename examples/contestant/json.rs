//! As much of JSON as one line of figures needs.

use std::fmt;
use std::time::Duration;

/// An object that is written from left to right.
#[derive(Debug, Default)]
pub(crate) struct Object(String);

impl Object {
    /// A value that is written in JSON as it is displayed: numbers, truth values, other objects.
    pub(crate) fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        self.0 += &format!("{comma}\"{key}\":{value}");
        self
    }

    /// A word: nothing in it may need to be escaped.
    pub(crate) fn word(self, key: &str, word: &str) -> Self {
        self.with(key, format_args!("\"{word}\""))
    }

    pub(crate) fn seconds(self, key: &str, time: Option<Duration>) -> Self {
        self.number(key, time.map(|time| time.as_secs_f64()))
    }

    /// A fraction, or null.
    pub(crate) fn number(self, key: &str, number: Option<f64>) -> Self {
        match number {
            Some(number) => self.with(key, format_args!("{number:.4}")),
            None => self.with(key, "null"),
        }
    }

    /// All times as milliseconds.
    pub(crate) fn millis(self, key: &str, times: &[Duration]) -> Self {
        let times: Vec<String> = times.iter().map(|time| format!("{:.3}", millis(*time))).collect();
        self.with(key, format_args!("[{}]", times.join(",")))
    }

    /// The middle one of some times, in milliseconds, or null if there are none.
    pub(crate) fn median(self, key: &str, times: &[Duration]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let middle = match sorted[..] {
            [] => None,
            _ => Some(millis(sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0),
        };
        self.number(key, middle)
    }

    /// The greatest of some times, in milliseconds, or null if there are none.
    pub(crate) fn greatest(self, key: &str, times: &[Duration]) -> Self {
        self.number(key, times.iter().max().map(|time| millis(*time)))
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.0)
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
