//! The members, and what their listeners note on the board.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use headcount::{Event, Member, Node};

use crate::AnyResult;
use crate::arguments::Arguments;
use crate::board::Board;

/// The one key that is written.
const KEY: &str = "v";
/// Enough for a call that waits, and less to leave behind than the usual 2 MiB.
const CALLER_STACK: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Crowd {
    board: Arc<Board>,
    members: BTreeMap<usize, Member>,
}

impl Crowd {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self { board, members: BTreeMap::new() }
    }

    /// Creates a member: its socket is bound and its threads run, and it is alone.
    pub(crate) fn start(&mut self, arguments: &Arguments, index: usize) -> AnyResult<()> {
        let board = Arc::clone(&self.board);
        let config = arguments.config(index).name(format!("n{index}"));
        let config = config.on_event(move |member, event| note(&board, index, member, &event));
        self.members.insert(index, Member::create(config)?);
        Ok(())
    }

    /// Has these members join another one, all at the same moment. Does not wait for them.
    pub(crate) fn join(&self, joiners: &[usize], seed: usize) -> AnyResult<()> {
        let seed = self.members[&seed].addr();
        for index in joiners {
            let member = self.members[index].clone();
            let join = move || {
                if let Err(error) = member.join(seed) {
                    eprintln!("{}: {error}", member.name());
                }
            };
            thread::Builder::new().stack_size(CALLER_STACK).spawn(join)?;
        }
        Ok(())
    }

    /// Ends a member without a word to the others. When this returns its port is free.
    pub(crate) fn kill(&mut self, index: usize) -> AnyResult<()> {
        self.members.remove(&index).ok_or("it was killed before")?.shutdown()?;
        Ok(())
    }

    /// Has a member write a value of 16 bytes.
    pub(crate) fn write(&self, index: usize, value: u64) -> AnyResult<()> {
        Ok(self.members[&index].set(KEY, format!("v{value:015}"))?)
    }
}

/// Puts down what a member was told.
fn note(board: &Board, observer: usize, member: &Member, event: &Event) {
    match event {
        Event::Joined(node) | Event::Recovered(node) => {
            index(node).inspect(|target| board.up(observer, *target));
            note_value(board, observer, node);
        }
        Event::Changed { node, .. } => note_value(board, observer, node),
        Event::Suspected(node) => {
            index(node).inspect(|target| board.suspect(observer, *target));
        }
        Event::Died { node, .. } | Event::Left(node) => {
            index(node).inspect(|target| board.down(observer, *target));
        }
        Event::Lagged(_) => {
            let nodes = member.nodes();
            for target in 0..board.members() {
                match nodes.get(&format!("n{target}")) {
                    Some(node) if target != observer => {
                        board.up(observer, target);
                        note_value(board, observer, node);
                    }
                    None if board.lists(observer, target) => board.down(observer, target),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn note_value(board: &Board, observer: usize, node: &Node) {
    let value = || node.text(KEY)?.strip_prefix('v')?.parse().ok();
    if let (Some(target), Some(value)) = (index(node), value()) {
        board.value(observer, target, value);
    }
}

fn index(node: &Node) -> Option<usize> {
    node.name().strip_prefix('n')?.parse().ok()
}
