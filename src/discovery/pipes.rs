//! The pipes that are there: on Windows they are what unix sockets are elsewhere (`endpoints.md` f.2).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{DiscoveryError, Places, Session, SessionState, SocketId, probe_socket};
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
            directory: PathBuf::from(XPRA.trim_end_matches('\\')),
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
    /// All pipes of sessions, sorted: somebody answers there for as long as there is one. Wine cannot list pipes.
    pub async fn sessions_and_states(&self) -> Result<Vec<(Session, SessionState)>, DiscoveryError> {
        let pipes = pipes().map_err(|error| DiscoveryError::NoListing {
            place: PIPES.to_owned(),
            reason: error.to_string(),
        })?;
        let sessions = sessions_among(&pipes).into_iter();
        Ok(sessions.map(|session| (session, SessionState::Live)).collect())
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
pub(super) async fn named(name: &str, limit: Duration) -> Option<Target> {
    let state = probe_socket(&path(name), limit).await;
    (state == SessionState::Live).then(|| Target::NamedPipe(name.to_owned()))
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("{PIPES}{XPRA}{name}"))
}

fn sessions_among(pipes: &[String]) -> Vec<Session> {
    let mut names: Vec<_> = pipes.iter().filter_map(|pipe| pipe.strip_prefix(XPRA)).collect();
    names.sort_by_key(|name| (name.parse::<u64>().ok(), *name));
    names.into_iter().map(Session::of).collect()
}

/// The names of all pipes there are.
fn pipes() -> io::Result<Vec<String>> {
    let entries = fs::read_dir(PIPES)?.collect::<Result<Vec<_>, _>>()?;
    let names = entries
        .into_iter()
        .filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_of_sessions_are_told_from_others() {
        let pipes = [r"Xpra\10", "wkssvc", r"Xpra\Main", r"other\Xpra\1", r"Xpra\9"].map(str::to_owned);
        let sessions = sessions_among(&pipes);
        let displays: Vec<_> = sessions.iter().map(|session| session.display.as_str()).collect();
        assert_eq!(displays, [":Main", ":9", ":10"]);
        let targets: Vec<_> = sessions.iter().map(|session| target(&session.path)).collect();
        assert_eq!(
            targets,
            ["Main", "9", "10"].map(|name| Target::NamedPipe(name.to_owned()))
        );
        assert_eq!(sessions[0].directory, Path::new("Xpra"));
    }
}
