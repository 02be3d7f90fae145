//! What must hold when all faults are over and views are equal: they stay equal, and traffic is no more than at rest.

use std::time::Duration;

use super::millis;
use crate::event::Event;
use crate::events::Events;
use crate::member::Member;
use crate::sim::Cluster;

/// Datagrams a second and node of a cluster at rest: a ping and an ack.
pub(super) const AT_REST: f64 = 2.0;
/// Maximum number of datagrams a second and node when nothing changes: this leaves room for hellos to seeds that are
/// gone, and for comparisons.
const CALM: f64 = 5.0 * AT_REST;
/// How long a suspicion that began before may still last.
const SETTLED: Duration = Duration::from_secs(30);
/// How long the cluster is watched.
const WATCHED: Duration = Duration::from_secs(60);

/// Observations of a cluster while nothing is done to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    pub(super) running: usize,
    pub(super) time: Duration,
    pub(super) datagrams: u64,
    /// What events reported of nodes that run all the time: suspicions, and deaths, leaves and restarts.
    pub(super) suspected: usize,
    pub(super) gone: Vec<String>,
    /// A member and a node that it shows although that node is gone.
    pub(super) ghost: Option<(String, String)>,
    pub(super) is_converged: bool,
}

impl Watched {
    /// Watches a cluster for some time. Its events are read each second, so that no stream is full.
    pub(super) fn new(cluster: &Cluster, members: &[Member], time: Duration) -> Self {
        let runs = || {
            let world = cluster.sim.world();
            let hosts = world.hosts.iter().filter(|host| host.is_running());
            hosts.map(|host| (host.name.clone(), host.run)).collect::<Vec<_>>()
        };
        let running = runs();
        let streams: Vec<(&Member, Events)> =
            members.iter().map(|member| (member, member.events())).collect();
        let sent = cluster.fates().sent;
        let mut seen: Vec<(Duration, &str, Event)> = Vec::new();
        let end = cluster.now() + time;
        while cluster.now() < end {
            cluster.run(millis(1_000).min(end - cluster.now()));
            for (member, events) in &streams {
                seen.extend(events.try_iter().map(|event| (cluster.now(), member.name(), event)));
            }
        }
        let still = runs();
        let ghost = cluster.sim.world().first_ghost().map(|(of, ghost)| (of.to_owned(), ghost.to_owned()));
        let mut watched = Self {
            running: running.len(),
            time,
            datagrams: cluster.fates().sent - sent,
            ghost,
            is_converged: cluster.is_converged(),
            ..Self::default()
        };
        for (when, at, event) in seen {
            let of = event.node().map(|node| node.name());
            if !of.is_some_and(|of| running.iter().any(|run| run.0 == of && still.contains(run))) {
                continue;
            }
            match event {
                Event::Suspected(_) => watched.suspected += 1,
                Event::Died { .. } | Event::Left(_) | Event::Restarted(_) => {
                    watched.gone.push(format!("after {when:?}, {at}: {event}"));
                }
                _ => {}
            }
        }
        watched
    }

    /// Watches a cluster in which views are equal, and asserts that it is at rest.
    pub(super) fn assert_at_rest(cluster: &Cluster, members: &[Member]) {
        cluster.run(SETTLED);
        let watched = Self::new(cluster, members, WATCHED);
        if let Err(wrong) = watched.check_rest() {
            panic!("{}: {wrong}", cluster.sim.world().place());
        }
    }

    /// Datagrams a second and node.
    pub(super) fn rate(&self) -> f64 {
        let nodes = u32::try_from(self.running).unwrap_or(u32::MAX);
        let datagrams = u32::try_from(self.datagrams).unwrap_or(u32::MAX);
        f64::from(datagrams) / f64::from(nodes.max(1)) / self.time.as_secs_f64()
    }

    /// Fails if something is wrong with a cluster to which nothing happens any more.
    pub(super) fn check_rest(&self) -> Result<(), String> {
        self.check_nobody_gone()?;
        self.check_rate(CALM)?;
        if let Some((of, ghost)) = &self.ghost {
            return Err(format!("{of} shows {ghost}, which is gone"));
        }
        if self.suspected > 0 {
            return Err(format!("{} suspicions of nodes that are well", self.suspected));
        }
        if !self.is_converged {
            return Err("views were equal, and are not any more".to_owned());
        }
        Ok(())
    }

    /// Fails if a running node was shown as gone.
    pub(super) fn check_nobody_gone(&self) -> Result<(), String> {
        match self.gone.first() {
            Some(first) => Err(format!("{} times a node that runs was gone, first {first}", self.gone.len())),
            None => Ok(()),
        }
    }

    /// Fails if more datagrams a second and node are sent than `most`.
    pub(super) fn check_rate(&self, most: f64) -> Result<(), String> {
        let rate = self.rate();
        if rate <= most { Ok(()) } else { Err(format!("{rate:.1} datagrams a second and node, not {most}")) }
    }
}

#[test]
fn a_cluster_that_is_not_at_rest_is_found() {
    let well = Watched {
        running: 4,
        time: Duration::from_secs(60),
        datagrams: 500,
        is_converged: true,
        ..Watched::default()
    };
    assert_eq!(well.check_rest(), Ok(()));
    let bad = [
        Watched { datagrams: 2_500, ..well.clone() },
        Watched { gone: vec!["n1: n2 died".to_owned()], ..well.clone() },
        Watched { suspected: 1, ..well.clone() },
        Watched { ghost: Some(("n1".to_owned(), "n9".to_owned())), ..well.clone() },
        Watched { is_converged: false, ..well },
    ];
    for watched in bad {
        assert!(watched.check_rest().is_err(), "{watched:?}");
    }
}

#[test]
fn what_happens_to_members_that_run_is_seen_while_a_cluster_is_watched() {
    use crate::config::Config;

    let cluster = Cluster::new(1);
    let members: Vec<Member> =
        (0..5).map(|index| cluster.add(Config::lan().name(super::name(index))).unwrap()).collect();
    cluster.acquaint();
    let watched = Watched::new(&cluster, &members, Duration::from_secs(20));
    assert_eq!(watched.check_rest(), Ok(()));
    // A node that nobody hears runs, and is gone for the others.
    cluster.split(&["n4"]);
    let watched = Watched::new(&cluster, &members, Duration::from_secs(60));
    assert!(watched.suspected > 0 && watched.check_nobody_gone().is_err(), "{watched:?}");
    assert!(watched.check_rest().is_err());
    cluster.heal();
    cluster.assert_converged();
    // The end of a node that does not run is no fault; it is shown until the others notice.
    cluster.crash("n3");
    let watched = Watched::new(&cluster, &members, millis(500));
    assert_eq!(watched.check_nobody_gone(), Ok(()));
    assert_eq!(watched.ghost.as_ref().map(|(_, ghost)| ghost.as_str()), Some("n3"));
}
