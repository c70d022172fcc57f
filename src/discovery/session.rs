//! [`Session`]: a session of this machine, as its socket or pipe tells.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A session's socket, or its pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The display it is named after: `:10`, `:proxy-123`.
    pub display: String,
    /// The socket or pipe.
    pub path: PathBuf,
    /// The directory under whose name it is listed.
    pub directory: PathBuf,
    /// When the socket was last touched: servers do so every minute.
    pub modified: SystemTime,
    /// Which file it is and whose.
    pub id: SocketId,
}

/// What tells one socket file from another that took its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketId {
    /// Device of the file system.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// Owner.
    pub uid: u32,
}

impl Session {
    /// How long ago the socket was touched, by that clock.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.modified).unwrap_or_default()
    }
}
