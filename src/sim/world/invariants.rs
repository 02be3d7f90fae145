//! The invariants that are checked at each step, and what happens when one is broken.

use super::World;
use crate::error::Result;
use crate::node::Node;
use crate::protocol::{RequestId, Seen, Transmit};
use crate::sim::checks::check_length;
use crate::sim::host::Host;
use crate::sim::message_model::Message;

impl World {
    pub(in crate::sim) fn check_transmit(&mut self, index: usize, transmit: &Transmit) {
        let Host { protocol, observer, .. } = &mut self.hosts[index];
        let (limit, plain) = (crate::wire::DATAGRAM_MAX, protocol.in_plain(&transmit.datagram));
        let length = transmit.datagram.len();
        let outcome = check_length(length, limit)
            .and_then(|()| self.said.check(&plain))
            .and_then(|()| observer.check_sent(self.now, transmit.to, &plain, length));
        self.expect(index, outcome);
    }

    pub(super) fn check_touched(&mut self, index: usize, touched: Vec<(String, Option<Seen>)>) {
        for (name, seen) in touched {
            let host = &mut self.hosts[index];
            let own = host.name == name;
            if !own {
                let shown = seen.as_ref().and_then(|seen| seen.shown);
                let outcome = host.observer.check_told(&name, shown);
                self.expect(index, outcome);
            }
            let host = &mut self.hosts[index];
            if let Some(node) = host.protocol.node(&name) {
                let before = host.observer.shows(node);
                let outcome = self.ledger.check(before.as_ref(), node);
                self.expect(index, outcome);
            }
            let host = &mut self.hosts[index];
            match seen {
                Some(seen) => {
                    let outcome = self.contents.check(&seen).and(host.observer.check_record(own, seen));
                    self.expect(index, outcome);
                }
                None => host.observer.forget(&name),
            }
        }
    }

    /// Takes a message from a program, and notes it in the model.
    pub(in crate::sim) fn send_message(
        &mut self,
        host: usize,
        run: u64,
        name: &str,
        payload: &[u8],
    ) -> Result<RequestId> {
        self.check_running(host, run)?;
        let protocol = &self.hosts[host].protocol;
        let message = protocol.node(name).map(|to| Message::new(&protocol.local(), to, payload));
        let message = message.map(|message| message.of_run(self.hosts[host].number));
        let call = self.hosts[host].protocol.send(self.now, name, payload.to_vec());
        if let (Ok(call), Some(message)) = (&call, message) {
            self.messages.sent((host, run, *call), message);
        }
        self.drain(host);
        call
    }

    /// A message that is delivered to a program, as the model knows it.
    pub(super) fn delivered(&mut self, index: usize, from: &Node, payload: &[u8]) -> Message {
        if let Some(sender) = self.index_of(from.name()) {
            self.note_number(sender);
        }
        let number = (from.name().to_owned(), from.generation());
        let first = self.numbers.get(&number).copied().unwrap_or(from.generation());
        Message::new(from, &self.hosts[index].protocol.local(), payload).of_run(first)
    }

    /// Notes the number of a run, if it has taken a higher one than it began with: messages that it has sent under the
    /// first number arrive under the new one.
    pub(super) fn note_number(&mut self, index: usize) {
        let Host { name, number, protocol, .. } = &self.hosts[index];
        let generation = protocol.local().generation();
        if generation != *number {
            self.numbers.insert((name.clone(), generation), *number);
        }
    }

    pub(super) fn check_answered(&mut self, index: usize, call: RequestId, result: &Result<()>) {
        let outcome = self.messages.answered((index, self.hosts[index].run, call), result);
        self.expect(index, outcome);
    }

    /// Panics if an invariant is broken, with what is needed to repeat the run.
    pub(super) fn expect(&self, host: usize, outcome: Result<(), String>) {
        if let Err(wrong) = outcome {
            violated(&self.place(), &self.hosts[host].name, &wrong);
        }
    }
}

/// Ends the run, so that a test with the simulator fails.
#[track_caller]
fn violated(place: &str, host: &str, wrong: &str) -> ! {
    panic!("{place}, {host}: {wrong}")
}
