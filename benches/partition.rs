//! A cut through the middle of a cluster and its end: two network namespaces with eight members each, joined
//! by a pair of virtual interfaces that goes down for a minute.
//!
//!     cargo bench --bench partition            # needs root and the `ip` command (iproute2)
//!     cargo bench --bench partition -- 10      # the cut lasts 10 s
//!
//! The namespaces are made here and removed again, also on failure; all addresses live inside them. Prints a
//! table; the exit code tells whether both halves gave each other up and came together again. Without root or
//! `ip` it says so and measures nothing.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

mod fleet;
mod namespaces;

use std::collections::BTreeSet;
use std::process::{self, ExitCode};
use std::time::Duration;

use fleet::{AnyResult, Fleet, Told, What, now, row, spread};
use namespaces::{Janitor, ip, launcher};

const MEMBERS_A_SIDE: usize = 8;
const CUT: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(120);
const AFTERMATH: Duration = Duration::from_secs(5);
/// Inside the namespaces only.
const ADDRESSES: [&str; 2] = ["10.213.77.1", "10.213.77.2"];

fn main() -> ExitCode {
    fleet::main(|numbers| {
        let cut = numbers.first().map_or(CUT, |seconds| Duration::from_secs(*seconds));
        let network = match Network::new() {
            Ok(network) => network,
            Err(reason) => {
                println!("not run: no network namespaces here ({reason})");
                return Ok(None);
            }
        };
        let is_right = measure(&network, cut)?;
        let complaint = "The halves did not give each other up, or did not come together again.";
        Ok((!is_right).then(|| complaint.to_owned()))
    })
}

/// True if everything went as it should.
fn measure(network: &Network, cut: Duration) -> AnyResult<bool> {
    let members = 2 * MEMBERS_A_SIDE;
    println!("{MEMBERS_A_SIDE} + {MEMBERS_A_SIDE} members, LAN profile, cut for {} s\n", cut.as_secs());
    let mut fleet = Fleet::new();
    let mut sides = [BTreeSet::new(), BTreeSet::new()];
    for (side, names) in sides.iter_mut().enumerate() {
        for index in 0..MEMBERS_A_SIDE {
            let name = format!("{}{index}", ["left", "right"][side]);
            fleet.start(&launcher(&network.namespaces[side]), &name, &format!("{}:0", ADDRESSES[side]))?;
            names.insert(name);
        }
    }
    fleet.join_all("left0", Duration::from_secs(30))?;
    fleet.watch(AFTERMATH);

    let (since, from) = (now(), fleet.log.len());
    network.link("down")?;
    fleet.watch(cut);
    let halves = [0, 1].map(|side| burials(&fleet.log[from..], &sides[side], &sides[1 - side], since));
    row(
        "of 8 x 8 burials, left of right and right of left",
        &format!("{}, {}", halves[0].len(), halves[1].len()),
    );
    row("  from the cut until then (least / middle / greatest)", &spread(halves.concat()));
    let inside = [0, 1].map(|side| burials(&fleet.log[from..], &sides[side], &sides[side], since).len());
    row("  burials within the own half", &(inside[0] + inside[1]).to_string());

    let since = now();
    network.link("up")?;
    let equal = fleet.wait_for_equal_views(members, since, LIMIT)?;
    row(
        "from the link's return until all 16 views are equal and complete",
        &equal.map_or("never".into(), |time| format!("{:.3} s", time.as_secs_f64())),
    );

    let from = fleet.log.len();
    fleet.watch(AFTERMATH);
    let later = fleet.log[from..].iter().filter(|told| is_death(told)).count();
    row("  deaths reported after that", &later.to_string());

    let full = MEMBERS_A_SIDE * MEMBERS_A_SIDE;
    let buried = halves.iter().all(|times| times.len() == full);
    Ok(buried && inside == [0, 0] && equal.is_some() && later == 0)
}

fn is_death(told: &Told) -> bool {
    matches!(&told.what, What::Event { word, .. } if word == "died")
}

/// When members of one side reported members of the other side dead, first times only.
fn burials(log: &[Told], by: &BTreeSet<String>, of: &BTreeSet<String>, since: Duration) -> Vec<Duration> {
    let mut seen = BTreeSet::new();
    let mut times = Vec::new();
    for told in log {
        if let What::Event { word, about, .. } = &told.what
            && word == "died"
            && by.contains(&told.by)
            && of.contains(about)
            && seen.insert((&told.by, about))
        {
            times.push(told.at.saturating_sub(since));
        }
    }
    times
}

/// Two namespaces with one interface each, joined like by a cable. Removed when dropped.
struct Network {
    namespaces: [String; 2],
    interfaces: [String; 2],
    _janitor: Janitor,
}

impl Network {
    fn new() -> AnyResult<Self> {
        let id = process::id();
        let namespaces = [format!("headcount-{id}-left"), format!("headcount-{id}-right")];
        // At most 15 bytes.
        let interfaces = [format!("hc{id}l"), format!("hc{id}r")];
        ip("netns list")?;
        let network = Self { _janitor: Janitor::hire(&namespaces)?, namespaces, interfaces };

        let [left, right] = &network.namespaces;
        let [left_end, right_end] = &network.interfaces;
        ip(&format!("netns add {left}"))?;
        ip(&format!("netns add {right}"))?;
        // Made inside the namespaces, so that the host's own interfaces stay as they are.
        ip(&format!("-n {left} link add {left_end} type veth peer name {right_end} netns {right}"))?;
        for (side, addr) in ADDRESSES.iter().enumerate() {
            let (namespace, interface) = (&network.namespaces[side], &network.interfaces[side]);
            ip(&format!("-n {namespace} addr add {addr}/24 dev {interface}"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            ip(&format!("-n {namespace} link set {interface} up"))?;
        }
        Ok(network)
    }

    /// Takes the left end of the cable "up" or "down"; the right end then has no carrier.
    fn link(&self, state: &str) -> AnyResult<()> {
        ip(&format!("-n {} link set {} {state}", self.namespaces[0], self.interfaces[0]))
    }
}
