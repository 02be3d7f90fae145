//! One consumer of events: the listener, or a stream of [`Member::events`](crate::Member::events).
//!
//! A queue that is full never makes the protocol wait: the newest event is dropped, and when there is room
//! again the consumer is first told how many it has missed.

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::event::Event;

/// Queues an event for every consumer, and lets go of those that are gone. Tells how many have dropped it.
pub(crate) fn tell(consumers: &mut Vec<Consumer>, event: &Event) -> u64 {
    let mut dropped = 0;
    consumers.retain_mut(|consumer| match consumer.offer(event) {
        Some(count) => {
            dropped += count;
            true
        }
        None => false,
    });
    dropped
}

/// The sending end of a consumer's queue. There is one sender, used under the guard only.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// Grows as it fills: an array of the full capacity would cost each member a third of a megabyte. That
    /// there is one sender makes its length a bound.
    sender: Sender<Event>,
    capacity: usize,
    /// Dropped since the last event that was queued.
    missed: u64,
}

impl Consumer {
    /// A consumer and the events that it is going to see.
    pub(crate) fn new(capacity: usize) -> (Self, Receiver<Event>) {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (Self { sender, capacity, missed: 0 }, receiver)
    }

    /// Queues an event, or drops it. Tells how many were dropped, 0 or 1; `None` if the receiving end is
    /// gone.
    pub(crate) fn offer(&mut self, event: &Event) -> Option<u64> {
        self.tell_missed()?;
        if self.missed == 0 && self.sender.len() < self.capacity {
            return self.push(event.clone()).map(|()| 0);
        }
        self.missed += 1;
        Some(1)
    }

    /// Tells of dropped events as soon as there is room. `None` if the receiving end is gone.
    pub(crate) fn tell_missed(&mut self) -> Option<()> {
        if self.missed > 0 && self.sender.len() < self.capacity {
            self.push(Event::Lagged(self.missed))?;
            self.missed = 0;
        }
        Some(())
    }

    fn push(&self, event: Event) -> Option<()> {
        match self.sender.try_send(event) {
            Err(TrySendError::Disconnected(_)) => None,
            Ok(()) | Err(TrySendError::Full(_)) => Some(()),
        }
    }
}
