//! The kinds of faults that the random family draws: all of them, or with `HEADCOUNT_KINDS=width,massleaves` those that
//! are named.

use std::env;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Clocks that are off by up to an hour, and drift.
    Clocks,
    /// Clocks that are off by years.
    FarClocks,
    /// Narrow uplinks, downlinks and links.
    Width,
    /// Round trips of up to a second.
    Distance,
    /// Links that do not carry the datagrams that members send.
    Size,
    /// Hosts behind a translator, with a mapped port.
    Translation,
    /// Hosts with several addresses, some of which others do not reach.
    Addresses,
    /// Flipped bits.
    Flips,
    /// Datagrams that are held back for long.
    Holds,
    /// Datagrams that are sent once more, later and from another address.
    Copies,
    /// Snapshots, and disks that are full, fail or go back in time.
    Disks,
    /// Hours and days without anything new.
    Spans,
    /// All members are restarted, one after the other.
    RollingRestarts,
    /// All members crash, and are started again together.
    MassRestarts,
    /// Many members leave while others are started.
    MassLeaves,
    /// A process that crashes again and again.
    CrashLoops,
    /// Networks that are cut and healed by turns.
    Cuts,
}

impl Kind {
    const ALL: [Self; 17] = [
        Self::Clocks,
        Self::FarClocks,
        Self::Width,
        Self::Distance,
        Self::Size,
        Self::Translation,
        Self::Addresses,
        Self::Flips,
        Self::Holds,
        Self::Copies,
        Self::Disks,
        Self::Spans,
        Self::RollingRestarts,
        Self::MassRestarts,
        Self::MassLeaves,
        Self::CrashLoops,
        Self::Cuts,
    ];
}

/// Which kinds are drawn.
#[derive(Debug, Clone)]
pub(super) struct Switches {
    pub(super) open: Vec<Kind>,
}

impl Switches {
    /// Those that the environment names, or all.
    pub(super) fn new() -> Self {
        Self::named(&env::var("HEADCOUNT_KINDS").unwrap_or_default())
    }

    fn named(names: &str) -> Self {
        let kind = |name: &str| {
            let named = Kind::ALL.into_iter().find(|kind| format!("{kind:?}").eq_ignore_ascii_case(name));
            named.unwrap_or_else(|| panic!("there is no kind {name:?}"))
        };
        let named: Vec<Kind> = names.split(',').filter(|name| !name.is_empty()).map(kind).collect();
        Self { open: if named.is_empty() { Kind::ALL.to_vec() } else { named } }
    }

    pub(super) fn has(&self, kind: Kind) -> bool {
        self.open.contains(&kind)
    }
}

#[test]
fn all_kinds_are_drawn_or_those_that_are_named() {
    assert_eq!(Switches::named("").open, Kind::ALL);
    assert_eq!(Switches::named("size,massLeaves").open, [Kind::Size, Kind::MassLeaves]);
}
