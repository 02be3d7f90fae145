//! A round of rumors: which peer gets what, written by the parts that know it.

use super::core::MISFITS_MAX;
use super::core::rumors::Topic;
use super::dissemination::peer_at;
use super::{Instant, Protocol};
use crate::wire::{NameHash, Writer};

impl Protocol {
    /// Sends a round of rumors, if one is due.
    pub(super) fn gossip(&mut self, now: Instant) {
        let Some(slots) = self.dissemination.begin_round(&mut self.core, now) else {
            return;
        };
        let mut used: Vec<NameHash> = Vec::with_capacity(slots.len());
        for (slot, offset) in slots {
            let topics: Vec<Topic> = self.core.rumors.for_slot(slot).collect();
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
    }

    /// Sends a peer what a slot has for it, news of ourselves first.
    fn send_rumors(&mut self, now: Instant, slot: usize, peer: NameHash, topics: &[Topic]) {
        let Some(entry) = self.core.members.get(peer) else {
            return;
        };
        let (addr, generation) = (entry.addr(), entry.generation());
        let mut datagram = self.core.datagram_to((peer, generation));
        let mut misfits = 0;
        let ours = Topic::Node(self.core.me);
        let own = topics.iter().filter(|topic| **topic == ours);
        let others = topics.iter().filter(|topic| **topic != ours);
        let mut sent = Vec::with_capacity(topics.len());
        for topic in own.chain(others) {
            if matches!(topic, Topic::State(..)) && !self.states.may_gossip(now) {
                continue;
            }
            if self.add_topic(&mut datagram, *topic, peer) {
                sent.push(*topic);
            } else {
                misfits += 1;
                if misfits == MISFITS_MAX {
                    break;
                }
            }
        }
        self.core.rumors.sent(now, slot, &sent, misfits > 0);
        self.core.transmit(now, addr, datagram);
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
