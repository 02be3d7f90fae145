//! Hashes of what a program sees: the same on all platforms and with all versions of Rust.

use std::net::SocketAddr;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::node::{Node, Status};
use crate::wire::hash::siphash;

/// A hash that grows piece by piece. Texts of `Debug` and of errors are no part of it: they may change.
#[derive(Debug, Default)]
pub(super) struct Fold {
    /// The hash of all before.
    chain: u64,
    bytes: Vec<u8>,
}

impl Fold {
    /// The hash of all pieces so far.
    pub(super) fn hash(&mut self) -> u64 {
        if !self.bytes.is_empty() {
            self.chain = siphash((self.chain, 0), &self.bytes);
            self.bytes.clear();
        }
        self.chain
    }

    pub(super) fn number(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn addr(&mut self, addr: SocketAddr) {
        match addr {
            SocketAddr::V4(addr) => self.bytes.extend_from_slice(&addr.ip().octets()),
            SocketAddr::V6(addr) => self.bytes.extend_from_slice(&addr.ip().octets()),
        }
        self.bytes.extend_from_slice(&addr.port().to_be_bytes());
    }

    fn status(&mut self, status: Status) {
        self.bytes.push(match status {
            Status::Alive => 0,
            Status::Suspect => 1,
            Status::Dead => 2,
            Status::Left => 3,
        });
    }

    pub(super) fn node(&mut self, node: &Node) {
        self.text(node.name());
        self.addr(node.addr());
        self.status(node.status());
        self.number(node.generation());
        self.number(node.incarnation());
        self.number(node.state_version());
    }

    /// A node in a view, with the round trip to it.
    pub(super) fn shown(&mut self, node: &Node) {
        self.node(node);
        self.number(node.rtt().map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap()));
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.text(kind(event));
        if let Some(node) = event.node() {
            self.node(node);
        }
        match event {
            Event::Changed { key, value, .. } => {
                self.text(key);
                self.number(u64::from(value.is_some()));
                self.bytes(value.as_deref().unwrap_or_default());
            }
            Event::Message { payload, .. } | Event::Broadcast { payload, .. } => self.bytes(payload),
            Event::Missed { count, .. } | Event::Lagged(count) => self.number(*count),
            Event::NameConflict { addr } => self.addr(*addr),
            _ => {}
        }
    }

    pub(super) fn result(&mut self, result: &Result<u64>) {
        match result {
            Ok(number) => {
                self.text("ok");
                self.number(*number);
            }
            Err(error) => self.error(error),
        }
    }

    fn error(&mut self, error: &Error) {
        self.text(reason(error));
        match error {
            Error::Join(reasons) => {
                for (seed, error) in reasons {
                    self.text(seed);
                    self.error(error);
                }
            }
            Error::NameTaken { name, addr } => {
                self.text(name);
                self.addr(*addr);
            }
            Error::NotActive { name, status } => {
                self.text(name);
                self.status(*status);
            }
            Error::TooLarge { size, limit, .. } => {
                self.number(*size as u64);
                self.number(*limit as u64);
            }
            _ => {}
        }
    }
}

/// What kind of event it is.
pub(super) fn kind(event: &Event) -> &'static str {
    match event {
        Event::Joined(_) => "joined",
        Event::Suspected(_) => "suspected",
        Event::Recovered(_) => "recovered",
        Event::Died { .. } => "died",
        Event::Left(_) => "left",
        Event::Restarted(_) => "restarted",
        Event::Moved(_) => "moved",
        Event::Changed { value: Some(_), .. } => "changed",
        Event::Changed { value: None, .. } => "removed",
        Event::Message { .. } => "message",
        Event::Broadcast { .. } => "broadcast",
        Event::Missed { .. } => "missed",
        Event::NameConflict { .. } => "name conflict",
        Event::Lagged(_) => "lagged",
    }
}

/// What kind of error it is.
pub(super) fn reason(error: &Error) -> &'static str {
    match error {
        Error::Config { .. } => "config",
        Error::Io { .. } => "io",
        Error::Join(_) => "join",
        Error::NameTaken { .. } => "name taken",
        Error::NoAnswer => "no answer",
        Error::WrongCluster => "wrong cluster",
        Error::WrongKey => "wrong key",
        Error::Unreachable { .. } => "unreachable",
        Error::BadAddress { .. } => "bad address",
        Error::WrongVersion { .. } => "wrong version",
        Error::ClockAhead => "clock ahead",
        Error::Full => "full",
        Error::UnknownNode(_) => "unknown node",
        Error::NotActive { .. } => "not active",
        Error::OwnNode => "own node",
        Error::TooLarge { .. } => "too large",
        Error::Refused => "refused",
        Error::Restarted => "the node restarted",
        Error::Timeout => "timeout",
        Error::Closed => "closed",
        Error::Panicked(_) => "panicked",
    }
}
