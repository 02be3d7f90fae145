//! Lists of who may be in the cluster, on real sockets.

use headcount::{Error, Member};

use crate::rig::{config, start, wait_for_count};

/// Why the only seed of a join did not let the member in.
fn refused(member: &Member, seed: &Member) -> Error {
    match member.join(seed.addr()) {
        Err(Error::Join(mut seeds)) if seeds.len() == 1 => seeds.remove(0).1,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_seed_outside_the_own_networks_is_refused_and_a_joiner_from_there_never_answered() {
    let a = Member::create(config("a").allow_networks(["127.0.0.1", "fd00::/8"])).unwrap();
    let b = Member::create(config("b").bind("127.0.0.2:0")).unwrap();
    assert!(matches!(refused(&a, &b), Error::Refused));
    assert!(matches!(refused(&b, &a), Error::NoAnswer));
    assert!(a.metrics().not_allowed > 0);
    start("c").join(a.addr()).unwrap();
    assert_eq!(a.all_nodes().len(), 2);
}

#[test]
fn a_joiner_whose_name_is_not_on_the_list_is_told_so() {
    let a = Member::create(config("web-1").allow_names(["web-*"])).unwrap();
    assert!(matches!(refused(&start("db-1"), &a), Error::Refused));
    let b = start("web-2").join(a.addr()).unwrap();
    wait_for_count(&a, 2);
    wait_for_count(&b, 2);
}

#[test]
fn a_member_that_its_own_lists_leave_out_is_not_created() {
    for (config, expected) in [
        (config("a").allow_networks(["10.0.0.0/8"]), "allow_networks"),
        (config("a").allow_names(["b*"]), "allow_names"),
    ] {
        match Member::create(config) {
            Err(Error::Config { field, .. }) => assert_eq!(field, expected),
            other => panic!("{other:?}"),
        }
    }
}
