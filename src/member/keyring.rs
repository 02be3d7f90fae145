//! The keyring of a member that runs.

use std::fmt;
use std::sync::Arc;

use crate::engine::Engine;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::keyring::{Key, KeyId, Keyring};

/// The keyring of a running member: [`Member::keyring`](crate::Member::keyring).
///
/// Changes hold from the next datagram on. To go from one key to another while the cluster runs, take each of these
/// steps at *all* members before the next one at any; then nobody is lost, and no message:
///
/// | from | to | first, at all members | then, at all | at last, at all |
/// |---|---|---|---|---|
/// | no key | a key | [`install`](Self::install) it | [`use_key`](Self::use_key) | [`refuse_plain`](Self::refuse_plain) |
/// | a key | another key | [`install`](Self::install) the new one | [`use_key`](Self::use_key) | [`remove`](Self::remove) the old one |
/// | a key | no key | [`accept_plain`](Self::accept_plain) | [`use_plain`](Self::use_plain) | [`remove`](Self::remove) it |
///
/// A member that is started meanwhile, or whose program is started anew instead of calling these, is configured to be
/// where the others are:
///
/// | from | to | after the first step | after the second |
/// |---|---|---|---|
/// | no key | a key | `Keyring::plain().with(key)` | `Keyring::new(key).accepting_plain()` |
/// | a key | another key | `Keyring::new(old).with(new)` | `Keyring::new(new).with(old)` |
/// | a key | no key | `Keyring::new(key).accepting_plain()` | `Keyring::plain().with(key)` |
///
/// As long as a member takes what is not sealed it trusts its network as if it had no key.
///
/// # Errors
///
/// All changes answer [`Error::Config`] if they make no sense, and nothing has changed then; and
/// [`Error::Closed`], [`Error::NameTaken`] or [`Error::Panicked`] when the member has ended.
///
/// ```
/// use headcount::{Config, Key, Member};
///
/// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
/// let key = Key::from_hex("1b6d8a3f0a6c1d5e9f7b2c4d8e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b")?;
/// let id = key.id();
/// member.keyring().install(key)?; // at all members, and then:
/// member.keyring().use_key(id)?; // at all members, and then:
/// member.keyring().refuse_plain()?;
/// assert_eq!(member.keyring().used(), Some(id));
/// # Ok::<(), headcount::Error>(())
/// ```
pub struct MemberKeyring<'a> {
    engine: &'a Arc<dyn Engine>,
}

impl<'a> MemberKeyring<'a> {
    pub(super) fn new(engine: &'a Arc<dyn Engine>) -> Self {
        Self { engine }
    }

    /// Opens what others seal with this key, from now on. One that is there already is fine.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: it holds 16 keys, or another one of the same id. See [above](Self#errors) for the others.
    pub fn install(&self, key: Key) -> Result<()> {
        self.change(&mut |keyring| keyring.install(key.clone()))
    }

    /// Seals with this key what is sent from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: it is not installed. See [above](Self#errors) for the others.
    pub fn use_key(&self, id: KeyId) -> Result<()> {
        self.change(&mut |keyring| keyring.use_key(id))
    }

    /// Forgets a key. One that is not there is fine.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: it is the one that is used. See [above](Self#errors) for the others.
    pub fn remove(&self, id: KeyId) -> Result<()> {
        self.change(&mut |keyring| keyring.remove(id))
    }

    /// Takes what is not sealed from now on, as if there was no key: only for a change to or from no key.
    ///
    /// # Errors
    ///
    /// See [above](Self#errors).
    pub fn accept_plain(&self) -> Result<()> {
        self.change(&mut |keyring| {
            keyring.accept_plain();
            Ok(())
        })
    }

    /// Drops what is not sealed from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: no key is used. See [above](Self#errors) for the others.
    pub fn refuse_plain(&self) -> Result<()> {
        self.change(&mut Keyring::refuse_plain)
    }

    /// Seals nothing from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: it does not take itself what is not sealed. See [above](Self#errors) for the others.
    pub fn use_plain(&self) -> Result<()> {
        self.change(&mut Keyring::use_plain)
    }

    /// The keys that it holds.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.engine.keyring().ids().collect()
    }

    /// The key that it seals with; `None` if it seals nothing.
    #[must_use]
    pub fn used(&self) -> Option<KeyId> {
        self.engine.keyring().used()
    }

    /// Whether it takes what is not sealed.
    #[must_use]
    pub fn accepts_plain(&self) -> bool {
        self.engine.keyring().accepts_plain()
    }

    fn change(&self, change: &mut dyn FnMut(&mut Keyring) -> Result<()>) -> Result<()> {
        Arc::clone(self.engine).change_keyring(change)
    }
}

impl fmt::Debug for MemberKeyring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemberKeyring").field(&self.engine.keyring()).finish()
    }
}
