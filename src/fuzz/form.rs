//! The form in which persons send their datagrams: as they are, or sealed, as those do who hold the cluster's key.

use crate::config::Config;
#[cfg(feature = "encryption")]
use crate::keyring::{Cipher, Key, Keyring};
#[cfg(feature = "encryption")]
use crate::wire::sealed::fill_head;
use crate::wire::{Header, Writer};

/// The longest datagram that is made.
pub(super) const DATAGRAM_MAX: usize = 65_507;

#[derive(Debug)]
pub(super) enum Form {
    Plain,
    #[cfg(feature = "encryption")]
    Sealed {
        key: Key,
        /// What was sealed, by whomever: it grows for each of them.
        counter: u64,
    },
}

impl Form {
    #[cfg(feature = "encryption")]
    pub(super) fn sealed() -> Self {
        Self::Sealed { key: Key::from_bytes([7; 32]), counter: 0 }
    }

    /// The configuration of a member that takes this form, and another one if it `accepts_plain`.
    pub(super) fn equip(&self, config: Config, accepts_plain: bool) -> Config {
        match self {
            Self::Plain => config,
            #[cfg(feature = "encryption")]
            Self::Sealed { key, .. } => {
                let keyring = Keyring::new(key.clone());
                config.keyring(if accepts_plain { keyring.accepting_plain() } else { keyring })
            }
        }
    }

    /// Whether what comes again changes nothing, unless plain datagrams are accepted.
    pub(super) fn counts_once(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// A datagram with these bodies, whatever they are.
    pub(super) fn write(&mut self, header: &Header, bodies: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => {
                let mut datagram = Writer::new(Vec::new(), header, DATAGRAM_MAX).finish();
                datagram.extend_from_slice(bodies);
                datagram
            }
            #[cfg(feature = "encryption")]
            Self::Sealed { key, counter } => {
                *counter += 1;
                let mut datagram = Writer::to_be_sealed(Vec::new(), header, DATAGRAM_MAX).finish();
                datagram.extend_from_slice(bodies);
                let cipher = Cipher::new(key, header.sender, header.generation);
                let tag = fill_head(&mut datagram, key.id().number(), *counter)
                    .and_then(|(_, head, bodies)| cipher.seal(*counter, head, bodies));
                datagram.extend(tag.into_iter().flatten());
                datagram
            }
        }
    }
}
