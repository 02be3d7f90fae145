//! User code that is called for every [`Event`]: [`Listener`].

use crate::event::Event;
use crate::member::Member;

/// Something that wants to hear what happens.
///
/// It is called on a thread of its own, one event at a time. It may take as long as it likes and call any
/// method of the [`Member`] it is given; the protocol goes on. If it is so slow that its queue fills up, the
/// newest events are dropped and [`Event::Lagged`] tells how many. If it panics, the panic is logged and
/// counted and the next event is delivered.
///
/// Closures `FnMut(&Member, Event)` are listeners too; [`Config::on_event`](crate::Config::on_event) takes
/// them without type annotations. The reference it is given does not keep the member running; a clone of it
/// does.
pub trait Listener: Send {
    /// Called for every event, in order.
    fn on_event(&mut self, member: &Member, event: Event);
}

impl<F: FnMut(&Member, Event) + Send> Listener for F {
    fn on_event(&mut self, member: &Member, event: Event) {
        self(member, event);
    }
}

impl Listener for Box<dyn Listener> {
    fn on_event(&mut self, member: &Member, event: Event) {
        (**self).on_event(member, event);
    }
}
