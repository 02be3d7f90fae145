//! Finding others, and coming together again, in virtual time.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::{name, secs};
use crate::config::Config;
use crate::discovery::{Multicast, Seeds};
use crate::member::Member;
use crate::sim::Cluster;

/// What all members can read.
type Board = Arc<Mutex<Vec<SocketAddr>>>;

/// Members that pin their address to a board, and read it.
fn pinned(cluster: &Cluster, board: &Board, index: usize) -> Member {
    let board = Arc::clone(board);
    let read = move |me: &Member| {
        let mut board = board.lock().unwrap();
        if !board.contains(&me.addr()) {
            board.push(me.addr());
        }
        Ok(board.clone())
    };
    cluster.add(Config::lan().name(name(index)).discovery(read)).unwrap()
}

#[test]
fn members_find_each_other_by_a_discovery_and_the_same_way_each_time() {
    let run = || {
        let (cluster, board) = (Cluster::new(3), Board::default());
        let members: Vec<Member> = (0..12).map(|index| pinned(&cluster, &board, index)).collect();
        assert!(cluster.run_until(secs(10), |_| members.iter().all(|member| member.nodes().len() == 12)));
        println!("12 members have found each other after {:?}", cluster.now());
        cluster.run(secs(60));
        cluster.trace()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_discovery_may_call_its_member_fail_and_panic() {
    let cluster = Cluster::new(4);
    let ann = cluster.add(Config::lan().name("ann")).unwrap();
    let mut calls = 0;
    let moody = move |me: &Member| {
        calls += 1;
        match calls {
            1 => Err(io::Error::other("not now")),
            2 => panic!("not now either"),
            // Runs virtual time.
            _ => me.join("ann").map(|_| Vec::new()).map_err(io::Error::other),
        }
    };
    let bob = cluster.add(Config::lan().name("bob").discovery(moody)).unwrap();
    ann.wait_until(secs(20), |nodes| nodes.len() == 2).unwrap();
    assert_eq!(bob.metrics().discovery_errors, 2);
}

#[test]
fn what_asks_the_world_outside_is_an_error_in_the_simulator() {
    let cluster = Cluster::new(5);
    let config = Config::lan().name("a").discovery(Multicast::new()).discovery(Seeds::new("localhost"));
    let member = cluster.add(config).unwrap();
    cluster.run(secs(1));
    assert!(member.metrics().discovery_errors >= 2);
}

#[test]
fn a_discovery_ends_with_its_member() {
    let (cluster, board) = (Cluster::new(6), Board::default());
    let member = pinned(&cluster, &board, 0);
    cluster.run(secs(1));
    assert_eq!(Arc::strong_count(&board), 2);
    member.shutdown().unwrap();
    assert_eq!(Arc::strong_count(&board), 1);
}

/// Neither half has ever heard of the other: there are no dead to ask, only seeds.
#[test]
fn two_clusters_that_were_started_apart_become_one_through_common_seeds() {
    for half in [2, 8, 32] {
        let cluster = Cluster::new(7);
        let names: Vec<String> = (0..2 * half).map(name).collect();
        let seeds = [name(0), name(half)];
        let mut members = Vec::new();
        for name in &names {
            members.push(cluster.add(Config::lan().name(name.clone()).seeds(&seeds)).unwrap());
        }
        cluster.split(&names[..half].iter().map(String::as_str).collect::<Vec<_>>());
        cluster.run(secs(60));
        assert!(members.iter().all(|member| member.nodes().len() == half));

        cluster.heal();
        let healed = cluster.now();
        assert!(cluster.run_until(secs(20), Cluster::is_converged), "{half} | {half}");
        println!("{half} | {half}: one cluster after {:?}", cluster.now() - healed);
    }
}

#[test]
fn halves_that_were_cut_apart_for_ten_minutes_become_one_again_without_seeds() {
    for half in [1, 3, 16] {
        let (cluster, members) = super::cluster(8, 2 * half);
        let names: Vec<&str> = members[..half].iter().map(Member::name).collect();
        cluster.split(&names);
        cluster.run(secs(600));
        assert!(members.iter().all(|member| member.nodes().len() == half));
        cluster.heal();
        let healed = cluster.now();
        assert!(cluster.run_until(secs(60), Cluster::is_converged), "{half} | {half}");
        println!("{half} | {half}: one cluster after {:?}", cluster.now() - healed);
    }
}
