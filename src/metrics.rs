//! What a member counts.

use std::fmt;

/// Declares the counters once: the field, its documentation and its Prometheus line.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $kind:ident $name:ident,)+) => {
        /// A member's counters, as plain numbers at one moment. Counters grow from zero at
        /// [`Member::create`](crate::Member::create); gauges say how it is now.
        ///
        /// Its `Display` is the Prometheus text format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl fmt::Display for Metrics {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(
                    let help = concat!($($doc),+);
                    writeln!(f, "# HELP headcount_{} {}", stringify!($name), help.trim())?;
                    writeln!(f, "# TYPE headcount_{} {}", stringify!($name), stringify!($kind))?;
                    writeln!(f, "headcount_{} {}", stringify!($name), self.$name)?;
                )+
                Ok(())
            }
        }
    };
}

counters! {
    /// Active nodes in the view, the own one included.
    gauge nodes,
    /// Nodes in the view that are suspected.
    gauge suspects,
    /// Dead and left nodes that are still remembered.
    gauge tombstones,
    /// The own health score: 0 is healthy, 8 the worst.
    gauge health,

    /// Datagrams received.
    counter datagrams_received,
    /// Bytes received, without IP and UDP headers.
    counter bytes_received,
    /// Datagrams sent.
    counter datagrams_sent,
    /// Bytes sent, without IP and UDP headers.
    counter bytes_sent,
    /// Datagrams that break the format.
    counter malformed,
    /// Datagrams of another version of the format.
    counter other_version,
    /// Datagrams of other clusters.
    counter foreign_cluster,
    /// Sealed datagrams that could not be opened: made with another key, or forged.
    counter unopened,
    /// Datagrams that were not sealed, where all have to be.
    counter plain_refused,
    /// Sealed datagrams that had come before, or so long after later ones that this cannot be known.
    counter replayed,
    /// Bodies that were dropped because their sender is not known.
    counter unknown_sender,
    /// Answers that nobody asked for: late, doubled, or forged.
    counter unexpected_answers,
    /// News dropped because its numbers are beyond belief.
    counter implausible,
    /// Datagrams, joins and news dropped because an address or a name is not on this member's lists.
    counter not_allowed,
    /// Datagrams not sent because their address has not shown itself and had its share for this second.
    counter withheld,

    /// Probes begun.
    counter probes,
    /// Probes that the target answered.
    counter probes_answered,
    /// Probes that failed and accuse the target: with proof, or as the last of several.
    counter probes_failed,
    /// Probes that failed without proof, or were cut short by this member's own lag. A single one accuses nobody.
    counter probes_void,
    /// Suspicions begun or learned.
    counter suspicions,
    /// Deaths that were reported without proof: nobody else could confirm them, or this member was isolated.
    counter deaths_unproven,
    /// Accusations of this member that it refuted.
    counter refutations,
    /// Times that this member found that it had been asleep.
    counter lags,
    /// Times that this member got no answers any more and hid all others.
    counter isolations,

    /// Rumors dropped because the queue was full.
    counter rumors_dropped,
    /// Rounds of rumors sent.
    counter rumor_rounds,
    /// Syncs begun.
    counter syncs,
    /// Syncs that changed nothing here.
    counter syncs_idle,
    /// Broadcasts made by this member.
    counter broadcasts_sent,
    /// Broadcasts that found no room in time, and were not made.
    counter broadcasts_refused,
    /// Broadcasts of others that were delivered.
    counter broadcasts_delivered,
    /// Broadcasts of others that could no longer be had.
    counter broadcasts_missed,
    /// Requests to join that were refused.
    counter joins_refused,
    /// Rounds in which this member looked for others in the background.
    counter rejoins,
    /// Those of them that found nobody, though this member was alone.
    counter rejoin_failures,
    /// Times that a discovery failed or panicked.
    counter discovery_errors,

    /// Messages of this member that were delivered.
    counter messages_sent,
    /// Messages of this member whose call ended in an error after it had begun.
    counter messages_failed,
    /// Messages of others that were delivered here.
    counter messages_received,
    /// Messages of others that were refused here: nobody listens, no room, too long.
    counter messages_refused,
    /// Fragments of messages sent.
    counter fragments_sent,
    /// Those of them that had been sent before.
    counter fragments_resent,
    /// Fragments that came after their message was decided.
    counter fragments_late,
    /// Fragments of messages that have to wait until there is room for them.
    counter fragments_early,

    /// Snapshots written: each is whole on the disk.
    counter snapshots_written,
    /// Snapshots that could not be written.
    counter snapshot_errors,

    /// Events dropped because a consumer was too slow.
    counter events_dropped,
    /// Panics of the listener.
    counter listener_panics,
    /// Errors of the socket, or of another transport, that were not mere ticks.
    counter socket_errors,
    /// Datagrams that were lost here because the system had no room to send them. They are not among the errors.
    counter sends_dropped,
}
