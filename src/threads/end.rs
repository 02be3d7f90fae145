//! Why a member has ended, and what that means for its calls.

use std::net::SocketAddr;

use crate::error::{Error, Result};

/// Why a member has ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// By `leave`, `shutdown` or the drop of the last handle.
    Closed,
    /// It lost its name to another run of it.
    NameTaken {
        /// The name.
        name: String,
        /// Where the other one runs.
        addr: SocketAddr,
    },
    /// A thread panicked, in our code.
    Panicked(String),
}

impl End {
    /// What calls answer after it.
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::Closed => Error::Closed,
            Self::NameTaken { name, addr } => Error::NameTaken { name: name.clone(), addr: *addr },
            Self::Panicked(thread) => Error::Panicked(thread.clone()),
        }
    }

    /// What `leave` and `shutdown` answer after it.
    pub(crate) fn result(&self) -> Result<()> {
        match self {
            Self::Closed | Self::NameTaken { .. } => Ok(()),
            Self::Panicked(_) => Err(self.error()),
        }
    }
}
