//! [`Limits`]: how much a peer may make us hold.

/// What a peer may ask of us; checked before anything is allocated (`wire.md` 1.4, 1.5, 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one record's payload, as sent.
    pub record: usize,
    /// Bytes of one record's payload once decompressed.
    pub decompressed: usize,
    /// Chunks waiting for their main record.
    pub chunks: usize,
    /// Lists and dictionaries inside each other.
    pub depth: usize,
    /// Values in one packet, at all depths; each costs some 40 bytes of memory and may be one byte on the wire.
    pub items: usize,
}

impl Limits {
    /// No record may be larger, whatever is configured (`wire.md` 1.5).
    pub const CEILING: usize = 256 << 20;

    /// The highest argument position a chunk may fill (`wire.md` 1.4).
    pub const CHUNK_INDEX: u8 = 15;

    /// For a peer that has not been authenticated: the largest real hello is some 23 KB (`wire.md` 1.5).
    pub const fn before_hello() -> Self {
        Self {
            record: 4 << 20,
            decompressed: 4 << 20,
            chunks: 3,
            depth: 64,
            items: 1 << 16,
        }
    }

    /// For a peer whose hello was accepted. A client raises `record` to what its largest window may need.
    pub const fn after_hello() -> Self {
        Self {
            record: 16 << 20,
            decompressed: Self::CEILING,
            chunks: 3,
            depth: 64,
            items: 1 << 18,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::before_hello()
    }
}
