use std::fs;
use std::path::PathBuf;

use super::*;
use crate::error::Error;
use crate::node::{Generation, Incarnation};
use crate::wire::body::Ping;
use crate::wire::checksum::CHECKSUM_SIZE;
use crate::wire::sealed::{Parts, SEAL_SIZE, Unsealed, fill_head, is_to_be_sealed};
use crate::wire::{Body, ClusterTag, Frame, Header, NameHash, Packet, Seq, Versions, ViewMark, Writer};

const DIGITS: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn reason(result: Result<impl fmt::Debug>) -> String {
    match result {
        Err(Error::Config { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// A file of this test's own, removed at its end.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(name: &str, contents: &[u8], mode: u32) -> Self {
        let path = std::env::temp_dir().join(format!("headcount-{name}-{}", std::process::id()));
        fs::write(&path, contents).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        Self(path)
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_key_is_the_same_from_bytes_from_digits_and_from_a_file() {
    let bytes = Key::from_bytes(std::array::from_fn(|place| u8::try_from(place).unwrap()));
    let file = KeyFile::new("same", format!(" {DIGITS}\n").as_bytes(), 0o600);
    assert!(bytes.is_same(&Key::from_hex(DIGITS).unwrap()));
    assert!(bytes.is_same(&Key::from_hex(&DIGITS.to_uppercase()).unwrap()));
    assert!(bytes.is_same(&Key::from_file(&file.0).unwrap()));
}

#[test]
fn what_is_no_key_is_refused_without_being_told() {
    for text in
        ["", "00", &DIGITS[1..], &format!("{DIGITS}0"), &DIGITS.replace('f', "g"), "é".repeat(32).as_str()]
    {
        assert_eq!(reason(Key::from_hex(text)), "is not 64 hexadecimal digits");
        let file = KeyFile::new("none", text.as_bytes(), 0o600);
        assert!(reason(Key::from_file(&file.0)).ends_with("does not hold 64 hexadecimal digits"));
    }
    let followed = |by: &str| [DIGITS, &" ".repeat(192), by].concat();
    for text in ["0".repeat(10_000), followed("\n"), followed(DIGITS)] {
        let file = KeyFile::new("long", text.as_bytes(), 0o600);
        assert!(reason(Key::from_file(&file.0)).ends_with("does not hold 64 hexadecimal digits"));
    }
}

#[test]
fn what_is_no_regular_file_is_refused_before_it_is_opened() {
    assert!(reason(Key::from_file(std::env::temp_dir())).ends_with("is no regular file"));
}

#[test]
#[cfg(unix)]
fn a_file_that_others_have_rights_to_is_refused() {
    for mode in [0o604, 0o640, 0o620, 0o644, 0o666] {
        let file = KeyFile::new(&format!("open-{mode:o}"), DIGITS.as_bytes(), mode);
        assert!(reason(Key::from_file(&file.0)).contains(&format!("is open to others (mode {mode:03o})")));
    }
    for mode in [0o400, 0o600, 0o700] {
        let file = KeyFile::new(&format!("private-{mode:o}"), DIGITS.as_bytes(), mode);
        Key::from_file(&file.0).unwrap();
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error_of_the_system() {
    let error = Key::from_file("/nowhere/at/all").unwrap_err();
    assert!(matches!(&error, Error::Io { what, .. } if what == "read the key /nowhere/at/all"), "{error}");
}

#[test]
fn the_id_of_a_key_is_derived_and_no_part_of_it() {
    let key = Key::from_hex(DIGITS).unwrap();
    // Computed by hand with Python: HMAC(HMAC(32 zero bytes, key), "headcount key id v1" and a 1), the first 4 bytes.
    assert_eq!(key.id().to_string(), KEY_ID);
    assert!(!DIGITS.contains(KEY_ID));
}

const KEY_ID: &str = "b5af304b";

#[test]
fn nothing_shows_a_key() {
    let keyring = Keyring::new(key(7)).with(Key::from_hex(DIGITS).unwrap());
    let config = crate::Config::lan().keyring(keyring.clone());
    for shown in [format!("{keyring:?}"), format!("{config:#?}"), format!("{:?}", key(7))] {
        assert!(shown.contains(&key(7).id().to_string()), "{shown}");
        for secret in ["070707", "7, 7", "0001020304", "0, 1, 2", "1d1e1f"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn a_keyring_holds_16_keys_and_each_once() {
    let mut keyring = Keyring::new(key(0));
    for byte in (0..16).chain(0..16) {
        keyring.install(key(byte)).unwrap();
    }
    assert_eq!(keyring.ids().count(), 16);
    assert!(reason(keyring.install(key(16))).contains("holds 16 keys already"));
    keyring.check().unwrap();
    let config = crate::Config::lan().keyring(keyring.with(key(16)));
    assert!(reason(config.validate()).contains("holds 16 keys already"));
}

#[test]
fn a_change_that_makes_no_sense_is_refused_and_changes_nothing() {
    let mut keyring = Keyring::new(key(1));
    let before = format!("{keyring:?}");
    assert!(reason(keyring.use_key(key(2).id())).contains("is not installed"));
    assert!(reason(keyring.remove(key(1).id())).contains("is the one that is used"));
    assert!(reason(keyring.use_plain()).contains("accept them first"));
    assert_eq!(format!("{keyring:?}"), before);
    keyring.remove(key(2).id()).unwrap();
    assert_eq!(format!("{keyring:?}"), before);

    let mut plain = Keyring::plain();
    assert!(reason(plain.refuse_plain()).contains("no key is used"));
    assert!(plain.accepts_plain());
}

#[test]
fn keys_change_step_by_step_in_all_directions() {
    let mut keyring = Keyring::plain();
    keyring.install(key(1)).unwrap();
    assert_eq!(keyring.used(), None);
    keyring.use_key(key(1).id()).unwrap();
    assert!(keyring.accepts_plain());
    keyring.refuse_plain().unwrap();
    assert!(!keyring.accepts_plain());

    keyring.install(key(2)).unwrap();
    keyring.use_key(key(2).id()).unwrap();
    keyring.remove(key(1).id()).unwrap();
    assert_eq!(keyring.ids().collect::<Vec<_>>(), [key(2).id()]);

    keyring.accept_plain();
    keyring.use_plain().unwrap();
    keyring.remove(key(2).id()).unwrap();
    assert_eq!(keyring.ids().count(), 0);
}

#[test]
fn another_key_sender_receiver_run_or_counter_opens_nothing() {
    let (sender, run) = (NameHash(1), Generation(2));
    let (head, plain) = ([9; 48], b"ping".to_vec());
    let mut bodies = plain.clone();
    let tag = Cipher::new(&key(1), sender, run).seal(5, RECEIVER, &head, &mut bodies).unwrap();
    assert_ne!(bodies, plain);

    let parts = Parts { head: &head, bodies: &bodies, tag };
    let opens_for = |receiver, key: Key, sender, run, counter, parts: &Parts<'_>| {
        let mut opened = b"what was there before".to_vec();
        let is_open = Cipher::new(&key, sender, run).open(counter, receiver, parts, &mut opened);
        assert!(!is_open || opened == plain);
        is_open
    };
    let opens =
        |key, sender, run, counter, parts: &Parts<'_>| opens_for(RECEIVER, key, sender, run, counter, parts);
    assert!(opens(key(1), sender, run, 5, &parts));
    for receiver in [0, 2, u64::MAX].map(NameHash) {
        assert!(!opens_for(receiver, key(1), sender, run, 5, &parts));
    }
    assert!(!opens(key(2), sender, run, 5, &parts));
    assert!(!opens(key(1), NameHash(2), run, 5, &parts));
    assert!(!opens(key(1), sender, Generation(3), 5, &parts));
    assert!(!opens(key(1), sender, run, 6, &parts));
    assert!(!opens(key(1), sender, run, 5, &Parts { head: &[8; 48], ..parts }));
}

// ---- Whole datagrams ----

const HEADER: Header = Header {
    reads: Versions::OURS,
    tag: ClusterTag(0x0102_0304_0506_0708),
    sender: NameHash(0x1112_1314_1516_1718),
    generation: Generation(0x2122_2324_2526_2728),
    receiver: Generation(0x3132_3334_3536_3738),
};
const RECEIVER: NameHash = NameHash(0x7172_7374_7576_7778);
const COUNTER: u64 = 0x4142_4344_4546_4748;
/// Computed with Python's `hmac` and `cryptography`.
const GOLDEN: &str = "686302010102030405060708111213141516171821222324252627283132333435363738 b5af304b4142434445464748\
     0df6c0ddc5a8419a74dc66936dad52b7902b5781db55307cc2ae93a0b9e9671173 349d454f4d6ce0c6acf157cbdcdbab8d";

fn ping() -> Body<'static> {
    Body::Ping(Ping {
        seq: Seq(0xa1a2_a3a4_a5a6_a7a8),
        target: NameHash(0xb1b2_b3b4_b5b6_b7b8),
        round: 7,
        view: ViewMark { fingerprint: 0xf1f2_f3f4_f5f6_f7f8, quiet: 25 },
        incarnation: Incarnation(300),
    })
}

/// A datagram of these bodies, sealed.
fn seal(bodies: &[Body<'_>], limit: usize) -> Vec<u8> {
    seal_for(&HEADER, RECEIVER, bodies, limit)
}

/// Likewise, with this header to this node.
fn seal_for(header: &Header, receiver: NameHash, bodies: &[Body<'_>], limit: usize) -> Vec<u8> {
    let key = Key::from_hex(DIGITS).unwrap();
    let mut writer = Writer::to_be_sealed(Vec::new(), header, receiver, limit);
    for body in bodies {
        assert!(writer.push(body));
    }
    let mut datagram = writer.finish();
    assert!(is_to_be_sealed(&datagram));
    let unsealed = fill_head(&mut datagram, key.id().number(), COUNTER).unwrap();
    assert_eq!((unsealed.header, unsealed.receiver), (*header, receiver));
    let Unsealed { head, bodies, .. } = unsealed;
    let cipher = Cipher::new(&key, header.sender, header.generation);
    let tag = cipher.seal(COUNTER, receiver, head, bodies).unwrap();
    datagram.extend(tag);
    datagram
}

/// The bodies of a sealed datagram; `None` if it does not open.
fn open(datagram: &[u8]) -> Option<Vec<u8>> {
    let Ok(Frame::Sealed(head)) = Frame::decode(datagram) else { return None };
    let key = Keyring::new(Key::from_hex(DIGITS).unwrap()).get(head.key)?.clone();
    let mut opened = Vec::new();
    let cipher = Cipher::new(&key, head.header.sender, head.header.generation);
    cipher.open(head.counter, RECEIVER, &Parts::of(datagram)?, &mut opened).then_some(opened)
}

#[test]
fn a_sealed_datagram_has_its_golden_bytes() {
    let hex = |datagram: &[u8]| datagram.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&seal(&[ping()], 1_400)), GOLDEN.replace(' ', ""));
    // To whoever receives it: the receiver is zero in the header and in what is authenticated.
    let anybody = Header { receiver: Generation(0), ..HEADER };
    let golden = GOLDEN
        .replace("3132333435363738", "0000000000000000")
        .replace("349d454f4d6ce0c6acf157cbdcdbab8d", "0c6561bbc6811de438c9d8c7530d20f1");
    assert_eq!(hex(&seal_for(&anybody, NameHash(0), &[ping()], 1_400)), golden.replace(' ', ""));
}

#[test]
fn what_was_sealed_is_opened_again_and_is_24_bytes_longer() {
    for bodies in [vec![], vec![ping()], vec![ping(); 30]] {
        let mut plain = Writer::new(Vec::new(), &HEADER, 1_400);
        assert!(bodies.iter().all(|body| plain.push(body)));
        let plain = plain.finish();
        let sealed = seal(&bodies, 1_400);
        assert_eq!(sealed.len(), plain.len() - CHECKSUM_SIZE + SEAL_SIZE);
        let opened = open(&sealed).unwrap();
        assert_eq!(opened, Packet::decode(&plain).unwrap().contents());
        assert!(Packet::new(HEADER, &opened).unwrap().bodies().eq(bodies));
    }
}

#[test]
fn a_full_datagram_is_within_its_limit_when_it_is_sealed() {
    for limit in 1_200..1_300 {
        let mut writer = Writer::to_be_sealed(Vec::new(), &HEADER, RECEIVER, limit);
        let mut count = 0;
        while writer.push(&ping()) {
            count += 1;
        }
        let sealed = seal(&vec![ping(); count], limit);
        assert!(sealed.len() <= limit && sealed.len() + 33 > limit, "{} of {limit}", sealed.len());
    }
}

#[test]
fn a_sealed_datagram_that_was_cut_is_refused() {
    let datagram = seal(&[ping()], 1_400);
    for length in 0..datagram.len() {
        assert_eq!(open(&datagram[..length]), None, "cut to {length}");
    }
    let mut longer = datagram;
    longer.push(0);
    assert_eq!(open(&longer), None);
}

#[test]
fn a_sealed_datagram_with_a_flipped_bit_is_refused() {
    let datagram = seal(&[ping()], 1_400);
    for bit in 0..datagram.len() * 8 {
        let mut flipped = datagram.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&flipped), None, "bit {bit}");
    }
    assert!(open(&datagram).is_some());
}
