//! Simulated clusters whose members make news: what the experiments on spreading share.

use std::collections::BTreeSet;
use std::time::Duration;

use headcount::sim::Cluster;
#[cfg(headcount_bench)]
use headcount::sim::Rule;
use headcount::{Config, Member};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use crate::{AnyResult, HEADERS, micros, secs};

/// A simulated cluster and its members.
pub(crate) struct Group {
    pub(crate) cluster: Cluster,
    pub(crate) names: Vec<String>,
    pub(crate) members: Vec<Member>,
    pub(crate) rng: ChaCha12Rng,
}

/// What members have sent, all together.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

impl Sent {
    pub(crate) fn by(members: &[Member]) -> Self {
        members.iter().map(Member::metrics).fold(Self { datagrams: 0, bytes: 0 }, |sum, metrics| Self {
            datagrams: sum.datagrams + metrics.datagrams_sent,
            bytes: sum.bytes + metrics.bytes_sent + metrics.datagrams_sent * HEADERS,
        })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { datagrams: self.datagrams - before.datagrams, bytes: self.bytes - before.bytes }
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("n{index:05}")
}

/// Strikes members off the end of a list for whom something has become true; whether any are left. So only the last one
/// is asked at each step: asking all of ten thousand would take longer than what they do.
pub(crate) fn some_left(open: &mut Vec<usize>, is_true: impl Fn(usize) -> bool) -> bool {
    while open.pop_if(|member| is_true(*member)).is_some() {}
    !open.is_empty()
}

impl Group {
    /// Nobody yet.
    pub(crate) fn new(seed: u64) -> Self {
        let cluster = Cluster::new(seed);
        cluster.check(false);
        Self { cluster, names: Vec::new(), members: Vec::new(), rng: ChaCha12Rng::seed_from_u64(seed) }
    }

    /// So many members that know each other, at rest; all have joined at once.
    pub(crate) fn of(seed: u64, n: usize) -> AnyResult<Self> {
        Self::of_each(seed, n, |config| config)
    }

    /// The same, each configured so.
    pub(crate) fn of_each(seed: u64, n: usize, configure: impl Fn(Config) -> Config) -> AnyResult<Self> {
        let mut group = Self::new(seed);
        group.add_each(n, configure)?;
        group.settle()
    }

    /// The same, but they have known each other from the start: none has joined.
    #[cfg(headcount_bench)]
    pub(crate) fn acquainted(seed: u64, n: usize) -> AnyResult<Self> {
        let mut group = Self::new(seed);
        for index in 0..n {
            group.add(Config::lan().name(name(index)))?;
        }
        group.cluster.acquaint();
        group.settle()
    }

    #[cfg(not(headcount_bench))]
    pub(crate) fn acquainted(_: u64, n: usize) -> AnyResult<Self> {
        Err(format!("{n} members can not join: RUSTFLAGS=\"--cfg headcount_bench\" has them know each other")
            .into())
    }

    /// The same, but without comparing views: a member that lacks something joins again.
    #[cfg(headcount_bench)]
    pub(crate) fn without_sync(seed: u64, n: usize) -> AnyResult<Self> {
        let mut group = Self::new(seed);
        group.cluster.without(Rule::Sync);
        group.add_all(n)?;
        group.cluster.run(secs(5));
        for member in &group.members[1..] {
            member.join(name(0))?;
        }
        group.settle()
    }

    pub(crate) fn add(&mut self, config: Config) -> AnyResult<()> {
        let member = self.cluster.add(config)?;
        self.names.push(member.name().to_owned());
        self.members.push(member);
        Ok(())
    }

    /// All of them at one moment, through the first.
    pub(crate) fn add_all(&mut self, n: usize) -> AnyResult<()> {
        self.add_each(n, |config| config)
    }

    fn add_each(&mut self, n: usize, configure: impl Fn(Config) -> Config) -> AnyResult<()> {
        for index in 0..n {
            let config = configure(Config::lan()).name(name(index));
            self.add(if index == 0 { config } else { config.seeds(name(0)) })?;
        }
        Ok(())
    }

    pub(crate) fn settle(self) -> AnyResult<Self> {
        let n = self.members.len() as u64;
        let is_complete = || self.members.iter().all(|member| member.metrics().nodes == n);
        if !self.cluster.run_until(secs(60), |cluster| is_complete() && cluster.is_converged()) {
            return Err("the cluster does not come together".into());
        }
        self.cluster.run(secs(2));
        Ok(self)
    }

    pub(crate) fn draw(&mut self) -> usize {
        self.rng.random_range(0..self.members.len())
    }

    /// Makes a piece of news about a random member.
    pub(crate) fn touch(&mut self) -> News {
        let subject = self.draw();
        self.touch_at(subject)
    }

    pub(crate) fn touch_at(&self, subject: usize) -> News {
        self.cluster.touch(&self.names[subject]);
        News { subject, incarnation: self.members[subject].local().incarnation(), made: self.cluster.now() }
    }

    pub(crate) fn knows(&self, member: usize, news: News) -> bool {
        self.members[member]
            .node(&self.names[news.subject])
            .is_some_and(|node| node.incarnation() >= news.incarnation)
    }

    /// Who does not have the news.
    pub(crate) fn lacking(&self, news: News) -> Vec<usize> {
        (0..self.members.len()).filter(|member| !self.knows(*member, news)).collect()
    }

    /// Runs until all have the news: how long that took from when it was made; the limit if it took longer.
    pub(crate) fn spread(&self, news: News, limit: Duration) -> Duration {
        let mut open: Vec<usize> = (0..self.members.len()).collect();
        while some_left(&mut open, |member| self.knows(member, news))
            && self.cluster.now() - news.made < limit
        {
            self.cluster.run(micros(250));
        }
        self.cluster.now() - news.made
    }

    /// From now on nothing reaches these, as if their sockets dropped it.
    pub(crate) fn deafen(&self, deaf: &BTreeSet<usize>) {
        for to in deaf {
            for from in (0..self.members.len()).filter(|from| from != to) {
                self.cluster.cut(&self.names[from], &self.names[*to]);
            }
        }
    }

    pub(crate) fn sum(&self, counter: impl Fn(&Member) -> u64) -> u64 {
        self.members.iter().map(counter).sum()
    }
}

/// A piece of news.
#[derive(Clone, Copy)]
pub(crate) struct News {
    pub(crate) subject: usize,
    pub(crate) incarnation: u64,
    pub(crate) made: Duration,
}
