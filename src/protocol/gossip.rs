//! A round of rumors: which peer gets what, written by the parts that know it.

use super::core::MISFITS_MAX;
use super::core::rumors::Topic;
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
        let mut full = false;
        let mut used: Vec<NameHash> = Vec::with_capacity(slots.len());
        for (slot, offset) in slots {
            let topics: Vec<Topic> = self.core.rumors.for_slot(slot).collect();
            if topics.is_empty() {
                continue;
            }
            match peer_at(&mut self.core, now, offset, &used, &topics) {
                Some(peer) => {
                    used.push(peer);
                    full |= self.send_rumors(now, slot, peer, &topics);
                }
                None => topics.iter().for_each(|topic| self.core.rumors.told(slot, *topic)),
            }
        }
        self.core.rumors.end_round(now, full);
        self.broadcasts.go_on_saying(&mut self.core, now);
    }

    /// Sends a peer what a slot has for it, news of ourselves first. Answers whether a datagram was filled.
    fn send_rumors(&mut self, now: Instant, slot: usize, peer: NameHash, topics: &[Topic]) -> bool {
        let Some(entry) = self.core.members.get(peer) else {
            return false;
        };
        let (to, addr) = ((peer, entry.generation()), entry.addr());
        let ours = Topic::Node(self.core.me);
        let own = topics.iter().filter(|topic| **topic == ours);
        let others = topics.iter().filter(|topic| **topic != ours);
        let mut rest: Vec<Topic> = own.chain(others).copied().collect();
        let mut full = false;
        for _ in 0..DATAGRAMS_MAX {
            let mut datagram = self.core.datagram_to(to);
            let told = self.fill(now, &mut datagram, peer, &mut rest);
            self.core.rumors.take_turn();
            for topic in &told {
                self.core.rumors.told(slot, *topic);
            }
            self.core.transmit(now, addr, datagram);
            full |= !rest.is_empty();
            rest.retain(|topic| matches!(topic, Topic::Broadcast(..)));
            if rest.is_empty() || told.is_empty() {
                break;
            }
        }
        full
    }

    /// Adds news to a datagram, as far as there is room. Returns what has found some; what has not is left in `rest`.
    fn fill(
        &mut self,
        now: Instant,
        datagram: &mut Writer,
        peer: NameHash,
        rest: &mut Vec<Topic>,
    ) -> Vec<Topic> {
        let mut misfits = 0;
        let mut told = Vec::with_capacity(rest.len());
        rest.retain(|topic| {
            if misfits == MISFITS_MAX {
                return true;
            }
            if matches!(topic, Topic::State(..)) && !self.states.may_gossip(now) {
                return false;
            }
            let fits = self.add_topic(datagram, *topic, peer);
            if fits {
                told.push(*topic);
            } else {
                misfits += 1;
            }
            !fits
        });
        told
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
