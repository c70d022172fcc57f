//! [`Source`]: a file to send.

use crate::system;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use compact_str::CompactString;
use data_encoding::HEXLOWER;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A file that may be sent to several clients at once.
#[derive(Debug)]
pub struct Source {
    pub(super) name: CompactString,
    pub(super) size: u64,
    /// The digests that 3.1 and 6.x look at.
    pub(super) sha1: CompactString,
    pub(super) sha256: CompactString,
    file: File,
}

impl Source {
    /// Opens a file of no more than `limit` bytes and reads all of it, for its digests.
    pub fn open(path: &Path, limit: u64) -> Result<Self, String> {
        let about = |error: io::Error| format!("{}: {error}", path.display());
        // a pipe nobody writes to would be waited for
        let about_kind = std::fs::metadata(path).map_err(about)?;
        if !about_kind.is_file() {
            return Err(format!("{} is not a file", path.display()));
        }
        let file = File::open(path).map_err(about)?;
        let (mut sha1, mut sha256) = (Context::new(&SHA1_FOR_LEGACY_USE_ONLY), Context::new(&SHA256));
        let mut size = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = match (&file).read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(about(error)),
            };
            let part = buffer.get(..count).unwrap_or_default();
            sha1.update(part);
            sha256.update(part);
            size += count as u64;
            if size > limit {
                return Err(format!("{} is larger than {limit} bytes", path.display()));
            }
        }
        if size == 0 {
            return Err(format!("{} is empty", path.display()));
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        let hex = |context: Context| CompactString::from(HEXLOWER.encode(context.finish().as_ref()));
        Ok(Self {
            name: name.to_string_lossy().into(),
            size,
            sha1: hex(sha1),
            sha256: hex(sha256),
            file,
        })
    }

    /// The bytes from there on, `count` of them.
    pub(super) fn read(&self, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match system::read_at(&self.file, rest, offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}
