//! Who leads? The node with the lowest name: a rule that needs no talk beyond the membership itself.
//!
//!     cargo run --example failover
//!
//! Three members run in this process. The leader ends without a word, then the next one leaves; each time
//! the remaining ones find the new leader on their own. Ends by itself; the exit code tells whether all went
//! as told here.
//!
//! This is no election: while news travels, or while the network is cut, two nodes may hold themselves for
//! the leader. It fits work that is merely wasteful when done twice.

#![expect(clippy::print_stdout, reason = "it tells a story")]

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use headcount::{Config, Event, Listener, Member};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

/// How long a change of leadership may take. The local profile detects a crash within a few seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reports each change of leadership that one member sees.
struct Leadership {
    leader: Option<String>,
    changes: Sender<Change>,
}

/// `observer` now holds `leader` for the leader.
struct Change {
    observer: String,
    leader: String,
}

impl Leadership {
    fn new(changes: Sender<Change>) -> Self {
        Self { leader: None, changes }
    }
}

impl Listener for Leadership {
    /// The view already shows what the event tells, so the event itself only says that it is time to look.
    /// This also makes it right after [`Event::Lagged`].
    fn on_event(&mut self, member: &Member, _event: Event) {
        let leader = member.nodes().first().map(|node| node.name().to_owned());
        if leader == self.leader {
            return;
        }
        self.leader.clone_from(&leader);
        if let Some(leader) = leader {
            // Nobody listens any more when the story is over.
            let _ = self.changes.send(Change { observer: member.name().to_owned(), leader });
        }
    }
}

fn main() -> AnyResult<()> {
    let (sender, changes) = channel();
    let mut story = Story { began: Instant::now(), changes, leaders: HashMap::new() };

    story.tell("ann, bob and cleo start");
    let ann = start("ann", sender.clone())?;
    let bob = start("bob", sender.clone())?.join(ann.addr())?;
    let cleo = start("cleo", sender)?.join(ann.addr())?;
    story.wait_for_leader("ann", &["ann", "bob", "cleo"])?;

    story.tell("ann ends without a word");
    ann.shutdown()?;
    story.wait_for_leader("bob", &["bob", "cleo"])?;

    story.tell("bob leaves");
    bob.leave(Duration::from_secs(5))?;
    story.wait_for_leader("cleo", &["cleo"])?;

    cleo.leave(Duration::from_secs(5))?;
    story.tell("cleo leaves; all went as it should");
    Ok(())
}

fn start(name: &str, changes: Sender<Change>) -> headcount::Result<Member> {
    Member::create(Config::local().name(name).bind("127.0.0.1:0").listener(Leadership::new(changes)))
}

/// What was seen so far, told with the time.
struct Story {
    began: Instant,
    changes: Receiver<Change>,
    /// The leader by observer.
    leaders: HashMap<String, String>,
}

impl Story {
    fn tell(&self, text: &str) {
        println!("{:>7.3} s  {text}", self.began.elapsed().as_secs_f64());
    }

    /// Waits until each of these observers holds `leader` for the leader.
    fn wait_for_leader(&mut self, leader: &str, observers: &[&str]) -> AnyResult<()> {
        let deadline = Instant::now() + PATIENCE;
        while !observers.iter().all(|&name| self.leaders.get(name).is_some_and(|seen| seen == leader)) {
            match self.changes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(change) => {
                    self.tell(&format!("    {} follows {}", change.observer, change.leader));
                    self.leaders.insert(change.observer, change.leader);
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("{leader} does not lead after {PATIENCE:?}").into());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err("all members have ended".into());
                }
            }
        }
        Ok(())
    }
}
