use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

use super::*;

fn announcement(kind: AnnouncementKind, addr: &str) -> Announcement {
    let tag = ClusterTag(0x0102_0304_0506_0708);
    Announcement { kind, tag, view: 0x1112_1314_1516_1718, addr: addr.parse().unwrap() }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split(' ').collect();
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// These bytes, and their checksum.
fn checked(bytes: &[u8]) -> Vec<u8> {
    let mut checked = bytes.to_vec();
    checksum::append(&mut checked);
    checked
}

#[test]
fn an_announcement_has_these_bytes() {
    let cases = [
        (
            announcement(AnnouncementKind::Question, "10.0.0.1:7990"),
            "6864 02 01 0102030405060708 1112131415161718 04 0a000001 1f36 391e9d36",
        ),
        (
            announcement(AnnouncementKind::Answer, "[fd00::1]:7990"),
            "6864 02 02 0102030405060708 1112131415161718 06 fd000000000000000000000000000001 1f36 4b9af19a",
        ),
    ];
    for (announcement, hex) in cases {
        assert_eq!(announcement.encode(), bytes(hex));
        assert_eq!(Announcement::decode(&bytes(hex)), Ok(announcement));
        assert!(announcement.encode().len() <= ANNOUNCEMENT_SIZE_MAX);
    }
    assert_eq!(cases[1].0.encode().len(), ANNOUNCEMENT_SIZE_MAX);
}

#[test]
fn what_is_cut_or_too_long_is_refused() {
    let whole = announcement(AnnouncementKind::Answer, "[fd00::1]:7990").encode();
    let unchecked = &whole[..whole.len() - CHECKSUM_SIZE];
    for length in 0..whole.len() {
        assert_eq!(Announcement::decode(&whole[..length]), Err(Malformed), "{length}");
        if length != unchecked.len() {
            assert_eq!(Announcement::decode(&checked(&whole[..length])), Err(Malformed), "{length}");
        }
    }
    assert_eq!(Announcement::decode(&[&whole[..], &[0]].concat()), Err(Malformed));
    assert_eq!(Announcement::decode(&checked(&[unchecked, &[0]].concat())), Err(Malformed));
}

#[test]
fn what_has_a_flipped_bit_is_refused() {
    let whole = announcement(AnnouncementKind::Answer, "[fd00::1]:7990").encode();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Announcement::decode(&flipped), Err(Malformed), "bit {bit}");
    }
}

#[test]
fn another_magic_version_or_kind_and_addresses_of_no_host_are_refused() {
    let whole = announcement(AnnouncementKind::Question, "10.0.0.1:7990").encode();
    for (at, value) in [(0, 0), (1, 0x63), (2, 1), (2, 3), (3, 0), (3, 3), (20, 5), (21, 239), (25, 0)] {
        let mut bytes = whole[..whole.len() - CHECKSUM_SIZE].to_vec();
        bytes[at] = value;
        if at == 25 {
            bytes[26] = 0;
        }
        assert_eq!(Announcement::decode(&checked(&bytes)), Err(Malformed), "byte {at} is {value}");
    }
}

#[test]
fn whatever_is_understood_is_written_the_same_again() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let whole = announcement(AnnouncementKind::Question, "10.0.0.1:7990").encode();
    for _ in 0..100_000 {
        let mut bytes = whole[..whole.len() - CHECKSUM_SIZE].to_vec();
        for _ in 0..rng.random_range(0..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        let bytes = checked(&bytes);
        if let Ok(announcement) = Announcement::decode(&bytes) {
            assert_eq!(announcement.encode(), bytes);
        }
        let mut noise = vec![0; rng.random_range(0..64)];
        rng.fill_bytes(&mut noise);
        assert_eq!(Announcement::decode(&noise), Err(Malformed));
        assert_eq!(Announcement::decode(&checked(&noise)), Err(Malformed));
    }
}
