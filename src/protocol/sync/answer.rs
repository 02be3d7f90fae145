//! The answering side of a sync. It keeps nothing: each request is answered by what the view holds at that moment.

use super::exchange::DIGEST_PAGES_MAX;
use super::{Offered, Reading, digest};
use crate::protocol::core::{Context, Core};
use crate::wire::body::{BUCKETS, BucketDigest, Digests, Offer, Page, Pull};
use crate::wire::lists::{Entry, Group, GroupsBuilder};
use crate::wire::{Body, DATAGRAM_MAX, NameHash, Seq};

/// A peer compares views with us. It gets digests of the buckets that differ, or that hold records that we do not vouch
/// for; or, if it has hardly any records, the records.
pub(in crate::protocol) fn handle_bucket_digest(
    core: &mut Core,
    context: &mut Context,
    sums: &BucketDigest<'_>,
) {
    if !core.has_cookie(context, sums.seq, sums.cookie) {
        return;
    }
    let ours = core.members.ring().len();
    if (sums.count as usize) * 2 < ours {
        send_page(core, context, sums.seq, sums.from, NameHash(0));
        return;
    }
    send_digests(core, context, sums);
}

/// A peer has its view filled.
pub(in crate::protocol) fn handle_pull(core: &mut Core, context: &mut Context, pull: &Pull) {
    if core.has_cookie(context, pull.seq, pull.cookie) {
        send_page(core, context, pull.seq, pull.from, pull.until);
    }
}

/// An offer of records, which follow in the same datagram.
pub(in crate::protocol) fn handle_offer(
    core: &mut Core,
    context: &mut Context,
    reading: &mut Reading,
    offer: &Offer<'_>,
) {
    if !core.has_cookie(context, offer.seq, offer.cookie) {
        return;
    }
    if !context.known {
        core.metrics.unknown_sender += 1;
        return;
    }
    reading.offer = Some(Offered { seq: offer.seq, wants: offer.wants.iter().collect(), better: Vec::new() });
}

/// All of an offer was read: sends the records of ours that are newer.
pub(in crate::protocol) fn answer_offer(core: &mut Core, context: &Context, reading: &mut Reading) {
    let Some(offer) = reading.offer.take() else {
        return;
    };
    let mut names: Vec<NameHash> = offer.better;
    for key in offer.wants {
        names.extend(core.members.with_key(key).map(|(name, _)| name));
    }
    names.sort_unstable();
    names.dedup();
    let mut bodies = Vec::with_capacity(names.len());
    for name in names {
        let Some(entry) = core.members.get(name).filter(|entry| !entry.hidden) else {
            continue;
        };
        bodies.push(if entry.is_active() {
            core.sync_record(name, entry)
        } else {
            Body::SyncVerdict(entry.verdict(name))
        });
    }
    // Whether everything fits stands at the beginning, so it must be known first.
    let fits = |truncated: bool| {
        let mut datagram = core.long_datagram_to(context.run());
        let mut all = datagram.push(&Body::SyncDelta { seq: offer.seq, truncated });
        for body in &bodies {
            all &= datagram.push(body);
        }
        (datagram, all)
    };
    let (datagram, all) = fits(false);
    let datagram = if all { datagram } else { fits(true).0 };
    core.transmit(context.now, context.from, datagram);
}

/// One page of records in order of name hash, from `from` on, to before `until` (zero: the end).
fn send_page(core: &mut Core, context: &Context, seq: Seq, from: NameHash, until: NameHash) {
    let fill = |next: NameHash| {
        let mut datagram = core.long_datagram_to(context.run());
        let mut first_out = NameHash(0);
        let mut told = datagram.push(&Body::Page(Page { seq, next }));
        for (name, entry) in core.members.visible_from(from) {
            if until.0 != 0 && name >= until {
                break;
            }
            told = told && datagram.push(&core.sync_record(name, entry));
            if !told {
                first_out = name;
                break;
            }
        }
        (datagram, first_out)
    };
    // The end of the page stands at the beginning, so it must be known first; its length does not depend on it.
    let (_, next) = fill(NameHash(0));
    let (datagram, _) = fill(next);
    core.transmit(context.now, context.from, datagram);
}

fn send_digests(core: &mut Core, context: &Context, request: &BucketDigest<'_>) {
    let mut listed = request.sums.differ(core.members.sums());
    for (name, entry) in core.members.visible_from(request.from) {
        listed[usize::from(name.bucket())] |= !core.vouches(name, entry);
    }
    // Header, body head and numbers take less than this.
    let room = DATAGRAM_MAX - 96;
    let mut from = request.from;
    for _ in 0..DIGEST_PAGES_MAX {
        let (groups, next) = digest_page(core, from, &listed, room);
        let digests = Digests { seq: request.seq, from, next, groups: groups.as_groups() };
        core.reply(context.now, context.from, context.run(), &Body::Digests(digests));
        if next.0 == 0 {
            return;
        }
        from = next;
    }
}

/// The digest entries, from a name hash on, of the buckets to be listed, and where the next page begins.
fn digest_page(core: &Core, from: NameHash, listed: &[bool], room: usize) -> (GroupsBuilder, NameHash) {
    let mut groups = GroupsBuilder::new();
    for bucket in from.bucket()..u8::try_from(BUCKETS).unwrap_or(u8::MAX) {
        if !listed[usize::from(bucket)] {
            continue;
        }
        let start = NameHash(u64::from(bucket) << 57).max(from);
        if groups.size() + Group::HEADER_SIZE + Entry::SIZE > room {
            return (groups, start.max(NameHash(1)));
        }
        groups.begin_bucket(bucket);
        for (name, entry) in core.members.visible_from(start) {
            if name.bucket() != bucket {
                break;
            }
            if groups.size() + Entry::SIZE > room {
                return (groups, name);
            }
            groups.push(Entry {
                low: name.low(),
                record: digest(core.members.record_hash(entry)),
                vouched: core.vouches(name, entry),
            });
        }
    }
    (groups, NameHash(0))
}
