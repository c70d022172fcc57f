//! [`Decoder`]: frames out of bytes as they come, without I/O (RFC 6455 section 5).
//!
//! It keeps a header, a control frame and a mask, so what a frame's length says costs nothing: payload is handed on in
//! place, unmasked, as soon as it is there.

use std::ops::Range;

use super::frame::{Control, FrameError, Kind, MAX_HEAD, Mask, Opcode, may_be_sent};
use super::utf8::Utf8;

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
        if self.head.len < self.head.wanted() {
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
