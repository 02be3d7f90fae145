//! The one error of all decoders: [`Malformed`].

/// The datagram breaks the format; nothing of it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;
