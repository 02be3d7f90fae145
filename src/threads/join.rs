//! Joining: from seeds as the user writes them to addresses for the protocol, and from the protocol's answer
//! for each address back to an answer for each seed.
//!
//! The deadline holds for all of it, the resolver included. If there are addresses already, host names have
//! half of the time to show theirs; one that hangs costs no more than that.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, select};

use super::address::Contacts;
use super::shared::{ANSWER_GRACE, Shared};
use super::workers::resolver::{self, Resolved};
use crate::config::{Place, Seed};
use crate::error::{Error, Result, invalid};
use crate::protocol::{CallResult, copy_error};

/// What is known about one seed.
#[derive(Debug)]
struct Attempt {
    text: String,
    /// Where it may be reached.
    addrs: Vec<SocketAddr>,
    /// Why it was not joined.
    error: Option<Error>,
}

/// Joins a cluster through any of the seeds.
pub(crate) fn join(shared: &Arc<Shared>, seeds: Vec<String>) -> Result<()> {
    shared.check_process()?;
    shared.driver().check_running()?;
    if seeds.is_empty() {
        return Err(invalid("seeds", "none was given"));
    }
    let begun = Instant::now();
    let deadline = begun + shared.join_timeout();
    let mut hosts = Vec::new();
    let mut attempts: Vec<Attempt> = Vec::with_capacity(seeds.len());
    for (number, text) in seeds.into_iter().enumerate() {
        let (addrs, error) = match Seed::parse(&text) {
            Ok(seed) => {
                if let Place::Host(name, port) = &seed.place {
                    hosts.push((number, (name.clone(), *port)));
                }
                (seed.literal(shared.view().address().bound()).unwrap_or_default(), None)
            }
            Err(reason) => (Vec::new(), Some(invalid("seeds", reason))),
        };
        attempts.push(Attempt { text, addrs, error });
    }
    if !hosts.is_empty() {
        resolve(shared, hosts, &mut attempts, begun + shared.join_timeout() / 2, deadline)?;
    }
    for attempt in &mut attempts {
        drop_unreachable(shared, attempt);
    }
    ask(shared, attempts, deadline)
}

/// Adds the addresses of the host names. Waits for all of them until `patience`, and for the first one until
/// `deadline`.
fn resolve(
    shared: &Arc<Shared>,
    hosts: Vec<(usize, (String, u16))>,
    attempts: &mut [Attempt],
    patience: Instant,
    deadline: Instant,
) -> Result<()> {
    let (numbers, hosts): (Vec<usize>, Vec<(String, u16)>) = hosts.into_iter().unzip();
    let (tell, results) = crossbeam_channel::unbounded();
    for &number in &numbers {
        attempts[number].error = Some(Error::Timeout);
    }
    resolver::start(shared, hosts, tell)?;
    for _ in 0..numbers.len() {
        let has_addrs = attempts.iter().any(|attempt| !attempt.addrs.is_empty());
        let until = if has_addrs { patience } else { deadline };
        let Some((index, result)) = next_result(shared, &results, until)? else {
            break;
        };
        let attempt = &mut attempts[numbers[index]];
        (attempt.addrs, attempt.error) = match result {
            Ok(addrs) => (addrs, None),
            Err(source) => {
                let what = format!("resolve {}", attempt.text);
                (Vec::new(), Some(Error::Io { what, source }))
            }
        };
    }
    Ok(())
}

/// The next result of the resolver, if it comes in time. An error if the member ends.
fn next_result(shared: &Shared, results: &Receiver<Resolved>, until: Instant) -> Result<Option<Resolved>> {
    select! {
        recv(results) -> result => Ok(result.ok()),
        recv(shared.handles().protocol_threads()) -> _ => Err(shared.driver().end_error()),
        default(until.saturating_duration_since(Instant::now())) => Ok(None),
    }
}

/// A socket of one family can not send to the other one.
fn drop_unreachable(shared: &Shared, attempt: &mut Attempt) {
    let all = attempt.addrs.len();
    attempt.addrs.retain(|addr| shared.view().address().can_reach(*addr));
    if attempt.addrs.is_empty() && all > 0 {
        let what = format!("send to {} from {}", attempt.text, shared.view().address().bound());
        let source = io::Error::new(io::ErrorKind::Unsupported, "the address family is another one");
        attempt.error = Some(Error::Io { what, source });
    }
}

/// Asks all addresses.
fn ask(shared: &Arc<Shared>, mut attempts: Vec<Attempt>, deadline: Instant) -> Result<()> {
    let mut addrs: Vec<SocketAddr> = attempts.iter().flat_map(|attempt| &attempt.addrs).copied().collect();
    // In the order of the seeds: all of them should get the same address, also if the network came up after the member.
    shared.check_address(Contacts::Seeds(&addrs));
    addrs.sort_unstable();
    addrs.dedup();
    let has_failures = attempts.iter().any(|attempt| attempt.error.is_some());
    // Others were named, and none of them can be asked: being alone is no success then.
    if has_failures && addrs.iter().all(|addr| shared.view().address().is_own(*addr)) {
        return Err(failures(attempts));
    }

    let answer = shared.call(|protocol, now| Ok(protocol.join(now, &addrs)))?;
    match answer.recv_deadline(deadline + ANSWER_GRACE) {
        Ok(CallResult::Joined(Ok(()))) => {
            for Attempt { text, error, .. } in attempts {
                if let Some(error) = error {
                    log::debug!("the seed {text} was not asked: {error}");
                }
            }
            Ok(())
        }
        Ok(CallResult::Joined(Err(errors))) => {
            let errors = BTreeMap::from_iter(errors);
            for attempt in &mut attempts {
                attempt.take_error(&errors);
            }
            Err(failures(attempts))
        }
        Err(RecvTimeoutError::Timeout) => {
            for attempt in &mut attempts {
                if attempt.addrs.iter().any(|addr| !shared.view().address().is_own(*addr)) {
                    attempt.error = Some(Error::NoAnswer);
                }
            }
            Err(failures(attempts))
        }
        Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(shared.driver().end_error()),
    }
}

impl Attempt {
    /// Of the errors of its addresses, takes the one that tells most. Other seeds may lead to the same addresses.
    fn take_error(&mut self, errors: &BTreeMap<SocketAddr, Error>) {
        let mine = || self.addrs.iter().filter_map(|addr| errors.get(addr));
        let tells = |error: &&Error| !matches!(error, Error::NoAnswer | Error::Timeout);
        if let Some(error) = mine().find(tells).or_else(|| mine().next()) {
            self.error = Some(copy_error(error));
        }
    }
}

fn failures(attempts: Vec<Attempt>) -> Error {
    let failed = attempts.into_iter().filter_map(|attempt| Some((attempt.text, attempt.error?)));
    Error::Join(failed.collect())
}
