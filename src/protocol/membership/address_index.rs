//! The member table's index by address.
//!
//! A sorted list with a word for each address of each record: the one that it advertises, and its aliases. The upper
//! half of a word is half of the address's hash, the lower one half of the name's: that makes 8 bytes a record, where
//! addresses and names themselves would need 40. Two words may be equal by chance, so they name candidates, and the
//! records decide.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::wire::NameHash;
use crate::wire::hash::siphash;

/// The key of the hash, which only spreads.
const KEY: (u64, u64) = (u64::from_be_bytes(*b"by addre"), u64::from_be_bytes(*b"ss......"));
const LOWER_HALF: u64 = 0xffff_ffff;

/// Which records are at which address.
#[derive(Debug, Clone, Default)]
pub(super) struct AddressIndex {
    words: Vec<u64>,
}

impl AddressIndex {
    pub(super) fn insert(&mut self, addr: SocketAddr, name: NameHash) {
        let word = word(addr, name);
        let place = self.words.partition_point(|other| *other < word);
        self.words.insert(place, word);
    }

    pub(super) fn remove(&mut self, addr: SocketAddr, name: NameHash) {
        if let Ok(place) = self.words.binary_search(&word(addr, name)) {
            self.words.remove(place);
        }
    }

    /// The names that may be at an address, nearly always none or one in each range.
    pub(super) fn candidates(&self, addr: SocketAddr) -> impl Iterator<Item = RangeInclusive<NameHash>> {
        let hash = hash(addr);
        let first = self.words.partition_point(|word| *word < hash);
        let words = self.words[first..].iter().take_while(move |word| **word & !LOWER_HALF == hash);
        words.map(|word| NameHash(word << 32)..=NameHash(word << 32 | LOWER_HALF))
    }
}

fn word(addr: SocketAddr, name: NameHash) -> u64 {
    hash(addr) | name.0 >> 32
}

/// Half of the hash of an address, in the upper half of a word.
fn hash(addr: SocketAddr) -> u64 {
    let mut bytes = [0; 18];
    match addr.ip() {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes[..16].copy_from_slice(&ip.octets()),
    }
    bytes[16..].copy_from_slice(&addr.port().to_be_bytes());
    siphash(KEY, &bytes) & !LOWER_HALF
}
