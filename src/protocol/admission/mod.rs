//! Coming and going: how a member is let in, what happens when names collide, and how it leaves.
//!
//! ```text
//!  joiner                                     any member
//!  Hello(cookie 0, own record)           →
//!                                        ←    Challenge(cookie): a keyed hash; nothing is kept
//!  Hello(cookie, own record)             →    the name is free, or was this node's: it is let in, once,
//!                                             and the news goes round
//!                                        ←    Welcome(fingerprint, count), own record
//!  … then it is filled, or compares views (see sync)
//!  … and 10 gossip intervals later compares with another member: news that was sent while no member knew it
//! ```
//!
//! The cookie proves that the joiner receives at its address, so that no address is sent more than it has sent (as in
//! QUIC's address validation, RFC 9000, section 8.1). The same hello brings back a running node that a member does not
//! know (a [join attempt](attempts)): one that was held dead, or whose joining was missed.
//!
//! **Addresses.** The address that a joiner advertises is in its record; all others will send there. Its datagrams may
//! come from another one: that of a container, say, or of a translator. Then the cookie goes to the advertised address
//! and has to come back from the source, which shows that both are the joiner's own. The source becomes an
//! [alias](super::membership) of its run here, and in no record.
//!
//! ```text
//!  joiner, advertising A, seen at S           any member
//!  from S: Hello(cookie 0, own record)   →
//!                                        ←    to A: Challenge(cookie)        hellos 1 to 3, 5, 7 …
//!                                        ←    to S: Reject(unreachable, S)   hellos 4, 6, 8 …
//!  from S: Hello(cookie, own record)     →    let in: it is reached at A, and counts as itself at S
//!                                        ←    to S: Welcome
//! ```
//!
//! Each member learns the aliases of a node for itself. If something of a node that takes part is dropped, because it comes
//! from an address that is not known here as its own, the node is refused as a newcomer at S is, with the end of that
//! datagram in place of a number: so nobody can make it up who has not seen the datagram. The node says hello then.
//!
//! A joiner recognizes the challenge by the number of its hello, wherever it comes from. If nothing arrives at A, the
//! join still waits for its deadline, because the challenges may have been lost. A node whose hello we would refuse is
//! refused, too, when it lets us in: so membership is always mutual.
//!
//! **Names.** If a newcomer's name is held by another run at another address, the older run is probed with the
//! full ladder: if it answers, the newcomer is refused. At the same address the newer run takes over. Only the
//! member that lets in checks; all others follow the merge rule.
//!
//! | file | holds |
//! |---|---|
//! | [`join`], [`attempts`], [`pace`] | the joining side: calls of `join`, and their hellos |
//! | [`admit`], [`names`] | the admitting side, and the check of names |
//! | [`leave`], [`vouch`] | leaving, and the verification of leaves |
//! | [`departures`] | nodes that leave, while not all is here that they have said |
//! | [`rejoin`] | looking for others in the background |
//! | [`reject_hint`] | unauthenticated reasons of a refusal |

mod admit;
mod attempts;
mod departures;
mod join;
mod leave;
mod names;
mod pace;
mod reject_hint;
mod rejoin;
mod vouch;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::api::Bound;
use crate::error::Error;
use admit::Incumbent;
pub(super) use admit::{Decision, answer_unknown_source, reject, welcome};
use attempts::JoinAttempts;
use departures::Departures;
use join::Joins;
pub(crate) use join::copy as copy_error;
use leave::Leave;
pub(super) use leave::{ack_leave, force_leave, is_leave_proven};
use names::NameChecks;
use pace::Pace;
use reject_hint::Hints;
use rejoin::Rejoin;
pub(super) use rejoin::rejoin_if_alone;
use vouch::Doubts;
pub(super) use vouch::{handle_doubt, is_doubtful, is_vouched, send_back};

/// Maximum number of refusals that are kept, one for each address.
const REFUSALS_MAX: usize = 16;

/// Coming and going of one member, and of others through it.
#[derive(Debug)]
pub(super) struct Admission {
    attempts: JoinAttempts,
    /// The pause before a hello is repeated the first time.
    retry: Duration,
    pace: Pace,
    joins: Joins,
    rejoin: Rejoin,
    name_checks: NameChecks,
    leave: Option<Leave>,
    doubts: Doubts,
    departures: Departures,
    /// The warning of a newcomer whose address is not reached was logged.
    has_warned: bool,
    /// The warning of a seed that does not reach us was logged.
    is_unreached: bool,
    hints: Hints,
    /// The members that did not let us in, and why, the last one last.
    refusals: VecDeque<(SocketAddr, Error)>,
    /// A second, and to how many nodes that nobody vouches for a hello was sent in it.
    followed: (u64, u32),
}

impl Admission {
    /// `retry`: the pause before a hello is repeated the first time.
    pub(super) fn new(retry: Duration) -> Self {
        Self {
            attempts: JoinAttempts::default(),
            retry,
            pace: Pace::default(),
            joins: Joins::default(),
            rejoin: Rejoin::default(),
            name_checks: NameChecks::new(),
            leave: None,
            doubts: Doubts::default(),
            departures: Departures::default(),
            has_warned: false,
            is_unreached: false,
            hints: Hints::default(),
            refusals: VecDeque::new(),
            followed: (0, 0),
        }
    }

    /// How many requests of its own wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.attempts.len() + self.leave.as_ref().map_or(0, Leave::waiting)
    }

    pub(super) fn bounds(&self) -> [Bound; 6] {
        let (doubts, departures) = (self.doubts.bound(), self.departures.bound());
        let refusals = Bound { what: "refusals", count: self.refusals.len(), max: REFUSALS_MAX };
        [self.joins.bound(), self.attempts.bound(), self.name_checks.bound(), doubts, departures, refusals]
    }

    /// The members that did not let us in, and why.
    pub(super) fn refusals(&self) -> Vec<(SocketAddr, Error)> {
        self.refusals.iter().map(|(by, error)| (*by, copy_error(error))).collect()
    }

    /// A member does not let us in.
    fn note_refusal(&mut self, by: SocketAddr, error: &Error) {
        self.forget_refusal(by);
        if self.refusals.len() == REFUSALS_MAX {
            self.refusals.pop_front();
        }
        self.refusals.push_back((by, copy_error(error)));
    }

    /// The member at an address has let us in.
    fn forget_refusal(&mut self, by: SocketAddr) {
        self.refusals.retain(|(addr, _)| *addr != by);
    }
}
