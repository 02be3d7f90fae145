//! The member's [`Transport`], and a way to know when it is gone.
//!
//! Several threads hold the transport, and the last one to let go drops it: it may be the receiver, or a call that is
//! just sending. The end of the member has to wait until that drop is *through*, since only then the address is free,
//! and a count of references is already zero while it still runs.

use std::convert::Infallible;
use std::ops::Deref;

use crossbeam_channel::Receiver;

use super::handles::Token;
use crate::transport::Transport;

/// A transport that tells when it has been dropped.
#[derive(Debug)]
pub(super) struct TransportHandle {
    transport: Box<dyn Transport>,
    /// Fields are dropped in this order: it is let go when the transport is gone.
    _token: Token,
}

impl TransportHandle {
    /// The second result is disconnected when the transport is gone.
    pub(super) fn new(transport: Box<dyn Transport>) -> (Self, Receiver<Infallible>) {
        let (token, gone) = crossbeam_channel::bounded(0);
        (Self { transport, _token: token }, gone)
    }
}

impl Deref for TransportHandle {
    type Target = dyn Transport;

    fn deref(&self) -> &Self::Target {
        &*self.transport
    }
}
