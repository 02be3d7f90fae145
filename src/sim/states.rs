//! States, as a model: what each write was, and what each view may show of it.
//!
//! | invariant | |
//! |---|---|
//! | a write is one thing | all over the cluster a key with a version holds one value |
//! | a copy does not go back | its version never falls while the run is the same |
//! | nothing is invented or comes back | what is new in a copy was written after all that it held before; so a removed key stays away |
//! | nothing is lost | what is no longer in a copy was rewritten or removed since |

use std::collections::BTreeMap;

use crate::node::Node;
use crate::state::{State, Written};
use crate::wire::hash::siphash;

/// Whose write, in which run, of which version: the key, and a hash of the value, if it was not removed.
type Writes = BTreeMap<(String, u64, u64), (String, Option<u64>)>;

/// All writes of all nodes, as far as any view has shown them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    writes: Writes,
}

impl Ledger {
    /// Notes what a view shows of a node now, where it showed another version before; returns what is wrong with it, if
    /// anything.
    pub(super) fn check(&mut self, before: Option<&Node>, now: &Node) -> Result<(), String> {
        let Some(state) = now.versioned_state() else {
            return match before.filter(|before| before.generation() == now.generation()) {
                Some(before) if before.state_version() > 0 => {
                    Err(format!("the state of {} is gone", now.name()))
                }
                _ => Ok(()),
            };
        };
        let nothing = State::default();
        let before = before
            .filter(|before| before.generation() == now.generation())
            .and_then(Node::versioned_state)
            .unwrap_or(&nothing);
        for write in state.written_after(before.version()) {
            self.note(now, &write)?;
        }
        follows(before, state).map_err(|wrong| format!("the state of {}: {wrong}", now.name()))
    }

    fn note(&mut self, node: &Node, write: &Written<'_>) -> Result<(), String> {
        let number = (node.name().to_owned(), node.generation(), write.version);
        let what = (write.key.to_owned(), write.value.map(|value| siphash((1, 2), value)));
        let known = self.writes.entry(number).or_insert_with(|| what.clone());
        if *known == what {
            Ok(())
        } else {
            Err(format!(
                "version {} of {} is of {:?} and of {:?}",
                write.version,
                node.name(),
                known.0,
                what.0
            ))
        }
    }
}

/// Whether a copy can have become another one.
fn follows(before: &State, after: &State) -> Result<(), String> {
    if after.version() < before.version() {
        return Err(format!("it went back from {} to {}", before.version(), after.version()));
    }
    let mut held: BTreeMap<u64, &str> =
        before.written_after(0).map(|write| (write.version, write.key)).collect();
    for write in after.written_after(0).take_while(|write| write.version <= before.version()) {
        if held.remove(&write.version) != Some(write.key) {
            return Err(format!("{:?} of version {} was not there before", write.key, write.version));
        }
    }
    for (version, key) in held {
        let was_there = before.get(key).is_some();
        let is_written_anew = after.written_after(before.version()).any(|write| write.key == key);
        // The removal came later than what was removed.
        let is_forgotten = after.base() > version || (after.base() == version && !was_there);
        if !is_written_anew && !is_forgotten {
            return Err(format!("{key:?} of version {version} was lost"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
