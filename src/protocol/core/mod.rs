//! The core of the protocol: what every part is handed, and nothing of any part's own.
//!
//! The settings, our run, the clock, the random numbers, the view (records, suspicions, and the rumors that wait), the
//! timers and the outputs. Its verbs are those that all parts need: transmit, note, emit, draw, gossip, check a cookie.
//!
//! **Vouching** (beyond SWIM). Deaths are verified before they are believed. So are lives: a member that was away holds
//! nodes that have crashed meanwhile, and its gossip would bring them back. It cannot know which ones these are, so it
//! still sends all its records, but marks them. Each record that is sent says whether the sender vouches for it.
//!
//! | | vouched for |
//! |---|---|
//! | by this member | it has let the node in, or has asked it and was answered |
//! | by another one | it sends the record as vouched for, or, when views are compared, holds the same and does not deny it |
//! | not for now | users see it as a suspect |
//! | not at all | this member was **away**: it slept for more than 2 × T, heard nobody for 4 × T, or was isolated |
//!
//! After an absence, nothing that is read counts until a request is answered that was sent after it: what is read
//! before that may have waited in the receive buffer since before the absence. Cookies that were made before it are not
//! accepted either.
//!
//! A record that is not vouched for changes what is held of a node that takes part. It does not bring in any other
//! node: that node gets a hello, and comes in by its own welcome.

pub(super) mod addresses;
mod context;
pub(super) mod cookies;
pub(super) mod delta;
mod news;
mod own;
pub(super) mod requests;
pub(super) mod rumors;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

pub(super) use context::{ANYBODY, Context, Run};
pub(super) use news::{MISFITS_MAX, vouch};
pub(super) use own::{GENERATION_RANDOM_BITS, generation, is_plausible};

use super::api::{CallResult, LogRecord, RequestId, Settings, Task, Transmit};
use super::membership::{Entry, Members, Peer, Suspicions};
use super::rules::Rule;
use super::time::{Deadlines, Instant};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::metrics::Metrics;
use crate::node::{Generation, Incarnation};
use crate::wire::version::ending;
use crate::wire::{
    Body, ClusterTag, Cookie, DATAGRAM_MAX, Header, NameHash, Seq, Versions, ViewMark, Writer,
};
use addresses::Addresses;
pub(super) use cookies::CookiePurpose;
use cookies::{CookieJar, GivenCookies};
use requests::Requests;
use rumors::Rumors;

/// Datagrams whose memory is kept for the next ones: at rest there is a ping and an ack under way.
const SPARE_MAX: usize = 2;

/// How many datagrams are remembered: more than are under way at a time.
const ENDINGS_MAX: usize = 256;

/// The number of an answer to a datagram that need not have one itself.
pub(super) fn about(ending: u32) -> Seq {
    Seq(1 << 32 | u64::from(ending))
}

/// What wakes the timer to disseminate, besides rumors, requests, pulls and broadcasts, which have deadlines of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A suspicion is to be shown to users.
    Show(NameHash),
    /// A suspicion has lasted long enough.
    Suspicion(NameHash),
    /// To see whether nothing was answered for `isolation_timeout`.
    Isolation,
    /// An accusation is to be refuted.
    Refute,
    /// Probe the dead.
    Reconnect,
    /// Look for others.
    Rejoin,
    /// To see whether our address is still ours.
    Address,
    /// The oldest tombstone is to be forgotten.
    Reap,
    /// Views that differed are to be compared again.
    Recheck,
    /// Reported deaths are to be verified.
    Verify,
    /// Members that have reported leaves should be asked again whether they did.
    Doubts,
    /// A join is out of time.
    Join(RequestId),
    /// The leave should be sent again, or is out of time.
    Leave,
    /// What nodes had said when they left should be asked for again.
    Departures,
    /// Another run of our name is to be probed.
    Rival,
    /// What others have of us that we never said is to be answered.
    Claims,
    /// An ack of a message is late, or a message is out of time.
    Resend,
    /// To see whether nothing came of an incomplete message for long.
    Stale,
}

impl Timer {
    /// How many of these there may be at the same time, besides those of suspicions and joins.
    pub(super) const SINGLE: usize = SINGLE.len();
}

/// All timers of which there is one.
const SINGLE: &[Timer] = &[
    Timer::Isolation,
    Timer::Refute,
    Timer::Reconnect,
    Timer::Rejoin,
    Timer::Address,
    Timer::Reap,
    Timer::Recheck,
    Timer::Verify,
    Timer::Doubts,
    Timer::Leave,
    Timer::Departures,
    Timer::Rival,
    Timer::Claims,
    Timer::Resend,
    Timer::Stale,
];

/// What every part of the protocol is handed.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) tag: ClusterTag,
    pub(super) me: NameHash,
    pub(super) generation: Generation,
    pub(super) incarnation: Incarnation,
    /// Whether this member has said that it leaves.
    pub(super) leaving: bool,
    pub(super) started: Instant,
    /// When a request of ours was answered last, or when this member ceased to be alone.
    pub(super) last_answer: Instant,
    /// Since when this member is back from an absence, until something is answered that it has asked since.
    returning: Option<Instant>,
    /// The time since the Unix epoch at `started`.
    wall: Duration,
    pub(super) rng: ChaCha12Rng,

    pub(super) members: Members,
    pub(super) suspicions: Suspicions,
    pub(super) rumors: Rumors,
    pub(super) cookies: CookieJar,
    /// The cookies that others have given us.
    pub(super) given: GivenCookies,
    pub(super) addresses: Addresses,
    /// Where our datagrams come from, as another member has said that did not know us there.
    pub(super) seen: Option<SocketAddr>,
    /// Whether what goes out is written to be sealed.
    #[cfg(feature = "encryption")]
    pub(super) seals: bool,

    pub(super) requests: Requests,
    pub(super) timers: Deadlines<Timer>,
    next_call: u64,
    pub(super) transmits: VecDeque<Transmit>,
    /// What the last datagrams that were not sealed ended with.
    endings: VecDeque<u32>,
    /// Memory of datagrams that were sent.
    spare: Vec<Vec<u8>>,
    pub(super) events: VecDeque<Event>,
    pub(super) answers: VecDeque<(RequestId, CallResult)>,
    pub(super) tasks: VecDeque<Task>,
    pub(super) notes: VecDeque<LogRecord>,
    pub(super) end: Option<Error>,
    pub(super) ended: bool,
    pub(super) metrics: Metrics,
}

impl Core {
    /// `wall` is the time since the Unix epoch that belongs to `now`; `seed` seeds all randomness.
    pub(super) fn new(settings: Settings, now: Instant, wall: Duration, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let tag = ClusterTag::of(&settings.cluster);
        let me = NameHash::of(tag, &settings.name);
        let generation = generation(wall, &mut rng);
        Self {
            tag,
            me,
            generation,
            incarnation: Incarnation(0),
            leaving: false,
            started: now,
            last_answer: now,
            returning: None,
            wall,
            members: Members::new(tag, settings.max_nodes, now),
            suspicions: Suspicions::default(),
            rumors: Rumors::new(settings.gossip_interval),
            cookies: CookieJar::new((0, 0)),
            given: GivenCookies::default(),
            addresses: Addresses::default(),
            seen: None,
            #[cfg(feature = "encryption")]
            seals: false,
            requests: Requests::new(),
            timers: Deadlines::new(),
            next_call: 0,
            transmits: VecDeque::new(),
            endings: VecDeque::new(),
            spare: Vec::new(),
            events: VecDeque::new(),
            answers: VecDeque::new(),
            tasks: VecDeque::new(),
            notes: VecDeque::new(),
            end: None,
            ended: false,
            metrics: Metrics::default(),
            rng,
            settings,
        }
    }

    /// Whether a rule is followed, as all are but in experiments.
    #[cfg(any(test, headcount_bench))]
    pub(super) fn follows(&self, rule: Rule) -> bool {
        !self.settings.without.has(rule)
    }

    #[cfg(not(any(test, headcount_bench)))]
    pub(super) fn follows(&self, _: Rule) -> bool {
        true
    }

    pub(super) fn fresh_seq(&mut self) -> Seq {
        Seq(self.rng.next_u64().max(1))
    }

    pub(super) fn fresh_call(&mut self) -> RequestId {
        self.next_call += 1;
        RequestId(self.next_call)
    }

    /// A random part of a time.
    pub(super) fn jitter(&mut self, up_to: Duration) -> Duration {
        let micros = u64::try_from(up_to.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.rng.random_range(0..micros))
    }

    /// A random element; none of none.
    pub(super) fn draw<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        Some(from[self.rng.random_range(0..from.len())])
    }

    /// What ping, ack and welcome say about our view.
    pub(super) fn view_mark(&self, now: Instant) -> ViewMark {
        let quiet = now.since(self.members.quiet_since()).as_millis() / 10;
        ViewMark { fingerprint: self.members.fingerprint(), quiet: u8::try_from(quiet).unwrap_or(u8::MAX) }
    }

    /// How long a view must have been quiet for a comparison to mean something.
    pub(super) fn settle_time(&self) -> Duration {
        self.settings.gossip_interval * 15 / 2
    }

    /// Has something logged, if anybody wants lines of that level.
    pub(super) fn note(&mut self, level: log::Level, text: impl FnOnce() -> String) {
        if level <= log::max_level() {
            self.notes.push_back(LogRecord { level, text: text() });
        }
    }

    /// Notes a datagram that is handed out to be sent, if somebody may have to say that it came from an unknown address.
    pub(super) fn note_sent(&mut self, datagram: &[u8]) {
        if self.endings.len() == ENDINGS_MAX {
            self.endings.pop_front();
        }
        self.endings.extend(ending(datagram));
    }

    /// Whether an answer is [about](about) one of our last datagrams.
    pub(super) fn has_sent(&self, answer: Seq) -> bool {
        self.endings.iter().any(|ending| about(*ending) == answer)
    }

    /// Takes back the memory of a datagram that was sent, for the next one.
    pub(crate) fn reuse(&mut self, datagram: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(datagram);
        }
    }

    /// A datagram to some run of a node, to be filled and sent.
    pub(super) fn datagram_to(&mut self, receiver: Run) -> Writer {
        let memory = self.spare.pop().unwrap_or_default();
        self.writer(memory, &self.header_to(receiver.1), receiver.0)
    }

    /// Likewise, in memory of its own: for long ones, and those that are only tried.
    pub(super) fn long_datagram_to(&self, receiver: Run) -> Writer {
        self.writer(Vec::new(), &self.header_to(receiver.1), receiver.0)
    }

    /// A datagram that anybody can read.
    pub(super) fn plain_datagram_to(&self, receiver: Generation) -> Writer {
        Writer::new(Vec::new(), &self.header_to(receiver), DATAGRAM_MAX)
    }

    /// A datagram to a sender that may be a stranger: not sealed if its datagram was not, because a seal could make it
    /// the longer one.
    pub(super) fn datagram_back(&mut self, context: &Context) -> Writer {
        match context.counter {
            Some(_) => self.datagram_to(context.run()),
            None => self.plain_datagram_to(context.generation),
        }
    }

    /// Queues a datagram, unless its address is not on our lists, or has not shown itself and had its share for this
    /// second.
    pub(super) fn transmit(&mut self, now: Instant, to: SocketAddr, datagram: Writer) {
        if datagram.is_empty() {
            return;
        }
        if !self.settings.allow.takes_address(to.ip()) {
            self.metrics.not_allowed += 1;
        } else if self.addresses.may_send(now, to) {
            self.transmit_unchecked(to, datagram);
        } else {
            self.metrics.withheld += 1;
        }
    }

    /// Queues a datagram that answers one which just came from there, and is no longer: it needs no proof of the
    /// address.
    pub(super) fn transmit_unchecked(&mut self, to: SocketAddr, datagram: Writer) {
        self.transmits.push_back(Transmit { to, datagram: datagram.finish() });
    }

    /// Sends one body on its own.
    pub(super) fn reply(&mut self, now: Instant, to: SocketAddr, receiver: Run, body: &Body<'_>) {
        let mut datagram = self.datagram_to(receiver);
        if datagram.push(body) {
            self.transmit(now, to, datagram);
        }
    }

    /// Says that we send to some run of a node.
    pub(super) fn header_to(&self, receiver: Generation) -> Header {
        Header {
            reads: Versions::OURS,
            tag: self.tag,
            sender: self.me,
            generation: self.generation,
            receiver,
        }
    }

    /// A datagram with a header, to this node; the zero hash: to any node that receives it.
    #[cfg_attr(
        not(feature = "encryption"),
        expect(unused_variables, reason = "only a seal is bound to a node")
    )]
    pub(super) fn writer(&self, memory: Vec<u8>, header: &Header, receiver: NameHash) -> Writer {
        #[cfg(feature = "encryption")]
        if self.seals {
            return Writer::to_be_sealed(memory, header, receiver, DATAGRAM_MAX);
        }
        Writer::new(memory, header, DATAGRAM_MAX)
    }

    /// How many records are held.
    pub(super) fn records(&self) -> usize {
        self.members.iter().len()
    }

    /// Whether a request carries a good cookie; a sender that has none is given one.
    pub(super) fn has_cookie(&mut self, context: &mut Context, seq: Seq, cookie: Cookie) -> bool {
        let Context { now, from, sender, generation, .. } = *context;
        if self.cookies.accepts(now, CookiePurpose::Request, cookie, from, sender, generation) {
            context.proven = true;
            return true;
        }
        self.challenge(context, seq);
        false
    }

    /// Has the sender show that it receives at its address, once a datagram.
    fn challenge(&mut self, context: &mut Context, seq: Seq) {
        let (now, from, run) = (context.now, context.from, context.generation);
        if std::mem::replace(&mut context.replied, true) {
            return;
        }
        let cookie = self.cookies.bake(now, CookiePurpose::Request, from, context.sender, run);
        let mut datagram = self.datagram_back(context);
        if datagram.push(&Body::Challenge { seq, cookie }) {
            self.transmit_unchecked(from, datagram);
        }
    }

    /// Notes that a datagram answers what we have sent to `addr`: its sender receives there, and is shown again if it was
    /// hidden.
    pub(super) fn note_answer(&mut self, context: &mut Context, addr: SocketAddr) {
        let Context { now, from, sender, generation, .. } = *context;
        context.answered = true;
        self.last_answer = self.last_answer.max(now);
        self.addresses.heard(addr);
        if self.members.is_known(sender, generation, from) {
            self.unhide(now, sender);
        }
    }

    /// This member was away: it vouches for no node any more, and what is read from now on may be from before the
    /// absence.
    pub(super) fn was_away(&mut self, now: Instant) {
        self.members.withdraw_all();
        self.returning = Some(now);
        self.cookies = CookieJar::new((self.rng.next_u64(), self.rng.next_u64()));
    }

    /// Since when this member is back from an absence, while what is read may be from before it.
    pub(super) fn returning(&self) -> Option<Instant> {
        self.returning
    }

    /// A node has shown that it is there, or another member has vouched for it.
    pub(super) fn vouch(&mut self, name: NameHash) -> bool {
        self.returning.is_none() && self.members.vouch(name)
    }

    /// Whether this member vouches for a record of its own view.
    pub(super) fn vouches(&self, name: NameHash, entry: &Entry) -> bool {
        name == self.me || self.members.vouches(entry)
    }

    /// A record as it is sent when views are compared.
    pub(super) fn sync_record<'a>(&self, name: NameHash, entry: &'a Entry) -> Body<'a> {
        Body::SyncRecord { record: entry.record(), vouched: self.vouches(name, entry) }
    }

    /// Whether users may still change what this member says of itself.
    pub(super) fn check_running(&self) -> Result<()> {
        if self.ended || self.leaving { Err(Error::Closed) } else { Ok(()) }
    }

    /// Whether nobody else is shown.
    pub(super) fn is_alone(&self) -> bool {
        self.members.ring().len() < 2
    }

    /// A node that takes part as a partner.
    pub(super) fn peer(&self, name: NameHash) -> Option<Peer> {
        let entry = self.members.visible(name)?;
        Some(Peer { name, addr: entry.addr(), generation: entry.generation() })
    }

    /// A node that can be asked for what it has said: one that takes part, or that leaves and is heard still.
    pub(super) fn speaker(&self, name: NameHash) -> Option<Peer> {
        let entry = self.members.heeded(name).filter(|entry| !entry.hidden)?;
        Some(Peer { name, addr: entry.addr(), generation: entry.generation() })
    }

    /// All others that take part.
    pub(super) fn others(&self) -> impl Iterator<Item = NameHash> {
        self.members.ring().iter().copied().filter(|name| *name != self.me)
    }

    /// Stops for good.
    pub(super) fn stop(&mut self, error: Error) {
        self.ended = true;
        self.end = Some(error);
        self.transmits.clear();
    }
}
