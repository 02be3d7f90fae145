//! The kinds of faults that the random family draws only where their switch is open.
//!
//! Kinds that the protocol does not survive yet are closed, also where most seeds end well: most faults end before
//! views are compared. A switch is opened by changing its constant here, in the commit that mends the fault.
//! `HEADCOUNT_OPEN=width,size` opens switches for one run, `HEADCOUNT_OPEN=all` opens all.

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

const CLOCKS: bool = true;
const FAR_CLOCKS: bool = true;
const WIDTH: bool = true;
const DISTANCE: bool = true;
const SIZE: bool = true;
const TRANSLATION: bool = true;
const ADDRESSES: bool = true;
const FLIPS: bool = true;
const HOLDS: bool = true;
const COPIES: bool = true;
const DISKS: bool = true;
const SPANS: bool = true;
const ROLLING_RESTARTS: bool = true;
const MASS_RESTARTS: bool = true;
const MASS_LEAVES: bool = true;
const CRASH_LOOPS: bool = true;
const CUTS: bool = true;

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

    /// The name that opens it, and whether it is open without that.
    fn switch(self) -> (&'static str, bool) {
        match self {
            Self::Clocks => ("clocks", CLOCKS),
            Self::FarClocks => ("far-clocks", FAR_CLOCKS),
            Self::Width => ("width", WIDTH),
            Self::Distance => ("distance", DISTANCE),
            Self::Size => ("size", SIZE),
            Self::Translation => ("translation", TRANSLATION),
            Self::Addresses => ("addresses", ADDRESSES),
            Self::Flips => ("flips", FLIPS),
            Self::Holds => ("holds", HOLDS),
            Self::Copies => ("copies", COPIES),
            Self::Disks => ("disks", DISKS),
            Self::Spans => ("spans", SPANS),
            Self::RollingRestarts => ("rolling-restarts", ROLLING_RESTARTS),
            Self::MassRestarts => ("mass-restarts", MASS_RESTARTS),
            Self::MassLeaves => ("mass-leaves", MASS_LEAVES),
            Self::CrashLoops => ("crash-loops", CRASH_LOOPS),
            Self::Cuts => ("cuts", CUTS),
        }
    }
}

/// Which kinds are drawn.
#[derive(Debug, Clone)]
pub(super) struct Switches {
    pub(super) open: Vec<Kind>,
}

impl Switches {
    /// Those that are open for good, and those that the environment opens.
    pub(super) fn new() -> Self {
        Self::opened_by(&env::var("HEADCOUNT_OPEN").unwrap_or_default())
    }

    fn opened_by(names: &str) -> Self {
        let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        for name in &names {
            let is_known = *name == "all" || Kind::ALL.iter().any(|kind| kind.switch().0 == *name);
            assert!(is_known, "there is no switch {name:?}");
        }
        let is_open = |kind: &Kind| {
            let (name, is_open) = kind.switch();
            is_open || names.contains(&name) || names.contains(&"all")
        };
        Self { open: Kind::ALL.into_iter().filter(is_open).collect() }
    }

    pub(super) fn has(&self, kind: Kind) -> bool {
        self.open.contains(&kind)
    }
}

#[test]
fn a_switch_is_open_by_its_constant_or_by_name() {
    assert_eq!(Switches::opened_by("").has(Kind::Size), SIZE);
    assert!(Switches::opened_by("size,width").has(Kind::Size));
    assert!(Switches::opened_by("").has(Kind::Disks));
    assert_eq!(Switches::opened_by("all").open.len(), Kind::ALL.len());
}
