//! Why a link could not be had, in words for the user and in variants for exit codes (`endpoints.md` j.3).

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::tls::TlsError;
use super::websocket::UpgradeError;
use crate::address::TransportKind;

/// Why connecting failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The socket belongs to someone who does not share it.
    #[error(
        "no permission to connect to '{target}': ask its owner for --socket-permissions or the right group"
    )]
    AccessDenied {
        /// The address.
        target: String,
    },
    /// Nobody answered, or the network refused.
    #[error("cannot connect to '{target}': {reason}{}", waiting(*.waited))]
    Failed {
        /// The address.
        target: String,
        /// The class of the last failure.
        kind: io::ErrorKind,
        /// The last failure.
        reason: String,
        /// How long it was tried.
        waited: Duration,
    },
    /// The host's name leads nowhere.
    #[error("cannot find host '{host}': {reason}")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// SSH did not lead there.
    #[error("cannot connect to '{target}' by ssh: {reason}")]
    Ssh {
        /// The address.
        target: String,
        /// What went wrong, and what to do.
        reason: String,
    },
    /// The SSH server is not, or not surely, the one it should be.
    #[error("cannot connect to '{target}' by ssh: {reason}")]
    SshHostKey {
        /// The address.
        target: String,
        /// What is known about its key, and what to do.
        reason: String,
    },
    /// The other end was reached, but not in private.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A display or session name that discovery has not turned into a socket.
    #[error("'{target}' has not been looked up")]
    Unresolved {
        /// The address.
        target: String,
    },
    /// A kind of transport that is not available here.
    #[error("cannot connect to '{target}': this kind of connection is not available")]
    Unsupported {
        /// The address.
        target: String,
    },
    /// There is a server, but not one that speaks xpra over WebSockets.
    #[error("cannot connect to '{target}': {reason}")]
    WebSocket {
        /// The address.
        target: String,
        /// What is in the way.
        reason: UpgradeError,
    },
}

impl ConnectError {
    /// The other machine has nothing to talk to.
    pub(super) fn no_xpra(target: String) -> Self {
        let reason =
            "no xpra command was found there: install xpra or xpra-rs on that machine, or say where it is \
                      with --remote-xpra"
                .to_owned();
        Self::Ssh { target, reason }
    }

    pub(super) fn failed(target: &str, error: &io::Error, waited: Duration) -> Self {
        let target = target.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::AccessDenied { target },
            kind => Self::Failed {
                target,
                kind,
                reason: error.to_string(),
                waited,
            },
        }
    }
}

fn waiting(waited: Duration) -> String {
    match waited.as_secs() {
        0 => String::new(),
        seconds => format!(" (tried for {seconds} s)"),
    }
}

/// Why listening failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A server answers there.
    #[error("a server is already listening on '{place}': stop it, choose another display, or use upgrade")]
    AlreadyExists {
        /// The socket.
        place: String,
    },
    /// Someone else's socket is in the way.
    #[error("the socket '{place}' exists and may not be opened: it belongs to another user")]
    Denied {
        /// The socket.
        place: String,
    },
    /// The socket could not be made.
    #[error("cannot listen on '{place}': {reason}")]
    Failed {
        /// The socket.
        place: String,
        /// The class of the failure.
        kind: io::ErrorKind,
        /// The failure.
        reason: String,
    },
    /// The host's name leads nowhere.
    #[error("cannot find host '{host}' to listen on: {reason}")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No directory for a socket is usable.
    #[error(
        "cannot create a socket in any socket directory: set --socket-dir to a directory you may write to"
    )]
    NoDirectory,
    /// Something that is no socket has the socket's name.
    #[error("'{}' exists and is not a socket: remove it or choose another path", .path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Another program has the pipe's name.
    #[error(
        "the pipe '{path}' exists and is not yours: another program made it first; choose another name, or find out which and stop it"
    )]
    PipeTaken {
        /// The pipe.
        path: String,
    },
    /// A kind of transport that is not available here.
    #[error("listening on {kind} is not available")]
    Unsupported {
        /// The kind.
        kind: TransportKind,
    },
}

impl ListenError {
    pub(super) fn failed(place: impl ToString, error: &io::Error) -> Self {
        Self::Failed {
            place: place.to_string(),
            kind: error.kind(),
            reason: error.to_string(),
        }
    }
}

/// Why a listener cannot accept any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot accept connections on '{place}': {reason}")]
pub struct AcceptError {
    /// The socket.
    pub place: String,
    /// The failure.
    pub reason: String,
}
