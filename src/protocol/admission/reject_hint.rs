//! Hints: why a sender is not answered, sent to nodes that may be joining with the name of another cluster, with the
//! wrong key, or with another version of the format.
//!
//! | what came | from | the hint says |
//! |---|---|---|
//! | a hello with another cluster's tag, or anything sealed with one | anybody | another cluster |
//! | a datagram that we can not open | an unknown sender | another key |
//! | one that is sealed with a key that we do not hold | a known sender, once a second | another key |
//! | a hello that is not sealed, where all has to be | an unknown sender | another key |
//! | a datagram of a version that is not read here | anybody | that, by a [notice](crate::wire) |
//!
//! A hint can not be sealed, so it cannot be trusted. Nor can we trust a datagram that we can not open, even if it goes
//! to our run and comes from the address of a seed: sources can be forged. Both are kept as a possible reason, and the
//! hellos go on. A challenge clears the reason, because its sender has read our hello and we have read the challenge. A
//! join that has said hello six times without a challenge, which takes a second on a local network, gives the seed up
//! for the reason that stands. After a challenge it waits for its deadline; then a reason that stands is returned
//! instead of "no answer". An attempt that no join waits for is never given up because of a hint. Forged hints
//! therefore cannot block a join that a real peer answers.
//!
//! A hint repeats the number of the last hello or, where that can not be read, the counter of its seal; a notice repeats
//! what the hello ended with. A sender that has not seen our hello can not forge it.
//!
//! What an operator can mend is a warning, once: versions that differ, and each key that is missing at one of two
//! members.

use std::net::SocketAddr;

use super::Admission;
use super::attempts::Refusal;
use crate::error::Error;
use crate::protocol::api::Transmit;
use crate::protocol::core::Core;
use crate::protocol::time::Instant;
use crate::wire::body::RejectHintReason;
use crate::wire::version::VersionNotice;
use crate::wire::{Body, Frame, Header, Packet, SealedHead, Seq, Versions};

/// Maximum number of hints and notices a second, to all addresses together.
const HINTS_PER_SECOND: u32 = 10;
/// Maximum number of keys that are warned of: anybody can make them up.
const KEYS_MAX: usize = 8;

/// A key that one of two members does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MissingKey {
    Here(u32),
    /// Here, as a node says that is not known and may have made the key up.
    Stranger,
    /// The one that we seal with.
    There(u32),
}

/// What was warned of, and how many hints were sent.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// A second, and how many were sent in it.
    sent: (u64, u32),
    /// The warning of another version was logged.
    has_warned_of_version: bool,
    missing: Vec<MissingKey>,
}

impl Hints {
    /// Whether there is room for one more hint in this second.
    fn has_room(&mut self, now: Instant) -> bool {
        self.sent = (now.as_micros() / 1_000_000, self.sent_in_second(now) + 1);
        self.sent.1 <= HINTS_PER_SECOND
    }

    fn sent_in_second(&self, now: Instant) -> u32 {
        if self.sent.0 == now.as_micros() / 1_000_000 { self.sent.1 } else { 0 }
    }

    /// The level at which a missing key is logged: the first time it is a warning.
    fn level(&mut self, key: MissingKey) -> log::Level {
        if self.missing.contains(&key) || self.missing.len() == KEYS_MAX {
            return log::Level::Debug;
        }
        self.missing.push(key);
        log::Level::Warn
    }
}

impl Admission {
    /// A datagram with another cluster's tag.
    pub(in crate::protocol) fn handle_foreign(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        frame: &Frame<'_>,
    ) {
        core.metrics.foreign_cluster += 1;
        match frame {
            Frame::Sealed(head) => {
                self.hint(core, now, from, &head.header, Seq(head.counter), RejectHintReason::WrongCluster);
            }
            Frame::Plain(packet) => match packet.bodies().next() {
                Some(Body::Hello(hello)) => {
                    self.hint(core, now, from, packet.header(), hello.seq, RejectHintReason::WrongCluster);
                }
                Some(Body::RejectHint { seq, reason }) => {
                    let is_meant = self.handle_hint(core, from, seq, reason);
                    core.metrics.unexpected_answers += u64::from(!is_meant);
                }
                _ => {}
            },
        }
    }

    /// A datagram that is not sealed, where all has to be, and is no hint itself.
    pub(in crate::protocol) fn refuse_plain(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        packet: &Packet<'_>,
    ) {
        let header = packet.header();
        core.metrics.plain_refused += 1;
        if let Some(Body::Hello(hello)) = packet.bodies().next()
            && !core.members.is_known(header.sender, header.generation, from)
        {
            self.hint(core, now, from, header, hello.seq, RejectHintReason::WrongKey);
        }
    }

    /// A datagram of our cluster that we can not open. `holds_key`: whether we have the key that it names.
    pub(in crate::protocol) fn handle_unopened(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        head: &SealedHead,
        holds_key: bool,
    ) {
        core.metrics.unopened += 1;
        let SealedHead { header, key, .. } = head;
        let is_known = core.members.is_known(header.sender, header.generation, from);
        if holds_key {
            core.note(log::Level::Debug, || {
                format!("a datagram from {from}, sealed with the key {key:08x}, can not be opened")
            });
        } else {
            let missing = if is_known { MissingKey::Here(*key) } else { MissingKey::Stranger };
            let level = self.hints.level(missing);
            let held = core.members.get(header.sender).filter(|_| is_known);
            let name = held.map_or("a node that is not known here", |entry| entry.node().name()).to_owned();
            core.note(level, || {
                format!("{name}, at {from}, seals with the key {key:08x}, which this member does not hold")
            });
        }
        if header.receiver == core.generation {
            // It may be the answer of a member that we ask to let us in, sealed with a key that we do not have.
            self.attempts.refuse_all(from, RejectHintReason::WrongKey);
        }
        if !is_known || (!holds_key && self.hints.sent_in_second(now) == 0) {
            self.hint(core, now, from, header, Seq(head.counter), RejectHintReason::WrongKey);
        }
    }

    /// A member says why it does not answer our hello. False if that is not about the last hello to it.
    pub(in crate::protocol) fn handle_hint(
        &mut self,
        core: &mut Core,
        from: SocketAddr,
        seq: Seq,
        reason: RejectHintReason,
    ) -> bool {
        let is_meant = self.attempts.refuse(from, seq, reason);
        if is_meant {
            self.refused_by_hint(core, from, Refusal::Hint(reason));
        }
        is_meant
    }

    /// A member says that it cannot open what we have sent it, sealed with the key of this number.
    pub(in crate::protocol) fn key_is_missing_at(&mut self, core: &mut Core, from: SocketAddr, key: u32) {
        let level = self.hints.level(MissingKey::There(key));
        let held = core.members.at(from).find(|(_, entry)| entry.is_active());
        let name = held.map_or("a node", |(_, entry)| entry.node().name()).to_owned();
        core.note(level, || {
            format!("{name}, at {from}, does not hold the key {key:08x}, which this member seals with")
        });
    }

    /// A datagram of another version; its sender reads these. It is answered by a notice.
    pub(in crate::protocol) fn handle_other_version(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        reads: Versions,
    ) {
        let is_first = !std::mem::replace(&mut self.hints.has_warned_of_version, true);
        let level = if is_first { log::Level::Warn } else { log::Level::Debug };
        core.note(level, || {
            let (theirs, ours) = (reads.range(), Versions::OURS.range());
            format!("{from} speaks a version of the format that is not read here: it reads {theirs:?}, this member {ours:?}")
        });
        self.send_notice(core, now, from, datagram);
    }

    /// Says to the sender of a datagram of another version which versions are read here.
    pub(in crate::protocol) fn send_notice(
        &mut self,
        core: &mut Core,
        now: Instant,
        to: SocketAddr,
        datagram: &[u8],
    ) {
        if let Some(notice) = VersionNotice::answer_to(datagram).filter(|_| self.hints.has_room(now)) {
            core.transmits.push_back(Transmit { to, datagram: notice.encode() });
        }
    }

    /// A member says that it cannot read our version.
    pub(in crate::protocol) fn handle_notice(
        &mut self,
        core: &mut Core,
        from: SocketAddr,
        notice: VersionNotice,
    ) {
        let VersionNotice { reads, answers } = notice;
        if !reads.read_ours() && self.attempts.refuse_version(from, answers, reads) {
            self.refused_by_hint(core, from, Refusal::Versions(reads));
        } else {
            core.metrics.unexpected_answers += 1;
        }
    }

    fn refused_by_hint(&mut self, core: &mut Core, from: SocketAddr, refusal: Refusal) {
        let error = Error::from(refusal);
        core.note(log::Level::Debug, || format!("{from} may not let us in: {error}"));
        self.note_refusal(from, &error);
        self.rejoin.refused(from, error);
    }

    /// Sends a hint to the sender of a datagram: why it is not answered.
    fn hint(
        &mut self,
        core: &mut Core,
        now: Instant,
        to: SocketAddr,
        came: &Header,
        seq: Seq,
        reason: RejectHintReason,
    ) {
        let mut datagram = core.plain_datagram_to(came.generation);
        if self.hints.has_room(now) && datagram.push(&Body::RejectHint { seq, reason }) {
            core.transmit_unchecked(to, datagram);
        }
    }
}
