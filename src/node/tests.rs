use super::*;

fn node(name: &str, addr: &str) -> Node {
    Node::new(name, addr.parse().unwrap(), Status::Alive, Generation(1), Incarnation(0))
}

#[test]
fn names_of_all_lengths_are_kept() {
    for len in 1..=255 {
        let name = "n".repeat(len);
        assert_eq!(node(&name, "127.0.0.1:1").name(), name);
    }
    // A letter of two bytes that ends where the place for short names does, and beyond.
    for len in compact::SHORT_MAX - 3..compact::SHORT_MAX + 3 {
        let name = format!("{}é", "n".repeat(len));
        assert_eq!(node(&name, "127.0.0.1:1").name(), name);
    }
}

#[test]
fn addresses_of_both_families_are_kept() {
    for addr in ["10.1.2.3:7990", "255.255.255.254:65535", "[2001:db8::7]:1", "[::1]:7990", "[ff::ffff]:9"] {
        assert_eq!(node("a", addr).addr(), addr.parse().unwrap());
    }
}

#[test]
fn nodes_are_found_by_names_of_all_lengths_and_stand_in_their_order() {
    let mut names: Vec<String> =
        (1..40).flat_map(|len| ["a", "b", "é"].map(|text| text.repeat(len))).collect();
    let nodes = Nodes::new(names.iter().map(|name| node(name, "127.0.0.1:1")).collect());
    names.sort_unstable();
    assert!(nodes.iter().map(Node::name).eq(names.iter().map(String::as_str)));
    for name in &names {
        assert_eq!(nodes.get(name).map(Node::name), Some(name.as_str()));
    }
    assert_eq!(nodes.get("c"), None);
}

#[test]
fn a_node_is_small() {
    // With the two counts of its `Arc` that is 88 bytes; it was 96 and a name elsewhere.
    assert_eq!(size_of::<Inner>(), 72);
}
