use std::net::SocketAddr;

use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

use super::address::canonical;
use super::body::{
    ACCUSERS_MAX, Ack, BUCKETS, Broadcast, BucketDigest, Cuts, Delta, Digests, FRAGMENT_OVERHEAD, Fetch,
    Fragment, FragmentAck, Hello, LeftAt, MESSAGE_MAX, NackReason, Offer, Page, Ping, PingRequest, Progress,
    Pull, Refusal, RejectHintReason, RejectReason, Standing, Vouch, Welcome,
};
use super::checksum::{self, CHECKSUM_SIZE, crc32c};
use super::cursor::{Reader, Sink};
use super::hash::siphash;
use super::header::HEADER_SIZE;
use super::lists::{
    BITS_SIZE_MAX, Bits, Entry, Groups, GroupsBuilder, Lack, Lacks, RecordKey, StepsBuilder, SumList, Wants,
    Write, WritesBuilder,
};
use super::malformed::Malformed;
use super::packet::{BODIES_MAX, plain};
use super::reproduce::refuses_or_reproduces;
use super::sealed::{SEAL_SIZE, TAG_SIZE};
use super::version::{Unreadable, VersionNotice};
use super::*;
use crate::node::{Generation, Incarnation, Status};

const HEADER: Header = Header {
    reads: Versions::OURS,
    tag: ClusterTag(0x0102_0304_0506_0708),
    sender: NameHash(0x1112_1314_1516_1718),
    generation: GENERATION,
    receiver: Generation(0x3132_3334_3536_3738),
};
const HEADER_HEX: &str = "6863 02 00 0102030405060708 1112131415161718 2122232425262728 3132333435363738";

// Values of which each byte tells where it belongs, and their bytes.
const SEQ: Seq = Seq(0xa1a2_a3a4_a5a6_a7a8);
const NODE: NameHash = NameHash(0xb1b2_b3b4_b5b6_b7b8);
const COOKIE: Cookie = Cookie(0xc1c2_c3c4_c5c6_c7c8);
const GENERATION: Generation = Generation(0x2122_2324_2526_2728);
/// Two bytes as a varint: ac02.
const INCARNATION: Incarnation = Incarnation(300);
const CLUSTER: ClusterId = ClusterId(0xe1e2_e3e4_e5e6_e7e8);
const LEFT_AT: LeftAt = LeftAt { state_version: 300, broadcast: 5 };
const VIEW: ViewMark = ViewMark { fingerprint: 0xf1f2_f3f4_f5f6_f7f8, quiet: 25 };

const LARGE: usize = 65_000;

fn record() -> Record<'static> {
    Record {
        name: "web-1",
        addr: addr("10.0.0.1:7990"),
        generation: GENERATION,
        incarnation: INCARNATION,
        state_version: 1,
        broadcast: 128,
    }
}

const RECORD_HEX: &str = "05 7765622d31 04 0a000001 1f36 2122232425262728 ac02 01 8001";

const DELTA_HEX: &str =
    "25 b1b2b3b4b5b6b7b8 2122232425262728 e807 e307 64 d804 02 7570 01 04 796573 02 cebb c801 00";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ping() -> Body<'static> {
    Body::Ping(Ping { seq: SEQ, target: NODE, round: 7, view: VIEW, incarnation: INCARNATION })
}

fn ack() -> Body<'static> {
    Body::Ack(Ack { seq: SEQ, round: 7, view: VIEW, incarnation: INCARNATION, cookie: COOKIE })
}

fn verdict(status: Status, accusers: &[u64]) -> Verdict {
    let mut set = Accusers::default();
    for &name in accusers {
        assert!(set.insert(NameHash(name)));
    }
    Verdict {
        subject: NODE,
        generation: GENERATION,
        incarnation: INCARNATION,
        status,
        accusers: set,
        left_at: if status == Status::Left { LEFT_AT } else { LeftAt::default() },
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|char| !char.is_whitespace()).collect();
    assert_eq!(digits.len() % 2, 0, "half a byte in {text}");
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A datagram of these bodies.
fn write(bodies: &[Body<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &HEADER, LARGE);
    for body in bodies {
        assert!(writer.push(body), "{body:?} does not fit");
    }
    writer.finish()
}

/// The one body of a datagram.
fn read_one(datagram: &[u8]) -> Body<'_> {
    let mut bodies = Packet::decode(datagram).unwrap().bodies();
    let body = bodies.next().unwrap();
    assert_eq!(bodies.next(), None);
    body
}

/// A datagram of these bytes, without the checksum.
fn checked(mut datagram: Vec<u8>) -> Vec<u8> {
    checksum::append(&mut datagram);
    datagram
}

/// Whether a datagram with these bytes between header and checksum is taken.
fn accepts(bodies: &str) -> bool {
    Packet::decode(&plain(&HEADER, &hex(bodies))).is_ok()
}

/// Whether one body is taken, given as its type and its contents.
fn accepts_one(body: &str) -> bool {
    let body = hex(body);
    let mut bodies = vec![body[0]];
    bodies.put_varint(body.len() as u64 - 1);
    bodies.put(&body[1..]);
    Packet::decode(&plain(&HEADER, &bodies)).is_ok()
}

/// Owns what the lists among the bodies borrow.
#[derive(Debug)]
struct Lists {
    sums: Vec<u8>,
    wants: Vec<u8>,
    groups: GroupsBuilder,
    writes: WritesBuilder,
    steps: StepsBuilder,
    lacks: Vec<u8>,
    bits: Vec<u8>,
    /// The contents of a fragment.
    bytes: Vec<u8>,
}

impl Lists {
    fn new() -> Self {
        let mut sums = Vec::new();
        SumList::encode(&std::array::from_fn(|bucket| bucket as u64), BUCKETS * 2, &mut sums);
        let mut wants = Vec::new();
        let keys = [RecordKey { bucket: 5, low: 1 }, RecordKey { bucket: 0x7f, low: 0xffff_fffe }];
        Wants::encode(&keys, &mut wants);
        let mut groups = GroupsBuilder::new();
        groups.begin_bucket(5);
        groups.push(Entry { low: 1, record: 10, vouched: false });
        groups.push(Entry { low: 2, record: 10, vouched: true });
        groups.begin_bucket(0x7f);
        let mut writes = WritesBuilder::default();
        assert!(writes.push(&Write { key: "up", step: 1, value: Some(b"yes") }, LARGE));
        assert!(writes.push(&Write { key: "λ", step: 200, value: None }, LARGE));
        let mut lacks = Vec::new();
        let state = Lack::State { subject: NODE, generation: GENERATION, from: 300, until: 0 };
        let broadcasts = Lack::Broadcasts { origin: NODE, generation: GENERATION, after: 1 };
        let standing = Lack::Standing { subject: NODE, generation: GENERATION, from: 0, until: 300 };
        Lacks::encode(&[state, broadcasts, standing], &mut lacks);
        let mut steps = StepsBuilder::new(300);
        assert!(steps.push(301, LARGE) && steps.push(501, LARGE));
        let mut bits = Vec::new();
        Bits::encode([1, 3, 11], &mut bits);
        Self { sums, wants, groups, writes, steps, lacks, bits, bytes: b"abc".to_vec() }
    }

    fn random(rng: &mut ChaCha12Rng) -> Self {
        let mut sums = Vec::new();
        SumList::encode(&std::array::from_fn(|_| rng.next_u64()), rng.random_range(0..300), &mut sums);
        let mut wants = Vec::new();
        let keys: Vec<RecordKey> =
            (0..rng.random_range(0..20)).map(|_| NameHash(rng.next_u64()).into()).collect();
        Wants::encode(&keys, &mut wants);
        let mut groups = GroupsBuilder::new();
        for bucket in 0..128 {
            if rng.random_bool(0.05) {
                groups.begin_bucket(bucket);
                for _ in 0..rng.random_range(0..5) {
                    let (low, record) = (rng.next_u32(), rng.next_u32() & !1);
                    groups.push(Entry { low, record, vouched: rng.next_u32() & 1 == 0 });
                }
            }
        }
        let mut writes = WritesBuilder::default();
        for _ in 0..rng.random_range(0..5) {
            let value = vec![7; rng.random_range(0..50)];
            let write = Write {
                key: "key",
                step: rng.random_range(1..100),
                value: rng.random_bool(0.5).then_some(&value),
            };
            assert!(writes.push(&write, LARGE));
        }
        let mut lacks = Vec::new();
        let subject = NameHash(rng.next_u64().max(1));
        let (generation, from, until) = (GENERATION, rng.next_u64(), rng.next_u64());
        let lack = if rng.random_bool(0.5) {
            Lack::State { subject, generation, from, until }
        } else {
            Lack::Standing { subject, generation, from, until }
        };
        Lacks::encode(&[lack], &mut lacks);
        let mut steps = StepsBuilder::new(300);
        for _ in 0..rng.random_range(0..5) {
            assert!(steps.push(steps.last() + rng.random_range(1..100), LARGE));
        }
        let mut bits = Vec::new();
        Bits::encode((1..600).filter(|_| rng.random_bool(0.1)), &mut bits);
        let mut bytes = vec![0; rng.random_range(0..5_000)];
        rng.fill(&mut bytes[..]);
        Self { sums, wants, groups, writes, steps, lacks, bits, bytes }
    }

    fn delta(&self) -> Delta<'_> {
        let writes = self.writes.as_writes();
        Delta { subject: NODE, generation: GENERATION, version: 1_000, base: 5, from: 300, to: 900, writes }
    }

    fn standing(&self) -> Standing<'_> {
        let steps = self.steps.as_steps();
        Standing { subject: NODE, generation: GENERATION, version: 1_000, from: 300, to: 900, steps }
    }

    fn cuts(&self) -> Cuts<'_> {
        Cuts { subject: NODE, generation: GENERATION, from: 300, steps: self.steps.as_steps() }
    }

    fn lacks(&self) -> Lacks<'_> {
        Lacks(&self.lacks)
    }

    fn sums(&self) -> SumList<'_> {
        SumList(&self.sums)
    }

    fn wants(&self) -> Wants<'_> {
        Wants(&self.wants)
    }

    fn bits(&self) -> Bits<'_> {
        Bits(&self.bits)
    }
}

/// Every type of body with its bytes, and every reason and status.
fn goldens(lists: &Lists) -> Vec<(Body<'_>, String)> {
    let seq = SEQ;
    let incarnation = INCARNATION;
    let long = Record {
        name: "λ",
        addr: addr("[2001:db8::1]:7990"),
        incarnation: Incarnation(0),
        broadcast: u64::MAX,
        ..record()
    };
    let sums: String = (0..128).map(|bucket| format!("{bucket:016x}")).collect();
    let groups = lists.groups.as_groups();
    let (half, end) = (NameHash(1 << 63), NameHash(0));
    let broadcast = Broadcast { origin: NODE, generation: GENERATION, number: 300, payload: &[] };
    let sums_body = BucketDigest { seq, cookie: COOKIE, count: 1000, from: NODE, sums: lists.sums() };
    vec![
        (ping(), "01 1f a1a2a3a4a5a6a7a8 b1b2b3b4b5b6b7b8 00000007 f1f2f3f4f5f6f7f8 19 ac02".into()),
        (ack(), "02 1f a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 00000007 f1f2f3f4f5f6f7f8 19 ac02".into()),
        (Body::BareAck { seq }, "03 08 a1a2a3a4a5a6a7a8".into()),
        (
            Body::PingRequest(PingRequest { seq, target: NODE, generation: GENERATION, nack_after_ms: 400 }),
            "04 1a a1a2a3a4a5a6a7a8 b1b2b3b4b5b6b7b8 2122232425262728 9003".into(),
        ),
        (Body::RelayedAck { seq, incarnation }, "05 0a a1a2a3a4a5a6a7a8 ac02".into()),
        (Body::Nack { seq, reason: NackReason::NoAnswer }, "06 09 a1a2a3a4a5a6a7a8 01".into()),
        (Body::Nack { seq, reason: NackReason::Unknown }, "06 09 a1a2a3a4a5a6a7a8 02".into()),
        (Body::Alive { record: record(), vouched: true }, format!("10 1b {RECORD_HEX} 01")),
        (
            Body::Alive { record: long, vouched: false },
            "10 2b 02 cebb 06 20010db8000000000000000000000001 1f36 2122232425262728 00 01 \
             ffffffffffffffffff01 00"
                .into(),
        ),
        (
            Body::Verdict(verdict(Status::Suspect, &[0xd1, 0xd0])),
            "11 24 b1b2b3b4b5b6b7b8 2122232425262728 ac02 01 02 00000000000000d1 00000000000000d0".into(),
        ),
        (Body::Verdict(verdict(Status::Dead, &[])), "11 13 b1b2b3b4b5b6b7b8 2122232425262728 ac02 02".into()),
        (
            Body::Verdict(verdict(Status::Left, &[])),
            "11 16 b1b2b3b4b5b6b7b8 2122232425262728 ac02 04 ac02 05".into(),
        ),
        (
            Body::Verdict(Verdict::left(NODE, GENERATION, incarnation, LeftAt::default())),
            "11 13 b1b2b3b4b5b6b7b8 2122232425262728 ac02 03".into(),
        ),
        (Body::Doubt { subject: NODE, cookie: COOKIE }, "12 10 b1b2b3b4b5b6b7b8 c1c2c3c4c5c6c7c8".into()),
        (
            Body::Vouch(Vouch {
                cookie: COOKIE,
                subject: NODE,
                generation: GENERATION,
                incarnation,
                left_at: LEFT_AT,
            }),
            "13 1d c1c2c3c4c5c6c7c8 b1b2b3b4b5b6b7b8 2122232425262728 ac02 ac02 05".into(),
        ),
        (
            Body::Hello(Hello {
                seq,
                cookie: Cookie(0),
                attempt: 1,
                cluster: ClusterId(0),
                record: record(),
            }),
            format!("20 33 a1a2a3a4a5a6a7a8 0000000000000000 01 0000000000000000 {RECORD_HEX}"),
        ),
        (
            Body::Hello(Hello { seq, cookie: COOKIE, attempt: 300, cluster: CLUSTER, record: record() }),
            format!("20 34 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 ac02 e1e2e3e4e5e6e7e8 {RECORD_HEX}"),
        ),
        (Body::Challenge { seq, cookie: COOKIE }, "21 10 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8".into()),
        (
            Body::Welcome(Welcome { seq, view: VIEW, count: 1000, cluster: CLUSTER }),
            "22 1b a1a2a3a4a5a6a7a8 f1f2f3f4f5f6f7f8 19 e807 e1e2e3e4e5e6e7e8".into(),
        ),
        (
            Body::Reject { seq, reason: RejectReason::NameTaken { addr: addr("10.0.0.1:7990") } },
            "23 10 a1a2a3a4a5a6a7a8 01 04 0a000001 1f36".into(),
        ),
        (
            Body::Reject {
                seq,
                reason: RejectReason::Stale { known: GENERATION, addr: addr("10.0.0.1:7990") },
            },
            "23 18 a1a2a3a4a5a6a7a8 02 2122232425262728 04 0a000001 1f36".into(),
        ),
        (Body::Reject { seq, reason: RejectReason::ClockAhead }, "23 09 a1a2a3a4a5a6a7a8 03".into()),
        (Body::Reject { seq, reason: RejectReason::Full }, "23 09 a1a2a3a4a5a6a7a8 04".into()),
        (Body::Reject { seq, reason: RejectReason::NotAllowed }, "23 09 a1a2a3a4a5a6a7a8 05".into()),
        (
            Body::Reject { seq, reason: RejectReason::Unreachable { seen: addr("10.0.0.1:7990") } },
            "23 10 a1a2a3a4a5a6a7a8 06 04 0a000001 1f36".into(),
        ),
        (Body::Reject { seq, reason: RejectReason::BadAddress }, "23 09 a1a2a3a4a5a6a7a8 07".into()),
        (
            Body::Reject { seq, reason: RejectReason::WrongVersion { spoken: Versions::new(3, 4).unwrap() } },
            "23 0b a1a2a3a4a5a6a7a8 08 03 04".into(),
        ),
        (
            Body::RejectHint { seq, reason: RejectHintReason::WrongCluster },
            "24 09 a1a2a3a4a5a6a7a8 01".into(),
        ),
        (Body::RejectHint { seq, reason: RejectHintReason::WrongKey }, "24 09 a1a2a3a4a5a6a7a8 02".into()),
        (
            Body::Leave { seq, cookie: Cookie(0), incarnation, left_at: LEFT_AT },
            "25 15 a1a2a3a4a5a6a7a8 0000000000000000 ac02 ac02 05".into(),
        ),
        (
            Body::Leave { seq, cookie: COOKIE, incarnation, left_at: LEFT_AT },
            "25 15 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 ac02 ac02 05".into(),
        ),
        (
            Body::BucketDigest(sums_body),
            format!("30 9a08 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 e807 b1b2b3b4b5b6b7b8 {sums}"),
        ),
        (
            Body::Digests(Digests { seq, from: NameHash(0), next: half, groups }),
            "31 2e a1a2a3a4a5a6a7a8 0000000000000000 8000000000000000 \
             05 0002 00000001 0000000a 00000002 0000000b  7f 0000"
                .into(),
        ),
        (
            Body::Offer(Offer { seq, cookie: COOKIE, wants: lists.wants() }),
            "32 1a a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8  05 00000001  7f fffffffe".into(),
        ),
        (Body::SyncDelta { seq, truncated: true }, "33 09 a1a2a3a4a5a6a7a8 01".into()),
        (
            Body::Pull(Pull { seq, cookie: COOKIE, from: half, until: end }),
            "34 20 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 8000000000000000 0000000000000000".into(),
        ),
        (Body::Page(Page { seq, next: half }), "35 10 a1a2a3a4a5a6a7a8 8000000000000000".into()),
        (Body::SyncRecord { record: record(), vouched: true }, format!("36 1b {RECORD_HEX} 01")),
        (
            Body::SyncVerdict(verdict(Status::Dead, &[])),
            "37 13 b1b2b3b4b5b6b7b8 2122232425262728 ac02 02".into(),
        ),
        (Body::Delta(lists.delta()), format!("40 {DELTA_HEX}")),
        (
            Body::Fetch(Fetch { seq, cookie: COOKIE, lacks: lists.lacks() }),
            "41 4a a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 01 b1b2b3b4b5b6b7b8 2122232425262728 ac02 00 \
             02 b1b2b3b4b5b6b7b8 2122232425262728 01 03 b1b2b3b4b5b6b7b8 2122232425262728 00 ac02"
                .into(),
        ),
        (Body::Fetched { seq }, "42 08 a1a2a3a4a5a6a7a8".into()),
        (Body::PulledDelta(lists.delta()), format!("43 {DELTA_HEX}")),
        (
            Body::Standing(lists.standing()),
            "44 18 b1b2b3b4b5b6b7b8 2122232425262728 e807 64 d804 01 c801".into(),
        ),
        (Body::Cuts(lists.cuts()), "45 15 b1b2b3b4b5b6b7b8 2122232425262728 ac02 01 c801".into()),
        (
            Body::Fragment(Fragment {
                ask: 9,
                number: 300,
                behind: 7,
                total: 2_051,
                size: 1_024,
                index: 2,
                bytes: &lists.bytes,
            }),
            "60 0c 09 ac02 07 8310 8008 02 616263".into(),
        ),
        (
            Body::FragmentAck(FragmentAck {
                ask: 9,
                number: 300,
                progress: Progress::Receiving { next: 2, beyond: lists.bits() },
            }),
            "61 07 09 ac02 00 02 05 04".into(),
        ),
        (
            Body::FragmentAck(FragmentAck { ask: 0, number: 300, progress: Progress::Delivered }),
            "61 04 00 ac02 01".into(),
        ),
        (refused(Refusal::NobodyListens), "61 04 00 ac02 02".into()),
        (refused(Refusal::Overloaded), "61 04 00 ac02 03".into()),
        (refused(Refusal::TooLarge), "61 04 00 ac02 04".into()),
        (
            Body::Broadcast(Broadcast { payload: b"news", ..broadcast }),
            "50 16 b1b2b3b4b5b6b7b8 2122232425262728 ac02 6e657773".into(),
        ),
        (Body::PulledBroadcast(broadcast), "51 12 b1b2b3b4b5b6b7b8 2122232425262728 ac02".into()),
    ]
}

fn refused(refusal: Refusal) -> Body<'static> {
    Body::FragmentAck(FragmentAck { ask: 0, number: 300, progress: Progress::Refused(refusal) })
}

fn golden_datagrams() -> Vec<Vec<u8>> {
    let lists = Lists::new();
    goldens(&lists).iter().map(|(_, body)| checked(hex(&format!("{HEADER_HEX} {body}")))).collect()
}

fn random_addr(rng: &mut ChaCha12Rng) -> SocketAddr {
    let port = rng.random_range(1..=u16::MAX);
    if rng.random() {
        ([10, rng.random(), rng.random(), rng.random()], port).into()
    } else {
        ([0xfd00, rng.random(), 0, 0, 0, 0, rng.random(), rng.random()], port).into()
    }
}

fn random_non_zero(rng: &mut ChaCha12Rng) -> u64 {
    rng.next_u64().max(1)
}

/// Any number of bits is as likely as any other.
fn random_varint(rng: &mut ChaCha12Rng) -> u64 {
    let bits = rng.random_range(0..64);
    rng.next_u64() >> bits
}

fn random_varint_u32(rng: &mut ChaCha12Rng) -> u32 {
    let bits = rng.random_range(0..32);
    rng.next_u32() >> bits
}

fn random_name(rng: &mut ChaCha12Rng) -> String {
    let length = rng.random_range(1..=255);
    let mut name = String::from("n");
    while name.len() < length {
        name.push(['a', 'Z', '-', '.', ' ', 'é', 'λ', '漢', '🦀'][rng.random_range(0..9)]);
    }
    while name.len() > 255 {
        name.pop();
    }
    name
}

fn random_verdict(rng: &mut ChaCha12Rng) -> Verdict {
    let status = [Status::Suspect, Status::Dead, Status::Left][rng.random_range(0..3)];
    let mut accusers = Accusers::default();
    if status == Status::Suspect {
        for _ in 0..rng.random_range(1..=ACCUSERS_MAX) {
            assert!(accusers.insert(NameHash(random_non_zero(rng))));
        }
    }
    Verdict {
        subject: NameHash(random_non_zero(rng)),
        generation: Generation(random_non_zero(rng)),
        incarnation: Incarnation(random_varint(rng)),
        status,
        accusers,
        left_at: if status == Status::Left { random_left_at(rng) } else { LeftAt::default() },
    }
}

fn random_left_at(rng: &mut ChaCha12Rng) -> LeftAt {
    LeftAt { state_version: random_varint(rng), broadcast: random_varint(rng) }
}

/// A valid body of every type.
fn random_bodies<'a>(rng: &mut ChaCha12Rng, lists: &'a Lists, name: &'a str) -> Vec<Body<'a>> {
    let seq = Seq(random_non_zero(rng));
    let target = NameHash(random_non_zero(rng));
    let generation = Generation(random_non_zero(rng));
    let incarnation = Incarnation(random_varint(rng));
    let cookie = Cookie(random_non_zero(rng));
    let round = rng.random();
    let view = ViewMark { fingerprint: rng.random(), quiet: rng.random() };
    let count = random_varint_u32(rng);
    let flag = rng.random();
    let cluster = ClusterId(rng.next_u64());
    let left_at = random_left_at(rng);
    let (from, next) = (NameHash(rng.next_u64() >> 1), NameHash(rng.next_u64() | 1 << 63));
    let record = Record {
        name,
        addr: random_addr(rng),
        generation,
        incarnation,
        state_version: random_varint(rng),
        broadcast: random_varint(rng),
    };
    let number = random_varint(rng).max(1);
    let broadcast = Broadcast { origin: target, generation, number, payload: name.as_bytes() };
    let reasons = [
        RejectReason::NameTaken { addr: random_addr(rng) },
        RejectReason::Stale { known: generation, addr: random_addr(rng) },
        RejectReason::ClockAhead,
        RejectReason::Full,
        RejectReason::NotAllowed,
        RejectReason::Unreachable { seen: random_addr(rng) },
        RejectReason::BadAddress,
        RejectReason::WrongVersion { spoken: Versions::new(rng.random_range(1..9), 9).unwrap() },
    ];
    vec![
        Body::Ping(Ping { seq, target, round, view, incarnation }),
        Body::Ack(Ack { seq, round, view, incarnation, cookie }),
        Body::BareAck { seq },
        Body::PingRequest(PingRequest { seq, target, generation, nack_after_ms: count }),
        Body::RelayedAck { seq, incarnation },
        Body::Nack { seq, reason: [NackReason::NoAnswer, NackReason::Unknown][rng.random_range(0..2)] },
        Body::Alive { record, vouched: flag },
        Body::Verdict(random_verdict(rng)),
        Body::Doubt { subject: target, cookie },
        Body::Vouch(Vouch { cookie, subject: target, generation, incarnation, left_at }),
        Body::Hello(Hello { seq, cookie, attempt: count.max(1), cluster, record }),
        Body::Challenge { seq, cookie },
        Body::Welcome(Welcome { seq, view, count, cluster }),
        Body::Reject { seq, reason: reasons[rng.random_range(0..reasons.len())] },
        Body::RejectHint {
            seq,
            reason: [RejectHintReason::WrongCluster, RejectHintReason::WrongKey][rng.random_range(0..2)],
        },
        Body::Leave { seq, cookie, incarnation, left_at },
        Body::BucketDigest(BucketDigest { seq, cookie, count, from, sums: lists.sums() }),
        Body::Digests(Digests { seq, from, next, groups: lists.groups.as_groups() }),
        Body::Offer(Offer { seq, cookie, wants: lists.wants() }),
        Body::SyncDelta { seq, truncated: flag },
        Body::Pull(Pull { seq, cookie, from, until: next }),
        Body::Page(Page { seq, next }),
        Body::SyncRecord { record, vouched: flag },
        Body::SyncVerdict(random_verdict(rng)),
        Body::Delta(lists.delta()),
        Body::Fetch(Fetch { seq, cookie, lacks: lists.lacks() }),
        Body::Fetched { seq },
        Body::PulledDelta(lists.delta()),
        Body::Standing(lists.standing()),
        Body::Cuts(lists.cuts()),
        Body::Fragment(random_fragment(rng, lists)),
        Body::FragmentAck(FragmentAck {
            ask: rng.random(),
            number: random_varint(rng).max(1),
            progress: Progress::Receiving { next: count, beyond: lists.bits() },
        }),
        Body::Broadcast(broadcast),
        Body::PulledBroadcast(broadcast),
    ]
}

/// Any of the fragments of a message.
fn random_fragment<'a>(rng: &mut ChaCha12Rng, lists: &'a Lists) -> Fragment<'a> {
    let number = random_varint(rng).max(1);
    let size: u16 = rng.random_range(1_024..=u16::MAX);
    let mut pieces: Vec<(u32, &[u8])> = (0..).zip(lists.bytes.chunks(size.into())).collect();
    if pieces.is_empty() {
        pieces.push((0, &[]));
    }
    let (index, bytes) = pieces[rng.random_range(0..pieces.len())];
    Fragment {
        ask: rng.random(),
        number,
        behind: rng.random_range(0..number.min(1_024)),
        total: u32::try_from(lists.bytes.len()).unwrap(),
        size: size.into(),
        index,
        bytes,
    }
}

#[test]
fn a_fragment_whose_numbers_do_not_go_together_is_refused() {
    assert!(accepts_one("60 01 ac02 07 8310 8008 02 616263"));
    for (wrong, why) in [
        ("60 01 00 00 8310 8008 02 616263", "number 0"),
        ("60 01 07 07 8310 8008 02 616263", "as far behind as the number itself"),
        ("60 01 ff7f 8008 8310 8008 02 616263", "1,024 behind"),
        ("60 01 ac02 07 8310 8008 03 616263", "an index beyond the end"),
        ("60 01 ac02 07 8310 8008 02 6162", "a byte too few"),
        ("60 01 ac02 07 8310 8008 02 61626364", "a byte too many"),
        ("60 01 ac02 07 8310 8008 01 616263", "a short fragment that is not the last"),
        ("60 01 ac02 07 03 ff07 00 616263", "a fragment size of 1,023"),
        ("60 01 ac02 07 03 808004 00 616263", "a fragment size of 65,536"),
        ("60 01 ac02 07 81808002 8008 808002", "a message over 4 MiB"),
        ("61 01 00 01", "an ack of number 0"),
        ("61 01 01 05", "an unknown outcome"),
        ("61 01 01 01 00", "bits after delivered"),
        ("61 01 01 00 02 05 00", "bits that end in 0"),
    ] {
        assert!(!accepts_one(wrong), "{why}");
    }
    assert!(accepts_one("60 00 01 00 00 8008 00"), "an empty message has one fragment");
    assert!(accepts_one(&format!("61 01 01 00 02 {}", "01".repeat(BITS_SIZE_MAX))));
    assert!(!accepts_one(&format!("61 01 01 00 02 {}", "01".repeat(BITS_SIZE_MAX + 1))));
}

#[test]
fn the_longest_fragment_takes_no_more_than_its_overhead() {
    for size in [1_024_u32, 16_384, 60_000] {
        let bytes = vec![0; size as usize];
        let total = MESSAGE_MAX / size * size;
        let number = u64::MAX;
        let index = total / size - 1;
        let fragment = Fragment { ask: 1, number, behind: 1_023, total, size, index, bytes: &bytes };
        let taken = write(&[Body::Fragment(fragment)]).len() - HEADER_SIZE - CHECKSUM_SIZE - bytes.len();
        assert!(taken <= FRAGMENT_OVERHEAD, "{taken}");
    }
}

#[test]
fn bits_are_the_distances_that_were_given_as_far_as_there_is_room() {
    let set = |given: &[u32]| {
        let mut buffer = Vec::new();
        let bits = Bits::encode(given.iter().copied(), &mut buffer);
        (0..2_000).chain([u32::MAX]).filter(|distance| bits.contains(*distance)).collect::<Vec<_>>()
    };
    for distances in [&[][..], &[1], &[1, 2, 8, 9, 500, 1_024]] {
        assert_eq!(set(distances), distances);
    }
    assert_eq!(set(&[3, 1_025, u32::MAX]), [3]);
}

#[test]
fn each_body_has_its_golden_bytes() {
    let lists = Lists::new();
    for (body, golden) in goldens(&lists) {
        let golden = checked(hex(&format!("{HEADER_HEX} {golden}")));
        assert_eq!(write(&[body]), golden, "{body:?}");
        assert_eq!(read_one(&golden), body);
        assert_eq!(Packet::decode(&golden).unwrap().header(), &HEADER);
    }
}

#[test]
fn any_valid_bodies_survive_the_round_trip() {
    for seed in 0..500 {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let lists = Lists::random(&mut rng);
        let name = random_name(&mut rng);
        let bodies = random_bodies(&mut rng, &lists, &name);
        let datagram = write(&bodies);
        let read: Vec<Body<'_>> = Packet::decode(&datagram).unwrap().bodies().collect();
        assert_eq!(read, bodies, "seed {seed}");
        assert!(refuses_or_reproduces(&datagram));
    }
}

#[test]
fn a_datagram_that_was_cut_is_refused() {
    for datagram in golden_datagrams() {
        for length in 0..datagram.len() {
            assert!(Frame::decode(&datagram[..length]).is_err(), "{length} bytes of {datagram:02x?}");
            // What remains of bodies that are cut after the header is an empty datagram.
            let accepted = refuses_or_reproduces(&checked(datagram[..length].to_vec()));
            let is_whole = [HEADER_SIZE, datagram.len() - CHECKSUM_SIZE].contains(&length);
            assert_eq!(accepted, is_whole, "{length} bytes of {datagram:02x?}");
        }
    }
}

#[test]
fn a_flipped_bit_is_refused() {
    for golden in golden_datagrams() {
        for bit in 0..golden.len() * 8 {
            let mut datagram = golden.clone();
            datagram[bit / 8] ^= 1 << (bit % 8);
            // The one that says that it is sealed leaves it to its tag.
            let is_sealed = matches!(Frame::decode(&datagram), Ok(Frame::Sealed(_)));
            assert_eq!(is_sealed, bit == 3 * 8 && golden.len() >= HEADER_SIZE + SEAL_SIZE, "bit {bit}");
            assert!(is_sealed || Frame::decode(&datagram).err() == Some(Unreadable::Malformed), "bit {bit}");
            assert!(Packet::decode(&datagram).is_err(), "bit {bit} of {golden:02x?}");
        }
    }
}

#[test]
fn a_burst_of_flipped_bits_is_refused() {
    let goldens = golden_datagrams();
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    for _ in 0..100_000 {
        let mut datagram = goldens[rng.random_range(0..goldens.len())].clone();
        let first = rng.random_range(0..datagram.len() * 8);
        let end = (first + rng.random_range(1..200)).min(datagram.len() * 8);
        // Its ends are flipped, and what is between them is or is not.
        for bit in (first..end).filter(|bit| [first, end - 1].contains(bit) || rng.random()) {
            datagram[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(Packet::decode(&datagram).is_err(), "bits {first} to {end} of {datagram:02x?}");
    }
}

#[test]
fn what_a_wrong_bit_makes_of_a_datagram_is_refused_or_reproduced_under_a_right_checksum() {
    for golden in golden_datagrams() {
        for bit in 0..(golden.len() - CHECKSUM_SIZE) * 8 {
            let mut datagram = golden[..golden.len() - CHECKSUM_SIZE].to_vec();
            datagram[bit / 8] ^= 1 << (bit % 8);
            refuses_or_reproduces(&checked(datagram));
        }
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let mut rng = ChaCha12Rng::seed_from_u64(0);
    let mut accepted = 0;
    for _ in 0..40_000 {
        let mut contents = vec![0; rng.random_range(0..120)];
        rng.fill(&mut contents[..]);
        assert!(Packet::decode(&contents).is_err());
        refuses_or_reproduces(&checked(contents.clone()));
        refuses_or_reproduces(&plain(&HEADER, &contents));

        // Lengths that fit and mostly small bytes get further.
        contents.iter_mut().filter(|_| rng.random_bool(0.7)).for_each(|byte| *byte &= 0x07);
        let mut bodies = vec![rng.random_range(0..0x62)];
        bodies.put_varint(contents.len() as u64);
        bodies.put(&contents);
        accepted += u32::from(refuses_or_reproduces(&plain(&HEADER, &bodies)));
    }
    assert!(accepted > 500, "only {accepted} datagrams got to the end: the test is too weak");
}

#[test]
fn a_foreign_header_is_refused() {
    let body = "03 08 a1a2a3a4a5a6a7a8";
    let accepted = |header: &str| Packet::decode(&checked(hex(&format!("{header} {body}")))).is_ok();
    assert!(accepted(HEADER_HEX));
    let cases = [
        ("magic", "6864 02 00 0102030405060708 1112131415161718 2122232425262728 3132333435363738"),
        ("older version", "6863 01 00 0102030405060708 1112131415161718 2122232425262728 3132333435363738"),
        ("newer version", "6863 03 00 0102030405060708 1112131415161718 2122232425262728 3132333435363738"),
        ("sealed", "6863 02 01 0102030405060708 1112131415161718 2122232425262728 3132333435363738"),
        ("a notice", "6863 02 02 0102030405060708 1112131415161718 2122232425262728 3132333435363738"),
        ("no form", "6863 02 03 0102030405060708 1112131415161718 2122232425262728 3132333435363738"),
        ("reads version 0", "6863 02 08 0102030405060708 1112131415161718 2122232425262728 3132333435363738"),
        ("no sender", "6863 02 00 0102030405060708 0000000000000000 2122232425262728 3132333435363738"),
        ("no generation", "6863 02 00 0102030405060708 1112131415161718 0000000000000000 3132333435363738"),
    ];
    for (what, header) in cases {
        assert!(!accepted(header), "{what}");
    }
    let receiver_unknown = "6863 02 00 0102030405060708 1112131415161718 2122232425262728 0000000000000000";
    assert!(accepted(receiver_unknown));
}

#[test]
fn a_datagram_tells_which_versions_its_sender_reads() {
    for (flags, oldest, newest) in [("00", 2, 2), ("04", 1, 2), ("20", 2, 3), ("24", 1, 3), ("e4", 1, 9)] {
        let header = HEADER_HEX.replace("6863 02 00", &format!("6863 02 {flags}"));
        let datagram = checked(hex(&format!("{header} 03 08 a1a2a3a4a5a6a7a8")));
        let reads = Packet::decode(&datagram).unwrap().header().reads;
        assert_eq!((reads.oldest(), reads.newest()), (oldest, newest));
        assert!(refuses_or_reproduces(&datagram));
    }
}

#[test]
fn another_version_is_told_from_a_damaged_datagram_by_its_checksum() {
    // Whatever is between the first four bytes and the checksum.
    for between in ["", "00", "0102030405060708 1112131415161718 2122232425262728 3132333435363738"] {
        for (head, oldest, newest) in
            [("6863 01 00", 1, 1), ("6863 03 04", 2, 3), ("6863 ff 1c", 248, 255), ("6863 0a fc", 3, 17)]
        {
            let datagram = checked(hex(&format!("{head} {between}")));
            let reads = Versions::new(oldest, newest).unwrap();
            assert_eq!(Frame::decode(&datagram).err(), Some(Unreadable::OtherVersion(reads)), "{head}");
            for bit in 0..datagram.len() * 8 {
                let mut flipped = datagram.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // One bit makes a sealed datagram of it, which has no checksum.
                let expected = if bit == 24 { Unreadable::OtherSeal } else { Unreadable::Malformed };
                assert_eq!(Frame::decode(&flipped).err(), Some(expected), "{head}, bit {bit}");
            }
        }
        for impossible in ["6863 00 00", "6863 01 04", "6863 ff 20", "6863 03 03"] {
            let datagram = checked(hex(&format!("{impossible} {between}")));
            assert_eq!(Frame::decode(&datagram).err(), Some(Unreadable::Malformed), "{impossible}");
        }
    }
    // Nothing shows that this one is whole, so it is not believed to be of another version.
    let sealed = SEALED_HEX.replace("6863 02 01", "6863 03 05");
    assert_eq!(Frame::decode(&checked(sealed_with(&sealed, TAG_SIZE))).err(), Some(Unreadable::OtherSeal));
}

#[test]
fn a_version_notice_has_its_golden_bytes_whatever_the_version() {
    for (golden, oldest, newest) in
        [("6863 02 02 a1a2a3a4 25e6ac72", 2, 2), ("6863 04 0a a1a2a3a4 89f83057", 2, 4)]
    {
        let notice = VersionNotice { reads: Versions::new(oldest, newest).unwrap(), answers: 0xa1a2_a3a4 };
        let datagram = notice.encode();
        assert_eq!(datagram, hex(golden), "{datagram:02x?}");
        assert_eq!(Frame::decode(&datagram).err(), Some(Unreadable::Notice(notice)));
        for length in 0..datagram.len() {
            let cut = &datagram[..length];
            assert_eq!(Frame::decode(cut).err(), Some(Unreadable::Malformed), "{length}");
            let is_whole = length + CHECKSUM_SIZE == datagram.len();
            let read = Frame::decode(&checked(cut.to_vec())).err();
            assert_eq!(matches!(read, Some(Unreadable::Notice(_))), is_whole, "{length}: {read:?}");
        }
        let longer = checked([&datagram[..8], &[0]].concat());
        assert_eq!(Frame::decode(&longer).err(), Some(Unreadable::Malformed));
    }
}

/// Computed with Python, bit by bit; of sealed ones see `keyring::tests`.
#[test]
fn whole_datagrams_have_their_golden_bytes() {
    let hello = Hello { seq: SEQ, cookie: COOKIE, attempt: 4, cluster: CLUSTER, record: record() };
    let reason = RejectReason::Unreachable { seen: addr("10.0.0.1:7990") };
    let left = Body::Verdict(verdict(Status::Left, &[]));
    let alive = Body::Alive { record: record(), vouched: true };
    let cases = [
        (vec![], String::new(), "f38ac1a9"),
        (
            vec![Body::Hello(hello)],
            format!("20 33 a1a2a3a4a5a6a7a8 c1c2c3c4c5c6c7c8 04 e1e2e3e4e5e6e7e8 {RECORD_HEX}"),
            "c7798e6d",
        ),
        (
            vec![Body::Reject { seq: SEQ, reason }],
            "23 10 a1a2a3a4a5a6a7a8 06 04 0a000001 1f36".into(),
            "4b13f8eb",
        ),
        (
            vec![ping(), left, alive],
            format!(
                "01 1f a1a2a3a4a5a6a7a8 b1b2b3b4b5b6b7b8 00000007 f1f2f3f4f5f6f7f8 19 ac02 \
                 11 16 b1b2b3b4b5b6b7b8 2122232425262728 ac02 04 ac02 05 10 1b {RECORD_HEX} 01"
            ),
            "da35fec9",
        ),
    ];
    for (bodies, golden, sum) in cases {
        let written = write(&bodies);
        assert_eq!(
            written,
            hex(&format!("{HEADER_HEX} {golden} {sum}")),
            "{:02x?}",
            &written[written.len() - 4..]
        );
        assert!(Packet::decode(&written).unwrap().bodies().eq(bodies));
    }
}

#[test]
fn crc32c_gives_the_values_of_rfc_3720() {
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).rev().collect();
    let cases: [(&[u8], u32); 7] = [
        (b"", 0),
        (b"a", 0xc1d0_4330),
        (b"123456789", 0xe306_9283),
        (&[0; 32], 0x8a91_36aa),
        (&[0xff; 32], 0x62a8_ab43),
        (&ascending, 0x46dd_794e),
        (&descending, 0x113f_db5c),
    ];
    for (bytes, expected) in cases {
        assert_eq!(crc32c(bytes), expected, "{bytes:02x?}");
    }
}

#[test]
fn crc32c_is_the_same_bit_by_bit() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    for length in (0..100).chain([1_400, 65_000]) {
        let mut bytes = vec![0; length];
        rng.fill(&mut bytes[..]);
        let mut register = u32::MAX;
        for bit in 0..length * 8 {
            register ^= u32::from(bytes[bit / 8] >> (bit % 8) & 1);
            register = register >> 1 ^ if register & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
        assert_eq!(crc32c(&bytes), !register, "{length} bytes");
    }
}

#[test]
fn unknown_types_are_skipped() {
    let datagram = plain(&HEADER, &hex("ff 03 010203  03 08 a1a2a3a4a5a6a7a8  7f 00"));
    assert_eq!(read_one(&datagram), Body::BareAck { seq: SEQ });
    assert!(!accepts("ff 03 0102"), "its length lies");
    assert!(!accepts("ff 8300 010203"), "its length is overlong");
}

#[test]
fn a_length_that_lies_is_refused() {
    let seq = "a1a2a3a4a5a6a7a8";
    let cases = [
        ("a byte too many in a body", format!("03 09 {seq} 00")),
        ("a byte too few in a body", "03 07 a1a2a3a4a5a6a7".into()),
        ("a length beyond the end", format!("03 09 {seq}")),
        ("an overlong length", format!("03 8800 {seq}")),
        ("a length that overflows", format!("03 ffffffffffffffffff01 {seq}")),
    ];
    for (what, bodies) in cases {
        assert!(!accepts(&bodies), "{what}: {bodies}");
    }
}

#[test]
fn what_breaks_the_format_is_refused() {
    let seq = "a1a2a3a4a5a6a7a8";
    let node = "b1b2b3b4b5b6b7b8";
    let generation = "2122232425262728";
    let ipv4 = "04 0a000001 1f36";
    let record = |name: &str, addr: &str| format!("10 {name} {addr} {generation} 00 00 00 01");
    let verdict = |rest: &str| format!("11 {node} {generation} {rest}");
    assert!(accepts_one(&record("01 61", ipv4)));
    assert!(accepts_one(&verdict("00 01 01 00000000000000d1")));

    let cases = [
        ("no sequence number", "03 0000000000000000".into()),
        ("an ack without a cookie", format!("02 {seq} 0000000000000000 00000007 {node} 19 00")),
        ("an overlong incarnation", format!("05 {seq} 8000")),
        ("an incarnation of 65 bits", format!("05 {seq} ffffffffffffffffff03")),
        ("an incarnation of 11 bytes", format!("05 {seq} 8080808080808080808001")),
        ("a time over 32 bits", format!("04 {seq} {node} {generation} 8080808010")),
        ("no target", format!("04 {seq} 0000000000000000 {generation} 01")),
        ("no generation of a target", format!("04 {seq} {node} 0000000000000000 01")),
        ("a nack's reason 0", format!("06 {seq} 00")),
        ("a nack's reason 3", format!("06 {seq} 03")),
        ("no name", record("00", ipv4)),
        ("a name that is not UTF-8", record("02 c3 28", ipv4)),
        ("a name with a line feed", record("02 61 0a", ipv4)),
        ("a name with a C1 control", record("02 c2 85", ipv4)),
        ("a name with an override of its direction", record("03 e2 80 ae", ipv4)),
        ("a name longer than its body", record("ff 61", ipv4)),
        ("port zero", record("01 61", "04 0a000001 0000")),
        ("IPv4 unspecified", record("01 61", "04 00000000 1f36")),
        ("IPv4 multicast", record("01 61", "04 e0000001 1f36")),
        ("IPv4 broadcast", record("01 61", "04 ffffffff 1f36")),
        ("IPv6 unspecified", record("01 61", "06 00000000000000000000000000000000 1f36")),
        ("IPv6 multicast", record("01 61", "06 ff020000000000000000000000000001 1f36")),
        ("IPv4 in IPv6", record("01 61", "06 00000000000000000000ffff0a000001 1f36")),
        ("an unknown family", record("01 61", "05 0a000001 1f36")),
        ("no generation in a record", format!("10 01 61 {ipv4} 0000000000000000 00 00 00 01")),
        ("a voucher of 2", format!("10 01 61 {ipv4} {generation} 00 00 00 02")),
        ("a record without a voucher", format!("10 01 61 {ipv4} {generation} 00 00 00")),
        ("a verdict of alive", verdict("00 00")),
        ("an unknown status", verdict("00 05")),
        ("a leave without a word that says where", verdict("00 03 01 00")),
        ("a leave that does not say where", verdict("00 04")),
        ("a leave that says half of it", verdict("00 04 01")),
        ("a leave at nothing", verdict("00 04 00 00")),
        ("a suspicion by nobody", verdict("00 01 00")),
        ("accusers of a dead one", verdict("00 02 01 00000000000000d1")),
        ("an accuser zero", verdict("00 01 01 0000000000000000")),
        ("an accuser twice", verdict("00 01 02 00000000000000d1 00000000000000d1")),
        ("fewer accusers than counted", verdict("00 01 02 00000000000000d1")),
        ("nine accusers", {
            let names: String = (1..=9).map(|name| format!("{name:016x}")).collect();
            verdict(&format!("00 01 09 {names}"))
        }),
        ("an empty challenge", format!("21 {seq} 0000000000000000")),
        ("a reject's reason 9", format!("23 {seq} 09")),
        ("unreachable, and not seen either", format!("23 {seq} 06")),
        ("a bad address with one", format!("23 {seq} 07 {ipv4}")),
        ("versions in the wrong order", format!("23 {seq} 08 04 03")),
        ("version 0", format!("23 {seq} 08 00 03")),
        ("a hello before the first", format!("20 {seq} {node} 00 {node} 01 61 {ipv4} {generation} 00 00 00")),
        ("a page that says more", format!("35 {seq} {node} 00")),
        ("a hint's reason 3", format!("24 {seq} 03")),
        ("no sum", format!("30 {seq} {node} 00 {node}")),
        ("a part of a sum", format!("30 {seq} {node} 00 {node} {}", "00".repeat(17))),
        ("three sums", format!("30 {seq} {node} 00 {node} {}", "00".repeat(24))),
        ("256 sums", format!("30 {seq} {node} 00 {node} {}", "00".repeat(BUCKETS * 16))),
        ("a page that ends where it begins", format!("31 {seq} {node} {node}")),
        ("a group of bucket 128", format!("31 {seq} {node} 0000000000000000 80 0000")),
        ("a group twice", format!("31 {seq} {node} 0000000000000000 05 0000 05 0000")),
        ("groups that descend", format!("31 {seq} {node} 0000000000000000 05 0000 04 0000")),
        ("a group of more than there is", format!("31 {seq} {node} 0000000000000000 05 ffff {seq}")),
        ("a group without its count", format!("31 {seq} {node} 0000000000000000 05 00")),
        ("a base above the version", format!("40 {node} {generation} 05 06 00 00")),
        ("a delta beyond the version", format!("40 {node} {generation} 05 00 06 00")),
        ("a delta from below 0", format!("40 {node} {generation} 05 00 00 06")),
        ("a version over 48 bits", format!("40 {node} {generation} 81808080808040 00 00 00")),
        ("a write beyond the delta", format!("40 {node} {generation} 05 00 00 05 01 61 06 00")),
        ("a write that takes no step", format!("40 {node} {generation} 05 00 00 05 01 61 00 00")),
        ("no key", format!("40 {node} {generation} 05 00 00 05 00 01 00")),
        ("a key that is not UTF-8", format!("40 {node} {generation} 05 00 00 05 02 c328 01 00")),
        ("a value that is not there", format!("40 {node} {generation} 05 00 00 05 01 61 01 05 00")),
        ("a value of 1,025 bytes", {
            format!("40 {node} {generation} 05 00 00 05 01 61 01 8208 {}", "00".repeat(1_025))
        }),
        ("half a lack", format!("41 {seq} {node} 01 {node} {generation} 00")),
        ("an unknown lack", format!("41 {seq} {node} 03 {node} {generation} 00")),
        ("half a wanted key", format!("32 {seq} {node} 05 0000")),
        ("a wanted key of bucket 128", format!("32 {seq} {node} 80 00000000")),
        ("a truth of 2", format!("33 {seq} 02")),
        ("a pull of less than nothing", format!("34 {seq} {node} 0000000000000002 0000000000000001")),
    ];
    for (what, body) in cases {
        assert!(!accepts_one(&body), "{what}: {body}");
    }
}

#[test]
fn names_of_255_bytes_fit() {
    let name = "n".repeat(255);
    let body = Body::SyncRecord { record: Record { name: &name, ..record() }, vouched: true };
    assert_eq!(read_one(&write(&[body])), body);
}

#[test]
fn more_bodies_than_allowed_are_neither_written_nor_read() {
    let body = Body::BareAck { seq: SEQ };
    let mut writer = Writer::new(Vec::new(), &HEADER, LARGE);
    for _ in 0..BODIES_MAX {
        assert!(writer.push(&body));
    }
    assert!(!writer.push(&body));
    let datagram = writer.finish();
    let packet = Packet::decode(&datagram).unwrap();
    assert_eq!(packet.bodies().count(), BODIES_MAX);
    // One of an unknown type counts too.
    let more = [packet.contents(), &[0xff, 0x00]].concat();
    assert!(Packet::decode(&plain(&HEADER, &more)).is_err());
}

#[test]
fn a_body_that_does_not_fit_leaves_the_datagram_unchanged() {
    let whole = write(&[ping(), Body::Alive { record: record(), vouched: true }]);
    for limit in HEADER_SIZE + CHECKSUM_SIZE..=whole.len() {
        let mut writer = Writer::new(Vec::new(), &HEADER, limit);
        assert!(writer.is_empty());
        let ping_fits = writer.push(&ping());
        let record_fits = ping_fits && writer.push(&Body::Alive { record: record(), vouched: true });
        assert_eq!(writer.is_empty(), !ping_fits);
        let datagram = writer.finish();
        assert_eq!(record_fits, limit == whole.len());
        assert!(datagram.len() <= limit);
        let unchecked = datagram.len() - CHECKSUM_SIZE;
        assert_eq!(datagram[..unchecked], whole[..unchecked]);
        assert!(Packet::decode(&datagram).is_ok());
    }
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "every receiver would refuse")]
fn a_body_that_no_receiver_takes_is_a_bug_of_the_writer() {
    let mut writer = Writer::new(Vec::new(), &HEADER, LARGE);
    let _ = writer.push(&Body::BareAck { seq: Seq(0) });
}

#[test]
fn a_writer_drops_what_its_buffer_held() {
    let mut writer = Writer::new(vec![1, 2, 3], &HEADER, LARGE);
    assert!(writer.push(&ping()));
    assert_eq!(writer.finish(), write(&[ping()]));
}

#[test]
fn an_answer_is_never_longer_than_what_it_answers() {
    let size = |body: Body<'_>| write(&[body]).len();
    for incarnation in [0, 0x7f, 0x80, u64::MAX].map(Incarnation) {
        let ping = Ping { seq: SEQ, target: NODE, round: 7, view: VIEW, incarnation };
        let ack = Ack { seq: SEQ, round: 7, view: VIEW, incarnation, cookie: COOKIE };
        assert_eq!(size(Body::Ping(ping)), size(Body::Ack(ack)));
        let leave =
            size(Body::Leave { seq: SEQ, cookie: Cookie(0), incarnation, left_at: LeftAt::default() });
        assert!(size(Body::BareAck { seq: SEQ }) <= leave);
        assert!(size(Body::Challenge { seq: SEQ, cookie: COOKIE }) <= leave);
        let left = size(Body::Verdict(Verdict::left(NODE, GENERATION, incarnation, LeftAt::default())));
        assert!(size(Body::Doubt { subject: NODE, cookie: COOKIE }) <= left);
        let verdict = Verdict::left(NODE, GENERATION, incarnation, LeftAt::default());
        let to_a_stranger = write(&[Body::BareAck { seq: SEQ }, Body::Verdict(verdict)]);
        assert!(to_a_stranger.len() <= size(Body::Ping(ping)));
    }
    let request = PingRequest { seq: SEQ, target: NODE, generation: GENERATION, nack_after_ms: 0 };
    let relayed_ack = Body::RelayedAck { seq: SEQ, incarnation: Incarnation(u64::MAX) };
    assert!(size(relayed_ack) <= size(Body::PingRequest(request)));

    let shortest = Record { name: "a", incarnation: Incarnation(0), broadcast: 0, ..record() };
    let hello = size(Body::Hello(Hello {
        seq: SEQ,
        cookie: Cookie(0),
        attempt: 1,
        cluster: ClusterId(0),
        record: shortest,
    }));
    let name_taken = RejectReason::NameTaken { addr: addr("[2001:db8::1]:7990") };
    assert!(size(Body::Challenge { seq: SEQ, cookie: COOKIE }) <= hello);
    assert!(
        size(Body::Welcome(Welcome { seq: SEQ, view: VIEW, count: u32::MAX, cluster: ClusterId(0) }))
            <= hello
    );
    assert!(size(Body::Reject { seq: SEQ, reason: name_taken }) <= hello);
    let seen = addr("[2001:db8::1]:7990");
    assert!(size(Body::Reject { seq: SEQ, reason: RejectReason::Unreachable { seen } }) <= hello);
    let notice = VersionNotice { reads: Versions::OURS, answers: 1 };
    assert!(notice.encode().len() < size(Body::BareAck { seq: SEQ }));
}

#[test]
fn lists_are_read_as_they_were_built() {
    let sums: [u64; BUCKETS] = std::array::from_fn(|bucket| bucket as u64 * 3);
    let mut buffer = Vec::new();
    let list = SumList::encode(&sums, 1_000, &mut buffer);
    assert!(list.iter().eq(sums));
    for (records, count) in [(0, 1), (2, 1), (3, 2), (30, 16), (64, 32), (200, 128)] {
        let list = SumList::encode(&sums, records, &mut buffer);
        assert_eq!(list.iter().count(), count, "{records} records");
        assert_eq!(list.differ(&sums), [false; BUCKETS]);
        let (mut others, each) = (sums, BUCKETS / count);
        others[77] += 1;
        assert_eq!(list.differ(&others), std::array::from_fn(|bucket| bucket / each == 77 / each));
    }

    let keys = [NameHash(u64::MAX), NameHash(1)].map(RecordKey::from);
    let mut buffer = vec![1, 2, 3];
    let wants = Wants::encode(&keys, &mut buffer);
    assert!(wants.iter().eq(keys));

    let mut builder = GroupsBuilder::new();
    assert_eq!(builder.as_groups().iter().count(), 0);
    let entry = Entry { low: 1, record: 2, vouched: false };
    builder.begin_bucket(0);
    builder.begin_bucket(127);
    builder.push(entry);
    assert_eq!(builder.size(), 14);
    let groups: Vec<(u8, Vec<Entry>)> =
        builder.as_groups().iter().map(|group| (group.bucket, group.entries.iter().collect())).collect();
    assert_eq!(groups, [(0, vec![]), (127, vec![entry])]);
    assert_eq!(Groups::decode(&mut Reader::new(builder.as_groups().0)), Ok(builder.as_groups()));
}

#[test]
fn a_full_group_takes_no_more_entries() {
    let mut builder = GroupsBuilder::new();
    builder.begin_bucket(3);
    for low in 0..70_000 {
        builder.push(Entry { low, record: 0, vouched: false });
    }
    let groups = builder.as_groups();
    assert_eq!(Groups::decode(&mut Reader::new(groups.0)), Ok(groups));
    assert_eq!(groups.iter().map(|group| group.entries.iter().count()).sum::<usize>(), 65_535);
}

#[test]
fn varints_have_one_spelling() {
    let spellings: [(u64, &str); 7] = [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (1 << 32, "8080808010"),
        (1 << 63, "80808080808080808001"),
        (u64::MAX, "ffffffffffffffffff01"),
    ];
    for (value, spelling) in spellings {
        let mut bytes = Vec::new();
        bytes.put_varint(value);
        assert_eq!(bytes, hex(spelling));
        assert_eq!(Reader::new(&bytes).varint(), Ok(value));
    }
    let refused = [
        "",
        "80",
        "8000",
        "ff00",
        "808000",
        "80808080808080808002",
        "80808080808080808081",
        "ffffffffffffffffffff01",
    ];
    for spelling in refused {
        assert_eq!(Reader::new(&hex(spelling)).varint(), Err(Malformed), "{spelling}");
    }
}

#[test]
fn siphash_gives_the_vectors_of_the_reference_implementation() {
    let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
    let input: Vec<u8> = (0..64).collect();
    let vectors = [
        (0, 0x726f_db47_dd0e_0e31),
        (1, 0x74f8_39c5_93dc_67fd),
        (7, 0xab02_00f5_8b01_d137),
        (8, 0x93f5_f579_9a93_2462),
        (15, 0xa129_ca61_49be_45e5),
        (63, 0x958a_324c_eb06_4572),
    ];
    for (length, expected) in vectors {
        assert_eq!(siphash(key, &input[..length]), expected, "{length} bytes");
    }
}

#[test]
fn the_specified_hashes_have_golden_values() {
    let tag = ClusterTag::of("headcount");
    assert_eq!(tag, ClusterTag(0xc943_9f40_8ea3_6340));
    assert_eq!(ClusterTag::of(""), ClusterTag(0x775f_1b86_132f_f5ac));
    assert_eq!(NameHash::of(tag, "web-1"), NameHash(0x2b18_38a5_560b_eed7));
    assert_eq!(record().hash(tag), 0xbbed_703d_5a9e_5536);
}

#[test]
fn a_record_hash_is_over_the_bytes_of_the_wire_and_tells_all_fields() {
    let tag = ClusterTag(5);
    let hash = record().hash(tag);
    assert_eq!(hash, siphash((5, 0x6120_7265_636f_7264), &hex(RECORD_HEX)));
    let others = [
        Record { name: "web-2", ..record() },
        Record { addr: addr("10.0.0.1:7991"), ..record() },
        Record { addr: addr("10.0.0.2:7990"), ..record() },
        Record { generation: Generation(1), ..record() },
        Record { incarnation: Incarnation(301), ..record() },
        Record { state_version: 2, ..record() },
        Record { broadcast: 129, ..record() },
    ];
    for other in others {
        assert_ne!(other.hash(tag), hash, "{other:?}");
    }
    assert_ne!(record().hash(ClusterTag(6)), hash);
}

#[test]
fn an_address_has_one_canonical_form() {
    let scoped = SocketAddr::V6(std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 7990, 7, 3));
    assert_eq!(canonical(scoped), addr("[fe80::1]:7990"));
    assert_eq!(canonical(addr("[::ffff:10.0.0.1]:7990")), addr("10.0.0.1:7990"));
    assert_eq!(canonical(addr("[::1]:7990")), addr("[::1]:7990"));
    assert_eq!(canonical(addr("10.0.0.1:7990")), addr("10.0.0.1:7990"));
}

#[test]
fn the_bucket_and_the_low_bits_of_a_name_hash_are_different_bits() {
    let name = NameHash(0xfe00_0000_1234_5678);
    assert_eq!(RecordKey::from(name), RecordKey { bucket: 127, low: 0x1234_5678 });
    assert_eq!(RecordKey::from(NameHash(1 << 57)), RecordKey { bucket: 1, low: 0 });
}

#[test]
fn no_allocation_to_encode_or_decode_a_ping_or_an_ack() {
    for body in [ping(), ack()] {
        let mut buffer = write(&[body]);
        let allocations = allocation_counter::measure(|| {
            let mut writer = Writer::new(std::mem::take(&mut buffer), &HEADER, 1400);
            assert!(writer.push(&body));
            buffer = writer.finish();
            assert_eq!(read_one(&buffer), body);
        });
        assert_eq!(allocations.count_total, 0, "{body:?}");
    }
}

#[test]
fn the_count_of_allocations_can_fail() {
    let allocations = allocation_counter::measure(|| drop(write(&[ping()])));
    assert!(allocations.count_total > 0);
}

/// All but the tag; see `keyring::tests` for one that opens.
const SEALED_HEX: &str = "6863 02 01 0102030405060708 1112131415161718 2122232425262728 3132333435363738 d1d2d3d4 e1e2e3e4e5e6e7e8 aabb";

fn sealed_with(hex_of_head: &str, after: usize) -> Vec<u8> {
    let mut datagram = hex(hex_of_head);
    datagram.extend(vec![7; after]);
    datagram
}

#[test]
fn the_head_of_a_sealed_datagram_is_read_without_a_key() {
    let datagram = sealed_with(SEALED_HEX, TAG_SIZE);
    let Ok(Frame::Sealed(head)) = Frame::decode(&datagram) else { panic!() };
    assert_eq!(head, SealedHead { header: HEADER, key: 0xd1d2_d3d4, counter: 0xe1e2_e3e4_e5e6_e7e8 });
    assert!(Packet::decode(&datagram).is_err(), "it has no bodies that could be read");
}

#[test]
fn a_sealed_datagram_has_a_counter_and_room_for_a_tag_and_no_other_flag() {
    let datagram = sealed_with(SEALED_HEX, TAG_SIZE);
    for length in 0..datagram.len() {
        let is_long_enough = length >= HEADER_SIZE + SEAL_SIZE;
        assert_eq!(Frame::decode(&datagram[..length]).is_ok(), is_long_enough, "cut to {length}");
    }
    assert!(
        Frame::decode(&sealed_with(&SEALED_HEX.replace("e1e2e3e4e5e6e7e8", "0000000000000000"), TAG_SIZE))
            .is_err()
    );
    for flags in 0..=255_u8 {
        let mut datagram = datagram.clone();
        datagram[3] = flags;
        // It is sealed, and version 0 is not among those that are read.
        assert_eq!(Frame::decode(&datagram).is_ok(), flags & 3 == 1 && flags >> 2 & 7 < 2, "flags {flags}");
    }
}
