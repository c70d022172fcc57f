//! From what a user asked for to the socket that answers (`endpoints.md` b.7).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::sessions::named;
use super::{Places, Session, SessionState, probe_socket, target};
use crate::address::{Address, Target};
use crate::transport::probe_abstract;

/// How long one look at a socket takes while searching.
const PROBE: Duration = Duration::from_secs(1);

/// The pause between two looks at a display whose server may be starting.
const POLL: Duration = Duration::from_millis(200);

/// Why no session was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The session is someone else's.
    #[error("no permission to connect to display '{display}' through '{}': ask its owner to share it", .path.display())]
    Inaccessible {
        /// The display.
        display: String,
        /// The socket.
        path: PathBuf,
    },
    /// The system does not tell which sessions there are.
    #[error(
        "cannot tell which sessions there are: listing {place} failed: {reason}; give the session's name or address"
    )]
    NoListing {
        /// What was to be listed.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// Nobody answers for that display.
    #[error("cannot find a live server for display '{display}' (waited {} s); looked in {}", .waited.as_secs(), list(.searched))]
    NoServer {
        /// The display.
        display: String,
        /// How long it was tried.
        waited: Duration,
        /// The directories.
        searched: Vec<PathBuf>,
    },
    /// No session at all.
    #[error("no sessions found in {}: start one, or give the address of a server", list(.searched))]
    NoSessions {
        /// The directories.
        searched: Vec<PathBuf>,
    },
    /// A session's name: only asking each of these sockets tells which one it is.
    #[error("no session is named '{name}'")]
    SessionName {
        /// The name.
        name: String,
        /// The live sockets to ask for their `session-name`, best first.
        live: Vec<PathBuf>,
    },
    /// More than one session, and none was named.
    #[error("several sessions are running: say which, one of {}", displays.join(", "))]
    SeveralSessions {
        /// Their displays.
        displays: Vec<String>,
    },
}

/// Turns a display, or nothing, into the address of a socket that answers; other addresses stay as they are.
///
/// A display whose server may be starting is waited for, up to `wait`.
pub async fn resolve(address: &Address, places: &Places, wait: Duration) -> Result<Address, DiscoveryError> {
    let target = match &address.target {
        Target::Auto => only_session(places).await?,
        Target::Display(display) => live_server(display, places, wait).await?,
        Target::Session(name) => {
            if let Some(target) = named(name, PROBE).await {
                return Ok(Address {
                    target,
                    ..address.clone()
                });
            }
            let sessions = places.sessions_and_states().await?;
            let live = sessions
                .into_iter()
                .filter(|(_, state)| *state == SessionState::Live);
            let live = live.map(|(session, _)| session.path).collect();
            return Err(DiscoveryError::SessionName {
                name: name.clone(),
                live,
            });
        }
        target => target.clone(),
    };
    Ok(Address {
        target,
        ..address.clone()
    })
}

/// The one session there is: live ones first, else one that may be starting; proxies only if nothing else is there.
async fn only_session(places: &Places) -> Result<Target, DiscoveryError> {
    let sessions = places.sessions_and_states().await?;
    let mut displays = displays_in(&sessions, SessionState::Live);
    if displays.is_empty() {
        displays = displays_in(&sessions, SessionState::Unknown);
    }
    if displays.len() > 1 {
        displays.retain(|display, _| !display.starts_with(":proxy-"));
    }
    match displays.len() {
        0 => Err(DiscoveryError::NoSessions {
            searched: places.directories().to_vec(),
        }),
        1 => Ok(target(&displays.into_values().next().unwrap_or_default())),
        _ => Err(DiscoveryError::SeveralSessions {
            displays: displays.into_keys().collect(),
        }),
    }
}

/// The displays of the sessions in that state, each with the first of its sockets.
fn displays_in(sessions: &[(Session, SessionState)], wanted: SessionState) -> BTreeMap<String, PathBuf> {
    let mut displays = BTreeMap::new();
    for (session, _) in sessions.iter().filter(|(_, state)| *state == wanted) {
        displays
            .entry(session.display.clone())
            .or_insert_with(|| session.path.clone());
    }
    displays
}

async fn live_server(name: &str, places: &Places, wait: Duration) -> Result<Target, DiscoveryError> {
    let mut patience = pin!(sleep(wait));
    let candidates = places.candidates(name);
    let mut noticed = false;
    loop {
        let mut inaccessible = None;
        for path in &candidates {
            match probe_socket(path, PROBE).await {
                SessionState::Live => return Ok(target(path)),
                SessionState::Inaccessible => inaccessible = inaccessible.or(Some(path)),
                SessionState::Dead | SessionState::Unknown => {}
            }
        }
        if let Some(socket) = trusted_abstract(name, places.uid).await {
            return Ok(Target::Abstract(socket));
        }
        if let Some(path) = inaccessible {
            return Err(DiscoveryError::Inaccessible {
                display: name.to_owned(),
                path: path.clone(),
            });
        }
        if !noticed && !wait.is_zero() {
            let seconds = wait.as_secs();
            tracing::info!("no server answers for display '{name}' yet; waiting up to {seconds} s");
            noticed = true;
        }
        tokio::select! {
            biased;
            () = &mut patience => {
                let searched = places.directories().to_vec();
                return Err(DiscoveryError::NoServer { display: name.to_owned(), waited: wait, searched });
            }
            () = sleep(POLL) => {}
        }
    }
}

/// The abstract socket of `display`, if this user or root listens on it: anybody may take such a name, and would be
/// sent passwords. That is also why it is looked at last, where xpra looks first.
async fn trusted_abstract(display: &str, uid: u32) -> Option<String> {
    let name = display
        .trim_start_matches(':')
        .replace(':', "-")
        .replace('.', "_");
    let owner = probe_abstract(&name, PROBE).await?;
    (owner.uid == uid || owner.uid == 0).then_some(name)
}

fn list(directories: &[PathBuf]) -> String {
    directories
        .iter()
        .map(|directory| directory.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
