//! Exit codes: xpra's numbers and names, and which of them a failure gets (`endpoints.md` j.3, `session.md` e).

use crate::address::AddressError;
use crate::discovery::DiscoveryError;
use crate::display::DisplayError;
use crate::protocol::{CloseReason, NegotiationError, reason};
use crate::session::RequestError;
use crate::transport::ssh::SshServerError;
use crate::transport::tls::TlsError;
use crate::transport::{ConnectError, ListenError};
use std::{fmt, io};

/// The exit codes of xpra 6.x; those below 21 mean the same in 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are all there is to say")]
pub enum ExitCode {
    Ok = 0,
    ConnectionLost = 1,
    Timeout = 2,
    PasswordRequired = 3,
    PasswordFileError = 4,
    IncompatibleVersion = 5,
    EncryptionError = 6,
    Failure = 7,
    SshFailure = 8,
    PacketFailure = 9,
    MmapTokenFailure = 10,
    NoAuthentication = 11,
    Unsupported = 12,
    RemoteError = 13,
    InternalError = 14,
    FileTooBig = 15,
    SslFailure = 16,
    SshKeyFailure = 17,
    ConnectionFailed = 18,
    SslCertificateVerifyFailure = 19,
    NoDisplay = 20,
    ServerAlreadyExists = 21,
    SocketCreationError = 22,
    VfbError = 23,
    FileNotFound = 24,
    Upgrade = 25,
    IoError = 26,
    NoData = 27,
    AuthenticationFailed = 28,
    DeviceNotFound = 29,
    OpenglUnsafe = 30,
    ComponentMissing = 31,
    WmError = 32,
    ServerNotFound = 33,
    ArgumentMismatch = 34,
    MmapFailure = 35,
    /// `SIGINT` came.
    Interrupted = 128 + 2,
    /// `SIGTERM` came.
    Terminated = 128 + 15,
}

impl ExitCode {
    /// What the program returns.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code of a session that ended like this, before or after it was `connected`.
    pub fn of_session(end: &CloseReason, connected: bool) -> Self {
        match end {
            CloseReason::Disconnected { reason, .. } => Self::of_reason(reason, connected),
            CloseReason::Encryption(_) => Self::EncryptionError,
            CloseReason::Local { reason, .. } => Self::of_reason(reason, true),
            CloseReason::Abandoned | CloseReason::Io(_) | CloseReason::PeerClosed { .. } if connected => {
                Self::ConnectionLost
            }
            CloseReason::Abandoned | CloseReason::Io(_) | CloseReason::PeerClosed { .. } => {
                Self::ConnectionFailed
            }
            CloseReason::Protocol(_) => Self::PacketFailure,
            CloseReason::Refused(text) if text.contains(reason::AUTHENTICATION_FAILED) => {
                Self::AuthenticationFailed
            }
            CloseReason::Refused(text) if text.contains(reason::ENCRYPTION_ERROR) => Self::EncryptionError,
            CloseReason::Refused(_) => Self::ConnectionFailed,
            CloseReason::TimedOut(_) => Self::Timeout,
        }
    }

    /// The code of TLS that did not come about.
    const fn of_tls(error: &TlsError) -> Self {
        if error.is_verification() {
            Self::SslCertificateVerifyFailure
        } else {
            Self::SslFailure
        }
    }

    /// The code of a server's goodbye: before the session began any is a failure.
    fn of_reason(text: &str, connected: bool) -> Self {
        match text {
            reason::AUTHENTICATION_FAILED => Self::AuthenticationFailed,
            reason::ENCRYPTION_ERROR => Self::EncryptionError,
            reason::VERSION_ERROR => Self::IncompatibleVersion,
            reason::SERVER_UPGRADE => Self::Upgrade,
            text if reason::is_error(text) => Self::Failure,
            _ if connected => Self::Ok,
            _ => Self::ConnectionFailed,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

/// Why a command ends early: what to tell the user, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// For the user: what, where, what to do. Empty when there is nobody left to read it.
    pub message: String,
}

impl Failure {
    /// A failure with that code and that message.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A file that cannot be written.
    pub fn cannot_write(path: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(ExitCode::IoError, format!("cannot write '{path}': {error}"))
    }

    /// The same, told with where it happened.
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self {
            message: format!("{place}: {self}"),
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        Self::new(ExitCode::ConnectionLost, error.to_string())
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = match &error {
            ConnectError::Ssh { .. } => ExitCode::SshFailure,
            ConnectError::SshHostKey { .. } => ExitCode::SshKeyFailure,
            ConnectError::Tls(error) => ExitCode::of_tls(error),
            ConnectError::Unsupported { .. }
            | ConnectError::Failed {
                kind: io::ErrorKind::Unsupported,
                ..
            } => ExitCode::Unsupported,
            _ => ExitCode::ConnectionFailed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<DisplayError> for Failure {
    fn from(error: DisplayError) -> Self {
        Self::new(ExitCode::NoDisplay, error.to_string())
    }
}

impl From<DiscoveryError> for Failure {
    fn from(error: DiscoveryError) -> Self {
        let code = match error {
            DiscoveryError::Inaccessible { .. } => ExitCode::ConnectionFailed,
            DiscoveryError::NoListing { .. } => ExitCode::Failure,
            DiscoveryError::SeveralSessions { .. } => ExitCode::ArgumentMismatch,
            _ => ExitCode::ServerNotFound,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        let code = match error {
            ListenError::AlreadyExists { .. } => ExitCode::ServerAlreadyExists,
            ListenError::Unsupported { .. }
            | ListenError::Failed {
                kind: io::ErrorKind::Unsupported,
                ..
            } => ExitCode::Unsupported,
            _ => ExitCode::SocketCreationError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NegotiationError> for Failure {
    fn from(error: NegotiationError) -> Self {
        Self::new(ExitCode::IncompatibleVersion, error.to_string())
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let code = match &error {
            RequestError::Ended { reason, connected } => match ExitCode::of_session(reason, *connected) {
                // it may have ended well, but not with an answer
                ExitCode::Ok => ExitCode::Failure,
                code => code,
            },
            RequestError::Missing(_) => ExitCode::Failure,
            RequestError::NoReply => ExitCode::Timeout,
            RequestError::Login(error) => return error.clone().into(),
            RequestError::Unsupported(_) => ExitCode::Unsupported,
            RequestError::WrongEcho => ExitCode::InternalError,
        };
        // some of the words may be the server's
        Self::new(code, super::info::line(&error.to_string()))
    }
}

impl From<SshServerError> for Failure {
    fn from(error: SshServerError) -> Self {
        Self::new(ExitCode::SshKeyFailure, error.to_string())
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Self::new(ExitCode::of_tls(&error), error.to_string())
    }
}

/// Writing what a command says: when nobody reads it any more there is nobody to tell.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let message = match error.kind() {
            io::ErrorKind::BrokenPipe => String::new(),
            _ => error.to_string(),
        };
        Self::new(ExitCode::IoError, message)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(kind @ io::ErrorKind::BrokenPipe) => io::Error::from(kind).into(),
            Some(_) => Self::new(ExitCode::IoError, format!("{error:#}")),
            None => Self::new(ExitCode::Failure, format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::TimedOut;

    fn goodbye(reason: &str) -> CloseReason {
        CloseReason::Disconnected {
            reason: reason.into(),
            details: Vec::new(),
        }
    }

    #[test]
    fn codes_of_ended_sessions() {
        let closed = CloseReason::PeerClosed {
            silent: false,
            truncated: false,
        };
        for (end, before, after) in [
            (
                goodbye(reason::SERVER_SHUTDOWN),
                ExitCode::ConnectionFailed,
                ExitCode::Ok,
            ),
            (
                goodbye(reason::SESSION_BUSY),
                ExitCode::ConnectionFailed,
                ExitCode::Ok,
            ),
            (
                goodbye(reason::IDLE_TIMEOUT),
                ExitCode::ConnectionFailed,
                ExitCode::Ok,
            ),
            (
                goodbye(reason::ENCRYPTION_ERROR),
                ExitCode::EncryptionError,
                ExitCode::EncryptionError,
            ),
            (
                CloseReason::Encryption("the packet is not encrypted".into()),
                ExitCode::EncryptionError,
                ExitCode::EncryptionError,
            ),
            (
                CloseReason::Refused("disconnect: encryption error, unsupported cipher".into()),
                ExitCode::EncryptionError,
                ExitCode::EncryptionError,
            ),
            (
                goodbye(reason::SERVER_ERROR),
                ExitCode::Failure,
                ExitCode::Failure,
            ),
            (
                goodbye(reason::CLIENT_PING_TIMEOUT),
                ExitCode::Failure,
                ExitCode::Failure,
            ),
            (
                goodbye(reason::SERVER_UPGRADE),
                ExitCode::Upgrade,
                ExitCode::Upgrade,
            ),
            (
                goodbye(reason::AUTHENTICATION_FAILED),
                ExitCode::AuthenticationFailed,
                ExitCode::AuthenticationFailed,
            ),
            (closed, ExitCode::ConnectionFailed, ExitCode::ConnectionLost),
            (
                CloseReason::TimedOut(TimedOut::Ping),
                ExitCode::Timeout,
                ExitCode::Timeout,
            ),
            (
                CloseReason::Protocol("x".into()),
                ExitCode::PacketFailure,
                ExitCode::PacketFailure,
            ),
        ] {
            assert_eq!(ExitCode::of_session(&end, false), before, "{end}");
            assert_eq!(ExitCode::of_session(&end, true), after, "{end}");
        }
    }

    #[test]
    fn a_request_without_an_answer_never_succeeds() {
        let ended = RequestError::Ended {
            reason: goodbye(reason::DONE),
            connected: true,
        };
        assert_eq!(Failure::from(ended).code, ExitCode::Failure);
    }

    #[test]
    fn a_closed_pipe_is_nothing_to_talk_about() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(broken()), Failure::new(ExitCode::IoError, ""));
        let wrapped = anyhow::Error::from(broken());
        assert_eq!(Failure::from(wrapped), Failure::new(ExitCode::IoError, ""));
        let told = anyhow::Error::from(io::Error::from(io::ErrorKind::NotFound)).context("cannot open x");
        assert_eq!(
            Failure::from(told),
            Failure::new(ExitCode::IoError, "cannot open x: entity not found")
        );
    }
}
