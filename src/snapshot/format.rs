//! The bytes of a snapshot file.
//!
//! | at | type | field | |
//! |---|---|---|---|
//! | 0 | 8 bytes | magic | "headsnap" |
//! | 8 | u16 | version | 2 |
//! | 10 | u32 | length | of the body, at most 2 MiB |
//! | 14 | | body | see below |
//! | 14 + length | u64 | checksum | SipHash-2-4 of everything before it, key "headcoun", "snapshot" |
//!
//! There is nothing behind the checksum. The frame is the same in all versions, so that a file of another one is told
//! from a damaged one. The primitives are those of the [wire](crate::wire): big-endian, texts of 1 to 255 bytes.
//!
//! | body of version 2 | type | |
//! |---|---|---|
//! | cluster | text | its name |
//! | cluster id | u64 | which cluster of that name; 0: not known |
//! | name | text | of the node whose snapshot it is |
//! | generation | u64 | of its run |
//! | state version | varint | how often it has written its state in this run |
//! | keeps state | bool | whether the state follows |
//! | state | varint32, then so many: key, value | a key as a text, a value with its length as a varint in front |
//! | nodes | varint32, then so many: text, address, u8 | name, where it was last, and 0 for active, 1 for dead, 2 for left |

use std::fmt;

use super::{Contact, LastStatus, NODES_MAX, Snapshot};
use crate::node::Generation;
use crate::wire::ClusterId;
use crate::wire::cursor::{Reader, Sink};
use crate::wire::hash::siphash;
use crate::wire::malformed::Malformed;

const MAGIC: &[u8; 8] = b"headsnap";
const VERSION: u16 = 2;
const HEAD_SIZE: usize = MAGIC.len() + 2 + 4;
const CHECKSUM_SIZE: usize = 8;
const CHECKSUM_KEY: (u64, u64) = (0x6865_6164_636f_756e, 0x736e_6170_7368_6f74);
/// More than the largest state and the most nodes with the longest names need.
const BODY_MAX: usize = 2 * 1024 * 1024;
/// The longest file.
pub(super) const FILE_MAX: usize = HEAD_SIZE + BODY_MAX + CHECKSUM_SIZE;

/// Why a file is no snapshot that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It does not begin like one.
    NotASnapshot,
    /// Its end is missing, or something is behind it.
    Torn,
    /// The checksum is wrong.
    Damaged,
    /// Another version of the format.
    OtherVersion(u16),
    /// Whole, and yet it does not say what it should.
    Malformed,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASnapshot => f.write_str("is no snapshot"),
            Self::Torn => f.write_str("is not complete"),
            Self::Damaged => f.write_str("is damaged"),
            Self::OtherVersion(version) => {
                write!(f, "has version {version}, this program knows version {VERSION}")
            }
            Self::Malformed => f.write_str("makes no sense"),
        }
    }
}

impl From<Malformed> for Flaw {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The file of a snapshot.
pub(super) fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let body = encode_body(snapshot);
    let mut file = Vec::with_capacity(HEAD_SIZE + body.len() + CHECKSUM_SIZE);
    file.put(MAGIC);
    file.put_u16(VERSION);
    file.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    file.put(&body);
    let checksum = siphash(CHECKSUM_KEY, &file);
    file.put_u64(checksum);
    file
}

/// The snapshot in a file.
pub(super) fn decode(file: &[u8]) -> Result<Snapshot, Flaw> {
    if !file.starts_with(MAGIC) {
        // An empty or short file is what a crash leaves behind, not something else's.
        return Err(if MAGIC.starts_with(file) { Flaw::Torn } else { Flaw::NotASnapshot });
    }
    let mut reader = Reader::new(&file[MAGIC.len()..]);
    let (version, length) = frame(&mut reader).map_err(|_| Flaw::Torn)?;
    let body = reader.take(length).map_err(|_| Flaw::Torn)?;
    let checksum = reader.u64().map_err(|_| Flaw::Torn)?;
    reader.finish().map_err(|_| Flaw::Torn)?;
    if checksum != siphash(CHECKSUM_KEY, &file[..file.len() - CHECKSUM_SIZE]) {
        return Err(Flaw::Damaged);
    }
    if version != VERSION {
        return Err(Flaw::OtherVersion(version));
    }
    Ok(decode_body(body)?)
}

fn frame(reader: &mut Reader<'_>) -> Result<(u16, usize), Malformed> {
    let version = reader.u16()?;
    let length = usize::try_from(reader.u32()?).map_err(|_| Malformed)?;
    Ok((version, length))
}

fn encode_body(snapshot: &Snapshot) -> Vec<u8> {
    let Snapshot { cluster, cluster_id, name, generation, state_version, state, nodes } = snapshot;
    let mut body = Vec::new();
    body.put_text(cluster);
    body.put_u64(cluster_id.0);
    body.put_text(name);
    body.put_u64(generation.0);
    body.put_varint(*state_version);
    body.put_u8(state.is_some().into());
    if let Some(state) = state {
        body.put_varint(state.len() as u64);
        for (key, value) in state {
            body.put_text(key);
            body.put_varint(value.len() as u64);
            body.put(value);
        }
    }
    body.put_varint(nodes.len() as u64);
    for Contact { name, addr, last_status } in nodes {
        body.put_text(name);
        body.put_addr(*addr);
        body.put_u8(match last_status {
            LastStatus::Active => 0,
            LastStatus::Dead => 1,
            LastStatus::Left => 2,
        });
    }
    body
}

fn decode_body(body: &[u8]) -> Result<Snapshot, Malformed> {
    let mut reader = Reader::new(body);
    let mut snapshot = Snapshot {
        cluster: reader.text()?.to_owned(),
        cluster_id: ClusterId(reader.u64()?),
        name: reader.text()?.to_owned(),
        generation: Generation(reader.u64()?),
        state_version: reader.varint()?,
        state: if reader.bool()? { Some(list(&mut reader, item)?) } else { None },
        nodes: list(&mut reader, contact)?,
    };
    reader.finish()?;
    // No run of ours writes more, and those that are looked for first come first.
    snapshot.nodes.truncate(NODES_MAX);
    Ok(snapshot)
}

/// So many values as the number in front of them says. Nothing is reserved for them before they are there.
fn list<T>(
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.varint_u32()?;
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(read(reader)?);
    }
    Ok(values)
}

fn item(reader: &mut Reader<'_>) -> Result<(String, Vec<u8>), Malformed> {
    Ok((reader.text()?.to_owned(), reader.prefixed()?.to_owned()))
}

fn contact(reader: &mut Reader<'_>) -> Result<Contact, Malformed> {
    Ok(Contact {
        name: reader.text()?.to_owned(),
        addr: reader.addr()?,
        last_status: match reader.u8()? {
            0 => LastStatus::Active,
            1 => LastStatus::Dead,
            2 => LastStatus::Left,
            _ => return Err(Malformed),
        },
    })
}
