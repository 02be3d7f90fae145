//! Sealed datagrams: what goes out is sealed directly before it is sent, what comes in is opened and taken once.
//!
//! Beyond SWIM, which trusts its network. Whoever does not hold the cluster's key can hear nothing and say nothing.
//! What is left to him are the datagrams of others, which he may hold back and send again, to anybody:
//!
//! | a datagram that comes again | is dropped because |
//! |---|---|
//! | of a run that is in the member list, dead or alive | its window has seen the counter |
//! | of a run that was in it and is forgotten, or has shown a good cookie | nothing up to the counter it had reached is taken |
//! | to another run of the receiver | the head, which is authenticated, names the run; so it counts as that of a stranger |
//! | of a stranger | not at all: it is answered by a challenge or a bare ack, no longer than itself, which are good for nothing |
//! | to another node | whom it is for is authenticated, too, and it does not open here: one run of one node takes it |
//! | of our own | only others send to us |
//!
//! Windows and keys are made for runs in the member list, when the first datagram of theirs is authentic. A flood of
//! datagrams of strangers leaves nothing behind.
//!
//! **Nonces.** One counter numbers all that this process seals, whatever the key, and is taken when a datagram is
//! handed to the driver; each run seals with a key of its own. The counter begins at random, so that even two processes
//! that take one generation, because a clock went back, do not meet.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};

use super::replay::{Reached, Window};
use crate::error::Result;
use crate::keyring::{Cipher, Key, KeyId, Keyring};
use crate::node::Generation;
use crate::protocol::api::{Bound, Transmit};
use crate::protocol::core::{ANYBODY, Context, Core, Run};
use crate::wire::packet::plain;
use crate::wire::sealed::{Parts, Unsealed, fill_head, is_to_be_sealed};
use crate::wire::{Body, Frame, Header, NameHash, Packet, SealedHead, Seq};

/// A receiver that cannot open a datagram names its counter. Of these last ones of ours it is believed.
const LATELY_SEALED: u64 = 1_024;

/// All that sealing and opening takes.
pub(in crate::protocol) struct Sealing {
    keyring: Keyring,
    /// The counter of the next datagram.
    next: u64,
    /// What the last datagram was sealed with, and for which run of ours.
    own: Option<(KeyId, Generation, Cipher)>,
    peers: BTreeMap<NameHash, Box<Peer>>,
    reached: Reached,
    /// Its memory is used for each datagram that is opened.
    buffer: Vec<u8>,
}

/// A run of a node whose datagrams are opened. Some 350 bytes.
struct Peer {
    generation: Generation,
    window: Window,
    /// What its last datagram was opened with.
    cipher: Option<(KeyId, Cipher)>,
}

impl Peer {
    /// Opens a datagram, whose counter is seen then. False, and nothing is changed, if it is not authentic.
    fn open(
        &mut self,
        key: &Key,
        head: &SealedHead,
        receiver: NameHash,
        parts: &Parts<'_>,
        opened: &mut Vec<u8>,
    ) -> bool {
        let cached = self.cipher.as_ref().filter(|(id, _)| *id == key.id()).map(|(_, cipher)| cipher);
        let derived = cached.is_none().then(|| Cipher::new(key, head.header.sender, head.header.generation));
        let is_open = cached
            .or(derived.as_ref())
            .is_some_and(|cipher| cipher.open(head.counter, receiver, parts, opened));
        if is_open {
            self.window.note(head.counter);
            if let Some(cipher) = derived {
                self.cipher = Some((key.id(), cipher));
            }
        }
        is_open
    }
}

/// A hello that was sealed: a receiver that cannot open it can name only the counter.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) struct SealedHello {
    pub(in crate::protocol) seq: Seq,
    pub(in crate::protocol) counter: u64,
}

/// Why a datagram was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Refused {
    /// We do not hold its key, or it was not sealed with it.
    Closed,
    Replayed,
}

impl Sealing {
    pub(in crate::protocol) fn new(core: &mut Core, seed: [u8; 32]) -> Self {
        // Here alone: a key that is removed is nowhere any more.
        let keyring = std::mem::replace(&mut core.settings.keyring, Keyring::plain());
        core.seals = keyring.used().is_some();
        // A stream of its own: all else draws what it draws without keys.
        let mut rng = ChaCha12Rng::from_seed(seed);
        rng.set_stream(1);
        // Half of all numbers are left to count on.
        let next = (rng.next_u64() >> 1).max(1);
        Self {
            keyring,
            next,
            own: None,
            peers: BTreeMap::new(),
            reached: Reached::default(),
            buffer: Vec::new(),
        }
    }

    /// What this member makes of keys.
    pub(in crate::protocol) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Changes what this member makes of keys, from the next datagram on.
    pub(in crate::protocol) fn change_keyring(
        &mut self,
        core: &mut Core,
        change: &mut dyn FnMut(&mut Keyring) -> Result<()>,
    ) -> Result<()> {
        debug_assert!(core.transmits.is_empty(), "datagrams of the step before wait to be sealed");
        change(&mut self.keyring)?;
        core.seals = self.keyring.used().is_some();
        self.drop_ciphers();
        let keyring = format!("the keyring is now {:?}", self.keyring);
        core.note(log::Level::Info, || keyring);
        Ok(())
    }

    /// Whether datagrams are taken that are not sealed.
    pub(in crate::protocol) fn accepts_plain(&self) -> bool {
        self.keyring.accepts_plain()
    }

    /// Whether there is a key of this number.
    pub(in crate::protocol) fn holds_key(&self, number: u32) -> bool {
        self.keyring.get(number).is_some()
    }

    /// The number of the key that is used, if one of the last datagrams had this counter.
    pub(in crate::protocol) fn key_of(&self, counter: u64) -> Option<u32> {
        let is_ours = counter < self.next && self.next - counter <= LATELY_SEALED;
        self.keyring.used().map(KeyId::number).filter(|_| is_ours)
    }

    /// A datagram as it is sent, and the hello in it, if it was sealed; none if it can not be sent: it was to be sealed,
    /// and there is no key any more.
    pub(in crate::protocol) fn seal(
        &mut self,
        mut transmit: Transmit,
    ) -> Option<(Transmit, Option<SealedHello>)> {
        if !is_to_be_sealed(&transmit.datagram) {
            return Some((transmit, None));
        }
        let key = self.keyring.used_key()?;
        let counter = self.next;
        self.next += 1;
        let Unsealed { header, receiver, head, bodies } =
            fill_head(&mut transmit.datagram, key.id().number(), counter)?;
        let hello = hello_of(&header, bodies).map(|seq| SealedHello { seq, counter });
        let own = self.own.take().filter(|(id, run, _)| (*id, *run) == (key.id(), header.generation));
        let (id, run, cipher) = own.unwrap_or_else(|| {
            (key.id(), header.generation, Cipher::new(key, header.sender, header.generation))
        });
        let tag = cipher.seal(counter, receiver, head, bodies);
        self.own = Some((id, run, cipher));
        transmit.datagram.extend_from_slice(&tag?);
        Some((transmit, hello))
    }

    /// The bodies of a sealed datagram that has not come before. The buffer is to be given [back](Self::recycle).
    pub(in crate::protocol) fn open(
        &mut self,
        core: &Core,
        head: &SealedHead,
        datagram: &[u8],
    ) -> Result<Vec<u8>, Refused> {
        let run = run_of(&head.header);
        if run == (core.me, core.generation) {
            // Somebody has sent it back, or one of the seeds is ourselves: it can not be told which.
            return Err(Refused::Replayed);
        }
        let peer = self.peers.get_mut(&run.0).filter(|peer| peer.generation == run.1);
        let is_fresh = match &peer {
            Some(peer) => peer.window.is_fresh(head.counter),
            None => self.reached.is_fresh(run, head.counter),
        };
        if !is_fresh {
            return Err(Refused::Replayed);
        }
        let key = self.keyring.get(head.key).ok_or(Refused::Closed)?;
        let parts = Parts::of(datagram).ok_or(Refused::Closed)?;
        // To whoever receives it, or to us; what is for another node does not open.
        let receiver = if head.header.receiver == ANYBODY.1 { ANYBODY.0 } else { core.me };
        let mut opened = std::mem::take(&mut self.buffer);
        let is_open = match peer {
            Some(peer) => peer.open(key, head, receiver, &parts, &mut opened),
            None => Cipher::new(key, run.0, run.1).open(head.counter, receiver, &parts, &mut opened),
        };
        if is_open {
            return Ok(opened);
        }
        self.buffer = opened;
        Err(Refused::Closed)
    }

    /// Takes back the memory of a datagram that was opened.
    pub(in crate::protocol) fn recycle(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// All of a datagram is handled: from here on there is a window for its sender, if that is in the member list. If
    /// it is not, a datagram that has shown a good cookie, or is bound to our run, must not come again when it is: the
    /// cookie stays good for a while.
    pub(in crate::protocol) fn note_sender(&mut self, core: &Core, context: &Context, receiver: Generation) {
        let run = (context.sender, context.generation);
        let Some(counter) = context.counter.filter(|_| !self.has_window(run)) else {
            return;
        };
        if context.proven {
            self.reached.note(run, counter);
        }
        if core.members.get(run.0).is_none_or(|entry| entry.generation() != run.1) {
            if receiver == core.generation {
                self.reached.note(run, counter);
            }
            return;
        }
        if self.peers.len() >= core.records() {
            self.forget(|name| core.members.get(name).is_some());
        }
        self.begin_window(run, counter);
    }

    /// A datagram as it was before it was sealed, for whoever checks it; as it is, if that can not be told. Whom it is for
    /// is not known here, so the tag is not checked.
    pub(in crate::protocol) fn in_plain<'a>(&self, datagram: &'a [u8]) -> Cow<'a, [u8]> {
        let open = || {
            let Ok(Frame::Sealed(head)) = Frame::decode(datagram) else {
                return None;
            };
            let cipher = Cipher::new(self.keyring.get(head.key)?, head.header.sender, head.header.generation);
            Some(plain(&head.header, &cipher.decrypt_unchecked(head.counter, &Parts::of(datagram)?)?))
        };
        open().map_or(Cow::Borrowed(datagram), Cow::Owned)
    }

    pub(in crate::protocol) fn bounds(&self, core: &Core) -> [Bound; 2] {
        let [active, tombstones] = core.members.bounds();
        let (count, max) = (self.peers.len(), active.max + tombstones.max);
        [Bound { what: "windows against replays", count, max }, self.reached.bound()]
    }

    fn has_window(&self, run: Run) -> bool {
        self.peers.get(&run.0).is_some_and(|peer| peer.generation == run.1)
    }

    /// Begins a window for a run, which is at this counter.
    fn begin_window(&mut self, run: Run, counter: u64) {
        self.reached.forget(run);
        let peer = Peer { generation: run.1, window: Window::after(counter), cipher: None };
        if let Some(before) = self.peers.insert(run.0, Box::new(peer)) {
            self.reached.note((run.0, before.generation), before.window.highest());
        }
    }

    /// Gives up the windows of nodes that are not to be kept.
    fn forget(&mut self, is_kept: impl Fn(NameHash) -> bool) {
        self.peers.retain(|name, peer| {
            let stays = is_kept(*name);
            if !stays {
                self.reached.note((*name, peer.generation), peer.window.highest());
            }
            stays
        });
    }

    /// Drops what was derived from keys that are not there any more.
    fn drop_ciphers(&mut self) {
        self.own.take_if(|(id, _, _)| self.keyring.used() != Some(*id));
        for peer in self.peers.values_mut() {
            peer.cipher.take_if(|(id, _)| self.keyring.get(id.number()).is_none());
        }
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("keyring", &self.keyring).finish_non_exhaustive()
    }
}

/// The number of the hello that a datagram begins with. It goes to any run.
fn hello_of(header: &Header, bodies: &[u8]) -> Option<Seq> {
    if header.receiver != Generation(0) {
        return None;
    }
    match Packet::new(*header, bodies).ok()?.bodies().next()? {
        Body::Hello(hello) => Some(hello.seq),
        _ => None,
    }
}

fn run_of(header: &Header) -> Run {
    (header.sender, header.generation)
}
