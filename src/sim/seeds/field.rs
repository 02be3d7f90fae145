//! Faults of real networks: clocks that are off, narrow and broken paths, translators, disks.

use super::switches::Kind;
use super::{Run, millis, name};
use crate::config::Config;
use crate::sim::{Clock, DiskState, Interloper, Oversize, Translator, Width};

/// Where members of this family keep their snapshots.
const SNAPSHOT: &str = "members";

/// The faults that can be [chosen](super::switches).
impl Run {
    /// Applies one of the faults that are drawn to a host, or to the path from it to another one.
    pub(super) fn befall(&mut self, host: usize, other: usize) {
        let number = self.below(0..self.switches.open.len());
        let kind = self.switches.open[number];
        let (own, peer) = (name(host), name(other));
        match kind {
            Kind::Clocks => {
                let off = millis(self.below(0..3_600_000) as u64);
                self.set_clock(&own, off);
            }
            Kind::FarClocks => {
                let off = millis(self.below(0..20 * 365 * 86_400) as u64 * 1_000);
                self.set_clock(&own, off);
            }
            Kind::Width => self.narrow(&own, &peer),
            Kind::Distance => {
                let slowest = millis(self.below(20..500) as u64);
                self.cluster.latency(slowest / 2..slowest);
            }
            Kind::Size => {
                let bytes = self.below(500..1_500);
                let beyond = if self.below(0..2) == 0 { Oversize::Swallowed } else { Oversize::Refused };
                if host == other {
                    self.cluster.largest(bytes, beyond);
                } else {
                    self.paths.insert((host, other));
                    self.cluster.largest_between(&own, &peer, bytes, beyond);
                }
            }
            // Whether a host is behind one is drawn when it is started.
            Kind::Translation => self.cluster.flush(&own),
            Kind::Addresses => self.readdress(host, &peer),
            Kind::Flips => {
                let share = self.share(0.05);
                self.cluster.flip(share);
            }
            Kind::Holds | Kind::Copies => {
                let share = self.share(0.2);
                let longest = millis(self.below(10..60_000) as u64);
                let mut somebody = Interloper::new().after(millis(0)..longest);
                somebody = if kind == Kind::Holds { somebody.holds(share) } else { somebody.copies(share) };
                if kind == Kind::Copies && self.below(0..2) == 0 {
                    somebody = somebody.from(([10, 66, 0, 1], 7_990));
                }
                if host == other {
                    self.cluster.intercept_all(somebody);
                } else {
                    self.paths.insert((host, other));
                    self.cluster.intercept(&own, &peer, somebody);
                }
            }
            Kind::Disks => self.harm_disk(host),
            Kind::Spans
            | Kind::RollingRestarts
            | Kind::MassRestarts
            | Kind::MassLeaves
            | Kind::CrashLoops
            | Kind::Cuts => self.operate(kind, host),
        }
    }

    fn set_clock(&mut self, own: &str, off: std::time::Duration) {
        let clock = if self.below(0..2) == 0 { Clock::ahead(off) } else { Clock::behind(off) };
        let drift = i32::try_from(self.below(0..1_000)).unwrap() - 500;
        self.cluster.clock(own, clock.drifting(drift));
    }

    /// An uplink, a downlink or a link becomes narrow.
    fn narrow(&mut self, own: &str, peer: &str) {
        let width =
            Width::new(self.below(10_000..200_000) as u64).queue(millis(self.below(20..1_000) as u64));
        match self.below(0..3) {
            0 => self.cluster.uplink(own, width),
            1 => self.cluster.downlink(peer, width),
            _ => self.cluster.width(width),
        }
    }

    /// A host gets one more address, or one of its addresses is not reached any more.
    fn readdress(&mut self, host: usize, peer: &str) {
        let own = self.cluster.sim.world().hosts[host].interfaces.clone();
        if self.below(0..2) == 0 && own.len() < 3 {
            let (a, b) = (self.below(1..250), self.below(1..250));
            let more = format!("172.{}.{a}.{b}:7990", host + 16).parse().unwrap();
            let is_free = {
                let world = self.cluster.sim.world();
                world.directory.at(world.hosts[host].machine.translator, more).is_none()
            };
            if is_free {
                self.cluster.addresses(&name(host), own.into_iter().chain([more]));
            }
        } else {
            let addr = own[self.below(0..own.len())];
            self.cluster.cut_address(peer, addr);
        }
    }

    /// A disk fills up, fails, or goes back in time.
    fn harm_disk(&mut self, host: usize) {
        let own = name(host);
        match self.below(0..4) {
            0 => self.cluster.disk(&own, DiskState::Full),
            1 => self.cluster.disk(&own, DiskState::Failing),
            2 => {
                let image = self.cluster.disk_image(&own);
                self.images.insert(host, image);
            }
            _ => {
                if let Some(image) = self.images.remove(&host) {
                    self.cluster.put_disk_image(&own, image);
                }
            }
        }
    }

    /// Adds the settings of a member on this host that not all members have.
    pub(super) fn in_the_field(&mut self, host: usize, mut config: Config) -> Config {
        if self.switches.has(Kind::Disks) && self.below(0..3) == 0 {
            let keeps = self.below(0..2) == 0;
            config = config.snapshot(SNAPSHOT).keep_state(keeps);
        }
        if self.switches.has(Kind::Translation) {
            // No path leads to a host that was behind a translator and advertises another address now.
            self.cluster.translate(&[&name(host)], None);
        }
        if self.switches.has(Kind::Translation) && self.below(0..4) == 0 {
            let outside = [203, 0, 113, u8::try_from(host).unwrap()];
            let port = 9_000 + u16::try_from(host).unwrap();
            let per_destination = self.below(0..2) == 0;
            let translator = Translator::new(outside).map(port, &name(host)).per_destination(per_destination);
            self.cluster.translate(&[&name(host)], translator);
            config = config.advertise(std::net::SocketAddr::from((outside, port)));
        }
        config
    }

    /// Ends the faults that keep views from being equal. Clocks and addresses stay as they are, and so do narrow links,
    /// flipped bits, and interlopers.
    pub(super) fn mend(&self) {
        self.cluster.largest(usize::MAX, Oversize::Swallowed);
        for (from, to) in &self.paths {
            self.cluster.largest_between(&name(*from), &name(*to), usize::MAX, Oversize::Swallowed);
        }
        for host in (0..self.members.len()).map(name) {
            self.cluster.disk(&host, DiskState::Well);
        }
    }

    /// Ends these, too.
    pub(super) fn mend_all(&mut self) {
        self.cluster.width(None);
        self.cluster.flip(0.0);
        self.cluster.intercept_all(None);
        for host in (0..self.members.len()).map(name) {
            self.cluster.uplink(&host, None);
            self.cluster.downlink(&host, None);
        }
        let mut world = self.cluster.sim.world();
        let all = world.links.all.clone();
        for (from, to) in std::mem::take(&mut self.paths) {
            // A host that has only been named has the same number.
            *world.links.between(from, to) = all.clone();
        }
    }
}
