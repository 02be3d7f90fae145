//! Members that come and go leave no thread and no descriptor. Linux only: it counts in /proc.

#![cfg(target_os = "linux")]

use std::fs;

use crate::rig::{Directory, config, eventually, run_alone, start, wait_for_count};
use headcount::Member;
use headcount::transport::Tcp;

fn count(dir: &str) -> usize {
    fs::read_dir(dir).unwrap().count()
}

/// The kernel lists a thread for a moment after it was joined: it wakes the joiner first.
fn nothing_is_left(threads: usize, descriptors: usize) {
    eventually("no thread is left", || count("/proc/self/task") <= threads);
    eventually("no descriptor is left", || count("/proc/self/fd") <= descriptors);
}

#[test]
fn fifty_members_that_come_and_go_leave_nothing() {
    run_alone("leftovers::fifty_members_that_come_and_go_leave_nothing", || {
        let seed = start("seed");
        let cycle = |index: usize| {
            let member = Member::create(config(&format!("m{index}")).on_event(|_, _| {})).unwrap();
            member.join(seed.addr()).unwrap();
            // One that has crashed may be in one of the two views only, until its death is declared.
            eventually("views are alike", || member.nodes().len() == seed.nodes().len());
            match index % 3 {
                0 => member.leave(std::time::Duration::from_secs(5)).unwrap(),
                1 => member.shutdown().unwrap(),
                _ => {}
            }
        };
        // What is started once, at first need, is there after the first ones.
        (0..3).for_each(cycle);
        let (threads, descriptors) = (count("/proc/self/task"), count("/proc/self/fd"));
        (3..53).for_each(cycle);
        nothing_is_left(threads, descriptors);
    });
}

#[test]
fn twenty_members_with_snapshots_that_come_and_go_leave_nothing() {
    run_alone("leftovers::twenty_members_with_snapshots_that_come_and_go_leave_nothing", || {
        let directory = Directory::new();
        let cycle = |index: usize| {
            let member = Member::create(config("a").snapshot(directory.file("a"))).unwrap();
            member.save_snapshot().unwrap();
            match index % 3 {
                0 => member.leave(std::time::Duration::from_secs(5)).unwrap(),
                1 => member.shutdown().unwrap(),
                _ => {}
            }
        };
        cycle(0);
        let (threads, descriptors) = (count("/proc/self/task"), count("/proc/self/fd"));
        (1..21).for_each(cycle);
        nothing_is_left(threads, descriptors);
    });
}

#[test]
fn thirty_members_over_tcp_that_come_and_go_leave_nothing() {
    run_alone("leftovers::thirty_members_over_tcp_that_come_and_go_leave_nothing", || {
        let over_tcp = |name: &str| Member::create(config(name).transport(Tcp::new())).unwrap();
        let cycle = |index: usize| {
            let members: Vec<Member> = (0..3).map(|member| over_tcp(&format!("m{index}-{member}"))).collect();
            members[1].join(members[0].addr()).unwrap();
            members[2].join(members[0].addr()).unwrap();
            members.iter().for_each(|member| wait_for_count(member, 3));
            members[2].shutdown().unwrap();
        };
        cycle(0);
        let (threads, descriptors) = (count("/proc/self/task"), count("/proc/self/fd"));
        (1..11).for_each(cycle);
        nothing_is_left(threads, descriptors);
    });
}
