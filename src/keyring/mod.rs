//! Keys, and how they are changed while a cluster runs (feature `encryption`).
//!
//! All members of a cluster hold the same secret, a [`Key`] of 32 bytes, and seal with it every datagram they send: who
//! does not hold it can neither read nor write one, nor use one a second time. What exactly is sealed, and how, stands
//! in the format of the datagrams (`src/wire/mod.rs`); which datagrams are believed, in `src/protocol/seal.rs`.
//!
//! A [`Keyring`] says what a member makes of keys: with which one it seals what it sends, which others it can open, and
//! whether it takes datagrams that are not sealed. These are three things because a change has to be made at one member
//! after the other while all of them talk to each other: first everybody can open what is going to be sent, then it is
//! sent, then what was sent before is refused. At each moment everybody can open what anybody sends. The steps are
//! listed at [`MemberKeyring`](crate::MemberKeyring).
//!
//! | file | holds |
//! |---|---|
//! | `key` | one key, from bytes, digits or a file |
//! | `cipher` | sealing and opening |
//! | `derivation` | what is derived from a key: its number, and the keys of runs |

mod cipher;
mod derivation;
mod key;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use self::cipher::Cipher;
pub use self::key::{Key, KeyId};
#[cfg(doc)]
use crate::error::Error;
use crate::error::{Result, invalid};

/// More keys than any change of keys needs.
const KEYS_MAX: usize = 16;

/// What a member makes of keys: which one it seals with, which it can open, and whether it takes what is not sealed.
///
/// It is given to a member by [`Config::keyring`](crate::Config::keyring), and changed while the member runs by
/// [`Member::keyring`](crate::Member::keyring). How to go from one key to the next without losing anybody is told
/// [there](crate::MemberKeyring). Its `Debug` tells the ids of keys and nothing else of them.
///
/// ```
/// use headcount::{Config, Key, Keyring, Member};
///
/// let key = || Key::from_hex("1b6d8a3f0a6c1d5e9f7b2c4d8e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b");
/// let sealed = |name| -> headcount::Result<Config> {
///     Ok(Config::local().name(name).bind("127.0.0.1:0").keyring(Keyring::new(key()?)))
/// };
/// let ann = Member::create(sealed("ann")?)?;
/// let bob = Member::create(sealed("bob")?)?.join(ann.addr())?;
/// assert_eq!(bob.nodes().len(), 2);
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Keyring {
    keys: Vec<Key>,
    /// `None`: what is sent is not sealed.
    used: Option<KeyId>,
    accepts_plain: bool,
}

impl Keyring {
    /// Seals with this key, and takes nothing that is not sealed.
    pub fn new(key: Key) -> Self {
        Self { used: Some(key.id()), keys: vec![key], accepts_plain: false }
    }

    /// No key: seals nothing, and takes what is not sealed. A member whose configuration has no keyring has this one.
    /// With keys added by [`with`](Self::with) it opens what others have sealed already.
    pub fn plain() -> Self {
        Self { keys: Vec::new(), used: None, accepts_plain: true }
    }

    /// Opens what is sealed with this key as well. At most 16 keys are held, and no two whose ids are equal (which is
    /// one chance in four billion): [`Member::create`](crate::Member::create) refuses more.
    pub fn with(mut self, key: Key) -> Self {
        if !self.keys.iter().any(|held| held.is_same(&key)) {
            self.keys.push(key);
        }
        self
    }

    /// Takes what is not sealed as well.
    pub fn accepting_plain(mut self) -> Self {
        self.accepts_plain = true;
        self
    }

    /// The keys that it holds.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.keys.iter().map(Key::id)
    }

    /// The key that it seals with; `None` if it seals nothing.
    #[must_use]
    pub fn used(&self) -> Option<KeyId> {
        self.used
    }

    /// Whether it takes what is not sealed.
    #[must_use]
    pub fn accepts_plain(&self) -> bool {
        self.accepts_plain
    }

    /// An error if there are too many keys, or two that datagrams can not tell apart.
    pub(crate) fn check(&self) -> Result<()> {
        let mut checked = Self::plain();
        self.keys.iter().try_for_each(|key| checked.install(key.clone()))
    }

    /// The key of this number.
    pub(crate) fn get(&self, number: u32) -> Option<&Key> {
        self.keys.iter().find(|key| key.id().number() == number)
    }

    /// The key that it seals with.
    pub(crate) fn used_key(&self) -> Option<&Key> {
        self.used.and_then(|id| self.get(id.number()))
    }

    pub(crate) fn install(&mut self, key: Key) -> Result<()> {
        if self.keys.iter().any(|held| held.is_same(&key)) {
            return Ok(());
        }
        let id = key.id();
        if self.get(id.number()).is_some() {
            return Err(refused(format!("another key has the id {id}, too: make a new one")));
        }
        if self.keys.len() == KEYS_MAX {
            return Err(refused(format!("it holds {KEYS_MAX} keys already: remove old ones")));
        }
        self.keys.push(key);
        Ok(())
    }

    pub(crate) fn use_key(&mut self, id: KeyId) -> Result<()> {
        if self.get(id.number()).is_none() {
            return Err(refused(format!("the key {id} is not installed")));
        }
        self.used = Some(id);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: KeyId) -> Result<()> {
        if self.used == Some(id) {
            return Err(refused(format!("the key {id} is the one that is used")));
        }
        self.keys.retain(|key| key.id() != id);
        Ok(())
    }

    pub(crate) fn use_plain(&mut self) -> Result<()> {
        if !self.accepts_plain {
            return Err(refused("datagrams that are not sealed are refused: accept them first".to_owned()));
        }
        self.used = None;
        Ok(())
    }

    pub(crate) fn accept_plain(&mut self) {
        self.accepts_plain = true;
    }

    pub(crate) fn refuse_plain(&mut self) -> Result<()> {
        if self.used.is_none() {
            return Err(refused("no key is used: what is sent is not sealed itself".to_owned()));
        }
        self.accepts_plain = false;
        Ok(())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("keys", &self.ids().collect::<Vec<_>>())
            .field("used", &self.used)
            .field("accepts_plain", &self.accepts_plain)
            .finish()
    }
}

fn refused(reason: String) -> crate::Error {
    invalid("keyring", reason)
}
