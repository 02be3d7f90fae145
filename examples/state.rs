//! Which service is to be asked? The one that says it has the least to do.
//!
//!     cargo run --example state
//!
//! Three services write their address and their load into their state. A client has both in its own view, so it
//! chooses without asking anybody, and chooses anew whenever something happens: a load changes, a service crashes,
//! another one takes its address back. Ends by itself after a few seconds; the exit code tells whether the client
//! went where it is told here that it goes.

#![expect(clippy::print_stdout, reason = "it tells a story")]

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use headcount::{Config, Event, Member, Node, Nodes};

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

/// Under these keys a service says where it is, and how many requests wait there.
const ADDRESS: &str = "address";
const LOAD: &str = "load";

/// How long a change may take. A crash is detected within a few seconds, all else at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a service says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    service: String,
    address: SocketAddr,
    load: u32,
}

impl Offer {
    /// None: the node is no service, or takes no requests now.
    fn of(node: &Node) -> Option<Self> {
        let address = node.text(ADDRESS)?.parse().ok()?;
        let load = node.text(LOAD)?.parse().ok()?;
        Some(Self { service: node.name().to_owned(), address, load })
    }
}

fn least_loaded(nodes: &Nodes) -> Option<Offer> {
    nodes.iter().filter_map(Offer::of).min_by_key(|offer| offer.load)
}

fn main() -> AnyResult<()> {
    let client = Client::start()?;

    client.tell("red, green and blue start, with loads of 10, 20 and 30");
    let red = start_service("red", "10.0.0.1:8080", 10, &client.member)?;
    let green = start_service("green", "10.0.0.2:8080", 20, &client.member)?;
    let blue = start_service("blue", "10.0.0.3:8080", 30, &client.member)?;
    client.member.wait_until(PATIENCE, |nodes| nodes.iter().filter_map(Offer::of).count() == 3)?;
    // Whom it heard of first was the best one for a moment.
    while client.next_choice()? != "red" {}

    client.tell("red has more to do: 90");
    red.set(LOAD, "90")?;
    client.expect_choice("green")?;

    client.tell("green crashes");
    drop(green);
    client.expect_choice("blue")?;

    client.tell("blue takes no more requests");
    blue.remove(ADDRESS)?;
    client.expect_choice("red")?;

    client.tell("all went as it should");
    Ok(())
}

/// The state is written before the service joins: whoever sees it in the cluster soon knows where it is.
fn start_service(name: &str, address: &str, load: u32, seed: &Member) -> headcount::Result<Member> {
    let service = Member::create(Config::local().name(name).bind("127.0.0.1:0"))?;
    service.set(ADDRESS, address)?;
    service.set(LOAD, load.to_string())?;
    service.join(seed.addr())
}

struct Client {
    began: Instant,
    member: Member,
    /// Who is the best one, each time it is another one.
    choices: Receiver<Option<Offer>>,
}

impl Client {
    fn start() -> AnyResult<Self> {
        let began = Instant::now();
        let (sender, choices) = channel();
        let mut choice: Option<Offer> = None;
        let config = Config::local().name("client").bind("127.0.0.1:0").on_event(move |member, event| {
            if let Event::Changed { node, key, value } = &event {
                let value = value.as_deref().map_or("nothing".into(), String::from_utf8_lossy);
                tell(began, &format!("    {} says: {key} is {value}", node.name()));
            }
            // The view shows what the event tells, and all that has happened besides: so one rule does for all
            // events, also when some of them were dropped.
            let best = least_loaded(&member.nodes());
            if best.as_ref().map(|offer| &offer.service) != choice.as_ref().map(|offer| &offer.service) {
                choice.clone_from(&best);
                // Nobody listens any more when the story is over.
                let _ = sender.send(best);
            }
        });
        Ok(Self { began, member: Member::create(config)?, choices })
    }

    /// Waits until the client chooses another service, and returns its name.
    fn next_choice(&self) -> AnyResult<String> {
        let choice = self.choices.recv_timeout(PATIENCE).map_err(|_| "the client stays where it is")?;
        let offer = choice.ok_or("the client knows no service any more")?;
        self.tell(&format!("    the client asks {} at {}", offer.service, offer.address));
        Ok(offer.service)
    }

    fn expect_choice(&self, service: &str) -> AnyResult<()> {
        match self.next_choice()? {
            chosen if chosen == service => Ok(()),
            chosen => Err(format!("the client went to {chosen}, not to {service}").into()),
        }
    }

    fn tell(&self, text: &str) {
        tell(self.began, text);
    }
}

fn tell(began: Instant, text: &str) {
    println!("{:>7.3} s  {text}", began.elapsed().as_secs_f64());
}
