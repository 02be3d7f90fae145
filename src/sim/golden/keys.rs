//! Keys that change while a world runs.

use super::acts::Theme;
use super::world::World;
use crate::MemberKeyring;
use crate::config::Config;
use crate::error::Result;
use crate::keyring::{Key, Keyring};
use crate::member::Member;

type Step = fn(&MemberKeyring<'_>) -> Result<()>;

/// From no key to the first, to the second, and to none; then it begins again.
const STEPS: [Step; 9] = [
    |keyring| keyring.install(key(1)),
    |keyring| keyring.use_key(key(1).id()),
    |keyring| keyring.refuse_plain(),
    |keyring| keyring.install(key(2)),
    |keyring| keyring.use_key(key(2).id()),
    |keyring| keyring.remove(key(1).id()),
    |keyring| keyring.accept_plain(),
    |keyring| keyring.use_plain(),
    |keyring| keyring.remove(key(2).id()),
];

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

impl World {
    /// With the key of all, which a fifth of them does not have; or with what suits the step that the change of keys
    /// has come to.
    pub(super) fn keyed(&self, config: Config, index: usize) -> Config {
        if self.theme() == Theme::Sealed {
            return config.keyring(Keyring::new(key(if index % 5 == 4 { 3 } else { 1 })));
        }
        match self.steps % STEPS.len() {
            0 => config,
            1 | 8 => config.keyring(Keyring::plain().with(key(1)).with(key(2))),
            2..=4 => config.keyring(Keyring::new(key(1)).with(key(2)).accepting_plain()),
            _ => config.keyring(Keyring::new(key(2)).with(key(1)).accepting_plain()),
        }
    }

    /// All running members take the next step, one after another.
    pub(super) fn take_step(&mut self) {
        let step = STEPS[self.steps % STEPS.len()];
        self.steps += 1;
        for member in self.running() {
            self.note(step(&member.keyring()), |()| 0);
            self.pass(0..120);
        }
    }

    /// One takes a step that the others do not take: some can not open what it sends.
    pub(super) fn take_step_out_of_turn(&mut self, member: &Member) {
        let step = STEPS[self.below(STEPS.len())];
        self.note(step(&member.keyring()), |()| 0);
    }
}
