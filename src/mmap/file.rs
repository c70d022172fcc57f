//! Files to share memory through: made by the client, opened by the server before it says hello, removed by the client
//! right after that (`session.md` 2.3 and 2.4).
//!
//! **Left-overs.** A client that is killed between making its file and hearing from the server cannot remove it. A
//! file of ours appears under its name only when it is complete and locked, and the lock goes with the process: so a
//! file with our kind of name that can be locked is nobody's, and the next client [removes it](sweep).

use super::region::{Region, TMPFS};
use super::{AreaError, HEADER};
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags};
use rustix::io::Errno;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How the names of our files begin; xpra's own have other letters after the dot.
const PREFIX: &str = "xpra.rs-";
/// How the names of everybody's end.
const SUFFIX: &str = ".mmap";

/// File systems on which reading does not wait for another machine or another process: tmpfs, ramfs, ext, xfs, btrfs,
/// overlay, f2fs, zfs.
const PLAIN: [i64; 8] = [
    TMPFS,
    0x8584_58f6,
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x794c_7630,
    0xf2f5_2010,
    0x2fc1_2fc1,
];

/// A file a client made.
#[derive(Debug)]
pub struct NamedFile {
    path: PathBuf,
    region: Option<Region>,
    /// It was there before, and stays.
    is_foreign: bool,
}

impl NamedFile {
    /// Makes a file of `size` bytes in `directory`; its group may use it too, when one is given.
    pub fn in_directory(directory: &Path, size: u32, group: Option<u32>) -> Result<Self, AreaError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| AreaError::Io(error.to_string()))?;
        let mut name = PREFIX.to_owned();
        for byte in random {
            let _infallible = write!(name, "{byte:02x}");
        }
        name.push_str(SUFFIX);
        let path = directory.join(name);
        let access = OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(directory, access | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR) {
            Ok(file) => {
                prepare(&file, size, group)?;
                let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::linkat(CWD, &unnamed, CWD, &path, AtFlags::SYMLINK_FOLLOW)?;
                Self::new(path, file, false)
            }
            // a file system without files that have no name
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Self::create(path, size, group),
            Err(error) => Err(error.into()),
        }
    }

    /// Uses the file at `path` with the size it has, or makes one of `size` bytes.
    pub fn at(path: &Path, size: u32, group: Option<u32>) -> Result<Self, AreaError> {
        match Self::create(path.to_owned(), size, group) {
            Err(AreaError::Refused { .. }) => {
                let file = open_plain(path)?;
                rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
                    .map_err(|_| refused(path, "another client uses it"))?;
                Self::new(path.to_owned(), file, true)
            }
            made => made,
        }
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the bytes are; `None` once they were taken.
    pub const fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// Keeps the bytes, removes the name.
    pub fn into_region(mut self) -> Option<Region> {
        self.region.take()
    }

    fn create(path: PathBuf, size: u32, group: Option<u32>) -> Result<Self, AreaError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL;
        let file = match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => return Err(refused(&path, "it exists")),
            opened => opened?,
        };
        let made = prepare(&file, size, group).and_then(|()| Self::new(path.clone(), file, false));
        made.inspect_err(|_| {
            let _gone = fs::remove_file(&path);
        })
    }

    fn new(path: PathBuf, file: OwnedFd, is_foreign: bool) -> Result<Self, AreaError> {
        let region = Region::of_file(file)?;
        // what an earlier user left there are no positions of ours
        region.write(0, &[0; HEADER as usize])?;
        Ok(Self {
            path,
            region: Some(region),
            is_foreign,
        })
    }
}

impl Drop for NamedFile {
    fn drop(&mut self) {
        if !self.is_foreign
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "cannot remove a file");
        }
    }
}

/// Gives a new file its size, owner and lock.
fn prepare(file: &OwnedFd, size: u32, group: Option<u32>) -> Result<(), AreaError> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)?;
    rustix::fs::ftruncate(file, size.into())?;
    if let Some(group) = group {
        rustix::fs::fchown(file, None, Some(Gid::from_raw(group)))?;
        rustix::fs::fchmod(file, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP)?;
    }
    Ok(())
}

/// Removes files of ours in `directory` whose process is gone.
pub fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && is_left_over(&entry.path()) {
            tracing::debug!(%name, "removing a file whose process is gone");
            let _gone = fs::remove_file(entry.path());
        }
    }
}

fn is_left_over(path: &Path) -> bool {
    let ours = fs::symlink_metadata(path)
        .is_ok_and(|file| file.is_file() && file.uid() == rustix::process::geteuid().as_raw());
    let lock = |file: OwnedFd| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    ours && open_plain(path).is_ok_and(|file| lock(file).is_ok())
}

/// Which files of a peer may be opened.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The peer's user, when the kernel vouches for it: any file that belongs to it.
    pub peer: Option<u32>,
    /// Directories in which files of our own user may be named, by their last component.
    pub directories: Vec<PathBuf>,
    /// The one file there is, whatever the peer says.
    pub file: Option<PathBuf>,
}

/// Opens the file a peer named, if it is one to trust: regular, not reached through a link, with no other name, on a
/// file system that does not wait for others, and the peer's own or in a place of ours. Nothing is written to it.
pub fn open_file(named: &Path, trust: &Trust) -> Result<Region, AreaError> {
    if let Some(path) = &trust.file {
        return Region::of_file(open_plain(path)?);
    }
    let mut error = refused(named, "it is neither the peer's own nor in a directory of ours");
    let own = trust.peer.filter(|_| named.is_absolute());
    if let Some(uid) = own {
        match open_owned(named, uid) {
            Ok(region) => return Ok(region),
            Err(why) => error = why,
        }
    }
    let us = rustix::process::geteuid().as_raw();
    for directory in &trust.directories {
        let Some(name) = named.file_name() else { break };
        let path = directory.join(name);
        if path.exists() {
            let opened = open_owned(&path, us);
            return match (opened, trust.peer) {
                (Err(_), Some(peer)) => open_owned(&path, peer),
                (opened, _) => opened,
            };
        }
    }
    Err(error)
}

fn open_owned(path: &Path, owner: u32) -> Result<Region, AreaError> {
    let file = open_plain(path)?;
    let facts = rustix::fs::fstat(&file)?;
    if facts.st_uid != owner {
        return Err(refused(path, "it belongs to another user"));
    }
    if facts.st_nlink != 1 {
        return Err(refused(path, "it has another name too, or none"));
    }
    Region::of_file(file)
}

/// Opens a regular file on a plain file system, not through a link.
fn open_plain(path: &Path) -> Result<OwnedFd, AreaError> {
    // a device or a pipe must neither block nor notice
    let looking = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let place = rustix::fs::open(path, looking, Mode::empty())?;
    let facts = rustix::fs::fstat(&place)?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return Err(refused(path, "it is not a regular file"));
    }
    if !PLAIN.contains(&rustix::fs::fstatfs(&place)?.f_type) {
        return Err(refused(path, "its file system may wait for others"));
    }
    // what was looked at, wherever its name leads by now
    let same = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::open(same, flags, Mode::empty())?)
}

fn refused(path: &Path, reason: &'static str) -> AreaError {
    AreaError::Refused {
        path: path.display().to_string(),
        reason,
    }
}
