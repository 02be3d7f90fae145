use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::udp::Endpoint;
use super::{Transport, Trouble, canonical, classify};

const BUFFER: usize = 4 * 1024 * 1024;

fn udp(addr: &str) -> Endpoint {
    Endpoint::bind(addr.parse().unwrap(), BUFFER).unwrap()
}

fn exchange(from: &Endpoint, to: &Endpoint, addr: SocketAddr) -> SocketAddr {
    from.send(b"hello", addr).unwrap();
    let mut buf = [0; 64];
    let (len, source) = to.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len], b"hello");
    source
}

#[test]
fn port_0_is_read_back() {
    let udp = udp("127.0.0.1:0");
    assert_ne!(udp.local_addr().port(), 0);
    assert_eq!(udp.local_addr().ip(), Ipv4Addr::LOCALHOST);
}

#[test]
fn a_taken_port_is_an_error() {
    let first = udp("127.0.0.1:0");
    let error = Endpoint::bind(first.local_addr(), BUFFER).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_port_is_free_again_when_the_socket_is_dropped() {
    let first = udp("127.0.0.1:0");
    let addr = first.local_addr();
    first.close();
    drop(first);
    assert_eq!(Endpoint::bind(addr, BUFFER).unwrap().local_addr(), addr);
}

#[test]
fn ipv6_works() {
    let (a, b) = (udp("[::1]:0"), udp("[::1]:0"));
    assert_eq!(exchange(&a, &b, b.local_addr()), a.local_addr());
}

#[test]
fn a_socket_of_all_interfaces_speaks_ipv4_and_ipv6() {
    let both = udp("[::]:0");
    let port = both.local_addr().port();
    let (v4, v6) = (udp("127.0.0.1:0"), udp("[::1]:0"));

    assert_eq!(exchange(&v4, &both, (Ipv4Addr::LOCALHOST, port).into()), v4.local_addr());
    assert_eq!(exchange(&v6, &both, (Ipv6Addr::LOCALHOST, port).into()), v6.local_addr());
    assert_eq!(exchange(&both, &v4, v4.local_addr()), (Ipv4Addr::LOCALHOST, port).into());
    assert_eq!(exchange(&both, &v6, v6.local_addr()), (Ipv6Addr::LOCALHOST, port).into());
}

#[test]
fn close_wakes_a_blocked_receive_and_later_ones_do_not_block() {
    let udp = Arc::new(udp("127.0.0.1:0"));
    let (report, reported) = crossbeam_channel::bounded(2);
    let receiver = thread::spawn({
        let udp = Arc::clone(&udp);
        move || {
            for _ in 0..2 {
                report.send(udp.recv(&mut [0; 64]).is_err()).unwrap();
            }
        }
    });
    assert!(reported.recv_timeout(Duration::from_millis(20)).is_err(), "nothing has come yet");

    let begun = Instant::now();
    udp.close();
    udp.close();
    assert!(reported.recv_timeout(Duration::from_secs(5)).unwrap());
    assert!(reported.recv_timeout(Duration::from_secs(5)).unwrap());
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    receiver.join().unwrap();
}

#[test]
fn an_empty_datagram_is_a_datagram() {
    let (a, b) = (udp("127.0.0.1:0"), udp("127.0.0.1:0"));
    a.send(&[], b.local_addr()).unwrap();
    assert_eq!(b.recv(&mut [0; 64]).unwrap(), (0, a.local_addr()));
}

/// A receive that the close wakes gets no source address, and the standard library (Rust 1.95)
/// panicked on that once a datagram had been received before: nearly every member ended so.
#[test]
fn a_close_never_panics_a_receiver_that_has_received() {
    for _ in 0..20 {
        let udp = Arc::new(udp("127.0.0.1:0"));
        let (report, reported) = crossbeam_channel::unbounded();
        let receiver = thread::spawn({
            let udp = Arc::clone(&udp);
            move || {
                while udp.recv(&mut [0; 64]).is_ok() {
                    report.send(()).unwrap();
                }
            }
        });
        for _ in 0..3 {
            udp.send(b"hello", udp.local_addr()).unwrap();
            reported.recv_timeout(Duration::from_secs(5)).unwrap();
        }
        // Most receivers wait again when this is over.
        let _ = reported.recv_timeout(Duration::from_millis(1));
        udp.close();
        receiver.join().unwrap();
    }
}

#[test]
fn the_receive_buffer_is_raised_and_never_lowered() {
    let usual = Endpoint::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().receive_buffer().unwrap();
    assert!(usual > 1);
    let raised = udp("127.0.0.1:0").receive_buffer().unwrap();
    assert!(raised >= usual, "{raised} {usual}");
}

#[test]
fn a_datagram_that_is_too_long_is_counted_and_ignored() {
    let udp = udp("127.0.0.1:0");
    let error = udp.send(&[0; 65_535], udp.local_addr()).unwrap_err();
    assert_eq!(classify(&error), Trouble::Ignored, "{error}");
}

#[test]
fn errors_are_ticks_ignored_or_strange() {
    for (kind, trouble) in [
        (io::ErrorKind::WouldBlock, Trouble::Tick),
        (io::ErrorKind::Interrupted, Trouble::Tick),
        (io::ErrorKind::TimedOut, Trouble::Tick),
        (io::ErrorKind::ConnectionRefused, Trouble::Ignored),
        (io::ErrorKind::ConnectionReset, Trouble::Ignored),
        (io::ErrorKind::ConnectionAborted, Trouble::Ignored),
        (io::ErrorKind::OutOfMemory, Trouble::Ignored),
        (io::ErrorKind::PermissionDenied, Trouble::Strange),
        (io::ErrorKind::NetworkUnreachable, Trouble::Strange),
        (io::ErrorKind::NotConnected, Trouble::Strange),
        (io::ErrorKind::Other, Trouble::Strange),
    ] {
        assert_eq!(classify(&kind.into()), trouble, "{kind}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn errors_without_a_kind_are_known_by_number() {
    const EMSGSIZE: i32 = 90;
    const ENOBUFS: i32 = 105;
    const EMFILE: i32 = 24;
    assert_eq!(classify(&io::Error::from_raw_os_error(EMSGSIZE)), Trouble::Ignored);
    assert_eq!(classify(&io::Error::from_raw_os_error(ENOBUFS)), Trouble::Ignored);
    assert_eq!(classify(&io::Error::from_raw_os_error(EMFILE)), Trouble::Strange);
}

#[test]
fn a_mapped_address_is_turned_into_its_ipv4_form() {
    let cases = [
        ("[::ffff:127.0.0.1]:7990", "127.0.0.1:7990"),
        ("127.0.0.1:7990", "127.0.0.1:7990"),
        ("[::1]:7990", "[::1]:7990"),
    ];
    for (given, expected) in cases {
        assert_eq!(canonical(given.parse().unwrap()), expected.parse().unwrap());
    }
}
