//! How a member is to run.

/// The settings of a member.
#[derive(Debug)]
pub struct Config {}
