//! Under a service manager: sockets it opened for this process, and word to it of how things are (`endpoints.md` i.2).

use super::exit::{ExitCode, Failure};
use crate::address::TransportKind;
use crate::discovery::Environment;
use crate::transport::{ListenOptions, Listener, adopt, is_listening};
use sd_notify::NotifyState;
use std::convert::Infallible;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;
use tokio::time::interval;

/// Listens on the sockets that were passed to this process (`LISTEN_FDS`); usually none.
///
/// What is spoken on an IP socket say `XPRA_SD3_SOCKET_TYPE` (for descriptor 3), `XPRA_SD_SOCKET_TYPE`, or the
/// socket's name (`FileDescriptorName=ssl`), in that order.
pub(super) fn listeners(
    environment: &Environment,
    options: &ListenOptions,
) -> Result<Vec<Listener>, Failure> {
    let invalid = |error| {
        Failure::new(
            ExitCode::SocketCreationError,
            format!("socket activation: {error}"),
        )
    };
    let passed = sd_notify::listen_fds_with_names().map_err(invalid)?;
    passed
        .map(|(number, name)| {
            let kind = kind(environment, number, &name)?;
            let listener = adopt(own(number).map_err(invalid)?, kind, options)?;
            tracing::debug!("the service manager passed {listener} as '{name}'");
            Ok(listener)
        })
        .collect()
}

/// A descriptor of our own for a listening socket that was passed to us.
#[expect(unsafe_code, reason = "descriptors are passed by number")]
fn own(number: RawFd) -> std::io::Result<OwnedFd> {
    // SAFETY: `listen_fds_with_names` has just changed a flag of this descriptor, so it is open, and it is not -1. It
    // is borrowed for this function alone, which duplicates it: who else believes to own the number is not disturbed.
    let passed = unsafe { BorrowedFd::borrow_raw(number) };
    if !is_listening(&passed) {
        let message = format!("descriptor {number} is no stream socket that listens");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, message));
    }
    passed.try_clone_to_owned()
}

fn kind(environment: &Environment, number: RawFd, name: &str) -> Result<Option<TransportKind>, Failure> {
    let variables = [
        format!("XPRA_SD{number}_SOCKET_TYPE"),
        "XPRA_SD_SOCKET_TYPE".to_owned(),
    ];
    let set = variables
        .iter()
        .find_map(|variable| Some((variable, environment.variable(variable)?)));
    match set {
        Some((variable, text)) => match tcp_kind(text) {
            Some(kind) => Ok(Some(kind)),
            None => {
                let message = format!("{variable}: '{text}' is not one of tcp, ssl, ws, wss, ssh");
                Err(Failure::new(ExitCode::SocketCreationError, message))
            }
        },
        None => Ok(tcp_kind(name)),
    }
}

fn tcp_kind(text: &str) -> Option<TransportKind> {
    let kinds = [
        TransportKind::Tcp,
        TransportKind::Ssl,
        TransportKind::Ws,
        TransportKind::Wss,
        TransportKind::Ssh,
    ];
    kinds.into_iter().find(|kind| kind.name() == text)
}

/// Says that clients can come.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Says that the end has begun.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Says that this process still does something, as often as it was asked to; not at all when it was not.
pub(super) async fn watchdog() -> Infallible {
    // Twice as often as needed, as is the custom.
    let pause = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let Some(pause) = pause.filter(|pause| *pause > Duration::ZERO) else {
        return std::future::pending().await;
    };
    let mut tick = interval(pause);
    loop {
        tick.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("the service manager was not told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_special_setting_tells_the_kind() {
        let mut environment = Environment::default();
        assert_eq!(kind(&environment, 3, "unknown"), Ok(None));
        assert_eq!(kind(&environment, 3, "wss"), Ok(Some(TransportKind::Wss)));
        let mut set = |name: &str, value: &str| {
            environment.variables.insert(name.to_owned(), value.to_owned());
            environment.clone()
        };
        let general = set("XPRA_SD_SOCKET_TYPE", "ssl");
        assert_eq!(kind(&general, 3, "wss"), Ok(Some(TransportKind::Ssl)));
        let special = set("XPRA_SD4_SOCKET_TYPE", "ws");
        assert_eq!(kind(&special, 3, ""), Ok(Some(TransportKind::Ssl)));
        assert_eq!(kind(&special, 4, ""), Ok(Some(TransportKind::Ws)));
        let wrong = set("XPRA_SD_SOCKET_TYPE", "socket");
        assert!(
            kind(&wrong, 3, "")
                .unwrap_err()
                .message
                .starts_with("XPRA_SD_SOCKET_TYPE: 'socket'")
        );
    }

    #[test]
    fn only_listening_sockets_are_taken() {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(own(file.as_raw_fd()).is_err());
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(is_listening(&own(socket.as_raw_fd()).unwrap()));
    }
}
