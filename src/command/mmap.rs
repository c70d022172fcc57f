//! `--mmap` and `--mmap-group`: which memory carries pixels, and who may use it (`endpoints.md` b.3, `session.md` 2.3).

use super::options::boolean;
use crate::address::{Address, Target, TransportKind};
use crate::discovery::Environment;
use crate::mmap::Trust;
use crate::session::area::{Offer, Placement};
use crate::system;
use crate::transport::{group_id, in_group};
use crate::types::Size;
use std::convert::Infallible;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where memory that any user may put files into usually is.
const SHARED_MEMORY: &str = "/dev/shm";

/// The options.
#[derive(Clone, Debug, clap::Args)]
pub struct MmapArgs {
    /// Pixels through shared memory: yes, no, auto (with peers on this machine), or the file to use
    #[arg(long, value_name = "yes|no|auto|PATH", default_value = "auto")]
    mmap: Choice,
    /// Group that may use the memory's file: auto, no, SOCKET (that of the socket) or its name
    #[arg(long, value_name = "GROUP", default_value = "auto")]
    mmap_group: String,
}

/// The value of `--mmap`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    Auto,
    No,
    Yes,
    /// This file, or a file in this directory.
    At(PathBuf),
}

impl FromStr for Choice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match boolean(text) {
            Ok(true) => Self::Yes,
            Ok(false) => Self::No,
            Err(_) if text.eq_ignore_ascii_case("auto") => Self::Auto,
            Err(_) => Self::At(text.into()),
        })
    }
}

impl MmapArgs {
    /// The memory a client offers to the server at that address; `None` when it offers none.
    pub(super) fn offer(&self, address: &Address, screen: Size, environment: &Environment) -> Option<Offer> {
        let wanted = match &self.mmap {
            Choice::No => false,
            Choice::Auto => is_local(&address.target),
            Choice::Yes | Choice::At(_) => true,
        };
        let socket = match &address.target {
            Target::Socket(path) => std::fs::metadata(path).ok(),
            _ => None,
        };
        let stranger = socket
            .as_ref()
            .is_some_and(|file| system::owner(file) != environment.uid);
        let placement = match &self.mmap {
            Choice::At(path) if path.is_dir() => Placement::Directories(vec![path.clone()]),
            Choice::At(path) => Placement::File(path.clone()),
            _ => Placement::Directories(directories(environment, stranger)),
        };
        let group = self.group(environment, socket.map(|file| system::group(&file)));
        let passed = matches!(address.target, Target::Socket(_) | Target::Abstract(_));
        wanted.then(|| Offer::new(screen, &placement, group, passed))
    }

    /// What of clients' memory a server uses; `None` is nothing.
    pub(super) fn trust(&self, environment: &Environment) -> Option<Trust> {
        let directories = match &self.mmap {
            Choice::No => return None,
            Choice::At(path) if !path.is_dir() => {
                return Some(Trust {
                    file: Some(path.clone()),
                    ..Trust::default()
                });
            }
            Choice::At(path) => vec![path.clone()],
            Choice::Auto | Choice::Yes => vec![own_directory(environment)],
        };
        Some(Trust {
            directories,
            ..Trust::default()
        })
    }

    /// Whether the group of a socket may connect too: a plain yes says so (`endpoints.md` b.3).
    pub(super) fn opens_sockets(&self) -> bool {
        boolean(&self.mmap_group) == Ok(true)
    }

    /// The group that may use a file of ours; `None` is nobody else. Root's group is no group to share with.
    fn group(&self, environment: &Environment, of_socket: Option<u32>) -> Option<u32> {
        let common = || {
            let name = environment.variable("XPRA_MMAP_GROUP").unwrap_or("xpra");
            group_id(name).filter(|id| in_group(*id))
        };
        let group = match self.mmap_group.as_str() {
            "SOCKET" => of_socket,
            "auto" => common().or(of_socket),
            text => match boolean(text) {
                Ok(true) => common().or(of_socket),
                Ok(false) => None,
                Err(_) => text.parse().ok().or_else(|| group_id(text)),
            },
        };
        group.filter(|id| *id > 0)
    }
}

/// Where a client's file goes: where servers of every generation look, else where everybody can.
fn directories(environment: &Environment, stranger: bool) -> Vec<PathBuf> {
    let temporary = environment.variable("TMPDIR").unwrap_or("/tmp");
    let all = [
        own_directory(environment),
        PathBuf::from(SHARED_MEMORY),
        PathBuf::from(temporary),
    ];
    // another user cannot look into ours
    let hidden = stranger && environment.variable("XPRA_MMAP_DIR").is_none();
    all.into_iter().skip(usize::from(hidden)).collect()
}

fn own_directory(environment: &Environment) -> PathBuf {
    match environment.variable("XPRA_MMAP_DIR") {
        Some(directory) => PathBuf::from(environment.expand(directory)),
        None => environment.runtime_directory().join("xpra"),
    }
}

/// Whether the server is surely on this machine.
fn is_local(target: &Target) -> bool {
    let loopback = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    match target {
        Target::Abstract(_) | Target::Socket(_) => true,
        // through ssh the other end is one hop further
        Target::Remote(remote) => remote.kind != TransportKind::Ssh && loopback(&remote.host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::collections::BTreeMap;
    use std::path::Path;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        mmap: MmapArgs,
    }

    fn options(words: &[&str]) -> MmapArgs {
        let words = ["x"].iter().chain(words);
        Program::try_parse_from(words).unwrap().mmap
    }

    fn environment(directory: &Path) -> Environment {
        let text = |path: &Path| path.display().to_string();
        Environment {
            variables: BTreeMap::from([("XDG_RUNTIME_DIR".to_owned(), text(directory))]),
            uid: system::user_id(),
            ..Environment::default()
        }
    }

    #[test]
    fn memory_is_offered_to_servers_on_this_machine() {
        let directory = tempfile::tempdir_in(SHARED_MEMORY).unwrap();
        let environment = environment(directory.path());
        let offered = |words: &[&str], address: &str| {
            let address: Address = address.parse().unwrap();
            let offer = options(words).offer(&address, Size::new(640, 480), &environment);
            offer.map(|offer| (offer.capabilities().len() > 1, offer.descriptor().is_some()))
        };
        assert_eq!(offered(&[], "socket:///tmp/none"), Some((true, true)));
        assert_eq!(offered(&[], "tcp://127.0.0.1:1/"), Some((true, false)));
        assert_eq!(offered(&[], "tcp://[::1]:1/"), Some((true, false)));
        assert_eq!(offered(&[], "tcp://192.0.2.1:1/"), None);
        assert_eq!(offered(&[], "ssh://localhost/1"), None);
        assert_eq!(offered(&["--mmap=no"], "socket:///tmp/none"), None);
        assert_eq!(
            offered(&["--mmap=yes"], "tcp://192.0.2.1:1/"),
            Some((true, false))
        );
        let file = directory.path().join("area");
        let there = format!("--mmap={}", file.display());
        assert_eq!(offered(&[&there], "tcp://192.0.2.1:1/"), Some((true, false)));
        // nothing stays behind
        let left = std::fs::read_dir(directory.path().join("xpra")).unwrap();
        assert!(left.count() == 0 && !file.exists());
    }

    #[test]
    fn servers_use_what_is_in_their_directory_or_told() {
        let environment = environment(Path::new("/run/user/7"));
        let trust = |words: &[&str]| options(words).trust(&environment);
        assert!(trust(&["--mmap=no"]).is_none());
        let own = trust(&[]).unwrap();
        assert_eq!(
            (own.directories, own.file),
            (vec!["/run/user/7/xpra".into()], None)
        );
        let told = trust(&["--mmap=/dev/shm/none"]).unwrap();
        assert_eq!(
            (told.directories, told.file),
            (vec![], Some("/dev/shm/none".into()))
        );
        assert_eq!(
            trust(&["--mmap=/dev/shm"]).unwrap().directories,
            [PathBuf::from("/dev/shm")]
        );
        assert!(options(&["--mmap-group=yes"]).opens_sockets() && !options(&[]).opens_sockets());
    }

    #[test]
    fn groups() {
        let environment = Environment::default();
        let group =
            |value: &str, socket| options(&[&format!("--mmap-group={value}")]).group(&environment, socket);
        assert_eq!(group("SOCKET", Some(1234)), Some(1234));
        assert_eq!(group("SOCKET", None), None);
        assert_eq!(group("no", Some(1234)), None);
        assert_eq!(group("1000", None), Some(1000));
        assert_eq!(group("root", None), None);
        assert_eq!(group("no-such-group", Some(5)), None);
    }
}
