//! What every member says about every other one.
//!
//! Listeners write it, from their own threads and in constant time; the scenarios read it. So a scenario does not ask
//! members anything while it measures them.

use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How a member is listed by another one, once it is.
const UP: u8 = 1;
const DOWN: u8 = 2;

/// The writer whose values are noted, when there is none.
const NOBODY: usize = usize::MAX;

/// What became of one member, as others say it.
#[derive(Debug, Default)]
struct Subject {
    killed: AtomicBool,
    /// Microseconds since the board began when it was first called so, after it was killed; zero: never.
    first_suspected: AtomicU64,
    first_down: AtomicU64,
    /// How often it was called dead while it lived.
    wronged: AtomicU64,
}

/// All that is counted since the start of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrongs {
    /// Members that live were listed as dead or gone.
    pub(crate) deaths: u64,
    /// So many different ones.
    pub(crate) victims: usize,
    /// Members that live were shown as suspected.
    pub(crate) suspicions: u64,
    /// Members that had been killed and noticed dead were listed again.
    pub(crate) risen: u64,
}

#[derive(Debug)]
pub(crate) struct Board {
    began: Instant,
    members: usize,
    /// By observer, then by target.
    listed: Vec<AtomicU8>,
    /// How many others each one lists.
    counts: Vec<AtomicUsize>,
    subjects: Vec<Subject>,
    suspicions: AtomicU64,
    risen: AtomicU64,
    writer: AtomicUsize,
    /// The newest value of the writer that each one has seen.
    values: Vec<AtomicU64>,
}

impl Board {
    /// For so many members, newcomers included.
    pub(crate) fn new(members: usize) -> Self {
        Self {
            began: Instant::now(),
            members,
            listed: many(members * members),
            counts: many(members),
            subjects: many(members),
            suspicions: AtomicU64::new(0),
            risen: AtomicU64::new(0),
            writer: AtomicUsize::new(NOBODY),
            values: many(members),
        }
    }

    /// The observer lists the target from now on.
    pub(crate) fn up(&self, observer: usize, target: usize) {
        let before = self.listed[observer * self.members + target].swap(UP, SeqCst);
        if before != UP {
            self.counts[observer].fetch_add(1, SeqCst);
        }
        if before == DOWN && self.is_killed(target) {
            self.risen.fetch_add(1, SeqCst);
        }
    }

    /// The observer does not list the target any more.
    pub(crate) fn down(&self, observer: usize, target: usize) {
        let before = self.listed[observer * self.members + target].swap(DOWN, SeqCst);
        if before == UP {
            self.counts[observer].fetch_sub(1, SeqCst);
        }
        if self.is_killed(observer) {
            return;
        }
        let subject = &self.subjects[target];
        if subject.killed.load(SeqCst) {
            self.note_first(&subject.first_down);
        } else if before == UP {
            subject.wronged.fetch_add(1, SeqCst);
        }
    }

    /// The observer shows the target as suspected.
    pub(crate) fn suspect(&self, observer: usize, target: usize) {
        let subject = &self.subjects[target];
        if self.is_killed(observer) {
            return;
        }
        if subject.killed.load(SeqCst) {
            self.note_first(&subject.first_suspected);
        } else {
            self.suspicions.fetch_add(1, SeqCst);
        }
    }

    /// The observer has seen a value of the target.
    pub(crate) fn value(&self, observer: usize, target: usize, value: u64) {
        if self.writer.load(SeqCst) == target {
            self.values[observer].fetch_max(value, SeqCst);
        }
    }

    /// From now on the values of this member are noted.
    pub(crate) fn watch_writer(&self, writer: usize) {
        self.writer.store(NOBODY, SeqCst);
        self.values.iter().for_each(|value| value.store(0, SeqCst));
        self.writer.store(writer, SeqCst);
    }

    pub(crate) fn has_value(&self, observer: usize, value: u64) -> bool {
        self.values[observer].load(SeqCst) >= value
    }

    /// How many members there can be, newcomers included.
    pub(crate) fn members(&self) -> usize {
        self.members
    }

    pub(crate) fn lists(&self, observer: usize, target: usize) -> bool {
        self.listed[observer * self.members + target].load(SeqCst) == UP
    }

    /// How many others it lists.
    pub(crate) fn count(&self, observer: usize) -> usize {
        self.counts[observer].load(SeqCst)
    }

    /// What is said of it from now on is true, and what it says itself counts no more. Tells when that was.
    pub(crate) fn kill(&self, member: usize) -> Instant {
        let now = Instant::now();
        self.subjects[member].killed.store(true, SeqCst);
        now
    }

    /// When a member that was killed was first called suspected, and dead.
    pub(crate) fn first_noticed(&self, member: usize) -> (Option<Instant>, Option<Instant>) {
        let subject = &self.subjects[member];
        let at = |micros: &AtomicU64| match micros.load(SeqCst) {
            0 => None,
            micros => Some(self.began + Duration::from_micros(micros)),
        };
        (at(&subject.first_suspected), at(&subject.first_down))
    }

    pub(crate) fn wrongs(&self) -> Wrongs {
        let wronged = self.subjects.iter().map(|subject| subject.wronged.load(SeqCst));
        Wrongs {
            deaths: wronged.clone().sum(),
            victims: wronged.filter(|times| *times > 0).count(),
            suspicions: self.suspicions.load(SeqCst),
            risen: self.risen.load(SeqCst),
        }
    }

    fn is_killed(&self, member: usize) -> bool {
        self.subjects[member].killed.load(SeqCst)
    }

    fn note_first(&self, first: &AtomicU64) {
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        // Fails if somebody was first.
        let _ = first.compare_exchange(0, now, SeqCst, SeqCst);
    }
}

fn many<T: Default>(count: usize) -> Vec<T> {
    iter::repeat_with(T::default).take(count).collect()
}
