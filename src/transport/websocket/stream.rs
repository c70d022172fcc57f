//! [`WebSocket`]: a byte stream in binary messages over another (`wire.md` 1.8).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::endpoint::{Endpoint, Role};
use super::frame::{Head, Opcode};
use crate::transport::Stream;

/// Slices given to the stream below at once, the header's among them; more are left for the next write.
const MAX_SLICES: usize = 64;

/// What a client masks at once: it has to be copied for that.
const MAX_MASKED: usize = 64 << 10;

/// How servers of xpra 3.1 begin to say that they do not understand: in plain text even here (`endpoints.md` c.2).
/// It is no frame, but whoever reads the stream knows it.
const REFUSAL: &[u8] = b"disconnect: ";

/// A byte stream that is carried by a WebSocket over `S`.
///
/// Reading gives the payload of data frames as it arrives, whatever the messages are, and the end of the stream after
/// the peer's close frame; pings are answered on the way. Each write makes one binary frame. What a server was given to
/// write must be written in the end: when the stream below takes a part of it, the frame's length is already out.
/// Shutting down sends a close frame; the peer may still send.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    endpoint: Endpoint,
    /// What came with the upgrade.
    early: Bytes,
    /// The header of the frame that is being written, as far as it is not out yet.
    head: Head,
    /// How much of that frame's payload is not written yet.
    left: u64,
    /// The peer has said no without a frame: what follows is bytes.
    is_refused: bool,
    /// A write waits: its waker is the one the stream below must keep.
    writer_waits: bool,
}

impl<S: Stream> WebSocket<S> {
    /// A WebSocket after the upgrade; `early` are the bytes which came in one piece with it.
    pub fn new(stream: S, role: Role, early: Bytes) -> Self {
        Self {
            stream,
            endpoint: Endpoint::new(role, false),
            early,
            head: Head::default(),
            left: 0,
            is_refused: false,
            writer_waits: false,
        }
    }

    /// The stream below.
    #[cfg(test)]
    pub(super) const fn stream(&self) -> &S {
        &self.stream
    }

    /// Bytes of frames that are not sent yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.endpoint.out().len()
    }

    /// Writes what the endpoint has to say, unless a frame is under way.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.left == 0 && !self.endpoint.out().is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, self.endpoint.out()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.endpoint.sent(n),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends answers from within a read, as far as that goes. What goes wrong shows in the next read or write.
    fn reply(&mut self, cx: &mut Context<'_>) {
        if self.writer_waits || self.left > 0 || self.endpoint.out().is_empty() {
            return;
        }
        if let Poll::Ready(Ok(())) = self.poll_out(cx) {
            let _shows_later = Pin::new(&mut self.stream).poll_flush(cx);
        }
    }

    /// Leaves only payload in `bytes`, at their front: how much. An error comes after what was before it.
    fn unwrap(&mut self, bytes: &mut [u8]) -> usize {
        let (mut read, mut kept) = (0, 0);
        while read < bytes.len() {
            let rest = bytes.get_mut(read..).unwrap_or_default();
            let (payload, used) = match self.endpoint.receive(rest) {
                Ok((used, Some(piece))) => (read + piece.payload.start..read + piece.payload.end, used),
                Ok((used, None)) => (read..read, used),
                Err(_) if self.endpoint.is_client() && rest.starts_with(REFUSAL) => {
                    self.is_refused = true;
                    (read..bytes.len(), bytes.len() - read)
                }
                Err(_) => break,
            };
            read += used;
            let length = payload.len();
            if payload.start != kept {
                bytes.copy_within(payload, kept);
            }
            kept += length;
        }
        kept
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        if self.left == 0 {
            ready!(self.poll_out(cx))?;
            if self.endpoint.has_closed() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        if self.endpoint.is_client() {
            self.poll_send_masked(cx, bufs)
        } else {
            self.poll_send_plain(cx, bufs)
        }
    }

    /// Takes what it can mask, and begins to write it.
    fn poll_send_masked(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut slices = [[].as_slice(); MAX_SLICES];
        let mut taken = 0;
        for (slice, buf) in slices.iter_mut().zip(filled(bufs)) {
            *slice = buf.get(..buf.len().min(MAX_MASKED - taken)).unwrap_or_default();
            taken += slice.len();
        }
        self.endpoint.send_slices(Opcode::Binary, &slices)?;
        match self.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Writes header and payload with one call; again until some of the payload is out.
    fn poll_send_plain(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let offered = filled(bufs).map(|buf| buf.len() as u64).sum();
        loop {
            let (mut head, promised) = match self.left {
                0 => (Head::new(Opcode::Binary, offered, None), offered),
                left => (self.head, left),
            };
            let mut slices = [IoSlice::new(&[]); MAX_SLICES + 1];
            let (first, others) = slices.split_at_mut(1);
            first.fill(IoSlice::new(head.as_bytes()));
            let mut room = usize::try_from(promised).unwrap_or(usize::MAX);
            for (slice, buf) in others.iter_mut().zip(filled(bufs)) {
                *slice = IoSlice::new(buf.get(..buf.len().min(room)).unwrap_or_default());
                room -= slice.len();
            }
            let used = slices.iter().rposition(|slice| !slice.is_empty()).unwrap_or(0);
            let slices = slices.get(..=used).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let payload = written.saturating_sub(head.as_bytes().len());
            head.advance(written - payload);
            self.head = head;
            self.left = promised - payload as u64;
            if payload > 0 {
                return Poll::Ready(Ok(payload));
            }
        }
    }
}

/// The slices that have something in them, as many as are written at once.
fn filled<'a>(bufs: &'a [IoSlice<'a>]) -> impl Iterator<Item = &'a [u8]> {
    let filled = bufs.iter().filter(|buf| !buf.is_empty());
    filled.map(|buf| &**buf).take(MAX_SLICES)
}

impl<S: Stream> AsyncRead for WebSocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_refused {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        while buf.remaining() > 0 && !this.endpoint.is_peer_done() {
            if let Some(error) = this.endpoint.error() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            let start = buf.filled().len();
            if this.early.is_empty() {
                match Pin::new(&mut this.stream).poll_read(cx, buf) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        this.reply(cx);
                        return Poll::Pending;
                    }
                }
            } else {
                let n = this.early.len().min(buf.remaining());
                buf.put_slice(&this.early.split_to(n));
            }
            let new = buf.filled_mut().get_mut(start..).unwrap_or_default();
            if new.is_empty() {
                let is_whole = this.endpoint.is_between_frames();
                return Poll::Ready(is_whole.then_some(()).ok_or_else(cut_off));
            }
            let kept = this.unwrap(new);
            buf.set_filled(start + kept);
            this.reply(cx);
            if kept > 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn cut_off() -> io::Error {
    let kind = io::ErrorKind::UnexpectedEof;
    io::Error::new(kind, "the connection ended within a WebSocket frame")
}

impl<S: Stream> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = this.poll_send(cx, bufs);
        this.writer_waits = sent.is_pending();
        sent
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = match this.poll_out(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut this.stream).poll_flush(cx),
            unfinished => unfinished,
        };
        this.writer_waits = flushed.is_pending();
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.endpoint.has_closed() && self.left == 0 {
            self.endpoint.close();
        }
        ready!(self.as_mut().poll_flush(cx))?;
        let this = self.get_mut();
        // The server closes first (RFC 6455 section 7.1.1): on the way to it may be those who take the end of one
        // direction for the end of both.
        if this.endpoint.is_client() && !this.endpoint.is_peer_done() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
