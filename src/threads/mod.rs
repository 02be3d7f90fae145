//! Threads, locks and the clock of the operating system: everything that the protocol is kept away from.
//!
//! Three threads run a member, a fourth its listener, if it has one, and a fifth writes its
//! [snapshot](crate::snapshot), if it is to have one. They are started by `create` and joined
//! by `shutdown`, and nothing else runs the protocol but the calls of the program itself:
//!
//! ```text
//!                   datagrams                     a call of Member (join, ping, leave …)
//!                       │                                   │
//!  hc-receiver ─ blocks in recv ──┐                         │
//!  hc-prober ─ sleeps to its deadline ──┤ one step each ┌───┘
//!  hc-disseminator ─ likewise ──────────┤               │
//!                                 ┌─────▼───────────────▼─────┐
//!                                 │ RwLock: Core              │──── read guard: nodes(), metrics() …
//!                                 │   Protocol, the consumers │
//!                                 └─────┬─────────────────────┘
//!      under the guard: events ─────────┼──▶ the listener's queue ─▶ hc-notifier ─▶ Listener
//!                                       │    and each events() stream
//!      after it: datagrams, answers, wake-ups, log lines, chores ─▶ hc-discovery, one for each
//!                                       └──▶ changes ─▶ hc-snapshot (the snapshot)
//! ```
//!
//! The rules that keep this simple:
//!
//! - All of them use [`Shared::step`], the only place that takes the write guard of a running member.
//!   Under it there is no I/O, no logging, no user code and nothing that waits. Who made the step also sends
//!   its datagrams, when the guard is gone.
//! - No thread ever holds two locks.
//! - Events are queued under the guard, which alone keeps their order, and never wait for a consumer.
//! - The prober and the disseminator sleep until the one next deadline of their [`Duty`], and are woken only
//!   if it becomes earlier.
//! - The end is a fact that is written once ([`End`]); whoever finds a reason writes it and wakes the threads,
//!   and each thread ends by itself. Only the callers of `shutdown` and `leave`, and the drop of the last
//!   handle, wait for that.

mod address;
mod alarm;
mod discover;
mod disseminator;
mod end;
mod engine;
mod join;
mod notifier;
mod prober;
mod receiver;
mod resolver_pool;
mod shared;
mod snapshot_writer;
mod transport_handle;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::TryRng;
use rand::rngs::SysRng;

use crate::config::{Addresses, Config};
use crate::error::{Error, Result, invalid};
use crate::listener::Listener;
use crate::protocol::{self, Duty, Protocol};
use crate::snapshot::{AbsentContacts, Store};
use crate::transport::Transport;

pub(crate) use self::end::End;
pub(crate) use self::shared::Shared;

use self::shared::{Token, Tokens};
use self::snapshot_writer::SnapshotSetup;
use self::transport_handle::TransportHandle;
use crate::consumer::Consumer;

// Linux shows the first 15 bytes of a thread's name.
const RECEIVER: &str = "hc-receiver";
const PROBER: &str = "hc-prober";
const DISSEMINATOR: &str = "hc-disseminator";
const NOTIFIER: &str = "hc-notifier";
const RESOLVER: &str = "hc-resolver";
const DISCOVERY: &str = "hc-discovery";
const SNAPSHOT: &str = "hc-snapshot";

/// What keeps a member running: when the last one that holds it lets go, the threads end, without a leave.
#[derive(Debug)]
pub(crate) struct Owner {
    shared: Arc<Shared>,
}

impl Owner {
    /// What it keeps running.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl crate::engine::Owner for Owner {}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.end(End::Closed);
        self.shared.wait_for_end();
    }
}

/// Opens the transport and starts the threads.
pub(crate) fn start(mut config: Config) -> Result<Arc<Owner>> {
    let addresses = config.validate()?;
    let mut store = config.snapshot_path().map(Store::open).transpose()?;
    let transport = open(&config, &addresses)?;
    let bound = transport.local_addr();
    let mut settings = config.settings(&addresses, bound)?;
    let past = match &mut store {
        Some(store) => store.load(&settings.cluster, &settings.name)?,
        None => None,
    };
    settings.discovers |= past.as_ref().is_some_and(|past| !past.nodes.is_empty());

    let origin = Instant::now();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut protocol = Protocol::new(settings.clone(), protocol::Instant::default(), wall, entropy()?);
    if let Some(past) = &past {
        let kept = past.state.iter().flatten().filter(|_| config.keeps_state());
        let kept = kept.map(|(key, value)| (key.as_str(), value.as_slice()));
        protocol.resume(protocol::Instant::default(), past.generation, kept);
        let count = past.nodes.len();
        log::info!("{}: the snapshot of the run before knows {count} nodes", settings.name);
    }
    let (transport, transport_gone) = TransportHandle::new(transport);
    let transport = Arc::new(transport);
    let seeds = addresses.seeds.clone();
    let (shared, tokens) = Shared::new(
        &settings,
        addresses,
        config.events_max(),
        origin,
        protocol,
        Arc::clone(&transport),
        transport_gone,
    );
    let shared = Arc::new(shared);
    // From here on its drop ends what was started.
    let owner = Arc::new(Owner { shared: Arc::clone(&shared) });
    shared.set_owner(Arc::downgrade(&owner));

    shared.discoveries().start(&shared, seeds, config.take_discoveries())?;
    if let Some(store) = store {
        let setup = SnapshotSetup {
            store,
            cluster: settings.cluster.clone(),
            keep_state: config.keeps_state(),
            absent: AbsentContacts::new(past.map(|past| past.nodes).unwrap_or_default()),
            forget_after: settings.tombstone_ttl,
        };
        snapshot_writer::start(&shared, setup)?;
    }
    launch(&shared, config.take_listener(), transport, tokens)?;
    // An empty step tells the threads their first deadlines.
    shared.step(|_, _| ())?;
    log::info!("{} is up at {}", settings.name, settings.advertise);
    if shared.may_be_out_of_reach() {
        log::warn!(
            "{} tells others {}, where only this host reaches it: no route has told a better one",
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
        shared.add_consumer(consumer)?;
        let body = move |shared: &Arc<Shared>| notifier::run(shared, &events, listener);
        shared.own_notifier(spawn(shared, NOTIFIER, tokens.notifier, body)?);
    }
    let prober = spawn(shared, PROBER, tokens.protocol.clone(), prober::run)?;
    shared.alarm(Duty::Probe).set_thread(prober.thread().clone());
    shared.own(prober);
    let disseminator = spawn(shared, DISSEMINATOR, tokens.protocol.clone(), disseminator::run)?;
    shared.alarm(Duty::Disseminate).set_thread(disseminator.thread().clone());
    shared.own(disseminator);
    // The last one: its first datagram moves the deadlines of the other two.
    let body = move |shared: &Arc<Shared>| receiver::run(shared, &**transport);
    shared.own(spawn(shared, RECEIVER, tokens.protocol, body)?);
    Ok(())
}

/// Opens the transport; where the address is not fixed, at another one if it is taken.
fn open(config: &Config, addresses: &Addresses) -> Result<Box<dyn Transport>> {
    let open_at = |bind| config.opener().open(&config.wanted(bind, addresses.advertise));
    let mut addr = addresses.bind;
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
    config.check_carried(transport.max_datagram())?;
    Ok(transport)
}

fn entropy() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| Error::Io {
        what: "read random bytes of the system".to_owned(),
        source: io::Error::other(error.to_string()),
    })?;
    Ok(seed)
}

/// Starts a thread whose panic ends the member. `token` is let go when it is through.
fn spawn(
    shared: &Arc<Shared>,
    name: &'static str,
    token: Token,
    body: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> Result<thread::JoinHandle<()>> {
    let shared = Arc::clone(shared);
    let contained = move || {
        shared.contain(name, || body(&shared));
        drop(shared);
        drop(token);
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(contained)
        .map_err(|source| Error::Io { what: format!("start the thread {name}"), source })
}

#[cfg(test)]
mod tests;
