//! The virtual disks of hosts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The state of a simulated host's disk: see [`Cluster::disk`](crate::sim::Cluster::disk).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskState {
    /// It works: what is written can be read again.
    #[default]
    Well,
    /// It is full: nothing more can be written, and what is there can be read.
    Full,
    /// Reads and writes fail.
    Failing,
}

/// All files of a disk at one moment: see [`Cluster::disk_image`](crate::sim::Cluster::disk_image).
///
/// It can be changed before it is put back, into the same host or into another one. So a test can have a disk that goes
/// back in time, a host that was cloned from another one, or a damaged file.
///
/// ```
/// use headcount::sim::{Cluster, DiskImage};
///
/// let cluster = Cluster::new(1);
/// let mut image = DiskImage::default();
/// image.write("members", b"not a snapshot");
/// cluster.put_disk_image("ann", image);
/// assert_eq!(cluster.disk_image("ann").read("members"), Some(&b"not a snapshot"[..]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskImage {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl DiskImage {
    /// A file, if it is there.
    #[must_use]
    pub fn read(&self, path: impl AsRef<Path>) -> Option<&[u8]> {
        self.files.get(path.as_ref()).map(Vec::as_slice)
    }

    /// Writes a file.
    pub fn write(&mut self, path: impl Into<PathBuf>, contents: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), contents.into());
    }

    /// Removes a file; returns whether it was there.
    pub fn remove(&mut self, path: impl AsRef<Path>) -> bool {
        self.files.remove(path.as_ref()).is_some()
    }

    /// The names of all files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }
}

/// The disk of one host. It outlives the processes that run there.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) state: DiskState,
    pub(super) image: DiskImage,
}

impl Disk {
    /// Reads a file.
    pub(super) fn read(&self, path: &Path) -> io::Result<&[u8]> {
        self.check()?;
        self.image.read(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Writes a file, whole or not at all. What was there before is set aside first, if that is wanted.
    pub(super) fn replace(&mut self, path: &Path, contents: Vec<u8>, sets_aside: bool) -> io::Result<()> {
        self.check()?;
        if self.state == DiskState::Full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if sets_aside && let Some(before) = self.image.files.remove(path) {
            let mut aside = path.as_os_str().to_owned();
            aside.push(".set-aside-1");
            self.image.write(aside, before);
        }
        self.image.write(path, contents);
        Ok(())
    }

    /// The length of a file, if it is there.
    pub(super) fn length(&self, path: &Path) -> Option<usize> {
        self.image.read(path).map(<[u8]>::len)
    }

    fn check(&self) -> io::Result<()> {
        match self.state {
            DiskState::Well | DiskState::Full => Ok(()),
            DiskState::Failing => Err(io::Error::other("the simulated disk fails")),
        }
    }
}
