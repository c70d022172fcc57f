//! Memory the X server writes pictures into and we read: MIT-SHM over a passed file descriptor.

#![expect(
    unsafe_code,
    reason = "mapping shared memory; the mapping never leaves this file but as a borrowed slice"
)]

use super::connection::{Connection, Fault};
use crate::display::SharedFile;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::c_void;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use x11rb::connection::Connection as _;
use x11rb::errors::ConnectionError;
use x11rb::protocol::shm::{self, ConnectionExt as _};

/// A piece of memory shared with the X server.
#[derive(Debug)]
pub(super) struct Segment {
    id: shm::Seg,
    memory: Mapping,
}

impl Segment {
    /// Shares `len` bytes; `None` when this server does not take them.
    pub(super) fn new(connection: &Connection, len: usize) -> Result<Option<Self>, Fault> {
        if !can_pass(connection)? {
            return Ok(None);
        }
        let (file, memory) = match Mapping::new(len) {
            Ok(both) => both,
            Err(e) => {
                tracing::warn!("no shared memory, capturing will be slow: {e}");
                return Ok(None);
            }
        };
        let id = attach(connection, file)?;
        Ok(id.map(|id| Self { id, memory }))
    }

    /// What the X server calls it.
    pub(super) const fn id(&self) -> shm::Seg {
        self.id
    }

    /// Its bytes. Only the server changes them, and only to answer a request that names the segment: none may be
    /// under way.
    pub(super) const fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, `len` bytes long, and lives as long as `self`; the file cannot shrink
        // (sealed). The X server writes only while it answers ShmGetImage, and `Capture` waits for the answers
        // before it lends the bytes out, and lends them out until it is mutably borrowed again.
        unsafe { std::slice::from_raw_parts(self.memory.start.as_ptr().cast(), self.memory.len) }
    }

    /// Gives it back.
    pub(super) fn detach(self, connection: &Connection) -> Result<(), ConnectionError> {
        connection.x().shm_detach(self.id)?;
        Ok(())
    }
}

/// Lets the X server write into a file of somebody else's; it survives that the file becomes shorter.
pub(super) fn share(connection: &Connection, file: BorrowedFd<'_>) -> Result<Option<SharedFile>, Fault> {
    if !can_pass(connection)? {
        return Ok(None);
    }
    let Ok(file) = file.try_clone_to_owned() else {
        return Ok(None);
    };
    Ok(attach(connection, file)?.map(SharedFile))
}

/// Whether the X server takes descriptors: that came with version 1.2, and needs a socket that can.
fn can_pass(connection: &Connection) -> Result<bool, Fault> {
    let version = match connection.x().shm_query_version() {
        Ok(cookie) => cookie.reply()?,
        Err(ConnectionError::UnsupportedExtension) => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    Ok((version.major_version, version.minor_version) >= (1, 2) && connection.is_local())
}

fn attach(connection: &Connection, file: OwnedFd) -> Result<Option<shm::Seg>, Fault> {
    let id = connection.x().generate_id()?;
    // A server behind a forwarded socket never gets the descriptor and says so.
    let attached = connection.x().shm_attach_fd(id, file, false)?.check();
    Ok(attached.is_ok().then_some(id))
}

/// Mapped memory of an anonymous file.
#[derive(Debug)]
struct Mapping {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and has no tie to the thread that made it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(len: usize) -> io::Result<(OwnedFd, Self)> {
        let file = rustix::fs::memfd_create("xpra-capture", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(
            &file,
            u64::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?,
        )?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // Populated now, or else the first capture pays for every page.
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a fresh mapping at an address the kernel chooses touches nothing that exists.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, flags, &file, 0) }?;
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok((file, Self { start, len }))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of a mapping of ours, and no borrow of it outlives `self`.
        if let Err(e) = unsafe { rustix::mm::munmap(self.start.as_ptr(), self.len) } {
            tracing::debug!("cannot unmap shared memory: {e}");
        }
    }
}
