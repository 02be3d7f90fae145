//! Sealing and opening: the only file that knows which cipher it is.
//!
//! Each run of a node seals with a key of its own, derived from the cluster's key, its name hash and its generation. So
//! the counter of its datagrams is a nonce that nobody else can use, and needs to be unique for one process only.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use zeroize::Zeroizing;

use super::derivation::expand;
use super::key::Key;
use crate::node::Generation;
use crate::wire::NameHash;
use crate::wire::sealed::{HEAD_SIZE, Parts, TAG_SIZE};

/// What seals and opens the datagrams of one run of a node. Overwritten when it is dropped.
pub(crate) struct Cipher(ChaCha20Poly1305);

impl Cipher {
    pub(crate) fn new(key: &Key, sender: NameHash, generation: Generation) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        let (sender, generation) = (sender.0.to_be_bytes(), generation.0.to_be_bytes());
        expand(key.bytes(), &[b"headcount seal v1", &sender, &generation], &mut *bytes);
        Self(ChaCha20Poly1305::new((&*bytes).into()))
    }

    /// Encrypts the bodies of a datagram to a node in place; the tag of it all. `None` beyond the cipher's limit of
    /// 256 GiB, or if the head has not the length of one.
    pub(crate) fn seal(
        &self,
        counter: u64,
        receiver: NameHash,
        head: &[u8],
        bodies: &mut [u8],
    ) -> Option<[u8; TAG_SIZE]> {
        let associated = associated(head, receiver)?;
        self.0.encrypt_inout_detached(&nonce(counter), &associated, bodies.into()).ok().map(Into::into)
    }

    /// Writes the bodies of a datagram to a node to `opened`, in place of what is there. False if it was not sealed with
    /// this, or not for that node.
    pub(crate) fn open(
        &self,
        counter: u64,
        receiver: NameHash,
        parts: &Parts<'_>,
        opened: &mut Vec<u8>,
    ) -> bool {
        opened.clear();
        opened.extend_from_slice(parts.bodies);
        let (tag, bodies) = (Tag::from(parts.tag), opened.as_mut_slice());
        associated(parts.head, receiver).is_some_and(|associated| {
            self.0.decrypt_inout_detached(&nonce(counter), &associated, bodies.into(), &tag).is_ok()
        })
    }

    /// The bodies of a datagram that was sealed with this, whoever it is for; of any other one, nonsense.
    pub(crate) fn decrypt_unchecked(&self, counter: u64, parts: &Parts<'_>) -> Option<Vec<u8>> {
        let mut bodies = parts.bodies.to_vec();
        // The cipher adds a stream of bits: to encrypt again is to decrypt.
        self.seal(counter, NameHash(0), parts.head, &mut bodies).map(|_| bodies)
    }
}

/// What is authenticated beside the bodies: the head, and whom it is for.
fn associated(head: &[u8], receiver: NameHash) -> Option<[u8; HEAD_SIZE + 8]> {
    let mut associated = [0; HEAD_SIZE + 8];
    let (front, back) = associated.split_at_mut_checked(head.len()).filter(|(_, back)| back.len() == 8)?;
    front.copy_from_slice(head);
    back.copy_from_slice(&receiver.0.to_be_bytes());
    Some(associated)
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}
