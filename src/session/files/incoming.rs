//! [`Incoming`]: the files that the other end sends.
//!
//! Nothing its sender says is believed: not the name, not the size, not the order, not that the bytes are those of the
//! digest. Each chunk is written as it comes, so that a transfer costs no memory, and what ends wrongly leaves nothing.

use super::{FileRules, MAX_CHUNK, MAX_TRANSFERS, download};
use crate::packet::{FileAck, FileChunk, FileQuestion, FileStart};
use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA224, SHA256, SHA384, SHA512};
use compact_str::CompactString;
use data_encoding::HEXLOWER;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Incoming {
    rules: FileRules,
    arriving: BTreeMap<CompactString, Arriving>,
    /// The last that arrived, and their last chunks: those may come once more, by way of another connection.
    arrived: VecDeque<(CompactString, u64)>,
}

/// A file of which some is there.
#[derive(Debug)]
struct Arriving {
    /// Gone when the file is to stay.
    partial: Option<Partial>,
    size: u64,
    written: u64,
    /// The last chunk.
    number: u64,
    digest: Option<Digest>,
    /// When the last news of it came.
    heard: Instant,
}

#[derive(Debug)]
struct Partial {
    file: File,
    path: PathBuf,
}

struct Digest {
    context: Context,
    expected: CompactString,
}

impl Incoming {
    /// A transfer without news for so long makes room for another.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// Longest id of a transfer.
    const MAX_ID: usize = 128;

    pub(super) const fn new(rules: FileRules) -> Self {
        Self {
            rules,
            arriving: BTreeMap::new(),
            arrived: VecDeque::new(),
        }
    }

    /// Whether a file like that would be taken.
    pub(super) fn would_take(&self, question: &FileQuestion) -> bool {
        let fits = (1..=self.rules.limit).contains(&question.size);
        self.rules.allowed && question.kind == "file" && !question.print && fits
    }

    /// A file is announced; gives what to answer, if it has chunks.
    pub(super) fn start(&mut self, start: FileStart, now: Instant) -> Option<FileAck> {
        let (transfer, name) = (start.transfer.clone(), start.name.clone());
        let result = self.begin(start, now);
        if let Err(why) = &result {
            tracing::warn!(file = %name, "a file is not taken: {why}");
        }
        (!transfer.is_empty()).then(|| answer(transfer, 0, result))
    }

    fn begin(&mut self, start: FileStart, now: Instant) -> Result<(), String> {
        if !self.rules.allowed {
            return Err("file transfers are disabled".to_owned());
        }
        if start.print {
            return Err("files are not printed here".to_owned());
        }
        if start.size == 0 || start.size > self.rules.limit {
            return Err(format!(
                "a file of {} bytes, not 1 to {}",
                start.size, self.rules.limit
            ));
        }
        if start.transfer.len() > Self::MAX_ID || self.arriving.contains_key(&start.transfer) {
            return Err("the id of a transfer is too long or not new".to_owned());
        }
        if self.arriving.len() >= MAX_TRANSFERS {
            let waiting =
                |arriving: &Arriving| now.saturating_duration_since(arriving.heard) < Self::PATIENCE;
            self.arriving.retain(|_, arriving| waiting(arriving));
        }
        if self.arriving.len() >= MAX_TRANSFERS {
            return Err(format!("{MAX_TRANSFERS} files are arriving already"));
        }
        let (path, file) = download::create(&self.rules.folder, &start.name)
            .map_err(|error| format!("cannot be saved in {}: {error}", self.rules.folder.display()))?;
        let mut arriving = Arriving {
            partial: Some(Partial { file, path }),
            size: start.size,
            written: 0,
            number: 0,
            digest: Digest::new(&start.digests),
            heard: now,
        };
        if start.transfer.is_empty() {
            arriving.write(&start.data)?;
            return arriving.finish();
        }
        self.arriving.insert(start.transfer, arriving);
        Ok(())
    }

    /// Part of a file came; gives what to answer.
    pub(super) fn chunk(&mut self, chunk: &FileChunk, now: Instant) -> FileAck {
        let FileChunk { transfer, number, .. } = chunk;
        let result = match self.arriving.get_mut(transfer) {
            Some(arriving) => arriving.chunk(chunk, now),
            None if self.arrived.contains(&(transfer.clone(), *number)) => Ok(()),
            None => Err("there is no such transfer".to_owned()),
        };
        let is_over = result.is_err() || !chunk.more;
        let over = is_over.then(|| self.arriving.remove(transfer)).flatten();
        let is_new = over.is_some();
        let result = match over {
            Some(over) if result.is_ok() => over.finish(),
            _ => result,
        };
        if let Err(why) = &result {
            if is_new {
                tracing::warn!("a file is not taken: {why}");
            }
        } else if is_new {
            self.arrived.push_back((transfer.clone(), *number));
            if self.arrived.len() > MAX_TRANSFERS {
                self.arrived.pop_front();
            }
        }
        answer(transfer.clone(), *number, result)
    }
}

fn answer(transfer: CompactString, number: u64, result: Result<(), String>) -> FileAck {
    let (ok, message) = match result {
        Ok(()) => (true, CompactString::default()),
        Err(why) => (false, why.into()),
    };
    FileAck {
        transfer,
        ok,
        message,
        number,
    }
}

impl Arriving {
    fn chunk(&mut self, chunk: &FileChunk, now: Instant) -> Result<(), String> {
        self.heard = now;
        // once more, by way of another connection
        if (1..=self.number).contains(&chunk.number) && chunk.more {
            return Ok(());
        }
        if chunk.number != self.number + 1 {
            return Err(format!("chunk {} after chunk {}", chunk.number, self.number));
        }
        if chunk.data.is_empty() || chunk.data.len() > MAX_CHUNK {
            return Err(format!("a chunk of {} bytes", chunk.data.len()));
        }
        self.number = chunk.number;
        self.write(&chunk.data)?;
        if chunk.more && self.written == self.size {
            return Err("more than was announced".to_owned());
        }
        Ok(())
    }

    fn write(&mut self, data: &[u8]) -> Result<(), String> {
        self.written += data.len() as u64;
        if self.written > self.size {
            return Err("more than was announced".to_owned());
        }
        if let Some(digest) = &mut self.digest {
            digest.context.update(data);
        }
        let partial = self.partial.as_mut().ok_or("over")?;
        partial
            .file
            .write_all(data)
            .map_err(|error| format!("{}: {error}", partial.path.display()))
    }

    /// All of it came: it stays if it is what was announced.
    fn finish(mut self) -> Result<(), String> {
        if self.written != self.size {
            return Err(format!("{} bytes of {}", self.written, self.size));
        }
        if let Some(digest) = self.digest.take()
            && !digest.matches()
        {
            return Err("not the file of that digest".to_owned());
        }
        if let Some(Partial { path, .. }) = self.partial.take() {
            tracing::info!(bytes = self.size, "a file was saved: {}", path.display());
        }
        Ok(())
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(Partial { path, .. }) = self.partial.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!("part of a file is left: {}: {error}", path.display());
        }
    }
}

impl Digest {
    /// The best of those offered, if any is of use here.
    fn new(offered: &[(CompactString, CompactString)]) -> Option<Self> {
        let known = |(hash, expected): &(CompactString, CompactString)| {
            let algorithm: &Algorithm = match hash.as_str() {
                "sha512" => &SHA512,
                "sha384" => &SHA384,
                "sha256" => &SHA256,
                "sha224" => &SHA224,
                "sha1" => &SHA1_FOR_LEGACY_USE_ONLY,
                _ => return None,
            };
            Some(Self {
                context: Context::new(algorithm),
                expected: expected.clone(),
            })
        };
        offered.iter().find_map(known)
    }

    fn matches(self) -> bool {
        let digest = HEXLOWER.encode(self.context.finish().as_ref());
        digest == self.expected.to_ascii_lowercase()
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Digest").field(&self.expected).finish()
    }
}
