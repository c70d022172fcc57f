//! The sockets that are there.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;

use super::{DiscoveryError, Places, Session, SessionState, SocketId, probe_socket};
use crate::address::Target;

/// How long one look at a socket takes at most (`endpoints.md` b.5).
const PROBE: Duration = Duration::from_secs(5);

impl Session {
    fn at(directory: &Path, path: PathBuf, display: &str) -> Option<Self> {
        let file = fs::symlink_metadata(&path)
            .ok()
            .filter(|file| file.file_type().is_socket())?;
        Some(Self {
            display: format!(":{display}"),
            directory: directory.to_owned(),
            modified: file.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            id: SocketId {
                device: file.dev(),
                inode: file.ino(),
                uid: file.uid(),
            },
            path,
        })
    }

    /// Whether somebody answers there.
    pub async fn state(&self) -> SessionState {
        probe_socket(&self.path, PROBE).await
    }

    /// Removes the socket's file, if it is still the same file.
    pub fn remove(&self) -> io::Result<()> {
        match Self::at(&self.directory, self.path.clone(), "") {
            Some(now) if now.id == self.id => fs::remove_file(&self.path),
            _ => Ok(()),
        }
    }
}

impl Places {
    /// All sockets of sessions, directory by directory in search order, sorted by path within; a session's own
    /// directory comes before the one that holds it. Each real directory is looked at once; one that cannot be read
    /// has none.
    pub fn sessions(&self) -> Vec<Session> {
        let mut seen = Vec::new();
        let mut sessions = Vec::new();
        for directory in self.directories() {
            let Ok(real) = directory.canonicalize() else {
                continue;
            };
            if seen.contains(&real) {
                continue;
            }
            let mut names = names(&real);
            names.sort_by_cached_key(|name| (name.parse::<u64>().ok(), name.clone()));
            sessions.extend(names.iter().filter_map(|name| own_directory(directory, name)));
            sessions.extend(names.iter().filter_map(|name| {
                let display = name
                    .strip_prefix(self.prefix())
                    .filter(|display| !display.is_empty())?;
                Session::at(directory, directory.join(name), display)
            }));
            seen.push(real);
        }
        sessions
    }

    /// The files that may be the socket of the session on `display`, best first.
    pub fn candidates(&self, display: &str) -> Vec<PathBuf> {
        let name = display.trim_start_matches(':');
        // `:10.0` is screen 0 of display 10: servers are named after the display.
        let without_screen = name.split('.').next().filter(|short| *short != name);
        let names = [Some(name), without_screen];
        names
            .into_iter()
            .flatten()
            .flat_map(|name| {
                let shared = self
                    .directories()
                    .iter()
                    .map(move |directory| directory.join(format!("{}{name}", self.prefix())));
                shared.chain([self.sessions_directory().join(name).join("socket")])
            })
            .collect()
    }

    /// All sockets of sessions and whether somebody answers there.
    pub async fn sessions_and_states(&self) -> Result<Vec<(Session, SessionState)>, DiscoveryError> {
        let sessions = self.sessions();
        let states = join_all(sessions.iter().map(Session::state)).await;
        Ok(sessions.into_iter().zip(states).collect())
    }
}

/// The address of the session with that socket.
pub fn target(path: &Path) -> Target {
    Target::Socket(path.to_owned())
}

/// The session whose name is that of its socket: names lead elsewhere.
pub(super) async fn named(_: &str, _: Duration) -> Option<Target> {
    None
}

/// The socket in a session's directory, which is named after the display's number.
fn own_directory(directory: &Path, name: &str) -> Option<Session> {
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let session = directory.join(name);
    is_number.then(|| Session::at(&session, session.join("socket"), name))?
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
