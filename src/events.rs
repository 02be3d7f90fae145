//! A stream of events, as its reader has it.

use std::ops::Deref;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::event::Event;

/// A stream of events: [`Member::events`](crate::Member::events).
///
/// It is used as the [`Receiver`] that it dereferences to, with its `recv`, `try_iter`, `recv_timeout` and in
/// `select!`. Clones share the events: each goes to one of them. When the last clone is dropped the member lets go of the
/// stream, also if a receiver was cloned out of it.
///
/// ```
/// use crossbeam_channel::{after, select};
/// use headcount::{Config, Member};
/// use std::time::Duration;
///
/// let member = Member::create(Config::local().bind("127.0.0.1:0"))?;
/// let events = member.events();
/// select! {
///     recv(events) -> event => println!("{}", event.unwrap()),
///     recv(after(Duration::from_millis(10))) -> _ => println!("nothing has happened"),
/// }
/// # Ok::<(), headcount::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Events {
    receiver: Receiver<Event>,
    /// As long as it is there, the stream is.
    _open: Arc<()>,
}

impl Events {
    pub(crate) fn new(receiver: Receiver<Event>, open: Arc<()>) -> Self {
        Self { receiver, _open: open }
    }
}

impl Deref for Events {
    type Target = Receiver<Event>;

    fn deref(&self) -> &Receiver<Event> {
        &self.receiver
    }
}

/// Waits for each event; over when the member has ended.
impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.receiver.recv().ok()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = Event;
    type IntoIter = crossbeam_channel::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.receiver.iter()
    }
}
