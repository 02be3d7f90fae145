//! Seeds: where a member looks for others, as its user writes it.
//!
//! A seed stays a text until it is needed, so that a setter can neither fail nor resolve. [`Seed::parse`]
//! then tells literal addresses, which are never given to the resolver, from host names, which are resolved
//! anew each time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::DEFAULT_PORT;
use super::validate::{SCOPED, check_destination};
use crate::transport::canonical;

/// The longest host name, in bytes (RFC 1035, section 2.3.4, in its textual form).
const HOST_MAX: usize = 253;

/// Everything that names seeds: one, or several.
///
/// A text is one of
///
/// | form | meaning |
/// |---|---|
/// | `"10.0.0.1:7990"`, `"[fd00::1]:7990"` | that address |
/// | `"10.0.0.1"`, `"fd00::1"` | that address, port 7990 |
/// | `"db-1.internal:7990"` | all addresses of that host |
/// | `"db-1.internal"` | all addresses of that host, port 7990 |
/// | `":7990"` | this host: the address that this member is bound to, or the loopback if it is bound to all interfaces |
///
/// Besides `&str`, `String` and `&String` there are `SocketAddr`, `&SocketAddr` and `(IpAddr, u16)`, and
/// vectors, arrays, slices and references to them. Literal addresses are not given to the resolver.
/// IPv6 addresses that are local to a link (`fe80::1%eth0`) are refused: their scope can not be told to others.
///
/// The trait is sealed: it is implemented here, for these types, only.
pub trait IntoSeeds: sealed::Texts {}

pub(crate) mod sealed {
    /// The texts of the seeds.
    pub trait Texts {
        /// Appends them.
        fn append_to(self, texts: &mut Vec<String>);
    }
}

use sealed::Texts;

/// The texts of seeds, whatever they were given as.
pub(crate) fn texts(seeds: impl IntoSeeds) -> Vec<String> {
    let mut texts = Vec::new();
    seeds.append_to(&mut texts);
    texts
}

macro_rules! one_seed {
    ($($seed:ty => $text:expr;)+) => {
        $(
            impl IntoSeeds for $seed {}
            impl Texts for $seed {
                fn append_to(self, texts: &mut Vec<String>) {
                    let text: fn(Self) -> String = $text;
                    texts.push(text(self));
                }
            }
        )+
    };
}

one_seed! {
    &str => |text| text.to_owned();
    String => |text| text;
    &String => |text| text.clone();
    SocketAddr => |addr| addr.to_string();
    &SocketAddr => |addr| addr.to_string();
    (IpAddr, u16) => |addr| SocketAddr::from(addr).to_string();
}

impl<T: IntoSeeds> IntoSeeds for Vec<T> {}
impl<T: IntoSeeds> Texts for Vec<T> {
    fn append_to(self, texts: &mut Vec<String>) {
        self.into_iter().for_each(|seed| seed.append_to(texts));
    }
}

impl<T: IntoSeeds, const N: usize> IntoSeeds for [T; N] {}
impl<T: IntoSeeds, const N: usize> Texts for [T; N] {
    fn append_to(self, texts: &mut Vec<String>) {
        self.into_iter().for_each(|seed| seed.append_to(texts));
    }
}

impl<T: IntoSeeds + Clone> IntoSeeds for &[T] {}
impl<T: IntoSeeds + Clone> Texts for &[T] {
    fn append_to(self, texts: &mut Vec<String>) {
        self.iter().cloned().for_each(|seed| seed.append_to(texts));
    }
}

impl<T: IntoSeeds + Clone> IntoSeeds for &Vec<T> {}
impl<T: IntoSeeds + Clone> Texts for &Vec<T> {
    fn append_to(self, texts: &mut Vec<String>) {
        self.as_slice().append_to(texts);
    }
}

impl<T: IntoSeeds + Clone, const N: usize> IntoSeeds for &[T; N] {}
impl<T: IntoSeeds + Clone, const N: usize> Texts for &[T; N] {
    fn append_to(self, texts: &mut Vec<String>) {
        self.as_slice().append_to(texts);
    }
}

/// One seed, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seed {
    /// As it was given.
    pub(crate) text: String,
    /// What it means.
    pub(crate) place: Place,
}

/// What a seed means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A literal address.
    Addr(SocketAddr),
    /// A port of this host.
    Here(u16),
    /// A host name and a port.
    Host(String, u16),
}

impl Seed {
    /// Understands a seed, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let place = parse_place(text.trim()).map_err(|reason| format!("{text:?}: {reason}"))?;
        Ok(Self { text: text.to_owned(), place })
    }

    /// Its addresses, if no resolver is needed for them.
    pub(crate) fn literal(&self, bound: SocketAddr) -> Option<Vec<SocketAddr>> {
        match self.place {
            Place::Addr(addr) => Some(vec![addr]),
            Place::Here(port) => Some(here(bound, port)),
            Place::Host(..) => None,
        }
    }
}

/// The addresses of this host at which a member that is bound as we are may listen.
fn here(bound: SocketAddr, port: u16) -> Vec<SocketAddr> {
    let v4_loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4_loopback],
        IpAddr::V6(ip) if ip.is_unspecified() => {
            vec![v4_loopback, SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port)]
        }
        ip => vec![SocketAddr::new(ip, port)],
    }
}

fn parse_place(text: &str) -> Result<Place, String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.contains('%') {
        return Err(SCOPED.into());
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return literal(addr);
    }
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = unbracketed.parse::<IpAddr>() {
        return literal(SocketAddr::new(ip, DEFAULT_PORT));
    }
    match text.rsplit_once(':') {
        Some(("", port)) => Ok(Place::Here(parse_port(port)?)),
        Some((host, port)) => Ok(Place::Host(parse_host(host)?, parse_port(port)?)),
        None => Ok(Place::Host(parse_host(text)?, DEFAULT_PORT)),
    }
}

fn literal(addr: SocketAddr) -> Result<Place, String> {
    let addr = canonical(addr);
    check_destination(addr)?;
    Ok(Place::Addr(addr))
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a port between 1 and 65535")),
        Ok(port) => Ok(port),
    }
}

fn parse_host(text: &str) -> Result<String, String> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let last_label = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if text.len() > HOST_MAX || !text.bytes().all(is_letter) || last_label.is_empty() {
        return Err(format!("{text:?} is neither an address nor a host name"));
    }
    // No top-level domain is a number: this is a mistyped IPv4 address, of which some resolvers would make
    // another one.
    if last_label.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} is not an IPv4 address"));
    }
    Ok(text.to_owned())
}
