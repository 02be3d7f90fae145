//! Cookies: how a sender shows that it receives at its address (as in QUIC's address validation, RFC 9000, section 8.1).
//!
//! A request to which the answer may be longer carries a cookie of the peer's. A peer that sees none, or an old one,
//! answers with a challenge, which brings one and is no longer than the request.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::node::Generation;
use crate::protocol::api::Bound;
use crate::protocol::time::Instant;
use crate::wire::hash::siphash;
use crate::wire::{Cookie, NameHash};

/// A cookie is good for one to two of these.
const COOKIE_EPOCH: Duration = Duration::from_secs(30);
/// Cookies that others have given us and that we keep; the oldest go first. As many come in the time that one is good
/// for, from a ping a second.
const GIVEN_MAX: usize = 64;

/// What a cookie is shown for. It is good for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookiePurpose {
    /// A request, from the address that the cookie was sent to.
    Request,
    /// A hello from another address than the one that its sender advertises: the cookie is sent there, and comes back
    /// from here.
    Elsewhere { advertised: SocketAddr },
}

/// Makes and checks cookies. They are not stored: a cookie is a keyed hash of its receiver and of the time.
#[derive(Debug)]
pub(crate) struct CookieJar {
    key: (u64, u64),
}

impl CookieJar {
    pub(crate) fn new(key: (u64, u64)) -> Self {
        Self { key }
    }

    /// The cookie for a sender at an address, good for 30 to 60 s.
    pub(crate) fn bake(
        &self,
        now: Instant,
        purpose: CookiePurpose,
        addr: SocketAddr,
        name: NameHash,
        run: Generation,
    ) -> Cookie {
        self.of_epoch(epoch(now), purpose, addr, name, run)
    }

    /// Whether a cookie was made for this purpose, and this sender at this address, not long ago.
    pub(crate) fn accepts(
        &self,
        now: Instant,
        purpose: CookiePurpose,
        cookie: Cookie,
        addr: SocketAddr,
        name: NameHash,
        run: Generation,
    ) -> bool {
        let epoch = epoch(now);
        cookie.0 != 0
            && (cookie == self.of_epoch(epoch, purpose, addr, name, run)
                || (epoch > 0 && cookie == self.of_epoch(epoch - 1, purpose, addr, name, run)))
    }

    fn of_epoch(
        &self,
        epoch: u64,
        purpose: CookiePurpose,
        addr: SocketAddr,
        name: NameHash,
        run: Generation,
    ) -> Cookie {
        let mut bytes = [0; 60];
        bytes[..18].copy_from_slice(&bytes_of(addr));
        bytes[18..26].copy_from_slice(&name.0.to_be_bytes());
        bytes[26..34].copy_from_slice(&run.0.to_be_bytes());
        bytes[34..42].copy_from_slice(&epoch.to_be_bytes());
        // The length distinguishes the purposes.
        let bytes = match purpose {
            CookiePurpose::Request => &bytes[..42],
            CookiePurpose::Elsewhere { advertised } => {
                bytes[42..].copy_from_slice(&bytes_of(advertised));
                &bytes[..]
            }
        };
        Cookie(siphash(self.key, bytes).max(1))
    }
}

/// The cookies that others have given us, to be shown to them. One that is not good any more is answered with another.
#[derive(Debug, Default)]
pub(crate) struct GivenCookies {
    /// The newest last.
    by_age: VecDeque<(NameHash, Cookie)>,
}

impl GivenCookies {
    /// A node has given us a cookie.
    pub(crate) fn remember(&mut self, by: NameHash, cookie: Cookie) {
        self.by_age.retain(|(giver, _)| *giver != by);
        if self.by_age.len() == GIVEN_MAX {
            self.by_age.pop_front();
        }
        self.by_age.push_back((by, cookie));
    }

    /// What there is to show to a node.
    pub(crate) fn get(&self, to: NameHash) -> Option<Cookie> {
        self.by_age.iter().find(|(giver, _)| *giver == to).map(|(_, cookie)| *cookie)
    }

    /// The nodes that have given us cookies, the last one first.
    pub(crate) fn givers(&self) -> impl Iterator<Item = NameHash> {
        self.by_age.iter().rev().map(|(giver, _)| *giver)
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound { what: "cookies of others", count: self.by_age.len(), max: GIVEN_MAX }
    }
}

fn bytes_of(addr: SocketAddr) -> [u8; 18] {
    let mut bytes = [0; 18];
    match addr.ip() {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes[..16].copy_from_slice(&ip.octets()),
    }
    bytes[16..].copy_from_slice(&addr.port().to_be_bytes());
    bytes
}

fn epoch(now: Instant) -> u64 {
    now.as_micros() / u64::try_from(COOKIE_EPOCH.as_micros()).unwrap_or(1)
}
