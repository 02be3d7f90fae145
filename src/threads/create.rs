//! Creating a member: from its configuration to the threads that run.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::address::{OwnAddress, find, one_of};
use super::driver::Driver;
use super::handles::{Handles, Tokens};
use super::shared::Shared;
use super::transport_handle::TransportHandle;
use super::workers::discover;
use super::workers::snapshot_thread::{self, SnapshotSetup};
use super::{DISSEMINATOR, NOTIFIER, Owner, PROBER, RECEIVER, entropy, spawn};
use super::{disseminator, notifier, prober, receiver};
use crate::config::{Addresses, Config, DEFAULT_PORT, HostAddress};
use crate::consumer::Consumer;
use crate::error::{Error, Result, invalid};
use crate::listener::Listener;
use crate::member::Member;
use crate::protocol::{self, Protocol, TimerKind};
use crate::snapshot::{AbsentContacts, Store};
use crate::transport::Transport;
use crate::wire::DATAGRAM_MAX;

impl Member {
    /// Opens the socket and starts the threads: the member runs, as a cluster of one, when this returns. The
    /// seeds of the configuration are joined in the background.
    ///
    /// # Errors
    ///
    /// - [`Error::Config`]: a setting is wrong, the [snapshot](Config::snapshot) is not a regular file, or another
    ///   member uses it; no socket was opened.
    /// - [`Error::Io`]: the address can not be bound, a thread can not be started, the snapshot is there and can not be
    ///   read, or the system has no random numbers. Nothing is left running, and the snapshot is as it was.
    ///
    /// ```
    /// use headcount::{Config, Member};
    ///
    /// let member = Member::create(Config::local().bind("127.0.0.1:0").name("web-1"))?;
    /// assert_eq!(member.nodes().len(), 1);
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn create(config: Config) -> Result<Self> {
        let owner = start(config)?;
        let engine = Arc::clone(owner.shared());
        Ok(Self::new(engine, owner))
    }
}

/// Opens the transport and starts the threads.
pub(crate) fn start(mut config: Config) -> Result<Arc<Owner>> {
    let addresses = config.validate()?;
    let mut store = config.snapshot_path().map(Store::open).transpose()?;
    let found = match &addresses.advertise {
        Some(wanted) => find_address("advertise", wanted)?,
        None => Vec::new(),
    };
    let transport = open(&config, &addresses, &found)?;
    let bound = transport.local_addr();
    let address = OwnAddress::new(&addresses, &found, bound);
    let mut settings = config.settings(&addresses, bound, address.get())?;
    let past = match &mut store {
        Some(store) => store.load(&settings.cluster, &settings.name)?,
        None => None,
    };
    settings.discovers |= past.as_ref().is_some_and(|past| !past.nodes.is_empty());

    let origin = Instant::now();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut protocol = Protocol::new(settings.clone(), protocol::Instant::default(), wall, entropy()?);
    if let Some(past) = &past {
        protocol.resume(protocol::Instant::default(), past.generation);
        let count = past.nodes.len();
        log::info!("{}: the snapshot of the run before knows {count} nodes", settings.name);
    }
    protocol.begin_with(protocol::Instant::default(), config.first_state(past.as_ref()));
    let (transport, transport_gone) = TransportHandle::new(transport);
    let transport = Arc::new(transport);
    let seeds = addresses.seeds;
    let driver = Driver::new(settings.name.clone(), origin, protocol, Arc::clone(&transport));
    let (handles, tokens) = Handles::new(transport_gone);
    let shared = Arc::new(Shared::new(&settings, &seeds, address, config.events_max(), driver, handles));
    // From here on its drop ends what was started.
    let owner = Arc::new(Owner { shared: Arc::clone(&shared) });
    let weak = Arc::downgrade(&owner);
    shared.set_owner(weak);
    // If what follows fails they go before the owner, which waits until they are dropped.
    let (transport, tokens) = (transport, tokens);

    discover::start(&shared, seeds, config.take_discoveries())?;
    if let Some(store) = store {
        let setup = SnapshotSetup {
            store,
            cluster: settings.cluster.clone(),
            keep_state: config.keeps_state(),
            absent: AbsentContacts::new(past.map(|past| past.nodes).unwrap_or_default()),
            forget_after: settings.tombstone_ttl,
        };
        snapshot_thread::start(&shared, setup)?;
    }
    launch(&shared, config.take_listener(), transport, tokens)?;
    // An empty step tells the threads their first deadlines.
    shared.step(|_, _| ())?;
    log::info!("{} is up at {}", settings.name, settings.advertise);
    if shared.view().address().is_local_only() {
        log::warn!(
            "{} advertises {}, which only this host reaches: no route leads to another host",
            settings.name,
            settings.advertise
        );
    }
    Ok(owner)
}

/// Starts the threads.
fn launch(
    shared: &Arc<Shared>,
    listener: Option<Box<dyn Listener>>,
    transport: Arc<TransportHandle>,
    tokens: Tokens,
) -> Result<()> {
    if let Some(listener) = listener {
        let (consumer, events) = Consumer::new(shared.event_capacity());
        shared.driver().add_consumer(consumer)?;
        let body = move |shared: &Arc<Shared>| notifier::run(shared, &events, listener);
        shared.handles().own_notifier(spawn(shared, NOTIFIER, tokens.notifier, body)?);
    }
    let prober = spawn(shared, PROBER, tokens.protocol.clone(), prober::run)?;
    shared.driver().alarm(TimerKind::Probe).set_thread(prober.thread().clone());
    shared.handles().own(prober);
    let disseminator = spawn(shared, DISSEMINATOR, tokens.protocol.clone(), disseminator::run)?;
    shared.driver().alarm(TimerKind::Disseminate).set_thread(disseminator.thread().clone());
    shared.handles().own(disseminator);
    // The last one: its first datagram moves the deadlines of the other two.
    let body = move |shared: &Arc<Shared>| receiver::run(shared, &**transport);
    shared.handles().own(spawn(shared, RECEIVER, tokens.protocol, body)?);
    Ok(())
}

/// The addresses for which a setting stands.
fn find_address(field: &str, wanted: &HostAddress) -> Result<Vec<IpAddr>> {
    find(wanted).map_err(|source| Error::Io { what: format!("find the address to {field}"), source })
}

/// Opens the transport; where the address is not fixed, at another one if it is taken. `found`: what to advertise.
fn open(config: &Config, addresses: &Addresses, found: &[IpAddr]) -> Result<Box<dyn Transport>> {
    let mut addr = match &addresses.bind {
        HostAddress::Addr(addr) => *addr,
        wanted => {
            let [ip, ..] = find_address("bind", wanted)?[..] else {
                return Err(invalid("bind", "there is no such address"));
            };
            SocketAddr::new(ip, wanted.port().unwrap_or(DEFAULT_PORT))
        }
    };
    // Without a port of its own it is the one that is bound.
    let port = addresses.advertise.as_ref().and_then(HostAddress::port);
    let advertised = |bound| {
        let wanted = addresses.advertise.as_ref().zip(port)?.0;
        Some(one_of(found, wanted, bound, None))
    };
    let open_at = |bind| config.opener().open(&config.wanted(bind, advertised(bind)));
    let mut result = open_at(addr);
    if let Err(error) = &result
        && error.kind() == io::ErrorKind::AddrInUse
        && let Some(fallback) = addresses.fallback
    {
        addr = fallback;
        result = open_at(addr);
    }
    let transport = result.map_err(|source| {
        // The system says so too, about addresses.
        if source.kind() == io::ErrorKind::InvalidInput && source.raw_os_error().is_none() {
            invalid("transport", source.to_string())
        } else {
            Error::Io { what: format!("bind {addr}"), source }
        }
    })?;
    let largest = transport.max_datagram();
    if largest < DATAGRAM_MAX {
        return Err(invalid(
            "transport",
            format!("carries {largest} bytes, and datagrams have up to {DATAGRAM_MAX}"),
        ));
    }
    Ok(transport)
}
