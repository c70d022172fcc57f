//! Windows. What Unix tells by numbers of users and modes of files is here a matter of access lists, which files
//! inherit from the user's own folder: nothing is to be done for it.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windows_sys::Win32::Foundation::{CloseHandle, FILETIME};
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OPEN_REPARSE_POINT;
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessTimes, OpenProcess, PROCESS_TERMINATE, TerminateProcess,
};

/// An open file.
pub use std::os::windows::io::{BorrowedHandle as BorrowedFile, OwnedHandle as OwnedFile};

/// Wakes a thread that [waits](wait).
#[derive(Debug, Default)]
pub struct Alarm {
    rings: Mutex<bool>,
    changed: Condvar,
}

/// The end of an [`Alarm`] to wait on.
pub type Wake<'a> = &'a Alarm;

impl Alarm {
    /// One that does not ring.
    pub fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Rings until [hushed](Self::hush).
    pub fn ring(&self) {
        *self.rings() = true;
        self.changed.notify_all();
    }

    /// Ends the ringing.
    pub fn hush(&self) {
        *self.rings() = false;
    }

    /// What to wait on.
    pub const fn wake(&self) -> Wake<'_> {
        self
    }

    fn rings(&self) -> MutexGuard<'_, bool> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks until the alarm rings or the timeout is over.
pub fn wait(wake: Wake<'_>, timeout: Option<Duration>) -> io::Result<()> {
    let silent = |rings: &mut bool| !*rings;
    match timeout {
        Some(timeout) => drop(wake.changed.wait_timeout_while(wake.rings(), timeout, silent)),
        None => drop(wake.changed.wait_while(wake.rings(), silent)),
    }
    Ok(())
}

/// Users have no numbers here: one that is not root's.
pub const fn user_id() -> u32 {
    65534
}

/// The same.
pub const fn effective_user_id() -> u32 {
    user_id()
}

/// Nor have groups.
pub const fn group_id() -> u32 {
    65534
}

/// The machine's name.
pub fn hostname() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".to_owned())
}

/// CPU time of this process so far.
pub fn cpu_time() -> Duration {
    let none = FILETIME {
        dwLowDateTime: 0,
        dwHighDateTime: 0,
    };
    let [mut created, mut exited, mut kernel, mut user] = [none; 4];
    // SAFETY: the handle is that of this process, which needs no closing; the pointers are to four values of the type
    // that is written there, alive for the call.
    #[expect(unsafe_code, reason = "asking the system")]
    let told = unsafe {
        GetProcessTimes(
            GetCurrentProcess(),
            &raw mut created,
            &raw mut exited,
            &raw mut kernel,
            &raw mut user,
        )
    };
    if told == 0 {
        return Duration::ZERO;
    }
    // in units of 100 ns
    let ticks = |time: FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    Duration::from_nanos(ticks(kernel).saturating_add(ticks(user)).saturating_mul(100))
}

/// Reads from a place of a file.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// Opens a file to read; of a link, the link itself, which is no file.
pub fn open_unlinked(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Access lists see to it.
pub const fn is_ours(_: &Metadata) -> bool {
    true
}

/// Access lists see to it.
pub const fn others_may_write(_: &Metadata) -> bool {
    false
}

/// Access lists see to it.
pub const fn others_may_use(_: &Metadata) -> bool {
    false
}

/// Modes, which are no matter here.
pub trait OpenOptionsExt {
    /// Changes nothing.
    fn mode(&mut self, mode: u32) -> &mut Self;
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, _: u32) -> &mut Self {
        self
    }
}

/// Modes, which are no matter here.
pub trait DirBuilderExt {
    /// Changes nothing.
    fn mode(&mut self, mode: u32) -> &mut Self;
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, _: u32) -> &mut Self {
        self
    }
}

/// The number all users have here.
pub const fn owner(_: &Metadata) -> u32 {
    user_id()
}

/// The number all groups have here.
pub const fn group(_: &Metadata) -> u32 {
    group_id()
}

/// The processes a command starts cannot be told to others.
pub const fn lead_group(_: &mut Command) {}

/// Kills a process. What it started goes on.
pub fn kill_group(leader: u32) {
    // SAFETY: no pointers; the handle is closed once, and only if there is one.
    #[expect(unsafe_code, reason = "asking the system")]
    unsafe {
        let process = OpenProcess(PROCESS_TERMINATE, 0, leader);
        if !process.is_null() {
            let _ended_already = TerminateProcess(process, 1);
            CloseHandle(process);
        }
    }
}
