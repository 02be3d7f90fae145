//! Questions in lines of text, over TCP or a Unix socket.
//!
//! A client sends lines and may send several; each is answered by some lines and an empty one. A question that is not
//! understood, or that has no answer, gets a line that begins with `error: `. Reading the view takes no lock of the
//! member for longer than a clone, so a client that asks all the time disturbs nobody; how many may ask at a time,
//! for how long, and how long a line may be, is bounded.

use std::fmt::{self, Write as _};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use headcount::{Member, Node};

/// Clients at a time. The next is told to come again.
const CLIENTS_MAX: usize = 64;
/// A client that says nothing, or takes nothing, for so long is dropped.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// The bytes of the longest question: a node's name and a key.
const QUESTION_MAX: u64 = 1_024;

/// Where questions come in.
#[derive(Clone)]
pub(crate) enum Place {
    Tcp(Arc<TcpListener>),
    Unix(Arc<UnixListener>, PathBuf),
}

impl Place {
    /// A path if there is a `/` in it, else an address.
    pub(crate) fn open(text: &str) -> io::Result<Self> {
        if !text.contains('/') {
            return Ok(Self::Tcp(Arc::new(TcpListener::bind(text)?)));
        }
        let path = PathBuf::from(text);
        // What a killed daemon has left behind refuses connections, and may be replaced. So does a file, which may not.
        let is_socket = fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket());
        let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if is_socket && UnixStream::connect(&path).is_err_and(|error| is_refused(&error)) {
            fs::remove_file(&path)?;
        }
        let listener = UnixListener::bind(&path)?;
        Ok(Self::Unix(Arc::new(listener), path))
    }

    /// Answers until the process ends.
    pub(crate) fn serve(&self, member: &Member) {
        let clients = Arc::new(AtomicUsize::new(0));
        loop {
            let result = match self {
                Self::Tcp(listener) => listener.accept().map(|(stream, _)| Client::Tcp(stream)),
                Self::Unix(listener, _) => listener.accept().map(|(stream, _)| Client::Unix(stream)),
            };
            let started = result.and_then(|client| start(client, member, &clients));
            if let Err(error) = started {
                log::warn!("a question was lost: {error}");
                // No descriptor or no thread is to be had: that does not change at once.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Takes its name out of the file system.
    pub(crate) fn close(&self) {
        if let Self::Unix(_, path) = self
            && let Err(error) = fs::remove_file(path)
        {
            log::warn!("{}: {error}", path.display());
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(addr) => addr.fmt(f),
                Err(error) => error.fmt(f),
            },
            Self::Unix(_, path) => path.display().fmt(f),
        }
    }
}

/// One who asks.
enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    fn limit_idleness(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(IDLE_MAX))?;
                stream.set_write_timeout(Some(IDLE_MAX))
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(IDLE_MAX))?;
                stream.set_write_timeout(Some(IDLE_MAX))
            }
        }
    }
}

impl Read for Client {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Client {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            Self::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a client a thread of its own.
fn start(mut client: Client, member: &Member, clients: &Arc<AtomicUsize>) -> io::Result<()> {
    client.limit_idleness()?;
    if clients.load(Ordering::Relaxed) >= CLIENTS_MAX {
        return client.write_all(b"error: too many ask, come again\n\n");
    }
    clients.fetch_add(1, Ordering::Relaxed);
    let (member, count) = (member.clone(), Arc::clone(clients));
    let body = move || {
        if let Err(error) = converse(client, &member) {
            log::debug!("a client is gone: {error}");
        }
        count.fetch_sub(1, Ordering::Relaxed);
    };
    let started = thread::Builder::new().name("client".to_owned()).spawn(body).map(drop);
    if started.is_err() {
        clients.fetch_sub(1, Ordering::Relaxed);
    }
    started
}

fn converse(client: Client, member: &Member) -> io::Result<()> {
    let mut client = BufReader::new(client);
    loop {
        let mut line = Vec::new();
        client.by_ref().take(QUESTION_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < QUESTION_MAX;
        let mut answer = match str::from_utf8(&line) {
            Ok(question) if is_whole => answer(member, question.trim()),
            _ => "error: not a line of text\n".to_owned(),
        };
        answer.push('\n');
        client.get_mut().write_all(answer.as_bytes())?;
        if !is_whole {
            return Ok(());
        }
    }
}

/// The lines that answer a question.
fn answer(member: &Member, question: &str) -> String {
    let (verb, rest) = question.split_once(' ').unwrap_or((question, ""));
    let result = match verb {
        "nodes" => Ok(lines(&member.nodes())),
        "all" => Ok(lines(&member.all_nodes())),
        "node" => node(member, rest).map(|node| describe(&node)),
        // A name may have blanks in it, a key that is asked for here may not.
        "get" => {
            rest.rsplit_once(' ').ok_or("a name and a key are needed".to_owned()).and_then(|(name, key)| {
                let node = node(member, name)?;
                let value = node.get(key).ok_or_else(|| format!("{name} says nothing about {key}"))?;
                Ok(item(key, value))
            })
        }
        "metrics" => Ok(member.metrics().to_string()),
        _ => Err(format!("{verb:?} is no question")),
    };
    result.unwrap_or_else(|mistake| format!("error: {mistake}\n"))
}

fn node(member: &Member, name: &str) -> Result<Node, String> {
    member.node(name).ok_or_else(|| format!("no node {name:?} is known"))
}

fn lines(nodes: &[Node]) -> String {
    nodes.iter().fold(String::new(), |mut lines, node| {
        let _ = writeln!(lines, "{node}");
        lines
    })
}

/// A node, then what it says about itself.
fn describe(node: &Node) -> String {
    node.state().fold(format!("{node}\n"), |lines, (key, value)| lines + &item(key, value))
}

/// `key=value`, with escapes for what is not ASCII text, and for an equals sign in the key.
fn item(key: &str, value: &[u8]) -> String {
    format!("{}={}\n", key.as_bytes().escape_ascii().to_string().replace('=', "\\x3d"), value.escape_ascii())
}
