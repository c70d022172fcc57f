//! Unix domain sockets: files and abstract names (`endpoints.md` b).
//!
//! **Modes without a window.** xpra sets the umask around `bind`, which is the process's: in a program with threads
//! another file made at that moment would get the wrong mode. Linux gives the file of a bound socket the mode of the
//! socket itself, so `fchmod` before `bind` restricts it from the first moment, to the owner; group and others are let
//! in afterwards, once the group is right.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::fs::{Access, AtFlags, CWD, Mode, Timespec, Timestamps, UTIME_NOW, access, fchmod, utimensat};
use socket2::{Domain, SockAddr, Type};
use tokio::time::sleep;

use super::accounts::{group_id, in_group};
use super::error::ListenError;
use super::listener::{Facts, Listener};
use super::socket::Socket;
use super::stale::{SessionState, probe_abstract, probe_socket};
use super::{ListenOptions, LocalNames};
use crate::address::{Bind, Options, Place};

/// How long one look at a socket that may be in use takes.
const PROBE: Duration = Duration::from_secs(1);

/// The pause between two looks at a socket whose server may be starting.
const PROBE_PAUSE: Duration = Duration::from_millis(500);

/// Directories that belong to the system: doing without a socket in them is no failure.
const SYSTEM_DIRECTORIES: &[&str] = &["/run/xpra", "/var/run/xpra", "/run/user", "/var/run/user"];

/// Connects to the socket at `path`.
pub(super) async fn connect(path: &Path) -> io::Result<Socket> {
    Socket::connect(&SockAddr::unix(path)?).await
}

/// Connects to the abstract socket that xpra makes for `name`, else to the one of exactly that name: `--bind=@foo` and
/// `attach @foo` of xpra do not meet (`endpoints.md` b.4).
pub(super) async fn connect_abstract(name: &str) -> io::Result<Socket> {
    match Socket::connect(&abstract_address(&format!("xpra/{name}"))?).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Socket::connect(&abstract_address(name)?).await
        }
        result => result,
    }
}

fn abstract_address(name: &str) -> io::Result<SockAddr> {
    SockAddr::unix(format!("\0{name}"))
}

/// Makes the sockets the bind value stands for.
pub(super) async fn listen(bind: &Bind, options: &ListenOptions) -> Result<Vec<Listener>, ListenError> {
    let spots = spots(&bind.place, &options.names)?;
    for spot in &spots {
        if let Err(error) = create_directory(spot, &options.group) {
            tracing::debug!("cannot create the directory of {}: {error}", spot.path.display());
        }
    }
    make_room(&spots, options).await?;
    let mut listeners = Vec::new();
    for spot in &spots {
        match listen_at(spot, bind, options) {
            Ok(listener) => listeners.push(listener),
            Err(error) if spot.required => return Err(ListenError::failed(spot.path.display(), &error)),
            Err(error) => tracing::warn!("cannot listen on {}: {error}", spot.path.display()),
        }
    }
    if let Some(name) = abstract_name(&bind.place, &options.names) {
        listeners.push(listen_abstract(&name, bind, options).await?);
    }
    if listeners.is_empty() && bind.place != Place::None {
        return Err(ListenError::NoDirectory);
    }
    Ok(listeners)
}

/// A file to listen on.
struct Spot {
    path: PathBuf,
    /// Whether the directory is the session's own, and goes with it.
    is_own: bool,
    /// Whether the server cannot do without.
    required: bool,
}

/// The files `place` stands for (`endpoints.md` b.2).
fn spots(place: &Place, names: &LocalNames) -> Result<Vec<Spot>, ListenError> {
    let named = |directory: &Path, name: &str| directory.join(format!("{}{name}", names.prefix));
    let required = |path: PathBuf| {
        Ok(vec![Spot {
            path,
            is_own: false,
            required: true,
        }])
    };
    match place {
        Place::Auto { .. } => Ok(automatic_spots(names)),
        Place::Directory(directory) => required(named(directory, &names.display)),
        Place::Path(path) if path.is_dir() => required(named(path, &names.display)),
        Place::Path(path) => required(path.clone()),
        Place::Name(name) => {
            let directory = names.directories.first().ok_or(ListenError::NoDirectory)?;
            required(named(directory, name))
        }
        Place::Abstract(_) | Place::Ip(..) | Place::None | Place::Pipe(_) | Place::Vsock { .. } => {
            Ok(Vec::new())
        }
    }
}

/// One socket in each socket directory that may be written to, and one in the session's own.
fn automatic_spots(names: &LocalNames) -> Vec<Spot> {
    let mut seen = Vec::new();
    let mut spots = Vec::new();
    let shared = names
        .directories
        .iter()
        .map(|directory| (directory, false, format!("{}{}", names.prefix, names.display)));
    let own = names
        .session_directory
        .iter()
        .map(|directory| (directory, true, "socket".to_owned()));
    for (directory, is_own, name) in shared.chain(own) {
        // The same directory by two names would make the server find its own socket in the way.
        let real = directory.canonicalize().unwrap_or_else(|_| directory.clone());
        if seen.contains(&real) || !may_write(directory) {
            continue;
        }
        seen.push(real);
        let is_system = SYSTEM_DIRECTORIES
            .iter()
            .any(|system| directory.starts_with(system));
        spots.push(Spot {
            path: directory.join(name),
            is_own,
            required: !is_system,
        });
    }
    spots
}

/// True when `directory`, or the closest directory above it that exists, may be written to.
fn may_write(directory: &Path) -> bool {
    let existing = directory.ancestors().find(|ancestor| ancestor.exists());
    existing.is_some_and(|existing| access(existing, Access::WRITE_OK).is_ok())
}

fn abstract_name(place: &Place, names: &LocalNames) -> Option<String> {
    match place {
        Place::Auto { with_abstract: true } => Some(format!(
            "xpra/{}",
            names.display.replace(':', "-").replace('.', "_")
        )),
        Place::Abstract(name) => Some(name.clone()),
        _ => None,
    }
}

/// Creates the directory of `spot` and what is missing above it, for the owner alone; the system's own is shared with
/// the group.
fn create_directory(spot: &Spot, group: &str) -> io::Result<()> {
    let Some(directory) = spot.path.parent().filter(|directory| !directory.is_dir()) else {
        return Ok(());
    };
    if let Some(parent) = directory.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mode = if spot.is_own { 0o750 } else { 0o700 };
    fs::DirBuilder::new().mode(mode).create(directory)?;
    if directory == Path::new("/run/xpra") {
        give_to_group(directory, group);
        fs::set_permissions(directory, fs::Permissions::from_mode(0o1775))?;
    }
    Ok(())
}

/// Removes the files in the way, once it is certain that no server answers there (`endpoints.md` b.5).
async fn make_room(spots: &[Spot], options: &ListenOptions) -> Result<(), ListenError> {
    let mut patience = pin!(sleep(options.probe_timeout));
    let mut waiting: Vec<&Path> = spots
        .iter()
        .map(|spot| spot.path.as_path())
        .filter(|path| is_there(path))
        .collect();
    for path in &waiting {
        if fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
            return Err(ListenError::NotASocket {
                path: path.to_path_buf(),
            });
        }
    }
    let found = waiting.clone();
    while !options.clobber && !waiting.is_empty() {
        let states = join_all(waiting.iter().map(|path| probe_socket(path, PROBE))).await;
        let mut unknown = Vec::new();
        for (path, state) in waiting.iter().zip(states) {
            let place = || path.display().to_string();
            match state {
                SessionState::Live => return Err(ListenError::AlreadyExists { place: place() }),
                SessionState::Inaccessible => return Err(ListenError::Denied { place: place() }),
                SessionState::Unknown => unknown.push(*path),
                SessionState::Dead => {}
            }
        }
        waiting = unknown;
        if waiting.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            () = &mut patience => break,
            () = sleep(PROBE_PAUSE) => {}
        }
    }
    for path in found {
        // What cannot be removed makes the bind fail, which says more.
        if let Err(error) = fs::remove_file(path) {
            tracing::debug!("cannot remove {}: {error}", path.display());
        }
    }
    Ok(())
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn listen_at(spot: &Spot, bind: &Bind, options: &ListenOptions) -> io::Result<Listener> {
    let path = &spot.path;
    let socket = bind_closed(path, options.permissions)?;
    let file = SocketFile::new(spot)?;
    give_to_group(path, &options.group);
    fs::set_permissions(path, fs::Permissions::from_mode(options.permissions & 0o777))?;
    let facts = Facts {
        kind: bind.kind,
        options: bind.options.clone(),
        tuning: options.tuning.clone(),
        file: Some(file),
    };
    Listener::new(socket, facts)
}

/// A socket bound to `path`, whose file so far lets in at most its owner.
pub(super) fn bind_closed(path: &Path, permissions: u32) -> io::Result<socket2::Socket> {
    let address = SockAddr::unix(path).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path is longer than the 107 bytes a socket's may have",
        )
    })?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    fchmod(&socket, Mode::from_raw_mode(permissions & 0o700))?;
    socket.bind(&address)?;
    Ok(socket)
}

/// Gives `path` to xpra's group when this process may; only worth a warning when it then cannot.
fn give_to_group(path: &Path, group: &str) {
    if let Some(group) = group_id(group).filter(|group| in_group(*group))
        && let Err(error) = chown(path, None, Some(group))
    {
        tracing::warn!("cannot change the group of {}: {error}", path.display());
    }
}

async fn listen_abstract(name: &str, bind: &Bind, options: &ListenOptions) -> Result<Listener, ListenError> {
    let place = format!("@{name}");
    let failed = |error: &io::Error| ListenError::failed(&place, error);
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .map_err(|error| failed(&error))?;
    match abstract_address(name).and_then(|address| socket.bind(&address)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let owner = probe_abstract(name, PROBE).await;
            tracing::debug!(?owner, "{place} is taken");
            return Err(ListenError::AlreadyExists { place });
        }
        result => result.map_err(|error| failed(&error))?,
    }
    let facts = Facts {
        kind: bind.kind,
        options: with_owner_check(&bind.options),
        tuning: options.tuning.clone(),
        file: None,
    };
    Listener::new(socket, facts).map_err(|error| failed(&error))
}

/// An abstract socket has no mode: unless told otherwise, only its owner gets in (`endpoints.md` b.4).
fn with_owner_check(options: &Options) -> Options {
    let mut options = options.clone();
    if options.get("auth").is_none() {
        options.push("auth", "peercred");
    }
    options
}

/// The file of a bound socket: removed when dropped, if it is still the one that was made. So is the session's own
/// directory, once it is empty.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    directory: Option<PathBuf>,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(spot: &Spot) -> io::Result<Self> {
        let file = fs::symlink_metadata(&spot.path)?;
        let directory = spot.path.parent().filter(|_| spot.is_own).map(Path::to_owned);
        Ok(Self {
            path: spot.path.clone(),
            directory,
            device: file.dev(),
            inode: file.ino(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn touch(&self) -> io::Result<bool> {
        if !self.is_ours() {
            return Ok(false);
        }
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        utimensat(CWD, &self.path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(true)
    }

    fn is_ours(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!("cannot remove {}: {error}", self.path.display());
        }
        if let Some(directory) = &self.directory {
            // Refused, as it should be, while logs are in it.
            fs::remove_dir(directory).unwrap_or_default();
        }
    }
}
