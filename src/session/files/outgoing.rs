//! [`Outgoing`]: the files that are sent to the other end.

use super::source::Source;
use super::{MAX_CHUNK, MAX_TRANSFERS};
use crate::codec::{Dialect, Value};
use crate::packet::{Capabilities, FileAck, FileChunk, FileQuestion, FileStart, Packet};
use bytes::Bytes;
use compact_str::{CompactString, format_compact};
use std::collections::VecDeque;
use std::sync::Arc;

/// Why a file is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Here.
    #[error("file transfers are disabled")]
    Disabled,
    /// There.
    #[error("the other end takes no files")]
    NotTaken,
    /// For the other end.
    #[error("the other end takes files of {0} bytes at most")]
    TooLarge(u64),
    /// At once.
    #[error("{MAX_TRANSFERS} files are on their way already")]
    TooMany,
}

/// What the other end takes.
#[derive(Clone, Copy, Debug, Default)]
struct Takes {
    files: bool,
    /// After it was asked.
    ask: bool,
    open: bool,
    open_ask: bool,
    /// Bytes of a file.
    limit: u64,
    /// Bytes of a chunk.
    chunk: usize,
}

impl Takes {
    fn new(caps: &Capabilities) -> Self {
        let count = |key: &str| caps.int(key).and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
        let chunk = |key: &str| usize::try_from(count(key)).unwrap_or(MAX_CHUNK).min(MAX_CHUNK);
        let is_nested = matches!(caps.get("file"), Some(Value::Map(pairs)) if !pairs.is_empty());
        if is_nested {
            return Self {
                files: caps.is("file.enabled"),
                ask: caps.is("file.ask"),
                open: caps.is("file.open"),
                open_ask: caps.is("file.open-ask"),
                limit: match count("file.max-file-size") {
                    0 => count("file.size-limit"),
                    limit => limit,
                },
                chunk: chunk("file.chunks"),
            };
        }
        Self {
            files: caps.is("file-transfer"),
            ask: caps.is("file-transfer-ask"),
            open: caps.is("open-files"),
            open_ask: caps.is("open-files-ask"),
            limit: count("file-size-limit").saturating_mul(1 << 20),
            chunk: chunk("file-chunks"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Outgoing {
    allowed: bool,
    takes: Takes,
    /// Those that have begun, the one whose turn it is first.
    transfers: VecDeque<Transfer>,
    /// Transfers and chunks so far.
    begun: u64,
    chunks: u64,
}

#[derive(Debug)]
struct Transfer {
    id: CompactString,
    source: Arc<Source>,
    open: bool,
    stage: Stage,
    /// Bytes and chunks sent.
    offset: u64,
    number: u64,
    /// What was not acknowledged.
    flying: VecDeque<Flying>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The other end was asked whether it would take it.
    Asked,
    /// It was told that the file follows.
    Announced,
    /// It took that.
    Going,
}

/// A chunk on its way.
#[derive(Clone, Copy, Debug)]
struct Flying {
    number: u64,
    /// Its name in the window.
    sequence: u64,
    offset: u64,
}

impl Outgoing {
    /// Chunks are counted from here on, pictures from 1: both are in one window.
    const SEQUENCES: u64 = 1 << 63;

    pub(super) fn new(allowed: bool, limit: u64, caps: &Capabilities) -> Self {
        let mut takes = Takes::new(caps);
        takes.limit = takes.limit.min(limit);
        Self {
            allowed,
            takes,
            transfers: VecDeque::new(),
            begun: 0,
            chunks: 0,
        }
    }

    /// Begins a transfer; gives the packet to begin with.
    pub(super) fn send(
        &mut self,
        source: Arc<Source>,
        open: bool,
        dialect: Dialect,
    ) -> Result<Packet, Refused> {
        let Takes {
            files,
            ask,
            open_ask,
            limit,
            chunk,
            ..
        } = self.takes;
        if !self.allowed {
            return Err(Refused::Disabled);
        }
        // whoever knows no chunks would have to be sent all of it at once, and everything else would wait
        if !files || chunk == 0 {
            return Err(Refused::NotTaken);
        }
        if source.size > limit {
            return Err(Refused::TooLarge(limit));
        }
        if self.transfers.len() >= MAX_TRANSFERS {
            return Err(Refused::TooMany);
        }
        self.begun += 1;
        let open = open && self.takes.open;
        let transfer = Transfer {
            id: format_compact!("file-{}", self.begun),
            source,
            open,
            stage: if ask || open && open_ask {
                Stage::Asked
            } else {
                Stage::Announced
            },
            offset: 0,
            number: 0,
            flying: VecDeque::new(),
        };
        let packet = match transfer.stage {
            Stage::Asked => Packet::FileQuestion(transfer.question()),
            _ => Packet::FileStart(transfer.start(dialect)),
        };
        self.transfers.push_back(transfer);
        Ok(packet)
    }

    /// The other end was asked, and this is what it says; gives what to say next.
    pub(super) fn answered(&mut self, question: &str, yes: bool, dialect: Dialect) -> Option<FileStart> {
        let asked = |transfer: &Transfer| transfer.stage == Stage::Asked && transfer.id == question;
        let index = self.transfers.iter().position(asked)?;
        if !yes {
            let transfer = self.transfers.remove(index)?;
            tracing::info!(file = %transfer.source.name, "the other end does not want the file");
            return None;
        }
        let transfer = self.transfers.get_mut(index)?;
        transfer.stage = Stage::Announced;
        Some(transfer.start(dialect))
    }

    /// Something was acknowledged, or refused; gives the names in the window of what is not on its way any more.
    pub(super) fn acknowledged(&mut self, ack: &FileAck) -> Vec<u64> {
        let Some(index) = self.transfers.iter().position(|t| t.id == ack.transfer) else {
            return Vec::new();
        };
        let over = match self.transfers.get_mut(index) {
            Some(transfer) if ack.ok => match transfer.acknowledged(ack.number) {
                Acknowledged::Chunk(sequence) if transfer.is_complete() => {
                    tracing::info!(file = %transfer.source.name, "the file was sent");
                    self.transfers.remove(index);
                    return vec![sequence];
                }
                Acknowledged::Chunk(sequence) => return vec![sequence],
                Acknowledged::Nothing => return Vec::new(),
                Acknowledged::Lie => "acknowledged what it was not sent",
            },
            _ => ack.message.as_str(),
        };
        let Some(transfer) = self.transfers.remove(index) else {
            return Vec::new();
        };
        // who stops a transfer acknowledges no more of it
        tracing::warn!(file = %transfer.source.name, why = over, "the file is not sent");
        transfer.flying.iter().map(|chunk| chunk.sequence).collect()
    }

    /// Whether there is a chunk to send.
    pub(super) fn is_ready(&self) -> bool {
        self.transfers.iter().any(Transfer::is_ready)
    }

    /// The next chunk, of no more than so many bytes, and its name in the window. Files take turns.
    pub(super) fn next(&mut self, bytes: usize) -> Option<(FileChunk, u64)> {
        loop {
            let index = self.transfers.iter().position(Transfer::is_ready)?;
            let mut transfer = self.transfers.remove(index)?;
            let sequence = Self::SEQUENCES | self.chunks;
            match transfer.next(bytes.min(self.takes.chunk), sequence) {
                Ok(chunk) => {
                    self.chunks += 1;
                    self.transfers.push_back(transfer);
                    return Some((chunk, sequence));
                }
                // the other end will not wait for ever
                Err(error) => tracing::error!(file = %transfer.source.name, "cannot be read on: {error}"),
            }
        }
    }

    /// What is on its way is lost.
    pub(super) fn rewind(&mut self) {
        for transfer in &mut self.transfers {
            if let Some(first) = transfer.flying.front() {
                (transfer.offset, transfer.number) = (first.offset, first.number - 1);
                transfer.flying.clear();
            }
        }
    }
}

/// What an acknowledgement means.
enum Acknowledged {
    /// A chunk of this name in the window arrived.
    Chunk(u64),
    /// What was known, or something to begin with.
    Nothing,
    /// It cannot be.
    Lie,
}

impl Transfer {
    fn question(&self) -> FileQuestion {
        FileQuestion {
            kind: "file".into(),
            question: self.id.clone(),
            name: self.source.name.clone(),
            size: self.source.size,
            print: false,
            open: self.open,
        }
    }

    fn start(&self, dialect: Dialect) -> FileStart {
        let digest = match dialect {
            Dialect::G3 => ("sha1".into(), self.source.sha1.clone()),
            Dialect::G6 => ("sha256".into(), self.source.sha256.clone()),
        };
        FileStart {
            name: self.source.name.clone(),
            mimetype: CompactString::default(),
            print: false,
            open: self.open,
            size: self.source.size,
            data: Bytes::new(),
            digests: vec![digest],
            transfer: self.id.clone(),
            question: self.id.clone(),
        }
    }

    fn is_ready(&self) -> bool {
        self.stage == Stage::Going && self.offset < self.source.size
    }

    fn is_complete(&self) -> bool {
        self.offset == self.source.size && self.flying.is_empty()
    }

    fn next(&mut self, bytes: usize, sequence: u64) -> std::io::Result<FileChunk> {
        let left = self.source.size - self.offset;
        let count = usize::try_from(left).map_or(bytes, |left| left.min(bytes));
        // it was read for its digest a while ago: the kernel has it in memory, mostly
        let data = self.source.read(self.offset, count)?;
        self.number += 1;
        self.flying.push_back(Flying {
            number: self.number,
            sequence,
            offset: self.offset,
        });
        self.offset += count as u64;
        Ok(FileChunk {
            transfer: self.id.clone(),
            number: self.number,
            data: data.into(),
            more: self.offset < self.source.size,
        })
    }

    fn acknowledged(&mut self, number: u64) -> Acknowledged {
        match (self.stage, number) {
            (Stage::Announced, 0) => {
                self.stage = Stage::Going;
                Acknowledged::Nothing
            }
            (Stage::Going, number) if number > self.number => Acknowledged::Lie,
            (Stage::Going, number) => match self.flying.front().copied() {
                Some(oldest) if oldest.number == number => {
                    self.flying.pop_front();
                    Acknowledged::Chunk(oldest.sequence)
                }
                Some(oldest) if oldest.number < number => Acknowledged::Lie,
                // once more, by way of another connection
                _ => Acknowledged::Nothing,
            },
            _ => Acknowledged::Lie,
        }
    }
}
