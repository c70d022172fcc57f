//! [`accept`]: the server's choice among the areas a client offers.

use super::claim::{CLIENT_READS, Claim, FLAT, PASSED, PLAIN};
use crate::codec::Value;
use crate::mmap::{AreaError, Region, RingWriter, Trust, open_file};
use crate::packet::Capabilities;
use crate::system::OwnedFile;
use std::path::PathBuf;

/// An area the server writes into from now on.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Its writing end.
    pub(crate) ring: RingWriter,
    /// What it is called, for people.
    pub(crate) name: String,
    answer: Claim,
}

impl Accepted {
    /// Says so in the server's hello.
    pub(crate) fn answer(&self, caps: &mut Capabilities) {
        if self.answer.file.is_none() {
            caps.set(PASSED.trim_end_matches('.'), self.answer.map());
            return;
        }
        let mut both = self.answer.map();
        both.insert("write", self.answer.map());
        caps.set("mmap", both).set("mmap_enabled", true);
        for (key, value) in self.answer.pairs() {
            caps.set(&format!("{FLAT}{key}"), value);
        }
    }
}

/// Opens what the client's hello offers, checks that both see the same memory, and proves it. `None` when nothing of it
/// can be used: the connection does without.
pub(crate) fn accept(caps: &Capabilities, passed: Vec<OwnedFile>, trust: &Trust) -> Option<Accepted> {
    let mut tries: Vec<Result<Accepted, AreaError>> = Vec::new();
    if let (Some(claim), Some(file)) = (Claim::read(caps, PASSED), passed.into_iter().next()) {
        tries.push(Region::sealed(file).and_then(|region| take(region, &claim, None)));
    }
    let named = [CLIENT_READS, PLAIN, FLAT]
        .iter()
        .find_map(|prefix| Claim::read(caps, prefix));
    if !matches!(tries.as_slice(), [Ok(_)])
        && let Some(claim) = named
        && let Some(path) = claim.file.clone()
    {
        let region = open_file(&path, trust);
        tries.push(region.and_then(|region| take(region, &claim, Some(path))));
    }
    let refused = |error: &AreaError| tracing::info!("shared memory is not used: {error}");
    tries.into_iter().find_map(|area| area.inspect_err(refused).ok())
}

fn take(region: Region, claim: &Claim, path: Option<PathBuf>) -> Result<Accepted, AreaError> {
    claim.verify(&region)?;
    let name = path
        .as_ref()
        .map_or_else(|| "memfd".to_owned(), |path| path.display().to_string());
    let answer = Claim::make(path, &region)?;
    Ok(Accepted {
        ring: RingWriter::new(region)?,
        name,
        answer,
    })
}

impl From<&Accepted> for Value {
    /// What `info` says about it (`session.md` 4.3).
    fn from(area: &Accepted) -> Self {
        let mut map = Self::map();
        map.insert("enabled", true);
        map.insert("supported", true);
        map.insert("size", area.ring.region().size());
        map.insert("filename", area.name.as_str());
        map
    }
}
