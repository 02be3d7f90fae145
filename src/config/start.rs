//! What a member takes out of its configuration when it starts.

use std::net::SocketAddr;
use std::path::Path;

use super::validate::check_allowed;
use super::{Config, HostAddress, Seed};
use crate::allow::Allow;
use crate::discovery::Discovery;
use crate::error::{Result, invalid};
use crate::listener::Listener;
use crate::protocol::Settings;
use crate::snapshot::Snapshot;
use crate::transport::{Open, Udp, Wanted};

/// Where a valid configuration wants the socket, and whom it wants to meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// What to bind.
    pub(crate) bind: HostAddress,
    /// What to bind instead if that is taken.
    pub(crate) fallback: Option<SocketAddr>,
    /// What to advertise, if that is configured.
    pub(crate) advertise: Option<HostAddress>,
    /// Whom to join.
    pub(crate) seeds: Vec<Seed>,
    /// Whom to take at all.
    pub(crate) allow: Allow,
}

impl Addresses {
    /// What to advertise, if that is configured, where there is no system that could find it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) if it is not an address.
    pub(crate) fn advertise_literally(&self) -> Result<Option<SocketAddr>> {
        let is_literal = |wanted: &HostAddress| {
            let reason = "the simulator has no interfaces and no resolver";
            wanted.literal().ok_or_else(|| invalid("advertise", reason))
        };
        self.advertise.as_ref().map(is_literal).transpose()
    }
}

impl Config {
    /// What the protocol is run by. `addresses` are this configuration's; the socket is bound at `bound`, and others
    /// are told `advertise`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the own name or address, which may be known only now, is not on the own lists.
    pub(crate) fn settings(
        &self,
        addresses: &Addresses,
        bound: SocketAddr,
        advertise: SocketAddr,
    ) -> Result<Settings> {
        let name = self.name.clone().unwrap_or_else(|| advertise.to_string());
        check_allowed(&addresses.allow, Some(&name), Some(advertise))?;
        Ok(Settings {
            name,
            cluster: self.cluster.clone(),
            advertise,
            bound,
            probe_interval: self.probe_interval,
            probe_timeout: self.probe_timeout,
            gossip_interval: self.gossip_interval,
            retransmit: self.retransmit,
            isolation_timeout: self.isolation_timeout,
            rejoin_interval: self.rejoin_interval,
            tombstone_ttl: self.tombstone_ttl,
            join_timeout: self.join_timeout,
            max_nodes: self.max_nodes,
            state_rate: self.state_rate,
            send_timeout: self.send_timeout,
            max_message: self.max_message,
            #[cfg(feature = "encryption")]
            keyring: self.keyring.clone(),
            discovers: !(addresses.seeds.is_empty() && self.discoveries.is_empty()),
            allow: addresses.allow.clone(),
            #[cfg(any(test, headcount_bench))]
            without: Default::default(),
        })
    }

    /// The name, if it was given.
    pub(crate) fn name_given(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Takes the listener out.
    pub(crate) fn take_listener(&mut self) -> Option<Box<dyn Listener>> {
        self.listener.take()
    }

    /// Takes the discoveries out.
    pub(crate) fn take_discoveries(&mut self) -> Vec<Box<dyn Discovery>> {
        std::mem::take(&mut self.discoveries)
    }

    /// How many events wait for one consumer.
    pub(crate) fn events_max(&self) -> usize {
        self.event_capacity
    }

    /// What opens the transport.
    pub(crate) fn opener(&self) -> &dyn Open {
        self.transport.as_deref().unwrap_or(const { &Udp::new() })
    }

    /// What is wanted of it, bound to `bind`.
    pub(crate) fn wanted(&self, bind: SocketAddr, advertise: Option<SocketAddr>) -> Wanted {
        Wanted { advertise, receive_buffer: self.receive_buffer, ..Wanted::at(bind) }
    }

    /// Where the snapshot is to be.
    pub(crate) fn snapshot_path(&self) -> Option<&Path> {
        self.snapshot.as_deref()
    }

    /// What the own state begins with: the configured keys, and those that an earlier run has kept.
    pub(crate) fn first_state<'a>(
        &'a self,
        past: Option<&'a Snapshot>,
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let kept = past.into_iter().flat_map(|past| past.state.iter().flatten());
        let kept = kept.filter(|(key, _)| self.keep_state && !self.state.contains_key(key));
        let kept = kept.map(|(key, value)| (key.as_str(), value.as_slice()));
        self.state.iter().map(|(key, value)| (key.as_str(), value.as_slice())).chain(kept)
    }

    /// Whether the snapshot is to hold the own state.
    pub(crate) fn keeps_state(&self) -> bool {
        self.keep_state
    }

    /// An error if it needs what a simulated member has not: a network of one's own.
    pub(crate) fn refuse_the_outside(&self) -> Result<()> {
        if self.transport.is_some() {
            return Err(invalid("transport", "the simulator has a network of its own"));
        }
        Ok(())
    }
}
