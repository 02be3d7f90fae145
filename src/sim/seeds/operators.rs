//! The work of operators, and of time: restarts of all members, one after the other or at once; leaves and joins of
//! many; processes that crash again and again; networks that are cut again and again; and days that pass.

use std::time::Duration;

use super::switches::Kind;
use super::{HOSTS_MAX, LEFT_ALONE, Run, millis, name};

/// Seconds that all members of a run may rest together, in most runs.
const REST_SECS: usize = 10_000;
/// The same in one run of sixteen: for three members, a day and more.
const LONG_REST_SECS: usize = 280_000;

impl Run {
    pub(super) fn operate(&mut self, kind: Kind, host: usize) {
        match kind {
            Kind::Spans => self.rest(),
            Kind::RollingRestarts => self.restart_one_by_one(),
            Kind::MassRestarts => self.restart_all(),
            Kind::MassLeaves => self.leave_and_join_at_once(),
            Kind::CrashLoops => self.crash_again_and_again(host),
            _ => self.cut_again_and_again(),
        }
    }

    /// Lets time pass: the fewer members there are, the more.
    fn rest(&mut self) {
        let secs = self.rest_left / self.running().len();
        if secs > 600 {
            let secs = self.below(600..secs.min(3 * 86_400) + 1);
            self.rest_left -= secs * self.running().len();
            self.cluster.run(Duration::from_secs(secs as u64));
        }
    }

    /// How many seconds the members of a run may rest, all together.
    pub(super) fn rest_secs(&mut self) -> usize {
        if self.below(0..16) == 0 { LONG_REST_SECS } else { REST_SECS }
    }

    /// Each member in turn gets a new process: all at their old addresses, or all at new ones.
    fn restart_one_by_one(&mut self) {
        let (elsewhere, leaves) = (self.below(0..2) == 0, self.below(0..2) == 0);
        for host in self.running() {
            if leaves && !self.sick.contains(&host) {
                drop(self.members[host].leave(millis(1_000)));
            }
            self.start_again(host, elsewhere);
            let pause = self.below(0..4_000);
            self.cluster.run(millis(pause as u64));
        }
    }

    /// All members crash, and are started again together.
    fn restart_all(&mut self) {
        let elsewhere = self.below(0..2) == 0;
        let running = self.running();
        for host in &running {
            self.cluster.crash(&name(*host));
        }
        let pause = self.below(0..20_000);
        self.cluster.run(millis(pause as u64));
        for host in running {
            self.start_again(host, elsewhere);
        }
    }

    /// Many members leave, and as many are started, at the same moment.
    fn leave_and_join_at_once(&mut self) {
        let mut leaving = self.running();
        leaving.retain(|host| !self.sick.contains(host));
        let most = self.running().len().saturating_sub(LEFT_ALONE).min(leaving.len());
        let count = self.below(0..most + 1);
        leaving.truncate(count);
        for host in &leaving {
            let mut world = self.cluster.sim.world();
            let run = world.hosts[*host].run;
            // The listener of another member that has ended meanwhile may have ended it.
            let _ = world.with(*host, run, |protocol, now| protocol.leave(now, millis(2_000)));
        }
        for _ in 0..self.below(0..8) {
            if self.members.len() < HOSTS_MAX {
                self.add();
            }
        }
        self.cluster.run(millis(2_000));
        for host in leaving {
            self.members[host].shutdown().unwrap();
        }
    }

    /// A process ends soon after it was started, several times.
    fn crash_again_and_again(&mut self, host: usize) {
        for _ in 0..self.below(3..15) {
            self.start_again(host, false);
            let pause = self.below(10..4_000);
            self.cluster.run(millis(pause as u64));
        }
    }

    /// The network is cut and healed by turns, each time at another place.
    fn cut_again_and_again(&mut self) {
        for _ in 0..self.below(3..12) {
            self.split();
            let (cut, whole) = (self.below(100..60_000), self.below(100..20_000));
            self.cluster.run(millis(cut as u64));
            self.cluster.heal();
            self.cluster.run(millis(whole as u64));
        }
    }
}
