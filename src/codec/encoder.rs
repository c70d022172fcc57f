//! [`Encoder`]: packets to the byte slices to write (`wire.md` 1).

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Coding, Compressor, EncodeError, Encryptor, Flags, Header, Limits, Value};

/// Turns packets into records.
///
/// A large byte argument is not copied, unless it is encrypted: it becomes a chunk record of its own whose payload is
/// the [`Bytes`] given.
/// Byte arguments are taken to be compressed already (pixels, files) and are never compressed again.
#[derive(Debug)]
pub struct Encoder {
    coding: Coding,
    compression: Option<(Compressor, u8)>,
    chunks: bool,
    inline_max: usize,
    encryptor: Option<Encryptor>,
    /// The body being built, and the same compressed.
    body: Vec<u8>,
    compressed: Vec<u8>,
    /// Where finished headers and bodies are sliced from.
    records: BytesMut,
}

impl Encoder {
    /// Byte arguments longer than this travel as chunks (INLINE_SIZE, `wire.md` 1.4).
    pub const INLINE_MAX: usize = 32768;

    /// Bodies up to this size are never compressed (`wire.md` 1.5).
    const MIN_COMPRESS: usize = 378;
    /// A buffer that one packet made larger than this is given back.
    const KEEP_MAX: usize = 256 << 10;
    /// The same for encrypted records, which hold pictures: fresh memory for each would cost more than to encrypt it.
    const KEEP_RECORDS_MAX: usize = 2 << 20;

    /// An encoder that does not compress.
    pub fn new(coding: Coding) -> Self {
        Self {
            coding,
            compression: None,
            chunks: true,
            inline_max: Self::INLINE_MAX,
            encryptor: None,
            body: Vec::new(),
            compressed: Vec::new(),
            records: BytesMut::new(),
        }
    }

    /// How bodies are coded.
    pub const fn coding(&self) -> Coding {
        self.coding
    }

    /// Sets how bodies are coded.
    pub fn set_coding(&mut self, coding: Coding) {
        self.coding = coding;
    }

    /// Compresses bodies at `level` from 1 to 9; level 0 does not.
    pub fn set_compression(&mut self, compressor: Compressor, level: u8) {
        self.compression = (level > 0).then_some((compressor, level));
    }

    /// The compressor and level in use.
    pub const fn compression(&self) -> Option<(Compressor, u8)> {
        self.compression
    }

    /// Whether the peer takes chunks (the hello's `chunks`).
    pub fn set_chunks(&mut self, chunks: bool) {
        self.chunks = chunks;
    }

    /// Byte arguments longer than `max` travel as chunks.
    pub fn set_inline_max(&mut self, max: usize) {
        self.inline_max = max;
    }

    /// Encrypts the next records with this.
    pub fn set_encryptor(&mut self, encryptor: Encryptor) {
        self.encryptor = Some(encryptor);
    }

    /// Whether records are encrypted.
    pub const fn encrypts(&self) -> bool {
        self.encryptor.is_some()
    }

    /// Appends the records of the packet `items` to `out` and returns how many bytes they are.
    ///
    /// `more` tells that another packet follows at once. On an error `out` is as before, except after one of the
    /// cipher: then the connection has to end.
    pub fn encode(
        &mut self,
        items: &[Value],
        more: bool,
        out: &mut VecDeque<Bytes>,
    ) -> Result<usize, EncodeError> {
        check(items)?;
        let chunks = self.chunks_of(items)?;
        let compression = self.encode_body(items, chunks)?;
        let body = if compression == 0 {
            &self.body
        } else {
            &self.compressed
        };
        let main = Header::new(self.flags(more), compression, 0, body.len())?;
        let mut records = Records {
            encryptor: self.encryptor.as_mut(),
            buffer: &mut self.records,
            out,
            bytes: 0,
        };
        if records.encryptor.is_some() {
            // at once, so that the memory of this packet can be had again for the next
            let payloads = chunks.of(items).map(|(_, data)| data.len()).chain([body.len()]);
            records.make_room(payloads.map(|size| records.room(size)).sum());
        }
        for (index, data) in chunks.of(items) {
            records.chunk(Header::new(Flags::NONE, 0, index, data.len())?, data)?;
        }
        records.main(main, body)?;
        let bytes = records.bytes;
        if self.encryptor.is_some() && bytes > Self::KEEP_RECORDS_MAX {
            self.records = BytesMut::new();
        }
        for buffer in [&mut self.body, &mut self.compressed] {
            if buffer.capacity() > Self::KEEP_MAX {
                *buffer = Vec::new();
            }
        }
        Ok(bytes)
    }

    /// Which arguments travel as chunks.
    fn chunks_of(&self, items: &[Value]) -> Result<Chunks, EncodeError> {
        let mut chunks = Chunks::default();
        if !self.chunks {
            return Ok(chunks);
        }
        for (index, item) in (0..=Limits::CHUNK_INDEX).zip(items).skip(1) {
            match item {
                Value::Bytes(data) if data.len() > Limits::CEILING => return Err(EncodeError::TooLarge),
                Value::Bytes(data) if data.len() > self.inline_max && !chunks.is_full() => chunks.add(index),
                _ => {}
            }
        }
        Ok(chunks)
    }

    /// Builds the body of the main record; returns its compression byte.
    fn encode_body(&mut self, items: &[Value], chunks: Chunks) -> Result<u8, EncodeError> {
        static PLACEHOLDER: Value = Value::Bytes(Bytes::new());
        self.body.clear();
        let inline = items.iter().enumerate();
        let inline = inline.map(|(index, item)| if chunks.has(index) { &PLACEHOLDER } else { item });
        self.coding.encode_list(inline.clone(), &mut self.body)?;
        let Some((compressor, level)) = self.compression else {
            return Ok(0);
        };
        // Byte arguments are compressed already and do not count, wire.md 1.5.
        let opaque: usize = inline
            .map(|item| {
                if let Value::Bytes(data) = item {
                    data.len()
                } else {
                    0
                }
            })
            .sum();
        if self.body.len() <= Self::MIN_COMPRESS + opaque {
            return Ok(0);
        }
        self.compressed.clear();
        compressor.compress(level, &self.body, &mut self.compressed)?;
        Ok(compressor.byte(level))
    }

    /// The flags of a main record; peers of the rencode generation know no flush (`wire.md` 1.2).
    fn flags(&self, more: bool) -> Flags {
        match self.coding {
            Coding::Rencodeplus if !more => Flags::RENCODEPLUS.with(Flags::FLUSH),
            coding => coding.flags(),
        }
    }
}

/// `wire.md` 1.6: what every peer refuses.
fn check(items: &[Value]) -> Result<(), EncodeError> {
    match items {
        [Value::Text(_) | Value::Bytes(_), arguments @ ..] => {
            if arguments.contains(&Value::Null) {
                Err(EncodeError::Null)
            } else {
                Ok(())
            }
        }
        _ => Err(EncodeError::PacketType),
    }
}

/// A set of argument positions from 1 to 15.
#[derive(Clone, Copy, Default)]
struct Chunks(u16);

impl Chunks {
    /// At most so many chunks are sent with one packet (`wire.md` 1.4).
    const MAX: u32 = 3;

    fn add(&mut self, index: u8) {
        self.0 |= 1 << index;
    }

    fn is_full(self) -> bool {
        self.0.count_ones() >= Self::MAX
    }

    fn has(self, index: usize) -> bool {
        index <= usize::from(Limits::CHUNK_INDEX) && self.0 >> index & 1 == 1
    }

    /// The chunks of `items` in their order.
    fn of(self, items: &[Value]) -> impl Iterator<Item = (u8, &Bytes)> {
        (0..=Limits::CHUNK_INDEX)
            .zip(items)
            .filter_map(move |(index, item)| match item {
                Value::Bytes(data) if self.has(usize::from(index)) => Some((index, data)),
                _ => None,
            })
    }
}

/// Collects records: small ones are joined, large payloads are passed on as they are, or encrypted on the way.
struct Records<'a> {
    encryptor: Option<&'a mut Encryptor>,
    buffer: &'a mut BytesMut,
    out: &'a mut VecDeque<Bytes>,
    bytes: usize,
}

impl Records<'_> {
    /// Payloads up to this size are copied behind their header: cheaper than a slice of their own to write.
    const JOIN_MAX: usize = 1024;
    /// Memory is taken in pieces of at least this size.
    const PIECE: usize = 16 << 10;

    fn make_room(&mut self, size: usize) {
        if self.buffer.capacity() - self.buffer.len() < size {
            // rather another slice to write than a copy
            self.flush();
            self.buffer.reserve(size.max(Self::PIECE));
        }
    }

    /// What a record takes while it is made.
    fn room(&self, payload: usize) -> usize {
        let encrypted = self.encryptor.as_ref().map(|encryptor| encryptor.room(payload));
        Header::SIZE + encrypted.unwrap_or(payload)
    }

    fn chunk(&mut self, header: Header, data: &Bytes) -> Result<(), EncodeError> {
        if self.encryptor.is_some() || data.len() <= Self::JOIN_MAX {
            return self.join(header, data);
        }
        self.join(header, &[])?;
        self.flush();
        self.bytes += data.len();
        self.out.push_back(data.clone());
        Ok(())
    }

    fn main(&mut self, header: Header, body: &[u8]) -> Result<(), EncodeError> {
        self.join(header, body)?;
        self.flush();
        Ok(())
    }

    fn join(&mut self, mut header: Header, payload: &[u8]) -> Result<(), EncodeError> {
        if let Some(encryptor) = &self.encryptor {
            let size = encryptor.header_size(payload.len());
            let flags = header.flags.with(Flags::CIPHER);
            header = Header::new(flags, header.compression, header.chunk, size)?;
        }
        self.make_room(self.room(payload.len()));
        let start = self.buffer.len();
        self.buffer.put_slice(&header.to_bytes());
        match &mut self.encryptor {
            Some(encryptor) => encryptor
                .seal(payload, self.buffer)
                .map_err(EncodeError::Cipher)?,
            None => self.buffer.put_slice(payload),
        }
        self.bytes += self.buffer.len() - start;
        Ok(())
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.out.push_back(self.buffer.split().freeze());
        }
    }
}
