//! Frames of RFC 6455 section 5, without I/O: [`Decoder`] takes bytes as they come, [`Head`] writes headers.
//!
//! The decoder keeps a header, a control frame and a mask, so what a frame's length says costs nothing: payload is
//! handed on in place, unmasked, as soon as it is there.

use std::ops::Range;

use super::utf8::Utf8;

/// The most a control frame may carry (RFC 6455 section 5.5).
pub(crate) const MAX_CONTROL: usize = 125;

/// The longest header: two bytes, a length of 64 bits, a mask.
const MAX_HEAD: usize = 14;

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Binary,
    /// UTF-8.
    Text,
}

/// Whether frames that arrive are masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masks {
    /// Both will do: xpra's clients do not mask (`endpoints.md` trap 10).
    Allowed,
    /// Servers do not mask (RFC 6455 section 5.1).
    Refused,
    /// Browsers always mask, and what a browser was made to send must not look like another protocol.
    Required,
}

/// Which frames are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Masked ones or others.
    pub masks: Masks,
    /// Whether text has to be UTF-8. Where messages only carry a byte stream it does not matter.
    pub checks_text: bool,
}

/// What a decoder found. Ranges are places in the bytes it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer is done sending. Empty without a code, else the code and a reason in UTF-8.
    Close(Control),
    /// A piece of a message.
    Data(Piece),
    /// The peer wants these bytes back.
    Ping(Control),
    /// The peer answers a ping, or says that it is there.
    Pong(Control),
}

/// A piece of a message, unmasked, perhaps empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it is.
    pub payload: Range<usize>,
    /// What the message is made of.
    pub kind: Kind,
    /// True when the message ends with it.
    pub is_last: bool,
}

/// The payload of a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    bytes: [u8; MAX_CONTROL],
    len: usize,
}

impl Control {
    const EMPTY: Self = Self {
        bytes: [0; MAX_CONTROL],
        len: 0,
    };

    /// The payload.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) {
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
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Option<Self> {
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

    const fn is_control(self) -> bool {
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

/// Finds frames in a stream of bytes.
#[derive(Debug)]
pub struct Decoder {
    rules: Rules,
    head: Collected,
    frame: Option<Frame>,
    control: Control,
    /// The message that is under way.
    message: Option<Kind>,
    text: Utf8,
    /// No frame came yet: line ends are skipped, which some peers of xpra's send after their request.
    is_fresh: bool,
}

/// The frame that is under way.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    left: u64,
    mask: Option<Mask>,
}

/// A header, as far as it came.
#[derive(Debug, Default)]
struct Collected {
    bytes: [u8; MAX_HEAD],
    len: usize,
}

impl Collected {
    /// How long the header will be, as far as can be told.
    fn wanted(&self) -> usize {
        if self.len < 2 {
            return 2;
        }
        let [_, second, ..] = self.bytes;
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
    }

    fn push(&mut self, byte: u8) {
        if let Some(space) = self.bytes.get_mut(self.len) {
            *space = byte;
            self.len += 1;
        }
    }
}

impl Decoder {
    /// A decoder of a fresh stream.
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            head: Collected {
                bytes: [0; MAX_HEAD],
                len: 0,
            },
            frame: None,
            control: Control::EMPTY,
            message: None,
            text: Utf8::new(),
            is_fresh: true,
        }
    }

    /// True when the stream may end here without losing anything.
    pub const fn is_between_frames(&self) -> bool {
        self.frame.is_none() && self.head.len == 0
    }

    /// Takes bytes from the front of `input`, up to the first event: how many, and the event. Without one all were
    /// taken. After an error the stream makes no sense any more.
    pub fn decode(&mut self, input: &mut [u8]) -> Result<(usize, Option<Event>), FrameError> {
        let mut used = 0;
        let mut frame = match self.frame {
            Some(frame) => frame,
            None => loop {
                let Some(byte) = input.get(used) else {
                    return Ok((used, None));
                };
                used += 1;
                if let Some(frame) = self.head(*byte)? {
                    break frame;
                }
            },
        };
        let room = u64::try_from(input.len() - used).unwrap_or(u64::MAX);
        let here = usize::try_from(frame.left.min(room)).unwrap_or(usize::MAX);
        let payload = used..used + here;
        used = payload.end;
        frame.left -= here as u64;
        let is_complete = frame.left == 0;
        let bytes = input.get_mut(payload.clone()).unwrap_or_default();
        if let Some(mask) = &mut frame.mask {
            mask.apply(bytes);
        }
        self.frame = (!is_complete).then_some(frame);
        let event = if frame.opcode.is_control() {
            self.control.push(bytes);
            is_complete
                .then(|| self.control_event(frame.opcode))
                .transpose()?
        } else if bytes.is_empty() && !is_complete {
            None
        } else {
            Some(self.data_event(frame, bytes, payload, is_complete)?)
        };
        Ok((used, event))
    }

    /// Takes a byte of a header; the frame when that is complete.
    fn head(&mut self, byte: u8) -> Result<Option<Frame>, FrameError> {
        self.head.push(byte);
        if self.is_fresh && matches!(self.head.bytes, [b'\r', b'\n', ..]) && self.head.len == 2 {
            self.head = Collected::default();
            return Ok(None);
        }
        if self.head.len < self.head.wanted() || self.head.len < 2 {
            return Ok(None);
        }
        let Collected { bytes, len } = std::mem::take(&mut self.head);
        self.is_fresh = false;
        let frame = self.parse(&bytes, len)?;
        self.control = Control::EMPTY;
        Ok(Some(frame))
    }

    fn parse(&mut self, head: &[u8; MAX_HEAD], len: usize) -> Result<Frame, FrameError> {
        let [first, second, rest @ ..] = head;
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBits);
        }
        let is_final = first & 0x80 != 0;
        let opcode = Opcode::from_bits(first & 0x0f).ok_or_else(|| FrameError::Opcode(first & 0x0f))?;
        let is_masked = second & 0x80 != 0;
        match self.rules.masks {
            Masks::Refused if is_masked => return Err(FrameError::Masked),
            Masks::Required if !is_masked => return Err(FrameError::Unmasked),
            _ => {}
        }
        let left = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => u16::from_be_bytes([*a, *b]).into(),
            (127, [a, b, c, d, e, f, g, h, ..]) => u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            (short, _) => short.into(),
        };
        if left > i64::MAX.cast_unsigned() {
            return Err(FrameError::Length);
        }
        if opcode.is_control() && !is_final {
            return Err(FrameError::ControlFragment);
        }
        if opcode.is_control() && second & 0x7f > 125 {
            return Err(FrameError::ControlLength);
        }
        match (opcode, self.message) {
            (Opcode::Continuation, None) => return Err(FrameError::Continuation),
            (Opcode::Binary | Opcode::Text, Some(_)) => return Err(FrameError::Interleaved),
            (Opcode::Binary, None) => self.message = Some(Kind::Binary),
            (Opcode::Text, None) => self.message = Some(Kind::Text),
            _ => {}
        }
        let key = len.checked_sub(4).and_then(|start| head.get(start..len));
        let mask = key.and_then(|key| key.try_into().ok()).filter(|_| is_masked);
        Ok(Frame {
            opcode,
            is_final,
            left,
            mask: mask.map(Mask::new),
        })
    }

    fn data_event(
        &mut self,
        frame: Frame,
        bytes: &[u8],
        payload: Range<usize>,
        is_complete: bool,
    ) -> Result<Event, FrameError> {
        let kind = self.message.unwrap_or(Kind::Binary);
        let is_last = is_complete && frame.is_final;
        if self.rules.checks_text && kind == Kind::Text {
            let is_text = self.text.feed(bytes) && (!is_last || self.text.is_complete());
            if !is_text {
                return Err(FrameError::Text);
            }
        }
        if is_last {
            self.message = None;
        }
        Ok(Event::Data(Piece {
            payload,
            kind,
            is_last,
        }))
    }

    fn control_event(&mut self, opcode: Opcode) -> Result<Event, FrameError> {
        let control = std::mem::replace(&mut self.control, Control::EMPTY);
        match opcode {
            Opcode::Ping => Ok(Event::Ping(control)),
            Opcode::Pong => Ok(Event::Pong(control)),
            _ => match control.as_bytes() {
                [] => Ok(Event::Close(control)),
                [a, b, reason @ ..] if may_be_sent(u16::from_be_bytes([*a, *b])) => {
                    std::str::from_utf8(reason).map_err(|_| FrameError::Text)?;
                    Ok(Event::Close(control))
                }
                _ => Err(FrameError::CloseCode),
            },
        }
    }
}

/// The close codes that may be in a frame (RFC 6455 section 7.4 and the registry).
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A masking key and where in it the next byte is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask([u8; 4]);

impl Mask {
    pub(crate) const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks or unmasks the next bytes of the frame.
    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
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
pub(crate) struct Head {
    bytes: [u8; MAX_HEAD],
    written: usize,
    len: usize,
}

impl Head {
    /// The header of an unfragmented frame, with the shortest length there is for it (RFC 6455 section 5.2).
    pub(crate) fn new(opcode: Opcode, length: u64, mask: Option<[u8; 4]>) -> Self {
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

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.written..self.len).unwrap_or_default()
    }

    /// That many more bytes were written.
    pub(crate) fn advance(&mut self, n: usize) {
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
