//! Deaths: a random member is killed without a word; the time until the first and until the last of the others has
//! given it up. After each death a newcomer joins, so that there are always as many.
//!
//! Victims, and those who have to notice, are members of the start: what newcomers see is told apart.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::Run;
use crate::AnyResult;
use crate::json::Object;

/// A killed member's port has to be free by then.
const PORT_LIMIT: Duration = Duration::from_secs(2);
/// Newcomers have so long to see all, and to be seen by all.
const NEWCOMER_LIMIT: Duration = Duration::from_secs(10);

/// The times of all deaths.
#[derive(Default)]
struct Deaths {
    first_suspected: Vec<Duration>,
    first_dead: Vec<Duration>,
    all_dead: Vec<Duration>,
    all_dead_with_newcomers: Vec<Duration>,
    all_dead_missed: usize,
    port_free: Vec<Duration>,
    newcomer_seen: Vec<Duration>,
    newcomer_seen_missed: usize,
    newcomer_sees: Vec<Duration>,
    newcomer_sees_missed: usize,
}

/// The clock starts right before the member is killed; suspicions count from when users are shown one.
pub(super) fn measure(run: &mut Run) -> AnyResult<Object> {
    let mut deaths = Deaths::default();
    let mut living: Vec<usize> = run.originals().collect();
    run.pause(run.arguments.warm);
    for round in 0..run.arguments.detect_reps {
        let probe_interval = run.arguments.profile.probe_interval();
        let pause = probe_interval + probe_interval.mul_f64(run.rng.random());
        run.pause(pause);
        let newcomer = run.arguments.members + round;
        if run.is_over() || newcomer >= run.board.members() {
            break;
        }
        deaths.kill(run, &mut living)?;
        if run.is_over() {
            break;
        }
        deaths.replace(run, &living, newcomer)?;
        living.push(newcomer);
    }
    Ok(deaths.result())
}

impl Deaths {
    /// Kills one of the members of the start, except the seed.
    fn kill(&mut self, run: &mut Run, living: &mut Vec<usize>) -> AnyResult<()> {
        let is_original = |index: &usize| *index < run.arguments.members;
        let candidates: Vec<usize> =
            living.iter().copied().filter(|index| *index > 0 && is_original(index)).collect();
        if candidates.is_empty() {
            return Err("there is nobody left to kill".into());
        }
        let victim = candidates[run.rng.random_range(0..candidates.len())];
        living.retain(|index| *index != victim);

        let began = run.board.kill(victim);
        run.crowd.kill(victim)?;
        let bind = format!("127.0.0.1:{}", run.arguments.port(victim));
        self.port_free.extend(run.wait(began, PORT_LIMIT, || UdpSocket::bind(&bind).is_ok()));
        let knows = |observer: &usize| !run.board.lists(*observer, victim);
        let all = run.wait(began, run.arguments.step_timeout, || {
            living.iter().filter(|index| is_original(index)).all(knows)
        });
        let with_newcomers = run.wait(began, NEWCOMER_LIMIT, || living.iter().all(knows));

        let (suspected, dead) = run.board.first_noticed(victim);
        self.first_suspected.extend(suspected.map(|at| at.saturating_duration_since(began)));
        self.first_dead.extend(dead.map(|at| at.saturating_duration_since(began)));
        self.all_dead_missed += usize::from(all.is_none());
        self.all_dead.extend(all);
        self.all_dead_with_newcomers.extend(with_newcomers);
        Ok(())
    }

    /// A new member joins.
    fn replace(&mut self, run: &mut Run, living: &[usize], newcomer: usize) -> AnyResult<()> {
        run.crowd.start(&run.arguments, newcomer)?;
        let began = Instant::now();
        run.crowd.join(&[newcomer], 0)?;
        let (mut seen, mut sees) = (None, None);
        run.wait(began, NEWCOMER_LIMIT.min(run.arguments.step_timeout), || {
            if living.iter().all(|other| run.board.lists(*other, newcomer)) {
                seen.get_or_insert_with(|| began.elapsed());
            }
            if living.iter().all(|other| run.board.lists(newcomer, *other)) {
                sees.get_or_insert_with(|| began.elapsed());
            }
            seen.is_some() && sees.is_some()
        });
        self.newcomer_seen_missed += usize::from(seen.is_none());
        self.newcomer_seen.extend(seen);
        self.newcomer_sees_missed += usize::from(sees.is_none());
        self.newcomer_sees.extend(sees);
        Ok(())
    }

    fn result(&self) -> Object {
        Object::default()
            .millis("first_suspect_ms", &self.first_suspected)
            .millis("first_dead_ms", &self.first_dead)
            .millis("all_dead_ms", &self.all_dead)
            .median("first_suspect_median_ms", &self.first_suspected)
            .median("first_dead_median_ms", &self.first_dead)
            .greatest("first_dead_max_ms", &self.first_dead)
            .median("all_dead_median_ms", &self.all_dead)
            .greatest("all_dead_max_ms", &self.all_dead)
            .with("all_dead_timeouts", self.all_dead_missed)
            .millis("all_dead_incl_new_ms", &self.all_dead_with_newcomers)
            .millis("port_closed_ms", &self.port_free)
            .millis("join_seen_ms", &self.newcomer_seen)
            .median("join_seen_median_ms", &self.newcomer_seen)
            .with("join_seen_timeouts", self.newcomer_seen_missed)
            .millis("join_view_ms", &self.newcomer_sees)
            .median("join_view_median_ms", &self.newcomer_sees)
            .with("join_view_timeouts", self.newcomer_sees_missed)
            .with("shows_suspect", true)
    }
}
