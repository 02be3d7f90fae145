//! A round of rumors: which peer gets what, written by the parts that know it.

use super::core::MISFITS_MAX;
use super::core::rumors::Topic;
use super::detection::Purpose;
use super::dissemination::peer_at;
use super::{Instant, Protocol};
use crate::wire::{NameHash, Writer};

/// Datagrams that a peer is sent in one round: one, and more only of broadcasts, which are long.
const DATAGRAMS_MAX: usize = 16;

impl Protocol {
    /// Sends a round of rumors, if one is due.
    pub(super) fn gossip(&mut self, now: Instant) {
        let Some(slots) = self.dissemination.begin_round(&mut self.core, now) else {
            return;
        };
        let mut used: Vec<NameHash> = Vec::with_capacity(slots.len());
        for (slot, offset) in slots {
            let mut topics: Vec<Topic> = self.core.rumors.for_slot(slot).collect();
            let is_of_state = |topic: &Topic| matches!(topic, Topic::State(..));
            if topics.iter().any(is_of_state) && !self.states.may_gossip(now) {
                topics.retain(|topic| !is_of_state(topic));
            }
            if topics.is_empty() {
                continue;
            }
            match peer_at(&mut self.core, now, offset, &used, &topics) {
                Some(_) if !self.core.rumors.may_serve(now, slot) => break,
                Some(peer) => {
                    used.push(peer);
                    self.send_rumors(now, slot, peer, &topics);
                }
                None => self.core.rumors.settle(slot, &topics),
            }
        }
        self.core.rumors.end_round(now);
        self.broadcasts.go_on_saying(&mut self.core, now);
    }

    /// Sends a peer what a slot has for it, news of ourselves first.
    fn send_rumors(&mut self, now: Instant, slot: usize, peer: NameHash, topics: &[Topic]) {
        let Some(entry) = self.core.members.get(peer) else {
            return;
        };
        let (to, addr) = ((peer, entry.generation()), entry.addr());
        if self.core.addresses.should_ask(addr) {
            self.detection.probe_node(&mut self.core, now, Purpose::Compare { asked: 0 }, peer);
        }
        let ours = Topic::Node(self.core.me);
        let own = topics.iter().filter(|topic| **topic == ours);
        let others = topics.iter().filter(|topic| **topic != ours);
        let mut rest: Vec<Topic> = own.chain(others).copied().collect();
        for _ in 0..DATAGRAMS_MAX {
            let mut datagram = self.core.datagram_to(to);
            let sent = self.fill(&mut datagram, peer, &mut rest);
            if datagram.is_empty() {
                // It is news of the peer itself, or news that has become void.
                self.core.rumors.settle(slot, &sent);
            } else {
                self.core.rumors.sent(now, slot, &sent, !rest.is_empty());
                self.core.transmit(now, addr, datagram);
            }
            rest.retain(|topic| matches!(topic, Topic::Broadcast(..)));
            if rest.is_empty() || sent.is_empty() {
                break;
            }
        }
    }

    /// Adds news to a datagram, as far as there is room. Returns what has found some; what has not is left in `rest`.
    fn fill(&mut self, datagram: &mut Writer, peer: NameHash, rest: &mut Vec<Topic>) -> Vec<Topic> {
        let mut misfits = 0;
        let mut sent = Vec::with_capacity(rest.len());
        rest.retain(|topic| {
            if misfits == MISFITS_MAX {
                return true;
            }
            let fits = self.add_topic(datagram, *topic, peer);
            if fits {
                sent.push(*topic);
            } else {
                misfits += 1;
            }
            !fits
        });
        sent
    }

    /// Adds the news of a topic. False if there is no room for it.
    fn add_topic(&mut self, datagram: &mut Writer, topic: Topic, receiver: NameHash) -> bool {
        let core = &self.core;
        match topic {
            Topic::Node(subject) => core.add_node(datagram, subject, receiver),
            Topic::State(subject, _) | Topic::Broadcast(subject, _) if subject == receiver => true,
            Topic::State(subject, from) => self.states.add_news(core, datagram, subject, from).is_some(),
            Topic::Broadcast(origin, number) => self.broadcasts.add_news(core, datagram, origin, number),
        }
    }
}
