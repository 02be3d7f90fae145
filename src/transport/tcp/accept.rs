//! The way in: the acceptor, and a reader for each connection that others have dialled.

use std::io::{self, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::places::{Connection, Kept};
use super::{ACCEPTOR, MAGIC, READER, Shared, keepalive, spawn};
use crate::transport::canonical;

/// How long a connection may take to say whose it is.
const PREAMBLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be silent: longer than those who dial keep one that is idle.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
/// The pause after a connection that could not be accepted: usually there is no descriptor left.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
const READ_BUFFER: usize = 16 * 1024;

/// A connection that somebody else has dialled.
#[derive(Debug)]
pub(super) struct Accepted {
    connection: Connection,
}

impl Kept for Accepted {
    fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// The life of the acceptor.
pub(super) fn run(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        let accepted = listener.accept();
        if shared.is_closed() {
            return;
        }
        match accepted {
            Ok((stream, peer)) => {
                if let Err(error) = admit(shared, stream, canonical(peer)) {
                    log::debug!("{ACCEPTOR}: a connection of {peer}: {error}");
                }
            }
            Err(error) => {
                // The receiver counts it and says it to whom it may concern.
                let _ = shared.inbox.push(Err(error), 0);
                thread::sleep(ERROR_PAUSE);
            }
        }
    }
}

fn admit(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive())?;
    // It is we who may close first. Then no trace of the connection shall keep the port: the peer is told at once that
    // it is over, and it has nothing to read that could get lost.
    socket.set_linger(Some(Duration::ZERO))?;
    stream.set_read_timeout(Some(PREAMBLE_TIMEOUT))?;

    let stream = Arc::new(stream);
    let accepted = Accepted { connection: Connection::new(peer) };
    accepted.connection.hold(&stream)?;
    shared.accepted.wait_for_room();
    shared.accepted.enter(accepted, |accepted| {
        spawn(shared, READER, move |shared| {
            if let Err(error) = read(shared, &accepted, &stream) {
                log::debug!("TCP from {peer}: {error}");
            }
            accepted.connection.let_go();
            shared.accepted.release(&accepted);
        })
    })
}

/// The life of a reader. It ends with an error, if only that the peer has closed the connection.
fn read(shared: &Shared, accepted: &Accepted, stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(READ_BUFFER, stream);
    let mut magic = [0; MAGIC.len()];
    reader.read_exact(&mut magic)?;
    let port = read_u16(&mut reader)?;
    if magic != MAGIC || port == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a member that uses TCP"));
    }
    let mut from = accepted.connection.peer();
    from.set_port(port);
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    if let Some(way_back) = shared.dialled.find(from) {
        way_back.note_back();
    }
    loop {
        let len = usize::from(read_u16(&mut reader)?);
        let mut datagram = vec![0; len];
        reader.read_exact(&mut datagram)?;
        accepted.connection.set_proven(true);
        shared.accepted.note_use(accepted);
        if shared.inbox.push(Ok((from, datagram)), len).is_err() {
            return Err(io::ErrorKind::NotConnected.into());
        }
    }
}

fn read_u16(reader: &mut impl Read) -> io::Result<u16> {
    let mut bytes = [0; 2];
    reader.read_exact(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}
