//! [`Region`], [`NamedFile`]: there are none on Windows, whose peers share memory by names of another kind. Clients
//! offer nothing, servers refuse.

use super::AreaError;
use crate::system::{BorrowedFile, OwnedFile};
use std::convert::Infallible;
use std::path::{Path, PathBuf};

fn absent<T>() -> Result<T, AreaError> {
    Err(AreaError::Io("there is none on Windows".to_owned()))
}

/// One of the two positions at the start of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Up to here everything is released; the reader's.
    Start,
    /// Up to here everything is written; the writer's.
    End,
}

/// The bytes of an area.
#[derive(Debug)]
pub struct Region(Infallible);

impl Region {
    /// Not here.
    pub fn anonymous(_: u32) -> Result<Self, AreaError> {
        absent()
    }

    /// Not here.
    pub fn sealed(_: OwnedFile) -> Result<Self, AreaError> {
        absent()
    }

    /// Bytes of it.
    pub const fn size(&self) -> u32 {
        match self.0 {}
    }

    /// The file, for a display to read from or write to.
    pub const fn file(&self) -> BorrowedFile<'_> {
        match self.0 {}
    }

    /// Copies bytes out, from `offset` on.
    pub const fn read(&self, _: u32, _: &mut [u8]) -> Result<(), AreaError> {
        match self.0 {}
    }

    /// Copies bytes in, from `offset` on.
    pub const fn write(&self, _: u32, _: &[u8]) -> Result<(), AreaError> {
        match self.0 {}
    }

    pub(super) const fn load(&self, _: Position) -> Result<u32, AreaError> {
        match self.0 {}
    }

    pub(super) const fn store(&self, _: Position, _: u32) -> Result<(), AreaError> {
        match self.0 {}
    }
}

/// A file a client made.
#[derive(Debug)]
pub struct NamedFile(Infallible);

impl NamedFile {
    /// Not here.
    pub fn in_directory(_: &Path, _: u32, _: Option<u32>) -> Result<Self, AreaError> {
        absent()
    }

    /// Not here.
    pub fn at(_: &Path, _: u32, _: Option<u32>) -> Result<Self, AreaError> {
        absent()
    }

    /// Its name.
    pub const fn path(&self) -> &Path {
        match self.0 {}
    }

    /// Where the bytes are; `None` once they were taken.
    pub const fn region(&self) -> Option<&Region> {
        match self.0 {}
    }

    /// Keeps the bytes, removes the name.
    pub fn into_region(self) -> Option<Region> {
        match self.0 {}
    }
}

/// Nothing is left over.
pub const fn sweep(_: &Path) {}

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

/// Not here.
pub fn open_file(_: &Path, _: &Trust) -> Result<Region, AreaError> {
    absent()
}
