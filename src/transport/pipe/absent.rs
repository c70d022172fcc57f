//! Named pipes, which only Windows has.
#![expect(clippy::unused_async, reason = "as where there are some")]

use std::io;

use super::ListenOptions;
use super::error::ListenError;
use super::listener::Listener;
use super::socket::Socket;
use crate::address::Bind;

const ABSENT: &str =
    "named pipes are for sessions on the same Windows machine: here, give a display or socket:///PATH";

/// Says what to use instead.
pub(super) async fn connect(_: &str) -> io::Result<Socket> {
    Err(io::Error::new(io::ErrorKind::Unsupported, ABSENT))
}

/// Says what to use instead.
pub(super) fn listen(bind: &Bind, _: &ListenOptions) -> Result<Vec<Listener>, ListenError> {
    let hint = "named pipes are for sessions on Windows machines: here, use --bind=auto or --bind=/PATH";
    Err(ListenError::failed(
        bind,
        &io::Error::new(io::ErrorKind::Unsupported, hint),
    ))
}
