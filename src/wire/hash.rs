//! The hashes that the format specifies: SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
//! 2012), under keys that are part of the format.
//!
//! The keys are no secret: the hashes only spread. Salted with the cluster's tag, they make two clusters differ.

use super::body::Record;
use super::cursor::Sink;
use super::{ClusterTag, NameHash};

/// The key of [`ClusterTag::of`]: "headcoun", "tcluster".
const CLUSTER_KEY: (u64, u64) = (0x6865_6164_636f_756e, 0x7463_6c75_7374_6572);
/// The second half of the key of [`NameHash::of`], the first being the tag: "nodename".
const NAME_KEY: u64 = 0x6e6f_6465_6e61_6d65;
/// The second half of the key of [`Record::hash`], the first being the tag: "a record".
const RECORD_KEY: u64 = 0x6120_7265_636f_7264;

/// SipHash-2-4 of `bytes` under a key of two words.
pub(crate) fn siphash(key: (u64, u64), bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher::new(key);
    hasher.put(bytes);
    hasher.finish()
}

impl ClusterTag {
    /// The tag of a cluster's name.
    pub(crate) fn of(cluster: &str) -> Self {
        Self(siphash(CLUSTER_KEY, cluster.as_bytes()))
    }
}

impl NameHash {
    /// The hash of a node's name in a cluster.
    pub(crate) fn of(tag: ClusterTag, name: &str) -> Self {
        Self(siphash((tag.0, NAME_KEY), name.as_bytes()).max(1))
    }
}

impl Record<'_> {
    /// What this record adds to its sender's fingerprint: a hash of all that it says, in the bytes of the wire.
    pub(crate) fn hash(&self, tag: ClusterTag) -> u64 {
        let mut hasher = SipHasher::new((tag.0, RECORD_KEY));
        self.encode(&mut hasher);
        hasher.finish()
    }
}

/// SipHash-2-4 of what is written to it, in pieces of any size.
#[derive(Debug, Clone)]
struct SipHasher {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
    /// The bytes that do not fill a word yet, the first one lowest.
    word: u64,
    length: u64,
}

impl SipHasher {
    fn new((k0, k1): (u64, u64)) -> Self {
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
            word: 0,
            length: 0,
        }
    }

    fn finish(mut self) -> u64 {
        self.compress(self.word | self.length << 56);
        self.v2 ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    fn compress(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }
}

impl Sink for SipHasher {
    fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.word |= u64::from(byte) << (self.length % 8 * 8);
            self.length += 1;
            if self.length.is_multiple_of(8) {
                self.compress(self.word);
                self.word = 0;
            }
        }
    }
}
