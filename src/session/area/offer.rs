//! [`Offer`]: the client's areas until the server has chosen.

use super::claim::{Claim, FLAT, PASSED, PLAIN, SERVER_WRITES};
use crate::mmap::{AreaError, NamedFile, Region, RingReader, size_for, sweep};
use crate::packet::Capabilities;
use crate::system::{DirBuilderExt, OwnedFile};
use crate::types::Size;
use std::fs;
use std::path::PathBuf;

/// Where a client's file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the first of these directories that will have it; the first is created when missing.
    Directories(Vec<PathBuf>),
    /// Here, and used as it is when there is one.
    File(PathBuf),
}

/// The areas a client offers.
#[derive(Debug, Default)]
pub struct Offer {
    named: Option<(NamedFile, Claim)>,
    passed: Option<(Region, Claim)>,
}

impl Offer {
    /// Makes areas for pictures of a screen: a file where `placement` says, which `group` may use too, and one without
    /// a name when it can be `passed`. What cannot be made is not offered.
    pub fn new(screen: Size, placement: &Placement, group: Option<u32>, passed: bool) -> Self {
        let size = size_for(screen.area());
        let named = place(placement, size, group).and_then(|file| {
            let path = fs::canonicalize(file.path())?;
            let region = file.region().ok_or(AreaError::Token)?;
            let claim = Claim::make(Some(path), region)?;
            Ok((file, claim))
        });
        let anonymous = || {
            let region = Region::anonymous(size)?;
            let claim = Claim::make(None, &region)?;
            Ok((region, claim))
        };
        let passed = passed.then(anonymous).transpose();
        let kept = |error: &AreaError| tracing::debug!(%error, "shared memory of one kind cannot be offered");
        Self {
            named: named.inspect_err(kept).ok(),
            passed: passed.inspect_err(kept).ok().flatten(),
        }
    }

    /// What the hello says about it.
    pub fn capabilities(&self) -> Vec<(String, crate::codec::Value)> {
        let mut all = Vec::new();
        if let Some((_, claim)) = &self.named {
            let mut both = claim.map();
            both.insert("read", claim.map());
            all.push(("mmap".to_owned(), both));
            all.extend(
                claim
                    .pairs()
                    .into_iter()
                    .map(|(key, value)| (format!("{FLAT}{key}"), value)),
            );
        }
        if let Some((_, claim)) = &self.passed {
            all.push((PASSED.trim_end_matches('.').to_owned(), claim.map()));
        }
        all
    }

    /// The descriptor to send along with the hello.
    pub fn descriptor(&self) -> Option<OwnedFile> {
        let (region, _) = self.passed.as_ref()?;
        region.file().try_clone_to_owned().ok()
    }

    /// The area the server chose, by its hello; the file's name goes in any case.
    pub(crate) fn settle(self, caps: &Capabilities) -> Option<RingReader> {
        let Self { named, passed } = self;
        let named = named.and_then(|(file, _)| file.into_region());
        let passed = passed.map(|(region, _)| region);
        // 3.1 writes into an area only when it says so, and others have no such key
        let refused = caps.bool("mmap_enabled").or_else(|| caps.bool("mmap.enabled")) == Some(false);
        let keys = [SERVER_WRITES, PLAIN, FLAT].iter().filter(|_| !refused);
        let answered = keys.filter_map(|prefix| Claim::read(caps, prefix)).next();
        let answers = [
            (Claim::read(caps, PASSED), passed, "passed"),
            (answered, named, "named"),
        ];
        for (claim, region, kind) in answers {
            let (Some(claim), Some(region)) = (claim, region) else {
                continue;
            };
            match claim.verify(&region) {
                Ok(()) => {
                    tracing::info!(kind, size = region.size(), "pictures come through shared memory");
                    return Some(RingReader::new(region));
                }
                Err(error) => tracing::warn!(%error, kind, "the server uses another area"),
            }
        }
        None
    }
}

fn place(placement: &Placement, size: u32, group: Option<u32>) -> Result<NamedFile, AreaError> {
    let directories = match placement {
        Placement::File(path) => return NamedFile::at(path, size, group),
        Placement::Directories(directories) => directories,
    };
    if let Some(first) = directories.first() {
        let _exists = fs::DirBuilder::new().mode(0o700).create(first);
    }
    let mut last = AreaError::Io("no directory for it".to_owned());
    for directory in directories {
        sweep(directory);
        match NamedFile::in_directory(directory, size, group) {
            Ok(file) => return Ok(file),
            Err(error) => last = error,
        }
    }
    Err(last)
}
