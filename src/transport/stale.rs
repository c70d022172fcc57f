//! Whether somebody answers on a unix socket (`endpoints.md` b.5).

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::{PeerCredentials, TransportKind, unix};

/// What a try to connect says about a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionState {
    /// Nobody is there, or nothing.
    Dead,
    /// It is someone else's.
    Inaccessible,
    /// A server answers.
    Live,
    /// It refuses: the server is gone, or has not begun to listen.
    Unknown,
}

impl SessionState {
    /// The word `list` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dead => "DEAD",
            Self::Inaccessible => "INACCESSIBLE",
            Self::Live => "LIVE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Connects to the socket at `path` and hangs up at once. Servers bear that without a word.
pub async fn probe_socket(path: &Path, limit: Duration) -> SessionState {
    match timeout(limit, unix::connect(path)).await {
        Ok(Ok(_)) => SessionState::Live,
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::PermissionDenied => SessionState::Inaccessible,
            io::ErrorKind::NotFound | io::ErrorKind::TimedOut => SessionState::Dead,
            _ => SessionState::Unknown,
        },
        Err(_) => SessionState::Dead,
    }
}

/// Connects to the abstract socket `name` and hangs up at once; returns who listens there.
///
/// Anybody may take an abstract name: look at the user before trusting it.
pub async fn probe_abstract(name: &str, limit: Duration) -> Option<PeerCredentials> {
    let socket = timeout(limit, unix::connect_abstract(name)).await.ok()?.ok()?;
    socket.info(TransportKind::Socket, String::new()).credentials
}
