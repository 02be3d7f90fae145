//! Which worlds there are, and what may happen in them.

/// Something that happens, if it makes sense at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Grow,
    Crash,
    Restart,
    RestartAtOnce,
    Leave,
    Shutdown,
    ForceLeave,
    Pause,
    Deafen,
    Block,
    Slow,
    Starve,
    Split,
    Alone,
    Cut,
    Weather,
    LossBetween,
    LatencyBetween,
    Set,
    SetLarge,
    SetMany,
    Remove,
    Send,
    SendLong,
    Broadcast,
    BroadcastMany,
    Ping,
    Join,
    JoinNobody,
    Touch,
    Move,
    Namesake,
    #[cfg(feature = "encryption")]
    Keys,
    #[cfg(feature = "encryption")]
    KeyOutOfTurn,
}

/// What may happen in every world, some of it more often.
pub(super) const ALL: &[Act] = &[
    Act::Grow,
    Act::Crash,
    Act::Restart,
    Act::Restart,
    Act::RestartAtOnce,
    Act::Leave,
    Act::ForceLeave,
    Act::Pause,
    Act::Deafen,
    Act::Block,
    Act::Slow,
    Act::Starve,
    Act::Split,
    Act::Cut,
    Act::Weather,
    Act::LossBetween,
    Act::Set,
    Act::Set,
    Act::SetLarge,
    Act::Remove,
    Act::Send,
    Act::Send,
    Act::SendLong,
    Act::Broadcast,
    Act::Broadcast,
    Act::Ping,
    Act::Join,
    Act::Touch,
];

/// What a world is about: how its members are configured, and what happens more often than in others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    All,
    Weather,
    Sickness,
    Cuts,
    Crashes,
    Leaves,
    /// Tombstones are forgotten soon.
    Graves,
    Names,
    Moves,
    States,
    StateRate,
    Messages,
    Broadcasts,
    /// Events that nobody fetches in time.
    Lagging,
    Listeners,
    Discovery,
    /// The members do not all allow the same.
    Allow,
    /// More hosts than there is room for.
    Full,
    /// All have the same key.
    #[cfg(feature = "encryption")]
    Sealed,
    /// Keys change.
    #[cfg(feature = "encryption")]
    Keys,
}

impl Theme {
    pub(super) fn acts(self) -> &'static [Act] {
        match self {
            Self::All | Self::Allow | Self::Discovery => &[],
            Self::Weather => &[Act::Weather, Act::LossBetween, Act::LatencyBetween, Act::SendLong, Act::Set],
            Self::Sickness => &[Act::Pause, Act::Deafen, Act::Block, Act::Slow, Act::Starve, Act::Ping],
            Self::Cuts => &[Act::Split, Act::Alone, Act::Cut, Act::Set, Act::Broadcast, Act::JoinNobody],
            Self::Crashes => &[Act::Crash, Act::Restart, Act::Restart, Act::RestartAtOnce, Act::Set],
            Self::Leaves => &[Act::Leave, Act::Shutdown, Act::ForceLeave, Act::Restart, Act::Restart],
            Self::Graves => &[Act::Crash, Act::Leave, Act::Restart, Act::Join],
            Self::Names => &[Act::Namesake, Act::Alone, Act::Join, Act::Restart],
            Self::Moves => &[Act::Move, Act::Move, Act::Pause, Act::Ping, Act::Send, Act::Touch],
            Self::States => &[Act::Set, Act::SetLarge, Act::SetLarge, Act::SetMany, Act::Remove],
            Self::StateRate => &[Act::Set, Act::Set, Act::SetLarge, Act::Remove, Act::Grow],
            Self::Messages => &[Act::Send, Act::SendLong, Act::Ping, Act::RestartAtOnce, Act::Weather],
            Self::Broadcasts => &[Act::Broadcast, Act::BroadcastMany, Act::BroadcastMany, Act::Alone],
            Self::Lagging => &[Act::Broadcast, Act::BroadcastMany, Act::Send, Act::Set],
            Self::Listeners => &[Act::Send, Act::Grow, Act::RestartAtOnce, Act::Set],
            Self::Full => &[Act::Grow, Act::Join, Act::Leave, Act::Restart, Act::Crash],
            #[cfg(feature = "encryption")]
            Self::Sealed => &[Act::Send, Act::SendLong, Act::Weather],
            #[cfg(feature = "encryption")]
            Self::Keys => &[Act::Keys, Act::Keys, Act::KeyOutOfTurn, Act::KeyOutOfTurn, Act::Send],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    Local,
    Lan,
    Wan,
}

/// How a world is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) theme: Theme,
    pub(super) profile: Profile,
    pub(super) hosts: usize,
    pub(super) seconds: usize,
    /// Milliseconds between two acts, at most.
    pub(super) pause: u64,
    /// Milliseconds for which a host is sick at most; a cut may last twice as long.
    pub(super) trouble: u64,
}

const fn plan(
    theme: Theme,
    profile: Profile,
    hosts: usize,
    seconds: usize,
    pause: u64,
    trouble: u64,
) -> Plan {
    Plan { theme, profile, hosts, seconds, pause, trouble }
}

/// The worlds that are the same with and without the feature `encryption`.
pub(super) const PLAIN: [Plan; 25] = [
    plan(Theme::All, Profile::Local, 2, 60, 900, 8_000),
    plan(Theme::All, Profile::Lan, 3, 70, 900, 12_000),
    plan(Theme::All, Profile::Lan, 8, 40, 1_200, 8_000),
    plan(Theme::All, Profile::Local, 24, 12, 900, 3_000),
    plan(Theme::All, Profile::Lan, 40, 10, 900, 3_000),
    plan(Theme::Weather, Profile::Lan, 6, 50, 1_200, 6_000),
    plan(Theme::Sickness, Profile::Lan, 7, 50, 1_500, 15_000),
    plan(Theme::Sickness, Profile::Local, 6, 30, 1_200, 6_000),
    plan(Theme::Cuts, Profile::Local, 6, 60, 1_500, 15_000),
    plan(Theme::Cuts, Profile::Lan, 5, 120, 3_500, 60_000),
    plan(Theme::Crashes, Profile::Lan, 8, 60, 1_500, 6_000),
    plan(Theme::Leaves, Profile::Lan, 8, 50, 1_200, 5_000),
    plan(Theme::Graves, Profile::Local, 6, 60, 1_800, 8_000),
    plan(Theme::Names, Profile::Lan, 5, 60, 1_500, 4_000),
    plan(Theme::Moves, Profile::Lan, 7, 50, 1_500, 6_000),
    plan(Theme::States, Profile::Lan, 4, 25, 1_200, 6_000),
    plan(Theme::StateRate, Profile::Lan, 6, 40, 900, 6_000),
    plan(Theme::Messages, Profile::Wan, 6, 100, 1_500, 20_000),
    plan(Theme::Broadcasts, Profile::Lan, 5, 30, 1_500, 8_000),
    plan(Theme::Lagging, Profile::Local, 5, 30, 1_200, 4_000),
    plan(Theme::Listeners, Profile::Lan, 7, 40, 1_200, 6_000),
    plan(Theme::Discovery, Profile::Lan, 8, 50, 1_500, 10_000),
    plan(Theme::Allow, Profile::Local, 9, 35, 1_200, 6_000),
    plan(Theme::Full, Profile::Wan, 10, 110, 3_000, 20_000),
    plan(Theme::Broadcasts, Profile::Local, 3, 160, 4_000, 70_000),
];

/// The number of the first world with keys: worlds without keys may be added without changing it.
#[cfg(feature = "encryption")]
pub(super) const FIRST_SEALED: usize = 50;

/// The worlds with keys.
#[cfg(feature = "encryption")]
pub(super) const SEALED: [Plan; 5] = [
    plan(Theme::Sealed, Profile::Lan, 5, 30, 1_500, 6_000),
    plan(Theme::Sealed, Profile::Local, 8, 8, 1_000, 3_000),
    plan(Theme::Keys, Profile::Lan, 4, 60, 1_200, 6_000),
    plan(Theme::Keys, Profile::Local, 4, 20, 1_500, 4_000),
    plan(Theme::Keys, Profile::Wan, 4, 100, 2_000, 20_000),
];
