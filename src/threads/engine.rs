//! The calls of a [`Member`](crate::Member) that runs on threads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::end::End;
use super::join::join;
use super::shared::{ANSWER_GRACE, Shared};
use crate::engine::{Engine, Owner};
use crate::error::{Error, Result, invalid};
use crate::events::Events;
#[cfg(feature = "encryption")]
use crate::keyring::Keyring;
use crate::metrics::Metrics;
use crate::node::{Node, Nodes};
use crate::protocol::CallResult;
use crate::reach::Reach;

impl Engine for Shared {
    fn join(self: Arc<Self>, seeds: Vec<String>) -> Result<()> {
        join(&self, seeds)
    }

    fn name(&self) -> &str {
        self.view().name()
    }

    fn addr(&self) -> SocketAddr {
        self.view().address().get()
    }

    fn cluster(&self) -> &str {
        self.view().cluster()
    }

    fn bound(&self) -> Option<SocketAddr> {
        Some(self.view().address().bound())
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.driver().now().as_micros())
    }

    fn local(&self) -> Node {
        self.driver().read(|protocol| protocol.local())
    }

    fn nodes(&self) -> Nodes {
        Self::nodes(self)
    }

    fn node(&self, name: &str) -> Option<Node> {
        self.driver().read(|protocol| protocol.node(name).cloned())
    }

    fn all_nodes(&self) -> Nodes {
        Self::all_nodes(self)
    }

    fn wait_until(&self, timeout: Duration, is_right: &mut dyn FnMut(&Nodes) -> bool) -> Result<Nodes> {
        self.check_process()?;
        let deadline = Instant::now().checked_add(timeout);
        // Watched from before the first look, so that no change is missed.
        let watch = self.driver().watch()?;
        loop {
            let nodes = Self::nodes(self);
            if is_right(&nodes) {
                return Ok(nodes);
            }
            // A view that always changes again does not put the end off.
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(Error::Timeout);
            }
            match receive(watch.changes(), deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return Err(Error::Timeout),
                Err(RecvTimeoutError::Disconnected) => return Err(self.driver().end_error()),
            }
        }
    }

    fn update(self: Arc<Self>, changes: &[(&str, Option<&[u8]>)]) -> Result<()> {
        self.step(|protocol, now| protocol.update(now, changes))?
    }

    fn broadcast(self: Arc<Self>, payload: &[u8]) -> Result<()> {
        let answer = self.call(|protocol, now| protocol.broadcast(now, payload))?;
        match answer.recv_timeout(self.send_timeout() + ANSWER_GRACE) {
            Ok(CallResult::Broadcast(result)) => result,
            Err(RecvTimeoutError::Timeout) => Err(Error::Refused),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(self.driver().end_error()),
        }
    }

    fn ping(self: Arc<Self>, name: &str) -> Result<Duration> {
        let answer = self.call(|protocol, now| protocol.ping(now, name))?;
        match answer.recv_timeout(self.ping_patience()) {
            Ok(CallResult::Pinged(result)) => result,
            Err(RecvTimeoutError::Timeout) => Err(Error::Timeout),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(self.driver().end_error()),
        }
    }

    fn send(self: Arc<Self>, name: &str, payload: &[u8]) -> Result<()> {
        // Copied before the lock is taken.
        let payload = payload.to_vec();
        let answer = self.call(|protocol, now| protocol.send(now, name, payload))?;
        match answer.recv_timeout(self.send_timeout() + ANSWER_GRACE) {
            Ok(CallResult::Sent(result)) => result,
            Err(RecvTimeoutError::Timeout) => Err(Error::Timeout),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(self.driver().end_error()),
        }
    }

    fn save_snapshot(&self) -> Result<()> {
        let Some(writer) = self.snapshot_writer() else {
            return Err(invalid("snapshot", "there is none"));
        };
        self.check_process()?;
        writer.save().unwrap_or_else(|| Err(self.driver().end_error()))
    }

    fn events(&self) -> Events {
        Self::events(self)
    }

    fn health(&self) -> u8 {
        self.driver().read(|protocol| protocol.health())
    }

    fn metrics(&self) -> Metrics {
        Self::metrics(self)
    }

    fn reach(&self) -> Reach {
        let now = self.driver().now();
        self.driver().read(|protocol| protocol.reach(now))
    }

    fn force_leave(self: Arc<Self>, name: &str) -> Result<()> {
        self.step(|protocol, now| protocol.force_leave(now, name))?
    }

    fn leave(self: Arc<Self>, timeout: Duration) -> Result<()> {
        let deadline = Instant::now().checked_add(timeout.saturating_add(ANSWER_GRACE));
        let result = match self.call(|protocol, now| Ok(protocol.leave(now, timeout))) {
            Ok(answer) => match receive(&answer, deadline) {
                Ok(CallResult::Left(result)) => result,
                Err(RecvTimeoutError::Timeout) => Err(Error::Timeout),
                // Somebody else has ended it meanwhile.
                Ok(_) | Err(RecvTimeoutError::Disconnected) => Ok(()),
            },
            Err(_) => Ok(()),
        };
        self.shutdown().and(result)
    }

    fn shutdown(&self) -> Result<()> {
        if self.check_process().is_err() {
            return Ok(());
        }
        self.end(End::Closed);
        self.wait_for_end();
        self.driver().end_reason().map_or(Ok(()), End::result)
    }

    fn has_ended(&self) -> bool {
        self.driver().has_ended()
    }

    #[cfg(feature = "encryption")]
    fn keyring(&self) -> Keyring {
        self.driver().read(|protocol| protocol.keyring().clone())
    }

    #[cfg(feature = "encryption")]
    fn change_keyring(self: Arc<Self>, change: &mut dyn FnMut(&mut Keyring) -> Result<()>) -> Result<()> {
        self.step(|protocol, _| protocol.change_keyring(change))?
    }

    fn owner(&self) -> Option<Arc<dyn Owner>> {
        Self::owner(self)
    }
}

/// Waits for a message; without a deadline, as long as it takes.
fn receive<T>(messages: &Receiver<T>, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
    match deadline {
        Some(deadline) => messages.recv_deadline(deadline),
        None => messages.recv().map_err(RecvTimeoutError::from),
    }
}
