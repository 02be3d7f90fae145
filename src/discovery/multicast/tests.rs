use super::*;
use crate::config::Config;

fn error(multicast: &mut Multicast) -> io::Error {
    let me = Member::create(Config::local().bind("127.0.0.1:0")).unwrap();
    multicast.discover(&me).unwrap_err()
}

#[test]
fn what_is_no_group_is_an_error() {
    let error = error(&mut Multicast::new().group(Ipv4Addr::LOCALHOST));
    assert_eq!(error.to_string(), "127.0.0.1 is not a multicast group");
}

#[test]
fn an_interface_that_is_not_there_is_an_error_that_says_where() {
    // Of a block for documentation: nobody has it.
    let error = error(&mut Multicast::new().interface(Ipv4Addr::new(198, 51, 100, 1)));
    let text = error.to_string();
    assert!(
        text.starts_with("multicast to 239.192.104.99:7991 on the interface of 198.51.100.1: "),
        "{text}"
    );
}

#[test]
fn a_group_of_a_family_that_the_member_does_not_have_does_not_stop_the_other_one() {
    let me = Member::create(Config::local().bind("127.0.0.1:0")).unwrap();
    assert_eq!(Multicast::new().discover(&me).unwrap(), []);
}

#[cfg(target_os = "linux")]
#[test]
fn an_interface_of_ipv6_is_found_by_its_address() {
    if std::net::UdpSocket::bind("[::1]:0").is_ok() {
        assert!(index_of(Ipv6Addr::LOCALHOST).is_some());
    }
    assert_eq!(index_of("2001:db8::1".parse().unwrap()), None);
}
