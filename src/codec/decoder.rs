//! [`Decoder`]: a stream of bytes to packets (`wire.md` 1).

use bytes::{Buf, Bytes, BytesMut};

use super::{DecodeError, Decryptor, Dialect, Flags, Header, Items, Limits, Tape, ValueRef};

/// A packet as the wire carries it: its items, its chunks put in their places.
#[derive(Clone, Debug)]
pub struct RawPacket<'a> {
    /// The packet type, then the arguments; never empty and without nulls. The type is text, or, from a peer of
    /// [`Dialect::G3`], bytes or an integer alias.
    pub items: Items<'a>,
    /// The flags of the main record.
    pub flags: Flags,
    /// Bytes of all its records.
    pub wire_bytes: usize,
}

/// Reads packets out of a stream of bytes.
///
/// The driver reads the socket into [`read_buf`](Self::read_buf) and calls [`poll`](Self::poll) until it returns
/// `None`. Payloads are not copied: byte strings and chunks are slices of what was read, and a packet is read from
/// them before the next call. Memory grows with what arrives, never with what a header claims. An error is final and is repeated.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    decryptor: Option<Decryptor>,
    buffer: BytesMut,
    /// The header of the record at the head of the buffer, once it was read and taken off.
    header: Option<Header>,
    chunks: Vec<Chunk>,
    /// The packet last returned.
    tape: Tape,
    /// Bytes of the records of the packet being read.
    wire_bytes: usize,
    failed: Option<DecodeError>,
}

#[derive(Debug)]
struct Chunk {
    header: Header,
    data: Bytes,
}

impl Decoder {
    /// The least room given to a read.
    const MIN_READ: usize = 16 << 10;
    /// The most memory given ahead of the data; beyond it the buffer doubles as the record arrives.
    const MAX_AHEAD: usize = 1 << 20;
    /// The most text kept of a peer that does not speak xpra.
    const MAX_TEXT: usize = 4 << 10;

    /// A decoder at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            decryptor: None,
            buffer: BytesMut::new(),
            header: None,
            chunks: Vec::new(),
            tape: Tape::default(),
            wire_bytes: 0,
            failed: None,
        }
    }

    /// Sets what the next records are held to.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Decrypts the next records with this; from now on none may come in plain.
    pub fn set_decryptor(&mut self, decryptor: Decryptor) {
        self.decryptor = Some(decryptor);
    }

    /// The buffer to append received bytes to; it has room for some.
    pub fn read_buf(&mut self) -> &mut BytesMut {
        let have = self.buffer.len();
        let missing = self
            .header
            .map_or(0, |header| self.payload_size(header).saturating_sub(have));
        // One more header and packet may follow in the same read.
        let room = (missing + Self::MIN_READ).min(have.max(Self::MAX_AHEAD));
        if self.buffer.capacity() - have < room.min(Self::MIN_READ) || missing > Self::MIN_READ {
            self.buffer.reserve(room);
        }
        &mut self.buffer
    }

    /// The next packet; `None` when more bytes are needed.
    pub fn poll(&mut self) -> Result<Option<RawPacket<'_>>, DecodeError> {
        self.tape.clear();
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let flags = self.next_packet().inspect_err(|error| {
            // More of the text may still come.
            if !matches!(error, DecodeError::NotXpra(_)) {
                self.failed = Some(error.clone());
            }
        })?;
        let packet = flags.zip(self.tape.root().as_list());
        Ok(packet.map(|(flags, items)| RawPacket {
            items,
            flags,
            wire_bytes: std::mem::take(&mut self.wire_bytes),
        }))
    }

    /// True between packets: the stream may end here.
    pub fn is_idle(&self) -> bool {
        self.header.is_none() && self.chunks.is_empty() && self.buffer.is_empty()
    }

    /// Reads the next packet onto the tape and returns the flags of its main record.
    fn next_packet(&mut self) -> Result<Option<Flags>, DecodeError> {
        while let Some(header) = self.next_header()? {
            let size = self.payload_size(header);
            if self.buffer.len() < size {
                return Ok(None);
            }
            self.header = None;
            self.wire_bytes += Header::SIZE + size;
            let payload = self.buffer.split_to(size);
            let data = self.open(header, payload)?;
            if header.chunk == 0 {
                self.assemble(header, data)?;
                return Ok(Some(header.flags));
            }
            self.chunks.push(Chunk { header, data });
        }
        Ok(None)
    }

    /// The header of the record at the head of the buffer, within the limits.
    fn next_header(&mut self) -> Result<Option<Header>, DecodeError> {
        if self.header.is_some() {
            return Ok(self.header);
        }
        if self.buffer.first().is_some_and(|byte| *byte != Header::MAGIC) {
            let text = self.buffer.get(..Self::MAX_TEXT).unwrap_or(&self.buffer);
            return Err(DecodeError::NotXpra(Bytes::copy_from_slice(text)));
        }
        let Some(header) = self.buffer.first_chunk().and_then(|bytes| Header::parse(*bytes)) else {
            return Ok(None);
        };
        match (header.flags.has(Flags::CIPHER), &self.decryptor) {
            (true, None) => return Err(DecodeError::Cipher),
            (false, Some(_)) => return Err(DecodeError::Plain),
            _ if header.size == 0 => return Err(DecodeError::Header("empty record")),
            _ => {}
        }
        let size = self.payload_size(header);
        let limit = self.limits.record.min(Limits::CEILING);
        if size > limit {
            return Err(DecodeError::TooLarge { size, limit });
        }
        if header.chunk > 0 {
            self.check_chunk(header.chunk)?;
        }
        self.buffer.advance(Header::SIZE);
        self.header = Some(header);
        Ok(self.header)
    }

    /// Bytes after the header that belong to the record: the padding of a cipher is not in the header's size.
    fn payload_size(&self, header: Header) -> usize {
        let size = header_size(header);
        self.decryptor
            .as_ref()
            .map_or(size, |decryptor| decryptor.wire_size(size))
    }

    /// `wire.md` 1.4.
    fn check_chunk(&self, index: u8) -> Result<(), DecodeError> {
        let reason = if index > Limits::CHUNK_INDEX {
            "index out of range"
        } else if self.chunks.iter().any(|chunk| chunk.header.chunk == index) {
            "duplicate"
        } else if self.chunks.len() >= self.limits.chunks {
            "too many"
        } else {
            return Ok(());
        };
        Err(DecodeError::Chunk { index, reason })
    }

    /// The plain bytes of a payload: decrypted, then decompressed.
    fn open(&mut self, header: Header, mut payload: BytesMut) -> Result<Bytes, DecodeError> {
        if let Some(decryptor) = &mut self.decryptor {
            let opened = decryptor.open(header_size(header), &mut payload);
            if !opened.map_err(DecodeError::CipherFailed)? {
                return Err(DecodeError::Key);
            }
        }
        let payload = payload.freeze();
        let Some(compressor) = header.compressor() else {
            return Ok(payload);
        };
        let max = self.limits.decompressed.min(Limits::CEILING);
        let data = compressor.decompress(&payload, max);
        data.map(Bytes::from)
            .map_err(|error| DecodeError::Compression(compressor, error))
    }

    /// The packet of a main record and the chunks before it. Its flags tell which rules hold for all of them.
    fn assemble(&mut self, header: Header, body: Bytes) -> Result<(), DecodeError> {
        let dialect = header.flags.dialect();
        header.check(dialect)?;
        let root = self.tape.decode(header.flags.coding(), body, &self.limits)?;
        let items = root.as_list().ok_or(DecodeError::Packet("not a list"))?;
        check_type(items, dialect)?;
        for Chunk { header, data } in self.chunks.drain(..) {
            header.check(dialect)?;
            let index = header.chunk;
            let fault = |reason| DecodeError::Chunk { index, reason };
            let place = self
                .tape
                .items()
                .nth(index.into())
                .ok_or_else(|| fault("no such argument"))?;
            if dialect == Dialect::G6 && !place.is_falsy() {
                return Err(fault("the argument is not empty"));
            }
            self.tape.put_chunk(index.into(), data);
        }
        if self.tape.items().any(ValueRef::is_null) {
            return Err(DecodeError::Packet("null argument"));
        }
        Ok(())
    }
}

fn header_size(header: Header) -> usize {
    usize::try_from(header.size).unwrap_or(usize::MAX)
}

/// `wire.md` 1.6, 1.7.
fn check_type(mut items: Items<'_>, dialect: Dialect) -> Result<(), DecodeError> {
    let name = items.next().ok_or(DecodeError::Packet("empty"))?;
    let alias = || name.as_bytes().is_some() || name.is_int();
    if name.is_text() || (dialect == Dialect::G3 && alias()) {
        Ok(())
    } else {
        Err(DecodeError::Packet("invalid packet type"))
    }
}
