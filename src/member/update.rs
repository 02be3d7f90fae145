//! Several writes that are one step.

/// What [`Member::update`](crate::Member::update) is to write and to remove.
#[derive(Debug, Clone, Default)]
pub struct Update {
    pub(super) changes: Vec<(String, Option<Vec<u8>>)>,
}

impl Update {
    /// Writes a key.
    pub fn set(&mut self, key: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.changes.push((key.to_owned(), Some(value.as_ref().to_vec())));
        self
    }

    /// Removes a key; one that is not there is fine.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.changes.push((key.to_owned(), None));
        self
    }
}
