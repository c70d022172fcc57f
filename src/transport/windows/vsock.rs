//! vsock: Linux has it. Windows has sockets of another kind between a machine and its host.
#![expect(clippy::unused_async, reason = "as where there are some")]

use std::io;

use super::error::ListenError;
use super::listener::Listener;
use super::socket::Socket;
use super::{ConnectOptions, ListenOptions};
use crate::address::Bind;

const ABSENT: &str = "there is no vsock on Windows: use TCP";

fn absent() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, ABSENT)
}

/// Those options.
pub(super) fn bounded(options: &ConnectOptions) -> ConnectOptions {
    options.clone()
}

/// Says what to use instead.
pub(super) async fn connect(_: u32, _: u32) -> io::Result<Socket> {
    Err(absent())
}

/// Says what to use instead.
pub(super) fn listen(bind: &Bind, _: &ListenOptions) -> Result<Vec<Listener>, ListenError> {
    Err(ListenError::failed(bind, &absent()))
}
