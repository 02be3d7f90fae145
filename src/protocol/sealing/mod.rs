//! Sealed datagrams, with and without the feature `encryption`.

#[cfg(feature = "encryption")]
mod replay;
#[cfg(feature = "encryption")]
mod sealed;
#[cfg(not(feature = "encryption"))]
mod unsealed;

#[cfg(feature = "encryption")]
pub(super) use sealed::{Refused, Sealing};
#[cfg(not(feature = "encryption"))]
pub(super) use unsealed::{Refused, Sealing};
