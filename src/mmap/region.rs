//! [`Region`]: the bytes of an area, reached without ever referring to them.

use super::{AreaError, HEADER, MIN_SIZE};
use crate::types::Span;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// `statfs` of the kernel's own memory, where memfds are.
pub(super) const TMPFS: i64 = 0x0102_1994;

/// One of the two positions at the start of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Up to here everything is released; the reader's.
    Start,
    /// Up to here everything is written; the writer's.
    End,
}

impl Position {
    const fn offset(self) -> u32 {
        match self {
            Self::Start => 0,
            Self::End => 4,
        }
    }
}

/// The bytes of an area.
#[derive(Debug)]
pub struct Region {
    file: OwnedFd,
    size: u32,
    /// `None` for what could be truncated.
    mapping: Option<Mapping>,
}

impl Region {
    /// A new anonymous area of zeros, to be passed to the peer.
    pub fn anonymous(size: u32) -> Result<Self, AreaError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("xpra-pixels", flags)?;
        rustix::fs::ftruncate(&file, size.into())?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Self::sealed(file)
    }

    /// The anonymous area that a peer passed.
    pub fn sealed(file: OwnedFd) -> Result<Self, AreaError> {
        let refuse = |reason| AreaError::Refused {
            path: "the passed descriptor".to_owned(),
            reason,
        };
        let seals = rustix::fs::fcntl_get_seals(&file).map_err(|_| refuse("it is not anonymous memory"))?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(refuse("it is not sealed against shrinking"));
        }
        // pages of other kinds can be missing when they are touched
        if rustix::fs::fstatfs(&file)?.f_type != TMPFS {
            return Err(refuse("it is not plain memory"));
        }
        let size = size_of(&file)?;
        let mapping = Some(Mapping::new(&file, size)?);
        Ok(Self { file, size, mapping })
    }

    /// The area in a file that others can truncate. It must have been checked to be a regular one.
    pub(super) fn of_file(file: OwnedFd) -> Result<Self, AreaError> {
        let size = size_of(&file)?;
        Ok(Self {
            file,
            size,
            mapping: None,
        })
    }

    /// Bytes of it.
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// The file, for a display to read from or write to.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Copies bytes out, from `offset` on.
    pub fn read(&self, offset: u32, out: &mut [u8]) -> Result<(), AreaError> {
        self.check(offset, out.len())?;
        match &self.mapping {
            Some(mapping) => mapping.read(offset as usize, out),
            None => read_all(&self.file, offset, out)?,
        }
        Ok(())
    }

    /// Copies bytes in, from `offset` on.
    pub fn write(&self, offset: u32, bytes: &[u8]) -> Result<(), AreaError> {
        self.check(offset, bytes.len())?;
        match &self.mapping {
            Some(mapping) => mapping.write(offset as usize, bytes),
            None => write_all(&self.file, offset, bytes)?,
        }
        Ok(())
    }

    /// One of the positions, as a position of the ring; what the peer wrote there is checked.
    pub(super) fn load(&self, which: Position) -> Result<u32, AreaError> {
        let position = match &self.mapping {
            Some(mapping) => mapping.position(which).load(Ordering::Acquire),
            None => {
                let mut bytes = [0; 4];
                read_all(&self.file, which.offset(), &mut bytes)?;
                u32::from_ne_bytes(bytes)
            }
        };
        match position {
            // nothing was ever there
            0 => Ok(HEADER),
            position if position >= HEADER && position <= self.size => Ok(position),
            position => Err(AreaError::Corrupt {
                position,
                size: self.size,
            }),
        }
    }

    /// Sets one of the positions.
    pub(super) fn store(&self, which: Position, position: u32) -> Result<(), AreaError> {
        match &self.mapping {
            Some(mapping) => mapping.position(which).store(position, Ordering::Release),
            None => write_all(&self.file, which.offset(), &position.to_ne_bytes())?,
        }
        Ok(())
    }

    fn check(&self, offset: u32, len: usize) -> Result<(), AreaError> {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let span = Span { offset, len };
        if span.end() <= u64::from(self.size) {
            Ok(())
        } else {
            Err(AreaError::Outside {
                span,
                size: self.size,
            })
        }
    }
}

/// The size of a file, if it is one for areas: positions have 32 bits.
fn size_of(file: impl AsFd) -> Result<u32, AreaError> {
    let size = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    match u32::try_from(size) {
        Ok(size) if size >= MIN_SIZE => Ok(size),
        _ => Err(AreaError::Size(size)),
    }
}

fn read_all(file: impl AsFd, offset: u32, out: &mut [u8]) -> Result<(), AreaError> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(&file, rest, u64::from(offset) + done as u64) {
            Ok(0) => return Err(AreaError::Io("the peer made the file shorter".to_owned())),
            Ok(n) => done += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn write_all(file: impl AsFd, offset: u32, bytes: &[u8]) -> Result<(), AreaError> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pwrite(&file, rest, u64::from(offset) + done as u64) {
            Ok(0) => return Err(AreaError::Io("nothing more can be written".to_owned())),
            Ok(n) => done += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl From<rustix::io::Errno> for AreaError {
    fn from(error: rustix::io::Errno) -> Self {
        std::io::Error::from(error).into()
    }
}

/// A sealed file's memory, mapped for as long as this lives.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    size: usize,
}

impl Mapping {
    /// Maps a file of `size` bytes, at least those of the positions, that cannot shrink.
    fn new(file: &OwnedFd, size: u32) -> Result<Self, AreaError> {
        let size = size as usize;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address the kernel chooses touches no memory of ours.
        #[expect(unsafe_code, reason = "mapping the memory shared with the peer")]
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), size, access, MapFlags::SHARED, file, 0)? };
        let start = NonNull::new(start.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self { start, size })
    }

    /// Copies out; the caller has checked that it is inside.
    fn read(&self, offset: usize, out: &mut [u8]) {
        if self.size.saturating_sub(offset) < out.len() {
            return;
        }
        // SAFETY: `offset..offset + out.len()` is within the live mapping (just checked), whose pages cannot go away
        // (sealed). `out` is memory of ours, so the two do not overlap. The peer may write at the same time: no
        // reference to its bytes is made, and what comes out is only data, torn or not.
        #[expect(unsafe_code, reason = "the memory is not Rust's")]
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.as_ptr().add(offset), out.as_mut_ptr(), out.len());
        }
    }

    /// Copies in; the caller has checked that it is inside.
    fn write(&self, offset: usize, bytes: &[u8]) {
        if self.size.saturating_sub(offset) < bytes.len() {
            return;
        }
        // SAFETY: as for `read`, the other way round; no reference into the mapping exists anywhere.
        #[expect(unsafe_code, reason = "the memory is not Rust's")]
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(offset), bytes.len());
        }
    }

    /// One of the positions, which the peer reads and writes as a whole too.
    const fn position(&self, which: Position) -> &AtomicU32 {
        // SAFETY: a mapping begins at a page and has `HEADER` bytes at least, so both positions are aligned and
        // inside; they live as long as `self`; in this process they are only ever accessed as atomics while shared
        // (the tokens that are copied lie elsewhere, `TokenPlace` sees to it).
        #[expect(unsafe_code, reason = "the memory is not Rust's")]
        unsafe {
            AtomicU32::from_ptr(self.start.as_ptr().add(which.offset() as usize).cast())
        }
    }
}

// SAFETY: the mapping belongs to the process, not to a thread, and is reached only through copies and atomics.
#[expect(unsafe_code, reason = "a pointer to memory only this value knows")]
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `size` are what mmap gave; every reference into it borrows this value.
        #[expect(unsafe_code, reason = "undoing the mapping")]
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.size) };
        if let Err(error) = unmapped {
            tracing::warn!(%error, "cannot unmap an area");
        }
    }
}
