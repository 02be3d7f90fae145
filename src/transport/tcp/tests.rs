use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use socket2::{Domain, Socket, Type};

use super::{Endpoint, MAGIC, Tcp, spawn};
use crate::transport::{Open, Transport, Wanted};

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(10);
/// What `shutdown` of a member promises.
const AT_ONCE: Duration = Duration::from_millis(100);

type Datagram = (Vec<u8>, SocketAddr);

/// An open transport, and what it has received.
struct Peer {
    transport: Arc<dyn Transport>,
    received: Receiver<Datagram>,
    receiver: Option<thread::JoinHandle<()>>,
}

impl Peer {
    fn at(bind: &str, tcp: Tcp) -> Self {
        let transport: Arc<dyn Transport> = Arc::from(tcp.open(&Wanted::at(bind.parse().unwrap())).unwrap());
        let (sender, received) = crossbeam_channel::unbounded();
        let receiver = thread::spawn({
            let transport = Arc::clone(&transport);
            move || {
                let mut buf = vec![0; 65_535];
                while let Ok((len, from)) = transport.recv(&mut buf) {
                    sender.send((buf[..len].to_vec(), from)).unwrap();
                }
            }
        });
        Self { transport, received, receiver: Some(receiver) }
    }

    fn new() -> Self {
        Self::at("127.0.0.1:0", Tcp::new())
    }

    fn addr(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    fn send(&self, datagram: &[u8], to: SocketAddr) {
        self.transport.send(datagram, to).unwrap();
    }

    #[track_caller]
    fn expect(&self, datagram: &[u8], from: SocketAddr) {
        let received = self.received.recv_timeout(LONG).unwrap();
        assert_eq!((&*received.0, received.1), (datagram, from));
    }

    /// Sends until it arrives: what a broken connection takes with it is lost, and so is what finds no place for
    /// one, because too many are just being closed.
    #[track_caller]
    fn reach(&self, other: &Self) {
        let deadline = Instant::now() + LONG;
        loop {
            let _ = self.transport.send(b"again", other.addr());
            match other.received.recv_timeout(Duration::from_millis(20)) {
                Ok(_) => return,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
    }

    /// How long it takes to be gone.
    fn end(mut self) -> Duration {
        let begun = Instant::now();
        self.transport.close();
        self.receiver.take().unwrap().join().unwrap();
        drop(self.transport);
        begun.elapsed()
    }
}

/// A connection that the test itself makes.
struct Raw(TcpStream);

impl Raw {
    fn to(peer: &Peer) -> Self {
        let stream = TcpStream::connect(peer.addr()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(stream)
    }

    /// One that has told a port and sent a datagram.
    fn speaking(peer: &Peer, port: u16) -> Self {
        let mut raw = Self::to(peer);
        raw.write(&[&MAGIC[..], &port.to_be_bytes()].concat());
        raw.speak();
        peer.expect(b"hi", SocketAddr::from(([127, 0, 0, 1], port)));
        raw
    }

    fn speak(&mut self) {
        self.write(b"\x00\x02hi");
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Waits until the other side has closed it.
    #[track_caller]
    fn expect_closed(&mut self) {
        match self.0.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => panic!("nothing is ever sent back"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }

    #[track_caller]
    fn expect_open(&mut self) {
        self.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let error = self.0.read(&mut [0]).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");
    }
}

/// Somebody at whom connections hang: the system takes no more of them.
fn black_hole() -> (Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    for _ in 0..64 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let result = filler.connect_timeout(&addr, Duration::from_millis(100));
        fillers.push(filler);
        if result.is_err() {
            return (listener, fillers);
        }
    }
    panic!("the backlog has no end");
}

#[test]
fn a_datagram_arrives_with_the_address_at_which_its_sender_listens() {
    let (a, b) = (Peer::new(), Peer::new());
    a.send(b"hello", b.addr());
    b.expect(b"hello", a.addr());
    b.send(b"hello yourself", a.addr());
    a.expect(b"hello yourself", b.addr());
}

#[test]
fn the_source_is_the_ip_address_that_is_bound() {
    let (a, b) = (Peer::at("127.0.0.7:0", Tcp::new()), Peer::new());
    a.send(b"hello", b.addr());
    b.expect(b"hello", a.addr());
}

#[test]
fn the_advertised_port_is_told() {
    let b = Peer::new();
    let wanted = Wanted {
        advertise: Some(SocketAddr::from(([203, 0, 113, 7], 7_990))),
        ..Wanted::at("127.0.0.1:0".parse().unwrap())
    };
    let a = Tcp::new().open(&wanted).unwrap();
    a.send(b"hello", b.addr()).unwrap();
    b.expect(b"hello", SocketAddr::from(([127, 0, 0, 1], 7_990)));
}

#[test]
fn all_interfaces_speak_ipv4_and_ipv6() {
    let both = Peer::at("[::]:0", Tcp::new());
    let port = both.addr().port();
    for (bind, ip) in [("127.0.0.1:0", Ipv4Addr::LOCALHOST.into()), ("[::1]:0", Ipv6Addr::LOCALHOST.into())] {
        let one = Peer::at(bind, Tcp::new());
        let seen_at = SocketAddr::new(ip, port);
        one.send(b"to all", seen_at);
        both.expect(b"to all", one.addr());
        both.send(b"to one", one.addr());
        one.expect(b"to one", seen_at);
    }
}

#[test]
fn a_taken_port_is_an_error_and_one_that_was_used_is_free_at_once() {
    let (a, b) = (Peer::new(), Peer::new());
    a.send(b"hello", b.addr());
    b.expect(b"hello", a.addr());
    let addr = b.addr();
    let error = Tcp::new().open(&Wanted::at(addr)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

    b.end();
    let b = Peer::at(&addr.to_string(), Tcp::new());
    a.reach(&b);
}

#[test]
fn the_first_datagram_after_a_restart_of_the_peer_arrives() {
    let (a, b) = (Peer::new(), Peer::new());
    a.send(b"hello", b.addr());
    b.expect(b"hello", a.addr());
    let addr = b.addr();
    b.end();
    let b = Peer::at(&addr.to_string(), Tcp::new());
    // The old connection is found to be over before anything is written to it.
    a.send(b"hello again", addr);
    b.expect(b"hello again", a.addr());
}

#[test]
fn who_was_not_there_is_reached_when_it_is() {
    let a = Peer::new();
    let vacant = Peer::new();
    let addr = vacant.addr();
    vacant.end();
    a.send(b"lost", addr);
    let b = Peer::at(&addr.to_string(), Tcp::new());
    a.reach(&b);
}

#[test]
fn who_comes_back_and_connects_is_answered_without_a_pause() {
    let (a, vacant) = (Peer::new(), Peer::new());
    let addr = vacant.addr();
    vacant.end();
    // Attempts fail at 0, 50, 150 and 350 ms; the next one would be made at 750.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(450) {
        a.send(b"lost", addr);
        thread::sleep(Duration::from_millis(5));
    }
    let b = Peer::at(&addr.to_string(), Tcp::new());
    b.send(b"back again", a.addr());
    a.expect(b"back again", addr);
    a.send(b"welcome", addr);
    b.expect(b"welcome", a.addr());
}

#[test]
fn what_was_sent_before_the_end_still_arrives() {
    let (a, b) = (Peer::new(), Peer::new());
    a.send(b"hello", b.addr());
    b.expect(b"hello", a.addr());
    for number in 0..100 {
        a.send(&[number], b.addr());
    }
    let addr = a.addr();
    a.end();
    for number in 0..100 {
        b.expect(&[number], addr);
    }
}

#[test]
fn who_claims_the_port_of_another_can_speak_and_hears_nothing() {
    let (a, b) = (Peer::new(), Peer::new());
    let mut liar = Raw::speaking(&b, a.addr().port());
    b.send(b"a secret", a.addr());
    a.expect(b"a secret", b.addr());
    liar.expect_open();
}

#[test]
fn what_is_no_preamble_ends_the_connection() {
    let a = Peer::new();
    let mut with_port_0 = MAGIC.to_vec();
    with_port_0.extend([0, 0]);
    for garbage in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 100_000], with_port_0] {
        let mut raw = Raw::to(&a);
        // It may be closed before all of it is written.
        let _ = raw.0.write_all(&garbage);
        raw.expect_closed();
    }
    assert_eq!(a.received.try_recv().ok(), None);
}

#[test]
fn who_never_reads_delays_nobody_else() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let (hole, _fillers) = black_hole();
    let hole = hole.local_addr().unwrap().as_socket().unwrap();
    let (a, b) = (Peer::new(), Peer::new());
    let mut longest = Duration::ZERO;
    // More than all buffers on the way hold.
    for number in 0..1_000_u16 {
        for silent in [mute.local_addr().unwrap(), hole] {
            let begun = Instant::now();
            // Errors say that older ones are lost, which is so.
            let _ = a.transport.send(&[0; 60_000], silent);
            longest = longest.max(begun.elapsed());
        }
        if number % 10 == 0 {
            a.send(&number.to_be_bytes(), b.addr());
            b.expect(&number.to_be_bytes(), a.addr());
        }
    }
    assert!(longest < LONG / 10, "a send took {longest:?}");
}

#[test]
fn the_end_waits_for_nobody() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let (hole, _fillers) = black_hole();
    // The fastest of a few: a busy machine may delay some, a wait for a time-out delays all.
    let fastest = (0..5).map(|_| {
        let (a, b) = (Peer::new(), Peer::new());
        a.send(b"hello", b.addr());
        b.send(b"hello", a.addr());
        a.expect(b"hello", b.addr());
        a.send(b"connecting", hole.local_addr().unwrap().as_socket().unwrap());
        let _silent = Raw::to(&a);
        for _ in 0..200 {
            let _ = a.transport.send(&[0; 60_000], mute.local_addr().unwrap());
        }
        a.end()
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest < AT_ONCE, "{fastest:?}");
}

#[test]
fn the_longest_unused_connection_gives_way() {
    let a = Peer::at("127.0.0.1:0", Tcp::new().connections(3));
    let mut raws: Vec<Raw> = (1..=3).map(|port| Raw::speaking(&a, port)).collect();
    raws[0].speak();
    a.expect(b"hi", SocketAddr::from(([127, 0, 0, 1], 1)));
    raws.push(Raw::speaking(&a, 4));
    raws[1].expect_closed();
    raws.push(Raw::speaking(&a, 5));
    raws[2].expect_closed();
    for index in [0, 3, 4] {
        raws[index].expect_open();
    }
}

#[test]
fn connections_that_say_nothing_push_out_nobody_who_speaks() {
    let a = Peer::at("127.0.0.1:0", Tcp::new().connections(8));
    let mut speakers: Vec<Raw> = (1..=6).map(|port| Raw::speaking(&a, port)).collect();
    let mut silent: Vec<Raw> = (0..50).map(|_| Raw::to(&a)).collect();
    // A quarter of the places is theirs.
    silent[..48].iter_mut().for_each(Raw::expect_closed);
    silent[48..].iter_mut().chain(&mut speakers).for_each(Raw::expect_open);
    // And the newcomer who speaks is let in.
    speakers.push(Raw::speaking(&a, 7));
}

#[test]
fn a_host_with_many_connections_pushes_out_its_own() {
    let a = Peer::at("0.0.0.0:0", Tcp::new().connections(4));
    let port = a.addr().port();
    let peers = ["127.0.0.2:0", "127.0.0.3:0"].map(|bind| Peer::at(bind, Tcp::new()));
    for peer in &peers {
        peer.send(b"hi", SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        a.expect(b"hi", peer.addr());
    }
    let mut flood: Vec<Raw> = Vec::new();
    for flooding in 1..=20 {
        let mut raw = Raw(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
        raw.0.set_read_timeout(Some(LONG)).unwrap();
        raw.write(&[&MAGIC[..], &[0, flooding]].concat());
        raw.speak();
        a.expect(b"hi", SocketAddr::from(([127, 0, 0, 1], flooding.into())));
        flood.push(raw);
    }
    flood[..18].iter_mut().for_each(Raw::expect_closed);
    flood[18..].iter_mut().for_each(Raw::expect_open);
    for peer in &peers {
        peer.send(b"still here", SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        a.expect(b"still here", peer.addr());
    }
}

#[test]
fn more_peers_than_connections_are_all_reached() {
    let a = Peer::at("127.0.0.1:0", Tcp::new().connections(2));
    let peers: Vec<Peer> = (0..8).map(|_| Peer::new()).collect();
    for _ in 0..3 {
        for peer in &peers {
            a.reach(peer);
        }
    }
    assert!(a.received.recv_timeout(Duration::ZERO) == Err(RecvTimeoutError::Timeout));
}

#[test]
fn a_wrong_number_of_connections_is_invalid_input() {
    for count in [0, 1_025] {
        let tcp = Tcp::new().connections(count);
        let error = tcp.open(&Wanted::at("127.0.0.1:0".parse().unwrap())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_panic_of_a_thread_is_one_of_the_receiver() {
    let endpoint = Endpoint::listen(&Wanted::at("127.0.0.1:0".parse().unwrap()), 1).unwrap();
    let panicking = spawn(&endpoint.shared, "made-up", |_| panic!("made up by a test")).unwrap();
    panicking.join().unwrap();
    thread::spawn(move || endpoint.recv(&mut [0; 8])).join().unwrap_err();
}
