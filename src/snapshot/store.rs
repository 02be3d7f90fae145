//! The snapshot on disk.
//!
//! | file | what it is |
//! |---|---|
//! | `PATH` | the snapshot |
//! | `PATH.lock` | empty; locked by the process that uses the snapshot. The lock goes with the process, however it ends; the file stays |
//! | `PATH.new` | the next snapshot, while it is being written |
//! | `PATH.set-aside-1` to `-4` | what was found at `PATH` and could not be used |
//!
//! A write goes to `PATH.new`, on to the disk, is renamed to `PATH`, and then the directory goes to the disk, too. So
//! at each moment `PATH` is one whole snapshot, the old one or the new one, also after a power cut. What is to be set
//! aside stays at `PATH` until the first snapshot that takes its place is on the disk: a start that fails has moved
//! nobody's file. Only then, between two renames, is there nothing at `PATH` for a moment.
//!
//! On Unix no other user may read a snapshot, which may hold the state, or lock `PATH.lock`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{self, Path, PathBuf};

use super::Snapshot;
use super::format::FILE_MAX;
use crate::error::{Error, Result, invalid};

/// Files that are set aside. The last one gives way to the next.
const SET_ASIDE_MAX: u32 = 4;

/// The files of one member's snapshot.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// Held for its lock; none where no lock can be had.
    lock: Option<File>,
    /// What was found is not ours: it is set aside when the first of ours takes its place.
    has_stranger: bool,
    /// The length of what was written last.
    written: Option<u64>,
}

impl Store {
    /// Takes the lock. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// - [`Error::Config`]: it can not be the path of a regular file, or another member uses it.
    /// - [`Error::Io`]: the system does not tell what is there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // What it is relative to may change while the member runs.
        let path = path::absolute(path).map_err(|error| invalid("snapshot", error.to_string()))?;
        check_path(&path)?;
        let shown = path.display();
        let lock = match lock(&beside(&path, "lock")) {
            Ok(file) => Some(file),
            Err(TryLockError::WouldBlock) => {
                return Err(invalid("snapshot", format!("another member uses {shown}")));
            }
            Err(TryLockError::Error(error)) => {
                log::warn!("{shown} can not be locked, so nothing keeps others from using it: {error}");
                None
            }
        };
        Ok(Self { path, lock, has_stranger: false, written: None })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the snapshot of this node; none if there is none that can be used. What can not be used is set aside
    /// by the first [`save`](Self::save).
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: there is a file, and it can not be read. Only bytes that were read can be condemned: the next
    /// start may find the same file in good order, when there are descriptors, memory, or permissions again.
    pub(crate) fn load(&mut self, cluster: &str, name: &str) -> Result<Option<Snapshot>> {
        let file = match self.read() {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(Error::Io { what: format!("read the snapshot {}", self.path.display()), source });
            }
        };
        let (snapshot, flaw) = Snapshot::read_back(&file, cluster, name);
        if let Some(flaw) = flaw {
            self.disown(&flaw);
        }
        Ok(snapshot)
    }

    /// Writes a snapshot. When it returns Ok, it is on the disk. Else the one before is still there, or this one is and
    /// has not reached the disk for certain.
    pub(crate) fn save(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let new = beside(&self.path, "new");
        let bytes = snapshot.encode();
        let result = write(&new, &bytes)
            .and_then(|()| self.replace_by(&new))
            .and_then(|()| sync_directory(directory(&self.path)));
        if result.is_err() {
            // Half a file on a full disk is of no use to anybody. It may not even be there.
            let _ = fs::remove_file(&new);
        }
        self.written = result.is_ok().then_some(bytes.len() as u64);
        result
    }

    /// Whether what was written last is still there, as far as its length tells: somebody may have removed it.
    pub(crate) fn is_in_place(&self) -> bool {
        let found = fs::metadata(&self.path).ok().filter(fs::Metadata::is_file);
        self.written.is_some() && found.map(|file| file.len()) == self.written
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // One byte more than there can be shows that there is too much.
        File::open(&self.path)?.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Remembers that the file is to be set aside.
    fn disown(&mut self, why: &str) {
        log::warn!("the snapshot {} {why}: it will be set aside", self.path.display());
        self.has_stranger = true;
    }

    fn replace_by(&mut self, new: &Path) -> io::Result<()> {
        if self.has_stranger {
            self.set_aside();
        }
        fs::rename(new, &self.path)?;
        self.has_stranger = false;
        Ok(())
    }

    /// Takes the file out of the way, for whoever wants to know what happened.
    fn set_aside(&self) {
        let shown = self.path.display();
        let aside = |number| beside(&self.path, &format!("set-aside-{number}"));
        let free = (1..SET_ASIDE_MAX).map(aside).find(|path| !path.exists());
        let to = free.unwrap_or_else(|| aside(SET_ASIDE_MAX));
        match fs::rename(&self.path, &to) {
            Ok(()) => log::warn!("what was {shown} is now {}", to.display()),
            Err(error) => log::warn!("{shown} can not be set aside: {error}"),
        }
    }
}

impl Drop for Store {
    /// Not left to the closing of the file: a process that is just being started by this one has it open, too, until it
    /// runs another program.
    fn drop(&mut self) {
        if let Some(Err(error)) = self.lock.as_ref().map(File::unlock) {
            log::debug!("{} is not unlocked: {error}", self.path.display());
        }
    }
}

/// Refuses what can not be the path of a regular file, before anything there is opened: a FIFO would not let go, and a
/// device would be replaced.
fn check_path(path: &Path) -> Result<()> {
    let shown = path.display();
    let last = path.as_os_str().as_encoded_bytes().last();
    if path.file_name().is_none() || last.is_some_and(|byte| path::is_separator(char::from(*byte))) {
        return Err(invalid("snapshot", format!("{shown} is the name of a directory, not of a file")));
    }
    if !directory(path).is_dir() {
        return Err(invalid("snapshot", format!("there is no directory for {shown}")));
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        // The next snapshot would take the place of the link, and what it leads to would grow old. It is not followed:
        // others may have put it there, and what is no snapshot is moved.
        Ok(found) if found.is_symlink() => {
            Err(invalid("snapshot", format!("{shown} is a link: name the file that it leads to")))
        }
        Ok(_) => Err(invalid("snapshot", format!("{shown} is not a regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Io { what: format!("look at the snapshot {shown}"), source }),
    }
}

/// Locks a file that no other user can open. On a file system that is read-only one that is there already will do.
fn lock(path: &Path) -> Result<File, TryLockError> {
    // Before it is opened: a FIFO would not let go, and a link may lead anywhere.
    let found = fs::symlink_metadata(path);
    if found.is_ok_and(|found| !found.is_file()) {
        return Err(other(format!("{} is not a regular file", path.display())));
    }
    let made = for_user(OpenOptions::new().write(true).create(true).truncate(false)).open(path);
    let file = made.or_else(|error| File::open(path).map_err(|_| TryLockError::Error(error)))?;
    match file.try_lock() {
        // Another user has put it there, and would keep us from starting.
        Err(TryLockError::WouldBlock) if is_foreign(&file, path) => {
            Err(other(format!("another user has locked {}", path.display())))
        }
        locked => locked.map(|()| file),
    }
}

fn other(reason: String) -> TryLockError {
    TryLockError::Error(io::Error::other(reason))
}

/// Whether a file belongs to another user than what this process makes in the same directory.
#[cfg(unix)]
fn is_foreign(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let own = beside(path, &std::process::id().to_string());
    let Ok(made) = for_user(OpenOptions::new().write(true).create_new(true)).open(&own) else {
        return false;
    };
    let owner = |file: &File| file.metadata().map(|found| found.uid()).ok();
    let is_foreign = owner(&made).zip(owner(file)).is_some_and(|(ours, theirs)| ours != theirs);
    if let Err(error) = fs::remove_file(&own) {
        log::debug!("{} is not removed: {error}", own.display());
    }
    is_foreign
}

/// Elsewhere nobody is asked.
#[cfg(not(unix))]
fn is_foreign(_: &File, _: &Path) -> bool {
    false
}

/// What is made is for this user alone.
fn for_user(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Writes a file that was not there before, and waits until it is on the disk.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A run that was killed may have left one. It is not written over: somebody may have put a link in its place.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = for_user(OpenOptions::new().write(true).create_new(true)).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits until the names in a directory are on the disk.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere a directory can not be opened like a file, and the system takes care of it.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Where a file is.
fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// The path with a dot and something behind it.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(extension);
    name.into()
}
