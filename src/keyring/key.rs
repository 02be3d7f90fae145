//! One key: 32 secret bytes, where they come from, and their public number.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::derivation::expand;
use crate::error::{Error, Result, invalid};

/// In bytes.
const KEY_SIZE: usize = 32;
/// A file with a key is no longer than this: 64 digits, and some white space.
const FILE_MAX: usize = 256;

/// A secret of 32 random bytes that the members of a cluster share.
///
/// Make one with a good generator, such as `openssl rand -hex 32`: a password is no key. Its memory is overwritten when
/// it is dropped, and its `Debug` shows its [id](Self::id) only.
///
/// ```
/// use headcount::Key;
///
/// let key = Key::from_hex("1b6d8a3f0a6c1d5e9f7b2c4d8e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b")?;
/// println!("{}", key.id()); // eight digits that do not give it away
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    /// Apart, so that to move a key leaves no copy of them behind.
    bytes: Box<Zeroizing<[u8; KEY_SIZE]>>,
}

impl Key {
    /// The key of these bytes. The caller's copy of them is the caller's to overwrite.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; KEY_SIZE]) -> Self {
        let mut held = Box::new(Zeroizing::new([0; KEY_SIZE]));
        held.copy_from_slice(&bytes);
        bytes.zeroize();
        Self::new(held)
    }

    /// The key that is written as 64 hexadecimal digits; white space around them is fine.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: that is not what the text is.
    pub fn from_hex(text: &str) -> Result<Self> {
        let wrong = || invalid("key", "is not 64 hexadecimal digits");
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_SIZE {
            return Err(wrong());
        }
        let mut bytes = Box::new(Zeroizing::new([0; KEY_SIZE]));
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16).ok_or_else(wrong)?;
                *byte = *byte << 4 | u8::try_from(value).map_err(|_| wrong())?;
            }
        }
        Ok(Self::new(bytes))
    }

    /// The key in a file, as 64 hexadecimal digits. On Unix nobody but its owner may have any right to the file; who
    /// that is, is not looked at: it should be the user that the program runs as, or root. Elsewhere rights are not
    /// looked at.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`]: the file can not be read.
    /// - [`Error::Config`]: it is no regular file, it holds something else, or others have rights to it (`chmod 600`).
    ///
    /// ```
    /// # use std::fs;
    /// use headcount::Key;
    ///
    /// # let path = std::env::temp_dir().join(format!("headcount-key-{}", std::process::id()));
    /// # fs::write(&path, "1b6d8a3f0a6c1d5e9f7b2c4d8e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b\n").unwrap();
    /// # #[cfg(unix)]
    /// # fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    /// // umask 077; openssl rand -hex 32 > cluster.key
    /// let key = Key::from_file(&path)?;
    /// # fs::remove_file(&path).unwrap();
    /// # Ok::<(), headcount::Error>(())
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |source| Error::Io { what: format!("read the key {}", path.display()), source };
        // Before it is opened: to open a pipe may take forever.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(invalid("key", format!("{} is no regular file", path.display())));
        }
        let mut file = File::open(path).map_err(failed)?;
        // Of the open file, so that nobody can exchange it in between.
        check_private(&file, path).map_err(failed)??;
        // Of a fixed length, so that no copy is left behind by growing; one byte more shows that there is more.
        let mut text = Zeroizing::new([0; FILE_MAX + 1]);
        let length = read_up_to(&mut file, &mut *text).map_err(failed)?;
        let text = text.get(..length).filter(|text| text.len() <= FILE_MAX).unwrap_or_default();
        let text = std::str::from_utf8(text).unwrap_or_default();
        Self::from_hex(text).map_err(|_| {
            invalid("key", format!("the file {} does not hold 64 hexadecimal digits", path.display()))
        })
    }

    /// Its public number: derived from it, and the same everywhere. Datagrams tell it, so that nobody tries keys.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_SIZE] {
        &self.bytes
    }

    /// Whether both are one key.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        **self.bytes == **other.bytes
    }

    fn new(bytes: Box<Zeroizing<[u8; KEY_SIZE]>>) -> Self {
        let mut number = [0; 4];
        expand(&bytes, &[b"headcount key id v1"], &mut number);
        Self { id: KeyId(u32::from_be_bytes(number)), bytes }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Names a [`Key`] without showing it: `Display` and `Debug` write eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

impl KeyId {
    /// As datagrams tell it.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// An error in the result if others than its owner may read or write a file.
#[cfg(unix)]
fn check_private(file: &File, path: &Path) -> io::Result<Result<()>> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(Ok(()));
    }
    let path = path.display();
    Ok(Err(invalid("key", format!("the file {path} is open to others (mode {mode:03o}): chmod 600 {path}"))))
}

/// Who may read a file is not told by permission bits here.
#[cfg(not(unix))]
fn check_private(_file: &File, _path: &Path) -> io::Result<Result<()>> {
    Ok(Ok(()))
}

/// Reads until the end or until the buffer is full; how much.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
