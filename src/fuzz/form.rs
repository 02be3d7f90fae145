//! The form in which persons send their datagrams: as they are, or sealed, as those do who hold the cluster's key.

#[cfg(feature = "encryption")]
use std::cell::Cell;

use super::script::Script;
use crate::config::Config;
#[cfg(feature = "encryption")]
use crate::keyring::{Cipher, Key, Keyring};
#[cfg(feature = "encryption")]
use crate::wire::Writer;
use crate::wire::packet::plain;
#[cfg(feature = "encryption")]
use crate::wire::sealed::{Unsealed, fill_head};
use crate::wire::{Header, NameHash};

/// The longest datagram that is made.
pub(super) const DATAGRAM_MAX: usize = 65_507;

#[derive(Debug)]
pub(super) enum Form {
    Plain,
    #[cfg(feature = "encryption")]
    Sealed {
        key: Key,
        /// What was sealed, by whomever: it grows for each of them.
        counter: Cell<u64>,
    },
}

impl Form {
    #[cfg(feature = "encryption")]
    pub(super) fn sealed() -> Self {
        Self::Sealed { key: Key::from_bytes([7; 32]), counter: Cell::new(0) }
    }

    /// Has a member take this form, and another one if a script wants it. Its configuration, and whether what comes
    /// again counts.
    pub(super) fn equip(&self, config: Config, script: &mut Script<'_>) -> (Config, bool) {
        let accepts_plain = script.choice().of(&[false, true]) || matches!(self, Self::Plain);
        match self {
            Self::Plain => (config, accepts_plain),
            #[cfg(feature = "encryption")]
            Self::Sealed { key, .. } => {
                let keyring = Keyring::new(key.clone());
                let keyring = if accepts_plain { keyring.accepting_plain() } else { keyring };
                (config.keyring(keyring), accepts_plain)
            }
        }
    }

    /// A datagram to this node with these bodies, whatever they are.
    #[cfg_attr(
        not(feature = "encryption"),
        expect(unused_variables, reason = "only a seal is bound to a node")
    )]
    pub(super) fn write(&self, header: &Header, receiver: NameHash, bodies: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => plain(header, bodies),
            #[cfg(feature = "encryption")]
            Self::Sealed { key, counter } => {
                counter.set(counter.get() + 1);
                let mut datagram = Writer::to_be_sealed(Vec::new(), header, receiver, DATAGRAM_MAX).finish();
                datagram.extend_from_slice(bodies);
                let cipher = Cipher::new(key, header.sender, header.generation);
                let tag = fill_head(&mut datagram, key.id().number(), counter.get()).and_then(
                    |Unsealed { receiver, head, bodies, .. }| {
                        cipher.seal(counter.get(), receiver, head, bodies)
                    },
                );
                datagram.extend(tag.into_iter().flatten());
                datagram
            }
        }
    }
}
