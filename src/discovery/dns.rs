//! A name that stands for all members.

use std::io;
use std::net::SocketAddr;

use super::{Discovery, not_simulated, resolve};
use crate::member::Member;

/// All addresses of one name, looked up anew each time with the resolver of the system.
///
/// Orchestrators give a group of instances such a name: a headless service in Kubernetes, a service in Nomad or Docker
/// Swarm (`tasks.web`). Its addresses come and go with the instances, and each is asked at the same port. It is what
/// [`Seeds`](super::Seeds) do with a host name, and it takes any name that the resolver does.
///
/// ```
/// use headcount::discovery::Dns;
/// use headcount::{Config, Member};
///
/// let config = Config::lan().bind("127.0.0.1:0").discovery(Dns::new("localhost", 7990));
/// let member = Member::create(config)?;
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    name: String,
    port: u16,
}

impl Dns {
    /// This name, and the port of all members.
    #[must_use]
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self { name: name.into(), port }
    }
}

impl Discovery for Dns {
    /// The addresses of the name.
    ///
    /// # Errors
    ///
    /// The resolver's. That a name has no addresses is one, with most of them.
    fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>> {
        if me.bound().is_none() {
            return Err(not_simulated("resolver"));
        }
        resolve(&self.name, self.port)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.name)))
    }
}
