//! What frames of RFC 6455 section 5 are made of: headers, masks, control payloads, and what can be wrong with them.

/// The most a control frame may carry (RFC 6455 section 5.5).
pub(super) const MAX_CONTROL: usize = 125;

/// The longest header: two bytes, a length of 64 bits, a mask.
pub(super) const MAX_HEAD: usize = 14;

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Binary,
    /// UTF-8.
    Text,
}

/// The payload of a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    bytes: [u8; MAX_CONTROL],
    len: usize,
}

impl Control {
    pub(super) const EMPTY: Self = Self {
        bytes: [0; MAX_CONTROL],
        len: 0,
    };

    /// The payload.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(space) = self.bytes.get_mut(self.len..end) {
            space.copy_from_slice(bytes);
            self.len = end;
        }
    }
}

/// How a peer broke the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A close frame whose code nobody may send, or with half a code.
    #[error("WebSocket close frame without a valid code")]
    CloseCode,
    /// A continuation of nothing.
    #[error("WebSocket frame continues a message that was not begun")]
    Continuation,
    /// A control frame in pieces.
    #[error("WebSocket control frame in fragments")]
    ControlFragment,
    /// A control frame that is too long.
    #[error("WebSocket control frame of more than {MAX_CONTROL} bytes")]
    ControlLength,
    /// A message within a message.
    #[error("WebSocket message begins before the last one ended")]
    Interleaved,
    /// A length of more than 63 bits.
    #[error("WebSocket frame with a length beyond 63 bits")]
    Length,
    /// A mask where there must be none.
    #[error("WebSocket server masks its frames")]
    Masked,
    /// An opcode that means nothing.
    #[error("WebSocket frame with the reserved opcode {0}")]
    Opcode(u8),
    /// Bits of extensions that were not agreed on.
    #[error("WebSocket frame with reserved bits set")]
    ReservedBits,
    /// Text that is not UTF-8.
    #[error("WebSocket text is not UTF-8")]
    Text,
    /// No mask where there must be one.
    #[error("WebSocket frame of a browser without a mask")]
    Unmasked,
}

impl FrameError {
    /// The code to close with (RFC 6455 section 7.4.1).
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Text => 1007,
            _ => 1002,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    pub(super) const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub(super) const fn is_control(self) -> bool {
        self as u8 >= Self::Close as u8
    }
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Binary => Self::Binary,
            Kind::Text => Self::Text,
        }
    }
}

/// The close codes that may be in a frame (RFC 6455 section 7.4 and the registry).
pub(super) const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A masking key and where in it the next byte is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks or unmasks the next bytes of the frame.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, tail) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= key;
        }
        self.0.rotate_left(tail.len() % 4);
    }
}

/// The bytes before a frame's payload, as far as they are not written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    bytes: [u8; MAX_HEAD],
    written: usize,
    len: usize,
}

impl Head {
    /// The header of an unfragmented frame, with the shortest length there is for it (RFC 6455 section 5.2).
    pub(super) fn new(opcode: Opcode, length: u64, mask: Option<[u8; 4]>) -> Self {
        let mut head = Self::default();
        let masked = if mask.is_some() { 0x80 } else { 0 };
        head.push(&[0x80 | opcode as u8]);
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length @ 0..=125), _) => head.push(&[masked | length]),
            (_, Ok(length)) => {
                head.push(&[masked | 126]);
                head.push(&length.to_be_bytes());
            }
            _ => {
                head.push(&[masked | 127]);
                head.push(&length.to_be_bytes());
            }
        }
        head.push(mask.as_ref().map_or(&[], <[u8; 4]>::as_slice));
        head
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.written..self.len).unwrap_or_default()
    }

    /// That many more bytes were written.
    pub(super) fn advance(&mut self, n: usize) {
        self.written = self.len.min(self.written + n);
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(space) = self.bytes.get_mut(self.len..end) {
            space.copy_from_slice(bytes);
            self.len = end;
        }
    }
}
