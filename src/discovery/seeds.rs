//! Seeds: addresses and host names that somebody has written down.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::{Discovery, not_simulated};
use crate::config::{IntoSeeds, Place, Seed, texts};
use crate::member::Member;
use crate::transport::canonical;

/// Addresses of one host name at most, which is what an answer of the DNS has room for; the rest is not used.
const ADDRS_MAX: usize = 4_096;

/// Addresses and host names, all addresses of a name, resolved anew each time.
///
/// [`Config::seeds`](crate::Config::seeds) is the short way to have these; the type is for those who build their own
/// [`Discovery`] upon it. A name that does not resolve keeps the others from nothing. A seed that makes no sense does:
/// it is an error each time.
///
/// ```
/// use headcount::discovery::Seeds;
/// use headcount::{Config, Member};
///
/// let config = Config::local().bind("127.0.0.1:0").discovery(Seeds::new(["localhost:7990", "127.0.0.2"]));
/// let member = Member::create(config)?;
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Seeds {
    seeds: Result<Vec<Seed>, String>,
}

impl Seeds {
    /// These seeds.
    #[must_use]
    pub fn new(seeds: impl IntoSeeds) -> Self {
        Self { seeds: texts(seeds).iter().map(|text| Seed::parse(text)).collect() }
    }

    /// Seeds that are understood already.
    pub(crate) fn of(seeds: Vec<Seed>) -> Self {
        Self { seeds: Ok(seeds) }
    }
}

impl Discovery for Seeds {
    /// All addresses of all seeds.
    ///
    /// # Errors
    ///
    /// `InvalidInput`: a seed makes no sense. Any other: no seed has an address, and this is why the last one has none.
    fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>> {
        let seeds = self.seeds.as_ref();
        let seeds = seeds.map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason.clone()))?;
        let mut found = Vec::new();
        let mut failure = None;
        for seed in seeds {
            let result = match &seed.place {
                Place::Addr(addr) => Ok(vec![*addr]),
                Place::Here(_) => Ok(seed.literal(me.bound().unwrap_or(me.addr())).unwrap_or_default()),
                Place::Host(..) if me.bound().is_none() => Err(not_simulated("resolver")),
                Place::Host(name, port) => resolve(name, *port),
            };
            match result {
                Ok(addrs) => found.extend(addrs),
                Err(error) => {
                    log::debug!("{}: {error}", seed.text);
                    failure = Some(io::Error::new(error.kind(), format!("{}: {error}", seed.text)));
                }
            }
        }
        match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }
}

/// All addresses of a host name. It takes as long as the resolver of the system likes.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addrs: Vec<SocketAddr> = (host, port).to_socket_addrs()?.map(canonical).take(ADDRS_MAX).collect();
    addrs.sort_unstable();
    addrs.dedup();
    Ok(addrs)
}
