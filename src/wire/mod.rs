//! Bytes and values: the format of a datagram, complete.
//!
//! Values go in and bytes come out, or the other way round; nothing here knows time, sockets or the protocol's
//! rules. Every datagram is one *header* and then *bodies*, up to its end. What follows is enough to write a second
//! implementation; the golden bytes in the tests pin it.
//!
//! | file | holds |
//! |---|---|
//! | `cursor` | the primitives; the only place that touches bytes |
//! | `header` | what a datagram begins with |
//! | `packet` | framing of bodies, [`Frame::decode`], [`Writer`] |
//! | `sealed` | what a seal adds |
//! | `body` | the bodies, as values |
//! | `codec`, `messages` | the layout of each body |
//! | `lists` | the lists in bodies, read in place |
//! | `hash` | the three hashes |
//! | `address` | canonical addresses |
//! | `malformed` | the error of all decoders |
//! | `announcement` | what is said to a multicast group |
//!
//! # Primitives
//!
//! | notation | bytes | what |
//! |---|---|---|
//! | u8, u16, u32, u64 | 1, 2, 4, 8 | fixed width, big-endian |
//! | bool | 1 | 0 or 1 |
//! | varint | 1–10 | unsigned LEB128 of 64 bits: seven bits a byte, the lowest first, the top bit set on all but the last byte |
//! | varint32 | 1–5 | a varint below 2³² |
//! | text | 1 + n | n as u8, then n bytes of UTF-8 |
//! | address | 7 or 19 | family u8, 4 or 6; then 4 or 16 bytes in network order; then port u16 |
//!
//! A varint is in its shortest form: the last byte of one that has several is not 0. A text has 1 to 255 bytes and
//! no control character (Unicode category Cc: U+0000–U+001F, U+007F–U+009F). An address has a port other than 0 and
//! names one socket of one host: not the unspecified address (`0.0.0.0`, `::`), no multicast, not
//! `255.255.255.255`, and no IPv4 address mapped into IPv6 (`::ffff:0:0/96`), which is written as family 4. Scope
//! and flow label are not sent.
//!
//! # Header, 36 bytes
//!
//! | at | type | field | |
//! |---|---|---|---|
//! | 0 | u16 | magic | `0x6863`, "hc" |
//! | 2 | u8 | version | 1 |
//! | 3 | u8 | flags | 0; 1: [sealed](#sealed-datagrams) |
//! | 4 | u64 | tag | of the cluster, see [hashes](#hashes) |
//! | 12 | u64 | sender | the sender's name hash, not 0 |
//! | 20 | u64 | generation | the sender's run, not 0 |
//! | 28 | u64 | receiver | the run of the receiver that is meant; 0: the sender does not know it |
//!
//! # Sealed datagrams
//!
//! With the flag *sealed* the bodies are encrypted, and stand between these:
//!
//! | at | type | field | |
//! |---|---|---|---|
//! | 36 | u32 | key | the number of the cluster key that it was sealed with |
//! | 40 | u64 | counter | not 0; higher with each datagram of a run, so that none is used twice |
//! | 48 | … | bodies | as below, encrypted; possibly none |
//! | end − 16 | 16 bytes | tag | authenticates all that comes before it |
//!
//! The cipher is ChaCha20-Poly1305 (RFC 8439). Its nonce is four zero bytes and the counter, big-endian; its associated
//! data are the 48 bytes from the header to the counter. Its key is 32 bytes that HKDF with SHA-256 (RFC 5869) gives
//! for the cluster key, no salt, and the info `headcount seal v1`, sender (u64), generation (u64). The number of a
//! cluster key is four bytes that HKDF gives for it, no salt, and the info `headcount key id v1`, as u32.
//!
//! What a sealed datagram may do is decided by the protocol: a counter that was seen before is dropped.
//!
//! # Bodies
//!
//! | type | field | |
//! |---|---|---|
//! | u8 | type | see below |
//! | varint | length | of the contents |
//! | … | contents | exactly as many bytes |
//!
//! A datagram has at most 128 bodies ([`packet::BODIES_MAX`]), none is fine. A type that the receiver does not know
//! is skipped. Contents never grow: what needs another field gets another type, so that old versions skip it whole
//! and nobody has to guess. Types are numbered in groups: `0x01` probing, `0x10` rumors, `0x20` admission, `0x30`
//! sync, `0x40` states, `0x50` broadcasts, `0x60` messages. A number that was used is never used for something else.
//!
//! These fields mean the same everywhere:
//!
//! | field | type | |
//! |---|---|---|
//! | seq | u64, not 0 | unpredictable; an answer repeats that of its request |
//! | cookie | u64 | proves that its holder receives at its address. Made for an ack, a challenge or a doubt, where it is not 0; shown in other bodies, where 0 is "none yet" |
//! | generation | u64, not 0 | a node's run |
//! | incarnation | varint | raised by the node itself, within one generation |
//! | fingerprint | u64 | wrapping sum of the record hashes of all active records the sender holds |
//! | quiet | u8 | for how long the fingerprint has not changed, in 10 ms; 255: 2.55 s or longer |
//! | target, subject | u64, not 0 | a node, by its name hash |
//! | from, next, until | u64 | name hashes as bounds: from is included and may be 0, next and until are excluded, and 0 is the end of all |
//!
//! A *record* is what a node says about itself:
//!
//! | type | field | |
//! |---|---|---|
//! | text | name | |
//! | address | addr | where it receives |
//! | u64 | generation | |
//! | varint | incarnation | |
//! | varint | state version | of its key-value state |
//! | varint | broadcast | the number of its newest broadcast that the teller has dealt with |
//!
//! A *verdict* is what others say about it:
//!
//! | type | field | |
//! |---|---|---|
//! | u64 | subject | |
//! | u64 | generation | |
//! | varint | incarnation | the one that is judged |
//! | u8 | status | 1 suspect, 2 dead, 3 left |
//! | varint | count | of the accusers, 1 to 8 ([`body::ACCUSERS_MAX`]); this and the next only if suspect |
//! | u64 each | accusers | name hashes, not 0, none twice |
//!
//! ## Probing
//!
//! `0x01` ping: are you there? From a sender that the receiver knows it is answered by an ack, else by a bare ack
//! or by a verdict on the sender.
//!
//! | seq u64 | target u64 | round u32 | fingerprint u64 | quiet u8 | incarnation varint |
//! |---|---|---|---|---|---|
//! | | who is meant: an address may have changed hands | of the common probe rounds, a serial number | of the sender | | of the sender |
//!
//! `0x02` ack: I am. As long as the ping that carries the same incarnation.
//!
//! | seq u64 | cookie u64 | round u32 | fingerprint u64 | quiet u8 | incarnation varint |
//! |---|---|---|---|---|---|
//! | | for whoever sent the ping | of the common probe rounds | of the sender | | of the sender |
//!
//! `0x03` bare ack: somebody is here. Answers the ping of a sender that is not known, and a leave.
//!
//! | seq u64 |
//! |---|
//! | |
//!
//! `0x04` ping request: please ping the target for me. Answered by a relayed ack or a nack.
//!
//! | seq u64 | target u64 | generation u64 | nack after varint32 |
//! |---|---|---|---|
//! | | | of the target | ms without an answer, then the relay says so |
//!
//! `0x05` relayed ack: the target answered.
//!
//! | seq u64 | incarnation varint |
//! |---|---|
//! | of the request | of the target |
//!
//! `0x06` nack: it did not.
//!
//! | seq u64 | reason u8 |
//! |---|---|
//! | of the request | 1 no answer in time; 2 the relay does not hold the target active |
//!
//! ## Rumors
//!
//! | type | contents | |
//! |---|---|---|
//! | `0x10` alive | a record | the node joined, came back, or changed what it says |
//! | `0x11` verdict | a verdict | the node is suspected, dead, or has left |
//!
//! `0x12` doubt: did you say that this node has left? Answers such a verdict; answered by a vouch.
//!
//! | subject u64 | cookie u64 |
//! |---|---|
//! | | for whoever sent the verdict |
//!
//! `0x13` vouch: this node has left, and it is me who says so. Also in place of the verdict, if a cookie is at hand.
//!
//! | cookie u64 | subject u64 | generation u64 | incarnation varint |
//! |---|---|---|---|
//! | 0: none | | | the one in which it has left |
//!
//! ## Admission
//!
//! `0x20` hello: let me in. The first one has no cookie and is answered by a challenge; the second repeats the
//! cookie of that and is answered by a welcome or a reject.
//!
//! | seq u64 | cookie u64 | record |
//! |---|---|---|
//! | | 0: none yet | of the sender: its name hash and generation are those in the header |
//!
//! `0x21` challenge: show that you receive at this address.
//!
//! | seq u64 | cookie u64 |
//! |---|---|
//! | | not 0 |
//!
//! `0x22` welcome: you are in.
//!
//! | seq u64 | fingerprint u64 | quiet u8 | count varint32 |
//! |---|---|---|---|
//! | | of the sender | | active records that the sender holds |
//!
//! `0x23` reject: you are not.
//!
//! | seq u64 | reason u8 | then |
//! |---|---|---|
//! | | 1 another node of that name runs | address: where |
//! | | 2 the generation is stale | u64, not 0, and an address: the run that is known, and where |
//! | | 3 the generation is too far ahead | |
//! | | 4 full | |
//! | | 5 not on the lists of who may come in | |
//!
//! `0x24` hint: why nobody answers you. Goes, without any proof, to a sender whose datagram could not be taken, in a
//! datagram that is never sealed and has the *answerer's* tag: the one body to look at in a datagram of another
//! cluster, or in a plain one where all have to be sealed, and good for an error text only.
//!
//! | seq u64 | reason u8 |
//! |---|---|
//! | of the hello; the counter of a sealed datagram, which can not be read | 1 another cluster is here; 2 another key is, or one is missing |
//!
//! `0x25` leave: I go. Answered by a bare ack, and the other's own leave if it goes as well; without a good cookie by a
//! challenge.
//!
//! | seq u64 | cookie u64 | incarnation varint |
//! |---|---|---|
//! | | 0: none | of the sender, which ends |
//!
//! ## Sync
//!
//! Two members compare views: sums → digests, page by page → offer with records → newer with records and verdicts.
//! A member whose view is fresh is filled instead: pull → page with records. The records and verdicts are bodies of
//! their own in the same datagram, after the body that they belong to.
//!
//! A name hash belongs to *bucket* (hash >> 57), 0 to 127; in digests its *low* half (hash & 0xffffffff) names it.
//!
//! `0x30` sums: this is my view, bucket by bucket.
//!
//! | seq u64 | cookie u64 | count varint32 | from u64 | sums u64 × 128 |
//! |---|---|---|---|---|
//! | | 0: none | active records that the sender holds | compare nothing below | of the record hashes in each bucket, wrapping |
//!
//! `0x31` digests: these are my records in the buckets that differ.
//!
//! | seq u64 | from u64 | next u64 | groups, to the end |
//! |---|---|---|---|
//! | of the sums | the page begins here … | … and ends before this: 0, or above from | buckets strictly ascending |
//!
//! A group:
//!
//! | bucket u8 | count u16 | per record: low u32 | record u32 |
//! |---|---|---|---|
//! | below 128 | of the entries; may be 0 | of its name hash | the low half of its record hash |
//!
//! `0x32` offer: these are my records that differ (as `0x36` bodies), and these I lack.
//!
//! | seq u64 | cookie u64 | wanted keys, to the end: bucket u8, low u32 |
//! |---|---|---|
//! | | 0: none | 5 bytes each, bucket below 128 |
//!
//! `0x33` newer: this is what I have that is newer (as `0x36` and `0x37` bodies).
//!
//! | seq u64 | truncated bool |
//! |---|---|
//! | of the offer | not all of it fitted |
//!
//! `0x34` pull: give me all records of this range.
//!
//! | seq u64 | cookie u64 | from u64 | until u64 |
//! |---|---|---|---|
//! | | 0: none | | 0, or above from |
//!
//! `0x35` page: here they are, in order of their name hashes (as `0x36` bodies).
//!
//! | seq u64 | next u64 | loaded bool |
//! |---|---|---|
//! | of the pull | where the next pull begins; 0: that was all | the sender has much to do: ask others for the rest |
//!
//! | type | contents | |
//! |---|---|---|
//! | `0x36` sync record | a record | learned by sync, hence not gossiped on |
//! | `0x37` sync verdict | a verdict | likewise |
//!
//! ## States
//!
//! `0x40` delta: all that stands of what the subject has written into its state after version `from`, up to version
//! `to`. Gossiped. Versions are below 2⁴⁸ or that, and told as differences: `base` is version less the second number,
//! `to` is version less the third, and `from` is `to` less the fourth; none is below 0.
//!
//! | subject u64 | generation u64 | version varint | varint | varint | varint | writes, to the end |
//! |---|---|---|---|---|---|---|
//! | | | that the sender holds | to the base: removals up to there are not told | to `to` | `to` less `from` | by version |
//!
//! A write:
//!
//! | key | step varint, not 0 | length varint | value |
//! |---|---|---|---|
//! | length u8, not 0, and UTF-8 | how far its version is above the one before, or above `from`; all of them together at most `to` | of the value plus 1, at most 1,025; 0: removed | |
//!
//! `0x41` fetch: this is what I lack. Answered by fetched.
//!
//! | seq u64 | cookie u64 | lacks, to the end |
//! |---|---|---|
//! | | 0: none | |
//!
//! A lack:
//!
//! | kind u8 | subject u64 | generation u64 | then |
//! |---|---|---|---|
//! | 1 of a state | | | from varint: up to which version it is held; base varint: of the state that is held |
//! | 2 of broadcasts | their origin | | after varint: up to which number they were dealt with |
//!
//! `0x42` fetched: this is what I have of it (as `0x43` bodies, and more of them when asked again).
//!
//! | seq u64 |
//! |---|
//! | of the fetch |
//!
//! | type | contents | |
//! |---|---|---|
//! | `0x43` sync delta | a delta | asked for, hence not gossiped on |
//!
//! ## Broadcasts
//!
//! | type | contents | |
//! |---|---|---|
//! | `0x50` broadcast | a broadcast | gossiped |
//! | `0x51` sync broadcast | a broadcast | the answer to somebody who lacks it, hence not gossiped on |
//!
//! A broadcast:
//!
//! | type | field | |
//! |---|---|---|
//! | u64 | origin | a node, by its name hash; not 0 |
//! | u64 | generation | of the origin |
//! | varint | number | not 0: the origin counts from 1 in each of its runs |
//! | bytes | payload | to the end; may be empty |
//!
//! ## Messages
//!
//! A message goes from one run of a node to one run of another, in *fragments* of one size, of which the last may be
//! shorter. Messages are numbered from 1 for each such pair; numbers may be left out. Only the first fragment in a
//! datagram counts.
//!
//! `0x60` fragment: a part of a message.
//!
//! | ask u8 | number varint | behind varint | total varint32 | size varint32 | index varint32 | bytes, to the end |
//! |---|---|---|---|---|---|---|
//! | not 0: the sender waits for an ack, which brings it back | not 0 | number − behind is the oldest one that the sender has not done with; below number and 1,024 | length of the message, at most 4 MiB | of each fragment but the last, 1,024 to 65,535 | below total ÷ size, rounded up, or 1 | size of them, or what is left of total |
//!
//! `0x61` fragment ack: this has come. Answers a fragment that asks for it, and the one that completes its message.
//!
//! | ask u8 | number varint | outcome u8 | then, if 0 |
//! |---|---|---|---|
//! | of that fragment | not 0 | 0 receiving; 1 delivered; refused: 2 nobody listens, 3 overloaded, 4 too large | next varint32: the first fragment that has not come; then bits, to the end |
//!
//! Bit 0, the lowest, of the first byte says that the fragment next + 1 has come, bit 1 says so of next + 2, and so on.
//! There are at most 128 bytes ([`lists::BITS_SIZE_MAX`]), and the last one is not 0.
//!
//! # Hashes
//!
//! All are SipHash-2-4 with 64 bits of output. Keys are given as the two integers k0, k1 of the paper (which reads
//! them from 16 bytes, little-endian).
//!
//! | hash | k0 | k1 | over |
//! |---|---|---|---|
//! | cluster tag | `0x68656164636f756e` | `0x74636c7573746572` | the cluster's name, UTF-8 |
//! | name hash | cluster tag | `0x6e6f64656e616d65` | the node's name, UTF-8; a result of 0 becomes 1 |
//! | record hash | cluster tag | `0x61207265636f7264` | the record's bytes as in the table above, address canonical |
//!
//! In the cluster "headcount", whose tag is `0xc9439f408ea36340`, the node "web-1" has the name hash
//! `0x2b1838a5560beed7`.
//!
//! # Announcements
//!
//! A member that looks for others by multicast sends an announcement to a group. It is no datagram of the protocol: it
//! has neither its magic nor its port, and nothing follows it.
//!
//! | at | type | field | |
//! |---|---|---|---|
//! | 0 | u16 | magic | `0x6864`, "hd" |
//! | 2 | u8 | version | 1 |
//! | 3 | u8 | kind | 1 question: who else is there? 2 answer: I am |
//! | 4 | u64 | tag | of the cluster |
//! | 12 | u64 | view | 0: the speaker is alone; else the wrapping sum of the name hashes of the active nodes that it knows, itself included, and 1 if that is 0 |
//! | 20 | address | | where the speaker receives |
//!
//! # What a decoder refuses
//!
//! A datagram is taken whole or not at all; nothing of one that is refused is used, not even its header. Refused is:
//!
//! - another magic, version or flag. Versions do not mix: one that changes the header, or the meaning of a type,
//!   counts up;
//! - a zero where "not 0" stands above, also in the header;
//! - a broadcast with the number 0;
//! - a sealed datagram that has no room for a tag. Its bodies are looked at when it is open;
//! - a body that is cut off, one that leaves bytes over, one body more than 128;
//! - any primitive, enumeration or list that breaks a rule above: an overlong varint, a status 0, an unknown
//!   reason, a ninth accuser or one named twice, a range that ends where it begins or before, a bucket of 128,
//!   groups out of order, a count that does not match the bytes, half an entry, a value that is too long, a
//!   version beyond the delta's end, a fragment whose numbers do not go with each other or with its bytes.
//!
//! Counts are compared with the bytes that are there before anything is read; nothing is allocated. Equal values are
//! equal bytes: what the decoder takes, the encoder writes again bit by bit, but for the bodies of unknown types.
//!
//! How long a datagram may be, and whether the tag is ours, the sender known and the cookie good, is for the
//! protocol to say.

pub(crate) mod address;
pub(crate) mod announcement;
pub(crate) mod body;
mod codec;
pub(crate) mod cursor;
pub(crate) mod hash;
pub(crate) mod header;
pub(crate) mod lists;
pub(crate) mod malformed;
mod messages;
pub(crate) mod packet;
#[cfg(any(test, fuzzing))]
pub(crate) mod reproduce;
pub(crate) mod sealed;
#[cfg(test)]
mod tests;

pub(crate) use body::{Accusers, Body, Record, Verdict, ViewMark};
pub(crate) use header::Header;
pub(crate) use packet::{Frame, Packet, Writer};
pub(crate) use sealed::SealedHead;

/// Which cluster a datagram belongs to: a hash of the cluster's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ClusterTag(pub(crate) u64);

/// A node's name in 64 bits, salted with the cluster tag: how nodes are named everywhere but in records. Never
/// zero, so that zero can mean "none" and "the end".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct NameHash(pub(crate) u64);

impl NameHash {
    /// The sync bucket: the top bits, so that the order of name hashes is also the order of buckets.
    pub(crate) fn bucket(self) -> u8 {
        (self.0 >> 57) as u8
    }

    /// Other bits than the bucket's.
    pub(crate) fn low(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

/// Ties an answer to its request; random, so that nobody who did not see the request can answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Seq(pub(crate) u64);

/// Proves that its holder receives at the address it was made for. Zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Cookie(pub(crate) u64);
