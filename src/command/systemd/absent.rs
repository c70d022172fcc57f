//! Service managers that pass sockets: Windows has none.

use super::exit::Failure;
use crate::discovery::Environment;
use crate::transport::{ListenOptions, Listener};
use std::convert::Infallible;

/// None are passed.
pub(super) const fn listeners(_: &Environment, _: &ListenOptions) -> Result<Vec<Listener>, Failure> {
    Ok(Vec::new())
}

/// Nobody is told.
pub(super) const fn ready() {}

/// Nobody is told.
pub(super) const fn stopping() {}

/// Nobody asks.
pub(super) async fn watchdog() -> Infallible {
    std::future::pending().await
}
