//! Who says what to the group, and when: the rules, without a socket or a clock.
//!
//! If everybody answered everybody, a newcomer among a thousand would be hit by a thousand answers, and all others with
//! it. So an answer waits for a random time, and who hears that enough others have answered keeps silent. Two answers
//! are enough for a newcomer: through one member it gets to know them all.
//!
//! A cluster that has come up as two islands is what this is for, too, so who is in company asks as well. Members that
//! know the same nodes say so by the same number, their *view*. They neither answer each other nor ask when another one
//! of them has: each island asks as if it were one, and an answer to an island has to come from another island.
//!
//! Nothing of this can be checked, so whoever is in the group may say what he likes. Who says it is told by the address
//! that it comes from, and one such address counts as one member, whatever it says: it can neither fill the memory of
//! those who look for others, nor silence them all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;

use crate::wire::ClusterTag;
use crate::wire::announcement::{Announcement, AnnouncementKind};

/// An answer waits up to this long for others to answer.
pub(super) const ANSWER_DELAY_MAX: Duration = Duration::from_millis(250);
/// Others that have said where they are, so that one need not say it as well.
const ENOUGH: usize = 2;
/// Nobody answers twice within this time.
const ANSWER_PAUSE: Duration = Duration::from_secs(1);
/// Strangers that are remembered until they are asked for. A further one takes the place of any of them.
const HEARD_MAX: usize = 64;
/// Strangers that are told at a time.
const STRANGERS_MAX: usize = 3;
/// Announcements that are listened to in a second; a flood costs no more than that. For each the view is looked at.
const ANNOUNCEMENTS_PER_SECOND: u32 = 200;

/// What one member asks, hears and answers.
#[derive(Debug)]
pub(super) struct Responder {
    tag: ClusterTag,
    own: SocketAddr,
    rng: ChaCha12Rng,
    /// What others have said last: from where, and where they are.
    heard: BTreeMap<SocketAddr, SocketAddr>,
    /// Somebody else of our view has asked since it was our turn.
    is_asked_for: bool,
    waiting: Option<Waiting>,
    answered: Option<Duration>,
    /// A second, and what was heard in it.
    load: (u64, u32),
}

/// An answer that waits for its time.
#[derive(Debug)]
struct Waiting {
    due: Duration,
    /// It is for one who knows nobody, whom any member can help; else only one of our view can take it off us.
    is_for_lone: bool,
    /// Others who have helped already: from where they said so, and where they are. One member may speak from several
    /// addresses, one to each group.
    helpers: Vec<(SocketAddr, SocketAddr)>,
}

impl Responder {
    /// The responder of the member at `own`, of the cluster with this tag.
    pub(super) fn new(tag: ClusterTag, own: SocketAddr, rng: ChaCha12Rng) -> Self {
        Self {
            tag,
            own,
            rng,
            heard: BTreeMap::new(),
            is_asked_for: false,
            waiting: None,
            answered: None,
            load: (0, 0),
        }
    }

    /// It is this member's turn to ask; none if another one of its view has done so.
    pub(super) fn ask(&mut self, view: u64) -> Option<Announcement> {
        let is_needless = std::mem::take(&mut self.is_asked_for);
        (!is_needless || view == 0).then(|| self.announcement(AnnouncementKind::Question, view))
    }

    /// Whether something that is said is for us to hear: by somebody else of our cluster, and not in a flood.
    pub(super) fn concerns(&mut self, now: Duration, announcement: &Announcement) -> bool {
        announcement.tag == self.tag && announcement.addr != self.own && !self.is_flooded(now)
    }

    /// Somebody says something that concerns us, while our view is `view`. True if it may be a stranger.
    pub(super) fn hear(
        &mut self,
        now: Duration,
        view: u64,
        from: SocketAddr,
        announcement: &Announcement,
    ) -> bool {
        let is_ours = view != 0 && announcement.view == view;
        if let Some(waiting) = &mut self.waiting {
            let is_counted =
                waiting.helpers.iter().any(|(other, at)| *other == from || *at == announcement.addr);
            if (is_ours || waiting.is_for_lone) && !is_counted {
                waiting.helpers.push((from, announcement.addr));
            }
            if waiting.helpers.len() >= ENOUGH {
                self.waiting = None;
            }
        }
        if is_ours {
            self.is_asked_for |= announcement.kind == AnnouncementKind::Question;
            return false;
        }
        // Who is alone helps others that are, and need not tell an island: it asks by itself.
        if announcement.kind == AnnouncementKind::Question && (view != 0 || announcement.view == 0) {
            self.plan_answer(now, announcement);
        }
        self.remember(from, announcement.addr)
    }

    /// When there is something to say.
    pub(super) fn due(&self) -> Option<Duration> {
        self.waiting.as_ref().map(|waiting| waiting.due)
    }

    /// What is to be said now.
    pub(super) fn answer(&mut self, now: Duration, view: u64) -> Option<Announcement> {
        self.waiting.take_if(|waiting| waiting.due <= now)?;
        self.answered = Some(now);
        Some(self.announcement(AnnouncementKind::Answer, view))
    }

    /// Some of the strangers that were heard since the last time: the one with the lowest address, so that many who
    /// start together all meet at one, and two others, since it may be gone.
    pub(super) fn take_strangers(&mut self, is_known: impl Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
        let heard: BTreeSet<SocketAddr> = std::mem::take(&mut self.heard).into_values().collect();
        let mut heard: Vec<SocketAddr> = heard.into_iter().filter(|addr| !is_known(*addr)).collect();
        let mut taken: Vec<SocketAddr> = heard.extract_if(..heard.len().min(1), |_| true).collect();
        while taken.len() < STRANGERS_MAX && !heard.is_empty() {
            taken.push(heard.swap_remove(self.rng.random_range(0..heard.len())));
        }
        taken
    }

    /// Keeps where a stranger is. True if that is new.
    fn remember(&mut self, from: SocketAddr, addr: SocketAddr) -> bool {
        if self.heard.len() >= HEARD_MAX && !self.heard.contains_key(&from) {
            let victim = self.heard.keys().nth(self.rng.random_range(0..HEARD_MAX)).copied();
            victim.and_then(|victim| self.heard.remove(&victim));
        }
        self.heard.insert(from, addr) != Some(addr)
    }

    fn plan_answer(&mut self, now: Duration, question: &Announcement) {
        let is_for_lone = question.view == 0;
        if let Some(waiting) = &mut self.waiting {
            waiting.is_for_lone &= is_for_lone;
            return;
        }
        let earliest = self.answered.map_or(now, |last| now.max(last + ANSWER_PAUSE));
        let due = earliest + ANSWER_DELAY_MAX.mul_f64(self.rng.random_range(0.0..1.0));
        self.waiting = Some(Waiting { due, is_for_lone, helpers: Vec::new() });
    }

    fn announcement(&self, kind: AnnouncementKind, view: u64) -> Announcement {
        Announcement { kind, tag: self.tag, view, addr: self.own }
    }

    fn is_flooded(&mut self, now: Duration) -> bool {
        if self.load.0 != now.as_secs() {
            self.load = (now.as_secs(), 0);
        }
        self.load.1 += 1;
        self.load.1 > ANNOUNCEMENTS_PER_SECOND
    }
}

#[cfg(test)]
mod tests;
