//! `list`: the sessions of this machine, in xpra's words (`endpoints.md` b.6).

use crate::session::wall_clock;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use crate::discovery::{Environment, Places, Session, SessionState};

/// How long sockets that refuse connections are looked at again: their server may be starting.
const REPROBE: Duration = Duration::from_secs(10);

/// The same, when nobody touched any of them for [`OLD`].
const REPROBE_OLD: Duration = Duration::from_secs(3);

/// Servers touch their sockets every minute: after this long nobody does.
const OLD: Duration = Duration::from_secs(5 * 60);

/// A socket touched this recently is left alone even if nobody answers.
const RECENT: Duration = Duration::from_secs(120);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// List the sessions of this machine, and remove the sockets of those that are gone.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ListArgs {
    /// Directory to look in first.
    #[arg(long, value_name = "DIR")]
    pub socket_dir: Option<String>,
    /// Directories to look in, instead of the usual ones.
    #[arg(long, value_name = "DIR[:DIR..]")]
    pub socket_dirs: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command; returns the exit code.
pub async fn run(args: &ListArgs, environment: &Environment, out: &mut dyn Write) -> anyhow::Result<u8> {
    let places = Places::new(environment, args.socket_dir.as_deref(), &args.socket_dirs);
    let listing = Listing {
        found: places.sessions_and_states().await?,
        uid: environment.uid,
    };
    if args.json {
        listing.print_json(out).await?;
    } else if listing.found.is_empty() {
        writeln!(out, "No xpra sessions found")?;
    } else {
        listing.print(out).await?;
    }
    Ok(0)
}

/// What was found.
struct Listing {
    found: Vec<(Session, SessionState)>,
    /// Only this user's sockets are removed.
    uid: u32,
}

impl Listing {
    async fn print(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        writeln!(out, "Found the following xpra sessions:")?;
        let mut heading = None;
        for (session, state) in &self.found {
            if heading != Some(&session.directory) {
                writeln!(out, "{}:", session.directory.display())?;
                heading = Some(&session.directory);
            }
            match self.is_dead(session, *state).then(|| remove(session)) {
                Some(fate) => writeln!(out, "\t{state} session at {}{fate}", session.display)?,
                None => writeln!(out, "\t{state} session at {}", session.display)?,
            }
        }
        let unknown = self.unknown();
        if unknown.is_empty() {
            return Ok(());
        }
        let directories: BTreeSet<_> = unknown
            .iter()
            .map(|session| session.directory.display().to_string())
            .collect();
        let directories: Vec<_> = directories.into_iter().collect();
        writeln!(out, "Re-probing unknown sessions in: {}", directories.join(", "))?;
        out.flush()?;
        for (session, state) in reprobe(unknown).await {
            let display = &session.display;
            match state {
                SessionState::Unknown => match settle(session) {
                    Fate::Kept(age) => {
                        let path = session.path.display();
                        writeln!(
                            out,
                            "\tUNKNOWN session at {path} ignored, modified {} seconds ago",
                            age.as_secs()
                        )?;
                    }
                    fate => writeln!(out, "\tUNKNOWN session at {display}{fate}")?,
                },
                SessionState::Dead => writeln!(out, "\tDEAD session at {display}{}", remove(session))?,
                SessionState::Live | SessionState::Inaccessible => {
                    writeln!(
                        out,
                        "\t{state} session at {display} ({})",
                        session.directory.display()
                    )?;
                }
            }
        }
        Ok(())
    }

    async fn print_json(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let reprobed = reprobe(self.unknown()).await;
        let sessions = self.found.iter().map(|(session, state)| {
            let state = reprobed
                .iter()
                .find(|(other, _)| *other == session)
                .map_or(*state, |(_, state)| *state);
            let removed = match state {
                SessionState::Dead if session.id.uid == self.uid => remove(session) == Fate::Removed,
                SessionState::Unknown if session.id.uid == self.uid => settle(session) == Fate::Removed,
                _ => false,
            };
            json!({
                "display": session.display,
                "state": state.name(),
                "path": session.path.to_string_lossy(),
                "directory": session.directory.to_string_lossy(),
                "uid": session.id.uid,
                "cleaned-up": removed,
            })
        });
        let sessions: Vec<_> = sessions.collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&sessions)?)?;
        Ok(())
    }

    fn is_dead(&self, session: &Session, state: SessionState) -> bool {
        state == SessionState::Dead && session.id.uid == self.uid
    }

    /// The sockets worth another look.
    fn unknown(&self) -> Vec<&Session> {
        let unknown = self
            .found
            .iter()
            .filter(|(_, state)| *state == SessionState::Unknown);
        unknown
            .map(|(session, _)| session)
            .filter(|session| session.id.uid == self.uid)
            .collect()
    }
}

/// Looks again and again at sockets that refuse, until they answer or enough time has passed.
async fn reprobe(mut waiting: Vec<&Session>) -> Vec<(&Session, SessionState)> {
    let now = wall_clock();
    let is_old = waiting.iter().all(|session| session.age(now) > OLD);
    let mut patience = pin!(sleep(if is_old { REPROBE_OLD } else { REPROBE }));
    let mut settled = Vec::new();
    while !waiting.is_empty() {
        tokio::select! {
            biased;
            () = &mut patience => break,
            () = sleep(PAUSE) => {}
        }
        let states = join_all(waiting.iter().map(|session| session.state())).await;
        let (unknown, known): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .zip(states)
            .partition(|(_, state)| *state == SessionState::Unknown);
        settled.extend(known);
        waiting = unknown.into_iter().map(|(session, _)| session).collect();
    }
    settled.extend(
        waiting
            .into_iter()
            .map(|session| (session, SessionState::Unknown)),
    );
    settled
}

/// What became of a socket whose server is gone.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Failed(String),
    Kept(Duration),
    Removed,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => write!(f, " (delete failed: {reason})"),
            Self::Kept(_) => Ok(()),
            Self::Removed => f.write_str(" (cleaned up)"),
        }
    }
}

/// Removes the socket unless a server may have made it just now.
fn settle(session: &Session) -> Fate {
    match session.age(wall_clock()) {
        age if age < RECENT => Fate::Kept(age),
        _ => remove(session),
    }
}

fn remove(session: &Session) -> Fate {
    match session.remove() {
        Ok(()) => Fate::Removed,
        Err(error) => Fate::Failed(error.to_string()),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use super::*;

    async fn list(root: &Path, json: bool) -> String {
        let variables = [
            ("XDG_RUNTIME_DIR", root.join("run")),
            ("XPRA_SOCKET_HOSTNAME", "box".into()),
        ];
        let environment = Environment {
            variables: variables
                .map(|(key, value)| (key.to_owned(), value.display().to_string()))
                .into(),
            ..Environment::from_process()
        };
        let socket_dirs = vec![root.join("sd").display().to_string()];
        let mut out = Vec::new();
        let args = ListArgs {
            socket_dirs,
            json,
            ..ListArgs::default()
        };
        assert_eq!(run(&args, &environment, &mut out).await.unwrap(), 0);
        String::from_utf8(out)
            .unwrap()
            .replace(&root.display().to_string(), "ROOT")
    }

    fn stale(path: &Path, age: Duration) {
        drop(UnixListener::bind(path).unwrap());
        let time = wall_clock() - age;
        let times = rustix::fs::Timestamps {
            last_access: timespec(time),
            last_modification: timespec(time),
        };
        rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
    }

    fn timespec(time: std::time::SystemTime) -> rustix::fs::Timespec {
        let seconds = time
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        rustix::fs::Timespec {
            tv_sec: i64::try_from(seconds).unwrap(),
            tv_nsec: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_words_are_those_of_xpra() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(list(root, false).await, "No xpra sessions found\n");
        fs::create_dir_all(root.join("sd/12")).unwrap();
        let _live = UnixListener::bind(root.join("sd/box-10")).unwrap();
        let _own = UnixListener::bind(root.join("sd/12/socket")).unwrap();
        let expected = "Found the following xpra sessions:\n\
                        ROOT/sd/12:\n\tLIVE session at :12\n\
                        ROOT/sd:\n\tLIVE session at :10\n";
        assert_eq!(list(root, false).await, expected);
        stale(&root.join("sd/box-11"), Duration::from_secs(1000));
        let expected = format!(
            "{expected}\tUNKNOWN session at :11\n\
             Re-probing unknown sessions in: ROOT/sd\n\
             \tUNKNOWN session at :11 (cleaned up)\n"
        );
        assert_eq!(list(root, false).await, expected);
        assert!(!root.join("sd/box-11").exists());
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_may_come_to_life_and_a_new_one_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("sd")).unwrap();
        stale(&root.join("sd/box-1"), Duration::from_secs(1000));
        let late = root.join("sd/box-1");
        let server = tokio::spawn(async move {
            sleep(Duration::from_millis(500)).await;
            fs::remove_file(&late).unwrap();
            UnixListener::bind(&late).unwrap()
        });
        let shown = list(root, false).await;
        assert!(
            shown.ends_with("in: ROOT/sd\n\tLIVE session at :1 (ROOT/sd)\n"),
            "{shown}"
        );
        drop(server.await.unwrap());
        stale(&root.join("sd/box-2"), Duration::from_secs(3));
        let shown: serde_json::Value = serde_json::from_str(&list(root, true).await).unwrap();
        assert_eq!(shown[1]["display"], ":2");
        assert_eq!(shown[1]["state"], "UNKNOWN");
        assert_eq!(shown[1]["cleaned-up"], false);
        assert!(root.join("sd/box-2").exists());
    }

    /// The same directory, listed by the real one and by us.
    #[tokio::test]
    async fn agrees_with_xpra() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let mut shown = Vec::new();
        for theirs in [true, false] {
            fs::create_dir_all(root.join("sd")).unwrap();
            fs::create_dir_all(root.join("run/xpra")).unwrap();
            let sockets = ["sd/box-10", "sd/box-9", "sd/box-proxy-77"];
            let _live = sockets.map(|path| UnixListener::bind(root.join(path)).unwrap());
            stale(&root.join("sd/box-11"), Duration::from_secs(1000));
            if theirs {
                let xpra = std::process::Command::new("xpra")
                    .args(["list", &format!("--socket-dirs={}", root.join("sd").display())])
                    .env("XDG_RUNTIME_DIR", root.join("run"))
                    .env("XPRA_SOCKET_HOSTNAME", "box")
                    .output();
                let Ok(output) = xpra else {
                    eprintln!("skipped: xpra is not installed");
                    return;
                };
                shown.push(
                    String::from_utf8(output.stdout)
                        .unwrap()
                        .replace(&root.display().to_string(), "ROOT"),
                );
            } else {
                shown.push(list(root, false).await);
            }
            fs::remove_dir_all(root.join("sd")).unwrap();
        }
        assert_eq!(shown[0], shown[1]);
        assert!(shown[0].contains(":11 (cleaned up)"), "{shown:?}");
    }
}
