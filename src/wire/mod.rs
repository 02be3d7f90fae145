//! Bytes and values: the format of a datagram, complete.
//!
//! Values go in and bytes come out, or the other way round; nothing here knows time, sockets or the protocol's
//! rules. Every datagram is one *header*, then *bodies*, and at its end a *checksum*, or a *tag* if it is sealed. What
//! follows is enough to write a second implementation; the golden bytes in the tests pin it.
//!
//! | file | holds |
//! |---|---|
//! | `cursor` | the primitives; the only place that touches bytes |
//! | `version` | what all versions have in common |
//! | `checksum` | what stands at the end of whatever is not sealed |
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
//! no character of the Unicode categories Cc (control), Cf (format), Zl and Zp (line and paragraph separators), as they
//! are in Unicode 16: it is shown in logs. An address has a port other than 0 and
//! names one socket of one host: not the unspecified address (`0.0.0.0`, `::`), no multicast, not
//! `255.255.255.255`, and no IPv4 address mapped into IPv6 (`::ffff:0:0/96`), which is written as family 4. Scope
//! and flow label are not sent.
//!
//! # Header, 36 bytes
//!
//! | at | type | field | |
//! |---|---|---|---|
//! | 0 | u16 | magic | `0x6863`, "hc" |
//! | 2 | u8 | version | 2, of this datagram |
//! | 3 | u8 | flags | form + 4 × older + 32 × newer, see [versions](#versions) |
//! | 4 | u64 | tag | of the cluster, see [hashes](#hashes) |
//! | 12 | u64 | sender | the sender's name hash, not 0 |
//! | 20 | u64 | generation | the sender's run, not 0 |
//! | 28 | u64 | receiver | the run of the receiver that is meant; 0: the sender does not know it |
//!
//! | form | | ends in |
//! |---|---|---|
//! | 0 | plain | u32: the CRC-32C of all bytes before it |
//! | 1 | [sealed](#sealed-datagrams) | a tag |
//! | 2 | [version notice](#versions) | u32: the CRC-32C of all bytes before it |
//!
//! A CRC-32C (Castagnoli) has the parameters of iSCSI (RFC 3720): that of the nine digits "123456789" is `0xe3069283`. It
//! finds what a network, a card or a memory has damaged, and is no protection against anybody who means harm. A seal is
//! both, so a sealed datagram has no checksum. The four bytes are within the limits of the length of a datagram.
//!
//! # Versions
//!
//! This section holds for all versions, this one and those to come, so that each can tell the others what it reads. It
//! never changes:
//!
//! - magic, version and flags, as above. `older` (0 to 7) and `newer` (0 to 7) say which versions the sender of a
//!   datagram of version v reads: v − older to v + newer. None of them is 0 or above 255. Form 3 is refused;
//! - the last four bytes of a datagram with form 0 or 2 are the checksum of all bytes before it, as above. What is in
//!   between is that version's own affair, and may be nothing;
//! - a datagram with form 1 has no checksum, and its end is that version's own affair;
//! - a *version notice* (form 2) has 12 bytes in all versions: magic, version, flags, `answers` (u32), checksum. It says:
//!   "I can not read what you sent, and this is what I read." `answers` are the last four bytes of the datagram that it
//!   answers, whatever its form: whoever has not seen that can not make one up.
//!
//! A member that receives a plain datagram of a version that it does not read checks the checksum first. If that is
//! wrong, the datagram is damaged, and perhaps of no other version at all. If it is right, the member counts a datagram of
//! another version, warns once in its log, and uses nothing else of it. Nothing can be checked in a sealed datagram of
//! another version: it counts as malformed. In both cases a version notice goes back, unless it would be longer than what
//! it answers, and at most ten a second go to all addresses together.
//!
//! A version notice says nothing that can be trusted. A member uses one only if it answers the last hello of a join, and
//! says that this version is not read: it is then a possible reason why nobody answers (`Error::WrongVersion`). No notice
//! is answered.
//!
//! **From one version to the next.** What can be said in a body of a new type needs no new version: members that do not
//! know the type skip it. A new version is for what changes the header, the framing, the seal or the meaning of a type,
//! and comes in three releases, each of which is on all members before the next one comes:
//!
//! 1. A release reads v and v + 1, and writes v. Its datagrams say so (newer: 1), by which it can be seen when the release
//!    is everywhere.
//! 2. A release reads v and v + 1, and writes v + 1 (older: 1). Where members of both releases are, all read both. A
//!    member of the release before the first would not be able to read it: one that says hello with a datagram that does
//!    not tell of v + 1 is refused ([`body::RejectReason::WrongVersion`]).
//! 3. A release reads and writes v + 1 only.
//!
//! A member says hello in the oldest version that it writes, because it does not know yet what the other one reads.
//! Versions 1 and 2 do not mix: version 1 has no checksum.
//!
//! # Sealed datagrams
//!
//! With the form *sealed* the bodies are encrypted, and stand between these:
//!
//! | at | type | field | |
//! |---|---|---|---|
//! | 36 | u32 | key | the number of the cluster key that it was sealed with |
//! | 40 | u64 | counter | not 0; higher with each datagram of a run, so that none is used twice |
//! | 48 | … | bodies | as below, encrypted; possibly none |
//! | end − 16 | 16 bytes | tag | authenticates all that comes before it |
//!
//! The cipher is ChaCha20-Poly1305 (RFC 8439). Its nonce is four zero bytes and the counter, big-endian; its associated
//! data are the 48 bytes from the header to the counter, and then the name hash (u64) of the node that the datagram is for,
//! which is not sent: the receiver puts in its own. If the receiver's run in the header is 0, the name hash is 0, too:
//! whoever receives it may open it. Its key is 32 bytes that HKDF with SHA-256 (RFC 5869) gives
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
//! Where a member sends the record of a third node, a bool follows the record, *vouched*. It is set if, since the
//! sender was away last, it has admitted the node, has asked it and was answered, or has the record from a member that
//! vouched. It is no part of the record, nor of its hash.
//!
//! A *verdict* is what others say about it:
//!
//! | type | field | |
//! |---|---|---|
//! | u64 | subject | |
//! | u64 | generation | |
//! | varint | incarnation | the one that is judged |
//! | u8 | status | 1 suspect, 2 dead, 3 left, 4 left and had said something |
//! | varint | count | of the accusers, 1 to 8 ([`body::ACCUSERS_MAX`]); this and the next only if suspect |
//! | u64 each | accusers | name hashes, not 0, none twice |
//! | varint | state version | where it left: that of its state; this and the next only of status 4, and not both 0 |
//! | varint | broadcast | likewise: the number of its last broadcast |
//!
//! A node says itself where it left, and others pass it on as it came; only the bare answer to a ping of that node's own
//! leaves it out, to be no longer than the ping. Of one that was buried by hand, the member that buried it says how far it
//! had come there. A member that holds less fetches the rest, from the node itself or from others.
//!
//! ## Probing
//!
//! `0x01` ping: are you there? From a sender that the receiver knows it is answered by an ack, else by a bare ack
//! or by a verdict on the sender.
//!
//! | seq u64 | target u64 | round u32 | fingerprint u64 | quiet u8 | incarnation varint |
//! |---|---|---|---|---|---|
//! | | the node that is meant: an address may have changed hands | of the common probe rounds, a serial number | of the sender | | of the sender |
//!
//! `0x02` ack: I am. As long as the ping that carries the same incarnation.
//!
//! | seq u64 | cookie u64 | round u32 | fingerprint u64 | quiet u8 | incarnation varint |
//! |---|---|---|---|---|---|
//! | | for whoever sent the ping | of the common probe rounds | of the sender | | of the sender |
//!
//! `0x03` bare ack: a member is here. Answers the ping of a sender that is not known, and a leave. It takes the place of a
//! reject that answers no hello, where that would be longer than what it answers.
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
//! | `0x10` alive | a record, vouched bool | the node joined, came back, or changed what it says |
//! | `0x11` verdict | a verdict | the node is suspected, dead, or has left |
//!
//! `0x12` doubt: did you say that this node has left? Answers such a verdict; answered by a vouch.
//!
//! | subject u64 | cookie u64 |
//! |---|---|
//! | | for whoever sent the verdict |
//!
//! `0x13` vouch: this node has left, and I have reported it. Also in place of the verdict, if a cookie is at hand.
//!
//! | cookie u64 | subject u64 | generation u64 | incarnation varint | state version varint | broadcast varint |
//! |---|---|---|---|---|---|
//! | 0: none | | | the one in which it has left | as in the verdict | likewise |
//!
//! ## Admission
//!
//! `0x20` hello: let me in. The first one has no cookie and is answered by a challenge, which goes to the address in the
//! record; the second repeats the cookie of that challenge and is answered by a welcome or a reject. If a hello comes
//! from another address than the one in its record, the attempts 4, 6, 8 and so on are answered at the source by a
//! reject with reason 6.
//!
//! | seq u64 | cookie u64 | attempt varint32 | cluster id u64 | record |
//! |---|---|---|---|---|
//! | | 0: none yet | which of the hellos with this seq it is, from 1 | of the cluster that the address belonged to, as the sender remembers; 0: none. 0 in every hello for now | of the sender: its name hash and generation are those in the header |
//!
//! `0x21` challenge: show that you receive at this address. It is known by its seq, wherever it comes from.
//!
//! | seq u64 | cookie u64 |
//! |---|---|
//! | | not 0 |
//!
//! `0x22` welcome: you are in.
//!
//! | seq u64 | fingerprint u64 | quiet u8 | count varint32 | cluster id u64 |
//! |---|---|---|---|---|
//! | | of the sender | | active records that the sender holds | of the sender's cluster, which its first member draws at random. 0 in every welcome for now |
//!
//! `0x23` reject: you are not. With reason 6 it also answers a plain datagram of which something was dropped, because it
//! comes from an address that is not known as one of its sender's own. The number is then 2³² + e, where e are the last
//! four bytes of that datagram; the sender says hello.
//!
//! | seq u64 | reason u8 | then |
//! |---|---|---|
//! | | 1 another node of that name runs | address: where |
//! | | 2 the generation is stale | u64, not 0, and an address: the run that is known, and where |
//! | | 3 the generation is too far ahead (no member sends this) | |
//! | | 4 full | |
//! | | 5 not on the lists of allowed names and addresses | |
//! | | 6 nobody answers at the address in the record | address: where the hello came from |
//! | | 7 the address in the record is the answerer's own, or of a family that it can not send to | |
//! | | 8 the cluster speaks versions that the hello's sender does not read | u8, not 0, and u8: the oldest and the newest |
//!
//! No member sends reason 8 for now.
//!
//! `0x24` hint: why nobody answers you. Goes, without any proof, to a sender whose datagram could not be taken, in a
//! datagram that is never sealed and has the *answerer's* tag: the one body to look at in a datagram of another
//! cluster, or in a plain one where all have to be sealed, and good for an error text only.
//!
//! | seq u64 | reason u8 |
//! |---|---|
//! | of the hello; the counter of a sealed datagram, which can not be read | 1 another cluster is here; 2 another key is, or one is missing |
//!
//! `0x25` leave: I go. Answered by a bare ack, and the other's own leave if it goes as well, as soon as the other has all
//! that the numbers say; without a good cookie by a challenge. Also in the answer to a fetch, as its last body.
//!
//! | seq u64 | cookie u64 | incarnation varint | state version varint | broadcast varint |
//! |---|---|---|---|---|
//! | | 0: none | of the sender, which ends | of the sender's state | the number of the sender's last broadcast |
//!
//! ## Sync
//!
//! Two members compare views: sums → digests, page by page → offer with records → newer with records and verdicts.
//! A member whose view is fresh is filled instead: pull → page with records. The records and verdicts are bodies of
//! their own in the same datagram, after the body that they belong to.
//!
//! A name hash belongs to *bucket* (hash >> 57), 0 to 127; in digests its *low* half (hash & 0xffffffff) names it.
//!
//! `0x30` sums: this is my view, in sums of 1, 2, 4, … or 128 buckets each.
//!
//! | seq u64 | cookie u64 | count varint32 | from u64 | sums u64 × 1, 2, 4, … or 128, to the end |
//! |---|---|---|---|---|
//! | | 0: none | active records that the sender holds | compare nothing below | of the record hashes in these buckets, wrapping |
//!
//! `0x31` digests: these are my records in the buckets that differ, or hold one that I do not vouch for.
//!
//! | seq u64 | from u64 | next u64 | groups, to the end |
//! |---|---|---|---|
//! | of the sums | the page begins here … | … and ends before this: 0, or above from | buckets strictly ascending |
//!
//! A group:
//!
//! | bucket u8 | count u16 | per record: low u32 | record u32 |
//! |---|---|---|---|
//! | below 128 | of the entries; may be 0 | of its name hash | the low half of its record hash, the lowest bit replaced by *vouched* |
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
//! | seq u64 | next u64 |
//! |---|---|
//! | of the pull | where the next pull begins; 0: that was all |
//!
//! | type | contents | |
//! |---|---|---|
//! | `0x36` sync record | a record, vouched bool | learned by sync, hence not gossiped on |
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
//! | | | that the sender holds | to the base: removals up to there are not listed | to `to` | `to` less `from` | by version |
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
//! | 1 of a state | | | from varint, until varint: the writes above the one version up to the other; 0: all |
//! | 2 of broadcasts | their origin | | after varint: up to which number they were dealt with |
//! | 3 standing | | | from varint, until varint: which of these writes still stand |
//!
//! `0x42` fetched: this is what I have of it (as `0x43` to `0x45` bodies, and more of them when asked again).
//!
//! | seq u64 |
//! |---|
//! | of the fetch |
//!
//! | type | contents | |
//! |---|---|---|
//! | `0x43` sync delta | a delta | asked for, hence not gossiped on |
//!
//! `0x44` standing: of the writes after version `from`, up to version `to`, only these still stand. The numbers are told
//! as in a delta.
//!
//! | subject u64 | generation u64 | version varint | varint | varint | steps, to the end |
//! |---|---|---|---|---|---|
//! | | | that the sender holds | to `to` | `to` less `from` | varints, not 0: each version less the one before, or less `from`; all of them together at most `to` less `from` |
//!
//! `0x45` cuts: cut here, the writes after version `from` fit into one answer each.
//!
//! | subject u64 | generation u64 | from varint | steps, to the end |
//! |---|---|---|---|
//! | | | | varints, not 0: the lengths of the stretches, in versions |
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
//! | 2 | u8 | version | 2 |
//! | 3 | u8 | kind | 1 question: who else is there? 2 answer: I am |
//! | 4 | u64 | tag | of the cluster |
//! | 12 | u64 | view | 0: the speaker is alone; else the wrapping sum of the name hashes of the active nodes that it knows, itself included, and 1 if that is 0 |
//! | 20 | address | | where the speaker receives |
//! | end − 4 | u32 | checksum | the CRC-32C of all bytes before it |
//!
//! # What a decoder refuses
//!
//! A datagram is taken whole or not at all; nothing of one that is refused is used, not even its header. Refused is:
//!
//! - another magic, version or form, and a checksum that is not that of the bytes before it;
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
pub(crate) mod checksum;
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
mod states;
#[cfg(test)]
mod tests;
pub(crate) mod text;
pub(crate) mod version;

pub(crate) use body::{Accusers, Body, Record, Verdict, ViewMark};
pub(crate) use header::Header;
pub(crate) use packet::{DATAGRAM_MAX, Frame, Packet, Writer};
pub(crate) use sealed::SealedHead;
pub(crate) use version::Versions;

/// Which cluster a datagram belongs to: a hash of the cluster's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ClusterTag(pub(crate) u64);

/// One cluster among all of its name, as its first member drew it at random. Zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ClusterId(pub(crate) u64);

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

/// Ties an answer to its request; random, so that only a node that has seen the request can answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Seq(pub(crate) u64);

/// Proves that its holder receives at the address it was made for. Zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Cookie(pub(crate) u64);
