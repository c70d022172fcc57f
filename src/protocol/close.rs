//! [`CloseReason`]: how a connection ended.

use super::reason;
use compact_str::CompactString;
use std::fmt;

/// Which timer ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedOut {
    /// No hello in time.
    Login,
    /// No echo of our pings.
    Ping,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// Our owner goes on over another connection.
    Abandoned,
    /// The peer said goodbye with this reason and these details.
    Disconnected {
        /// One of [`reason`].
        reason: CompactString,
        /// More words.
        details: Vec<CompactString>,
    },
    /// The two ends did not agree on encryption, have different keys, or one does not encrypt.
    Encryption(String),
    /// The stream failed.
    Io(String),
    /// We said goodbye with this reason and these details.
    Local {
        /// One of [`reason`].
        reason: &'static str,
        /// More words.
        details: String,
    },
    /// The peer closed the stream; nothing at all was received when `silent`.
    PeerClosed {
        /// True when not one byte came.
        silent: bool,
        /// True in the middle of a record.
        truncated: bool,
    },
    /// The peer broke the protocol.
    Protocol(String),
    /// The peer refused before its hello, in plain text.
    Refused(String),
    /// The peer was silent for too long.
    TimedOut(TimedOut),
}

impl CloseReason {
    /// Whether it was the connection that ended, rather than somebody who ended it.
    pub const fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Abandoned | Self::Io(_) | Self::PeerClosed { .. } | Self::TimedOut(_)
        )
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abandoned => f.write_str("abandoned for another connection"),
            Self::Disconnected { reason, details } => {
                f.write_str(reason)?;
                details.iter().try_for_each(|d| write!(f, ", {d}"))
            }
            Self::Encryption(what) => write!(f, "{}: {what}", reason::ENCRYPTION_ERROR),
            Self::Io(error) => write!(f, "connection lost: {error}"),
            Self::Local { reason, details } if details.is_empty() => f.write_str(reason),
            Self::Local { reason, details } => write!(f, "{reason}, {details}"),
            Self::PeerClosed { truncated: true, .. } => {
                f.write_str("connection lost in the middle of a packet")
            }
            Self::PeerClosed { .. } => f.write_str("connection closed by the other end"),
            Self::Protocol(what) => write!(f, "{}: {what}", reason::PROTOCOL_ERROR),
            Self::Refused(text) => f.write_str(text),
            Self::TimedOut(TimedOut::Login) => f.write_str(reason::LOGIN_TIMEOUT),
            Self::TimedOut(TimedOut::Ping) => f.write_str(reason::CLIENT_PING_TIMEOUT),
        }
    }
}
