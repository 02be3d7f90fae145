//! The laws of the merge rule, over all news of one node with two generations and three incarnations.
//!
//! News comes late, twice, and in any order, and views are still equal in the end, because each view holds the greatest
//! of all news that came:
//!
//! | law | |
//! |---|---|
//! | idempotent | news that came already changes nothing |
//! | commutative | it makes no difference which of two pieces of news comes first, if neither is refused |
//! | associative | it makes no difference in which grouping views are merged, each with all of another one |
//! | monotone | the held record never gets smaller, and a view that holds more holds no less after the same news |
//! | confluent | three pieces of news that come again until nothing changes lead to one outcome, in any order, refused or not |
//!
//! The test compares the number and the status, and also the address if it belongs to the number and the node is
//! active. How far a member has come with broadcasts is its own knowledge, and not merged. Each law is shown to fail
//! for a rule that breaks it.

use std::net::SocketAddr;

use super::{Order, STATUSES, TAG, addr_of, at, members, record, verdict};
use crate::node::Status;
use crate::protocol::membership::{Members, Merged};
use crate::wire::{NameHash, Record};

/// How news is taken into a view.
type MergeRule = fn(&mut Members, Order) -> Merged;

/// What is compared of a node.
type Outcome = Option<(Order, Option<SocketAddr>)>;

const NAME: &str = "a";

/// Each number has one address.
fn addr((generation, incarnation, _): Order) -> SocketAddr {
    addr_of(usize::try_from(10 * generation + incarnation).unwrap())
}

fn name() -> NameHash {
    NameHash::of(TAG, NAME)
}

/// All possible news.
fn news() -> Vec<Order> {
    let numbers = (1..=2).flat_map(|generation| (0..=2).map(move |incarnation| (generation, incarnation)));
    numbers
        .flat_map(|(generation, incarnation)| STATUSES.map(|status| (generation, incarnation, status)))
        .collect()
}

/// The merge rule.
fn greatest(members: &mut Members, news: Order) -> Merged {
    let (generation, incarnation, status) = news;
    if status == Status::Alive {
        let record = Record { addr: addr(news), ..record(NAME, generation, incarnation) };
        members.merge_alive(at(1), name(), &record)
    } else {
        members.merge_verdict(at(1), &verdict(name(), news))
    }
}

fn held(members: &Members) -> Option<Order> {
    super::held(members, NAME)
}

fn outcome(members: &Members) -> Outcome {
    let seen = members.get(name())?.seen();
    let told = seen.status.is_active() && seen.is_complete;
    Some(((seen.generation.0, seen.incarnation.0, seen.status), told.then_some(seen.addr)))
}

/// A view that holds this, or nothing.
fn holding(order: Option<Order>) -> Members {
    let mut members = members();
    if let Some(order) = order {
        greatest(&mut members, (order.0, order.1, Status::Alive));
        greatest(&mut members, order);
    }
    members
}

/// Everything that a view may hold.
fn views() -> Vec<Option<Order>> {
    [None].into_iter().chain(news().into_iter().map(Some)).collect()
}

/// A view that has held one thing after news came in this order, and whether some of it was refused.
fn after(rule: MergeRule, before: Option<Order>, news: &[Order]) -> (Outcome, bool) {
    let mut members = holding(before);
    let refused = news.iter().filter(|news| rule(&mut members, **news) == Merged::Refused).count();
    (outcome(&members), refused > 0)
}

fn idempotent(rule: MergeRule) -> Result<(), String> {
    for (before, news) in pairs(views(), news()) {
        let mut members = holding(before);
        rule(&mut members, news);
        let (once, version) = (outcome(&members), members.version());
        let again = rule(&mut members, news);
        let is_same = outcome(&members) == once && members.version() == version;
        if !is_same || matches!(again, Merged::Changed(_)) {
            return Err(format!("{before:?} and {news:?} twice"));
        }
    }
    Ok(())
}

fn commutative(rule: MergeRule) -> Result<(), String> {
    for (before, (one, other)) in pairs(views(), pairs(news(), news())) {
        let (first, refused_first) = after(rule, before, &[one, other]);
        let (second, refused_second) = after(rule, before, &[other, one]);
        if !refused_first && !refused_second && first != second {
            return Err(format!("{before:?}, {one:?} and {other:?}: {first:?} or {second:?}"));
        }
    }
    Ok(())
}

/// Merges into a view everything that another one holds: what the node has said, and what is held against it.
fn tell_all(rule: MergeRule, members: &mut Members, other: &Members) {
    if let Some((generation, incarnation, status)) = held(other) {
        rule(members, (generation, incarnation, Status::Alive));
        rule(members, (generation, incarnation, status));
    }
}

fn associative(rule: MergeRule) -> Result<(), String> {
    for (first, (second, third)) in pairs(views(), pairs(views(), views())) {
        let mut to_the_left = holding(first);
        tell_all(rule, &mut to_the_left, &holding(second));
        tell_all(rule, &mut to_the_left, &holding(third));
        let mut right = holding(second);
        tell_all(rule, &mut right, &holding(third));
        let mut to_the_right = holding(first);
        tell_all(rule, &mut to_the_right, &right);
        if outcome(&to_the_left) != outcome(&to_the_right) {
            return Err(format!("{first:?}, {second:?} and {third:?}"));
        }
    }
    Ok(())
}

fn monotone(rule: MergeRule) -> Result<(), String> {
    for (less, (more, news)) in pairs(views(), pairs(views(), news())) {
        let (from_less, from_more) = (after(rule, less, &[news]).0, after(rule, more, &[news]).0);
        let order = |outcome: Outcome| outcome.map(|(order, _)| order);
        if order(from_less) < less {
            return Err(format!("{less:?} and {news:?} make {from_less:?}"));
        }
        if less <= more && order(from_less) > order(from_more) {
            return Err(format!("{less:?}, {more:?} and {news:?} make {from_less:?} and {from_more:?}"));
        }
    }
    Ok(())
}

fn confluent(rule: MergeRule) -> Result<(), String> {
    for (one, (two, three)) in pairs(news(), pairs(news(), news())) {
        let orders = [[one, two, three], [two, three, one], [three, one, two]];
        let backwards = orders.map(|[one, two, three]| [three, two, one]);
        let outcomes = orders.iter().chain(&backwards).map(|order| after(rule, None, &order.repeat(3)).0);
        let outcomes: Vec<Outcome> = outcomes.collect();
        if outcomes.iter().any(|outcome| *outcome != outcomes[0]) {
            return Err(format!("{one:?}, {two:?} and {three:?}: {outcomes:?}"));
        }
    }
    Ok(())
}

fn pairs<A: Copy, B: Copy>(one: Vec<A>, other: Vec<B>) -> Vec<(A, B)> {
    one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))).collect()
}

#[test]
fn the_merge_rule_keeps_its_laws() {
    assert_eq!(idempotent(greatest), Ok(()));
    assert_eq!(commutative(greatest), Ok(()));
    assert_eq!(associative(greatest), Ok(()));
    assert_eq!(monotone(greatest), Ok(()));
    assert_eq!(confluent(greatest), Ok(()));
}

/// A rule that holds the news that came last.
fn latest(members: &mut Members, news: Order) -> Merged {
    match greatest(members, news) {
        Merged::Older => {
            *members = holding(Some(news));
            Merged::Changed(None)
        }
        merged => merged,
    }
}

#[test]
fn a_rule_that_takes_the_older_breaks_them() {
    // The last one of all is the same, however they are grouped.
    assert_eq!(associative(latest), Ok(()));
    assert!(commutative(latest).is_err());
    assert!(monotone(latest).is_err());
    assert!(confluent(latest).is_err());
}

/// A rule that forgets dead nodes.
fn forgetful(members: &mut Members, news: Order) -> Merged {
    let merged = greatest(members, news);
    if held(members).is_some_and(|(_, _, status)| !status.is_active()) {
        *members = holding(None);
    }
    merged
}

#[test]
fn a_rule_without_tombstones_breaks_them() {
    assert!(commutative(forgetful).is_err());
    assert!(associative(forgetful).is_err());
    assert!(monotone(forgetful).is_err());
    assert!(confluent(forgetful).is_err());
}

/// A rule by which an accusation does not beat the incarnation that it accuses.
fn credulous(members: &mut Members, news: Order) -> Merged {
    let is_of_the_same = held(members).is_some_and(|held| (held.0, held.1) == (news.0, news.1));
    if is_of_the_same { Merged::Same } else { greatest(members, news) }
}

#[test]
fn a_rule_that_ranks_no_status_breaks_them() {
    assert!(commutative(credulous).is_err());
    assert!(confluent(credulous).is_err());
}

/// A rule by which each accusation is one of the next incarnation.
fn eager(members: &mut Members, news: Order) -> Merged {
    let held = held(members).map_or(0, |(_, incarnation, _)| incarnation);
    let raised = if news.2 == Status::Suspect { held + 1 } else { news.1 };
    greatest(members, (news.0, raised, news.2))
}

#[test]
fn a_rule_that_counts_accusations_breaks_them() {
    assert!(idempotent(eager).is_err());
}

/// A rule that does not take the address of an accused incarnation any more.
fn addressless(members: &mut Members, news: Order) -> Merged {
    let is_accused = held(members).is_some_and(|held| (held.0, held.1) == (news.0, news.1));
    if is_accused && news.2 == Status::Alive { Merged::Older } else { greatest(members, news) }
}

#[test]
fn a_rule_that_loses_an_address_breaks_them() {
    assert!(commutative(addressless).is_err());
    assert!(confluent(addressless).is_err());
}
