use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::config::Config;

fn me() -> Member {
    Member::create(Config::local().bind("127.0.0.1:0")).unwrap()
}

fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A file of this test alone, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("headcount-discovery-{}-{number}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn seeds_are_all_addresses_of_all_of_them() {
    let me = me();
    let found = Seeds::new(["10.0.0.1", "localhost:1234", ":77", "[fd00::1]:5"]).discover(&me).unwrap();
    for addr in addrs(&["10.0.0.1:7990", "127.0.0.1:1234", "127.0.0.1:77", "[fd00::1]:5"]) {
        assert!(found.contains(&addr), "{addr} is not in {found:?}");
    }
}

#[test]
fn a_seed_that_does_not_resolve_keeps_the_others_from_nothing() {
    let me = me();
    // Reserved by RFC 6761: it never resolves.
    let found = Seeds::new(["nobody.invalid", "10.0.0.1"]).discover(&me).unwrap();
    assert_eq!(found, addrs(&["10.0.0.1:7990"]));
    let error = Seeds::new("nobody.invalid").discover(&me).unwrap_err();
    assert!(error.to_string().starts_with("nobody.invalid: "), "{error}");
}

#[test]
fn a_seed_that_makes_no_sense_is_an_error() {
    let error = Seeds::new(["10.0.0.1", "host:port"]).discover(&me()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("host:port"), "{error}");
}

#[test]
fn a_name_stands_for_its_addresses_at_one_port() {
    let found = Dns::new("localhost", 4321).discover(&me()).unwrap();
    assert!(found.contains(&addrs(&["127.0.0.1:4321"])[0]), "{found:?}");
    assert!(found.iter().all(|addr| addr.port() == 4321));
    let error = Dns::new("nobody.invalid", 1).discover(&me()).unwrap_err();
    assert!(error.to_string().starts_with("nobody.invalid: "), "{error}");
}

#[test]
fn a_file_is_read_again_when_it_has_changed() {
    let (me, scratch) = (me(), Scratch::new());
    let mut file = File::new(&scratch.0);
    assert_eq!(file.discover(&me).unwrap_err().kind(), io::ErrorKind::NotFound);

    fs::write(&scratch.0, "# all of them\n\n10.0.0.1:1\n  10.0.0.2 # no port\n").unwrap();
    assert_eq!(file.discover(&me).unwrap(), addrs(&["10.0.0.1:1", "10.0.0.2:7990"]));
    assert_eq!(file.discover(&me).unwrap().len(), 2);

    // As long as it was, within the same tick of the file system's clock.
    fs::write(&scratch.0, "# all of them\n\n10.0.0.3:1\n  10.0.0.2 # no port\n").unwrap();
    assert_eq!(file.discover(&me).unwrap(), addrs(&["10.0.0.3:1", "10.0.0.2:7990"]));
    fs::write(&scratch.0, "").unwrap();
    assert_eq!(file.discover(&me).unwrap(), []);
}

#[test]
fn lines_that_make_no_sense_do_not_spoil_the_others() {
    let (me, scratch) = (me(), Scratch::new());
    fs::write(&scratch.0, "host:port\r\n10.0.0.1:1\r\n\0\n").unwrap();
    assert_eq!(File::new(&scratch.0).discover(&me).unwrap(), addrs(&["10.0.0.1:1"]));
}

#[test]
fn a_file_that_is_too_long_or_no_text_is_an_error() {
    let (me, scratch) = (me(), Scratch::new());
    fs::write(&scratch.0, "#".repeat(1024 * 1024 + 1)).unwrap();
    assert_eq!(File::new(&scratch.0).discover(&me).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    fs::write(&scratch.0, [0xff, 0xfe]).unwrap();
    let error = File::new(&scratch.0).discover(&me).unwrap_err();
    assert!(error.to_string().starts_with(&scratch.0.display().to_string()), "{error}");
}
