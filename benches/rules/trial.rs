//! One run of an experiment: a cluster, what is done to it, and the datagrams and deaths meanwhile.

use std::time::Duration;

use headcount::sim::{Cluster, Rule};

use crate::lab::{AnyResult, Death, Found, Lab, NODES, QUIET, Sent, Tally, name};

/// What a run measures for each column.
pub(crate) type Samples = Vec<Vec<f64>>;

/// A cluster in an experiment, and what it has sent before.
pub(crate) struct Trial {
    pub(crate) lab: Lab,
    pub(crate) sick: Vec<usize>,
    pub(crate) deaths: Vec<Death>,
    pub(crate) began: Duration,
    pub(crate) sent: Sent,
}

impl Trial {
    pub(crate) fn new(run: u64, without: &[Rule], sick: usize) -> AnyResult<Self> {
        Self::of(run, without, NODES, sick)
    }

    pub(crate) fn of(run: u64, without: &[Rule], nodes: usize, sick: usize) -> AnyResult<Self> {
        let mut lab = Lab::without(without, run, nodes)?;
        let sick = lab.draw(sick);
        let (began, sent) = (lab.cluster.now(), lab.sent());
        Ok(Self { lab, sick, deaths: Vec::new(), began, sent })
    }

    pub(crate) fn each_sick(&self, ail: impl Fn(&Cluster, &str)) {
        self.sick.iter().for_each(|node| ail(&self.lab.cluster, &name(*node)));
    }

    pub(crate) fn run(&self, time: Duration) {
        self.lab.cluster.run(time);
    }

    /// For two minutes, each of the sick members is ill and well by turns, in a rhythm of its own.
    pub(crate) fn by_turns(&self, spell: Duration, pause: Duration, ail: impl Fn(&Cluster, &str)) {
        const STEP: Duration = Duration::from_millis(250);
        let (steps, of) =
            (spell.as_millis() / STEP.as_millis(), (spell + pause).as_millis() / STEP.as_millis());
        let count = self.sick.len() as u128;
        for step in 0..480_u128 {
            for (index, node) in (0..).zip(&self.sick) {
                match (step + of * index / count) % of {
                    0 => ail(&self.lab.cluster, &name(*node)),
                    at if at == steps => self.lab.cluster.resume(&name(*node)),
                    _ => {}
                }
            }
            self.run(STEP);
        }
        self.each_sick(Cluster::resume);
        self.run(QUIET);
    }

    /// Datagrams that members send in a second.
    pub(crate) fn datagrams(&self) -> f64 {
        self.lab.load_since(self.sent, self.began).datagrams
    }

    pub(crate) fn tally(&mut self) -> Tally {
        self.deaths.extend(self.lab.take_deaths());
        Tally::of(&self.deaths, &self.sick)
    }

    /// Deaths of nodes that are well, deaths of others, and datagrams.
    pub(crate) fn plain(mut self) -> Samples {
        let tally = self.tally();
        vec![vec![tally.wrong as f64], vec![tally.of_sick as f64], vec![self.datagrams()]]
    }

    /// Deaths, all of running nodes, and datagrams.
    pub(crate) fn lasting(mut self) -> Samples {
        let tally = self.tally();
        vec![vec![tally.wrong as f64], vec![self.datagrams()]]
    }

    pub(crate) fn parted(mut self) -> Samples {
        let tally = self.tally();
        vec![
            vec![tally.wrong as f64],
            vec![tally.wrong_at_healthy as f64],
            vec![tally.of_sick as f64],
            vec![self.datagrams()],
        ]
    }

    /// Eight of the healthy nodes go away. Measures how fast that is detected.
    pub(crate) fn detect(mut self) -> Samples {
        let datagrams = self.datagrams();
        self.tally();
        let away: Vec<usize> = self
            .lab
            .draw(NODES)
            .into_iter()
            .filter(|node| *node != 0 && !self.sick.contains(node))
            .take(8)
            .collect();
        let began = self.lab.cluster.now();
        away.iter().for_each(|node| self.lab.cluster.block(&name(*node)));
        self.run(Duration::from_millis(16_400));
        let new = self.lab.take_deaths();
        let mut out: Vec<usize> = self.sick.clone();
        out.extend(&away);
        let healthy = NODES - out.len();
        let (mut first, mut all, mut missed) = (Vec::new(), Vec::new(), 0);
        for node in &away {
            let found = Found::new(*node, began, &new, &out);
            first.extend(found.first.map(|at| at.as_secs_f64()));
            missed += healthy - found.observers;
            all.extend(found.last.map(|at| at.as_secs_f64()));
        }
        let of_sick = Tally::of(&self.deaths, &self.sick).of_sick as f64;
        self.deaths.extend(new);
        self.sick = out;
        let tally = self.tally();
        vec![
            first.clone(),
            first,
            all.clone(),
            all,
            vec![missed as f64],
            vec![tally.wrong as f64],
            vec![of_sick],
            vec![datagrams],
        ]
    }
}
