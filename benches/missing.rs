//! Experiments of `spreading` on what passes somebody by. Views are not compared in them, or it would be repaired.

use std::collections::{BTreeSet, VecDeque};

use crate::group::Group;
use crate::{AnyResult, Table, millis, secs};

pub(crate) fn misses(table: &mut Table, size: Option<usize>) -> AnyResult<()> {
    const UPDATES: usize = 10_000;
    const AT_ONCE: usize = 4;
    const CONTROL: usize = 100;
    let n = size.unwrap_or(1_000);

    let mut group = Group::without_sync(2, n)?;
    group.cluster.loss(0.1);
    // Four at a time, which share datagrams in part; each is looked at a second after it was made.
    let mut waiting = VecDeque::new();
    let (mut missed, mut lacking) = (0, 0);
    for index in 0..UPDATES / AT_ONCE + 2 {
        if index >= 2 {
            for news in waiting.drain(..AT_ONCE) {
                let who = group.lacking(news).len();
                missed += usize::from(who > 0);
                lacking += who;
            }
        }
        if index < UPDATES / AT_ONCE {
            for _ in 0..AT_ONCE {
                waiting.push_back(group.touch());
            }
        }
        group.cluster.run(millis(500));
    }
    let what = format!("{n} members, loss 0.1, no sync: of {UPDATES} updates miss anybody");
    table.at_most(&what, missed as f64, 5.0, "");
    table.note("  members missed, in all", &lacking.to_string());
    drop(group);

    // What the sends beyond the digits of n are good for, and that the experiment can fail. Views are compared here, but
    // not before news has been quiet for 150 ms and a probe has found it, so that hardly anything is repaired by the
    // time it is looked at.
    for retransmit in [4, 1] {
        let mut group = Group::of_each(3, n, |config| config.retransmit(retransmit))?;
        group.cluster.loss(0.2);
        let mut missed = 0;
        for _ in 0..CONTROL {
            let news = group.touch();
            group.cluster.run(millis(250));
            missed += usize::from(!group.lacking(news).is_empty());
            group.cluster.run(millis(250));
        }
        let what = format!("  loss 0.2, retransmit {retransmit}: of {CONTROL} updates miss anybody");
        if retransmit == 4 {
            table.note(&what, &missed.to_string());
        } else {
            table.at_least(&what, missed as f64, CONTROL as f64 / 2.0, "");
        }
    }
    Ok(())
}

pub(crate) fn deaf(table: &mut Table, size: Option<usize>) -> AnyResult<()> {
    const UPDATES: usize = 200;
    let n = size.unwrap_or(1_000);
    let mut group = Group::without_sync(4, n)?;
    group.cluster.loss(0.01);
    for (drops, what) in [(true, "what comes in is lost"), (false, "what comes in waits")] {
        let mut lacking = 0;
        for _ in 0..UPDATES {
            let subject = group.draw();
            let mut deaf = BTreeSet::new();
            while deaf.len() < n / 10 {
                let member = group.draw();
                if member != subject {
                    deaf.insert(member);
                }
            }
            if drops {
                group.deafen(&deaf);
            } else {
                deaf.iter().for_each(|member| group.cluster.deafen(&group.names[*member]));
            }
            let news = group.touch_at(subject);
            group.cluster.run(millis(50));
            if drops {
                group.cluster.heal();
            } else {
                deaf.iter().for_each(|member| group.cluster.resume(&group.names[*member]));
            }
            group.cluster.run(secs(1));
            lacking += group.lacking(news).len();
        }
        let what = format!("{n} members, a tenth deaf for 50 ms ({what}): miss it on average");
        table.at_most(&what, lacking as f64 / UPDATES as f64, 0.1, "");
    }
    Ok(())
}
