//! Multicast at work for one member: a thread for each group, which listens and answers, and the thread of the
//! discovery, which asks.
//!
//! A listener waits in its socket, and is woken by nothing but what is said, by the time of an answer that it owes, and
//! by the end. The session ends when it is dropped.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rand::rngs::{ChaCha12Rng, SysRng};
use rand::{SeedableRng, TryRng};

use super::channel::Channel;
use super::responder::{ANSWER_DELAY_MAX, Responder};
use crate::member::Member;
use crate::node::Node;
use crate::transport::{Trouble, classify};
use crate::wire::announcement::{ANNOUNCEMENT_SIZE_MAX, Announcement};
use crate::wire::{ClusterTag, NameHash};

const LISTENER: &str = "hc-multicast";
/// How long a question waits for its first answer …
const PATIENCE: Duration = ANSWER_DELAY_MAX.saturating_mul(2);
/// … and then for further ones.
const SETTLE: Duration = Duration::from_millis(50);
/// After a strange error a listener pauses, so that it never spins.
const TROUBLE_PAUSE: Duration = Duration::from_millis(50);

/// One member's part in the groups, at one address, until it is dropped.
#[derive(Debug)]
pub(super) struct Session {
    own: SocketAddr,
    table: Arc<Table>,
    listeners: Vec<JoinHandle<()>>,
    /// Gets something when a stranger was heard.
    news: Receiver<()>,
}

/// What the threads share.
#[derive(Debug)]
struct Table {
    /// Keeps nothing running.
    me: Member,
    tag: ClusterTag,
    channels: Vec<Channel>,
    responder: Mutex<Responder>,
    began: Instant,
    news: Sender<()>,
}

impl Session {
    /// Starts the listeners.
    pub(super) fn start(me: &Member, own: SocketAddr, channels: Vec<Channel>) -> io::Result<Self> {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
        let tag = ClusterTag::of(me.cluster());
        let responder = Responder::new(tag, own, ChaCha12Rng::from_seed(seed));
        let (sender, news) = crossbeam_channel::bounded(1);
        let count = channels.len();
        let table = Arc::new(Table {
            me: me.watching(),
            tag,
            channels,
            responder: Mutex::new(responder),
            began: Instant::now(),
            news: sender,
        });
        let mut session = Self { own, table, listeners: Vec::with_capacity(count), news };
        for index in 0..count {
            let table = Arc::clone(&session.table);
            let listener = thread::Builder::new().name(LISTENER.to_owned());
            session.listeners.push(listener.spawn(move || table.listen(&table.channels[index]))?);
        }
        Ok(session)
    }

    /// Whether it is that of a member at this address.
    pub(super) fn is_of(&self, own: SocketAddr) -> bool {
        self.own == own
    }

    /// Asks the groups if it is our turn, and tells some of the strangers that were heard, then or before.
    pub(super) fn ask(&self) -> io::Result<Vec<SocketAddr>> {
        let view = self.table.view();
        while self.news.try_recv().is_ok() {}
        let question = self.table.responder().ask(view);
        let said = question.map_or(Ok(()), |question| self.table.say(&question));
        if question.is_some() && said.is_ok() && self.news.recv_timeout(PATIENCE).is_ok() {
            thread::sleep(SETTLE);
        }
        let known: Vec<SocketAddr> = self.table.me.nodes().iter().map(Node::addr).collect();
        let strangers = self.table.responder().take_strangers(|addr| known.contains(&addr));
        match said {
            Err(error) if strangers.is_empty() => Err(error),
            _ => Ok(strangers),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.table.channels.iter().for_each(Channel::close);
        for listener in self.listeners.drain(..) {
            // It does not panic, and if it did, it has been told on its thread.
            let _ = listener.join();
        }
    }
}

impl Table {
    /// Listens and answers until the channel is closed.
    fn listen(&self, channel: &Channel) {
        // One byte more than there can be: what is longer is seen to be so.
        let mut buf = [0; ANNOUNCEMENT_SIZE_MAX + 1];
        loop {
            let patience = self.responder().due().map(|due| due.saturating_sub(self.began.elapsed()));
            match channel.listen(&mut buf, patience) {
                Ok((length, from)) => self.hear(from, &buf[..length]),
                Err(_) if channel.is_closed() => return,
                Err(error) if classify(&error) == Trouble::Tick => {}
                Err(_) => thread::sleep(TROUBLE_PAUSE),
            }
            self.answer();
        }
    }

    fn hear(&self, from: SocketAddr, bytes: &[u8]) {
        let Ok(announcement) = Announcement::decode(bytes) else {
            return;
        };
        let now = self.began.elapsed();
        if !self.responder().concerns(now, &announcement) {
            return;
        }
        let view = self.view();
        if self.responder().hear(now, view, from, &announcement) {
            // If it is full, the news is known already.
            let _ = self.news.try_send(());
        }
    }

    fn answer(&self) {
        if self.responder().due().is_none_or(|due| due > self.began.elapsed()) {
            return;
        }
        let view = self.view();
        let answer = self.responder().answer(self.began.elapsed(), view);
        if let Some(answer) = answer
            && let Err(error) = self.say(&answer)
        {
            log::debug!("{}: an answer by multicast: {error}", self.me.name());
        }
    }

    /// Says it to all groups. An error if it is heard in none.
    fn say(&self, announcement: &Announcement) -> io::Result<()> {
        let bytes = announcement.encode();
        log::trace!("saying {announcement:?}");
        let mut outcomes = self.channels.iter().map(|channel| channel.say(&bytes)).collect::<Vec<_>>();
        match outcomes.iter().position(Result::is_ok) {
            Some(_) => Ok(()),
            None => outcomes.pop().unwrap_or(Ok(())),
        }
    }

    /// Whom this member knows, as one number.
    fn view(&self) -> u64 {
        let nodes = self.me.nodes();
        if nodes.len() < 2 {
            return 0;
        }
        let hashes = nodes.iter().map(|node| NameHash::of(self.tag, node.name()).0);
        hashes.fold(0, u64::wrapping_add).max(1)
    }

    fn responder(&self) -> MutexGuard<'_, Responder> {
        self.responder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
