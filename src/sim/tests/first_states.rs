//! What others see of a state that is there from the start, and of several writes that are one step.

use std::time::Duration;

use super::{name, secs};
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::member::Member;
use crate::sim::Cluster;

fn config(index: usize) -> Config {
    Config::lan().name(name(index)).state("role", format!("web {index}")).state("zone", "b")
}

/// Members that have known each other for a while.
fn settled(seed: u64, n: usize) -> (Cluster, Vec<Member>) {
    let cluster = Cluster::new(seed);
    let members: Vec<Member> = (0..n).map(|index| cluster.add(config(index)).unwrap()).collect();
    members[1..].iter().for_each(|member| _ = member.join("n0").unwrap());
    cluster.run(secs(3));
    (cluster, members)
}

/// What a stream has reported of a node: its two keys in the event, or a key that was changed.
fn reported(events: &crossbeam_channel::Receiver<Event>, of: &str) -> Vec<String> {
    let of_node = events.try_iter().filter(|event| event.node().is_some_and(|node| node.name() == of));
    let text = |event: Event| match event {
        Event::Joined(node) => format!("joined {:?} {:?}", node.text("role"), node.text("zone")),
        Event::Restarted(node) => format!("restarted {:?} {:?}", node.text("role"), node.text("zone")),
        Event::Changed { node, key, .. } => format!("{key}: {:?} {:?}", node.text("role"), node.text("zone")),
        event => event.to_string(),
    };
    of_node.map(text).collect()
}

#[test]
fn the_state_from_the_start_is_in_the_first_event_of_all_that_were_there() {
    let (cluster, members) = settled(61, 8);
    let streams: Vec<_> = members.iter().map(Member::events).collect();
    let newcomer = cluster.add(config(8)).unwrap();
    let own = newcomer.events();
    newcomer.join("n3").unwrap();
    assert!(newcomer.nodes().iter().all(|node| node.text("zone") == Some("b")));
    cluster.run(secs(3));
    for events in &streams {
        assert_eq!(reported(events, "n8"), ["joined Some(\"web 8\") Some(\"b\")"]);
    }
    // It learns of most by comparing views, which brings states a moment later.
    assert_eq!(reported(&own, "n5").last().unwrap(), "zone: Some(\"web 5\") Some(\"b\")");
    cluster.crash("n8");
    let again = cluster.restart("n8", config(9).name("n8")).unwrap();
    again.join("n2").unwrap();
    cluster.run(secs(3));
    for events in &streams {
        assert_eq!(reported(events, "n8"), ["restarted Some(\"web 9\") Some(\"b\")"]);
    }
}

#[test]
fn several_writes_in_one_step_are_seen_in_one_step() {
    let (cluster, members) = settled(62, 4);
    let events = members[2].events();
    members[1].update(|state| _ = state.set("role", "db").remove("zone").set("x", "1")).unwrap();
    let own = members[1].local();
    assert_eq!((own.text("role"), own.text("zone"), own.text("x")), (Some("db"), None, Some("1")));
    cluster.run(Duration::from_millis(100));
    assert_eq!(
        reported(&events, "n1"),
        ["zone: Some(\"db\") None", "role: Some(\"db\") None", "x: Some(\"db\") None"]
    );
    // Nothing of it is written if a part of it cannot be.
    let refused = members[1].update(|state| _ = state.set("role", "web").set("long", [7; 1_025]));
    assert!(matches!(refused, Err(Error::TooLarge { what: "value", .. })), "{refused:?}");
    assert_eq!(members[1].local().text("role"), Some("db"));
    // What is removed makes room, in whichever order it is said.
    let fill = |key: usize| (format!("full {key}"), [7; 1_024]);
    let filled = (0..).map(fill).take_while(|(key, value)| members[1].set(key, value).is_ok()).count();
    assert!(filled > 60, "{filled}");
    let (next, value) = fill(filled);
    members[1].update(|state| _ = state.set(&next, value).remove("full 0")).unwrap();
}

#[test]
fn a_state_from_the_start_that_is_too_large_is_refused() {
    let cluster = Cluster::new(63);
    let refused = cluster.add(config(0).state("long", [7; 1_025])).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { what: "value", size: 1_025, limit: 1_024 }), "{refused}");
}
