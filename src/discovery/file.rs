//! A file with an address in each line.

use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Discovery, Seeds};
use crate::config::Seed;
use crate::member::Member;

/// A file of addresses has this many bytes at most: one that is longer is another file.
const FILE_MAX: u64 = 1024 * 1024;

/// The seeds in a file, one a line, read anew each time.
///
/// For orchestrators and scripts that write down who is there. A line is what [`IntoSeeds`](crate::IntoSeeds) takes: an
/// address or a host name, with a port or without. What follows a `#` is a comment, and empty lines are skipped. Lines
/// that make no sense are logged, as a warning, once for each version of the file, and the others count. Up to 1 MiB is
/// read.
///
/// ```text
/// # rack 1
/// 10.0.0.1:7990
/// db-2.internal     # port 7990
/// ```
///
/// ```
/// use headcount::discovery::File;
/// use headcount::{Config, Member};
///
/// let config = Config::local().bind("127.0.0.1:0").discovery(File::new("/etc/shop/members"));
/// let member = Member::create(config)?;
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    /// What was read last, and what it means.
    read: Option<(String, Seeds)>,
}

impl File {
    /// The file at this path. It need not be there yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: None }
    }

    /// Reads the file. That costs less than to find out for certain whether it is another one than it was; what it
    /// says is only looked at if it is.
    fn refresh(&mut self) -> io::Result<&mut Seeds> {
        let mut text = String::new();
        fs::File::open(&self.path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 1 MiB"));
        }
        let unchanged = self.read.take().filter(|(before, _)| *before == text);
        let read = unchanged.unwrap_or_else(|| {
            let seeds = self.parse(&text);
            (text, seeds)
        });
        let (_, seeds) = self.read.insert(read);
        Ok(seeds)
    }

    fn parse(&self, text: &str) -> Seeds {
        let mut seeds = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            match Seed::parse(entry) {
                Ok(seed) => seeds.push(seed),
                Err(reason) => log::warn!("{} line {}: {reason}", self.path.display(), index + 1),
            }
        }
        Seeds::of(seeds)
    }
}

impl Discovery for File {
    /// The addresses of the seeds in it.
    ///
    /// # Errors
    ///
    /// The file can not be read, is longer than 1 MiB, or none of its host names resolves.
    fn discover(&mut self, me: &Member) -> io::Result<Vec<SocketAddr>> {
        let found = self.refresh().and_then(|seeds| seeds.discover(me));
        found.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
    }
}
