//! Deltas: a stretch of the writes of a state, as it is laid out in a datagram.

use super::Core;
use crate::node::Generation;
use crate::state::State;
use crate::wire::body::Delta;
use crate::wire::lists::{Write, WritesBuilder};
use crate::wire::{Body, NameHash, Writer};

/// What a write takes beside its key and its value: the key's length, the step of the version, and the value's length.
pub(in crate::protocol) const WRITE_OVERHEAD: usize = 1 + 7 + 2;

impl Core {
    /// Adds the beginning of our own state, as far as there is room.
    pub(in crate::protocol) fn add_own_state(&self, datagram: &mut Writer) {
        let Some((generation, state)) = sendable(self, self.me) else {
            return;
        };
        let mut builder = WritesBuilder::default();
        let room = datagram.room().saturating_sub(head_size(state));
        let (to, _) = stretch(state, 0, state.version(), room, &mut builder);
        if to > 0 {
            // Without room it is fetched.
            let _ = datagram.push(&Body::Delta(delta(self.me, generation, state, (0, to), &builder)));
        }
    }
}

/// A state that may be sent to others, and whose run it is.
pub(in crate::protocol) fn sendable(core: &Core, name: NameHash) -> Option<(Generation, &State)> {
    let entry = core.members.told(name)?;
    Some((entry.generation(), entry.node().versioned_state()?))
}

/// No head of a delta takes more bytes.
pub(in crate::protocol) fn head_size(state: &State) -> usize {
    let version = (u64::BITS - state.version().leading_zeros()).div_ceil(7).max(1) as usize;
    8 + 8 + 4 * version
}

/// Lays out the writes after `from`, up to `until`, as far as there is room: how far that is, and how many.
pub(in crate::protocol) fn stretch(
    state: &State,
    from: u64,
    until: u64,
    room: usize,
    builder: &mut WritesBuilder,
) -> (u64, usize) {
    let (mut to, mut count) = (from, 0);
    for write in state.written_after(from).take_while(|write| write.version <= until) {
        let laid_out = Write { key: write.key, step: write.version - to, value: write.value };
        if !builder.push(&laid_out, room) {
            return (to, count);
        }
        to = write.version;
        count += 1;
    }
    // What was written in between and no longer stands is part of it.
    (until.max(from), count)
}

/// A stretch of writes as a body.
pub(in crate::protocol) fn delta<'a>(
    subject: NameHash,
    generation: Generation,
    state: &State,
    (from, to): (u64, u64),
    builder: &'a WritesBuilder,
) -> Delta<'a> {
    Delta {
        subject,
        generation,
        version: state.version(),
        base: state.base(),
        from,
        to,
        writes: builder.as_writes(),
    }
}
