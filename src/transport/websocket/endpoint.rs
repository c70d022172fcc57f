//! [`Endpoint`]: what an end of a WebSocket owes the other, without I/O: pongs, the closing handshake, masks
//! (RFC 6455 sections 5.1, 5.5 and 7).

use std::io;

use bytes::{Buf, BytesMut};

use super::decoder::{Decoder, Event, Masks, Piece, Rules};
use super::frame::{Control, FrameError, Head, Kind, Mask, Opcode};

/// Bytes of pongs that may wait to be sent. A peer that does not read gets an answer to its last ping only, which is
/// all it can ask for (RFC 6455 section 5.5.3).
const MAX_REPLIES: usize = 4096;

/// Everything went as it should (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that asked for the upgrade: it masks.
    Client,
    /// The one that was asked.
    Server {
        /// What it was asked by: browsers have to mask.
        is_browser: bool,
    },
}

impl Role {
    const fn masks(self) -> Masks {
        match self {
            Self::Client => Masks::Refused,
            Self::Server { is_browser: true } => Masks::Required,
            Self::Server { is_browser: false } => Masks::Allowed,
        }
    }
}

/// One end of a WebSocket.
#[derive(Debug)]
pub struct Endpoint {
    role: Role,
    decoder: Decoder,
    /// Whole frames that are to be sent.
    out: BytesMut,
    /// The last ping that found too many answers waiting.
    late: Option<Control>,
    /// The peer's close frame.
    goodbye: Option<Control>,
    error: Option<FrameError>,
    has_closed: bool,
}

impl Endpoint {
    /// An end of a WebSocket right after the upgrade.
    pub fn new(role: Role, checks_text: bool) -> Self {
        let masks = role.masks();
        Self {
            role,
            decoder: Decoder::new(Rules { masks, checks_text }),
            out: BytesMut::new(),
            late: None,
            goodbye: None,
            error: None,
            has_closed: false,
        }
    }

    /// Takes bytes from the front of `input`, up to the next piece of a message: how many, and the piece. Without one
    /// all were taken. Answers come out of [`out`](Self::out).
    pub fn receive(&mut self, input: &mut [u8]) -> Result<(usize, Option<Piece>), FrameError> {
        let mut used = 0;
        loop {
            if let Some(error) = self.error {
                return Err(error);
            }
            let rest = input.get_mut(used..).unwrap_or_default();
            if rest.is_empty() || self.goodbye.is_some() {
                return Ok((input.len(), None));
            }
            match self.decoder.decode(rest) {
                Ok((taken, Some(Event::Data(mut piece)))) => {
                    piece.payload = used + piece.payload.start..used + piece.payload.end;
                    return Ok((used + taken, Some(piece)));
                }
                Ok((taken, event)) => {
                    used += taken;
                    match event {
                        Some(Event::Close(control)) => self.goodbye = Some(control),
                        Some(Event::Ping(control)) => self.pong(control),
                        Some(Event::Data(_) | Event::Pong(_)) | None => {}
                    }
                }
                Err(error) => {
                    self.error = Some(error);
                    self.send_close(&error.close_code().to_be_bytes());
                }
            }
        }
    }

    /// How the peer broke the rules, if it did: then nothing more is taken.
    pub const fn error(&self) -> Option<FrameError> {
        self.error
    }

    /// True once the peer said that it is done sending.
    pub const fn is_peer_done(&self) -> bool {
        self.goodbye.is_some()
    }

    /// True once the last frame was sent, or is in [`out`](Self::out).
    pub const fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// True when the stream may end here without losing anything.
    pub const fn is_between_frames(&self) -> bool {
        self.decoder.is_between_frames()
    }

    /// Whether frames that are sent have to be masked.
    pub(super) const fn is_client(&self) -> bool {
        matches!(self.role, Role::Client)
    }

    /// Appends a message to [`out`](Self::out), if none was said to be the last.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        self.send_slices(kind.into(), &[payload])
    }

    pub(super) fn send_slices(&mut self, opcode: Opcode, payload: &[&[u8]]) -> io::Result<()> {
        if self.has_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let length = payload.iter().map(|slice| slice.len() as u64).sum();
        let key = self.is_client().then(random::<4>).transpose()?;
        let head = Head::new(opcode, length, key);
        self.out.extend_from_slice(head.as_bytes());
        let start = self.out.len();
        for slice in payload {
            self.out.extend_from_slice(slice);
        }
        if let Some(key) = key {
            Mask::new(key).apply(self.out.get_mut(start..).unwrap_or_default());
        }
        Ok(())
    }

    /// Says that nothing more will be sent: with the code of the peer's goodbye if it said one.
    pub fn close(&mut self) {
        match self.goodbye.clone().as_ref().map(Control::as_bytes) {
            Some(payload) => self.send_close(payload.get(..2).unwrap_or_default()),
            None => self.send_close(&NORMAL.to_be_bytes()),
        }
    }

    /// Says that nothing more will be sent, and why.
    pub fn close_with(&mut self, code: u16) {
        self.send_close(&code.to_be_bytes());
    }

    fn send_close(&mut self, payload: &[u8]) {
        // Without a mask to be had there is nothing to be said any more, politely or not.
        self.send_slices(Opcode::Close, &[payload]).unwrap_or_default();
        self.has_closed = true;
    }

    fn pong(&mut self, ping: Control) {
        if self.late.is_some() || self.out.len() + ping.as_bytes().len() > MAX_REPLIES {
            self.late = Some(ping);
        } else {
            // After the last frame there is nobody to answer.
            self.send_slices(Opcode::Pong, &[ping.as_bytes()])
                .unwrap_or_default();
        }
    }

    /// What is to be sent next; empty when there is nothing.
    pub fn out(&self) -> &[u8] {
        &self.out
    }

    /// That many bytes of [`out`](Self::out) were sent.
    pub fn sent(&mut self, n: usize) {
        self.out.advance(n.min(self.out.len()));
        if let Some(late) = self.late.take_if(|_| self.out.is_empty()) {
            self.pong(late);
        }
    }
}

/// Bytes nobody can guess.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}
