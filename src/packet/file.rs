//! Packets of file transfers. A file is announced, then sent chunk by chunk; each chunk is acknowledged, and so is, as
//! chunk 0, the announcement. Who has to be asked first is.

use super::args::{Args, SchemaError};
use crate::codec::Value;
use bytes::Bytes;
use compact_str::CompactString;

/// `send-file`: a file follows, or is in here when it is sent without chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStart {
    /// What it is called at the sender's.
    pub name: CompactString,
    /// Its kind, when known.
    pub mimetype: CompactString,
    /// It is to be printed.
    pub print: bool,
    /// It is to be opened once it is there.
    pub open: bool,
    /// Bytes of all of it.
    pub size: u64,
    /// All of it, when there are no chunks.
    pub data: Bytes,
    /// The name of the hash function of the digest, and the digest in hexadecimal digits.
    pub digests: Vec<(CompactString, CompactString)>,
    /// What its chunks are told from those of others by; empty when there are none.
    pub transfer: CompactString,
    /// What was asked before, if anything was.
    pub question: CompactString,
}

/// Hash functions a digest may be of, the best first.
const HASHES: [&str; 5] = ["sha512", "sha384", "sha256", "sha224", "sha1"];

impl FileStart {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let (name, mimetype) = (args.text()?, args.text_or_empty());
        let (print, open) = (args.bool_or(false), args.bool_or(false));
        let size = args.u64()?;
        let data = args.value().to_bytes().unwrap_or_default();
        let options = args.value();
        let text = |key: &str| options.get(key)?.as_text().map(CompactString::from);
        let digests = HASHES
            .iter()
            .filter_map(|hash| Some((CompactString::from(*hash), text(hash)?)));
        Ok(Self {
            name,
            mimetype,
            print,
            open,
            size,
            data,
            digests: digests.collect(),
            transfer: text("file-chunk-id").unwrap_or_default(),
            question: args.text_or_empty(),
        })
    }

    pub(super) fn into_items(self, name: Value) -> Vec<Value> {
        let mut options = Value::map();
        for (hash, digest) in self.digests {
            options.insert(hash, digest);
        }
        if !self.transfer.is_empty() {
            options.insert("file-chunk-id", self.transfer);
        }
        vec![
            name,
            self.name.into(),
            self.mimetype.into(),
            self.print.into(),
            self.open.into(),
            self.size.into(),
            self.data.into(),
            options,
            self.question.into(),
        ]
    }
}

/// `send-file-chunk`: the next bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChunk {
    /// Of which transfer.
    pub transfer: CompactString,
    /// From 1 on.
    pub number: u64,
    /// The bytes.
    pub data: Bytes,
    /// This is not the last.
    pub more: bool,
}

impl FileChunk {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        Ok(Self {
            transfer: args.text()?,
            number: args.u64()?,
            data: args.bytes()?,
            more: args.bool_or(false),
        })
    }

    pub(super) fn into_items(self, name: Value) -> Vec<Value> {
        vec![
            name,
            self.transfer.into(),
            self.number.into(),
            self.data.into(),
            self.more.into(),
        ]
    }
}

/// `ack-file-chunk`: a chunk, or as number 0 the announcement, was taken; or the transfer is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAck {
    /// Of which transfer.
    pub transfer: CompactString,
    /// Go on.
    pub ok: bool,
    /// Why not.
    pub message: CompactString,
    /// Which chunk.
    pub number: u64,
}

impl FileAck {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        Ok(Self {
            transfer: args.text()?,
            ok: args.bool_or(false),
            message: args.text_or_empty(),
            number: args.u64()?,
        })
    }

    pub(super) fn into_items(self, name: Value) -> Vec<Value> {
        vec![
            name,
            self.transfer.into(),
            self.ok.into(),
            self.message.into(),
            self.number.into(),
        ]
    }
}

/// `send-data-request`: may this be sent?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileQuestion {
    /// `file`, or `url`.
    pub kind: CompactString,
    /// To be repeated in the answer, and when the file is sent.
    pub question: CompactString,
    /// What the file is called.
    pub name: CompactString,
    /// Bytes of all of it.
    pub size: u64,
    /// It is to be printed.
    pub print: bool,
    /// It is to be opened.
    pub open: bool,
}

impl FileQuestion {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let (kind, question, name) = (args.text()?, args.text()?, args.text_or_empty());
        args.skip(); // mimetype
        Ok(Self {
            kind,
            question,
            name,
            size: args.u64()?,
            print: args.bool_or(false),
            open: args.bool_or(false),
        })
    }

    pub(super) fn into_items(self, name: Value) -> Vec<Value> {
        vec![
            name,
            self.kind.into(),
            self.question.into(),
            self.name.into(),
            "".into(),
            self.size.into(),
            self.print.into(),
            self.open.into(),
            Value::map(),
        ]
    }
}
