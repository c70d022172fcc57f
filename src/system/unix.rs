//! Unix, which here is Linux.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

/// An open file, socket or pipe.
pub use std::os::fd::{BorrowedFd as BorrowedFile, OwnedFd as OwnedFile};
/// How files and folders are made that are nobody else's.
pub use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

/// Wakes a thread that [waits](wait), or that polls the descriptors of a display and this one.
#[derive(Debug)]
pub struct Alarm {
    event: OwnedFile,
    /// It rings, or somebody is about to see to it.
    rings: AtomicBool,
}

/// The end of an [`Alarm`] to wait on.
pub type Wake<'a> = BorrowedFile<'a>;

impl Alarm {
    /// One that does not ring.
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(Self {
            event: rustix::event::eventfd(0, flags)?,
            rings: AtomicBool::new(false),
        })
    }

    /// Rings until [hushed](Self::hush).
    pub fn ring(&self) {
        // once is enough: many messages may come before the thread runs
        if !self.rings.swap(true, Ordering::AcqRel) {
            // a full counter means that the thread will wake anyway
            let _full = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    /// Ends the ringing.
    pub fn hush(&self) {
        // while nothing can be read somebody is about to write, and the next call ends it
        if self.rings.load(Ordering::Acquire) && rustix::io::read(&self.event, &mut [0; 8]).is_ok() {
            // sees what whoever rang meanwhile did before
            self.rings.swap(false, Ordering::AcqRel);
        }
    }

    /// What to wait on.
    pub fn wake(&self) -> Wake<'_> {
        self.event.as_fd()
    }
}

/// Blocks until the alarm rings or the timeout is over.
pub fn wait(wake: Wake<'_>, timeout: Option<Duration>) -> io::Result<()> {
    readable([wake], timeout)
}

/// Blocks until one of the descriptors is readable or the timeout is over.
pub fn readable<const N: usize>(fds: [BorrowedFile<'_>; N], timeout: Option<Duration>) -> io::Result<()> {
    let end = timeout.map(|timeout| Instant::now() + timeout);
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, left.as_ref()) {
            Err(Errno::INTR) => {}
            result => return Ok(result.map(drop)?),
        }
    }
}

/// The number of the user that runs the process.
pub fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The number of the user in whose name the process acts.
pub fn effective_user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The number of the user's group.
pub fn group_id() -> u32 {
    rustix::process::getgid().as_raw()
}

/// The machine's name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// CPU time of this process so far.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Reads from a place of a file.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

/// Opens a file to read, unless its name is that of a link. It does not wait for the other end of a pipe.
pub fn open_unlinked(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Whether a file belongs to nobody but root and who runs the process.
pub fn is_ours(file: &Metadata) -> bool {
    file.uid() == 0 || file.uid() == rustix::process::geteuid().as_raw()
}

/// Whether other users may change a file.
pub fn others_may_write(file: &Metadata) -> bool {
    file.mode() & 0o022 != 0
}

/// Whether other users may do anything with a file.
pub fn others_may_use(file: &Metadata) -> bool {
    file.mode() & 0o077 != 0
}

/// The number of the user a file belongs to.
pub fn owner(file: &Metadata) -> u32 {
    file.uid()
}

/// The number of the group a file belongs to.
pub fn group(file: &Metadata) -> u32 {
    file.gid()
}

/// Makes the process a command starts, and what that starts, a group of its own.
pub fn lead_group(command: &mut Command) {
    command.process_group(0);
}

/// Kills a process and all it started, if it leads a group.
pub fn kill_group(leader: u32) {
    let leader = rustix::process::Pid::from_raw(leader.cast_signed());
    if let Some(leader) = leader {
        let _ended_already = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
    }
}
