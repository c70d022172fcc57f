//! The pipes that are there: on Windows they are what unix sockets are elsewhere (`endpoints.md` f.2).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Places, Session, SessionState, SocketId};
use crate::address::Target;
use crate::system::user_id;

/// Where this machine's pipes are, and how the names of xpra's begin.
const PIPES: &str = r"\\.\pipe\";
const XPRA: &str = r"Xpra\";

impl Session {
    fn of(name: &str) -> Self {
        Self {
            display: format!(":{name}"),
            path: path(name),
            directory: PathBuf::from(format!("{PIPES}{}", XPRA.trim_end_matches('\\'))),
            // pipes have no time, no numbers, and the same for all users
            modified: SystemTime::UNIX_EPOCH,
            id: SocketId {
                device: 0,
                inode: 0,
                uid: user_id(),
            },
        }
    }

    /// A pipe is there for as long as its server.
    pub async fn state(&self) -> SessionState {
        SessionState::Live
    }

    /// There is nothing to remove.
    pub const fn remove(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Places {
    /// All pipes of sessions, sorted.
    pub fn sessions(&self) -> Vec<Session> {
        let mut names: Vec<_> = names().collect();
        names.sort_by_cached_key(|name| (name.parse::<u64>().ok(), name.clone()));
        names.iter().map(|name| Session::of(name)).collect()
    }

    /// All pipes of sessions and whether somebody answers there.
    pub async fn sessions_and_states(&self) -> Vec<(Session, SessionState)> {
        let sessions = self.sessions();
        sessions
            .into_iter()
            .map(|session| (session, SessionState::Live))
            .collect()
    }

    /// The pipe of the session on `display`.
    pub fn candidates(&self, display: &str) -> Vec<PathBuf> {
        vec![path(display.trim_start_matches(':'))]
    }
}

/// The address of the session with that pipe.
pub fn target(path: &Path) -> Target {
    let path = path.to_string_lossy();
    let name = path.strip_prefix(PIPES).and_then(|name| name.strip_prefix(XPRA));
    Target::NamedPipe(name.unwrap_or(&path).to_owned())
}

/// The session whose name is that of its pipe.
pub(super) fn named(name: &str) -> Option<Target> {
    let wanted = names().find(|pipe| pipe.eq_ignore_ascii_case(name))?;
    Some(Target::NamedPipe(wanted))
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("{PIPES}{XPRA}{name}"))
}

fn names() -> impl Iterator<Item = String> {
    let entries = fs::read_dir(PIPES).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_prefix(XPRA)?.to_owned())
    })
}
