//! SSH by another program: not on Windows, where a child's standard streams cannot be one socket. What is built in
//! does it.

use super::SshOptions;
use super::destination::Destination;
use crate::transport::{ConnectError, Link};

/// What is to be done about it.
pub(super) const MISSING: &str = "cannot be used on Windows: use --ssh=builtin";

/// Why there is no link.
#[derive(Debug)]
#[expect(dead_code, reason = "elsewhere programs are there and fail")]
pub(super) enum Failure {
    /// It is not used here.
    Missing(String),
    /// It is, and it failed.
    Failed(ConnectError),
}

/// Never connects.
pub(super) async fn connect(words: &[String], _: &Destination, _: &SshOptions) -> Result<Link, Failure> {
    Err(Failure::Missing(words.first().cloned().unwrap_or_default()))
}
