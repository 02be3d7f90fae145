use super::*;

#[test]
fn a_round_trip_measured_in_a_slow_time_does_not_hold_up_a_verdict_for_long() {
    let target = Target {
        name: NameHash(1),
        addr: ([10, 1, 0, 1], 7990).into(),
        generation: Generation(1),
        incarnation: Incarnation(0),
    };
    let began = Instant::default();
    let verdict_after = |rtt: Option<Duration>, health: u8| {
        let mut probe = Probe::new(began, Purpose::Round, target, rtt, Duration::from_millis(500), health);
        while probe.advance() != Step::PingAndAskRelays {}
        probe.due().since(began)
    };
    assert_eq!(verdict_after(None, 0), Duration::from_millis(500));
    assert_eq!(verdict_after(Some(Duration::from_millis(100)), 0), Duration::from_millis(1_200));
    // A host had been slow until its inbox was minutes long: it measured 13.5 s, and a node that died then was
    // shown for 24 minutes more.
    assert_eq!(verdict_after(Some(Duration::from_millis(13_500)), 0), Duration::from_secs(6));
    assert_eq!(verdict_after(Some(Duration::from_millis(13_500)), 8), Duration::from_secs(54));
}
